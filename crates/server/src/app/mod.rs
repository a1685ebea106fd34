//! What the service can do, as functions that return values and errors. Nothing here knows HTTP.

pub(crate) mod plans;
pub(crate) mod reload;
pub mod service;
pub mod sweeps;
