//! The result of one run of one policy.

use cleanup_core::policy::FilePolicy;
use cleanup_core::rank::Stays;
use cleanup_core::report::{Done, PolicyKind, PolicyReport, Skip, Tally};

use crate::run::limits;

/// The message of a policy that only observes.
pub(crate) const OBSERVED: &str = "observed only (mode = \"observe\"): nothing was removed";

/// The result of a run.
pub(crate) struct RunResult {
    pub(crate) report: PolicyReport,
    /// Its counts; `None` if a gate held the run back.
    pub(crate) tally: Option<Tally>,
    /// What stays, if there are limits and everything was scanned.
    pub(crate) stays: Option<(Stays, Done)>,
}

impl RunResult {
    /// A run that a gate held back.
    pub(super) fn held(report: PolicyReport) -> Box<Self> {
        Box::new(Self { report, tally: None, stays: None })
    }

    /// Says in the report what stays, and what has become of the policy's own limits by it. Whoever has not seen
    /// everything says nothing of limits.
    pub(super) fn with_stays(mut self, policy: &FilePolicy, stays: Option<Stays>, done: Done) -> Self {
        if let Some(stays) = stays.filter(|_| !self.report.in_part) {
            self.report.limits = limits::own(&policy.limits, &stays, done);
            self.stays = Some((stays, done));
        }
        self
    }
}

/// A policy that the configuration switches off.
pub(crate) fn disabled(name: &str, kind: PolicyKind) -> PolicyReport {
    PolicyReport::skipped(name, kind, Skip::Disabled, "disabled in the configuration".to_owned())
}
