//! What runs remember, and where it lies.

mod location;
pub(crate) mod run_state;
mod stop_points;
