//! What is there now, and what would come next.

use cleanup_core::moment::Moment;
use cleanup_core::report::{Limit, PolicyKind, PolicyStatus};
use schemars::JsonSchema;
use serde::Serialize;

use super::is_zero;
use super::track::ForecastHour;

/// Current statistics by policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Stats {
    /// [`cleanup_core::report::FORMAT_VERSION`].
    pub format_version: u32,
    /// In the order of the configuration.
    pub policies: Vec<PolicyStats>,
}

/// Current statistics of one policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PolicyStats {
    /// The name in the configuration.
    pub name: String,
    /// Files or sessions.
    pub kind: PolicyKind,
    /// Whether it could be inspected.
    pub status: PolicyStatus,
    /// The reason if not; for sessions also what looks wrong: clocks that differ, rows without a plausible time.
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
    /// The root; lossy if it is not UTF-8.
    pub root: String,
    /// Matching files, including archives.
    pub total_files: u64,
    /// Their allocated bytes.
    pub total_bytes: u64,
    /// Files that a sweep would remove now.
    pub due_files: u64,
    /// Their allocated bytes.
    pub due_bytes: u64,
    /// Archives.
    pub archive_files: u64,
    /// The oldest stamp of a matching file.
    pub oldest: Option<Moment>,
    /// The newest stamp of a matching file.
    pub newest: Option<Moment>,
    /// When the next file that is kept now will be due.
    pub next_due_at: Option<Moment>,
    /// The usage of each limit.
    pub limits: Vec<Limit>,
    /// With limits: the first files that would be removed, in order, even if no limit is exceeded now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub next: Vec<NextToGo>,
    /// Files that match the policy but belong to one whose root is deeper. No other number includes them.
    #[serde(skip_serializing_if = "is_zero")]
    pub owned_by_others: u64,
    /// Files that another policy with the same root also matches, so neither removes them. No other number includes
    /// them.
    #[serde(skip_serializing_if = "is_zero")]
    pub disputed_files: u64,
    /// Those policies.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub disputed_with: Vec<String>,
    /// Files that are ignored because their name, or that of a folder above, starts with a dot; `dotfiles = true`
    /// includes them.
    pub dotfiles: u64,
    /// Entries that could not be inspected.
    pub errors_total: u64,
    /// Matching files by age, youngest first.
    pub ages: Vec<AgeBand>,
    /// What becomes due in each of the next 24 hours by age alone, without what is due now.
    pub next_hours: Vec<ForecastHour>,
}

/// Files of about the same age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AgeBand {
    /// Upper age of the band in seconds; `null` for the oldest.
    pub below_seconds: Option<u64>,
    /// The number of files.
    pub files: u64,
    /// Their allocated bytes.
    pub bytes: u64,
}

/// One of the files that would be removed next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NextToGo {
    /// The path relative to the policy's root; lossy if it is not UTF-8.
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
    /// The table, as configured.
    pub table: String,
    /// All rows.
    pub total_rows: u64,
    /// Rows idle for longer than `max_idle`.
    pub expired_rows: u64,
    /// Rows with an implausible time, which stay. In a large table, the ones encountered.
    pub implausible_rows: u64,
    /// Whether `total_rows` is the planner's estimate.
    pub estimated: bool,
    /// The longest idle row's last activity.
    pub oldest: Option<Moment>,
    /// The latest activity.
    pub newest: Option<Moment>,
    /// When the next row becomes due.
    pub next_due_at: Option<Moment>,
}

/// A file that a policy matches, with its verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Listed {
    /// The policy.
    pub policy: String,
    /// The path relative to the policy's root; lossy if it is not UTF-8.
    pub path: String,
    /// The exact path in base64, only when `path` is lossy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_bytes: Option<String>,
    /// Allocated bytes.
    pub bytes: u64,
    /// The moment from which its age counts.
    pub stamp: Moment,
    /// Its age in whole seconds; negative if its timestamp is in the future.
    pub age_seconds: i64,
    /// Whether a sweep would remove it now.
    pub due: bool,
    /// The reason, as text.
    pub reason: String,
    /// The last moment at which it is kept, if only age decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_until: Option<Moment>,
}
