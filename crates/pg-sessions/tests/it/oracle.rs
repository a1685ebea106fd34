//! Random tables against an oracle in plain SQL: a copy of the tables, from which every due row is deleted by itself, again
//! and again until nothing goes any more. What the database then still has is what a sweep must have left.
//!
//! Ages are kept a quarter of an hour away from every limit, so that the time between the two says nothing. Each failure
//! names its seed; `CLEANUP_ORACLE_SEED` runs that one alone.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use cleanup_core::policy::{Condition, MaxAge, RowStamp, Scalar, SessionPolicy, Test, TimeFormat};
use cleanup_core::report::PolicyStatus;
use cleanup_pg_sessions::Strategy;
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};

use crate::support::{AfterBatch, Db, file_with, message, now};

/// How long each database is tried.
const BUDGET: Duration = Duration::from_secs(10);

/// More runs than a chain of rows is long.
const MOST_RUNS: u32 = 12;

/// `SplitMix64`.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }
}

/// A type of columns, and how times are written and read in it.
#[derive(Clone, Copy, Debug)]
struct Kind {
    sql: &'static str,
    /// A time `{minutes}` from now.
    write: &'static str,
    /// The moment of a value, in the database's own type of moments.
    read: &'static str,
    sentinels: &'static [&'static str],
    format: Option<TimeFormat>,
    zone: Option<&'static str>,
}

const ISO: &[&str] = &["'infinity'", "'-infinity'", "'0001-01-01'", "'1999-12-30 23:00'", "'2099-01-01'"];
const NUMBERS: &[&str] = &["0", "-1", "4", "2147483647"];

const POSTGRES: &[Kind] = &[
    Kind {
        sql: "timestamptz",
        write: "now() + {minutes} * interval '1 minute'",
        read: "{v}",
        sentinels: ISO,
        format: None,
        zone: None,
    },
    Kind {
        sql: "timestamp",
        write: "(now() + {minutes} * interval '1 minute') at time zone 'America/New_York'",
        read: "{v} at time zone 'America/New_York'",
        sentinels: ISO,
        format: None,
        zone: Some("America/New_York"),
    },
    Kind {
        sql: "timestamp(0)",
        write: "(now() + {minutes} * interval '1 minute') at time zone 'Asia/Kolkata'",
        read: "{v} at time zone 'Asia/Kolkata'",
        sentinels: ISO,
        format: None,
        zone: Some("Asia/Kolkata"),
    },
    Kind {
        sql: "integer",
        write: "extract(epoch from now()) + {minutes} * 60",
        read: "to_timestamp({v})",
        sentinels: NUMBERS,
        format: None,
        zone: None,
    },
    Kind {
        sql: "bigint",
        write: "(extract(epoch from now()) + {minutes} * 60) * 1000",
        read: "to_timestamp({v} / 1000.0)",
        sentinels: NUMBERS,
        format: Some(TimeFormat::Milliseconds),
        zone: None,
    },
    Kind {
        sql: "numeric",
        write: "(extract(epoch from now()) + {minutes} * 60) * 1000000",
        read: "to_timestamp({v} / 1000000.0)",
        sentinels: NUMBERS,
        format: Some(TimeFormat::Microseconds),
        zone: None,
    },
    Kind {
        sql: "double precision",
        write: "(extract(epoch from now()) + {minutes} * 60) / 86400.0 + 2440587.5",
        // What lies beyond is no time that PostgreSQL knows, and plausible in no case.
        read: "case when {v} between 1e6 and 5e6 then to_timestamp(({v} - 2440587.5) * 86400) \
               when {v} is not null then timestamptz '0001-01-01' end",
        sentinels: &["0", "-1", "'-infinity'", "'infinity'", "'NaN'"],
        format: Some(TimeFormat::Julian),
        zone: None,
    },
];

const TEXTS: &[&str] = &["'0001-01-01 00:00:00'", "'1999-12-30 23:00:00'", "'2099-01-01 00:00:00'"];

const SQLITE: &[Kind] = &[
    Kind {
        sql: "datetime",
        write: "strftime('%Y-%m-%d %H:%M:%f', 'now', '{minutes} minutes')",
        read: "julianday({v})",
        sentinels: TEXTS,
        format: None,
        zone: None,
    },
    Kind {
        sql: "text",
        write: "strftime('%Y-%m-%dT%H:%M:%S', 'now', '{minutes} minutes', '330 minutes') || '+05:30'",
        read: "julianday({v})",
        sentinels: TEXTS,
        format: None,
        zone: None,
    },
    Kind {
        sql: "datetime",
        write: "strftime('%Y-%m-%d %H:%M:%S', 'now', '{minutes} minutes', '330 minutes')",
        read: "julianday({v}) - 330 / 1440.0",
        sentinels: TEXTS,
        format: None,
        zone: Some("Asia/Kolkata"),
    },
    Kind {
        sql: "integer",
        write: "unixepoch('now', '{minutes} minutes')",
        read: "{v} / 86400.0 + 2440587.5",
        sentinels: NUMBERS,
        format: None,
        zone: None,
    },
    Kind {
        sql: "",
        write: "unixepoch('now', '{minutes} minutes') * 1000",
        read: "{v} / 86400000.0 + 2440587.5",
        sentinels: NUMBERS,
        format: Some(TimeFormat::Milliseconds),
        zone: None,
    },
    Kind {
        sql: "real",
        write: "julianday('now', '{minutes} minutes') + 0.0000001",
        read: "{v}",
        sentinels: &["0", "-1", "9e999"],
        format: Some(TimeFormat::Julian),
        zone: None,
    },
];

/// A table with its rows and its followers, and the policy for it.
struct Case {
    kind: Kind,
    /// Statements that make everything.
    setup: String,
    /// What a row has to fulfil to be due.
    due: String,
    /// The tables that can change, each with what orders it.
    tables: Vec<&'static str>,
    stamp: RowStamp,
    limit: Duration,
    conditions: Vec<Condition>,
    batch_size: u32,
}

/// What differs between the databases.
struct Dialect {
    kinds: &'static [Kind],
    /// So many minutes before now, as a moment.
    ago: fn(i64) -> String,
    /// From when on, and until when, a moment is one.
    plausible: (&'static str, &'static str),
    index: &'static str,
}

const ON_POSTGRES: Dialect = Dialect {
    kinds: POSTGRES,
    ago: |minutes| format!("now() - {minutes} * interval '1 minute'"),
    plausible: ("timestamptz '2000-01-01 00:00:00+00'", "now() + interval '10 years'"),
    index: "create index on t (",
};

const ON_SQLITE: Dialect = Dialect {
    kinds: SQLITE,
    ago: |minutes| format!("julianday('now', '-{minutes} minutes')"),
    plausible: ("2451544.5", "julianday('now', '10 years')"),
    index: "create index ix on t (",
};

impl Case {
    fn new(random: &mut Random, dialect: &Dialect) -> Self {
        let kind = random.pick(dialect.kinds);
        let expires = random.one_in(2);
        let columns = if expires { 1 } else { 1 + random.below(3) };
        let minutes: i64 = if expires { random.pick(&[0, 60]) } else { 120 };
        let names: Vec<String> = (0..columns).map(|column| format!("at{column}")).collect();
        let mut setup = String::from("create table t (id text primary key");
        for name in &names {
            let _ = write!(setup, ", {name} {}", kind.sql);
        }
        setup.push_str(", kind text, flag integer, parent text references t (id));\n");
        if random.one_in(2) && columns == 1 {
            let _ = writeln!(setup, "{}at0);", dialect.index);
        }
        let follower = random.below(6);
        let mut tables = vec!["t"];
        if follower > 0 {
            let action = match follower {
                2 => "",
                3 => "on delete set null",
                // Also with grandchildren that go along, or that keep what they hang on.
                _ => "on delete cascade",
            };
            let _ = writeln!(
                setup,
                "create table c (id text primary key, t text references t (id) {action}); create index c_t on c (t);"
            );
            tables.push("c");
        }
        if follower > 3 {
            let action = if follower == 4 { "on delete cascade" } else { "" };
            let _ = writeln!(
                setup,
                "create table g (id text primary key, c text references c (id) {action}); create index g_c on g (c);"
            );
            tables.push("g");
        }
        let rows = random.below(60);
        for row in 0..rows {
            let values: Vec<String> = names.iter().map(|_| value(random, kind)).collect();
            let parent =
                if row > 0 && random.one_in(4) { format!("'{}'", random.below(row)) } else { "null".to_owned() };
            let a_kind = random.pick(&["'a'", "'b'", "'x'", "null"]);
            let flag = random.pick(&["0", "1", "null"]);
            let _ =
                writeln!(setup, "insert into t values ('{row}', {}, {a_kind}, {flag}, {parent});", values.join(", "));
        }
        for child in 0..if follower > 0 && rows > 0 { random.below(40) } else { 0 } {
            let _ = writeln!(setup, "insert into c values ('{child}', '{}');", random.below(rows));
            if follower > 3 && random.one_in(2) {
                let _ = writeln!(setup, "insert into g values ('{child}', '{child}');");
            }
        }
        let texts = |values: &[&str]| values.iter().map(|value| Scalar::Text((*value).to_owned())).collect();
        let (conditions, asked) = match random.below(5) {
            0 => (vec![("kind", Test::OneOf(texts(&["a", "b"])))], "kind in ('a', 'b')"),
            1 => (vec![("kind", Test::NoneOf(texts(&["x"])))], "kind <> 'x'"),
            2 => (vec![("flag", Test::Null(true))], "flag is null"),
            3 => (
                vec![("flag", Test::OneOf(vec![Scalar::Integer(1)])), ("kind", Test::Null(false))],
                "flag = 1 and kind is not null",
            ),
            _ => (Vec::new(), "true"),
        };
        let condition = |(column, test): (&str, Test)| Condition { column: column.to_owned(), test };
        let conditions = conditions.into_iter().map(condition).collect();
        let stamp = match &names[..] {
            [name] => name.clone(),
            names => format!("coalesce({})", names.join(", ")),
        };
        let (from, to) = dialect.plausible;
        let read = kind.read.replace("{v}", &stamp);
        let due = format!("{asked} and {read} < {} and {read} between {from} and {to}", (dialect.ago)(minutes));
        let limit = Duration::from_secs(u64::try_from(minutes).unwrap() * 60);
        let stamp = if expires {
            RowStamp::Expiry { column: names[0].clone(), grace: limit }
        } else {
            RowStamp::Activity(names)
        };
        Self { kind, setup, due, tables, stamp, limit, conditions, batch_size: random.pick(&[1, 7, 500]) }
    }

    fn policy(&self, policy: SessionPolicy) -> SessionPolicy {
        let mut policy = SessionPolicy {
            table: "t".to_owned(),
            id_column: "id".to_owned(),
            stamp: self.stamp.clone(),
            conditions: self.conditions.clone(),
            activity_time_zone: self.kind.zone.map(ToOwned::to_owned),
            time_format: self.kind.format,
            batch_size: self.batch_size,
            ..policy
        };
        let idles = matches!(self.stamp, RowStamp::Activity(_));
        policy.rule.max_age = MaxAge::new(self.limit).filter(|_| idles);
        policy
    }
}

/// A value, most of them a quarter of an hour or more from every limit.
fn value(random: &mut Random, kind: Kind) -> String {
    if random.one_in(8) {
        return "null".to_owned();
    }
    if random.one_in(8) {
        return random.pick(kind.sentinels).to_owned();
    }
    let minutes = random.pick(&[-400_000, -9000, -1500, -700, -300, -135, -105, -75, -45, -15, 15, 60, 300, 9000]);
    kind.write.replace("{minutes}", &minutes.to_string())
}

/// The seeds to be tried: a given one alone, or one after another until the time is up.
fn seeds() -> impl Iterator<Item = u64> {
    let given = std::env::var("CLEANUP_ORACLE_SEED").ok().and_then(|seed| seed.parse().ok());
    let begun = Instant::now();
    let first = RandomState::new().hash_one("oracle");
    (0_u64..)
        .take_while(move |round| if given.is_some() { *round == 0 } else { begun.elapsed() < BUDGET })
        .map(move |round| given.unwrap_or_else(|| first.wrapping_add(round)))
}

/// Sweeps until nothing goes any more; whether the policy was refused because most values are no times.
async fn sweep_to_the_end(policy: &SessionPolicy, way: Option<Strategy>, seed: u64) -> bool {
    for run in 0..MOST_RUNS {
        let report = match way {
            Some(way) => cleanup_pg_sessions::sweep_by(way, policy, Path::new("/"), now(), &()).await,
            None => {
                cleanup_pg_sessions::sweep(policy, Path::new("/"), cleanup_core::sweep::Mode::Apply, now(), &()).await
            }
        };
        if report.status == PolicyStatus::Failed && message(&report).contains("implausible time") {
            assert_eq!(report.counts.removed, 0, "seed {seed}: {report:?}");
            // What was plausible may have been just what went in the run before.
            return run == 0;
        }
        assert!(matches!(report.status, PolicyStatus::Ok | PolicyStatus::Partial), "seed {seed}: {report:?}");
        if report.counts.removed == 0 {
            return false;
        }
    }
    panic!("seed {seed}: there was no end to it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_keeps_exactly_what_plain_sql_keeps() {
    let mut rounds = 0;
    let db = Db::shared();
    for seed in seeds() {
        let mut random = Random(seed);
        let case = Case::new(&mut random, &ON_POSTGRES);
        let policy = case.policy(db.policy());
        // One transaction, so that `now()` is the same in both copies.
        db.sql(&format!(
            "begin; drop schema if exists oracle cascade; drop schema public cascade; create schema public; create schema oracle;
             {setup} set local search_path = oracle; {setup} commit; analyze",
            setup = case.setup
        ));
        let way = random.pick(&[None, Some(Strategy::IndexOrder), Some(Strategy::HeapOrder)]);
        let refused = sweep_to_the_end(&policy, way, seed).await;
        let due = if refused { "false" } else { &case.due };
        db.sql(&format!(
            "set search_path = oracle;
             do $$ declare row record; gone int; begin
               loop
                 gone := 0;
                 for row in select id from t where {due} loop
                   begin
                     delete from t where id = row.id;
                     gone := gone + 1;
                   exception when foreign_key_violation then null;
                   end;
                 end loop;
                 exit when gone = 0;
               end loop;
             end $$"
        ));
        for table in &case.tables {
            let left =
                |schema| db.sql(&format!("select string_agg(r::text, E'\\n' order by id) from {schema}.{table} r"));
            assert_eq!(
                left("public"),
                left("oracle"),
                "seed {seed}, {table}, {way:?}, due: {}\n{}",
                case.due,
                case.setup
            );
        }
        rounds += 1;
    }
    println!("{rounds} rounds");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_keeps_exactly_what_plain_sql_keeps() {
    let mut rounds = 0;
    let folder = tempfile::tempdir().unwrap();
    for seed in seeds() {
        let mut random = Random(seed);
        let case = Case::new(&mut random, &ON_SQLITE);
        let (policy, app) = file_with(folder.path(), &case.setup).await;
        app.close().await.unwrap();
        let copy = folder.path().join("oracle.db");
        std::fs::copy(folder.path().join("app.db"), &copy).unwrap();
        let way = random.pick(&[None, Some(Strategy::IndexOrder), Some(Strategy::HeapOrder)]);
        let refused = sweep_to_the_end(&case.policy(policy), way, seed).await;

        let url = |file: &str| format!("sqlite://{}", folder.path().join(file).display());
        let mut oracle = SqliteConnection::connect(&url("oracle.db")).await.unwrap();
        let due = if refused { "false" } else { &case.due };
        loop {
            let ids = format!("select id from t where {due}");
            let ids: Vec<String> = sqlx::query_scalar(AssertSqlSafe(ids)).fetch_all(&mut oracle).await.unwrap();
            let mut gone = 0;
            for id in ids {
                let deleted = sqlx::query("delete from t where id = ?1").bind(id).execute(&mut oracle).await;
                gone += deleted.map_or(0, |done| done.rows_affected());
            }
            if gone == 0 {
                break;
            }
        }
        let mut swept = SqliteConnection::connect(&url("app.db")).await.unwrap();
        for table in &case.tables {
            let second = if *table == "t" {
                "coalesce(parent, '-')"
            } else if *table == "c" {
                "coalesce(t, '-')"
            } else {
                "c"
            };
            let left = format!("select id || ' ' || {second} from {table} order by id");
            let left = async |file: &mut SqliteConnection| -> Vec<String> {
                sqlx::query_scalar(AssertSqlSafe(left.clone())).fetch_all(file).await.unwrap()
            };
            let (ours, theirs) = (left(&mut swept).await, left(&mut oracle).await);
            assert_eq!(ours, theirs, "seed {seed}, {table}, {way:?}, due: {}\n{}", case.due, case.setup);
        }
        swept.close().await.unwrap();
        oracle.close().await.unwrap();
        std::fs::remove_file(&copy).unwrap();
        rounds += 1;
    }
    println!("{rounds} rounds");
}

/// Between any two batches some sessions come back; none of them may be gone at the end.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_touched_during_a_run_is_never_gone() {
    let begun = Instant::now();
    let mut seed = RandomState::new().hash_one("touches");
    while begun.elapsed() < BUDGET / 2 {
        seed = seed.wrapping_add(1);
        let mut random = Random(seed);
        let db = Db::shared();
        let index = if random.one_in(2) { "create index on t (at);" } else { "" };
        let child = if random.one_in(2) {
            "create table c (t text references t on delete cascade); create index on c (t); insert into c select id from t;"
        } else {
            ""
        };
        db.sql(&format!(
            "create table t (id text primary key, at timestamptz); {index}
             insert into t select n::text, now() - interval '3 hours' from generate_series(1, 600) n; {child} analyze"
        ));
        let policy = SessionPolicy {
            table: "t".to_owned(),
            id_column: "id".to_owned(),
            stamp: RowStamp::Activity(vec!["at".to_owned()]),
            batch_size: random.pick(&[5, 20, 50]),
            ..db.policy()
        };
        let random = Mutex::new(random);
        let touched = Mutex::new(BTreeSet::new());
        let touch = |_| {
            let ids: Vec<String> = (0..10).map(|_| format!("'{}'", 1 + random.lock().unwrap().below(600))).collect();
            let back = db.sql(&format!("update t set at = now() where id in ({}) returning id", ids.join(", ")));
            touched.lock().unwrap().extend(back.lines().map(ToOwned::to_owned));
        };
        // One that writes all the time, beside one that writes between two batches.
        let (name, url) = (db.name.clone(), db.server.url(&db.name));
        let end = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let writer = tokio::spawn({
            let end = end.clone();
            async move {
                let mut app = <sqlx::PgConnection as sqlx::Connection>::connect(&url).await.unwrap();
                let (mut random, mut touched) = (Random(seed ^ 7), Vec::new());
                while !end.load(std::sync::atomic::Ordering::SeqCst) {
                    let id = (1 + random.below(600)).to_string();
                    let sql = "update t set at = now() where id = $1 returning id";
                    let back: Option<String> = sqlx::query_scalar(sql).bind(id).fetch_optional(&mut app).await.unwrap();
                    touched.extend(back);
                }
                touched
            }
        });
        let way = if seed.is_multiple_of(2) { Strategy::IndexOrder } else { Strategy::HeapOrder };
        let observer = AfterBatch::new(touch);
        let report = cleanup_pg_sessions::sweep_by(way, &policy, Path::new("/"), now(), &observer).await;
        end.store(true, std::sync::atomic::Ordering::SeqCst);
        let mut touched = touched.into_inner().unwrap();
        touched.extend(writer.await.unwrap());
        let left: BTreeSet<String> = db.sql("select id from t").lines().map(ToOwned::to_owned).collect();
        let lost: Vec<_> = touched.difference(&left).collect();
        assert!(lost.is_empty(), "seed {seed}, {way:?}, {name}: {lost:?} {report:?}");
        assert!(!touched.is_empty() && report.counts.removed > 0, "seed {seed}: {report:?}");
    }
}

/// A row that is due would take a live one along, and nobody would have asked about that one.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_whose_rows_take_each_other_along_is_refused() {
    let setup = "create table tutor_sessions (session_id text primary key, last_activity {type},
                   parent text references tutor_sessions on delete cascade);
                 create index ix on tutor_sessions (parent);
                 insert into tutor_sessions values ('old', {old}, null), ('live', {now}, 'old')";
    let db = Db::shared();
    let with =
        |kind: &str, old: &str, now: &str| setup.replace("{type}", kind).replace("{old}", old).replace("{now}", now);
    db.sql(&with("timestamptz", "now() - interval '1 day'", "now()"));
    let folder = tempfile::tempdir().unwrap();
    let (policy, mut file) = file_with(folder.path(), &with("integer", "unixepoch() - 86400", "unixepoch()")).await;
    for policy in [db.policy(), policy] {
        let report = crate::support::apply(&policy).await;
        assert_eq!((report.status, report.counts.removed), (PolicyStatus::Failed, 0), "{report:?}");
        assert!(message(&report).contains("itself with on delete cascade"), "{report:?}");
    }
    assert_eq!(db.rows(), 2);
    let rows: i64 = sqlx::query_scalar("select count(*) from tutor_sessions").fetch_one(&mut file).await.unwrap();
    assert_eq!(rows, 2);
}
