//! What the service remembers: last runs, and files that were registered later than their stamps tell.

use cleanup_core::moment::Moment;
use cleanup_core::report::{PolicyStatus, Trigger};
use cleanup_state::{LastRun, State, TrackedChange};

use crate::common::{MONTH, at, folder, reading, record, report};

#[test]
fn the_last_run_and_the_last_success_of_a_policy_are_known() {
    let (_parent, folder) = folder();
    let mut state = State::open(&folder, None).unwrap();
    assert!(state.last_runs().is_empty());
    record(&mut state, "01A", 0);
    let mut failed = report("01B", 10);
    failed.policies[0].status = PolicyStatus::Held;
    state.record_run(&failed, &reading(10), true, MONTH, at(10));
    let mut by_deadline = report("01C", 20);
    by_deadline.trigger = Trigger::Deadline;
    state.record_run(&by_deadline, &reading(20), true, MONTH, at(20));

    let mut state = State::look(&folder, None).unwrap();
    let last = LastRun { policy: "temp".to_owned(), started_at: at(10), succeeded_at: Some(at(1)) };
    assert_eq!(state.last_runs(), [last]);
}

#[test]
fn tracked_files_are_remembered_all_or_none() {
    let (_parent, folder) = folder();
    let mut state = State::open(&folder, None).unwrap();
    let change = |path: &[u8], at: Option<Moment>| TrackedChange {
        policy: "temp".to_owned(),
        path: path.to_owned(),
        registered_at: at,
    };
    assert!(state.remember_tracked(&[change(b"a", Some(at(1))), change(b"\xff/b", Some(at(2)))]));
    assert!(state.remember_tracked(&[change(b"a", None), change(b"unknown", None)]));
    state.rest();
    assert_eq!(state.tracked("temp"), [(b"\xff/b".to_vec(), at(2))]);
    assert!(state.tracked("other").is_empty());

    let mut looking = State::look(&folder, None).unwrap();
    assert!(!looking.remember_tracked(&[change(b"c", Some(at(3)))]), "whoever looks remembers nothing");
    assert_eq!(looking.tracked("temp").len(), 1);
}
