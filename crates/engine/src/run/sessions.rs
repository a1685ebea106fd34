//! Session policies: run on a thread of their own beside the files, all at once, so that a slow database delays neither
//! the files nor another database.
//!
//! The runtime that their store needs is made here, for the length of a call, and only where there are any: a sweep of
//! files alone starts without it.

use std::future::Future;
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use cleanup_core::brake::{self, Brake, Suspicions};
use cleanup_core::config::Config;
use cleanup_core::moment::Moment;
use cleanup_core::policy::{Changes, Effect, FilePolicy, References, SessionPolicy};
use cleanup_core::reference::Referenced;
use cleanup_core::report::{PolicyKind, PolicyReport, PolicyStatus};
use cleanup_core::sweep::Mode;
use cleanup_pg_sessions::{
    Examination, Fate, Obstacle, RowAnswer, RowPlace, Severity as Found, Strategy, TableFacts, Wall,
};
use futures_util::future::join_all;

use crate::clock;
use crate::request::Request;
use crate::responses::{
    AnswerVerdict, BatchPlan, Finding, Follower, PolicyStats, RowOrder, SessionAnswer, SessionCheck,
    SessionExplanation, SessionStats, Severity,
};
use crate::run::observers::{PolicyObserver, Watcher};
use crate::run::result::{OBSERVED, disabled};
use crate::run::resume::TimeBudget;
use crate::state::run_state::Shared;

/// What was changed in each rule since its last run. Asked before anything runs: the memory waits for a database of its
/// own, and is not shared out while files are observed.
pub(crate) fn changes(policies: &[&SessionPolicy], state: &Shared, request: &Request) -> Vec<Option<Changes>> {
    let mut state = state.lock();
    policies.iter().map(|policy| if request.force { None } else { state.row_changes(policy) }).collect()
}

/// What is known of the policies from earlier runs, in their order.
#[derive(Clone, Copy)]
pub(crate) struct Known<'a> {
    pub(crate) changes: &'a [Option<Changes>],
    pub(crate) places: &'a Places,
}

/// Where the last run of each policy was stopped, and then where this one was.
pub(crate) struct Places {
    before: Vec<Option<RowPlace>>,
    after: Mutex<Vec<Option<RowPlace>>>,
}

impl Places {
    fn set(&self, index: usize, place: Option<RowPlace>) {
        let mut after = self.after.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = after.get_mut(index) {
            *slot = place;
        }
    }
}

/// Where the last runs were stopped. Asked before anything runs, as the rules are.
pub(crate) fn places(policies: &[&SessionPolicy], state: &Shared, mode: Mode) -> Places {
    let before: Vec<Option<RowPlace>> = match mode {
        Mode::Apply => policies.iter().map(|policy| state.lock().rows_stopped_at(policy)).collect(),
        Mode::Plan => policies.iter().map(|_| None).collect(),
    };
    Places { after: Mutex::new(before.clone()), before }
}

/// Leaves behind the rules of those that have run, and where they were stopped, for the next run.
pub(crate) fn remember(policies: &[&SessionPolicy], reports: &[PolicyReport], places: &Places, state: &Shared) {
    let after = places.after.lock().unwrap_or_else(PoisonError::into_inner);
    for ((policy, before), after) in policies.iter().zip(&places.before).zip(&*after) {
        if before != after {
            state.lock().remember_rows_stop(policy, after.as_ref());
        }
    }
    for policy in policies.iter().filter(|policy| policy.enabled && policy.effect == Effect::Enforce) {
        let is_done = |report: &&PolicyReport| matches!(report.status, PolicyStatus::Ok | PolicyStatus::Partial);
        if reports.iter().filter(is_done).any(|report| report.name == policy.rule.name) {
            state.lock().remember_rows(policy);
        }
    }
}

/// Sweeps all of them, or plans to, as the request says; `at` is another time, for plans. Calls `ended` for each report
/// as soon as it is there.
pub(crate) fn sweep(
    policies: &[&SessionPolicy],
    base: &Path,
    known: &Known<'_>,
    request: &Request,
    at: Option<Moment>,
    watcher: &dyn Watcher,
    ended: &(dyn Fn(&PolicyReport) + Sync),
) -> Vec<PolicyReport> {
    let mode = request.mode;
    let wall = || {
        let wall = Wall::from(clock::now());
        if request.force { wall.unheeded() } else { wall }
    };
    let index_of = |policy: &SessionPolicy| policies.iter().position(|other| other.rule.name == policy.rule.name);
    let changes_of = |policy: &SessionPolicy| index_of(policy).and_then(|index| known.changes.get(index)?.clone());
    for_all(
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
                        let observer =
                            PolicyObserver { name, trail: None, removed: None, watcher, budget: TimeBudget::default() };
                        let index = index_of(policy).unwrap_or(usize::MAX);
                        let from = known.places.before.get(index).cloned().flatten();
                        let (report, place) =
                            cleanup_pg_sessions::sweep_from(from, policy, base, wall(), &observer).await;
                        known.places.set(index, place);
                        report
                    }
                }
            };
            ended(&report);
            report
        },
        failed,
    )
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

/// What `config check` has to say of them, and how a sweep would go about each.
pub(crate) fn check(policies: &[&SessionPolicy], base: &Path) -> (Vec<Finding>, Vec<SessionCheck>) {
    let checked = for_all(
        policies,
        async |policy| {
            if !policy.enabled {
                return (Vec::new(), None);
            }
            let Examination { findings, facts } = cleanup_pg_sessions::examine(policy, base, clock::now()).await;
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
            let facts = facts.map(|facts| session_check(&policy.rule.name, facts));
            (findings.into_iter().map(finding).collect::<Vec<_>>(), facts)
        },
        |policy, why| {
            let policy = policy.rule.name.clone();
            (vec![Finding { policy, severity: Severity::Error, message: why, remedy: None }], None)
        },
    );
    let (findings, checks): (Vec<_>, Vec<_>) = checked.into_iter().unzip();
    (findings.into_iter().flatten().collect(), checks.into_iter().flatten().collect())
}

fn session_check(policy: &str, facts: TableFacts) -> SessionCheck {
    let TableFacts { table, stats, batches, followers, has_triggers, has_row_security, clock_ahead_seconds } = facts;
    let batch = |batch: cleanup_pg_sessions::BatchPlan| BatchPlan {
        table: batch.table,
        order: match batch.strategy {
            Strategy::IndexOrder => RowOrder::Index,
            Strategy::HeapOrder => RowOrder::Heap,
        },
        index: batch.index,
    };
    let follower = |follower: cleanup_pg_sessions::Follower| Follower {
        table: follower.table,
        what: follower.what.to_owned(),
        rows: follower.rows,
    };
    SessionCheck {
        policy: policy.to_owned(),
        table,
        total_rows: stats.total_rows,
        due_rows: stats.expired_rows,
        implausible_rows: stats.implausible_rows,
        estimated: stats.estimated,
        oldest: stats.oldest,
        newest: stats.newest,
        next_due_at: stats.next_due_at,
        batches: batches.into_iter().map(batch).collect(),
        followers: followers.into_iter().map(follower).collect(),
        triggers: has_triggers,
        row_security: has_row_security,
        clock_ahead_seconds,
    }
}

/// What would become of the rows with one key.
pub(crate) fn explain(policy: &SessionPolicy, base: &Path, key: &str, state: &Shared) -> SessionExplanation {
    let mut explanation = SessionExplanation {
        policy: policy.rule.name.clone(),
        table: policy.table.clone(),
        answers: Vec::new(),
        held: None,
        enabled: policy.enabled,
        observes: policy.effect == Effect::Observe,
        schedule: policy.schedule.as_ref().map(ToString::to_string),
    };
    let unknown = |reason| SessionAnswer { verdict: AnswerVerdict::Unknown, reason, stamp: None, kept_until: None };
    let request = Request { mode: Mode::Plan, ..Request::default() };
    let changes = changes(&[policy], state, &request).pop().flatten();
    let asked = block_on(async {
        let rows = cleanup_pg_sessions::explain(policy, base, clock::now(), key).await?;
        // As a sweep would, so that whoever waits for a row to go learns why it does not.
        let held = match &rows.obstacle {
            None => {
                plan_first(policy, base, &request, changes, clock::now().into()).await.and_then(|held| held.message)
            }
            Some(why) => Some(why.clone()),
        };
        Ok::<_, Obstacle>((rows, held))
    });
    match asked {
        Ok(Ok((rows, held))) => {
            explanation.held = held;
            explanation.answers = rows.rows.iter().map(session_answer).collect();
            if rows.rows.is_empty() {
                let hidden = if rows.filtered { ", or row security hides it from this role" } else { "" };
                explanation.answers.push(unknown(format!("there is no row with this key in {}{hidden}", rows.table)));
            }
            explanation.table = rows.table;
        }
        Ok(Err(obstacle)) => explanation.answers.push(unknown(obstacle.to_string())),
        Err(error) => explanation.answers.push(unknown(format!("cannot begin to ask a database: {error}"))),
    }
    explanation
}

fn session_answer(row: &RowAnswer) -> SessionAnswer {
    let verdict = match row.fate {
        Fate::Due => AnswerVerdict::Remove,
        Fate::NotMeant => AnswerVerdict::NotACandidate,
        Fate::Timeless | Fate::Endless | Fate::Implausible | Fate::Referenced | Fate::Future | Fate::Young => {
            AnswerVerdict::Keep
        }
    };
    SessionAnswer { verdict, reason: row.reason.clone(), stamp: row.stamp, kept_until: row.due_at }
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
