//! Runs: those that are going on, those that ended lately, and what the history knows.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use cleanup_core::report::RunStatus;
use cleanup_core::sweep::Mode;
use serde::Deserialize;
use utoipa::IntoParams;

use super::shapes::{Running, RunningStatus, Runs};
use crate::app::runs;
use crate::app::service::Service;
use crate::app::sweeps::RunningSweep;
use crate::web::extract::{Part, Query, page_size};
use crate::web::problem::Problem;

/// Runs on a page, unless asked for otherwise, and at most.
const PAGE: usize = 50;
const MAX_PAGE: usize = 500;

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RunsQuery {
    /// The number of runs, 1 to 500.
    #[param(default = 50, minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// `next` of the previous page.
    after: Option<String>,
    /// Only runs that include this policy.
    policy: Option<String>,
    /// Only finished runs with this status: `ok`, `partial`, `held` or `failed`.
    #[param(value_type = Option<String>)]
    status: Option<RunStatus>,
}

/// Runs, newest first.
#[utoipa::path(get, path = "/api/v1/runs", operation_id = "list_runs", tag = "Runs", params(RunsQuery),
    responses((status = 200, description = "A page", body = ref("#/components/schemas/Runs"))))]
pub(crate) async fn list(
    State(service): State<Arc<Service>>,
    Query(query): Query<RunsQuery>,
) -> Result<Json<Runs>, Problem> {
    let limit = page_size(query.limit, PAGE, MAX_PAGE)?;
    let is_asked_for =
        |sweep: &&Arc<RunningSweep>| query.policy.as_ref().is_none_or(|name| sweep.policies.contains(name));
    let running = match (&query.after, query.status) {
        (None, None) => service.sweeps().running().iter().filter(is_asked_for).map(|sweep| running(sweep)).collect(),
        _ => Vec::new(),
    };
    let wanted = cleanup_engine::RunsQuery { before: query.after, limit, policy: query.policy, status: query.status };
    let (runs, next) = runs::page(&service, wanted).await?;
    Ok(Json(Runs { running, runs, next }))
}

/// One run.
///
/// Its report, or its progress. Dry runs are not in the history, but available for a while.
#[utoipa::path(get, path = "/api/v1/runs/{id}", operation_id = "get_run", tag = "Runs",
    params(("id" = String, Path, description = "The run's id")),
    responses((status = 200, description = "The report, or the progress of a running one",
        body = ref("#/components/schemas/Run"))))]
pub(crate) async fn one(State(service): State<Arc<Service>>, Part(id): Part) -> Result<Response, Problem> {
    if let Some(sweep) = service.sweeps().running().iter().find(|sweep| sweep.run_id == id) {
        return Ok(Json(running(sweep)).into_response());
    }
    if let Some(report) = service.sweeps().finished(&id) {
        return Ok(Json(&*report).into_response());
    }
    Ok(Json(runs::one(&service, &id).await?).into_response())
}

fn running(sweep: &RunningSweep) -> Running {
    Running {
        run_id: sweep.run_id.clone(),
        status: RunningStatus::Running,
        trigger: sweep.trigger,
        asked_by: sweep.asked_by.clone(),
        dry_run: sweep.mode == Mode::Plan,
        started_at: sweep.started_at,
        policies: sweep.policies.clone(),
        scanned: sweep.scanned.load(Ordering::Relaxed),
        removed: sweep.removed.load(Ordering::Relaxed),
        ended: sweep.ended(),
    }
}
