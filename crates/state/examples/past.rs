//! Writes a made-up past into a memory: for the pictures of the dashboard, and to measure it beside 10,000 runs.
//!
//! `past FOLDER RUNS DAYS POLICY=FILES[:BYTES]…`: so many runs over so many days until now, in which each policy kept
//! about so many files and removed some. The numbers follow a fixed rhythm, the same at every run.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program of the workshop")]

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cleanup_core::moment::Moment;
use cleanup_core::report::{PolicyKind, PolicyReport, Report, Tally, Trigger};
use cleanup_state::{ClockReading, State};

/// A policy of the past: its name, the files that it keeps, and how large each is.
struct Policy {
    name: String,
    files: u64,
    bytes: u64,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, runs, days, policies @ ..] = &arguments[..] else {
        panic!("FOLDER RUNS DAYS POLICY=FILES[:BYTES]…")
    };
    let policies: Vec<Policy> = policies.iter().map(|text| policy(text)).collect();
    let (runs, days): (u32, u32) = (runs.parse().unwrap(), days.parse().unwrap());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let step = Duration::from_secs(u64::from(days) * 86_400) / runs;
    let mut state = State::open(Path::new(folder), None).unwrap();
    let boot = Duration::from_secs(u64::from(days + 1) * 86_400);
    for number in 0..runs {
        let before_now = step * (runs - number);
        let at = Moment::EPOCH.plus(now.saturating_sub(before_now));
        let parts = policies.iter().map(|policy| part(policy, number, runs)).collect();
        // Ids sort by time.
        let id = format!("01K{:023}", number + 1);
        let trigger = if number % 9 == 8 { Trigger::Manual } else { Trigger::Schedule };
        let report = Report::new(id, trigger, false, at, at.plus(Duration::from_millis(40)), parts);
        // The clocks of a past that is over in a second: this reading is not believed, and none is remembered.
        let reading = ClockReading { wall: at, boot, running: boot, boot_id: String::new() };
        state.record_run(&report, &reading, false, Duration::from_secs(3650 * 86_400), report.finished_at);
    }
    println!("{runs} runs");
}

fn policy(text: &str) -> Policy {
    let (name, numbers) = text.split_once('=').unwrap();
    let (files, bytes) = numbers.split_once(':').unwrap_or((numbers, "0"));
    Policy { name: name.to_owned(), files: files.parse().unwrap(), bytes: bytes.parse().unwrap() }
}

/// More by day than by night, a little more each day, and now and then a lot.
fn part(policy: &Policy, number: u32, runs: u32) -> PolicyReport {
    let phase = f64::from(number) / f64::from(runs);
    let wave = (phase * std::f64::consts::TAU * 7.0).sin() * 0.3 + 0.75 + phase * 0.25;
    let rhythm = f64::from((number.wrapping_mul(2_654_435_761) >> 16) % 100) / 100.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "made up")]
    let share = |factor: f64| (policy.files as f64 * factor) as u64;
    let kept = share(wave * (0.9 + rhythm * 0.1));
    let removed = share(wave * 0.06 * (0.4 + rhythm));
    let mut tally = Tally::default();
    let counts = &mut tally.counts;
    counts.scanned = kept + removed + 3;
    counts.matched = kept + removed;
    counts.matched_bytes = (kept + removed) * policy.bytes;
    counts.due = removed;
    counts.due_bytes = removed * policy.bytes;
    counts.removed = removed;
    counts.bytes_freed = counts.due_bytes;
    counts.kept.within_limits = kept;
    let kind = if policy.bytes == 0 { PolicyKind::Sessions } else { PolicyKind::Files };
    PolicyReport::finished(&policy.name, kind, tally)
}
