//! Why promises cannot be trusted, read or made; each with the way out.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use cleanup_core::candidate::Escaped;

/// Promises that were given and are no longer in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    file: PathBuf,
    /// How many the file holds; `None` when it is gone.
    found: Option<usize>,
    /// How many there were when it was last written.
    remembered: usize,
}

impl Lost {
    /// What is lost with a file that is gone: nothing, where it held nothing.
    pub(super) fn gone(file: &Path, remembered: usize) -> Option<Self> {
        (remembered > 0).then(|| Self { file: file.to_owned(), found: None, remembered })
    }

    pub(super) fn shortened(file: &Path, found: usize, remembered: usize) -> Self {
        Self { file: file.to_owned(), found: Some(found), remembered }
    }
}

impl Lost {
    /// How many there were, at least one.
    pub(super) fn remembered(&self) -> usize {
        self.remembered.max(1)
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, found, remembered } = self;
        let file = file.display();
        match found {
            None => write!(f, "{file} is gone, and with it what it promised to keep ({remembered} when last written)")?,
            Some(found) => write!(
                f,
                "{file} was shortened or replaced: it promises to keep {found} paths, and {remembered} when last written"
            )?,
        }
        f.write_str(
            "; what was promised may be lost, so nothing is deleted: bring the file back from a backup, or accept the \
             loss by one run with --force",
        )
    }
}

/// Why the promises cannot be trusted or changed. Whoever deletes in spite of one may delete what was promised.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PromisesError {
    /// A line is not as it was written.
    #[error(
        "{}, line {line}: {why}; what it promised to keep is unknown, so nothing may be deleted: \
         bring the file back from a backup, or remove that line, make its hold anew and run once with --force", file.display()
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
