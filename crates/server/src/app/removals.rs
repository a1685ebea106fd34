//! What was removed, when and why, as the log of removals knows it.

use cleanup_engine::responses::Removals;
use cleanup_engine::{MemoryError, RemovalsError, RemovalsQuery};

use super::error::AppError;
use super::runs::{memory_away, remembers_nothing};
use super::service::Service;

/// A page of the log, the newest first.
pub(crate) async fn page(service: &Service, query: RemovalsQuery) -> Result<Removals, AppError> {
    let path = query.path.as_deref();
    // What a relative path is relative to is nobody's business here.
    let is_relative = path.is_some_and(|path| path.is_relative() && path.components().count() > 1);
    if is_relative && !path.is_some_and(cleanup_engine::is_pattern) {
        return Err(AppError::BadValue("`path` must be absolute, a name without a folder, or a pattern".to_owned()));
    }
    let engine = service.generation().engine;
    match service.blocking(move || engine.removals(&query)).await? {
        Ok(page) => Ok(page),
        Err(RemovalsError::Memory(MemoryError::NoSuchRun(_) | MemoryError::AmbiguousRun { .. })) => {
            Err(AppError::UnknownId("there is no run with this id".to_owned()))
        }
        Err(RemovalsError::Memory(_)) if remembers_nothing(service) => {
            Err(AppError::MemoryAway("nothing is remembered: `[state] url = \"none\"`".to_owned()))
        }
        Err(RemovalsError::Memory(error)) => Err(memory_away(&error)),
        Err(error @ RemovalsError::Off) => Err(AppError::MemoryAway(error.to_string())),
        Err(error @ (RemovalsError::Pattern { .. } | RemovalsError::NotText | RemovalsError::Before(_))) => {
            Err(AppError::BadValue(error.to_string()))
        }
    }
}
