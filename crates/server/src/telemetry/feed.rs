//! Where everything that happens comes together: events for whoever listens, numbers for monitoring, the last run of
//! each policy, and the log of what went wrong beside the work. It tells nobody what to do.

use std::sync::Arc;
use std::time::Duration;

use cleanup_core::moment::Moment;
use cleanup_core::report::{
    PolicyKind, PolicyReport, PolicyStatus, Report, RunStatus, Skip, Totals, Trigger, json_path,
};
use cleanup_engine::track::{Absent, Listener, Watching};
use cleanup_metrics::Metrics;
use serde::Serialize;

use crate::telemetry::events::{Events, Kind};
use crate::telemetry::findings::Findings;
use crate::telemetry::last_runs::LastRuns;
use crate::telemetry::recent_removals::{Gone, RecentRemovals};
use crate::telemetry::report_log::ReportLog;
use cleanup_engine::now;

/// Takes in what happens; the tracker tells it as a [`Listener`], sweeps by its own methods.
#[derive(Debug)]
pub struct Feed {
    /// What is told at once.
    pub events: Arc<Events>,
    /// What monitoring reads.
    pub metrics: Metrics,
    /// What came of the last runs.
    pub last_runs: LastRuns,
    /// What the last runs found that needs somebody.
    pub(crate) findings: Findings,
    /// What went at its deadline lately.
    pub(crate) recent_removals: RecentRemovals,
    report_log: ReportLog,
}

#[derive(Serialize)]
struct OfFile<'a> {
    policy: &'a str,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_bytes: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lateness_seconds: Option<f64>,
}

#[derive(Serialize)]
struct OfPolicy<'a> {
    policy: &'a str,
}

#[derive(Serialize)]
struct OfWatching<'a> {
    policy: &'a str,
    watching: &'a Watching,
}

#[derive(Serialize)]
struct Started<'a> {
    run_id: &'a str,
    trigger: Trigger,
    dry_run: bool,
    policies: &'a [String],
}

#[derive(Serialize)]
struct Ended<'a> {
    run_id: &'a str,
    trigger: Trigger,
    dry_run: bool,
    status: RunStatus,
    totals: Totals,
    policies: Vec<&'a str>,
}

impl Feed {
    pub(crate) fn new(boot: String) -> Self {
        Self {
            events: Arc::new(Events::new(boot)),
            metrics: Metrics::of_service(),
            last_runs: LastRuns::default(),
            findings: Findings::default(),
            recent_removals: RecentRemovals::default(),
            report_log: ReportLog::default(),
        }
    }

    pub(crate) fn sweep_started(&self, run_id: &str, trigger: Trigger, dry_run: bool, policies: &[String]) {
        self.events.send(Kind::SweepStarted, &Started { run_id, trigger, dry_run, policies });
    }

    /// One policy of a sweep has ended.
    pub(crate) fn policy_swept(
        &self,
        run_id: &str,
        (started_at, finished_at): (Moment, Moment),
        report: &PolicyReport,
        elapsed: Option<Duration>,
    ) {
        self.looked_at_root(report);
        self.metrics.swept(report, finished_at, elapsed);
        self.last_runs.ran(run_id, started_at, finished_at, report);
        self.last_runs.looked(finished_at, false, report);
    }

    /// Whether the root of a policy is missing and should not be; with what is to be said of it.
    pub(crate) fn root(&self, policy: &str, missing: Option<String>) {
        self.metrics.root(policy, missing.is_some());
        self.last_runs.root(policy, missing);
    }

    /// Takes from a report whether the root was there. A run that was skipped for another reason has not looked.
    fn looked_at_root(&self, report: &PolicyReport) {
        let has_looked = matches!(report.skipped, None | Some(Skip::NoRoot)) && report.status != PolicyStatus::Failed;
        if report.kind == PolicyKind::Files && has_looked {
            self.root(&report.name, report.message.clone().filter(|_| report.root_missing));
        }
    }

    /// One policy of a dry run has ended.
    pub(crate) fn policy_planned(&self, report: &PolicyReport) {
        self.looked_at_root(report);
        self.metrics.looked(&report.name, report.status, &report.counts);
        self.last_runs.looked(now(), true, report);
    }

    pub(crate) fn sweep_ended(&self, report: &Report) {
        if !report.dry_run {
            self.findings.ran(report);
            self.last_runs.remembered(report.not_remembered.as_deref());
            self.last_runs.recorded();
        }
        self.ended(report);
    }

    /// A plan was written, which is a dry run without a sweep of its own. Only what went wrong beside it is told.
    pub(crate) fn plan_made(&self, report: &Report) {
        self.report_log.of_run(report);
    }

    fn ended(&self, report: &Report) {
        self.report_log.of_run(report);
        let Report { run_id, trigger, dry_run, status, totals, .. } = report;
        let policies = report.policies.iter().map(|policy| policy.name.as_str()).collect();
        let (trigger, dry_run, status, totals) = (*trigger, *dry_run, *status, *totals);
        self.events.send(Kind::SweepEnded, &Ended { run_id, trigger, dry_run, status, totals, policies });
    }
}

impl Listener for Feed {
    fn registered(&self, policy: &str, path: &[u8]) {
        let (path, path_bytes) = json_path(path);
        let file = OfFile { policy, path, path_bytes, bytes: None, lateness_seconds: None };
        self.events.send(Kind::Registered, &file);
    }

    fn removed(&self, policy: &str, path: &[u8], bytes: u64, lateness: Duration) {
        self.metrics.removed_at_deadline(policy, lateness);
        self.recent_removals.note(Gone {
            policy: policy.to_owned(),
            path: path.to_owned(),
            bytes,
            at: now(),
            lateness,
        });
        let (path, path_bytes) = json_path(path);
        let lateness_seconds = Some(lateness.as_secs_f64());
        self.events.send(Kind::Removed, &OfFile { policy, path, path_bytes, bytes: Some(bytes), lateness_seconds });
    }

    fn bytes_went(&self, policy: &str, freed: u64, quarantined: u64) {
        self.metrics.bytes_went(policy, freed, quarantined);
    }

    fn deadlines_changed(&self, policy: &str) {
        self.events.send(Kind::Deadlines, &OfPolicy { policy });
    }

    fn watching_changed(&self, policy: &str, watching: &Watching) {
        let missing = match watching {
            Watching::Missing { absent: Absent::No, .. } => None,
            Watching::Missing { why, absent: Absent::Unexpected } => Some(Some(why.clone())),
            Watching::Events | Watching::Rescans { .. } | Watching::Missing { absent: Absent::Expected, .. } => {
                Some(None)
            }
        };
        if let Some(missing) = missing {
            self.root(policy, missing);
        }
        self.events.send(Kind::Watching, &OfWatching { policy, watching });
    }

    fn noted(&self, policy: Option<&str>, notes: &[String]) {
        self.report_log.of_tracking(policy, notes);
    }

    /// A run of the deadlines. What it removed was told one by one before.
    fn ran(&self, report: &Report) {
        for policy in &report.policies {
            self.metrics.kept_deadlines(policy, report.finished_at);
            self.last_runs.ran(&report.run_id, report.started_at, report.finished_at, policy);
        }
        self.findings.ran(report);
        self.last_runs.recorded();
        self.ended(report);
    }
}
