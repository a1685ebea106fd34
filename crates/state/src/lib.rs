//! Durable memory: what ran, what the clocks said, what was promised, and who is at work right now.
//!
//! One folder holds six things that must not be confused:
//!
//! - `state.db`, the ledger: history, clock readings, the last rule of each policy, where runs were stopped, what
//!   observing runs saw. It is *disposable*. If it is missing, corrupt, locked, written by a newer version or on a full
//!   disk, it is set aside or left alone, a new one is started, a note says so, and cleaning goes on. So its calls
//!   return no errors: what cannot be remembered is `None`, and [`State::take_notes`] says why.
//! - `promises.jsonl`: holds, and the ttls of single files. They are *not disposable*: deleting what somebody was
//!   promised is worse than a full disk. A file that cannot be trusted is an error, and the caller holds the policies
//!   that it may concern.
//! - `locks/`: one file per policy, locked with `flock` and never removed. A lock dies with its process. Beside them, in
//!   `locks/clock`, the last clock reading.
//! - `index/`: one due index per policy. It saves time, decides nothing, and is discarded at the slightest doubt.
//! - `removals/`: what was removed, when, by which run and why. Disposable too.
//! - `notified.json`: which findings were delivered to whom. Disposable: without it, open findings are delivered again.
//! - `running/`: one file for each run that has begun and not ended, so that a killed run is noticed.
//!
//! Calls block. Nothing here reads a clock: `now` is handed in. The database is opened by the first call that needs
//! it, so that a command which remembers nothing pays nothing.

mod begun;
mod folder;
mod index;
mod ledger;
mod lock;
mod notified;
mod promises;
mod removals;
mod state;
mod witness;

pub use crate::begun::{BegunPolicy, BegunRun, RunMark};
pub use crate::folder::StateError;
pub use crate::index::{About, FEWEST_INDEXED, IndexWriter, Remembered};
pub use crate::ledger::{
    AmbiguousRun, ClockReading, LastRun, LastSweep, Observation, Observed, PolicyMemory, RunSummary, Runs, RunsQuery,
    Sample, Stop, StoppedAt, TrackedChange, TrendPoint,
};
pub use crate::lock::{Lock, LockError};
pub use crate::notified::Notified;
pub use crate::promises::{Hold, Lost, Promises, PromisesError, Ttl};
pub use crate::removals::{Action, Page, PathQuery, Position, Reason, Removal, RemovalLog, RemovalsQuery};
pub use crate::state::State;
