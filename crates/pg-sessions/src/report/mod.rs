//! What is said: findings before a run, obstacles that end one, and the books of what it came to.

pub(crate) mod finding;
pub(crate) mod ledger;
pub(crate) mod obstacle;

use cleanup_core::words::Number;

/// `1 row`, `1,234 rows`.
pub(crate) fn plural(count: u64, noun: &str) -> String {
    Number(count, noun).to_string()
}
