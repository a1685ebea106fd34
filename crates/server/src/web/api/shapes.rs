//! The JSON of answers that are the service's own; reports, files and explanations are the engine's as they are.
//!
//! Keys are added, never renamed or lost.

use cleanup_core::moment::Moment;
use cleanup_core::report::{Finding, PolicyReport, Trigger};
use cleanup_engine::responses::{PastRun, QuarantinedFile, QuarantinedPolicy, Restored, RestoredFile};
use cleanup_engine::track::{ForecastHour, TrackedPolicy};
use schemars::JsonSchema;
use serde::Serialize;

use crate::app::policies::Policy;

/// The response of the two requests of the first clients.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Success {
    /// Always `success`.
    pub status: &'static str,
    /// What was done, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<&'static str>,
    /// One tracked policy in numbers.
    pub cleanup_stats: CleanupStats,
}

/// Numbers of one tracked policy, in the form of the first clients.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct CleanupStats {
    /// Matching files on disk.
    pub total_files: u64,
    /// Files with a deadline.
    pub tracked_files: u64,
    /// The policy's `max_age` in minutes.
    pub cleanup_interval_minutes: Minutes,
    /// Always true, because a stopped service does not respond.
    pub service_running: bool,
    /// Why policies could not be swept: a brake, another sweep, an unreachable database.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// Minutes, without a fraction where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Minutes {
    /// So many.
    Whole(u64),
    /// And a part of one.
    Fraction(f64),
}

/// The policies of the configuration.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Policies {
    /// In the order of the configuration, files first.
    pub policies: Vec<Policy>,
}

/// The service in numbers, from memory.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ServiceStats {
    /// When the service started.
    pub started_at: Moment,
    /// Matching files of all tracked policies.
    pub total_files: u64,
    /// Files with a deadline.
    pub tracked_files: u64,
    /// Allocated bytes of the matching files.
    pub total_bytes: u64,
    /// When the next file of any policy is due.
    pub next_deadline: Option<Moment>,
    /// The runs in progress.
    pub running: Vec<String>,
    /// The tracked policies.
    pub policies: Vec<TrackedPolicy>,
}

/// A requested sweep.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Accepted {
    /// The run to follow: a new one, or otherwise the first one joined.
    pub run_id: String,
    /// Which run sweeps which policy.
    pub policies: Vec<AcceptedPolicy>,
}

/// Which run sweeps a policy.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct AcceptedPolicy {
    /// The policy.
    pub name: String,
    /// The run.
    pub run_id: String,
    /// Whether that run was in progress before.
    pub joined: bool,
}

/// A run in progress.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Running {
    /// The run's id.
    pub run_id: String,
    /// Always `running`.
    pub status: RunningStatus,
    /// What started it.
    pub trigger: Trigger,
    /// The name of the token that made the request (`[server.tokens]`). Absent if it had none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_by: Option<String>,
    /// Whether it is a dry run.
    pub dry_run: bool,
    /// When it was requested.
    pub started_at: Moment,
    /// The names of its policies.
    pub policies: Vec<String>,
    /// Entries and rows scanned so far.
    pub scanned: u64,
    /// Files and rows removed so far.
    pub removed: u64,
    /// The results of the policies that have finished.
    pub ended: Vec<PolicyReport>,
}

/// The status of a run in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunningStatus {
    /// It is.
    Running,
}

/// A page of past runs, the newest first.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Runs {
    /// Runs in progress; only on the first page.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub running: Vec<Running>,
    /// Finished runs.
    pub runs: Vec<PastRun>,
    /// Pass this as `after` to get the next page; `null` on the last.
    pub next: Option<String>,
}

/// The content of the quarantine.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct QuarantinePage {
    /// The first files.
    pub files: Vec<QuarantinedFile>,
    /// Totals of all files, in the order of the configuration.
    pub policies: Vec<QuarantinedPolicy>,
}

/// Which files were restored from quarantine, and which were not.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct RestoreAnswer {
    /// [`cleanup_core::report::FORMAT_VERSION`].
    pub format_version: u32,
    /// The totals.
    #[serde(flatten)]
    pub restored: Restored,
    /// Why `held_until` is earlier than requested, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The first files, each with its outcome.
    pub files: Vec<RestoredFile>,
}

/// How much becomes due in each of the next hours.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Forecast {
    /// The number of hours covered.
    pub hours: u32,
    /// In the order of the configuration.
    pub policies: Vec<PolicyForecast>,
}

/// How much of one policy becomes due.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct PolicyForecast {
    /// The policy.
    pub policy: String,
    /// By hour; `null` if it is unknown without scanning every file.
    pub hours: Option<Vec<ForecastHour>>,
    /// Why it is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
}

/// Whether the service can work.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Ready {
    /// Always `ready`.
    pub status: &'static str,
    /// Findings that do not prevent work.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<ReadyFinding>,
}

/// Something that needs attention.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ReadyFinding {
    /// As reports have it.
    #[serde(flatten)]
    pub finding: Finding,
    /// The same as `text`.
    pub message: String,
}

impl ReadyFinding {
    pub(crate) fn new(finding: Finding) -> Self {
        Self { message: finding.text.clone(), finding }
    }
}
