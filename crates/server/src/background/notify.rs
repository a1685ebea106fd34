//! Tells whoever is to know of findings, and runs the program that is to know of removed files: each on a thread of its
//! own, so that one who is slow delays neither runs nor the other.

use std::sync::Arc;
use std::time::Duration;

use cleanup_engine::{AFTER, Engine, Memory};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::readiness;
use crate::app::service::Service;
use crate::telemetry::notices::Of;

/// How often it is looked for what the service itself finds, what was put off, and what could not be told.
const LOOK: Duration = Duration::from_mins(1);

/// How long one round of messages may take.
const ROUND: Duration = Duration::from_secs(30);

/// How long removed files are gathered before the program is run.
const GATHER: Duration = Duration::from_secs(1);

/// How long the end may take: what is not told by then is told after the next start.
const LAST: Duration = Duration::from_secs(3);

/// What tells by one configuration.
pub(crate) struct Telling {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Telling {
    /// Starts to tell, where the configuration names anybody to tell.
    pub(crate) fn start(service: &Arc<Service>, engine: &Arc<Engine>) -> Self {
        let telling = Self { tasks: TaskTracker::new(), stop: CancellationToken::new() };
        service.feed().notices.want(engine.tells());
        if engine.tells() {
            telling.tasks.spawn(tell(Arc::clone(service), Arc::clone(engine), telling.stop.clone()));
        }
        if engine.config().notify.as_ref().is_some_and(|notify| notify.after.is_some()) {
            telling.tasks.spawn(run_after(Arc::clone(service), Arc::clone(engine), telling.stop.clone()));
        }
        telling
    }

    /// Tells what is left, within a few seconds.
    pub(crate) async fn end(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

async fn tell(service: Arc<Service>, engine: Arc<Engine>, stop: CancellationToken) {
    let notices = &service.feed().notices;
    let mut known = Memory::default();
    let mut has_failed = false;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            // One who could not be reached is left alone for a while.
            () = notices.changed.notified(), if !has_failed => {}
            () = sleep(LOOK) => {}
        }
        let is_last = stop.is_cancelled();
        let within = if is_last { LAST } else { ROUND };
        let mut look = notices.take();
        look.service_finds(readiness::of_service_itself(&service));
        let asked = Arc::clone(&engine);
        let round = tokio::task::spawn_blocking(move || {
            let told = asked.tell(&mut known, look, within);
            (known, told)
        });
        let Some((remembered, told)) = ended(round, &stop).await else { return };
        known = remembered;
        has_failed = !told.problems.is_empty();
        notices.give_back(told.left);
        notices.went(Of::Messages, has_failed.then(|| told.problems.join("; ")));
        if is_last {
            return;
        }
    }
}

async fn run_after(service: Arc<Service>, engine: Arc<Engine>, stop: CancellationToken) {
    let notices = &service.feed().notices;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = notices.removed.notified() => {}
        }
        // What goes at one moment is told at once.
        let _ = timeout(GATHER, stop.cancelled()).await;
        let is_last = stop.is_cancelled();
        if engine.has_removed() {
            let (asked, within) = (Arc::clone(&engine), if is_last { LAST } else { AFTER });
            let ran = tokio::task::spawn_blocking(move || asked.run_after(within));
            let Some(problem) = ended(ran, &stop).await else { return };
            notices.went(Of::After, problem);
        }
        if is_last {
            return;
        }
    }
}

/// Waits for what blocks; `None` where the end does not wait for it any longer, or it panicked.
async fn ended<T>(task: JoinHandle<T>, stop: &CancellationToken) -> Option<T> {
    let last = async {
        stop.cancelled().await;
        // A little more than the last round has.
        sleep(LAST + LAST / 4).await;
    };
    tokio::select! {
        done = task => match done {
            Ok(done) => Some(done),
            Err(error) => {
                tracing::error!("telling broke off: {error}");
                None
            }
        },
        () = last => None,
    }
}
