//! The parts of the standard library that the hand-over is built from. The model of it (`tests/hand_over.rs`) puts
//! loom's in their place.

pub(crate) use std::sync::atomic::{AtomicBool, Ordering};
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};
