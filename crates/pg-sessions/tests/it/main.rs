//! Session rows against real databases: every promise of the crate, each as a test.
//!
//! One binary, so that all tests share one PostgreSQL cluster; faults that break a server get a cluster of their own.
//! Nothing sleeps to let something happen: tests wait for what the server itself reports, up to a deadline.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod support;

mod application;
mod archives;
mod brakes;
mod clocks;
mod conditions;
mod conformance;
mod drop_partitions;
mod expiry;
mod faults;
mod followers;
mod frameworks;
mod names;
mod oracle;
mod partitions;
mod planner;
mod pooler;
mod putting_back;
mod races;
mod references;
mod refusals;
mod row_security;
mod sampling;
mod sqlite;
mod urls;
mod zones;
