//! A trigger that puts back what goes: the run ends, and says so.

use std::time::Duration;

use cleanup_core::policy::SessionPolicy;
use cleanup_core::report::{PolicyReport, PolicyStatus};
use cleanup_pg_sessions::Strategy;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, SqliteConnection};

use crate::support::{Db, apply_by};

/// No run takes as long as this test would wait for one that goes round in circles.
async fn in_time(strategy: Strategy, policy: &SessionPolicy) -> PolicyReport {
    tokio::time::timeout(Duration::from_secs(120), apply_by(strategy, policy)).await.expect("the run never ends")
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_a_trigger_puts_back_are_tried_once_and_said() {
    let again = "create function again() returns trigger language plpgsql as $$
        begin insert into public.tutor_sessions select {what}; return null; end $$;";
    let immediate = "create trigger again after delete on tutor_sessions for each row execute function again()";
    let deferred = "create constraint trigger again after delete on tutor_sessions deferrable initially deferred
        for each row execute function again()";
    let moved = "old.session_id, old.visual_language, old.history, old.session_metadata, old.created_at,
        old.last_activity + interval '1 microsecond'";
    let key = "create table answers (session varchar(36) references tutor_sessions); create index on answers (session)";
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        for (trigger, what, more) in
            [(immediate, "old.*", ""), (immediate, "old.*", key), (deferred, "old.*", ""), (immediate, moved, "")]
        {
            let db = Db::shared().with_sessions(700, 5);
            db.sql(&format!(
                "update tutor_sessions set last_activity = '2020-01-01' where session_id like 'e%';
                 {} {trigger}; {more}",
                again.replace("{what}", what)
            ));
            let policy = SessionPolicy { batch_size: 50, ..db.policy() };
            let report = in_time(strategy, &policy).await;
            let what = format!("{strategy:?} {trigger} {what} {more}");
            assert_eq!((report.status, db.rows()), (PolicyStatus::Partial, 705), "{what}: {report:?}");
            assert_eq!((report.counts.removed, report.counts.due), (0, 700), "{what}: {report:?}");
            assert_eq!(report.errors[0].error, "700 expired rows stay: a trigger restores them", "{what}");
        }
    }
}

/// Some rows are put back, some go; and what a trigger adds that is not due is nobody's business.
#[tokio::test(flavor = "multi_thread")]
async fn only_the_rows_that_are_due_again_count_as_put_back() {
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        let db = Db::shared().with_sessions(700, 5);
        db.sql(
            "create function again() returns trigger language plpgsql as $$ begin
               if old.session_id like 'e1__' then insert into tutor_sessions select old.*;
               elsif old.session_id like 'e2__' then
                 insert into tutor_sessions (session_id, history) values ('gone ' || old.session_id, '[]');
               end if; return null; end $$;
             create trigger again after delete on tutor_sessions for each row execute function again()",
        );
        let report = in_time(strategy, &SessionPolicy { batch_size: 50, ..db.policy() }).await;
        assert_eq!((report.status, report.counts.removed), (PolicyStatus::Partial, 600), "{strategy:?}: {report:?}");
        assert_eq!(
            report.errors[0].error, "100 expired rows stay: a trigger restores them",
            "{strategy:?}: {report:?}"
        );
        assert_eq!((report.counts.due, db.rows()), (700, 205), "{strategy:?}: {report:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_holds_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    for key in ["text primary key", "integer primary key", "text primary key) without rowid; --"] {
        for (strategy, index) in
            [(Strategy::HeapOrder, false), (Strategy::IndexOrder, false), (Strategy::IndexOrder, true)]
        {
            for stamp in ["'2020-01-01 00:00:00'", "datetime('2020-01-01', i || ' seconds')"] {
                let file = folder.path().join("app.db");
                let _ = std::fs::remove_file(&file);
                let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true);
                let mut application = SqliteConnection::connect_with(&options).await.unwrap();
                let table = match key.split_once(')') {
                    Some((key, _)) => format!("(session_id {key}, last_activity datetime) without rowid"),
                    None => format!("(session_id {key}, last_activity datetime)"),
                };
                let index = if index { "create index ix on tutor_sessions (last_activity);" } else { "" };
                let setup = format!(
                    "create table tutor_sessions {table}; {index}
                     with recursive n(i) as (select 1 union all select i + 1 from n where i < 700)
                     insert into tutor_sessions select i, {stamp} from n;
                     create trigger again after delete on tutor_sessions when old.session_id % 7 > 0
                     begin insert into tutor_sessions values (old.session_id, old.last_activity); end"
                );
                sqlx::raw_sql(sqlx::AssertSqlSafe(setup)).execute(&mut application).await.unwrap();
                let policy = crate::support::policy(&format!("sqlite:///{}", file.display()));
                let report = in_time(strategy, &SessionPolicy { batch_size: 50, ..policy }).await;
                let what = format!("{key} {strategy:?} {index} {stamp}");
                assert_eq!((report.status, report.counts.due), (PolicyStatus::Partial, 700), "{what}: {report:?}");
                let left: i64 = sqlx::query_scalar("select count(*) from tutor_sessions")
                    .fetch_one(&mut application)
                    .await
                    .unwrap();
                assert_eq!(report.counts.removed, 700 - u64::try_from(left).unwrap(), "{what}: {report:?}");
                assert!(left >= 600, "{what}: {left}");
                assert!(report.errors[0].error.ends_with("stay: a trigger restores them"), "{what}: {report:?}");
                application.close().await.unwrap();
            }
        }
    }
}
