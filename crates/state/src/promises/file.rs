//! The files: guarded, appended to, repaired and replaced so that a crash at any point loses no promise.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::error::PromisesError;
use super::line::{Flaw, FlawKind, Repair};
use crate::folder;
use crate::lock::{Share, guard};

/// Two numbers of twenty digits, a space and a newline.
const GUARD_BYTES: usize = 42;

/// What is there, in what changes when a file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// No file.
    Missing,
    /// Device and inode, size, `mtime` and `ctime` with their nanoseconds.
    File { identity: (u64, u64), size: u64, modified: (i64, i64), changed: (i64, i64) },
}

impl From<&Metadata> for Found {
    fn from(file: &Metadata) -> Self {
        Self::File {
            identity: (file.dev(), file.ino()),
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }
}

/// The paths.
#[derive(Debug)]
pub(super) struct Files {
    folder: PathBuf,
    promises: PathBuf,
    /// Left behind by a crash while compacting, and then overwritten by the next.
    new: PathBuf,
    guard: PathBuf,
}

/// Whoever has it may change the file. It also remembers what was promised when the file was last written.
#[derive(Debug)]
pub(super) struct Guard(File);

/// What a guard remembers of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Remembered {
    /// How many promises were in force.
    pub(super) count: usize,
    /// The number of the last line; `None` where an earlier version wrote, which knew no numbers.
    pub(super) sequence: Option<u64>,
}

/// Why a guard could not remember.
#[derive(Debug)]
pub(super) struct NotRemembered {
    pub(super) error: io::Error,
    /// Whether it may know all the same.
    may_know: bool,
}

impl Guard {
    /// Nothing when it was never written. What is there and says nothing may have said anything, so that is an error.
    pub(super) fn remembered(&self, files: &Files) -> Result<Remembered, PromisesError> {
        let mut text = [0; GUARD_BYTES];
        let unreadable = |error| PromisesError::Unreadable { file: files.guard.clone(), error };
        let length = self.0.read_at(&mut text, 0).map_err(unreadable)?;
        // A crash may leave room for the first line, and nothing in it.
        let text = text[..length].trim_ascii();
        if text.iter().all(|byte| *byte == 0) {
            return Ok(Remembered::default());
        }
        let damaged = || PromisesError::Damaged { file: files.guard.clone(), line: 1, why: "not a number of promises" };
        let mut numbers = std::str::from_utf8(text).map_err(|_| damaged())?.split_whitespace();
        let count = numbers.next().and_then(|text| text.parse().ok()).ok_or_else(damaged)?;
        let sequence = numbers.next().map(|text| text.parse().map_err(|_| damaged())).transpose()?;
        Ok(Remembered { count, sequence })
    }

    /// Waits until it is on the disk. Only after that is a promise given: one that a crash takes from the file before it
    /// is remembered here was promised to nobody. What could not be synced is taken back, as far as that is possible:
    /// the guard must not know of a line that its writer takes away again.
    pub(super) fn remember(&self, count: usize, sequence: u64) -> Result<(), NotRemembered> {
        let mut before = [0; GUARD_BYTES];
        let read = self.0.read_at(&mut before, 0);
        // Of one width and within one sector, so that no crash leaves half of it, and a full disk has room for it.
        let text = format!("{count:020} {sequence:020}\n");
        let written = self.0.write_all_at(text.as_bytes(), 0).and_then(|()| sync(&self.0));
        written.map_err(|error| {
            let put_back = read.and_then(|length| {
                self.0.write_all_at(&before[..length], 0)?;
                self.0.set_len(u64::try_from(length).unwrap_or(u64::MAX))
            });
            NotRemembered { error, may_know: put_back.is_err() }
        })
    }
}

fn sync(file: &File) -> io::Result<()> {
    #[cfg(test)]
    if failing::SYNC.get() {
        return Err(io::Error::other("this test's disk is broken"));
    }
    file.sync_data()
}

/// What a test has fail.
#[cfg(test)]
mod failing {
    use std::cell::Cell;

    thread_local! {
        pub(super) static SYNC: Cell<bool> = const { Cell::new(false) };
    }
}

impl Files {
    pub(super) fn new(folder: &Path) -> Self {
        let promises = folder.join("promises.jsonl");
        let new = folder.join("promises.jsonl.new");
        let guard = folder::locks(folder).join("promises.jsonl");
        Self { folder: folder.to_owned(), promises, new, guard }
    }

    pub(super) fn promises(&self) -> &Path {
        &self.promises
    }

    pub(super) fn guard(&self) -> Result<Guard, PromisesError> {
        let (file, _) = folder::open_or_create(&self.guard).map_err(|error| self.unreadable(error))?;
        guard(&file, Share::Alone).map_err(|error| self.busy(error))?;
        Ok(Guard(file))
    }

    /// The guard to look under, where there is one that may be opened; without one nobody appends.
    pub(super) fn guard_to_look(&self) -> Result<Option<Guard>, PromisesError> {
        let Ok(file) = OpenOptions::new().read(true).custom_flags(folder::no_follow()).open(&self.guard) else {
            return Ok(None);
        };
        guard(&file, Share::Shared).map_err(|error| self.busy(error))?;
        Ok(Some(Guard(file)))
    }

    /// What is there now, unread.
    pub(super) fn look(&self) -> Result<Found, PromisesError> {
        match self.promises.symlink_metadata() {
            Ok(metadata) => Ok((&metadata).into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Missing),
            Err(error) => Err(self.unreadable(error)),
        }
    }

    /// The file to read, if there is one and its owner may be believed.
    pub(super) fn open(&self) -> Result<Option<(File, Found)>, PromisesError> {
        let untrusted = |why| PromisesError::Untrusted { file: self.promises.clone(), why };
        let opened = OpenOptions::new().read(true).custom_flags(folder::no_follow()).open(&self.promises);
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(_) if self.promises.is_symlink() => return Err(untrusted("it is a symbolic link".to_owned())),
            Err(error) => return Err(self.unreadable(error)),
        };
        let metadata = file.metadata().map_err(|error| self.unreadable(error))?;
        if !metadata.is_file() {
            return Err(untrusted("it is not a regular file".to_owned()));
        }
        if let Some(uid) = folder::stranger(&metadata) {
            return Err(untrusted(format!("it belongs to another user (uid {uid})")));
        }
        if metadata.mode() & 0o002 != 0 {
            return Err(untrusted("everyone can write to it".to_owned()));
        }
        Ok(Some((file, (&metadata).into())))
    }

    /// Adds lines and waits until they are on the disk, then has them remembered. What cannot be written whole, or not be
    /// remembered, is taken back; unless the guard may know of it, because then a promise would seem to be lost.
    pub(super) fn append(
        &self,
        lines: &[u8],
        remember: impl FnOnce() -> Result<(), NotRemembered>,
    ) -> Result<(), PromisesError> {
        let append = || {
            let (file, created) = folder::open_or_create(&self.promises)?;
            let length = file.metadata()?.len();
            let written = file
                .write_all_at(lines, length)
                .and_then(|()| file.sync_all())
                .and_then(|()| if created { folder::sync(&self.folder) } else { Ok(()) });
            let written = written.map_err(|error| NotRemembered { error, may_know: false }).and_then(|()| remember());
            if let Err(NotRemembered { may_know: false, .. }) = written {
                // Should this fail too, the next reader finds a torn line and cuts it off, or a promise too many.
                let _ = file.set_len(length);
            }
            written.map_err(|NotRemembered { error, .. }| error)
        };
        append().map_err(|error| self.unwritable(error))
    }

    pub(super) fn repair(&self, repair: &Repair) -> Result<(), PromisesError> {
        let repair = || {
            let (file, _) = folder::open_or_create(&self.promises)?;
            match *repair {
                Repair::Cut { length, .. } => file.set_len(length)?,
                Repair::End { length, .. } => {
                    file.set_len(length)?;
                    file.write_all_at(b"\n", length)?;
                }
            }
            file.sync_all()
        };
        repair().map_err(|error| self.unwritable(error))
    }

    /// Puts a new file in the place of the old one: at every moment one of them is there, whole.
    pub(super) fn replace(&self, content: &[u8]) -> io::Result<Found> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600).custom_flags(folder::no_follow());
        let mut file = options.open(&self.new)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("promises.jsonl.new is not a regular file"));
        }
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&self.new, &self.promises)?;
        folder::sync(&self.folder)?;
        Ok((&self.promises.symlink_metadata()?).into())
    }

    pub(super) fn untrusted(&self, Flaw { line, kind }: Flaw) -> PromisesError {
        let file = self.promises.clone();
        match kind {
            FlawKind::Damaged(why) => PromisesError::Damaged { file, line, why },
            FlawKind::Newer => PromisesError::Newer { file, line },
        }
    }

    pub(super) fn unwritable(&self, error: io::Error) -> PromisesError {
        PromisesError::Unwritable { file: self.promises.clone(), error }
    }

    pub(super) fn unreadable(&self, error: io::Error) -> PromisesError {
        PromisesError::Unreadable { file: self.promises.clone(), error }
    }

    fn busy(&self, error: io::Error) -> PromisesError {
        match error.kind() {
            io::ErrorKind::WouldBlock => PromisesError::Busy { file: self.promises.clone() },
            _ => self.unreadable(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use cleanup_core::moment::Moment;

    use super::failing;
    use crate::State;

    #[test]
    fn a_hold_that_could_not_be_remembered_is_neither_promised_nor_missed() {
        let folder = tempfile::tempdir().unwrap();
        let (now, until) = (Moment::from_unix(0, 0), Moment::from_unix(1000, 0));
        let held = || {
            let mut state = State::open(folder.path(), None).unwrap();
            let held: Vec<Vec<u8>> = state.promises().unwrap().holds(now).map(|hold| hold.path.clone()).collect();
            held
        };
        for before in 0..2 {
            let mut state = State::open(folder.path(), None).unwrap();
            failing::SYNC.set(true);
            let refused = state.promises().unwrap().hold(b"/b", until, now);
            failing::SYNC.set(false);
            assert!(refused.is_err());
            assert_eq!(held().len(), before, "nothing counts, and nothing seems to be lost");
            state.promises().unwrap().hold(b"/a", until, now).unwrap();
            assert_eq!(held(), [b"/a"]);
        }
    }
}
