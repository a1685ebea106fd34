//! `partitions = "drop"`: a partition whose rows are all due goes as a whole, when that means the same as deleting each of
//! them and nobody has to wait for it.

use std::time::{Duration, Instant};

use cleanup_core::policy::{Brakes, Condition, Partitions, Scalar, SessionPolicy, Test};
use cleanup_core::report::PolicyStatus;
use cleanup_pg_sessions::Severity;

use crate::support::{Db, apply, message, now, plan};

/// Three old days with 100 rows each, one of two parts, the days in use, and what belongs nowhere else.
fn by_day() -> Db<'static> {
    let db = Db::shared();
    db.sql(
        "create table tutor_sessions (session_id text, kind text default 'web', last_activity timestamptz not null)
           partition by range (last_activity);
         select format('create table day%s partition of tutor_sessions for values from (%L) to (%L)%s', n,
           date_trunc('day', now()) - (n + 3) * interval '1 day', date_trunc('day', now()) - (n + 2) * interval '1 day',
           case n when 3 then ' partition by range (last_activity)' end) from generate_series(1, 3) n \\gexec
         select format('create table day3%s partition of day3 for values from (%L) to (%L)', part,
           date_trunc('day', now()) - interval '6 days' + n * interval '12 hours',
           date_trunc('day', now()) - interval '6 days' + (n + 1) * interval '12 hours')
           from (values ('a', 0), ('b', 1)) p (part, n) \\gexec
         create table live partition of tutor_sessions
           for values from (date_trunc('day', now()) - interval '2 days') to (now() + interval '9 days');
         create table other partition of tutor_sessions default;
         create index on tutor_sessions (last_activity);
         insert into tutor_sessions select 'e' || d || '-' || n, 'web',
           date_trunc('day', now()) - (d + 3) * interval '1 day' + n * interval '14 minutes'
           from generate_series(1, 3) d, generate_series(1, 100) n;
         insert into tutor_sessions select 'o' || n, 'web', now() - interval '60 days' from generate_series(1, 7) n;
         insert into tutor_sessions select 'y' || n, 'web', now() - interval '1 day' from generate_series(1, 9) n;
         insert into tutor_sessions select 'l' || n, 'web', now() from generate_series(1, 5) n; analyze",
    );
    db
}

fn dropping(db: &Db<'_>) -> SessionPolicy {
    SessionPolicy { partitions: Partitions::Drop, ..db.policy() }
}

fn partitions(db: &Db<'_>) -> String {
    db.sql("select string_agg(inhrelid::regclass::text, ' ' order by 1) from (select inhrelid from pg_inherits i
            join pg_class c on c.oid = i.inhrelid where c.relkind = 'r' order by inhrelid::regclass::text) t (inhrelid)")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_says_what_would_be_dropped_and_without_the_key_nothing_is() {
    let db = by_day();
    let planned = plan(&dropping(&db)).await;
    for name in ["day1", "day2", "day3a", "day3b"] {
        let said = format!("the partition public.{name} would be dropped");
        assert!(message(&planned).contains(&said), "{planned:?}");
    }
    assert!(!message(&planned).contains("public.other would") && planned.counts.due == 316, "{planned:?}");
    assert_eq!(partitions(&db), "day1 day2 day3a day3b live other", "a plan changes nothing");
    let report = apply(&db.policy()).await;
    assert_eq!((report.status, report.counts.removed), (PolicyStatus::Ok, 316), "{report:?}");
    assert_eq!(partitions(&db), "day1 day2 day3a day3b live other", "nothing is dropped unless the policy says so");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_dropped_is_counted_and_said() {
    let db = by_day();
    let report = apply(&dropping(&db)).await;
    assert_eq!((report.status, report.counts.removed, report.counts.due), (PolicyStatus::Ok, 316, 316), "{report:?}");
    assert_eq!(message(&report), "dropped 4 partitions: public.day1, public.day2, public.day3a, public.day3b");
    assert_eq!(partitions(&db), "live other");
    assert_eq!(db.sql("select string_agg(session_id, ' ' order by session_id) from tutor_sessions"), "l1 l2 l3 l4 l5");
}

/// A row that is not due, whatever keeps it, keeps the partition.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_with_a_row_that_stays_is_not_dropped() {
    let db = by_day();
    db.sql("update day1 set kind = 'keep' where session_id = 'e1-7'");
    let kept = Condition { column: "kind".to_owned(), test: Test::NoneOf(vec![Scalar::Text("keep".to_owned())]) };
    let report = apply(&SessionPolicy { conditions: vec![kept], ..dropping(&db) }).await;
    assert_eq!((report.status, report.counts.removed), (PolicyStatus::Ok, 315), "{report:?}");
    assert_eq!(message(&report), "dropped 3 partitions: public.day2, public.day3a, public.day3b");
    assert_eq!(db.sql("select session_id from day1"), "e1-7");
}

/// Somebody writes into a partition while it is dropped, and commits at any moment of that: what was committed is never
/// lost, and whoever waits waits for milliseconds.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_comes_while_its_partition_is_looked_at_is_never_lost() {
    for round in 0..24 {
        let db = by_day();
        let mut user = db.connect().await;
        let write = "begin; insert into tutor_sessions select 'new', 'keep', max(last_activity) from day1";
        sqlx::raw_sql(write).execute(&mut user).await.unwrap();
        let commit = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(round * 4)).await;
            sqlx::raw_sql("commit").execute(&mut user).await.unwrap();
        });
        let kept = Condition { column: "kind".to_owned(), test: Test::NoneOf(vec![Scalar::Text("keep".to_owned())]) };
        let report = apply(&SessionPolicy { conditions: vec![kept], ..dropping(&db) }).await;
        commit.await.unwrap();
        assert_eq!(report.status, PolicyStatus::Ok, "{round}: {report:?}");
        assert_eq!(db.sql("select count(*) from tutor_sessions where session_id = 'new'"), "1", "{round}: {report:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_in_use_is_left_for_the_next_run_and_stops_nothing_else() {
    let db = by_day();
    let mut user = db.connect().await;
    let touch = "begin; update tutor_sessions set kind = 'x' where session_id = 'e1-7'";
    sqlx::raw_sql(touch).execute(&mut user).await.unwrap();
    let began = Instant::now();
    let report = apply(&dropping(&db)).await;
    assert!(began.elapsed() < Duration::from_secs(20), "{report:?}");
    // The touch holds a lock on the table itself, so no partition can go; rows of the default one are deleted all the same.
    assert_eq!((report.status, report.counts.removed), (PolicyStatus::Ok, 16), "{report:?}");
    assert_eq!((report.counts.kept.in_use, report.counts.due), (300, 316), "{report:?}");
    assert!(message(&report).contains("public.day1 is in use; the next run drops it"), "{report:?}");
    sqlx::raw_sql("commit").execute(&mut user).await.unwrap();
    let report = apply(&dropping(&db)).await;
    assert_eq!((report.counts.removed, partitions(&db).as_str()), (300, "live other"), "{report:?}");
}

/// Where dropping would mean something else than deleting each row, rows are deleted, and it is said why.
#[tokio::test(flavor = "multi_thread")]
async fn where_it_would_mean_something_else_rows_are_deleted_and_it_is_said() {
    let trigger = "create function note() returns trigger language plpgsql as $$ begin return old; end $$;
        create trigger note after delete on tutor_sessions for each row execute function note()";
    for (setup, why) in [
        (trigger, "its rows have triggers or foreign keys"),
        (
            "alter table day1 add unique (session_id); create table answers (session text references day1 (session_id)
             on delete cascade); create index on answers (session)",
            "its rows have triggers or foreign keys",
        ),
        (
            "create table copies (like tutor_sessions) partition by hash (session_id); drop table tutor_sessions cascade;
             alter table copies rename to tutor_sessions;
             create table day1 partition of tutor_sessions for values with (modulus 1, remainder 0);
             insert into tutor_sessions select 'e' || n, 'web', now() - interval '9 days' from generate_series(1, 316) n",
            "new rows may belong there",
        ),
        (
            "drop table tutor_sessions cascade;
             create table tutor_sessions (session_id text, born date not null, last_activity timestamptz)
               partition by range (born);
             create table day1 partition of tutor_sessions for values from ('1980-01-01') to ('1990-01-01');
             insert into tutor_sessions select 'e' || n, '1985-05-05', now() - interval '9 days'
               from generate_series(1, 316) n",
            "new rows may belong there",
        ),
    ] {
        let db = by_day();
        db.sql(setup);
        let findings = cleanup_pg_sessions::check(&dropping(&db), std::path::Path::new("/"), now()).await;
        let warned = findings.iter().any(|finding| {
            finding.severity == Severity::Warning && finding.sentence.contains("public.day1") && finding.sentence.contains(why)
        });
        assert!(warned, "{setup}: {findings:?}");
        let report = apply(&dropping(&db)).await;
        assert_eq!((report.status, report.counts.removed), (PolicyStatus::Ok, 316), "{setup}: {report:?}");
        assert!(message(&report).contains(&format!("rows of public.day1 are deleted, and it is not dropped: {why}"))
            || message(&report).contains(why), "{setup}: {report:?}");
        assert!(partitions(&db).contains("day1"), "{setup}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_does_not_own_the_table_deletes_its_rows() {
    let db = by_day();
    let role = format!("cleaner_{}", db.name);
    db.sql(&format!("create role {role} login; grant select, update, delete on all tables in schema public to {role}"));
    let url = db.server.url(&db.name).replace("user=postgres", &format!("user={role}"));
    let url = url.replace("postgres@", &format!("{role}@"));
    let policy = SessionPolicy { partitions: Partitions::Drop, ..crate::support::policy(&url) };
    let report = apply(&policy).await;
    assert_eq!((report.status, report.counts.removed), (PolicyStatus::Ok, 316), "{report:?}");
    assert!(message(&report).contains("the role does not own it and the table"), "{report:?}");
    assert_eq!(partitions(&db), "day1 day2 day3a day3b live other");
    db.sql(&format!("drop owned by {role}; drop role {role}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_rows_are_dropped_than_may_go() {
    let db = by_day();
    let brakes = Brakes { max_removals: Some(150), ..Brakes::default() };
    let report = apply(&SessionPolicy { brakes, ..dropping(&db) }).await;
    assert_eq!(report.counts.removed, 150, "{report:?}");
    assert_eq!(report.counts.kept.deferred, 166, "{report:?}");
    assert!(message(&report).contains("dropped 1 partition: public.day1"), "{report:?}");
}

/// Numbers have ranges too, and a view that stands on a partition keeps it.
#[tokio::test(flavor = "multi_thread")]
async fn ranges_of_numbers_are_dropped_and_what_others_stand_on_is_not() {
    let db = Db::shared();
    db.sql(
        "create table tutor_sessions (session_id text, last_activity bigint not null) partition by range (last_activity);
         create table old1 partition of tutor_sessions for values from (1000000000) to (1100000000);
         create table old2 partition of tutor_sessions for values from (1100000000) to (1200000000);
         create table live partition of tutor_sessions for values from (1200000000) to (maxvalue);
         create view old_ones as select * from old2;
         insert into tutor_sessions select 'e' || n, 1000000000 + n * 1000000 from generate_series(1, 150) n;
         insert into tutor_sessions select 'l' || n, extract(epoch from now()) from generate_series(1, 500) n; analyze",
    );
    let report = apply(&dropping(&db)).await;
    assert_eq!((report.status, report.counts.removed), (PolicyStatus::Ok, 150), "{report:?}");
    assert_eq!(partitions(&db), "live old2");
    assert!(
        message(&report).contains("rows of public.old2 are deleted, and it is not dropped: refused by"),
        "{report:?}"
    );
    assert!(message(&report).contains("dropped 1 partition: public.old1"), "{report:?}");
}

/// Row security hides rows from those who look whether all are due; dropping would take them along.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_with_hidden_rows_is_not_dropped() {
    let secure = |table: &str| {
        format!(
            "alter table {table} enable row level security; alter table {table} force row level security;
             create policy web on {table} using (kind = 'web');"
        )
    };
    let everywhere = ["tutor_sessions", "day1", "day2", "day3a", "day3b", "other", "live"].map(secure).concat();
    for (secured, dropped, removed, left) in [
        (everywhere, "", 315, "day1 day2 day3a day3b live other"),
        (secure("day1"), "dropped 3 partitions: public.day2, public.day3a, public.day3b", 315, "day1 live other"),
    ] {
        let db = by_day();
        let role = format!("owner_{}", db.name);
        db.sql(&format!(
            "create role {role} login; grant all on schema public to {role};
             update day1 set kind = 'hidden' where session_id = 'e1-7'; {secured}
             select format('alter table %s owner to {role}', oid::regclass) from pg_class
               where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') order by oid \\gexec"
        ));
        let url = db.server.url_as(&role, &db.name);
        let policy = SessionPolicy { partitions: Partitions::Drop, ..crate::support::policy(&url) };
        let report = apply(&policy).await;
        assert_eq!((report.status, report.counts.removed), (PolicyStatus::Ok, removed), "{report:?}");
        let why = "rows of public.day1 are deleted, and it is not dropped: row security may hide some of its rows";
        assert!(message(&report).contains(why) && message(&report).contains(dropped), "{report:?}");
        assert_eq!((db.sql("select session_id from day1").as_str(), partitions(&db).as_str()), ("e1-7", left));
        db.sql(&format!("drop owned by {role}; drop role {role}"));
    }
}
