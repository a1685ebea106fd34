//! What came of each policy's last run, in memory, so that no request has to ask the history for it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use cleanup_core::moment::Moment;
use cleanup_core::report::{Counts, Limit, PolicyReport, PolicyStatus, Skip};
use cleanup_engine::answer::LastRun as Remembered;
use schemars::JsonSchema;
use serde::Serialize;

/// A policy's last run. Of runs before the service started only the times are known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LastRun {
    /// When it began.
    pub started_at: Option<Moment>,
    /// When the policy last did all that was asked of it; a run that was skipped or held back does not count.
    pub succeeded_at: Option<Moment>,
    /// What came of it.
    pub outcome: Option<LastOutcome>,
}

/// What came of a run of this service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LastOutcome {
    /// The run's id.
    pub run_id: String,
    /// When the policy's part of it ended.
    pub finished_at: Moment,
    /// How it ended.
    pub status: PolicyStatus,
    /// Why, when it is not simply `ok`.
    pub message: Option<String>,
    /// The same for programs, when it was skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<Skip>,
    /// What was counted.
    pub counts: Counts,
    /// What came of each limit.
    pub limits: Vec<Limit>,
    /// Items that could not be looked at or removed.
    pub errors_total: u64,
}

/// The last runs of all policies, and whether the last run could be remembered.
#[derive(Debug, Default)]
pub struct Latest {
    policies: Mutex<BTreeMap<String, LastRun>>,
    not_remembered: Mutex<Option<String>>,
}

impl Latest {
    /// Begins with what the history knows.
    pub(crate) fn remember(&self, runs: Vec<Remembered>) {
        let mut policies = self.policies.lock().unwrap_or_else(PoisonError::into_inner);
        for run in runs {
            policies.entry(run.policy).or_insert(LastRun {
                started_at: Some(run.started_at),
                succeeded_at: run.succeeded_at,
                outcome: None,
            });
        }
    }

    /// Takes note of a run of one policy that was no dry run.
    pub(crate) fn ran(&self, run_id: &str, started_at: Moment, finished_at: Moment, report: &PolicyReport) {
        let mut policies = self.policies.lock().unwrap_or_else(PoisonError::into_inner);
        let last = policies.entry(report.name.clone()).or_default();
        last.started_at = Some(started_at);
        if report.status == PolicyStatus::Ok {
            last.succeeded_at = Some(finished_at);
        }
        last.outcome = Some(LastOutcome {
            run_id: run_id.to_owned(),
            finished_at,
            status: report.status,
            message: report.message.clone(),
            skipped: report.skipped,
            counts: report.counts,
            limits: report.limits.clone(),
            errors_total: report.errors_total,
        });
    }

    /// Takes note of whether a run left something behind for the next one.
    pub(crate) fn remembered(&self, why_not: Option<&str>) {
        *self.not_remembered.lock().unwrap_or_else(PoisonError::into_inner) = why_not.map(str::to_owned);
    }

    /// A policy's last run.
    pub fn of(&self, policy: &str) -> Option<LastRun> {
        self.policies.lock().unwrap_or_else(PoisonError::into_inner).get(policy).cloned()
    }

    /// Why the last run left nothing behind, when it did not. May name a path.
    pub fn not_remembered(&self) -> Option<String> {
        self.not_remembered.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
