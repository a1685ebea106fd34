//! The service: tracks files, keeps deadlines, sweeps by schedule, answers over HTTP.
//!
//! A face like the command line: it sees the engine and core, never a store. Whatever blocks runs on blocking threads.

pub mod alarm;
pub mod deadlines;
pub mod listen;
pub mod logs;
pub mod schedule;
pub mod scheduler;
pub mod supervise;

#[cfg(test)]
mod fixture;
