//! Why a policy's rows could not be cleaned, and what its report then says.
//!
//! A database that is away, a table that is locked and another node that is faster are no failures: the policy is
//! skipped and the next run is the retry. Whatever a person has to change is a failure, with the change in the
//! message. What had been committed before stays counted either way.

use cleanup_core::policy::SessionPolicy;
use cleanup_core::report::Skip;

/// Why a policy's rows could not be cleaned, counted or looked at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// A reason to look, but no failure.
    #[error("{message}")]
    Skipped {
        /// For programs.
        skip: Skip,
        /// A whole sentence for people.
        message: String,
    },
    /// A brake: it may well be wrong to remove anything now; the text says why, and how to go past it.
    #[error("{0}")]
    Held(String),
    /// Somebody has to change something; the text says what.
    #[error("{0}")]
    Failed(String),
}

/// The same before it is known which policy it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The variable that the URL is to come from is not set.
    Unset(String),
    /// The database does not answer, or refuses us. Holds the reason.
    Away(String),
    /// The table, or what hangs on it, is locked for longer than we wait.
    Busy,
    /// Another node holds the advisory lock.
    AnotherNode,
    /// Something that a statement names is not there any more.
    Missing(String),
    /// Not even the smallest batch can be done: the run ends, and what is left is reported.
    GaveUp(String),
    /// A brake holds the sweep back.
    Held(String),
    /// Somebody has to change something.
    Failed(String),
}

impl Stop {
    pub(crate) fn obstacle(self, policy: &SessionPolicy) -> Obstacle {
        let rows = words(&policy.rule.name);
        let skipped = |skip, message| Obstacle::Skipped { skip, message };
        match self {
            Self::Unset(variable) => {
                skipped(Skip::NoDatabase, format!("No database for {rows}: {variable} is not set"))
            }
            Self::Away(reason) => skipped(Skip::DatabaseAway, format!("Could not clean up {rows}: {reason}")),
            Self::Busy => {
                let message = format!(
                    "Could not clean up {rows}: the table is locked by another connection; the next run tries again"
                );
                skipped(Skip::Busy, message)
            }
            Self::AnotherNode => {
                skipped(Skip::AnotherNode, format!("Skipped: another node is already sweeping {rows}"))
            }
            Self::Held(reason) => Obstacle::Held(reason),
            Self::Missing(reason) | Self::GaveUp(reason) | Self::Failed(reason) => {
                Obstacle::Failed(format!("Cannot clean up {rows}: {reason}"))
            }
        }
    }
}

impl Stop {
    /// The same, when it is not known what the rows refer to.
    pub(crate) fn unreferenced(self, policy: &SessionPolicy) -> Obstacle {
        let rows = words(&policy.rule.name);
        let unknown = |why: &str| format!("files that {rows} reference are unknown, so everything stays: {why}");
        match self {
            Self::Unset(variable) => {
                Obstacle::Skipped { skip: Skip::DatabaseAway, message: unknown(&format!("{variable} is not set")) }
            }
            Self::Away(reason) => Obstacle::Skipped { skip: Skip::DatabaseAway, message: unknown(&reason) },
            Self::Busy => {
                Obstacle::Skipped { skip: Skip::Busy, message: unknown("a table is locked by another connection") }
            }
            Self::AnotherNode => {
                Obstacle::Skipped { skip: Skip::AnotherNode, message: unknown("another node is already sweeping") }
            }
            Self::Held(reason) | Self::Missing(reason) | Self::GaveUp(reason) | Self::Failed(reason) => {
                Obstacle::Failed(unknown(&reason))
            }
        }
    }
}

/// A policy's name in words: `tutor-sessions` is about tutor sessions.
fn words(name: &str) -> String {
    name.replace(['-', '_'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_put_in_words() {
        assert_eq!(words("tutor-sessions_2"), "tutor sessions 2");
    }
}
