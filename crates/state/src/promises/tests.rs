//! The files as they are on the disk, damaged: what was promised is kept, or whoever asks is told that it is not known.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use cleanup_core::damage::{Blow, damaged};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

/// What somebody does, to one of a few paths.
#[derive(Clone, Copy, Debug)]
enum Step {
    Hold(u8, i64),
    Release(u8),
    Ttl(u8, i64),
    Forget(u8),
}

const NOW: Moment = Moment::from_unix(1_000, 0);

fn path(number: u8) -> Vec<u8> {
    // One that is no text.
    if number == 0 { b"/\xff".to_vec() } else { format!("/f{number}").into_bytes() }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let until = 2_000_i64..4_000_000_000;
    let step = prop_oneof![
        (0_u8..4, until.clone()).prop_map(|(path, until)| Step::Hold(path, until)),
        (0_u8..4).prop_map(Step::Release),
        (0_u8..4, until).prop_map(|(path, until)| Step::Ttl(path, until)),
        (0_u8..4).prop_map(Step::Forget),
    ];
    // Up to so many that the file is compacted now and then.
    prop_oneof![4 => prop::collection::vec(step.clone(), 1..8), 1 => prop::collection::vec(step, 16..40)]
}

fn folder() -> TempDir {
    let folder = crate::folder::for_tests();
    fs::create_dir(crate::folder::locks(folder.path())).unwrap();
    folder
}

fn go(promises: &mut Promises, steps: &[Step]) {
    promises.refresh().unwrap();
    for step in steps {
        let until = |seconds| Moment::from_unix(seconds, 0);
        match *step {
            Step::Hold(number, seconds) => promises.hold(&path(number), until(seconds), NOW).unwrap(),
            Step::Release(number) => drop(promises.release(&path(number), NOW).unwrap()),
            Step::Ttl(number, seconds) => promises.give_ttl(&path(number), until(seconds), NOW).unwrap(),
            Step::Forget(number) => promises.forget_ttls(&[&path(number)], NOW).unwrap(),
        }
    }
}

type InForce = BTreeMap<(bool, Vec<u8>), Moment>;

fn in_force(promises: &Promises) -> InForce {
    let holds = promises.held.values().map(|hold| ((true, hold.path.clone()), hold.until));
    holds.chain(promises.ttls().map(|ttl| ((false, ttl.path.clone()), ttl.until))).collect()
}

/// What the next process finds; `None` where it is told that this is not all.
fn found(folder: &Path) -> Option<InForce> {
    let mut promises = Promises::new(folder, Access::Keep);
    promises.refresh().ok()?;
    promises.lost().is_none().then(|| in_force(&promises))
}

proptest! {
    #[test]
    fn no_damage_to_the_file_costs_a_promise_unnoticed(
        steps in steps(),
        blows in prop::collection::vec(any::<Blow>(), 1..4),
    ) {
        let folder = folder();
        let mut promises = Promises::new(folder.path(), Access::Keep);
        go(&mut promises, &steps);
        let promised = in_force(&promises);
        prop_assert_eq!(found(folder.path()), Some(promised.clone()));

        let file = folder.path().join("promises.jsonl");
        let bytes = fs::read(&file).unwrap_or_default();
        let bytes = damaged(&bytes, &blows);
        fs::write(&file, &bytes).unwrap();
        let seen = Promises::new(folder.path(), Access::Look).refresh();
        let after = found(folder.path());
        if let Some(after) = &after {
            prop_assert!(seen.is_ok(), "{:?}", seen);
            prop_assert_eq!(after, &promised);
        }
        // What was repaired is as it was found, and what is lost stays lost when somebody is promised something else.
        prop_assert_eq!(&found(folder.path()), &after);
        let mut promises = Promises::new(folder.path(), Access::Keep);
        if promises.hold(b"/new", Moment::from_unix(5_000, 0), NOW).is_ok() {
            let mut expected = after;
            if let Some(expected) = &mut expected {
                expected.insert((true, b"/new".to_vec()), Moment::from_unix(5_000, 0));
            }
            prop_assert_eq!(found(folder.path()), expected);
        }
    }

    #[test]
    fn no_damage_to_what_is_remembered_of_it_costs_a_promise(
        steps in steps(),
        blows in prop::collection::vec(any::<Blow>(), 1..4),
    ) {
        let folder = folder();
        let mut promises = Promises::new(folder.path(), Access::Keep);
        go(&mut promises, &steps);
        let promised = in_force(&promises);
        let guard = crate::folder::locks(folder.path()).join("promises.jsonl");
        fs::write(&guard, damaged(&fs::read(&guard).unwrap_or_default(), &blows)).unwrap();
        if let Some(found) = found(folder.path()) {
            prop_assert_eq!(found, promised);
        }
        // Nor does it keep anybody from being promised something, or they are told.
        let mut promises = Promises::new(folder.path(), Access::Keep);
        if promises.hold(b"/new", Moment::from_unix(5_000, 0), NOW).is_ok() {
            prop_assert!(promises.held.contains_key(b"/new".as_slice()));
        }
    }
}

/// A file that was rewritten, `/f1`, `/f2` and `/f3` in it, behind which more was written; as its lines.
fn rewritten(folder: &Path) -> Vec<Vec<u8>> {
    let mut promises = Promises::new(folder, Access::Keep);
    go(&mut promises, &[Step::Hold(1, 2_000), Step::Hold(2, 2_000)]);
    go(&mut promises, &[Step::Hold(3, 2_000); WORTH_COMPACTING]);
    go(&mut promises, &[Step::Hold(2, 3_000)]);
    let bytes = fs::read(folder.join("promises.jsonl")).unwrap();
    let lines: Vec<Vec<u8>> = bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let place = lines.iter().position(|line| line.windows(10).any(|part| part == b"checkpoint")).unwrap();
    // Up to the fewest dead lines at which it was worth it, and no further.
    lines[place - 3..].iter().filter(|line| !line.is_empty()).cloned().collect()
}

#[test]
fn a_copy_in_the_place_of_another_line_is_noticed() {
    let folder = folder();
    let lines = rewritten(folder.path());
    let file = folder.path().join("promises.jsonl");
    fs::write(&file, lines.concat()).unwrap();
    let whole = found(folder.path());
    assert!(whole.is_some());
    for one in 0..lines.len() {
        for other in (0..lines.len()).filter(|other| *other != one) {
            let mut copied = lines.clone();
            copied[one] = lines[other].clone();
            fs::write(&file, copied.concat()).unwrap();
            let found = found(folder.path());
            let place = format!("line {} in the place of {}", other + 1, one + 1);
            assert!(found.is_none() || found == whole, "{place}: {found:?}");
        }
    }
    fs::write(&file, lines.concat()).unwrap();
    assert_eq!(found(folder.path()), whole, "and this was it");
}

#[test]
fn a_promise_that_was_taken_back_does_not_come_back_with_the_last_line() {
    let folder = folder();
    let mut promises = Promises::new(folder.path(), Access::Keep);
    go(&mut promises, &[Step::Ttl(1, 2_000), Step::Forget(1)]);
    let file = folder.path().join("promises.jsonl");
    let bytes = fs::read(&file).unwrap();
    let first = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    fs::write(&file, &bytes[..first]).unwrap();
    assert_eq!(found(folder.path()), None);
}

#[test]
fn whoever_is_killed_while_it_is_rewritten_leaves_no_loss() {
    let folder = folder();
    let mut promises = Promises::new(folder.path(), Access::Keep);
    let mut steps: Vec<Step> = (1..10).flat_map(|number| [Step::Ttl(number, 2_000); 2]).collect();
    steps.push(Step::Hold(1, 5_000));
    go(&mut promises, &steps);
    let file = folder.path().join("promises.jsonl");
    let before = fs::read(&file).unwrap();
    // All but one are over by then.
    promises.forget_expired(Moment::from_unix(4_000, 0));
    assert!(fs::read(&file).unwrap().len() < before.len());
    assert_eq!(found(folder.path()).map(|found| found.len()), Some(1));
    // Before the new file took the place of the old one.
    fs::write(&file, before).unwrap();
    assert_eq!(found(folder.path()).map(|found| found.len()), Some(10));
}
