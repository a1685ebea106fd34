//! Renames that never replace anything, also where the file system cannot promise that by itself.

use std::ffi::CStr;
use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, Mode, RenameFlags, StatxFlags};
use rustix::io::Errno;

use super::entry::Meta;

/// Moves something, never over anything; `INVAL` or `NOSYS` where the file system cannot refuse to replace.
pub(crate) fn rename_noreplace(from: BorrowedFd<'_>, name: &CStr, to: BorrowedFd<'_>, new: &CStr) -> Result<(), Errno> {
    #[cfg(test)]
    if lacking::NOREPLACE.get() {
        return Err(Errno::INVAL);
    }
    rustix::fs::renameat_with(from, name, to, new, RenameFlags::NOREPLACE)
}

/// Moves something into a folder in which nobody else makes names.
pub(crate) fn rename_in(from: BorrowedFd<'_>, name: &CStr, ours: BorrowedFd<'_>, new: &CStr) -> Result<(), Errno> {
    match rename_noreplace(from, name, ours, new) {
        Err(Errno::INVAL | Errno::NOSYS) => {
            if rustix::fs::statat(ours, new, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
                return Err(Errno::EXIST);
            }
            rustix::fs::renameat(from, name, ours, new)
        }
        result => result,
    }
}

/// Moves something out of such a folder, to where others make names as well.
pub(crate) fn rename_out(ours: BorrowedFd<'_>, name: &CStr, to: BorrowedFd<'_>, new: &CStr) -> Result<(), Errno> {
    match rename_noreplace(ours, name, to, new) {
        Err(Errno::INVAL | Errno::NOSYS) if is_directory(ours, name) => move_directory(ours, name, to, new),
        Err(Errno::INVAL | Errno::NOSYS) => link_out(ours, name, to, new),
        // It came out before, and kept its other name.
        Err(Errno::EXIST) if is_one_file(ours, name, to, new) => rustix::fs::unlinkat(ours, name, AtFlags::empty()),
        result => result,
    }
}

pub(crate) fn is_directory(dir: BorrowedFd<'_>, name: &CStr) -> bool {
    Meta::of_entry(dir, name, StatxFlags::TYPE).is_ok_and(|meta| meta.is_dir())
}

/// Moves a directory where the file system cannot refuse to replace. Should somebody take the name just before, the kernel
/// still replaces nothing but a directory that is empty.
pub(crate) fn move_directory(ours: BorrowedFd<'_>, name: &CStr, to: BorrowedFd<'_>, new: &CStr) -> Result<(), Errno> {
    match rustix::fs::statat(to, new, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => return Err(Errno::EXIST),
        Err(Errno::NOENT) => {}
        Err(error) => return Err(error),
    }
    match rustix::fs::renameat(ours, name, to, new) {
        Err(Errno::NOTEMPTY | Errno::NOTDIR) => Err(Errno::EXIST),
        result => result,
    }
}

/// Moves a file where the file system cannot refuse to replace: a second name is never made over a first one. It is out
/// as soon as it has that. Where the first one cannot be taken away, or who would do it is killed, the file has both, until
/// it is brought back once more or deleted in quarantine.
pub(crate) fn link_out(ours: BorrowedFd<'_>, name: &CStr, to: BorrowedFd<'_>, new: &CStr) -> Result<(), Errno> {
    match link(ours, name, to, new) {
        Ok(()) => {}
        Err(Errno::EXIST) if is_one_file(ours, name, to, new) => {}
        Err(error) => return Err(error),
    }
    let _ = rustix::fs::unlinkat(ours, name, AtFlags::empty());
    Ok(())
}

fn link(from: BorrowedFd<'_>, name: &CStr, to: BorrowedFd<'_>, new: &CStr) -> Result<(), Errno> {
    #[cfg(test)]
    if lacking::LINKS.get() {
        return Err(Errno::PERM);
    }
    rustix::fs::linkat(from, name, to, new, AtFlags::empty())
}

/// Whether both names lead to one file.
pub(crate) fn is_one_file(a: BorrowedFd<'_>, first: &CStr, b: BorrowedFd<'_>, second: &CStr) -> bool {
    let id = |dir, name| Meta::of_entry(dir, name, StatxFlags::BASIC_STATS).map(|meta| meta.id);
    id(a, first).is_ok_and(|first| id(b, second) == Ok(first))
}

/// What something is that is to be moved out again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
}

/// The names that [`can_come_out`] uses.
pub(crate) const PROBES: [&CStr; 2] = [c"probe", c"probe-moved"];

/// Whether things of a kind can be moved out of a folder of ours again, never over anything: tried with one in that very
/// folder. An error is one of the trial itself.
pub(crate) fn can_come_out(ours: BorrowedFd<'_>, kind: Kind) -> Result<bool, Errno> {
    let [name, moved] = PROBES;
    remove_probes(ours);
    match kind {
        Kind::Directory => rustix::fs::mkdirat(ours, name, Mode::RWXU)?,
        Kind::File => {
            use rustix::fs::OFlags;
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            drop(rustix::fs::openat(ours, name, flags, Mode::RUSR | Mode::WUSR)?);
        }
    }
    let came_out = rename_out(ours, name, ours, moved);
    remove_probes(ours);
    Ok(came_out.is_ok())
}

/// Takes away what a trial has left that was killed.
pub(crate) fn remove_probes(ours: BorrowedFd<'_>) {
    for probe in PROBES {
        if rustix::fs::unlinkat(ours, probe, AtFlags::empty()).is_err() {
            let _ = rustix::fs::unlinkat(ours, probe, AtFlags::REMOVEDIR);
        }
    }
}

/// What a test has the file system not know.
#[cfg(test)]
pub(crate) mod lacking {
    use std::cell::Cell;

    thread_local! {
        pub(crate) static NOREPLACE: Cell<bool> = const { Cell::new(false) };
        pub(crate) static LINKS: Cell<bool> = const { Cell::new(false) };
    }
}
