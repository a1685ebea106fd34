//! What `config check` found.

use cleanup_core::moment::Moment;
use schemars::JsonSchema;
use serde::Serialize;

/// What `config check` found.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Check {
    /// [`cleanup_core::report::FORMAT_VERSION`].
    pub format_version: u32,
    /// Where the configuration came from.
    pub config: String,
    /// The worst of the findings, `ok` when there are none.
    pub status: Severity,
    /// What was found, in the order of the policies.
    pub findings: Vec<Finding>,
    /// How a sweep would go about each session policy whose table could be looked at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sessions: Vec<SessionCheck>,
    /// Who is told of findings; absent where nobody is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify: Option<CheckedNotify>,
}

/// The table `[notify]`, without anything secret: of URLs only the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CheckedNotify {
    /// Where each message is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<String>,
    /// The program that gets each message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The codes that are told; absent for the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on: Option<Vec<String>>,
    /// Whether the end of a finding is told.
    pub recovered: bool,
    /// What is called after each successful run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ping: Option<String>,
    /// The program that gets the paths of removed files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// What came of a test message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TestedTarget {
    /// The key in `[notify]`: `webhook`, `command` or `ping`.
    pub target: String,
    /// Where it went, without anything secret.
    pub to: String,
    /// Why it was not delivered; absent where it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A session policy's table, as a sweep would meet it now.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct SessionCheck {
    /// The policy.
    pub policy: String,
    /// The table, with its schema.
    pub table: String,
    /// All rows.
    pub total_rows: u64,
    /// Those that a sweep would take now.
    pub due_rows: u64,
    /// Those without a plausible time; they stay. Of a large table those that were come across.
    pub implausible_rows: u64,
    /// Whether `total_rows` and `due_rows` are the planner's estimate.
    pub estimated: bool,
    /// The oldest activity, or the earliest end; `null` where finding it would read a large table.
    pub oldest: Option<Moment>,
    /// The newest activity, or the latest end, likewise.
    pub newest: Option<Moment>,
    /// When the next row that is kept now will be due, likewise.
    pub next_due_at: Option<Moment>,
    /// How batches find their rows: one entry for the table, or one for each of its partitions.
    pub batches: Vec<BatchPlan>,
    /// Rows of other tables that go along with those that are due now, or are changed.
    pub followers: Vec<Follower>,
    /// Whether a trigger of the application fires on delete.
    pub triggers: bool,
    /// Whether row security applies to this role: its policies are a filter.
    pub row_security: bool,
    /// Seconds by which the database's clock is ahead of this machine's; negative is behind. `null` for SQLite, which has
    /// none of its own.
    pub clock_ahead_seconds: Option<f64>,
}

/// How batches find the rows of one table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct BatchPlan {
    /// The table that holds the rows.
    pub table: String,
    /// In which order it is gone through.
    pub order: RowOrder,
    /// The index that is followed, if one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<String>,
}

/// In which order rows are gone through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RowOrder {
    /// By an index on the activity, the oldest first: few rows are due.
    Index,
    /// As they lie in the table, each page once: many rows are due, or no index leads to them.
    Heap,
}

/// Rows of another table that a foreign key takes along, or changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Follower {
    /// The other table.
    pub table: String,
    /// What becomes of its rows, in words.
    pub what: String,
    /// How many of them; `null` where counting takes too long.
    pub rows: Option<u64>,
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
