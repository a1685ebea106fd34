//! What is said of what happens: events, metrics, the log, and what is remembered in memory for the pages.

pub mod events;
pub mod feed;
pub(crate) mod findings;
pub mod last_runs;
pub mod logs;
pub(crate) mod notices;
pub(crate) mod recent_removals;
mod report_log;
