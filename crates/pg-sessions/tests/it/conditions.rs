//! The key `where`: which rows a policy is about. Values are bound, and a row of which nobody can tell stays.

use std::path::Path;

use cleanup_core::policy::{Condition, Scalar, SessionPolicy, Test};
use cleanup_core::report::PolicyStatus;
use cleanup_pg_sessions::{Severity, Strategy};
use sqlx::Connection as _;

use crate::support::{Db, apply, apply_by, file_with, message, now, plan};

fn text(values: &[&str]) -> Vec<Scalar> {
    values.iter().map(|value| Scalar::Text((*value).to_owned())).collect()
}

fn asking<const N: usize>(policy: SessionPolicy, conditions: [(&str, Test); N]) -> SessionPolicy {
    let conditions = conditions.map(|(column, test)| Condition { column: column.to_owned(), test });
    SessionPolicy { conditions: conditions.into(), batch_size: 3, ..policy }
}

/// Rows that are all due: what is asked decides.
const ROWS: &str = "\
    ('a', 'done', null, 1, true), ('b', 'failed', null, 2, true), ('c', 'done', 7, 1, true), ('d', 'busy', null, 1, true),
    ('e', null, null, 1, true), ('f', 'done', null, null, false), ('g', 'DONE', null, 3, null), ('h', '', null, 3, false)";

fn cases() -> Vec<(Vec<(&'static str, Test)>, &'static str)> {
    let one = |values: &[&str]| Test::OneOf(text(values));
    let none = |values: &[&str]| Test::NoneOf(text(values));
    let numbers = |values: &[i64]| values.iter().copied().map(Scalar::Integer).collect::<Vec<_>>();
    vec![
        (vec![("status", one(&["done", "failed"]))], "a b c f"),
        (vec![("status", one(&["done", "failed"])), ("user_id", Test::Null(true))], "a b f"),
        (vec![("user_id", Test::Null(false))], "c"),
        (vec![("status", none(&["done"]))], "b d g h"),
        (vec![("status", none(&["done", "busy"])), ("n", Test::OneOf(numbers(&[3, 4])))], "g h"),
        (vec![("n", Test::NoneOf(numbers(&[1])))], "b g h"),
        (vec![("on", Test::OneOf(vec![Scalar::Boolean(false)]))], "f h"),
        (vec![("on", Test::NoneOf(vec![Scalar::Boolean(true)]))], "f h"),
        (vec![("status", one(&["'; drop table tutor_sessions--", "\"}{,\\", "do\u{8}ne", "%"]))], ""),
        (vec![("status", one(&[""]))], "h"),
        (
            vec![
                ("status", one(&["done"])),
                ("n", Test::OneOf(numbers(&[1]))),
                ("on", Test::OneOf(vec![Scalar::Boolean(true)])),
                ("user_id", Test::Null(true)),
            ],
            "a",
        ),
    ]
}

fn policy_of(policy: SessionPolicy, conditions: &[(&str, Test)]) -> SessionPolicy {
    let conditions =
        conditions.iter().map(|(column, test)| Condition { column: (*column).to_owned(), test: test.clone() });
    SessionPolicy { conditions: conditions.collect(), batch_size: 3, ..policy }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_rows_that_are_asked_for_go_and_nobody_counts_the_others() {
    for (conditions, expected) in cases() {
        for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
            let db = Db::shared();
            db.sql(&format!(
                "create table tutor_sessions (session_id text, status text, user_id int, n bigint, \"on\" boolean,
                   last_activity timestamptz default now() - interval '3 hours');
                 create index on tutor_sessions (last_activity);
                 create table archive (like tutor_sessions);
                 insert into tutor_sessions values {ROWS};
                 insert into tutor_sessions select session_id || ' live', status, user_id, n, \"on\", now() from tutor_sessions"
            ));
            let policy = policy_of(db.policy(), &conditions);
            let due = expected.split_whitespace().count() as u64;
            let planned = plan(&policy).await;
            let counts = (planned.counts.due, planned.counts.matched);
            assert_eq!((planned.status, counts), (PolicyStatus::Ok, (due, 2 * due)), "{conditions:?} {planned:?}");
            let stats = cleanup_pg_sessions::stats(&policy, Path::new("/"), now()).await.unwrap();
            assert_eq!((stats.expired_rows, stats.total_rows, stats.oldest.is_some()), (due, 2 * due, due > 0));
            let policy = SessionPolicy { archive_table: Some("archive".to_owned()), ..policy };
            let report = apply_by(strategy, &policy).await;
            assert_eq!((report.status, report.counts.removed), (PolicyStatus::Ok, due), "{conditions:?} {report:?}");
            let gone = db.sql("select coalesce(string_agg(session_id, ' ' order by session_id), '') from archive");
            assert_eq!((gone.as_str(), db.rows()), (expected, 16 - due), "{conditions:?} {strategy:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_holds_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    for (conditions, expected) in cases() {
        for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
            let setup = format!(
                "create table tutor_sessions (session_id text primary key, status text, user_id int, n bigint, \"on\" boolean,
                   last_activity datetime default '2020-01-01 00:00:00');
                 create index ix on tutor_sessions (last_activity);
                 insert into tutor_sessions (session_id, status, user_id, n, \"on\") values {ROWS};
                 create table archive as select * from tutor_sessions where false"
            );
            let (policy, mut file) = file_with(folder.path(), &setup).await;
            let policy = SessionPolicy { archive_table: Some("archive".to_owned()), ..policy_of(policy, &conditions) };
            let due = expected.split_whitespace().count() as u64;
            let planned = plan(&policy).await.counts;
            assert_eq!((planned.due, planned.matched), (due, due), "{conditions:?}");
            let report = apply_by(strategy, &policy).await;
            assert_eq!((report.status, report.counts.removed), (PolicyStatus::Ok, due), "{conditions:?} {report:?}");
            let gone: Vec<String> =
                sqlx::query_scalar("select session_id from archive order by 1").fetch_all(&mut file).await.unwrap();
            assert_eq!(gone.join(" "), expected, "{conditions:?} {strategy:?}");
            file.close().await.unwrap();
        }
    }
}

/// Keys, triggers and locks do not widen what a policy is about.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_holds_in_every_statement() {
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        for setup in [
            "create function quiet() returns trigger language plpgsql as $$ begin return null; end $$;
             create trigger quiet after delete on tutor_sessions for each row execute function quiet()",
            "create table answers (session varchar(36) references tutor_sessions); create index on answers (session);
             insert into answers values ('e9')",
            "create function refuse() returns trigger language plpgsql as $$
               begin if old.session_id = 'e8' then raise exception 'no'; end if; return old; end $$;
             create trigger refuse before delete on tutor_sessions for each row execute function refuse()",
        ] {
            let db = Db::shared().with_sessions(900, 5);
            db.sql(&format!(
                "update tutor_sessions set visual_language = 'keep' where session_id like 'e1__'; {setup}"
            ));
            let mut user = db.connect().await;
            let touch = "begin; update tutor_sessions set last_activity = now() where session_id in ('e7', 'e150')";
            sqlx::raw_sql(touch).execute(&mut user).await.unwrap();
            let policy = asking(db.policy(), [("visual_language", Test::NoneOf(text(&["keep"])))]);
            let report = apply_by(strategy, &SessionPolicy { batch_size: 50, ..policy }).await;
            let kept = u64::from(setup.contains("answers") || setup.contains("refuse"));
            assert_eq!(report.counts.removed, 799 - kept, "{strategy:?} {setup} {report:?}");
            assert_eq!(report.counts.kept.in_use, 1, "{strategy:?} {setup} {report:?}");
            sqlx::raw_sql("rollback").execute(&mut user).await.unwrap();
            assert_eq!(db.count("select count(*) from tutor_sessions where visual_language = 'keep'"), 100);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_is_refused() {
    let db = Db::shared();
    db.sql(
        "create extension citext; create type state as enum ('open', 'closed');
         create table tutor_sessions (session_id text, last_activity timestamptz, folded citext, state state, id uuid, n int, j json);
         insert into tutor_sessions values ('e', '2020-01-01', 'Keep', 'closed', '00000000-0000-0000-0000-00000000000a', 1, '{}')",
    );
    for (column, test, said) in [
        ("nope", Test::Null(true), "public.tutor_sessions has no column nope (where)"),
        (
            "folded",
            Test::NoneOf(text(&["keep"])),
            "public.tutor_sessions.folded is of type public.citext, but where can only compare text",
        ),
        ("j", Test::OneOf(text(&["{}"])), "public.tutor_sessions.j is of type json"),
        (
            "state",
            Test::NoneOf(text(&["opn"])),
            "where: public.tutor_sessions.state is never \"opn\"; its values are open, closed",
        ),
        (
            "id",
            Test::OneOf(text(&["x"])),
            "where: public.tutor_sessions.id is of type uuid, and a value does not match it",
        ),
        ("n", Test::OneOf(text(&["one"])), "where: public.tutor_sessions.n is of type integer"),
    ] {
        let policy = asking(db.policy(), [(column, test)]);
        let findings = cleanup_pg_sessions::check(&policy, Path::new("/"), now()).await;
        let found =
            findings.iter().any(|finding| finding.severity == Severity::Problem && finding.sentence.contains(said));
        assert!(found, "{findings:?}");
        let report = apply(&policy).await;
        assert_eq!((report.status, db.rows()), (PolicyStatus::Failed, 1), "{report:?}");
        assert!(message(&report).contains(said), "{report:?}");
    }
    let policy = asking(
        db.policy(),
        [
            ("state", Test::OneOf(text(&["closed"]))),
            ("id", Test::OneOf(text(&["00000000-0000-0000-0000-00000000000A"]))),
            ("j", Test::Null(false)),
            ("folded", Test::Null(false)),
        ],
    );
    assert_eq!(apply(&policy).await.counts.removed, 1);
}
