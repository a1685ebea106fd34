//! The service: tracks files, keeps deadlines, sweeps by schedule, answers over HTTP.
//!
//! A face like the command line: it sees the engine and core, never a store. Whatever blocks runs on blocking threads.
//! Read it from `run`: the start and the end of everything else.

pub mod alarm;
pub mod auth;
mod dashboard;
pub mod deadlines;
pub mod events;
pub mod feed;
mod guard;
pub mod http;
pub mod latest;
pub mod listen;
pub mod logs;
mod loops;
pub mod metrics;
mod plans;
mod pressure;
pub mod problem;
mod reload;
pub mod run;
pub mod schedule;
pub mod scheduler;
pub mod self_test;
pub mod service;
pub mod supervise;
pub mod sweeps;
mod told;
mod went;

#[cfg(test)]
mod fixture;
