//! What the engine says of a sweep, passed on.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use cleanup_core::moment::Moment;
use cleanup_core::report::{PolicyKind, PolicyReport, Report};
use cleanup_core::store::{Outcome, Seen};
use cleanup_core::sweep::{Judged, Mode};
use cleanup_engine::Watcher;
use tokio_util::sync::CancellationToken;

use super::Flight;
use crate::telemetry::feed::Feed;
use cleanup_engine::now;

/// Carries what the engine says of a sweep to those who wait for it, and to the feed.
pub(super) struct FlightWatcher {
    pub(super) flight: Arc<Flight>,
    pub(super) feed: Arc<Feed>,
    stop: CancellationToken,
    begun: Mutex<HashMap<String, (Instant, Moment)>>,
}

impl FlightWatcher {
    pub(super) fn new(flight: Arc<Flight>, feed: Arc<Feed>, stop: CancellationToken) -> Self {
        Self { flight, feed, stop, begun: Mutex::default() }
    }

    /// The report of a sweep that broke off: what has not ended has failed.
    pub(super) fn broken(&self, why: &str) -> Report {
        let flight = &self.flight;
        for policy in flight.policies.iter().filter(|policy| flight.is_at(policy)) {
            self.ends(&PolicyReport::failed(policy, PolicyKind::Files, why.to_owned()));
        }
        let (dry_run, id) = (flight.mode == Mode::Plan, flight.run_id.clone());
        Report::new(id, flight.trigger, dry_run, flight.started_at, now(), flight.ended())
    }
}

impl Watcher for FlightWatcher {
    fn begins(&self, policy: &str) {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun.insert(policy.to_owned(), (Instant::now(), now()));
    }

    fn judged(&self, policy: &str, judged: &Judged<'_>) {
        if self.flight.mode == Mode::Plan && judged.verdict.is_due() {
            self.flight.plan.add(policy, judged);
        }
        if matches!(judged.outcome, Some(Outcome::Removed)) {
            self.flight.removed.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn seen(&self, _: &str, seen: Seen) {
        self.flight.scanned.fetch_add(seen.scanned, Ordering::Relaxed);
    }

    fn ends(&self, report: &PolicyReport) {
        let begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner).remove(&report.name);
        let (elapsed, started_at) = match begun {
            Some((begun, started_at)) => (Some(begun.elapsed()), started_at),
            None => (None, self.flight.started_at),
        };
        match self.flight.mode {
            Mode::Apply => self.feed.policy_swept(&self.flight.run_id, (started_at, now()), report, elapsed),
            Mode::Plan => self.feed.policy_planned(report),
        }
        self.flight.progress.send_modify(|progress| progress.ended.push(report.clone()));
    }

    fn wants_to_stop(&self) -> bool {
        self.stop.is_cancelled()
    }
}
