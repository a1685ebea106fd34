//! The kernel's calls, by descriptor and a single name. Names nothing else of this crate.

pub(crate) mod entry;
pub(crate) mod name_buffer;
pub(crate) mod root;
