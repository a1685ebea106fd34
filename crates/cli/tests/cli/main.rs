//! The binary as people and scripts meet it: real trees, real processes, every command and every exit code.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests are tests")]

mod answers;
mod audit;
mod brakes;
mod certificates;
mod changed_rule;
mod config;
mod confined;
mod documents;
mod exit_codes;
mod findings;
mod first_steps;
mod from_env;
mod frozen;
mod import;
mod in_use;
mod index;
mod limits;
mod lost_and_found;
mod memory;
mod names;
mod notify;
mod onward;
mod output;
mod owners;
mod plan;
mod references;
mod removals;
mod restore;
mod roots;
mod rows;
mod single_rows;
mod sweep;
mod terminal;
mod textfile;
mod threads;
mod units;
mod world;
