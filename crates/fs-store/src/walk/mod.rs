//! The walk through everything below a root: one algorithm, told in several files.
//!
//! `walker` goes from directory to directory, `dir_reader` reads one directory, `visit` looks at names and hands
//! candidates to the visitor; `worker_pool` and `hand_over` share the work among threads, `pool_size` says how many, and
//! `resume` says where a walk was stopped. `descent` is the plain way down for whoever adds up or deletes one directory.

pub(crate) mod descent;
mod dir_reader;
mod hand_over;
mod pool_size;
pub(crate) mod resume;
mod sync;
pub(crate) mod visit;
pub(crate) mod walker;
pub(crate) mod worker_pool;
