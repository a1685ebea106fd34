//! What is still to be told of: runs that ended, files that went, and what could not be told.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cleanup_core::report::{Report, Trigger};
use cleanup_engine::Look;
use tokio::sync::Notify;

/// Gathers until it is taken. Bounded: of many runs the oldest are dropped.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    /// Whether the configuration names anybody to tell.
    is_wanted: AtomicBool,
    look: Mutex<Look>,
    /// Something is to be told.
    pub(crate) changed: Notify,
    /// Files went.
    pub(crate) removed: Notify,
    problems: Mutex<[Option<String>; 2]>,
}

/// What a problem is with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    /// Messages and pings.
    Messages,
    /// The program that runs after removals.
    After,
}

impl Notices {
    /// Whether anything is to be gathered from now on.
    pub(crate) fn want(&self, is_wanted: bool) {
        self.is_wanted.store(is_wanted, Ordering::Relaxed);
        if !is_wanted {
            drop(self.take());
            *self.problems() = [None, None];
        }
    }

    /// A run has ended.
    pub(crate) fn ran(&self, report: &Report) {
        self.removed.notify_one();
        if self.is_wanted.load(Ordering::Relaxed) {
            let mut look = self.look();
            look.ran(report);
            if report.trigger == Trigger::Schedule {
                look.ping_after(report);
            }
            drop(look);
            self.changed.notify_one();
        }
    }

    /// Takes what was gathered.
    pub(crate) fn take(&self) -> Look {
        std::mem::take(&mut *self.look())
    }

    /// Gives back what could not be told now, in front of what has been gathered since.
    pub(crate) fn give_back(&self, earlier: Look) {
        self.look().after(earlier);
    }

    /// Says what went wrong, or that nothing did; in the log once for each reason.
    pub(crate) fn went(&self, of: Of, problem: Option<String>) {
        let mut problems = self.problems();
        let before = &mut problems[of as usize];
        if let Some(problem) = problem.as_ref().filter(|problem| before.as_ref() != Some(problem)) {
            let code = cleanup_core::report::FindingCode::Notify.name();
            tracing::warn!(code, "{problem}");
        }
        *before = problem;
    }

    /// What went wrong the last time.
    pub(crate) fn problem(&self) -> Option<String> {
        let said: Vec<String> = self.problems().iter().flatten().cloned().collect();
        (!said.is_empty()).then(|| said.join("; "))
    }

    fn look(&self) -> MutexGuard<'_, Look> {
        self.look.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn problems(&self) -> MutexGuard<'_, [Option<String>; 2]> {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
