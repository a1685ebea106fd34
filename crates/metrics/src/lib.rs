//! What monitoring reads: counters, gauges and histograms under the names that the documentation promises.
//!
//! One registry for both programs: the service answers with it, as `OpenMetrics`; a sweep that ends writes it to a
//! [`textfile`](Metrics::textfile), which the next one goes on from.
//!
//! Labels are names of policies, of limits and of kinds of errors: all of them come from the configuration or from this
//! file. No path and no session id is ever a label.

mod textfile;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cleanup_core::moment::Moment;
use cleanup_core::policy::Schedule;
use cleanup_core::report::{Counts, Finding, Limit, PolicyKind, PolicyReport, PolicyStatus, Report, Skip};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

/// The media type of what is served.
pub const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// From a flat folder to an hour's worth of database.
const SWEEP_SECONDS: [f64; 12] = [0.005, 0.02, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1800.0, 3600.0];

/// A deadline is to be kept within a second.
const LATENESS_SECONDS: [f64; 12] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 3600.0];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfPolicy {
    policy: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfError {
    policy: String,
    kind: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfFinding {
    code: &'static str,
    policy: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfLimit {
    policy: String,
    limit: String,
}

/// What `kind` says in `cleanup_errors_total`.
const ITEM: &str = "item";
const POLICY: &str = "policy";
const DATABASE_AWAY: &str = "database_away";
const SORTS_OF_ERRORS: [&str; 3] = [ITEM, POLICY, DATABASE_AWAY];

/// All metrics of the service, or those of sweeps that end.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    files_removed: Family<OfPolicy, Counter>,
    bytes_freed: Family<OfPolicy, Counter>,
    bytes_quarantined: Family<OfPolicy, Counter>,
    sessions_removed: Family<OfPolicy, Counter>,
    errors: Family<OfError, Counter>,
    sweep_duration: Family<OfPolicy, Histogram, fn() -> Histogram>,
    last_success: Family<OfPolicy, Gauge<f64, std::sync::atomic::AtomicU64>>,
    interval: Family<OfPolicy, Gauge<f64, std::sync::atomic::AtomicU64>>,
    due: Family<OfPolicy, Gauge>,
    tracked_files: Family<OfPolicy, Gauge>,
    held: Family<OfPolicy, Gauge>,
    root_missing: Family<OfPolicy, Gauge>,
    limit_met: Family<OfLimit, Gauge>,
    limit_ratio: Family<OfLimit, Gauge<f64, std::sync::atomic::AtomicU64>>,
    findings: Family<OfFinding, Gauge>,
    /// One text is written at a time: each says the findings of its own moment.
    writing: Mutex<()>,
    reload_successful: Gauge,
    lateness: Histogram,
}

impl Metrics {
    /// Those of the service.
    pub fn of_service() -> Self {
        let mut metrics = Self::of_sweeps();
        metrics.register_of_service();
        metrics.reloaded(true);
        metrics
    }

    /// Those of sweeps that end: what only a program that stays can know is not among them, nor are histograms, which
    /// cannot go on from a file.
    pub fn of_sweeps() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("cleanup"),
            files_removed: Family::default(),
            bytes_freed: Family::default(),
            bytes_quarantined: Family::default(),
            sessions_removed: Family::default(),
            errors: Family::default(),
            sweep_duration: Family::new_with_constructor(|| Histogram::new(SWEEP_SECONDS)),
            last_success: Family::default(),
            interval: Family::default(),
            due: Family::default(),
            tracked_files: Family::default(),
            held: Family::default(),
            root_missing: Family::default(),
            limit_met: Family::default(),
            limit_ratio: Family::default(),
            findings: Family::default(),
            writing: Mutex::default(),
            reload_successful: Gauge::default(),
            lateness: Histogram::new(LATENESS_SECONDS),
        };
        metrics.register_of_sweeps();
        metrics
    }

    fn register_of_sweeps(&mut self) {
        let Self { registry, .. } = self;
        registry.register("files_removed", "Files removed or moved into quarantine", self.files_removed.clone());
        let freed = "Allocated bytes returned to the file system; quarantined files are not included";
        registry.register("bytes_freed", freed, self.bytes_freed.clone());
        let quarantined = "Allocated bytes moved into quarantine; they are freed when purged";
        registry.register("bytes_quarantined", quarantined, self.bytes_quarantined.clone());
        registry.register("sessions_removed", "Session rows removed", self.sessions_removed.clone());
        let errors = "Items that failed (item), policies that could not run (policy), unreachable databases";
        registry.register("errors", errors, self.errors.clone());
        registry.register_with_unit(
            "last_success_timestamp",
            "Time of the last complete run; a skipped or held run does not count",
            Unit::Seconds,
            self.last_success.clone(),
        );
        registry.register("due", "Items that the last run found due and that still exist", self.due.clone());
        registry.register("policy_held", "Whether a brake held the policy back in its last run", self.held.clone());
        registry.register(
            "root_missing",
            "Whether the root was missing in the last run and root_may_be_missing is not set",
            self.root_missing.clone(),
        );
        registry.register("limit_met", "Whether the limit was met after the last run", self.limit_met.clone());
        registry.register(
            "limit_ratio",
            "How much of the limit was used after the last run; above 1 it was not met",
            self.limit_ratio.clone(),
        );
        registry.register(
            "finding",
            "Current findings by code; policy is empty if the finding concerns all policies",
            self.findings.clone(),
        );
        registry.register("build", "The version", Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]));
    }

    fn register_of_service(&mut self) {
        let Self { registry, .. } = self;
        registry.register_with_unit(
            "sweep_duration",
            "How long a sweep of the policy took",
            Unit::Seconds,
            self.sweep_duration.clone(),
        );
        registry.register_with_unit(
            "interval",
            "How often the policy runs by itself; a policy with `cron` or without a schedule has none",
            Unit::Seconds,
            self.interval.clone(),
        );
        registry.register("tracked_files", "Files with a deadline", self.tracked_files.clone());
        registry.register(
            "config_last_reload_successful",
            "Whether the last reload of the configuration succeeded",
            self.reload_successful.clone(),
        );
        registry.register_with_unit(
            "deadline_lateness",
            "How long after its deadline a tracked file was removed",
            Unit::Seconds,
            self.lateness.clone(),
        );
    }

    /// Takes in a sweep that ended, dry runs excepted.
    pub fn took(&self, report: &Report) {
        for policy in &report.policies {
            self.expect(&policy.name, policy.kind, None);
            self.swept(policy, report.finished_at, None);
            if policy.kind == PolicyKind::Files {
                self.root(&policy.name, policy.root_missing);
            }
        }
    }

    /// Begins at zero for a policy, so that a rate over its first removal is right.
    pub fn expect(&self, policy: &str, kind: PolicyKind, schedule: Option<&Schedule>) {
        let of = || OfPolicy { policy: policy.to_owned() };
        match kind {
            PolicyKind::Files => {
                drop(self.files_removed.get_or_create(&of()));
                drop(self.bytes_freed.get_or_create(&of()));
                drop(self.bytes_quarantined.get_or_create(&of()));
            }
            PolicyKind::Sessions => drop(self.sessions_removed.get_or_create(&of())),
        }
        let database = matches!(kind, PolicyKind::Sessions).then_some(DATABASE_AWAY);
        for kind in [ITEM, POLICY].into_iter().chain(database) {
            drop(self.errors.get_or_create(&OfError { policy: policy.to_owned(), kind }));
        }
        if let Some(Schedule::Every(every)) = schedule {
            self.interval.get_or_create(&of()).set(every.as_secs_f64());
        }
        drop(self.held.get_or_create(&of()));
        drop(self.sweep_duration.get_or_create(&of()));
    }

    /// Forgets what only policies of an old configuration had to show. Counters stay: they never go back.
    pub fn forget_gauges(&self) {
        self.interval.clear();
        self.due.clear();
        self.tracked_files.clear();
        self.held.clear();
        self.root_missing.clear();
        self.limit_met.clear();
        self.limit_ratio.clear();
        self.last_success.clear();
    }

    /// Whether the root of a file policy is missing, and should not be.
    pub fn root(&self, policy: &str, is_missing: bool) {
        self.root_missing.get_or_create(&OfPolicy { policy: policy.to_owned() }).set(i64::from(is_missing));
    }

    /// When a policy last did all that was asked of it.
    pub fn succeeded(&self, policy: &str, at: Moment) {
        #[expect(clippy::cast_precision_loss, reason = "seconds need no more than 53 bits until long after 9999")]
        let seconds = at.unix_millis() as f64 / 1000.0;
        self.last_success.get_or_create(&OfPolicy { policy: policy.to_owned() }).set(seconds);
    }

    /// A sweep of one policy, dry runs excepted; `elapsed` only where it was measured.
    pub fn swept(&self, report: &PolicyReport, finished_at: Moment, elapsed: Option<Duration>) {
        let of = OfPolicy { policy: report.name.clone() };
        match report.kind {
            PolicyKind::Files => {
                self.files_removed.get_or_create(&of).inc_by(report.counts.removed + report.counts.quarantined);
                self.bytes_went(&report.name, report.counts.bytes_freed, report.counts.quarantined_bytes);
            }
            PolicyKind::Sessions => {
                self.sessions_removed.get_or_create(&of).inc_by(report.counts.removed);
            }
        }
        self.ended(report, finished_at);
        if let Some(elapsed) = elapsed {
            self.sweep_duration.get_or_create(&of).observe(elapsed.as_secs_f64());
        }
    }

    /// A run of one policy at deadlines, whose removals and bytes were counted when they went.
    pub fn kept_deadlines(&self, report: &PolicyReport, finished_at: Moment) {
        self.ended(report, finished_at);
    }

    /// How a run of one policy ended.
    fn ended(&self, report: &PolicyReport, finished_at: Moment) {
        let error = |kind| self.errors.get_or_create_owned(&OfError { policy: report.name.clone(), kind });
        error(ITEM).inc_by(report.errors_total);
        match report.status {
            PolicyStatus::Ok => self.succeeded(&report.name, finished_at),
            PolicyStatus::Failed => drop(error(POLICY).inc()),
            PolicyStatus::Skipped if report.skipped == Some(Skip::DatabaseAway) => drop(error(DATABASE_AWAY).inc()),
            PolicyStatus::Partial | PolicyStatus::Skipped | PolicyStatus::Held | PolicyStatus::Interrupted => {}
        }
        self.stands(&report.name, report.status, &report.counts, &report.limits);
    }

    /// How a policy stands after a run.
    pub fn stands(&self, policy: &str, status: PolicyStatus, counts: &Counts, limits: &[Limit]) {
        // A run that was skipped found out nothing.
        if status != PolicyStatus::Skipped {
            let of = OfPolicy { policy: policy.to_owned() };
            self.held.get_or_create(&of).set(i64::from(status == PolicyStatus::Held));
            self.looked(policy, status, counts);
        }
        for limit in limits {
            let of = OfLimit { policy: policy.to_owned(), limit: limit.name.clone() };
            self.limit_met.get_or_create(&of).set(i64::from(limit.met));
            self.limit_ratio.get_or_create(&of).set(limit.ratio());
        }
    }

    /// What a look at a policy found due and is still there; dry runs look as well.
    pub fn looked(&self, policy: &str, status: PolicyStatus, counts: &Counts) {
        if matches!(status, PolicyStatus::Skipped | PolicyStatus::Failed | PolicyStatus::Interrupted) {
            return;
        }
        let gone = counts.removed + counts.quarantined + counts.vanished + counts.changed;
        let due = i64::try_from(counts.due.saturating_sub(gone)).unwrap_or(i64::MAX);
        self.due.get_or_create(&OfPolicy { policy: policy.to_owned() }).set(due);
    }

    /// Bytes that the file system got back, and those that were moved into quarantine.
    pub fn bytes_went(&self, policy: &str, freed: u64, quarantined: u64) {
        let of = OfPolicy { policy: policy.to_owned() };
        self.bytes_freed.get_or_create(&of).inc_by(freed);
        self.bytes_quarantined.get_or_create(&of).inc_by(quarantined);
    }

    /// A tracked file that was removed at its deadline; its bytes are counted with those of the others.
    pub fn removed_at_deadline(&self, policy: &str, lateness: Duration) {
        self.files_removed.get_or_create(&OfPolicy { policy: policy.to_owned() }).inc();
        self.lateness.observe(lateness.as_secs_f64());
    }

    /// Whether the last reload was taken.
    pub fn reloaded(&self, is_taken: bool) {
        self.reload_successful.set(i64::from(is_taken));
    }

    /// How many files of a policy have a deadline.
    pub fn tracks(&self, policy: &str, files: u64) {
        let files = i64::try_from(files).unwrap_or(i64::MAX);
        self.tracked_files.get_or_create(&OfPolicy { policy: policy.to_owned() }).set(files);
    }

    /// All of it, as [`OPENMETRICS`], with what needs somebody at this moment.
    pub fn text<'a>(&self, findings: impl Iterator<Item = &'a Finding>) -> String {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.findings.clear();
        for finding in findings {
            let of = OfFinding { code: finding.code.name(), policy: finding.policy.clone().unwrap_or_default() };
            self.findings.get_or_create(&of).set(1);
        }
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
