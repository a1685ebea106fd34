//! What went at its deadline lately, and how late: bounded, in memory, forgotten with the service.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cleanup_core::moment::Moment;

/// Files that are remembered one by one.
const FILES: usize = 20;

/// Hours of which the lateness is summed up.
const HOURS: usize = 24;

const HOUR: i64 = 3600;

/// One file that went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gone {
    pub(crate) policy: String,
    /// Below the policy's root.
    pub(crate) path: Vec<u8>,
    pub(crate) bytes: u64,
    pub(crate) at: Moment,
    pub(crate) lateness: Duration,
}

/// How late the files of one hour went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HourOfLateness {
    /// When the hour begins, in whole hours of UTC.
    pub(crate) from: Moment,
    pub(crate) files: u64,
    pub(crate) mean: Duration,
    pub(crate) worst: Duration,
}

/// Takes note of what goes.
#[derive(Debug, Default)]
pub(crate) struct RecentRemovals(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// The newest first.
    files: VecDeque<Gone>,
    /// The newest first: hour, files, sum, worst.
    hours: VecDeque<(i64, u64, Duration, Duration)>,
}

impl RecentRemovals {
    pub(crate) fn note(&self, gone: Gone) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let hour = gone.at.unix_seconds().div_euclid(HOUR);
        // Under a clock that was set back, the newest hour goes on.
        match inner.hours.front_mut() {
            Some((newest, files, sum, worst)) if *newest >= hour => {
                *files += 1;
                *sum = sum.saturating_add(gone.lateness);
                *worst = gone.lateness.max(*worst);
            }
            _ => inner.hours.push_front((hour, 1, gone.lateness, gone.lateness)),
        }
        inner.hours.truncate(HOURS);
        inner.files.push_front(gone);
        inner.files.truncate(FILES);
    }

    /// The newest first.
    pub(crate) fn files(&self) -> Vec<Gone> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).files.iter().cloned().collect()
    }

    /// The hours of the last day in which something went, the oldest first.
    pub(crate) fn hours(&self, now: Moment) -> Vec<HourOfLateness> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = now.unix_seconds().div_euclid(HOUR) - i64::try_from(HOURS).unwrap_or(0);
        let summed = |(hour, files, sum, worst): &(i64, u64, Duration, Duration)| HourOfLateness {
            from: Moment::from_unix(hour * HOUR, 0),
            files: *files,
            mean: *sum / u32::try_from(*files).unwrap_or(u32::MAX).max(1),
            worst: *worst,
        };
        inner.hours.iter().rev().filter(|(hour, ..)| *hour > oldest).map(summed).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lateness_is_summed_up_by_the_hour_and_only_the_newest_files_are_kept() {
        let went = RecentRemovals::default();
        for number in 0..30_u32 {
            let at = Moment::from_unix(i64::from(number) * 1800, 0);
            let lateness = Duration::from_millis(u64::from(number));
            went.note(Gone { policy: "a".to_owned(), path: vec![], bytes: 1, at, lateness });
        }
        let files = went.files();
        assert_eq!((files.len(), files[0].lateness), (FILES, Duration::from_millis(29)));
        let hours = went.hours(Moment::from_unix(30 * 1800, 0));
        assert_eq!(hours.len(), 15);
        let last = hours[14];
        assert_eq!((last.files, last.mean, last.worst.as_millis()), (2, Duration::from_micros(28_500), 29));
        assert!(went.hours(Moment::from_unix(40 * 3600, 0)).is_empty());
    }
}
