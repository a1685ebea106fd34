//! Session rows: expired ones go, live ones never. PostgreSQL, and its embedded SQLite twin.
//!
//! Rows are not offered one by one to be judged: this store carries the rule inside its `DELETE`, against the
//! database's own clock, so that a session that is touched between choosing and deleting lives. What is due is what
//! `cleanup_core::judge` would call due; the conformance suite of core holds both databases to it.
//!
//! Nobody waits for a sweep: batches are small and paced by the latency they cause, locked rows are passed by, every
//! statement has its limits. And nothing here ends in an error: [`sweep`] answers with a report, whose status says that
//! the database was away, the table busy, or what a person has to change. What was committed is counted either way.
//!
//! The rooms: `rule` (names, times, clocks), `url`, `run` (how batches follow each other) and `report` are the same for
//! every database; `database` says what one has to bring, and `postgres` and `sqlite` bring it. [`demo`] makes a small
//! database to show it on.

mod database;
pub mod demo;
mod discover;
mod facts;
mod postgres;
mod report;
mod row;
mod rule;
mod run;
mod sqlite;
mod url;

use std::path::Path;

use cleanup_core::moment::Moment;
use cleanup_core::policy::{Database, SessionPolicy};
use cleanup_core::report::PolicyReport;
use cleanup_core::sweep::{Mode, Observer};

use self::database::{Job, Target, target};
pub use self::discover::{DiscoverError, Discovery, Proposal, discover};
pub use self::facts::{BatchPlan, Examination, Follower, TableFacts};
pub use self::report::finding::{Finding, Severity};
use self::report::ledger::Ledger;
pub use self::report::obstacle::Obstacle;
pub use self::row::{Fate, MOST_ROWS, RowAnswer, Rows};
use self::rule::clocks::Clock;
pub use self::rule::clocks::Wall;
use self::rule::names::Sql;

/// How a table is gone through. Chosen anew for every run by a cheap estimate; named only to measure or test one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Few rows are due: in the order of the index on the activity column.
    IndexOrder,
    /// Many rows are due, or there is no index: in physical order.
    HeapOrder,
}

/// What a session table holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionStats {
    /// All rows.
    pub total_rows: u64,
    /// Rows that a sweep would remove now.
    pub expired_rows: u64,
    /// Rows whose activity is no plausible time; they stay. Of a large table, those that were come across.
    pub implausible_rows: u64,
    /// Whether the two counts are the planner's estimate, because the table is large.
    pub estimated: bool,
    /// The oldest activity; `None` when there is none, or when finding it would read a large table.
    pub oldest: Option<Moment>,
    /// The newest activity, likewise.
    pub newest: Option<Moment>,
    /// When the next row that is not due yet will be, likewise.
    pub next_due_at: Option<Moment>,
    /// What looks wrong, in sentences: clocks that differ, rows without a time.
    pub notes: Vec<String>,
}

/// Sweeps one policy, or counts exactly what a sweep would take ([`Mode::Plan`], in a read-only transaction).
///
/// `base` is the folder that a relative SQLite file is relative to. `now` is only compared with the database's clock,
/// which alone decides; where they differ too much, the sweep is held back. The observer is told of rows after each committed batch. May be dropped at any time: the open
/// batch is then rolled back.
pub async fn sweep(
    policy: &SessionPolicy,
    base: &Path,
    mode: Mode,
    now: impl Into<Wall>,
    observer: &dyn Observer,
) -> PolicyReport {
    let wall = now.into();
    match mode {
        Mode::Plan => run(policy, base, wall, Job::Plan { ahead: 0.0 }, observer).await,
        Mode::Apply => run(policy, base, wall, Job::Apply { strategy: None }, observer).await,
    }
}

/// Counts exactly what a sweep would take at another time, as if nobody touched a session until then.
pub async fn plan_at(policy: &SessionPolicy, base: &Path, now: impl Into<Wall>, at: Moment) -> PolicyReport {
    let wall = now.into();
    let ahead = match at.since(wall.now) {
        Some(later) => later.as_secs_f64(),
        None => -wall.now.since(at).unwrap_or_default().as_secs_f64(),
    };
    run(policy, base, wall, Job::Plan { ahead }, &()).await
}

/// Where a run was stopped that goes through pages in their order. What is in order of an index needs no place: what is
/// gone is not met again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowPlace {
    /// The table that holds the rows: the policy's own, or a partition of it.
    pub table: String,
    /// The first page that was not looked at.
    pub page: u64,
}

/// Sweeps as [`sweep`] does, beginning where an earlier run was stopped, and then what lies before that. Says where this
/// run was stopped by `max_runtime` or by its observer, if it was.
pub async fn sweep_from(
    from: Option<RowPlace>,
    policy: &SessionPolicy,
    base: &Path,
    now: impl Into<Wall>,
    observer: &dyn Observer,
) -> (PolicyReport, Option<RowPlace>) {
    let mut ledger = Ledger::within(&policy.brakes);
    ledger.place = from;
    run_with(ledger, policy, base, now.into(), Job::Apply { strategy: None }, observer).await
}

/// Sweeps by a given strategy, whatever the estimate says: for tests and measurements.
pub async fn sweep_by(
    strategy: Strategy,
    policy: &SessionPolicy,
    base: &Path,
    now: Moment,
    observer: &dyn Observer,
) -> PolicyReport {
    run(policy, base, now.into(), Job::Apply { strategy: Some(strategy) }, observer).await
}

/// Looks at a policy's table: how many rows, how many due, the oldest, the next.
pub async fn stats(policy: &SessionPolicy, base: &Path, now: Moment) -> Result<SessionStats, Obstacle> {
    let clock = Clock::new(now.into());
    let stats = match target(policy, base) {
        Ok(Target::Postgres(server)) => database::stats(&*server, policy, &clock).await,
        Ok(Target::Sqlite(file)) => database::stats(&file, policy, &clock).await,
        Err(stop) => Err(stop),
    };
    stats.map_err(|stop| stop.obstacle(policy))
}

/// Looks up the rows with a key, the value of the key `id_column` as text, and says what a sweep would make of them.
pub async fn explain(policy: &SessionPolicy, base: &Path, now: impl Into<Wall>, key: &str) -> Result<Rows, Obstacle> {
    let clock = Clock::new(now.into());
    let rows = match target(policy, base) {
        Ok(Target::Postgres(server)) => database::explain(&*server, policy, &clock, key).await,
        Ok(Target::Sqlite(file)) => database::explain(&file, policy, &clock, key).await,
        Err(stop) => Err(stop),
    };
    rows.map_err(|stop| stop.obstacle(policy))
}

/// Asks the policy's database the operator's own query, in a transaction that can change nothing, and hands on the first
/// column of each row; an empty value is left out. Obstacles speak of what is referred to, not of rows to clean up.
pub async fn references(
    policy: &SessionPolicy,
    base: &Path,
    query: &str,
    each: &mut (dyn FnMut(&[u8]) + Send),
) -> Result<(), Obstacle> {
    let query = Sql::query(query);
    let answer = match target(policy, base) {
        Ok(Target::Postgres(server)) => database::references(&*server, policy, &query, each).await,
        Ok(Target::Sqlite(file)) => database::references(&file, policy, &query, each).await,
        Err(stop) => Err(stop),
    };
    answer.map_err(|stop| stop.unreferenced(policy))
}

/// Whether the policy's database can be told by the text of its URL alone: a sentence when it cannot, which never quotes
/// the URL.
pub fn unreadable_url(policy: &SessionPolicy) -> Option<String> {
    match &policy.database {
        Database::Unset { .. } => None,
        Database::Url(text) => database::check_url(text).err().map(|error| error.to_string()),
    }
}

/// Looks for everything that would make a sweep fail, wait or surprise. Empty is well.
pub async fn check(policy: &SessionPolicy, base: &Path, now: Moment) -> Vec<Finding> {
    examine(policy, base, now).await.findings
}

/// Looks at a policy's table as `config check` does: what is wrong with it, and how a sweep would go about it.
pub async fn examine(policy: &SessionPolicy, base: &Path, now: Moment) -> Examination {
    let clock = Clock::new(now.into());
    let examined = match target(policy, base) {
        Ok(Target::Postgres(server)) => database::examine(&*server, policy, &clock).await,
        Ok(Target::Sqlite(file)) => database::examine(&file, policy, &clock).await,
        Err(stop) => Err(stop),
    };
    examined.unwrap_or_else(|stop| Examination { findings: vec![stop.obstacle(policy).into()], facts: None })
}

async fn run(policy: &SessionPolicy, base: &Path, wall: Wall, job: Job, observer: &dyn Observer) -> PolicyReport {
    let ledger = match job {
        Job::Plan { .. } => Ledger::default(),
        Job::Apply { .. } => Ledger::within(&policy.brakes),
    };
    run_with(ledger, policy, base, wall, job, observer).await.0
}

async fn run_with(
    mut ledger: Ledger,
    policy: &SessionPolicy,
    base: &Path,
    wall: Wall,
    job: Job,
    observer: &dyn Observer,
) -> (PolicyReport, Option<RowPlace>) {
    let clock = Clock::new(wall);
    let result = match target(policy, base) {
        Ok(Target::Postgres(server)) => database::run(&*server, policy, &clock, job, observer, &mut ledger).await,
        Ok(Target::Sqlite(file)) => database::run(&file, policy, &clock, job, observer, &mut ledger).await,
        Err(stop) => Err(stop),
    };
    let place = ledger.place.take();
    (ledger.report(policy, result.map_err(|stop| stop.obstacle(policy))), place)
}
