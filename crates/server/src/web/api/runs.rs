//! Runs: those that are going on, those that ended lately, and what the history knows.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use cleanup_core::config::State as Memory;
use cleanup_core::report::{Report, RunStatus};
use cleanup_core::sweep::Mode;
use cleanup_engine::responses::PastRun;
use cleanup_engine::{self as engine, Engine, MemoryError};
use serde::Deserialize;
use utoipa::IntoParams;

use super::shapes::{Running, RunningStatus, Runs};
use crate::app::service::Service;
use crate::app::sweeps::Flight;
use crate::web::extract::{Part, Query};
use crate::web::problem::{Kind, Problem};

/// Runs on a page, unless asked for otherwise, and at most.
const PAGE: usize = 50;
const MAX_PAGE: usize = 500;

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RunsQuery {
    /// How many runs, 1 to 500.
    #[param(default = 50, minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// The `next` of the page before.
    after: Option<String>,
    /// Only runs in which this policy had a part. Those that are going on are left out then if they have none of it.
    policy: Option<String>,
    /// Only runs that ended `ok`, `partial`, `held` or `failed`; those that are going on are left out then.
    #[param(value_type = Option<String>)]
    status: Option<RunStatus>,
}

/// Runs, the newest first.
#[utoipa::path(get, path = "/api/v1/runs", operation_id = "list_runs", tag = "Runs", params(RunsQuery),
    responses((status = 200, description = "A page", body = ref("#/components/schemas/Runs"))))]
pub(crate) async fn list(
    State(service): State<Arc<Service>>,
    Query(query): Query<RunsQuery>,
) -> Result<Json<Runs>, Problem> {
    let limit = page_size(query.limit, PAGE, MAX_PAGE)?;
    let engine = service.live().engine;
    let is_asked_for = |flight: &&Arc<Flight>| query.policy.as_ref().is_none_or(|name| flight.policies.contains(name));
    let running = match (&query.after, query.status) {
        (None, None) => service.sweeps().running().iter().filter(is_asked_for).map(|flight| running(flight)).collect(),
        _ => Vec::new(),
    };
    let wanted = engine::RunsQuery { before: query.after, limit, policy: query.policy, status: query.status };
    let (runs, next) = service.blocking(move || page(&engine, wanted)).await??;
    Ok(Json(Runs { running, runs, next }))
}

/// One run.
///
/// Its report, or how far it is while it is going on. Dry runs, which no history takes, are known for a while.
#[utoipa::path(get, path = "/api/v1/runs/{id}", operation_id = "get_run", tag = "Runs",
    params(("id" = String, Path, description = "The run's id")),
    responses((status = 200, description = "The report, or a run that is going on",
        body = ref("#/components/schemas/Run"))))]
pub(crate) async fn one(State(service): State<Arc<Service>>, Part(id): Part) -> Result<Response, Problem> {
    if let Some(flight) = service.sweeps().running().iter().find(|flight| flight.run_id == id) {
        return Ok(Json(running(flight)).into_response());
    }
    if let Some(report) = service.sweeps().finished(&id) {
        return Ok(Json(&*report).into_response());
    }
    past_run(&service, &id).await.map(|report| Json(report).into_response())
}

/// The report of a run that the history knows.
pub(crate) async fn past_run(service: &Service, id: &str) -> Result<Report, Problem> {
    let engine = service.live().engine;
    let wanted = id.to_owned();
    match service.blocking(move || engine.past_run(&wanted)).await? {
        Ok(report) if report.run_id == id => Ok(report),
        Ok(_) | Err(MemoryError::NoSuchRun(_) | MemoryError::AmbiguousRun { .. }) => {
            Err(Problem::of(Kind::UnknownId, "there is no run with this id"))
        }
        Err(_) if remembers_nothing(service) => Err(Problem::of(Kind::UnknownId, "there is no run with this id")),
        Err(error) => Err(memory_away(&error)),
    }
}

/// A page size within its bounds.
pub(crate) fn page_size(wanted: Option<usize>, default: usize, max: usize) -> Result<usize, Problem> {
    match wanted {
        None => Ok(default),
        Some(limit) if (1..=max).contains(&limit) => Ok(limit),
        Some(_) => Err(Problem::of(Kind::BadValue, format!("the query: `limit` must be 1 to {max}"))),
    }
}

/// What is remembered cannot be read. Why may name a path, so only the log says it.
pub(crate) fn memory_away(error: &MemoryError) -> Problem {
    tracing::warn!("{error}");
    Problem::of(Kind::MemoryAway, "what is remembered cannot be read now; the log says why")
}

/// Whether the configuration asks for no memory.
pub(crate) fn remembers_nothing(service: &Service) -> bool {
    service.live().engine.config().state == Memory::None
}

/// One page of the history, and where the next one begins.
pub(crate) fn page(engine: &Engine, query: engine::RunsQuery) -> Result<(Vec<PastRun>, Option<String>), Problem> {
    let limit = query.limit;
    let one_more = engine::RunsQuery { limit: limit + 1, ..query };
    let mut runs = match engine.past_runs(&one_more) {
        Ok(history) => history.runs,
        Err(_) if engine.config().state == Memory::None => Vec::new(),
        Err(error) => return Err(memory_away(&error)),
    };
    let more = runs.len() > limit;
    runs.truncate(limit);
    let next = if more { runs.last().map(|run| run.run_id.clone()) } else { None };
    Ok((runs, next))
}

fn running(flight: &Flight) -> Running {
    Running {
        run_id: flight.run_id.clone(),
        status: RunningStatus::Running,
        trigger: flight.trigger,
        dry_run: flight.mode == Mode::Plan,
        started_at: flight.started_at,
        policies: flight.policies.clone(),
        scanned: flight.scanned.load(Ordering::Relaxed),
        removed: flight.removed.load(Ordering::Relaxed),
        ended: flight.ended(),
    }
}
