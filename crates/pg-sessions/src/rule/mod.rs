//! The rule for rows, apart from how a database says it: names, times, clocks.

pub(crate) mod clocks;
pub(crate) mod names;
pub(crate) mod time;

use std::time::Duration;

use cleanup_core::policy::{MaxAge, RowStamp, SessionPolicy};

/// The longest idle time that can be told apart from "for ever": a cutoff must still be a date of both databases.
const LONGEST_IDLE: Duration = Duration::from_secs(1900 * 365 * 86_400);

/// The seconds by which the stamp of a row may lie back: the time that it may be idle, or the grace after its end.
pub(crate) fn idle_seconds(policy: &SessionPolicy) -> f64 {
    if let RowStamp::Expiry { grace, .. } = &policy.stamp {
        return (*grace).min(LONGEST_IDLE).as_secs_f64();
    }
    policy.rule.max_age.map_or(LONGEST_IDLE, MaxAge::get).max(policy.rule.min_age).min(LONGEST_IDLE).as_secs_f64()
}
