//! What is there now, and what would come next.

use cleanup_core::moment::Moment;
use cleanup_core::report::{Limit, PolicyKind, PolicyStatus};
use schemars::JsonSchema;
use serde::Serialize;

use super::is_zero;
use super::track::ForecastHour;

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
    /// Why not, when it could not; of sessions also what looks wrong: clocks that differ, rows without a plausible time.
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
    /// Files that the policy names and that belong to one whose root lies deeper. They are in no other number here.
    #[serde(skip_serializing_if = "is_zero")]
    pub owned_by_others: u64,
    /// Files that another policy with the same root names as well, so that neither takes them. They are in no other
    /// number here.
    #[serde(skip_serializing_if = "is_zero")]
    pub disputed_files: u64,
    /// Those policies.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub disputed_with: Vec<String>,
    /// Files that are no candidates because a dot begins their name or that of a folder that they lie in; with
    /// `dotfiles = true` they would be.
    pub dotfiles: u64,
    /// Entries that could not be looked at.
    pub errors_total: u64,
    /// Matching files by age, the youngest first.
    pub ages: Vec<AgeBand>,
    /// What comes due in each of the next 24 hours, as far as age alone decides; what is due now is not in it.
    pub next_hours: Vec<ForecastHour>,
}

/// Files of about the same age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AgeBand {
    /// Younger than this, in seconds, and no younger than the band before; `null` for the oldest.
    pub below_seconds: Option<u64>,
    /// How many.
    pub files: u64,
    /// Their allocated bytes.
    pub bytes: u64,
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
    /// Rows whose activity is no plausible time; they stay. Of a large table those that were come across.
    pub implausible_rows: u64,
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
