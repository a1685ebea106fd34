//! Waiting, for a moment, until the tracker has heard of what a sweep removed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cleanup_core::report::Report;
use cleanup_engine::track::Tracker;

/// How long a sweep waits for the tracker to hear of what it removed. Files that are made meanwhile hide what is gone.
const HEARD_WITHIN: Duration = Duration::from_millis(500);

/// What was tracked when a sweep began. The tracker hears of removals from the kernel, a little later; whoever waited
/// for the sweep is to see the numbers after it.
pub(super) struct Tracked {
    tracker: Arc<Tracker>,
    totals: Vec<(String, u64)>,
}

impl Tracked {
    pub(super) fn before(tracker: Arc<Tracker>, policies: &[String]) -> Self {
        let total = |name: &String| Some((name.clone(), tracker.policy(name)?.total_files));
        let totals = policies.iter().filter_map(total).collect();
        Self { tracker, totals }
    }

    pub(super) async fn after(self, report: &Report) {
        let has_heard = || {
            self.totals.iter().all(|(name, before)| {
                let removed = report.policies.iter().find(|policy| policy.name == *name);
                let expected = before
                    .saturating_sub(removed.map_or(0, |policy| policy.counts.removed + policy.counts.quarantined));
                self.tracker.policy(name).is_none_or(|policy| policy.total_files <= expected)
            })
        };
        let begun = Instant::now();
        while !report.dry_run
            && report.totals.removed + report.totals.quarantined > 0
            && !has_heard()
            && begun.elapsed() < HEARD_WITHIN
        {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}
