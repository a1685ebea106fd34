//! Notices that the wall clock was set, or that the machine woke from sleep.
//!
//! Timers count time that passes; deadlines and schedules are moments on the wall clock. When the clock is set, every
//! sleep towards a moment is wrong, and nothing else says so. The kernel does: a timer for a moment that never comes,
//! armed so that it is cancelled when the clock is set, costs nothing until then. Where it may not be armed, the two
//! clocks are compared once a minute instead. Slow corrections (`adjtime`, NTP's slewing) are none of this: the loops
//! ask the clock again before they act.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use cleanup_core::moment::Moment;
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A moment that never comes, in seconds: the year 2200.
const FAR: i64 = 7_258_118_400;
/// How often the clocks are compared where the kernel does not tell.
const CHECK_EVERY: Duration = Duration::from_secs(60);
/// Two clocks that drift apart by more than this within one check were not merely corrected.
const TOLERANCE: Duration = Duration::from_secs(1);

/// Notifies everybody who waits on `set` whenever the wall clock was set, until `stop`. `clock` is the wall clock, for
/// the kernels that do not tell.
///
/// To be started before those who wait: `set` is notified by [`Notify::notify_waiters`], which reaches who listens
/// already.
pub async fn watch_clock(clock: impl Fn() -> Moment, set: Arc<Notify>, stop: CancellationToken) {
    let watch = async {
        let error = match Timer::armed() {
            Ok(timer) => timer.watch(&set).await,
            Err(error) => error,
        };
        tracing::warn!("cannot be notified of clock changes, so it checks the clock once a minute: {error}");
        compare(clock, &set).await;
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = watch => {}
    }
}

/// A timer that the kernel cancels when the clock is set.
struct Timer(AsyncFd<OwnedFd>);

impl Timer {
    fn armed() -> io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Realtime, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        #[expect(deprecated, reason = "sound for a descriptor that it owns; its successor is an unsafe function")]
        let timer = Self(AsyncFd::with_interest(timer, Interest::READABLE)?);
        timer.arm()?;
        Ok(timer)
    }

    /// Tells whether the clock was set in the very moment of arming; the timer is armed even so.
    fn arm(&self) -> io::Result<Reading> {
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let far = Itimerspec { it_interval: zero, it_value: Timespec { tv_sec: FAR, ..zero } };
        match timerfd_settime(&self.0, TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET, &far) {
            Ok(_) => Ok(Reading::Nothing),
            Err(Errno::CANCELED) => Ok(Reading::ClockSet),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns only when the timer is of no use any more.
    async fn watch(&self, set: &Notify) -> io::Error {
        loop {
            if let Err(error) = self.next(set).await {
                return error;
            }
        }
    }

    async fn next(&self, set: &Notify) -> io::Result<()> {
        let mut ready = self.0.readable().await?;
        let reading = Reading::of(rustix::io::read(&self.0, &mut [0; 8]))?;
        ready.clear_ready();
        if reading == Reading::Nothing {
            return Ok(());
        }
        if reading == Reading::Expired {
            // The clock was set beyond the year 2200. Armed again, the timer fires at once: once a minute, then.
            tokio::time::sleep(CHECK_EVERY).await;
        }
        // Armed again before anybody is told: what is set from now on is told anew.
        self.arm()?;
        set.notify_waiters();
        Ok(())
    }
}

/// What reading the timer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    ClockSet,
    /// The far moment came.
    Expired,
    Nothing,
}

impl Reading {
    fn of(read: rustix::io::Result<usize>) -> rustix::io::Result<Self> {
        match read {
            Ok(_) => Ok(Self::Expired),
            Err(Errno::CANCELED) => Ok(Self::ClockSet),
            Err(Errno::AGAIN | Errno::INTR) => Ok(Self::Nothing),
            Err(error) => Err(error),
        }
    }
}

/// Compares the wall clock with the one that cannot be set, for ever.
async fn compare(clock: impl Fn() -> Moment, set: &Notify) {
    let mut before = (clock(), Instant::now());
    loop {
        tokio::time::sleep(CHECK_EVERY).await;
        let now = (clock(), Instant::now());
        if has_stepped(before.0, now.0, now.1 - before.1) {
            set.notify_waiters();
        }
        before = now;
    }
}

/// Whether a wall clock that went from `before` to `now` while `elapsed` passed was set in between.
fn has_stepped(before: Moment, now: Moment, elapsed: Duration) -> bool {
    let expected = before.plus(elapsed);
    let apart = now.since(expected).or_else(|| expected.since(now)).unwrap_or_default();
    apart > TOLERANCE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Wall, moment, pass};

    #[tokio::test]
    async fn the_kernel_arms_the_timer_and_it_does_not_fire() {
        let timer = Timer::armed().unwrap();
        assert_eq!(Reading::of(rustix::io::read(&timer.0, &mut [0; 8])), Ok(Reading::Nothing));
        let left = rustix::time::timerfd_gettime(&timer.0).unwrap().it_value.tv_sec;
        assert!(left > 100 * 365 * 86_400, "{left} s are left");
        assert_eq!(timer.arm().unwrap(), Reading::Nothing, "armed again");
        let set = Notify::new();
        tokio::select! {
            biased;
            _ = timer.watch(&set) => panic!("the timer is of use"),
            () = tokio::task::yield_now() => {}
        }
    }

    #[test]
    fn each_reading_is_understood() {
        assert_eq!(Reading::of(Err(Errno::CANCELED)), Ok(Reading::ClockSet));
        assert_eq!(Reading::of(Err(Errno::AGAIN)), Ok(Reading::Nothing));
        assert_eq!(Reading::of(Err(Errno::INTR)), Ok(Reading::Nothing));
        assert_eq!(Reading::of(Ok(8)), Ok(Reading::Expired));
        assert_eq!(Reading::of(Err(Errno::BADF)), Err(Errno::BADF));
    }

    #[test]
    fn a_step_is_told_from_a_correction() {
        let minute = Duration::from_mins(1);
        assert!(!has_stepped(moment(0), moment(60), minute));
        assert!(!has_stepped(moment(0), moment(61), minute));
        assert!(!has_stepped(moment(0), moment(59), minute));
        assert!(has_stepped(moment(0), moment(62), minute), "ahead, or asleep");
        assert!(has_stepped(moment(0), moment(-1), minute), "back");
        let ends = [Moment::from_unix(i64::MIN, 0), Moment::from_unix(i64::MAX, 0)];
        assert!(has_stepped(ends[0], ends[1], minute) && has_stepped(ends[1], ends[0], minute));
    }

    #[tokio::test(start_paused = true)]
    async fn without_the_kernel_a_step_is_noticed_within_a_minute() {
        let (wall, set) = (Wall::new(), Arc::new(Notify::new()));
        let clock = wall.clone();
        let comparing = Arc::clone(&set);
        tokio::spawn(async move { compare(move || clock.now(), &comparing).await });
        for step in [3600, -3600] {
            let mut told = std::pin::pin!(set.notified());
            told.as_mut().enable();
            pass(Duration::from_mins(10)).await;
            assert!(!told.as_mut().enable(), "nothing was set");
            wall.set_by(step);
            pass(CHECK_EVERY).await;
            assert!(told.as_mut().enable(), "set by {step} s");
        }
    }

    #[tokio::test]
    async fn watching_ends_when_told() {
        let stop = CancellationToken::new();
        let task = tokio::spawn(watch_clock(|| Moment::EPOCH, Arc::new(Notify::new()), stop.clone()));
        stop.cancel();
        task.await.unwrap();
    }
}
