//! One line on stderr that shows a long sweep is alive: only on a terminal, and only after a second.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cleanup_core::store::Seen;
use cleanup_core::sweep::Judged;
use cleanup_core::words::Number;
use indicatif::{ProgressBar, ProgressStyle};

/// Shorter work than this needs no company.
const QUIET_FOR: Duration = Duration::from_secs(1);

/// What a long sweep has come to so far. Called from the engine's threads.
pub(crate) struct Progress {
    /// `None` when nobody watches.
    since: Option<Instant>,
    bar: OnceLock<ProgressBar>,
    scanned: AtomicU64,
    due: AtomicU64,
}

impl Progress {
    pub(crate) fn new(is_shown: bool) -> Self {
        Self { since: is_shown.then(Instant::now), bar: OnceLock::new(), scanned: 0.into(), due: 0.into() }
    }

    pub(crate) fn judged(&self, judged: &Judged<'_>) {
        if judged.verdict.is_due() {
            self.due.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn seen(&self, policy: &str, seen: Seen) {
        let scanned = self.scanned.fetch_add(seen.scanned, Ordering::Relaxed) + seen.scanned;
        let Some(since) = self.since else { return };
        if self.bar.get().is_none() && since.elapsed() < QUIET_FOR {
            return;
        }
        let bar = self.bar.get_or_init(|| {
            let bar = ProgressBar::new_spinner();
            bar.set_style(ProgressStyle::with_template("{spinner} {msg}").unwrap_or(ProgressStyle::default_spinner()));
            bar
        });
        let due = self.due.load(Ordering::Relaxed);
        bar.set_message(format!("{policy}: {} scanned, {} due", Number(scanned, "name"), Number(due, "file")));
    }

    /// Takes the line away again.
    pub(crate) fn finish(&self) {
        if let Some(bar) = self.bar.get() {
            bar.finish_and_clear();
        }
    }
}
