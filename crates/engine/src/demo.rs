//! What a demonstration needs besides files: a small session database, to be swept like any other.

use std::path::Path;
use std::time::Duration;

use crate::{clock, rows};

pub use cleanup_pg_sessions::demo::DemoError;

/// Makes a SQLite file with the application's session table and a row for each id, idle for that long.
pub fn sessions(file: &Path, sessions: &[(&str, Duration)]) -> Result<(), DemoError> {
    rows::block_on(cleanup_pg_sessions::demo::create(file, sessions, clock::now()))
}
