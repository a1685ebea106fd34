//! How a run goes: what the runs of one request have in common.

use cleanup_core::clock_guard::Jump;
use cleanup_core::moment::Moment;
use cleanup_core::report::Trigger;
use cleanup_core::sweep::Mode;
use cleanup_fs_store::Jobs;

use crate::run::observers::Watcher;
use crate::run::trail::TracedRun;

/// How the policies of one request are run.
#[derive(Clone, Copy)]
pub(crate) struct RunParams<'a> {
    pub(crate) mode: Mode,
    pub(crate) gates: Gates,
    /// What the clock is doubted for, if it is.
    pub(crate) jump: Option<&'a Jump>,
    /// Another time than now, for plans.
    pub(crate) at: Option<Moment>,
    /// The id that the report has.
    pub(crate) run_id: &'a str,
    /// What started it.
    pub(crate) trigger: Trigger,
    /// Who asked for it, where that has a name.
    pub(crate) asked_by: Option<&'a str>,
    pub(crate) jobs: Jobs,
    pub(crate) watcher: &'a dyn Watcher,
}

/// Which gates a run has to pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gates {
    /// All of them.
    All,
    /// All but those that look at how much goes: a person has read the plan.
    Reviewed,
    /// Only those that no person can pass: a person has looked (`--force`), or nothing will be removed anyway
    /// (statistics, lists).
    Forced,
}

impl RunParams<'_> {
    /// For a look at what is there, which nothing holds back and which changes nothing.
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
