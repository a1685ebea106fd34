//! Partitions that come and go while they are swept: what was dropped is gone, what was detached is nobody's business
//! of ours, and the next one is swept all the same.

use std::path::Path;
use std::time::Duration;

use cleanup_core::policy::SessionPolicy;
use cleanup_core::report::{PolicyReport, PolicyStatus, Skip};
use cleanup_pg_sessions::{Strategy, sweep_by};

use crate::support::{AfterBatch, Db, apply, apply_by, message, now, plan};

/// Three partitions, the second one of two parts: 300 expired sessions in each leaf.
fn partitioned() -> Db<'static> {
    let db = Db::shared();
    db.sql(
        "create table tutor_sessions (place int, session_id text, last_activity timestamptz not null) partition by list (place);
         create table p1 partition of tutor_sessions for values in (1);
         create table p2 partition of tutor_sessions for values in (2, 3) partition by list (place);
         create table p2a partition of p2 for values in (2);
         create table p2b partition of p2 for values in (3);
         create table p3 partition of tutor_sessions for values in (4);
         create index on tutor_sessions (last_activity);
         insert into tutor_sessions select p, 'e' || n, now() - interval '3 hours' from generate_series(1, 4) p, generate_series(1, 300) n;
         insert into tutor_sessions select p, 'l' || n, now() from generate_series(1, 4) p, generate_series(1, 5) n; analyze",
    );
    db
}

/// Sweeps, and does something after the first batch, which is one of the first partition.
async fn swept(db: &Db<'_>, policy: &SessionPolicy, strategy: Strategy, meanwhile: &str) -> PolicyReport {
    let act = AfterBatch::new(|batch| {
        if batch == 0 {
            db.sql(meanwhile);
        }
    });
    sweep_by(strategy, &SessionPolicy { batch_size: 50, ..policy.clone() }, Path::new("/"), now(), &act).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_is_dropped_in_mid_sweep_is_gone_and_the_next_one_is_swept() {
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        for (dropped, named, least) in [
            ("p1", vec!["p1"], 900),
            ("p2a", vec!["p2a"], 900),
            ("p2", vec!["p2a", "p2b"], 600),
            ("p3", vec!["p3"], 900),
        ] {
            let db = partitioned();
            let report = swept(&db, &db.policy(), strategy, &format!("drop table {dropped}")).await;
            assert_eq!(report.status, PolicyStatus::Ok, "{strategy:?} {dropped}: {report:?}");
            assert!(report.counts.removed >= least, "{strategy:?} {dropped}: {report:?}");
            for name in named {
                let said = format!("the partition public.{name} was dropped during the sweep");
                assert!(message(&report).contains(&said), "{strategy:?} {dropped}: {report:?}");
            }
            assert_eq!(
                db.sql("select count(*) from tutor_sessions where session_id like 'e%'"),
                "0",
                "{strategy:?} {dropped}"
            );
        }
    }
}

/// Whoever detaches a partition means to keep it.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_is_detached_in_mid_sweep_keeps_what_it_has() {
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        for (parent, detached, named) in [
            ("tutor_sessions", "p1", "p1"),
            ("tutor_sessions", "p2", "p2b"),
            ("p2", "p2a", "p2a"),
            ("tutor_sessions", "p3", "p3"),
        ] {
            let db = partitioned();
            let meanwhile = format!(
                "alter table {parent} detach partition {detached}; create table rest as select count(*) from {detached}"
            );
            let report = swept(&db, &db.policy(), strategy, &meanwhile).await;
            assert_eq!(
                (report.status, report.errors_total),
                (PolicyStatus::Ok, 0),
                "{strategy:?} {detached}: {report:?}"
            );
            let said = format!("the partition public.{named} was detached during the sweep; what it still holds stays");
            assert!(message(&report).contains(&said), "{strategy:?} {detached}: {report:?}");
            assert_eq!(
                db.sql("select * from rest"),
                db.sql(&format!("select count(*) from {detached}")),
                "{strategy:?} {detached}"
            );
            assert_eq!(
                db.sql("select count(*) from tutor_sessions where session_id like 'e%'"),
                "0",
                "{strategy:?} {detached}"
            );
        }
    }
}

/// The same with an archive, a trigger that has rows picked first, and a child by inheritance.
#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_statement_leaves_a_detached_table_alone() {
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        for extra in [
            "create table archive (like tutor_sessions)",
            "create function nothing() returns trigger language plpgsql as $$ begin return null; end $$;
             create trigger t after delete on tutor_sessions for each row execute function nothing()",
        ] {
            let db = partitioned();
            db.sql(extra);
            let archive_table = extra.contains("archive").then(|| "archive".to_owned());
            let policy = SessionPolicy { archive_table, ..db.policy() };
            let meanwhile =
                "alter table tutor_sessions detach partition p1; alter table tutor_sessions detach partition p3;
                             create table rest as select (select count(*) from p1) + (select count(*) from p3)";
            let report = swept(&db, &policy, strategy, meanwhile).await;
            assert_eq!(report.status, PolicyStatus::Ok, "{strategy:?}: {report:?}");
            assert_eq!(
                db.sql("select * from rest"),
                db.sql("select (select count(*) from p1) + (select count(*) from p3)")
            );
        }
        let db = Db::shared();
        db.sql(
            "create table tutor_sessions (session_id text, last_activity timestamptz);
             create table child () inherits (tutor_sessions);
             insert into tutor_sessions select 'e' || n, now() - interval '3 hours' from generate_series(1, 200) n;
             insert into child select 'e' || n, now() - interval '3 hours' from generate_series(1, 200) n; analyze",
        );
        let report = swept(&db, &db.policy(), strategy, "alter table child no inherit tutor_sessions").await;
        assert_eq!((report.status, report.counts.removed), (PolicyStatus::Ok, 200), "{strategy:?}: {report:?}");
        assert_eq!(db.sql("select count(*) from child"), "200");
    }
}

/// The name is the same, the table is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_took_a_dropped_partitions_name_is_left_alone() {
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        let db = partitioned();
        let meanwhile =
            "drop table p3; create table p3 (place int, session_id text, last_activity timestamptz not null);
                         insert into p3 select 9, 'x' || n, '2020-01-01' from generate_series(1, 70) n";
        let report = swept(&db, &db.policy(), strategy, meanwhile).await;
        assert_eq!((report.status, report.counts.removed), (PolicyStatus::Ok, 900), "{strategy:?}: {report:?}");
        assert_eq!(db.sql("select count(*) from p3"), "70", "{strategy:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_is_attached_in_mid_sweep_is_the_next_runs() {
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        let db = partitioned();
        let meanwhile =
            "create table p4 (like tutor_sessions); alter table tutor_sessions attach partition p4 for values in (5);
                         insert into p4 select 5, 'e' || n, now() - interval '3 hours' from generate_series(1, 30) n";
        let report = swept(&db, &db.policy(), strategy, meanwhile).await;
        assert_eq!((report.status, report.message.as_deref()), (PolicyStatus::Ok, None), "{strategy:?}: {report:?}");
        assert_eq!(report.counts.removed, 1200, "{strategy:?}");
        assert_eq!(apply(&db.policy()).await.counts.removed, 30, "{strategy:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_dropped_in_mid_sweep_is_said_to_be_and_what_went_is_counted() {
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        let plain = Db::shared().with_sessions(300, 5);
        for db in [partitioned(), plain] {
            let report = swept(&db, &db.policy(), strategy, "drop table tutor_sessions").await;
            assert_eq!(
                (report.status, message(&report)),
                (
                    PolicyStatus::Failed,
                    "Cannot clean up tutor sessions: the table public.tutor_sessions was dropped while it was swept"
                ),
                "{strategy:?}: {report:?}"
            );
            assert!(report.counts.removed > 0, "{strategy:?}: {report:?}");
        }
    }
}

/// The same SQLSTATE, and nothing was dropped.
#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_names_a_missing_table_is_no_dropped_partition() {
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        let db = partitioned();
        db.sql(
            "create function lost() returns trigger language plpgsql as $$ begin insert into nowhere values (1); return null; end $$;
             create trigger lost after delete on tutor_sessions for each row execute function lost()",
        );
        let report = apply_by(strategy, &db.policy()).await;
        assert_eq!(report.status, PolicyStatus::Failed, "{strategy:?}: {report:?}");
        assert!(message(&report).contains(r#"relation "nowhere" does not exist"#), "{strategy:?}: {report:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_partition_does_not_keep_the_others_from_being_swept() {
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        let db = partitioned();
        let mut ddl = db.connect().await;
        sqlx::raw_sql("begin; lock table only p1 in share mode").execute(&mut ddl).await.unwrap();
        let report = apply_by(strategy, &db.policy()).await;
        assert_eq!(
            (report.status, report.skipped),
            (PolicyStatus::Skipped, Some(Skip::Busy)),
            "{strategy:?}: {report:?}"
        );
        assert_eq!(report.counts.removed, 900, "{strategy:?}: {report:?}");
    }
}

/// The catalog still lists it, and functions that are asked about it answer null.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_is_dropped_under_the_look_is_no_error() {
    for is_plan in [true, false] {
        let db = partitioned();
        let mut ddl = db.connect().await;
        sqlx::raw_sql("begin; drop table p3").execute(&mut ddl).await.unwrap();
        let policy = SessionPolicy { lock_timeout: Duration::from_secs(60), ..db.policy() };
        let run = tokio::spawn(async move { if is_plan { plan(&policy).await } else { apply(&policy).await } });
        tokio::task::block_in_place(|| db.wait_until_it_waits());
        sqlx::raw_sql("commit").execute(&mut ddl).await.unwrap();
        let report = run.await.unwrap();
        assert_eq!((report.status, report.counts.due), (PolicyStatus::Ok, 900), "{is_plan}: {report:?}");
    }
}
