//! The engine over days, with clocks that the tests move.

#![allow(clippy::unwrap_used, reason = "tests may")]

mod clock;
