//! One run of one file policy: everything that has to be in order first, then the sweep.
//!
//! The checks come from the cheapest to the dearest, and each can end the run with a report that says why: switched
//! off, locked, held back by a doubtful clock, by promises that cannot be read, by something mounted over the root, by
//! a plan that takes more than anybody can have meant. Only then does core sweep.

pub(crate) mod audit;
pub(crate) mod due_index;
pub(crate) mod limits;
pub(crate) mod min_free;
pub(crate) mod owners;
pub(crate) mod recheck;
pub(crate) mod resume;
pub(crate) mod sessions;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use cleanup_core::brake::{self, Brake, Suspicions};
use cleanup_core::candidate::{Candidate, Class};
use cleanup_core::guard::Jump;
use cleanup_core::judge::Run;
use cleanup_core::moment::Moment;
use cleanup_core::policy::{AgeClock, Brakes, Effect, FilePolicy, RootLock};
use cleanup_core::rank::{Cutoffs, Remaining, Stays, Stopped};
use cleanup_core::report::{
    Done, MAX_PLANNED, Observed, Planned, PolicyKind, PolicyReport, Processes, Skip, Tally, json_path,
};
use cleanup_core::sweep::{Judged, Mode, Observer, sweep};
use cleanup_fs_store::{RootError, RootLocked, Store, View, Wanted};
use cleanup_pg_sessions::Obstacle;
use cleanup_state::Observation;

use crate::engine::{Engine, PolicyWatcher, Watcher, disabled};
use crate::plan::Named;
use crate::quarantine;
use crate::run::due_index::Indexing;
use crate::run::limits::ranked;
use crate::run::recheck::Heeding;
use crate::run::resume::{Budget, Course, End};
use crate::state::run_state::{Answered, Busy, Memory};

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
    pub(crate) engine: &'a Engine,
    /// The id that the run's report has.
    pub(crate) run_id: &'a str,
    /// What ranking came to, where it was done together with other policies or when a plan was made.
    pub(crate) cutoffs: Option<Cutoffs>,
}

/// What of a policy's files a run is about.
pub(crate) enum Extent<'a> {
    /// All of them.
    All,
    /// All of them, from where the last run was stopped (`max_runtime`).
    Onward,
    /// Those that a plan names, a chunk at a time.
    Planned(&'a mut dyn Iterator<Item = Vec<Named>>),
}

/// What came of a run.
pub(crate) struct Ran {
    pub(crate) report: PolicyReport,
    /// What stays, when there are limits and everything was looked at.
    pub(crate) stays: Option<(Stays, Done)>,
}

impl Ran {
    fn nothing(report: PolicyReport) -> Self {
        Self { report, stays: None }
    }

    /// Takes in what stays, and what has become of the policy's own limits by it. Whoever has not seen everything says
    /// nothing of limits.
    fn looked(policy: &FilePolicy, mut report: PolicyReport, stays: Option<Stays>, done: Done) -> Self {
        let Some(stays) = stays.filter(|_| !report.in_part) else { return Self::nothing(report) };
        report.limits = limits::own(&policy.limits, &stays, done);
        Self { report, stays: Some((stays, done)) }
    }
}

/// Whether anything can hold the run back.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Doubts<'a> {
    /// All brakes hold, and this is what the clock is doubted for.
    Heed(Option<&'a Jump>),
    /// Those that look at how much goes do not: a person has read the plan.
    Reviewed(Option<&'a Jump>),
    /// None does: a person has looked (`--force`), or nothing will be removed anyway (statistics, lists).
    Ignore,
}

impl FileRun<'_> {
    pub(crate) fn run(self, extent: Extent<'_>, memory: &mut Memory) -> Ran {
        self.checked(extent, memory).unwrap_or_else(|ended| *ended)
    }

    fn checked(self, mut extent: Extent<'_>, memory: &mut Memory) -> Result<Ran, Box<Ran>> {
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
        if let Doubts::Heed(Some(jump)) | Doubts::Reviewed(Some(jump)) = doubts {
            return Err(held_back(jump.to_string()));
        }
        let run = self.engine.before_ranking(policy, memory, now).map_err(|unready| ended(unready.report(name)))?;
        let store = self.store.and_then(recording).map_err(|error| ended(unopened(policy, &error, memory)))?;
        let file_system = store.file_system();
        let heeds = !matches!(doubts, Doubts::Ignore);
        doubt_file_system(&store, policy, mode, doubts, memory).map_err(|brake| held_back(brake.to_string()))?;

        let _root_lock = match policy.root_lock {
            RootLock::Honour => Some(store.lock_root().map_err(|locked| ended(root_locked(name, &locked)))?),
            RootLock::Ignore => None,
        };
        let acts = mode == Mode::Apply && policy.effect == Effect::Enforce;
        let store = if acts || (heeds && policy.effect == Effect::Enforce) {
            quarantine::prepare(store, policy, self.run_id, now).map_err(held_back)?
        } else {
            store
        };
        let audit = self.engine.audit.as_ref().map(|audit| (audit, policy, self.run_id));
        let mut observer = PolicyWatcher { name, audit, watcher: self.watcher, budget: Budget::default() };
        let run = match self.cutoffs {
            Some(cutoffs) => Run { cutoffs, ..run },
            None => ranked(&store, policy, run, &observer).map_err(|stopped| ended(unranked(name, stopped)))?,
        };
        let first = look_twice(&store, policy, &run, doubts, &mut extent, memory)?;

        self.watcher.ranked(name, &run.cutoffs);
        // From here on: where counting took long, this run is still to get somewhere.
        observer.budget = Budget::of(policy, &extent);
        let course = Course::new(policy, &extent, mode, store.root_id(), memory);
        let remaining = policy.limits.need_ranking().then(|| Remaining::new(&observer));
        let watching = remaining.as_ref().map_or(&observer as &dyn Observer, |remaining| remaining);
        let may_index = acts && matches!(doubts, Doubts::Heed(_)) && self.engine.is_configured(policy);
        let indexing = match extent {
            Extent::Onward if may_index => Indexing::begin(policy, &run, &store, memory),
            _ => None,
        };
        let store = store.with_index(indexing.as_ref().and_then(Indexing::known));
        let leg = store.leg(course.begin.clone());
        let table = || self.engine.tables.get(policy);
        let expired = || if acts { quarantine::expire(&store, policy, now) } else { Tally::default() };
        let is_of_all = !matches!(extent, Extent::Planned(_));
        let sees_all = is_of_all && course.begin.is_empty();
        let (report, was_stopped, done) = match (extent, mode, policy.effect) {
            (Extent::Planned(_), _, Effect::Observe) => (finished(name, Tally::default()), true, Done::Planned),
            (_, Mode::Apply, Effect::Observe) => {
                let (report, was_stopped) = observe(&store, policy, &run, memory, watching);
                (report, was_stopped, Done::Planned)
            }
            (extent, mode, _) => {
                let registrations = &run.registrations;
                let mut tally = match extent {
                    Extent::All | Extent::Onward => {
                        let store = Heeding { store: &leg, table: table(), registrations };
                        match &indexing {
                            None => sweep(&store, &policy.rule, &run, mode, watching),
                            Some(indexing) => sweep(&store, &policy.rule, &run, mode, &indexing.noting(watching)),
                        }
                    }
                    Extent::Planned(chunks) => {
                        let sweep_chunk = |chunk: &[Named]| {
                            let wanted = chunk.iter().map(|it| Wanted { path: &it.path, same: Some(it.same) });
                            let picked = store.pick_same(wanted.collect());
                            let store = Heeding { store: &picked, table: table(), registrations };
                            sweep(&store, &policy.rule, &run, mode, watching)
                        };
                        sweep_chunks(first.into_iter().chain(chunks), sweep_chunk)
                    }
                };
                let done = if mode == Mode::Apply { Done::Acted } else { Done::Planned };
                let was_stopped = tally.stopped.is_some();
                tally.add(expired());
                (finished(name, tally), was_stopped, done)
            }
        };
        let in_part = was_stopped || !sees_all;
        let disputed_with = owners::disputed_with(&store);
        let report = PolicyReport { in_part, processes: store.in_use_view().map(in_view), disputed_with, ..report };
        let end = if was_stopped { End::of_stopped(&report, &observer.budget) } else { End::Whole };
        let report = course.conclude(report, end, &leg.stopped_at(), memory);
        if mode == Mode::Apply {
            let answered = answered(policy, &run, is_of_all && !was_stopped, heeds, memory);
            memory.remember(policy, file_system, answered);
        }
        if let Some(indexing) = indexing {
            indexing.hand_on(&report, memory);
        }
        Ok(Ran::looked(policy, report, remaining.map(Remaining::finish), done))
    }
}

/// What the next run is to compare the names with that are still needed.
fn answered(policy: &FilePolicy, run: &Run, is_whole: bool, heeds: bool, memory: &mut Memory) -> Answered {
    // Where few were due nothing was held, and still the next run has to compare with what there was before.
    let is_doubted = heeds && memory.fewer_references(policy, &run.referenced).is_some();
    if !heeds || (is_whole && !is_doubted) { Answered::ByAll(run.referenced.distinct()) } else { Answered::Unasked }
}

/// Why nothing of a policy may be removed now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unready {
    /// What is held is unknown.
    #[error("{0}")]
    Held(String),
    /// What is still needed is unknown.
    #[error(transparent)]
    Unreferenced(#[from] Obstacle),
}

impl Unready {
    fn report(self, name: &str) -> PolicyReport {
        match self {
            Self::Held(why) | Self::Unreferenced(Obstacle::Held(why)) => {
                PolicyReport::held_back(name, PolicyKind::Files, why)
            }
            Self::Unreferenced(Obstacle::Skipped { skip, message }) => {
                PolicyReport::skipped(name, PolicyKind::Files, skip, message)
            }
            Self::Unreferenced(Obstacle::Failed(message)) => PolicyReport::failed(name, PolicyKind::Files, message),
        }
    }
}

impl Engine {
    /// Everything that is fixed for one run of a policy now, but for what ranking comes to.
    pub(crate) fn before_ranking(&self, policy: &FilePolicy, memory: &mut Memory, now: Moment) -> Result<Run, Unready> {
        let holds = memory.holds(&policy.root, now).map_err(Unready::Held)?;
        let running = match policy.age_clock {
            AgeClock::Wall => None,
            AgeClock::Running => memory.running_time(),
        };
        // A table knows what could not be written down; the disk knows what a table has lost with its root.
        let mut registrations = memory.registrations(policy);
        registrations.join(self.tables.registrations(policy));
        let referenced = sessions::referenced(policy, &self.config, &self.folder)?;
        Ok(Run { now, running, holds, registrations, referenced, brakes: policy.brakes, ..Run::at(now) })
    }
}

/// Sweeps what a plan names, a chunk at a time.
fn sweep_chunks(chunks: impl Iterator<Item = Vec<Named>>, sweep: impl Fn(&[Named]) -> Tally) -> Tally {
    let mut all = Tally::default();
    for chunk in chunks {
        all.add(sweep(&chunk));
        if all.stopped.is_some() {
            break;
        }
    }
    all
}

/// Asks the brakes that look at where the root lies.
fn doubt_file_system(
    store: &Store<'_>,
    policy: &FilePolicy,
    mode: Mode,
    doubts: Doubts<'_>,
    memory: &mut Memory,
) -> Result<(), Brake> {
    let heeds = !matches!(doubts, Doubts::Ignore);
    if heeds && memory.is_elsewhere(policy, store.file_system().as_deref()) {
        return Err(Brake::OtherFileSystem { root: policy.root.display().to_string() });
    }
    // Nobody can mean this, not even with --force. Whoever only looks is shown what the other rules come to.
    if heeds || mode == Mode::Apply { limits::reachable(store, policy) } else { Ok(()) }
}

/// Asks the brakes that look at how much goes and why. A plan that is carried out is asked for its first chunk for that,
/// which is answered.
fn look_twice(
    store: &Store<'_>,
    policy: &FilePolicy,
    run: &Run,
    doubts: Doubts<'_>,
    extent: &mut Extent<'_>,
    memory: &mut Memory,
) -> Result<Option<Vec<Named>>, Box<Ran>> {
    let references = memory.fewer_references(policy, &run.referenced);
    match (doubts, extent, references) {
        (Doubts::Heed(_), ..) => {
            let suspicions =
                Suspicions { changes: memory.changes(policy), references, clock_is_lost: memory.is_without_clock() };
            if !suspicions.is_empty() || policy.brakes.max_removal_percent.is_some() {
                plan_first(store, policy, run, &suspicions)?;
            }
            Ok(None)
        }
        // Whoever has read the plan has not seen that the database is empty by now.
        (Doubts::Reviewed(_), Extent::Planned(chunks), Some(fewer)) => {
            let first = chunks.next();
            let due = first.as_ref().map_or(0, Vec::len) as u64;
            fewer.check(due).map_err(|brake| {
                let report = PolicyReport::held_back(&policy.rule.name, PolicyKind::Files, brake.to_string());
                Box::new(Ran::nothing(report))
            })?;
            Ok(first)
        }
        _ => Ok(None),
    }
}

/// Counts what would go, and holds the policy back if that is more than anybody can have meant.
fn plan_first(store: &Store<'_>, policy: &FilePolicy, run: &Run, suspicions: &Suspicions) -> Result<(), Box<Ran>> {
    let all = Run { brakes: Brakes::default(), ..run.clone() };
    let first = FirstDue::default();
    let remaining = Remaining::new(&first);
    let plan = sweep(store, &policy.rule, &all, Mode::Plan, &remaining);
    let stays = Some(remaining.finish());
    brake::check(&plan.counts, &policy.brakes, suspicions).map_err(|brake| {
        let report = finished(&policy.rule.name, plan).held(brake.to_string(), first.into_plan());
        let report = PolicyReport { disputed_with: owners::disputed_with(store), ..report };
        Box::new(Ran::looked(policy, report, stays, Done::Planned))
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

fn in_view(view: View) -> Processes {
    Processes { seen: view.processes, hidden: view.hidden }
}

fn root_locked(name: &str, locked: &RootLocked) -> PolicyReport {
    match locked {
        RootLocked::ByOther => PolicyReport::skipped(name, PolicyKind::Files, Skip::RootLocked, locked.to_string()),
        RootLocked::Unknown(_) => PolicyReport::failed(name, PolicyKind::Files, locked.to_string()),
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

/// A store whose mount records the moments that the policy goes by.
fn recording(store: Store<'_>) -> Result<Store<'_>, RootError> {
    store.records_stamp().map(|()| store)
}

fn unopened(policy: &FilePolicy, error: &RootError, memory: &mut Memory) -> PolicyReport {
    let name = policy.rule.name.as_str();
    if let RootError::Missing { .. } = error {
        let message = missing_root(policy, error, memory);
        let root_missing = message.is_some();
        let message = message.unwrap_or_else(|| error.to_string());
        if root_missing {
            tracing::warn!(policy = name, "{message}");
        }
        return PolicyReport { root_missing, ..PolicyReport::skipped(name, PolicyKind::Files, Skip::NoRoot, message) };
    }
    tracing::warn!(policy = name, "{error}");
    PolicyReport::failed(name, PolicyKind::Files, error.to_string())
}

/// What to say of a root that does not exist; `None` where the policy says that it comes and goes.
pub(crate) fn missing_root(policy: &FilePolicy, error: &RootError, memory: &mut Memory) -> Option<String> {
    if policy.root_may_be_missing {
        return None;
    }
    let past = if memory.has_seen_root(policy) { "it was there in an earlier run" } else { "no run has seen it yet" };
    Some(format!(
        "{error}; {past}. Correct `root`, make the folder, or set `root_may_be_missing = true` if it comes and goes"
    ))
}

/// Keeps the first things that would go, by path: which worker comes first is chance.
#[derive(Default)]
struct FirstDue(Mutex<BTreeMap<Vec<u8>, String>>);

impl FirstDue {
    fn into_plan(self) -> Vec<Planned> {
        let planned = |(path, reason): (Vec<u8>, String)| {
            let (path, path_bytes) = json_path(&path);
            Planned { path, path_bytes, reason }
        };
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().map(planned).collect()
    }
}

impl Observer for FirstDue {
    fn judged(&self, judged: &Judged<'_>) {
        if !judged.verdict.is_due() {
            return;
        }
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let name = judged.candidate.name;
        let is_late = |(last, _): (&Vec<u8>, _)| name.cmp_path(last).is_gt();
        if first.len() == MAX_PLANNED && first.last_key_value().is_some_and(is_late) {
            return;
        }
        first.insert(name.to_bytes(), judged.verdict.reason());
        if first.len() > MAX_PLANNED {
            first.pop_last();
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
