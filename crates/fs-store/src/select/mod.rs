//! Candidates that are not found by the walk: files that are asked for by path, and whole directories. And what a sweep
//! would make of one path, for explanations.

pub(crate) mod by_path;
pub(crate) mod claims;
pub(crate) mod classify;
pub(crate) mod whole_dirs;
