//! What needs the short patience that the crate has under its own tests: a database that somebody keeps.

use std::fs;
use std::path::Path;
use std::time::Duration;

use cleanup_core::moment::Moment;
use cleanup_core::report::{Report, Trigger};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, SqliteConnection};
use tokio::runtime::Runtime;

use crate::{ClockReading, State};

fn record(state: &mut State, id: &str) {
    let now = Moment::from_unix(2_000_000_000, 0);
    let reading = ClockReading { wall: now, boot: Duration::ZERO, running: Duration::ZERO, boot_id: "boot".to_owned() };
    let report = Report::new(id.to_owned(), Trigger::Manual, false, now, now, Vec::new());
    state.record_run(&report, &reading, true, Duration::from_hours(1), now);
}

fn ids(state: &mut State) -> Vec<String> {
    state.runs(9).into_iter().map(|run| run.id).collect()
}

/// Another program that keeps the database to itself until both are dropped.
fn keep_locked(folder: &Path) -> (SqliteConnection, Runtime) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let connection = runtime.block_on(async {
        let mut connection = SqliteConnectOptions::new().filename(folder.join("state.db")).connect().await.unwrap();
        sqlx::raw_sql("begin immediate").execute(&mut connection).await.unwrap();
        connection
    });
    (connection, runtime)
}

#[test]
fn a_database_that_is_locked_too_long_is_left_alone_for_this_run() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("state");
    let mut state = State::open(&folder, None).unwrap();
    record(&mut state, "1");
    let other = keep_locked(&folder);
    record(&mut state, "2");
    let notes = state.take_notes();
    assert!(notes.len() == 1 && notes[0].contains("keeps it locked"), "{notes:?}");
    // Whoever only reads is not kept out.
    assert_eq!(ids(&mut state), ["1"]);
    drop(other);
    record(&mut state, "3");
    assert_eq!(ids(&mut state), ["3", "1"]);
    assert_eq!(state.take_notes(), [""; 0]);
}

#[test]
fn after_one_failure_nothing_more_is_asked_in_that_run() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("state");
    let mut state = State::open(&folder, None).unwrap();
    record(&mut state, "1");
    let other = keep_locked(&folder);
    let mut observation = state.observe("temp");
    observation.note(b"a", true);
    assert_eq!(observation.finish(), None);
    drop(other);
    // Still the same run.
    assert_eq!(ids(&mut state), [""; 0]);
    record(&mut state, "2");
    assert_eq!(ids(&mut state), ["1"]);
    assert_eq!(state.take_notes().len(), 1);
}

#[test]
fn a_ruin_that_another_process_has_open_stays_where_it_is() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("state");
    let mut user = State::open(&folder, None).unwrap();
    record(&mut user, "1");
    let database = folder.join("state.db");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut connection = SqliteConnectOptions::new().filename(&database).connect().await.unwrap();
        sqlx::raw_sql("pragma user_version = 99").execute(&mut connection).await.unwrap();
    });
    let mut state = State::open(&folder, None).unwrap();
    record(&mut state, "2");
    let notes = state.take_notes();
    assert!(notes.iter().any(|note| note.contains("could not be set aside: another process is using it")), "{notes:?}");
    assert!(!folder.join("state.db.newer-1").exists());
    drop(user);
    record(&mut state, "3");
    assert_eq!(ids(&mut state), ["3"]);
    assert!(folder.join("state.db.newer-1").exists());
}

#[test]
fn a_stopped_process_that_keeps_the_promises_is_not_waited_for_for_ever() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("state");
    let mut state = State::open(&folder, None).unwrap();
    let guard = fs::File::create(folder.join("locks/promises.jsonl")).unwrap();
    guard.lock().unwrap();
    assert!(matches!(state.promises(), Err(crate::PromisesError::Busy { .. })));
    drop(guard);
    assert!(state.promises().is_ok());
}

#[test]
fn a_memory_may_be_dropped_on_a_thread_of_a_runtime() {
    let parent = tempfile::tempdir().unwrap();
    let mut state = State::open(&parent.path().join("state"), None).unwrap();
    record(&mut state, "1");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async move { drop(state) });
}

#[test]
fn a_memory_may_go_from_thread_to_thread() {
    fn is_send<T: Send>() {}
    is_send::<State>();
    is_send::<crate::Observation<'static>>();
}
