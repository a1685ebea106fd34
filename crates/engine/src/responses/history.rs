//! What ran, and what is held.

use cleanup_core::moment::Moment;
use cleanup_core::report::{Finding, RunStatus, Trigger};
use schemars::JsonSchema;
use serde::Serialize;

use super::is_zero;

/// Past runs, the newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct History {
    /// [`cleanup_core::report::FORMAT_VERSION`].
    pub format_version: u32,
    /// The runs.
    pub runs: Vec<PastRun>,
    /// What is wrong with the memory itself, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// One past run in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PastRun {
    /// The id that the run's report has.
    pub run_id: String,
    /// What started it.
    pub trigger: Trigger,
    /// When it began, in UTC.
    pub started_at: Moment,
    /// When it ended, in UTC.
    pub finished_at: Moment,
    /// The worst of its policies'.
    pub status: RunStatus,
    /// What was judged *remove*.
    pub due: u64,
    /// What was removed for good.
    pub removed: u64,
    /// What was moved into quarantine.
    pub quarantined: u64,
    /// Allocated bytes of that, which are not freed.
    pub quarantined_bytes: u64,
    /// Allocated bytes that the file system got back.
    pub bytes_freed: u64,
    /// Items that could not be looked at or removed.
    pub errors: u64,
    /// What came back from quarantine, in a run that restored.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub restored: u64,
    /// The policies that had a part in it, by name.
    pub policies: Vec<String>,
    /// Those of them that were not swept because something was in the way: a lock, another node, a database that is
    /// away. The run's report says what. Absent when there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<String>,
    /// Those of them whose root did not exist, and is not said to come and go (`root_may_be_missing`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub root_missing: Vec<String>,
    /// Who asked for it: the name of the token that was sent (`[server.tokens]`). Absent where it had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_by: Option<String>,
    /// What it found that needed somebody.
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

/// Everything that is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Holds {
    /// [`cleanup_core::report::FORMAT_VERSION`].
    pub format_version: u32,
    /// By path.
    pub holds: Vec<HeldPath>,
    /// What to ask for the next page with, where a page was asked for and more follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A path that is kept for a while, and everything below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HeldPath {
    /// The absolute path, lossy where it is not UTF-8.
    pub path: String,
    /// The exact path in base64, only when `path` is lossy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_bytes: Option<String>,
    /// Until when.
    pub until: Moment,
    /// Since when.
    pub made_at: Moment,
    /// Who asked for it: the name of the token that was sent (`[server.tokens]`). Absent where it had none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_by: Option<String>,
}
