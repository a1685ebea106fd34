//! One object that sweeps, plans, explains and answers.
//!
//! The engine opens what the configuration names, reads the clock, and lets core drive. Faces (command line, server)
//! see this crate and core, never a store. Calls block; a caller on an async runtime puts them on a blocking thread.

pub mod answer;
mod audit;
mod clock;
pub mod demo;
mod engine;
mod explain;
mod files;
mod index;
mod limits;
mod memory;
mod mount;
mod onward;
mod open;
mod owners;
mod past;
mod place;
pub mod plan;
mod pressure;
mod quarantine;
mod quarantined;
mod request;
mod restore;
mod rows;
pub mod track;
mod watch;
mod zone;

pub use cleanup_state::{LastSweep, RunsQuery, TrendPoint};

#[cfg(feature = "test-clock")]
pub use crate::clock::test_clock::TestClock;
pub use crate::engine::{Engine, Watcher, run_id};
pub use crate::mount::records_access_times;
pub use crate::open::{OpenError, Origin};
pub use crate::past::{MemoryError, NewHold};
pub use crate::request::{At, Request, RequestError};
pub use crate::restore::{Restore, RestoreError, RestoreRequest};
pub use crate::zone::{UnknownZone, time_zone};
