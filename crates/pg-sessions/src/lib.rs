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
//! The rooms: `table` turns names into SQL, `url` reads URLs, `pace` steers, `time` says what is a time, `obstacle` keeps the books, `postgres` and
//! `sqlite` do the work, [`demo`] makes a small database to show it on.

mod check;
pub mod demo;
mod obstacle;
mod pace;
mod parameter;
mod postgres;
mod sqlite;
mod table;
mod time;
mod url;

use std::path::Path;
use std::time::{Duration, Instant};

use cleanup_core::moment::Moment;
use cleanup_core::policy::{Database, RowStamp, SessionPolicy};
use cleanup_core::report::PolicyReport;
use cleanup_core::sweep::{Mode, Observer};

pub use self::check::{Finding, Severity};
pub use self::obstacle::Obstacle;
use self::obstacle::{Ledger, Stop, no_database};
use self::table::Sql;
use self::url::Target;

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
    /// Those that a sweep would take now.
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

/// This machine's clock at the beginning of a call. It is compared with the database's, which alone decides who is idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wall {
    now: Moment,
    heeded: bool,
}

impl Wall {
    /// The same when a person has looked (`--force`): a database whose clock differs much no longer holds a sweep back.
    #[must_use]
    pub fn unheeded(self) -> Self {
        Self { heeded: false, ..self }
    }
}

impl From<Moment> for Wall {
    fn from(now: Moment) -> Self {
        Self { now, heeded: true }
    }
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
    let stats = match target(policy, base)? {
        Target::Postgres(server) => postgres::stats(&server, policy, &clock).await,
        Target::Sqlite(file) => sqlite::stats(&file, policy, &clock).await,
    };
    stats.map_err(|stop| stop.obstacle(policy))
}

/// Asks the policy's database the operator's own query, in a transaction that can change nothing, and hands on the first
/// column of each row; an empty value is left out. Obstacles speak of what is referred to, not of rows to clean up.
pub async fn references(
    policy: &SessionPolicy,
    base: &Path,
    query: &str,
    each: &mut (dyn FnMut(&[u8]) + Send),
) -> Result<(), Obstacle> {
    let target = match &policy.database {
        Database::Unset { variable } => Err(obstacle::Stop::Away(format!("{variable} is not set"))),
        Database::Url(text) => url::parse(text, base).map_err(|error| Stop::Failed(error.to_string())),
    };
    let query = Sql::query(query);
    let answer = match target {
        Ok(Target::Postgres(server)) => postgres::references(&server, policy, &query, each).await,
        Ok(Target::Sqlite(file)) => sqlite::references(&file, policy, &query, each).await,
        Err(stop) => Err(stop),
    };
    answer.map_err(|stop| stop.unreferenced(policy))
}

/// Whether the policy's database can be told by the text of its URL alone: a sentence when it cannot, which never quotes
/// the URL.
pub fn unreadable_url(policy: &SessionPolicy) -> Option<String> {
    match &policy.database {
        Database::Unset { .. } => None,
        Database::Url(text) => url::check(text).err().map(|error| error.to_string()),
    }
}

/// Looks for everything that would make a sweep fail, wait or surprise, for `config check`. Empty is well.
pub async fn check(policy: &SessionPolicy, base: &Path, now: Moment) -> Vec<Finding> {
    let clock = Clock::new(now.into());
    let target = match target(policy, base) {
        Ok(target) => target,
        Err(obstacle) => return vec![obstacle.into()],
    };
    let findings = match target {
        Target::Postgres(server) => postgres::check(&server, policy, &clock).await,
        Target::Sqlite(file) => sqlite::check(&file, policy, &clock).await,
    };
    findings.unwrap_or_else(|stop| vec![stop.obstacle(policy).into()])
}

enum Job {
    /// Seconds from now.
    Plan {
        ahead: f64,
    },
    Apply {
        strategy: Option<Strategy>,
    },
}

async fn run(policy: &SessionPolicy, base: &Path, wall: Wall, job: Job, observer: &dyn Observer) -> PolicyReport {
    let clock = Clock::new(wall);
    let mut ledger = match job {
        Job::Plan { .. } => Ledger::default(),
        Job::Apply { .. } => Ledger::within(&policy.brakes),
    };
    let result = match target(policy, base) {
        Err(obstacle) => Err(obstacle),
        Ok(target) => {
            let books = &mut ledger;
            let result = match (target, job) {
                (Target::Postgres(server), Job::Plan { ahead }) => {
                    postgres::plan(&server, policy, &clock, ahead, books).await
                }
                (Target::Postgres(server), Job::Apply { strategy }) => {
                    postgres::sweep(&server, policy, &clock, strategy, observer, books).await
                }
                (Target::Sqlite(file), Job::Plan { ahead }) => sqlite::plan(&file, policy, &clock, ahead, books).await,
                (Target::Sqlite(file), Job::Apply { strategy }) => {
                    sqlite::sweep(&file, policy, &clock, strategy, observer, books).await
                }
            };
            result.map_err(|stop| stop.obstacle(policy))
        }
    };
    ledger.report(policy, result)
}

fn target(policy: &SessionPolicy, base: &Path) -> Result<Target, Obstacle> {
    match &policy.database {
        Database::Unset { variable } => Err(no_database(policy, variable)),
        Database::Url(text) => url::parse(text, base).map_err(|error| Stop::Failed(error.to_string()).obstacle(policy)),
    }
}

/// The longest idle time that can be told apart from "for ever": a cutoff must still be a date of both databases.
const LONGEST_IDLE: Duration = Duration::from_secs(1900 * 365 * 86_400);

/// The seconds by which the stamp of a row may lie back: the time that it may be idle, or the grace after its end.
fn idle_seconds(policy: &SessionPolicy) -> f64 {
    if let RowStamp::Expiry { grace, .. } = &policy.stamp {
        return (*grace).min(LONGEST_IDLE).as_secs_f64();
    }
    policy
        .rule
        .max_age
        .map_or(LONGEST_IDLE, cleanup_core::policy::MaxAge::get)
        .max(policy.rule.min_age)
        .min(LONGEST_IDLE)
        .as_secs_f64()
}

/// The caller's clock, which is compared with the database's and never used for anything else.
struct Clock {
    wall: Wall,
    since: Instant,
}

impl Clock {
    fn new(wall: Wall) -> Self {
        Self { wall, since: Instant::now() }
    }

    fn now(&self) -> Moment {
        self.wall.now.plus(self.since.elapsed())
    }

    fn is_heeded(&self) -> bool {
        self.wall.heeded
    }
}
