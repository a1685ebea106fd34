//! The ledger on good days.

use std::time::Duration;

use cleanup_state::{AmbiguousRun, PolicyMemory, State};

use crate::common::{HOUR, MONTH, at, folder, ids, reading, record, report};

#[test]
fn a_run_is_remembered_and_found_by_the_beginning_of_its_id() {
    let (_parent, folder) = folder();
    let mut state = State::open(&folder, None).unwrap();
    assert!(state.is_new());
    record(&mut state, "01AAA", 0);
    record(&mut state, "01AAB", 60);
    record(&mut state, "01B", 120);
    drop(state);

    let mut state = State::open(&folder, None).unwrap();
    assert!(!state.is_new());
    assert_eq!(ids(&mut state), ["01B", "01AAB", "01AAA"]);
    assert_eq!(state.runs(1)[0].removed, 2);
    assert_eq!(state.runs(1)[0].started_at, at(120));
    assert_eq!(state.run("01b").unwrap(), Some(report("01B", 120)));
    assert_eq!(state.run("02").unwrap(), None);
    assert_eq!(
        state.run("01A").unwrap_err(),
        AmbiguousRun { prefix: "01A".to_owned(), matches: vec!["01AAB".to_owned(), "01AAA".to_owned()] }
    );
    assert_eq!(state.take_notes(), [""; 0]);
}

#[test]
fn old_runs_go_and_the_newest_stays() {
    let (_parent, folder) = folder();
    let mut state = State::open(&folder, None).unwrap();
    record(&mut state, "1", 0);
    record(&mut state, "2", 3600);
    state.record_run(&report("3", 7200), &reading(7200), true, HOUR, at(7200));
    assert_eq!(ids(&mut state), ["3", "2"]);
    state.record_run(&report("4", 9000), &reading(9000), true, Duration::ZERO, at(9001));
    assert_eq!(ids(&mut state), ["4"]);
}

#[test]
fn a_clock_that_jumped_a_year_ahead_costs_no_history_and_becomes_no_baseline() {
    let (_parent, folder) = folder();
    let mut state = State::open(&folder, None).unwrap();
    record(&mut state, "1", 0);
    let year = 31_536_000;
    state.record_run(&report("2", 0), &reading(year), false, HOUR, at(year.cast_signed()));
    assert_eq!(ids(&mut state), ["2", "1"]);
    assert_eq!(state.last_clock(), Some(reading(0)));
}

#[test]
fn clock_readings_begin_with_the_one_before() {
    let (_parent, folder) = folder();
    let mut state = State::open(&folder, None).unwrap();
    assert_eq!(state.last_clock(), None);
    for hour in 0..5 {
        record(&mut state, &hour.to_string(), hour * 3600);
    }
    let hours = |state: &mut State, since: i64| -> Vec<u64> {
        state.clock_readings(at(since)).iter().map(|reading| reading.boot.as_secs() / 3600).collect()
    };
    assert_eq!(hours(&mut state, 7200), [1, 2, 3, 4]);
    assert_eq!(hours(&mut state, 7201), [2, 3, 4]);
    assert_eq!(hours(&mut state, -1), [0, 1, 2, 3, 4]);
    assert_eq!(state.last_clock(), Some(reading(14_400)));
}

#[test]
fn readings_of_one_boot_are_thinned_out_and_the_newest_stays() {
    let (_parent, folder) = folder();
    let mut state = State::open(&folder, None).unwrap();
    for minute in 0..60 {
        record(&mut state, &minute.to_string(), minute * 60);
    }
    let readings = state.clock_readings(at(0));
    assert!(readings.len() < 15, "{}", readings.len());
    assert_eq!((readings.first(), readings.last()), (Some(&reading(0)), Some(&reading(59 * 60))));
    assert!(readings.windows(2).all(|pair| pair[1].boot <= pair[0].boot + Duration::from_mins(10)));
}

#[test]
fn a_policy_is_remembered_as_it_was_last() {
    let (_parent, folder) = folder();
    let memory = |deciding: &str| PolicyMemory {
        referenced: (deciding == "b").then_some(7),
        foreseen: None,
        deciding: deciding.to_owned(),
        root: "/srv/out".to_owned(),
        file_system: Some("1:2".to_owned()),
        boot_id: "boot".to_owned(),
        mount_namespace: None,
    };
    let mut state = State::open(&folder, None).unwrap();
    assert_eq!(state.policy_memory("temp"), None);
    state.remember_policy("temp", &memory("a"));
    state.remember_policy("temp", &memory("b"));
    assert_eq!(state.policy_memory("temp"), Some(memory("b")));
    assert_eq!(state.policy_memory("other"), None);
}

#[test]
fn runs_beyond_the_limit_go() {
    let (_parent, folder) = folder();
    let mut state = State::open(&folder, None).unwrap();
    // One of the 20,001 is recorded; the others are copied from it, because this test is not about speed.
    record(&mut state, "0", 0);
    drop(state);
    crate::common::sql(
        &folder.join("state.db"),
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000) insert into runs \
         select i + 1, 'copy' || i, started_by, started_at, finished_at, recorded_seconds, status, due, removed, \
         quarantined, bytes_freed, errors, report, restored, quarantined_bytes from n, (select * from runs)",
    );
    let mut state = State::open(&folder, None).unwrap();
    assert_eq!(ids(&mut state).len(), 20_001);
    state.record_run(&report("new", 1), &reading(1), false, MONTH, at(1));
    let ids = ids(&mut state);
    assert_eq!((ids.len(), ids[0].as_str(), ids[19_999].as_str()), (20_000, "new", "copy2"));
}

#[test]
fn the_database_may_lie_elsewhere() {
    let (parent, folder) = folder();
    let elsewhere = parent.path().join("other.db");
    let mut state = State::open(&folder, Some(&elsewhere)).unwrap();
    record(&mut state, "1", 0);
    drop(state);
    assert!(elsewhere.exists() && !folder.join("state.db").exists());
    assert_eq!(ids(&mut State::look(&folder, Some(&elsewhere)).unwrap()), ["1"]);
}

#[test]
fn what_is_not_asked_for_is_not_opened() {
    let (_parent, folder) = folder();
    drop(State::open(&folder, None).unwrap());
    assert!(!folder.join("state.db").exists());
    assert!(!folder.join("promises.jsonl").exists());
}
