//! Session policies: run on a thread of their own beside the files, all at once, so that a slow database delays neither
//! the files nor another database.
//!
//! The runtime that their store needs is made here, for the length of a call, and only where there are any: a sweep of
//! files alone starts without it.

use std::future::Future;
use std::io;
use std::path::Path;

use cleanup_core::brake::{self, Brake, Suspicions};
use cleanup_core::config::Config;
use cleanup_core::moment::Moment;
use cleanup_core::policy::{Changes, Effect, FilePolicy, References, SessionPolicy};
use cleanup_core::reference::Referenced;
use cleanup_core::report::{PolicyKind, PolicyReport, PolicyStatus};
use cleanup_core::sweep::Mode;
use cleanup_pg_sessions::{Obstacle, Severity as Found, Wall};
use futures_util::future::join_all;

use crate::clock;
use crate::request::Request;
use crate::responses::{Finding, PolicyStats, SessionStats, Severity};
use crate::run::observers::{PolicyObserver, Watcher};
use crate::run::result::{OBSERVED, disabled};
use crate::run::resume::TimeBudget;
use crate::setup::Setup;
use crate::state::run_state::Shared;

/// Sweeps all of them, or plans to, as the request says; `at` is another time, for plans. Calls `ended` for each report
/// as soon as it is there.
pub(crate) fn sweep(
    policies: &[&SessionPolicy],
    (setup, state): (&Setup, &Shared),
    request: &Request,
    at: Option<Moment>,
    watcher: &dyn Watcher,
    ended: &(dyn Fn(&PolicyReport) + Sync),
) -> Vec<PolicyReport> {
    let (mode, base) = (request.mode, setup.folder.as_path());
    let wall = || {
        let wall = Wall::from(clock::now());
        if request.force { wall.unheeded() } else { wall }
    };
    // The memory waits for its own database, which is not to be done where these are waited for.
    let changes: Vec<Option<Changes>> =
        policies.iter().map(|policy| if request.force { None } else { state.lock().row_changes(policy) }).collect();
    let changes_of = |policy: &SessionPolicy| {
        let place = policies.iter().position(|other| other.rule.name == policy.rule.name);
        place.and_then(|place| changes.get(place)?.clone())
    };
    let reports = for_all(
        policies,
        async |policy| {
            let name = policy.rule.name.as_str();
            watcher.begins(name);
            let report = match (mode, at) {
                _ if !policy.enabled => disabled(name, PolicyKind::Sessions),
                (Mode::Apply, _) if policy.effect == Effect::Observe => {
                    let plan = cleanup_pg_sessions::sweep(policy, base, Mode::Plan, wall(), &()).await;
                    observed(plan)
                }
                (Mode::Plan, at) => {
                    let plan = match at {
                        Some(at) => cleanup_pg_sessions::plan_at(policy, base, wall(), at).await,
                        None => cleanup_pg_sessions::sweep(policy, base, mode, wall(), &()).await,
                    };
                    weighed(policy, plan, request, changes_of(policy))
                }
                (Mode::Apply, _) => {
                    if let Some(held) = plan_first(policy, base, request, changes_of(policy), wall()).await {
                        held
                    } else {
                        let observer = PolicyObserver { name, audit: None, watcher, budget: TimeBudget::default() };
                        cleanup_pg_sessions::sweep(policy, base, mode, wall(), &observer).await
                    }
                }
            };
            ended(&report);
            report
        },
        failed,
    );
    for (policy, report) in policies.iter().zip(&reports) {
        let has_run = matches!(report.status, PolicyStatus::Ok | PolicyStatus::Partial) && policy.enabled;
        if has_run && mode == Mode::Apply && policy.effect == Effect::Enforce {
            state.lock().remember_rows(policy);
        }
    }
    reports
}

/// Counts what would go, where there is a reason to, and holds the policy back if that is more than anybody can have
/// meant. Nothing where it may run.
async fn plan_first(
    policy: &SessionPolicy,
    base: &Path,
    request: &Request,
    changes: Option<Changes>,
    wall: Wall,
) -> Option<PolicyReport> {
    let is_suspect = policy.brakes.max_removal_percent.is_some() || changes.is_some();
    if request.force || !is_suspect {
        return None;
    }
    let plan = cleanup_pg_sessions::sweep(policy, base, Mode::Plan, wall, &()).await;
    // A database that is away, or a table that cannot be swept, is met again.
    Some(weighed(policy, plan, request, changes)).filter(|report| report.status == PolicyStatus::Held)
}

/// A plan, held back if it takes more than anybody can have meant.
fn weighed(policy: &SessionPolicy, plan: PolicyReport, request: &Request, changes: Option<Changes>) -> PolicyReport {
    if request.force || !matches!(plan.status, PolicyStatus::Ok | PolicyStatus::Partial) {
        return plan;
    }
    let suspicions = Suspicions { changes, ..Suspicions::default() };
    match brake::check(&plan.counts, &policy.brakes, &suspicions) {
        Ok(()) => plan,
        Err(brake) => plan.held(of_rows(&brake), Vec::new()),
    }
}

/// What holds rows back, in words: a brake speaks of files.
fn of_rows(brake: &Brake) -> String {
    match brake {
        Brake::ChangedRule { changes, due, matched } | Brake::LoosenedProtection { changes, due, matched } => format!(
            "held back: {changes} since the last run, and now {due} of {matched} rows would go; if that is meant, run \
             once with --force"
        ),
        Brake::TooLargeAShare { percent, due, matched } => format!(
            "held back: {due} of {matched} rows would go, more than max_removal_percent = {percent}; if that is meant, \
             run once with --force"
        ),
        other => other.to_string(),
    }
}

/// What is in their tables now.
pub(crate) fn stats(policies: &[&SessionPolicy], base: &Path) -> Vec<PolicyStats> {
    for_all(
        policies,
        async |policy| {
            let name = policy.rule.name.as_str();
            if !policy.enabled {
                return PolicyStats::without_numbers(disabled(name, PolicyKind::Sessions));
            }
            match cleanup_pg_sessions::stats(policy, base, clock::now()).await {
                Ok(stats) => PolicyStats {
                    name: name.to_owned(),
                    kind: PolicyKind::Sessions,
                    status: PolicyStatus::Ok,
                    message: (!stats.notes.is_empty()).then(|| stats.notes.join("; ")),
                    files: None,
                    sessions: Some(SessionStats {
                        table: policy.table.clone(),
                        total_rows: stats.total_rows,
                        expired_rows: stats.expired_rows,
                        implausible_rows: stats.implausible_rows,
                        estimated: stats.estimated,
                        oldest: stats.oldest,
                        newest: stats.newest,
                        next_due_at: stats.next_due_at,
                    }),
                },
                Err(obstacle) => PolicyStats::without_numbers(stopped(name, obstacle)),
            }
        },
        |policy, why| PolicyStats::without_numbers(failed(policy, why)),
    )
}

/// What `config check` has to say of them.
pub(crate) fn check(policies: &[&SessionPolicy], base: &Path) -> Vec<Finding> {
    let findings = for_all(
        policies,
        async |policy| {
            let found =
                if policy.enabled { cleanup_pg_sessions::check(policy, base, clock::now()).await } else { Vec::new() };
            let finding = |found: cleanup_pg_sessions::Finding| Finding {
                policy: policy.rule.name.clone(),
                severity: match found.severity {
                    Found::Advice => Severity::Ok,
                    Found::Warning => Severity::Warning,
                    Found::Held | Found::Problem => Severity::Error,
                },
                message: found.sentence,
                remedy: found.statement,
            };
            found.into_iter().map(finding).collect::<Vec<_>>()
        },
        |policy, why| {
            vec![Finding { policy: policy.rule.name.clone(), severity: Severity::Error, message: why, remedy: None }]
        },
    );
    findings.into_iter().flatten().collect()
}

/// The names that rows still refer to, as far as the policy asks for them. An obstacle is a reason to keep everything.
pub(crate) fn referenced(policy: &FilePolicy, config: &Config, base: &Path) -> Result<Referenced, Obstacle> {
    let mut referenced = Referenced::default();
    let Some(References { sessions, query }) = &policy.references else { return Ok(referenced) };
    let named = config.sessions.iter().find(|policy| policy.rule.name == *sessions);
    let database = named.ok_or_else(|| Obstacle::Failed(format!("there is no session policy {sessions:?}")))?;
    let mut add = |name: &[u8]| referenced.add(name);
    let asked = block_on(cleanup_pg_sessions::references(database, base, query, &mut add));
    asked.map_err(|error| Obstacle::Failed(format!("cannot begin to ask a database: {error}")))??;
    Ok(referenced)
}

/// Says of a plan that it is all that will happen.
fn observed(plan: PolicyReport) -> PolicyReport {
    let message = plan.message.map_or_else(|| OBSERVED.to_owned(), |message| format!("{message}; {OBSERVED}"));
    PolicyReport { message: Some(message), ..plan }
}

fn failed(policy: &SessionPolicy, why: String) -> PolicyReport {
    PolicyReport::failed(&policy.rule.name, PolicyKind::Sessions, why)
}

fn stopped(name: &str, obstacle: Obstacle) -> PolicyReport {
    match obstacle {
        Obstacle::Skipped { skip, message } => PolicyReport::skipped(name, PolicyKind::Sessions, skip, message),
        Obstacle::Held(message) => PolicyReport::held_back(name, PolicyKind::Sessions, message),
        Obstacle::Failed(message) => PolicyReport::failed(name, PolicyKind::Sessions, message),
    }
}

/// Does something for each policy, all at the same time, and returns the results in their order. Where nothing can be
/// started, each policy ends as `failed` says.
fn for_all<'a, T, F: Future<Output = T>>(
    policies: &[&'a SessionPolicy],
    act: impl Fn(&'a SessionPolicy) -> F,
    failed: impl Fn(&'a SessionPolicy, String) -> T,
) -> Vec<T> {
    if policies.is_empty() {
        return Vec::new();
    }
    match block_on(join_all(policies.iter().map(|policy| act(policy)))) {
        Ok(results) => results,
        Err(error) => {
            let why = format!("cannot begin to ask a database: {error}");
            policies.iter().map(|policy| failed(policy, why.clone())).collect()
        }
    }
}

/// Runs what a database needs to its end, on this thread.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(future))
}
