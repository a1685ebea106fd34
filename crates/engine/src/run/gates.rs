//! Everything that can hold a run back, in the order in which it is checked.
//!
//! Every removal passes these gates: sweeps, applied plans, deadlines, purges for `min_free`. Cheap gates come before
//! expensive ones, and each ends the run with a report of the reason. [`Scope`] leaves out the one that does not apply
//! to it, and [`Gates`] says which ones a person has overridden.
//!
//! 1. the policy is switched on
//! 2. no other run of the policy is at work (its lock)
//! 3. the clock goes on from where the last run left it
//! 4. what was promised to be kept is known
//! 5. what rows still refer to is known (`keep_referenced`)
//! 6. the root opens, and its mount records the stamps that the policy goes by
//! 7. the root lies on the file system of the last run
//! 8. what `min_free` asks for can be had
//! 9. nobody holds the root's own lock (`honour_flock`)
//! 10. there is a quarantine where one is needed
//! 11. after ranking: what goes is no more than anybody can have meant ([`weigh`])

use cleanup_core::brake::{self, Brake, HARMLESS, Suspicions};
use cleanup_core::judge::Run;
use cleanup_core::moment::Moment;
use cleanup_core::policy::{AgeClock, Brakes, Effect, FilePolicy, RootLock};
use cleanup_core::rank::Remaining;
use cleanup_core::reference::Referenced;
use cleanup_core::report::{Counts, Done, PolicyKind, PolicyReport, Skip};
use cleanup_core::sweep::{Mode, sweep};
use cleanup_fs_store::{LockedRoot, RootError, RootLocked, Store};
use cleanup_pg_sessions::Obstacle;
use cleanup_state::Lock;

use crate::quarantine;
use crate::run::observe::FirstDue;
use crate::run::params::{Gates, RunParams};
use crate::run::result::{RunResult, disabled};
use crate::run::scope::{Due, Named, Scope};
use crate::run::{limits, owners, sessions};
use crate::setup::Setup;
use crate::state::run_state::{Busy, RunState, Shared};

/// The result of passing the gates before ranking.
pub(crate) struct Passed<'a> {
    pub(crate) store: Store<'a>,
    /// Everything that is constant during the run, except the results of ranking.
    pub(crate) run: Run,
    pub(crate) file_system: Option<String>,
    /// Locks that exclude others during the run.
    pub(crate) locks: (Option<Lock>, Option<LockedRoot>),
}

/// The gates before ranking.
pub(crate) fn pass<'a>(
    setup: &Setup,
    state: &Shared,
    policy: &'a FilePolicy,
    store: Result<Store<'a>, RootError>,
    scope: &Scope<'_>,
    params: &RunParams<'_>,
) -> Result<Passed<'a>, Box<PolicyReport>> {
    if !policy.enabled {
        return Err(Box::new(disabled(&policy.rule.name, PolicyKind::Files)));
    }
    let policy_lock = policy_lock(state, policy, scope, params.mode)?;
    if let Some(jump) = params.doubt_of_clock() {
        return Err(held(policy, jump.to_string()));
    }
    let now = params.at.unwrap_or_else(|| state.lock().now());
    let run = facts(setup, state, policy, scope, now).map_err(|unready| Box::new(unready.report(&policy.rule.name)))?;
    let store = store.and_then(recording).map_err(|error| unopened(policy, &error, state))?;
    let file_system = store.file_system();
    same_file_system(state, policy, file_system.as_deref(), params.gates).map_err(|brake| braked(policy, &brake))?;
    reachable(&store, policy, params).map_err(|brake| braked(policy, &brake))?;
    let root_lock = match policy.root_lock {
        RootLock::Honour => Some(store.lock_root().map_err(|locked| root_locked(policy, &locked))?),
        RootLock::Ignore => None,
    };
    let store = with_quarantine(store, policy, scope, params, now)?;
    Ok(Passed { store, run, file_system, locks: (policy_lock, root_lock) })
}

fn policy_lock(
    state: &Shared,
    policy: &FilePolicy,
    scope: &Scope<'_>,
    mode: Mode,
) -> Result<Option<Lock>, Box<PolicyReport>> {
    if mode == Mode::Plan || !scope.takes_policy_lock() {
        return Ok(None);
    }
    state.lock().lock(policy).map_err(|Busy| {
        let message = "another sweep of this policy is running".to_owned();
        Box::new(PolicyReport::skipped(&policy.rule.name, PolicyKind::Files, Skip::Locked, message))
    })
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

/// Everything that is fixed for one run of a policy at `now`, but for what ranking comes to.
pub(crate) fn facts(
    setup: &Setup,
    state: &Shared,
    policy: &FilePolicy,
    scope: &Scope<'_>,
    now: Moment,
) -> Result<Run, Unready> {
    let (holds, running, registrations) = {
        let mut state = state.lock();
        let holds = state.holds(&policy.root, now).map_err(Unready::Held)?;
        let running = match policy.age_clock {
            AgeClock::Wall => None,
            AgeClock::Running => state.running_time(),
        };
        let registrations = match scope {
            Scope::Paths(due) => {
                let mut registrations = due.registrations.clone();
                // The table may have been made before a promise, or for another policy.
                state.add_ttls(policy, due.paths, &mut registrations).map_err(Unready::Held)?;
                registrations
            }
            Scope::All | Scope::Resume | Scope::Planned(_) => {
                // A table knows what could not be written down; the disk knows what a table has lost with its root.
                let mut registrations = state.registrations(policy);
                registrations.join(setup.tables.registrations(policy));
                registrations
            }
        };
        (holds, running, registrations)
    };
    let brakes = match scope {
        Scope::Paths(due) => Brakes { max_removals: due.max_removals, ..policy.brakes },
        Scope::All | Scope::Resume | Scope::Planned(_) => policy.brakes,
    };
    let referenced = sessions::referenced(policy, &setup.config, &setup.folder)?;
    Ok(Run { now, running, holds, registrations, referenced, brakes, ..Run::at(now) })
}

/// A store whose mount records the moments that the policy goes by.
pub(crate) fn recording(store: Store<'_>) -> Result<Store<'_>, RootError> {
    store.records_stamp().map(|()| store)
}

fn unopened(policy: &FilePolicy, error: &RootError, state: &Shared) -> Box<PolicyReport> {
    let name = policy.rule.name.as_str();
    Box::new(if let RootError::Missing { .. } = error {
        let message = missing_root(policy, error, &mut state.lock());
        let root_missing = message.is_some();
        let message = message.unwrap_or_else(|| error.to_string());
        PolicyReport { root_missing, ..PolicyReport::skipped(name, PolicyKind::Files, Skip::NoRoot, message) }
    } else {
        PolicyReport::failed(name, PolicyKind::Files, error.to_string())
    })
}

/// What to say of a root that does not exist; `None` where the policy says that it comes and goes.
pub(crate) fn missing_root(policy: &FilePolicy, error: &RootError, state: &mut RunState) -> Option<String> {
    if policy.root_may_be_missing {
        return None;
    }
    let past = if state.has_seen_root(policy) { "it existed in an earlier run" } else { "no run has seen it yet" };
    Some(format!(
        "{error}; {past}. Correct `root`, create the folder, or set `root_may_be_missing = true` if it comes and goes"
    ))
}

fn same_file_system(state: &Shared, policy: &FilePolicy, file_system: Option<&str>, gates: Gates) -> Result<(), Brake> {
    if gates != Gates::Forced && state.lock().is_elsewhere(policy, file_system) {
        return Err(Brake::OtherFileSystem { root: policy.root.display().to_string() });
    }
    Ok(())
}

/// Nobody can mean a mark that nothing can meet, not even with `--force`. Whoever only looks is shown what the other
/// rules come to.
fn reachable(store: &Store<'_>, policy: &FilePolicy, params: &RunParams<'_>) -> Result<(), Brake> {
    let only_looks = params.gates == Gates::Forced && params.mode == Mode::Plan;
    if only_looks { Ok(()) } else { limits::reachable(store, policy) }
}

fn root_locked(policy: &FilePolicy, locked: &RootLocked) -> Box<PolicyReport> {
    let name = policy.rule.name.as_str();
    Box::new(match locked {
        RootLocked::ByOther => PolicyReport::skipped(name, PolicyKind::Files, Skip::RootLocked, locked.to_string()),
        RootLocked::Unknown(_) => PolicyReport::failed(name, PolicyKind::Files, locked.to_string()),
    })
}

/// A plan says as well that the quarantine could not be used.
fn with_quarantine<'a>(
    store: Store<'a>,
    policy: &FilePolicy,
    scope: &Scope<'_>,
    params: &RunParams<'_>,
    now: Moment,
) -> Result<Store<'a>, Box<PolicyReport>> {
    let only_looks = params.gates == Gates::Forced && params.mode == Mode::Plan;
    if policy.effect == Effect::Observe || only_looks {
        return Ok(store);
    }
    let prepared = match scope {
        Scope::Paths(due) => quarantine::prepare(store, policy, || due.quarantine.clone(), now),
        Scope::All | Scope::Resume | Scope::Planned(_) => {
            quarantine::prepare(store, policy, || quarantine::run_of(params.run_id), now)
        }
    };
    prepared.map_err(|why| held(policy, why))
}

/// The gates that look at how much goes, and why. A plan that is carried out is asked for its first chunk for that, which
/// is answered.
pub(crate) fn weigh(
    state: &Shared,
    policy: &FilePolicy,
    store: &Store<'_>,
    run: &Run,
    scope: &mut Scope<'_>,
    params: &RunParams<'_>,
) -> Result<Option<Vec<Named>>, Box<RunResult>> {
    let braked = |brake: Brake| RunResult::held(*braked(policy, &brake));
    match (params.gates, scope) {
        (Gates::All, Scope::Paths(due)) => {
            if due.max_removals == Some(0) {
                let why = "max_removals reached; the rest follows later".to_owned();
                return Err(RunResult::held(*held(policy, why)));
            }
            weigh_due(state, policy, Some(&run.referenced), &due.counts).map_err(braked)?;
            Ok(None)
        }
        (Gates::All, Scope::All | Scope::Resume | Scope::Planned(_)) => {
            let suspicions = state.lock().suspicions(policy, Some(&run.referenced));
            if !suspicions.is_empty() || policy.brakes.max_removal_percent.is_some() {
                plan_first(store, policy, run, &suspicions)?;
            }
            Ok(None)
        }
        // Whoever has read the plan has not seen that the database is empty by now.
        (Gates::Reviewed, Scope::Planned(chunks)) => {
            let Some(fewer) = state.lock().fewer_references(policy, &run.referenced) else { return Ok(None) };
            let first = chunks.next();
            fewer.check(first.as_ref().map_or(0, Vec::len) as u64).map_err(braked)?;
            Ok(first)
        }
        (Gates::Reviewed | Gates::Forced, _) => Ok(None),
    }
}

/// Weighs what a table counts as due: no plan has to be made for that.
fn weigh_due(
    state: &Shared,
    policy: &FilePolicy,
    referenced: Option<&Referenced>,
    counts: &Counts,
) -> Result<(), Brake> {
    let mut state = state.lock();
    let suspicions = if counts.due > HARMLESS {
        // For so many it is asked what stands there now, and not a minute ago.
        state.ask_anew(policy);
        state.suspicions(policy, referenced)
    } else {
        // Whatever else was found out would hold none of so few, and deadlines come often.
        let fewer = referenced.and_then(|referenced| state.fewer_references(policy, referenced));
        Suspicions { references: fewer, ..Suspicions::default() }
    };
    state.rest();
    brake::check(counts, &policy.brakes, &suspicions)
}

/// The gates that a tracked policy passes as soon as everything was looked at: what holds it back is said before anything
/// is due.
pub(crate) fn at_start(state: &Shared, policy: &FilePolicy, store: &Store<'_>, counts: &Counts) -> Result<(), Brake> {
    same_file_system(state, policy, store.file_system().as_deref(), Gates::All)?;
    limits::reachable(store, policy)?;
    weigh_due(state, policy, None, counts)
}

/// Whether the rule was changed and that is accepted only once everything was weighed that it takes.
pub(crate) fn accepts_rule(state: &Shared, policy: &FilePolicy, due: &Due<'_>) -> bool {
    due.counts_all || state.lock().changes(policy).is_none()
}

/// Counts what would go, and holds the policy back if that is more than anybody can have meant.
fn plan_first(
    store: &Store<'_>,
    policy: &FilePolicy,
    run: &Run,
    suspicions: &Suspicions,
) -> Result<(), Box<RunResult>> {
    let all = Run { brakes: Brakes::default(), ..run.clone() };
    let first = FirstDue::default();
    let remaining = Remaining::new(&first);
    let plan = sweep(store, &policy.rule, &all, Mode::Plan, &remaining);
    let stays = Some(remaining.finish());
    brake::check(&plan.counts, &policy.brakes, suspicions).map_err(|brake| {
        let report = PolicyReport::finished(&policy.rule.name, PolicyKind::Files, plan);
        let report = report.held(brake.to_string(), first.into_plan());
        let report = PolicyReport { disputed_with: owners::disputed_with(store), ..report };
        Box::new(RunResult::held(report).with_stays(policy, stays, Done::Planned))
    })
}

fn held(policy: &FilePolicy, why: String) -> Box<PolicyReport> {
    Box::new(PolicyReport::held_back(&policy.rule.name, PolicyKind::Files, why))
}

fn braked(policy: &FilePolicy, brake: &Brake) -> Box<PolicyReport> {
    held(policy, brake.to_string())
}
