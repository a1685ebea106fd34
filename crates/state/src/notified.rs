//! `notified.json`: which findings somebody was told of. What is in it is for its caller to understand.
//!
//! Whoever tells holds the lock from reading it to writing it, so that of two programs beside each other only one tells.
//! It is disposable: where it is lost, what lasts is told once more.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::folder;

/// More than such a file ever holds, in bytes. A larger one was not written by us, and counts as none.
const MOST_BYTES: u64 = 64 << 20;

/// How often the lock is tried.
const PAUSE: Duration = Duration::from_millis(20);

/// The name of the file, and of the lock in `locks/`.
const NAME: &str = "notified.json";

/// The memory of who was told of what, held alone.
#[derive(Debug)]
pub struct Notified {
    path: PathBuf,
    lock: File,
}

/// Said aloud, as with every lock: a child that is just being started shares the descriptor for a moment.
impl Drop for Notified {
    fn drop(&mut self) {
        let _ = flock(&self.lock, FlockOperation::Unlock);
    }
}

impl Notified {
    /// Opens it in the folder of a memory, and makes that if it is missing; waits so long for another process that has it.
    /// `WouldBlock`: that process still has it.
    pub fn open(folder: &Path, patience: Duration) -> io::Result<Self> {
        folder::prepare(folder).map_err(io::Error::other)?;
        let (lock, _) = folder::open_or_create(&folder::locks(folder).join(NAME))?;
        let begun = Instant::now();
        loop {
            match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self { path: folder.join(NAME), lock }),
                Err(Errno::WOULDBLOCK) if begun.elapsed() < patience => std::thread::sleep(PAUSE),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// What was written last; nothing where there is none, or none of ours.
    pub fn read(&self) -> Vec<u8> {
        let opened = {
            use std::os::unix::fs::OpenOptionsExt as _;
            fs::OpenOptions::new().read(true).custom_flags(folder::no_follow()).open(&self.path)
        };
        let Ok(file) = opened else { return Vec::new() };
        let is_ours = file
            .metadata()
            .is_ok_and(|found| found.is_file() && folder::stranger(&found).is_none() && found.len() < MOST_BYTES);
        let mut text = Vec::new();
        match is_ours.then(|| file.take(MOST_BYTES).read_to_end(&mut text)) {
            Some(Ok(_)) => text,
            Some(Err(_)) | None => Vec::new(),
        }
    }

    /// Replaces it, whole or not at all.
    pub fn write(&self, text: &[u8]) -> io::Result<()> {
        let new = self.path.with_extension("json.new");
        // Left behind by a process that was killed: the lock says that nobody writes it now.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let (mut file, _) = folder::open_or_create(&new)?;
        file.write_all(text)?;
        fs::rename(&new, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(50);

    #[test]
    fn what_is_written_is_read_by_the_next_and_only_one_has_it() {
        let folder = folder::for_tests();
        let folder = folder.path().join("state");
        let first = Notified::open(&folder, SHORT).unwrap();
        assert_eq!(first.read(), b"");
        first.write(b"long text").unwrap();
        first.write(b"short").unwrap();
        assert_eq!(Notified::open(&folder, SHORT).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(first);
        let second = Notified::open(&folder, SHORT).unwrap();
        assert_eq!(second.read(), b"short");
    }

    #[test]
    fn a_link_in_its_place_is_not_followed() {
        let folder = folder::for_tests();
        let notified = Notified::open(folder.path(), SHORT).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", folder.path().join(NAME)).unwrap();
        assert_eq!(notified.read(), b"");
        notified.write(b"x").unwrap();
        assert_eq!(notified.read(), b"x");
        std::os::unix::fs::symlink("/etc/hostname", folder.path().join("notified.json.new")).unwrap();
        notified.write(b"y").unwrap();
        assert_eq!(notified.read(), b"y");
    }
}
