//! What runs by itself, beside the calls: schedules, deadlines, `min_free`, the clock, signals.

pub mod clock_watch;
pub mod deadlines;
pub(crate) mod min_free;
pub(crate) mod notify;
pub mod schedule;
pub mod scheduler;
pub mod systemd;
pub(crate) mod tasks;
