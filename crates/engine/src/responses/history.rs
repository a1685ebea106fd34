//! What ran, and what is held.

use cleanup_core::moment::Moment;
use cleanup_core::report::{Finding, RunStatus, Trigger};
use schemars::JsonSchema;
use serde::Serialize;

use super::is_zero;

/// Past runs, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct History {
    /// [`cleanup_core::report::FORMAT_VERSION`].
    pub format_version: u32,
    /// The runs.
    pub runs: Vec<PastRun>,
    /// Problems with the state itself, as text.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Summary of a past run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PastRun {
    /// The id of the run's report.
    pub run_id: String,
    /// What started it.
    pub trigger: Trigger,
    /// When it started, in UTC.
    pub started_at: Moment,
    /// When it ended, in UTC.
    pub finished_at: Moment,
    /// The worst status of its policies.
    pub status: RunStatus,
    /// Items judged *remove*.
    pub due: u64,
    /// Items removed permanently.
    pub removed: u64,
    /// Items moved into quarantine.
    pub quarantined: u64,
    /// Allocated bytes of quarantined items, which are not freed.
    pub quarantined_bytes: u64,
    /// Allocated bytes returned to the file system.
    pub bytes_freed: u64,
    /// Items that could not be inspected or removed.
    pub errors: u64,
    /// Items restored from quarantine, if the run is a restore.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub restored: u64,
    /// The names of its policies.
    pub policies: Vec<String>,
    /// Policies that were skipped because of a lock, another node, or an unreachable database; the run's report has the
    /// reason. Absent if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<String>,
    /// Policies whose root did not exist, without `root_may_be_missing`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub root_missing: Vec<String>,
    /// The name of the token that made the request (`[server.tokens]`). Absent if it had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_by: Option<String>,
    /// Its findings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
}

/// When a policy last ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LastRun {
    /// The policy.
    pub policy: String,
    /// When its last run began, whatever came of it.
    pub started_at: Moment,
    /// When it last did all that was asked of it; a run that was skipped or held back does not count.
    pub succeeded_at: Option<Moment>,
}

/// All holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Holds {
    /// [`cleanup_core::report::FORMAT_VERSION`].
    pub format_version: u32,
    /// By path.
    pub holds: Vec<HeldPath>,
    /// Pass this as `after` to get the next page, if a page was requested and there are more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A hold on a path and everything below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HeldPath {
    /// The absolute path; lossy if it is not UTF-8.
    pub path: String,
    /// The exact path in base64, only when `path` is lossy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_bytes: Option<String>,
    /// Its end.
    pub until: Moment,
    /// Its start.
    pub made_at: Moment,
    /// The name of the token that made the request (`[server.tokens]`). Absent if it had none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_by: Option<String>,
}
