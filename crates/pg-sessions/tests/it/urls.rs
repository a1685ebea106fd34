//! Where a URL leads: to the server, the database and the schema that it names, or nowhere.

use std::path::Path;

use cleanup_core::policy::{Database, SessionPolicy};
use cleanup_core::report::PolicyStatus;
use cleanup_pg_sessions::Strategy;
use cleanup_test_postgres::Cluster;

use crate::support::{Db, apply, apply_by, message, now, plan};

/// Two tables of one name: the role sees the one in `public`, the application the tenant's.
fn tenants() -> Db<'static> {
    let db = Db::shared().with_sessions(3, 3);
    db.sql(
        r#"create schema tenant1; create schema "Tenant-2";
         create table tenant1.tutor_sessions (like public.tutor_sessions including all);
         create table "Tenant-2".tutor_sessions (like public.tutor_sessions including all);
         insert into tenant1.tutor_sessions select * from public.tutor_sessions where session_id in ('e1', 'l1');
         insert into "Tenant-2".tutor_sessions select * from public.tutor_sessions where session_id in ('e1', 'e2', 'l1')"#,
    );
    db
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_of_a_url_is_where_tables_are_looked_for() {
    for (parameter, schema, due) in [
        ("schema=tenant1", "tenant1", 1),
        ("schema=Tenant-2", r#""Tenant-2""#, 2),
        ("search_path=tenant1", "tenant1", 1),
        ("options=-c%20search_path%3Dtenant1", "tenant1", 1),
        ("options=-csearch_path=tenant1", "tenant1", 1),
    ] {
        for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
            let db = tenants();
            db.sql(&format!(
                "create table {schema}.archive (like {schema}.tutor_sessions); create table {schema}.log (session text);
                 create function {schema}.note() returns trigger language plpgsql as $$
                   begin insert into log values (old.session_id); return null; end $$;
                 create trigger note after delete on {schema}.tutor_sessions for each row execute function {schema}.note()"
            ));
            let url = format!("{}&{parameter}", db.server.url(&db.name));
            let policy = SessionPolicy {
                database: Database::Url(url),
                archive_table: Some("archive".to_owned()),
                ..db.policy()
            };
            let stats = cleanup_pg_sessions::stats(&policy, Path::new("/"), now()).await.unwrap();
            assert_eq!((stats.expired_rows, plan(&policy).await.counts.due), (due, due), "{parameter}");
            let mut names = Vec::new();
            let query = "select session_id from tutor_sessions";
            let mut keep = |name: &[u8]| names.push(name.to_vec());
            cleanup_pg_sessions::references(&policy, Path::new("/"), query, &mut keep).await.unwrap();
            assert_eq!(names.len() as u64, due + 1, "{parameter}");

            let report = apply_by(strategy, &policy).await;
            assert_eq!(
                (report.status, report.counts.removed),
                (PolicyStatus::Ok, due),
                "{parameter} {strategy:?}: {report:?}"
            );
            assert_eq!((db.rows(), db.count(&format!("select count(*) from {schema}.tutor_sessions"))), (6, 1));
            assert_eq!(
                db.count(&format!("select count(*) from {schema}.archive join {schema}.log on session = session_id")),
                due
            );

            // What the policy says itself counts more.
            let elsewhere = SessionPolicy { table: "public.tutor_sessions".to_owned(), archive_table: None, ..policy };
            assert_eq!((apply(&elsewhere).await.counts.removed, db.rows()), (3, 3), "{parameter}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_is_not_there_is_no_other_schemas_table() {
    let db = tenants();
    let url = format!("{}&schema=tenant3", db.server.url(&db.name));
    let report = apply(&crate::support::policy(&url)).await;
    assert_eq!((report.status, db.rows()), (PolicyStatus::Failed, 6), "{report:?}");
    assert!(message(&report).contains("there is no table tutor_sessions"), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_followed_is_refused_by_name_before_anything_is_asked() {
    let db = tenants();
    for (parameter, said) in [
        ("service=replica", "the parameter `service` of url is not supported"),
        ("schema=a,b", r#"write it into the policy instead: table = "tenant1.sessions""#),
        ("passfile=/x", "the parameter `passfile` of url is not supported"),
    ] {
        let policy = crate::support::policy(&format!("{}&{parameter}", db.server.url(&db.name)));
        let report = apply(&policy).await;
        assert_eq!((report.status, db.rows()), (PolicyStatus::Failed, 6), "{report:?}");
        assert!(message(&report).contains(said), "{report:?}");
        assert!(cleanup_pg_sessions::unreadable_url(&policy).unwrap().contains(said));
    }
    assert_eq!(cleanup_pg_sessions::unreadable_url(&db.policy()), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_on_an_ipv6_address_is_reached() {
    let cluster = Cluster::start_on_ipv6_loopback().unwrap();
    let port = cluster.server().port();
    for address in
        [format!("@[::1]:{port}/"), format!("@[0:0:0:0:0:0:0:1]:{port}/"), format!("@/?host=::1&port={port}&dbname=")]
    {
        let db = Db::on(cluster.server()).with_sessions(3, 1);
        let url = match address.strip_suffix("dbname=") {
            Some(address) => format!("postgresql://postgres{address}dbname={}", db.name),
            None => format!("postgresql://postgres{address}{}", db.name),
        };
        let report = apply(&crate::support::policy(&url)).await;
        assert_eq!((report.status, report.counts.removed), (PolicyStatus::Ok, 3), "{url}: {report:?}");
    }
    let db = Db::on(cluster.server()).with_sessions(3, 1);
    let url = format!("postgresql://postgres@nowhere.invalid:{port}/{}?hostaddr=::1", db.name);
    assert_eq!(apply(&crate::support::policy(&url)).await.counts.removed, 3);
}
