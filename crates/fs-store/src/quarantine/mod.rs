//! The quarantine of a root: what is due is moved aside into `.cleanup/quarantine/` of the root itself, and can come
//! back. (Where somebody else has that name, the folder has another one: `own_folder`.)
//!
//! Each run has a folder there, `RUN-POLICY`, with `notes.jsonl` and the files by number. A note is written before its
//! file moves, so whatever is killed leaves each file in exactly one place: a note without a file is of no consequence,
//! and a file without a note (the power failed) is kept as of unknown origin. The folder describes itself; nothing else
//! is needed to bring a file back.
//!
//! Nothing is deleted for good that was not looked at after its move and found to be what was judged (`settle`). What is
//! something else, or was written meanwhile, goes back under its name, or beside it, or stays until somebody restores
//! it.
//!
//! The folders belong to the running user alone and are opened by descriptor, a name at a time, never through a link
//! and never onto another mount: whoever else could write there would choose what is brought back.

mod layout;
mod move_in;
mod note;
mod own_folder;
mod purge;
mod restore;
mod settle;
#[cfg(test)]
mod tests;

use std::ffi::CString;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cleanup_core::moment::Moment;

use crate::tree::Tree;

pub use self::layout::QuarantineError;
pub use self::restore::{Conflict, Returned};

pub(crate) use self::move_in::{MoveIn, NOTES, Noted};

use self::layout::RunFolder;

/// One run, as its quarantined files are found again: its id, and the numbers that it has given out. Whoever moves
/// files aside several times in one run keeps it.
#[derive(Debug)]
pub struct QuarantineRun {
    id: String,
    next: AtomicU64,
    /// What is not what was judged, and could not go back, by number; `None` when that is not known.
    unsettled: Mutex<Option<Vec<u64>>>,
    /// Something went back since that was last asked.
    has_put_back: AtomicBool,
}

impl QuarantineRun {
    /// A run with this id: letters and digits alone, in the order of time.
    pub fn new(id: String) -> Self {
        let unsettled = Mutex::new(Some(Vec::new()));
        Self { id, next: AtomicU64::new(1), unsettled, has_put_back: AtomicBool::new(false) }
    }

    /// The id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether no number was given out yet.
    fn is_fresh(&self) -> bool {
        self.next.load(Ordering::Relaxed) == 1
    }

    fn begin_after(&self, taken: u64, unsettled: Option<Vec<u64>>) {
        self.next.store(taken.saturating_add(1), Ordering::Relaxed);
        *self.unsettled.lock().unwrap_or_else(PoisonError::into_inner) = unsettled;
    }

    /// Notes that something is not what was judged, and could not go back.
    fn stays(&self, number: u64) {
        if let Some(unsettled) = &mut *self.unsettled.lock().unwrap_or_else(PoisonError::into_inner) {
            unsettled.push(number);
        }
    }

    /// Notes that something went back.
    fn went_back(&self) {
        self.has_put_back.store(true, Ordering::Relaxed);
    }

    /// Whether something went back since this was last asked.
    fn has_put_back(&self) -> bool {
        self.has_put_back.swap(false, Ordering::Relaxed)
    }

    fn unsettled(&self) -> Option<Vec<u64>> {
        self.unsettled.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn next(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}

/// What lies in the quarantine of a root, opened for the policies that answer for it.
pub struct Quarantine<'a> {
    tree: &'a Tree<'a>,
    folders: Vec<RunFolder>,
}

/// One file, or whole directory, in quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The run that quarantined it.
    pub run: String,
    /// The policy of that run.
    pub policy: String,
    /// Its number in that run.
    pub number: u64,
    /// Where it came from, below the root; `None` when its note was lost.
    pub path: Option<Vec<u8>>,
    /// Allocated bytes.
    pub bytes: u64,
    /// When it was quarantined.
    pub at: Moment,
    /// How long it was meant to stay when it was moved aside.
    pub keep_for: Duration,
    /// Why it was due, as text.
    pub reason: Option<String>,
}

/// Why not all of a quarantine can be told: the folder, below the root, and what is wrong with it.
pub type Unreadable = (Vec<u8>, String);

/// Opens what lies in quarantine below a root, of the policies that the caller answers for.
pub(crate) fn open<'a>(
    tree: &'a Tree<'a>,
    answers: &dyn Fn(&str) -> bool,
) -> Result<Option<Quarantine<'a>>, QuarantineError> {
    let mut folders = layout::runs(tree)?;
    folders.retain(|folder| answers(&folder.policy));
    Ok((!folders.is_empty()).then_some(Quarantine { tree, folders }))
}

/// The names of our folders in a root, but for the ordinary one.
pub(crate) fn own_folders(tree: &Tree<'_>) -> Vec<Vec<u8>> {
    let names = own_folder::all(tree).unwrap_or_default().into_iter().map(|own| own.name);
    names.filter(|name| **name != *own_folder::OWN).map(CString::into_bytes).collect()
}

impl Quarantine<'_> {
    /// The ids of the runs that have a folder, the oldest first. A folder may turn out to be empty.
    pub fn runs(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.folders.iter().map(|folder| folder.run.as_str())
    }

    /// Calls `each` for everything in it that came by a wanted run, by its id, the oldest run first; says what could not
    /// be read.
    pub fn items(&self, wanted: &dyn Fn(&str) -> bool, each: &mut dyn FnMut(Item)) -> Vec<Unreadable> {
        let mut unreadable = Vec::new();
        for folder in self.folders.iter().filter(|folder| wanted(&folder.run)) {
            let read = folder.open(self.tree).and_then(|run| run.map_or(Ok(()), |run| run.items(each)));
            if let Err(error) = read {
                unreadable.push((folder.path(), error.to_string()));
            }
        }
        unreadable
    }
}
