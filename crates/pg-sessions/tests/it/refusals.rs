//! What the database refuses, keeps or limits: said clearly, counted, and never tried for ever.

use std::path::Path;
use std::time::Duration;

use cleanup_core::policy::SessionPolicy;
use cleanup_core::report::{PolicyReport, PolicyStatus};
use cleanup_pg_sessions::{Finding, Severity, Strategy};
use cleanup_test_postgres::Cluster;

use crate::support::{Db, apply, apply_by, message, now, plan};

async fn problem(policy: &SessionPolicy) -> Finding {
    let mut findings = cleanup_pg_sessions::check(policy, Path::new("/"), now()).await;
    findings.retain(|finding| finding.severity == Severity::Problem);
    assert_eq!(findings.len(), 1, "{findings:?}");
    findings.remove(0)
}

fn assert_failed(report: &PolicyReport, with: &str) {
    assert_eq!((report.status, report.counts.removed), (PolicyStatus::Failed, 0), "{report:?}");
    assert!(message(report).starts_with("Cannot clean up tutor sessions: "), "{}", message(report));
    assert!(message(report).contains(with), "{}", message(report));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_session_table_fails_with_what_to_change() {
    let db = Db::shared().with_sessions(3, 3);
    db.sql(
        "create view a_view as select * from tutor_sessions;
         create materialized view a_matview as select * from tutor_sessions;
         create table local_time (session_id text, last_activity timestamp);
         create table texts (session_id text, last_activity text);
         create table no_id (last_activity timestamptz);
         create table no_activity (session_id text);
         create table ruled (session_id text, last_activity timestamptz);
         create rule r as on delete to ruled do instead nothing",
    );
    for (table, sentence, statement) in [
        ("a_view", "public.a_view is a view; name the table itself", None),
        ("a_matview", "public.a_matview is a materialized view", None),
        ("pg_catalog.pg_class", "a system table", None),
        ("ix_last_activity", "is an index", None),
        (
            "local_time",
            "timestamp without time zone; set activity_time_zone to the zone in which the application writes",
            None,
        ),
        (
            "texts",
            "is of type text, but must be a timestamp, integer, bigint, double precision or numeric; name another column",
            None,
        ),
        ("no_id", "public.no_id has no column session_id", None),
        ("no_activity", "public.no_activity has no column last_activity", None),
        ("ruled", "has a rule on delete", None),
    ] {
        let policy = db.policy_for(table);
        let finding = problem(&policy).await;
        assert!(finding.sentence.contains(sentence), "{finding:?}");
        assert_eq!(finding.statement.as_deref(), statement);
        assert_failed(&apply(&policy).await, sentence);
        assert_failed(&plan(&policy).await, sentence);
    }
    let catalog = SessionPolicy { id_column: "oid".to_owned(), ..db.policy_for("pg_catalog.pg_class") };
    assert_failed(&apply(&catalog).await, "a system table");
}

#[tokio::test(flavor = "multi_thread")]
async fn local_times_need_their_zone_and_then_go_by_the_same_clock() {
    let db = Db::shared();
    db.sql(
        "create table tutor_sessions (session_id text, last_activity timestamp);
         create index on tutor_sessions (last_activity);
         insert into tutor_sessions select 'e' || n, (now() - interval '121 minutes') at time zone 'Asia/Kolkata' from generate_series(1, 40) n;
         insert into tutor_sessions select 'l' || n, (now() - interval '119 minutes') at time zone 'Asia/Kolkata' from generate_series(1, 40) n;
         insert into tutor_sessions values ('no time', '-infinity'), ('never', 'infinity')",
    );
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        let zoned = SessionPolicy { activity_time_zone: Some("Asia/Kolkata".to_owned()), batch_size: 1, ..db.policy() };
        let due = plan(&zoned).await.counts.due;
        let report = apply_by(strategy, &zoned).await;
        assert_eq!((report.status, report.counts.removed), (PolicyStatus::Ok, due), "{:?}", report.message);
        assert_eq!(
            db.count("select count(*) from tutor_sessions where session_id like 'l%' or session_id = 'never'"),
            41
        );
        assert_eq!((db.rows(), report.counts.kept.implausible), (42, 1));
        let stats = cleanup_pg_sessions::stats(&zoned, Path::new("/"), now()).await.unwrap();
        assert_eq!((stats.total_rows, stats.expired_rows, stats.implausible_rows), (42, 0, 1));
    }
    for wrong in ["Asia/Nowhere", "UTC+2", "x'; drop table tutor_sessions--"] {
        let policy = SessionPolicy { activity_time_zone: Some(wrong.to_owned()), ..db.policy() };
        assert_failed(&apply(&policy).await, "the database does not know the zone in activity_time_zone");
    }
}

/// When summer time ends, an hour of wall-clock times happens twice. Compared as wall-clock times, a session of the second
/// 01:05 looks older than a cutoff at the first 01:59.
#[tokio::test(flavor = "multi_thread")]
async fn on_the_night_summer_time_ends_no_session_goes_early() {
    let db = Db::shared();
    db.sql(
        "create table tutor_sessions (session_id text, last_activity timestamp);
         insert into tutor_sessions values ('second 01:05', '2025-11-02 01:05'), ('00:59', '2025-11-02 00:59'), ('02:30', '2025-11-02 02:30')",
    );
    // The cutoff is 01:59:30 of the first round, 05:59:30 UTC.
    let seconds: f64 =
        db.sql("select extract(epoch from now() - timestamptz '2025-11-02 05:59:30+00')").parse().unwrap();
    let idle = Duration::from_secs_f64(seconds);
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        let mut policy = SessionPolicy { activity_time_zone: Some("America/New_York".to_owned()), ..db.policy() };
        policy.rule.max_age = cleanup_core::policy::MaxAge::new(idle);
        apply_by(strategy, &policy).await;
        assert_eq!(
            db.sql("select string_agg(session_id, ', ' order by session_id) from tutor_sessions"),
            "02:30, second 01:05"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_privilege_is_named_with_the_grant() {
    let db = Db::shared().with_sessions(3, 3);
    let role = format!("reader_{}", db.name);
    db.sql(&format!("create role {role} login; grant select on tutor_sessions to {role}"));
    let reader = crate::support::policy(&db.server.url_as(&role, &db.name));
    let grant = format!(r#"grant select, update, delete on "public"."tutor_sessions" to "{role}""#);
    assert_eq!(problem(&reader).await.statement.as_deref(), Some(&*grant));
    assert_failed(&apply(&reader).await, &grant);
    assert_eq!(cleanup_pg_sessions::stats(&reader, Path::new("/"), now()).await.unwrap().expired_rows, 3);
    db.sql(&grant);
    assert_eq!(apply(&reader).await.counts.removed, 3);

    db.sql(&format!("alter role {role} set default_transaction_read_only = on"));
    assert_failed(&apply(&reader).await, "default_transaction_read_only is on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_is_refused() {
    let primary = Cluster::start().unwrap();
    let db = Db::on(primary.server()).with_sessions(3, 3);
    let standby = Cluster::standby_of(&primary).unwrap();
    let policy = crate::support::policy(&standby.server().url(&db.name));
    assert_failed(&apply(&policy).await, "read-only standby");
    assert_failed(&plan(&policy).await, "read-only standby");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_others_refer_to_stay_and_are_counted() {
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        let db = Db::shared().with_sessions(1000, 5);
        db.sql(
            "create table answers (session text references tutor_sessions on delete restrict, n int);
             create index on answers (session);
             insert into answers select 'e' || n * 10, n from generate_series(1, 30) n;
             insert into answers values ('l1', 1), (null, 2)",
        );
        let planned = plan(&db.policy()).await;
        assert_eq!((planned.counts.due, planned.counts.kept.referenced), (970, 30));
        let report = apply_by(strategy, &SessionPolicy { batch_size: 50, ..db.policy() }).await;
        assert_eq!(
            (report.status, report.counts.removed, report.counts.due),
            (PolicyStatus::Ok, 970, 970),
            "{strategy:?} {:?}",
            report.message
        );
        assert_eq!((report.counts.kept.referenced, db.rows()), (30, 35));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cascade_needs_an_index_and_then_takes_its_rows_along() {
    let db = Db::shared().with_sessions(50, 5);
    db.sql(
        "create table answers (session text references tutor_sessions on delete cascade, n int);
         insert into answers select 'e' || n, n from generate_series(1, 30) n; insert into answers values ('l1', 1)",
    );
    let help = r#"create index concurrently on "public"."answers" ("session")"#;
    assert_eq!(problem(&db.policy()).await.statement.as_deref(), Some(help));
    assert_failed(&apply(&db.policy()).await, help);
    db.sql(help);
    // What goes along is said before it does.
    db.sql(
        "create table tokens (session varchar(36) references tutor_sessions on delete set null);
         create index on tokens (session); insert into tokens values ('e1'), ('e1'), ('l1'), (null)",
    );
    let findings = cleanup_pg_sessions::check(&db.policy(), Path::new("/"), now()).await;
    let said = "when sessions are removed, rows of public.answers that refer to them are removed with them (on delete cascade)";
    assert!(findings.iter().any(|finding| finding.sentence == said), "{findings:?}");
    let planned = plan(&db.policy()).await;
    assert_eq!(
        message(&planned),
        "30 rows of public.answers are removed with them (on delete cascade); 2 rows of public.tokens are set to null \
         with them (on delete set null)"
    );
    assert_eq!(
        (apply(&db.policy()).await.counts.removed, db.sql("select count(*) from answers")),
        (50, "1".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_a_trigger_keeps_are_passed_by_and_counted_as_failed() {
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        let db = Db::shared().with_sessions(1000, 5);
        // The oldest rows, more than a batch of them, half of them with one and the same stamp.
        db.sql(
            "update tutor_sessions set last_activity = '2020-01-01' where session_id ~ '^e[1-9][0-9]?$';
             create function keep() returns trigger language plpgsql as $$
               begin if old.last_activity < '2021-01-01' or old.session_id like 'e9__' then return null; end if;
               raise notice 'removed %', old.session_id; return old; end $$;
             create trigger keep before delete on tutor_sessions for each row execute function keep()",
        );
        let report = apply_by(strategy, &SessionPolicy { batch_size: 50, ..db.policy() }).await;
        assert_eq!((report.status, report.counts.removed), (PolicyStatus::Partial, 801), "{strategy:?} {report:?}");
        assert_eq!((report.errors_total, report.counts.due, db.rows()), (199, 1000, 204), "{strategy:?}");
        assert_eq!(report.errors[0].error, "199 expired rows stay: a trigger or row security keeps them");
    }
}

/// Some of the rows, a trigger for some and a constraint for others; many with one and the same stamp.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_refused_are_passed_by_one_by_one_and_the_rest_goes() {
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        for batch_size in [1, 50, 5000] {
            let db = Db::shared().with_sessions(1000, 5);
            db.sql(
                "update tutor_sessions set last_activity = '2020-01-01' where session_id ~ '^e[1-9][0-9]?$';
                 create function refuse() returns trigger language plpgsql as $$
                   begin if old.session_id in ('e1', 'e2', 'e50', 'e777') then raise exception 'session % is secret', old.session_id; end if;
                   if old.session_id in ('e3', 'e1000') then raise exception using errcode = '23514', message = old.session_id; end if;
                   return old; end $$;
                 create trigger refuse before delete on tutor_sessions for each row execute function refuse()",
            );
            let report = apply_by(strategy, &SessionPolicy { batch_size, ..db.policy() }).await;
            assert_eq!((report.status, report.counts.removed), (PolicyStatus::Partial, 994), "{strategy:?} {report:?}");
            assert_eq!((report.errors_total, report.counts.due, db.rows()), (6, 1000, 11), "{strategy:?} {report:?}");
            let errors: Vec<_> = report.errors.iter().map(|error| &*error.error).collect();
            assert_eq!(
                errors,
                [
                    "2 expired rows stay: refused by the database (SQLSTATE 23514)",
                    "4 expired rows stay: refused by the database (SQLSTATE P0001)"
                ]
            );
            assert!(!format!("{report:?}").contains("secret"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_does_not_hide_a_lock_a_reference_or_an_archive() {
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        let db = Db::shared().with_sessions(500, 5);
        db.sql(
            "create table answers (session text references tutor_sessions); create index on answers (session);
             insert into answers values ('e20');
             create table archive (like tutor_sessions, primary key (session_id));
             insert into archive select * from tutor_sessions where session_id = 'e30'",
        );
        let mut user = db.connect().await;
        sqlx::raw_sql("begin; update tutor_sessions set last_activity = now() where session_id = 'e10'")
            .execute(&mut user)
            .await
            .unwrap();
        let policy = SessionPolicy { archive_table: Some("archive".to_owned()), batch_size: 50, ..db.policy() };
        let report = apply_by(strategy, &policy).await;
        assert_eq!((report.status, report.counts.removed), (PolicyStatus::Partial, 497), "{strategy:?} {report:?}");
        let kept = report.counts.kept;
        assert_eq!((kept.in_use, kept.referenced, report.errors_total), (1, 1, 1), "{strategy:?} {report:?}");
        assert_eq!(
            report.errors[0].error,
            "1 expired row stays: refused by the database (SQLSTATE 23505, constraint archive_pkey of archive)"
        );
        assert_eq!(db.count("select count(*) from archive"), 498);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_refuses_everything_ends_the_run_after_a_hundred_rows() {
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        for level in ["for each row", "for each statement"] {
            let db = Db::shared().with_sessions(1000, 5);
            db.sql(&format!(
                "create function refuse() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$;
                 create trigger refuse before delete on tutor_sessions {level} execute function refuse()"
            ));
            let report = apply_by(strategy, &db.policy()).await;
            assert_eq!((report.status, report.counts.removed), (PolicyStatus::Partial, 0), "{strategy:?} {report:?}");
            assert_eq!((report.errors_total, db.rows()), (100, 1005), "{strategy:?} {report:?}");
            assert_eq!(message(&report), "stopped after 100 rows that the database refuses to remove");
        }
    }
}

/// A trigger of the statement would fire without any row, too. So rows are picked first, and where there are none nothing
/// is deleted; where a foreign key keeps rows, one statement does both.
#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_refuses_is_not_asked_when_nothing_is_due() {
    let db = Db::shared().with_sessions(0, 5);
    db.sql(
        "create function refuse() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$;
         create trigger refuse before delete on tutor_sessions for each statement execute function refuse()",
    );
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        assert_eq!(apply_by(strategy, &db.policy()).await.status, PolicyStatus::Ok, "{strategy:?}");
    }
    db.sql("create table answers (session varchar(36) references tutor_sessions); create index on answers (session)");
    assert_failed(&apply_by(Strategy::IndexOrder, &db.policy()).await, "refused by the database (SQLSTATE P0001)");
}

/// The application's triggers and the role's own path belong together; what a stranger put on that path is never used.
#[tokio::test(flavor = "multi_thread")]
async fn triggers_see_the_roles_own_path_and_strangers_on_it_are_not_asked() {
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        for column in ["timestamptz", "timestamp"] {
            let db = Db::shared();
            let role = format!("pathed_{}", db.name);
            db.sql(&format!(
                "create schema app; create schema evil; create role {role} login;
                 grant usage on schema app, evil to {role}; alter role {role} set search_path = evil, app, pg_catalog;
                 create table app.tutor_sessions (session_id text primary key, last_activity {column});
                 create table app.answers (session text references app.tutor_sessions);
                 create table app.audit (session text); create index on app.answers (session);
                 insert into app.tutor_sessions select 'e' || n, now() - n * interval '3 hours' from generate_series(1, 500) n;
                 insert into app.tutor_sessions select 'l' || n, now() from generate_series(1, 5) n;
                 insert into app.answers values ('e7');
                 grant select, update, delete on app.tutor_sessions to {role}; grant select on app.answers to {role};
                 grant insert on app.audit to {role};
                 create function app.note() returns trigger language plpgsql as $$
                   begin insert into audit values (old.session_id); return old; end $$;
                 create trigger note before delete on app.tutor_sessions for each row execute function app.note();"
            ));
            let trap =
                "language plpgsql as $$ begin raise exception 'a stranger is asked' using errcode = '42000'; end $$";
            let operators = [
                ("timestamptz", "timestamptz", "boolean", "< > <= >="),
                ("timestamp", "timestamp", "boolean", "< > <= >="),
                ("timestamptz", "interval", "timestamptz", "+ -"),
                ("timestamp", "interval", "timestamp", "+ -"),
                ("tid", "tid", "boolean", "= <> < >="),
                ("text", "text", "boolean", "="),
                ("oid", "oid", "boolean", "="),
                ("json", "text[]", "text", "#>>"),
            ];
            let mut traps = Vec::new();
            for (left, right, result, names) in operators {
                let function = format!("trap_{left}_{right}").replace("[]", "s");
                traps.push(format!("create function evil.{function}({left}, {right}) returns {result} {trap};"));
                for name in names.split(' ') {
                    traps.push(format!(
                        "create operator evil.{name} (function = evil.{function}, leftarg = {left}, rightarg = {right});"
                    ));
                }
            }
            for (function, result) in [
                ("now()", "timestamptz"),
                ("make_interval(secs float8)", "interval"),
                ("to_json(anyelement)", "json"),
                ("pg_try_advisory_xact_lock(bigint)", "boolean"),
                ("to_regclass(text)", "regclass"),
            ] {
                traps.push(format!("create function evil.{function} returns {result} {trap};"));
            }
            for name in ["text", "tid", "timestamptz", "timestamp", "float8", "oid"] {
                traps.push(format!("create domain evil.\"{name}\" as pg_catalog.int4 check (false);"));
            }
            db.sql(&format!("{} grant execute on all functions in schema evil to {role}", traps.concat()));
            let policy = SessionPolicy {
                table: "app.tutor_sessions".to_owned(),
                activity_time_zone: (column == "timestamp").then(|| "UTC".to_owned()),
                batch_size: 50,
                ..crate::support::policy(&db.server.url_as(&role, &db.name))
            };
            let report = apply_by(strategy, &policy).await;
            assert_eq!(
                (report.status, report.counts.removed),
                (PolicyStatus::Ok, 499),
                "{strategy:?} {column} {report:?}"
            );
            assert_eq!(report.counts.kept.referenced, 1);
            assert_eq!(db.sql("select count(*) from app.audit"), "499");
        }
    }
}

/// What the foreign key takes for the same, the sweep takes for the same: it does not run into the key.
#[tokio::test(flavor = "multi_thread")]
async fn a_reference_is_found_as_the_foreign_key_finds_it() {
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        for (setup, text) in [
            ("create extension citext", "citext"),
            (
                "create collation nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
                "text collate nocase",
            ),
            ("create domain id as varchar(36)", "id"),
            ("select 1", "char(5)"),
        ] {
            let db = Db::shared();
            db.sql(&format!(
                "{setup}; create table tutor_sessions (session_id {text} primary key, last_activity timestamptz);
                 create index on tutor_sessions (last_activity);
                 insert into tutor_sessions select 'e' || n, now() - interval '3 hours' from generate_series(1, 100) n;
                 create table answers (session {text} references tutor_sessions on delete restrict);
                 create index on answers (session); insert into answers values ('e7')"
            ));
            if text.starts_with("citext") || text.contains("nocase") {
                db.sql("insert into answers values ('E9')");
            }
            let referred = db.count("select count(*) from answers");
            assert_eq!(plan(&db.policy()).await.counts.kept.referenced, referred, "{text}");
            let report = apply_by(strategy, &SessionPolicy { batch_size: 50, ..db.policy() }).await;
            assert_eq!((report.status, report.errors_total), (PolicyStatus::Ok, 0), "{strategy:?} {text} {report:?}");
            assert_eq!((report.counts.removed, report.counts.kept.referenced), (100 - referred, referred), "{text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_row_security_keeps_are_counted_as_failed() {
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        let db = Db::shared().with_sessions(300, 5);
        let role = format!("secured_{}", db.name);
        db.sql(&format!(
            "create role {role} login; grant select, update, delete on tutor_sessions to {role};
             alter table tutor_sessions enable row level security;
             create policy s on tutor_sessions for select using (session_id <> 'e300');
             create policy u on tutor_sessions for update using (true);
             create policy d on tutor_sessions for delete using (session_id like 'e2__')"
        ));
        let policy = SessionPolicy { batch_size: 50, ..crate::support::policy(&db.server.url_as(&role, &db.name)) };
        let report = apply_by(strategy, &policy).await;
        assert_eq!((report.status, report.counts.removed), (PolicyStatus::Partial, 100), "{strategy:?} {report:?}");
        assert_eq!((report.errors_total, db.rows()), (199, 205), "{strategy:?}");
        let findings = cleanup_pg_sessions::check(&policy, Path::new("/"), now()).await;
        assert!(findings.iter().any(|finding| finding.sentence.contains("row security applies")));
    }
}

/// A role that row security keeps from every row: for whatever reason, it looks like an empty table.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_row_security_hides_altogether_are_no_empty_table() {
    for (what, policies) in [
        ("no policy", ""),
        ("one for somebody else", "create policy s on tutor_sessions to pg_monitor using (true);"),
        ("one that only restricts", "create policy s on tutor_sessions as restrictive using (true);"),
        ("one for writing", "create policy s on tutor_sessions for insert with check (true);"),
        ("one for deleting", "create policy s on tutor_sessions for delete using (true);"),
    ] {
        let db = Db::shared().with_sessions(30, 5);
        let role = format!("hidden_{}", db.name);
        db.sql(&format!(
            "create role {role} login; grant select, update, delete on tutor_sessions to {role};
             alter table tutor_sessions enable row level security; {policies}"
        ));
        let policy = crate::support::policy(&db.server.url_as(&role, &db.name));
        let said = "row security hides all rows of public.tutor_sessions from this role: no policy lets it see any";
        for report in [
            apply_by(Strategy::IndexOrder, &policy).await,
            apply_by(Strategy::HeapOrder, &policy).await,
            plan(&policy).await,
        ] {
            assert_eq!((report.status, report.errors_total), (PolicyStatus::Partial, 1), "{what}: {report:?}");
            assert_eq!((&*report.errors[0].path, &*report.errors[0].error), ("public.tutor_sessions", said), "{what}");
        }
        assert_eq!(db.rows(), 35, "{what}");
        let stats = cleanup_pg_sessions::stats(&policy, Path::new("/"), now()).await.unwrap_err();
        assert!(stats.to_string().contains(said), "{what}: {stats}");
        let findings = cleanup_pg_sessions::check(&policy, Path::new("/"), now()).await;
        let finding = findings.iter().find(|finding| finding.severity == Severity::Warning).unwrap();
        assert_eq!(finding.sentence, said, "{what}");

        // What is said to help does.
        db.sql(finding.statement.as_deref().unwrap());
        let report = apply(&policy).await;
        assert_eq!((report.status, report.counts.removed), (PolicyStatus::Ok, 30), "{what}: {report:?}");
        assert_eq!(db.rows(), 5, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_of_row_security_for_the_role_are_a_filter_and_check_says_so() {
    for (what, policies, owner) in [
        ("for everybody", "create policy s on tutor_sessions using (session_id <> 'e1');", false),
        ("for a group of the role", "create policy s on tutor_sessions to {group} using (session_id <> 'e1');", false),
        ("forced on the owner", "create policy s on tutor_sessions using (session_id <> 'e1');", true),
    ] {
        let db = Db::shared().with_sessions(30, 5);
        let (role, group) = (format!("member_{}", db.name), format!("group_{}", db.name));
        db.sql(&format!(
            "create role {group}; create role {role} login in role {group};
             grant select, update, delete on tutor_sessions to {role};
             alter table tutor_sessions enable row level security; {}",
            policies.replace("{group}", &group)
        ));
        let policy = crate::support::policy(&db.server.url_as(&role, &db.name));
        if owner {
            db.sql(&format!(
                "alter table tutor_sessions owner to {role}; alter table tutor_sessions force row level security"
            ));
        }
        let findings = cleanup_pg_sessions::check(&policy, Path::new("/"), now()).await;
        let filter = "row security applies to public.tutor_sessions: its policies filter rows, and hidden rows stay";
        assert!(findings.iter().any(|finding| finding.sentence == filter), "{what}: {findings:?}");
        let report = apply(&policy).await;
        assert_eq!((report.status, report.counts.removed), (PolicyStatus::Ok, 29), "{what}: {report:?}");
        assert_eq!(db.rows(), 6, "{what}");
    }
    // The owner is exempt where nothing is forced.
    let db = Db::shared().with_sessions(3, 0);
    let role = format!("owner_{}", db.name);
    db.sql(&format!(
        "create role {role} login; alter table tutor_sessions owner to {role}; alter table tutor_sessions enable row level security"
    ));
    let report = apply(&crate::support::policy(&db.server.url_as(&role, &db.name))).await;
    assert_eq!((report.status, report.counts.removed), (PolicyStatus::Ok, 3), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_may_be_seen_and_not_deleted_are_counted_and_check_names_what_is_missing() {
    let db = Db::shared().with_sessions(30, 5);
    let role = format!("reading_{}", db.name);
    db.sql(&format!(
        "create role {role} login; grant select, update, delete on tutor_sessions to {role};
         alter table tutor_sessions enable row level security; create policy s on tutor_sessions for select using (true)"
    ));
    let policy = crate::support::policy(&db.server.url_as(&role, &db.name));
    let findings = cleanup_pg_sessions::check(&policy, Path::new("/"), now()).await;
    let said = "row security applies to public.tutor_sessions, and no policy lets the role delete its rows; they stay";
    assert!(findings.iter().any(|finding| finding.sentence == said), "{findings:?}");
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        let report = apply_by(strategy, &policy).await;
        assert_eq!((report.status, report.errors_total), (PolicyStatus::Partial, 30), "{strategy:?}: {report:?}");
    }
    let planned = plan(&policy).await;
    assert_eq!((planned.status, planned.counts.removed), (PolicyStatus::Partial, 0), "{planned:?}");
    assert_eq!(
        planned.errors[0].error, "30 expired rows stay: no row security policy lets the role delete them",
        "{planned:?}"
    );
}

/// Partitions are swept by themselves, and the table's policies are not asked there.
#[tokio::test(flavor = "multi_thread")]
async fn row_security_of_a_table_is_not_evaded_by_its_partitions() {
    let db = Db::shared();
    let role = format!("tenant_{}", db.name);
    db.sql(&format!(
        "create table tutor_sessions (session_id text, last_activity timestamptz not null) partition by hash (session_id);
         create table p0 partition of tutor_sessions for values with (modulus 1, remainder 0);
         insert into tutor_sessions select 'e' || n, now() - interval '3 hours' from generate_series(1, 20) n;
         create role {role} login; grant select, update, delete on tutor_sessions, p0 to {role};
         alter table tutor_sessions enable row level security;
         create policy mine on tutor_sessions using (session_id = 'e1')"
    ));
    let policy = crate::support::policy(&db.server.url_as(&role, &db.name));
    for report in [apply_by(Strategy::IndexOrder, &policy).await, apply_by(Strategy::HeapOrder, &policy).await] {
        assert_eq!((report.status, report.counts.removed), (PolicyStatus::Partial, 0), "{report:?}");
        assert!(report.errors[0].error.contains("but not to its partition public.p0"), "{report:?}");
    }
    db.sql("alter table p0 enable row level security; create policy mine on p0 using (session_id = 'e1')");
    let report = apply(&policy).await;
    assert_eq!((report.status, report.counts.removed, db.rows()), (PolicyStatus::Ok, 1, 19), "{report:?}");
}

/// The key sees rows that the role does not.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_a_key_refuses_are_named_by_the_key() {
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        let db = Db::shared().with_sessions(30, 5);
        let role = format!("keyed_{}", db.name);
        db.sql(&format!(
            "create table answers (session varchar(36) references tutor_sessions on delete restrict);
             create index on answers (session); insert into answers values ('e7'), ('e8');
             create role {role} login; grant select, update, delete on tutor_sessions to {role};
             grant select on answers to {role}; alter table answers enable row level security"
        ));
        let report = apply_by(strategy, &crate::support::policy(&db.server.url_as(&role, &db.name))).await;
        assert_eq!((report.status, report.counts.removed), (PolicyStatus::Partial, 28), "{strategy:?}: {report:?}");
        assert_eq!((report.errors_total, db.rows()), (2, 7), "{strategy:?}: {report:?}");
        assert!(
            report.errors[0].error.contains("constraint answers_session_fkey of answers"),
            "{strategy:?}: {report:?}"
        );
    }
}

/// A role that may run a statement for 60 ms, and a trigger that takes 5 ms a row: batches of 50 never fit.
#[tokio::test(flavor = "multi_thread")]
async fn a_tiny_statement_timeout_halves_the_batch_and_goes_on() {
    for (strategy, pause, removed) in [
        (Strategy::IndexOrder, "0.005", 60),
        (Strategy::HeapOrder, "0.005", 60),
        (Strategy::IndexOrder, "0.2", 0),
        (Strategy::HeapOrder, "0.2", 0),
    ] {
        let db = Db::shared().with_sessions(60, 5);
        let role = format!("hurried_{}", db.name);
        db.sql(&format!(
            "create role {role} login; grant select, update, delete on tutor_sessions to {role};
             alter role {role} set statement_timeout = '60ms';
             create function slow() returns trigger language plpgsql as $$ begin perform pg_sleep({pause}); return old; end $$;
             create trigger slow before delete on tutor_sessions for each row execute function slow()"
        ));
        let report = apply_by(strategy, &crate::support::policy(&db.server.url_as(&role, &db.name))).await;
        assert_eq!((report.counts.removed, db.rows()), (removed, 65 - removed), "{strategy:?} {report:?}");
        if removed == 0 {
            assert_eq!(report.status, PolicyStatus::Partial);
            assert!(report.errors[0].error.contains("statement_timeout of 60 ms"), "{report:?}");
        } else {
            assert_eq!(report.status, PolicyStatus::Ok, "{report:?}");
        }
    }
}

/// A trigger fails as a serialization failure or a deadlock does: three times, or always.
#[tokio::test(flavor = "multi_thread")]
async fn conflicts_are_tried_again_a_bounded_number_of_times() {
    for (strategy, code, failures, status) in [
        (Strategy::IndexOrder, "40001", 3, PolicyStatus::Ok),
        (Strategy::HeapOrder, "40P01", 3, PolicyStatus::Ok),
        (Strategy::IndexOrder, "40P01", 1_000_000, PolicyStatus::Failed),
        (Strategy::HeapOrder, "40001", 1_000_000, PolicyStatus::Failed),
    ] {
        let db = Db::shared().with_sessions(10, 5);
        // A sequence counts on, although every failed transaction is rolled back.
        db.sql(&format!(
            "create sequence tries;
             create function fail() returns trigger language plpgsql as $$
               begin if old.session_id = 'e5' and nextval('public.tries') <= {failures} then
                 raise exception 'try again' using errcode = '{code}'; end if; return old; end $$;
             create trigger fail before delete on tutor_sessions for each row execute function fail()"
        ));
        let report = apply_by(strategy, &db.policy()).await;
        assert_eq!(report.status, status, "{strategy:?} {report:?}");
        assert!(db.count("select last_value from tries") <= 4);
        assert_eq!(db.rows(), if status == PolicyStatus::Ok { 5 } else { 15 });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_cannot_take_the_rows_is_refused_before_anything_goes() {
    let db = Db::shared().with_sessions(3, 3);
    db.sql("create table narrow (session_id text, last_activity timestamptz); create view old_view as select * from tutor_sessions");
    for (archive, sentence) in [
        (
            "nowhere",
            r#"there is no archive_table nowhere; run: create table "nowhere" (like "public"."tutor_sessions")"#,
        ),
        ("narrow", "archive_table narrow has no column visual_language"),
        ("tutor_sessions", "cannot be the archive_table"),
        ("old_view", "cannot be the archive_table"),
        ("a.b.c", "archive_table: more than"),
    ] {
        let policy = SessionPolicy { archive_table: Some(archive.to_owned()), ..db.policy() };
        assert_failed(&apply(&policy).await, sentence);
        assert_eq!(db.rows(), 6);
    }
}
