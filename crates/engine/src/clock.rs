//! The one clock. Nobody else in the workspace asks what time it is; everybody below is handed `now`.

use std::time::{SystemTime, UNIX_EPOCH};

use cleanup_core::moment::Moment;

/// The wall clock, to which the stamps of files are compared.
pub(crate) fn now() -> Moment {
    let since_epoch = |time: SystemTime| time.duration_since(UNIX_EPOCH);
    match since_epoch(SystemTime::now()) {
        Ok(after) => Moment::EPOCH.plus(after),
        Err(before) => Moment::EPOCH.minus(before.duration()),
    }
}
