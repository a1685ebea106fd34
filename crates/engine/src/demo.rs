//! A small session database for demonstrations.

use std::path::Path;
use std::time::Duration;

use crate::clock;
use crate::run::sessions;

/// Why there is no database to show.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The runtime that a database needs cannot be started.
    #[error("cannot start the database client: {0}")]
    Runtime(#[from] std::io::Error),
    /// The database cannot be created.
    #[error(transparent)]
    Database(#[from] cleanup_pg_sessions::demo::DemoError),
}

/// Creates a SQLite file with the application's session table and a row for each id, idle for that long.
pub fn sessions(file: &Path, sessions: &[(&str, Duration)]) -> Result<(), DemoError> {
    Ok(sessions::block_on(cleanup_pg_sessions::demo::create(file, sessions, clock::now()))??)
}
