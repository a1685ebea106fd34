//! Moves files into quarantine: the notes first, then for each file a last look, the rename, and a look at what came.
//!
//! The notes of all that is due in a batch are written together and synced once, before the first of its renames. So
//! there is never a file in quarantine without its note, not even after a power failure; a note without its file is of
//! no consequence.
//!
//! The rename takes whatever has the name at that moment. So it is looked at again *inside* quarantine, where nobody
//! else can reach it, and put back, never over anything, when it is not what was judged. Nothing is ever copied, and
//! nothing that cannot be moved is deleted instead.
//!
//! When a run lets go of its folder, it marks that everything in it was looked at. Where the mark is missing, the run
//! was cut off, and the next one looks.

use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::hash::{BuildHasher as _, RandomState};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use cleanup_core::candidate::{Identity, Name};
use cleanup_core::moment::Moment;
use cleanup_core::policy::{Dispose, Quarantine as Bounds};
use cleanup_core::store::{Outcome, Removal};
use cleanup_core::verdict::Remove;
use rustix::fs::StatxFlags;
use rustix::io::Errno;

use super::layout::{self, Begun, RunFolder, file_name};
use super::note::{self, Header, Leaving, Mark};
use super::settle::{self, Back};
use super::{QuarantineError, QuarantineRun};
use crate::act::delete_tree::{self, DeleteTree, Deleted};
use crate::act::remove::File;
use crate::act::tree_sum::{self, Newest, Sum};
use crate::sys::attributes::{Attributes, Ids};
use crate::sys::entry::{self, Meta, in_words};
use crate::sys::rename::rename_in;
use crate::sys::sync::sync;
use crate::tree::Tree;

/// How many notes are written and synced together.
pub(crate) const NOTES: usize = 4096;

/// Where the files of one run go.
#[derive(Debug)]
pub(crate) struct MoveIn {
    run: Arc<QuarantineRun>,
    now: Moment,
    /// Made with the first file, so that a run that takes nothing leaves nothing.
    opened: Mutex<Option<Opened>>,
    /// Why no more notes can be relied on. After a failed sync nobody knows what is on the disk, and the kernel tells of
    /// it only once.
    broken: OnceLock<String>,
}

/// The file of the notes, and how far it is on the disk.
#[derive(Debug)]
struct Notes {
    file: OwnedFd,
    /// How many times something was written whole.
    written: AtomicU64,
    /// How many of those are known to be on the disk. The lock is held during a sync: whoever comes meanwhile waits for it,
    /// and may find that the one after it, which writes for all that wait, was enough for them too.
    synced: Mutex<u64>,
}

#[derive(Debug)]
struct Opened {
    folder: Arc<RunFolder>,
    dir: Arc<OwnedFd>,
    notes: Arc<Notes>,
    buffer: Vec<u8>,
    /// The last line may not have its end.
    is_torn: bool,
    /// The folders of which there is a note, by a hash of their paths. Two with one hash cost one of them its note: it
    /// would come back for its owner alone.
    folders: HashSet<u64>,
    hasher: RandomState,
    ids: Ids,
}

/// A place in quarantine for something whose note is on the disk.
#[derive(Debug)]
pub(crate) struct Noted {
    folder: Arc<RunFolder>,
    dir: Arc<OwnedFd>,
    number: u64,
}

/// What has been moved aside.
pub(crate) struct Moved {
    folder: Arc<RunFolder>,
    dir: Arc<OwnedFd>,
    number: u64,
    run: Arc<QuarantineRun>,
}

impl MoveIn {
    /// For the files of this run. An error says that the quarantine belongs to somebody else, or is not what it should
    /// be. Nothing is made yet.
    pub(crate) fn new(tree: &Tree<'_>, run: Arc<QuarantineRun>, now: Moment) -> Result<Self, QuarantineError> {
        layout::check(tree)?;
        Ok(Self { run, now, opened: Mutex::default(), broken: OnceLock::new() })
    }

    /// Writes the notes of files, each with the path of its folder below the root, and has them on the disk.
    pub(crate) fn note_files(
        &self,
        tree: &Tree<'_>,
        files: &[(&[u8], &File<'_>, &Remove)],
    ) -> Result<Vec<Noted>, String> {
        let mut noted = Vec::with_capacity(files.len());
        for files in files.chunks(NOTES) {
            let leaving: Vec<_> = files.iter().map(|(folder, file, why)| self.leaving(folder, file, why)).collect();
            noted.extend(self.note(tree, &leaving)?);
        }
        Ok(noted)
    }

    fn leaving<'f>(&self, folder: &'f [u8], file: &'f File<'_>, why: &'f Remove) -> Leaving<'f> {
        Leaving {
            name: Name { folder, last: file.name.to_bytes() },
            identity: file.identity,
            fingerprint: None,
            bytes: file.bytes,
            why,
            at: self.now,
        }
    }

    /// Moves one file aside. The last look says whether it is still what was judged.
    pub(crate) fn take(
        &self,
        dir: BorrowedFd<'_>,
        file: &File<'_>,
        noted: Noted,
        last_look: &dyn Fn() -> Result<(), Outcome>,
    ) -> Outcome {
        match self.rename(dir, file.name, noted, last_look) {
            Ok(moved) => moved.settle(dir, file.name, &file.identity),
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
        let noted = self.note(tree, &[leaving]).map_err(Outcome::Failed)?.remove(0);
        self.rename(root, name, noted, last_look)?.settle_whole(tree, root, name, sum)
    }

    /// Deletes a whole directory for good that was moved aside and looked at. What was written in it since is kept.
    pub(crate) fn delete(
        &self,
        tree: &Tree<'_>,
        moved: &Moved,
        root: BorrowedFd<'_>,
        name: &CStr,
        sum: &Sum,
    ) -> Removal {
        // Should this be cut off, the next run may go on without a look: of what is half gone nothing could be told. So
        // the mark has to be on the disk before the first removal.
        if let Err(error) = self.mark_emptying(moved.number) {
            let outcome = match moved.put_back(root, name) {
                Back::UnderItsName => Outcome::Failed(format!("{error}; it is back in its place")),
                Back::Beside(beside) => Outcome::Displaced(format!(
                    "{error}, and its name was taken in the meantime; it is next to it as {}",
                    settle::shown(&beside)
                )),
                Back::Gone => Outcome::Quarantined,
                Back::Stays(why) => Outcome::Failed(format!("{error}, and {why}; it {}", moved.stays_in())),
            };
            return outcome.into();
        }
        let deletion = DeleteTree::first(Newest::of(sum));
        let (deleted, freed) = delete_tree::delete(tree, moved.dir.as_fd(), &moved.name(), deletion);
        let outcome = match deleted {
            Deleted::All => Outcome::Removed,
            Deleted::Younger { what } => match moved.put_back(root, name) {
                Back::UnderItsName => Outcome::Displaced(format!(
                    "{what} was written while the directory was deleted; that, and what else is left of it, is back in its place"
                )),
                Back::Beside(beside) => Outcome::Displaced(format!(
                    "{what} was written while the directory was deleted, and its name was taken in the meantime; what \
                     is left of it is next to it as {}",
                    settle::shown(&beside)
                )),
                Back::Gone => Outcome::Quarantined,
                Back::Stays(why) => Outcome::Failed(format!(
                    "{what} was written while the directory was deleted, and {why}; what is left of it {}",
                    moved.stays_in()
                )),
            },
            Deleted::Failed(error) => Outcome::Failed(format!(
                "it was moved aside, and not all of it could be deleted ({error}); the next sweep tries again"
            )),
        };
        Removal { outcome, freed }
    }

    /// Lets go of the folder; it goes when nothing is left in it.
    pub(crate) fn rest(&self, tree: &Tree<'_>) {
        if let Some(folder) = self.close()
            && let Ok(Some(run)) = folder.open(tree)
        {
            run.tidy();
        }
    }

    /// Closes the folder, with a mark that all in it was looked at; which it was, if it was open.
    fn close(&self) -> Option<Arc<RunFolder>> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        // What went back has to be there after a power failure before the mark is: what came back into quarantine by that
        // would count as looked at.
        let is_certain = !self.run.has_put_back() || sync(&*opened.dir).is_ok();
        if let Some(unsettled) = self.run.unsettled().filter(|_| is_certain) {
            opened.mark(&Mark::Settled(unsettled));
        }
        Some(opened.folder)
    }

    /// Marks that a directory is being emptied, and has that on the disk.
    fn mark_emptying(&self, number: u64) -> Result<(), String> {
        let (notes, written) = {
            let mut guard = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
            // It was opened for the note of this very directory.
            let Some(opened) = &mut *guard else { return Err(not_noted(Errno::BADF)) };
            opened.buffer.clear();
            note::write_line(&mut opened.buffer, &Mark::Emptying(number));
            let written = opened.write().map_err(not_noted)?;
            (Arc::clone(&opened.notes), written)
        };
        self.sync(&notes, written)
    }

    /// Looks for the last time, and moves whatever has the name by now.
    pub(super) fn rename(
        &self,
        dir: BorrowedFd<'_>,
        name: &CStr,
        noted: Noted,
        last_look: &dyn Fn() -> Result<(), Outcome>,
    ) -> Result<Moved, Outcome> {
        // Not before the note: making the folder, writing and syncing may take any time.
        last_look()?;
        let Noted { folder, dir: ours, number } = noted;
        match rename_in(dir, name, ours.as_fd(), &file_name(number)) {
            Ok(()) => Ok(Moved { folder, dir: ours, number, run: Arc::clone(&self.run) }),
            Err(Errno::NOENT) => Err(Outcome::Vanished),
            Err(error) => Err(Outcome::Failed(not_moved(error))),
        }
    }

    /// Writes the notes of several things in one piece, has them on the disk, and says where the things are to go.
    pub(super) fn note(&self, tree: &Tree<'_>, leaving: &[Leaving<'_>]) -> Result<Vec<Noted>, String> {
        let (places, notes, written) = {
            let mut guard = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(why) = self.broken.get() {
                return Err(why.clone());
            }
            let opened = match &mut *guard {
                Some(opened) => opened,
                none => none.insert(self.open(tree).map_err(|error| error.to_string())?),
            };
            opened.buffer.clear();
            let mut places = Vec::with_capacity(leaving.len());
            for leaving in leaving {
                opened.note_folders(tree, leaving.name.folder).map_err(|error| {
                    opened.folders.clear();
                    not_noted(error)
                })?;
                let number = self.run.next();
                note::write(&mut opened.buffer, number, leaving);
                places.push(Noted { folder: Arc::clone(&opened.folder), dir: Arc::clone(&opened.dir), number });
            }
            let written = opened.write().map_err(|error| {
                // Of some of its folders there may be no note now.
                opened.folders.clear();
                not_noted(error)
            })?;
            (places, Arc::clone(&opened.notes), written)
        };
        // Not under the lock, so that others write meanwhile what the next sync is for.
        self.sync(&notes, written)?;
        Ok(places)
    }

    /// Waits until so many writes are on the disk.
    fn sync(&self, notes: &Notes, written: u64) -> Result<(), String> {
        let mut synced = notes.synced.lock().unwrap_or_else(PoisonError::into_inner);
        // Asked under the lock, under which it is set: nobody goes on who was told of success after a failure.
        if let Some(why) = self.broken.get() {
            return Err(why.clone());
        }
        if *synced >= written {
            return Ok(());
        }
        // All that was counted had been written before: `Acquire` here and `Release` there keep that order.
        let all = notes.written.load(Ordering::Acquire);
        if let Err(error) = sync(&notes.file) {
            let why = not_noted(error);
            return Err(self.broken.get_or_init(|| why).clone());
        }
        *synced = all;
        Ok(())
    }

    fn open(&self, tree: &Tree<'_>) -> Result<Opened, QuarantineError> {
        let policy = &tree.policy.rule.name;
        let keep_for = match tree.policy.dispose {
            Dispose::Quarantine(Bounds { keep_for, .. }) => keep_for,
            Dispose::Delete => std::time::Duration::ZERO,
        };
        let header = Header::new(&self.run.id, policy, tree.policy.root.as_os_str().as_bytes(), self.now, keep_for);
        let Begun { folder, dir, notes } = RunFolder::begin(tree, &header, &self.run)?;
        Ok(Opened {
            folder: Arc::new(folder),
            dir: Arc::new(dir),
            notes: Arc::new(Notes { file: notes, written: AtomicU64::new(0), synced: Mutex::new(0) }),
            buffer: Vec::new(),
            is_torn: false,
            folders: HashSet::new(),
            hasher: RandomState::new(),
            ids: Ids::here(),
        })
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
    /// Adds the lines of a folder and of those above it to the buffer, as far as there are none yet.
    fn note_folders(&mut self, tree: &Tree<'_>, folder: &[u8]) -> Result<(), Errno> {
        if folder.is_empty() || self.folders.contains(&self.hasher.hash_one(folder)) {
            return Ok(());
        }
        // By name from the root, as it would be made again; not by what the walk has open, which may lie elsewhere now.
        let mut dir = tree.root.reopen()?;
        let mut path = Vec::new();
        for name in folder.split(|byte| *byte == b'/') {
            path = Name { folder: &path, last: name }.to_bytes();
            let Ok(name) = CString::new(name) else { return Ok(()) };
            dir = match entry::open_dir(&dir, &name) {
                Ok(next) => next,
                // Somebody has moved it, or put something else in its place.
                Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => return Ok(()),
                Err(error) => return Err(error),
            };
            if self.folders.insert(self.hasher.hash_one(path.as_slice())) {
                note::write_folder(&mut self.buffer, &path, &Attributes::of(&dir, self.ids)?);
            }
        }
        Ok(())
    }

    fn mark(&mut self, mark: &Mark) {
        self.buffer.clear();
        note::write_line(&mut self.buffer, mark);
        if let Err(error) = self.write() {
            tracing::debug!("a quarantine could not be marked: {}", in_words(error));
        }
    }

    /// Writes what is in the buffer, in one piece. How many times that was done by now.
    fn write(&mut self) -> Result<u64, Errno> {
        if self.is_torn {
            self.buffer.insert(0, b'\n');
        }
        let written = rustix::io::retry_on_intr(|| rustix::io::write(&self.notes.file, &self.buffer));
        self.is_torn = written != Ok(self.buffer.len());
        match written {
            Ok(length) if length == self.buffer.len() => Ok(self.notes.written.fetch_add(1, Ordering::Release) + 1),
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
            Ok(false) => Err(self.changed(home, name, "it changed while it was moved aside")),
            Err(error) => Err(self.unknown(home, name, &error)),
        }
    }

    /// Looks at what came, and puts it back when it is not what was judged. The move itself changes `ctime`.
    pub(super) fn settle(self, home: BorrowedFd<'_>, name: &CStr, judged: &Identity) -> Outcome {
        match Meta::of_entry(&*self.dir, &self.name(), StatxFlags::BASIC_STATS) {
            Ok(meta) => {
                let identity = Identity { changed: judged.changed, ..meta.identity() };
                if meta.is_plain_file() && identity == *judged {
                    Outcome::Quarantined
                } else {
                    self.changed(home, name, "it changed while it was moved aside")
                }
            }
            Err(error) => self.unknown(home, name, &in_words(error)),
        }
    }

    /// Puts back what could not be looked at.
    fn unknown(&self, home: BorrowedFd<'_>, name: &CStr, error: &str) -> Outcome {
        let what = format!("it could not be inspected after it was moved aside ({error})");
        match self.changed(home, name, &what) {
            Outcome::Changed => Outcome::Failed(format!("{what}; it is back in its place")),
            outcome => outcome,
        }
    }

    /// Puts back what is not what was judged, and says what came of it.
    fn changed(&self, home: BorrowedFd<'_>, name: &CStr, what: &str) -> Outcome {
        match self.put_back(home, name) {
            Back::UnderItsName => Outcome::Changed,
            Back::Beside(beside) => Outcome::Displaced(format!(
                "{what}, and its name was taken in the meantime; it is next to it as {}",
                settle::shown(&beside)
            )),
            // It was moved into quarantine. What became of it there is for somebody else to tell.
            Back::Gone => Outcome::Quarantined,
            Back::Stays(why) => Outcome::Failed(format!("{what}, and {why}; it {}", self.stays_in())),
        }
    }

    fn put_back(&self, home: BorrowedFd<'_>, name: &CStr) -> Back {
        let back = settle::put_back(self.dir.as_fd(), &self.name(), home, name);
        match back {
            Back::UnderItsName | Back::Beside(_) | Back::Gone => self.run.went_back(),
            Back::Stays(_) => self.run.stays(self.number),
        }
        back
    }

    /// Where it is when it stays.
    fn stays_in(&self) -> String {
        settle::stays_in(&self.folder, self.number)
    }

    fn name(&self) -> CString {
        file_name(self.number)
    }
}

fn not_moved(error: Errno) -> String {
    match error {
        Errno::XDEV => {
            "it cannot be moved into the quarantine of its root: it is on another subvolume, layer or project quota"
                .to_owned()
        }
        error => format!("it cannot be moved into quarantine: {}", in_words(error)),
    }
}

fn not_noted(error: Errno) -> String {
    format!("it stays, because its quarantine note cannot be written: {}", in_words(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_something_cannot_be_moved_is_said() {
        assert!(not_moved(Errno::XDEV).contains("another subvolume"));
        let text = not_moved(Errno::NOSPC);
        assert!(
            text.starts_with("it cannot be moved into quarantine: ") && text.ends_with(&in_words(Errno::NOSPC)),
            "{text}"
        );
    }
}
