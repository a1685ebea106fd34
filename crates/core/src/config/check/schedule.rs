//! Checks of `every` and `cron`.
//!
//! Only what every scheduler understands passes: five fields of numbers, names, lists, ranges and steps. The same
//! text is run by the service and rendered into cron files and systemd timers, so an extension of one is an error
//! for all.

use croner::parser::{CronParser, Seconds, Year};
use jiff::{Timestamp, tz::TimeZone};

use super::super::diagnostic::Diagnostic;
use super::super::values::{At, Period};
use super::Check;
use crate::policy::Schedule;

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

impl Check<'_> {
    pub(super) fn schedule(&mut self, every: Option<&At<Period>>, cron: Option<&At<String>>) -> Option<Schedule> {
        match (every, cron) {
            (None, None) => None,
            (Some(every), None) => {
                self.positive("every", every, "expected a time between two runs").map(Schedule::Every)
            }
            (None, Some(cron)) => match check_cron(&cron.value) {
                Ok(()) => Some(Schedule::Cron(cron.value.trim().to_owned())),
                Err(label) => {
                    self.refuse(bad_cron(cron, &label));
                    None
                }
            },
            (Some(every), Some(cron)) => {
                self.refuse(
                    Diagnostic::new(&cron.span, "`every` and `cron` exclude each other")
                        .label("this says when it runs")
                        .context(&every.span, "and so does this")
                        .help("remove one of them"),
                );
                None
            }
        }
    }
}

fn bad_cron(cron: &At<String>, label: &str) -> Diagnostic {
    Diagnostic::new(&cron.span, "`cron` is no schedule")
        .label(label)
        .note("the fields are minute, hour, day of the month, month, day of the week")
        .help("every night at three: `0 3 * * *`")
}

/// Checks the text, and that it ever fires: `0 0 30 2 *` never does.
fn check_cron(text: &str) -> Result<(), String> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    if text.trim_start().starts_with('@') {
        return Err("expected five fields instead of a nickname".to_owned());
    }
    if fields.len() != FIELDS.len() {
        return Err(format!("expected five fields, found {}", fields.len()));
    }
    for (field, (what, names)) in fields.iter().zip(FIELDS) {
        if !is_plain(field, names) {
            return Err(format!("`{}` is no {what}", field.escape_debug()));
        }
    }
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    let cron = parser.parse(text).map_err(|_| out_of_range(&fields))?;
    let from = Timestamp::from_second(SEARCH_FROM).map_err(|error| error.to_string())?.to_zoned(TimeZone::UTC);
    cron.find_next_occurrence(&from, true).map_err(|_| "there is no such day: it would never run".to_owned())?;
    Ok(())
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

/// The first field that does not parse alone, for the message.
fn out_of_range(fields: &[&str]) -> String {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    let alone = |at: usize| {
        let mut others = ["*"; FIELDS.len()];
        others[at] = fields[at];
        parser.parse(&others.join(" "))
    };
    match (0..FIELDS.len()).find(|at| alone(*at).is_err()) {
        Some(at) => format!("`{}` is out of range for the {}", fields[at].escape_debug(), FIELDS[at].0),
        None => "the fields do not fit together".to_owned(),
    }
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
            assert_eq!(check_cron(text), Ok(()), "{text}");
        }
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
            "a b c d e",
            "0 0 30 2 *",
            "0 0 31 4 *",
            "-1 * * * *",
            "1- * * * *",
            ", * * * *",
            "5-1 * * * *",
            "0 0 * jan,foo *",
        ] {
            assert!(check_cron(text).is_err(), "{text}");
        }
    }
}
