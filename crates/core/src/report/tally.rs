//! Counting, while a sweep goes on.

use super::{Counts, ItemError, MAX_ERRORS};
use crate::candidate::{Candidate, Class};
use crate::store::{Outcome, Removal, Seen};
use crate::verdict::Verdict;

/// What one worker has counted so far. Adding tallies in any order gives the same counts, and the same errors.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// The counts.
    pub counts: Counts,
    /// Failed items: the first [`MAX_ERRORS`] by path, and maybe some that come later.
    pub errors: Vec<ItemError>,
    /// How many items failed.
    pub errors_total: u64,
    /// Why the sweep ended before its end.
    pub stopped: Option<String>,
}

impl Tally {
    /// Counts a verdict on a candidate.
    pub fn judged(&mut self, candidate: &Candidate<'_>, verdict: &Verdict) {
        let counts = &mut self.counts;
        if candidate.class == Class::EmptyDirectory {
            counts.dirs_due += u64::from(verdict.is_due());
            return;
        }
        counts.matched += 1;
        counts.matched_bytes += candidate.bytes;
        match verdict {
            Verdict::Remove(_) => {
                counts.due += 1;
                counts.due_bytes += candidate.bytes;
            }
            Verdict::Keep(keep) => counts.kept[keep.kind()] += 1,
        }
    }

    /// Counts a candidate that was judged due and is left for the next run.
    pub fn deferred(&mut self, candidate: &Candidate<'_>) {
        if candidate.class != Class::EmptyDirectory {
            self.counts.matched += 1;
            self.counts.matched_bytes += candidate.bytes;
            self.counts.kept.deferred += 1;
        }
    }

    /// Counts what came of a candidate that was judged due.
    pub fn acted(&mut self, candidate: &Candidate<'_>, removal: &Removal) {
        let Removal { outcome, freed } = removal;
        let counts = &mut self.counts;
        counts.bytes_freed += freed;
        match (outcome, candidate.class) {
            (Outcome::Removed | Outcome::Quarantined, Class::EmptyDirectory) => counts.dirs_removed += 1,
            (Outcome::Removed, _) => {
                counts.removed += 1;
                counts.removed_bytes += candidate.bytes;
            }
            (Outcome::Quarantined, _) => {
                counts.quarantined += 1;
                counts.quarantined_bytes += candidate.bytes;
            }
            // A directory that was filled again or is gone is not worth reporting.
            (Outcome::Vanished | Outcome::Changed | Outcome::InUse, Class::EmptyDirectory) => {}
            (Outcome::InUse, _) => counts.kept.in_use += 1,
            (Outcome::Vanished, _) => counts.vanished += 1,
            (Outcome::Changed, _) => counts.changed += 1,
            // Counted like any other that changed, but somebody must be told where it is.
            (Outcome::Displaced(place), _) => {
                counts.changed += 1;
                self.failed(ItemError::new(candidate.name, place.clone()));
            }
            (Outcome::Failed(error), _) => self.failed(ItemError::new(candidate.name, error.clone())),
        }
    }

    /// Counts something that lay in quarantine and is gone for good.
    pub fn purged(&mut self) {
        self.counts.purged += 1;
    }

    /// Counts what deleting something in quarantine gave back, be it only a part of a directory.
    pub fn purge_freed(&mut self, bytes: u64) {
        self.counts.purged_bytes += bytes;
        self.counts.bytes_freed += bytes;
    }

    /// Counts an item that could not be looked at or removed.
    pub fn failed(&mut self, error: ItemError) {
        self.errors_total += 1;
        self.errors.push(error);
        self.keep_first_errors();
    }

    /// By path and not by time: which worker comes first is chance.
    fn keep_first_errors(&mut self) {
        if self.errors.len() >= 2 * MAX_ERRORS {
            self.errors.sort_by(|a, b| a.path.cmp(&b.path));
            self.errors.truncate(MAX_ERRORS);
        }
    }

    /// Counts entries that were looked at.
    pub fn seen(&mut self, seen: Seen) {
        let counts = &mut self.counts;
        counts.scanned += seen.scanned;
        counts.matched += seen.vanished + seen.changed + seen.indexed + seen.disputed;
        counts.matched_bytes += seen.indexed_bytes;
        counts.kept.within_limits += seen.indexed;
        counts.indexed += seen.indexed;
        counts.vanished += seen.vanished;
        counts.changed += seen.changed;
        counts.left_alone += seen.left_alone;
        counts.owned_by_others += seen.owned_by_others;
        counts.kept.disputed += seen.disputed;
        counts.dotfiles += seen.dotfiles;
    }

    /// Adds what another worker counted.
    pub fn add(&mut self, other: Self) {
        self.counts += other.counts;
        self.errors_total += other.errors_total;
        self.stopped = self.stopped.take().or(other.stopped);
        self.errors.extend(other.errors);
        self.keep_first_errors();
    }
}
