//! Why a path stays or goes.

use cleanup_core::moment::Moment;
use schemars::JsonSchema;
use serde::Serialize;

use super::RemovalEntry;

/// The verdicts of all policies on one path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Explanation {
    /// The requested path, absolute; lossy if it is not UTF-8.
    pub path: String,
    /// The exact path in base64, only when `path` is lossy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_bytes: Option<String>,
    /// The policy that owns the file, if it exists and is owned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The policies that dispute it: they have the same root and both match it, so neither removes it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub disputed: Vec<String>,
    /// One answer for each policy whose root contains the path; empty if there is none.
    pub answers: Vec<Answer>,
    /// What is known of earlier removals of this path, or of a directory that it went with: the newest first, 5 at most.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub removals: Vec<RemovalEntry>,
}

/// The verdict of one policy on one path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Answer {
    /// The policy.
    pub policy: String,
    /// What would happen to it.
    pub verdict: AnswerVerdict,
    /// The reason, as text.
    pub reason: String,
    /// The policy that owns the path instead: this one also matches it, but its root is less deep.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub belongs_to: Option<String>,
    /// The policy that disputes it, because it has the same root and also matches the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disputed_with: Option<String>,
    /// The result of each rule, in order of evaluation; the first that applies decides. Empty if the path is not a
    /// candidate.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleAnswer>,
    /// The last moment at which it is kept, if only age decides. For a due file: until when sweeps skip it, because its
    /// timestamp was set back and the index still has the newer one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_until: Option<Moment>,
    /// Whether the policy is enabled.
    pub enabled: bool,
    /// The policy's schedule, as written; `None` without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
}

/// The result of one rule for one path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RuleAnswer {
    /// The rule, named by its key if there is one.
    pub rule: String,
    /// `keep`, `remove`, or absent if it does not apply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<AnswerVerdict>,
    /// The reason, as text, if it applies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What would happen to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnswerVerdict {
    /// A sweep would remove it now.
    Remove,
    /// It is a candidate, and stays.
    Keep,
    /// The policy does not match it, or never touches this kind of entry.
    NotACandidate,
    /// It is in quarantine, and can be restored.
    Quarantined,
    /// It does not exist, or could not be inspected.
    Unknown,
}

/// The verdicts of a session policy on the rows with one key. Does not contain the key, which is a session's secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SessionExplanation {
    /// The policy.
    pub policy: String,
    /// The table, with its schema if the database was reached.
    pub table: String,
    /// One for each row with the key, at most 20; if there is none, one that says so.
    pub answers: Vec<SessionAnswer>,
    /// Why a sweep would remove no row now: a brake, or a necessary change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
    /// Whether the policy is enabled.
    pub enabled: bool,
    /// Whether it only observes (`mode = "observe"`).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub observes: bool,
    /// The policy's schedule, as written; `None` without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
}

/// What would happen to one row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SessionAnswer {
    /// What would happen to it.
    pub verdict: AnswerVerdict,
    /// The reason, as text.
    pub reason: String,
    /// Its last activity, or its end; `None` if it has none, or an implausible one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stamp: Option<Moment>,
    /// The last moment at which it is kept, if only time decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_until: Option<Moment>,
}
