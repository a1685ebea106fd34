//! Runs that `max_runtime` ends: each continues where the previous one stopped, until everything was scanned.
//!
//! Only sweeps continue, and dry runs start where the sweep would. An observing policy compares everything, so it
//! always starts at the root; so do statistics, lists and ranking.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use cleanup_core::duration::Human;
use cleanup_core::policy::{Effect, FilePolicy};
use cleanup_core::report::PolicyReport;
use cleanup_core::sweep::{Mode, STOPPED};
use cleanup_fs_store::{FileId, ResumePoint};

use crate::run::scope::Scope;
use crate::state::run_state::Shared;

/// How long a run may take; the default has no limit.
#[derive(Debug, Default)]
pub(crate) struct TimeBudget {
    until: Option<Instant>,
    has_looked: AtomicBool,
}

impl TimeBudget {
    /// `max_runtime`, from now on. Whoever only looks takes as long as it takes.
    pub(crate) fn of(policy: &FilePolicy, scope: &Scope<'_>) -> Self {
        let until = match scope {
            Scope::All | Scope::Paths(_) => None,
            Scope::Resume | Scope::Planned(_) => policy.brakes.max_runtime,
        };
        let until = until.and_then(|time| Instant::now().checked_add(time));
        Self { until, has_looked: AtomicBool::new(false) }
    }

    /// Says that something was looked at.
    pub(crate) fn looked(&self) {
        self.has_looked.store(true, Ordering::Relaxed);
    }

    /// Whether it is used up. Never before anything was scanned, so each run gets further than the last one.
    pub(crate) fn is_used_up(&self) -> bool {
        self.has_looked.load(Ordering::Relaxed) && self.until.is_some_and(|until| Instant::now() >= until)
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With everything looked at.
    Whole,
    /// Its time was over.
    Late,
    /// Somebody asked it to stop.
    Asked,
    /// Too many errors in a row have stopped it.
    Hopeless,
}

impl End {
    /// From what a sweep says that was stopped.
    pub(crate) fn of_stopped(report: &PolicyReport, budget: &TimeBudget) -> Self {
        match report.message.as_deref() {
            Some(STOPPED) if budget.is_used_up() => Self::Late,
            Some(STOPPED) => Self::Asked,
            _ => Self::Hopeless,
        }
    }
}

/// Where one run of a policy begins, and what it leaves to the next.
pub(crate) struct ResumePlan<'a> {
    policy: &'a FilePolicy,
    /// Which folder the root is.
    root: FileId,
    /// Where it begins; empty is the root.
    pub(crate) begin: Vec<ResumePoint>,
    leaves: Leaves,
}

/// What a run leaves to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaves {
    /// Where it was stopped, or that it was not.
    Where,
    Nothing,
}

impl<'a> ResumePlan<'a> {
    pub(crate) fn new(policy: &'a FilePolicy, scope: &Scope<'_>, mode: Mode, root: FileId, state: &Shared) -> Self {
        let (begin, leaves) = match (scope, policy.effect, mode) {
            (Scope::Resume, Effect::Enforce, Mode::Apply) => (state.lock().stopped_at(policy, root), Leaves::Where),
            (Scope::Resume, Effect::Enforce, Mode::Plan) => (state.lock().stopped_at(policy, root), Leaves::Nothing),
            _ => (Vec::new(), Leaves::Nothing),
        };
        Self { policy, root, begin, leaves }
    }

    /// Says in the report where it began and, when it was ended before it had looked at everything, where the next run
    /// begins. Leaves that behind for it.
    pub(crate) fn conclude(
        self,
        mut report: PolicyReport,
        end: End,
        next: &[ResumePoint],
        state: &Shared,
    ) -> PolicyReport {
        let Self { policy, root, begin, leaves } = self;
        let max_runtime = policy.brakes.max_runtime;
        let why = match (end, max_runtime) {
            (End::Late, Some(time)) => Some(format!("max_runtime = \"{}\" reached", Human(time))),
            (End::Late | End::Asked, _) => Some("stopped early".to_owned()),
            (End::Whole | End::Hopeless, _) => None,
        };
        // What errors have stopped goes on where it was to go on before.
        let is_to_be_left = leaves == Leaves::Where && end != End::Hopeless && max_runtime.is_some();
        let is_left = is_to_be_left && state.lock().remember_stop(policy, root, next);
        let ended = why.map(|why| match next.first() {
            _ if !is_to_be_left => format!("{why}; the next run does the rest"),
            Some(at) if is_left => format!("{why}; the next run continues at {at}"),
            Some(_) => format!("{why}; no state is kept, so the next run starts at the root"),
            None => format!("{why} after scanning all files; the next run starts at the root"),
        });
        let went_on = begin.first().map(|at| format!("continued at {at}, where the last run stopped"));
        let said: Vec<String> = went_on.into_iter().chain(ended.or_else(|| report.message.take())).collect();
        report.message = (!said.is_empty()).then(|| said.join("; "));
        report
    }
}
