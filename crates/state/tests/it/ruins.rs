//! The ledger on bad days: whatever is found in its place, cleaning goes on and the next run remembers again.

use std::fs;
use std::path::{Path, PathBuf};

use cleanup_state::State;

use crate::child;
use crate::common::{fast_folder, folder, ids, record, sql};

/// A database with some of everything in it, as bytes.
fn sample() -> Vec<u8> {
    let (_parent, folder) = folder();
    let mut state = State::open(&folder, None).unwrap();
    for run in 0..40_u64 {
        record(&mut state, &format!("{run:02}"), run * 3600);
    }
    let mut observation = state.observe("temp");
    for number in 0..100 {
        observation.note(format!("file-{number}").as_bytes(), number % 2 == 0);
    }
    observation.finish();
    drop(state);
    fs::read(folder.join("state.db")).unwrap()
}

/// Uses everything of a database that may be a ruin, and demands that, at the latest, the run after the next one is
/// remembered, and that whatever was lost was said.
fn survive(folder: &Path, what: &str) {
    let mut state = State::open(folder, None).unwrap();
    let before = ids(&mut state).len();
    state.last_clock();
    state.clock_readings(crate::common::at(0));
    state.policy_memory("temp");
    let _ = state.run("39");
    let mut observation = state.observe("temp");
    observation.note(b"file-1", true);
    observation.finish();
    record(&mut state, "new", 200_000);
    let found = ids(&mut state);
    let notes = state.take_notes();
    assert!(found.contains(&"new".to_owned()), "{what}: {found:?} {notes:?}");
    // A flip may hide a row in silence; that nothing is left must be said.
    assert!(before > 0 || !notes.is_empty(), "{what}: lost without a word");
    drop(state);
    let mut state = State::open(folder, None).unwrap();
    record(&mut state, "newer", 200_001);
    assert_eq!(ids(&mut state)[0], "newer", "{what}: {:?}", state.take_notes());
}

/// A folder with that database, as if it had always been there.
fn folder_with(database: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let (parent, folder) = fast_folder();
    drop(State::open(&folder, None).unwrap());
    fs::write(folder.join("locks/state.db"), "1\n").unwrap();
    fs::write(folder.join("state.db"), database).unwrap();
    (parent, folder)
}

/// The files in the folder whose names begin so.
fn named(folder: &Path, start: &str) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.starts_with(start)).collect();
    names.sort();
    names
}

#[test]
fn a_missing_database_is_made_anew_and_reported() {
    let (_parent, folder) = folder_with(&sample());
    fs::remove_file(folder.join("state.db")).unwrap();
    let mut state = State::open(&folder, None).unwrap();
    record(&mut state, "1", 0);
    assert_eq!(ids(&mut state), ["1"]);
    let notes = state.take_notes();
    assert!(notes.len() == 1 && notes[0].contains("is gone"), "{notes:?}");
}

#[test]
fn a_truncated_database_costs_the_history_alone() {
    let sample = sample();
    for length in (0..sample.len()).step_by(1021) {
        let (_parent, folder) = folder_with(&sample[..length]);
        survive(&folder, &format!("cut to {length}"));
    }
}

#[test]
fn a_flipped_bit_costs_the_history_at_most() {
    let sample = sample();
    // All of the header, and a sample of the rest.
    for offset in (0..100).chain((100..sample.len()).step_by(211)) {
        let mut flipped = sample.clone();
        flipped[offset] ^= 1 << (offset % 8);
        let (_parent, folder) = folder_with(&flipped);
        survive(&folder, &format!("bit flipped at {offset}"));
    }
}

#[test]
fn overwritten_pages_cost_the_history_at_most() {
    let sample = sample();
    for (page, byte) in (0..sample.len() / 4096).zip([0, 0xff, 0x0d, 0x05].into_iter().cycle()) {
        let mut ruin = sample.clone();
        ruin[page * 4096..][..4096].fill(byte);
        let (_parent, folder) = folder_with(&ruin);
        survive(&folder, &format!("page {page} full of {byte}"));
    }
}

#[test]
fn what_is_no_database_is_set_aside_whole() {
    let (_parent, folder) = folder_with(b"Dear diary, today I was a state database.");
    let mut state = State::open(&folder, None).unwrap();
    record(&mut state, "1", 0);
    assert_eq!(ids(&mut state), ["1"]);
    let notes = state.take_notes();
    assert!(notes.len() == 1 && notes[0].contains("state.db.broken-1"), "{notes:?}");
    assert!(fs::read_to_string(folder.join("state.db.broken-1")).unwrap().starts_with("Dear diary"));
}

#[test]
fn a_database_of_a_newer_version_is_set_aside_and_never_thrown_away() {
    let (_parent, folder) = folder_with(&sample());
    for round in 1..=5 {
        sql(&folder.join("state.db"), "pragma user_version = 99");
        let mut state = State::open(&folder, None).unwrap();
        record(&mut state, "1", 0);
        assert_eq!(ids(&mut state), ["1"]);
        let notes = state.take_notes();
        assert!(notes.len() == 1 && notes[0].contains("newer version"), "{notes:?}");
        assert_eq!(named(&folder, "state.db.newer-").len(), round);
    }
}

#[test]
fn only_the_last_three_broken_ones_are_kept() {
    let (_parent, folder) = folder_with(&sample());
    for _ in 0..12 {
        fs::write(folder.join("state.db"), "broken").unwrap();
        record(&mut State::open(&folder, None).unwrap(), "1", 0);
    }
    assert_eq!(named(&folder, "state.db.broken-"), ["state.db.broken-10", "state.db.broken-11", "state.db.broken-12"]);
}

#[test]
fn the_log_goes_aside_with_its_database() {
    let (_parent, folder) = folder();
    record(&mut State::open(&folder, None).unwrap(), "1", 0);
    let _ = child::command(&folder, "record-and-die 2").output().unwrap();
    assert!(folder.join("state.db-wal").metadata().unwrap().len() > 0);
    sql_leaving_the_log(&folder);
    let mut state = State::open(&folder, None).unwrap();
    record(&mut state, "3", 0);
    assert_eq!(ids(&mut state), ["3"]);
    assert_eq!(
        named(&folder, "state.db.broken-"),
        ["state.db.broken-1", "state.db.broken-1-shm", "state.db.broken-1-wal"]
    );
}

/// Breaks the database and leaves its log alone.
fn sql_leaving_the_log(folder: &Path) {
    let mut bytes = fs::read(folder.join("state.db")).unwrap();
    bytes[..16].copy_from_slice(b"no SQLite format");
    fs::write(folder.join("state.db"), bytes).unwrap();
}

#[test]
fn the_database_of_another_program_is_left_alone() {
    let (parent, folder) = folder();
    let theirs = parent.path().join("app.db");
    sql(&theirs, "create table users (name text); insert into users values ('x')");
    let before = fs::read(&theirs).unwrap();
    let mut state = State::open(&folder, Some(&theirs)).unwrap();
    record(&mut state, "1", 0);
    assert_eq!(ids(&mut state), [""; 0]);
    let notes = state.take_notes();
    assert!(notes.len() == 1 && notes[0].contains("another program"), "{notes:?}");
    drop(state);
    assert_eq!(fs::read(&theirs).unwrap(), before);
    assert_eq!(named(parent.path(), "app.db"), ["app.db", "app.db.lock"]);
}

#[test]
fn a_file_that_was_named_by_mistake_is_left_alone() {
    let (parent, folder) = folder();
    let theirs = parent.path().join("cleanup.toml");
    fs::write(&theirs, "[files.temp]\n").unwrap();
    let mut state = State::open(&folder, Some(&theirs)).unwrap();
    record(&mut state, "1", 0);
    let notes = state.take_notes();
    assert!(notes.len() == 1 && notes[0].contains("no state is kept"), "{notes:?}");
    assert_eq!(fs::read_to_string(&theirs).unwrap(), "[files.temp]\n");
}

#[test]
fn a_broken_database_elsewhere_is_set_aside_there() {
    let (parent, folder) = folder();
    let elsewhere = parent.path().join("other.db");
    let mut broken = sample();
    broken[4096..].fill(7);
    fs::write(&elsewhere, broken).unwrap();
    let mut state = State::open(&folder, Some(&elsewhere)).unwrap();
    record(&mut state, "1", 0);
    assert_eq!(ids(&mut state), ["1"]);
    assert_eq!(state.take_notes().len(), 1);
    assert_eq!(named(parent.path(), "other.db.broken"), ["other.db.broken-1"]);
}

#[test]
fn a_database_in_a_folder_that_everyone_may_write_is_not_believed() {
    use std::os::unix::fs::PermissionsExt as _;
    let (parent, folder) = folder();
    let open = parent.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o1777)).unwrap();
    fs::write(open.join("state.db"), sample()).unwrap();
    let mut state = State::open(&folder, Some(&open.join("state.db"))).unwrap();
    record(&mut state, "1", 0);
    assert_eq!(ids(&mut state), [""; 0]);
    assert_eq!(state.take_notes().len(), 1);
}

#[test]
fn a_folder_or_a_link_in_the_place_of_the_database_is_left_alone() {
    let (parent, folder) = folder_with(b"");
    let database = folder.join("state.db");
    fs::remove_file(&database).unwrap();
    fs::create_dir(&database).unwrap();
    let refused = || {
        let mut state = State::open(&folder, None).unwrap();
        record(&mut state, "1", 0);
        let notes = state.take_notes();
        assert!(notes.len() == 1 && notes[0].contains("not a regular file"), "{notes:?}");
    };
    refused();
    fs::remove_dir(&database).unwrap();
    std::os::unix::fs::symlink(parent.path().join("victim"), &database).unwrap();
    refused();
    assert!(!parent.path().join("victim").exists());
}

#[test]
fn many_processes_at_once_on_a_new_folder_are_all_remembered() {
    let (_parent, folder) = folder();
    let children: Vec<_> = (0..6).map(|n| child::command(&folder, &format!("record {n}")).spawn().unwrap()).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(ids(&mut State::look(&folder, None).unwrap()).len(), 6);
}

#[test]
fn many_threads_at_once_on_a_ruin_set_it_aside_once() {
    let (_parent, folder) = folder_with(b"a ruin");
    std::thread::scope(|scope| {
        for n in 0..6 {
            let folder = &folder;
            scope.spawn(move || record(&mut State::open(folder, None).unwrap(), &n.to_string(), n));
        }
    });
    let mut state = State::open(&folder, None).unwrap();
    assert_eq!(ids(&mut state).len(), 6, "{:?}", state.take_notes());
    assert_eq!(named(&folder, "state.db.broken-"), ["state.db.broken-1"]);
}
