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
use crate::telemetry::notices::Notices;
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
    /// What is still to be told of.
    pub(crate) notices: Notices,
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
    /// The sweep that did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    run_id: Option<&'a str>,
}

#[derive(Serialize)]
struct OfHold<'a> {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_bytes: Option<String>,
    policies: &'a [&'a str],
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    asked_by: Option<&'a str>,
}

#[derive(Serialize)]
struct OfRestore<'a> {
    run_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    asked_by: Option<&'a str>,
    status: RunStatus,
    policies: &'a [&'a str],
    restored: u64,
    restored_bytes: u64,
    failed: u64,
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
    policies: &'a [&'a str],
}

impl Feed {
    pub(crate) fn new(boot: String) -> Self {
        Self {
            events: Arc::new(Events::new(boot)),
            metrics: Metrics::of_service(),
            last_runs: LastRuns::default(),
            findings: Findings::default(),
            notices: Notices::default(),
            recent_removals: RecentRemovals::default(),
            report_log: ReportLog::default(),
        }
    }

    pub(crate) fn sweep_started(&self, run_id: &str, trigger: Trigger, dry_run: bool, policies: &[String]) {
        let names: Vec<&str> = policies.iter().map(String::as_str).collect();
        self.events.send(Kind::SweepStarted, &names, &Started { run_id, trigger, dry_run, policies });
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
            self.notices.ran(report);
        }
        self.ended(report);
    }

    /// A sweep removed a file, or moved it into quarantine.
    pub(crate) fn swept_away(&self, run_id: &str, policy: &str, path: &[u8], bytes: u64) {
        let (path, path_bytes) = json_path(path);
        let file =
            OfFile { policy, path, path_bytes, bytes: Some(bytes), lateness_seconds: None, run_id: Some(run_id) };
        self.events.send(Kind::Removed, &[policy], &file);
    }

    /// A path is held from now on, which concerns these policies.
    pub(crate) fn held(&self, policies: &[String], path: &[u8], until: Moment, asked_by: Option<&str>) {
        self.hold_changed(Kind::Hold, policies, path, Some(until), asked_by);
    }

    /// A path is held no more, which concerns these policies.
    pub(crate) fn released(&self, policies: &[String], path: &[u8], asked_by: Option<&str>) {
        self.hold_changed(Kind::Release, policies, path, None, asked_by);
    }

    fn hold_changed(
        &self,
        kind: Kind,
        policies: &[String],
        path: &[u8],
        until: Option<Moment>,
        asked_by: Option<&str>,
    ) {
        let policies: Vec<&str> = policies.iter().map(String::as_str).collect();
        let (path, path_bytes) = json_path(path);
        self.events.send(kind, &policies, &OfHold { path, path_bytes, policies: &policies, until, asked_by });
    }

    /// Files came back from quarantine, or could not.
    pub(crate) fn restored(&self, report: &Report) {
        self.report_log.of_run(report);
        self.findings.ran(report);
        self.notices.ran(report);
        self.last_runs.remembered(report.not_remembered.as_deref());
        self.last_runs.recorded();
        let Report { run_id, asked_by, status, totals, .. } = report;
        let policies: Vec<&str> = report.policies.iter().map(|policy| policy.name.as_str()).collect();
        let restored_bytes = report.policies.iter().map(|policy| policy.counts.restored_bytes).sum();
        let (asked_by, status, restored, failed) = (asked_by.as_deref(), *status, totals.restored, totals.errors);
        let data = OfRestore { run_id, asked_by, status, policies: &policies, restored, restored_bytes, failed };
        self.events.send(Kind::Restore, &policies, &data);
    }

    /// A plan was written, which is a dry run without a sweep of its own. Only what went wrong beside it is told.
    pub(crate) fn plan_made(&self, report: &Report) {
        self.report_log.of_run(report);
    }

    fn ended(&self, report: &Report) {
        self.report_log.of_run(report);
        let Report { run_id, trigger, dry_run, status, totals, .. } = report;
        let policies: Vec<&str> = report.policies.iter().map(|policy| policy.name.as_str()).collect();
        let (trigger, dry_run, status, totals) = (*trigger, *dry_run, *status, *totals);
        let ended = Ended { run_id, trigger, dry_run, status, totals, policies: &policies };
        self.events.send(Kind::SweepEnded, &policies, &ended);
    }
}

impl Listener for Feed {
    fn registered(&self, policy: &str, path: &[u8]) {
        let (path, path_bytes) = json_path(path);
        let file = OfFile { policy, path, path_bytes, bytes: None, lateness_seconds: None, run_id: None };
        self.events.send(Kind::Registered, &[policy], &file);
    }

    fn removed(&self, policy: &str, path: &[u8], bytes: u64, lateness: Duration) {
        self.notices.removed.notify_one();
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
        let file = OfFile { policy, path, path_bytes, bytes: Some(bytes), lateness_seconds, run_id: None };
        self.events.send(Kind::Removed, &[policy], &file);
    }

    fn bytes_went(&self, policy: &str, freed: u64, quarantined: u64) {
        self.metrics.bytes_went(policy, freed, quarantined);
    }

    fn deadlines_changed(&self, policy: &str) {
        self.events.send(Kind::Deadlines, &[policy], &OfPolicy { policy });
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
        self.events.send(Kind::Watching, &[policy], &OfWatching { policy, watching });
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
        self.notices.ran(report);
        self.ended(report);
    }
}
