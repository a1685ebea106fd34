//! Which folder of a root is ours.
//!
//! As a rule it is `.cleanup`. Where everybody may make folders (a sticky root such as `/tmp`), somebody else may have
//! taken that name, and nobody but them can take it away again. Then ours is called `.cleanup-`, followed by 16 random
//! digits that nobody can take beforehand. It is known by its owner: only this user, or root, makes a folder that belongs
//! to this user. The state remembers the name; where that is lost, the names in the root are read.
//!
//! A `.cleanup` that is ours goes on being used, and being read.

use std::ffi::{CStr, CString};
use std::hash::{BuildHasher as _, RandomState};
use std::os::fd::OwnedFd;
use std::sync::PoisonError;

use cleanup_core::policy::{Dispose, FilePolicy, Unit};
use rustix::fs::StatxFlags;

use super::layout::{Missing, QuarantineError, open, unusable, us};
use crate::sys::dir;
use crate::sys::entry::Meta;
use crate::tree::{OWN_PREFIX, Tree, is_own_folder};

pub(super) const OWN: &CStr = c".cleanup";

/// How often another name is tried, or the same one again that was taken meanwhile.
const TRIES: u32 = 4;

/// A folder of ours, open.
pub(super) struct OwnFolder {
    pub(super) name: CString,
    pub(super) dir: OwnedFd,
}

/// All that there are in a root, the one that is used first.
pub(super) fn all(tree: &Tree<'_>) -> Result<Vec<OwnFolder>, QuarantineError> {
    let root = tree.root.reopen().map_err(|error| unusable(tree, &[], error))?;
    let mut all: Vec<_> = find(tree, &root, OWN)?.into_iter().collect();
    if let Some(name) = tree.own_folder.as_deref().filter(|name| *name != OWN) {
        all.extend(find(tree, &root, name)?);
    }
    // Of a policy that never moved anything aside, nothing is looked for unless somebody has the ordinary name.
    if all.is_empty() && (moves_aside(tree.policy) || is_strangers(&root, OWN)) {
        for name in other_names(tree, &root)? {
            all.extend(find(tree, &root, &name)?);
        }
    }
    Ok(all)
}

/// The one that is used; it is made where there is none.
pub(super) fn make(tree: &Tree<'_>) -> Result<OwnFolder, QuarantineError> {
    let mut tries = 0;
    loop {
        if let Some(own) = all(tree)?.into_iter().next() {
            return Ok(own);
        }
        let root = tree.root.reopen().map_err(|error| unusable(tree, &[], error))?;
        let name = if is_strangers(&root, OWN) { random_name() } else { OWN.to_owned() };
        match open(tree, &root, &name, &[&name], Missing::Make) {
            Ok(Some(dir)) => {
                *tree.own_names.lock().unwrap_or_else(PoisonError::into_inner) = None;
                return Ok(OwnFolder { name, dir });
            }
            Err(error) if tries >= TRIES => return Err(error),
            // Somebody took the name just now, or took the folder away.
            Ok(None) | Err(_) => {}
        }
        tries += 1;
    }
}

/// Opens one of ours; `None` where it is missing, or somebody else's.
fn find(tree: &Tree<'_>, root: &OwnedFd, name: &CStr) -> Result<Option<OwnFolder>, QuarantineError> {
    match open(tree, root, name, &[name], Missing::Leave) {
        Ok(dir) => Ok(dir.map(|dir| OwnFolder { name: name.to_owned(), dir })),
        Err(_) if is_strangers(root, name) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The names in a root that a folder of ours may have besides the ordinary one. They are looked for once: a root may have
/// millions of others.
fn other_names(tree: &Tree<'_>, root: &OwnedFd) -> Result<Vec<CString>, QuarantineError> {
    let mut known = tree.own_names.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(names) = &*known {
        return Ok(names.clone());
    }
    let mut names = Vec::new();
    let read = dir::names(root, |name| {
        if *name != *OWN && is_own_folder(name.to_bytes()) {
            names.push(name.to_owned());
        }
    });
    read.map_err(|error| unusable(tree, &[], error))?;
    names.sort_unstable();
    Ok(known.insert(names).clone())
}

fn moves_aside(policy: &FilePolicy) -> bool {
    policy.dispose != Dispose::Delete || policy.unit == Unit::Directory
}

fn is_strangers(root: &OwnedFd, name: &CStr) -> bool {
    Meta::of_entry(root, name, StatxFlags::UID).is_ok_and(|meta| meta.uid != us())
}

fn random_name() -> CString {
    // The standard library seeds its hashers from the kernel's random numbers.
    let random = RandomState::new().hash_one(0_u8);
    let name = [OWN_PREFIX, format!("{random:016x}").as_bytes()].concat();
    CString::new(name).expect("digits hold no NUL")
}
