//! What goes is in the archive, or it does not go; and what cannot work there is said before anything is tried.

use std::path::Path;

use cleanup_core::policy::SessionPolicy;
use cleanup_core::report::PolicyStatus;
use cleanup_pg_sessions::{Severity, Strategy};

use sqlx::Connection as _;

use crate::support::{Db, apply, apply_by, file_with, message, now, plan};

fn archived(db: &Db<'_>, archive: &str) -> SessionPolicy {
    SessionPolicy { archive_table: Some(archive.to_owned()), batch_size: 50, ..db.policy() }
}

/// What the check says that stands in the strategy, with the statement that helps.
async fn problems(policy: &SessionPolicy) -> Vec<String> {
    let findings = cleanup_pg_sessions::check(policy, Path::new("/"), now()).await;
    findings.iter().filter(|finding| finding.severity == Severity::Problem).map(ToString::to_string).collect()
}

const SKIPS: &str = "\
create function skip() returns trigger language plpgsql as $$
  begin if new.session_id in ('e7', 'e900') then return null; end if; return new; end $$;";

/// A trigger that keeps a row out, or one that puts it into another table, as before there were partitions.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_a_trigger_keeps_out_of_the_archive_stays() {
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        // Where something else is set in motion rows are picked first; where a key refers to rows nothing is steered.
        for setup in [
            "create table archive (like tutor_sessions); create trigger skip before insert on archive for each row execute function skip()",
            "create table archive (like tutor_sessions) partition by hash (session_id);
             create table archived partition of archive for values with (modulus 1, remainder 0);
             create trigger skip before insert on archived for each row execute function skip()",
            "create table archive (like tutor_sessions); create trigger skip before insert on archive for each row execute function skip();
             create table answers (session varchar(36) references tutor_sessions); create index on answers (session)",
        ] {
            let db = Db::shared().with_sessions(1000, 5);
            db.sql(&format!("{SKIPS} {setup}"));
            let report = apply_by(strategy, &archived(&db, "archive")).await;
            assert_eq!(report.status, PolicyStatus::Failed, "{strategy:?} {setup}: {report:?}");
            assert!(
                message(&report).contains("the archive_table takes ")
                    && message(&report).ends_with("the batch was rolled back, so all rows stay"),
                "{}",
                message(&report)
            );
            let lost = "select count(*) from generate_series(1, 1000) n
                where not exists (select 1 from tutor_sessions t where t.session_id = 'e' || n)
                  and not exists (select 1 from archive a where a.session_id = 'e' || n)";
            assert_eq!(db.count(lost), 0, "{strategy:?} {setup}");
            assert_eq!(report.counts.removed, db.count("select count(*) from archive"), "{strategy:?} {setup}");
            let stays = "select count(*) from tutor_sessions where session_id in ('e7', 'e900')";
            assert_eq!(db.count(stays), 2, "{strategy:?} {setup}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_on_the_archive_is_refused() {
    for action in ["do instead nothing", "do instead delete from other", "do also delete from other"] {
        let db = Db::shared().with_sessions(20, 5);
        db.sql(&format!(
            "create table archive (like tutor_sessions); create table other (n int); create rule r as on insert to archive {action}"
        ));
        let policy = archived(&db, "archive");
        let said = "the archive_table public.archive has a rule on insert, whose effect is unknown";
        assert_eq!(problems(&policy).await, [said], "{action}");
        for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
            let report = apply_by(strategy, &policy).await;
            assert_eq!((report.status, db.rows()), (PolicyStatus::Failed, 25), "{action}: {report:?}");
        }
        assert_eq!(plan(&policy).await.status, PolicyStatus::Failed, "{action}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_within_the_swept_tree_is_refused() {
    let db = Db::shared();
    db.sql(
        "create table tutor_sessions (session_id text, last_activity timestamptz not null) partition by list (session_id);
         create table listed partition of tutor_sessions for values in ('a', 'b') partition by list (session_id);
         create table deep partition of listed for values in ('a');
         create table parent (session_id text, last_activity timestamptz); create table child () inherits (parent);
         insert into tutor_sessions select 'a', now() - interval '3 hours' from generate_series(1, 4);
         insert into parent select 'a', now() - interval '3 hours' from generate_series(1, 4)",
    );
    let of = |table: &str, archive: &str| SessionPolicy { table: table.to_owned(), ..archived(&db, archive) };
    for (table, archive, why) in [
        ("tutor_sessions", "tutor_sessions", ": name another table"),
        (
            "tutor_sessions",
            "listed",
            ", because it is a partition or child of public.tutor_sessions and would itself be swept",
        ),
        (
            "tutor_sessions",
            "deep",
            ", because it is a partition or child of public.tutor_sessions and would itself be swept",
        ),
        ("parent", "child", ", because it is a partition or child of public.parent and would itself be swept"),
        ("deep", "tutor_sessions", ", because public.deep is a partition of it"),
        ("deep", "listed", ", because public.deep is a partition of it"),
    ] {
        let policy = of(table, archive);
        let said = problems(&policy).await.join("; ");
        assert!(said.starts_with(&format!("{archive} cannot be the archive_table{why}")), "{table} {archive}: {said}");
        assert_eq!(apply(&policy).await.status, PolicyStatus::Failed, "{table} {archive}");
    }
    // The rows of a parent are its own.
    let report = apply(&of("child", "parent")).await;
    assert_eq!(report.status, PolicyStatus::Ok, "{report:?}");
    assert_eq!((db.count("select count(*) from tutor_sessions"), db.count("select count(*) from parent")), (4, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_rows_out_of_an_archive_is_said_with_what_helps() {
    let db = Db::shared().with_sessions(20, 5);
    let role = format!("archivist_{}", db.name);
    db.sql(&format!(
        "create role {role} login; grant select, update, delete on tutor_sessions to {role};
         create table archive (like tutor_sessions)"
    ));
    let policy = SessionPolicy {
        archive_table: Some("archive".to_owned()),
        ..crate::support::policy(&db.server.url_as(&role, &db.name))
    };
    let grant = format!(r#"grant insert on "public"."archive" to "{role}""#);
    let said = format!("the role may not insert into the archive_table public.archive; run: {grant}");
    assert_eq!(problems(&policy).await, [said]);
    assert_eq!((apply(&policy).await.status, db.rows()), (PolicyStatus::Failed, 25));
    db.sql(&grant);
    assert!(problems(&policy).await.is_empty());

    db.sql("alter table archive enable row level security");
    let admit = format!(r#"create policy cleanup on "public"."archive" for insert to "{role}" with check (true)"#);
    let said = problems(&policy).await;
    assert_eq!(said.len(), 1);
    assert!(said[0].contains("no policy lets the role insert into it") && said[0].ends_with(&admit), "{said:?}");
    db.sql(&admit.replace("check (true)", "check (session_id <> 'e7')"));
    let findings = cleanup_pg_sessions::check(&policy, Path::new("/"), now()).await;
    assert!(findings.iter().any(|finding| finding.sentence.contains("row security applies to the archive_table")));

    // A policy has something against one row: that one stays, and the others go.
    let report = apply(&policy).await;
    assert_eq!((report.status, report.counts.removed), (PolicyStatus::Partial, 19), "{report:?}");
    assert_eq!(
        (db.sql("select session_id from tutor_sessions where session_id like 'e%'"), db.rows()),
        ("e7".to_owned(), 6)
    );
    assert_eq!(db.count("select count(*) from archive"), 19);
}

#[tokio::test(flavor = "multi_thread")]
async fn types_that_do_not_fit_are_seen_before_anything_is_tried() {
    let db = Db::shared().with_sessions(20, 5);
    db.sql(
        "create table archive (like tutor_sessions); alter table archive alter visual_language type int using 1;
         create table shorter (like tutor_sessions); alter table shorter alter session_id type varchar(2);
         create table other (like tutor_sessions); alter table other alter history type jsonb, alter session_id type text",
    );
    let said = problems(&archived(&db, "archive")).await;
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].starts_with(
            "the archive_table public.archive cannot take the rows: column \"visual_language\" is of type integer"
        ),
        "{said:?}"
    );
    assert_eq!((apply(&archived(&db, "archive")).await.status, db.rows()), (PolicyStatus::Failed, 25));

    // What fits for some rows takes those.
    let shorter = apply(&archived(&db, "shorter")).await;
    assert_eq!(
        (shorter.status, shorter.counts.removed, shorter.errors_total),
        (PolicyStatus::Partial, 9, 11),
        "{shorter:?}"
    );
    // What PostgreSQL converts is converted.
    assert!(problems(&archived(&db, "other")).await.is_empty());
    assert_eq!(apply(&archived(&db, "other")).await.counts.removed, 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_a_trigger_keeps_out_of_an_archive_in_a_file_stays() {
    let folder = tempfile::tempdir().unwrap();
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        let (policy, mut file) = file_with(
            folder.path(),
            "create table tutor_sessions (session_id text primary key, last_activity datetime);
             create index ix on tutor_sessions (last_activity);
             with recursive n(i) as (select 1 union all select i + 1 from n where i < 300)
             insert into tutor_sessions select 'e' || i, datetime('now', '-3 hours', '-' || i || ' seconds') from n;
             create table archive as select * from tutor_sessions where false;
             create trigger skip before insert on archive when new.session_id = 'e150' begin select raise(ignore); end",
        )
        .await;
        let policy = SessionPolicy { archive_table: Some("archive".to_owned()), batch_size: 50, ..policy };
        let report = apply_by(strategy, &policy).await;
        assert_eq!(report.status, PolicyStatus::Failed, "{strategy:?}: {report:?}");
        assert!(message(&report).contains("the archive_table takes "), "{strategy:?}: {report:?}");
        let lost = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 300)
            select count(*) from n where 'e' || i not in (select session_id from tutor_sessions)
              and 'e' || i not in (select session_id from archive)";
        assert_eq!(sqlx::query_scalar::<_, i64>(lost).fetch_one(&mut file).await.unwrap(), 0, "{strategy:?}");
        let archived: i64 = sqlx::query_scalar("select count(*) from archive").fetch_one(&mut file).await.unwrap();
        assert_eq!(report.counts.removed, u64::try_from(archived).unwrap(), "{strategy:?}");
        file.close().await.unwrap();
    }
}
