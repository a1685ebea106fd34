//! The folder: made for its owner alone, refused when a stranger controls it.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown, lchown, symlink};

use cleanup_state::{State, StateError};

use crate::child::{self, STRANGER};
use crate::common::{at, folder, reading, record};

/// Whether this user may give files away; said aloud where he may not.
fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("NOT TESTED: folders of other users (only root can make one)");
    }
    root
}

#[test]
fn everything_is_made_for_the_owner_alone() {
    let (parent, _) = folder();
    let folder = parent.path().join("a/b");
    let mut state = State::open(&folder, None).unwrap();
    record(&mut state, "1", 0);
    state.promises().unwrap().hold(b"/a", at(9), at(0)).unwrap();
    let mode = |name: &str| folder.join(name).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(""), mode("locks")), (0o700, 0o700));
    for file in ["state.db", "state.db-wal", "promises.jsonl", "locks/state.db", "locks/promises.jsonl"] {
        assert_eq!(mode(file), 0o600, "{file}");
    }
}

#[test]
fn a_folder_that_everyone_may_write_is_refused() {
    let (_parent, folder) = folder();
    fs::create_dir(&folder).unwrap();
    // With the sticky bit too: a stranger could still put files into it.
    for mode in [0o777, 0o1777, 0o702] {
        fs::set_permissions(&folder, Permissions::from_mode(mode)).unwrap();
        assert!(matches!(State::open(&folder, None), Err(StateError::WorldWritable { .. })), "{mode:o}");
        assert!(matches!(State::look(&folder, None), Err(StateError::WorldWritable { .. })), "{mode:o}");
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
}

#[test]
fn a_strangers_folder_is_refused() {
    let (parent, folder) = folder();
    if !is_root() {
        return;
    }
    fs::create_dir(&folder).unwrap();
    chown(&folder, Some(STRANGER), None).unwrap();
    assert!(matches!(State::open(&folder, None), Err(StateError::Stranger { uid: STRANGER, .. })));
    assert!(matches!(State::look(&folder, None), Err(StateError::Stranger { uid: STRANGER, .. })));

    let own = parent.path().join("own");
    fs::create_dir(&own).unwrap();
    let link = parent.path().join("link");
    symlink(&own, &link).unwrap();
    State::open(&link, None).unwrap();
    lchown(&link, Some(STRANGER), None).unwrap();
    assert!(matches!(State::open(&link, None), Err(StateError::Stranger { uid: STRANGER, .. })));
}

#[test]
fn a_folder_that_may_not_be_written_is_refused() {
    let (parent, folder) = folder();
    fs::set_permissions(parent.path(), Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(&folder).unwrap();
    for place in [folder.clone(), parent.path().join("missing")] {
        if let Some(command) = child::command_as_stranger(parent.path(), &place, "open") {
            let said = child::output(command);
            assert!(said.contains("REFUSED cannot use the state folder"), "{said}");
        }
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
}

#[test]
fn something_else_in_its_place_is_refused() {
    let (_parent, folder) = folder();
    fs::write(&folder, "").unwrap();
    assert!(matches!(State::open(&folder, None), Err(StateError::NotAFolder { .. })));
    assert!(matches!(State::look(&folder, None), Err(StateError::NotAFolder { .. })));
}

#[test]
fn a_folder_that_was_emptied_is_new_again() {
    let (_parent, folder) = folder();
    assert!(State::open(&folder, None).unwrap().is_new());
    // A process that is killed when it has just made the folder leaves no memory.
    let mut state = State::open(&folder, None).unwrap();
    assert!(state.is_new());
    state.witness_clock(&reading(0));
    assert!(!State::open(&folder, None).unwrap().is_new());
    fs::remove_dir_all(folder.join("locks")).unwrap();
    assert!(State::open(&folder, None).unwrap().is_new());
}
