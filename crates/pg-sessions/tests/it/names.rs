//! Names from hell: quoted, looked up in the catalog first, and nothing else is ever executed.

use cleanup_core::policy::{RowStamp, SessionPolicy};
use cleanup_core::report::PolicyStatus;
use cleanup_pg_sessions::Strategy;

use crate::support::{Db, apply, apply_by, message, plan};

#[tokio::test(flavor = "multi_thread")]
async fn tables_with_names_from_hell_are_swept_and_nothing_else_happens() {
    let long = "l".repeat(63);
    for (written, name) in [
        ("x; drop table users--", "x; drop table users--"),
        (r#""a""b""#, r#"a"b"#),
        (r#"a"b"#, r#"a"b"#),
        ("t where true", "t where true"),
        ("MixedCase", "MixedCase"),
        (r#""with.dot""#, "with.dot"),
        ("{table}", "{table}"),
        ("$1", "$1"),
        ("select", "select"),
        ("größe 図'\\", "größe 図'\\"),
        (&long, &long),
    ] {
        let db = Db::shared();
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        db.sql(&format!(
            "create table users (n int); insert into users values (1);
             create table {quoted} ({quoted} text, \"last; activity--\" timestamptz);
             create index on {quoted} (\"last; activity--\");
             insert into {quoted} select n, now() - n * interval '1 hour' from generate_series(1, 5) n"
        ));
        let policy = SessionPolicy {
            id_column: quoted,
            stamp: RowStamp::Activity(vec!["last; activity--".to_owned()]),
            batch_size: 1,
            ..db.policy_for(written)
        };
        assert_eq!(plan(&policy).await.counts.due, 4, "{written}");
        let first = apply_by(Strategy::IndexOrder, &policy).await;
        assert_eq!((first.status, first.counts.removed), (PolicyStatus::Ok, 4), "{written}: {:?}", first.message);
        assert_eq!(apply_by(Strategy::HeapOrder, &policy).await.status, PolicyStatus::Ok);
        assert_eq!(db.sql("select count(*) from users"), "1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_no_table_fail_before_anything_is_executed() {
    let db = Db::shared().with_sessions(3, 3);
    let cut_short = "n".repeat(200);
    db.sql(&format!("create table {} (session_id text, last_activity timestamptz)", "n".repeat(63)));
    for name in [
        "nowhere",
        "public.tutor_sessions where true",
        "tutor_sessions; drop table tutor_sessions--",
        "nowhere.tutor_sessions",
        "TUTOR_SESSIONS",
        "a.b.c",
        "",
        "\"",
        "tutor\0sessions",
        &cut_short,
    ] {
        let report = apply(&db.policy_for(name)).await;
        assert_eq!((report.status, db.rows()), (PolicyStatus::Failed, 6), "{name}");
        assert!(message(&report).starts_with("Cannot clean up tutor sessions: "), "{}", message(&report));
    }
    let report = apply(&db.policy_for("TUTOR_SESSIONS")).await;
    assert!(message(&report).ends_with("tutor_sessions exists"), "{}", message(&report));
    let control = apply(&db.policy_for("a\u{1b}[31m\u{202e}b")).await;
    assert!(!message(&control).contains(['\u{1b}', '\u{202e}']), "{:?}", control.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_without_a_schema_means_what_the_role_sees_first() {
    let db = Db::shared().with_sessions(3, 3);
    db.sql(&format!(
        "create schema mine; create table mine.tutor_sessions (like public.tutor_sessions including all);
         insert into mine.tutor_sessions select * from public.tutor_sessions where session_id in ('e1', 'l1');
         alter database {} set search_path = mine, public",
        db.name
    ));
    assert_eq!(apply(&db.policy()).await.counts.removed, 1);
    assert_eq!(db.sql("select count(*) from public.tutor_sessions"), "6");
    assert_eq!(apply(&db.policy_for("public.tutor_sessions")).await.counts.removed, 3);
}
