//! The state folder: makes it, and refuses one that a stranger controls.
//!
//! Whoever can write the folder decides what is held and which clock reading is believed. So it must belong to root
//! or to the running user, and not everybody may write it. A refused folder is not an end: the caller sweeps without
//! memory and says so.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, OFlags};

use crate::witness;

/// Whether this process may change the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// It remembers.
    Keep,
    /// It only looks: nothing is made, repaired or changed.
    Look,
}

/// Why there is no memory. Each names the folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// It, or a link in its place, belongs to neither root nor the running user.
    #[error("the state folder {} belongs to another user (uid {uid}), who could change what is kept", folder.display())]
    Stranger {
        /// The folder.
        folder: PathBuf,
        /// Its owner.
        uid: u32,
    },
    /// Everybody may write it.
    #[error("everyone can write to the state folder {0} and could change what is kept; chmod o-w {0}", folder.display())]
    WorldWritable {
        /// The folder.
        folder: PathBuf,
    },
    /// Something else is in its place.
    #[error("the state folder {} is not a folder", folder.display())]
    NotAFolder {
        /// The path.
        folder: PathBuf,
    },
    /// It cannot be made, read or written.
    #[error("cannot use the state folder {}: {error}", folder.display())]
    Unusable {
        /// The folder.
        folder: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Makes what is missing of the folder, for its owner alone. Says whether nothing of ours was there.
pub(crate) fn prepare(folder: &Path) -> Result<bool, StateError> {
    let unusable = |error| StateError::Unusable { folder: folder.to_owned(), error };
    if is_missing(folder).map_err(unusable)? {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(unusable)?;
    }
    trust(folder)?;
    let writable = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    rustix::fs::accessat(CWD, folder, writable, AtFlags::EACCESS).map_err(|error| unusable(error.into()))?;
    make(&locks(folder)).map_err(unusable)?;
    Ok(holds_nothing(folder))
}

/// Whether nothing of ours is in it, not even of a run that was killed when it had just made the folder.
pub(crate) fn holds_nothing(folder: &Path) -> bool {
    let ours = [folder.join("state.db"), folder.join("promises.jsonl")];
    let is_begun = |entry: io::Result<fs::DirEntry>| entry.is_ok_and(|entry| entry.file_name() != witness::NEW);
    let has_locks = fs::read_dir(locks(folder)).is_ok_and(|mut locks| locks.any(is_begun));
    !has_locks && !ours.iter().any(|file| file.symlink_metadata().is_ok())
}

/// Looks whether the folder may be believed. A missing one may: it says nothing.
pub(crate) fn inspect(folder: &Path) -> Result<(), StateError> {
    let unusable = |error| StateError::Unusable { folder: folder.to_owned(), error };
    if is_missing(folder).map_err(unusable)? {
        return Ok(());
    }
    trust(folder)?;
    let readable = rustix::fs::Access::READ_OK | rustix::fs::Access::EXEC_OK;
    rustix::fs::accessat(CWD, folder, readable, AtFlags::EACCESS).map_err(|error| unusable(error.into()))
}

/// The folder of the locks.
pub(crate) fn locks(folder: &Path) -> PathBuf {
    folder.join("locks")
}

/// The folder of the due indexes. It is made when the first one is.
pub(crate) fn indexes(folder: &Path) -> PathBuf {
    folder.join("index")
}

/// Makes a folder within the state folder, for its owner alone, if it is missing.
pub(crate) fn make(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// The owner, when it is neither root nor the running user.
pub(crate) fn stranger(metadata: &Metadata) -> Option<u32> {
    let us = rustix::process::geteuid().as_raw();
    Some(metadata.uid()).filter(|uid| *uid != 0 && *uid != us)
}

/// Opens a file of ours in the folder, never through a link, and makes it, for its owner alone, if it is missing.
/// Says whether it was. Anything else in its place (a FIFO, a device) is an error, and nobody waits for its other end.
pub(crate) fn open_or_create(path: &Path) -> io::Result<(File, bool)> {
    let options = || {
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600).custom_flags(no_follow());
        options
    };
    loop {
        match options().create_new(true).open(path) {
            Ok(file) => return Ok((file, true)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        match options().open(path) {
            // Removed in between: once more.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => {
                let file = opened?;
                if !file.metadata()?.is_file() {
                    return Err(io::Error::other("it is not a regular file"));
                }
                return Ok((file, false));
            }
        }
    }
}

/// Neither follow a link nor wait for the other end of a FIFO. (`O_CLOEXEC` comes with the standard library.)
pub(crate) fn no_follow() -> i32 {
    // The bits are those of the C interface on every platform.
    (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed()
}

/// Makes a new name in the folder durable.
pub(crate) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn is_missing(folder: &Path) -> io::Result<bool> {
    match folder.symlink_metadata() {
        Ok(_) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

fn trust(folder: &Path) -> Result<(), StateError> {
    let unusable = |error| StateError::Unusable { folder: folder.to_owned(), error };
    let entry = folder.symlink_metadata().map_err(unusable)?;
    let metadata = fs::metadata(folder).map_err(unusable)?;
    if !metadata.is_dir() {
        return Err(StateError::NotAFolder { folder: folder.to_owned() });
    }
    if let Some(uid) = stranger(&entry).or_else(|| stranger(&metadata)) {
        return Err(StateError::Stranger { folder: folder.to_owned(), uid });
    }
    if metadata.mode() & 0o002 != 0 {
        return Err(StateError::WorldWritable { folder: folder.to_owned() });
    }
    Ok(())
}

/// A folder in memory, where there is such a place: some tests write a file thousands of times.
#[cfg(test)]
pub(crate) fn for_tests() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.expect("a test has a folder")
}
