//! Moments for people: the date in local time, and how far away it is.

use std::fmt;
use std::time::Duration;

use cleanup_core::duration::Human;
use cleanup_core::moment::Moment;
use cleanup_core::words;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A moment with its distance: `2026-01-02 03:04:05 UTC (in 3h)`.
pub(crate) struct When<'a> {
    pub(crate) at: Moment,
    pub(crate) now: Moment,
    pub(crate) zone: &'a TimeZone,
}

impl fmt::Display for When<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, now, zone } = self;
        match Timestamp::from_second(at.unix_seconds()) {
            Ok(timestamp) => {
                write!(f, "{}", timestamp.to_zoned((*zone).clone()).strftime("%Y-%m-%d %H:%M:%S %Z"))?;
            }
            Err(_) => write!(f, "{at}")?,
        }
        write!(f, " ({})", Distance { at: *at, now: *now })
    }
}

/// How far away a moment is: `in 3h`, `25h3m ago`.
///
/// As [`words::Distance`], and from an hour on in whole minutes.
pub(crate) struct Distance {
    pub(crate) at: Moment,
    pub(crate) now: Moment,
}

impl fmt::Display for Distance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match words::Distance::between(self.at, self.now) {
            words::Distance::Now => f.write_str("now"),
            words::Distance::Ago(over) => write!(f, "{} ago", Human(coarse(over, u64::div_euclid))),
            words::Distance::Ahead(ahead) => write!(f, "in {}", Human(coarse(ahead, u64::div_ceil))),
        }
    }
}

/// An age without its distance words: `25h3m`.
pub(crate) fn age(of: Duration) -> Human {
    Human(coarse(of, u64::div_euclid))
}

fn coarse(span: Duration, divide: fn(u64, u64) -> u64) -> Duration {
    let seconds = span.as_secs();
    let unit = if seconds < 3600 { 1 } else { 60 };
    Duration::from_secs(divide(seconds, unit).saturating_mul(unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment::from_unix(1_767_323_045, 500_000_000);

    fn distance(at: Moment) -> String {
        Distance { at, now: NOW }.to_string()
    }

    #[test]
    fn what_lies_ahead_is_rounded_up_and_what_is_over_down() {
        assert_eq!(distance(NOW), "now");
        assert_eq!(distance(NOW.plus(Duration::from_millis(1))), "in 1s");
        assert_eq!(distance(NOW.plus(Duration::from_millis(2_399_990))), "in 40m");
        assert_eq!(distance(NOW.plus(Duration::from_secs(2 * 3600 + 1))), "in 2h1m");
        assert_eq!(distance(NOW.minus(Duration::from_millis(999))), "now");
        assert_eq!(distance(NOW.minus(Duration::from_secs(25 * 3600 + 3 * 60 + 59))), "25h3m ago");
    }

    #[test]
    fn no_moment_is_too_far_away_to_show() {
        let show = |at| When { at, now: NOW, zone: &TimeZone::UTC }.to_string();
        assert_eq!(show(NOW.plus(Duration::from_hours(3))), "2026-01-02 06:04:05 UTC (in 3h)");
        assert!(show(Moment::from_unix(i64::MAX, 0)).starts_with("9999-12-30"));
        assert!(show(Moment::from_unix(i64::MIN, 0)).starts_with("-009999-01-02"));
    }
}
