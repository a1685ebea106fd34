//! Files with several names, counted once.
//!
//! Removing one of several names frees nothing; the space comes back with the last one. So the bytes of such a file
//! stand where the last of its names stands that goes, and nowhere while one of them stays. Only these files are
//! remembered, and of them so many that memory stays bounded: beyond that each name counts by itself.

use std::collections::HashMap;

use crate::candidate::{Candidate, Identity, Name};

/// How many files with several names are remembered, and how many bytes of their names.
const MOST: usize = 100_000;
const MOST_PATH_BYTES: usize = 8 << 20;

/// What becomes of one name, as far as that is known before a limit asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It goes in any case.
    Goes,
    /// It goes if a limit asks for it; with its position.
    MayGo(u128),
    /// It stays.
    Stays,
}

/// One file with several names.
#[derive(Debug)]
pub(super) struct Linked {
    pub(super) bytes: u64,
    links: u32,
    seen: u32,
    stays: u32,
    /// Of the names that may go, the last one to do so.
    last: Option<(u128, Vec<u8>)>,
}

impl Linked {
    /// What becomes of it as a whole.
    pub(super) fn fate(&self) -> Fate {
        match &self.last {
            _ if self.stays > 0 => Fate::Stays,
            Some((position, _)) => Fate::MayGo(*position),
            None => Fate::Goes,
        }
    }

    /// Whether it has names elsewhere: then the file system gets nothing back.
    pub(super) fn has_names_elsewhere(&self) -> bool {
        self.links > self.seen
    }
}

/// The files with several names.
#[derive(Debug, Default)]
pub(super) struct Links {
    files: HashMap<((u32, u32), u64), Linked>,
    path_bytes: usize,
}

/// The identity of a file that has several names.
pub(super) fn several_names(candidate: &Candidate<'_>) -> Option<Identity> {
    candidate.identity.filter(|identity| identity.links > 1)
}

fn key(identity: Identity) -> ((u32, u32), u64) {
    (identity.device, identity.inode)
}

impl Links {
    /// Takes one of several names. `false` when there are too many: then it counts by itself.
    pub(super) fn note(&mut self, identity: Identity, candidate: &Candidate<'_>, fate: Fate) -> bool {
        let is_full = self.files.len() >= MOST || self.path_bytes >= MOST_PATH_BYTES;
        if is_full && !self.files.contains_key(&key(identity)) {
            return false;
        }
        let fresh = || Linked { bytes: candidate.bytes, links: identity.links, seen: 0, stays: 0, last: None };
        let file = self.files.entry(key(identity)).or_insert_with(fresh);
        file.seen += 1;
        match fate {
            Fate::Goes => {}
            Fate::Stays => file.stays += 1,
            Fate::MayGo(position) => {
                let is_later = file.last.as_ref().is_none_or(|(last, path)| {
                    position < *last || (position == *last && candidate.name.cmp_path(path).is_gt())
                });
                if is_later {
                    let path = candidate.name.to_bytes();
                    self.path_bytes += path.len();
                    let before = file.last.replace((position, path));
                    self.path_bytes -= before.map_or(0, |(_, path)| path.len());
                }
            }
        }
        true
    }

    /// All of them.
    pub(super) fn files(&self) -> impl Iterator<Item = &Linked> {
        self.files.values()
    }

    /// Whether its file counts with this very name; `None` for one that is not remembered.
    pub(super) fn counts_with(&self, identity: Identity, position: u128, name: Name<'_>) -> Option<&Linked> {
        let file = self.files.get(&key(identity))?;
        let (last, path) = file.last.as_ref()?;
        (file.stays == 0 && position == *last && name.cmp_path(path).is_eq()).then_some(file)
    }

    /// Whether this file is remembered.
    pub(super) fn knows(&self, identity: Identity) -> bool {
        self.files.contains_key(&key(identity))
    }
}
