//! What the engine says of a sweep, passed on.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use cleanup_core::candidate::Candidate;
use cleanup_core::moment::Moment;
use cleanup_core::report::{PolicyKind, PolicyReport, Report};
use cleanup_core::store::{Outcome, Seen};
use cleanup_core::sweep::{Judged, Mode};
use cleanup_engine::Watcher;
use tokio_util::sync::CancellationToken;

use super::RunningSweep;
use crate::telemetry::feed::Feed;
use cleanup_engine::now;

/// Carries what the engine says of a sweep to those who wait for it, and to the feed.
pub(super) struct SweepWatcher {
    pub(super) sweep: Arc<RunningSweep>,
    pub(super) feed: Arc<Feed>,
    stop: CancellationToken,
    begun: Mutex<HashMap<String, (Instant, Moment)>>,
    /// How many files of each policy were removed: the first of them are told one by one.
    told: HashMap<String, AtomicU64>,
}

/// Removals of each policy that are told one by one: a sweep of a million files must not push everything else out of
/// what is kept for those who listen.
const MOST_TOLD: u64 = 100;

impl SweepWatcher {
    pub(super) fn new(sweep: Arc<RunningSweep>, feed: Arc<Feed>, stop: CancellationToken) -> Self {
        let told = sweep.policies.iter().map(|name| (name.clone(), AtomicU64::new(0))).collect();
        Self { sweep, feed, stop, begun: Mutex::default(), told }
    }

    /// The report of a sweep that broke off: what has not ended has failed.
    pub(super) fn broken(&self, why: &str) -> Report {
        let sweep = &self.sweep;
        for policy in sweep.policies.iter().filter(|policy| sweep.is_at(policy)) {
            self.ends(&PolicyReport::failed(policy, PolicyKind::Files, why.to_owned()));
        }
        let (dry_run, id) = (sweep.mode == Mode::Plan, sweep.run_id.clone());
        let report = Report::new(id, sweep.trigger, dry_run, sweep.started_at, now(), sweep.ended());
        Report { asked_by: sweep.asked_by.clone(), ..report }
    }
}

impl Watcher for SweepWatcher {
    fn begins(&self, policy: &str) {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun.insert(policy.to_owned(), (Instant::now(), now()));
    }

    fn judged(&self, policy: &str, judged: &Judged<'_>) {
        if self.sweep.mode == Mode::Plan && judged.verdict.is_due() {
            self.sweep.plan.add(policy, judged);
        }
        if matches!(judged.outcome, Some(Outcome::Removed)) {
            self.sweep.removed.fetch_add(1, Ordering::Relaxed);
        }
        if matches!(judged.outcome, Some(Outcome::Removed | Outcome::Quarantined))
            && self.told.get(policy).is_some_and(|told| told.fetch_add(1, Ordering::Relaxed) < MOST_TOLD)
        {
            let Candidate { name, bytes, .. } = judged.candidate;
            self.feed.swept_away(&self.sweep.run_id, policy, &name.to_bytes(), bytes);
        }
    }

    fn seen(&self, _: &str, seen: Seen) {
        self.sweep.scanned.fetch_add(seen.scanned, Ordering::Relaxed);
    }

    fn ends(&self, report: &PolicyReport) {
        let begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner).remove(&report.name);
        let (elapsed, started_at) = match begun {
            Some((begun, started_at)) => (Some(begun.elapsed()), started_at),
            None => (None, self.sweep.started_at),
        };
        match self.sweep.mode {
            Mode::Apply => self.feed.policy_swept(&self.sweep.run_id, (started_at, now()), report, elapsed),
            Mode::Plan => self.feed.policy_planned(report),
        }
        self.sweep.progress.send_modify(|progress| progress.ended.push(report.clone()));
    }

    fn wants_to_stop(&self) -> bool {
        self.stop.is_cancelled()
    }
}
