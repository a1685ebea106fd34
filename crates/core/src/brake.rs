//! Brakes: when a policy is held back because more would go than anybody can have meant.
//!
//! They look at what a plan counted, before anything is removed. `--force` goes past them: a person has looked.

use std::fmt;

use crate::policy::Brakes;
use crate::report::Counts;

/// Below this many files no brake of proportion holds: small folders empty themselves all the time.
pub const HARMLESS: u64 = 100;

/// Why a policy is held back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Brake {
    /// The keys that decide what goes were changed since the last run, and now most of the files would go.
    ChangedRule {
        /// What was changed, in words.
        changes: String,
        /// Files that would go.
        due: u64,
        /// Files that the policy names.
        matched: u64,
    },
    /// More than `max_removal_percent` would go.
    TooLargeAShare {
        /// The configured percentage.
        percent: u32,
        /// Files that would go.
        due: u64,
        /// Files that the policy names.
        matched: u64,
    },
    /// The root lies on another file system than in the last run.
    OtherFileSystem {
        /// The root.
        root: String,
    },
}

/// Judges a plan. `changes` says what was changed in the policy since its last run, if there was one and anything was.
pub fn check(counts: &Counts, brakes: &Brakes, changes: Option<&str>) -> Result<(), Brake> {
    // What two policies dispute can never go, and makes no share smaller.
    let (due, matched) = (counts.due, counts.matched.saturating_sub(counts.kept.disputed));
    if due <= HARMLESS {
        return Ok(());
    }
    let beyond = |percent: u32| u128::from(due) * 100 > u128::from(matched) * u128::from(percent);
    if let Some(changes) = changes
        && beyond(50)
    {
        return Err(Brake::ChangedRule { changes: changes.to_owned(), due, matched });
    }
    match brakes.max_removal_percent {
        Some(percent) if beyond(percent) => Err(Brake::TooLargeAShare { percent, due, matched }),
        _ => Ok(()),
    }
}

impl fmt::Display for Brake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ChangedRule { changes, due, matched } => write!(
                f,
                "held back: {changes} since the last run, and now {due} of {matched} files would go; \
                 if that is meant, run once with --force"
            ),
            Self::TooLargeAShare { percent, due, matched } => write!(
                f,
                "held back: {due} of {matched} files would go, more than max_removal_percent = {percent}; \
                 if that is meant, run once with --force"
            ),
            Self::OtherFileSystem { root } => write!(
                f,
                "held back: {root} lies on another file system than in the last run, as if something had been \
                 mounted over it or was not mounted; if that is meant, run once with --force"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(due: u64, matched: u64, percent: Option<u32>, changed: bool) -> Result<(), Brake> {
        let counts = Counts { matched, due, ..Counts::default() };
        let brakes = Brakes { max_removal_percent: percent, ..Brakes::default() };
        check(&counts, &brakes, changed.then_some("max_age was changed"))
    }

    #[test]
    fn a_changed_rule_is_held_when_most_files_would_go() {
        assert!(checked(101, 201, None, true).is_err());
        assert_eq!(checked(101, 202, None, true), Ok(()), "half is not more than half");
        assert_eq!(checked(100, 100, None, true), Ok(()), "few files");
        assert_eq!(checked(1000, 1000, None, false), Ok(()), "unchanged");
    }

    #[test]
    fn what_is_disputed_makes_no_share_smaller() {
        let mut counts = Counts { matched: 1000, due: 101, ..Counts::default() };
        assert_eq!(check(&counts, &Brakes::default(), Some("max_age was changed")), Ok(()));
        counts.kept.disputed = 800;
        assert!(check(&counts, &Brakes::default(), Some("max_age was changed")).is_err());
    }

    #[test]
    fn a_share_is_exceeded_strictly() {
        assert_eq!(checked(200, 1000, Some(20), false), Ok(()));
        assert!(matches!(checked(201, 1000, Some(20), false), Err(Brake::TooLargeAShare { .. })));
        assert_eq!(checked(1000, 1000, Some(100), false), Ok(()));
        assert_eq!(checked(u64::MAX, u64::MAX, Some(100), false), Ok(()), "no overflow");
    }
}
