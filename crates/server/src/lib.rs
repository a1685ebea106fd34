//! The service: tracks files, keeps deadlines, sweeps by schedule, answers over HTTP.
//!
//! A face like the command line: it sees the engine and core, never a store. Whatever blocks runs on blocking threads.
//! Read it from [`lifecycle`]: the start and the end of everything else.

pub mod app;
pub mod background;
pub mod lifecycle;
pub mod net;
pub mod self_test;
pub mod telemetry;
pub mod web;

#[cfg(test)]
mod fixture;
