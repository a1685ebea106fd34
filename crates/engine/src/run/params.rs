//! Parameters that all runs of one request share.

use cleanup_core::clock_guard::Jump;
use cleanup_core::moment::Moment;
use cleanup_core::report::Trigger;
use cleanup_core::sweep::Mode;
use cleanup_fs_store::Jobs;

use crate::run::observers::Watcher;
use crate::run::trail::TracedRun;

/// How to run the policies of one request.
#[derive(Clone, Copy)]
pub(crate) struct RunParams<'a> {
    pub(crate) mode: Mode,
    pub(crate) gates: Gates,
    /// Why the clock is not trusted, if it is not.
    pub(crate) jump: Option<&'a Jump>,
    /// Another time than now, for plans.
    pub(crate) at: Option<Moment>,
    /// The id of the report.
    pub(crate) run_id: &'a str,
    /// What started it.
    pub(crate) trigger: Trigger,
    /// Who asked for it, where that has a name.
    pub(crate) asked_by: Option<&'a str>,
    pub(crate) jobs: Jobs,
    pub(crate) watcher: &'a dyn Watcher,
}

/// Which gates a run must pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gates {
    /// All of them.
    All,
    /// All except those on the number of removals, because a person has reviewed the plan.
    Reviewed,
    /// Only those that cannot be overridden, because a person has checked (`--force`), or nothing will be removed
    /// anyway (statistics, lists).
    Forced,
}

impl RunParams<'_> {
    /// For read-only runs, which nothing holds back.
    pub(crate) fn look(watcher: &dyn Watcher) -> RunParams<'_> {
        let (mode, gates, trigger) = (Mode::Plan, Gates::Forced, Trigger::Manual);
        let jobs = Jobs::Adaptive;
        RunParams { mode, gates, jump: None, at: None, run_id: "", trigger, asked_by: None, jobs, watcher }
    }

    /// The run as its trail names it.
    pub(crate) fn traced(&self) -> TracedRun<'_> {
        TracedRun { id: self.run_id, trigger: self.trigger, asked_by: self.asked_by }
    }

    /// What holds a run back for its clock alone.
    pub(crate) fn doubt_of_clock(&self) -> Option<&Jump> {
        self.jump.filter(|_| self.gates != Gates::Forced)
    }
}
