//! A full disk: nothing is promised that is not written, nothing that was promised is lost, cleaning goes on.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use cleanup_state::{PromisesError, State};

use crate::common::{at, ids, record};

/// A small file system of its own, unmounted at the end. `None` where this process may not mount, said aloud.
pub(crate) struct Small(tempfile::TempDir);

impl Small {
    pub(crate) fn new(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let options = format!("size={size},mode=0700");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder.path()).output();
        if !mounted.is_ok_and(|output| output.status.success()) {
            eprintln!("NOT TESTED: a full disk (a tmpfs may not be mounted here)");
            return None;
        }
        Some(Self(folder))
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.0.path().join("state")
    }

    /// Fills it to the last byte.
    pub(crate) fn fill(&self) -> Filling {
        let path = self.0.path().join("filling");
        let mut file = File::create(&path).unwrap();
        while file.write_all(&[1; 4096]).is_ok() {}
        Filling(path)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily: a child that another test is just starting may share one of our descriptors for a moment.
        let unmounted = Command::new("umount").arg("--lazy").arg(self.0.path()).output();
        assert!(unmounted.is_ok_and(|output| output.status.success()) || std::thread::panicking());
    }
}

pub(crate) struct Filling(PathBuf);

impl Drop for Filling {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn paths(folder: &Path) -> usize {
    State::look(folder, None).unwrap().promises().unwrap().holds(at(0)).count()
}

#[test]
fn a_full_disk_costs_the_memory_of_that_run() {
    let Some(disk) = Small::new("2m") else { return };
    let folder = disk.folder();
    record(&mut State::open(&folder, None).unwrap(), "1", 0);
    let filling = disk.fill();
    let mut state = State::open(&folder, None).unwrap();
    let mut said = Vec::new();
    for run in 0..20 {
        record(&mut state, &format!("full-{run}"), 1);
        said.extend(state.take_notes());
    }
    assert!(said.iter().any(|note| note.contains("no state is kept")), "{said:?}");
    assert!(!said.iter().any(|note| note.contains("set aside")), "{said:?}");
    drop(filling);
    record(&mut state, "room-again", 2);
    let ids = ids(&mut state);
    assert_eq!((ids.first().unwrap().as_str(), ids.last().unwrap().as_str()), ("room-again", "1"));
}

#[test]
fn a_disk_that_is_full_from_the_start_is_survived() {
    let Some(disk) = Small::new("1m") else { return };
    let folder = disk.folder();
    drop(State::open(&folder, None).unwrap());
    let filling = disk.fill();
    let mut state = State::open(&folder, None).unwrap();
    record(&mut state, "1", 0);
    assert_eq!(state.take_notes().len(), 1);
    // A disk is not to stay full because nobody can be asked what is held: nothing is.
    assert_eq!(state.promises().unwrap().holds(at(0)).count(), 0);
    drop(filling);
    record(&mut state, "2", 0);
    assert_eq!(ids(&mut state), ["2"]);
}

#[test]
fn a_witness_of_the_clock_that_never_had_room_is_not_lost() {
    let Some(disk) = Small::new("1m") else { return };
    let folder = disk.folder();
    drop(State::open(&folder, None).unwrap());
    let filling = disk.fill();
    let mut state = State::open(&folder, None).unwrap();
    state.witness_clock(&crate::common::reading(0));
    let _lock = state.lock("policy").unwrap();
    let mut next = State::open(&folder, None).unwrap();
    assert!(!next.is_new() && next.last_clock().is_none());
    assert!(!next.has_lost_clock(), "a full disk is to be swept");
    drop(filling);
    next.witness_clock(&crate::common::reading(0));
    std::fs::remove_file(folder.join("locks/clock")).unwrap();
    assert!(State::open(&folder, None).unwrap().has_lost_clock(), "one that was there is");
}

#[test]
fn a_promise_that_does_not_fit_is_not_given_and_costs_no_other() {
    let Some(disk) = Small::new("256k") else { return };
    let folder = disk.folder();
    let mut state = State::open(&folder, None).unwrap();
    let promises = state.promises().unwrap();
    promises.hold(b"/kept", at(9), at(0)).unwrap();
    let filling = disk.fill();
    // The page that the file ends in has room for some.
    let mut given = 1;
    let refused = loop {
        let path = format!("/{given}/{}", "x".repeat(300));
        match promises.hold(path.as_bytes(), at(9), at(0)) {
            Ok(()) => given += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, PromisesError::Unwritable { .. }), "{refused}");
    assert_eq!(paths(&folder), given);
    drop(filling);
    promises.hold(b"/new", at(9), at(0)).unwrap();
    assert_eq!(paths(&folder), given + 1);
    assert_eq!(state.take_notes(), [""; 0]);
}
