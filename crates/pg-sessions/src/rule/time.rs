//! What a value of the activity column may mean: its unit, and from when to when it is a time at all.
//!
//! A number says nothing about its unit. Julian days, minutes, or seconds since 2001 read as seconds since 1970 lie
//! decades back, and every live session would look idle. So a value counts as a time only between the year 2000 and ten
//! years from now. What lies outside stays and is counted, and where most values lie outside, the column is read wrongly
//! and the whole policy is refused.

use cleanup_core::policy::TimeFormat;
use cleanup_core::words::Count;

use crate::report::plural;

/// 2000-01-01 in seconds since 1970: no web session is older.
pub(crate) const YEAR_2000: &str = "946684800";

/// 2000-01-01 as a Julian day.
pub(crate) const YEAR_2000_JULIAN: &str = "2451544.5";

/// Ten years in days.
pub(crate) const TEN_YEARS_DAYS: &str = "3652.5";

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Seconds,
    Milliseconds,
    Microseconds,
    /// Days, as SQLite's `julianday` counts them.
    JulianDays,
}

impl Unit {
    /// No number is a plausible time in two of them.
    pub(crate) const ALL: [Self; 4] = [Self::Seconds, Self::Milliseconds, Self::Microseconds, Self::JulianDays];

    /// `None` for formats that are no numbers.
    pub(crate) fn of(format: TimeFormat) -> Option<Self> {
        match format {
            TimeFormat::Seconds => Some(Self::Seconds),
            TimeFormat::Milliseconds => Some(Self::Milliseconds),
            TimeFormat::Microseconds => Some(Self::Microseconds),
            TimeFormat::Julian => Some(Self::JulianDays),
            TimeFormat::Timestamp | TimeFormat::Iso8601 => None,
        }
    }

    pub(crate) fn format(self) -> TimeFormat {
        match self {
            Self::Seconds => TimeFormat::Seconds,
            Self::Milliseconds => TimeFormat::Milliseconds,
            Self::Microseconds => TimeFormat::Microseconds,
            Self::JulianDays => TimeFormat::Julian,
        }
    }

    /// Its place in [`Unit::ALL`].
    pub(crate) fn place(self) -> usize {
        match self {
            Self::Seconds => 0,
            Self::Milliseconds => 1,
            Self::Microseconds => 2,
            Self::JulianDays => 3,
        }
    }

    /// A value in seconds since 1970.
    pub(crate) fn seconds(self, value: f64) -> f64 {
        match self {
            Self::Seconds => value,
            Self::Milliseconds => value / 1e3,
            Self::Microseconds => value / 1e6,
            Self::JulianDays => (value - 2_440_587.5) * 86_400.0,
        }
    }

    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Seconds => "seconds since 1970",
            Self::Milliseconds => "milliseconds since 1970",
            Self::Microseconds => "microseconds since 1970",
            Self::JulianDays => "Julian days",
        }
    }

    /// 2000-01-01, as SQL.
    pub(crate) fn year_2000(self) -> &'static str {
        match self {
            Self::Seconds => YEAR_2000,
            Self::Milliseconds => "946684800000",
            Self::Microseconds => "946684800000000",
            Self::JulianDays => YEAR_2000_JULIAN,
        }
    }

    /// Ten years, as SQL.
    pub(crate) fn ten_years(self) -> &'static str {
        match self {
            Self::Seconds => "315576000",
            Self::Milliseconds => "315576000000",
            Self::Microseconds => "315576000000000",
            Self::JulianDays => TEN_YEARS_DAYS,
        }
    }
}

/// How many values there are, of a column or of a sample of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Values {
    /// Those that are neither null nor `infinity`.
    pub(crate) known: u64,
    /// Of those the ones that stand for "never": 0, −1, no number. They say nothing about the unit of the others.
    pub(crate) sentinels: u64,
    /// Those that are plausible times as the column is read.
    pub(crate) plausible: u64,
    /// Those of a column of numbers that would be plausible, by [`Unit::ALL`].
    pub(crate) as_unit: [u64; 4],
    /// Whether the numbers were extrapolated from a sample.
    pub(crate) estimated: bool,
}

impl Values {
    /// Those that are no plausible time.
    pub(crate) fn implausible(&self) -> u64 {
        self.known.saturating_sub(self.plausible)
    }

    /// What most of the numbers count; 0, −1 and the like have no vote.
    pub(crate) fn unit(&self) -> Option<Unit> {
        let telling = self.known.saturating_sub(self.sentinels);
        let most = |count: u64| count.saturating_mul(2) > telling;
        Unit::ALL.into_iter().zip(self.as_unit).find(|(_, plausible)| most(*plausible)).map(|(unit, _)| unit)
    }

    /// As many as there would be in a table that is `factor` times the sample, so that each part of a table counts by
    /// its size.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "an estimate, and float casts saturate"
    )]
    pub(crate) fn scaled(self, factor: f64) -> Self {
        let scale = |count: u64| (count as f64 * factor).round() as u64;
        Self {
            known: scale(self.known),
            sentinels: scale(self.sentinels),
            plausible: scale(self.plausible),
            as_unit: self.as_unit.map(scale),
            estimated: self.estimated || factor > 1.0,
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.known += other.known;
        self.sentinels += other.sentinels;
        self.estimated |= other.estimated;
        self.plausible += other.plausible;
        for (sum, more) in self.as_unit.iter_mut().zip(other.as_unit) {
            *sum += more;
        }
    }

    /// Why nothing may be removed by this column: most of its values are no times. With the line that would help, where
    /// one does, to be written into the section of the policy of this name.
    ///
    /// `None` for what is no number: a timestamp is never read wrongly, so what is implausible there stays by itself.
    pub(crate) fn refusal(&self, policy: &str, column: &str, unit: Option<Unit>) -> Option<String> {
        let read = unit?.words();
        let telling = self.known.saturating_sub(self.sentinels);
        let most = |count: u64| count.saturating_mul(2) > telling;
        let count = telling.saturating_sub(self.plausible);
        if !most(count) {
            return None;
        }
        let (count, values) = (Count(count), plural(telling, "value"));
        let about = if self.estimated { "about " } else { "" };
        let sentence = format!(
            "{about}{count} of {values} of {column}, read as {read}, are implausible times (before 2000, or more than \
             ten years ahead), so nothing is removed"
        );
        let better = self.unit().map(|unit| (unit, self.as_unit[unit.place()]));
        Some(match better {
            Some((unit, plausible)) => format!(
                "{sentence}; read as {}, {} of them are: add the line time_format = \"{}\" to [sessions.{}]",
                unit.words(),
                Count(plausible),
                unit.format().key(),
                policy
            ),
            None => format!("{sentence}; no time_format matches them, so name another activity_column"),
        })
    }
}

/// Says that some rows have no time and stay.
pub(crate) fn implausible_rows(rows: u64, at_least: bool, column: &str) -> Option<String> {
    let about = if at_least { "at least " } else { "" };
    let (stay, their) = if rows == 1 { ("stays", "its") } else { ("stay", "their") };
    (rows > 0).then(|| {
        format!(
            "{about}{} {stay}: {their} {column} is an implausible time (before 2000, or more than ten years ahead)",
            plural(rows, "row")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-27, and the edges of what is plausible then.
    const NOW: f64 = 1_795_737_600.0;

    fn plausible_as(value: f64) -> Vec<Unit> {
        let number = |text: &str| text.parse::<f64>().unwrap();
        let now = |unit| match unit {
            Unit::Seconds => NOW,
            Unit::Milliseconds => NOW * 1e3,
            Unit::Microseconds => NOW * 1e6,
            Unit::JulianDays => NOW / 86_400.0 + 2_440_587.5,
        };
        let fits = |unit: &Unit| (number(unit.year_2000())..=now(*unit) + number(unit.ten_years())).contains(&value);
        Unit::ALL.into_iter().filter(fits).collect()
    }

    #[test]
    fn a_number_is_a_plausible_time_in_one_unit_at_most() {
        for (value, expected) in [
            (NOW, vec![Unit::Seconds]),
            (NOW * 1e3, vec![Unit::Milliseconds]),
            (NOW * 1e6, vec![Unit::Microseconds]),
            (NOW / 86_400.0 + 2_440_587.5, vec![Unit::JulianDays]),
            // Since 2001 and since 1904, in seconds; since 1970 in minutes, hours and days; nanoseconds.
            (NOW - 978_307_200.0, vec![]),
            (NOW + 2_082_844_800.0, vec![]),
            (NOW / 60.0, vec![]),
            (NOW / 3600.0, vec![]),
            (NOW / 86_400.0, vec![]),
            (NOW * 1e9, vec![]),
            (0.0, vec![]),
            (-1.0, vec![]),
        ] {
            assert_eq!(plausible_as(value), expected, "{value}");
        }
    }

    #[test]
    fn more_than_half_decides() {
        let values = |known, plausible, millis| Values {
            known,
            plausible,
            as_unit: [plausible, millis, 0, 0],
            ..Values::default()
        };
        let refusal = |values: Values| values.refusal("tutor-sessions", "t.at", Some(Unit::Seconds));
        assert_eq!(refusal(values(0, 0, 0)), None);
        assert_eq!(refusal(values(4, 2, 2)), None, "half is not most");
        let message = refusal(values(5, 2, 3)).unwrap();
        assert!(
            message.ends_with("add the line time_format = \"milliseconds\" to [sessions.tutor-sessions]"),
            "{message}"
        );
        assert!(
            message.starts_with("3 of 5 values of t.at, read as seconds since 1970, are implausible times"),
            "{message}"
        );
        let message = refusal(values(5, 1, 2)).unwrap();
        assert!(message.ends_with("no time_format matches them, so name another activity_column"), "{message}");
        assert_eq!(values(5, 1, 2).refusal("tutor-sessions", "t.at", None), None, "a timestamp is what it is");
        let sentinels = |sentinels| refusal(Values { sentinels, ..values(5, 1, 0) });
        assert_eq!(sentinels(3), None, "one is a time and one is not");
        assert!(sentinels(2).unwrap().starts_with("2 of 3 values"));
    }

    #[test]
    fn a_part_counts_by_its_size() {
        let millis = |count| Values { known: count, as_unit: [0, count, 0, 0], ..Values::default() };
        let seconds = Values { known: 100, plausible: 100, as_unit: [100, 0, 0, 0], ..Values::default() };
        let mut sum = seconds.scaled(50.0);
        (0..9).for_each(|_| sum.add(millis(100)));
        assert_eq!(sum.refusal("p", "t.at", Some(Unit::Seconds)), None);
        let mut sum = seconds;
        (0..9).for_each(|_| sum.add(millis(100).scaled(2.0)));
        let refusal = sum.refusal("p", "t.at", Some(Unit::Seconds)).unwrap();
        assert!(refusal.starts_with("about 1,800 of 1,900 values"), "{refusal}");
    }
}
