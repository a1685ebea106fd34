//! How a sweep would go about a policy's table, for `config check`: beside the findings, which say what is wrong.

use crate::{Finding, SessionStats, Strategy};

/// What `config check` knows of a policy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Examination {
    /// What would make a sweep fail, wait or surprise. Empty is well.
    pub findings: Vec<Finding>,
    /// `None` where the table cannot be looked at.
    pub facts: Option<TableFacts>,
}

/// A table as a sweep would meet it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableFacts {
    /// The table, with its schema.
    pub table: String,
    /// What it holds.
    pub stats: SessionStats,
    /// How the batches of each of its tables find their rows: its own, or those of its partitions.
    pub batches: Vec<BatchPlan>,
    /// Rows of other tables that would be removed or changed with the due rows.
    pub followers: Vec<Follower>,
    /// Whether a trigger of the application fires on delete.
    pub has_triggers: bool,
    /// Whether row security applies to this role.
    pub has_row_security: bool,
    /// Seconds by which the database's clock is ahead of this machine's; negative is behind. `None` where the database has
    /// no clock of its own.
    pub clock_ahead_seconds: Option<f64>,
}

/// How batches find the rows of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchPlan {
    /// The table that contains the rows.
    pub table: String,
    /// The order in which rows are read.
    pub strategy: Strategy,
    /// The index that is followed; `None` where there is none, or none is used.
    pub index: Option<String>,
}

/// Rows of another table that a foreign key removes or changes too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Follower {
    /// The other table.
    pub table: String,
    /// What happens to its rows, as text.
    pub what: &'static str,
    /// How many; `None` where counting them takes too long.
    pub rows: Option<u64>,
}
