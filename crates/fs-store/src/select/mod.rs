//! What of a root is a candidate, where not everything is walked.

pub(crate) mod by_path;
pub(crate) mod claims;
pub(crate) mod classify;
pub(crate) mod whole_dirs;
