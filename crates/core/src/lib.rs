//! The rule: decides what may be removed and why, and drives a sweep over any store.
//!
//! Nothing here reads a clock, a file or the environment: callers pass in what is needed. `clippy.toml` in this crate
//! bans the calls. Read the modules in the order of the data: [`config`] becomes a [`policy`]; a [`store`] offers each
//! [`candidate`]; [`judge`](mod@judge) turns it into a [`verdict`]; [`sweep`](mod@sweep) drives and counts; the
//! [`report`] is all that is printed. Before anything is removed, the [`clock_guard`] checks the clock and the
//! [`brake`] checks the plan.

pub mod brake;
pub mod candidate;
pub mod clock_guard;
pub mod config;
pub mod duration;
pub mod hold;
pub mod index;
pub mod judge;
pub mod moment;
pub mod owner;
pub mod pattern;
pub mod policy;
pub mod rank;
pub mod reference;
pub mod registration;
pub mod report;
pub mod size;
pub mod store;
pub mod sweep;
pub mod verdict;
pub mod words;

#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "conformance")]
pub mod damage;
