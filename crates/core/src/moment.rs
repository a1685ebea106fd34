//! Points in time, and the spans between them.
//!
//! File systems hand out stamps that no calendar library can hold: `touch -d 2500`, a negative second from a
//! damaged inode, the largest number of a 64-bit field. Arithmetic here is therefore total: it never panics and
//! never wraps, and only display goes through a calendar, where it saturates.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

const NANOS_PER_SECOND: i128 = 1_000_000_000;

/// Nanoseconds since 1970-01-01T00:00:00Z, as wide as any file system's stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(i128);

impl Moment {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);

    /// From the two fields of a `statx` stamp or a `timespec`; any value of either is a moment.
    pub const fn from_unix(seconds: i64, nanos: u32) -> Self {
        Self(seconds as i128 * NANOS_PER_SECOND + nanos as i128)
    }

    /// Whole seconds since the epoch, rounded down; saturates at the ends of `i64`.
    pub fn unix_seconds(self) -> i64 {
        let seconds = self.0.div_euclid(NANOS_PER_SECOND);
        i64::try_from(seconds).unwrap_or(if seconds < 0 { i64::MIN } else { i64::MAX })
    }

    /// Whole milliseconds since the epoch, rounded down; saturates at the ends of `i64`.
    pub fn unix_millis(self) -> i64 {
        let millis = self.0.div_euclid(1_000_000);
        i64::try_from(millis).unwrap_or(if millis < 0 { i64::MIN } else { i64::MAX })
    }

    /// Nanoseconds since the epoch.
    pub const fn unix_nanos(self) -> i128 {
        self.0
    }

    /// The nanoseconds within the second, 0 to 999,999,999.
    pub fn subsec_nanos(self) -> u32 {
        u32::try_from(self.0.rem_euclid(NANOS_PER_SECOND)).expect("a remainder of 10^9 fits 32 bits")
    }

    /// How long after `earlier` this is; `None` when it is before.
    pub fn since(self, earlier: Self) -> Option<Duration> {
        let nanos = self.0.checked_sub(earlier.0)?;
        if nanos < 0 {
            return None;
        }
        let seconds = u64::try_from(nanos / NANOS_PER_SECOND).unwrap_or(u64::MAX);
        let rest = u32::try_from(nanos % NANOS_PER_SECOND).expect("a remainder of 10^9 fits 32 bits");
        Some(Duration::new(seconds, rest))
    }

    /// This moment and `span` more.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(nanos(span)))
    }

    /// This moment less `span`.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(span)))
    }

    /// Parses RFC 3339, as [`fmt::Display`] writes it.
    pub fn parse(text: &str) -> Result<Self, jiff::Error> {
        Ok(text.parse::<jiff::Timestamp>()?.into())
    }

    fn timestamp(self) -> jiff::Timestamp {
        jiff::Timestamp::from_nanosecond(self.0).unwrap_or(if self.0 < 0 {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        })
    }
}

fn nanos(span: Duration) -> i128 {
    i128::try_from(span.as_nanos()).unwrap_or(i128::MAX)
}

impl From<jiff::Timestamp> for Moment {
    fn from(timestamp: jiff::Timestamp) -> Self {
        Self(timestamp.as_nanosecond())
    }
}

/// RFC 3339 in UTC with milliseconds; years beyond 9999 show as the last moment of 9999.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.timestamp())
    }
}

impl Serialize for Moment {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Moment {
    fn schema_name() -> Cow<'static, str> {
        "Moment".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "date-time" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_is_total_at_both_ends() {
        let (first, last) = (Moment::from_unix(i64::MIN, 0), Moment::from_unix(i64::MAX, u32::MAX));
        assert_eq!(first.since(last), None);
        assert!(last.since(first).is_some());
        assert_eq!(last.plus(Duration::MAX).minus(Duration::MAX).since(last), Some(Duration::ZERO));
        assert_eq!(first.to_string(), "-009999-01-02T01:59:59.000Z");
        assert_eq!(last.to_string(), "9999-12-30T22:00:00.999Z");
        assert_eq!(last.unix_seconds(), i64::MAX);
    }

    #[test]
    fn text_goes_both_ways_to_the_millisecond() {
        let moment = Moment::from_unix(1_767_323_045, 678_000_000);
        assert_eq!(moment.to_string(), "2026-01-02T03:04:05.678Z");
        assert_eq!(Moment::parse(&moment.to_string()).unwrap(), moment);
        let before_1970 = Moment::from_unix(-1, 500_000_000);
        assert_eq!((before_1970.unix_seconds(), before_1970.subsec_nanos()), (-1, 500_000_000));
    }
}
