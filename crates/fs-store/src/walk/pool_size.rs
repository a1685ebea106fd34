//! How many workers a walk has, found by what the kernel's calls cost.
//!
//! A call that is answered from memory is work for one processor, and more workers than those only get in each other's
//! way. A call that waits for a device or a server leaves its processor idle: then there may be many more. Whether that
//! helped is seen by the cost of the calls after it, which must not grow as the workers do.

use std::num::NonZero;
use std::time::Duration;

use super::worker_pool::Jobs;

/// How many there are to begin with, at most: more only where calls are slow.
const FEW: usize = 4;

/// How many there are at most where calls are slow.
const MANY: usize = 32;

/// From this mean cost of a call on, most of it is waiting: ten times what a journaled disk takes to remove a file.
const SLOW: Duration = Duration::from_micros(150);

/// Descriptors of the process for each worker.
const DESCRIPTORS: u64 = 8;

/// The number of workers, and what is known of how it serves.
#[derive(Clone, Debug)]
pub(crate) struct PoolSize {
    now: usize,
    most: usize,
    /// How many there were before there were more, and what a call cost then.
    before: Option<(usize, Duration)>,
}

impl PoolSize {
    /// For a process that may open so many descriptors; `None` where there is no limit.
    pub(crate) fn new(jobs: Jobs, cores: usize, descriptors: Option<u64>) -> Self {
        let room = descriptors.and_then(|limit| usize::try_from(limit / DESCRIPTORS).ok()).unwrap_or(usize::MAX).max(1);
        let (now, most) = match jobs {
            Jobs::Fixed(jobs) => (jobs.get(), jobs.get()),
            Jobs::Adaptive => (cores.min(FEW), MANY),
        };
        Self { now: now.min(room), most: most.min(room), before: None }
    }

    pub(crate) fn now(&self) -> usize {
        self.now
    }

    /// As many as there are now, and no more: there is no thread to be had.
    pub(crate) fn stay(&mut self, now: usize) {
        (self.now, self.most) = (now, now);
    }

    /// Whether calls of this cost leave processors idle.
    pub(crate) fn is_slow(call: Duration) -> bool {
        call >= SLOW
    }

    /// Takes account of what a call cost, of late and on the average.
    pub(crate) fn note(&mut self, call: Duration) {
        if let Some((fewer, then)) = self.before {
            // Twice the workers at twice the cost is no gain; a quarter more is the least that counts as one.
            let (now, was) = (self.now as u128 * then.as_nanos(), fewer as u128 * call.as_nanos());
            if 4 * now < 5 * was {
                self.stay(fewer);
                return;
            }
        }
        if self.now < self.most && Self::is_slow(call) {
            self.before = Some((self.now, call));
            self.now = (2 * self.now).min(self.most);
        }
    }
}

/// The number of processors that this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    #[test]
    fn a_fast_place_has_as_many_as_there_are_cores_and_few() {
        let mut size = PoolSize::new(Jobs::Adaptive, 2, Some(1024));
        size.note(micros(18));
        assert_eq!(size.now(), 2);
        assert_eq!(PoolSize::new(Jobs::Adaptive, 64, None).now(), 4);
    }

    #[test]
    fn a_slow_place_gets_more_as_long_as_they_help() {
        let mut size = PoolSize::new(Jobs::Adaptive, 2, None);
        let sizes = [1000, 1000, 1100, 1200, 1300].map(|cost| {
            size.note(micros(cost));
            size.now()
        });
        assert_eq!(sizes, [4, 8, 16, 32, 32]);
    }

    #[test]
    fn more_that_only_wait_for_each_other_are_taken_back() {
        let mut size = PoolSize::new(Jobs::Adaptive, 4, None);
        size.note(micros(400));
        assert_eq!(size.now(), 8);
        size.note(micros(790));
        assert_eq!(size.now(), 4);
        size.note(micros(400));
        assert_eq!(size.now(), 4, "and are not tried again");
    }

    #[test]
    fn a_number_that_was_asked_for_stays_unless_descriptors_are_few() {
        let eight = Jobs::Fixed(NonZero::new(8).unwrap());
        let mut size = PoolSize::new(eight, 2, Some(1024));
        size.note(micros(5000));
        assert_eq!(size.now(), 8);
        assert_eq!(PoolSize::new(eight, 2, Some(20)).now(), 2);
        assert_eq!(PoolSize::new(Jobs::Adaptive, 2, Some(1)).now(), 1);
    }
}
