//! What runs remember, and where it lies.

mod last_run;
pub(crate) mod location;
mod neighbours;
mod promises;
pub(crate) mod run_state;
mod stop_points;
