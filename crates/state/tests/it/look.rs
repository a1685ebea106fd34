//! Looking: sees what is there, also behind a log that a crash left, and changes nothing.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use cleanup_state::State;

use crate::child;
use crate::common::{at, folder, ids, record, sql};

/// The folder's files and their content. The shared memory is SQLite's scratch paper: it holds nothing.
fn content(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().chain(fs::read_dir(folder.join("locks")).unwrap()) {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let text = if name.ends_with("-shm") || name == "locks" { Vec::new() } else { fs::read(entry.path()).unwrap() };
        files.insert(name, text);
    }
    files
}

fn with_memory(folder: &Path) {
    let mut state = State::open(folder, None).unwrap();
    record(&mut state, "1", 0);
    state.promises().unwrap().hold(b"/a", at(9), at(0)).unwrap();
}

#[test]
fn a_missing_folder_is_an_empty_memory_and_stays_missing() {
    let (_parent, folder) = folder();
    let mut state = State::look(&folder, None).unwrap();
    assert_eq!(state.runs(9), []);
    assert_eq!(state.last_clock(), None);
    assert_eq!(state.policy_memory("temp"), None);
    assert_eq!(state.run("0").unwrap(), None);
    assert_eq!(state.promises().unwrap().holds(at(0)).count(), 0);
    record(&mut state, "1", 0);
    let mut observation = state.observe("temp");
    observation.note(b"a", true);
    assert_eq!(observation.finish(), None);
    assert!(state.promises().unwrap().hold(b"/a", at(9), at(0)).is_err());
    assert_eq!(state.take_notes(), [""; 0]);
    assert!(!folder.exists());
}

#[test]
fn a_look_sees_everything_and_changes_nothing() {
    let (_parent, folder) = folder();
    with_memory(&folder);
    let before = content(&folder);
    let mut state = State::look(&folder, None).unwrap();
    assert_eq!(ids(&mut state), ["1"]);
    assert_eq!(state.promises().unwrap().holds(at(0)).count(), 1);
    record(&mut state, "2", 0);
    assert!(state.promises().unwrap().release(b"/a", at(0)).is_err());
    assert_eq!(ids(&mut state), ["1"]);
    drop(state);
    assert_eq!(content(&folder), before);
}

#[test]
fn a_look_sees_what_others_write_meanwhile() {
    let (_parent, folder) = folder();
    with_memory(&folder);
    let mut looking = State::look(&folder, None).unwrap();
    assert_eq!(ids(&mut looking), ["1"]);
    let mut writing = State::open(&folder, None).unwrap();
    record(&mut writing, "2", 1);
    writing.promises().unwrap().hold(b"/b", at(9), at(0)).unwrap();
    assert_eq!(ids(&mut looking), ["2", "1"]);
    assert_eq!(looking.promises().unwrap().holds(at(0)).count(), 2);
    drop(writing);
    assert_eq!(ids(&mut looking), ["2", "1"]);
}

#[test]
fn a_look_reads_through_the_log_that_a_killed_process_left() {
    let (_parent, folder) = folder();
    with_memory(&folder);
    let status = child::command(&folder, "record-and-die 2").output().unwrap().status;
    assert!(!status.success());
    let before = content(&folder);
    assert!(!before["state.db-wal"].is_empty(), "nothing was left behind, so nothing is tested");
    let mut state = State::look(&folder, None).unwrap();
    assert_eq!(ids(&mut state), ["2", "1"]);
    assert_eq!(state.take_notes(), [""; 0]);
    drop(state);
    assert_eq!(content(&folder), before);

    let mut state = State::open(&folder, None).unwrap();
    assert_eq!(ids(&mut state), ["2", "1"]);
    assert_eq!(state.take_notes(), [""; 0]);
}

#[test]
fn a_look_needs_no_right_to_write() {
    let (parent, folder) = folder();
    fs::set_permissions(parent.path(), Permissions::from_mode(0o755)).unwrap();
    with_memory(&folder);
    let look = || Some(child::output(child::command_as_stranger(parent.path(), &folder, "look")?));
    let open_up = || {
        for (name, _) in content(&folder) {
            let path = [folder.join(&name), folder.join("locks").join(&name)].into_iter().find(|path| path.exists());
            let path = path.unwrap();
            let mode = if path.is_dir() { 0o755 } else { 0o644 };
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
    };
    open_up();
    let before = content(&folder);
    let Some(said) = look() else { return };
    assert!(said.contains("RUNS 1\nHELD 1\nNOTES \n"), "{said}");
    assert_eq!(content(&folder), before);

    let _ = child::command(&folder, "record-and-die 2").output().unwrap();
    open_up();
    let before = content(&folder);
    assert!(before.contains_key("state.db-wal"));
    let said = look().unwrap();
    assert!(said.contains("RUNS 2 1\nHELD 1\nNOTES \n"), "{said}");
    assert_eq!(content(&folder), before);
}

#[test]
fn a_look_at_a_ruin_says_so_and_leaves_it() {
    let (_parent, folder) = folder();
    with_memory(&folder);
    let database = folder.join("state.db");
    for (ruin, word) in [("pragma user_version = 99", "newer"), ("pragma application_id = 7", "broken")] {
        sql(&database, ruin);
        let before = content(&folder);
        let mut state = State::look(&folder, None).unwrap();
        assert_eq!(ids(&mut state), [""; 0]);
        let notes = state.take_notes();
        assert!(notes.len() == 1 && notes[0].contains(word), "{notes:?}");
        assert_eq!(content(&folder), before);
        sql(&database, "pragma user_version = 1");
    }
}
