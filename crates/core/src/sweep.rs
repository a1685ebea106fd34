//! One sweep of one policy over one store: offer, judge, mode, act, count.
//!
//! Only this module checks the mode. A dry run is the same code as a sweep; the mode alone decides whether the store is
//! told what is due and asked to act, so a dry run cannot differ from a sweep.
//!
//! Stores may call from several threads. Each batch is counted separately and added to the total under a short lock
//! when it is done, so workers do not wait for each other.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::candidate::{Candidate, Class};
use crate::judge::{Run, judge};
use crate::policy::Policy;
use crate::report::{ItemError, Tally};
use crate::store::{Batch, Fault, FileStore, Outcome, Seen, Visitor};
use crate::verdict::Verdict;

/// The reason given by a sweep that was asked to stop.
pub const STOPPED: &str = "stopped early; the next run does the rest";

/// Whether verdicts are acted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Record verdicts; change nothing.
    Plan,
    /// Remove what is judged due.
    Apply,
}

/// Observes a sweep, for lists, statistics and progress. Called from the store's threads.
pub trait Observer: Sync {
    /// One candidate was judged and, under [`Mode::Apply`] when due, acted on.
    fn judged(&self, judged: &Judged<'_>) {
        let _ = judged;
    }

    /// One candidate was judged due and left for the next run.
    fn deferred(&self, candidate: &Candidate<'_>) {
        let _ = candidate;
    }

    /// More entries were scanned.
    fn seen(&self, seen: Seen) {
        let _ = seen;
    }

    /// Whether to end the sweep after the current item; the next run does the rest.
    fn wants_to_stop(&self) -> bool {
        false
    }
}

/// Observes nothing.
impl Observer for () {}

/// A candidate with its verdict and outcome.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// The candidate.
    pub candidate: Candidate<'a>,
    /// The verdict, with its reason.
    pub verdict: Verdict,
    /// The outcome; `None` if it is kept, or if this is only a plan.
    pub outcome: Option<&'a Outcome>,
    /// Allocated bytes that this returned to the file system.
    pub freed: u64,
}

/// Sweeps everything that the store offers, and counts the outcomes.
pub fn sweep(store: &impl FileStore, policy: &Policy, run: &Run, mode: Mode, observer: &dyn Observer) -> Tally {
    let sweep = Sweep {
        policy,
        run,
        mode,
        observer,
        sum: Mutex::default(),
        taken: AtomicU64::new(0),
        failures: AtomicU32::new(0),
        is_stopped: AtomicBool::new(false),
    };
    store.offer(&sweep);
    sweep.sum.into_inner().unwrap_or_else(PoisonError::into_inner)
}

struct Sweep<'a> {
    policy: &'a Policy,
    run: &'a Run,
    mode: Mode,
    observer: &'a dyn Observer,
    sum: Mutex<Tally>,
    /// Files judged due so far, against `max_removals`.
    taken: AtomicU64,
    /// Removals that failed in a row, against `max_consecutive_errors`.
    failures: AtomicU32,
    /// Whether a worker has a reason to stop; the others then stop after their current item.
    is_stopped: AtomicBool,
}

impl Sweep<'_> {
    /// Whether `max_removals` leaves this one for the next run. Directories are free and not counted.
    fn is_deferred(&self, candidate: &Candidate<'_>) -> bool {
        let Some(max) = self.run.brakes.max_removals else { return false };
        let take = |taken: u64| (taken < max).then_some(taken + 1);
        candidate.class != Class::EmptyDirectory
            && self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_err()
    }

    /// A failed removal does not count, because otherwise the same few failures would use up the quota of every run.
    fn give_back(&self, candidate: &Candidate<'_>) {
        if self.run.brakes.max_removals.is_some() && candidate.class != Class::EmptyDirectory {
            self.taken.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Whether too many removals failed in a row to continue; records the reason.
    fn is_hopeless(&self, outcome: &Outcome) -> Option<String> {
        let max = self.run.brakes.max_consecutive_errors?;
        if !matches!(outcome, Outcome::Failed(_)) {
            self.failures.store(0, Ordering::Relaxed);
            return None;
        }
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        (failures >= max).then(|| format!("stopped after {failures} errors in a row (max_consecutive_errors)"))
    }

    /// Ends the sweep; the first reason counts.
    fn stop(&self, why: String) {
        if !self.is_stopped.swap(true, Ordering::Relaxed) {
            self.add(Tally { stopped: Some(why), ..Tally::default() });
        }
    }

    fn add(&self, tally: Tally) {
        self.sum.lock().unwrap_or_else(PoisonError::into_inner).add(tally);
    }
}

impl Visitor for Sweep<'_> {
    fn batch(&self, batch: &mut dyn Batch) -> ControlFlow<()> {
        let mut tally = Tally::default();
        if self.mode == Mode::Apply {
            batch.prepare(&|candidate| match judge(self.policy, self.run, candidate) {
                Verdict::Remove(why) => Some(why),
                Verdict::Keep(_) => None,
            });
        }
        for index in 0..batch.len() {
            let candidate = batch.candidate(index);
            let verdict = judge(self.policy, self.run, &candidate);
            if verdict.is_due() && self.is_deferred(&candidate) {
                tally.deferred(&candidate);
                self.observer.deferred(&candidate);
                continue;
            }
            tally.judged(&candidate, &verdict);

            let removal = match (self.mode, verdict) {
                (_, Verdict::Keep(_)) => None,
                (Mode::Apply, Verdict::Remove(why)) => Some(batch.remove(index, &why)),
                (Mode::Plan, Verdict::Remove(_)) => {
                    batch.pretend(index);
                    None
                }
            };

            let candidate = batch.candidate(index);
            if let Some(removal) = &removal {
                tally.acted(&candidate, removal);
                if !removal.outcome.is_gone() {
                    self.give_back(&candidate);
                }
            }
            let (outcome, freed) = removal.as_ref().map_or((None, 0), |it| (Some(&it.outcome), it.freed));
            self.observer.judged(&Judged { candidate, verdict, outcome, freed });
            if let Some(why) = outcome.and_then(|outcome| self.is_hopeless(outcome)) {
                self.stop(why);
            }
            if self.wants_to_stop() {
                break;
            }
        }
        self.add(tally);
        if self.is_stopped.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn wants_to_stop(&self) -> bool {
        if !self.is_stopped.load(Ordering::Relaxed) && self.observer.wants_to_stop() {
            self.stop(STOPPED.to_owned());
        }
        self.is_stopped.load(Ordering::Relaxed)
    }

    fn fault(&self, fault: Fault<'_>) {
        let mut tally = Tally::default();
        tally.failed(ItemError::new(fault.name, fault.error.to_string()));
        self.add(tally);
    }

    fn seen(&self, seen: Seen) {
        let mut tally = Tally::default();
        tally.seen(seen);
        self.add(tally);
        self.observer.seen(seen);
    }
}
