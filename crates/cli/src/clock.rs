//! The moment of looking, for people only: "in 3h" beside the date itself.
//!
//! No verdict comes from here; the engine judges by its own clock.

use std::time::{SystemTime, UNIX_EPOCH};

use cleanup_core::moment::Moment;

/// The wall clock, once per command.
pub(crate) fn now() -> Moment {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(after) => Moment::EPOCH.plus(after),
        Err(before) => Moment::EPOCH.minus(before.duration()),
    }
}
