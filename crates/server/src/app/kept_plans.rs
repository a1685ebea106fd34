//! Plans that were asked for over HTTP, until they are carried out, dropped or too old.
//!
//! Each is a file without a name: nobody else can read or change it, and it is gone with the service.

use std::collections::VecDeque;
use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};

use cleanup_core::moment::Moment;
use cleanup_engine::plan::PlanSummary;

/// How many are kept; the oldest goes for a new one.
const MOST: usize = 16;

/// One plan.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) summary: PlanSummary,
    pub(crate) file: File,
}

/// All plans of the service, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Plans(Mutex<VecDeque<Arc<Kept>>>);

impl Plans {
    /// Keeps a plan.
    pub(crate) fn keep(&self, summary: PlanSummary, file: File) {
        let mut plans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if plans.len() >= MOST {
            plans.pop_front();
        }
        plans.push_back(Arc::new(Kept { summary, file }));
    }

    /// Those that still count.
    pub(crate) fn all(&self, now: Moment) -> Vec<Arc<Kept>> {
        let mut plans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        plans.retain(|plan| plan.summary.expires_at > now);
        plans.iter().cloned().collect()
    }

    /// The one with this id, while it counts.
    pub(crate) fn get(&self, id: &str, now: Moment) -> Option<Arc<Kept>> {
        self.all(now).into_iter().find(|plan| plan.summary.plan_id == id)
    }

    /// Drops one. `false` when there is none with this id.
    pub(crate) fn drop_one(&self, id: &str) -> bool {
        let mut plans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = plans.len();
        plans.retain(|plan| plan.summary.plan_id != id);
        plans.len() < before
    }
}
