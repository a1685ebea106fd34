//! What a run has come to so far, and the report that is made of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cleanup_core::duration::Human;
use cleanup_core::policy::{Brakes, SessionPolicy};
use cleanup_core::report::{ItemError, PolicyKind, PolicyReport, PolicyStatus, Tally};
use cleanup_core::sweep::STOPPED;

use super::obstacle::Obstacle;
use super::plural;
use crate::RowPlace;

/// So many rows that the database refuses are passed by in one run; each costs it some failing statements.
const MOST_REFUSED: u64 = 100;

/// The rows of a table, by what would become of them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Planned {
    pub(crate) all: u64,
    pub(crate) due: u64,
    pub(crate) referenced: u64,
    pub(crate) future: u64,
    pub(crate) implausible: u64,
}

/// What one run has come to so far. It outlives the run's errors, so that committed batches stay counted.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) tally: Tally,
    /// A statement was cancelled that could not be any smaller; it is among the errors.
    pub(crate) gave_up: bool,
    /// Rows that the database refuses to remove, by table and reason.
    refused: BTreeMap<(String, String), u64>,
    /// How many in the whole run, counted by all of its connections.
    refused_total: Arc<AtomicU64>,
    notes: Vec<String>,
    /// Rows of other tables, by what became of them; `None` where they were not counted.
    followed: BTreeMap<(String, &'static str), Option<u64>>,
    /// The key `max_removals`.
    most: Option<u64>,
    /// When the key `max_runtime` ends the run, and how long it is.
    until: Option<(Instant, Duration)>,
    /// Where the run begins, and then where it was stopped.
    pub(crate) place: Option<RowPlace>,
    /// Whether a batch was done: a run gets somewhere, however little time it has.
    has_begun: bool,
}

impl Ledger {
    /// Books of a run that removes, within the policy's brakes.
    pub(crate) fn within(brakes: &Brakes) -> Self {
        let until = brakes.max_runtime.and_then(|time| Some((Instant::now().checked_add(time)?, time)));
        Self { most: brakes.max_removals, until, ..Self::default() }
    }

    /// How many rows may still go.
    pub(crate) fn room(&self) -> u64 {
        self.most.map_or(u64::MAX, |most| most.saturating_sub(self.tally.counts.removed))
    }

    /// Whether the number of rows that may go is limited.
    pub(crate) fn is_limited(&self) -> bool {
        self.most.is_some()
    }

    /// As many rows as a batch may have.
    pub(crate) fn fitting(&self, size: u32) -> u32 {
        u32::try_from(self.room()).unwrap_or(u32::MAX).min(size).max(1)
    }

    /// Counts rows that are due and left for the next run.
    pub(crate) fn deferred(&mut self, rows: u64) {
        let counts = &mut self.tally.counts;
        counts.scanned += rows;
        counts.matched += rows;
        counts.kept.deferred += rows;
    }

    /// Counts all rows of a table, by what would become of them.
    pub(crate) fn planned(&mut self, rows: Planned) {
        let Planned { all, due, referenced, future, implausible } = rows;
        let counts = &mut self.tally.counts;
        counts.scanned += all;
        counts.matched += all;
        counts.due += due;
        counts.kept.referenced += referenced;
        counts.kept.future += future;
        counts.kept.implausible += implausible;
        counts.kept.within_limits += all.saturating_sub(due + referenced + future + implausible);
    }

    /// Counts rows of another table that went along with ours, or were changed; `None` where nobody knows how many.
    pub(crate) fn followed(&mut self, table: String, follow: &'static str, rows: Option<u64>) {
        let known = self.followed.entry((table, follow)).or_insert(Some(0));
        *known = known.zip(rows).map(|(known, rows)| known + rows);
    }

    /// Counts rows that were due and are gone.
    pub(crate) fn removed(&mut self, rows: u64) {
        self.has_begun = true;
        let counts = &mut self.tally.counts;
        counts.scanned += rows;
        counts.matched += rows;
        counts.due += rows;
        counts.removed += rows;
    }

    /// Takes rows back from those that are gone: a trigger put them back, so they are still there.
    pub(crate) fn put_back(&mut self, rows: u64) {
        let counts = &mut self.tally.counts;
        for count in [&mut counts.scanned, &mut counts.matched, &mut counts.due, &mut counts.removed] {
            *count = count.saturating_sub(rows);
        }
    }

    /// Counts rows that are due and locked by somebody: most likely a user who just came back.
    pub(crate) fn in_use(&mut self, rows: u64) {
        let counts = &mut self.tally.counts;
        counts.scanned += rows;
        counts.matched += rows;
        counts.due += rows;
        counts.kept.in_use += rows;
    }

    /// Counts rows that are old, but that rows of another table refer to.
    pub(crate) fn referenced(&mut self, rows: u64) {
        let counts = &mut self.tally.counts;
        counts.scanned += rows;
        counts.matched += rows;
        counts.kept.referenced += rows;
    }

    /// Counts rows that have no plausible time.
    pub(crate) fn implausible(&mut self, rows: u64) {
        let counts = &mut self.tally.counts;
        counts.scanned += rows;
        counts.matched += rows;
        counts.kept.implausible += rows;
    }

    /// Counts rows that are due and that the database would not let go.
    pub(crate) fn failed(&mut self, table: &str, rows: u64, reason: &str) {
        if rows > 0 {
            let counts = &mut self.tally.counts;
            counts.scanned += rows;
            counts.matched += rows;
            counts.due += rows;
            let stay = if rows == 1 { "stays" } else { "stay" };
            self.error(table, format!("{} {stay}: {reason}", plural(rows, "expired row")));
            self.tally.errors_total += rows - 1;
        }
    }

    /// Counts a row that is due and that the database refuses to remove. It is named by the reason only.
    pub(crate) fn refused(&mut self, table: &str, reason: String) {
        *self.refused.entry((table.to_owned(), reason)).or_default() += 1;
        self.refused_total.fetch_add(1, Ordering::Relaxed);
    }

    /// How many rows were refused in this run.
    pub(crate) fn refused_rows(&self) -> u64 {
        self.refused_total.load(Ordering::Relaxed)
    }

    /// Whether trying more rows would only fill the server's log.
    pub(crate) fn enough_refused(&self) -> bool {
        self.refused_rows() >= MOST_REFUSED
    }

    /// Notes that somebody wants the run to end.
    pub(crate) fn stop(&mut self) {
        self.tally.stopped = Some(STOPPED.to_owned());
    }

    /// Notes that the run has taken as long as it may.
    pub(crate) fn stop_when_late(&mut self) {
        if self.has_begun
            && let Some((until, time)) = self.until
            && Instant::now() >= until
        {
            let time = Human(time);
            self.tally.stopped = Some(format!("max_runtime = \"{time}\" reached; the next run does the rest"));
        }
    }

    /// Whether the run is to end where the next one may go on.
    pub(crate) fn is_stopped(&self) -> bool {
        self.tally.stopped.is_some()
    }

    /// Whether the run is to end before all rows were tried.
    pub(crate) fn is_over(&self) -> bool {
        self.enough_refused() || self.tally.stopped.is_some() || self.room() == 0
    }

    /// Books for another connection of the same run, to be added to these at its end.
    pub(crate) fn beside(&self) -> Self {
        Self { refused_total: self.refused_total.clone(), until: self.until, ..Self::default() }
    }

    /// Adds the books of another connection of the same run.
    pub(crate) fn add(&mut self, other: Self) {
        self.tally.add(other.tally);
        self.gave_up |= other.gave_up;
        for (place, rows) in other.refused {
            *self.refused.entry(place).or_default() += rows;
        }
        for ((table, follow), rows) in other.followed {
            self.followed(table, follow, rows);
        }
        self.notes.extend(other.notes);
    }

    /// Names something that went wrong, without a row's id.
    pub(crate) fn error(&mut self, table: &str, error: String) {
        self.tally.failed(ItemError { path: table.to_owned(), path_bytes: None, error });
    }

    /// Adds a sentence to the report's message.
    pub(crate) fn note(&mut self, sentence: String) {
        // A look that is taken again finds the same.
        if !self.notes.contains(&sentence) {
            self.notes.push(sentence);
        }
    }

    /// Closes the books.
    pub(crate) fn report(mut self, policy: &SessionPolicy, result: Result<(), Obstacle>) -> PolicyReport {
        if self.enough_refused() {
            let rows = plural(self.refused_rows(), "row");
            self.note(format!("stopped after {rows} that the database refuses to remove"));
        }
        if let Some(stopped) = self.tally.stopped.clone() {
            self.note(stopped);
        }
        for ((table, follow), rows) in std::mem::take(&mut self.followed) {
            match rows {
                Some(0) => {}
                Some(rows) => self.note(format!("{} of {table} {}", plural(rows, "row"), past(follow, rows))),
                None => self.note(format!("rows of {table} that {} were not counted", past(follow, 2))),
            }
        }
        for ((table, reason), rows) in std::mem::take(&mut self.refused) {
            self.failed(&table, rows, &reason);
        }
        let name = &policy.rule.name;
        let (status, skipped) = match result {
            Ok(()) => (None, None),
            Err(Obstacle::Skipped { skip, message }) => {
                self.notes.insert(0, message);
                (Some(PolicyStatus::Skipped), Some(skip))
            }
            Err(Obstacle::Held(message)) => {
                self.notes.insert(0, message);
                (Some(PolicyStatus::Held), None)
            }
            Err(Obstacle::Failed(message)) => {
                self.notes.insert(0, message);
                (Some(PolicyStatus::Failed), None)
            }
        };
        let message = (!self.notes.is_empty()).then(|| self.notes.join("; "));
        let report = PolicyReport::finished(name, PolicyKind::Sessions, self.tally);
        // What is left for the next run the report says itself.
        let deferred = report.message.clone().filter(|_| report.counts.kept.deferred > 0);
        let message = match (message, deferred) {
            (Some(message), Some(deferred)) => Some(format!("{message}; {deferred}")),
            (message, deferred) => message.or(deferred),
        };
        PolicyReport { status: status.unwrap_or(report.status), message, skipped, ..report }
    }
}

/// What became of so many rows, in words that say what becomes of them.
fn past(follow: &str, rows: u64) -> String {
    follow.replacen("are ", if rows == 1 { "was " } else { "were " }, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sums_of_a_ledger_agree() {
        let mut ledger = Ledger::default();
        ledger.removed(5);
        ledger.in_use(2);
        ledger.referenced(3);
        ledger.failed("public.t", 4, "a trigger keeps them");
        let (counts, errors) = (ledger.tally.counts, ledger.tally.errors_total);
        assert_eq!((counts.matched, counts.due, counts.removed, errors), (14, 11, 5, 4));
        assert_eq!(ledger.tally.errors[0].error, "4 expired rows stay: a trigger keeps them");
        ledger.failed("public.t", 0, "nothing");
        ledger.failed("public.t", 1, "a trigger keeps it");
        assert_eq!(ledger.tally.errors[1].error, "1 expired row stays: a trigger keeps it");
        assert_eq!(ledger.tally.errors.len(), 2);
    }
}
