//! Durable memory: what ran, what the clocks said, what was promised, and who is at work right now.
//!
//! One folder holds four things that must not be confused:
//!
//! - `state.db`, the ledger: history, clock readings, what policies looked like, where their runs were stopped, what
//!   observing runs saw. It is *disposable*. Missing, corrupt, from a newer version, locked or on a full disk: it is set aside or left alone, a
//!   new one is started, a note says so, and cleaning goes on. Therefore its calls have no errors to hand out: what
//!   cannot be remembered is `None`, and [`State::take_notes`] says why.
//! - `promises.jsonl`, the holds and the times that single files were given. They are *not disposable*: to delete what somebody was promised is worse than a full
//!   disk. A file that cannot be trusted is an error, and the caller holds the policies concerned.
//! - `locks/`: one file a policy, locked with `flock`, kept for ever. A lock dies with its process.
//! - `index/`: one due index a policy, which saves time and decides nothing. It is thrown away at any doubt.
//! - `running/`: one file for each run that has begun and not ended, so that one that was killed is known of.
//!
//! Calls block. Nothing here reads a clock: `now` is handed in. The database is opened by the first call that needs
//! it, so that a command which remembers nothing pays nothing.

mod begun;
mod folder;
mod index;
mod ledger;
mod lock;
mod promises;
mod state;
mod witness;

pub use crate::begun::{BegunPolicy, BegunRun, RunMark};
pub use crate::folder::StateError;
pub use crate::index::{About, FEWEST_INDEXED, IndexWriter, Remembered};
pub use crate::ledger::{
    AmbiguousRun, ClockReading, LastRun, LastSweep, Observation, Observed, PolicyMemory, RunSummary, RunsQuery, Sample,
    Stop, StoppedAt, TrackedChange, TrendPoint,
};
pub use crate::lock::{Lock, LockError};
pub use crate::promises::{Hold, Lost, Promises, PromisesError, Ttl};
pub use crate::state::State;
