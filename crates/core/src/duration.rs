//! Durations as people write them: `30m`, `24h`, `0.5h`, `1h30m`, `7d`, `2w`.
//!
//! A bare number is refused ("missing unit"), and so are months and years, whose length depends on the calendar: a
//! threshold must mean the same number of seconds every day. A day is 24 hours, a week 7 days.

use std::fmt;
use std::time::Duration;

use jiff::{Span, SpanRelativeTo};

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// A number without a unit.
    #[error("missing unit: write `{0}s`, `{0}m`, `{0}h` or `{0}d`")]
    BareNumber(String),
    /// Months and years have no fixed length.
    #[error("months and years have no fixed length; use days: `30d`")]
    Calendar,
    /// Below zero.
    #[error("a duration cannot be negative")]
    Negative,
    /// Longer than about 19,998 years.
    #[error("the duration is too long")]
    TooLong,
    /// Anything else.
    #[error("not a duration; expected something like `30m`, `24h`, `1h30m`, `0.5h`, `7d` or `2w`")]
    Syntax,
}

/// Parses a duration; zero is allowed.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let text = text.trim();
    if text.parse::<f64>().is_ok() {
        return Err(DurationError::BareNumber(text.to_owned()));
    }
    if text.starts_with(['P', 'p']) || text.ends_with("ago") || text.contains(':') {
        return Err(DurationError::Syntax);
    }
    let span: Span = text.parse().map_err(|_| DurationError::Syntax)?;
    if span.get_months() != 0 || span.get_years() != 0 {
        return Err(DurationError::Calendar);
    }
    let signed = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| DurationError::TooLong)?;
    Duration::try_from(signed).map_err(|_| DurationError::Negative)
}

/// A number of hours as the first seed's flags take them: `24`, `0.5`.
pub fn parse_hours(text: &str) -> Result<Duration, DurationError> {
    let hours: f64 = text.trim().parse().map_err(|_| DurationError::Syntax)?;
    if hours < 0.0 {
        return Err(DurationError::Negative);
    }
    Duration::try_from_secs_f64(hours * 3600.0).map_err(|_| DurationError::TooLong)
}

/// Parses a signed offset such as `+7d`, for looking ahead.
pub fn parse_offset(text: &str) -> Option<Result<Duration, DurationError>> {
    text.strip_prefix('+').map(parse)
}

/// Shows a duration the way people write one, in a form that [`parse`] takes: `30m`, `25h3m`, `3d4h`.
///
/// Up to two days it counts hours, minutes and seconds, beyond that days, hours and minutes; what is smaller than
/// the last of these is dropped. Below a second it shows milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Human(pub Duration);

impl fmt::Display for Human {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.0.as_secs();
        if total == 0 {
            return match self.0.subsec_millis() {
                0 => f.write_str("0s"),
                millis => write!(f, "{millis}ms"),
            };
        }
        let (days, hours) =
            if total < 2 * 86_400 { (0, total / 3600) } else { (total / 86_400, total % 86_400 / 3600) };
        let (minutes, seconds) = (total % 3600 / 60, if days == 0 { total % 60 } else { 0 });
        for (count, unit) in [(days, "d"), (hours, "h"), (minutes, "m"), (seconds, "s")] {
            if count > 0 {
                write!(f, "{count}{unit}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, seconds) in [
            ("30m", 1800),
            ("24h", 86_400),
            ("0.5h", 1800),
            ("1h30m", 5400),
            ("1h 30m", 5400),
            ("7d", 604_800),
            ("2w", 1_209_600),
            ("1w2d", 777_600),
            ("90s", 90),
            ("0s", 0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_says_why() {
        assert_eq!(parse("90"), Err(DurationError::BareNumber("90".into())));
        assert_eq!(parse("1.5"), Err(DurationError::BareNumber("1.5".into())));
        assert_eq!(parse("1mo"), Err(DurationError::Calendar));
        assert_eq!(parse("1y"), Err(DurationError::Calendar));
        assert_eq!(parse("-5m"), Err(DurationError::Negative));
        for text in ["", "soon", "m", "5 m ago", "P1D", "10:30", "1h banana", "NaN", "1e400"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(parse_hours("-1"), Err(DurationError::Negative));
        assert!(parse_hours("nan").is_err() && parse_hours("inf").is_err());
        assert_eq!(parse_hours("0.5"), Ok(Duration::from_mins(30)));
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        for seconds in [1, 59, 60, 1800, 3601, 5400, 86_400, 90_180, 172_800, 273_600, 31_536_000] {
            let shown = Human(Duration::from_secs(seconds)).to_string();
            assert_eq!(parse(&shown), Ok(Duration::from_secs(seconds)), "{shown}");
        }
        assert_eq!(Human(Duration::from_millis(250)).to_string(), "250ms");
        assert_eq!(Human(Duration::ZERO).to_string(), "0s");
        assert!(!Human(Duration::MAX).to_string().is_empty());
    }
}
