//! Rows of other tables that go along, or are changed, are said before it happens: on SQLite as on PostgreSQL.

use std::path::Path;

use cleanup_core::policy::{Condition, Scalar, SessionPolicy, Test};
use cleanup_core::report::PolicyStatus;
use cleanup_pg_sessions::Strategy;

use crate::support::{Db, apply, apply_by, file_with, message, now, plan};

const SETUP: &str = "\
create table tutor_sessions (session_id text primary key, kind text, last_activity datetime);
create index at on tutor_sessions (last_activity);
create table tokens (n integer primary key, session text references tutor_sessions on delete cascade);
create table notes (session text references tutor_sessions (session_id) on delete set null);
create table kept (session text references tutor_sessions);
create index t on tokens (session); create index n on notes (session); create index k on kept (session);
insert into tutor_sessions select 'e' || value, iif(value > 6, 'web', 'app'), datetime('now', '-3 hours')
  from generate_series(1, 10);
insert into tutor_sessions values ('l1', 'web', datetime('now'));
insert into tokens (session) select 'e' || (1 + value % 10) from generate_series(1, 50);
insert into tokens (session) values ('l1'), (null);
insert into notes values ('e1'), ('e2'), ('l1'), (null); insert into kept values ('e2');";

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_says_how_many_rows_of_which_table_go_along() {
    let folder = tempfile::tempdir().unwrap();
    // `generate_series` is an extension of SQLite's shell.
    let series = |last: u32| {
        format!(
            "(with recursive s (value) as (select 1 union all select value + 1 from s where value < {last}) select value from s)"
        )
    };
    let setup = SETUP.replace("generate_series(1, 10)", &series(10)).replace("generate_series(1, 50)", &series(50));
    let (policy, connection) = file_with(folder.path(), &setup).await;
    drop(connection);

    let findings = cleanup_pg_sessions::check(&policy, Path::new("/"), now()).await;
    for said in [
        "when sessions are removed, rows of tokens that refer to them are removed with them (on delete cascade)",
        "when sessions are removed, rows of notes that refer to them are set to null with them (on delete set null)",
    ] {
        assert!(findings.iter().any(|finding| finding.sentence == said), "{findings:?}");
    }
    // The session that `kept` refers to stays, and so does what refers to it.
    let planned = plan(&policy).await;
    assert_eq!((planned.counts.due, planned.counts.kept.referenced), (9, 1), "{planned:?}");
    assert_eq!(
        message(&planned),
        "1 row of notes are set to null with them (on delete set null); 45 rows of tokens are removed with them (on \
         delete cascade)"
    );
    let asked = Condition { column: "kind".to_owned(), test: Test::OneOf(vec![Scalar::Text("web".to_owned())]) };
    let planned = plan(&SessionPolicy { conditions: vec![asked], ..policy.clone() }).await;
    assert_eq!(message(&planned), "20 rows of tokens are removed with them (on delete cascade)");

    let report = apply(&policy).await;
    assert_eq!((report.status, report.counts.removed), (PolicyStatus::Ok, 9), "{report:?}");
    assert_eq!(
        message(&report),
        "rows of notes that were set to null with them (on delete set null) were not counted; rows of tokens that \
         were removed with them (on delete cascade) were not counted"
    );
    assert_eq!(message(&plan(&policy).await), "");
}

/// A server counts what a transaction does to each table, so the report says what really went: with what is deferred, and
/// without what a trigger removes elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn the_report_of_a_run_says_what_went_along() {
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        let db = Db::shared().with_sessions(300, 5);
        db.sql(
            "create table answers (session text references tutor_sessions on delete cascade, n int);
             create index on answers (session);
             insert into answers select 'e' || 1 + n % 100, n from generate_series(1, 150) n;
             insert into answers values ('l1', 1), (null, 2);
             create table tokens (session text references tutor_sessions on delete set null deferrable initially deferred);
             create index on tokens (session); insert into tokens values ('e1'), ('l1'), (null);
             create table visits (session text references tutor_sessions on delete cascade);
             create index on visits (session); insert into visits values ('l2');
             create table hits (session text references tutor_sessions on delete cascade) partition by hash (session);
             create table hits0 partition of hits for values with (modulus 1, remainder 0);
             create index on hits (session); insert into hits values ('e2')",
        );
        let report = apply_by(strategy, &SessionPolicy { batch_size: 50, ..db.policy() }).await;
        assert_eq!((report.status, report.counts.removed), (PolicyStatus::Ok, 300), "{strategy:?} {report:?}");
        assert_eq!(
            message(&report),
            "150 rows of public.answers were removed with them (on delete cascade); rows of public.hits that were removed \
             with them (on delete cascade) were not counted; 1 row of public.tokens was set to null with them (on delete set null)",
            "{strategy:?}"
        );
        assert_eq!(db.sql("select count(*) from answers"), "2");
        // Nothing goes, so nothing goes along.
        assert_eq!(apply_by(strategy, &db.policy()).await.message, None);
    }
}
