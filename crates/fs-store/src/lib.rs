//! Files under a root: walk, look again, remove or move aside, bring back.
//!
//! A path is used exactly once, to open the root (`root`). From then on everything goes by directory descriptor and
//! a single name: the walk (`walk`), its workers (`crew`) and where it was stopped (`leg`), the facts about an entry (`entry`), the removal
//! (`remove`), and the quarantine (`quarantine`). No path is
//! ever joined for a system call, no link is ever followed, no other mount is ever entered, so nothing that somebody
//! does to the tree meanwhile can lead out of it.
//!
//! The store offers and acts; it never judges, and it never asks what time it is.

mod act;
mod quarantine;
mod rivals;
mod select;
mod sys;
mod walk;
mod watch;

use std::sync::Arc;

use cleanup_core::candidate::{Class, Name};
use cleanup_core::index::Index;
use cleanup_core::owner::{Claim, Ground};
use cleanup_core::policy::{Archives, FilePolicy, InUse, Unit};
use cleanup_core::rank::FileSystem;
use cleanup_core::store::{FileStore, Visitor};

pub use act::in_use::View;
pub use quarantine::{Conflict, Item, Quarantine, QuarantineError, QuarantineRun, Returned, Unreadable};
pub use rivals::{Met, Roots};
pub use select::by_path::{Picked, Same, Wanted};
pub use select::classify::{Found, Look};
pub use sys::entry::FileId;
pub use sys::root::{LockedRoot, RootError, RootLocked, check_access_times_of};
pub use walk::resume::{Leg, Place, Position};
pub use walk::worker_pool::Jobs;
pub use watch::{Hint, Watch, WatchError};

use act::in_use::Users;
use quarantine::Aside;
use rivals::{Meeting, Rivals};
use sys::root::Root;

/// The name of folders that belong to `cleanup` itself (quarantine, state). They are never entered, at any depth.
pub const OWN_FOLDER: &[u8] = b".cleanup";

/// A root that stays open from one store to the next.
#[derive(Clone, Debug)]
pub struct KeptRoot(Arc<Root>);

/// A policy's files, with the root opened.
#[derive(Debug)]
pub struct Store<'a> {
    policy: &'a FilePolicy,
    root: Arc<Root>,
    spared: Vec<FileId>,
    /// With `skip_in_use`.
    users: Option<Users>,
    jobs: Jobs,
    /// The other policies, whose files are not candidates.
    rivals: Option<Rivals>,
    /// What need not be looked at.
    index: Option<Arc<Index>>,
    /// Where files go instead of being deleted.
    aside: Option<Aside>,
    /// Files of which names are gone by our hand.
    unnamed: act::remove::Unnamed,
}

impl<'a> Store<'a> {
    /// Opens the policy's root. The files in `spared` (such as the configuration itself)
    /// are never candidates, and its folders are never entered.
    pub fn open(policy: &'a FilePolicy, spared: Vec<FileId>) -> Result<Self, RootError> {
        Self::open_kept(policy, spared, None)
    }

    /// The same, by way of a root that was opened before, if the policy's path still leads to that very folder.
    pub fn open_kept(policy: &'a FilePolicy, spared: Vec<FileId>, kept: Option<&KeptRoot>) -> Result<Self, RootError> {
        let root = match kept.filter(|kept| kept.0.is_at(&policy.root)) {
            Some(KeptRoot(root)) => Arc::clone(root),
            None => Arc::new(Root::open(&policy.root)?),
        };
        let users = (policy.in_use == InUse::Skip).then(Users::default);
        Ok(Self {
            policy,
            root,
            spared,
            users,
            jobs: Jobs::default(),
            rivals: None,
            index: None,
            aside: None,
            unnamed: act::remove::Unnamed::default(),
        })
    }

    /// Has its files offered by so many workers.
    #[must_use]
    pub fn with_jobs(self, jobs: Jobs) -> Self {
        Self { jobs, ..self }
    }

    /// Leaves to other policies what is theirs. Without this the policy has all that it names.
    #[must_use]
    pub fn with_rivals(self, roots: Arc<Roots>) -> Self {
        let rivals = Some(Rivals::new(self.policy, &self.root, roots));
        Self { rivals, ..self }
    }

    /// Passes by what an index knows to be too young. Only those of whole walks do: what is asked for by name is looked
    /// at.
    #[must_use]
    pub fn with_index(self, index: Option<Arc<Index>>) -> Self {
        Self { index, ..self }
    }

    /// Its root, to be opened by. As long as it is kept, nobody can unmount what it lies on.
    pub fn kept_root(&self) -> KeptRoot {
        KeptRoot(Arc::clone(&self.root))
    }

    /// How many files that this policy names were met so far in walks and picks that others claim, by policy.
    pub fn met(&self) -> Vec<Met> {
        self.rivals.as_ref().map(Rivals::met).unwrap_or_default()
    }

    /// Whether there are other policies with this root, or with a root below it.
    pub fn may_meet_others(&self) -> bool {
        self.rivals.as_ref().is_some_and(Rivals::are_near)
    }

    /// The other policies whose root this is as well, links resolved, each with whether it stands before this one in the
    /// configuration.
    pub fn peers(&self) -> impl Iterator<Item = (&str, bool)> {
        self.rivals.iter().flat_map(Rivals::peers)
    }

    /// Whether the policy's path still leads to the folder that was opened.
    pub(crate) fn is_at_its_path(&self) -> bool {
        self.root.is_at(&self.policy.root)
    }

    /// Whether this user may remove entries of the root; if not, why.
    pub fn may_remove(&self) -> Result<(), String> {
        self.root.may_remove().map_err(sys::entry::in_words)
    }

    /// Whether the mount records the moments that the policy's age counts from; if not, nothing may be removed.
    pub fn records_stamp(&self) -> Result<(), RootError> {
        self.root.records(self.policy)
    }

    /// Locks the root for as long as the answer lives, if nobody else has locked it (`honour_flock`).
    pub fn lock_root(&self) -> Result<LockedRoot, RootLocked> {
        self.root.lock()
    }

    /// How much could be seen of who uses what; `None` without `skip_in_use`, and when nothing was to be removed.
    pub fn in_use_view(&self) -> Option<View> {
        self.users.as_ref()?.view()
    }

    /// Which folder the root is, whatever else its path may lead to later.
    pub fn root_id(&self) -> FileId {
        self.root.id()
    }

    /// Which file system the root lies on, as `statfs` names it; `None` where it has no name.
    pub fn file_system(&self) -> Option<String> {
        self.root.file_system()
    }

    /// How full the root's file system is, for unprivileged users; an error in words. Costs one system call.
    pub fn space(&self) -> Result<FileSystem, String> {
        self.root.space().map_err(sys::entry::in_words)
    }

    /// All of its files from where an earlier walk was stopped; without such a place, from the root.
    pub fn leg(&self, begin: Vec<Position>) -> Leg<'_> {
        Leg::new(self, begin)
    }

    /// Some of its files instead of all: those with these paths below the root.
    pub fn pick<'b>(&'b self, paths: &[&'b [u8]]) -> Picked<'b> {
        Picked::new(self, paths.iter().map(|path| Wanted { path, same: None }).collect())
    }

    /// Some of its files, and of its directories with nothing left in them, each only while it is still the same.
    pub fn pick_same<'b>(&'b self, wanted: Vec<Wanted<'b>>) -> Picked<'b> {
        Picked::new(self, wanted)
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

    /// Offers everything, from where an earlier walk was stopped. Says where this one was.
    fn walk(&self, visitor: &dyn Visitor, begin: Vec<Position>) -> Vec<Position> {
        match self.policy.unit {
            Unit::File => walk::worker_pool::walk(self, visitor, begin),
            Unit::Directory => select::whole_dirs::offer(self, visitor, &begin),
        }
    }

    /// Whether this is a file or folder that says what to keep.
    pub(crate) fn is_spared(&self, id: &FileId) -> bool {
        self.spared.contains(id)
    }

    /// Finds out what this store would make of one path below the root, without touching it.
    pub fn look(&self, path: &[u8]) -> Look {
        select::classify::look(self, path)
    }
}

impl FileStore for Store<'_> {
    fn offer(&self, visitor: &dyn Visitor) {
        self.walk(visitor, Vec::new());
    }
}
