//! Empties and removes a directory that lies in quarantine and was found there to be what was judged.
//!
//! Another program may still have something in it open: what is newer than all that was found is left where it is. So is
//! what cannot be deleted.

use std::collections::HashMap;
use std::ffi::CStr;
use std::os::fd::BorrowedFd;

use cleanup_core::candidate::{Escaped, Identity};
use cleanup_core::moment::Moment;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::tree_sum::Newest;
use crate::sys::entry::{self, FileId, Meta, in_words};
use crate::tree::Tree;
use crate::walk::descent::{Descent, Step};

/// What came of emptying a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deleted {
    /// It is gone.
    All,
    /// Something in it was written since it was looked at, and is still there; the text names the first.
    Younger { what: String },
    /// Something could not be deleted; the text says what, and why.
    Failed(String),
}

/// Deletes a directory that lies in quarantine and was found to be what was judged, with all that is in it but what was
/// written since. How many allocated bytes that gave back, whatever came of it.
pub(crate) fn delete(tree: &Tree<'_>, parent: BorrowedFd<'_>, name: &CStr, mut deletion: DeleteTree) -> (Deleted, u64) {
    let dir = match entry::open_dir(parent, name) {
        Ok(dir) => dir,
        Err(error) => return (Deleted::Failed(in_words(error)), 0),
    };
    let own = Meta::of(&dir).map_or(0, |meta| meta.allocated);
    let walked = Descent::new(tree).run(dir, &mut deletion);
    let freed = deletion.freed;
    if let Some(what) = deletion.younger {
        return (Deleted::Younger { what }, freed);
    }
    if let Some(error) = deletion.failed.or(walked.err()) {
        return (Deleted::Failed(error), freed);
    }
    match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Ok(()) => (Deleted::All, freed.saturating_add(own)),
        // It was empty a moment ago.
        Err(Errno::NOTEMPTY | Errno::EXIST) => (Deleted::Younger { what: "something".to_owned() }, freed),
        Err(error) => (Deleted::Failed(in_words(error)), freed),
    }
}

/// Empties a directory of all that is no newer than it was found.
pub(crate) struct DeleteTree {
    newest: Newest,
    /// It was begun before: the directories in it have changed by that alone.
    is_resumed: bool,
    /// Allocated bytes that were given back.
    freed: u64,
    /// The first thing that was written since.
    younger: Option<String>,
    /// The first thing that could not be deleted.
    failed: Option<String>,
    /// The directories on the way here, but for the uppermost.
    folders: Vec<Folder>,
    /// The `ctime` of files that lost one of their names by our hand, by inode.
    unlinked: HashMap<u64, Moment>,
}

/// A directory in it.
struct Folder {
    /// It is newer than it was found.
    is_young: bool,
    allocated: u64,
}

impl DeleteTree {
    /// Of a directory that was just found to be what was judged.
    pub(crate) fn first(newest: Newest) -> Self {
        Self {
            newest,
            is_resumed: false,
            freed: 0,
            younger: None,
            failed: None,
            folders: Vec::new(),
            unlinked: HashMap::new(),
        }
    }

    /// Of a directory that somebody has begun to empty before.
    pub(crate) fn resumed(newest: Newest) -> Self {
        Self { is_resumed: true, ..Self::first(newest) }
    }

    fn failed(&mut self, name: &CStr, error: Errno) {
        self.failed.get_or_insert_with(|| format!("{}: {}", Escaped(name.to_bytes()), in_words(error)));
    }

    fn keep(&mut self, name: &CStr) {
        self.younger.get_or_insert_with(|| Escaped(name.to_bytes()).to_string());
    }

    fn is_younger(&self, meta: &Meta) -> bool {
        let Identity { inode, modified, changed, .. } = meta.identity();
        let is_by_us = self.unlinked.get(&inode) == Some(&changed);
        modified > self.newest.modified || (changed > self.newest.changed && !is_by_us)
    }

    /// Deletes one thing that is no directory; `None` when it stays because it was written since. Returns the bytes that
    /// were given back.
    fn unlink(&mut self, dir: BorrowedFd<'_>, name: &CStr) -> Result<Option<u64>, Errno> {
        let meta = Meta::of_entry(dir, name, entry::ALWAYS)?;
        if self.is_younger(&meta) {
            return Ok(None);
        }
        if meta.identity().links <= 1 {
            rustix::fs::unlinkat(dir, name, AtFlags::empty())?;
            return Ok(Some(meta.allocated));
        }
        // Its other names may be in here as well, and are not newer because this one goes.
        let file = rustix::fs::openat(dir, name, BY_PATH, Mode::empty())?;
        let before = Meta::of(&file)?;
        if before.id != meta.id || self.is_younger(&before) {
            return Ok(None);
        }
        rustix::fs::unlinkat(dir, name, AtFlags::empty())?;
        let (before, after) = (before.identity(), Meta::of(&file)?.identity());
        if (before.size, before.modified) == (after.size, after.modified) {
            self.unlinked.insert(after.inode, after.changed);
        }
        Ok(Some(0))
    }
}

const BY_PATH: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Step for DeleteTree {
    fn entry(&mut self, dir: BorrowedFd<'_>, _: FileId, name: &CStr) -> Result<(), String> {
        match self.unlink(dir, name) {
            Ok(Some(bytes)) => self.freed = self.freed.saturating_add(bytes),
            Ok(None) => self.keep(name),
            Err(Errno::NOENT) => {}
            Err(error) => self.failed(name, error),
        }
        Ok(())
    }

    fn enter(&mut self, folder: Option<FileId>, _: &CStr, meta: &Meta) -> Result<(), String> {
        if folder.is_some() {
            // The move itself has changed the uppermost one, and what has gone before, those that were begun.
            let is_young = !self.is_resumed && self.is_younger(meta);
            self.folders.push(Folder { is_young, allocated: meta.allocated });
        }
        Ok(())
    }

    fn leave(&mut self, parent: BorrowedFd<'_>, name: &CStr) {
        let Folder { is_young, allocated } = self.folders.pop().unwrap_or(Folder { is_young: false, allocated: 0 });
        if is_young {
            return self.keep(name);
        }
        match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
            Ok(()) => self.freed = self.freed.saturating_add(allocated),
            Err(Errno::NOENT) => {}
            // It was read to its end, and nothing was left in it.
            Err(Errno::NOTEMPTY | Errno::EXIST) if self.failed.is_none() => self.keep(name),
            Err(error) => self.failed(name, error),
        }
    }
}
