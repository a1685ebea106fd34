//! Brings files back: to the name that they had, never over anything, with all that a rename leaves as it is (bytes,
//! owner, permissions, `mtime`, `atime`).
//!
//! A folder on the way that is missing by now is made again, with the owner, the group, the permissions, the access
//! control lists and the extended attributes that its note has. Nobody gets more than they had: what this user may not
//! give back is left out, and a folder without such a note is for its owner alone. A link on the way, or another mount,
//! is never followed.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use cleanup_core::candidate::Name;
use rustix::fs::{AtFlags, FileType, Mode, StatxFlags};
use rustix::io::Errno;

use super::layout::{OpenRun, RunFolder, file_name};
use super::{Item, Quarantine};
use crate::sys::attributes::Attributes;
use crate::sys::entry::{self, Meta, in_words};
use crate::sys::rename::{is_one_file, rename_noreplace, rename_out};
use crate::tree::{Tree, is_own_folder};

/// What came of bringing one thing back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Returned {
    /// It was restored.
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
    #[error("a folder on its path is no longer a folder of this root")]
    OnTheWay,
    /// The note names no path below the root.
    #[error("its note names no path below the root")]
    NoPath,
}

const BUSY: &str = "files of its run are being moved or deleted; try again later";

/// What folders were like that may be missing by now, by their paths below the root.
pub(super) type Folders = HashMap<Vec<u8>, Attributes>;

/// Whether missing folders are made.
#[derive(Clone, Copy, Debug)]
pub(super) enum MissingFolders<'a> {
    /// As they were; what is not known of them is for this owner alone.
    Make {
        known: &'a Folders,
        owner: (u32, u32),
        /// A folder of ours, in which they are made.
        ours: BorrowedFd<'a>,
    },
    Leave,
}

impl Quarantine<'_> {
    /// Whether this could be brought back now; changes nothing.
    pub fn could_return(&self, item: &Item) -> Returned {
        let Some(path) = &item.path else { return Returned::Conflict(Conflict::NoPath) };
        let Some((folder, last)) = parts(path) else { return Returned::Conflict(Conflict::NoPath) };
        match reach(self.tree, &folder, MissingFolders::Leave) {
            Err(stopped) => stopped,
            Ok(None) => Returned::Restored,
            Ok(Some(home)) => match Meta::of_entry(&home, &last, StatxFlags::TYPE) {
                // It may have that name already, and only have kept its other one.
                Ok(_) if self.has_both_names(item, home.as_fd(), &last) => Returned::Restored,
                Ok(_) => Returned::Conflict(Conflict::Exists),
                Err(Errno::NOENT) => Returned::Restored,
                Err(error) => Returned::Failed(in_words(error)),
            },
        }
    }

    fn has_both_names(&self, item: &Item, home: BorrowedFd<'_>, last: &CStr) -> bool {
        let folder = self.folders.iter().find(|folder| (&folder.run, &folder.policy) == (&item.run, &item.policy));
        let run = folder.and_then(|folder| folder.open(self.tree).ok().flatten());
        run.is_some_and(|run| is_one_file(run.dir.as_fd(), &file_name(item.number), home, last))
    }

    /// Brings several things of one run back, and says of each what came of it.
    pub fn restore(&self, items: &[&Item], each: &mut dyn FnMut(&Item, Returned)) {
        for same in items.chunk_by(|a, b| (&a.run, &a.policy) == (&b.run, &b.policy)) {
            let is_wanted = |folder: &&RunFolder| (&folder.run, &folder.policy) == (&same[0].run, &same[0].policy);
            let opened = self.folders.iter().find(is_wanted).map_or(Ok(None), |folder| folder.open(self.tree));
            match opened {
                Ok(Some(run)) => {
                    match run.folders() {
                        Ok(folders) => same.iter().for_each(|item| each(item, self.bring_back(&run, &folders, item))),
                        // Their folders would come back as nobody's but this user's.
                        Err(error) => same.iter().for_each(|item| each(item, Returned::Failed(error.to_string()))),
                    }
                    run.tidy();
                }
                Ok(None) => same.iter().for_each(|item| each(item, Returned::Gone)),
                Err(error) => same.iter().for_each(|item| each(item, Returned::Failed(error.to_string()))),
            }
        }
    }

    fn bring_back(&self, run: &OpenRun, known: &Folders, item: &Item) -> Returned {
        let parts = item.path.as_deref().and_then(parts);
        let Some((folder, last)) = parts else { return Returned::Conflict(Conflict::NoPath) };
        let number = file_name(item.number);
        let owner = match rustix::fs::statat(&run.dir, &number, AtFlags::SYMLINK_NOFOLLOW) {
            // Whoever is emptying a directory goes on with it wherever it is.
            Ok(found) if FileType::from_raw_mode(found.st_mode) == FileType::Directory && !run.wait_alone() => {
                return Returned::Failed(BUSY.to_owned());
            }
            Ok(found) => (found.st_uid, found.st_gid),
            // No folders are made for what is not there.
            Err(Errno::NOENT) => return Returned::Gone,
            Err(error) => return Returned::Failed(in_words(error)),
        };
        let home = match reach(self.tree, &folder, MissingFolders::Make { known, owner, ours: run.dir.as_fd() }) {
            Ok(Some(home)) => home,
            Ok(None) => return Returned::Failed(in_words(Errno::NOENT)),
            Err(stopped) => return stopped,
        };
        match rename_out(run.dir.as_fd(), &number, home.as_fd(), &last) {
            Ok(()) => Returned::Restored,
            Err(Errno::EXIST) => Returned::Conflict(Conflict::Exists),
            Err(Errno::NOENT) => Returned::Gone,
            Err(error) => Returned::Failed(in_words(error)),
        }
    }
}

/// The folders and the last name of a path below the root, if it is one.
pub(super) fn parts(path: &[u8]) -> Option<(Vec<CString>, CString)> {
    let is_plain = |name: &&[u8]| !matches!(**name, [] | [b'.'] | [b'.', b'.']) && !is_own_folder(name);
    let names: Option<Vec<CString>> = path
        .split(|byte| *byte == b'/')
        .map(|name| Some(name).filter(is_plain).and_then(|it| CString::new(it).ok()))
        .collect();
    let mut names = names?;
    let last = names.pop()?;
    Some((names, last))
}

/// Opens the folder that something goes back to; `None` when it is missing and not to be made.
pub(super) fn reach(
    tree: &Tree<'_>,
    folders: &[CString],
    missing: MissingFolders<'_>,
) -> Result<Option<OwnedFd>, Returned> {
    let failed = |error| Returned::Failed(in_words(error));
    let mut dir = tree.root.reopen().map_err(failed)?;
    let mut path = Vec::new();
    for name in folders {
        path = Name { folder: &path, last: name.to_bytes() }.to_bytes();
        let mut next = entry::open_dir(&dir, name);
        if let (Err(Errno::NOENT), MissingFolders::Make { known, owner: (uid, gid), ours }) = (&next, missing) {
            let narrow =
                || Attributes { uid: Some(uid), gid: Some(gid), mode: 0o700, extended: Vec::new(), lacks_acl: false };
            let like = known.get(&path).cloned().unwrap_or_else(narrow);
            make(ours, dir.as_fd(), name, &like).map_err(failed)?;
            next = entry::open_dir(&dir, name);
        }
        let next = match next {
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

/// What a folder is called that is being made.
const NEW: &CStr = c"folder";

/// Makes a folder, which is as it was as soon as it has its name: whoever is cut off before leaves nothing in the root that
/// the next one would take for finished. One that somebody else has made meanwhile stays as it is.
fn make(ours: BorrowedFd<'_>, home: BorrowedFd<'_>, name: &CStr, like: &Attributes) -> Result<(), Errno> {
    remove_unfinished(ours);
    rustix::fs::mkdirat(ours, NEW, Mode::RWXU)?;
    let made = entry::open_dir(ours, NEW).and_then(|made| like.give(&made)).and_then(|()| move_new(ours, home, name));
    if made.is_err() {
        remove_unfinished(ours);
    }
    match made {
        Err(Errno::EXIST | Errno::NOTEMPTY) => Ok(()),
        // Whoever may not write in it may not move it either.
        Err(Errno::ACCESS | Errno::PERM) => match rustix::fs::mkdirat(home, name, Mode::RWXU) {
            Err(Errno::EXIST) => Ok(()),
            made => made.and_then(|()| like.give(entry::open_dir(home, name)?)),
        },
        made => made,
    }
}

fn move_new(ours: BorrowedFd<'_>, home: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    match rename_noreplace(ours, NEW, home, name) {
        // Without the flag, the kernel replaces nothing but a folder that is empty.
        Err(Errno::INVAL | Errno::NOSYS) => rustix::fs::renameat(ours, NEW, home, name),
        moved => moved,
    }
}

/// Takes away a folder that was never finished.
pub(super) fn remove_unfinished(ours: BorrowedFd<'_>) {
    let _ = rustix::fs::unlinkat(ours, NEW, AtFlags::REMOVEDIR);
}
