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
            None => write!(f, "{file} is gone, and with it its promises ({remembered} when last written)")?,
            Some(found) => write!(
                f,
                "{file} was truncated or replaced: it contains {found} promises, and {remembered} when last written"
            )?,
        }
        f.write_str(
            "; promises may be lost, so nothing is deleted: restore the file from a backup, or run once with --force \
             to accept the loss",
        )
    }
}

/// Why the promises cannot be trusted or changed. Whoever deletes in spite of one may delete what was promised.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PromisesError {
    /// A line is not as it was written.
    #[error(
        "{}, line {line}: {why}; its promises are unknown, so nothing is deleted: restore the file from a backup, or \
         remove that line, hold the path again and run once with --force", file.display()
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
        "{}, line {line}: written by a newer version of this program; its promises are unknown, so nothing is \
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
        "{}: {why}, so its promises cannot be trusted and nothing is deleted: review it, then chown it to the user \
         who runs this, chmod it to 600, or move it away", file.display()
    )]
    Untrusted {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// It cannot be read, so nobody knows what was promised.
    #[error("cannot read {}: {error}; its promises are unknown, so nothing is deleted", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Another process keeps its guard.
    #[error("{} is being changed by another process that does not finish; its promises are unknown", file.display())]
    Busy {
        /// The file.
        file: PathBuf,
    },
    /// The promise could not be written: it is not given.
    #[error("cannot write {}: {error}; the hold was not saved", file.display())]
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
