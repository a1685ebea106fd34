//! What the tests of the loops share: a wall clock that follows the runtime's paused one and can be set.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use cleanup_core::moment::Moment;
use tokio::time::Instant;

/// Where the wall clock begins, in seconds.
const BEGIN: i64 = 1_800_000_000;

/// A wall clock in paused time. Counts how often it was read.
#[derive(Clone, Debug)]
pub(crate) struct Wall {
    begin: Instant,
    set_seconds: Arc<AtomicI64>,
    reads: Arc<AtomicUsize>,
}

impl Wall {
    /// To be called within a runtime whose time is paused.
    pub(crate) fn new() -> Self {
        Self { begin: Instant::now(), set_seconds: Arc::default(), reads: Arc::default() }
    }

    pub(crate) fn now(&self) -> Moment {
        self.reads.fetch_add(1, Ordering::Relaxed);
        moment(self.set_seconds.load(Ordering::Relaxed)).plus(self.begin.elapsed())
    }

    /// Sets the clock, ahead or back.
    pub(crate) fn set_by(&self, seconds: i64) {
        self.set_seconds.fetch_add(seconds, Ordering::Relaxed);
    }

    pub(crate) fn reads(&self) -> usize {
        self.reads.load(Ordering::Relaxed)
    }
}

/// So many seconds after the wall clock's beginning.
pub(crate) fn moment(seconds: i64) -> Moment {
    Moment::from_unix(BEGIN + seconds, 0)
}

/// Lets so much time pass, and every task come to rest.
pub(crate) async fn pass(span: Duration) {
    tokio::time::advance(Duration::ZERO).await;
    tokio::time::sleep(span).await;
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
}

/// Set in a process that a test started to be a process of its own.
const ROLE: &str = "CLEANUP_TEST_ROLE";

/// What this process was started for by [`another_process`]; `None` in the test itself.
pub(crate) fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

/// A shell that runs `test` of this same binary in a process of its own, with `role`. The test is named by its
/// `module_path!()` and its name. `setup` are shell commands that come first; `exec "$@"` in it is the test.
pub(crate) fn another_process(test: &str, role: &str, setup: &str) -> std::process::Command {
    let test = test.split_once("::").map_or(test, |(_, within_crate)| within_crate);
    let mut command = std::process::Command::new("sh");
    command.args(["-c", setup, "sh"]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(ROLE, role);
    command
}
