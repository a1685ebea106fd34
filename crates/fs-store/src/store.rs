//! The roof of the crate: a policy's files, with the root opened.

use std::ffi::CString;
use std::sync::{Arc, Mutex, PoisonError};

use cleanup_core::index::Index;
use cleanup_core::moment::Moment;
use cleanup_core::policy::{FilePolicy, InUse, Unit};
use cleanup_core::rank::FileSystem;
use cleanup_core::store::{FileStore, Seen, Visitor};

use crate::act::in_use::{Users, View};
use crate::act::remove::Remover;
use crate::protected::Protected;
use crate::quarantine::{self, MoveIn, Quarantine, QuarantineError, QuarantineRun};
use crate::rivals::{Met, Rivals, Roots};
use crate::select::by_path::{Selected, Wanted};
use crate::select::classify::{self, Classified};
use crate::select::whole_dirs;
use crate::sys::entry::{FileId, in_words};
use crate::sys::root::{LockedRoot, Root, RootError, RootLocked};
use crate::tree::{Tree, is_own_folder};
use crate::walk::resume::ResumePoint;
use crate::walk::worker_pool::{self, Jobs};

/// A root that stays open from one store to the next.
#[derive(Clone, Debug)]
pub struct KeptRoot(Arc<Root>);

/// A policy's files, with the root opened.
#[derive(Debug)]
pub struct Store<'a> {
    pub(crate) tree: Tree<'a>,
    pub(crate) remover: Remover,
    jobs: Jobs,
}

impl<'a> Store<'a> {
    /// Opens the policy's root. The files in `protected` (such as the configuration itself) are never candidates, and
    /// its folders are never entered.
    pub fn open(policy: &'a FilePolicy, protected: Vec<FileId>) -> Result<Self, RootError> {
        Self::open_kept(policy, protected, None)
    }

    /// The same, by way of a root that was opened before, if the policy's path still leads to that very folder.
    pub fn open_kept(
        policy: &'a FilePolicy,
        protected: Vec<FileId>,
        kept: Option<&KeptRoot>,
    ) -> Result<Self, RootError> {
        let root = match kept.filter(|kept| kept.0.is_at(&policy.root)) {
            Some(KeptRoot(root)) => Arc::clone(root),
            None => Arc::new(Root::open(&policy.root)?),
        };
        let users = (policy.in_use == InUse::Skip).then(Users::default);
        Ok(Self {
            tree: Tree::new(policy, root, Protected::new(protected)),
            remover: Remover { users, ..Remover::default() },
            jobs: Jobs::default(),
        })
    }

    /// Protects these as well.
    #[must_use]
    pub fn protecting(mut self, protected: Protected) -> Self {
        self.tree.protect(protected);
        self
    }

    /// Has its files offered by so many workers.
    #[must_use]
    pub fn with_jobs(self, jobs: Jobs) -> Self {
        Self { jobs, ..self }
    }

    /// Leaves to other policies what is theirs. Without this the policy has all that it names.
    #[must_use]
    pub fn with_rivals(mut self, roots: Arc<Roots>) -> Self {
        self.tree.rivals = Some(Rivals::new(self.tree.policy, &self.tree.root, roots));
        self
    }

    /// Passes by what an index knows to be too young. Only whole walks do: what is asked for by name is looked at.
    #[must_use]
    pub fn with_index(mut self, index: Option<Arc<Index>>) -> Self {
        self.tree.index = index;
        self
    }

    /// Looks for its folder in the root (quarantine) under this name as well, the one that [`Self::own_folder`] told an
    /// earlier store, before it reads all names in the root to find it.
    #[must_use]
    pub fn with_own_folder(mut self, name: Option<&[u8]>) -> Self {
        self.tree.own_folder = name.filter(|name| is_own_folder(name)).and_then(|name| CString::new(name).ok());
        self
    }

    /// The name of its folder in the root, where that is another one than `.cleanup`, because somebody else has taken that;
    /// to be remembered.
    pub fn own_folder(&self) -> Option<Vec<u8>> {
        quarantine::own_folder(&self.tree)
    }

    /// Its root, for a later store to be opened by. As long as it is kept, nobody can unmount what it lies on.
    pub fn kept_root(&self) -> KeptRoot {
        KeptRoot(Arc::clone(&self.tree.root))
    }

    /// How many files that this policy names were met so far in walks and picks that others claim, by policy.
    pub fn met(&self) -> Vec<Met> {
        self.tree.rivals.as_ref().map(Rivals::met).unwrap_or_default()
    }

    /// Whether there are other policies with this root, or with a root below it.
    pub fn may_meet_others(&self) -> bool {
        self.tree.rivals.as_ref().is_some_and(Rivals::are_near)
    }

    /// The other policies whose root this is as well, links resolved, each with whether it stands before this one in the
    /// configuration.
    pub fn peers(&self) -> impl Iterator<Item = (&str, bool)> {
        self.tree.rivals.iter().flat_map(Rivals::peers)
    }

    /// Whether the policy's path still leads to the folder that was opened.
    pub(crate) fn is_at_its_path(&self) -> bool {
        self.tree.root.is_at(&self.tree.policy.root)
    }

    /// Whether this user may remove entries of the root; if not, why.
    pub fn may_remove(&self) -> Result<(), String> {
        self.tree.root.may_remove().map_err(in_words)
    }

    /// Whether the mount records the moments that the policy's age counts from; if not, nothing may be removed.
    pub fn records_stamp(&self) -> Result<(), RootError> {
        self.tree.root.records(self.tree.policy)
    }

    /// Locks the root for as long as the answer lives, if nobody else has locked it (`honour_flock`).
    pub fn lock_root(&self) -> Result<LockedRoot, RootLocked> {
        self.tree.root.lock()
    }

    /// How much could be seen of who uses what; `None` without `skip_in_use`, and when nothing was to be removed.
    pub fn in_use_view(&self) -> Option<View> {
        self.remover.users.as_ref()?.view()
    }

    /// Which folder the root is, whatever else its path may lead to later.
    pub fn root_id(&self) -> FileId {
        self.tree.root.id()
    }

    /// Which file system the root lies on, as `statfs` names it; `None` where it has no name.
    pub fn file_system(&self) -> Option<String> {
        self.tree.root.file_system()
    }

    /// How full the root's file system is, for unprivileged users; an error in words. Costs one system call.
    pub fn space(&self) -> Result<FileSystem, String> {
        self.tree.root.space().map_err(in_words)
    }

    /// Finds out what this store would make of one path below the root, without touching it.
    pub fn classify(&self, path: &[u8]) -> Classified {
        classify::classify(&self.tree, path)
    }

    /// All of its files from where an earlier walk was stopped; without such a place, from the root.
    pub fn resume(&self, begin: Vec<ResumePoint>) -> Resumed<'_> {
        Resumed { store: self, begin, stopped_at: Mutex::default() }
    }

    /// Some of its files instead of all: those with these paths below the root.
    pub fn select<'b>(&'b self, paths: &[&'b [u8]]) -> Selected<'b> {
        self.select_same(paths.iter().map(|path| Wanted { path, same: None }).collect())
    }

    /// Some of its files, and of its directories with nothing left in them, each only while it is still the same.
    pub fn select_same<'b>(&'b self, wanted: Vec<Wanted<'b>>) -> Selected<'b> {
        Selected::new(&self.tree, &self.remover, self.jobs, wanted)
    }

    /// Opens what lies in quarantine below this root; `None` when there is none. `answers` says for which policies, by
    /// name, the caller answers: several may share a root.
    pub fn quarantine(&self, answers: &dyn Fn(&str) -> bool) -> Result<Option<Quarantine<'_>>, QuarantineError> {
        quarantine::open(&self.tree, answers)
    }

    /// Moves what it removes into quarantine instead of deleting it, as files of this run. An error says that the
    /// quarantine belongs to somebody else, or is not what it should be.
    pub fn into_quarantine(mut self, run: Arc<QuarantineRun>, now: Moment) -> Result<Self, QuarantineError> {
        self.remover.move_in = Some(MoveIn::new(&self.tree, run, now)?);
        Ok(self)
    }

    /// Lets go of the run's folder in quarantine, until the next file is moved into it.
    pub fn rest_quarantine(&self) {
        if let Some(move_in) = &self.remover.move_in {
            move_in.rest(&self.tree);
        }
    }

    /// Offers everything, from where an earlier walk was stopped. Says where this one was.
    fn walk(&self, visitor: &dyn Visitor, begin: Vec<ResumePoint>) -> Vec<ResumePoint> {
        if self.tree.is_all_protected {
            visitor.seen(Seen { left_alone: 1, ..Seen::default() });
            return Vec::new();
        }
        match self.tree.policy.unit {
            Unit::File => worker_pool::walk(&self.tree, &self.remover, self.jobs, visitor, begin),
            Unit::Directory => whole_dirs::offer(&self.tree, &self.remover, visitor, &begin),
        }
    }
}

impl FileStore for Store<'_> {
    fn offer(&self, visitor: &dyn Visitor) {
        self.walk(visitor, Vec::new());
    }
}

/// A store from where an earlier walk was stopped.
#[derive(Debug)]
pub struct Resumed<'a> {
    store: &'a Store<'a>,
    begin: Vec<ResumePoint>,
    stopped_at: Mutex<Vec<ResumePoint>>,
}

impl Resumed<'_> {
    /// What was next when the visitor stopped the last walk, the first of it first; the others stand in for it where it
    /// is gone when somebody goes on. Empty when the walk came to its end.
    pub fn stopped_at(self) -> Vec<ResumePoint> {
        self.stopped_at.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FileStore for Resumed<'_> {
    fn offer(&self, visitor: &dyn Visitor) {
        let stopped_at = self.store.walk(visitor, self.begin.clone());
        *self.stopped_at.lock().unwrap_or_else(PoisonError::into_inner) = stopped_at;
    }
}
