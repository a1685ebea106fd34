//! Answers: what is there, why, and what was. Nothing here changes a file.

pub(crate) mod collect;
mod explain;
pub(crate) mod history;
