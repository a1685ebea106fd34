//! Locks: one holder, and none after his death.

use cleanup_state::{LockError, State};

use crate::child;
use crate::common::folder;

#[test]
fn a_policy_has_one_holder_and_other_policies_their_own() {
    let (_parent, folder) = folder();
    let state = State::open(&folder, None).unwrap();
    let lock = state.lock("temp").unwrap();
    assert!(matches!(state.lock("temp"), Err(LockError::Held { policy }) if policy == "temp"));
    let other = State::open(&folder, None).unwrap();
    assert!(matches!(other.lock("temp"), Err(LockError::Held { .. })));
    drop(other.lock("other-policy_2").unwrap());
    drop(lock);
    drop(other.lock("temp").unwrap());
    assert!(folder.join("locks/temp").exists(), "a lock's file is kept");
}

#[test]
fn a_lock_dies_with_its_process() {
    let (_parent, folder) = folder();
    let state = State::open(&folder, None).unwrap();
    for _ in 0..3 {
        let (mut holder, _lines) = child::start_and_wait(child::command(&folder, "hold-lock"), "LOCKED");
        assert!(matches!(state.lock("temp"), Err(LockError::Held { .. })));
        holder.kill().unwrap();
        holder.wait().unwrap();
        drop(state.lock("temp").unwrap());
    }
}

#[test]
fn a_name_that_could_leave_the_folder_is_no_policy() {
    let (parent, folder) = folder();
    let state = State::open(&folder, None).unwrap();
    for name in ["", "..", "../x", "a/b", "state.db", "A", "ä", "a\0"] {
        assert!(matches!(state.lock(name), Err(LockError::Io { .. })), "{name:?}");
    }
    assert_eq!(std::fs::read_dir(folder.join("locks")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 1);
}

#[test]
fn a_link_in_the_place_of_a_lock_is_not_followed() {
    let (parent, folder) = folder();
    let state = State::open(&folder, None).unwrap();
    std::os::unix::fs::symlink(parent.path().join("victim"), folder.join("locks/temp")).unwrap();
    assert!(matches!(state.lock("temp"), Err(LockError::Io { .. })));
    assert!(!parent.path().join("victim").exists());
}

#[test]
fn what_is_no_regular_file_is_no_lock_and_nobody_waits_for_it() {
    let (_parent, folder) = folder();
    let state = State::open(&folder, None).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, folder.join("locks/temp"), rustix::fs::Mode::RWXU).unwrap();
    let Err(LockError::Io { error, .. }) = state.lock("temp") else { panic!("a FIFO was locked") };
    assert!(error.to_string().contains("not a regular file"), "{error}");
}

#[test]
fn whoever_only_looks_locks_nothing() {
    let (_parent, folder) = folder();
    let state = State::look(&folder, None).unwrap();
    assert!(matches!(state.lock("temp"), Err(LockError::Io { .. })));
    assert!(!folder.exists());
}
