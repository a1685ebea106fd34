//! The engine over days, with clocks that the tests move.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests may")]

mod clock;
mod faults;
mod machine;
mod ninety_days;
mod reference;

use tempfile::TempDir;

/// In memory, where that can be had: every promise waits for the disk, and here nobody needs it afterwards.
fn folder() -> TempDir {
    TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap()
}
