//! What the service can do, as functions that return values and errors. Nothing here knows HTTP.

pub mod access;
pub mod error;
pub mod explain;
pub mod files;
pub mod generation;
pub(crate) mod kept_plans;
pub mod plans;
pub mod policies;
pub mod quarantine;
pub mod readiness;
pub(crate) mod removals;
pub mod runs;
pub mod service;
pub mod sweeps;
pub mod trend;
