//! Moves files aside: the note first, then the rename, then a look at what came.
//!
//! The rename takes whatever has the name at that moment. So it is looked at again *inside* quarantine, where nobody
//! else can reach it, and put back, never over anything, when it is not what was judged. Nothing is ever copied, and
//! nothing that cannot be moved is deleted instead.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::sync::{Arc, Mutex, PoisonError};

use cleanup_core::candidate::{Identity, Name};
use cleanup_core::moment::Moment;
use cleanup_core::policy::{Dispose, Quarantine as Bounds};
use cleanup_core::store::Outcome;
use cleanup_core::verdict::Remove;
use rustix::fs::{AtFlags, RenameFlags, StatxFlags};
use rustix::io::Errno;

use super::folder::{self, Missing, RunFolder, file_name};
use super::note::{self, Header, Leaving};
use super::{QuarantineError, QuarantineRun};
use crate::Store;
use crate::entry::{self, Meta, in_words};
use crate::remove::File;
use crate::whole::{self, Sum};

/// Where the files of one run go.
#[derive(Debug)]
pub(crate) struct Aside {
    run: Arc<QuarantineRun>,
    now: Moment,
    /// Made with the first file, so that a run that takes nothing leaves nothing.
    opened: Mutex<Option<Opened>>,
}

#[derive(Debug)]
struct Opened {
    dir: Arc<OwnedFd>,
    notes: OwnedFd,
    buffer: Vec<u8>,
    /// The last line may not have its end.
    is_torn: bool,
}

/// What has been moved aside.
pub(crate) struct Moved {
    dir: Arc<OwnedFd>,
    number: u64,
}

impl Store<'_> {
    /// Moves what it removes into quarantine instead of deleting it, as files of this run. An error says that the
    /// quarantine belongs to somebody else, or is not what it should be.
    pub fn into_quarantine(self, run: Arc<QuarantineRun>, now: Moment) -> Result<Self, QuarantineError> {
        folder::quarantine(&self, Missing::Leave)?;
        Ok(Self { aside: Some(Aside { run, now, opened: Mutex::default() }), ..self })
    }

    /// Lets go of the run's folder in quarantine, until the next file is moved into it.
    pub fn rest_quarantine(&self) {
        if let Some(aside) = &self.aside {
            aside.rest(self);
        }
    }
}

impl Aside {
    /// Moves one file aside that has just been looked at.
    pub(crate) fn take(
        &self,
        store: &Store<'_>,
        dir: BorrowedFd<'_>,
        folder: &[u8],
        file: &File<'_>,
        why: &Remove,
    ) -> Outcome {
        let name = Name { folder, last: file.name.to_bytes() };
        let leaving = Leaving { name, identity: file.identity, bytes: file.bytes, why, at: self.now };
        match self.rename(store, dir, file.name, &leaving) {
            Ok(moved) => moved.settle(dir, file.name, &file.identity),
            Err(outcome) => outcome,
        }
    }

    /// Moves a whole directory aside that has just been looked at.
    pub(crate) fn take_whole(
        &self,
        store: &Store<'_>,
        root: BorrowedFd<'_>,
        name: &CStr,
        sum: &Sum,
        why: &Remove,
    ) -> Result<Moved, Outcome> {
        let name_below = Name { folder: b"", last: name.to_bytes() };
        let leaving = Leaving { name: name_below, identity: sum.identity, bytes: sum.bytes, why, at: self.now };
        self.rename(store, root, name, &leaving)?.settle_whole(store, root, name, sum)
    }

    /// Lets go of the folder; it goes when nothing is left in it.
    fn rest(&self, store: &Store<'_>) {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner).take();
        if opened.is_some() {
            drop(opened);
            let folder = RunFolder::new(&self.run.id, &store.policy.rule.name);
            if let Ok(Some(run)) = folder.open(store) {
                run.tidy();
            }
        }
    }

    /// Writes the note, and moves whatever has the name by now.
    pub(super) fn rename(
        &self,
        store: &Store<'_>,
        dir: BorrowedFd<'_>,
        name: &CStr,
        leaving: &Leaving<'_>,
    ) -> Result<Moved, Outcome> {
        let (aside, number) = self.note(store, leaving).map_err(Outcome::Failed)?;
        match rename_in(dir, name, aside.as_fd(), &file_name(number)) {
            Ok(()) => Ok(Moved { dir: aside, number }),
            Err(Errno::NOENT) => Err(Outcome::Vanished),
            Err(error) => Err(Outcome::Failed(not_moved(error))),
        }
    }

    /// Writes the line of one file, whole, and says where the file is to go.
    fn note(&self, store: &Store<'_>, leaving: &Leaving<'_>) -> Result<(Arc<OwnedFd>, u64), String> {
        let mut guard = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = match &mut *guard {
            Some(opened) => opened,
            none => none.insert(self.open(store).map_err(|error| error.to_string())?),
        };
        opened.buffer.clear();
        if opened.is_torn {
            opened.buffer.push(b'\n');
        }
        let number = self.run.next();
        note::write(&mut opened.buffer, number, leaving);
        let written = rustix::io::write(&opened.notes, &opened.buffer);
        opened.is_torn = written != Ok(opened.buffer.len());
        match written {
            Ok(length) if length == opened.buffer.len() => Ok((Arc::clone(&opened.dir), number)),
            Ok(_) => Err(not_noted(Errno::NOSPC)),
            Err(error) => Err(not_noted(error)),
        }
    }

    fn open(&self, store: &Store<'_>) -> Result<Opened, QuarantineError> {
        let policy = &store.policy.rule.name;
        let keep_for = match store.policy.dispose {
            Dispose::Quarantine(Bounds { keep_for, .. }) => keep_for,
            Dispose::Delete => std::time::Duration::ZERO,
        };
        let header = Header::new(&self.run.id, policy, store.policy.root.as_os_str().as_bytes(), self.now, keep_for);
        let (dir, notes) = RunFolder::new(&self.run.id, policy).begin(store, &header, &self.run)?;
        Ok(Opened { dir: Arc::new(dir), notes, buffer: Vec::new(), is_torn: false })
    }
}

impl Moved {
    /// Deletes a whole directory for good that has been moved aside.
    pub(crate) fn delete(self, store: &Store<'_>) -> Result<(), String> {
        whole::delete(store, self.dir.as_fd(), &self.name()).map(drop)
    }

    /// Looks at a whole directory that came, and puts it back when anything in it is not as it was judged.
    pub(super) fn settle_whole(
        self,
        store: &Store<'_>,
        home: BorrowedFd<'_>,
        name: &CStr,
        judged: &Sum,
    ) -> Result<Self, Outcome> {
        let found = entry::open_dir(&*self.dir, &self.name()).map_err(in_words);
        if found.and_then(|dir| whole::look(store, dir)).is_ok_and(|found| found.is_same(judged)) {
            Ok(self)
        } else {
            Err(self.put_back(home, name))
        }
    }

    /// Looks at what came, and puts it back when it is not what was judged. The move itself changes `ctime`.
    pub(super) fn settle(self, home: BorrowedFd<'_>, name: &CStr, judged: &Identity) -> Outcome {
        let is_same = Meta::of_entry(&*self.dir, &self.name(), StatxFlags::BASIC_STATS).is_ok_and(|meta| {
            meta.is_plain_file() && Identity { changed: judged.changed, ..meta.identity() } == *judged
        });
        if is_same { Outcome::Quarantined } else { self.put_back(home, name) }
    }

    pub(super) fn put_back(self, home: BorrowedFd<'_>, name: &CStr) -> Outcome {
        match rename_out(self.dir.as_fd(), &self.name(), home, name) {
            Ok(()) => Outcome::Changed,
            Err(Errno::EXIST) => Outcome::Failed(
                "it changed while it was moved aside, and its name was taken meanwhile; it is safe in quarantine"
                    .to_owned(),
            ),
            Err(error) => Outcome::Failed(format!(
                "it changed while it was moved aside, and could not be put back ({}); it is safe in quarantine",
                in_words(error)
            )),
        }
    }

    fn name(&self) -> CString {
        file_name(self.number)
    }
}

/// Moves something into a folder that is ours alone, under a name of ours.
fn rename_in(dir: BorrowedFd<'_>, name: &CStr, aside: BorrowedFd<'_>, number: &CStr) -> Result<(), Errno> {
    match rustix::fs::renameat_with(dir, name, aside, number, RenameFlags::NOREPLACE) {
        // Not every file system can refuse to replace. Nobody else makes names in a folder that is ours alone.
        Err(Errno::INVAL | Errno::NOSYS) => {
            if rustix::fs::statat(aside, number, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
                return Err(Errno::EXIST);
            }
            rustix::fs::renameat(dir, name, aside, number)
        }
        result => result,
    }
}

/// Moves something out of a folder that is ours alone, never over anything.
pub(super) fn rename_out(aside: BorrowedFd<'_>, number: &CStr, home: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    match rustix::fs::renameat_with(aside, number, home, name, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS) => link_out(aside, number, home, name),
        result => result,
    }
}

/// The same where the file system cannot refuse to replace: a second name is never made over a first one. Killed in
/// between, the file has both names, and is brought back by whoever restores it.
pub(super) fn link_out(aside: BorrowedFd<'_>, number: &CStr, home: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    match rustix::fs::linkat(aside, number, home, name, AtFlags::empty()) {
        Ok(()) => {}
        Err(Errno::EXIST) if is_one_file(aside, number, home, name) => {}
        Err(error) => return Err(error),
    }
    rustix::fs::unlinkat(aside, number, AtFlags::empty())
}

fn is_one_file(a: BorrowedFd<'_>, first: &CStr, b: BorrowedFd<'_>, second: &CStr) -> bool {
    let id = |dir, name| Meta::of_entry(dir, name, StatxFlags::BASIC_STATS).map(|meta| meta.id);
    id(a, first).is_ok_and(|first| id(b, second) == Ok(first))
}

fn not_moved(error: Errno) -> String {
    match error {
        Errno::XDEV => {
            "it cannot be moved into the quarantine of its root: it lies on another subvolume, layer or project quota"
                .to_owned()
        }
        error => format!("it cannot be moved into quarantine: {}", in_words(error)),
    }
}

fn not_noted(error: Errno) -> String {
    format!("nothing is moved aside without a note, and none can be written: {}", in_words(error))
}
