//! What `config check` says about a session policy: sentences, with the statement that would help.

use std::fmt;
use std::time::Duration;

use cleanup_core::duration::Human;
use cleanup_core::moment::Moment;

use crate::obstacle::Obstacle;

/// Clocks further apart than this are worth a word.
const SKEW: Duration = Duration::from_secs(60);

/// One thing worth saying about a policy's database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
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

    pub(crate) fn problem(sentence: String) -> Self {
        Self { severity: Severity::Problem, sentence, statement: None }
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
            Obstacle::Failed(message) => Self::problem(message),
        }
    }
}

/// `None` when the clocks agree well enough.
pub(crate) fn skew_sentence(database: Moment, ours: Moment) -> Option<String> {
    let (by, word) = match database.since(ours) {
        Some(ahead) => (ahead, "ahead of"),
        None => (ours.since(database).unwrap_or_default(), "behind"),
    };
    (by > SKEW).then(|| format!("the database's clock is {} {word} this machine's; the database's counts", Human(by)))
}
