//! One object that sweeps, plans, explains and answers.
//!
//! The engine opens what the configuration names, reads the clock, and lets core drive. Faces (command line, server)
//! see this crate and core, never a store. Calls block; a caller on an async runtime puts them on a blocking thread.

mod caller;
mod clock;
mod config_file;
pub mod demo;
pub mod discover;
mod engine;
mod mount;
mod notify;
mod place;
pub mod plan;
mod quarantine;
mod query;
mod request;
pub mod responses;
mod run;
mod setup;
mod state;
pub mod track;
mod zone;

pub use cleanup_notify::{Look, Memory};
pub use cleanup_state::{LastSweep, RunsQuery, TrendPoint};

pub use crate::caller::{caller, user_name};
pub use crate::clock::now;
#[cfg(feature = "test-clock")]
pub use crate::clock::test_clock::TestClock;
pub use crate::config_file::{OpenError, Origin};
pub use crate::engine::Engine;
pub use crate::mount::records_access_times;
pub use crate::notify::{AFTER, Told};
pub use crate::quarantine::restore::{Restore, RestoreError, RestoreRequest};
pub use crate::query::history::{HoldsQuery, LastFindings, MemoryError, NewHold};
pub use crate::query::removals::{RemovalsError, RemovalsQuery, is_pattern};
pub use crate::request::{At, Request, RequestError};
pub use crate::run::observers::Watcher;
pub use crate::run::record::run_id;
pub use crate::state::run_state::tell_of_interrupted;
pub use crate::zone::{UnknownZone, time_zone};
