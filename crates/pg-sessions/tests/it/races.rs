//! Users who come back, locks, and other nodes: no live session goes, nobody waits, no row is counted twice.

use std::time::{Duration, Instant};

use cleanup_core::policy::SessionPolicy;
use cleanup_core::report::{PolicyStatus, Skip};
use cleanup_core::store::Seen;
use cleanup_core::sweep::Observer;
use cleanup_pg_sessions::{Strategy, sweep_by};
use sqlx::{Connection as _, Executor as _};

use crate::support::{AfterBatch, Db, apply, apply_by, message, now};

/// Three expired sessions are touched in a transaction that stays open for as long as the sweep runs.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_are_being_touched_live_and_are_not_waited_for() {
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        let db = Db::shared().with_sessions(1000, 10);
        let mut user = db.connect().await;
        user.execute(
            "begin; update tutor_sessions set last_activity = now() where session_id in ('e1', 'e500', 'e1000')",
        )
        .await
        .unwrap();
        // The transaction is only committed after the sweep: had it waited, it would have failed.
        let policy = SessionPolicy { lock_timeout: Duration::from_secs(60), ..db.policy() };
        let began = Instant::now();
        let report = apply_by(strategy, &policy).await;
        assert!(began.elapsed() < Duration::from_secs(20), "{strategy:?} waited");
        user.execute("commit").await.unwrap();

        assert_eq!(
            (report.status, report.counts.removed),
            (PolicyStatus::Ok, 997),
            "{strategy:?} {:?}",
            report.message
        );
        assert_eq!((report.counts.kept.in_use, report.counts.due), (3, 1000));
        assert_eq!(db.rows(), 13);
        assert_eq!(
            db.sql(
                "select string_agg(session_id, ' ' order by session_id) from tutor_sessions where session_id like 'e%'"
            ),
            "e1 e1000 e500"
        );
    }
}

/// The range's `DELETE` waits for a touch, which is then committed: the statement looks at the new version of the row and
/// tests it again, because the test is in the statement. (Should the machine be so slow that it gave up waiting, the row
/// is passed by: the claim is the same.)
#[tokio::test(flavor = "multi_thread")]
async fn a_touch_that_commits_while_a_range_waits_for_it_wins() {
    let db = Db::shared().with_sessions(50, 0);
    let mut user = db.connect().await;
    let mut watch = db.connect().await;
    user.execute("begin; update tutor_sessions set last_activity = now() where session_id = 'e25'").await.unwrap();
    let policy = db.policy();
    let sweep = tokio::spawn(async move { apply_by(Strategy::HeapOrder, &policy).await });
    let waits = "select exists (select 1 from pg_locks l join pg_stat_activity a using (pid)
                 where not l.granted and a.application_name = 'cleanup' and a.datname = current_database())";
    while !sweep.is_finished() && !sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut watch).await.unwrap() {}
    user.execute("commit").await.unwrap();
    let report = sweep.await.unwrap();
    assert_eq!((report.status, report.counts.removed), (PolicyStatus::Ok, 49));
    assert_eq!(db.sql("select session_id from tutor_sessions"), "e25");
}

/// Sessions are touched as fast as one connection can while they expire: none that was touched may be gone.
#[tokio::test(flavor = "multi_thread")]
async fn no_committed_touch_is_ever_lost() {
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        let db = Db::shared().with_sessions(20_000, 0);
        let mut user = db.connect().await;
        let policy = SessionPolicy { batch_size: 50, ..db.policy() };
        let sweep = tokio::spawn(async move { apply_by(strategy, &policy).await });
        let mut saved = 0;
        let mut n = 0;
        while !sweep.is_finished() {
            n = (n + 7919) % 20_000;
            let touch =
                sqlx::query("update tutor_sessions set last_activity = now() where session_id = 'e' || $1::int");
            saved += touch.bind(n).execute(&mut user).await.unwrap().rows_affected();
        }
        let report = sweep.await.unwrap();
        assert_eq!(report.counts.removed + db.rows(), 20_000, "{strategy:?}");
        let touched = db.count("select count(*) from tutor_sessions where last_activity > now() - interval '1 hour'");
        assert!(touched <= saved && touched > 0, "{strategy:?}: {touched} of {saved} touches");
        assert_eq!(db.rows(), touched + report.counts.kept.in_use);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_locked_is_skipped_as_busy_and_never_queued_for() {
    let db = Db::shared().with_sessions(10, 10);
    let mut ddl = db.connect().await;
    ddl.execute("begin; lock table tutor_sessions in access exclusive mode").await.unwrap();
    let began = Instant::now();
    for report in [
        apply(&db.policy()).await,
        apply_by(Strategy::HeapOrder, &db.policy()).await,
        crate::support::plan(&db.policy()).await,
    ] {
        assert_eq!((report.status, report.skipped), (PolicyStatus::Skipped, Some(Skip::Busy)), "{:?}", report.message);
        assert!(message(&report).starts_with("Could not clean up tutor sessions: the table is locked"));
    }
    assert!(began.elapsed() < Duration::from_secs(30));
    ddl.execute("rollback").await.unwrap();
    assert_eq!(apply(&db.policy()).await.counts.removed, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_on_the_table_in_mid_sweep_leaves_what_was_done_counted() {
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        let db = Db::shared().with_sessions(1000, 10);
        let ddl = std::sync::Mutex::new(db.connect().await);
        let handle = tokio::runtime::Handle::current();
        let lock_it = |batch| {
            if batch == 1 {
                tokio::task::block_in_place(|| {
                    let mut ddl = ddl.lock().unwrap();
                    handle.block_on(ddl.execute("begin; lock table tutor_sessions in access exclusive mode")).unwrap();
                });
            }
        };
        let observer = AfterBatch::new(lock_it);
        let policy = SessionPolicy { batch_size: 50, ..db.policy() };
        let base = std::path::Path::new("/");
        let report = cleanup_pg_sessions::sweep_by(strategy, &policy, base, crate::support::now(), &observer).await;
        assert_eq!((report.status, report.skipped), (PolicyStatus::Skipped, Some(Skip::Busy)), "{strategy:?}");
        ddl.into_inner().unwrap().close().await.unwrap();
        assert!(report.counts.removed > 0 && report.counts.removed < 1000, "{strategy:?}");
        assert_eq!(report.counts.removed + db.rows(), 1010, "{strategy:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_nodes_at_once_add_up() {
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        let db = Db::shared().with_sessions(20_000, 100);
        let policy = SessionPolicy { batch_size: 50, ..db.policy() };
        let nodes: Vec<_> = (0..4)
            .map(|_| {
                let policy = policy.clone();
                tokio::spawn(async move { apply_by(strategy, &policy).await })
            })
            .collect();
        let mut sum = 0;
        let mut finished = 0;
        for node in nodes {
            let report = node.await.unwrap();
            match report.status {
                PolicyStatus::Ok => finished += 1,
                _ => assert_eq!(report.skipped, Some(Skip::AnotherNode), "{:?}", report.message),
            }
            sum += report.counts.removed;
        }
        assert!(finished >= 1, "{strategy:?}");
        assert_eq!((sum, db.rows()), (20_000, 100), "{strategy:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_another_node_holds_the_lock_the_policy_is_skipped() {
    let db = Db::shared().with_sessions(10, 10);
    let mut other = db.connect().await;
    other
        .execute("begin; select pg_advisory_xact_lock(hashtextextended('cleanup/public/tutor_sessions', 0))")
        .await
        .unwrap();
    let report = apply(&db.policy()).await;
    assert_eq!((report.status, report.skipped, db.rows()), (PolicyStatus::Skipped, Some(Skip::AnotherNode), 20));
    assert_eq!(message(&report), "Skipped: another node is already sweeping tutor sessions");
}

/// The user holds what the sweep's trigger wants and waits for a row that the sweep holds; only then the trigger may go on
/// to want it. The sweep closes the circle and looks for circles at once, the user after an hour: it is the sweep that loses.
#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_is_tried_again_and_then_done() {
    let db = Db::shared().with_sessions(2, 0);
    db.sql(&format!(
        "alter database {} set deadlock_timeout = '1ms';
         create table other (n int); insert into other values (1);
         create function touch() returns trigger language plpgsql as $$
           begin if old.session_id = 'e1' then perform pg_advisory_xact_lock(42); update other set n = n + 1; end if;
           return old; end $$;
         create trigger touch before delete on tutor_sessions for each row execute function touch()",
        db.name
    ));
    let mut gate = db.connect().await;
    gate.execute("select pg_advisory_lock(42)").await.unwrap();
    let mut user = db.connect().await;
    user.execute("set deadlock_timeout = '1h'; set application_name = 'user'; begin; update other set n = 0")
        .await
        .unwrap();
    let policy = SessionPolicy {
        lock_timeout: Duration::from_secs(60),
        statement_timeout: Some(Duration::from_secs(120)),
        ..db.policy()
    };
    let sweep = tokio::spawn(async move { apply_by(Strategy::IndexOrder, &policy).await });
    tokio::task::block_in_place(|| db.wait_until_it_waits());
    let user = tokio::spawn(async move {
        user.execute("update tutor_sessions set visual_language = 'x' where session_id = 'e2'; commit").await.unwrap();
    });
    tokio::task::block_in_place(|| {
        db.wait_until(
            "select exists (select 1 from pg_stat_activity
             where application_name = 'user' and datname = current_database() and wait_event_type = 'Lock')",
        );
    });
    gate.execute("select pg_advisory_unlock(42)").await.unwrap();
    user.await.unwrap();
    let report = sweep.await.unwrap();
    assert_eq!((report.status, report.counts.removed, db.rows()), (PolicyStatus::Ok, 2, 0), "{:?}", report.message);
    db.wait_until("select deadlocks = 1 from pg_stat_database where datname = current_database()");
}

/// Stops after the first batch.
struct StopsAfterOne(std::sync::atomic::AtomicBool);

impl Observer for StopsAfterOne {
    fn seen(&self, _: Seen) {
        self.0.store(true, std::sync::atomic::Ordering::SeqCst);
    }

    fn wants_to_stop(&self) -> bool {
        self.0.load(std::sync::atomic::Ordering::SeqCst)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_that_is_asked_to_stop_ends_after_the_batch_in_hand() {
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        let db = Db::shared().with_sessions(30_000, 1);
        let observer = StopsAfterOne(false.into());
        let report = sweep_by(strategy, &db.policy(), std::path::Path::new("/"), now(), &observer).await;
        let left: u64 = db.sql("select count(*) from tutor_sessions").parse().unwrap();
        assert_eq!(report.status, PolicyStatus::Partial, "{strategy:?}: {report:?}");
        assert!(report.counts.removed > 0 && left > 1, "{strategy:?}: {left} left");
        assert_eq!(report.counts.removed + left, 30_001, "{strategy:?}: what was committed is counted");
        assert!(message(&report).contains("stopped"), "{strategy:?}: {report:?}");
    }
}
