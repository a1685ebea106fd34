//! How soon to scan after events: at once when it is quiet, up to a second later in a stream of events.
//!
//! A scan costs the same for one file as for many, and the age of a file that is noticed late still counts from its
//! timestamp. Pure: callers pass the time of the clock that cannot be set.

use std::time::Duration;

/// Events within this time are handled together.
const TOGETHER: Duration = Duration::from_millis(20);

/// The longest time between an event and its scan.
const LATEST: Duration = Duration::from_secs(1);

/// After this time without events, it is quiet again.
const QUIET: Duration = Duration::from_secs(1);

/// A scan may be delayed by this fraction of the time for which events have been coming.
const PART: u32 = 8;

/// From this delay on it is cheaper to scan periodically than to be woken for each event.
const STREAM: Duration = Duration::from_millis(100);

/// After a full scan, at least this many times its duration pass before lost events force the next one.
const REST: u32 = 10;

/// Shortest pause between two full scans.
const SHORTEST_REST: Duration = Duration::from_millis(100);

/// Debounces the events of one policy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Debounce {
    latest: Duration,
    /// The first and the last event of the current stream; `None` before any event.
    happening: Option<(Duration, Duration)>,
}

impl Debounce {
    /// For files with at least this lifetime: short-lived files must not be noticed late.
    pub(super) fn new(shortest_life: Duration) -> Self {
        Self { latest: LATEST.min(shortest_life / PART).max(TOGETHER), happening: None }
    }

    /// Records an event.
    pub(super) fn note(&mut self, now: Duration) {
        self.happening = Some((self.since(now), now));
    }

    /// How long to wait for more events after one.
    pub(super) fn together(&self, now: Duration) -> Duration {
        (now.saturating_sub(self.since(now)) / PART).clamp(TOGETHER, self.latest)
    }

    /// Whether events are so frequent that the next scan need not wait for one.
    pub(super) fn is_stream(&self, now: Duration) -> bool {
        self.together(now) >= STREAM
    }

    /// The start of the current stream of events.
    fn since(&self, now: Duration) -> Duration {
        self.happening.filter(|(_, last)| now < *last + QUIET).map_or(now, |(since, _)| since)
    }
}

/// The earliest moment for another full scan, after one that ended at `ended` and took this long. While files appear
/// faster than the kernel can report, full scans must not take all the time.
pub(super) fn rested(ended: Duration, took: Duration) -> Duration {
    ended + (took * REST).max(SHORTEST_REST)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const HOUR: Duration = Duration::from_hours(1);

    /// Something happens every so often, for so long; the last look and the debounce then.
    fn happening(mut debounce: Debounce, every: Duration, time: Duration) -> (Debounce, Duration) {
        let mut now = HOUR;
        while now < HOUR + time {
            now += every;
            debounce.note(now);
        }
        (debounce, now)
    }

    #[test]
    fn a_single_file_is_looked_at_at_once() {
        let debounce = Debounce::new(HOUR);
        assert_eq!((debounce.together(HOUR), debounce.is_stream(HOUR)), (TOGETHER, false));
        let (debounce, now) = happening(debounce, 1500 * MS, HOUR);
        assert_eq!((debounce.together(now), debounce.is_stream(now)), (TOGETHER, false), "however long that goes on");
    }

    #[test]
    fn the_longer_a_stream_goes_on_the_rarer_the_looks_up_to_a_second() {
        let at = |time| {
            let (debounce, now) = happening(Debounce::new(HOUR), 50 * MS, time);
            (debounce.together(now), debounce.is_stream(now))
        };
        assert_eq!(at(50 * MS), (TOGETHER, false));
        assert_eq!(at(800 * MS), (750 * MS / PART, false));
        assert_eq!(at(2050 * MS), (250 * MS, true));
        assert_eq!(at(HOUR), (LATEST, true));
    }

    #[test]
    fn a_second_without_anything_ends_a_stream() {
        let (debounce, now) = happening(Debounce::new(HOUR), 50 * MS, HOUR);
        let later = now + 999 * MS;
        assert_eq!((debounce.is_stream(later), debounce.is_stream(later + MS)), (true, false));
        assert_eq!(debounce.together(later + MS), TOGETHER);
    }

    #[test]
    fn files_that_live_shortly_are_noticed_soon() {
        let (debounce, now) = happening(Debounce::new(Duration::from_secs(1)), 50 * MS, HOUR);
        assert_eq!((debounce.together(now), debounce.is_stream(now)), (Duration::from_secs(1) / PART, true));
        let (debounce, now) = happening(Debounce::new(MS), 50 * MS, HOUR);
        assert_eq!(debounce.together(now), TOGETHER);
    }

    #[test]
    fn a_look_at_everything_is_followed_by_ten_times_its_length_of_rest() {
        assert_eq!(rested(HOUR, 6000 * MS), HOUR + 60_000 * MS);
        assert_eq!(rested(HOUR, Duration::ZERO), HOUR + SHORTEST_REST);
    }
}
