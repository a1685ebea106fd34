//! One run of one file policy: everything that has to be in order first, then the sweep.
//!
//! The checks come from the cheapest to the dearest, and each can end the run with a report that says why: switched
//! off, locked, held back by a doubtful clock, by promises that cannot be read, by something mounted over the root, by
//! a plan that takes more than anybody can have meant. Only then does core sweep.

use std::sync::{Mutex, PoisonError};

use cleanup_core::brake::{self, Brake};
use cleanup_core::candidate::{Candidate, Class};
use cleanup_core::guard::Jump;
use cleanup_core::judge::Run;
use cleanup_core::moment::Moment;
use cleanup_core::policy::{AgeClock, Brakes, Effect, FilePolicy};
use cleanup_core::rank::{Cutoffs, Remaining, Stays, Stopped};
use cleanup_core::report::{Done, MAX_PLANNED, Observed, Planned, PolicyKind, PolicyReport, Skip, Tally, json_path};
use cleanup_core::sweep::{Judged, Mode, Observer, sweep};
use cleanup_fs_store::{RootError, Store};
use cleanup_state::Observation;

use crate::engine::{PolicyWatcher, Watcher, disabled};
use crate::limits::{self, ranked};
use crate::memory::{Busy, Memory};
use crate::track::{Heeding, Tables};

/// What is said of a policy that only observes.
pub(crate) const OBSERVED: &str = "observed only (mode = \"observe\"): nothing was removed";

/// One run of one file policy.
pub(crate) struct FileRun<'a> {
    /// The policy, with what the request wants to be different.
    pub(crate) policy: &'a FilePolicy,
    pub(crate) store: Result<Store<'a>, RootError>,
    pub(crate) now: Moment,
    pub(crate) mode: Mode,
    pub(crate) doubts: Doubts<'a>,
    pub(crate) watcher: &'a dyn Watcher,
    pub(crate) tables: &'a Tables,
    /// What ranking came to, where it was done together with other policies.
    pub(crate) cutoffs: Option<Cutoffs>,
}

/// What came of a run.
pub(crate) struct Ran {
    pub(crate) report: PolicyReport,
    /// What stays, when everything was looked at.
    pub(crate) stays: Option<(Stays, Done)>,
}

impl Ran {
    fn nothing(report: PolicyReport) -> Self {
        Self { report, stays: None }
    }

    /// Takes in what stays, and what has become of the policy's own limits by it. A sweep that was stopped has not seen
    /// everything, and says nothing of limits.
    fn looked(policy: &FilePolicy, mut report: PolicyReport, was_stopped: bool, stays: Stays, done: Done) -> Self {
        if was_stopped {
            return Self::nothing(report);
        }
        report.limits = limits::own(&policy.limits, &stays, done);
        Self { report, stays: Some((stays, done)) }
    }
}

/// Whether anything can hold the run back.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Doubts<'a> {
    /// All brakes hold, and this is what the clock is doubted for.
    Heed(Option<&'a Jump>),
    /// None does: a person has looked (`--force`), or nothing will be removed anyway (statistics, lists).
    Ignore,
}

impl FileRun<'_> {
    pub(crate) fn run(self, memory: &mut Memory) -> Ran {
        self.checked(memory).unwrap_or_else(|ended| *ended)
    }

    fn checked(self, memory: &mut Memory) -> Result<Ran, Box<Ran>> {
        let Self { policy, now, mode, doubts, .. } = self;
        let name = policy.rule.name.as_str();
        let ended = |report| Box::new(Ran::nothing(report));
        let held_back = |why: String| ended(PolicyReport::held_back(name, PolicyKind::Files, why));
        if !policy.enabled {
            return Err(ended(disabled(name, PolicyKind::Files)));
        }
        let _lock = match mode {
            Mode::Apply => memory.lock(policy).map_err(|Busy| ended(locked(name)))?,
            Mode::Plan => None,
        };
        if let Doubts::Heed(Some(jump)) = doubts {
            return Err(held_back(jump.to_string()));
        }
        let run = before_ranking(policy, memory, self.tables, now).map_err(held_back)?;
        let store = self.store.map_err(|error| ended(unopened(name, &error)))?;
        let file_system = store.file_system();
        let heeds = matches!(doubts, Doubts::Heed(_));
        if heeds && memory.is_elsewhere(policy, file_system.as_deref()) {
            return Err(held_back(Brake::OtherFileSystem { root: policy.root.display().to_string() }.to_string()));
        }

        let observer = PolicyWatcher { name, watcher: self.watcher };
        let run = match self.cutoffs {
            Some(cutoffs) => Run { cutoffs, ..run },
            None => ranked(&store, policy, run, &observer).map_err(|stopped| ended(unranked(name, stopped)))?,
        };
        let changes = memory.changes(policy);
        if heeds && (changes.is_some() || policy.brakes.max_removal_percent.is_some()) {
            plan_first(&store, policy, &run, changes.as_deref())?;
        }

        let remaining = Remaining::new(&observer);
        let (report, was_stopped, done) = match (mode, policy.effect) {
            (Mode::Apply, Effect::Observe) => {
                let (report, was_stopped) = observe(&store, policy, &run, memory, &remaining);
                (report, was_stopped, Done::Planned)
            }
            (mode, _) => {
                let table = self.tables.get(policy);
                let store = Heeding { store: &store, table, registrations: &run.registrations };
                let tally = sweep(&store, &policy.rule, &run, mode, &remaining);
                let done = if mode == Mode::Apply { Done::Acted } else { Done::Planned };
                let was_stopped = tally.stopped.is_some();
                (finished(name, tally), was_stopped, done)
            }
        };
        if mode == Mode::Apply {
            memory.remember(policy, file_system);
        }
        Ok(Ran::looked(policy, report, was_stopped, remaining.finish(), done))
    }
}

/// Everything that is fixed for one run of a policy now, but for what ranking comes to. An error says why nothing may be
/// removed.
pub(crate) fn before_ranking(
    policy: &FilePolicy,
    memory: &mut Memory,
    tables: &Tables,
    now: Moment,
) -> Result<Run, String> {
    let holds = memory.holds(&policy.root, now)?;
    let running = match policy.age_clock {
        AgeClock::Wall => None,
        AgeClock::Running => memory.running_time(),
    };
    // A table knows what could not be written down; the disk knows what a table has lost with its root.
    let mut registrations = memory.registrations(policy);
    registrations.join(tables.registrations(policy));
    Ok(Run { now, running, holds, registrations, brakes: policy.brakes, ..Run::at(now) })
}

/// Counts what would go, and holds the policy back if that is more than anybody can have meant.
fn plan_first(store: &Store<'_>, policy: &FilePolicy, run: &Run, changes: Option<&str>) -> Result<(), Box<Ran>> {
    let all = Run { brakes: Brakes::default(), ..run.clone() };
    let first = FirstDue::default();
    let remaining = Remaining::new(&first);
    let plan = sweep(store, &policy.rule, &all, Mode::Plan, &remaining);
    let stays = remaining.finish();
    brake::check(&plan.counts, &policy.brakes, changes).map_err(|brake| {
        let planned = first.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        let was_stopped = plan.stopped.is_some();
        let report = finished(&policy.rule.name, plan).held(brake.to_string(), planned);
        Box::new(Ran::looked(policy, report, was_stopped, stays, Done::Planned))
    })
}

/// Does everything but remove, and says what became of what the last run looked at.
fn observe(
    store: &Store<'_>,
    policy: &FilePolicy,
    run: &Run,
    memory: &mut Memory,
    observer: &dyn Observer,
) -> (PolicyReport, bool) {
    let Some(observation) = memory.observe(policy) else {
        let tally = sweep(store, &policy.rule, run, Mode::Plan, observer);
        let was_stopped = tally.stopped.is_some();
        return (finished(&policy.rule.name, tally), was_stopped);
    };
    let noting = Noting { observation: Mutex::new(observation), observer };
    let tally = sweep(store, &policy.rule, run, Mode::Plan, &noting);
    let last = noting.observation.into_inner().unwrap_or_else(PoisonError::into_inner).finish();
    let message = Some(OBSERVED.to_owned());
    let was_stopped = tally.stopped.is_some();
    (PolicyReport { message, observed: last.map(in_report), ..finished(&policy.rule.name, tally) }, was_stopped)
}

fn in_report(observed: cleanup_state::Observed) -> Observed {
    let shown = |paths: Vec<Vec<u8>>| paths.iter().map(|path| json_path(path).0).collect();
    Observed {
        gone_as_predicted: observed.gone_as_predicted.count,
        still_there: observed.still_there.count,
        gone_but_kept: observed.gone_but_kept.count,
        examples_still_there: shown(observed.still_there.first),
        examples_gone_but_kept: shown(observed.gone_but_kept.first),
    }
}

fn finished(name: &str, tally: Tally) -> PolicyReport {
    PolicyReport::finished(name, PolicyKind::Files, tally)
}

fn locked(name: &str) -> PolicyReport {
    let message = "another sweep of this policy is running".to_owned();
    PolicyReport::skipped(name, PolicyKind::Files, Skip::Locked, message)
}

fn unranked(name: &str, stopped: Stopped) -> PolicyReport {
    let tally = Tally { stopped: Some(stopped.to_string()), ..Tally::default() };
    finished(name, tally)
}

fn unopened(name: &str, error: &RootError) -> PolicyReport {
    if let RootError::Missing { .. } = error {
        return PolicyReport::skipped(name, PolicyKind::Files, Skip::NoRoot, error.to_string());
    }
    tracing::warn!(policy = name, "{error}");
    PolicyReport::failed(name, PolicyKind::Files, error.to_string())
}

/// Keeps the first things that would go.
#[derive(Default)]
struct FirstDue(Mutex<Vec<Planned>>);

impl Observer for FirstDue {
    fn judged(&self, judged: &Judged<'_>) {
        if !judged.verdict.is_due() {
            return;
        }
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if first.len() < MAX_PLANNED {
            let (path, path_bytes) = json_path(&judged.candidate.name.to_bytes());
            first.push(Planned { path, path_bytes, reason: judged.verdict.reason() });
        }
    }
}

/// Writes down what an observing policy would do.
struct Noting<'a> {
    observation: Mutex<Observation<'a>>,
    observer: &'a dyn Observer,
}

impl Observer for Noting<'_> {
    fn judged(&self, judged: &Judged<'_>) {
        if judged.candidate.class != Class::EmptyDirectory {
            let mut observation = self.observation.lock().unwrap_or_else(PoisonError::into_inner);
            observation.note(&judged.candidate.name.to_bytes(), judged.verdict.is_due());
        }
        self.observer.judged(judged);
    }

    fn deferred(&self, candidate: &Candidate<'_>) {
        self.observer.deferred(candidate);
    }

    fn seen(&self, seen: cleanup_core::store::Seen) {
        self.observer.seen(seen);
    }

    fn wants_to_stop(&self) -> bool {
        self.observer.wants_to_stop()
    }
}
