//! Rows that say themselves when they end, and rows whose last activity stands in one of several columns.

use std::path::Path;
use std::time::Duration;

use cleanup_core::policy::{RowStamp, SessionPolicy, TimeFormat};
use cleanup_core::report::PolicyStatus;
use cleanup_pg_sessions::{Severity, Strategy};
use sqlx::{Connection as _, SqliteConnection};

use crate::support::{Db, apply, apply_by, file_with, message, now, plan};

fn expiring(policy: SessionPolicy, column: &str, grace: Duration) -> SessionPolicy {
    let mut policy = SessionPolicy { stamp: RowStamp::Expiry { column: column.to_owned(), grace }, ..policy };
    policy.rule.max_age = None;
    policy
}

fn active(policy: SessionPolicy, columns: &[&str]) -> SessionPolicy {
    let columns = columns.iter().map(|column| (*column).to_owned()).collect();
    SessionPolicy { stamp: RowStamp::Activity(columns), ..policy }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_goes_when_its_end_lies_back_by_more_than_the_grace() {
    let zero = Duration::ZERO;
    let hour = Duration::from_hours(1);
    for (kind, value, format, zone) in [
        ("timestamptz", "now() + make_interval(mins => m)", None, None),
        ("timestamp", "(now() + make_interval(mins => m)) at time zone 'Asia/Kolkata'", None, Some("Asia/Kolkata")),
        ("integer", "extract(epoch from now()) + m * 60", None, None),
        ("bigint", "(extract(epoch from now()) + m * 60) * 1000", Some(TimeFormat::Milliseconds), None),
    ] {
        for (strategy, grace, left) in [
            (Strategy::IndexOrder, zero, 121),
            (Strategy::HeapOrder, zero, 121),
            (Strategy::IndexOrder, hour, 180),
            (Strategy::HeapOrder, hour, 180),
        ] {
            let db = Db::shared();
            // Never on the very limit.
            db.sql(&format!(
                "create table tutor_sessions (session_id text, ends {kind}); create index on tutor_sessions (ends);
                 insert into tutor_sessions select m, {value} from generate_series(-180, 120) m where m not in (0, -60);
                 insert into tutor_sessions values ('null', null)"
            ));
            let policy = expiring(SessionPolicy { time_format: format, batch_size: 20, ..db.policy() }, "ends", grace);
            let policy = SessionPolicy { activity_time_zone: zone.map(ToOwned::to_owned), ..policy };
            let planned = plan(&policy).await;
            assert_eq!(
                (planned.status, planned.counts.due),
                (PolicyStatus::Ok, 300 - left),
                "{kind} {grace:?} {planned:?}"
            );
            assert_eq!(planned.message, None, "ends lie ahead, of course: {planned:?}");
            let stats = cleanup_pg_sessions::stats(&policy, Path::new("/"), now()).await.unwrap();
            let next = stats.next_due_at.unwrap().since(now()).unwrap().as_secs();
            assert!((40..=61).contains(&next), "{kind} {grace:?} {next} {stats:?}");
            let report = apply_by(strategy, &policy).await;
            assert_eq!((report.status, report.counts.removed), (PolicyStatus::Ok, 300 - left), "{kind} {report:?}");
            assert_eq!(db.rows(), left, "{kind} {strategy:?} {grace:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_column_that_is_not_null_counts() {
    for (strategy, index) in [(Strategy::IndexOrder, false), (Strategy::IndexOrder, true), (Strategy::HeapOrder, false)]
    {
        let db = Db::shared();
        db.sql(
            "create table tutor_sessions (session_id text, \"used at\" timestamptz, created_at timestamptz);
             insert into tutor_sessions select 'e' || n, now() - interval '3 hours', now() from generate_series(1, 200) n;
             insert into tutor_sessions select 'c' || n, null, now() - interval '3 hours' from generate_series(1, 200) n;
             insert into tutor_sessions select 'l' || n, now(), now() - interval '3 hours' from generate_series(1, 50) n;
             insert into tutor_sessions values ('new', null, now()), ('never', null, null)",
        );
        let policy = active(SessionPolicy { batch_size: 50, ..db.policy() }, &["used at", "created_at"]);
        let findings = cleanup_pg_sessions::check(&policy, Path::new("/"), now()).await;
        let help = findings.iter().find_map(|finding| finding.statement.clone()).unwrap();
        assert_eq!(
            help,
            r#"create index concurrently on "public"."tutor_sessions" ((coalesce("used at", "created_at")))"#
        );
        if index {
            db.sql(&help);
            let findings = cleanup_pg_sessions::check(&policy, Path::new("/"), now()).await;
            assert!(!findings.iter().any(|finding| finding.sentence.contains("no index")), "{findings:?}");
        }
        let report = apply_by(strategy, &policy).await;
        assert_eq!((report.status, report.counts.removed), (PolicyStatus::Ok, 400), "{strategy:?} {index} {report:?}");
        assert_eq!(db.count("select count(*) from tutor_sessions where session_id ~ '^[ln]'"), 52);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_do_not_go_together_or_are_not_there_are_named() {
    let db = Db::shared();
    db.sql("create table tutor_sessions (session_id text, a timestamptz, b bigint)");
    for (policy, said) in [
        (
            active(db.policy(), &["a", "b"]),
            "the columns of public.tutor_sessions.coalesce(a, b) are of the types timestamp with time zone and bigint",
        ),
        (active(db.policy(), &["a", "c"]), "public.tutor_sessions has no column c (activity_column)"),
        (expiring(db.policy(), "c", Duration::ZERO), "public.tutor_sessions has no column c (expires_column)"),
    ] {
        let findings = cleanup_pg_sessions::check(&policy, Path::new("/"), now()).await;
        assert!(
            findings.iter().any(|finding| finding.severity == Severity::Problem && finding.sentence.contains(said)),
            "{findings:?}"
        );
        let report = apply(&policy).await;
        assert_eq!(report.status, PolicyStatus::Failed, "{report:?}");
        assert!(message(&report).contains(said), "{report:?}");
    }
}

async fn left(connection: &mut SqliteConnection) -> Vec<String> {
    sqlx::query_scalar("select session_id from tutor_sessions order by session_id").fetch_all(connection).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_holds_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        for (values, format) in [
            ("datetime('now', m || ' minutes')", None),
            ("unixepoch() + m * 60", None),
            ("(unixepoch() + m * 60) * 1000", Some(TimeFormat::Milliseconds)),
        ] {
            let setup = format!(
                "create table tutor_sessions (session_id text primary key, ends);
                 create index ix on tutor_sessions (ends);
                 insert into tutor_sessions select 's' || column1, {} from (values (-90), (-30), (-1), (1), (30));
                 insert into tutor_sessions values ('null', null)",
                values.replace("m ", "column1 ")
            );
            let (policy, mut file) = file_with(folder.path(), &setup).await;
            let policy = SessionPolicy { time_format: format, batch_size: 1, ..policy };
            let graceful = expiring(policy.clone(), "ends", Duration::from_hours(1));
            let report = apply_by(strategy, &graceful).await;
            assert_eq!((report.status, report.counts.removed, report.message), (PolicyStatus::Ok, 1, None), "{setup}");
            assert_eq!(left(&mut file).await, ["null", "s-1", "s-30", "s1", "s30"]);
            let report = apply_by(strategy, &expiring(policy, "ends", Duration::ZERO)).await;
            assert_eq!((report.status, report.counts.removed), (PolicyStatus::Ok, 2), "{report:?}");
            assert_eq!(left(&mut file).await, ["null", "s1", "s30"]);
            file.close().await.unwrap();
        }
        let (policy, mut file) = file_with(
            folder.path(),
            "create table tutor_sessions (session_id text primary key, used datetime, created datetime);
             insert into tutor_sessions values ('e', datetime('now', '-3 hours'), datetime('now')),
               ('c', null, datetime('now', '-3 hours')), ('l', datetime('now'), datetime('now', '-3 hours')), ('n', null, null)",
        )
        .await;
        let report = apply_by(strategy, &active(policy, &["used", "created"])).await;
        assert_eq!((report.status, report.counts.removed), (PolicyStatus::Ok, 2), "{report:?}");
        assert_eq!(left(&mut file).await, ["l", "n"]);
        file.close().await.unwrap();
    }
}
