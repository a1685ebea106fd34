//! Files under a root: walk, look again, remove.
//!
//! A path is used exactly once, to open the root (`root`). From then on everything goes by directory descriptor and
//! a single name: the walk (`walk`), the facts about an entry (`entry`), and the removal (`remove`). No path is
//! ever joined for a system call, no link is ever followed, no other mount is ever entered, so nothing that somebody
//! does to the tree meanwhile can lead out of it.
//!
//! The store offers and acts; it never judges, and it never asks what time it is.

mod entry;
mod look;
mod pick;
mod read;
mod remove;
mod root;
mod walk;
mod watch;

use cleanup_core::policy::FilePolicy;
use cleanup_core::rank::FileSystem;
use cleanup_core::store::{FileStore, Visitor};

pub use entry::FileId;
pub use look::{Found, Look};
pub use pick::Picked;
pub use root::RootError;
pub use watch::{Hint, Watch, WatchError};

use root::Root;

/// The name of folders that belong to `cleanup` itself (quarantine, state). They are never entered, at any depth.
pub const OWN_FOLDER: &[u8] = b".cleanup";

/// A policy's files, with the root opened.
#[derive(Debug)]
pub struct Store<'a> {
    policy: &'a FilePolicy,
    root: Root,
    spared: Vec<FileId>,
}

impl<'a> Store<'a> {
    /// Opens the policy's root. The files in `spared` (such as the configuration itself)
    /// are never candidates, and its folders are never entered.
    pub fn open(policy: &'a FilePolicy, spared: Vec<FileId>) -> Result<Self, RootError> {
        Ok(Self { policy, root: Root::open(&policy.root)?, spared })
    }

    /// Whether this user may remove entries of the root; if not, why.
    pub fn may_remove(&self) -> Result<(), String> {
        self.root.may_remove().map_err(entry::in_words)
    }

    /// Which folder the root is, whatever else its path may lead to later.
    pub fn root_id(&self) -> Option<FileId> {
        self.root.id()
    }

    /// Which file system the root lies on, as `statfs` names it; `None` where it has no name.
    pub fn file_system(&self) -> Option<String> {
        self.root.file_system()
    }

    /// How full the root's file system is, for unprivileged users; an error in words. Costs one system call.
    pub fn space(&self) -> Result<FileSystem, String> {
        self.root.space().map_err(entry::in_words)
    }

    /// Some of its files instead of all: those with these paths below the root.
    pub fn pick<'b>(&'b self, paths: &'b [&'b [u8]]) -> Picked<'b> {
        Picked::new(self, paths)
    }

    /// Finds out what this store would make of one path below the root, without touching it.
    pub fn look(&self, path: &[u8]) -> Look {
        look::look(self, path)
    }
}

impl FileStore for Store<'_> {
    fn offer(&self, visitor: &dyn Visitor) {
        walk::Walk::new(self, visitor).run();
    }
}
