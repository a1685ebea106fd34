//! The HTTP interface through a real socket, with calls as clients make them and as attackers do.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

mod auth;
mod bodies;
mod client;
mod dashboard;
mod events;
mod files;
mod guards;
mod health;
mod holds;
mod law;
mod metrics;
mod openapi;
mod plans;
mod proxy;
mod quarantine;
mod removals;
mod seed;
mod sweeps;
mod tokens;
mod world;
