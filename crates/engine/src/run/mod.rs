//! The one pipeline: whatever is to be removed comes through [`policy_run`].
//!
//! Gates, ranking, the sweep, the purge of what has been in quarantine long enough, the traces: a sweep, a plan that is
//! carried out and a deadline differ in the [`Scope`] alone, so that none of them can forget what the others ask.

pub(crate) mod audit;
mod due_index;
pub(crate) mod findings;
pub(crate) mod gates;
pub(crate) mod limits;
pub(crate) mod min_free;
mod observe;
pub(crate) mod observers;
pub(crate) mod owners;
pub(crate) mod params;
mod recheck;
pub(crate) mod record;
pub(crate) mod request;
mod result;
mod resume;
pub(crate) mod scope;
pub(crate) mod sessions;
pub(crate) mod trail;

use cleanup_core::judge::Run;
use cleanup_core::policy::{Effect, FilePolicy};
use cleanup_core::rank::{Cutoffs, Remaining, Stopped};
use cleanup_core::report::{Done, PolicyKind, PolicyReport, Processes, Tally};
use cleanup_core::store::FileStore;
use cleanup_core::sweep::{Mode, Observer, sweep};
use cleanup_fs_store::{RootError, Store, View, Wanted};

use self::due_index::Indexing;
pub(crate) use self::due_index::passed_by_until;
use self::gates::Passed;
use self::observe::Past;
use self::observers::PolicyObserver;
use self::params::{Gates, RunParams};
use self::recheck::{HeldNow, Rechecked};
use self::record::Ended;
use self::result::{OBSERVED, RunResult};
use self::resume::{End, ResumePlan, TimeBudget};
use self::scope::{Named, Scope};
use crate::quarantine;
use crate::setup::Setup;
use crate::state::run_state::Shared;
use crate::track::table::Known;

/// What one run of one policy is about.
pub(crate) struct PolicyRun<'a, 'b> {
    /// The policy, with what the request wants to be different.
    pub(crate) policy: &'a FilePolicy,
    pub(crate) store: Result<Store<'a>, RootError>,
    pub(crate) scope: Scope<'b>,
    /// What ranking came to, where it was done together with other policies or when a plan was made.
    pub(crate) cutoffs: Option<Cutoffs>,
}

/// Runs one file policy. A gate that holds it back ends it with a report that says why.
pub(crate) fn policy_run(setup: &Setup, state: &Shared, task: PolicyRun<'_, '_>, params: &RunParams<'_>) -> RunResult {
    let root = task.policy.root.display().to_string();
    let mut result = run(setup, state, task, params).unwrap_or_else(|held| *held);
    result.report.root = Some(root);
    result
}

fn run(
    setup: &Setup,
    state: &Shared,
    task: PolicyRun<'_, '_>,
    params: &RunParams<'_>,
) -> Result<RunResult, Box<RunResult>> {
    let PolicyRun { policy, store, mut scope, cutoffs } = task;
    let name = policy.rule.name.as_str();
    let acts = params.mode == Mode::Apply && policy.effect == Effect::Enforce;
    let passed = gates::pass(setup, state, policy, store, &scope, params);
    let Passed { store, run, file_system, locks: _locks } = passed.map_err(|report| RunResult::held(*report))?;

    let mut observer = PolicyObserver {
        name,
        trail: (!setup.trail.is_off()).then(|| (&setup.trail, policy, params.traced())),
        removed: setup.removed.as_ref().map(|spool| (spool, policy.root.as_path())),
        watcher: params.watcher,
        budget: TimeBudget::default(),
    };
    let ranked = rank(setup, policy, &store, run, &scope, cutoffs, &observer);
    let run = ranked.map_err(|stopped| RunResult::held(unranked(name, stopped)))?;
    let first = gates::weigh(state, policy, &store, &run, &mut scope, params)?;
    params.watcher.ranked(name, &run.cutoffs);

    // From here on: where counting took long, this run is still to get somewhere.
    observer.budget = TimeBudget::of(policy, &scope);
    let resume = ResumePlan::new(policy, &scope, params.mode, store.root_id(), state);
    let covers_all = scope.is_everything() && resume.begin.is_empty();
    let remaining = policy.limits.need_ranking().then(|| Remaining::new(&observer));
    let watching = remaining.as_ref().map_or(&observer as &dyn Observer, |remaining| remaining);
    let indexes = acts && params.gates == Gates::All && matches!(scope, Scope::Resume) && setup.is_configured(policy);
    let indexing = indexes.then(|| Indexing::begin(policy, &run, &store, &state.lock())).flatten();
    let store = store.with_index(indexing.as_ref().and_then(Indexing::known));
    let walk = store.resume(resume.begin.clone());

    let (mut tally, past) = match (&mut scope, policy.effect) {
        // A policy that only observes is in no plan, and keeps no deadlines.
        (Scope::Planned(_) | Scope::Paths(_), Effect::Observe) => (Tally::default(), Past::Unknown),
        (Scope::All | Scope::Resume, Effect::Observe) if params.mode == Mode::Apply => {
            observe::observe(&store, policy, &run, state, watching)
        }
        (scope, Effect::Enforce | Effect::Observe) => {
            let noting = indexing.as_ref().map(|indexing| indexing.noting(watching));
            let observer = noting.as_ref().map_or(watching, |noting| noting);
            let sweep = Sweep { setup, state, policy, store: &store, run: &run, mode: params.mode, observer };
            (sweep.over(scope, first, &walk), Past::Unknown)
        }
    };
    let was_stopped = tally.stopped.is_some();
    if acts && !matches!(&scope, Scope::Paths(due) if !due.purges) {
        tally.add(quarantine::purge(&store, policy, run.now));
        state.lock().remember_own_folders(policy, store.own_folders());
    }

    let report = PolicyReport::finished(name, PolicyKind::Files, tally.clone());
    let report = PolicyReport {
        in_part: was_stopped || !covers_all,
        processes: store.in_use_view().map(|View { processes, hidden, .. }| Processes { seen: processes, hidden }),
        disputed_with: owners::disputed_with(&store),
        message: match &past {
            Past::Compared(_) => Some(OBSERVED.to_owned()),
            Past::Unknown => report.message,
        },
        observed: match past {
            Past::Compared(numbers) => numbers,
            Past::Unknown => None,
        },
        ..report
    };
    let end = if was_stopped { End::of_stopped(&report, &observer.budget) } else { End::Whole };
    let report = resume.conclude(report, end, &walk.stopped_at(), state);
    let is_whole = scope.is_everything() && !was_stopped;
    let ended = Ended { policy, run: &run, file_system, is_whole, due: report.counts.due };
    record::compare_next(setup, state, ended, &scope, params);
    if let Some(indexing) = indexing {
        indexing.hand_on(&report, &mut state.lock());
    }
    let done = if acts { Done::Acted } else { Done::Planned };
    let stays = remaining.map(Remaining::finish);
    Ok(RunResult { report, tally: Some(tally), stays: None }.with_stays(policy, stays, done))
}

/// Adds to a run what its limits come to. Deadlines are about age alone: what limits take is for the sweeps, but what
/// `keep_newest` protects is protected from both.
fn rank(
    setup: &Setup,
    policy: &FilePolicy,
    store: &Store<'_>,
    run: Run,
    scope: &Scope<'_>,
    cutoffs: Option<Cutoffs>,
    observer: &dyn Observer,
) -> Result<Run, Stopped> {
    match (scope, cutoffs) {
        (_, Some(cutoffs)) => Ok(Run { cutoffs, ..run }),
        (Scope::Paths(_), None) if policy.limits.keep_newest.is_none() => Ok(run),
        (Scope::Paths(_), None) => {
            // Who is among the newest is known only after a look at everything.
            let all = Run { registrations: setup.tables.registrations(policy), ..run.clone() };
            let Run { cutoffs, .. } = limits::with_newest(store, policy, all, observer)?;
            Ok(Run { cutoffs, ..run })
        }
        (Scope::All | Scope::Resume | Scope::Planned(_), None) => limits::ranked(store, policy, run, observer),
    }
}

fn unranked(name: &str, stopped: Stopped) -> PolicyReport {
    let tally = Tally { stopped: Some(stopped.to_string()), ..Tally::default() };
    PolicyReport::finished(name, PolicyKind::Files, tally)
}

/// The sweep of one run.
struct Sweep<'a> {
    setup: &'a Setup,
    state: &'a Shared,
    policy: &'a FilePolicy,
    store: &'a Store<'a>,
    run: &'a Run,
    mode: Mode,
    observer: &'a dyn Observer,
}

impl Sweep<'_> {
    /// Sweeps what the scope covers: `walk` where that is everything.
    fn over(&self, scope: &mut Scope<'_>, first: Option<Vec<Named>>, walk: &impl FileStore) -> Tally {
        let table = || self.setup.tables.get(self.policy);
        match scope {
            Scope::All | Scope::Resume => self.one(walk, table(), None),
            Scope::Planned(chunks) => {
                let mut all = Tally::default();
                for chunk in first.into_iter().chain(chunks) {
                    let wanted = chunk.iter().map(|it| Wanted { path: &it.path, same: Some(it.same) });
                    all.add(self.one(&self.store.select_same(wanted.collect()), table(), None));
                    if all.stopped.is_some() {
                        break;
                    }
                }
                all
            }
            Scope::Paths(due) => {
                let held_now = || self.state.lock().holds(&self.policy.root, self.run.now);
                self.one(&self.store.select(due.paths), Some(due.table.clone()), Some(&held_now))
            }
        }
    }

    fn one(&self, store: &impl FileStore, table: Option<Known>, held_now: Option<&HeldNow<'_>>) -> Tally {
        let store = Rechecked { store, table, registrations: &self.run.registrations, held_now };
        sweep(&store, &self.policy.rule, self.run, self.mode, self.observer)
    }
}

/// Judges files and changes nothing: for whoever keeps a table of them.
pub(crate) fn look(store: &impl FileStore, policy: &FilePolicy, run: &Run, observer: &dyn Observer) -> Tally {
    sweep(store, &policy.rule, run, Mode::Plan, observer)
}
