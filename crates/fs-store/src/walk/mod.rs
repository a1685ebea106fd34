//! The walk through everything below a root.

pub(crate) mod dir_reader;
pub(crate) mod pool_size;
pub(crate) mod resume;
pub(crate) mod walker;
pub(crate) mod worker_pool;
