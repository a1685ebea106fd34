//! Pacing: how much a batch may take, and how long to leave the database alone after it.
//!
//! A controller and nothing else: it is told how long a batch took and answers with the next size. It never looks at
//! a clock. Latency is what the application feels, so latency is what is steered, not rows a second:
//! `n := clamp(n × clamp(target / observed, 0.5, 1.5), least, most)`. A batch that was cancelled teaches a ceiling for
//! the rest of the run: growing back into the same timeout would waste one timeout after another.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use cleanup_core::policy::Pace;

/// Steers the size of batches, in rows or in pages.
#[derive(Clone, Debug)]
pub(crate) struct Pacer {
    target: Duration,
    rest: f64,
    size: f64,
    least: f64,
    most: f64,
}

/// How long a pause may last at most, whatever the batch took.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The bounds of a batch, in rows.
pub(crate) const ROWS: std::ops::RangeInclusive<u32> = 50..=20_000;

/// The latency of a batch that a pace aims at, on PostgreSQL.
pub(crate) fn target(pace: Pace) -> Duration {
    match pace {
        Pace::Strict => Duration::from_millis(10),
        Pace::Normal => Duration::from_millis(20),
        Pace::OffHours => Duration::from_millis(100),
    }
}

/// The same on SQLite, where a writer shuts out all other writers.
pub(crate) fn embedded_target(pace: Pace) -> Duration {
    match pace {
        Pace::Strict => Duration::from_millis(5),
        Pace::Normal | Pace::OffHours => Duration::from_millis(10),
    }
}

impl Pacer {
    /// Starts at `size` within `bounds`.
    pub(crate) fn new(pace: Pace, target: Duration, size: u32, bounds: std::ops::RangeInclusive<u32>) -> Self {
        let (least, most) = (f64::from(*bounds.start()), f64::from(*bounds.end()));
        let rest = match pace {
            Pace::Strict => 3.0,
            Pace::Normal => 1.0,
            Pace::OffHours => 0.0,
        };
        Self { target, rest, size: f64::from(size).clamp(least.min(most), most), least: least.min(most), most }
    }

    /// The size of the next batch, at least 1.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped between two u32")]
    pub(crate) fn size(&self) -> u32 {
        self.size as u32
    }

    /// Learns from a batch that was done, and says how long to pause.
    pub(crate) fn done(&mut self, took: Duration) -> Duration {
        let factor = self.target.as_secs_f64() / took.as_secs_f64().max(1e-6);
        self.size = (self.size * factor.clamp(0.5, 1.5)).clamp(self.least, self.most);
        took.mul_f64(self.rest).min(LONGEST_PAUSE)
    }

    /// Learns from a batch that was cancelled because it took too long; `false` when it cannot be any smaller.
    pub(crate) fn cancelled(&mut self) -> bool {
        if self.size() <= 1 {
            return false;
        }
        self.size = (self.size / 2.0).max(1.0);
        self.most = self.size;
        self.least = self.least.min(self.size);
        true
    }

    /// Asks for more at once, because a whole batch of rows could neither be removed nor passed by; `false` when that
    /// is as much as there can be.
    pub(crate) fn stuck(&mut self) -> bool {
        if self.size >= self.most {
            return false;
        }
        self.size = (self.size * 2.0).min(self.most);
        true
    }
}

/// How long to back off after a lock was not had, the `attempt`-th time: a half to one and a half of `base`, doubled
/// each time, so that several nodes do not keep meeting.
pub(crate) fn backoff(base: Duration, attempt: u32) -> Duration {
    let jitter = f64::from(u16::try_from(RandomState::new().hash_one(attempt) & 0xffff).unwrap_or(0)) / 65_536.0;
    base.saturating_mul(1 << attempt.min(4)).mul_f64(0.5 + jitter).min(Duration::from_secs(5))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn pacer(pace: Pace) -> Pacer {
        Pacer::new(pace, target(pace), 500, ROWS)
    }

    #[test]
    fn a_batch_grows_towards_its_target_and_by_no_more_than_half_at_a_time() {
        let mut pacer = pacer(Pace::Normal);
        pacer.done(MS);
        assert_eq!(pacer.size(), 750);
        pacer.done(20 * MS);
        assert_eq!(pacer.size(), 750);
        pacer.done(25 * MS);
        assert_eq!(pacer.size(), 600);
        pacer.done(Duration::from_secs(9));
        assert_eq!(pacer.size(), 300);
        for _ in 0..99 {
            pacer.done(Duration::ZERO);
        }
        assert_eq!(pacer.size(), 20_000);
        for _ in 0..99 {
            pacer.done(Duration::MAX / 4);
        }
        assert_eq!(pacer.size(), 50);
    }

    #[test]
    fn pauses_follow_the_pace() {
        assert_eq!(pacer(Pace::Strict).done(10 * MS), 30 * MS);
        assert_eq!(pacer(Pace::Normal).done(20 * MS), 20 * MS);
        assert_eq!(pacer(Pace::OffHours).done(100 * MS), Duration::ZERO);
        assert_eq!(pacer(Pace::Strict).done(Duration::from_secs(3600)), LONGEST_PAUSE);
    }

    #[test]
    fn a_cancelled_batch_halves_down_to_one_and_does_not_grow_back() {
        let mut pacer = pacer(Pace::Normal);
        assert!(pacer.cancelled());
        assert_eq!(pacer.size(), 250);
        pacer.done(MS);
        assert_eq!(pacer.size(), 250);
        let mut halvings = 1;
        while pacer.cancelled() {
            halvings += 1;
        }
        assert_eq!((pacer.size(), halvings < 12), (1, true));
        pacer.done(MS);
        assert_eq!(pacer.size(), 1);
    }

    #[test]
    fn asking_for_more_ends() {
        let mut pacer = pacer(Pace::Normal);
        let mut times = 0;
        while pacer.stuck() {
            times += 1;
        }
        assert_eq!((pacer.size(), times < 10), (20_000, true));
    }

    #[test]
    fn backing_off_grows_and_is_bounded() {
        for attempt in 0..40 {
            let pause = backoff(200 * MS, attempt);
            assert!(pause >= 100 * MS && pause <= Duration::from_secs(5), "{attempt}: {pause:?}");
        }
    }
}
