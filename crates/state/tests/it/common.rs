//! What the tests share: moments, readings, reports.

use std::path::PathBuf;
use std::time::Duration;

use cleanup_core::moment::Moment;
use cleanup_core::report::{PolicyKind, PolicyReport, Report, Tally, Trigger};
use cleanup_state::{ClockReading, State};
use tempfile::TempDir;

pub(crate) const HOUR: Duration = Duration::from_hours(1);
pub(crate) const MONTH: Duration = Duration::from_hours(720);

/// 2033-05-18 and some seconds: far from any real clock, so that nothing depends on one.
pub(crate) fn at(seconds: i64) -> Moment {
    Moment::from_unix(2_000_000_000 + seconds, 0)
}

pub(crate) fn reading(seconds: u64) -> ClockReading {
    ClockReading {
        wall: at(i64::try_from(seconds).unwrap()),
        boot: Duration::from_secs(seconds),
        running: Duration::from_secs(seconds),
        boot_id: "boot".to_owned(),
    }
}

pub(crate) fn report(id: &str, seconds: i64) -> Report {
    let mut tally = Tally::default();
    tally.counts.due = 3;
    tally.counts.removed = 2;
    tally.counts.bytes_freed = 4096;
    let policies = vec![PolicyReport::finished("temp", PolicyKind::Files, tally)];
    Report::new(id.to_owned(), Trigger::Manual, false, at(seconds), at(seconds + 1), policies)
}

/// Records a run that took place so many seconds after the beginning, under a trusted clock.
pub(crate) fn record(state: &mut State, id: &str, seconds: u64) {
    let now = i64::try_from(seconds).unwrap();
    state.record_run(&report(id, now), &reading(seconds), true, MONTH, at(now));
}

/// A folder that does not exist yet.
pub(crate) fn folder() -> (TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("state");
    (parent, folder)
}

/// The same in memory, where there is such a place: for tests that write thousands of files to see them read.
pub(crate) fn fast_folder() -> (TempDir, PathBuf) {
    let memory = std::path::Path::new("/dev/shm");
    let parent = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    let folder = parent.path().join("state");
    (parent, folder)
}

pub(crate) fn ids(state: &mut State) -> Vec<String> {
    state.runs(usize::MAX).into_iter().map(|run| run.id).collect()
}

/// Runs SQL on a database, past our own code.
pub(crate) fn sql(database: &std::path::Path, text: &'static str) {
    use sqlx::{ConnectOptions as _, Connection as _};
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(database).create_if_missing(true);
        let mut connection = options.connect().await.unwrap();
        sqlx::raw_sql(text).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    });
}
