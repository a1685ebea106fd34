//! The memory from outside: what survives, what is set aside, what is refused.

#![allow(clippy::unwrap_used, reason = "tests may")]

mod common;
mod ledger;
