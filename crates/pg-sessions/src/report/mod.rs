//! What is said: findings before a run, obstacles that end one, and the books of what it came to.

pub(crate) mod finding;
pub(crate) mod ledger;
pub(crate) mod obstacle;

/// `1 row`, `2 rows`.
pub(crate) fn plural(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
