//! A schedule as sets of numbers: what `cron` and `every` come to, before any scheduler's syntax.
//!
//! The configuration has parsed the five fields of cron. Every syntax is then written from the sets and not from
//! the text, because schedulers disagree on the text: whether Sunday may be 7, or a step stand behind a single number.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use cleanup_core::policy::CronExpression;

const DAY: u64 = 24 * 60 * 60;
const WEEK: u64 = 7 * DAY;

/// Numbers of one field, each a bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Set {
    bits: u64,
    low: u8,
    high: u8,
}

impl Set {
    fn empty(low: u8, high: u8) -> Self {
        Self { bits: 0, low, high }
    }

    fn full(low: u8, high: u8) -> Self {
        (low..=high).fold(Self::empty(low, high), Self::with)
    }

    fn of(numbers: &[u8], low: u8, high: u8) -> Self {
        numbers.iter().copied().fold(Self::empty(low, high), Self::with)
    }

    fn with(self, number: u8) -> Self {
        Self { bits: self.bits | 1 << number, ..self }
    }

    /// The largest number that could be in it.
    pub(crate) fn high(self) -> u8 {
        self.high
    }

    pub(crate) fn is_full(self) -> bool {
        self == Self::full(self.low, self.high)
    }

    pub(crate) fn numbers(self) -> impl Iterator<Item = u8> {
        (self.low..=self.high).filter(move |number| self.bits & 1 << number != 0)
    }

    /// The smallest form: everything, steps up to the end, ranges, single numbers.
    pub(crate) fn shape(self) -> Shape {
        let numbers: Vec<u8> = self.numbers().collect();
        if self.is_full() {
            return Shape::All;
        }
        if let [first, second, ..] = numbers[..]
            && let Some(&last) = numbers.last()
            && (numbers.len() > 2 || (self.high > 6 && first == 0))
            && numbers.windows(2).all(|pair| pair[1] - pair[0] == second - first)
            && second - first > 1
            && u16::from(last) + u16::from(second - first) > u16::from(self.high)
        {
            return Shape::Steps { from: first, step: second - first };
        }
        let mut ranges: Vec<(u8, u8)> = Vec::new();
        for number in numbers {
            match ranges.last_mut() {
                Some((_, to)) if *to + 1 == number => *to = number,
                _ => ranges.push((number, number)),
            }
        }
        Shape::Ranges(ranges)
    }
}

/// How a [`Set`] is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Every number there is.
    All,
    /// From a number on in steps, as far as they go.
    Steps {
        /// The first.
        from: u8,
        /// Above one.
        step: u8,
    },
    /// First and last of each run of neighbours.
    Ranges(Vec<(u8, u8)>),
}

/// Times that recur.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expression {
    pub(crate) seconds: Set,
    pub(crate) minutes: Set,
    pub(crate) hours: Set,
    pub(crate) days: Days,
    pub(crate) months: Set,
}

/// The days on which it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Days {
    Every,
    OfMonth(Set),
    OfWeek(Set),
    /// Cron joins the two by *or*.
    Either(Set, Set),
}

impl Expression {
    /// What an expression of the configuration names; an error where programs read it differently.
    pub(crate) fn of(cron: &CronExpression) -> Result<Self, String> {
        let [minutes, hours, of_month, months, of_week] = cron.numbers();
        let (of_month, of_week) = (Set::of(&of_month, 1, 31), Set::of(&of_week, 0, 6));
        // Which field of days counts depends on how it is written.
        let mut fields = cron.text().split_whitespace().skip(2);
        let (days, weekdays) = (fields.next().unwrap_or("*"), fields.nth(1).unwrap_or("*"));
        let days = match (days == "*", weekdays == "*") {
            (true, true) => Days::Every,
            (false, true) => Days::OfMonth(of_month),
            (true, false) => Days::OfWeek(of_week),
            (false, false) if days.starts_with('*') || weekdays.starts_with('*') => {
                let starred = if days.starts_with('*') { days } else { weekdays };
                let range = if days.starts_with('*') { "1-31" } else { "0-6" };
                let plain = starred.replacen('*', range, 1);
                return Err(format!(
                    "programs disagree about `{starred}` next to the other day field: cron itself takes it as *and*, \
                     others as *or*; write `{plain}` for *or*"
                ));
            }
            (false, false) => Days::Either(of_month, of_week),
        };
        Ok(Self {
            seconds: Set::empty(0, 59).with(0),
            minutes: Set::of(&minutes, 0, 59),
            hours: Set::of(&hours, 0, 23),
            days,
            months: Set::of(&months, 1, 12),
        })
    }

    /// The times of a day (or week) at which something runs that runs every so often, beginning at midnight; `None` where
    /// no clock can say it, because the time does not divide a day.
    pub(crate) fn every(span: Duration) -> Option<Vec<Self>> {
        let seconds = span.as_secs();
        if seconds == 0 || span.subsec_nanos() != 0 {
            return None;
        }
        let at_midnight = Self {
            seconds: Set::empty(0, 59).with(0),
            minutes: Set::empty(0, 59).with(0),
            hours: Set::empty(0, 23).with(0),
            days: Days::Every,
            months: Set::full(1, 12),
        };
        if seconds == WEEK {
            return Some(vec![Self { days: Days::OfWeek(Set::empty(0, 6).with(0)), ..at_midnight }]);
        }
        if !DAY.is_multiple_of(seconds) {
            return None;
        }
        let times = (0..DAY / seconds).map(|nth| nth * seconds);
        Some(
            clock_faces(times)
                .into_iter()
                .map(|(hours, minutes, seconds)| Self { seconds, minutes, hours, ..at_midnight })
                .collect(),
        )
    }

    /// The shortest time between two runs, in seconds, as far as the times of a day tell; a day where there is only one.
    pub(crate) fn shortest_gap(&self) -> u64 {
        let times: Vec<u64> = self
            .hours
            .numbers()
            .flat_map(|hour| self.minutes.numbers().map(move |minute| u64::from(hour) * 3600 + u64::from(minute) * 60))
            .collect();
        let overnight = times.first().zip(times.last()).map_or(DAY, |(first, last)| first + DAY - last);
        times.windows(2).map(|pair| pair[1] - pair[0]).min().unwrap_or(DAY).min(overnight)
    }

    /// The five fields in the form that every cron understands; `None` for what has seconds.
    pub(crate) fn crontab(&self) -> Option<String> {
        if self.seconds != Set::empty(0, 59).with(0) {
            return None;
        }
        let (days, weekdays) = match self.days {
            Days::Every => ("*".to_owned(), "*".to_owned()),
            Days::OfMonth(days) => (day_field(days), "*".to_owned()),
            Days::OfWeek(weekdays) => ("*".to_owned(), day_field(weekdays)),
            Days::Either(days, weekdays) => (day_field(days), day_field(weekdays)),
        };
        Some(format!("{} {} {days} {} {weekdays}", field(self.minutes), field(self.hours), field(self.months)))
    }
}

/// Hours, minutes and seconds that together are exactly these times of day, few of them.
fn clock_faces(times: impl Iterator<Item = u64>) -> Vec<(Set, Set, Set)> {
    let mut hours: BTreeMap<(u64, u64), Set> = BTreeMap::new();
    for time in times {
        let set = hours.entry((time % 60, time / 60 % 60)).or_insert_with(|| Set::empty(0, 23));
        *set = set.with(small(time / 3600));
    }
    let mut minutes: BTreeMap<(u64, Set), Set> = BTreeMap::new();
    for ((second, minute), hours) in hours {
        let set = minutes.entry((second, hours)).or_insert_with(|| Set::empty(0, 59));
        *set = set.with(small(minute));
    }
    let mut seconds: BTreeMap<(Set, Set), Set> = BTreeMap::new();
    for ((second, hours), minutes) in minutes {
        let set = seconds.entry((hours, minutes)).or_insert_with(|| Set::empty(0, 59));
        *set = set.with(small(second));
    }
    let mut faces: Vec<_> = seconds.into_iter().map(|((hours, minutes), seconds)| (hours, minutes, seconds)).collect();
    let first = |set: Set| set.numbers().next();
    faces.sort_by_key(|(hours, minutes, seconds)| (first(*hours), first(*minutes), first(*seconds)));
    faces
}

fn small(number: u64) -> u8 {
    u8::try_from(number).expect("a part of a time of day is below 60")
}

/// `*`, `*/5`, `3-59/5`, `1-5,7`.
fn field(set: Set) -> String {
    match set.shape() {
        Shape::All => "*".to_owned(),
        Shape::Steps { from, step } if from == set.low => format!("*/{step}"),
        shape => listed(set, &shape),
    }
}

/// The same without `*`, which would change how the two fields of days are joined.
fn day_field(set: Set) -> String {
    match set.shape() {
        Shape::All => format!("{}-{}", set.low, set.high),
        shape => listed(set, &shape),
    }
}

fn listed(set: Set, shape: &Shape) -> String {
    match shape {
        Shape::All => "*".to_owned(),
        Shape::Steps { from, step } => format!("{from}-{}/{step}", set.high),
        Shape::Ranges(ranges) => {
            let mut text = String::new();
            for (from, to) in ranges {
                let comma = if text.is_empty() { "" } else { "," };
                // Writing to a string cannot fail.
                let _ = if from == to { write!(text, "{comma}{from}") } else { write!(text, "{comma}{from}-{to}") };
            }
            text
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> Result<String, String> {
        let cron = CronExpression::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        Expression::of(&cron).map(|expression| expression.crontab().unwrap())
    }

    #[test]
    fn what_is_written_means_what_was_read_to_every_cron() {
        for (text, expected) in [
            ("0 * * * *", "0 * * * *"),
            ("*/30 * * * *", "*/30 * * * *"),
            ("0,30 * * * *", "*/30 * * * *"),
            ("*/7 */5 * * *", "*/7 */5 * * *"),
            ("3-59/5 0 * * *", "3-59/5 0 * * *"),
            ("0 0 * * 7", "0 0 * * 0"),
            ("0 0 * * 5-7", "0 0 * * 0,5-6"),
            ("0 0 * * mon,WED", "0 0 * * 1,3"),
            ("0 0 1 jan-mar *", "0 0 1 1-3 *"),
            ("0 0 1-31 * 1", "0 0 1-31 * 1"),
            ("0 0 13 * fri", "0 0 13 * 5"),
            ("0 0 */2 * *", "0 0 1-31/2 * *"),
            ("0-59 0-23 * 1-12 *", "* * * * *"),
        ] {
            assert_eq!(canonical(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_programs_read_differently_is_refused() {
        for text in ["0 0 */2 * 1", "0 0 1 * */2"] {
            canonical(text).expect_err(text);
        }
    }

    #[test]
    fn an_interval_that_divides_the_day_is_times_of_the_clock() {
        let lines = |seconds| {
            let expressions = Expression::every(Duration::from_secs(seconds))?;
            expressions.iter().map(Expression::crontab).collect::<Option<Vec<_>>>()
        };
        for (seconds, expected) in [
            (60, Some(vec!["* * * * *"])),
            (30 * 60, Some(vec!["*/30 * * * *"])),
            (15 * 60, Some(vec!["*/15 * * * *"])),
            (3600, Some(vec!["0 * * * *"])),
            (6 * 3600, Some(vec!["0 */6 * * *"])),
            (90 * 60, Some(vec!["0 */3 * * *", "30 1-23/3 * * *"])),
            (86400, Some(vec!["0 0 * * *"])),
            (7 * 86400, Some(vec!["0 0 * * 0"])),
            (90, None),
            (7 * 60, None),
            (2 * 86400, None),
        ] {
            let expected = expected.map(|lines| lines.into_iter().map(str::to_owned).collect());
            assert_eq!(lines(seconds), expected, "{seconds}");
        }
    }

    #[test]
    fn the_times_of_an_interval_are_that_interval_apart() {
        for seconds in (1..=DAY).filter(|seconds| DAY.is_multiple_of(*seconds)) {
            let mut times: Vec<u64> = Vec::new();
            for face in Expression::every(Duration::from_secs(seconds)).unwrap() {
                for hour in face.hours.numbers() {
                    for minute in face.minutes.numbers() {
                        let minutes = (u64::from(hour) * 60 + u64::from(minute)) * 60;
                        times.extend(face.seconds.numbers().map(|second| minutes + u64::from(second)));
                    }
                }
            }
            times.sort_unstable();
            assert_eq!(times, (0..DAY / seconds).map(|nth| nth * seconds).collect::<Vec<_>>(), "every {seconds} s");
        }
    }
}
