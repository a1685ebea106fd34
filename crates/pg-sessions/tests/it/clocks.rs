//! Which clock wrote the activity, and in which unit: where either may be another than we read, every live row stays.

use std::path::Path;
use std::time::Duration;

use cleanup_core::moment::Moment;
use cleanup_core::policy::{MaxAge, SessionPolicy, TimeFormat};
use cleanup_core::report::{PolicyReport, PolicyStatus};
use cleanup_core::sweep::Mode;
use cleanup_pg_sessions::{Severity, Strategy, Wall};
use sqlx::{Connection as _, SqliteConnection};

use crate::support::{Db, apply, apply_by, file_with, message, now, plan};

const MINUTE: Duration = Duration::from_mins(1);

async fn sweep(policy: &SessionPolicy, mode: Mode, wall: impl Into<Wall>) -> PolicyReport {
    cleanup_pg_sessions::sweep(policy, Path::new("/"), mode, wall, &()).await
}

fn idle(policy: SessionPolicy, limit: Duration) -> SessionPolicy {
    let mut policy = policy;
    policy.rule.max_age = MaxAge::new(limit);
    policy
}

fn formatted(policy: &SessionPolicy, format: TimeFormat) -> SessionPolicy {
    SessionPolicy { time_format: Some(format), ..policy.clone() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_whose_clock_is_hours_off_is_held_until_a_person_has_looked() {
    let three_hours = Duration::from_hours(3);
    for (ours, word) in [(now().minus(three_hours), "ahead of"), (now().plus(three_hours), "behind")] {
        let db = Db::shared().with_sessions(7, 3);
        for mode in [Mode::Plan, Mode::Apply] {
            let report = sweep(&db.policy(), mode, ours).await;
            assert_eq!((report.status, report.counts.removed, db.rows()), (PolicyStatus::Held, 0, 10), "{report:?}");
            let said = message(&report);
            assert!(said.starts_with("held back: the database's clock says 20"), "{said}");
            assert!(said.contains(&format!(" {word} this machine's, which says 20")), "{said}");
            assert!(said.contains("3h") || said.contains("2h59m"), "{said}");
            assert!(said.ends_with("run once with --force"), "{said}");
        }
        let planned = cleanup_pg_sessions::plan_at(&db.policy(), Path::new("/"), ours, ours.plus(MINUTE)).await;
        assert_eq!(planned.status, PolicyStatus::Held);
        let findings = cleanup_pg_sessions::check(&db.policy(), Path::new("/"), ours).await;
        let held: Vec<_> = findings.iter().filter(|finding| finding.severity == Severity::Held).collect();
        assert_eq!(held.len(), 1, "{findings:?}");
        let stats = cleanup_pg_sessions::stats(&db.policy(), Path::new("/"), ours).await.unwrap();
        assert!(stats.notes[0].contains(word), "{stats:?}");

        let forced = sweep(&db.policy(), Mode::Apply, Wall::from(ours).unheeded()).await;
        assert_eq!((forced.status, forced.counts.removed, db.rows()), (PolicyStatus::Ok, 7, 3), "{forced:?}");
        assert!(message(&forced).contains("; removal follows the database's"), "{}", message(&forced));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_differ_by_less_are_a_note() {
    let db = Db::shared().with_sessions(7, 3);
    // A tenth of two hours are twelve minutes.
    for (off, noted) in [(Duration::ZERO, false), (MINUTE, true), (11 * MINUTE, true)] {
        let report = sweep(&db.policy(), Mode::Plan, now().minus(off)).await;
        assert_eq!((report.status, report.counts.due), (PolicyStatus::Ok, 7), "{off:?} {report:?}");
        assert_eq!(message(&report).contains("ahead of this machine's"), noted, "{off:?} {report:?}");
    }
    let off = now().minus(13 * MINUTE);
    assert_eq!(sweep(&db.policy(), Mode::Plan, off).await.status, PolicyStatus::Held);
    let longer = idle(db.policy(), Duration::from_hours(3));
    assert_eq!(sweep(&longer, Mode::Plan, off).await.status, PolicyStatus::Ok);
    // However short the limit, five minutes are no reason.
    let shorter = idle(db.policy(), Duration::from_secs(1));
    assert_eq!(sweep(&shorter, Mode::Plan, now().minus(4 * MINUTE)).await.status, PolicyStatus::Ok);
    assert_eq!(sweep(&shorter, Mode::Plan, now().minus(6 * MINUTE)).await.status, PolicyStatus::Held);
}

#[tokio::test(flavor = "multi_thread")]
async fn activity_ahead_of_the_database_is_said_unless_the_column_holds_ends() {
    let db = Db::shared().with_sessions(7, 3);
    db.sql("insert into tutor_sessions (session_id, last_activity) values ('ahead', now() + interval '3 hours')");
    let said = "the newest public.tutor_sessions.last_activity is 2h59m";
    let report = apply(&db.policy()).await;
    assert_eq!((report.status, report.counts.removed, db.rows()), (PolicyStatus::Ok, 7, 4), "{report:?}");
    assert!(message(&report).contains(said), "{}", message(&report));
    let findings = cleanup_pg_sessions::check(&db.policy(), Path::new("/"), now()).await;
    assert!(findings.iter().any(|finding| finding.sentence.contains(said)), "{findings:?}");
    let stats = cleanup_pg_sessions::stats(&db.policy(), Path::new("/"), now()).await.unwrap();
    assert!(stats.notes.iter().any(|note| note.contains(said)), "{stats:?}");

    // A column that holds when a session ends works with a limit of a second, and then of course lies ahead.
    let ends = apply(&idle(db.policy(), Duration::from_secs(1))).await;
    assert_eq!((ends.status, ends.message.as_deref(), db.rows()), (PolicyStatus::Ok, None, 1), "{ends:?}");
}

/// Columns of numbers as frameworks make them.
#[tokio::test(flavor = "multi_thread")]
async fn numbers_on_the_server_go_by_their_unit() {
    let unix = "extract(epoch from now() - make_interval(mins => m))";
    for (kind, value, format) in [
        ("integer", unix.to_owned(), None),
        ("bigint", unix.to_owned(), Some(TimeFormat::Seconds)),
        ("double precision", unix.to_owned(), None),
        ("numeric(20, 6)", unix.to_owned(), None),
        ("bigint", format!("{unix} * 1000"), Some(TimeFormat::Milliseconds)),
        ("numeric", format!("{unix} * 1000"), Some(TimeFormat::Milliseconds)),
        ("bigint", format!("{unix} * 1000000"), Some(TimeFormat::Microseconds)),
        ("double precision", format!("{unix} / 86400.0 + 2440587.5"), Some(TimeFormat::Julian)),
    ] {
        for (strategy, index) in
            [(Strategy::IndexOrder, true), (Strategy::IndexOrder, false), (Strategy::HeapOrder, true)]
        {
            let db = Db::shared();
            db.sql(&format!(
                "create table tutor_sessions (session_id text, last_activity {kind});
                 insert into tutor_sessions select 'l' || m, {value} from generate_series(1, 119) m;
                 insert into tutor_sessions select 'e' || m, {value} from generate_series(121, 180) m;
                 insert into tutor_sessions select 'f' || -m, {value} from generate_series(-3, -2) m;
                 insert into tutor_sessions values ('null', null), ('zero', 0), ('negative', -1)"
            ));
            if index {
                db.sql("create index on tutor_sessions (last_activity)");
            }
            let policy = SessionPolicy { time_format: format, batch_size: 1, ..db.policy() };
            let counts = plan(&policy).await.counts;
            assert_eq!(
                (counts.due, counts.kept.future, counts.kept.implausible, counts.kept.within_limits),
                (60, 2, 2, 120),
                "{kind} {value}"
            );
            let stats = cleanup_pg_sessions::stats(&policy, Path::new("/"), now()).await.unwrap();
            assert_eq!((stats.expired_rows, stats.implausible_rows), (60, 2), "{kind} {value}");
            let age = |moment: Option<Moment>| now().since(moment.unwrap()).unwrap().as_secs() / 60;
            assert!((179..=181).contains(&age(stats.oldest)), "{kind} {value} {stats:?}");
            let report = apply_by(strategy, &policy).await;
            assert_eq!((report.status, report.counts.removed), (PolicyStatus::Ok, 60), "{kind} {value} {report:?}");
            assert_eq!(report.counts.kept.implausible, 2, "{kind} {value}");
            assert_eq!(db.count("select count(*) from tutor_sessions where session_id ~ '^[lfnz]'"), 124);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_is_read_in_the_wrong_unit_is_refused_with_the_line_to_add() {
    let db = Db::shared();
    db.sql(
        "create table tutor_sessions (session_id text, last_activity bigint);
         insert into tutor_sessions select 'l' || n, extract(epoch from now()) * 1000 from generate_series(1, 30) n;
         create table no_times (session_id text, last_activity timestamptz);
         insert into no_times select n, '-infinity' from generate_series(1, 6) n;
         insert into no_times select n, '2020-01-01' from generate_series(1, 5) n;
         create table never (session_id text, last_activity timestamptz);
         insert into never select n, 'infinity' from generate_series(1, 6) n; insert into never values ('e', '2020-01-01')",
    );
    let refused = |report: &PolicyReport, with: &str| {
        assert_eq!((report.status, report.counts.removed), (PolicyStatus::Failed, 0), "{report:?}");
        assert!(message(report).contains(with), "{}", message(report));
    };
    let line = "30 of them are: add the line time_format = \"milliseconds\" to [sessions.tutor-sessions]";
    for report in [apply(&db.policy()).await, plan(&db.policy()).await] {
        refused(&report, "30 of 30 values of public.tutor_sessions.last_activity, read as seconds since 1970");
        refused(&report, line);
    }
    let findings = cleanup_pg_sessions::check(&db.policy(), Path::new("/"), now()).await;
    let problem = |finding: &&cleanup_pg_sessions::Finding| finding.severity == Severity::Problem;
    assert!(findings.iter().find(problem).unwrap().sentence.ends_with(line), "{findings:?}");
    let stats = cleanup_pg_sessions::stats(&db.policy(), Path::new("/"), now()).await.unwrap();
    assert!(stats.notes[0].ends_with(line) && stats.expired_rows == 0, "{stats:?}");
    assert_eq!(apply(&formatted(&db.policy(), TimeFormat::Milliseconds)).await.status, PolicyStatus::Ok);
    refused(
        &apply(&formatted(&db.policy(), TimeFormat::Iso8601)).await,
        "which time_format = \"iso8601\" does not fit",
    );

    let no_times = db.policy_for("no_times");
    refused(&apply(&formatted(&no_times, TimeFormat::Seconds)).await, "which time_format = \"seconds\" does not fit");
    // A timestamp is never read in the wrong unit: what stands for "never" stays, and the rest goes.
    let report = apply(&no_times).await;
    let counts = (report.counts.removed, report.counts.kept.implausible);
    assert_eq!((report.status, counts), (PolicyStatus::Ok, (5, 6)), "{report:?}");
    assert_eq!(apply(&formatted(&db.policy_for("never"), TimeFormat::Timestamp)).await.counts.removed, 1);
}

async fn left(connection: &mut SqliteConnection) -> Vec<String> {
    let ids = "select session_id from tutor_sessions order by session_id";
    sqlx::query_scalar(ids).fetch_all(connection).await.unwrap()
}

/// What applications write into numbers of SQLite, all of them live.
#[tokio::test(flavor = "multi_thread")]
async fn live_rows_stay_in_whatever_unit_and_from_whatever_epoch_they_count() {
    let folder = tempfile::tempdir().unwrap();
    let unix = "(unixepoch() - m * 60)";
    let (mac, apple) = (format!("({unix} + 2082844800)"), format!("({unix} - 978307200)"));
    let mut cases = vec![
        ("julianday('now', '-' || m || ' minutes')".to_owned(), Some(TimeFormat::Julian)),
        (format!("{unix} * 1000 + 123"), Some(TimeFormat::Milliseconds)),
        (format!("{unix} * 1000.0"), Some(TimeFormat::Milliseconds)),
        (format!("{unix} * 1000000 + 123456"), Some(TimeFormat::Microseconds)),
        (format!("{unix} * 1000000000"), None),
        (mac.clone(), None),
        (apple.clone(), None),
        (format!("{mac} * 1000"), None),
        (format!("{apple} * 1000"), None),
    ];
    for seconds in [60, 3600, 86_400] {
        cases.extend([unix, &mac, &apple].map(|epoch| (format!("{epoch} / {seconds}"), None)));
    }
    for (value, format) in cases {
        for (strategy, index) in [(Strategy::IndexOrder, true), (Strategy::HeapOrder, false)] {
            let setup = format!(
                "create table tutor_sessions (session_id text primary key, last_activity);
                 with recursive n(m) as (select 0 union all select m + 1 from n where m < 119)
                 insert into tutor_sessions select printf('l%03d', m), {value} from n;
                 with recursive n(m) as (select 121 union all select m + 1 from n where m < 180)
                 insert into tutor_sessions select printf('old%03d', m), {value} from n;
                 {}",
                if index { "create index ix on tutor_sessions (last_activity)" } else { "" }
            );
            let (policy, mut connection) = file_with(folder.path(), &setup).await;
            let report = apply_by(strategy, &policy).await;
            assert_eq!((report.status, report.counts.removed), (PolicyStatus::Failed, 0), "{value} {report:?}");
            let way_out = match format {
                Some(format) => format!("add the line time_format = \"{}\" to [sessions.tutor-sessions]", format.key()),
                None => "no time_format matches them, so name another activity_column".to_owned(),
            };
            assert!(message(&report).ends_with(&way_out), "{value} {report:?}");
            assert_eq!(left(&mut connection).await.len(), 180);

            if let Some(format) = format {
                let policy = SessionPolicy { batch_size: 1, ..formatted(&policy, format) };
                assert_eq!(plan(&policy).await.counts.due, 60, "{value}");
                let stats = cleanup_pg_sessions::stats(&policy, Path::new("/"), now()).await.unwrap();
                let oldest = now().since(stats.oldest.unwrap()).unwrap().as_secs() / 60;
                assert!((179..=181).contains(&oldest), "{value} {stats:?}");
                let report = apply_by(strategy, &policy).await;
                assert_eq!((report.status, report.counts.removed), (PolicyStatus::Ok, 60), "{value} {report:?}");
                assert!(left(&mut connection).await.iter().all(|id| id.starts_with('l')), "{value}");
            }
            connection.close().await.unwrap();
        }
    }
}

/// A day of the Julian calendar without a fraction may mean any moment of that day.
#[tokio::test(flavor = "multi_thread")]
async fn whole_days_are_idle_when_all_of_the_day_is() {
    let folder = tempfile::tempdir().unwrap();
    let setup = "create table tutor_sessions (session_id text primary key, last_activity);
                 insert into tutor_sessions values ('live', cast(julianday('now') as integer)),
                 ('old', cast(julianday('now') as integer) - 2)";
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        let (policy, mut connection) = file_with(folder.path(), setup).await;
        let report = apply_by(strategy, &formatted(&policy, TimeFormat::Julian)).await;
        assert_eq!((report.status, report.counts.removed), (PolicyStatus::Ok, 1), "{report:?}");
        assert_eq!(left(&mut connection).await, ["live"]);
        connection.close().await.unwrap();
    }
    for kind in ["double precision", "numeric"] {
        let db = Db::shared();
        let today = "floor(extract(epoch from now()) / 86400.0 + 2440587.5)";
        db.sql(&format!(
            "create table tutor_sessions (session_id text, last_activity {kind});
             insert into tutor_sessions values ('live', {today}), ('old', {today} - 2)"
        ));
        let report = apply_by(Strategy::IndexOrder, &formatted(&db.policy(), TimeFormat::Julian)).await;
        assert_eq!((report.status, report.counts.removed), (PolicyStatus::Ok, 1), "{kind} {report:?}");
        assert_eq!(db.count("select count(*) from tutor_sessions where session_id = 'live'"), 1, "{kind}");
    }
}

/// Most seconds have no exact fraction of a day.
#[tokio::test(flavor = "multi_thread")]
async fn days_are_shown_as_the_second_that_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let db = Db::shared();
    db.sql("create table tutor_sessions (session_id text, last_activity double precision)");
    for second in 0..20_u64 {
        let unix = 1_767_225_600 + second * 4_321;
        let expected = Some(Moment::EPOCH.plus(Duration::from_secs(unix)));
        let setup = format!(
            "create table tutor_sessions (session_id text primary key, last_activity);
             insert into tutor_sessions values ('e', julianday({unix}, 'unixepoch'))"
        );
        let (policy, connection) = file_with(folder.path(), &setup).await;
        connection.close().await.unwrap();
        db.sql(&format!(
            "truncate tutor_sessions; insert into tutor_sessions values ('e', {unix} / 86400.0::float8 + 2440587.5::float8)"
        ));
        for policy in [policy, db.policy()] {
            let policy = formatted(&policy, TimeFormat::Julian);
            let stats = cleanup_pg_sessions::stats(&policy, Path::new("/"), now()).await.unwrap();
            assert_eq!((stats.oldest, stats.newest), (expected, expected), "{unix}");
            let rows = cleanup_pg_sessions::explain(&policy, Path::new("/"), now(), "e").await.unwrap();
            assert_eq!(rows.rows[0].stamp, expected, "{unix}");
        }
    }
}

/// Any spelling of ISO 8601, with any offset, beside the others in one column: what goes is what another reader of
/// such texts finds idle.
#[tokio::test(flavor = "multi_thread")]
async fn text_goes_by_the_moment_that_it_names() {
    let folder = tempfile::tempdir().unwrap();
    for (strategy, index) in [(Strategy::IndexOrder, true), (Strategy::IndexOrder, false), (Strategy::HeapOrder, false)]
    {
        let (mut rows, mut live) = (Vec::new(), Vec::new());
        let started = jiff::Timestamp::now();
        for n in 0..600_i64 {
            // From 28 hours before to 2 hours after, never within half a minute of the limit.
            let minutes = n * 3 - 120;
            let stamp = started - jiff::SignedDuration::from_secs(minutes * 60 + 30);
            let offset = (n * 7 % 53 - 26) * 30;
            let local = stamp + jiff::SignedDuration::from_mins(if n % 3 == 0 { 0 } else { offset });
            let separator = if n % 2 == 0 { ' ' } else { 'T' };
            let fraction = ["", ".5", ".123", ".678901", ".123456789"][usize::try_from(n % 5).unwrap()];
            let zone = match n % 3 {
                0 if n % 2 == 0 => String::new(),
                0 => "Z".to_owned(),
                _ => format!("{}{:02}:{:02}", if offset < 0 { '-' } else { '+' }, offset.abs() / 60, offset.abs() % 60),
            };
            rows.push(format!(
                "('s{n:03}', '{}{fraction}{zone}')",
                local.strftime(&format!("%Y-%m-%d{separator}%H:%M:%S"))
            ));
            if minutes < 120 {
                live.push(format!("s{n:03}"));
            }
        }
        let setup = format!(
            "create table tutor_sessions (session_id text primary key, last_activity datetime);
             insert into tutor_sessions values {}; {}",
            rows.join(", "),
            if index { "create index ix on tutor_sessions (last_activity)" } else { "" }
        );
        let (policy, mut connection) = file_with(folder.path(), &setup).await;
        let policy = SessionPolicy { batch_size: 50, ..policy };
        let due = 600 - u64::try_from(live.len()).unwrap();
        assert_eq!(plan(&policy).await.counts.due, due);
        let report = apply_by(strategy, &formatted(&policy, TimeFormat::Iso8601)).await;
        assert_eq!((report.status, report.counts.removed), (PolicyStatus::Ok, due), "{strategy:?} {report:?}");
        assert_eq!(left(&mut connection).await, live, "{strategy:?}");
        connection.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_few_values_that_are_no_times_stay_and_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        let (policy, mut connection) = file_with(
            folder.path(),
            "create table tutor_sessions (session_id text primary key, last_activity integer);
             insert into tutor_sessions values ('due1', unixepoch() - 7260), ('due2', 946684801), ('live1', unixepoch()),
               ('live2', unixepoch() - 7000), ('live3', unixepoch()), ('millis', unixepoch() * 1000), ('minus', -1),
               ('null', null), ('too early', 946684799), ('zero', 0)",
        )
        .await;
        let planned = plan(&policy).await.counts;
        assert_eq!((planned.due, planned.kept.implausible, planned.kept.within_limits), (2, 4, 4), "{planned:?}");
        let report = apply_by(strategy, &policy).await;
        assert_eq!((report.status, report.counts.removed), (PolicyStatus::Ok, 2), "{report:?}");
        assert_eq!(report.counts.kept.implausible, 4);
        assert_eq!(
            left(&mut connection).await,
            ["live1", "live2", "live3", "millis", "minus", "null", "too early", "zero"]
        );
        connection.close().await.unwrap();
    }
    // A format that the values do not have, or that SQLite does not know.
    let (policy, mut connection) = file_with(
        folder.path(),
        "create table tutor_sessions (session_id text primary key, last_activity datetime);
         insert into tutor_sessions values ('due', '2020-01-01 00:00:00'), ('live', datetime('now'))",
    )
    .await;
    for (format, said) in [
        (TimeFormat::Seconds, "time_format = \"seconds\" needs the same form in all rows"),
        (TimeFormat::Timestamp, "SQLite has no timestamps of its own"),
    ] {
        let report = apply(&formatted(&policy, format)).await;
        assert_eq!((report.status, left(&mut connection).await.len()), (PolicyStatus::Failed, 2), "{report:?}");
        assert!(message(&report).contains(said), "{}", message(&report));
    }
    connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn activity_ahead_of_a_file_s_clock_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let (policy, mut connection) = file_with(
        folder.path(),
        "create table tutor_sessions (session_id text primary key, last_activity datetime);
         insert into tutor_sessions values ('ahead', datetime('now', '+3 hours')), ('due', datetime('now', '-3 hours'))",
    )
    .await;
    let said = "the newest main.tutor_sessions.last_activity is ";
    let findings = cleanup_pg_sessions::check(&policy, Path::new("/"), now()).await;
    assert!(findings.iter().any(|finding| finding.sentence.starts_with(said)), "{findings:?}");
    let report = apply(&policy).await;
    assert_eq!((report.status, report.counts.removed), (PolicyStatus::Ok, 1), "{report:?}");
    assert!(message(&report).starts_with(said), "{}", message(&report));
    let ends = apply(&idle(policy, Duration::from_secs(1))).await;
    assert_eq!((ends.message.as_deref(), left(&mut connection).await), (None, vec!["ahead".to_owned()]));
    connection.close().await.unwrap();
}

/// Of a partition alone most values may be no times; it is the whole table that counts.
#[tokio::test(flavor = "multi_thread")]
async fn partitions_are_read_in_one_unit_and_their_rows_without_a_time_stay() {
    let db = Db::shared();
    db.sql(
        "create table tutor_sessions (session_id text, last_activity bigint) partition by range (last_activity);
         create table p_early partition of tutor_sessions for values from (minvalue) to (946684800000);
         create table p_rest partition of tutor_sessions default;
         create table archive (session_id text, last_activity bigint);
         insert into tutor_sessions select 'z' || n, n from generate_series(1, 20) n;
         insert into tutor_sessions select 'e' || n, extract(epoch from now() - interval '3 hours') * 1000 from generate_series(1, 30) n;
         insert into tutor_sessions select 'l' || n, extract(epoch from now() - interval '1 hour') * 1000 from generate_series(1, 30) n",
    );
    assert_eq!(apply(&db.policy()).await.status, PolicyStatus::Failed);
    let policy = formatted(&db.policy(), TimeFormat::Milliseconds);
    let policy = SessionPolicy { archive_table: Some("archive".to_owned()), ..policy };
    let report = apply(&policy).await;
    assert_eq!((report.status, report.counts.removed), (PolicyStatus::Ok, 30), "{report:?}");
    assert_eq!((report.counts.kept.implausible, db.rows(), db.count("select count(*) from archive")), (20, 50, 30));
}
