//! Answers: what is there, why, and what was. Nothing here changes a file.

mod check;
mod collect;
mod explain;
pub(crate) mod history;
pub(crate) mod removals;
