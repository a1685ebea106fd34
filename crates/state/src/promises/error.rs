//! Why promises cannot be trusted, read or made; each with the way out.

use std::io;
use std::path::PathBuf;

use cleanup_core::candidate::Escaped;

/// Why the promises cannot be trusted or changed. Whoever deletes in spite of one may delete what was promised.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PromisesError {
    /// A line is not as it was written.
    #[error(
        "{}, line {line}: {why}; what it promised to keep is unknown, so nothing may be deleted: \
         bring the file back from a backup, or remove that line and make its hold anew", file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A line is from a newer version.
    #[error(
        "{}, line {line}: written by a newer version of this program; what it promises is unknown, so nothing may be \
         deleted: use that version, or remove that line", file.display()
    )]
    Newer {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// Somebody else could have written it.
    #[error(
        "{}: {why}, so what it promises cannot be believed and nothing may be deleted: \
         look through it, then chown it to the user who runs this, chmod it to 600, or move it away", file.display()
    )]
    Untrusted {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// It cannot be read, so nobody knows what was promised.
    #[error("cannot read {}: {error}; what it promises to keep is unknown, so nothing may be deleted", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Another process keeps its guard.
    #[error("{} is being changed by another process that does not end; what it promises to keep is unknown", file.display())]
    Busy {
        /// The file.
        file: PathBuf,
    },
    /// The promise could not be written: it is not given.
    #[error("cannot write {}: {error}; nothing is promised", file.display())]
    Unwritable {
        /// The file.
        file: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Only absolute paths are held: a relative one means another file in every folder.
    #[error("cannot hold {:?}: not an absolute path", Escaped(path).to_string())]
    NotAbsolute {
        /// The path.
        path: Vec<u8>,
    },
}
