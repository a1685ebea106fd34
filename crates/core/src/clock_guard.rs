//! Whether the wall clock can be trusted.
//!
//! A clock that jumps a year ahead makes every file a year older. So each run records a [`Reading`] of three clocks,
//! and the next one compares: within one boot, wall time must not have run ahead of boot time; across a reboot and
//! within one, it must not be before the last run. A clock that was set back and has passed the last run since is
//! trusted again, because it makes files look younger, never older. Boot time includes sleep, so a suspended night is
//! not a jump. No run compares with a reading that was not trusted.

use std::fmt;
use std::time::Duration;

use crate::duration::Human;
use crate::moment::Moment;

/// How far wall time and boot time may drift apart between two runs: more than clock synchronisation slews, less than
/// any relevant threshold.
pub const TOLERANCE: Duration = Duration::from_mins(5);

/// The clocks of this machine at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The wall clock.
    pub wall: Moment,
    /// The time since this boot, including sleep (`CLOCK_BOOTTIME`).
    pub boot: Duration,
    /// The time since this boot, without sleep (`CLOCK_MONOTONIC`).
    pub running: Duration,
    /// The kernel's id of this boot; empty if it has none.
    pub boot_id: String,
}

impl Reading {
    /// Whether both were certainly taken within one boot. Readings without a boot id may come from different boots.
    fn is_within_boot_of(&self, other: &Self) -> bool {
        self.boot_id == other.boot_id && !self.boot_id.is_empty()
    }
}

/// How the wall clock contradicts the last run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jump {
    /// Within one boot it ran ahead of boot time.
    Ahead {
        /// By how much.
        by: Duration,
        /// The wall clock at the last run.
        last: Moment,
        /// The wall clock now.
        now: Moment,
    },
    /// Within one boot it fell behind boot time.
    Back {
        /// By how much.
        by: Duration,
        /// The wall clock at the last run.
        last: Moment,
        /// The wall clock now.
        now: Moment,
    },
    /// After a reboot, it is before the last run.
    BeforeLastRun {
        /// By how much.
        by: Duration,
        /// The wall clock at the last run.
        last: Moment,
        /// The wall clock now.
        now: Moment,
    },
}

/// Compares a reading with that of the last run whose clock was trusted.
pub fn check(last: &Reading, now: &Reading) -> Result<(), Jump> {
    let (before, after) = (last.wall, now.wall);
    let went = |from: Moment, to: Moment| to.since(from).filter(|by| *by > TOLERANCE);
    if last.is_within_boot_of(now) {
        let expected = before.plus(now.boot.saturating_sub(last.boot));
        if let Some(by) = went(expected, after) {
            return Err(Jump::Ahead { by, last: before, now: after });
        }
        if let Some(by) = went(after, expected).filter(|_| after < before) {
            return Err(Jump::Back { by, last: before, now: after });
        }
    } else if let Some(by) = went(after, before) {
        return Err(Jump::BeforeLastRun { by, last: before, now: after });
    }
    Ok(())
}

/// How far a clock may be set forward and still count as a correction.
const CORRECTION: Duration = Duration::from_hours(24);

/// Whether a clock that ran ahead only undoes an earlier set-back: it shows what it would show had it continued from a
/// trusted run of this boot, and is ahead by at most a day. So an hour that was set back by mistake and corrected holds
/// nothing.
pub fn is_correction(jump: &Jump, believed: &[Reading], now: &Reading) -> bool {
    let agrees = |reading: &Reading| reading.is_within_boot_of(now) && check(reading, now).is_ok();
    matches!(jump, Jump::Ahead { by, .. } if *by <= CORRECTION) && believed.iter().any(agrees)
}

impl fmt::Display for Jump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, by, last, now) = match self {
            Self::Ahead { by, last, now } => ("ran ahead of the machine's uptime", by, last, now),
            Self::Back { by, last, now } => ("was set back", by, last, now),
            Self::BeforeLastRun { by, last, now } => ("is behind the last run", by, last, now),
        };
        write!(
            f,
            "the clock {what} by {}: it shows {now}, and showed {last} at the last run; nothing is deleted while the \
             clock may be wrong. If it is right now, run once with --force",
            Human(*by)
        )
    }
}

/// A stretch of wall time during part of which this machine was asleep or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absence {
    /// The end of the stretch.
    pub until: Moment,
    /// The maximum time asleep or off.
    pub asleep: Duration,
}

/// The absences between readings, in order. What happened before the first reading is unknown.
///
/// Before a reboot, it is unknown how long the machine ran after the last reading, so all of that counts as absence:
/// this makes files look younger, never older.
pub fn absences(readings: &[Reading]) -> Vec<Absence> {
    let between = |pair: &[Reading]| {
        let (a, b) = (&pair[0], &pair[1]);
        let ran = if a.is_within_boot_of(b) { b.running.saturating_sub(a.running) } else { b.running };
        let asleep = b.wall.since(a.wall)?.checked_sub(ran)?;
        (asleep > Duration::from_secs(1)).then_some(Absence { until: b.wall, asleep })
    };
    readings.windows(2).filter_map(between).collect()
}

/// What ages with `age_clock = "running"` are computed from: the first known moment, and the absences since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningTime {
    /// The first reading: the time before it is unknown and does not count.
    pub known_since: Moment,
    /// The absences since then.
    pub absences: Vec<Absence>,
}

impl RunningTime {
    /// From readings in order; the last of them is now. `None` without any.
    pub fn new(readings: &[Reading]) -> Option<Self> {
        Some(Self { known_since: readings.first()?.wall, absences: absences(readings) })
    }

    /// How long this machine has certainly been running between `from` and `now`; `None` if `from` is in the future.
    pub fn between(&self, from: Moment, now: Moment) -> Option<Duration> {
        now.since(from)?;
        let from = from.max(self.known_since);
        let asleep = self.absences.iter().filter(|absence| absence.until > from).map(|absence| absence.asleep).sum();
        Some(now.since(from).unwrap_or_default().saturating_sub(asleep))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn reading(wall_hours: i64, boot_hours: u32, boot_id: &str) -> Reading {
        let uptime = boot_hours * HOUR;
        let wall = Moment::from_unix(1_700_000_000 + wall_hours * 3600, 0);
        Reading { wall, boot: uptime, running: uptime, boot_id: boot_id.to_owned() }
    }

    #[test]
    fn wall_time_and_boot_time_go_on_alike() {
        let last = reading(0, 10, "a");
        assert_eq!(check(&last, &reading(1, 11, "a")), Ok(()));
        assert_eq!(check(&last, &reading(8760, 10 + 8760, "a")), Ok(()), "a year later, and a year has passed");
        assert!(matches!(check(&last, &reading(8761, 11, "a")), Err(Jump::Ahead { .. })));
        assert!(matches!(check(&last, &reading(-17_520, 11, "a")), Err(Jump::Back { .. })));
        assert!(matches!(check(&last, &reading(-1, 11, "a")), Err(Jump::Back { by, .. }) if by == HOUR * 2));
        assert_eq!(check(&last, &reading(0, 11, "a")), Ok(()), "set back, and past the last run again");
    }

    #[test]
    fn an_hour_that_is_set_back_and_forth_is_a_correction_and_a_year_is_none() {
        let right = reading(0, 10, "a");
        let behind = reading(1, 12, "a");
        let (again, year) = (reading(3, 13, "a"), reading(8760, 13, "a"));
        let jump = check(&behind, &again).unwrap_err();
        assert!(is_correction(&jump, &[right.clone(), behind.clone()], &again));
        assert!(!is_correction(&jump, std::slice::from_ref(&behind), &again), "nobody ever believed that");
        let other_boot = Reading { boot_id: "b".to_owned(), ..right.clone() };
        assert!(!is_correction(&jump, &[other_boot], &again));
        let jump = check(&behind, &year).unwrap_err();
        assert!(!is_correction(&jump, &[reading(8757, 10, "a")], &year), "not by so much");
    }

    #[test]
    fn a_jump_is_told_with_both_times_and_the_way_out() {
        let last = reading(0, 10, "a");
        for (now, says) in [
            (reading(8761, 11, "a"), "the clock ran ahead of the machine's uptime by 365d:"),
            (reading(-1, 11, "a"), "the clock was set back by 2h:"),
            (reading(-1, 0, "b"), "the clock is behind the last run by 1h:"),
        ] {
            let said = check(&last, &now).unwrap_err().to_string();
            let times = format!("it shows {}, and showed {} at the last run", now.wall, last.wall);
            assert!(said.starts_with(says) && said.contains(&times) && said.contains("--force"), "{said}");
        }
    }

    #[test]
    fn a_second_that_the_clocks_are_read_apart_is_no_absence() {
        let last = reading(0, 10, "a");
        let slept = |asleep| {
            let now = reading(1, 11, "a");
            absences(&[last.clone(), Reading { running: now.running.saturating_sub(asleep), ..now }]).len()
        };
        let second = Duration::from_secs(1);
        assert_eq!((slept(second), slept(second + Duration::from_nanos(1))), (0, 1));
    }

    #[test]
    fn a_slewed_clock_is_believed() {
        let last = reading(0, 10, "a");
        let within = Reading { wall: last.wall.plus(HOUR + TOLERANCE), ..reading(1, 11, "a") };
        assert_eq!(check(&last, &within), Ok(()));
    }

    #[test]
    fn over_a_reboot_only_the_past_is_disbelieved() {
        let last = reading(0, 10, "a");
        assert_eq!(check(&last, &reading(1, 0, "b")), Ok(()));
        assert_eq!(check(&last, &reading(8760, 0, "b")), Ok(()), "it may have been off for a year");
        assert!(matches!(check(&last, &reading(-1, 0, "b")), Err(Jump::BeforeLastRun { by, .. }) if by == HOUR));
        let epoch = Reading { wall: Moment::EPOCH, ..reading(0, 0, "b") };
        assert!(matches!(check(&last, &epoch), Err(Jump::BeforeLastRun { .. })));
    }

    #[test]
    fn boots_without_a_name_are_not_taken_for_one() {
        let last = reading(0, 10, "");
        assert_eq!(check(&last, &reading(8760, 0, "")), Ok(()), "it may have been off for a year");
        assert!(matches!(check(&last, &reading(-1, 9, "")), Err(Jump::BeforeLastRun { .. })));
        let absences = absences(&[last, reading(10, 11, "")]);
        assert_eq!(absences, [], "running since before the last reading, as far as is known");
        let off = reading(20, 1, "");
        assert_eq!(
            super::absences(&[reading(0, 10, ""), off.clone()]),
            [Absence { until: off.wall, asleep: 19 * HOUR }]
        );
    }

    #[test]
    fn running_time_leaves_out_sleep_and_the_unknown() {
        let slept = Reading { running: 3 * HOUR, ..reading(10, 20, "a") };
        let readings = [Reading { running: 2 * HOUR, ..reading(0, 10, "a") }, slept.clone(), reading(20, 1, "b")];
        let time = RunningTime::new(&readings).unwrap();
        let now = readings[2].wall;
        assert_eq!(time.between(slept.wall, now), Some(HOUR), "off for nine of ten hours");
        assert_eq!(time.between(readings[0].wall, now), Some(2 * HOUR), "asleep for nine more");
        assert_eq!(time.between(Moment::EPOCH, now), Some(2 * HOUR), "nothing is known of before");
        assert_eq!(time.between(now.plus(HOUR), now), None);
        assert_eq!(RunningTime::new(&[]), None);
    }
}
