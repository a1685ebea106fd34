//! The session tables of a database that no configuration names yet: for `init --from-env`.

use std::path::Path;

pub use cleanup_pg_sessions::{Discovery, Proposal};

use crate::run::sessions;

/// Why a database could not be looked at. Never quotes its URL.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    /// The runtime that a database needs cannot be started.
    #[error("cannot begin to ask a database: {0}")]
    Runtime(#[from] std::io::Error),
    /// The URL cannot be read, or the database does not answer.
    #[error(transparent)]
    Database(#[from] cleanup_pg_sessions::DiscoverError),
}

/// Looks at the tables of the database that a URL leads to, and changes nothing. `base` is the folder that a relative
/// SQLite file is relative to.
///
/// # Errors
/// The URL cannot be read, or the database does not answer.
pub fn session_tables(url: &str, base: &Path) -> Result<Discovery, DiscoverError> {
    Ok(sessions::block_on(cleanup_pg_sessions::discover(url, base))??)
}
