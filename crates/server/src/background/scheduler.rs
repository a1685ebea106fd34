//! Runs one policy when its schedule says.
//!
//! One loop for one policy, asleep between runs: it wakes for the next run, for a word that the clock was set or the
//! configuration changed, and for the end, and for nothing else. The loop awaits the run itself, so a policy never
//! overlaps with itself, and a run that fails or panics is logged once and does not end the loop: the next run is the
//! retry.
//!
//! The wall clock decides when a run is due; the runtime's own clock, which nobody can set, keeps two runs apart.

use std::fmt::Display;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use cleanup_core::moment::Moment;
use futures_util::FutureExt as _;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The least time from the start of one run to the start of the next, whatever the schedule and the clock say.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

/// What the loop for one policy needs to know.
#[derive(Debug)]
pub struct Scheduler<C, N> {
    /// The policy's name, for the log.
    pub policy: String,
    /// The start of the last run, of this process or an earlier one.
    pub last_run: Option<Moment>,
    /// The wall clock: `Fn() -> Moment`.
    pub clock: C,
    /// When to run next, given the start of the last run and now: `FnMut(Option<Moment>, Moment) -> Moment`.
    pub next: N,
    /// Says that `next` may answer differently: the clock was set, the configuration changed. May be shared, with
    /// [`Notify::notify_waiters`]; what is said during a run is not lost, since `next` is asked after it anyway.
    pub changed: Arc<Notify>,
    /// Ends the loop; a run in hand is awaited first, and ends early only if it looks at this token itself.
    pub stop: CancellationToken,
}

impl<C, N> Scheduler<C, N>
where
    C: Fn() -> Moment,
    N: FnMut(Option<Moment>, Moment) -> Moment,
{
    /// Runs `act` whenever it is due, until the end; answers the start of the last run.
    pub async fn run<A, F, E>(mut self, mut act: A) -> Option<Moment>
    where
        A: FnMut() -> F,
        F: Future<Output = Result<(), E>>,
        E: Display,
    {
        let mut earliest = Instant::now();
        while self.wait(earliest).await.is_some() {
            earliest = Instant::now() + SHORTEST_PAUSE;
            self.last_run = Some((self.clock)());
            match catch(&mut act).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(policy = self.policy, "scheduled run failed: {error}"),
                Err(panic) => tracing::error!(policy = self.policy, "scheduled run panicked: {panic}"),
            }
        }
        self.last_run
    }

    /// Waits until a run is due; `None` at the end.
    async fn wait(&mut self, earliest: Instant) -> Option<()> {
        let changed = Arc::clone(&self.changed);
        loop {
            // Listening begins before the question: what changes in between is not missed.
            let mut changed = std::pin::pin!(changed.notified());
            changed.as_mut().enable();
            let now = (self.clock)();
            // A clock that was set back would otherwise push the next run away with every new question.
            self.last_run = self.last_run.map(|at| at.min(now));
            let due = (self.next)(self.last_run, now);
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                () = until(due, &self.clock, earliest) => return Some(()),
                () = changed => {}
            }
        }
    }
}

/// Sleeps until the wall clock shows `due` and the runtime's clock `earliest`.
async fn until(due: Moment, clock: &impl Fn() -> Moment, earliest: Instant) {
    tokio::time::sleep_until(earliest).await;
    // The two clocks run at slightly different speeds: what is left is asked again.
    while let Some(left) = due.since(clock()).filter(|left| !left.is_zero()) {
        tokio::time::sleep(left).await;
    }
}

/// Awaits what `act` makes, and catches the panic of either; the error is the panic's message.
pub(crate) async fn catch<F: Future>(act: &mut impl FnMut() -> F) -> Result<F::Output, String> {
    AssertUnwindSafe(async { act().await }).catch_unwind().await.map_err(|panic| {
        let text = panic.downcast_ref::<&str>().copied();
        text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message").to_owned()
    })
}

/// The name under which this machine takes its turn among others: two machines made from one image differ at least
/// in their host name, two containers of one host as well.
pub fn host_id() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    format!("{} {}", read("/etc/machine-id").trim(), read("/proc/sys/kernel/hostname").trim())
}

#[cfg(test)]
mod tests;
