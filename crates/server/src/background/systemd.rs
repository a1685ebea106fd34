//! Signals, the end of the process, and what the service manager is told.
//!
//! SIGTERM and SIGINT ask for the end, SIGHUP for another look at the configuration. The end is a promise: when what
//! is in hand is not done by the deadline, or somebody asks a second time, the process leaves anyway, by a thread that
//! needs no runtime. It leaves with 0 even then: everything that was removed is accounted for, and the next run goes
//! on where this one stopped.
//!
//! Telling the service manager never fails here: without one, nobody listens.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// How long the end may take.
pub const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(10);

/// The signals that the service obeys. From [`Signals::listen`] on, none of them ends the process by itself.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// To be called within a runtime, before anything that a signal should not interrupt.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Obeys until the process ends. `stop` is cancelled by the first SIGTERM or SIGINT, and a second one ends the
    /// process. `reload` is notified of SIGHUP, once for several that come close together. From the moment that `stop`
    /// is cancelled, by whomever, the process has `deadline` left.
    pub async fn obey(mut self, stop: CancellationToken, reload: Arc<Notify>, deadline: Duration) {
        let mut is_asked = false;
        let mut is_timed = false;
        loop {
            let name = tokio::select! {
                biased;
                () = stop.cancelled(), if !is_timed => {
                    is_timed = true;
                    leave_after(deadline);
                    continue;
                }
                Some(()) = self.terminate.recv() => "SIGTERM",
                Some(()) = self.interrupt.recv() => "SIGINT",
                Some(()) = self.hangup.recv() => {
                    reload.notify_one();
                    continue;
                }
                else => return,
            };
            if is_asked {
                leave(&format!("{name} came a second time"));
            }
            is_asked = true;
            tracing::info!("{name}: stopping");
            stop.cancel();
        }
    }
}

/// Ends the process after `deadline`, if it still runs then.
fn leave_after(deadline: Duration) {
    let thread = std::thread::Builder::new().name("deadline".to_owned()).spawn(move || {
        std::thread::sleep(deadline);
        leave("current work takes too long");
    });
    if let Err(error) = thread {
        tracing::warn!("cannot enforce the shutdown deadline: {error}");
    }
}

fn leave(why: &str) -> ! {
    tracing::warn!("{why}: exiting now; the next run does the rest");
    std::process::exit(0)
}

/// Tells the service manager that the service answers, at the start and after a reload; `status` is one line.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(&one_line(status))]);
}

/// Tells the service manager what goes on, in one line.
pub fn status(text: &str) {
    tell(&[NotifyState::Status(&one_line(text))]);
}

/// Tells the service manager that the configuration is read again; [`ready`] says that this is over.
pub fn reloading() {
    // Since systemd 253 the time belongs to it; 252 takes no notice of the time.
    if let Ok(time) = NotifyState::monotonic_usec_now() {
        tell(&[NotifyState::Reloading, time]);
    }
}

/// Tells the service manager that the end has begun.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!("cannot notify the service manager: {error}");
    }
}

/// A line end would begin another message.
fn one_line(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

/// Shows the service manager twice in each of its periods that the service lives, as long as `is_healthy` says so;
/// returns at once where nobody wants to know. What a stuck service does not do, it cannot pretend: the service
/// manager starts it again.
pub async fn watchdog(is_healthy: impl Fn() -> bool) {
    if let Some(period) = sd_notify::watchdog_enabled().filter(|period| !period.is_zero()) {
        show_life(period / 2, is_healthy, || tell(&[NotifyState::Watchdog])).await;
    }
}

async fn show_life(every: Duration, is_healthy: impl Fn() -> bool, show: impl Fn()) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut was_healthy = true;
    loop {
        ticks.tick().await;
        let is_healthy = is_healthy();
        if is_healthy {
            show();
        } else if was_healthy {
            tracing::warn!("the service is stuck and stops feeding its watchdog");
        }
        was_healthy = is_healthy;
    }
}

#[cfg(test)]
mod tests;
