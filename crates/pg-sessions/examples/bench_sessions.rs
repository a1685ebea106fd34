//! How fast session rows go, and what the application feels of it: beside others, in one run, on a server of its own.
//!
//! `cargo run --release -p cleanup-pg-sessions --example bench_sessions [-- --full]`. Half of the rows are expired, each
//! row has 2 kB. While a method works, an application touches 400 live rows a second and brings 50 expired ones back to
//! life, on connections of its own and on a fixed timetable: what has to queue counts as slow. The figures of one run
//! compare with each other and with nothing else.

#![allow(clippy::print_stderr, clippy::print_stdout, clippy::unwrap_used, reason = "a program for people who measure")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cleanup_core::policy::{
    Archives, Brakes, Database, Effect, MaxAge, Pace, Partitions, Policy, RowStamp, SessionPolicy,
};
use cleanup_core::report::PolicyStatus;
use cleanup_pg_sessions::Strategy;
use cleanup_test_postgres::{Cluster, Server};
use sqlx::{Connection as _, Executor as _, PgConnection};

const TOUCHES_PER_SECOND: u32 = 400;
const RETURNS_PER_SECOND: u32 = 50;
const WORKERS: u32 = 9;
const TURNS: usize = 3;

/// Durable, as a server in use is; large enough to show the method and not the checkpoints.
const SETTINGS: [&str; 5] = [
    "alter system set fsync = on",
    "alter system set shared_buffers = '1GB'",
    "alter system set max_wal_size = '8GB'",
    "alter system set checkpoint_timeout = '30min'",
    "alter system set autovacuum = off",
];

const BIG_DELETE: &str = "delete from tutor_sessions where last_activity < now() - interval '2 hours'";

const ID_BATCH: &str = "\
delete from tutor_sessions where session_id in (
  select session_id from tutor_sessions where last_activity < now() - interval '2 hours'
  order by last_activity limit 1000 for update skip locked)
and last_activity < now() - interval '2 hours'";

const RANGE: &str = "\
delete from tutor_sessions where ctid >= $1::text::tid and ctid < $2::text::tid
and last_activity < now() - interval '2 hours'";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Nobody,
    BigDelete,
    IdBatches,
    /// What two connections can do at best: plain statements for ranges of pages, without any care.
    Floor,
    Ours(Pace, Option<Strategy>),
}

impl Method {
    fn name(self) -> String {
        match self {
            Self::Nobody => "nobody cleans".to_owned(),
            Self::BigDelete => "one big DELETE".to_owned(),
            Self::IdBatches => "batches of 1,000 ids, SKIP LOCKED".to_owned(),
            Self::Floor => "two connections, plain page ranges".to_owned(),
            Self::Ours(pace, strategy) => {
                let pace = match pace {
                    Pace::Strict => "strict",
                    Pace::Normal => "normal",
                    Pace::OffHours => "off-hours",
                };
                strategy.map_or(format!("cleanup, {pace}"), |strategy| {
                    format!("cleanup, {pace}, {strategy:?}").to_lowercase()
                })
            }
        }
    }
}

/// What a method came to.
struct Outcome {
    method: Method,
    removed: u64,
    took: Duration,
    load: Load,
}

#[derive(Default)]
struct Load {
    latencies_ms: Vec<f64>,
    lock_wait_ms: f64,
    returned: u64,
    lost: i64,
}

#[tokio::main]
async fn main() {
    let full = std::env::args().any(|argument| argument == "--full");
    let rows: u32 = if full { 1_000_000 } else { 200_000 };
    let cluster = Cluster::start().unwrap();
    let server = cluster.server();
    for setting in SETTINGS {
        server.psql("postgres", setting).unwrap();
    }
    cluster.stop().unwrap();
    cluster.restart().unwrap();
    let only = |part: &str| std::env::args().any(|argument| argument == part);
    if only("--motion") {
        return set_in_motion(server).await;
    }
    if only("--narrow") {
        return narrow(server, rows).await;
    }
    if only("--partitions") {
        return partitions(server).await;
    }
    fill(server, rows, WIDE);
    println!(
        "{} expired of {rows} rows of 2 kB; PostgreSQL {}\n",
        rows / 2,
        server.psql("postgres", "show server_version").unwrap()
    );

    let mut outcomes = Vec::new();
    for method in [Method::Nobody, Method::IdBatches] {
        outcomes.push(under_load(server, method).await);
    }
    // The two that the goal compares take turns, so that a machine that gets slower is slower for both.
    let (mut big, mut fast, mut floor) = (Vec::new(), Vec::new(), Vec::new());
    let (mut alone_big, mut alone_fast) = (Vec::new(), Vec::new());
    let unthrottled = Method::Ours(Pace::OffHours, None);
    for _ in 0..TURNS {
        big.push(under_load(server, Method::BigDelete).await);
        fast.push(under_load(server, unthrottled).await);
        floor.push(under_load(server, Method::Floor).await);
        alone_big.push(alone(server, Method::BigDelete).await);
        alone_fast.push(alone(server, unthrottled).await);
    }
    let turns = format!(
        "Rows per second in {TURNS} turns; the table shows the median: {}; {}; {}.\nWithout load: {}; {}.",
        turns(&big),
        turns(&fast),
        turns(&floor),
        turns(&alone_big),
        turns(&alone_fast),
    );
    outcomes.insert(1, median(big));
    outcomes.push(median(floor));
    outcomes.push(median(fast));
    for method in [
        Method::Ours(Pace::OffHours, Some(Strategy::IndexOrder)),
        Method::Ours(Pace::Normal, None),
        Method::Ours(Pace::Strict, None),
    ] {
        outcomes.push(under_load(server, method).await);
    }
    print_load(&outcomes);
    println!("\n{turns}");

    let mut held = Vec::new();
    for method in [
        Method::IdBatches,
        Method::Ours(Pace::OffHours, Some(Strategy::IndexOrder)),
        Method::Ours(Pace::OffHours, None),
    ] {
        held.push(with_snapshot_held(server, method).await);
    }
    print_held(&held);
    narrow(server, rows).await;
    set_in_motion(server).await;
    partitions(server).await;
    println!("\nPeak memory of this program, including the load and all methods: {} MB", peak_mb());
}

/// Words of 32 bytes for a row of 2 kB, and for one of 256 bytes.
const WIDE: u32 = 56;
const NARROW: u32 = 4;

/// Rows of 256 bytes, of which each costs so little that pauses and commits are what is left: in turns, under load.
async fn narrow(server: &Server, rows: u32) {
    server.psql("postgres", "drop database if exists filled with (force)").unwrap();
    fill(server, rows, NARROW);
    println!("\n{} expired of {rows} rows of 256 bytes, the median of {TURNS} turns:\n", rows / 2);
    let methods = [Method::BigDelete, Method::Ours(Pace::Normal, None), Method::Ours(Pace::Strict, None)];
    let mut runs: Vec<Vec<Outcome>> = methods.iter().map(|_| Vec::new()).collect();
    for _ in 0..TURNS {
        for (method, runs) in methods.iter().zip(&mut runs) {
            runs.push(under_load(server, *method).await);
        }
    }
    print_load(&runs.into_iter().map(median).collect::<Vec<_>>());
}

/// Ten old partitions of 50,000 rows and one in use, which goes on being touched while the old ones are dropped.
async fn partitions(server: &Server) {
    println!("\n500,000 rows in ten partitions, `partitions = \"drop\"`, under load, {TURNS} turns:\n");
    println!("| rows removed | seconds | update p50, ms | p99, ms | max, ms |");
    println!("| --: | --: | --: | --: | --: |");
    for _ in 0..TURNS {
        server.psql("postgres", "drop database if exists filled with (force)").unwrap();
        server.psql("postgres", "create database filled").unwrap();
        server.psql("filled", PARTITIONED).unwrap();
        let url = copied(server);
        let (stop, start) = (Arc::new(AtomicBool::new(false)), Instant::now());
        let workers: Vec<_> = (0..WORKERS - 1)
            .map(|worker| tokio::spawn(application(url.clone(), worker, 20_000, start, stop.clone())))
            .collect();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let policy = SessionPolicy { partitions: Partitions::Drop, ..policy(&url, Pace::Normal) };
        let (began, now) = (Instant::now(), cleanup_core::moment::Moment::from(jiff::Timestamp::now()));
        let report =
            cleanup_pg_sessions::sweep(&policy, Path::new("/"), cleanup_core::sweep::Mode::Apply, now, &()).await;
        let took = began.elapsed();
        assert_eq!(report.status, PolicyStatus::Ok, "{report:?}");
        tokio::time::sleep(Duration::from_secs(1)).await;
        stop.store(true, Ordering::SeqCst);
        let mut load = Load::default();
        for worker in workers {
            load.latencies_ms.extend(worker.await.unwrap().0);
        }
        load.latencies_ms.sort_by(f64::total_cmp);
        let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| percentile(&load, share));
        println!("| {} | {:.2} | {p50:.2} | {p99:.1} | {max:.0} |", report.counts.removed, took.as_secs_f64());
        server.psql("postgres", "drop database work with (force)").unwrap();
    }
}

const PARTITIONED: &str = "\
create table tutor_sessions (session_id varchar(36), visual_language text, last_activity timestamptz not null)
  partition by range (last_activity);
select format('create table p%s partition of tutor_sessions for values from (%L) to (%L)', n,
  date_trunc('day', now()) - (n + 3) * interval '1 day', date_trunc('day', now()) - (n + 2) * interval '1 day')
  from generate_series(0, 9) n \\gexec
create table live partition of tutor_sessions
  for values from (date_trunc('day', now()) - interval '2 days') to (now() + interval '9 days');
create index on tutor_sessions (last_activity);
create index on tutor_sessions (session_id);
insert into tutor_sessions select 'e' || n, repeat(md5(n::text), 4),
  date_trunc('day', now()) - (n % 10 + 3) * interval '1 day' + interval '1 hour' from generate_series(1, 500000) n;
insert into tutor_sessions select 'l' || n, repeat(md5(n::text), 4), now() from generate_series(1, 20000) n;
analyze tutor_sessions; checkpoint;";

/// What a delete sets in motion, by the application's own doing.
const CASCADE: &str = "\
create table answers (session varchar(36) references tutor_sessions on delete cascade, n int);
create index on answers (session); insert into answers select session_id, 1 from tutor_sessions; analyze answers";

const TRIGGER: &str = "\
create table audit (session text);
create function note() returns trigger language plpgsql as $$
  begin insert into audit values (old.session_id); return old; end $$;
create trigger note after delete on tutor_sessions for each row execute function note()";

/// Rows with a child table and with a trigger, few and many, beside one `DELETE`: in turns, without load.
async fn set_in_motion(server: &Server) {
    println!("\nRows with side effects, `normal`, the median of {TURNS} turns, without load:\n");
    println!("| due rows | side effect | one DELETE, s | cleanup, s | times one DELETE |");
    println!("| --: | --- | --: | --: | --: |");
    for (rows, what, setup) in [
        (200, "cascade", CASCADE),
        (200, "trigger", TRIGGER),
        (20_000, "cascade", CASCADE),
        (20_000, "trigger", TRIGGER),
    ] {
        server.psql("postgres", "drop database if exists filled with (force)").unwrap();
        fill(server, rows * 2, WIDE);
        server.psql("filled", setup).unwrap();
        let (mut big, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            // They take turns, so what else the machine does is in both.
            big.push(alone_on(server, &copied(server), Method::BigDelete).await);
            ours.push(alone_on(server, &copied(server), Method::Ours(Pace::Normal, None)).await);
        }
        let [big, ours] = [big, ours].map(|runs| median(runs).took.as_secs_f64());
        println!("| {rows} | {what} | {big:.3} | {ours:.3} | {:.2} |", ours / big);
    }
}

/// The table that every method gets a copy of: expired and live rows mixed in every page.
///
/// `words` of 32 bytes make a row wide.
fn fill(server: &Server, rows: u32, words: u32) {
    server.psql("postgres", "create database filled").unwrap();
    server
        .psql(
            "filled",
            &format!(
                "create table tutor_sessions (session_id varchar(36) primary key, visual_language text, history json,
                   session_metadata json, created_at timestamptz not null, last_activity timestamptz not null);
                 insert into tutor_sessions
                 select case n % 2 when 0 then 'e' else 'l' end || n, repeat(md5(n::text), {words}), '[]', '{{}}', now(),
                   case n % 2 when 0 then now() - interval '3 hours' - random() * interval '30 days'
                     else now() + interval '1 day' - random() * interval '1 hour' end
                 from generate_series(1, {rows}) n;
                 create index on tutor_sessions (created_at); create index on tutor_sessions (last_activity);
                 vacuum (analyze, freeze) tutor_sessions; checkpoint;"
            ),
        )
        .unwrap();
}

fn fresh(server: &Server) -> String {
    let url = copied(server);
    wait_for_quiet();
    url
}

fn copied(server: &Server) -> String {
    server.psql("postgres", "create database work template filled strategy file_copy; checkpoint").unwrap();
    server.url("work")
}

/// Waits, for a quarter of a minute at most, until somebody else's work leaves the processors idle: two connections win by the second
/// processor, so a build next door is held against one of the methods only.
fn wait_for_quiet() {
    let ticks = || -> (u64, u64) {
        let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        let numbers: Vec<u64> =
            stat.lines().next().unwrap_or_default().split_whitespace().filter_map(|word| word.parse().ok()).collect();
        (numbers.iter().sum(), numbers.get(3).copied().unwrap_or_default())
    };
    for _ in 0..15 {
        let before = ticks();
        std::thread::sleep(Duration::from_secs(1));
        let after = ticks();
        if (after.1 - before.1) * 10 >= (after.0 - before.0) * 9 {
            return;
        }
    }
    eprintln!("the machine is not quiet; the figures tell less");
}

async fn under_load(server: &Server, method: Method) -> Outcome {
    let url = fresh(server);
    let rows: i64 = server.psql("work", "select count(*) from tutor_sessions").unwrap().parse().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let start = Instant::now();
    let workers: Vec<_> =
        (0..WORKERS).map(|worker| tokio::spawn(application(url.clone(), worker, rows, start, stop.clone()))).collect();
    let sampler = tokio::spawn(sample_lock_waits(url.clone(), stop.clone()));
    let began = Instant::now();
    let removed = work(&url, method).await;
    let took = began.elapsed();
    stop.store(true, Ordering::SeqCst);

    let mut load = Load { lock_wait_ms: sampler.await.unwrap(), ..Load::default() };
    for worker in workers {
        let (latencies, returned) = worker.await.unwrap();
        load.latencies_ms.extend(latencies);
        load.returned += returned;
    }
    load.latencies_ms.sort_by(f64::total_cmp);
    let alive = server
        .psql("work", "select count(*) from tutor_sessions where visual_language = 'back' and session_id like 'e%'")
        .unwrap();
    let live = server.psql("work", "select count(*) from tutor_sessions where session_id like 'l%'").unwrap();
    let kept = alive.parse::<i64>().unwrap() + live.parse::<i64>().unwrap();
    load.lost = i64::try_from(load.returned).unwrap() + rows / 2 - kept;
    server.psql("postgres", "drop database work with (force)").unwrap();
    Outcome { method, removed, took, load }
}

/// The run in the middle by its speed, with the lost sessions of all.
fn median(mut runs: Vec<Outcome>) -> Outcome {
    let (lost, returned) =
        runs.iter().fold((0, 0), |(lost, returned), run| (lost + run.load.lost, returned + run.load.returned));
    runs.sort_by(|a, b| speed(a.removed, a.took).total_cmp(&speed(b.removed, b.took)));
    let mut middle = runs.swap_remove(runs.len() / 2);
    (middle.load.lost, middle.load.returned) = (lost, returned);
    middle
}

fn turns(runs: &[Outcome]) -> String {
    let speeds: Vec<_> = runs.iter().map(|run| format!("{:.0}", speed(run.removed, run.took))).collect();
    format!("{} {}", runs[0].method.name(), speeds.join(", "))
}

async fn alone(server: &Server, method: Method) -> Outcome {
    let url = fresh(server);
    alone_on(server, &url, method).await
}

async fn alone_on(server: &Server, url: &str, method: Method) -> Outcome {
    let began = Instant::now();
    let removed = work(url, method).await;
    let took = began.elapsed();
    server.psql("postgres", "drop database work with (force)").unwrap();
    Outcome { method, removed, took, load: Load::default() }
}

async fn with_snapshot_held(server: &Server, method: Method) -> Outcome {
    let url = fresh(server);
    let mut holder = PgConnection::connect(&url).await.unwrap();
    holder.execute("begin isolation level repeatable read; select count(*) from pg_class").await.unwrap();
    let began = Instant::now();
    let removed = work(&url, method).await;
    let took = began.elapsed();
    holder.close().await.unwrap();
    server.psql("postgres", "drop database work with (force)").unwrap();
    Outcome { method, removed, took, load: Load::default() }
}

async fn work(url: &str, method: Method) -> u64 {
    match method {
        Method::Nobody => {
            tokio::time::sleep(Duration::from_secs(5)).await;
            0
        }
        Method::BigDelete => {
            let mut connection = PgConnection::connect(url).await.unwrap();
            connection.execute(BIG_DELETE).await.unwrap().rows_affected()
        }
        Method::IdBatches => {
            let mut connection = PgConnection::connect(url).await.unwrap();
            let mut removed = 0;
            loop {
                let gone = connection.execute(ID_BATCH).await.unwrap().rows_affected();
                removed += gone;
                if gone == 0 {
                    return removed;
                }
            }
        }
        Method::Floor => {
            let mut connection = PgConnection::connect(url).await.unwrap();
            let size = "select pg_relation_size('tutor_sessions') / 8192";
            let pages: i64 = sqlx::query_scalar(size).fetch_one(&mut connection).await.unwrap();
            let (first, last) = tokio::join!(plain_ranges(url, 0, pages / 2), plain_ranges(url, pages / 2, pages));
            first + last
        }
        Method::Ours(pace, strategy) => {
            let policy = policy(url, pace);
            let now = jiff::Timestamp::now().into();
            let report = match strategy {
                Some(strategy) => cleanup_pg_sessions::sweep_by(strategy, &policy, Path::new("/"), now, &()).await,
                None => {
                    cleanup_pg_sessions::sweep(&policy, Path::new("/"), cleanup_core::sweep::Mode::Apply, now, &())
                        .await
                }
            };
            // The live rows lie ahead of the clock, which is said.
            assert_eq!(report.status, PolicyStatus::Ok, "{report:?}");
            report.counts.removed
        }
    }
}

async fn plain_ranges(url: &str, from: i64, to: i64) -> u64 {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let planner = "set enable_seqscan = off; set enable_indexscan = off; set enable_bitmapscan = off";
    connection.execute(planner).await.unwrap();
    let mut removed = 0;
    for page in (from..to).step_by(1500) {
        let (first, end) = (format!("({page},0)"), format!("({},0)", (page + 1500).min(to)));
        removed += sqlx::query(RANGE).bind(first).bind(end).execute(&mut connection).await.unwrap().rows_affected();
    }
    removed
}

/// One of several connections of an application, on its timetable; latencies count from when a touch was due.
async fn application(url: String, worker: u32, rows: i64, start: Instant, stop: Arc<AtomicBool>) -> (Vec<f64>, u64) {
    let mut connection = PgConnection::connect(&format!("{url}&application_name=touch")).await.unwrap();
    let returning = worker == WORKERS - 1;
    let rate = if returning { RETURNS_PER_SECOND } else { TOUCHES_PER_SECOND / (WORKERS - 1) };
    let period = Duration::from_secs(1) / rate;
    let sql = if returning {
        "update tutor_sessions set last_activity = now(), visual_language = 'back' where session_id = 'e' || $1 and visual_language <> 'back'"
    } else {
        "update tutor_sessions set last_activity = now() + interval '1 day' where session_id = 'l' || $1"
    };
    let (mut latencies, mut returned, mut seed) = (Vec::new(), 0, u64::from(worker) + 1);
    for touch in 0_u32.. {
        let due = start + period * touch + period * worker / WORKERS;
        tokio::time::sleep_until(due.into()).await;
        if stop.load(Ordering::SeqCst) {
            // What was due by now and had to queue behind a touch that waited.
            let late = due.elapsed();
            let queued = late.as_secs_f64() / period.as_secs_f64();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive number")]
            let queued = (1..=queued as u32).map(|later| late.saturating_sub(period * (later - 1)));
            latencies.extend(queued.map(|late| late.as_secs_f64() * 1000.0));
            break;
        }
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let pick = i64::try_from(seed >> 33).unwrap() % (rows / 2) * 2 + if returning { 2 } else { 1 };
        let done = sqlx::query(sql).bind(pick.to_string()).execute(&mut connection).await.unwrap();
        latencies.push(due.elapsed().as_secs_f64() * 1000.0);
        returned += if returning { done.rows_affected() } else { 0 };
    }
    (latencies, returned)
}

/// The longest that a touch was seen waiting for a lock, to ten milliseconds: looking more often would take a part of a
/// processor from what is measured.
async fn sample_lock_waits(url: String, stop: Arc<AtomicBool>) -> f64 {
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let sql = "select coalesce(max(extract(epoch from clock_timestamp() - l.waitstart)), 0)::float8
               from pg_locks l join pg_stat_activity a using (pid) where not l.granted and a.application_name = 'touch'";
    let mut longest: f64 = 0.0;
    while !stop.load(Ordering::SeqCst) {
        longest = longest.max(sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    longest * 1000.0
}

fn policy(url: &str, pace: Pace) -> SessionPolicy {
    SessionPolicy {
        rule: Policy {
            name: "tutor-sessions".to_owned(),
            max_age: MaxAge::new(Duration::from_hours(2)),
            min_age: Duration::ZERO,
            archives: Archives::Keep,
        },
        database: Database::Url(url.to_owned()),
        table: "tutor_sessions".to_owned(),
        id_column: "session_id".to_owned(),
        stamp: RowStamp::Activity(vec!["last_activity".to_owned()]),
        conditions: Vec::new(),
        activity_time_zone: None,
        time_format: None,
        batch_size: 500,
        lock_timeout: Duration::from_millis(200),
        statement_timeout: None,
        pace,
        archive_table: None,
        partitions: Partitions::Delete,
        brakes: Brakes::default(),
        effect: Effect::Enforce,
        schedule: None,
        enabled: true,
    }
}

fn print_load(outcomes: &[Outcome]) {
    let big = outcomes.iter().find(|outcome| outcome.method == Method::BigDelete).unwrap();
    println!(
        "| method | rows/s | against one DELETE | update p50, ms | p99, ms | max, ms | p99 against one DELETE | longest lock wait, ms | live sessions lost |"
    );
    println!("| --- | --: | --: | --: | --: | --: | --: | --: | --: |");
    for outcome in outcomes {
        let Outcome { method, removed, load, .. } = outcome;
        let (p50, p99, max) = (percentile(load, 0.5), percentile(load, 0.99), percentile(load, 1.0));
        println!(
            "| {} | {:.0} | {:.2} | {p50:.2} | {p99:.1} | {max:.0} | 1/{:.1} | {:.0} | {} of {} |",
            method.name(),
            speed(*removed, outcome.took),
            speed(*removed, outcome.took) / speed(big.removed, big.took),
            percentile(&big.load, 0.99) / p99,
            load.lock_wait_ms,
            load.lost,
            load.returned,
        );
    }
}

fn print_held(outcomes: &[Outcome]) {
    println!("\nWith another transaction that holds a snapshot, without load:\n");
    println!("| method | seconds | times as fast as id batches |");
    println!("| --- | --: | --: |");
    let first = outcomes[0].took.as_secs_f64();
    for Outcome { method, took, .. } in outcomes {
        println!("| {} | {:.2} | {:.1} |", method.name(), took.as_secs_f64(), first / took.as_secs_f64());
    }
}

fn percentile(load: &Load, share: f64) -> f64 {
    let last = load.latencies_ms.len().saturating_sub(1);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index"
    )]
    let index = (last as f64 * share).round() as usize;
    load.latencies_ms.get(index).copied().unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "a rate")]
fn speed(rows: u64, took: Duration) -> f64 {
    rows as f64 / took.as_secs_f64()
}

fn peak_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse::<u64>().ok());
    peak.unwrap_or_default() / 1024
}
