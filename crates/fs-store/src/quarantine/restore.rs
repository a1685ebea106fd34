//! Brings files back: to the name that they had, never over anything, with all that a rename leaves as it is (bytes,
//! owner, permissions, `mtime`, `atime`).
//!
//! A folder on the way that is missing by now is made again. A link on the way, or another mount, is never followed.

use std::ffi::CString;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::{Mode, StatxFlags};
use rustix::io::Errno;

use super::layout::{OpenRun, RunFolder, file_name};
use super::{Item, Quarantine, move_in};
use crate::sys::entry::{self, Meta, in_words};
use crate::tree::{OWN_FOLDER, Tree};

/// For folders that are made again.
const ORDINARY: Mode = Mode::RWXU.union(Mode::RGRP).union(Mode::XGRP).union(Mode::ROTH).union(Mode::XOTH);

/// What came of bringing one thing back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Returned {
    /// It is back.
    Restored,
    /// It is no longer in quarantine.
    Gone,
    /// Something is in its way.
    Conflict(Conflict),
    /// It could not be moved; the text names the reason as the system gave it.
    Failed(String),
}

/// What is in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// Something has its name.
    #[error("already exists")]
    Exists,
    /// A folder on the way is a link, a file, or lies on another mount.
    #[error("a folder on the way to it is no folder of this root any more")]
    OnTheWay,
    /// The note names no path below the root.
    #[error("its note names no path below the root")]
    NoPath,
}

/// Whether missing folders are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Folders {
    Make,
    Leave,
}

impl Quarantine<'_> {
    /// Whether this could be brought back now; changes nothing.
    pub fn could_return(&self, item: &Item) -> Returned {
        let Some(path) = &item.path else { return Returned::Conflict(Conflict::NoPath) };
        let Some((folder, last)) = parts(path) else { return Returned::Conflict(Conflict::NoPath) };
        match reach(self.tree, &folder, Folders::Leave) {
            Err(stopped) => stopped,
            Ok(None) => Returned::Restored,
            Ok(Some(home)) => match Meta::of_entry(&home, &last, StatxFlags::TYPE) {
                Ok(_) => Returned::Conflict(Conflict::Exists),
                Err(Errno::NOENT) => Returned::Restored,
                Err(error) => Returned::Failed(in_words(error)),
            },
        }
    }

    /// Brings several things of one run back, and says of each what came of it.
    pub fn restore(&self, items: &[&Item], each: &mut dyn FnMut(&Item, Returned)) {
        for same in items.chunk_by(|a, b| (&a.run, &a.policy) == (&b.run, &b.policy)) {
            match RunFolder::new(&same[0].run, &same[0].policy).open(self.tree) {
                Ok(Some(run)) => {
                    for item in same {
                        each(item, self.bring_back(&run, item));
                    }
                    run.tidy();
                }
                Ok(None) => same.iter().for_each(|item| each(item, Returned::Gone)),
                Err(error) => same.iter().for_each(|item| each(item, Returned::Failed(error.to_string()))),
            }
        }
    }

    fn bring_back(&self, run: &OpenRun, item: &Item) -> Returned {
        let parts = item.path.as_deref().and_then(parts);
        let Some((folder, last)) = parts else { return Returned::Conflict(Conflict::NoPath) };
        let home = match reach(self.tree, &folder, Folders::Make) {
            Ok(Some(home)) => home,
            Ok(None) => return Returned::Failed(in_words(Errno::NOENT)),
            Err(stopped) => return stopped,
        };
        match move_in::rename_out(run.dir.as_fd(), &file_name(item.number), home.as_fd(), &last) {
            Ok(()) => Returned::Restored,
            Err(Errno::EXIST) => Returned::Conflict(Conflict::Exists),
            Err(Errno::NOENT) => Returned::Gone,
            Err(error) => Returned::Failed(in_words(error)),
        }
    }
}

/// The folders and the last name of a path below the root, if it is one.
pub(super) fn parts(path: &[u8]) -> Option<(Vec<CString>, CString)> {
    let is_plain = |name: &&[u8]| !matches!(**name, [] | [b'.'] | [b'.', b'.']) && **name != *OWN_FOLDER;
    let names: Option<Vec<CString>> = path
        .split(|byte| *byte == b'/')
        .map(|name| Some(name).filter(is_plain).and_then(|it| CString::new(it).ok()))
        .collect();
    let mut names = names?;
    let last = names.pop()?;
    Some((names, last))
}

/// Opens the folder that something goes back to; `None` when it is missing and not to be made.
pub(super) fn reach(tree: &Tree<'_>, folders: &[CString], missing: Folders) -> Result<Option<OwnedFd>, Returned> {
    let failed = |error| Returned::Failed(in_words(error));
    let mut dir = tree.root.reopen().map_err(failed)?;
    for name in folders {
        if missing == Folders::Make {
            match rustix::fs::mkdirat(&dir, name, ORDINARY) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        let next = match entry::open_dir(&dir, name) {
            Ok(next) => next,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP | Errno::NOTDIR) => return Err(Returned::Conflict(Conflict::OnTheWay)),
            Err(error) => return Err(failed(error)),
        };
        if Meta::of(&next).map_err(failed)?.mount != tree.root.mount() {
            return Err(Returned::Conflict(Conflict::OnTheWay));
        }
        dir = next;
    }
    Ok(Some(dir))
}
