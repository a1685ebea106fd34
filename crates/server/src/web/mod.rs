//! The service over HTTP: JSON for programs in `api`, pages for people in `dashboard`, the same guards before both.

pub mod api;
pub mod auth;
pub(crate) mod dashboard;
mod extract;
mod guard;
mod login;
mod openapi;
pub mod problem;
mod router;
mod span;

pub use openapi::document;
pub use router::router;
