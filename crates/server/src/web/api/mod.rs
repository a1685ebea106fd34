//! JSON for programs, one file for each resource: a handler turns a call into a question to `app`, and its answer into JSON.

pub(crate) mod events;
pub(crate) mod explain;
pub(crate) mod files;
pub(crate) mod forecast;
pub(crate) mod health;
pub(crate) mod legacy;
pub(crate) mod metrics;
pub(crate) mod plans;
pub(crate) mod policies;
pub(crate) mod quarantine;
pub(crate) mod removals;
pub(crate) mod runs;
pub mod shapes;
pub(crate) mod stats;
pub(crate) mod sweeps;
