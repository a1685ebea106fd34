//! Observe mode: what became of what the run before judged.

use cleanup_state::{Observed, State};

use crate::common::{HOUR, at, folder, reading, record, report, sql};

fn observe(state: &mut State, policy: &str, files: &[(&str, bool)]) -> Option<Observed> {
    let mut observation = state.observe(policy);
    for (path, due) in files {
        observation.note(path.as_bytes(), *due);
    }
    observation.finish()
}

#[test]
fn the_next_run_says_what_became_of_the_files() {
    let (_parent, folder) = folder();
    let mut state = State::open(&folder, None).unwrap();
    let files = [("a", true), ("b", true), ("c", false), ("d", false), ("e", true)];
    assert_eq!(observe(&mut state, "temp", &files), None);
    assert_eq!(observe(&mut state, "other", &[("a", true)]), None);
    drop(state);

    let mut state = State::open(&folder, None).unwrap();
    let seen = observe(&mut state, "temp", &[("b", false), ("d", true), ("new", true)]).unwrap();
    assert_eq!((seen.gone_as_predicted.count, seen.still_there.count, seen.gone_but_kept.count), (2, 1, 1));
    assert_eq!(seen.gone_as_predicted.first, [b"a", b"e"]);
    assert_eq!(seen.still_there.first, [b"b"]);
    assert_eq!(seen.gone_but_kept.first, [b"c"]);

    // Compared with the last run, not with all.
    let seen = observe(&mut state, "temp", &[("b", false)]).unwrap();
    assert_eq!(seen.gone_as_predicted.first, [b"d".as_slice(), b"new"]);
    assert_eq!((seen.still_there.count, seen.gone_but_kept.count), (0, 0));
    assert_eq!(state.take_notes(), [""; 0]);
}

#[test]
fn a_run_that_was_broken_off_does_not_count() {
    let (_parent, folder) = folder();
    let mut state = State::open(&folder, None).unwrap();
    observe(&mut state, "temp", &[("a", true)]);
    let mut broken_off = state.observe("temp");
    for number in 0..2000 {
        broken_off.note(format!("{number}").as_bytes(), true);
    }
    drop(broken_off);
    let seen = observe(&mut state, "temp", &[]).unwrap();
    assert_eq!((seen.gone_as_predicted.count, seen.still_there.count), (1, 0));
    assert_eq!(observe(&mut state, "temp", &[]), Some(Observed::default()));
}

#[test]
fn names_are_any_bytes_and_only_the_first_twenty_are_named() {
    let (_parent, folder) = folder();
    let mut state = State::open(&folder, None).unwrap();
    let mut observation = state.observe("temp");
    for byte in 0..=255_u8 {
        observation.note(&[byte, b'/', 0xff], true);
    }
    observation.finish();
    let seen = observe(&mut state, "temp", &[]).unwrap();
    assert_eq!(seen.gone_as_predicted.count, 256);
    let first: Vec<_> = (0..20).map(|byte| vec![byte, b'/', 0xff]).collect();
    assert_eq!(seen.gone_as_predicted.first, first);
}

#[test]
fn a_hundred_thousand_files_are_compared() {
    let (_parent, folder) = folder();
    let mut state = State::open(&folder, None).unwrap();
    let mut round = |skip: usize| {
        let mut observation = state.observe("temp");
        for number in (0..100_000).filter(|number| skip == 0 || number % skip != 0) {
            observation.note(format!("folder-{}/file-{number}", number % 100).as_bytes(), number % 2 == 0);
        }
        observation.finish()
    };
    assert_eq!(round(0), None);
    let seen = round(10).unwrap();
    assert_eq!((seen.gone_as_predicted.count, seen.still_there.count), (10_000, 40_000));
    let seen = round(5).unwrap();
    assert_eq!((seen.gone_as_predicted.count, seen.gone_but_kept.count), (0, 10_000));
    let size = folder.join("state.db").metadata().unwrap().len();
    assert!(size < 30_000_000, "{size} bytes: earlier generations were not forgotten");
}

#[test]
fn what_was_observed_for_a_policy_that_is_no_more_is_forgotten() {
    let (_parent, folder) = folder();
    let mut state = State::open(&folder, None).unwrap();
    observe(&mut state, "temp", &[("a", true)]);
    record(&mut state, "1", 0);
    state.record_run(&report("2", 7200), &reading(7200), true, HOUR, at(7200));
    assert_eq!(observe(&mut state, "temp", &[("b", true)]), None);
}

#[test]
fn a_database_that_is_started_anew_meanwhile_costs_the_observation_alone() {
    let (_parent, folder) = folder();
    let mut state = State::open(&folder, None).unwrap();
    observe(&mut state, "temp", &[("a", true)]);
    let mut observation = state.observe("temp");
    sql(&folder.join("state.db"), "drop table observed");
    observation.note(b"a", true);
    assert_eq!(observation.finish(), None);
    let notes = state.take_notes();
    assert!(notes.len() == 1 && notes[0].contains("set aside"), "{notes:?}");
    assert_eq!(observe(&mut state, "temp", &[("b", true)]), None);
    assert_eq!(observe(&mut state, "temp", &[]).unwrap().gone_as_predicted.count, 1);
}
