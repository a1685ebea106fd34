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
    /// How many files.
    pub files: u64,
    /// Their allocated bytes.
    pub bytes: u64,
    /// Since when the oldest lies there.
    pub oldest: Option<Moment>,
    /// When the first may be deleted for good; the next sweep after that does it.
    pub next_purge_at: Option<Moment>,
    /// Why not all of it could be told, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// One file in quarantine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct QuarantinedFile {
    /// The policy.
    pub policy: String,
    /// The run that moved it aside.
    pub run_id: String,
    /// Where it came from, below the policy's root; lossy where it is not UTF-8. Where it lies, when that is not known.
    pub path: String,
    /// The exact path in base64, only when `path` is lossy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_bytes: Option<String>,
    /// Whether `path` is where it came from; `false` when its note was lost.
    pub origin_known: bool,
    /// Allocated bytes.
    pub bytes: u64,
    /// When it was moved aside.
    pub quarantined_at: Moment,
    /// Until when it can certainly come back, unless the quarantine grows too large.
    pub until: Moment,
    /// Why it was due, in words.
    pub reason: Option<String>,
}

/// What was brought back, or could be; the files themselves are told one by one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Restored {
    /// The run that was undone, when a run was asked for.
    pub run_id: Option<String>,
    /// The run that this is itself, as the history has it; none in a dry run, and where nothing was tried.
    pub restore_run_id: Option<String>,
    /// Whether it only said what it would do.
    pub dry_run: bool,
    /// How many files came back.
    pub restored: u64,
    /// Their allocated bytes.
    pub restored_bytes: u64,
    /// How many older versions of them stay in quarantine.
    pub older: u64,
    /// How many could not be brought back.
    pub failed: u64,
    /// Until when those that came back are held.
    pub held_until: Option<Moment>,
    /// Paths that were asked for, and of which nothing lies in quarantine.
    pub not_found: Vec<String>,
    /// What could not be looked at, in words.
    pub problems: Vec<String>,
    /// What went wrong with the memory or the audit log, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The run itself, as the history has it.
    #[serde(skip)]
    pub report: Option<Box<Report>>,
}

/// What came of bringing one file back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RestoredFile {
    /// The policy.
    pub policy: String,
    /// The run that had moved it aside.
    pub run_id: String,
    /// The path below the policy's root, lossy where it is not UTF-8.
    pub path: String,
    /// The exact path in base64, only when `path` is lossy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_bytes: Option<String>,
    /// Allocated bytes.
    pub bytes: u64,
    /// When it had been moved aside.
    pub quarantined_at: Moment,
    /// What came of it; in a dry run, what would.
    pub outcome: RestoreOutcome,
    /// Why it is still in quarantine, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What came of bringing one file back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RestoreOutcome {
    /// It is back.
    Restored,
    /// Something is in its way; it stays in quarantine.
    Conflict,
    /// A newer version of it came back; this one stays in quarantine.
    Older,
    /// It could not be moved.
    Failed,
}
