//! A database with a session table, a policy on it, and ways to wait for what a server reports.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cleanup_core::moment::Moment;
use cleanup_core::policy::{
    Archives, Brakes, Database, Effect, MaxAge, Pace, Partitions, Policy, RowStamp, SessionPolicy,
};
use cleanup_core::report::PolicyReport;
use cleanup_core::store::Seen;
use cleanup_core::sweep::{Mode, Observer};
use cleanup_pg_sessions::Strategy;
use cleanup_test_postgres::Server;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, SqliteConnection};

pub(crate) const TWO_HOURS: Duration = Duration::from_hours(2);

/// The application's own table.
pub(crate) const APPLICATION_TABLE: &str = "\
create table tutor_sessions (
  session_id varchar(36) primary key,
  visual_language text,
  history json,
  session_metadata json,
  created_at timestamptz not null default now(),
  last_activity timestamptz not null default now());
create index ix_created_at on tutor_sessions (created_at);
create index ix_last_activity on tutor_sessions (last_activity);";

/// A database of a test's own, on the shared server or on one that the test may break.
pub(crate) struct Db<'a> {
    pub(crate) server: &'a Server,
    pub(crate) name: String,
}

impl Db<'static> {
    pub(crate) fn shared() -> Self {
        Self::on(cleanup_test_postgres::shared().unwrap())
    }
}

impl<'a> Db<'a> {
    pub(crate) fn on(server: &'a Server) -> Self {
        Self { server, name: server.create_database().unwrap() }
    }

    /// A connection that plays the application.
    pub(crate) async fn connect(&self) -> sqlx::PgConnection {
        <sqlx::PgConnection as sqlx::Connection>::connect(&self.server.url(&self.name)).await.unwrap()
    }

    /// Runs statements, returns rows.
    pub(crate) fn sql(&self, sql: &str) -> String {
        self.server.psql(&self.name, sql).unwrap()
    }

    pub(crate) fn count(&self, sql: &str) -> u64 {
        self.sql(sql).parse().unwrap()
    }

    /// The application's table with `expired` and `live` rows, `e1`, `e2` …, `l1`, `l2` …; analysed.
    pub(crate) fn with_sessions(self, expired: u32, live: u32) -> Self {
        self.sql(APPLICATION_TABLE);
        self.add_sessions(expired, live);
        self
    }

    pub(crate) fn add_sessions(&self, expired: u32, live: u32) {
        self.sql(&format!(
            "insert into tutor_sessions (session_id, visual_language, history, last_activity)
             select 'e' || n, 'vl', '[]', now() - interval '3 hours' - n * interval '1 second'
             from generate_series(1, {expired}) n;
             insert into tutor_sessions (session_id, visual_language, history, last_activity)
             select 'l' || n, 'vl', '[]', now() - interval '1 hour' + n * interval '1 millisecond'
             from generate_series(1, {live}) n;
             analyze tutor_sessions;"
        ));
    }

    pub(crate) fn rows(&self) -> u64 {
        self.count("select count(*) from tutor_sessions")
    }

    pub(crate) fn policy(&self) -> SessionPolicy {
        policy(&self.server.url(&self.name))
    }

    /// The policy for another table with the application's columns.
    pub(crate) fn policy_for(&self, table: &str) -> SessionPolicy {
        SessionPolicy { table: table.to_owned(), ..self.policy() }
    }

    /// Waits until the query answers `t`.
    pub(crate) fn wait_until(&self, what: &str) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.sql(what) != "t" {
            assert!(Instant::now() < deadline, "never became true: {what}");
        }
    }

    /// Waits until a sweep's statement waits for a lock.
    pub(crate) fn wait_until_it_waits(&self) {
        self.wait_until(
            "select exists (select 1 from pg_stat_activity
             where application_name = 'cleanup' and datname = current_database() and wait_event_type = 'Lock')",
        );
    }
}

pub(crate) fn policy(url: &str) -> SessionPolicy {
    SessionPolicy {
        rule: Policy {
            name: "tutor-sessions".to_owned(),
            max_age: MaxAge::new(TWO_HOURS),
            min_age: Duration::ZERO,
            archives: Archives::Keep,
        },
        database: Database::Url(url.to_owned()),
        table: "tutor_sessions".to_owned(),
        id_column: "session_id".to_owned(),
        stamp: RowStamp::Activity(vec!["last_activity".to_owned()]),
        conditions: Vec::new(),
        activity_time_zone: None,
        time_format: None,
        batch_size: 500,
        lock_timeout: Duration::from_millis(200),
        statement_timeout: None,
        pace: Pace::OffHours,
        archive_table: None,
        partitions: Partitions::Delete,
        brakes: Brakes::default(),
        effect: Effect::Enforce,
        schedule: None,
        enabled: true,
    }
}

/// A file of a test's own, whatever its rows hold, with a connection that plays the application.
pub(crate) async fn file_with(folder: &Path, setup: &str) -> (SessionPolicy, SqliteConnection) {
    let file = folder.join("app.db");
    let _ = std::fs::remove_file(&file);
    let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(setup.to_owned())).execute(&mut connection).await.unwrap();
    (crate::support::policy(&format!("sqlite:///{}", file.display())), connection)
}

pub(crate) fn now() -> Moment {
    jiff::Timestamp::now().into()
}

pub(crate) async fn apply(policy: &SessionPolicy) -> PolicyReport {
    cleanup_pg_sessions::sweep(policy, Path::new("/"), Mode::Apply, now(), &()).await
}

pub(crate) async fn apply_by(strategy: Strategy, policy: &SessionPolicy) -> PolicyReport {
    cleanup_pg_sessions::sweep_by(strategy, policy, Path::new("/"), now(), &()).await
}

pub(crate) async fn plan(policy: &SessionPolicy) -> PolicyReport {
    cleanup_pg_sessions::sweep(policy, Path::new("/"), Mode::Plan, now(), &()).await
}

/// The message of a report that has one.
pub(crate) fn message(report: &PolicyReport) -> &str {
    report.message.as_deref().unwrap_or_default()
}

/// Does something after a committed batch, in the sweep's own task; told how many there were before.
pub(crate) struct AfterBatch<F: Fn(u64) + Sync> {
    batches: AtomicU64,
    act: F,
}

impl<F: Fn(u64) + Sync> AfterBatch<F> {
    pub(crate) fn new(act: F) -> Self {
        Self { batches: AtomicU64::new(0), act }
    }
}

impl<F: Fn(u64) + Sync> Observer for AfterBatch<F> {
    fn seen(&self, _: Seen) {
        (self.act)(self.batches.fetch_add(1, Ordering::SeqCst));
    }
}
