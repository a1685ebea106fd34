//! The application's own table: exactly what is idle for too long goes, by both ways, in every mode.

use std::path::Path;
use std::time::Duration;

use cleanup_core::moment::Moment;
use cleanup_core::policy::{Database, SessionPolicy};
use cleanup_core::report::{PolicyStatus, Skip};
use cleanup_pg_sessions::{Severity, Strategy};

use crate::support::{Db, TWO_HOURS, apply, apply_by, message, now, plan};

#[tokio::test(flavor = "multi_thread")]
async fn exactly_the_rows_idle_for_more_than_two_hours_go() {
    for (expired, live) in [(0, 0), (0, 40), (1, 0), (30, 5000), (3000, 40)] {
        let db = Db::shared().with_sessions(expired, live);
        let planned = plan(&db.policy()).await;
        assert_eq!((planned.counts.due, planned.counts.matched), (expired.into(), (expired + live).into()));
        assert_eq!((planned.counts.removed, db.rows()), (0, (expired + live).into()));

        let swept = apply(&db.policy()).await;
        assert_eq!((swept.status, swept.message.as_deref()), (PolicyStatus::Ok, None));
        assert_eq!((swept.counts.due, swept.counts.removed), (expired.into(), expired.into()), "{swept:?}");
        assert_eq!(
            db.sql("select count(*), count(*) filter (where session_id like 'l%') from tutor_sessions"),
            format!("{live}|{live}")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ways_take_the_same_rows() {
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        let db = Db::shared().with_sessions(2500, 700);
        let report = apply_by(strategy, &SessionPolicy { batch_size: 50, ..db.policy() }).await;
        assert_eq!((report.status, report.counts.removed, db.rows()), (PolicyStatus::Ok, 2500, 700), "{strategy:?}");
    }
}

/// In the off-hours two connections take half of a large table each; their books are added.
#[tokio::test(flavor = "multi_thread")]
async fn two_connections_share_a_large_table() {
    let db = Db::shared().with_sessions(9000, 9001);
    db.sql(
        "update tutor_sessions set visual_language = repeat(md5(session_id), 60); vacuum full analyze tutor_sessions",
    );
    assert!(db.count("select pg_relation_size('tutor_sessions')") > 16 << 20);
    db.sql("update tutor_sessions set visual_language = '' where session_id in ('e1', 'e9000')");
    let mut user = db.connect().await;
    let touch = "begin; update tutor_sessions set last_activity = now() where session_id in ('e2', 'e8999')";
    sqlx::Executor::execute(&mut user, touch).await.unwrap();
    let report = apply_by(Strategy::HeapOrder, &SessionPolicy { batch_size: 50, ..db.policy() }).await;
    assert_eq!(
        (report.status, report.counts.removed, report.counts.kept.in_use),
        (PolicyStatus::Ok, 8998, 2),
        "{report:?}"
    );
    assert_eq!(db.rows(), 9003);
}

#[tokio::test(flavor = "multi_thread")]
async fn null_infinity_and_future_stay_and_so_does_what_is_no_time() {
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        let db = Db::shared();
        db.sql(
            "create table tutor_sessions (session_id text primary key, last_activity timestamptz);
             create index on tutor_sessions (last_activity);
             insert into tutor_sessions values ('null', null), ('infinity', 'infinity'), ('old', '-infinity'),
               ('future', now() + interval '400 years'), ('bc', '0044-03-15 12:00:00+00 BC'),
               ('soon', now() + interval '1 minute'), ('young', now() - interval '119 minutes'),
               ('due', now() - interval '121 minutes'), ('due2', '2000-01-01 00:00:01+00')",
        );
        let planned = plan(&db.policy()).await;
        let kept = planned.counts.kept;
        assert_eq!((planned.counts.due, kept.future, kept.implausible, kept.within_limits), (2, 2, 3, 2));
        // One row a batch drives the watermark through every kind of stamp.
        let policy = SessionPolicy { batch_size: 1, ..db.policy() };
        let report = apply_by(strategy, &policy).await;
        assert_eq!((report.status, report.counts.removed), (PolicyStatus::Ok, 2), "{strategy:?} {report:?}");
        assert_eq!(report.counts.kept.implausible, 3, "{strategy:?} {report:?}");
        assert!(
            message(&report).contains("3 rows stay: their public.tutor_sessions.last_activity is an implausible time"),
            "{}",
            message(&report)
        );
        assert_eq!(
            db.sql("select string_agg(session_id, ' ' order by session_id) from tutor_sessions"),
            "bc future infinity null old soon young"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_rows_arrive_in_the_archive() {
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        let db = Db::shared().with_sessions(1200, 30);
        db.sql(
            "create schema old; create table old.archive (like tutor_sessions, archived_at timestamptz default now())",
        );
        let policy = SessionPolicy { archive_table: Some("old.archive".to_owned()), batch_size: 100, ..db.policy() };
        let report = apply_by(strategy, &policy).await;
        assert_eq!(
            (report.status, report.counts.removed, db.rows()),
            (PolicyStatus::Ok, 1200, 30),
            "{strategy:?} {:?}",
            report.message
        );
        assert_eq!(
            db.count("select count(*) from old.archive where archived_at is not null and session_id like 'e%'"),
            1200
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_an_archive_refuses_stays_and_is_not_named() {
    let db = Db::shared().with_sessions(10, 0);
    db.sql("create table archive (like tutor_sessions including all); insert into archive select * from tutor_sessions where session_id = 'e7'");
    let report = apply(&SessionPolicy { archive_table: Some("archive".to_owned()), ..db.policy() }).await;
    assert_eq!((report.status, report.counts.removed), (PolicyStatus::Partial, 9));
    assert_eq!((db.rows(), db.count("select count(*) from archive")), (1, 10));
    let error = &report.errors[0].error;
    assert!(error.contains("23505") && error.contains("archive_pkey") && !error.contains("e7"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_and_children_are_swept_each() {
    let db = Db::shared();
    db.sql(
        "create table tutor_sessions (session_id text, last_activity timestamptz not null) partition by range (last_activity);
         create table p_old partition of tutor_sessions for values from (minvalue) to (now() - interval '1 day');
         create table p_new partition of tutor_sessions default;
         create index on tutor_sessions (last_activity);
         create table parent (session_id text, last_activity timestamptz not null);
         create table child () inherits (parent);
         insert into tutor_sessions select 'o' || n, now() - interval '2 days' from generate_series(1, 300) n;
         insert into tutor_sessions select 'e' || n, now() - interval '3 hours' from generate_series(1, 20) n;
         insert into tutor_sessions select 'l' || n, now() from generate_series(1, 900) n;
         insert into parent select 'e' || n, now() - interval '3 hours' from generate_series(1, 5) n;
         insert into child select 'e' || n, now() - interval '3 hours' from generate_series(1, 6) n;
         insert into child select 'l' || n, now() from generate_series(1, 7) n; analyze",
    );
    assert_eq!(plan(&db.policy()).await.counts.due, 320);
    let report = apply(&db.policy()).await;
    assert_eq!((report.counts.removed, db.rows()), (320, 900), "{report:?}");
    let parent = db.policy_for("parent");
    assert_eq!((plan(&parent).await.counts.due, apply(&parent).await.counts.removed), (11, 11));
    assert_eq!(db.sql("select count(*) from parent"), "7");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_index_it_works_and_says_which_would_help() {
    let db = Db::shared().with_sessions(30, 2000);
    db.sql("drop index ix_last_activity");
    let findings = cleanup_pg_sessions::check(&db.policy(), Path::new("/"), now()).await;
    let advice = findings.iter().find(|finding| finding.sentence.contains("no index")).unwrap();
    assert_eq!(advice.severity, Severity::Advice);
    assert_eq!(
        advice.statement.as_deref(),
        Some(r#"create index concurrently on "public"."tutor_sessions" ("last_activity")"#)
    );
    assert_eq!((apply(&db.policy()).await.counts.removed, db.rows()), (30, 2000));
    db.add_sessions(30, 0);
    assert_eq!((apply_by(Strategy::IndexOrder, &db.policy()).await.counts.removed, db.rows()), (30, 2000));
}

#[tokio::test(flavor = "multi_thread")]
async fn stats_count_and_say_what_comes_next() {
    let db = Db::shared().with_sessions(7, 3);
    let stats = cleanup_pg_sessions::stats(&db.policy(), Path::new("/"), now()).await.unwrap();
    assert_eq!((stats.total_rows, stats.expired_rows, stats.estimated), (10, 7, false));
    let near = |moment: Option<Moment>, offset: Duration| {
        let (moment, wanted) = (moment.unwrap(), now().minus(offset));
        moment.since(wanted).or(wanted.since(moment)).unwrap() < Duration::from_secs(60)
    };
    assert!(near(stats.oldest, Duration::from_secs(3 * 3600 + 7)) && near(stats.newest, Duration::from_hours(1)));
    let due = stats.next_due_at.unwrap().minus(TWO_HOURS);
    assert!(near(Some(due), Duration::from_hours(1)));

    let empty = Db::shared().with_sessions(0, 0);
    let stats = cleanup_pg_sessions::stats(&empty.policy(), Path::new("/"), now()).await.unwrap();
    assert_eq!((stats.total_rows, stats.oldest, stats.next_due_at), (0, None, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_of_a_later_time_counts_what_will_be_due_by_then() {
    let db = Db::shared().with_sessions(7, 3);
    let later = cleanup_pg_sessions::plan_at(&db.policy(), Path::new("/"), now(), now().plus(TWO_HOURS)).await;
    assert_eq!((later.counts.due, later.counts.kept.within_limits, db.rows()), (10, 0, 10));
    let earlier = cleanup_pg_sessions::plan_at(&db.policy(), Path::new("/"), now(), now().minus(TWO_HOURS)).await;
    assert_eq!((earlier.counts.due, earlier.counts.kept.future), (0, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_database_the_policy_is_skipped_with_a_note() {
    let unset = Database::Unset { variable: "DATABASE_URL".to_owned() };
    let policy = SessionPolicy { database: unset, ..crate::support::policy("") };
    let report = apply(&policy).await;
    assert_eq!((report.status, report.skipped), (PolicyStatus::Skipped, Some(Skip::NoDatabase)));
    assert_eq!(message(&report), "No database for tutor sessions: DATABASE_URL is not set");
}

/// The engine runs policies side by side on tasks of their own.
#[test]
fn a_sweep_can_move_between_threads() {
    fn movable<T: Send>(_: &T) {}
    let policy = crate::support::policy("");
    movable(&cleanup_pg_sessions::sweep(&policy, Path::new("/"), cleanup_core::sweep::Mode::Apply, now(), &()));
}
