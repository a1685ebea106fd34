//! What a sweep is to reach beside its peers, and whether it did in this run.
//!
//! The best run of each is compared, because what disturbs a run only ever makes it longer. Nobody can be faster than
//! the bare system calls: where the floor misses a goal in the same run, nine tenths of the floor are the goal.

use std::fmt;
use std::time::Duration;

use super::contenders::Contender;
use super::sweep::{Cost, MANY_FILES, Outcome};

/// Something to be reached by one of ours.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    /// To be so many times as fast as a peer; with the floor that has as many threads.
    Times { ours: Contender, peer: Contender, times: f64, floor: Contender },
    /// To take at most so much longer than a peer.
    Behind { ours: Contender, peer: Contender, by: Duration },
    /// To have at most so much memory at any time.
    Peak { ours: Contender, bytes: u64 },
}

/// What came of a goal. `Display` is a line of a list.
pub(crate) struct Reached {
    goal: Goal,
    measured: f64,
    /// What the floor came to, and only where it does not reach the goal itself.
    floor: Option<f64>,
}

/// What is to be reached in a scenario.
pub(crate) fn goals(scenario: &str, file_system: &str) -> Vec<Goal> {
    use Contender::{Cleanup, Cleanup2, Fd, Find, Floor, Floor2, Script, Tmpfiles};
    let one = |peer, times| Goal::Times { ours: Cleanup, peer, times, floor: Floor };
    let two = |peer, times| Goal::Times { ours: Cleanup2, peer, times, floor: Floor2 };
    match scenario {
        "S0" => vec![Goal::Behind { ours: Cleanup, peer: Find, by: Duration::from_millis(3) }],
        "S1" => vec![one(Find, 1.2), two(Find, 1.6), two(Tmpfiles, 1.0), two(Fd, 1.0), two(Script, 8.0)],
        "S2" if file_system == "tmpfs" => vec![two(Find, 1.5)],
        "S2" => vec![two(Find, 1.4), two(Script, 2.0)],
        "S3" => vec![two(Find, 1.4)],
        "S4" => vec![two(Find, 1.6), two(Tmpfiles, 1.6)],
        "S5" => vec![two(Find, 2.5), two(Fd, 2.0), two(Script, 5.0)],
        "S6" => vec![two(Find, 2.5), two(Fd, 1.2)],
        "S1-again" => vec![two(Find, 3.5)],
        "S7" => [Cleanup, Cleanup2].map(|ours| Goal::Peak { ours, bytes: 12 << 20 }).into(),
        // 24 bytes more for each file that is known.
        "S7-again" => vec![Goal::Peak { ours: Cleanup2, bytes: (12 << 20) + 24 * MANY_FILES }],
        _ => Vec::new(),
    }
}

impl Goal {
    /// Whether it was reached; nothing where somebody it is about did not run.
    pub(crate) fn reached(self, outcome: &Outcome) -> Option<Reached> {
        let best = |contender| best(outcome, contender, |cost: &Cost| cost.wall.as_secs_f64());
        let (measured, floor) = match self {
            Self::Times { ours, peer, times, floor } => {
                let floor = best(floor).zip(best(peer)).map(|(floor, peer)| peer / floor);
                (best(peer)? / best(ours)?, floor.filter(|floor| *floor < times))
            }
            Self::Behind { ours, peer, .. } => (best(ours)? - best(peer)?, None),
            Self::Peak { ours, .. } => (most(outcome, ours)?, None),
        };
        Some(Reached { goal: self, measured, floor })
    }
}

impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { goal, measured, floor } = self;
        let word = |is_reached: bool| if is_reached { "reached" } else { "**missed**" };
        match goal {
            Goal::Times { ours, peer, times, .. } => {
                let wanted = floor.map_or(*times, |floor| 0.9 * floor);
                let (ours, peer) = (ours.name(), peer.name());
                write!(f, "- {ours} is {measured:.2} times as fast as {peer}; the goal is {times}")?;
                if let Some(floor) = floor {
                    write!(f, ", the floor comes to {floor:.2}, so {wanted:.2}")?;
                }
                write!(f, ": {}.", word(*measured >= wanted))
            }
            Goal::Behind { ours, peer, by } => {
                let (took, by_ms) = (measured * 1_000.0, by.as_secs_f64() * 1_000.0);
                let (ours, peer) = (ours.name(), peer.name());
                write!(f, "- {ours} takes {took:.1} ms more than {peer}; the goal is at most {by_ms} ms: ")?;
                write!(f, "{}.", word(took <= by_ms))
            }
            Goal::Peak { ours, bytes } => {
                let mib = |bytes: f64| bytes / f64::from(1 << 20);
                #[allow(clippy::cast_precision_loss, reason = "a few MiB")]
                let wanted = *bytes as f64;
                let (name, peak, most) = (ours.name(), mib(*measured), mib(wanted).round());
                write!(f, "- {name} uses at most {peak:.1} MiB; the goal is {most} MiB: {}.", word(*measured <= wanted))
            }
        }
    }
}

fn best(outcome: &Outcome, contender: Contender, value: impl Fn(&Cost) -> f64) -> Option<f64> {
    costs(outcome, contender)?.iter().map(value).min_by(f64::total_cmp)
}

#[allow(clippy::cast_precision_loss, reason = "a few MiB")]
fn most(outcome: &Outcome, contender: Contender) -> Option<f64> {
    costs(outcome, contender)?.iter().map(|cost| cost.peak_bytes as f64).max_by(f64::total_cmp)
}

fn costs(outcome: &Outcome, contender: Contender) -> Option<&[Cost]> {
    outcome.costs.iter().find(|(other, _)| *other == contender).map(|(_, costs)| costs.as_slice())
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Due, Fixture, Folders, Named};
    use super::super::sweep::{Scenario, Turn};
    use super::*;

    /// Our two workers, find and the floor, in milliseconds.
    fn line(ours: u64, find: u64, floor: u64) -> String {
        let cost = |ms| Cost { wall: Duration::from_millis(ms), processor: Duration::ZERO, peak_bytes: 0 };
        let fixture = Fixture { folders: Folders::Flat, files: 0, due: Due::None, named: Named::All };
        let both = |contender, ms| (contender, vec![cost(2 * ms), cost(ms)]);
        let outcome = Outcome {
            scenario: Scenario { name: "S3", what: "", fixture, turn: Turn::First },
            costs: vec![both(Contender::Cleanup2, ours), both(Contender::Find, find), both(Contender::Floor2, floor)],
        };
        goals("S3", "ext4")[0].reached(&outcome).unwrap().to_string()
    }

    #[test]
    fn a_goal_is_about_the_best_runs_and_gives_way_to_the_floor() {
        assert!(line(100, 150, 90).ends_with("1.50 times as fast as find; the goal is 1.4: reached."));
        assert!(line(100, 130, 90).ends_with("the goal is 1.4: **missed**."));
        assert!(line(100, 115, 95).ends_with("the floor comes to 1.21, so 1.09: reached."));
        assert!(line(120, 115, 95).ends_with("so 1.09: **missed**."));
    }
}
