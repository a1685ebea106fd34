//! What everything in this crate is given: the policy, its opened root, what is protected in it, and whose it is.
//!
//! It knows the facts and nobody who uses them: the walk, the selection, the removal and the quarantine all stand above
//! it.

use std::ffi::CString;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};

use cleanup_core::candidate::{Class, Name};
use cleanup_core::index::Index;
use cleanup_core::owner::{Claim, Ground};
use cleanup_core::policy::{Archives, FilePolicy};

use crate::protected::{Protected, Reserved, is_reserved};
use crate::rivals::{Meeting, Rivals};
use crate::sys::entry::{FileId, Meta};
use crate::sys::root::Root;

/// The name of folders that belong to `cleanup` itself (quarantine, state). They are never entered, at any depth.
pub const OWN_FOLDER: &[u8] = b".cleanup";

/// How the name of such a folder begins where somebody else has taken the ordinary one.
pub(crate) const OWN_PREFIX: &[u8] = b".cleanup-";

/// Whether a folder of this name belongs to `cleanup` itself: `.cleanup`, or `.cleanup-` and 16 hexadecimal digits.
pub(crate) fn is_own_folder(name: &[u8]) -> bool {
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    name == OWN_FOLDER
        || name.strip_prefix(OWN_PREFIX).is_some_and(|rest| rest.len() == 16 && rest.iter().all(is_digit))
}

/// A policy's root, and what is known of it.
#[derive(Debug)]
pub(crate) struct Tree<'a> {
    pub(crate) policy: &'a FilePolicy,
    pub(crate) root: Arc<Root>,
    pub(crate) protected: Protected,
    /// Whether all of it is: the root is, or lies in, a folder of `cleanup` itself.
    pub(crate) is_all_protected: bool,
    /// The other policies, whose files are not candidates.
    pub(crate) rivals: Option<Rivals>,
    /// What need not be looked at.
    pub(crate) index: Option<Arc<Index>>,
    /// The names of our folders in it besides the ordinary one, as they are remembered.
    pub(crate) own_folders: Vec<CString>,
    /// Other names that it may have, once they have been looked for.
    pub(crate) own_names: Mutex<Option<Vec<CString>>>,
}

impl<'a> Tree<'a> {
    pub(crate) fn new(policy: &'a FilePolicy, root: Arc<Root>, protected: Protected) -> Self {
        Self {
            policy,
            root,
            protected,
            is_all_protected: false,
            rivals: None,
            index: None,
            own_folders: Vec::new(),
            own_names: Mutex::default(),
        }
    }

    /// Whether a file or folder is protected.
    pub(crate) fn is_protected(&self, id: &FileId) -> bool {
        self.protected.has(id)
    }

    /// Protects more.
    pub(crate) fn protect(&mut self, protected: Protected) {
        self.protected.add(protected);
        self.is_all_protected =
            self.protected.has_folders() && self.root.is_or_lies_in(&|folder| self.protected.has_all_below(folder));
    }

    /// The names that are protected in a folder.
    pub(crate) fn protected_names_in(&self, folder: &FileId) -> &[Reserved] {
        self.protected.names_in(folder)
    }

    /// Whether a name is protected in a folder that is open.
    pub(crate) fn is_protected_name(&self, folder: impl AsFd, name: &[u8]) -> bool {
        // Most have none at all, and need not be asked which folder this is.
        self.protected.has_names()
            && Meta::of(folder).is_ok_and(|meta| is_reserved(self.protected.names_in(&meta.id), name))
    }

    /// Whose territory the root is.
    pub(crate) fn ground(&self) -> Ground {
        self.rivals.as_ref().map(Rivals::ground).unwrap_or_default()
    }

    /// Whose territory a folder in another one is.
    pub(crate) fn ground_below(&self, ground: &Ground, folder: Name<'_>, id: FileId) -> Ground {
        self.rivals.as_ref().map(|rivals| rivals.below(ground, folder, id)).unwrap_or_default()
    }

    /// Whose a file is that this policy names.
    pub(crate) fn claim(&self, ground: &Ground, file: Name<'_>) -> Claim {
        match &self.rivals {
            Some(rivals) if !ground.is_empty() => ground.claim(rivals.claimants(), file),
            _ => Claim::Own,
        }
    }

    /// Whether a folder stays for the sake of another policy, however empty it is.
    pub(crate) fn is_kept_for_another(&self, ground: &Ground) -> bool {
        self.rivals.as_ref().is_some_and(|rivals| ground.keeper(rivals.claimants()).is_some())
    }

    /// Takes in what was met of others' files.
    pub(crate) fn meet(&self, meeting: &mut Meeting) {
        if let Some(rivals) = &self.rivals {
            rivals.meet(meeting);
        }
    }

    /// The allocated bytes of a file that need not be looked at; `None` when it has to be.
    pub(crate) fn recall(&self, inode: u64, name: &[u8], class: Class) -> Option<u64> {
        let is_kept_anyway = class == Class::Archive && self.policy.rule.archives == Archives::Keep;
        self.index.as_ref().filter(|_| !is_kept_anyway)?.recall(inode, name)
    }
}
