//! What lies in quarantine, and what came back.

use cleanup_core::moment::Moment;
use cleanup_core::report::Report;
use schemars::JsonSchema;
use serde::Serialize;

/// What lies in quarantine, by policy; the files themselves are told one by one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Quarantined {
    /// [`cleanup_core::report::FORMAT_VERSION`].
    pub format_version: u32,
    /// In the order of the configuration.
    pub policies: Vec<QuarantinedPolicy>,
}

/// What one policy has in quarantine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct QuarantinedPolicy {
    /// The policy.
    pub policy: String,
    /// The number of files.
    pub files: u64,
    /// Their allocated bytes.
    pub bytes: u64,
    /// When the oldest was quarantined.
    pub oldest: Option<Moment>,
    /// When the first may be purged; the next sweep after that does it.
    pub next_purge_at: Option<Moment>,
    /// Why the numbers are incomplete, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// One file in quarantine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct QuarantinedFile {
    /// The policy.
    pub policy: String,
    /// The run that quarantined it.
    pub run_id: String,
    /// Its original path, relative to the policy's root; lossy if it is not UTF-8. Its current path if that is unknown.
    pub path: String,
    /// The exact path in base64, only when `path` is lossy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_bytes: Option<String>,
    /// Whether `path` is its original path; `false` if its note was lost.
    pub origin_known: bool,
    /// Allocated bytes.
    pub bytes: u64,
    /// When it was quarantined.
    pub quarantined_at: Moment,
    /// Until when it can be restored, unless the quarantine grows too large.
    pub until: Moment,
    /// Why it was due, as text.
    pub reason: Option<String>,
}

/// What was brought back, or could be; the files themselves are told one by one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Restored {
    /// The run that was undone, if a run was requested.
    pub run_id: Option<String>,
    /// The id of this restore in the history; absent in a dry run, and if nothing was tried.
    pub restore_run_id: Option<String>,
    /// Whether it was a dry run.
    pub dry_run: bool,
    /// How many files were restored.
    pub restored: u64,
    /// Their allocated bytes.
    pub restored_bytes: u64,
    /// How many older versions stay in quarantine.
    pub older: u64,
    /// How many could not be restored.
    pub failed: u64,
    /// Until when restored files are held.
    pub held_until: Option<Moment>,
    /// Requested paths that are not in quarantine.
    pub not_found: Vec<String>,
    /// What could not be inspected, as text.
    pub problems: Vec<String>,
    /// Problems with the state or the audit log, as text.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The run itself, as the history has it.
    #[serde(skip)]
    pub report: Option<Box<Report>>,
}

/// The outcome of restoring one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RestoredFile {
    /// The policy.
    pub policy: String,
    /// The run that quarantined it.
    pub run_id: String,
    /// The path relative to the policy's root; lossy if it is not UTF-8.
    pub path: String,
    /// The exact path in base64, only when `path` is lossy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_bytes: Option<String>,
    /// Allocated bytes.
    pub bytes: u64,
    /// When it was quarantined.
    pub quarantined_at: Moment,
    /// Its outcome; in a dry run, the predicted one.
    pub outcome: RestoreOutcome,
    /// Why it is still in quarantine, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The outcome of restoring one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RestoreOutcome {
    /// It was restored.
    Restored,
    /// Its name is taken; it stays in quarantine.
    Conflict,
    /// A newer version was restored; this one stays in quarantine.
    Older,
    /// It could not be moved.
    Failed,
}
