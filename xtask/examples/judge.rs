//! The judge alone, for `cargo xtask bench instructions`: `judge ROUNDS`.
//!
//! So many verdicts on candidates of all ages; nothing else grows with their number.

use std::hint::black_box;
use std::time::Duration;

use anyhow::{Context as _, Result};
use cleanup_core::candidate::{Basis, Candidate, Class, Name, Stamp};
use cleanup_core::judge::{Run, judge};
use cleanup_core::moment::Moment;
use cleanup_core::policy::{Archives, MaxAge, Policy};

const DAY: Duration = Duration::from_hours(24);

fn main() -> Result<()> {
    let rounds: u32 = std::env::args().nth(1).context("usage: judge ROUNDS")?.parse()?;
    let policy = Policy {
        name: "bench".to_owned(),
        max_age: MaxAge::new(DAY),
        min_age: Duration::ZERO,
        archives: Archives::Keep,
    };
    let run = Run::at(Moment::from_unix(2_000_000_000, 0));
    let mut due = 0_u32;
    for round in 0..rounds {
        let at = run.now.minus(Duration::from_mins(u64::from(round % 2880)));
        let stamp = Stamp { at, basis: Basis::Modified };
        let candidate = Candidate {
            name: Name { folder: b"day_00001", last: b"formal_00000000-0000-4000-8000-000000000000.svg" },
            class: Class::Ordinary,
            bytes: 4096,
            stamp,
            arrival: stamp,
            identity: None,
        };
        due += u32::from(judge(black_box(&policy), black_box(&run), black_box(&candidate)).is_due());
    }
    black_box(due);
    Ok(())
}
