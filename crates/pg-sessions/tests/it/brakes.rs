//! Brakes within a run: how many rows may go, and how long it may take.

use std::time::Duration;

use cleanup_core::policy::{Brakes, SessionPolicy};
use cleanup_core::report::PolicyStatus;
use cleanup_pg_sessions::{RowPlace, Strategy};
use sqlx::Connection as _;

use crate::support::{Db, apply_by, file_with, message, now};

fn at_most(policy: SessionPolicy, most: u64) -> SessionPolicy {
    SessionPolicy { brakes: Brakes { max_removals: Some(most), ..Brakes::default() }, batch_size: 70, ..policy }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_rows_go_than_may_and_the_rest_goes_later() {
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        for setup in [
            "select 1",
            "create table answers (session varchar(36) references tutor_sessions on delete cascade); create index on answers (session)",
            "create table answers (session varchar(36) references tutor_sessions); create index on answers (session)",
            "create function refuse() returns trigger language plpgsql as $$
               begin if old.session_id in ('e1', 'e2', 'e900') then raise exception 'no'; end if; return old; end $$;
             create trigger refuse before delete on tutor_sessions for each row execute function refuse()",
        ] {
            let db = Db::shared().with_sessions(1000, 5);
            db.sql(setup);
            let refused = if setup.contains("refuse") { 3 } else { 0 };
            let policy = at_most(db.policy(), 400);
            let first = apply_by(strategy, &policy).await;
            assert_eq!((first.counts.removed, db.rows()), (400, 605), "{strategy:?} {setup} {first:?}");
            assert!(message(&first).contains("max_removals reached; "), "{strategy:?} {setup} {first:?}");
            let met = first.errors_total;
            assert_eq!(first.counts.kept.deferred, 600 - met, "{strategy:?} {setup} {first:?}");
            assert_eq!(
                first.status,
                if met > 0 { PolicyStatus::Partial } else { PolicyStatus::Ok },
                "{strategy:?} {setup}"
            );
            assert_eq!(apply_by(strategy, &policy).await.counts.removed, 400, "{strategy:?} {setup}");
            let last = apply_by(strategy, &policy).await;
            assert_eq!(
                (last.counts.removed, last.counts.kept.deferred),
                (200 - refused, 0),
                "{strategy:?} {setup} {last:?}"
            );
            assert!(!message(&last).contains("max_removals"), "{strategy:?} {setup} {last:?}");
        }
    }
    let db = Db::shared().with_sessions(10, 5);
    let none = apply_by(Strategy::HeapOrder, &at_most(db.policy(), 0)).await;
    assert_eq!((none.counts.removed, none.counts.kept.deferred, db.rows()), (0, 10, 15), "{none:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_share_one_number() {
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        let db = Db::shared();
        db.sql(
            "create table tutor_sessions (session_id text, last_activity timestamptz not null) partition by hash (session_id);
             create table p0 partition of tutor_sessions for values with (modulus 2, remainder 0);
             create table p1 partition of tutor_sessions for values with (modulus 2, remainder 1);
             create index on tutor_sessions (last_activity);
             insert into tutor_sessions select 'e' || n, now() - interval '3 hours' from generate_series(1, 200) n",
        );
        let report = apply_by(strategy, &at_most(db.policy(), 130)).await;
        assert_eq!(
            (report.counts.removed, report.counts.kept.deferred, db.rows()),
            (130, 70, 70),
            "{strategy:?} {report:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_takes_too_long_ends_and_the_next_one_goes_on() {
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        let db = Db::shared().with_sessions(400, 5);
        db.sql(
            "create function slow() returns trigger language plpgsql as $$ begin perform pg_sleep(0.002); return old; end $$;
             create trigger slow before delete on tutor_sessions for each row execute function slow()",
        );
        let brakes = Brakes { max_runtime: Some(Duration::from_millis(60)), ..Brakes::default() };
        let policy = SessionPolicy { brakes, batch_size: 1, ..db.policy() };
        let report = apply_by(strategy, &policy).await;
        assert_eq!(report.status, PolicyStatus::Partial, "{strategy:?} {report:?}");
        assert!(message(&report).contains("max_runtime = \"60ms\" reached; the next run does the rest"), "{report:?}");
        assert!(report.counts.removed > 0 && db.rows() > 5, "{strategy:?} {report:?}");
        let rest = apply_by(strategy, &db.policy()).await;
        assert_eq!((rest.status, db.rows()), (PolicyStatus::Ok, 5), "{strategy:?} {rest:?}");
    }
}

/// Each run has the time for one batch. From its beginning a run would never get to the end of what the first one cleared.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_goes_on_at_the_page_where_the_last_one_was_stopped() {
    let brakes = Brakes { max_runtime: Some(Duration::from_millis(1)), ..Brakes::default() };
    for partitions in ["", " partition by hash (session_id)"] {
        let db = Db::shared();
        db.sql(&format!(
            "create table tutor_sessions (session_id int, filler text, last_activity timestamptz){partitions}"
        ));
        if !partitions.is_empty() {
            db.sql(
                "create table p0 partition of tutor_sessions for values with (modulus 2, remainder 0);
                 create table p1 partition of tutor_sessions for values with (modulus 2, remainder 1)",
            );
        }
        db.sql(
            "insert into tutor_sessions select n, repeat('x', 700), now() - case n % 2 when 0 then interval '3 hours'
               else interval '1 minute' end from generate_series(1, 1000) n; analyze tutor_sessions",
        );
        let policy = SessionPolicy { brakes, batch_size: 50, ..db.policy() };
        let (mut place, mut removed) = (None, 0);
        for run in 0..40 {
            let (report, stopped) =
                cleanup_pg_sessions::sweep_from(place, &policy, std::path::Path::new("/"), now(), &()).await;
            removed += report.counts.removed;
            if stopped.is_none() {
                assert!(run > 2, "the time was not up: {report:?}");
            } else {
                assert_eq!(report.status, PolicyStatus::Partial, "{report:?}");
            }
            place = stopped;
            if db.rows() == 500 {
                break;
            }
        }
        assert_eq!((removed, db.rows()), (500, 500), "{place:?}");

        // What has become due before that place goes at the end of the same run.
        db.sql("update tutor_sessions set last_activity = now() - interval '3 hours' where session_id in (1, 999)");
        let last = place.or(Some(RowPlace { table: "public.tutor_sessions".to_owned(), page: 40 }));
        let (report, stopped) = cleanup_pg_sessions::sweep_from(
            last,
            &SessionPolicy { brakes: Brakes::default(), ..policy },
            std::path::Path::new("/"),
            now(),
            &(),
        )
        .await;
        assert_eq!((report.status, report.counts.removed, stopped), (PolicyStatus::Ok, 2, None), "{report:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_holds_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        let (policy, file) = file_with(
            folder.path(),
            "create table tutor_sessions (session_id text primary key, last_activity datetime);
             create index ix on tutor_sessions (last_activity);
             with recursive n(i) as (select 1 union all select i + 1 from n where i < 1000)
             insert into tutor_sessions select i, datetime('now', '-3 hours') from n",
        )
        .await;
        let policy = at_most(policy, 400);
        for (removed, deferred) in [(400, 600), (400, 200), (200, 0)] {
            let report = apply_by(strategy, &policy).await;
            assert_eq!(
                (report.counts.removed, report.counts.kept.deferred),
                (removed, deferred),
                "{strategy:?} {report:?}"
            );
        }
        file.close().await.unwrap();
    }
}
