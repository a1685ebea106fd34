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
use crate::verdict::{KeepKind, Verdict};

/// How many files with several names are remembered.
const MOST: usize = 200_000;

/// What keeps a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pin {
    /// A reason to keep it.
    Kept(KeepKind),
    /// It was changed between judging and removing.
    Changed,
    /// It could not be removed.
    Failed,
}

impl Pin {
    /// The key in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kept(kind) => kind.key(),
            Self::Changed => "changed",
            Self::Failed => "failed",
        }
    }

    /// The reason with this key in a report.
    pub(crate) fn of(name: &str) -> Option<Self> {
        let kept = KeepKind::ALL.iter().copied().map(Self::Kept);
        kept.chain([Self::Changed, Self::Failed]).find(|pin| pin.name() == name)
    }
}

/// Completes the sentence "12 of them are …".
impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            // Files that came since, and those that the limit could spare until something else took the room.
            Self::Kept(KeepKind::WithinLimits) => "not needed when the sweep began",
            Self::Kept(kind) => kind.label(),
            Self::Changed => "changed meanwhile",
            Self::Failed => "not removable",
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
        (Verdict::Keep(keep), _) => Some(Pin::Kept(keep.kind())),
        (Verdict::Remove(_), None | Some(Outcome::Removed | Outcome::Quarantined | Outcome::Vanished)) => None,
        (Verdict::Remove(_), Some(Outcome::Changed | Outcome::Displaced(_))) => Some(Pin::Changed),
        (Verdict::Remove(_), Some(Outcome::InUse)) => Some(Pin::Kept(KeepKind::InUse)),
        (Verdict::Remove(_), Some(Outcome::Failed(_))) => Some(Pin::Failed),
    }
}

impl Observer for Remaining<'_> {
    fn judged(&self, judged: &Judged<'_>) {
        self.note(&judged.candidate, pin(&judged.verdict, judged.outcome));
        self.inner.judged(judged);
    }

    fn deferred(&self, candidate: &Candidate<'_>) {
        self.note(candidate, Some(Pin::Kept(KeepKind::Deferred)));
        self.inner.deferred(candidate);
    }

    fn seen(&self, seen: Seen) {
        self.inner.seen(seen);
    }

    fn wants_to_stop(&self) -> bool {
        self.inner.wants_to_stop()
    }
}
