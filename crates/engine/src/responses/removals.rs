//! What was removed, when and why.

use cleanup_core::moment::Moment;
use cleanup_core::report::Trigger;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A page of the log of removals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Removals {
    /// [`cleanup_core::report::FORMAT_VERSION`].
    pub format_version: u32,
    /// The newest first; two programs that worked at the same time may be out of order.
    pub removals: Vec<RemovalEntry>,
    /// What to ask for the next page with (`before`); absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What left its place, or came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RemovalEntry {
    /// When.
    pub at: Moment,
    /// What became of it.
    pub action: RemovalAction,
    /// The absolute path, lossy where it is not UTF-8. Absent where an entry counts rows, or what was purged from
    /// quarantine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The exact path in base64, only when `path` is lossy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_bytes: Option<String>,
    /// Whether it was a directory that went with everything in it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub whole_directory: bool,
    /// How many: 1 with a path.
    pub count: u64,
    /// Allocated bytes.
    pub bytes: u64,
    /// Its inode, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inode: Option<u64>,
    /// The policy.
    pub policy: String,
    /// The run.
    pub run_id: String,
    /// What started the run.
    pub trigger: Trigger,
    /// Who asked for the run: a token's name, or the user at the command line or on the socket. Absent where nobody did,
    /// or had no name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_by: Option<String>,
    /// What the policy said to it, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What became of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RemovalAction {
    /// It was removed.
    Removed,
    /// It was moved into quarantine.
    Quarantined,
    /// It was deleted for good from quarantine.
    Purged,
    /// It came back from quarantine.
    Restored,
}
