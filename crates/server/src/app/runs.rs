//! Past runs, as the history knows them.

use cleanup_core::config::State as Memory;
use cleanup_core::report::Report;
use cleanup_engine::responses::PastRun;
use cleanup_engine::{MemoryError, RunsQuery};

use super::error::AppError;
use super::service::Service;

/// One page of the history, the newest first, and where the next one begins.
pub(crate) async fn page(service: &Service, query: RunsQuery) -> Result<(Vec<PastRun>, Option<String>), AppError> {
    let limit = query.limit;
    let engine = service.generation().engine;
    let one_more = RunsQuery { limit: limit + 1, ..query };
    let mut runs = match service.blocking(move || engine.past_runs(&one_more)).await? {
        Ok(history) => history.runs,
        Err(_) if remembers_nothing(service) => Vec::new(),
        Err(error) => return Err(memory_away(&error)),
    };
    let more = runs.len() > limit;
    runs.truncate(limit);
    let next = if more { runs.last().map(|run| run.run_id.clone()) } else { None };
    Ok((runs, next))
}

/// The report of a run that the history knows.
pub(crate) async fn one(service: &Service, id: &str) -> Result<Report, AppError> {
    let engine = service.generation().engine;
    let wanted = id.to_owned();
    match service.blocking(move || engine.past_run(&wanted)).await? {
        Ok(report) if report.run_id == id => Ok(report),
        Ok(_) | Err(MemoryError::NoSuchRun(_) | MemoryError::AmbiguousRun { .. }) => {
            Err(AppError::UnknownId("there is no run with this id".to_owned()))
        }
        Err(_) if remembers_nothing(service) => Err(AppError::UnknownId("there is no run with this id".to_owned())),
        Err(error) => Err(memory_away(&error)),
    }
}

/// What is remembered cannot be read. Why may name a path, so only the log says it.
pub(crate) fn memory_away(error: &MemoryError) -> AppError {
    tracing::warn!("{error}");
    AppError::MemoryAway("the history cannot be read now; see the log".to_owned())
}

/// Whether the configuration asks for no memory.
pub(crate) fn remembers_nothing(service: &Service) -> bool {
    service.generation().engine.config().state == Memory::None
}
