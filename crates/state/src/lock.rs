//! Locks: `flock` on a file of ours, which is kept and never unlinked.
//!
//! The kernel drops the lock when the process dies, by whatever signal, so nothing is ever left to clean up. A file
//! that is unlinked would let two processes lock two files of one name; one that is kept cannot.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::folder::{self, Access};

/// How often taking a guard is tried, and the pause in between: five seconds in all. Guards are held for milliseconds; a
/// guard that is held longer belongs to a stopped process, and nobody waits for that.
const TRIES: u32 = if cfg!(test) { 10 } else { 1000 };
const PAUSE: Duration = Duration::from_millis(5);

/// One policy's lock. Dropping it, or dying, releases it.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

/// Said aloud rather than left to the closing of the file: a child that another thread is just starting shares the
/// descriptor for a moment, and would keep the lock for as long.
impl Drop for Lock {
    fn drop(&mut self) {
        if let Err(error) = flock(&self.file, FlockOperation::Unlock) {
            tracing::debug!("cannot release a lock; it ends when its file is closed: {error}");
        }
    }
}

/// Why a policy's lock was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another sweep of the policy is at work.
    #[error("another sweep of {policy:?} is running")]
    Held {
        /// The policy.
        policy: String,
    },
    /// The lock's file cannot be made or opened.
    #[error("cannot lock {policy:?}: {error}")]
    Io {
        /// The policy.
        policy: String,
        /// Why.
        error: io::Error,
    },
}

impl Lock {
    /// Takes the lock at once or not at all.
    pub(crate) fn take(locks: &Path, access: Access, policy: &str) -> Result<Self, LockError> {
        let failed = |error| LockError::Io { policy: policy.to_owned(), error };
        if access == Access::Look {
            return Err(failed(io::Error::new(io::ErrorKind::Unsupported, "the state folder was opened to look only")));
        }
        if !is_policy_name(policy) {
            return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "not the name of a policy")));
        }
        let (file, _) = folder::open_or_create(&locks.join(policy)).map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { file }),
            Err(Errno::WOULDBLOCK) => Err(LockError::Held { policy: policy.to_owned() }),
            Err(error) => Err(failed(error.into())),
        }
    }
}

/// Small letters, digits, `_` and `-`: nothing that could leave the folder, and no dot, so that the guards of our own
/// files (`locks/state.db`) can never be a policy's.
pub(crate) fn is_policy_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}

/// How a guard is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    /// With others of this kind.
    Shared,
    /// Alone.
    Alone,
}

/// Waits for a guard, a bounded time. `WouldBlock` when it is still held by somebody else.
pub(crate) fn guard(file: &File, share: Share) -> io::Result<()> {
    let operation = match share {
        Share::Shared => FlockOperation::NonBlockingLockShared,
        Share::Alone => FlockOperation::NonBlockingLockExclusive,
    };
    let mut tries = 1;
    loop {
        match flock(file, operation) {
            Err(Errno::WOULDBLOCK) if tries < TRIES => std::thread::sleep(PAUSE),
            result => return Ok(result?),
        }
        tries += 1;
    }
}
