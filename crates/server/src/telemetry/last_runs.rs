//! What came of each policy's last run, in memory, so that no request has to ask the history for it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use cleanup_core::moment::Moment;
use cleanup_core::report::{Counts, Limit, PolicyKind, PolicyReport, PolicyStatus, Skip};
use cleanup_engine::LastSweep;
use cleanup_engine::responses::LastRun as Remembered;
use schemars::JsonSchema;
use serde::Serialize;

/// A policy's last run. For runs before the start of the service, only the times are known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LastRun {
    /// Its start.
    pub started_at: Option<Moment>,
    /// When the policy last ran completely; skipped and held runs do not count.
    pub succeeded_at: Option<Moment>,
    /// Its result.
    pub outcome: Option<LastOutcome>,
}

/// The result of a run of this service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LastOutcome {
    /// The run's id.
    pub run_id: String,
    /// When this policy's part of the run ended.
    pub finished_at: Moment,
    /// How it ended.
    pub status: PolicyStatus,
    /// The reason, if the status is not `ok`.
    pub message: Option<String>,
    /// The reason for skipping it, for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<Skip>,
    /// Its counts.
    pub counts: Counts,
    /// The result for each limit.
    pub limits: Vec<Limit>,
    /// Items that could not be inspected or removed.
    pub errors_total: u64,
}

/// What the last look at everything of a policy found, by a sweep or a dry run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) at: Moment,
    pub(crate) dry_run: bool,
    /// What is there after it; `None` where it was not counted, as by a sweep of rows.
    pub(crate) items: Option<u64>,
    /// Their allocated bytes, where they were counted.
    pub(crate) bytes: Option<u64>,
    /// What was due and is still there.
    pub(crate) due: u64,
    pub(crate) due_bytes: Option<u64>,
}

/// The last runs of all policies, and whether the last run could be remembered.
#[derive(Debug, Default)]
pub struct LastRuns {
    looks: Mutex<BTreeMap<String, Look>>,
    /// What came of the last sweeps before the service started.
    before: Mutex<BTreeMap<String, LastSweep>>,
    /// How many runs there were.
    runs: AtomicU64,
    policies: Mutex<BTreeMap<String, LastRun>>,
    not_remembered: Mutex<Option<String>>,
    /// The policies whose root is missing and should not be, and what is to be said of it.
    missing_roots: Mutex<BTreeMap<String, String>>,
}

impl LastRuns {
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

    /// Begins with what came of the last sweeps that the history knows. What was seen since then stays.
    pub(crate) fn remember_sweeps(&self, sweeps: Vec<LastSweep>) {
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        for sweep in &sweeps {
            if let Some(items) = sweep.kept {
                looks.entry(sweep.policy.clone()).or_insert(Look {
                    at: sweep.finished_at,
                    dry_run: false,
                    items: Some(items),
                    bytes: sweep.kept_bytes,
                    due: sweep.due.saturating_sub(sweep.removed),
                    due_bytes: None,
                });
            }
        }
        let sweeps = sweeps.into_iter().map(|sweep| (sweep.policy.clone(), sweep)).collect();
        *self.before.lock().unwrap_or_else(PoisonError::into_inner) = sweeps;
    }

    /// Takes note of what a sweep or a dry run of one policy saw.
    pub(crate) fn looked(&self, at: Moment, dry_run: bool, report: &PolicyReport) {
        let counts = &report.counts;
        let saw_nothing =
            matches!(report.status, PolicyStatus::Skipped | PolicyStatus::Failed | PolicyStatus::Interrupted)
                || (report.status == PolicyStatus::Held && counts.scanned == 0);
        if saw_nothing || report.in_part {
            return;
        }
        let (items, bytes) = counts.kept_items();
        let is_files = report.kind == PolicyKind::Files;
        let look = Look {
            at,
            dry_run,
            items: (is_files || dry_run).then_some(items),
            bytes: is_files.then_some(bytes),
            due: counts.still_due(),
            due_bytes: is_files.then(|| counts.still_due_bytes()),
        };
        self.looks.lock().unwrap_or_else(PoisonError::into_inner).insert(report.name.clone(), look);
    }

    /// What the last look at a policy found.
    pub(crate) fn look(&self, policy: &str) -> Option<Look> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner).get(policy).cloned()
    }

    /// What came of a policy's last sweep before the service started.
    pub(crate) fn before(&self, policy: &str) -> Option<LastSweep> {
        self.before.lock().unwrap_or_else(PoisonError::into_inner).get(policy).cloned()
    }

    /// Raised by every run that the history takes: what was read from it before may be old.
    pub(crate) fn runs(&self) -> u64 {
        self.runs.load(Ordering::Relaxed)
    }

    /// A run is in the history.
    pub(crate) fn recorded(&self) {
        self.runs.fetch_add(1, Ordering::Relaxed);
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

    /// Takes note of whether the root of a policy is missing and should not be; with what is to be said of it.
    pub(crate) fn root(&self, policy: &str, missing: Option<String>) {
        let mut roots = self.missing_roots.lock().unwrap_or_else(PoisonError::into_inner);
        match missing {
            Some(why) => roots.insert(policy.to_owned(), why),
            None => roots.remove(policy),
        };
    }

    /// What is to be said of the root of a policy, if it is missing and should not be.
    pub(crate) fn missing_root(&self, policy: &str) -> Option<String> {
        self.missing_roots.lock().unwrap_or_else(PoisonError::into_inner).get(policy).cloned()
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

#[cfg(test)]
mod tests {
    use cleanup_core::report::Tally;

    use super::*;

    #[test]
    fn what_saw_a_part_is_no_look_at_everything() {
        let latest = LastRuns::default();
        let report = |matched, in_part| PolicyReport {
            counts: Counts { scanned: matched, matched, ..Counts::default() },
            in_part,
            ..PolicyReport::finished("a", PolicyKind::Files, Tally::default())
        };
        latest.looked(Moment::EPOCH, false, &report(7, false));
        latest.looked(Moment::EPOCH, false, &report(3, true));
        assert_eq!(latest.look("a").and_then(|look| look.items), Some(7));
    }
}
