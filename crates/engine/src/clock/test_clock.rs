//! Clocks that a test moves: days pass, the machine sleeps or restarts, somebody sets the wall clock.
//!
//! The kernel's clocks go on as ever; what this process reads of them is shifted, for all its threads at once. So
//! nothing stands still that a thread may be waiting for. Built for tests alone, by the feature `test-clock`, which no
//! program asks for.
//!
//! The kernel stamps files by its own clock, so a test sets `mtime` by itself, to [`TestClock::now`]; `ctime` and `btime`
//! stay at the real time. A test that begins at the real time and only goes forward finds them in the past, where they
//! make nothing younger than its `mtime` says.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use cleanup_core::moment::Moment;

use super::since_boot;
use rustix::time::ClockId;

/// By how much each clock is shifted; by nothing while no test holds a [`TestClock`].
static SHIFT: Mutex<Shift> = Mutex::new(Shift::NONE);

/// Whose turn it is: the clocks are the whole process's, so tests that move them come one after the other.
static TURN: Mutex<()> = Mutex::new(());

/// The right to move the clocks of this process. Dropped, it sets them right again.
#[derive(Debug)]
pub struct TestClock {
    _turn: MutexGuard<'static, ()>,
}

impl TestClock {
    /// Waits until no other test moves the clocks. They begin at the real time.
    pub fn take() -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        change(|shift| *shift = Shift::NONE);
        Self { _turn: turn }
    }

    /// The wall clock as the engine reads it.
    pub fn now(&self) -> Moment {
        super::now()
    }

    /// The same, as files are stamped.
    pub fn system_time(&self) -> SystemTime {
        let now = self.now();
        let past = now.since(Moment::EPOCH).unwrap_or_default();
        SystemTime::UNIX_EPOCH + past
    }

    /// Time passes on a machine that is awake: all clocks go on.
    pub fn pass(&self, span: Duration) {
        change(|shift| {
            shift.wall += millis(span);
            shift.boot += millis(span);
            shift.running += millis(span);
        });
    }

    /// The machine sleeps: all clocks go on except the one that leaves out sleep.
    pub fn suspend(&self, span: Duration) {
        change(|shift| {
            shift.wall += millis(span);
            shift.boot += millis(span);
        });
    }

    /// The machine is off for a while, and starts again: another boot, whose clocks begin at nothing. The wall clock,
    /// which has a battery, goes on.
    pub fn reboot(&self, off: Duration) {
        change(|shift| {
            shift.wall += millis(off);
            shift.boot = -millis(since_boot(ClockId::Boottime));
            shift.running = -millis(since_boot(ClockId::Monotonic));
            shift.boots += 1;
        });
    }

    /// Somebody sets the wall clock ahead. No other clock notices.
    pub fn set_ahead(&self, by: Duration) {
        change(|shift| shift.wall += millis(by));
    }

    /// Somebody sets the wall clock back. No other clock notices.
    pub fn set_back(&self, by: Duration) {
        change(|shift| shift.wall -= millis(by));
    }
}

impl Drop for TestClock {
    fn drop(&mut self) {
        change(|shift| *shift = Shift::NONE);
    }
}

/// What is added to each clock, in milliseconds, and how often the machine was restarted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shift {
    wall: i64,
    boot: i64,
    running: i64,
    boots: u32,
}

impl Shift {
    const NONE: Self = Self { wall: 0, boot: 0, running: 0, boots: 0 };

    pub(super) fn wall(self, real: Moment) -> Moment {
        let by = Duration::from_millis(self.wall.unsigned_abs());
        if self.wall < 0 { real.minus(by) } else { real.plus(by) }
    }

    pub(super) fn boot(self, real: Duration) -> Duration {
        moved(real, self.boot)
    }

    pub(super) fn running(self, real: Duration) -> Duration {
        moved(real, self.running)
    }

    /// Another name than the kernel's, once there was a restart.
    pub(super) fn boot_id(self) -> Option<String> {
        (self.boots > 0).then(|| format!("test-boot-{}", self.boots))
    }
}

/// How the clocks are shifted at the moment.
pub(super) fn shift() -> Shift {
    *SHIFT.lock().unwrap_or_else(PoisonError::into_inner)
}

fn change(change: impl FnOnce(&mut Shift)) {
    change(&mut SHIFT.lock().unwrap_or_else(PoisonError::into_inner));
}

fn moved(real: Duration, by: i64) -> Duration {
    let span = Duration::from_millis(by.unsigned_abs());
    if by < 0 { real.saturating_sub(span) } else { real + span }
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}
