//! Has files and directories written to the disk.

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;

use super::entry::open_dir;

/// Writes a file, or what is in a directory, to the disk.
pub(crate) fn sync(file: impl AsFd) -> Result<(), Errno> {
    #[cfg(test)]
    {
        watched::CALLS.set(watched::CALLS.get() + 1);
        if watched::FAILS.get() {
            return Err(Errno::IO);
        }
    }
    match rustix::io::retry_on_intr(|| rustix::fs::fdatasync(&file)) {
        // A file system that knows no such thing for directories writes them at once, or has no disk.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(()),
        result => result,
    }
}

/// Writes what is in a directory to the disk, and what is in so many above it.
pub(crate) fn sync_upwards(dir: &OwnedFd, above: u32) -> Result<(), Errno> {
    sync(dir)?;
    if above == 0 { Ok(()) } else { sync_upwards(&open_dir(dir, c"..")?, above - 1) }
}

/// What a test has happen, and sees of it.
#[cfg(test)]
pub(crate) mod watched {
    use std::cell::Cell;

    thread_local! {
        pub(crate) static FAILS: Cell<bool> = const { Cell::new(false) };
        pub(crate) static CALLS: Cell<u32> = const { Cell::new(0) };
    }
}
