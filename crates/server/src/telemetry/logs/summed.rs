//! A message about single files that does not drown the log.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cleanup_core::candidate::Escaped;
use cleanup_core::words::Count;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const SECOND: Duration = Duration::from_secs(1);
/// How many are told one by one within a second.
const ONE_BY_ONE: u32 = 10;

/// One message, at `info` without a path: ten a second one by one, the rest of that second in one line at its end.
///
/// The lines add up: a file that was told by itself is in no sum. [`Summed::tell`] may be called from any thread;
/// [`Summed::run`] tells the sums and is awake only while there is one.
#[derive(Debug)]
pub struct Summed {
    message: &'static str,
    window: Mutex<Window>,
    begun: Notify,
}

/// The second in which messages are counted.
#[derive(Debug, Default)]
struct Window {
    begin: Option<Instant>,
    told: u32,
    summed: u64,
}

impl Summed {
    /// For a message such as [`super::CLEANED_UP`].
    pub fn new(message: &'static str) -> Self {
        Self { message, window: Mutex::default(), begun: Notify::new() }
    }

    /// Tells of one file; `path`, any bytes, appears at `debug` alone, escaped.
    pub fn tell(&self, path: &[u8]) {
        tracing::debug!(path = %Escaped(path), "{}", self.message);
        let mut window = self.window();
        let now = Instant::now();
        // A window with a sum stays open until the sum was told.
        if window.summed == 0 && window.begin.is_none_or(|begin| now.duration_since(begin) >= SECOND) {
            *window = Window { begin: Some(now), ..Window::default() };
        }
        if window.told < ONE_BY_ONE {
            window.told += 1;
            drop(window);
            tracing::info!("{}", self.message);
        } else {
            window.summed += 1;
            if window.summed == 1 {
                self.begun.notify_one();
            }
        }
    }

    /// Tells the sums, each at the end of its second, until `stop`; then what is left.
    pub async fn run(&self, stop: CancellationToken) {
        while stop.run_until_cancelled(self.begun.notified()).await.is_some() {
            let end = self.window().begin.map_or_else(Instant::now, |begin| begin + SECOND);
            let _ = stop.run_until_cancelled(tokio::time::sleep_until(end)).await;
            self.flush();
        }
        self.flush();
    }

    /// Tells at once what was not told yet; for the very end, after [`Summed::run`].
    pub fn flush(&self) {
        let summed = std::mem::take(&mut *self.window()).summed;
        match summed {
            0 => {}
            1 => tracing::info!("{} (1 file in the last second)", self.message),
            files => tracing::info!("{} ({} files in the last second)", self.message, Count(files)),
        }
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
