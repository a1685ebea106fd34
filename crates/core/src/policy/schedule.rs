//! When a policy runs by itself.
//!
//! A cron expression is parsed once, when the configuration is loaded, and whoever runs by it or renders it reads what
//! was parsed. Only what every scheduler understands passes: five fields of numbers, names, lists, ranges and steps.
//! The service runs by the same expression that is rendered into cron files and systemd timers, so an extension of one
//! of them is an error for all.

use std::fmt;
use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::duration::Human;

/// Where the search for a first run begins, in seconds: 2024-01-01, before a leap day so that 29 February is found.
const SEARCH_FROM: i64 = 1_704_067_200;

/// The fields in their order, and the names that may stand for numbers in them.
const FIELDS: [(&str, &[&str]); 5] = [
    ("minute", &[]),
    ("hour", &[]),
    ("day of the month", &[]),
    ("month", &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]),
    ("day of the week", &["sun", "mon", "tue", "wed", "thu", "fri", "sat"]),
];

/// When a policy runs by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// The key `every`: the time between two runs, positive.
    Every(Duration),
    /// The key `cron`, in local time or `time_zone`.
    Cron(CronExpression),
}

/// Five fields of cron that name at least one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CronExpression {
    text: String,
    parsed: Box<Cron>,
}

/// Why a text is not a cron expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CronError(String);

impl CronExpression {
    /// Parses the text, and makes sure that it ever fires: `0 0 30 2 *` never does.
    pub fn parse(text: &str) -> Result<Self, CronError> {
        let text = text.trim();
        let fields: Vec<&str> = text.split_whitespace().collect();
        if text.starts_with('@') {
            return Err(CronError("expected five fields instead of a nickname".to_owned()));
        }
        if fields.len() != FIELDS.len() {
            return Err(CronError(format!("expected five fields, found {}", fields.len())));
        }
        for (field, (what, names)) in fields.iter().zip(FIELDS) {
            if !is_plain(field, names) {
                return Err(CronError(format!("`{}` is not a valid {what}", field.escape_debug())));
            }
        }
        let parsed = parser().parse(text).map_err(|_| out_of_range(&fields))?;
        let never = || CronError("no such day exists, so it would never run".to_owned());
        let from = Timestamp::from_second(SEARCH_FROM).map_err(|_| never())?.to_zoned(TimeZone::UTC);
        parsed.find_next_occurrence(&from, true).map_err(|_| never())?;
        Ok(Self { text: text.to_owned(), parsed: Box::new(parsed) })
    }

    /// As the configuration writes it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What the service searches for the next run with.
    pub fn parsed(&self) -> &Cron {
        &self.parsed
    }

    /// The numbers that each field names: minutes, hours, days of the month, months, days of the week from Sunday, 0.
    pub fn numbers(&self) -> [Vec<u8>; 5] {
        let pattern = &self.parsed.pattern;
        let fields = [&pattern.minutes, &pattern.hours, &pattern.days, &pattern.months, &pattern.days_of_week];
        fields.map(|field| field.values().into_iter().filter_map(|number| u8::try_from(number).ok()).collect())
    }
}

/// `every 30m`, `cron 0 * * * *`.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every(span) => write!(f, "every {}", Human(*span)),
            Self::Cron(cron) => write!(f, "cron {}", cron.text),
        }
    }
}

fn parser() -> CronParser {
    CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build()
}

/// Whether a field is made of numbers, names, `*`, `,`, `-` and `/` alone.
fn is_plain(field: &str, names: &[&str]) -> bool {
    let number = |text: &str| !text.is_empty() && text.len() <= 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    let value = |text: &str| number(text) || names.contains(&text.to_ascii_lowercase().as_str());
    field.split(',').all(|item| {
        let (range, step) = item.split_once('/').map_or((item, None), |(range, step)| (range, Some(step)));
        let range_is_plain =
            range == "*" || range.split_once('-').map_or_else(|| value(range), |(from, to)| value(from) && value(to));
        range_is_plain && step.is_none_or(|step| number(step) && step.bytes().any(|byte| byte != b'0'))
    })
}

/// Names the first field that cannot be parsed alone.
fn out_of_range(fields: &[&str]) -> CronError {
    let parser = parser();
    let alone = |at: usize| {
        let mut others = ["*"; FIELDS.len()];
        others[at] = fields[at];
        parser.parse(&others.join(" "))
    };
    CronError(match (0..FIELDS.len()).find(|at| alone(*at).is_err()) {
        Some(at) => format!("`{}` is out of range for the {}", fields[at].escape_debug(), FIELDS[at].0),
        None => "the fields contradict each other".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cron_understands_is_a_schedule() {
        for text in [
            "0 3 * * *",
            "*/15 * * * *",
            "0 0 29 2 *",
            "0-30/5 8,12,18 1-15 jan-mar MON",
            "0 0 * * 7",
            "  5 4 * * sun ",
            "0 0 31 * *",
        ] {
            let parsed = CronExpression::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(parsed.text(), text.trim());
        }
    }

    #[test]
    fn what_was_parsed_are_the_numbers_of_every_field() {
        let numbers = CronExpression::parse("*/20 8,22 1-3 jan,FEB fri-7").unwrap().numbers();
        assert_eq!(numbers, [vec![0, 20, 40], vec![8, 22], vec![1, 2, 3], vec![1, 2], vec![0, 5, 6]]);
        let numbers = CronExpression::parse("0 0 * * *").unwrap().numbers();
        assert_eq!((numbers[2].len(), numbers[3].len(), numbers[4].len()), (31, 12, 7));
    }

    #[test]
    fn what_some_scheduler_would_refuse_is_an_error() {
        for text in [
            "",
            "@daily",
            "* * * *",
            "0 0 3 * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 8",
            "0 0 L * *",
            "0 0 15W * *",
            "0 0 * * 5#2",
            "0 0 ? * *",
            "*/0 * * * *",
            "5/10 * * * *",
            "a b c d e",
            "0 0 30 2 *",
            "0 0 31 4 *",
            "-1 * * * *",
            "1- * * * *",
            ", * * * *",
            "5-1 * * * *",
            "0 0 * * 6-1",
            "0 0 *,5 * *",
            "0 0 * jan,foo *",
        ] {
            assert!(CronExpression::parse(text).is_err(), "{text}");
        }
    }
}
