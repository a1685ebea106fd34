//! Moves files aside: the note first, then a last look, then the rename, then a look at what came.
//!
//! The rename takes whatever has the name at that moment. So it is looked at again *inside* quarantine, where nobody
//! else can reach it, and put back, never over anything, when it is not what was judged. Nothing is ever copied, and
//! nothing that cannot be moved is deleted instead.
//!
//! When a run lets go of its folder, it marks that everything in it was looked at. Where the mark is missing, it was cut
//! off, and the next run looks.

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

use super::layout::{self, Missing, RunFolder, file_name};
use super::note::{self, Header, Leaving, Mark};
use super::settle::{self, Back};
use super::{QuarantineError, QuarantineRun};
use crate::act::delete_tree::{self, DeleteTree, Deleted};
use crate::act::remove::File;
use crate::act::tree_sum::{self, Newest, Sum};
use crate::sys::entry::{self, Meta, in_words};
use crate::tree::Tree;

/// Where the files of one run go.
#[derive(Debug)]
pub(crate) struct MoveIn {
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
    run: Arc<QuarantineRun>,
}

impl MoveIn {
    /// For the files of this run. An error says that the quarantine belongs to somebody else, or is not what it should
    /// be. Nothing is made yet.
    pub(crate) fn new(tree: &Tree<'_>, run: Arc<QuarantineRun>, now: Moment) -> Result<Self, QuarantineError> {
        layout::quarantine(tree, Missing::Leave)?;
        Ok(Self { run, now, opened: Mutex::default() })
    }

    /// Moves one file aside. The last look says whether it is still what was judged.
    pub(crate) fn take(
        &self,
        tree: &Tree<'_>,
        dir: BorrowedFd<'_>,
        folder: &[u8],
        file: &File<'_>,
        why: &Remove,
        last_look: &dyn Fn() -> Result<(), Outcome>,
    ) -> Outcome {
        let name = Name { folder, last: file.name.to_bytes() };
        let (identity, bytes) = (file.identity, file.bytes);
        let leaving = Leaving { name, identity, fingerprint: None, bytes, why, at: self.now };
        match self.rename(tree, dir, file.name, &leaving, last_look) {
            Ok(moved) => moved.settle(tree, dir, file.name, &file.identity),
            Err(outcome) => outcome,
        }
    }

    /// Moves a whole directory aside, and looks at all of it there. The last look says whether the name still leads to it.
    pub(crate) fn take_whole(
        &self,
        tree: &Tree<'_>,
        root: BorrowedFd<'_>,
        name: &CStr,
        sum: &Sum,
        why: &Remove,
        last_look: &dyn Fn() -> Result<(), Outcome>,
    ) -> Result<Moved, Outcome> {
        let name_below = Name { folder: b"", last: name.to_bytes() };
        let fingerprint = Some(sum.fingerprint());
        let leaving =
            Leaving { name: name_below, identity: sum.identity, fingerprint, bytes: sum.bytes, why, at: self.now };
        self.rename(tree, root, name, &leaving, last_look)?.settle_whole(tree, root, name, sum)
    }

    /// Deletes a whole directory for good that was moved aside and looked at. What was written in it since is kept.
    pub(crate) fn delete(
        &self,
        tree: &Tree<'_>,
        moved: &Moved,
        root: BorrowedFd<'_>,
        name: &CStr,
        sum: &Sum,
    ) -> Outcome {
        // Should this be cut off, the next run may go on without a look: of what is half gone nothing could be told.
        self.mark(&Mark::Emptying(moved.number));
        match delete_tree::delete(tree, moved.dir.as_fd(), &moved.name(), DeleteTree::first(Newest::of(sum))) {
            Deleted::All(_) => Outcome::Removed,
            Deleted::Younger { what } => match moved.put_back(root, name) {
                Back::UnderItsName => Outcome::Displaced(format!(
                    "{what} was written while the directory was deleted; that, and what else is left of it, is back in its place"
                )),
                Back::Beside(beside) => Outcome::Displaced(format!(
                    "{what} was written while the directory was deleted, and its name was taken meanwhile; what is left of it lies \
                     beside it as {}",
                    settle::shown(&beside)
                )),
                Back::Stays(why) => Outcome::Failed(format!(
                    "{what} was written while the directory was deleted, and {why}; what is left of it {}",
                    moved.stays_in(tree)
                )),
            },
            Deleted::Failed(error) => Outcome::Failed(format!(
                "it was moved aside, and not all of it could be deleted ({error}); the next sweep tries again"
            )),
        }
    }

    /// Lets go of the folder; it goes when nothing is left in it.
    pub(crate) fn rest(&self, tree: &Tree<'_>) {
        if self.close() {
            let folder = RunFolder::new(&self.run.id, &tree.policy.rule.name);
            if let Ok(Some(run)) = folder.open(tree) {
                run.tidy();
            }
        }
    }

    /// Closes the folder, with a mark that all in it was looked at; whether it was open.
    fn close(&self) -> bool {
        let Some(mut opened) = self.opened.lock().unwrap_or_else(PoisonError::into_inner).take() else { return false };
        if let Some(unsettled) = self.run.unsettled() {
            opened.mark(&Mark::Settled(unsettled));
        }
        true
    }

    fn mark(&self, mark: &Mark) {
        if let Some(opened) = &mut *self.opened.lock().unwrap_or_else(PoisonError::into_inner) {
            opened.mark(mark);
        }
    }

    /// Writes the note, looks for the last time, and moves whatever has the name by now.
    pub(super) fn rename(
        &self,
        tree: &Tree<'_>,
        dir: BorrowedFd<'_>,
        name: &CStr,
        leaving: &Leaving<'_>,
        last_look: &dyn Fn() -> Result<(), Outcome>,
    ) -> Result<Moved, Outcome> {
        let (aside, number) = self.note(tree, leaving).map_err(Outcome::Failed)?;
        // Not before the note: making the folder and writing may take any time.
        last_look()?;
        match rename_in(dir, name, aside.as_fd(), &file_name(number)) {
            Ok(()) => Ok(Moved { dir: aside, number, run: Arc::clone(&self.run) }),
            Err(Errno::NOENT) => Err(Outcome::Vanished),
            Err(error) => Err(Outcome::Failed(not_moved(error))),
        }
    }

    /// Writes the line of one file, whole, and says where the file is to go.
    fn note(&self, tree: &Tree<'_>, leaving: &Leaving<'_>) -> Result<(Arc<OwnedFd>, u64), String> {
        let mut guard = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = match &mut *guard {
            Some(opened) => opened,
            none => none.insert(self.open(tree).map_err(|error| error.to_string())?),
        };
        opened.buffer.clear();
        let number = self.run.next();
        note::write(&mut opened.buffer, number, leaving);
        opened.write().map_err(not_noted)?;
        Ok((Arc::clone(&opened.dir), number))
    }

    fn open(&self, tree: &Tree<'_>) -> Result<Opened, QuarantineError> {
        let policy = &tree.policy.rule.name;
        let keep_for = match tree.policy.dispose {
            Dispose::Quarantine(Bounds { keep_for, .. }) => keep_for,
            Dispose::Delete => std::time::Duration::ZERO,
        };
        let header = Header::new(&self.run.id, policy, tree.policy.root.as_os_str().as_bytes(), self.now, keep_for);
        let (dir, notes) = RunFolder::new(&self.run.id, policy).begin(tree, &header, &self.run)?;
        Ok(Opened { dir: Arc::new(dir), notes, buffer: Vec::new(), is_torn: false })
    }
}

/// Lets go of it as [`MoveIn::rest`] does, but for taking an empty folder away. What is unwound was cut off.
impl Drop for MoveIn {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.close();
        }
    }
}

impl Opened {
    fn mark(&mut self, mark: &Mark) {
        self.buffer.clear();
        note::write_line(&mut self.buffer, mark);
        if let Err(error) = self.write() {
            tracing::debug!("a quarantine could not be marked: {}", in_words(error));
        }
    }

    /// Writes the line in the buffer, in one piece.
    fn write(&mut self) -> Result<(), Errno> {
        if self.is_torn {
            self.buffer.insert(0, b'\n');
        }
        let written = rustix::io::write(&self.notes, &self.buffer);
        self.is_torn = written != Ok(self.buffer.len());
        match written {
            Ok(length) if length == self.buffer.len() => Ok(()),
            Ok(_) => Err(Errno::NOSPC),
            Err(error) => Err(error),
        }
    }
}

impl Moved {
    /// Looks at a whole directory that came, and puts it back when anything in it is not as it was judged.
    pub(super) fn settle_whole(
        self,
        tree: &Tree<'_>,
        home: BorrowedFd<'_>,
        name: &CStr,
        judged: &Sum,
    ) -> Result<Self, Outcome> {
        let look = || {
            // What is written from here on must be newer than anything in it.
            tree_sum::await_clock(self.dir.as_fd(), judged.identity.changed)?;
            let dir = entry::open_dir(&*self.dir, &self.name()).map_err(in_words)?;
            Ok::<_, String>(tree_sum::look(tree, dir)?.is_same(judged))
        };
        match look() {
            Ok(true) => Ok(self),
            Ok(false) => Err(self.changed(tree, home, name, "it changed while it was moved aside")),
            Err(error) => {
                let what = format!("it could not be looked at after it was moved aside ({error})");
                Err(match self.changed(tree, home, name, &what) {
                    Outcome::Changed => Outcome::Failed(format!("{what}; it is back in its place")),
                    outcome => outcome,
                })
            }
        }
    }

    /// Looks at what came, and puts it back when it is not what was judged. The move itself changes `ctime`.
    pub(super) fn settle(self, tree: &Tree<'_>, home: BorrowedFd<'_>, name: &CStr, judged: &Identity) -> Outcome {
        let is_same = Meta::of_entry(&*self.dir, &self.name(), StatxFlags::BASIC_STATS).is_ok_and(|meta| {
            meta.is_plain_file() && Identity { changed: judged.changed, ..meta.identity() } == *judged
        });
        if is_same {
            Outcome::Quarantined
        } else {
            self.changed(tree, home, name, "it changed while it was moved aside")
        }
    }

    /// Puts back what is not what was judged, and says what came of it.
    fn changed(&self, tree: &Tree<'_>, home: BorrowedFd<'_>, name: &CStr, what: &str) -> Outcome {
        match self.put_back(home, name) {
            Back::UnderItsName => Outcome::Changed,
            Back::Beside(beside) => Outcome::Displaced(format!(
                "{what}, and its name was taken meanwhile; it lies beside it as {}",
                settle::shown(&beside)
            )),
            Back::Stays(why) => Outcome::Failed(format!("{what}, and {why}; it {}", self.stays_in(tree))),
        }
    }

    fn put_back(&self, home: BorrowedFd<'_>, name: &CStr) -> Back {
        let back = settle::put_back(self.dir.as_fd(), &self.name(), home, name);
        if matches!(back, Back::Stays(_)) {
            self.run.stays(self.number);
        }
        back
    }

    /// Where it is when it stays.
    fn stays_in(&self, tree: &Tree<'_>) -> String {
        let folder = RunFolder::new(&self.run.id, &tree.policy.rule.name);
        settle::stays_in(&folder, self.number)
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
        Err(Errno::INVAL | Errno::NOSYS) if settle::is_directory(aside, number) => {
            settle::move_directory(aside, number, home, name)
        }
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
