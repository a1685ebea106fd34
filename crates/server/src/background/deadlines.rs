//! Keeps the deadlines of one tracked policy: one timer, for the earliest of them.
//!
//! There is no polling and no queue here. The earliest deadline is asked for, the loop sleeps until then, what is due
//! is removed elsewhere, and the earliest is asked for again. Deadlines are rounded up to half a second of
//! wall time, so that near ones are taken together and none is taken early. Word that deadlines changed costs one
//! question; the timer is armed again only when the answer lies in another half second.
//!
//! What stays overdue (a held file, a full disk) is tried again after a pause that doubles, from one second to five
//! minutes. While it is the earliest it hides what comes after it: whoever answers `next` gives what could not be
//! removed a later moment of its own, and this pause is only the brake on those who do not.

use std::sync::Arc;
use std::time::Duration;

use cleanup_core::moment::Moment;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::background::scheduler::catch;

/// Deadlines within one of these, in nanoseconds of wall time, are taken together.
const QUANTUM_NANOS: u32 = 500_000_000;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);

/// What the loop for one tracked policy needs to know.
#[derive(Debug)]
pub struct Deadlines<C, N> {
    /// The policy's name, for the log.
    pub policy: String,
    /// The wall clock: `Fn() -> Moment`.
    pub clock: C,
    /// The earliest deadline, from memory: `Fn() -> Option<Moment>`.
    pub next: N,
    /// Says that `next` may answer differently, by [`Notify::notify_one`]. This loop's alone.
    pub changed: Arc<Notify>,
    /// Says that the clock was set, by [`Notify::notify_waiters`]. May be shared.
    pub clock_set: Arc<Notify>,
    /// Ends the loop; what is in hand is awaited first.
    pub stop: CancellationToken,
}

impl<C, N> Deadlines<C, N>
where
    C: Fn() -> Moment,
    N: Fn() -> Option<Moment>,
{
    /// Calls `act` whenever something is due, until the end. `act` removes all that is due, and returns when that is
    /// done.
    pub async fn run<A, F>(self, mut act: A)
    where
        A: FnMut() -> F,
        F: Future<Output = ()>,
    {
        let mut overdue = Overdue::default();
        while let Some(deadline) = self.wait(overdue.pause()).await {
            if let Err(panic) = catch(&mut act).await {
                tracing::error!(policy = self.policy, "removing due files panicked: {panic}");
            }
            overdue.note(deadline, (self.next)(), (self.clock)());
        }
    }

    /// Waits until something is due and answers its deadline; `None` at the end. With a pause, what was overdue when
    /// it began is left alone until it is over.
    async fn wait(&self, pause: Option<Duration>) -> Option<Moment> {
        let hidden = pause.and_then(|_| (self.next)());
        let mut pause = std::pin::pin!(tokio::time::sleep(pause.unwrap_or_default()));
        let mut is_pausing = hidden.is_some();
        loop {
            // Listening begins before the question: what changes in between is not missed.
            let mut clock_set = std::pin::pin!(self.clock_set.notified());
            clock_set.as_mut().enable();
            let deadline = (self.next)();
            let alarm = deadline.filter(|_| !(is_pausing && deadline == hidden)).map(round_up);
            let armed = async {
                match alarm {
                    Some(at) => self.until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                () = armed => return deadline,
                () = pause.as_mut(), if is_pausing => is_pausing = false,
                () = clock_set => {}
                () = self.moved(deadline) => {}
            }
        }
    }

    /// Returns when the earliest deadline has moved out of the quantum of `deadline`.
    async fn moved(&self, deadline: Option<Moment>) {
        loop {
            self.changed.notified().await;
            if (self.next)().map(round_up) != deadline.map(round_up) {
                return;
            }
        }
    }

    async fn until(&self, at: Moment) {
        // The two clocks run at slightly different speeds: what is left is asked again.
        while let Some(left) = at.since((self.clock)()).filter(|left| !left.is_zero()) {
            tokio::time::sleep(left).await;
        }
    }
}

/// The end of the quantum in which a deadline lies.
fn round_up(deadline: Moment) -> Moment {
    match deadline.subsec_nanos() % QUANTUM_NANOS {
        0 => deadline,
        into => deadline.plus(Duration::from_nanos(u64::from(QUANTUM_NANOS - into))),
    }
}

/// How often in a row nothing got better.
#[derive(Debug, Default)]
struct Overdue {
    /// The latest deadline that was acted on since something was last left overdue.
    reached: Option<Moment>,
    attempts: u32,
}

impl Overdue {
    /// After acting on `deadline`, `next` is the earliest.
    fn note(&mut self, deadline: Moment, next: Option<Moment>, now: Moment) {
        let Some(left) = next.filter(|next| round_up(*next) <= now) else {
            *self = Self::default();
            return;
        };
        let reached = self.reached.map_or(deadline, |reached| reached.max(deadline));
        self.reached = Some(reached);
        self.attempts = if left > reached { 0 } else { self.attempts.saturating_add(1) };
    }

    /// How long to leave alone what is overdue.
    fn pause(&self) -> Option<Duration> {
        let doublings = self.attempts.checked_sub(1)?;
        Some(FIRST_PAUSE.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX)).min(LONGEST_PAUSE))
    }
}

#[cfg(test)]
mod tests;
