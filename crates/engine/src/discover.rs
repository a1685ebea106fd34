//! Finds the session tables of a database, for `init --from-env`.

use std::path::Path;

pub use cleanup_pg_sessions::{Discovery, Proposal};

use crate::run::sessions;

/// Why a database could not be looked at. Never quotes its URL.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    /// The runtime that a database needs cannot be started.
    #[error("cannot start the database client: {0}")]
    Runtime(#[from] std::io::Error),
    /// The URL is invalid, or the database is unreachable.
    #[error(transparent)]
    Database(#[from] cleanup_pg_sessions::DiscoverError),
}

/// Inspects the tables of a database without changing anything. `base` is the base folder of a relative SQLite file.
///
/// # Errors
/// The URL is invalid, or the database is unreachable.
pub fn session_tables(url: &str, base: &Path) -> Result<Discovery, DiscoverError> {
    Ok(sessions::block_on(cleanup_pg_sessions::discover(url, base))??)
}
