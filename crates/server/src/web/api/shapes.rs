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

/// The answer of the two calls that the first clients make.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Success {
    /// Always `success`.
    pub status: &'static str,
    /// What was done, when something was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<&'static str>,
    /// One tracked policy in numbers.
    pub cleanup_stats: CleanupStats,
}

/// One tracked policy in the numbers of the first clients.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct CleanupStats {
    /// Matching files on disk.
    pub total_files: u64,
    /// Those with a deadline.
    pub tracked_files: u64,
    /// The policy's `max_age` in minutes.
    pub cleanup_interval_minutes: Minutes,
    /// Always true: a service that is not running does not answer.
    pub service_running: bool,
    /// What kept policies from being swept as they should: a brake, another sweep, a database that is away.
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
    /// Those with a deadline.
    pub tracked_files: u64,
    /// Allocated bytes of the matching files.
    pub total_bytes: u64,
    /// When the next file of any policy is due.
    pub next_deadline: Option<Moment>,
    /// The runs that are going on.
    pub running: Vec<String>,
    /// The tracked policies.
    pub policies: Vec<TrackedPolicy>,
}

/// A sweep that was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Accepted {
    /// The run to look at: a new one, or else the first that was joined.
    pub run_id: String,
    /// Which run does which policy.
    pub policies: Vec<AcceptedPolicy>,
}

/// Which run does a policy.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct AcceptedPolicy {
    /// The policy.
    pub name: String,
    /// The run.
    pub run_id: String,
    /// Whether that run was going on before.
    pub joined: bool,
}

/// A run that is going on.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Running {
    /// The run's id.
    pub run_id: String,
    /// Always `running`.
    pub status: RunningStatus,
    /// What started it.
    pub trigger: Trigger,
    /// Who asked for it: the name of the token that was sent (`[server.tokens]`). Absent where it had none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_by: Option<String>,
    /// Whether it only says what it would do.
    pub dry_run: bool,
    /// When it was asked for.
    pub started_at: Moment,
    /// The names of its policies.
    pub policies: Vec<String>,
    /// Entries and rows looked at so far.
    pub scanned: u64,
    /// Files and rows removed so far.
    pub removed: u64,
    /// What came of the policies that have ended.
    pub ended: Vec<PolicyReport>,
}

/// The status of a run that is going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunningStatus {
    /// It is.
    Running,
}

/// A page of past runs, the newest first.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Runs {
    /// Those that are going on; on the first page only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub running: Vec<Running>,
    /// Those that ended.
    pub runs: Vec<PastRun>,
    /// What to pass as `after` for the next page; `null` on the last.
    pub next: Option<String>,
}

/// What lies in quarantine.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct QuarantinePage {
    /// The first of them.
    pub files: Vec<QuarantinedFile>,
    /// All of them in numbers, in the order of the configuration.
    pub policies: Vec<QuarantinedPolicy>,
}

/// What came back from quarantine, and what did not.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct RestoreAnswer {
    /// [`cleanup_core::report::FORMAT_VERSION`].
    pub format_version: u32,
    /// The sums.
    #[serde(flatten)]
    pub restored: Restored,
    /// Why `held_until` is earlier than was asked for, when it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The first of them, each with what came of it.
    pub files: Vec<RestoredFile>,
}

/// How much comes due in each of the next hours.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Forecast {
    /// How many hours are looked ahead.
    pub hours: u32,
    /// In the order of the configuration.
    pub policies: Vec<PolicyForecast>,
}

/// How much of one policy comes due.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct PolicyForecast {
    /// The policy.
    pub policy: String,
    /// By the hour; `null` where it is not known without looking at every file.
    pub hours: Option<Vec<ForecastHour>>,
    /// Why it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
}

/// Whether the service can do all that it is asked to.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Ready {
    /// Always `ready`.
    pub status: &'static str,
    /// What does not work as well as it could.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<ReadyFinding>,
}

/// Something that needs somebody.
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
