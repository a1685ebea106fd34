//! Numbers and distances in time as every face says them.

use std::fmt;
use std::time::Duration;

use crate::moment::Moment;

/// A number with its thousands apart: `1,234,567`.
#[derive(Clone, Copy, Debug)]
pub struct Count(pub u64);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        let mut text = String::with_capacity(digits.len() * 4 / 3 + 1);
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        f.pad(&text)
    }
}

/// A number of things: `1 file`, `1,234 files`.
#[derive(Clone, Copy, Debug)]
pub struct Number<'a>(pub u64, pub &'a str);

impl fmt::Display for Number<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(count, noun) = *self;
        let plural = match (count, noun.strip_suffix('y')) {
            (1, _) => return write!(f, "1 {noun}"),
            (_, Some(stem)) => format!("{stem}ies"),
            (_, None) => format!("{noun}s"),
        };
        write!(f, "{} {plural}", Count(count))
    }
}

/// The two largest units of a span: `3d 4h`, `12s`. [`Human`](crate::duration::Human) is the exact form, which can be
/// read again.
#[derive(Clone, Copy, Debug)]
pub struct Roughly(pub Duration);

impl fmt::Display for Roughly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let units = [(86_400, "d"), (3600, "h"), (60, "m"), (1, "s")];
        let largest = units.iter().position(|(size, _)| seconds >= *size).unwrap_or(units.len() - 1);
        let (size, unit) = units[largest];
        write!(f, "{}{unit}", seconds / size)?;
        match units.get(largest + 1).map(|(next, unit)| (seconds % size / next, unit)) {
            Some((rest, unit)) if rest > 0 => write!(f, " {rest}{unit}"),
            _ => Ok(()),
        }
    }
}

/// How far away a moment is, in whole seconds. What lies ahead is rounded up, what is over is rounded down: the reader
/// never comes too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distance {
    /// Less than a second ago.
    Now,
    /// It is over.
    Ago(Duration),
    /// It lies ahead.
    Ahead(Duration),
}

impl Distance {
    /// From `now` to `at`.
    pub fn between(at: Moment, now: Moment) -> Self {
        match now.since(at).map(|over| over.as_secs()) {
            Some(0) => Self::Now,
            Some(over) => Self::Ago(Duration::from_secs(over)),
            None => {
                let ahead = at.since(now).unwrap_or_default().saturating_add(Duration::from_nanos(999_999_999));
                Self::Ahead(Duration::from_secs(ahead.as_secs()))
            }
        }
    }

    /// In words: `now`, `3h ago`, `in 40m`, with the span as `show` has it.
    pub fn words<T: fmt::Display>(self, show: impl Fn(Duration) -> T) -> String {
        match self {
            Self::Now => "now".to_owned(),
            Self::Ago(over) => format!("{} ago", show(over)),
            Self::Ahead(ahead) => format!("in {}", show(ahead)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_easy_to_read() {
        assert_eq!(Count(0).to_string(), "0");
        assert_eq!(Count(999).to_string(), "999");
        assert_eq!(Count(1_234_567).to_string(), "1,234,567");
        assert_eq!(format!("{:>7}", Count(1000)), "  1,000");
        assert_eq!(Number(1, "file").to_string(), "1 file");
        assert_eq!(Number(0, "file").to_string(), "0 files");
        assert_eq!(Number(2000, "policy").to_string(), "2,000 policies");
    }

    #[test]
    fn spans_have_their_two_largest_units() {
        let spans = [0, 59, 60, 61, 3600, 3661, 90_000, 86_400, 86_460]
            .map(|seconds| Roughly(Duration::from_secs(seconds)).to_string());
        assert_eq!(spans, ["0s", "59s", "1m", "1m 1s", "1h", "1h 1m", "1d 1h", "1d", "1d"]);
    }

    #[test]
    fn the_reader_never_comes_too_early() {
        let now = Moment::from_unix(1000, 500_000_000);
        let away = |at| Distance::between(at, now).words(Roughly);
        assert_eq!(away(now), "now");
        assert_eq!(away(now.minus(Duration::from_millis(999))), "now");
        assert_eq!(away(now.plus(Duration::from_millis(1))), "in 1s");
        assert_eq!(away(now.minus(Duration::from_millis(1999))), "1s ago");
    }
}
