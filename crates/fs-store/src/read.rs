//! Reads one directory: names first, then facts, then batches.
//!
//! The order is what makes it fast: `getdents64` gives names and types without touching an inode; the name filter
//! runs on bytes; only what it lets through costs a `statx`. Names wait in one buffer that is used again for every
//! directory, and are handed on [`BATCH`] at a time: memory grows neither with the number of files nor with depth.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::ops::ControlFlow;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;

use cleanup_core::candidate::{Class, Name};
use cleanup_core::policy::Depth;
use cleanup_core::store::{Fault, Seen};
use rustix::fs::{FileType, RawDir, StatxFlags};
use rustix::io::Errno;

use crate::crew::{Hand, Split};
use crate::entry::{Meta, in_words, needs};
use crate::remove::{File, Files};
use crate::{OWN_FOLDER, Store};

/// How many names are looked at, judged and acted on together. More would only be more to wait for at the end.
const BATCH: usize = 1024;

/// Where somebody has nothing to do, so many are worth handing over.
const FEW: usize = 64;

/// After so many names that no pattern means, somebody is told of them.
const PASSED_OVER: u64 = 8192;

/// Room for what one `getdents64` returns: larger is no faster.
const BUFFER: usize = 256 * 1024;

/// What one directory turned out to hold.
pub(crate) struct Contents {
    /// Directories to be walked.
    pub(crate) folders: Names,
    /// Whether anything stays in it, walked directories left aside.
    pub(crate) survivors: bool,
}

/// Reads directories, one at a time.
pub(crate) struct Reader<'scope, 'env> {
    hand: Hand<'scope, 'env>,
    buffer: Vec<MaybeUninit<u8>>,
}

/// Some names of one directory, for another worker to look at.
pub(crate) struct Batch {
    dir: Arc<OwnedFd>,
    folder: Arc<[u8]>,
    names: Names,
    classes: Vec<Class>,
    split: Arc<Split>,
}

impl Batch {
    /// Looks at the names, and says so to whoever waits for them.
    pub(crate) fn run(self, hand: Hand<'_, '_>) {
        let survivors = visit(hand, self.dir.as_fd(), &self.folder, &self.names, &self.classes, Seen::default());
        self.split.settle(hand.crew, survivors);
    }
}

impl<'scope, 'env> Reader<'scope, 'env> {
    pub(crate) fn new(hand: Hand<'scope, 'env>) -> Self {
        Self { hand, buffer: Vec::new() }
    }

    /// Reads one directory to its end and hands its files on. `below` counts from 1, the root's own entries.
    pub(crate) fn read(&mut self, dir: &Arc<OwnedFd>, folder: &[u8], below: Depth) -> Contents {
        self.buffer.resize(BUFFER, MaybeUninit::uninit());
        let mut reading = Reading {
            hand: self.hand,
            dir,
            folder,
            descend: below < self.hand.store.policy.depth,
            seen: Seen::default(),
            names: Names::default(),
            classes: Vec::new(),
            handed: None,
            contents: Contents { folders: Names::default(), survivors: false },
        };
        reading.all(&mut self.buffer);
        reading.contents
    }
}

/// One directory while it is read.
struct Reading<'a, 'scope, 'env> {
    hand: Hand<'scope, 'env>,
    dir: &'a Arc<OwnedFd>,
    folder: &'a [u8],
    descend: bool,
    seen: Seen,
    names: Names,
    classes: Vec<Class>,
    /// What was handed to other workers, and the folder as they know it.
    handed: Option<(Arc<Split>, Arc<[u8]>)>,
    contents: Contents,
}

impl Reading<'_, '_, '_> {
    fn all(&mut self, buffer: &mut [MaybeUninit<u8>]) {
        let mut entries = RawDir::new(self.dir, buffer);
        while let Some(entry) = entries.next() {
            match entry {
                Ok(entry) => self.sort(entry.file_name(), entry.file_type(), entry.ino()),
                // The directory itself was removed: it is empty.
                Err(Errno::NOENT) => break,
                Err(error) => {
                    self.contents.survivors = true;
                    let name = Name { folder: b"", last: self.folder };
                    self.hand.visitor.fault(Fault { name, error: &in_words(error) });
                    break;
                }
            }
            if self.classes.len() >= BATCH {
                self.hand.start();
                if self.hand.crew.has_room() { self.hand_over() } else { self.look() }
            } else if self.classes.len() >= FEW && self.hand.crew.is_hungry() {
                self.hand_over();
            } else if self.seen.scanned >= PASSED_OVER {
                self.hand.visitor.seen(std::mem::take(&mut self.seen));
                if self.hand.visitor.wants_to_stop() {
                    self.hand.crew.end();
                }
            }
            if self.hand.crew.is_over() {
                return;
            }
        }
        self.look();
        if let Some((split, _)) = &self.handed {
            self.contents.survivors |= self.hand.settle(split);
        }
    }

    /// Decides by name and type alone what an entry is to this policy.
    fn sort(&mut self, name: &CStr, kind: FileType, inode: u64) {
        if matches!(name.to_bytes(), b"." | b"..") {
            return;
        }
        self.seen.scanned += 1;
        let kind = match kind {
            FileType::Unknown => Meta::of_entry(self.dir, name, StatxFlags::TYPE).map_or(kind, |meta| meta.kind()),
            kind => kind,
        };
        if kind == FileType::Directory {
            return self.sort_folder(name);
        }
        let Some(class) = self.class(name) else {
            self.contents.survivors = true;
            return;
        };
        let is_file = kind == FileType::RegularFile;
        if is_file && let Some(bytes) = self.hand.store.recall(inode, name.to_bytes(), class) {
            self.seen.indexed += 1;
            self.seen.indexed_bytes += bytes;
            self.contents.survivors = true;
        } else if is_file || kind == FileType::Unknown {
            self.names.push(name);
            self.classes.push(class);
        } else {
            self.leave_alone();
        }
    }

    fn sort_folder(&mut self, name: &CStr) {
        if name.to_bytes() == OWN_FOLDER {
            self.leave_alone();
        } else if self.descend && !self.hand.store.policy.patterns.excludes(self.named(name)) {
            self.contents.folders.push(name);
        } else {
            self.contents.survivors = true;
        }
    }

    /// Looks at the names gathered so far and hands those that are candidates to the visitor.
    fn look(&mut self) {
        let seen = std::mem::take(&mut self.seen);
        self.contents.survivors |= visit(self.hand, self.dir.as_fd(), self.folder, &self.names, &self.classes, seen);
        // Used again: a directory of a million names fills these many times over.
        self.names.clear();
        self.classes.clear();
    }

    /// Leaves the names gathered so far to somebody else.
    fn hand_over(&mut self) {
        self.hand.visitor.seen(std::mem::take(&mut self.seen));
        let (split, folder) = self.handed.get_or_insert_with(|| (Arc::default(), self.folder.into()));
        split.begin();
        self.hand.crew.hand_names(Batch {
            dir: Arc::clone(self.dir),
            folder: Arc::clone(folder),
            names: std::mem::take(&mut self.names),
            classes: std::mem::take(&mut self.classes),
            split: Arc::clone(split),
        });
    }

    fn leave_alone(&mut self) {
        self.seen.left_alone += 1;
        self.contents.survivors = true;
    }

    fn class(&self, name: &CStr) -> Option<Class> {
        self.hand.store.policy.patterns.class(self.named(name))
    }

    fn named<'n>(&'n self, name: &'n CStr) -> Name<'n> {
        Name { folder: self.folder, last: name.to_bytes() }
    }
}

/// Looks at names of one directory and hands those that are candidates to the visitor. Whether anything stays of them.
fn visit(
    hand: Hand<'_, '_>,
    dir: BorrowedFd<'_>,
    folder: &[u8],
    names: &Names,
    classes: &[Class],
    mut seen: Seen,
) -> bool {
    if classes.is_empty() {
        hand.visitor.seen(seen);
        return false;
    }
    let Hand { store, visitor, crew, .. } = hand;
    let needs = needs(store.policy.stamp);
    hand.timed(|| {
        let mut survivors = false;
        let mut files = Vec::with_capacity(classes.len());
        for (name, class) in names.iter().zip(classes) {
            match look_at(store, dir, name, *class, needs) {
                Looked::Candidate(file) => files.push(file),
                Looked::Vanished => seen.vanished += 1,
                Looked::LeftAlone => {
                    seen.left_alone += 1;
                    survivors = true;
                }
                Looked::Unknown(error) => {
                    survivors = true;
                    visitor.fault(Fault { name: Name { folder, last: name.to_bytes() }, error: &error });
                }
            }
        }
        visitor.seen(seen);
        let mut calls = classes.len();
        if !files.is_empty() {
            let mut batch = Files { store, dir, folder, needs, entries: &files, gone: 0 };
            if visitor.batch(&mut batch) == ControlFlow::Break(()) {
                crew.end();
            }
            survivors |= batch.gone < files.len();
            calls += 2 * batch.gone;
        }
        (survivors, calls as u64)
    })
}

/// What became of looking at one name that a pattern means.
pub(crate) enum Looked<'n> {
    Candidate(File<'n>),
    Vanished,
    /// It is nothing that is ever removed.
    LeftAlone,
    /// It could not be looked at, or not be judged; in words.
    Unknown(String),
}

/// Looks at one name in an open directory.
pub(crate) fn look_at<'n>(
    store: &Store<'_>,
    dir: BorrowedFd<'_>,
    name: &'n CStr,
    class: Class,
    needs: StatxFlags,
) -> Looked<'n> {
    let meta = match Meta::of_entry(dir, name, needs) {
        Ok(meta) => meta,
        Err(Errno::NOENT) => return Looked::Vanished,
        Err(error) => return Looked::Unknown(in_words(error)),
    };
    if !meta.is_plain_file() || store.spared.contains(&meta.id) {
        return Looked::LeftAlone;
    }
    match meta.stamp(store.policy.stamp) {
        Some(stamp) => Looked::Candidate(File { name, class, bytes: meta.allocated, stamp, identity: meta.identity() }),
        None => Looked::Unknown(NO_STAMP.to_owned()),
    }
}

/// What is said of a file whose file system does not record the policy's stamp.
pub(crate) const NO_STAMP: &str = "the file system does not record this stamp; choose another `stamp`";

/// Names one behind the other, each ending in NUL, as system calls want them.
#[derive(Default)]
pub(crate) struct Names(Vec<u8>);

impl Names {
    pub(crate) fn push(&mut self, name: &CStr) {
        self.0.extend_from_slice(name.to_bytes_with_nul());
    }

    /// Takes the last name off.
    pub(crate) fn pop(&mut self) -> Option<std::ffi::CString> {
        let end = self.0.len().checked_sub(1)?;
        let start = self.0[..end].iter().rposition(|byte| *byte == 0).map_or(0, |nul| nul + 1);
        let name = self.0[start..end].to_owned();
        self.0.truncate(start);
        Some(std::ffi::CString::new(name).expect("names are split at NUL"))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn is_single(&self) -> bool {
        self.0.iter().position(|byte| *byte == 0).is_some_and(|end| end + 1 == self.0.len())
    }

    /// Takes the first half of the names off, as far as their lengths tell; a single one as a whole. Of several, some
    /// stay: whoever gave away all that he was given would only pass the work round.
    pub(crate) fn take_half(&mut self) -> Self {
        let last = self.0.len().saturating_sub(1);
        let (front, back) = self.0[..last].split_at(last / 2);
        let is_end = |byte: &u8| *byte == 0;
        let behind = back.iter().position(is_end).map(|end| front.len() + end);
        let end = behind.or_else(|| front.iter().rposition(is_end)).unwrap_or(last);
        let rest = self.0.split_off((end + 1).min(self.0.len()));
        Self(std::mem::replace(&mut self.0, rest))
    }

    fn iter(&self) -> impl Iterator<Item = &CStr> {
        self.0
            .split_inclusive(|byte| *byte == 0)
            .map(|name| CStr::from_bytes_with_nul(name).expect("every name ends in its only NUL"))
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_several_names_is_never_all_of_them() {
        let halves = |names: &[&CStr]| {
            let mut rest = Names::default();
            for name in names {
                rest.push(name);
            }
            let half = rest.take_half();
            (half.iter().count(), rest.iter().count())
        };
        assert_eq!(halves(&[]), (0, 0));
        assert_eq!(halves(&[c"single"]), (1, 0));
        assert_eq!(halves(&[c"a", c"long enough to be half"]), (1, 1));
        assert_eq!(halves(&[c"long enough to be half", c"a"]), (1, 1));
        assert_eq!(halves(&[c"a", c"b", c"c", c"d"]), (2, 2));
    }
}
