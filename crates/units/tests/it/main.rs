//! The rendered files: what they say, and what the programs they are written for say about them.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::case_sensitive_file_extension_comparisons,
    clippy::format_collect,
    reason = "tests: they say aloud what is skipped, look for programs, and know the files by name"
)]

mod calendar;
mod programs;
mod refusals;
mod schedules;
mod snapshots;
mod support;
