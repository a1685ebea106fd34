//! Which of a policy's files a run covers.

use std::sync::Arc;

use cleanup_core::registration::Registrations;
use cleanup_core::report::Counts;
use cleanup_fs_store::{QuarantineRun, Same};

use crate::track::table::Known;

/// Which of a policy's files a run covers.
pub(crate) enum Scope<'a> {
    /// All of them.
    All,
    /// All of them, from where the last run was stopped (`max_runtime`).
    Resume,
    /// Those that a plan names, a chunk at a time.
    Planned(&'a mut dyn Iterator<Item = Vec<Named>>),
    /// Those whose moment has come, of a policy that is tracked.
    Paths(&'a Due<'a>),
}

/// A file that a plan names.
pub(crate) struct Named {
    pub(crate) path: Vec<u8>,
    pub(crate) same: Same,
}

/// Files whose moment has come, and what their table knows that a walk would have to find out.
pub(crate) struct Due<'a> {
    /// Below the root.
    pub(crate) paths: &'a [&'a [u8]],
    /// Since when they count, where their stamps do not tell.
    pub(crate) registrations: Registrations,
    pub(crate) table: Known,
    /// How many files the policy names, and how many of them are due: of all of them, however few this run covers.
    pub(crate) counts: Counts,
    /// Whether the table counts everything that a sweep would take by the same rule.
    pub(crate) counts_all: bool,
    /// How many may be removed.
    pub(crate) max_removals: Option<u64>,
    /// The run into whose quarantine they go: several removals are one run in the history.
    pub(crate) quarantine: Arc<QuarantineRun>,
    /// Whether it is time to purge what has been in quarantine long enough.
    pub(crate) purges: bool,
}

impl Scope<'_> {
    /// Whether the run waits for other runs of the policy. Deadlines do not: they would miss their moments behind a sweep
    /// of hours, and an `unlinkat` counts for whoever made it, so that the two can only share the work.
    pub(crate) fn takes_policy_lock(&self) -> bool {
        match self {
            Self::All | Self::Resume | Self::Planned(_) => true,
            Self::Paths(_) => false,
        }
    }

    /// Whether the run covers all files of the policy, unless it is stopped.
    pub(crate) fn is_everything(&self) -> bool {
        match self {
            Self::All | Self::Resume => true,
            Self::Planned(_) | Self::Paths(_) => false,
        }
    }
}
