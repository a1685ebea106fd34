//! Files and folders that are never candidates, whatever the patterns say: those of `cleanup` itself.
//!
//! What is there already is known by device and inode. What appears later has none yet: the journal of a database, a log
//! that is begun anew, a state folder that the first run makes. So such a thing is protected by its name as well, in the
//! folder in which it would appear.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crate::sys::entry::FileId;

/// What is protected. Paths are looked up when they are added, links followed; nothing is opened by them later.
#[derive(Clone, Debug, Default)]
pub struct Protected {
    files: HashSet<FileId>,
    /// Those of `files` of which everything below is protected, also where a root lies in them.
    folders: Vec<FileId>,
    /// By the folder that they are in.
    names: HashMap<FileId, Vec<Reserved>>,
}

/// Names that are protected in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reserved {
    /// This one.
    Name(Vec<u8>),
    /// This one, and those that continue it after a dot, a hyphen or the like: `state.db-wal`, `audit.log.1`.
    Stem(Vec<u8>),
}

impl Protected {
    /// Nothing but these files, and these folders with all below them.
    pub fn new(files: impl IntoIterator<Item = FileId>) -> Self {
        Self { files: files.into_iter().collect(), ..Self::default() }
    }

    /// Protects a file, or a folder with everything below it, whether it is there yet or not: under this name and no
    /// other.
    pub fn path(&mut self, path: &Path) {
        self.files.extend(FileId::of(path));
        // Another one may be made in its place.
        self.reserve(path, Reserved::Name);
    }

    /// As [`Self::path`], for a folder that belongs to `cleanup` alone: a root that is this folder, or lies in it, is left
    /// alone as a whole. Not for a folder of somebody else's in which there are only some files of ours.
    pub fn folder(&mut self, path: &Path) {
        self.path(path);
        self.folders.extend(FileId::of(path));
    }

    /// Protects a file, and whatever else has a name in the same folder that continues its name after a dot, a hyphen or
    /// the like, whether it is there yet or not: what a database keeps beside itself, and what a log is turned over to.
    pub fn file_family(&mut self, path: &Path) {
        self.files.extend(FileId::of(path));
        self.reserve(path, Reserved::Stem);
    }

    /// Protects a name in its folder. Where that folder is missing as well, the uppermost missing one is protected: it
    /// would be made for this.
    fn reserve(&mut self, path: &Path, kind: fn(Vec<u8>) -> Reserved) {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return };
        let folder = if folder == Path::new("") { Path::new(".") } else { folder };
        match FileId::of(folder) {
            Some(id) => {
                let reserved = kind(OsStr::as_bytes(name).to_owned());
                let names = self.names.entry(id).or_default();
                if !names.contains(&reserved) {
                    names.push(reserved);
                }
            }
            None => self.reserve(folder, Reserved::Name),
        }
    }

    /// Takes in what somebody else protects.
    pub(crate) fn add(&mut self, other: Self) {
        self.files.extend(other.files);
        self.folders.extend(other.folders);
        for (folder, names) in other.names {
            self.names.entry(folder).or_default().extend(names);
        }
    }

    /// Whether this is such a file, or a folder that is never entered.
    pub(crate) fn has(&self, id: &FileId) -> bool {
        self.files.contains(id)
    }

    /// Whether everything below this folder is protected.
    pub(crate) fn has_all_below(&self, folder: &FileId) -> bool {
        self.folders.contains(folder)
    }

    /// Whether there is anything of which everything below is protected.
    pub(crate) fn has_folders(&self) -> bool {
        !self.folders.is_empty()
    }

    /// Whether any names are protected at all.
    pub(crate) fn has_names(&self) -> bool {
        !self.names.is_empty()
    }

    /// The names that are protected in a folder.
    pub(crate) fn names_in(&self, folder: &FileId) -> &[Reserved] {
        self.names.get(folder).map_or(&[], Vec::as_slice)
    }
}

/// Whether a name is among them.
pub(crate) fn is_reserved(names: &[Reserved], name: &[u8]) -> bool {
    names.iter().any(|reserved| match reserved {
        Reserved::Name(whole) => name == whole,
        Reserved::Stem(stem) => {
            name.strip_prefix(stem.as_slice()).is_some_and(|rest| !rest.first().is_some_and(u8::is_ascii_alphanumeric))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stem_is_continued_by_no_letter_and_no_digit() {
        let stem = [Reserved::Stem(b"state.db".to_vec())];
        for name in ["state.db", "state.db-wal", "state.db.new", "state.db~", "state.db-mj0042"] {
            assert!(is_reserved(&stem, name.as_bytes()), "{name}");
        }
        for name in ["state.dbase", "state.db2", "state.d", "my-state.db", ""] {
            assert!(!is_reserved(&stem, name.as_bytes()), "{name}");
        }
        assert!(!is_reserved(&[Reserved::Name(b"state".to_vec())], b"state-2"));
    }

    #[test]
    fn of_a_folder_that_is_missing_the_uppermost_missing_one_is_protected() {
        let folder = tempfile::tempdir().unwrap();
        let mut protected = Protected::default();
        protected.file_family(&folder.path().join("a/b/state.db"));
        let here = FileId::of(folder.path()).unwrap();
        assert_eq!(protected.names_in(&here), [Reserved::Name(b"a".to_vec())]);
        assert!(!protected.has_folders(), "it is not there, and the folder above it is nobody's");
    }
}
