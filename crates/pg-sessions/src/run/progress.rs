//! The state of a run between two batches: when the next one may begin, how often one did not work, and the books.
//!
//! Whatever goes wrong is bounded here: a lock that is not had is tried again a few times with jitter, a conflict likewise,
//! and so many rows that the database refuses to remove are passed by.

use std::time::Duration;

use cleanup_core::policy::SessionPolicy;
use cleanup_core::store::Seen;
use cleanup_core::sweep::Observer;

use super::pace::{self, Pacer, Sharing};
use crate::report::ledger::Ledger;
use crate::report::obstacle::Stop;

/// How often a lock or a conflict is tried again before the run ends.
const TRIES: u32 = 4;

/// What became of a batch, and so what may be done next.
pub(crate) enum Next {
    /// It was done and is counted.
    Done(Done),
    /// Somebody holds a lock; worth another statement, or the same again after [`Progress::wait`].
    Locked,
    /// It took too long and was cancelled.
    Cancelled,
    /// It lost against somebody; a pause was made, and the same may be tried again.
    Again,
    /// A row of it may not go; the text says why, not which.
    Refused(String),
}

/// What a batch came to.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// How many rows were chosen, where the batch chooses before it removes.
    pub(crate) picked: Option<u64>,
    pub(crate) gone: u64,
    /// The newest stamp of those that were picked.
    pub(crate) mark: Option<String>,
}

pub(crate) struct Progress<'a> {
    pub(crate) policy: &'a SessionPolicy,
    pub(crate) observer: &'a dyn Observer,
    pub(crate) ledger: &'a mut Ledger,
    pub(crate) sharing: Sharing,
    /// The latency that a batch aims at.
    pub(crate) target: Duration,
    /// How often in a row it did not work.
    tries: u32,
    /// For how long the database is left alone before the next batch.
    pause: Duration,
}

impl<'a> Progress<'a> {
    pub(crate) fn new(
        policy: &'a SessionPolicy,
        observer: &'a dyn Observer,
        ledger: &'a mut Ledger,
        sharing: Sharing,
        target: Duration,
    ) -> Self {
        Self { policy, observer, ledger, sharing, target, tries: 0, pause: Duration::ZERO }
    }

    /// A pacer for batches of rows.
    pub(crate) fn rows(&self) -> Pacer {
        Pacer::new(self.policy.pace, self.sharing, self.target, self.policy.batch_size, pace::ROWS)
    }

    /// A pacer that begins with all the rows that a batch may have.
    pub(crate) fn most_rows(&self) -> Pacer {
        Pacer::new(self.policy.pace, self.sharing, self.target, *pace::ROWS.end(), pace::ROWS)
    }

    /// As many rows as the next batch may have.
    pub(crate) fn size(&self, pacer: &Pacer) -> u32 {
        self.ledger.fitting(pacer.size())
    }

    /// Leaves the database alone for as long as the last batch asks for.
    pub(crate) async fn rest(&mut self) {
        self.rest_after(Duration::ZERO).await;
    }

    /// The same when others could work undisturbed for a part of it.
    pub(crate) async fn rest_after(&mut self, part: Duration) {
        tokio::time::sleep(std::mem::take(&mut self.pause).saturating_sub(part)).await;
    }

    /// Counts a batch that is committed.
    pub(crate) fn done(&mut self, done: Done, pause: Duration) -> Next {
        self.pause = pause;
        self.tries = 0;
        self.ledger.removed(done.gone);
        self.observer.seen(Seen { scanned: done.picked.unwrap_or(done.gone), ..Seen::default() });
        Next::Done(done)
    }

    /// How many rows are gone or refused so far: as long as it grows, a run gets on.
    pub(crate) fn dealt_with(&self) -> u64 {
        self.ledger.tally.counts.removed + self.ledger.refused_rows()
    }

    /// Waits before the same is tried again, and ends the run when that was often enough.
    pub(crate) async fn wait(&mut self) -> Result<(), Stop> {
        self.again(Stop::Busy).await.map(drop)
    }

    /// The same, ending the run for another reason.
    pub(crate) async fn again(&mut self, otherwise: Stop) -> Result<Next, Stop> {
        self.tries += 1;
        if self.tries >= TRIES {
            return Err(otherwise);
        }
        tokio::time::sleep(pace::backoff(self.target, self.tries)).await;
        Ok(Next::Again)
    }

    /// Whether somebody wants the run to end, or so many rows were refused that trying more would only fill the server's
    /// log.
    pub(crate) fn is_over(&mut self) -> bool {
        if self.observer.wants_to_stop() {
            self.ledger.stop();
        }
        self.ledger.stop_when_late();
        self.ledger.is_over()
    }
}
