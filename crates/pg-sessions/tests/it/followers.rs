//! Rows of other tables that go along, or are changed, are said before it happens: on SQLite as on PostgreSQL.

use std::path::Path;

use cleanup_core::policy::{Condition, Scalar, SessionPolicy, Test};
use cleanup_core::report::PolicyStatus;

use crate::support::{apply, file_with, message, now, plan};

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
        "when sessions go, rows of tokens that refer to them go with them (on delete cascade)",
        "when sessions go, rows of notes that refer to them are set to null with them (on delete set null)",
    ] {
        assert!(findings.iter().any(|finding| finding.sentence == said), "{findings:?}");
    }
    // The session that `kept` refers to stays, and so does what refers to it.
    let planned = plan(&policy).await;
    assert_eq!((planned.counts.due, planned.counts.kept.referenced), (9, 1), "{planned:?}");
    assert_eq!(
        message(&planned),
        "1 row of notes are set to null with them (on delete set null); 45 rows of tokens go with them (on delete cascade)"
    );
    let asked = Condition { column: "kind".to_owned(), test: Test::OneOf(vec![Scalar::Text("web".to_owned())]) };
    let planned = plan(&SessionPolicy { conditions: vec![asked], ..policy.clone() }).await;
    assert_eq!(message(&planned), "20 rows of tokens go with them (on delete cascade)");

    let report = apply(&policy).await;
    assert_eq!((report.status, report.counts.removed), (PolicyStatus::Ok, 9), "{report:?}");
    assert_eq!(message(&plan(&policy).await), "");
}
