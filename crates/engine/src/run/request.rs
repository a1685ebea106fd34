//! All policies of one request, from the mark that the run begins to its report.

use cleanup_core::moment::Moment;
use cleanup_core::policy::FilePolicy;
use cleanup_core::report::{PolicyReport, PolicyStatus, Report};
use cleanup_core::sweep::Mode;
use cleanup_state::BegunRun;

use crate::clock;
use crate::request::{At, Request, RequestError, adjusted};
use crate::run::min_free::{self, SharedCutoffs};
use crate::run::observers::{Asking, Watcher};
use crate::run::params::{Gates, RunParams};
use crate::run::record::{self, Recording, run_id};
use crate::run::result::RunResult;
use crate::run::scope::Scope;
use crate::run::{PolicyRun, limits, policy_run, sessions};
use crate::setup::{Selected, Setup};
use crate::state::run_state::{Access, Shared};

/// Sweeps, or plans to. Blocks until all policies have ended.
pub(crate) fn sweep(setup: &Setup, request: &Request, watcher: &dyn Watcher) -> Result<Report, RequestError> {
    let selected = setup.select(&request.policies)?;
    if request.at.is_some() && request.mode == Mode::Apply {
        return Err(RequestError::NotNow);
    }
    for (name, _) in &request.max_age {
        if setup.select(std::slice::from_ref(name))?.files.is_empty() {
            return Err(RequestError::NotAFilePolicy { name: name.clone() });
        }
    }
    let access = Access::of(request.mode);
    let mut state = setup.state(access);
    if request.force {
        state.accept_lost_promises(access);
    }
    let jump = state.doubt_clock().err();
    let clock_is_lost = state.is_without_clock();
    let state = Shared::from(state);
    let recording = Recording::begin(&state, request.mode, begun(&selected, request));
    let params = RunParams {
        mode: request.mode,
        gates: if request.force { Gates::Forced } else { Gates::All },
        jump: jump.as_ref(),
        at: request.at.map(At::moment),
        run_id: recording.id(),
        trigger: request.trigger,
        asked_by: request.asked_by.as_deref(),
        jobs: request.jobs(),
        watcher,
    };
    let reports = sweep_all(setup, &state, &selected, request, &params, &recording);
    let clock_trusted =
        request.force || (jump.is_none() && (!clock_is_lost || record::witnesses_clock(setup, &reports)));
    Ok(recording.end(setup, &state, reports, Vec::new(), clock_trusted))
}

fn begun(selected: &Selected<'_>, request: &Request) -> BegunRun {
    BegunRun {
        run_id: request.run_id.clone().unwrap_or_else(run_id),
        trigger: request.trigger,
        asked_by: request.asked_by.clone(),
        started_at: clock::now(),
        policies: selected.begun(),
    }
}

/// Files on this thread, one policy after the other; rows beside them, so that a slow database delays no files.
fn sweep_all(
    setup: &Setup,
    state: &Shared,
    selected: &Selected<'_>,
    request: &Request,
    params: &RunParams<'_>,
    recording: &Recording,
) -> Vec<PolicyReport> {
    let ended = |report: &PolicyReport| ended(setup, recording, params.watcher, report);
    let changes = sessions::changes(&selected.sessions, state, request);
    let places = sessions::places(&selected.sessions, state, params.mode);
    let reports = std::thread::scope(|scope| {
        let sweep_rows = || {
            let (policies, folder) = (&selected.sessions, &setup.folder);
            let known = sessions::Known { changes: &changes, places: &places };
            sessions::sweep(policies, folder, &known, request, params.at, params.watcher, &ended)
        };
        let rows = (!selected.sessions.is_empty())
            .then(|| std::thread::Builder::new().name("sessions".to_owned()).spawn_scoped(scope, sweep_rows));
        let policies: Vec<FilePolicy> = selected.files.iter().map(|policy| adjusted(policy, request)).collect();
        let mut reports = sweep_files(setup, state, &policies, params, &ended);
        reports.extend(match rows {
            None => Vec::new(),
            Some(Ok(thread)) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            // No thread to be had here: then the rows come after the files.
            Some(Err(_)) => sweep_rows(),
        });
        reports
    });
    if params.mode == Mode::Apply {
        sessions::remember(&selected.sessions, &reports, &places, state);
    }
    reports
}

/// One policy has ended, and its report is final.
pub(crate) fn ended(setup: &Setup, recording: &Recording, watcher: &dyn Watcher, report: &PolicyReport) {
    if let (true, Some(message)) = (report.status == PolicyStatus::Failed || report.root_missing, &report.message) {
        tracing::warn!(policy = report.name, "{message}");
    }
    recording.policy_ended(setup, report);
    watcher.ends(report);
}

/// Sweeps files, one policy after the other. What has become of the free space of a file system is known when all
/// policies that give some have ended, so these end together.
fn sweep_files(
    setup: &Setup,
    state: &Shared,
    policies: &[FilePolicy],
    params: &RunParams<'_>,
    ended: &(dyn Fn(&PolicyReport) + Sync),
) -> Vec<PolicyReport> {
    let cutoffs = || {
        if params.doubt_of_clock().is_some() {
            return SharedCutoffs::default();
        }
        let now = params.at.unwrap_or_else(|| state.lock().now());
        // Who stopped it here stops each policy as well.
        min_free::shared_cutoffs(setup, state, policies.iter(), now, &Asking(params.watcher)).unwrap_or_default()
    };
    let mut shared = cutoffs();
    let mut purged = min_free::purge(setup, state, policies, &shared, params);
    if !purged.is_empty() {
        // So much less is asked for now.
        shared = cutoffs();
    }
    let gives = |policy: &FilePolicy| policy.limits.min_free.is_some();
    let last_giver = policies.iter().rposition(gives);
    let mut results: Vec<RunResult> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    for (index, policy) in policies.iter().enumerate() {
        params.watcher.begins(&policy.rule.name);
        results.push(run_alone(setup, state, policy, Scope::Resume, &shared, params));
        open.push(index);
        if gives(policy) && Some(index) != last_giver {
            continue;
        }
        let all_ended = if gives(policy) {
            // What was moved into quarantine just now gives nothing back by itself.
            purged.add(min_free::purge(setup, state, policies, &shared, params));
            std::mem::take(&mut open)
        } else {
            open.pop().into_iter().collect()
        };
        for index in all_ended {
            purged.tell(&mut results[index].report);
            conclude(setup, state, &policies[index], &mut results[index]);
            ended(&results[index].report);
        }
    }
    results.into_iter().map(|result| result.report).collect()
}

/// Runs one policy with its share of what `min_free` asks for.
fn run_alone(
    setup: &Setup,
    state: &Shared,
    policy: &FilePolicy,
    scope: Scope<'_>,
    shared: &SharedCutoffs,
    params: &RunParams<'_>,
) -> RunResult {
    let store = setup.store(policy, &state.lock()).map(|store| store.with_jobs(params.jobs));
    policy_run(setup, state, PolicyRun { policy, store, scope, cutoffs: shared.of(&policy.rule.name) }, params)
}

/// Says in a report what has become of the limits.
fn conclude(setup: &Setup, state: &Shared, policy: &FilePolicy, result: &mut RunResult) {
    let Some((stays, done)) = &result.stays else { return };
    if policy.limits.min_free.is_some()
        && let Some(file_system) = setup.store(policy, &state.lock()).ok().and_then(|store| store.space().ok())
    {
        result.report.limits.extend(limits::free(&policy.limits, &file_system, stays, *done));
    }
    limits::tell(&mut result.report, *done);
}

/// Goes through the files of one policy without anything that could hold that back, and changes nothing.
pub(crate) fn look(
    setup: &Setup,
    state: &Shared,
    policy: &FilePolicy,
    now: Moment,
    shared: &SharedCutoffs,
    watcher: &dyn Watcher,
) -> PolicyReport {
    let params = RunParams { at: Some(now), ..RunParams::look(watcher) };
    let mut result = run_alone(setup, state, policy, Scope::All, shared, &params);
    conclude(setup, state, policy, &mut result);
    result.report
}
