//! The rendered files: what they say, and what the programs they are written for say about them.

#![allow(clippy::unwrap_used, reason = "tests")]

mod calendar;
mod programs;
mod refusals;
mod schedules;
mod snapshots;
mod support;
