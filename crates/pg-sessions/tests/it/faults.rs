//! Databases that are away, die, stall or come back: skipped with a sentence, and what was committed stays counted.

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use cleanup_core::policy::{Database, SessionPolicy};
use cleanup_core::report::{PolicyReport, PolicyStatus, Skip};
use cleanup_pg_sessions::Strategy;
use cleanup_test_postgres::{Cluster, PASSWORD_ROLE};

use crate::support::{AfterBatch, Db, apply, apply_by, message, now, policy};

fn assert_away(report: &PolicyReport) {
    assert_eq!((report.status, report.skipped), (PolicyStatus::Skipped, Some(Skip::DatabaseAway)), "{report:?}");
    assert!(message(report).starts_with("Could not clean up tutor sessions: "), "{}", message(report));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_is_skipped_with_its_message() {
    let server = cleanup_test_postgres::shared().unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for url in [
        "postgresql:///app?host=/nowhere&user=ann".to_owned(),
        format!("postgresql://ann:hunter2@{closed}/app"),
        "postgresql://ann:hunter2@no-such-host.invalid/app".to_owned(),
        server.url("no_such_database"),
        server.url_as("no_such_role", "postgres"),
    ] {
        let report = apply(&policy(&url)).await;
        assert_away(&report);
        assert!(!format!("{report:?}").contains("hunter2"));
        assert!(cleanup_pg_sessions::stats(&policy(&url), Path::new("/"), now()).await.is_err());
        assert_eq!(cleanup_pg_sessions::check(&policy(&url), Path::new("/"), now()).await.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_black_hole_is_given_five_seconds() {
    // The kernel accepts for a listener that never does; nothing ever answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let began = Instant::now();
    let report = apply(&policy(&format!("postgresql://ann:hunter2@{}/app", silent.local_addr().unwrap()))).await;
    assert_away(&report);
    assert_eq!(message(&report), "Could not clean up tutor sessions: no response within 5 s");
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_skipped_and_a_right_one_works_and_neither_is_seen() {
    let cluster = Cluster::start().unwrap();
    let db = Db::on(cluster.server()).with_sessions(5, 5);
    db.sql(&format!(
        "set password_encryption = 'scram-sha-256'; create role {PASSWORD_ROLE} login password 'p@ss/hunter2';
         grant select, update, delete on tutor_sessions to {PASSWORD_ROLE}"
    ));
    let url = |password: &str| {
        let host = cluster.socket_dir().display();
        policy(&format!("postgresql+psycopg2://{PASSWORD_ROLE}:{password}@/{}?host={host}", db.name))
    };
    let report = apply(&url("hunter3")).await;
    assert_away(&report);
    assert!(message(&report).contains("password authentication failed"));

    let right = url("p%40ss%2Fhunter2");
    let report = apply(&right).await;
    assert_eq!((report.status, report.counts.removed), (PolicyStatus::Ok, 5), "{report:?}");
    assert!(!format!("{right:?} {report:?}").contains("hunter"));
    let title = std::fs::read_to_string("/proc/self/cmdline").unwrap();
    assert!(!title.contains("hunter"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_in_mid_sweep_and_started_again_loses_no_count() {
    let cluster = Cluster::start().unwrap();
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        let db = Db::on(cluster.server()).with_sessions(1000, 10);
        let policy = SessionPolicy { batch_size: 50, ..db.policy() };
        let kill = AfterBatch::new(|batch| {
            if batch == 2 {
                cluster.kill().unwrap();
            }
        });
        let first = cleanup_pg_sessions::sweep_by(strategy, &policy, Path::new("/"), now(), &kill).await;
        assert_away(&first);
        assert!(first.counts.removed > 0 && first.counts.removed < 1000, "{strategy:?}");
        assert_away(&apply(&policy).await);

        cluster.restart().unwrap();
        assert_eq!(db.rows(), 1010 - first.counts.removed, "{strategy:?}");
        let second = apply_by(strategy, &policy).await;
        assert_eq!(
            (second.status, first.counts.removed + second.counts.removed),
            (PolicyStatus::Ok, 1000),
            "{strategy:?}"
        );
        assert_eq!(db.rows(), 10);
    }
}

/// A trigger holds the sweep in the middle of a batch, at a known place.
const HOLD: &str = "\
create function hold() returns trigger language plpgsql as $$
  begin if old.session_id = 'e50' then perform pg_advisory_xact_lock(42); end if; return old; end $$;
create trigger hold before delete on tutor_sessions for each row execute function hold();";

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_is_terminated_counts_nothing_of_its_open_batch() {
    let db = Db::shared().with_sessions(100, 10);
    db.sql(HOLD);
    let mut holder = db.connect().await;
    sqlx::query("select pg_advisory_lock(42)").execute(&mut holder).await.unwrap();
    let patient = SessionPolicy {
        lock_timeout: Duration::from_secs(60),
        statement_timeout: Some(Duration::from_secs(120)),
        ..db.policy()
    };
    let sweep = tokio::spawn(async move { apply_by(Strategy::IndexOrder, &patient).await });
    tokio::task::block_in_place(|| db.wait_until_it_waits());
    db.sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'cleanup' and datname = current_database()");
    let report = sweep.await.unwrap();
    assert_away(&report);
    assert_eq!((report.counts.removed, report.counts.due, db.rows()), (0, 0, 110));
}

/// A frozen backend answers no timeout of its own: the deadline is ours.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_stalls_meets_our_deadline() {
    let db = Db::shared().with_sessions(100, 10);
    db.sql(HOLD);
    let mut holder = db.connect().await;
    sqlx::query("select pg_advisory_lock(42)").execute(&mut holder).await.unwrap();
    let policy = SessionPolicy {
        lock_timeout: Duration::from_secs(2),
        statement_timeout: Some(Duration::from_secs(4)),
        ..db.policy()
    };
    let sweep = tokio::spawn(async move { apply_by(Strategy::IndexOrder, &policy).await });
    tokio::task::block_in_place(|| db.wait_until_it_waits());
    let pid =
        db.sql("select pid from pg_stat_activity where application_name = 'cleanup' and datname = current_database()");
    let signal =
        |name: &str| assert!(std::process::Command::new("kill").args([name, &pid]).status().unwrap().success());
    signal("-STOP");
    let report = sweep.await.unwrap();
    signal("-CONT");
    assert_away(&report);
    assert!(message(&report).ends_with("the connection stalled"), "{}", message(&report));
    assert_eq!(report.counts.removed, 0);
    db.wait_until(
        "select not exists (select 1 from pg_stat_activity where application_name = 'cleanup' and datname = current_database())",
    );
    assert_eq!(db.rows(), 110);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_that_is_dropped_leaves_nothing_behind() {
    let db = Db::shared().with_sessions(100, 10);
    db.sql(HOLD);
    let mut holder = db.connect().await;
    sqlx::query("select pg_advisory_lock(42)").execute(&mut holder).await.unwrap();
    let policy = SessionPolicy { lock_timeout: Duration::from_secs(3), ..db.policy() };
    let sweep = tokio::spawn(async move { apply_by(Strategy::IndexOrder, &policy).await });
    tokio::task::block_in_place(|| db.wait_until_it_waits());
    sweep.abort();
    assert!(sweep.await.unwrap_err().is_cancelled());
    db.wait_until(
        "select not exists (select 1 from pg_stat_activity where application_name = 'cleanup' and datname = current_database())",
    );
    assert_eq!(db.rows(), 110);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_that_leads_nowhere_fails_without_being_quoted() {
    for url in ["mysql://ann:hunter2@db/app", "hunter2", "sqlite://"] {
        let broken = SessionPolicy { database: Database::Url(url.to_owned()), ..policy("") };
        let report = apply(&broken).await;
        assert_eq!(report.status, PolicyStatus::Failed);
        assert!(!format!("{broken:?} {report:?}").contains("hunter2"));
    }
}
