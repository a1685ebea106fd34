//! Looks again at what lies in quarantine, by what its note says of it, and puts back what is not what was judged.
//!
//! A rename takes whatever has the name at that moment, and a process may be killed before it has looked at what came.
//! So whoever deletes something for good looks first. What is something else goes back under its name, never over
//! anything; a directory whose name was taken goes beside it; and what can do neither stays, and is told of in every
//! run, until somebody restores it.

use std::ffi::{CStr, CString};
use std::os::fd::BorrowedFd;

use cleanup_core::candidate::Escaped;
use rustix::fs::StatxFlags;
use rustix::io::Errno;

use super::layout::RunFolder;
use super::note::Judged;
use crate::act::tree_sum;
use crate::sys::entry::{self, Meta, in_words};
use crate::sys::rename::{is_directory, rename_out};
use crate::tree::Tree;

/// How many names are tried beside one that was taken.
const NAMES: u32 = 100;

/// What was found where something was moved aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// What was judged, as it was.
    Same,
    /// Something else, or written since.
    Changed,
    /// Nothing: it was brought back.
    Gone,
    /// It cannot be told; why, in words.
    Unknown(String),
}

/// Looks at what lies in a run's folder under this name.
pub(super) fn look(tree: &Tree<'_>, ours: BorrowedFd<'_>, name: &CStr, judged: &Judged) -> Found {
    let meta = match Meta::of_entry(ours, name, entry::ALWAYS) {
        Ok(meta) => meta,
        Err(Errno::NOENT) => return Found::Gone,
        Err(error) => return Found::Unknown(in_words(error)),
    };
    let identity = meta.identity();
    if tree.root.has_stable_inodes() && identity.inode != judged.inode {
        return Found::Changed;
    }
    if !meta.is_dir() {
        let is_same = meta.is_plain_file()
            && judged.fingerprint.is_none()
            && (identity.size, identity.modified) == (judged.size, judged.modified);
        return if is_same { Found::Same } else { Found::Changed };
    }
    // What is written from here on must be newer than anything in it.
    if let Err(error) = tree_sum::await_clock(ours, judged.changed) {
        return Found::Unknown(error);
    }
    let dir = entry::open_dir(ours, name).map_err(in_words);
    let sum = match dir.and_then(|dir| tree_sum::look(tree, dir)) {
        Ok(sum) => sum,
        Err(error) => return Found::Unknown(error),
    };
    let identity = sum.identity;
    // Notes of earlier versions have sums alone. Whatever is written in it moves the newest `ctime`.
    let sums = (identity.size, identity.modified, identity.changed) == (judged.size, judged.modified, judged.changed);
    let is_same = judged.fingerprint.map_or(sums, |fingerprint| fingerprint == sum.fingerprint());
    if is_same { Found::Same } else { Found::Changed }
}

/// Where something is after it was to go back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Back {
    /// Where it came from.
    UnderItsName,
    /// In the same folder, under this name.
    Beside(CString),
    /// Nowhere that we put it: somebody else brought it back, or deleted it, and tells of that.
    Gone,
    /// Still in quarantine; why, in words.
    Stays(String),
}

/// Puts something back, never over anything: under its name, or, a directory whose name was taken, beside it.
pub(super) fn put_back(ours: BorrowedFd<'_>, number: &CStr, home: BorrowedFd<'_>, name: &CStr) -> Back {
    match rename_out(ours, number, home, name) {
        Ok(()) => return Back::UnderItsName,
        Err(Errno::EXIST) => {}
        // It may also be the folder that is gone.
        Err(Errno::NOENT) if is_gone(ours, number) => return Back::Gone,
        Err(error) => return Back::Stays(format!("it could not be put back ({})", in_words(error))),
    }
    let taken = || Back::Stays("its name was taken in the meantime".to_owned());
    // A single file is less than what whoever took its name has put there; a directory may hold anything.
    if !is_directory(ours, number) {
        return taken();
    }
    for attempt in 1..=NAMES {
        let beside = [name.to_bytes(), format!(".kept-by-cleanup-{attempt}").as_bytes()].concat();
        let beside = CString::new(beside).expect("neither part holds NUL");
        match rename_out(ours, number, home, &beside) {
            Ok(()) => return Back::Beside(beside),
            Err(Errno::EXIST) => {}
            Err(error) => {
                return Back::Stays(format!(
                    "its name was taken in the meantime, and it could not be put next to it ({})",
                    in_words(error)
                ));
            }
        }
    }
    taken()
}

/// Whether nothing lies in a run's folder under this name.
pub(super) fn is_gone(ours: BorrowedFd<'_>, number: &CStr) -> bool {
    matches!(Meta::of_entry(ours, number, StatxFlags::TYPE), Err(Errno::NOENT))
}

/// What is said of something that stays in quarantine because nobody can answer for its deletion.
pub(super) fn stays_in(folder: &RunFolder, number: u64) -> String {
    format!("stays in quarantine as {} until `cleanup restore` brings it back", Escaped(&place(folder, number)))
}

/// The same of something that has no note.
pub(super) fn stays_for_good_in(folder: &RunFolder, number: u64) -> String {
    format!("stays in quarantine as {} until you move it out by hand", Escaped(&place(folder, number)))
}

fn place(folder: &RunFolder, number: u64) -> Vec<u8> {
    [folder.path(), format!("/{number}").into_bytes()].concat()
}

/// Where something lies that was put beside its name, for people.
pub(super) fn shown(name: &CStr) -> Escaped<'_> {
    Escaped(name.to_bytes())
}
