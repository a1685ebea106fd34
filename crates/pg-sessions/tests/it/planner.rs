//! What a sweep sets in motion (triggers, foreign keys that act, an archive's triggers) is planned as the application
//! plans it: none of our planner switches reaches it, and nothing is compiled. Under the switches a cascade of 200 rows
//! took 19 seconds instead of 0.06.

use cleanup_core::policy::SessionPolicy;
use cleanup_core::report::PolicyStatus;
use cleanup_pg_sessions::Strategy;

use crate::support::{Db, apply_by, plan};

/// A table of the application's own that its trigger reads, and what the trigger has seen: the switches, and the plan.
const WITNESS: &str = "\
create table lookup (n int primary key, word text); insert into lookup select n, 'w' from generate_series(1, 2000) n;
create table plain (n int); insert into plain select 1; analyze lookup; analyze plain;
create table seen (switches text, plan text);
create function witness() returns trigger language plpgsql as $$
declare first text; second text;
begin
  execute 'explain select * from lookup where n = 7' into first;
  execute 'explain select * from plain' into second;
  insert into seen values (
    (select string_agg(name || '=' || setting, ' ' order by name) from pg_settings
     where name in ('jit', 'enable_seqscan', 'enable_sort', 'enable_indexscan', 'enable_indexonlyscan', 'enable_bitmapscan')),
    split_part(first, '  (', 1) || ', ' || (case when second like '%cost=1%000000%' then 'as if it were dear: ' else '' end)
      || split_part(second, '  (', 1));
  return null;
end $$;
create function before_witness() returns trigger language plpgsql as $$
begin insert into seen values ('before', current_setting('enable_seqscan') || current_setting('enable_indexscan')); return old; end $$;";

const FREE: &str =
    "enable_bitmapscan=on enable_indexonlyscan=on enable_indexscan=on enable_seqscan=on enable_sort=on jit=off";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_sweep_sets_in_motion_sees_none_of_its_switches() {
    let on_sessions = "create trigger seen after delete on tutor_sessions";
    let child = "create table answers (session varchar(36)";
    for (what, setup) in [
        ("a trigger for each row", format!("{on_sessions} for each row execute function witness()")),
        ("a trigger for each statement", format!("{on_sessions} for each statement execute function witness()")),
        (
            "a statement's trigger before",
            "create trigger seen before delete on tutor_sessions for each statement execute function witness()".to_owned(),
        ),
        (
            "a trigger at the commit",
            "create constraint trigger seen after delete on tutor_sessions deferrable initially deferred
             for each row execute function witness()"
                .to_owned(),
        ),
        (
            "a cascade",
            format!(
                "{child} references tutor_sessions on delete cascade); create index on answers (session);
                 create trigger seen after delete on answers for each row execute function witness()"
            ),
        ),
        (
            "a cascade that is checked late",
            format!(
                "{child} references tutor_sessions on delete cascade deferrable initially deferred);
                 create index on answers (session);
                 create trigger seen after delete on answers for each row execute function witness()"
            ),
        ),
        (
            "set null",
            format!(
                "{child} references tutor_sessions on delete set null); create index on answers (session);
                 create trigger seen after update on answers for each row execute function witness()"
            ),
        ),
        (
            "set default",
            format!(
                "{child} default 'l1' references tutor_sessions on delete set default); create index on answers (session);
                 create trigger seen after update on answers for each row execute function witness()"
            ),
        ),
        (
            "a key that restricts, and a trigger",
            format!(
                "{child} references tutor_sessions); create index on answers (session);
                 {on_sessions} for each row execute function witness()"
            ),
        ),
        (
            "a key that restricts without an index, and a trigger",
            format!("{child} references tutor_sessions); {on_sessions} for each row execute function witness()"),
        ),
    ] {
        for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
            let db = Db::shared().with_sessions(120, 20);
            assert_eq!(db.sql("show jit"), "on", "the tests' cluster compiles as servers do by default");
            db.sql(&format!("{WITNESS} {setup}"));
            if setup.contains("answers") {
                let acts = setup.contains("on delete");
                let which =
                    if acts { "'e' || n from generate_series(1, 120) n" } else { "'l' || n from generate_series(1, 20) n" };
                db.sql(&format!("insert into answers select {which}; truncate seen; analyze answers"));
            }
            let report = apply_by(strategy, &SessionPolicy { batch_size: 50, ..db.policy() }).await;
            assert_eq!((report.status, report.counts.removed), (PolicyStatus::Ok, 120), "{what}, {strategy:?}: {report:?}");
            assert_eq!(db.rows(), 20, "{what}, {strategy:?}");
            assert_eq!(
                db.sql("select distinct switches, plan from seen"),
                format!("{FREE}|Index Scan using lookup_pkey on lookup, Seq Scan on plain"),
                "{what}, {strategy:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn triggers_of_partitions_and_of_an_archive_see_no_switches_either() {
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        let db = Db::shared();
        db.sql(&format!(
            "{WITNESS}
             create table tutor_sessions (session_id text, last_activity timestamptz not null) partition by hash (session_id);
             create table p0 partition of tutor_sessions for values with (modulus 2, remainder 0);
             create table p1 partition of tutor_sessions for values with (modulus 2, remainder 1);
             create index on tutor_sessions (last_activity);
             insert into tutor_sessions select 'e' || n, now() - interval '3 hours' from generate_series(1, 200) n;
             create trigger seen after delete on tutor_sessions for each row execute function witness(); analyze"
        ));
        let report = apply_by(strategy, &SessionPolicy { batch_size: 50, ..db.policy() }).await;
        assert_eq!((report.status, report.counts.removed), (PolicyStatus::Ok, 200), "{strategy:?}: {report:?}");
        assert_eq!(db.sql("select distinct switches from seen"), FREE, "{strategy:?}");

        let db = Db::shared().with_sessions(120, 20);
        db.sql(&format!(
            "{WITNESS} create table archive (like tutor_sessions) partition by hash (session_id);
             create table archived partition of archive for values with (modulus 1, remainder 0);
             create trigger seen after insert on archived for each row execute function witness()"
        ));
        let policy = SessionPolicy { archive_table: Some("archive".to_owned()), batch_size: 50, ..db.policy() };
        let report = apply_by(strategy, &policy).await;
        assert_eq!((report.status, report.counts.removed), (PolicyStatus::Ok, 120), "{strategy:?}: {report:?}");
        assert_eq!((db.count("select count(*) from archive"), db.rows()), (120, 20), "{strategy:?}");
        assert_eq!(db.sql("select distinct switches from seen"), FREE, "{strategy:?}");
    }
}

/// What the administrator has set is left alone; a batch that is taken apart is no exception.
#[tokio::test(flavor = "multi_thread")]
async fn switches_of_the_database_itself_stay_and_so_does_a_batch_taken_apart() {
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        let db = Db::shared().with_sessions(120, 20);
        db.sql(&format!(
            "{WITNESS} alter database {} set enable_bitmapscan = off;
             create trigger seen after delete on tutor_sessions for each row execute function witness();
             create function refuse() returns trigger language plpgsql as $$
               begin if old.session_id = 'e60' then raise exception 'no'; end if; return old; end $$;
             create trigger refuse before delete on tutor_sessions for each row execute function refuse()",
            db.name
        ));
        let report = apply_by(strategy, &SessionPolicy { batch_size: 50, ..db.policy() }).await;
        assert_eq!((report.status, report.counts.removed), (PolicyStatus::Partial, 119), "{strategy:?}: {report:?}");
        assert_eq!(
            db.sql("select distinct switches from seen"),
            FREE.replace("enable_bitmapscan=on", "enable_bitmapscan=off"),
            "{strategy:?}"
        );
    }
}

/// Rows that are picked first are locked from then on; those that somebody else has locked are passed by and counted.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_with_triggers_is_swept_around_the_rows_that_somebody_has_locked() {
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        let db = Db::shared().with_sessions(300, 20);
        db.sql(
            "create table answers (session varchar(36) references tutor_sessions on delete cascade);
             create index on answers (session); insert into answers select session_id from tutor_sessions",
        );
        let mut user = db.connect().await;
        let touch = "begin; update tutor_sessions set last_activity = now() where session_id in ('e1', 'e150', 'e300')";
        sqlx::raw_sql(touch).execute(&mut user).await.unwrap();
        let report = apply_by(strategy, &SessionPolicy { batch_size: 50, ..db.policy() }).await;
        assert_eq!((report.status, report.counts.removed), (PolicyStatus::Ok, 297), "{strategy:?}: {report:?}");
        assert_eq!((report.counts.kept.in_use, report.counts.due), (3, 300), "{strategy:?}: {report:?}");
        sqlx::raw_sql("commit").execute(&mut user).await.unwrap();
        assert_eq!((db.rows(), db.count("select count(*) from answers")), (23, 23));
        assert_eq!(plan(&db.policy()).await.counts.due, 0);
    }
}
