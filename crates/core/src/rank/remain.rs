//! Counts what stays after a sweep, and what keeps it: what a limit has come to, and what stands in its way.
//!
//! It watches the sweep itself, so it knows what failed, what changed and what came meanwhile. Files with several names
//! are counted once, as long as they can be remembered.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Mutex, PoisonError};

use super::links::several_names;
use crate::candidate::{Candidate, Class};
use crate::store::{Outcome, Seen};
use crate::sweep::{Judged, Observer};
use crate::verdict::{Keep, Verdict};

/// How many files with several names are remembered.
const MOST: usize = 200_000;

/// What keeps a file, the strongest reason first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pin {
    /// It is an archive.
    Archive,
    /// Somebody asked to keep it.
    Held,
    /// Its name is still needed.
    Referenced,
    /// Its stamp lies ahead of the clock.
    Future,
    /// It is younger than `min_age`.
    Settling,
    /// It is among the newest.
    Newest,
    /// A process has it open.
    InUse,
    /// A brake leaves it for the next run.
    Deferred,
    /// It was changed between judging and removing.
    Changed,
    /// It could not be removed.
    Failed,
    /// Nothing: it was not asked for when the cut was found.
    Nothing,
}

impl Pin {
    /// The key in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Archive => "archive",
            Self::Held => "held",
            Self::Referenced => "referenced",
            Self::Future => "future",
            Self::Settling => "settling",
            Self::Newest => "newest",
            Self::InUse => "in_use",
            Self::Deferred => "deferred",
            Self::Changed => "changed",
            Self::Failed => "failed",
            Self::Nothing => "within_limits",
        }
    }

    const ALL: [Self; 11] = [
        Self::Archive,
        Self::Held,
        Self::Referenced,
        Self::Future,
        Self::Settling,
        Self::Newest,
        Self::InUse,
        Self::Deferred,
        Self::Changed,
        Self::Failed,
        Self::Nothing,
    ];

    /// The reason with this key in a report.
    pub(crate) fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|pin| pin.name() == name)
    }
}

/// Completes the sentence "12 of them are …".
impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Archive => "archived",
            Self::Held => "held",
            Self::Referenced => "referenced by live sessions",
            Self::Future => "stamped in the future",
            Self::Settling => "younger than min_age",
            Self::Newest => "among the newest",
            Self::InUse => "in use",
            Self::Deferred => "left for the next run",
            Self::Changed => "changed meanwhile",
            Self::Failed => "not removable",
            Self::Nothing => "new since the sweep began",
        })
    }
}

/// Files and their allocated bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many names.
    pub files: u64,
    /// Allocated bytes, files with several names counted once.
    pub bytes: u64,
}

impl Amount {
    fn add(&mut self, bytes: u64) {
        self.files += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// What was found, and what of it stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stays {
    /// Everything that the policy names.
    pub found: Amount,
    /// What stays after the sweep, or would, by what keeps it.
    pub kept: BTreeMap<Pin, Amount>,
}

impl Stays {
    /// All that stays.
    pub fn left(&self) -> Amount {
        self.kept.values().fold(Amount::default(), |sum, amount| Amount {
            files: sum.files + amount.files,
            bytes: sum.bytes.saturating_add(amount.bytes),
        })
    }
}

/// Watches a sweep for what stays, and passes on what it sees.
pub struct Remaining<'a> {
    inner: &'a dyn Observer,
    sums: Mutex<Sums>,
}

#[derive(Default)]
struct Sums {
    stays: Stays,
    /// Of files with several names: whether one of those that were seen stays.
    linked: HashMap<((u32, u32), u64), bool>,
}

impl<'a> Remaining<'a> {
    /// Watches on behalf of another observer.
    pub fn new(inner: &'a dyn Observer) -> Self {
        Self { inner, sums: Mutex::default() }
    }

    /// What it came to.
    pub fn finish(self) -> Stays {
        self.sums.into_inner().unwrap_or_else(PoisonError::into_inner).stays
    }

    fn note(&self, candidate: &Candidate<'_>, pin: Option<Pin>) {
        if candidate.class == Class::EmptyDirectory {
            return;
        }
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        let Sums { stays, linked } = &mut *sums;
        let (mut found, mut kept) = (candidate.bytes, candidate.bytes);
        if let Some(identity) = several_names(candidate) {
            let key = (identity.device, identity.inode);
            if linked.len() < MOST || linked.contains_key(&key) {
                let before = linked.get(&key).copied();
                linked.insert(key, before == Some(true) || pin.is_some());
                found = if before.is_some() { 0 } else { found };
                kept = if before == Some(true) { 0 } else { kept };
            }
        }
        stays.found.add(found);
        if let Some(pin) = pin {
            stays.kept.entry(pin).or_default().add(kept);
        }
    }
}

/// What keeps something after this; `None` when it is gone, or would be.
fn pin(verdict: &Verdict, outcome: Option<&Outcome>) -> Option<Pin> {
    match (verdict, outcome) {
        (Verdict::Keep(keep), _) => Some(match keep {
            Keep::Archive => Pin::Archive,
            Keep::Held { .. } => Pin::Held,
            Keep::Referenced => Pin::Referenced,
            Keep::Future { .. } => Pin::Future,
            Keep::Settling { .. } => Pin::Settling,
            Keep::Newest { .. } => Pin::Newest,
            Keep::WithinLimits { .. } => Pin::Nothing,
        }),
        (Verdict::Remove(_), None | Some(Outcome::Removed | Outcome::Quarantined | Outcome::Vanished)) => None,
        (Verdict::Remove(_), Some(Outcome::Changed | Outcome::Displaced(_))) => Some(Pin::Changed),
        (Verdict::Remove(_), Some(Outcome::InUse)) => Some(Pin::InUse),
        (Verdict::Remove(_), Some(Outcome::Failed(_))) => Some(Pin::Failed),
    }
}

impl Observer for Remaining<'_> {
    fn judged(&self, judged: &Judged<'_>) {
        self.note(&judged.candidate, pin(&judged.verdict, judged.outcome));
        self.inner.judged(judged);
    }

    fn deferred(&self, candidate: &Candidate<'_>) {
        self.note(candidate, Some(Pin::Deferred));
        self.inner.deferred(candidate);
    }

    fn seen(&self, seen: Seen) {
        self.inner.seen(seen);
    }

    fn wants_to_stop(&self) -> bool {
        self.inner.wants_to_stop()
    }
}
