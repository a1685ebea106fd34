//! Plans: what would go, to be read first and carried out to the letter later.

use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use cleanup_core::report::FORMAT_VERSION;
use cleanup_engine::Request;
use cleanup_engine::plan::{PlanSummary, VALID_FOR};
use futures_util::stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::sweeps::{SweepQuery, answer};
use crate::app::access::Asker;
use crate::app::kept_plans::Kept;
use crate::app::plans;
use crate::app::service::Service;
use crate::web::extract::{JsonOrNothing, Query};
use crate::web::problem::Problem;
use crate::web::span::Span;
use cleanup_engine::now;

/// How much of a plan is read at once.
const PIECE: usize = 64 * 1024;

/// What to plan. Without a body: all enabled file policies, valid for a day.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct NewPlan {
    /// Names of file policies; empty means all enabled ones.
    policies: Vec<String>,
    /// Judge archives by age like other files.
    include_archives: bool,
    /// Include files that a brake holds back. This removes nothing: a plan is reviewed before it is applied.
    force: bool,
    /// How long the plan is valid; 24 hours by default.
    valid_for: Option<Span>,
}

/// The plans that can be applied, oldest first.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Plans {
    /// The version of the format.
    format_version: u32,
    /// At most 16; a new one replaces the oldest.
    plans: Vec<PlanSummary>,
}

/// Create a plan.
///
/// Scans the folders of the policies and changes nothing. A plan contains only files.
#[utoipa::path(post, path = "/api/v1/plans", operation_id = "make_plan", tag = "Plans",
    request_body(content = ref("#/components/schemas/NewPlan"), description = "Optional"),
    responses((status = 201, description = "Created; `Location` is the plan", body = ref("#/components/schemas/PlanSummary"),
        headers(("Location" = String, description = "The plan")))))]
pub(crate) async fn make(
    State(service): State<Arc<Service>>,
    JsonOrNothing(plan): JsonOrNothing<NewPlan>,
) -> Result<Response, Problem> {
    let NewPlan { policies, include_archives, force, valid_for } = plan;
    let valid_for = valid_for.map_or(VALID_FOR, |Span(span)| span);
    let request = Request { policies, include_archives, force, ..Request::default() };
    let summary = plans::make(&service, request, valid_for).await?;
    let location = HeaderValue::try_from(format!("/api/v1/plans/{}", summary.plan_id));
    let location = location.map_err(|_| Problem::internal())?;
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(summary)).into_response())
}

/// The plans that can be applied.
#[utoipa::path(get, path = "/api/v1/plans", operation_id = "list_plans", tag = "Plans",
    responses((status = 200, description = "In short", body = ref("#/components/schemas/Plans"))))]
pub(crate) async fn list(State(service): State<Arc<Service>>) -> Json<Plans> {
    let plans = service.plans().all(now()).iter().map(|plan| plan.summary.clone()).collect();
    Json(Plans { format_version: FORMAT_VERSION, plans })
}

/// One plan, as JSON lines.
#[utoipa::path(get, path = "/api/v1/plans/{id}", operation_id = "read_plan", tag = "Plans",
    params(("id" = String, Path, description = "The plan's id")),
    responses((status = 200, description = "Each line is a JSON object", content_type = "application/jsonl", body = String)))]
pub(crate) async fn one(State(service): State<Arc<Service>>, Path(id): Path<String>) -> Result<Response, Problem> {
    let plan = plans::find(&service, &id)?;
    // A plan can be far larger than memory.
    let pieces = stream::unfold((service, plan, 0_u64), |(service, plan, at)| async move {
        let read = {
            let plan = Arc::clone(&plan);
            service.blocking(move || piece(&plan, at)).await
        };
        match read {
            Ok(Ok(bytes)) if bytes.is_empty() => None,
            Ok(Ok(bytes)) => {
                let next = at + bytes.len() as u64;
                Some((Ok(bytes), (service, plan, next)))
            }
            Ok(Err(error)) => Some((Err(error), (service, plan, at))),
            Err(_) => Some((Err(std::io::Error::other("the request failed")), (service, plan, at))),
        }
    });
    let headers = [(header::CONTENT_TYPE, HeaderValue::from_static("application/jsonl"))];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

fn piece(plan: &Kept, at: u64) -> std::io::Result<Bytes> {
    let mut piece = vec![0; PIECE];
    let read = plan.file.read_at(&mut piece, at)?;
    piece.truncate(read);
    Ok(piece.into())
}

/// Apply a plan.
///
/// Removes exactly its files, if they are unchanged and not held.
#[utoipa::path(post, path = "/api/v1/plans/{id}/apply", operation_id = "apply_plan", tag = "Plans",
    params(("id" = String, Path, description = "The plan's id"), SweepQuery),
    responses(
        (status = 202, description = "Started; `Location` is the run",
            body = ref("#/components/schemas/Accepted"), headers(("Location" = String, description = "The run"))),
        (status = 200, description = "The report, with `wait=true`", body = ref("#/components/schemas/Report")),
    ))]
pub(crate) async fn apply(
    State(service): State<Arc<Service>>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
    Query(query): Query<SweepQuery>,
) -> Result<Response, Problem> {
    let handle = plans::apply(&service, &id, &asker).await?;
    answer(&handle, &query).await
}

/// Delete a plan.
#[utoipa::path(delete, path = "/api/v1/plans/{id}", operation_id = "drop_plan", tag = "Plans",
    params(("id" = String, Path, description = "The plan's id")),
    responses((status = 204, description = "Deleted")))]
pub(crate) async fn drop_one(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    if service.plans().drop_one(&id) { Ok(StatusCode::NO_CONTENT) } else { Err(plans::unknown(&id).into()) }
}
