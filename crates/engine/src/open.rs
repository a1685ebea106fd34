//! Finds, trusts and opens the configuration.
//!
//! A file that the caller named is the caller's business. A file that was merely *found* must belong to root or to
//! the caller, and neither it nor its folder may be writable by everyone; otherwise `sudo cleanup` in a stranger's
//! folder would obey the stranger.

use std::path::PathBuf;

use cleanup_core::config::ConfigError;

/// Where a configuration came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Named by `--config` or `$CLEANUP_CONFIG`.
    Named(PathBuf),
    /// Found in one of the usual places.
    Found(PathBuf),
    /// The built-in default; its relative roots mean the current directory.
    BuiltIn,
}

/// Why there is no engine. Every one of these is a configuration error (exit code 78).
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path:?}: {error}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A found file that a stranger controls.
    #[error("found {path:?}, but {why}; whoever can write it decides what is deleted. To use it all the same, name it: --config {path:?}")]
    Untrusted {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The file's content.
    #[error(transparent)]
    Config(#[from] ConfigError),
}
