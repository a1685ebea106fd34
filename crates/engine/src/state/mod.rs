//! The state that runs record, and its location.

mod last_run;
pub(crate) mod location;
mod neighbours;
mod promises;
pub(crate) mod run_state;
mod stop_points;
