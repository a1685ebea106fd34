//! What the log of removals costs, and how long an answer takes: run by `cargo xtask bench removals`.
//!
//! Writes so many entries as sweeps of 100,000 files would, and asks for paths that are there and for paths that are not.
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::time::{Duration, Instant};

use cleanup_core::candidate::{Basis, Stamp};
use cleanup_core::moment::Moment;
use cleanup_core::policy::MaxAge;
use cleanup_core::report::Trigger;
use cleanup_core::verdict::{Age, AgeLimit, Remove};
use cleanup_state::{Action, PathQuery, Reason, Removal, RemovalLog, RemovalsQuery, State};

const A_RUN: u64 = 100_000;
const ASKED: u64 = 400;

fn main() {
    let entries: u64 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let state = State::open(folder.path(), None).expect("a state folder");
    let begun = Moment::from_unix(1_700_000_000, 0);

    let max_age = MaxAge::new(Duration::from_secs(1800)).expect("it is positive");
    let log = RemovalLog::new(folder.path());
    let started = Instant::now();
    for number in 0..entries {
        let run = format!("01JB{:022}", number / A_RUN);
        let age = Duration::from_secs(3600 + number % 100_000);
        let verdict = Remove::Expired {
            stamp: Stamp { at: begun, basis: Basis::Modified },
            age: Age::Wall(age),
            limit: AgeLimit::MaxAge(max_age),
        };
        log.add(&Removal {
            at: begun.plus(Duration::from_micros(number * 10)),
            run: run.into(),
            trigger: Trigger::Schedule,
            asked_by: None,
            policy: "renders".into(),
            action: Action::Removed,
            path: Some(path(number).into_bytes().into()),
            count: 1,
            bytes: 4096,
            inode: Some(1_000_000 + number),
            reason: Some(Reason::from(&verdict)),
        });
    }
    log.flush();
    let took = started.elapsed();
    assert_eq!(log.take_failure(), None);
    let peak_of_writing = peak();
    let files = std::fs::read_dir(folder.path().join("removals")).expect("the log").flatten();
    let (mut segments, mut bytes) = (0_u64, 0_u64);
    for file in files {
        segments += 1;
        bytes += file.metadata().map_or(0, |metadata| metadata.len());
    }
    let each = |total: f64| total / f64::from(u32::try_from(entries).unwrap_or(u32::MAX));
    println!("| entries | segments | bytes an entry | written, µs an entry | peak of writing, MiB |");
    println!("| --: | --: | --: | --: | --: |");
    let (size, micros) = (each(bytes_of(bytes)), each(took.as_secs_f64() * 1e6));
    println!("| {entries} | {segments} | {size:.1} | {micros:.2} | {peak_of_writing:.1} |");

    println!("\n| asked for | median, ms | slowest, ms | peak, MiB |");
    println!("| --- | --: | --: | --: |");
    let ask = |label: &str, name: &dyn Fn(u64) -> String, found: usize| {
        let mut times = Vec::new();
        for turn in 0..ASKED {
            let paths = [name(turn * (entries / ASKED)).into_bytes()];
            let query = RemovalsQuery { path: PathQuery::Exact { paths: &paths, above: &[] }, ..everything() };
            let started = Instant::now();
            let page = state.removals(&query).expect("an answer");
            times.push(started.elapsed());
            assert_eq!(page.removals.len(), found, "{paths:?}");
        }
        tell(label, times);
    };
    ask("a path that is there", &path, 1);
    ask("a path that is not", &|number| format!("/srv/app/none/{number}.svg"), 0);
    let started = Instant::now();
    let run = format!("01JB{:022}", entries / A_RUN / 2);
    let page = state.removals(&RemovalsQuery { run: Some(&run), ..everything() }).expect("an answer");
    assert!(page.removals.len() as u64 >= A_RUN.min(entries));
    tell("all of one run", vec![started.elapsed()]);
    drop(page);
    let started = Instant::now();
    let last = path(7);
    let is_it = |path: &[u8]| path == last.as_bytes();
    let page = state.removals(&RemovalsQuery { path: PathQuery::Matching(&is_it), ..everything() }).expect("an answer");
    assert_eq!(page.removals.len(), 1);
    tell("a pattern", vec![started.elapsed()]);
}

fn everything() -> RemovalsQuery<'static> {
    RemovalsQuery { path: PathQuery::Any, policy: None, run: None, since: None, limit: usize::MAX, before: None }
}

fn path(number: u64) -> String {
    format!("/srv/app/renders/{:04}/formal_{:08x}-{number:012}.svg", number / 500, number.wrapping_mul(2_654_435_761))
}

fn tell(label: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    let (median, slowest) = (millis(times[times.len() / 2]), millis(times[times.len() - 1]));
    println!("| {label} | {median:.2} | {slowest:.2} | {:.1} |", peak());
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn bytes_of(bytes: u64) -> f64 {
    bytes as f64
}

/// The most memory that this process ever had, in MiB.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: Option<f64> = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    kib.unwrap_or_default() / 1024.0
}
