//! Who watches a run: the caller from outside, and the pipeline itself, which passes on what a sweep says.

use std::path::Path;

use cleanup_core::policy::FilePolicy;
use cleanup_core::rank::Cutoffs;
use cleanup_core::report::PolicyReport;
use cleanup_core::store::{Outcome, Seen};
use cleanup_core::sweep::{Judged, Observer};
use cleanup_notify::Spool;

use crate::run::resume::TimeBudget;
use crate::run::trail::{TracedRun, Trail};

/// Watches a run from outside: for lists, progress, events. Called from the engine's threads.
pub trait Watcher: Sync {
    /// A policy begins.
    fn begins(&self, policy: &str) {
        let _ = policy;
    }

    /// What the limits of a policy came to, before its candidates are judged. Not called for a policy that is skipped or
    /// held back.
    fn ranked(&self, policy: &str, cutoffs: &Cutoffs) {
        let _ = (policy, cutoffs);
    }

    /// A candidate was judged and, when due and not in a plan, acted on.
    fn judged(&self, policy: &str, judged: &Judged<'_>) {
        let _ = (policy, judged);
    }

    /// More entries were scanned.
    fn seen(&self, policy: &str, seen: Seen) {
        let _ = (policy, seen);
    }

    /// A policy has ended.
    fn ends(&self, report: &PolicyReport) {
        let _ = report;
    }

    /// Whether the run is to end after the item in hand; what is left is up to the next run.
    fn wants_to_stop(&self) -> bool {
        false
    }
}

/// Watches nothing.
impl Watcher for () {}

/// Asks a watcher only whether to stop.
pub(crate) struct Asking<'a>(pub(crate) &'a dyn Watcher);

impl Observer for Asking<'_> {
    fn wants_to_stop(&self) -> bool {
        self.0.wants_to_stop()
    }
}

/// Passes on what a sweep of one policy says, with the policy's name, and has removals written down.
pub(crate) struct PolicyObserver<'a> {
    pub(crate) name: &'a str,
    /// With the policy and the run, where single removals are written down.
    pub(crate) trail: Option<(&'a Trail, &'a FilePolicy, TracedRun<'a>)>,
    /// With the root of the policy, where a program is to know of what was removed.
    pub(crate) removed: Option<(&'a Spool, &'a Path)>,
    pub(crate) watcher: &'a dyn Watcher,
    /// How long it may take (`max_runtime`).
    pub(crate) budget: TimeBudget,
}

impl Observer for PolicyObserver<'_> {
    fn judged(&self, judged: &Judged<'_>) {
        if let Some((trail, policy, run)) = self.trail {
            trail.judged(policy, run, judged);
        }
        if let (Some((spool, root)), Some(Outcome::Removed | Outcome::Quarantined)) = (self.removed, judged.outcome) {
            spool.add(&[root.as_os_str().as_encoded_bytes(), b"/", &judged.candidate.name.to_bytes()]);
        }
        if let Some(outcome) = judged.outcome {
            tracing::debug!(policy = self.name, path = %judged.candidate.name, ?outcome, "{}", judged.verdict);
        }
        self.watcher.judged(self.name, judged);
    }

    fn seen(&self, seen: Seen) {
        self.budget.looked();
        if let Some((trail, ..)) = self.trail {
            trail.tick();
        }
        self.watcher.seen(self.name, seen);
    }

    fn wants_to_stop(&self) -> bool {
        self.watcher.wants_to_stop() || self.budget.is_used_up()
    }
}
