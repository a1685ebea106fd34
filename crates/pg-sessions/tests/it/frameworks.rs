//! The session tables of frameworks as their documents and migrations make them: exactly the expired rows go, by the lines
//! that `docs/sessions.md` gives, and no table is altered.
//!
//! Each table is filled with rows whose ids say what is to become of them: `e…` is due and `l…` is not.

use std::path::Path;

use cleanup_core::config::{Config, Source};
use cleanup_core::policy::SessionPolicy;
use cleanup_core::report::PolicyStatus;
use cleanup_pg_sessions::{Severity, Strategy};
use cleanup_test_postgres::frameworks::{EMBEDDED, Framework, SERVER};
use sqlx::Connection as _;

use crate::support::{Db, apply_by, file_with, message, now, plan};

/// The policy as the configuration has it.
fn policy(framework: &Framework, url: &str) -> SessionPolicy {
    let text = format!("[sessions.app]\nurl = \"{url}\"\nbatch_size = 2\npace = \"off-hours\"\n{}\n", framework.lines);
    let source = Source { name: "cleanup.toml", text: &text, folder: Path::new("/") };
    Config::load(&source, &|_| None).unwrap_or_else(|error| panic!("{error}")).sessions.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_the_expired_sessions_of_a_framework_go() {
    for framework in SERVER {
        for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
            let name = framework.name;
            let db = Db::shared();
            let (schema, fill) = (framework.schema, framework.rows());
            db.sql(schema);
            let shape = "select string_agg(c.relname || a.attname || format_type(a.atttypid, a.atttypmod) || a.attnotnull, ' '
                           order by c.relname, a.attnum)
                         from pg_class c join pg_attribute a on a.attrelid = c.oid where c.relnamespace::regnamespace::text !~ '^pg_|^inf'";
            let before = db.sql(shape);
            db.sql(&fill);
            let policy = policy(framework, &db.server.url(&db.name));
            let findings = cleanup_pg_sessions::check(&policy, Path::new("/"), now()).await;
            let serious: Vec<_> = findings.iter().filter(|finding| finding.severity > Severity::Advice).collect();
            assert!(serious.is_empty(), "{name}: {serious:?}");
            let planned = plan(&policy).await;
            let counts = (planned.counts.due, planned.counts.matched, planned.counts.kept.implausible);
            assert_eq!((planned.status, counts), (PolicyStatus::Ok, (4, 7, 0)), "{name}: {planned:?}");
            let report = apply_by(strategy, &policy).await;
            assert_eq!(
                (report.status, report.counts.removed),
                (PolicyStatus::Ok, 4),
                "{name} {strategy:?}: {report:?}"
            );
            let attributes = "8 rows of public.spring_session_attributes were removed with them (on delete cascade)";
            let along = if name.starts_with("Spring") { attributes } else { "" };
            assert_eq!(message(&report), along, "{name} {strategy:?}");
            let (id, table) = (framework.id_column(), framework.table());
            let left = format!("select string_agg(trim(\"{id}\"), ' ' order by \"{id}\") from {table}");
            assert_eq!(db.sql(&left), "l1 l2 l3", "{name} {strategy:?}");
            if name.starts_with("Spring") {
                assert_eq!(db.sql("select count(*) from spring_session_attributes"), "6", "{name} {strategy:?}");
            }
            assert_eq!(db.sql(shape), before, "{name}: nothing is altered");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn so_they_do_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    for framework in EMBEDDED {
        for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
            let name = framework.name;
            let (_, mut file) = file_with(folder.path(), framework.schema).await;
            let shape = "select group_concat(sql) from sqlite_schema";
            let before: String = sqlx::query_scalar(shape).fetch_one(&mut file).await.unwrap();
            sqlx::raw_sql(sqlx::AssertSqlSafe(framework.rows())).execute(&mut file).await.unwrap();
            let policy = policy(framework, &format!("sqlite:///{}", folder.path().join("app.db").display()));
            let findings = cleanup_pg_sessions::check(&policy, Path::new("/"), now()).await;
            assert!(findings.iter().all(|finding| finding.severity == Severity::Advice), "{name}: {findings:?}");
            let planned = plan(&policy).await;
            assert_eq!((planned.counts.due, planned.counts.kept.implausible), (4, 0), "{name}: {planned:?}");
            let report = apply_by(strategy, &policy).await;
            assert_eq!(
                (report.status, report.counts.removed),
                (PolicyStatus::Ok, 4),
                "{name} {strategy:?}: {report:?}"
            );
            let attributes = "8 rows of public.spring_session_attributes were removed with them (on delete cascade)";
            let along = if name.starts_with("Spring") { attributes } else { "" };
            assert_eq!(message(&report), along, "{name} {strategy:?}");
            let (id, table) = (framework.id_column(), framework.table());
            let left = format!("select group_concat({id}, ' ') from (select {id} from {table} order by {id})");
            let left: String = sqlx::query_scalar(sqlx::AssertSqlSafe(left)).fetch_one(&mut file).await.unwrap();
            assert_eq!(left, "l1 l2 l3", "{name} {strategy:?}");
            let after: String = sqlx::query_scalar(shape).fetch_one(&mut file).await.unwrap();
            assert_eq!(after, before, "{name}: nothing is altered");
            file.close().await.unwrap();
        }
    }
}

/// The page gives the lines that are tested here.
#[test]
fn the_page_has_the_lines_of_every_framework() {
    let page = include_str!("../../../../docs/sessions.md");
    for framework in SERVER.iter().chain(EMBEDDED) {
        let block = format!("\n{}\n", framework.lines);
        let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(plain(page).contains(&plain(&block)), "{}: docs/sessions.md lacks\n{block}", framework.name);
    }
}
