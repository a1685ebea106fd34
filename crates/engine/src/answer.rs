//! What the engine answers beside a report: statistics, lists, explanations, checks.
//!
//! Like the report these are plain values with a JSON shape that scripts rely on: keys are added, never renamed or
//! lost. All of them come out of the same walk and the same judge as a sweep.

use cleanup_core::moment::Moment;
use cleanup_core::report::{Limit, PolicyKind, PolicyStatus, RunStatus, Trigger};
use schemars::JsonSchema;
use serde::Serialize;

/// What is there now, by policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Stats {
    /// [`cleanup_core::report::FORMAT_VERSION`].
    pub format_version: u32,
    /// In the order of the configuration.
    pub policies: Vec<PolicyStats>,
}

/// What one policy would find now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PolicyStats {
    /// The name in the configuration.
    pub name: String,
    /// Files or sessions.
    pub kind: PolicyKind,
    /// Whether it could be looked at.
    pub status: PolicyStatus,
    /// Why not, when it could not.
    pub message: Option<String>,
    /// The numbers of a file policy that could be looked at.
    #[serde(flatten)]
    pub files: Option<FileStats>,
    /// The numbers of a session policy that could be looked at.
    #[serde(flatten)]
    pub sessions: Option<SessionStats>,
}

/// What lies below one root, as the sweep would see it: only names that a pattern means are counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FileStats {
    /// The root, lossy where it is not UTF-8.
    pub root: String,
    /// Matching files, archives included.
    pub total_files: u64,
    /// Their allocated bytes.
    pub total_bytes: u64,
    /// Those that a sweep would remove now.
    pub due_files: u64,
    /// Their allocated bytes.
    pub due_bytes: u64,
    /// Those that are archives.
    pub archive_files: u64,
    /// The oldest stamp of a matching file.
    pub oldest: Option<Moment>,
    /// The newest stamp of a matching file.
    pub newest: Option<Moment>,
    /// When the next file that is kept now will be due.
    pub next_due_at: Option<Moment>,
    /// How full each limit is.
    pub limits: Vec<Limit>,
    /// With limits: the first few that would go, in their order, whether or not a limit asks for them now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub next: Vec<NextToGo>,
    /// Entries that could not be looked at.
    pub errors_total: u64,
}

/// One of the files that would go next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NextToGo {
    /// The path below the policy's root, lossy where it is not UTF-8.
    pub path: String,
    /// The exact path in base64, only when `path` is lossy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_bytes: Option<String>,
    /// Allocated bytes.
    pub bytes: u64,
    /// The moment from which its age counts.
    pub stamp: Moment,
    /// Whether a sweep would remove it now.
    pub due: bool,
}

/// What lies in one session table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SessionStats {
    /// The table, as the configuration names it.
    pub table: String,
    /// All rows.
    pub total_rows: u64,
    /// Rows idle for longer than `max_idle`.
    pub expired_rows: u64,
    /// Whether `total_rows` is the planner's estimate.
    pub estimated: bool,
    /// The longest idle row's last activity.
    pub oldest: Option<Moment>,
    /// The latest activity.
    pub newest: Option<Moment>,
    /// When the next row that is kept now will be due.
    pub next_due_at: Option<Moment>,
}

/// One file that a policy means, with its verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Listed {
    /// The policy.
    pub policy: String,
    /// The path below the policy's root, lossy where it is not UTF-8.
    pub path: String,
    /// The exact path in base64, only when `path` is lossy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_bytes: Option<String>,
    /// Allocated bytes.
    pub bytes: u64,
    /// The moment from which its age counts.
    pub stamp: Moment,
    /// Its age in whole seconds; negative when it is stamped in the future.
    pub age_seconds: i64,
    /// Whether a sweep would remove it now.
    pub due: bool,
    /// Why, or why not, in words.
    pub reason: String,
    /// The last moment at which it is kept, when age alone decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_until: Option<Moment>,
}

/// What every policy says to one path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Explanation {
    /// The path that was asked for, made absolute; lossy where it is not UTF-8.
    pub path: String,
    /// The exact path in base64, only when `path` is lossy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_bytes: Option<String>,
    /// One answer of each policy below whose root the path lies; empty when it lies below none.
    pub answers: Vec<Answer>,
}

/// What one policy says to one path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Answer {
    /// The policy.
    pub policy: String,
    /// What would become of it.
    pub verdict: AnswerVerdict,
    /// Why, in words.
    pub reason: String,
    /// The last moment at which it is kept, when age alone decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_until: Option<Moment>,
    /// Whether the policy runs at all.
    pub enabled: bool,
    /// How often the policy runs by itself, as written; `None` when it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
}

/// What would become of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnswerVerdict {
    /// A sweep would remove it now.
    Remove,
    /// It is a candidate, and stays.
    Keep,
    /// The policy does not mean it, or never touches such things.
    NotACandidate,
    /// It does not exist, or could not be looked at.
    Unknown,
}

/// What `config check` found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Check {
    /// [`cleanup_core::report::FORMAT_VERSION`].
    pub format_version: u32,
    /// Where the configuration came from.
    pub config: String,
    /// The worst of the findings, `ok` when there are none.
    pub status: Severity,
    /// What was found, in the order of the policies.
    pub findings: Vec<Finding>,
}

/// One thing that `config check` found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    /// The policy it concerns; `all` where it concerns every one.
    pub policy: String,
    /// How bad it is.
    pub severity: Severity,
    /// What it is, in words.
    pub message: String,
    /// A statement or command that would help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// How bad a finding is, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It is as it should be.
    Ok,
    /// It works, but not as well as it could, or not now.
    Warning,
    /// The policy cannot run like this.
    Error,
}

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
    /// What was removed.
    pub removed: u64,
    /// Allocated bytes of what was removed.
    pub bytes_freed: u64,
    /// Items that could not be looked at or removed.
    pub errors: u64,
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
}
