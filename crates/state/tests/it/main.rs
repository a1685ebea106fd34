//! The memory from outside: what survives, what is set aside, what is refused.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests may, and what is not tested is said aloud")]

mod child;
mod common;
mod folders;
mod full;
mod index;
mod ledger;
mod locks;
mod look;
mod observe;
mod past;
mod promises;
mod ruins;
mod service;
mod stops;
