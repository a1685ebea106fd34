//! Which files some process has open, mapped or locked, as far as this user may see.
//!
//! The kernel tells in `/proc`, of every process that this user may look into: all of them for root, its own otherwise,
//! and none of the others where they are hidden (`hidepid`, `ProtectProc=invisible`). So an answer of "not in use" is
//! only as good as the view, and the view says how much it saw. A lock by `flock` is found without it, by asking for one.
//!
//! One look at all processes serves many removals, but not for long: it is taken when the first one asks, and again
//! after [`SERVES`] of them.

use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use cleanup_core::candidate::Identity;
use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, StatxFlags};
use rustix::io::Errno;

use crate::sys::dir;
use crate::sys::entry::{FileId, Meta};

/// How many removals one look at all processes is good for. They take some milliseconds.
const SERVES: u32 = 512;

/// How much could be seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Processes whose open files could be read.
    pub processes: u64,
    /// Processes that are there, and may not be looked into.
    pub hidden: u64,
}

/// Who uses what, looked up when it is asked.
#[derive(Debug, Default)]
pub(crate) struct Users {
    known: Mutex<Known>,
    /// What happens while all processes are looked at.
    #[cfg(test)]
    pub(crate) meanwhile: Meanwhile,
}

/// Something that a test does once, at a certain moment.
#[cfg(test)]
#[derive(Default)]
pub(crate) struct Meanwhile(pub(crate) Mutex<Option<Box<dyn FnOnce() + Send>>>);

#[cfg(test)]
impl std::fmt::Debug for Meanwhile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meanwhile")
    }
}

#[derive(Debug, Default)]
struct Known {
    open: HashSet<FileId>,
    /// Inodes alone: the kernel names the device of a mapping in another way on some file systems.
    mapped: HashSet<u64>,
    view: Option<View>,
    served: u32,
}

/// A file that nobody uses, kept so by a lock until it is dropped.
#[derive(Debug)]
pub(crate) struct Unused(#[expect(dead_code, reason = "it is held for its lock")] Option<OwnedFd>);

impl Users {
    /// Whether nobody is seen to use the file with this name in this directory.
    pub(crate) fn unused(&self, dir: BorrowedFd<'_>, name: &CStr, identity: &Identity) -> Option<Unused> {
        let lock = lock(dir, name).ok()?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.view.is_none() || known.served >= SERVES {
            *known = Known::look();
            #[cfg(test)]
            if let Some(act) = self.meanwhile.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
                act();
            }
        }
        known.served += 1;
        let is_used = known.open.contains(&FileId::from(identity)) || known.mapped.contains(&identity.inode);
        (!is_used).then_some(Unused(lock))
    }

    /// How much could be seen; `None` when nothing was asked.
    pub(crate) fn view(&self) -> Option<View> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).view
    }
}

/// Somebody else has locked it.
struct LockedByOther;

/// Locks a file, where this user may open it.
fn lock(dir: BorrowedFd<'_>, name: &CStr) -> Result<Option<OwnedFd>, LockedByOther> {
    const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);
    let opened = match rustix::fs::openat(dir, name, FLAGS | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => rustix::fs::openat(dir, name, FLAGS, Mode::empty()),
        result => result,
    };
    let Ok(file) = opened else { return Ok(None) };
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Err(LockedByOther),
        _ => Ok(Some(file)),
    }
}

impl Known {
    fn look() -> Self {
        let mut known = Self { view: Some(View::default()), ..Self::default() };
        let us = rustix::process::getpid().as_raw_nonzero().get().to_string();
        let folder = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let Ok(proc) = rustix::fs::open("/proc", folder, Mode::empty()) else { return known };
        for process in names(&proc) {
            let is_process = process.to_bytes().iter().all(u8::is_ascii_digit) && process.to_bytes() != us.as_bytes();
            if !is_process {
                continue;
            }
            if let Ok(process) = rustix::fs::openat(&proc, &*process, folder, Mode::empty()) {
                known.look_into(&process);
            }
        }
        known
    }

    fn look_into(&mut self, process: &OwnedFd) {
        let folder = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let view = self.view.get_or_insert_default();
        let files = match rustix::fs::openat(process, c"fd", folder, Mode::empty()) {
            Ok(files) => files,
            Err(Errno::ACCESS | Errno::PERM) => {
                view.hidden += 1;
                return;
            }
            // It has ended.
            Err(_) => return,
        };
        let mut is_hidden = false;
        for name in names(&files) {
            let asked = StatxFlags::TYPE | StatxFlags::INO;
            match rustix::fs::statx(&files, &*name, AtFlags::NO_AUTOMOUNT, asked).map(|found| Meta::from(&found)) {
                Ok(meta) if meta.kind() == FileType::RegularFile => drop(self.open.insert(meta.id)),
                // To see that something is open is not yet to see what.
                Err(Errno::ACCESS | Errno::PERM) => is_hidden = true,
                // No file, or closed since.
                Ok(_) | Err(_) => {}
            }
        }
        *if is_hidden { &mut view.hidden } else { &mut view.processes } += 1;
        let maps = rustix::fs::openat(process, c"maps", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        let Ok(text) = maps.map(std::fs::File::from).and_then(|mut file| {
            let mut text = Vec::new();
            std::io::Read::read_to_end(&mut file, &mut text).map_err(|_| Errno::IO)?;
            Ok(text)
        }) else {
            return;
        };
        self.mapped.extend(text.split(|byte| *byte == b'\n').filter_map(inode_of_mapping));
    }
}

/// `7f00-7f01 r--p 00000000 fe:00 1234 /path`: the fifth field.
fn inode_of_mapping(line: &[u8]) -> Option<u64> {
    let field = line.split(|byte| *byte == b' ').filter(|field| !field.is_empty()).nth(4)?;
    std::str::from_utf8(field).ok()?.parse().ok().filter(|inode| *inode != 0)
}

fn names(dir: &OwnedFd) -> Vec<CString> {
    let mut names = Vec::new();
    // What cannot be read any more has ended.
    let _ = dir::names(dir, |name| names.push(name.to_owned()));
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_names_its_inode() {
        let line = b"7f3c-7f3d r--p 00000000 fe:00 1835027                    /usr/lib/a b.so";
        assert_eq!(inode_of_mapping(line), Some(1_835_027));
        assert_eq!(inode_of_mapping(b"7ffe-7fff rw-p 00000000 00:00 0 [stack]"), None);
        assert_eq!(inode_of_mapping(b""), None);
    }
}
