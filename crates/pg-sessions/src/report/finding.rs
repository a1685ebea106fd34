//! What `config check` says about a session policy: sentences, with the statement that would help.

use std::fmt;

use super::obstacle::{Obstacle, Stop};
use crate::rule::clocks::Clock;

/// One thing worth saying about a policy's database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its severity.
    pub severity: Severity,
    /// What is the case, without a full stop.
    pub sentence: String,
    /// The SQL statement that would help, to be run by the table's owner.
    pub statement: Option<String>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The sweep works; this is how, or how it would work better.
    Advice,
    /// The sweep would be skipped, or something looks wrong.
    Warning,
    /// A brake would hold the sweep back.
    Held,
    /// The sweep would fail.
    Problem,
}

impl Finding {
    pub(crate) fn advice(sentence: String) -> Self {
        Self { severity: Severity::Advice, sentence, statement: None }
    }

    pub(crate) fn warning(sentence: String) -> Self {
        Self { severity: Severity::Warning, sentence, statement: None }
    }

    pub(crate) fn held(sentence: String) -> Self {
        Self { severity: Severity::Held, sentence, statement: None }
    }

    pub(crate) fn problem(sentence: String) -> Self {
        Self { severity: Severity::Problem, sentence, statement: None }
    }

    /// Whether a sweep would not begin.
    pub(crate) fn stops(&self, clock: &Clock) -> bool {
        match self.severity {
            Severity::Advice | Severity::Warning => false,
            Severity::Held => clock.is_heeded(),
            Severity::Problem => true,
        }
    }

    pub(crate) fn run(mut self, statement: String) -> Self {
        self.statement = Some(statement);
        self
    }
}

/// The sentence, and what to run.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)?;
        match &self.statement {
            Some(statement) => write!(f, "; run: {statement}"),
            None => Ok(()),
        }
    }
}

/// A policy that would be skipped is a warning, one that would fail a problem.
impl From<Obstacle> for Finding {
    fn from(obstacle: Obstacle) -> Self {
        match obstacle {
            Obstacle::Skipped { message, .. } => Self::warning(message),
            Obstacle::Held(message) => Self::held(message),
            Obstacle::Failed(message) => Self::problem(message),
        }
    }
}

/// Why a table whose rows take other rows of it along is refused: of those nobody has asked whether they are due.
pub(crate) fn takes_live_rows_along(table: &impl fmt::Display) -> String {
    format!(
        "a foreign key of {table} points to {table} itself with on delete cascade: a due row would remove rows that \
         are not due"
    )
}

/// The first reason not to begin: what has to be changed before a brake that is heeded.
pub(crate) fn may_begin(findings: &[Finding], clock: &Clock) -> Result<(), Stop> {
    first_problem(findings)?;
    match findings.iter().find(|finding| finding.severity == Severity::Held) {
        Some(finding) if finding.stops(clock) => Err(Stop::Held(finding.to_string())),
        _ => Ok(()),
    }
}

/// The first finding that stands in the way, as a reason to stop.
pub(crate) fn first_problem(findings: &[Finding]) -> Result<(), Stop> {
    match findings.iter().find(|finding| finding.severity == Severity::Problem) {
        Some(finding) => Err(Stop::Failed(finding.to_string())),
        None => Ok(()),
    }
}
