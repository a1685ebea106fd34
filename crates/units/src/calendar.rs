//! When a systemd timer elapses.
//!
//! `cron` becomes `OnCalendar=` in the configured zone, or in the machine's own; where both fields of days are
//! restricted it becomes two lines, since cron joins them by *or* and systemd by *and*. `every` has nothing to do with
//! the time of day, so it is written in UTC, where no hour is missing or comes twice. An interval that does not divide
//! a day is counted from run to run and from the start of the machine instead.

use std::time::Duration;

use cleanup_core::policy::Schedule;

use crate::expression::{Days, Expression, Set, Shape};

/// The longest random delay where the configuration names times of day: it asked for those.
const LONGEST_DELAY_OF_CRON: Duration = Duration::from_mins(5);

/// How long after the start of the machine the first run is at most.
const SOON: Duration = Duration::from_mins(15);

const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/// The settings of `[Timer]` that say when, one a line.
pub(crate) fn timer(schedule: &Schedule, time_zone: Option<&str>) -> Result<String, String> {
    let (when, delay) = match schedule {
        Schedule::Cron(cron) => {
            let expression = Expression::of(cron)?;
            let delay = Duration::from_secs(expression.shortest_gap() / 10).min(LONGEST_DELAY_OF_CRON);
            (on_calendar(&lines(&expression, time_zone)), delay)
        }
        Schedule::Every(span) => match Expression::every(*span) {
            Some(times) => {
                let lines: Vec<_> = times.iter().flat_map(|times| lines(times, Some("UTC"))).collect();
                (on_calendar(&lines), *span / 10)
            }
            None => (monotonic(*span), *span / 10),
        },
    };
    Ok(format!("{when}RandomizedDelaySec={}\nFixedRandomDelay=true\nAccuracySec=1s\n", time_span(delay)))
}

fn on_calendar(lines: &[String]) -> String {
    let lines: String = lines.iter().map(|line| format!("OnCalendar={line}\n")).collect();
    format!("{lines}# Runs missed while the machine was off are caught up.\nPersistent=true\n")
}

fn monotonic(span: Duration) -> String {
    format!(
        "# This interval does not divide a day, so it counts from run to run; one run soon after boot\n# replaces \
         those that were missed.\nOnBootSec={}\nOnUnitActiveSec={}\n",
        time_span((span / 10).min(SOON)),
        time_span(span)
    )
}

/// Calendar expressions that together mean this.
pub(crate) fn lines(expression: &Expression, time_zone: Option<&str>) -> Vec<String> {
    let line = |weekdays: Option<Set>, days: Option<Set>| {
        let weekdays = weekdays.filter(|set| !set.is_full()).map_or_else(String::new, |set| names(set) + " ");
        let days = days.map_or_else(|| "*".to_owned(), component);
        let zone = time_zone.map_or_else(String::new, |zone| format!(" {zone}"));
        format!(
            "{weekdays}*-{}-{days} {}:{}:{}{zone}",
            component(expression.months),
            component(expression.hours),
            component(expression.minutes),
            component(expression.seconds)
        )
    };
    match expression.days {
        Days::Every => vec![line(None, None)],
        Days::OfMonth(days) => vec![line(None, Some(days))],
        Days::OfWeek(weekdays) => vec![line(Some(weekdays), None)],
        Days::Either(days, weekdays) => vec![line(None, Some(days)), line(Some(weekdays), None)],
    }
}

fn component(set: Set) -> String {
    match set.shape() {
        Shape::All => "*".to_owned(),
        // Never without its end: on a night on which the clock is set forward, systemd counts steps without one past
        // midnight, goes round in a circle, gives up, and the timer is dead.
        Shape::Steps { from, step } => format!("{from:02}..{}/{step}", set.high()),
        Shape::Ranges(ranges) => {
            let one =
                |(from, to): &(u8, u8)| if from == to { format!("{from:02}") } else { format!("{from:02}..{to:02}") };
            ranges.iter().map(one).collect::<Vec<_>>().join(",")
        }
    }
}

fn names(set: Set) -> String {
    let names: Vec<_> = set.numbers().map(|number| WEEKDAYS[usize::from(number)]).collect();
    names.join(",")
}

/// A time span as systemd writes it, in whole milliseconds.
pub(crate) fn time_span(span: Duration) -> String {
    let mut left = span.as_millis();
    let mut parts = Vec::new();
    for (unit, millis) in [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000), ("ms", 1)] {
        if left >= millis {
            parts.push(format!("{}{unit}", left / millis));
            left %= millis;
        }
    }
    if parts.is_empty() { "0".to_owned() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use cleanup_core::policy::CronExpression;

    use super::*;

    fn cron(text: &str, zone: Option<&str>) -> Vec<String> {
        lines(&Expression::of(&CronExpression::parse(text).unwrap()).unwrap(), zone)
    }

    #[test]
    fn a_cron_expression_becomes_calendar_lines() {
        for (text, expected) in [
            ("0 3 * * *", "*-*-* 03:00:00"),
            ("*/7 * * * *", "*-*-* *:00..59/7:00"),
            ("0 0 29 2 *", "*-02-29 00:00:00"),
            ("0 9-17/2 * * mon-fri", "Mon,Tue,Wed,Thu,Fri *-*-* 09,11,13,15,17:00:00"),
            ("0 0 * * 0-7", "*-*-* 00:00:00"),
            ("0 0 1-7 * *", "*-*-01..07 00:00:00"),
        ] {
            assert_eq!(cron(text, None), [expected], "{text}");
        }
        assert_eq!(cron("0 3 * * 7", Some("Europe/Berlin")), ["Sun *-*-* 03:00:00 Europe/Berlin"]);
    }

    #[test]
    fn both_fields_of_days_mean_or() {
        assert_eq!(cron("30 4 1,15 * 5", None), ["*-*-01,15 04:30:00", "Fri *-*-* 04:30:00"]);
    }

    #[test]
    fn an_interval_keeps_its_length_in_whatever_zone() {
        let timer = |seconds| timer(&Schedule::Every(Duration::from_secs(seconds)), Some("Europe/Berlin")).unwrap();
        assert!(timer(1800).starts_with("OnCalendar=*-*-* *:00..59/30:00 UTC\n"), "{}", timer(1800));
        assert!(timer(90).starts_with("OnCalendar=*-*-* *:00..59/3:00 UTC\nOnCalendar=*-*-* *:01..59/3:30 UTC\n"));
        assert!(timer(420).contains("OnBootSec=42s\nOnUnitActiveSec=7min\nRandomizedDelaySec=42s\n"));
        assert!(!timer(420).contains("OnCalendar"));
        assert!(timer(2 * 86400).contains("OnUnitActiveSec=2d\n"));
    }
}
