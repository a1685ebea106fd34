//! Wall-clock times of a zone, for a database that knows no zones.
//!
//! A text without an offset is a wall-clock time. When summer time ends an hour of those happens twice, and nobody can
//! tell which of the two a text means: it counts as the later one, so a row is at worst kept an hour longer. So where the
//! moment to compare with lies in the first of the two hours, no text of that hour is older.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};

/// A zone of the key `activity_time_zone`; `None` is UTC.
#[derive(Clone, Debug)]
pub(super) struct WallClock(Option<TimeZone>);

impl WallClock {
    /// `None` for a name that no zone of this machine has.
    pub(super) fn new(name: Option<&str>) -> Option<Self> {
        match name {
            None | Some("UTC") => Some(Self(None)),
            Some(name) => TimeZone::get(name).ok().map(|zone| Self(Some(zone))),
        }
    }

    pub(super) fn is_zoned(&self) -> bool {
        self.0.is_some()
    }

    /// A moment as statements want it: in UTC, and the wall-clock time before which every text is older than the moment.
    /// Whatever is no such text stays as it is.
    pub(super) fn both(&self, moment: String) -> String {
        let Some(zone) = &self.0 else { return moment };
        let Ok(utc) = moment.parse::<DateTime>() else { return moment };
        let Ok(at) = Offset::UTC.to_timestamp(utc) else { return moment };
        format!("{moment} {}", oldest_wall(zone, at).strftime("%Y-%m-%d %H:%M:%S%.3f"))
    }
}

fn oldest_wall(zone: &TimeZone, at: Timestamp) -> DateTime {
    let wall = zone.to_datetime(at);
    match zone.to_ambiguous_timestamp(wall).offset() {
        AmbiguousOffset::Fold { before, after } if zone.to_offset(at) == before => {
            zone.following(at).next().map_or(wall, |change| after.to_datetime(change.timestamp()))
        }
        _ => wall,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wall(zone: &str, moment: &str) -> String {
        WallClock::new(Some(zone)).unwrap().both(moment.to_owned())
    }

    #[test]
    fn the_hour_that_happens_twice_is_the_later_one() {
        for (moment, expected) in [
            ("2025-11-02 04:59:59.999", "2025-11-02 00:59:59.999"),
            // The first 01:00 to 02:00 in New York.
            ("2025-11-02 05:00:00.000", "2025-11-02 01:00:00.000"),
            ("2025-11-02 05:59:30.000", "2025-11-02 01:00:00.000"),
            // The second.
            ("2025-11-02 06:00:00.000", "2025-11-02 01:00:00.000"),
            ("2025-11-02 06:30:00.000", "2025-11-02 01:30:00.000"),
            ("2025-11-02 07:00:00.000", "2025-11-02 02:00:00.000"),
            // When summer time begins.
            ("2025-03-09 06:59:00.000", "2025-03-09 01:59:00.000"),
            ("2025-03-09 07:00:00.000", "2025-03-09 03:00:00.000"),
        ] {
            assert_eq!(wall("America/New_York", moment), format!("{moment} {expected}"));
        }
        assert_eq!(wall("UTC", "2025-11-02 04:59:59.999"), "2025-11-02 04:59:59.999");
        assert!(WallClock::new(Some("Europe/Atlantis")).is_none());
    }
}
