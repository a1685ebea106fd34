//! Why a path stays or goes.

use cleanup_core::moment::Moment;
use schemars::JsonSchema;
use serde::Serialize;

use super::RemovalEntry;

/// What every policy says to one path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Explanation {
    /// The path that was asked for, made absolute; lossy where it is not UTF-8.
    pub path: String,
    /// The exact path in base64, only when `path` is lossy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_bytes: Option<String>,
    /// The policy that the file belongs to, if it belongs to one and is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The policies that dispute it: they have the same root and both name it, so neither takes it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub disputed: Vec<String>,
    /// One answer of each policy below whose root the path lies; empty when it lies below none.
    pub answers: Vec<Answer>,
    /// What is known of earlier removals of this path, or of a directory that it went with: the newest first, 5 at most.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub removals: Vec<RemovalEntry>,
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
    /// The policy that it belongs to instead: this one names it too, but its root does not lie as deep.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub belongs_to: Option<String>,
    /// The policy that disputes it: it has the same root and names it as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disputed_with: Option<String>,
    /// What each rule says, in the order in which they are asked; the first that applies decides. Empty where the path is
    /// no candidate.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleAnswer>,
    /// The last moment at which it is kept, when age alone decides. Of one that is due: until when sweeps pass by it,
    /// because its stamp was set back and the index knows it as younger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_until: Option<Moment>,
    /// Whether the policy runs at all.
    pub enabled: bool,
    /// How often the policy runs by itself, as written; `None` when it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
}

/// What one rule says to one path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RuleAnswer {
    /// The rule, by the key that sets it where there is one.
    pub rule: String,
    /// `keep`, `remove`, or nothing where it does not apply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<AnswerVerdict>,
    /// Why, in words, where it applies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
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
    /// It is gone from its place, and can come back from quarantine.
    Quarantined,
    /// It does not exist, or could not be looked at.
    Unknown,
}

/// What a session policy says to the rows with one key. The key, which is a session's secret, is not repeated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SessionExplanation {
    /// The policy.
    pub policy: String,
    /// The table, with its schema where the database was asked.
    pub table: String,
    /// One for each row with the key, the first 20; where there is none, one that says so.
    pub answers: Vec<SessionAnswer>,
    /// Why a sweep would not take any row now: a brake that holds it back, or what has to be changed first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
    /// Whether the policy runs at all.
    pub enabled: bool,
    /// Whether it only observes (`mode = "observe"`).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub observes: bool,
    /// How often the policy runs by itself, as written; `None` when it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
}

/// What would become of one row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SessionAnswer {
    /// What would become of it.
    pub verdict: AnswerVerdict,
    /// Why, in words.
    pub reason: String,
    /// Its last activity, or its end; `None` where it has none, or one that is no plausible time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stamp: Option<Moment>,
    /// The last moment at which it is kept, when time alone decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_until: Option<Moment>,
}
