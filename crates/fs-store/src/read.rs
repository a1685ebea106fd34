//! Reads one directory: names first, then facts, then batches.
//!
//! The order is what makes it fast: `getdents64` gives names and types without touching an inode; the name filter
//! runs on bytes; only what it lets through costs a `statx`. Names wait in one buffer that is used again for every
//! directory, and are handed on [`BATCH`] at a time: memory grows neither with the number of files nor with depth.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;

use cleanup_core::candidate::{Class, Name};
use cleanup_core::policy::Depth;
use cleanup_core::store::{Fault, Seen, Visitor};
use rustix::fs::{FileType, RawDir, StatxFlags};
use rustix::io::Errno;

use crate::entry::{Meta, in_words, needs};
use crate::remove::{File, Files};
use crate::{OWN_FOLDER, Store};

/// How many names are looked at, judged and acted on together.
const BATCH: usize = 8192;

/// Room for what one `getdents64` returns: larger is no faster.
const BUFFER: usize = 256 * 1024;

/// What one directory turned out to hold.
pub(crate) struct Contents {
    /// Directories to be walked.
    pub(crate) folders: Names,
    /// Whether anything stays in it, walked directories left aside.
    pub(crate) survivors: bool,
    /// Break when the visitor wants no more.
    pub(crate) flow: ControlFlow<()>,
}

/// Reads directories, one at a time.
pub(crate) struct Reader<'a> {
    store: &'a Store<'a>,
    visitor: &'a dyn Visitor,
    needs: StatxFlags,
    buffer: Vec<MaybeUninit<u8>>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(store: &'a Store<'a>, visitor: &'a dyn Visitor) -> Self {
        let buffer = vec![MaybeUninit::uninit(); BUFFER];
        Self { store, visitor, needs: needs(store.policy.stamp), buffer }
    }

    /// Reads one directory to its end and hands its files on. `below` counts from 1, the root's own entries.
    pub(crate) fn read(&mut self, dir: BorrowedFd<'_>, folder: &[u8], below: Depth) -> Contents {
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut reading = Reading {
            reader: self,
            dir,
            folder,
            descend: below < self.store.policy.depth,
            seen: Seen::default(),
            names: Names::default(),
            classes: Vec::new(),
            contents: Contents { folders: Names::default(), survivors: false, flow: ControlFlow::Continue(()) },
        };
        reading.all(&mut buffer);
        let contents = reading.contents;
        self.buffer = buffer;
        contents
    }
}

/// One directory while it is read.
struct Reading<'a, 'r> {
    reader: &'a Reader<'r>,
    dir: BorrowedFd<'a>,
    folder: &'a [u8],
    descend: bool,
    seen: Seen,
    names: Names,
    classes: Vec<Class>,
    contents: Contents,
}

impl Reading<'_, '_> {
    fn all(&mut self, buffer: &mut [MaybeUninit<u8>]) {
        let mut entries = RawDir::new(self.dir, buffer);
        while let Some(entry) = entries.next() {
            match entry {
                Ok(entry) => self.sort(entry.file_name(), entry.file_type()),
                // The directory itself was removed: it is empty.
                Err(Errno::NOENT) => break,
                Err(error) => {
                    self.contents.survivors = true;
                    let name = Name { folder: b"", last: self.folder };
                    self.reader.visitor.fault(Fault { name, error: &in_words(error) });
                    break;
                }
            }
            if self.classes.len() == BATCH {
                self.hand_on();
            }
            if self.contents.flow.is_break() {
                return;
            }
        }
        self.hand_on();
    }

    /// Decides by name and type alone what an entry is to this policy.
    fn sort(&mut self, name: &CStr, kind: FileType) {
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
        match self.class(name) {
            Some(class) if kind == FileType::RegularFile || kind == FileType::Unknown => {
                self.names.push(name);
                self.classes.push(class);
            }
            Some(_) => self.leave_alone(),
            None => self.contents.survivors = true,
        }
    }

    fn sort_folder(&mut self, name: &CStr) {
        if name.to_bytes() == OWN_FOLDER {
            self.leave_alone();
        } else if self.descend && !self.reader.store.policy.patterns.excludes(self.named(name)) {
            self.contents.folders.push(name);
        } else {
            self.contents.survivors = true;
        }
    }

    /// Looks at the names gathered so far and hands those that are candidates to the visitor.
    fn hand_on(&mut self) {
        let names = std::mem::take(&mut self.names);
        let classes = std::mem::take(&mut self.classes);
        let mut files = Vec::with_capacity(classes.len());
        for (name, class) in names.iter().zip(&classes) {
            files.extend(self.look(name, *class));
        }

        self.reader.visitor.seen(std::mem::take(&mut self.seen));
        if !files.is_empty() {
            let mut batch = Files {
                store: self.reader.store,
                dir: self.dir,
                folder: self.folder,
                needs: self.reader.needs,
                entries: &files,
                gone: 0,
            };
            self.contents.flow = self.reader.visitor.batch(&mut batch);
            self.contents.survivors |= batch.gone < files.len();
        }

        // Used again: a directory of a million names fills these many times over.
        self.names = names.cleared();
        self.classes = classes;
        self.classes.clear();
    }

    fn look<'n>(&mut self, name: &'n CStr, class: Class) -> Option<File<'n>> {
        match look_at(self.reader.store, self.dir, name, class, self.reader.needs) {
            Looked::Candidate(file) => Some(file),
            Looked::Vanished => {
                self.seen.vanished += 1;
                None
            }
            Looked::LeftAlone => {
                self.leave_alone();
                None
            }
            Looked::Unknown(error) => self.keep_with(name, &error),
        }
    }

    /// Keeps what cannot be judged, and says why.
    fn keep_with<T>(&mut self, name: &CStr, error: &str) -> Option<T> {
        self.contents.survivors = true;
        self.reader.visitor.fault(Fault { name: self.named(name), error });
        None
    }

    fn leave_alone(&mut self) {
        self.seen.left_alone += 1;
        self.contents.survivors = true;
    }

    fn class(&self, name: &CStr) -> Option<Class> {
        self.reader.store.policy.patterns.class(self.named(name))
    }

    fn named<'n>(&'n self, name: &'n CStr) -> Name<'n> {
        Name { folder: self.folder, last: name.to_bytes() }
    }
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

    fn iter(&self) -> impl Iterator<Item = &CStr> {
        self.0
            .split_inclusive(|byte| *byte == 0)
            .map(|name| CStr::from_bytes_with_nul(name).expect("every name ends in its only NUL"))
    }

    fn cleared(mut self) -> Self {
        self.0.clear();
        self
    }
}
