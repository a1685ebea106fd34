//! One object that sweeps, plans, explains and answers.
//!
//! The engine opens what the configuration names, reads the clock, and lets core drive. Faces (command line, server)
//! see this crate and core, never a store. Calls block; a caller on an async runtime puts them on a blocking thread.

pub mod answer;
mod clock;
mod engine;
mod open;
mod rows;
mod watch;

pub use crate::engine::{Engine, Request, RequestError, Watcher};
pub use crate::open::{OpenError, Origin};
