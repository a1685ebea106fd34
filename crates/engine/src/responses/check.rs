//! What `config check` found.

use cleanup_core::moment::Moment;
use schemars::JsonSchema;
use serde::Serialize;

/// The result of `config check`.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Check {
    /// [`cleanup_core::report::FORMAT_VERSION`].
    pub format_version: u32,
    /// The source of the configuration.
    pub config: String,
    /// The worst severity of the findings; `ok` if there are none.
    pub status: Severity,
    /// The findings, in the order of the policies.
    pub findings: Vec<Finding>,
    /// How a sweep would process each session policy whose table could be inspected.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sessions: Vec<SessionCheck>,
}

/// The table of a session policy, as a sweep would find it now.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct SessionCheck {
    /// The policy.
    pub policy: String,
    /// The table, with its schema.
    pub table: String,
    /// All rows.
    pub total_rows: u64,
    /// Rows that a sweep would remove now.
    pub due_rows: u64,
    /// Rows without a plausible time, which stay. In a large table, the ones encountered.
    pub implausible_rows: u64,
    /// Whether `total_rows` and `due_rows` are the planner's estimate.
    pub estimated: bool,
    /// The oldest activity, or the earliest end; `null` if finding it would read a large table.
    pub oldest: Option<Moment>,
    /// The newest activity, or the latest end; `null` for the same reason.
    pub newest: Option<Moment>,
    /// When the next row becomes due; `null` for the same reason.
    pub next_due_at: Option<Moment>,
    /// How batches find their rows: one entry for the table, or one for each of its partitions.
    pub batches: Vec<BatchPlan>,
    /// Rows of other tables that would be removed or changed with the due rows.
    pub followers: Vec<Follower>,
    /// Whether a trigger of the application fires on delete.
    pub triggers: bool,
    /// Whether row security applies to this role, so its policies filter rows.
    pub row_security: bool,
    /// Seconds by which the database's clock is ahead of this machine's; negative if behind. `null` for SQLite, which
    /// has no clock.
    pub clock_ahead_seconds: Option<f64>,
}

/// How batches find the rows of one table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct BatchPlan {
    /// The table that contains the rows.
    pub table: String,
    /// The order in which rows are read.
    pub order: RowOrder,
    /// The index used, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<String>,
}

/// The order in which rows are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RowOrder {
    /// By an index on the activity, oldest first: few rows are due.
    Index,
    /// In physical order, each page once: many rows are due, or there is no index.
    Heap,
}

/// Rows of another table that a foreign key removes or changes too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Follower {
    /// The other table.
    pub table: String,
    /// What happens to its rows, as text.
    pub what: String,
    /// Their number; `null` if counting takes too long.
    pub rows: Option<u64>,
}

/// A finding of `config check`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    /// The policy concerned; `all` if it concerns all.
    pub policy: String,
    /// Its severity.
    pub severity: Severity,
    /// Its description.
    pub message: String,
    /// A statement or command that fixes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// The severity of a finding, in increasing order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It is as it should be.
    Ok,
    /// It works, but not as well as it could, or not now.
    Warning,
    /// The policy cannot run.
    Error,
}
