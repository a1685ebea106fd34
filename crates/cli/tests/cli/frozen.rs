//! What never changes, because people and programs rely on it and are not asked at an upgrade.
//!
//! The command lines stand in crontabs and in a document that others wrote; mail filters and alerts know the messages;
//! scripts read the exit code and nothing else; and a state folder outlives every version that wrote it. A test here
//! that fails is a broken promise, not a test to be adapted. What may change is what is *added*: flags, keys, messages
//! where there was an error before.
//!
//! The keys of the JSON documents are frozen in `xtask/tests/frozen.rs`, the answers and log messages of the service in
//! `crates/server/tests/program/frozen.rs`, and which exit code wins where several apply beside the code itself.

mod command_lines;
mod exit_codes;
mod old;
mod words;
