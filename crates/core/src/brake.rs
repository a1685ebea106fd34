//! Brakes: hold a policy back if it would remove more than anyone is likely to intend.
//!
//! They check the counts of a plan before anything is removed. `--force` skips them, because a person has checked.

use std::fmt;

use crate::policy::{Brakes, Changes, Marks, MinFree};
use crate::rank::FileSystem;
use crate::report::{Counts, Space};
use crate::size::HumanBytes;

/// Up to this many files, no brake considers proportions, because small folders become empty all the time.
pub const HARMLESS: u64 = 100;

/// Why a policy is held back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Brake {
    /// A key that protects files was loosened or removed since the last run.
    LoosenedProtection {
        /// Which, and how, in words.
        changes: String,
        /// Files that would be removed.
        due: u64,
        /// Files that the policy matches.
        matched: u64,
    },
    /// The query of `keep_referenced` returns far fewer names than it did, or none.
    FewerReferences {
        /// How many there were in the last complete run, if one is known.
        before: Option<u64>,
        /// How many there are.
        now: u64,
        /// Files that would be removed.
        due: u64,
    },
    /// A mark of `min_free` that cannot be met, however much is removed.
    UnreachableMark {
        /// The mark: `min_free`, its `high`, its `inodes`.
        mark: &'static str,
        /// The required amount, as text.
        wanted: String,
        /// The size of the file system, as text.
        whole: String,
    },
    /// There were earlier runs, but their clock readings are lost, so a clock jump cannot be noticed.
    UnwitnessedClock {
        /// Files that would be removed.
        due: u64,
        /// Files that the policy matches.
        matched: u64,
    },
    /// Keys that select files were changed since the last run, and now most files would be removed.
    ChangedRule {
        /// What was changed, in words.
        changes: String,
        /// Files that would be removed.
        due: u64,
        /// Files that the policy matches.
        matched: u64,
    },
    /// More than `max_removal_percent` would be removed.
    TooLargeAShare {
        /// The configured percentage.
        percent: u32,
        /// Files that would be removed.
        due: u64,
        /// Files that the policy matches.
        matched: u64,
    },
    /// The policy only observed before, and far more would be removed than the last observation predicted.
    MoreThanForeseen {
        /// Files that the last observation would have removed.
        foreseen: u64,
        /// Files that would be removed.
        due: u64,
    },
    /// The root is on another file system than in the last run.
    OtherFileSystem {
        /// The root.
        root: String,
    },
}

/// Findings of a run that make a large plan suspicious.
#[derive(Clone, Debug, Default)]
pub struct Suspicions {
    /// What was changed in the policy since its last run, if anything was.
    pub changes: Option<Changes>,
    /// Fewer names are still needed.
    pub references: Option<FewerReferences>,
    /// There were runs before, but their clock readings are lost.
    pub clock_is_lost: bool,
    /// How many files the last run would have removed, if it only observed.
    pub foreseen: Option<u64>,
}

impl Suspicions {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.changes.is_none() && self.references.is_none() && !self.clock_is_lost && self.foreseen.is_none()
    }
}

/// The `keep_referenced` query returns fewer than half of the names that it did, or none, as on a new database or
/// during a restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FewerReferences {
    before: Option<u64>,
    now: u64,
}

impl FewerReferences {
    /// Compares with the last complete run, if one is known. No names are suspicious unless the last complete run had
    /// none either, which means that this was accepted.
    pub fn of(before: Option<u64>, now: u64) -> Option<Self> {
        let is_fewer = match before {
            Some(before) => now < before.div_ceil(2),
            None => now == 0,
        };
        is_fewer.then_some(Self { before, now })
    }

    /// Checks against the number of files that would go.
    pub fn check(self, due: u64) -> Result<(), Brake> {
        let Self { before, now } = self;
        let harmless = if now == 0 { 0 } else { HARMLESS };
        if due <= harmless { Ok(()) } else { Err(Brake::FewerReferences { before, now, due }) }
    }
}

/// Whether `min_free` can be met: a mark as large as the file system, or as its quota, would remove every file without
/// being met.
pub fn reachable(min_free: &MinFree, file_system: &FileSystem) -> Result<(), Brake> {
    let check = |mark, room: crate::policy::Room, space: Space, shown: &dyn Fn(u64) -> String| {
        let wanted = room.of(space.whole);
        // A share of a file system without a size asks for nothing.
        if wanted == 0 || wanted < space.whole {
            return Ok(());
        }
        Err(Brake::UnreachableMark { mark, wanted: shown(wanted), whole: shown(space.whole) })
    };
    let bytes = |amount| HumanBytes(amount).to_string();
    if let Some(Marks { low, high }) = min_free.space {
        check("min_free", low, file_system.bytes, &bytes)?;
        check("the high mark of min_free", high, file_system.bytes, &bytes)?;
    }
    if let (Some(Marks { low, .. }), Some(space)) = (min_free.inodes, file_system.inodes) {
        check("the mark for inodes of min_free", low, space, &|amount| format!("{amount} inodes"))?;
    }
    Ok(())
}

/// Judges a plan.
pub fn check(counts: &Counts, brakes: &Brakes, suspicions: &Suspicions) -> Result<(), Brake> {
    // Disputed files can never go, so they do not belong to the whole that a share is taken of.
    let (due, matched) = (counts.due, counts.matched.saturating_sub(counts.kept.disputed));
    if let Some(fewer) = suspicions.references {
        fewer.check(due)?;
    }
    if due <= HARMLESS {
        return Ok(());
    }
    let beyond = |percent: u32| u128::from(due) * 100 > u128::from(matched) * u128::from(percent);
    if let Some(changes) = &suspicions.changes {
        if changes.has_loosened() {
            return Err(Brake::LoosenedProtection { changes: changes.loosened.join(" and "), due, matched });
        }
        if beyond(50) {
            return Err(Brake::ChangedRule { changes: changes.to_string(), due, matched });
        }
    }
    if suspicions.clock_is_lost && beyond(50) {
        return Err(Brake::UnwitnessedClock { due, matched });
    }
    if let Some(foreseen) = suspicions.foreseen.filter(|foreseen| due > foreseen.saturating_mul(2)) {
        return Err(Brake::MoreThanForeseen { foreseen, due });
    }
    match brakes.max_removal_percent {
        Some(percent) if beyond(percent) => Err(Brake::TooLargeAShare { percent, due, matched }),
        _ => Ok(()),
    }
}

impl fmt::Display for Brake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LoosenedProtection { changes, due, matched } => write!(
                f,
                "held back: {changes} since the last run, which protects fewer files; {due} of {matched} files would \
                 now be removed; restore the old value, or run once with --force if this is intended"
            ),
            Self::FewerReferences { before, now, due } => {
                match (before, now) {
                    (_, 0) => f.write_str("held back: the keep_referenced query returned no names")?,
                    _ => write!(f, "held back: the keep_referenced query returned only {now} names")?,
                }
                if let Some(before) = before {
                    write!(f, ", after {before} in the last complete run")?;
                }
                let files = if *due == 1 { "file" } else { "files" };
                write!(
                    f,
                    "; its database may be new or empty, and {due} {files} would now be removed; if this is intended, \
                     run once with --force"
                )
            }
            Self::UnreachableMark { mark, wanted, whole } => write!(
                f,
                "held back: {mark} requires {wanted} free, but the whole file system has only {whole}; removing \
                 everything would not be enough, so nothing is removed; set a smaller value or a percentage"
            ),
            Self::UnwitnessedClock { due, matched } => write!(
                f,
                "held back: no clock reading of an earlier run was found, so the state may have been lost; {due} of \
                 {matched} files would now be removed; if the date is right, run once with --force"
            ),
            Self::ChangedRule { changes, due, matched } => write!(
                f,
                "held back: {changes} since the last run; {due} of {matched} files would now be removed; if this is \
                 intended, run once with --force"
            ),
            Self::TooLargeAShare { percent, due, matched } => write!(
                f,
                "held back: {due} of {matched} files would be removed, more than max_removal_percent = {percent}; if \
                 this is intended, run once with --force"
            ),
            Self::MoreThanForeseen { foreseen, due } => write!(
                f,
                "held back: the last run, which only observed, predicted {foreseen} removals, but {due} files would \
                 now be removed; check them with a dry run, and run once with --force if this is intended"
            ),
            Self::OtherFileSystem { root } => write!(
                f,
                "held back: {root} is on another file system than in the last run; something may be mounted over it, \
                 or its own mount may be missing; if this is intended, run once with --force"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(due: u64, matched: u64, percent: Option<u32>, is_changed: bool) -> Result<(), Brake> {
        let counts = Counts { matched, due, ..Counts::default() };
        let brakes = Brakes { max_removal_percent: percent, ..Brakes::default() };
        let changes = Changes { others: vec!["max_age was changed".to_owned()], ..Changes::default() };
        check(&counts, &brakes, &Suspicions { changes: is_changed.then_some(changes), ..Suspicions::default() })
    }

    #[test]
    fn a_suspicion_of_any_kind_is_one() {
        let none = Suspicions::default;
        assert!(none().is_empty());
        for some in [
            Suspicions { changes: Some(Changes::default()), ..none() },
            Suspicions { references: FewerReferences::of(Some(10), 1), ..none() },
            Suspicions { clock_is_lost: true, ..none() },
            Suspicions { foreseen: Some(0), ..none() },
        ] {
            assert!(!some.is_empty(), "{some:?}");
        }
    }

    #[test]
    fn a_loosened_protection_is_held_whatever_the_share() {
        let loosened = |due| {
            let counts = Counts { matched: 1_000_000, due, ..Counts::default() };
            let changes = Changes { loosened: vec!["exclude was removed".to_owned()], others: vec!["x".to_owned()] };
            check(&counts, &Brakes::default(), &Suspicions { changes: Some(changes), ..Suspicions::default() })
        };
        assert_eq!(loosened(100), Ok(()), "few files");
        let held = loosened(101).unwrap_err().to_string();
        assert!(held.contains("exclude was removed since") && held.contains("--force"), "{held}");
    }

    #[test]
    fn a_clock_that_nobody_remembers_is_believed_for_few_files_only() {
        let lost = |due, matched| {
            let counts = Counts { matched, due, ..Counts::default() };
            check(&counts, &Brakes::default(), &Suspicions { clock_is_lost: true, ..Suspicions::default() })
        };
        assert_eq!((lost(100, 100), lost(101, 202)), (Ok(()), Ok(())));
        assert!(matches!(lost(101, 201), Err(Brake::UnwitnessedClock { due: 101, matched: 201 })));
    }

    #[test]
    fn what_was_observed_before_is_held_when_far_more_would_go() {
        let held = |foreseen, due| {
            let counts = Counts { matched: 1_000_000, due, ..Counts::default() };
            let suspicions = Suspicions { foreseen: Some(foreseen), ..Suspicions::default() };
            check(&counts, &Brakes::default(), &suspicions).is_err()
        };
        assert!(!held(0, 100), "few files");
        assert!(held(0, 101));
        assert!(!held(100, 200), "twice is not more than twice");
        assert!(held(100, 201));
        assert!(!held(u64::MAX, u64::MAX), "no overflow");
    }

    #[test]
    fn names_that_became_fewer_are_told_with_what_there_was() {
        let said = |before, now, due| Brake::FewerReferences { before, now, due }.to_string();
        assert!(said(Some(40), 0, 1).contains("returned no names, after 40 in the last complete run; its database"));
        assert!(
            said(None, 0, 1).contains("returned no names; its database")
                && said(None, 0, 1).contains("1 file would now")
        );
        assert!(
            said(Some(40), 3, 200).contains("returned only 3 names")
                && said(None, 3, 200).contains("200 files would now")
        );
    }

    #[test]
    fn answers_that_became_fewer_hold() {
        let held = |before, now, due| FewerReferences::of(before, now).is_some_and(|fewer| fewer.check(due).is_err());
        for (before, now, due, expected) in [
            (Some(200), 200, 1000, false),
            (Some(200), 100, 1000, false),
            (Some(200), 99, 1000, true),
            (Some(200), 99, 100, false),
            (Some(199), 99, 1000, true),
            (Some(200), 0, 1, true),
            (Some(1), 0, 1, true),
            (Some(0), 0, 1000, false),
            (None, 0, 1, true),
            (None, 0, 0, false),
            (None, 1, 1000, false),
            (Some(0), 7, 1000, false),
        ] {
            assert_eq!(held(before, now, due), expected, "{before:?} {now} {due}");
        }
    }

    #[test]
    fn a_mark_that_nothing_can_meet_is_named_with_both_sizes() {
        use crate::policy::Room;
        let space = |whole| Space { whole, free: whole / 2 };
        let file_system = FileSystem { bytes: space(105_000_000), inodes: Some(space(1000)) };
        let of = |space: Option<(Room, Room)>, inodes: Option<Room>| {
            let space = space.map(|(low, high)| Marks { low, high });
            let inodes = inodes.map(|low| Marks { low, high: low });
            reachable(&MinFree { space, inodes, weight: 1.0 }, &file_system).err().map(|brake| brake.to_string())
        };
        let amount = Room::Amount;
        for fine in [
            of(Some((amount(1), amount(104_999_999))), Some(amount(999))),
            of(Some((Room::Percent(99.0), Room::Percent(99.9))), Some(Room::Percent(99.0))),
        ] {
            assert_eq!(fine, None);
        }
        let low = of(Some((amount(500_000_000_000), amount(500_000_000_000))), None).unwrap();
        assert!(low.contains("500.0 GB") && low.contains("105.0 MB"), "{low}");
        assert!(of(Some((amount(1), amount(105_000_000))), None).unwrap().contains("high mark"));
        assert!(of(None, Some(amount(1000))).unwrap().contains("1000 inodes"));
        let nothing = FileSystem { bytes: Space::default(), inodes: None };
        let mark = |low| MinFree {
            space: Some(Marks { low, high: low }),
            inodes: Some(Marks { low, high: low }),
            weight: 1.0,
        };
        assert!(reachable(&mark(amount(1)), &nothing).is_err(), "a file system without a size");
        assert!(reachable(&mark(Room::Percent(5.0)), &nothing).is_ok());
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
        let changes = Changes { others: vec!["max_age was changed".to_owned()], ..Changes::default() };
        let suspicions = Suspicions { changes: Some(changes), ..Suspicions::default() };
        assert_eq!(check(&counts, &Brakes::default(), &suspicions), Ok(()));
        counts.kept.disputed = 800;
        assert!(check(&counts, &Brakes::default(), &suspicions).is_err());
    }

    #[test]
    fn a_share_is_exceeded_strictly() {
        assert_eq!(checked(200, 1000, Some(20), false), Ok(()));
        assert!(matches!(checked(201, 1000, Some(20), false), Err(Brake::TooLargeAShare { .. })));
        assert_eq!(checked(1000, 1000, Some(100), false), Ok(()));
        assert_eq!(checked(u64::MAX, u64::MAX, Some(100), false), Ok(()), "no overflow");
    }
}
