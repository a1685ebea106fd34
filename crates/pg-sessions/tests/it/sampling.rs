//! Which values decide whether a column is read rightly: those of the whole table, each part by its size.

use std::path::Path;

use cleanup_core::report::PolicyStatus;

use crate::support::{Db, apply, message, now, plan};

/// Many small partitions in milliseconds, and a large one in seconds, where nearly all rows are.
#[tokio::test(flavor = "multi_thread")]
async fn small_partitions_do_not_outvote_a_large_one() {
    let db = Db::shared();
    db.sql(
        "create table tutor_sessions (part int, session_id text, last_activity bigint) partition by list (part);
         create table large partition of tutor_sessions for values in (0);
         insert into tutor_sessions select 0, repeat('x', 500), extract(epoch from now()) - 60 from generate_series(1, 40000);
         insert into tutor_sessions select 0, 'due' || n, extract(epoch from now()) - 8000 from generate_series(1, 100) n;
         do $$ begin for n in 1..20 loop
           execute format('create table p%1$s partition of tutor_sessions for values in (%1$s)', n);
           execute format('insert into p%1$s select %1$s, repeat(''x'', 500), extract(epoch from now()) * 1000 from generate_series(1, 300)', n);
         end loop; end $$; analyze",
    );
    let planned = plan(&db.policy()).await;
    assert_eq!((planned.status, planned.counts.due, planned.counts.kept.implausible), (PolicyStatus::Ok, 100, 6000));
    let report = apply(&db.policy()).await;
    assert_eq!((report.status, report.counts.removed), (PolicyStatus::Ok, 100), "{report:?}");

    // And the other way round: a large one in the wrong unit is not outvoted either.
    db.sql("update large set last_activity = last_activity * 1000; update tutor_sessions set last_activity = 1577836800 where part > 0");
    let report = apply(&db.policy()).await;
    assert_eq!((report.status, report.counts.removed), (PolicyStatus::Failed, 0), "{report:?}");
    assert!(
        message(&report).contains("about ") && message(&report).contains("time_format = \"milliseconds\""),
        "{report:?}"
    );
    // Nobody counts as due what no sweep takes.
    let stats = cleanup_pg_sessions::stats(&db.policy(), Path::new("/"), now()).await.unwrap();
    assert_eq!((stats.expired_rows, stats.next_due_at), (0, None), "{stats:?}");
}

/// Thousands of pages without a row, and the few rows on the last ones.
#[tokio::test(flavor = "multi_thread")]
async fn empty_pages_do_not_hide_what_a_table_holds() {
    for index in ["", "create index on tutor_sessions (last_activity);"] {
        let db = Db::shared();
        db.sql(&format!(
            "create table tutor_sessions (session_id text, last_activity bigint) with (autovacuum_enabled = off);
             insert into tutor_sessions select repeat('x', 1900), 0 from generate_series(1, 20000);
             insert into tutor_sessions select 'l' || n, extract(epoch from now()) * 1000 from generate_series(1, 40) n;
             insert into tutor_sessions select 'e' || n, 1577836800 from generate_series(1, 30) n;
             {index} delete from tutor_sessions where last_activity = 0"
        ));
        let report = apply(&db.policy()).await;
        assert_eq!((report.status, report.counts.removed), (PolicyStatus::Failed, 0), "{index} {report:?}");
        assert!(message(&report).contains("40 of 70 values"), "{index} {report:?}");
    }
}

/// Numbers that stand for "never" and "for ever" say nothing about the unit of the others.
#[tokio::test(flavor = "multi_thread")]
async fn zeros_and_infinities_have_no_vote() {
    for kind in ["numeric", "double precision"] {
        let db = Db::shared();
        db.sql(&format!(
            "create table tutor_sessions (session_id text, last_activity {kind});
             create index on tutor_sessions (last_activity);
             insert into tutor_sessions select 'f' || n, 'Infinity' from generate_series(1, 50) n;
             insert into tutor_sessions select 'z' || n, (array['0', '-1', '-Infinity', 'NaN'])[n % 4 + 1]::{kind} from generate_series(1, 80) n;
             insert into tutor_sessions select 'e' || n, extract(epoch from now()) - 8000 from generate_series(1, 9) n;
             insert into tutor_sessions values ('l', extract(epoch from now()))"
        ));
        let planned = plan(&db.policy()).await.counts;
        assert_eq!((planned.due, planned.kept.future, planned.kept.implausible), (9, 50, 80), "{kind} {planned:?}");
        let report = apply(&db.policy()).await;
        assert_eq!((report.status, report.counts.removed), (PolicyStatus::Ok, 9), "{kind} {report:?}");
        assert_eq!((report.counts.kept.implausible, db.rows()), (80, 131), "{kind} {report:?}");
    }
}
