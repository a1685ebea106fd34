//! One sweep of one policy over one store: offer, judge, mode, act, count.
//!
//! This is the only place that looks at the mode. A dry run takes the same path as a real one; the mode alone decides
//! whether the store is told what is due and asked to act, so a dry run cannot say anything else than a sweep would do.
//!
//! Stores may call in from several threads. Each batch is counted on its own and added to the sum under one short
//! lock when it is done, so that workers do not wait for each other.

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
pub const STOPPED: &str = "stopped before its end; what is left is up to the next run";

/// Whether verdicts are acted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Write verdicts down; change nothing.
    Plan,
    /// Remove what is judged due.
    Apply,
}

/// Watches a sweep: for lists, statistics, progress. Called from the store's threads.
pub trait Observer: Sync {
    /// One candidate was judged and, under [`Mode::Apply`] when due, acted on.
    fn judged(&self, judged: &Judged<'_>) {
        let _ = judged;
    }

    /// One candidate was judged due, and is left for the next run.
    fn deferred(&self, candidate: &Candidate<'_>) {
        let _ = candidate;
    }

    /// More entries were looked at.
    fn seen(&self, seen: Seen) {
        let _ = seen;
    }

    /// Whether the sweep is to end after the current item; the rest is left for the next run.
    fn wants_to_stop(&self) -> bool {
        false
    }
}

/// Watches nothing.
impl Observer for () {}

/// A candidate with what was decided and done about it.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// The candidate.
    pub candidate: Candidate<'a>,
    /// What was decided, and why.
    pub verdict: Verdict,
    /// What was done; `None` when it is kept, or when this is only a plan.
    pub outcome: Option<&'a Outcome>,
    /// Allocated bytes that the file system got back by that.
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
    /// Whether one of the workers has found a reason to stop; the others stop after their current item.
    is_stopped: AtomicBool,
}

impl Sweep<'_> {
    /// Whether `max_removals` leaves this one for the next run. Directories cost nothing and are not counted.
    fn is_deferred(&self, candidate: &Candidate<'_>) -> bool {
        let Some(max) = self.run.brakes.max_removals else { return false };
        let take = |taken: u64| (taken < max).then_some(taken + 1);
        candidate.class != Class::EmptyDirectory
            && self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_err()
    }

    /// What was not removed does not count, or else the same few failures would use up every run's share.
    fn give_back(&self, candidate: &Candidate<'_>) {
        if self.run.brakes.max_removals.is_some() && candidate.class != Class::EmptyDirectory {
            self.taken.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Whether so many removals have failed in a row that there is no point in going on; says so.
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
