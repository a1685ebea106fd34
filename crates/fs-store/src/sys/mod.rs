//! The kernel's calls, by descriptor and a single name. Nothing in here names anything else of this crate.

pub(crate) mod dir;
pub(crate) mod entry;
pub(crate) mod name_buffer;
pub(crate) mod root;
