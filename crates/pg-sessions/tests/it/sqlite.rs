//! The embedded twin: the same rows by the same rule, in a file that belongs to somebody else.

use std::path::Path;
use std::time::Duration;

use cleanup_core::policy::{Database, RowStamp, SessionPolicy};
use cleanup_core::report::{PolicyReport, PolicyStatus, Skip};
use cleanup_core::sweep::Mode;
use cleanup_pg_sessions::{Severity, Strategy, demo};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, Executor as _, SqliteConnection};
use tempfile::TempDir;

use crate::support::{apply, apply_by, message, now, plan};

/// A file of a test's own.
struct File {
    folder: TempDir,
    application: SqliteConnection,
}

impl File {
    async fn new(setup: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteConnectOptions::new().filename(folder.path().join("app.db")).create_if_missing(true);
        let mut application = SqliteConnection::connect_with(&options).await.unwrap();
        application.execute(setup).await.unwrap();
        Self { folder, application }
    }

    fn policy(&self) -> SessionPolicy {
        crate::support::policy(&format!("sqlite:///{}/app.db", self.folder.path().display()))
    }

    async fn sql(&mut self, sql: &'static str) {
        self.application.execute(sql).await.unwrap();
    }

    async fn left(&mut self) -> String {
        let ids = "select coalesce(group_concat(session_id, ' '), '') from (select session_id from tutor_sessions order by session_id)";
        sqlx::query_scalar(ids).fetch_one(&mut self.application).await.unwrap()
    }
}

const TEXT_ROWS: &str = "\
create table tutor_sessions (session_id varchar(36) primary key, last_activity datetime);
insert into tutor_sessions values
  ('due1', strftime('%Y-%m-%d %H:%M:%f', 'now', '-121 minutes') || '123'),
  ('due2', datetime('now', '-3 days')), ('distant', '0001-01-01 00:00:00.000000'),
  ('future', datetime('now', '+400 years')), ('null', null),
  ('young', strftime('%Y-%m-%d %H:%M:%f', 'now', '-119 minutes') || '123');";

const EPOCH_ROWS: &str = "\
create table tutor_sessions (session_id varchar(36) primary key, last_activity integer);
insert into tutor_sessions values
  ('due1', unixepoch() - 121 * 60), ('due2', unixepoch() - 3 * 86400 + 0.25), ('distant', 0),
  ('future', unixepoch() + 400 * 365 * 86400), ('null', null), ('young', unixepoch() - 119 * 60);";

#[tokio::test(flavor = "multi_thread")]
async fn both_forms_of_time_go_by_both_ways() {
    for rows in [TEXT_ROWS, EPOCH_ROWS] {
        for (strategy, index) in
            [(Strategy::IndexOrder, true), (Strategy::IndexOrder, false), (Strategy::HeapOrder, false)]
        {
            let mut file = File::new(rows).await;
            if index {
                file.sql("create index ix on tutor_sessions (last_activity)").await;
            }
            let planned = plan(&file.policy()).await;
            let kept = planned.counts.kept;
            assert_eq!(
                (planned.counts.due, kept.future, kept.implausible, kept.within_limits),
                (2, 0, 2, 2),
                "{planned:?}"
            );
            let report = apply_by(strategy, &SessionPolicy { batch_size: 1, ..file.policy() }).await;
            assert_eq!((report.status, report.counts.removed), (PolicyStatus::Ok, 2), "{report:?}");
            assert_eq!(report.counts.kept.implausible, 2, "{report:?}");
            let said = "2 rows stay: their main.tutor_sessions.last_activity is an implausible time";
            assert!(message(&report).contains(said), "{}", message(&report));
            assert_eq!(file.left().await, "distant future null young");
            let stats = cleanup_pg_sessions::stats(&file.policy(), Path::new("/"), now()).await.unwrap();
            assert_eq!((stats.total_rows, stats.expired_rows, stats.implausible_rows), (4, 0, 2));
            let next = stats.next_due_at.unwrap();
            let soon = next.since(now()).unwrap();
            assert!(soon <= Duration::from_secs(60) && soon > Duration::from_secs(30), "{soon:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_rows_go_in_many_batches() {
    for (strategy, index) in [(Strategy::IndexOrder, true), (Strategy::HeapOrder, false)] {
        let mut file = File::new(
            "create table tutor_sessions (session_id text primary key, last_activity datetime);
             with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000)
             insert into tutor_sessions select 's' || i, datetime('now', case i % 2 when 0 then '-3 hours' else '-1 hours' end) from n",
        )
        .await;
        if index {
            file.sql("create index ix on tutor_sessions (last_activity)").await;
        }
        let report = apply_by(strategy, &SessionPolicy { batch_size: 50, ..file.policy() }).await;
        assert_eq!((report.status, report.counts.removed), (PolicyStatus::Ok, 10_000), "{strategy:?} {report:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_mixes_forms_is_refused() {
    for row in [
        "insert into tutor_sessions values ('x', '2020-01-01T00:00')",
        "insert into tutor_sessions values ('x', '2020-13-01 00:00:00')",
        "insert into tutor_sessions values ('x', 1577836800)",
        "insert into tutor_sessions values ('x', 1577836800000)",
        "insert into tutor_sessions values ('x', 'yesterday')",
        "insert into tutor_sessions values ('x', x'00')",
    ] {
        let mut file = File::new(TEXT_ROWS).await;
        file.sql(row).await;
        let report = apply(&file.policy()).await;
        assert_eq!((report.status, report.counts.removed), (PolicyStatus::Failed, 0), "{row}");
        assert!(
            message(&report).contains("holds text such as 2026-01-02 03:04:05.678901 in 5 rows, numbers in "),
            "{}",
            message(&report)
        );
        assert_eq!(file.left().await, "distant due1 due2 future null x young");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_never_created_and_its_journal_mode_never_changed() {
    let folder = tempfile::tempdir().unwrap();
    let policy = crate::support::policy("sqlite:///missing.db");
    let report = cleanup_pg_sessions::sweep(&policy, folder.path(), Mode::Apply, now(), &()).await;
    assert_eq!((report.status, report.skipped), (PolicyStatus::Skipped, Some(Skip::DatabaseAway)));
    assert!(message(&report).starts_with("Could not clean up tutor sessions: there is no database file"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);

    for mode in ["delete", "wal"] {
        let mut file = File::new(TEXT_ROWS).await;
        file.sql(if mode == "wal" { "pragma journal_mode = wal" } else { "pragma journal_mode = delete" }).await;
        assert_eq!(apply(&file.policy()).await.counts.removed, 2);
        let now: String = sqlx::query_scalar("pragma journal_mode").fetch_one(&mut file.application).await.unwrap();
        assert_eq!(now, mode);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relative_file_is_relative_to_the_base() {
    let file = File::new(TEXT_ROWS).await;
    let policy = SessionPolicy { database: Database::Url("sqlite:///app.db".to_owned()), ..file.policy() };
    let report = cleanup_pg_sessions::sweep(&policy, file.folder.path(), Mode::Apply, now(), &()).await;
    assert_eq!(report.counts.removed, 2, "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_does_not_let_go_makes_it_busy() {
    let mut file = File::new(TEXT_ROWS).await;
    file.sql("begin immediate; update tutor_sessions set last_activity = datetime('now') where session_id = 'due1'")
        .await;
    let report = apply(&file.policy()).await;
    assert_eq!((report.status, report.skipped, report.counts.removed), (PolicyStatus::Skipped, Some(Skip::Busy), 0));
    file.sql("commit").await;
    assert_eq!(apply(&file.policy()).await.counts.removed, 1);
    assert_eq!(file.left().await, "distant due1 future null young");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_nodes_at_once_add_up() {
    let mut file = File::new(
        "create table tutor_sessions (session_id text primary key, last_activity datetime);
         create index ix on tutor_sessions (last_activity);
         with recursive n(i) as (select 1 union all select i + 1 from n where i < 5000)
         insert into tutor_sessions select 's' || i, datetime('now', '-3 hours') from n",
    )
    .await;
    let policy = SessionPolicy { batch_size: 50, lock_timeout: Duration::from_secs(20), ..file.policy() };
    let nodes: Vec<_> = (0..3)
        .map(|_| {
            let policy = policy.clone();
            tokio::spawn(async move { apply(&policy).await })
        })
        .collect();
    let mut sum = 0;
    for node in nodes {
        sum += node.await.unwrap().counts.removed;
    }
    assert_eq!((sum, file.left().await.as_str()), (5000, ""));
}

fn assert_failed(report: &PolicyReport, with: &str) {
    assert_eq!((report.status, report.counts.removed), (PolicyStatus::Failed, 0), "{report:?}");
    assert!(message(report).contains(with), "{}", message(report));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_swept_says_what_to_change() {
    let file = File::new(
        "create table tutor_sessions (session_id text primary key, last_activity datetime);
         create view a_view as select * from tutor_sessions;
         create table answers (session text references tutor_sessions on delete cascade);",
    )
    .await;
    let policy = file.policy();
    let with_table = |table: &str| SessionPolicy { table: table.to_owned(), ..policy.clone() };
    assert_failed(&apply(&with_table("nowhere")).await, "there is no table nowhere");
    assert_failed(&apply(&with_table("other.tutor_sessions")).await, "there is no table other.tutor_sessions");
    assert_failed(&apply(&with_table("a_view")).await, "a_view is a view");
    assert_failed(&apply(&with_table("sqlite_schema")).await, "sqlite_schema");
    assert_failed(&apply(&with_table("x; drop table tutor_sessions--")).await, "there is no table");
    assert_failed(
        &apply(&SessionPolicy { stamp: RowStamp::Activity(vec!["nope".to_owned()]), ..policy.clone() }).await,
        "no column nope (activity_column)",
    );
    assert_failed(
        &apply(&SessionPolicy { activity_time_zone: Some("Europe/Atlantis".to_owned()), ..policy.clone() }).await,
        "this machine does not know the zone in activity_time_zone",
    );
    assert_failed(&apply(&policy).await, r#"run: create index "ix_answers_session" on "answers" ("session")"#);
    std::fs::write(file.folder.path().join("text.db"), "no database at all, but some text that is long enough")
        .unwrap();
    let text = crate::support::policy(&format!("sqlite:///{}/text.db", file.folder.path().display()));
    assert_failed(&apply(&text).await, "SQLite code 26");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_triggers_and_archives_work_as_on_the_server() {
    let rows = "create table tutor_sessions (session_id text primary key, last_activity datetime);
         insert into tutor_sessions values ('a', '2020-01-01 00:00:00'), ('b', '2020-01-01 00:00:00'), ('c', '2020-01-01 00:00:01'),
           ('d', '2020-01-01 00:00:02'), ('live', datetime('now'));
         create table answers (session text references tutor_sessions on delete restrict);
         create index ix_answers on answers (session); insert into answers values ('b');
         create table archive as select *, null as archived_by from tutor_sessions where false;";
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        let mut file = File::new(rows).await;
        assert_eq!((plan(&file.policy()).await.counts.due, plan(&file.policy()).await.counts.kept.referenced), (3, 1));
        let archiving = SessionPolicy { archive_table: Some("archive".to_owned()), batch_size: 1, ..file.policy() };
        let report = apply_by(strategy, &archiving).await;
        assert_eq!(
            (report.status, report.counts.removed, report.counts.kept.referenced),
            (PolicyStatus::Ok, 3, 1),
            "{report:?}"
        );
        assert_eq!(file.left().await, "b live");
        let archived: i64 =
            sqlx::query_scalar("select count(*) from archive").fetch_one(&mut file.application).await.unwrap();
        assert_eq!(archived, 3);

        let mut file = File::new(rows).await;
        file.sql("create trigger keep before delete on tutor_sessions when old.session_id in ('a', 'c') begin select raise(ignore); end").await;
        let report = apply_by(strategy, &SessionPolicy { batch_size: 1, ..file.policy() }).await;
        assert_eq!(
            (report.status, report.counts.removed, report.errors_total),
            (PolicyStatus::Partial, 1, 2),
            "{report:?}"
        );
        assert_eq!(file.left().await, "a b c live");
    }
}

/// A file of 1,000 expired rows in the order of their ids, many with one and the same stamp, and five live ones.
async fn thousand(setup: &'static str) -> File {
    let mut file = File::new(
        "create table tutor_sessions (session_id text primary key, last_activity datetime);
         create index ix on tutor_sessions (last_activity);
         with recursive n(i) as (select 1 union all select i + 1 from n where i < 1000)
         insert into tutor_sessions select 'e' || i, case when i < 100 then '2020-01-01 00:00:00' else datetime('now', '-3 hours', '-' || i || ' seconds') end from n;
         insert into tutor_sessions values ('l1', datetime('now')), ('l2', datetime('now')), ('l3', datetime('now')), ('l4', datetime('now')), ('l5', datetime('now'))",
    )
    .await;
    file.sql(setup).await;
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_refused_are_passed_by_one_by_one_and_the_rest_goes() {
    for refuse in [
        "create trigger refuse before delete on tutor_sessions when old.session_id in ('e1', 'e2', 'e50', 'e777', 'e1000')
         begin select raise(abort, 'a secret session'); end",
        "create trigger refuse before delete on tutor_sessions when old.session_id in ('e1', 'e2', 'e50', 'e777', 'e1000')
         begin select raise(fail, 'a secret session'); end",
        "create trigger refuse before delete on tutor_sessions when old.session_id in ('e1', 'e2', 'e50', 'e777', 'e1000')
         begin select raise(rollback, 'a secret session'); end",
    ] {
        for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
            for batch_size in [1, 50, 5000] {
                let mut file = thousand(refuse).await;
                let report = apply_by(strategy, &SessionPolicy { batch_size, ..file.policy() }).await;
                assert_eq!((report.status, report.counts.removed), (PolicyStatus::Partial, 995), "{strategy:?} {report:?}");
                assert_eq!((report.errors_total, report.counts.due), (5, 1000), "{strategy:?} {report:?}");
                assert_eq!(
                    report.errors[0].error,
                    "5 expired rows stay: refused by the database (SQLite code 1811, a constraint or trigger)"
                );
                assert_eq!(file.left().await, "e1 e1000 e2 e50 e777 l1 l2 l3 l4 l5", "{strategy:?} {batch_size} {refuse}");
                assert!(!format!("{report:?}").contains("secret"));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_refuses_everything_ends_the_run_after_a_hundred_rows() {
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        let file =
            thousand("create trigger refuse before delete on tutor_sessions begin select raise(abort, 'no'); end")
                .await;
        let report = apply_by(strategy, &file.policy()).await;
        assert_eq!((report.status, report.counts.removed), (PolicyStatus::Partial, 0), "{strategy:?} {report:?}");
        assert_eq!(report.errors_total, 100, "{strategy:?} {report:?}");
        assert!(message(&report).starts_with("stopped after 100 rows that the database refuses to remove"));
    }
}

/// The key compares by the collation of our column, whatever the other table's is.
#[tokio::test(flavor = "multi_thread")]
async fn a_reference_is_found_as_the_foreign_key_finds_it() {
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        let mut file = File::new(
            "create table tutor_sessions (session_id text collate nocase primary key, last_activity datetime);
             insert into tutor_sessions values ('a', '2020-01-01 00:00:00'), ('b', '2020-01-01 00:00:00');
             create table answers (session text collate binary references tutor_sessions on delete restrict);
             create index ix_answers on answers (session); insert into answers values ('A');",
        )
        .await;
        let report = apply_by(strategy, &file.policy()).await;
        assert_eq!((report.status, report.counts.removed), (PolicyStatus::Ok, 1), "{strategy:?} {report:?}");
        assert_eq!((report.counts.kept.referenced, file.left().await.as_str()), (1, "a"), "{strategy:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_and_is_no_file_fails() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("folder.db")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(folder.path().join("pipe.db")).status().unwrap();
    assert!(made.success());
    for name in ["folder.db", "pipe.db"] {
        let policy = crate::support::policy(&format!("sqlite:///{}/{name}", folder.path().display()));
        assert_failed(&apply(&policy).await, "is not a database file but a folder, a pipe or a device");
        assert_failed(&plan(&policy).await, "is not a database file");
        assert!(cleanup_pg_sessions::stats(&policy, Path::new("/"), now()).await.is_err());
        let findings = cleanup_pg_sessions::check(&policy, Path::new("/"), now()).await;
        assert_eq!((findings.len(), findings[0].severity), (1, Severity::Problem));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_without_rowids_and_with_names_from_hell_are_swept() {
    let mut file = File::new(
        r#"create table "a""b; drop table t--" ("rowid" text, "oid" text, "_rowid_" text primary key, "last""activity" datetime) without rowid;
           insert into "a""b; drop table t--" values ('r', 'o', 'e', '2020-01-01 00:00:00'), ('r', 'o', 'l', datetime('now'));
           create table t (n)"#,
    )
    .await;
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        let policy = SessionPolicy {
            table: "a\"b; drop table t--".to_owned(),
            id_column: "_rowid_".to_owned(),
            stamp: RowStamp::Activity(vec!["last\"activity".to_owned()]),
            ..file.policy()
        };
        let report = apply_by(strategy, &policy).await;
        assert_eq!(
            (report.status, report.counts.removed),
            (PolicyStatus::Ok, u64::from(strategy == Strategy::IndexOrder)),
            "{report:?}"
        );
    }
    file.sql("select n from t").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_makes_a_database_that_a_sweep_understands() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("demo.db");
    let rows =
        [("old", Duration::from_hours(3)), ("older", Duration::from_hours(30)), ("young", Duration::from_secs(60))];
    demo::create(&path, &rows, now()).await.unwrap();
    assert!(demo::create(&path, &rows, now()).await.is_err());
    let policy = crate::support::policy("sqlite:///demo.db");
    let findings = cleanup_pg_sessions::check(&policy, folder.path(), now()).await;
    assert!(findings.iter().all(|finding| finding.severity == Severity::Advice), "{findings:?}");
    let report = cleanup_pg_sessions::sweep(&policy, folder.path(), Mode::Apply, now(), &()).await;
    assert_eq!((report.status, report.counts.removed, report.message), (PolicyStatus::Ok, 2, None));
}
