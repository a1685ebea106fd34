//! Asking for a sweep.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use cleanup_core::report::Trigger;
use cleanup_core::sweep::Mode;
use schemars::JsonSchema;
use serde::Deserialize;
use utoipa::IntoParams;

use super::shapes::{Accepted, AcceptedPolicy};
use crate::app::access::Asker;
use crate::app::service::Service;
use crate::app::sweeps::{SweepHandle, SweepRequest};
use crate::web::extract::{JsonOrNothing, Query};
use crate::web::problem::Problem;

/// What to sweep. Without a body: all enabled policies.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "NewSweep")]
pub(crate) struct NewSweep {
    /// Names of policies; empty means all enabled ones.
    policies: Vec<String>,
    /// Only report what would be removed.
    dry_run: bool,
    /// Judge archives by age like other files.
    include_archives: bool,
}

/// Whether to wait.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SweepQuery {
    /// Wait, and respond with the report.
    #[serde(default)]
    wait: bool,
}

/// Start a sweep.
///
/// If a policy is being swept already, the request joins that sweep. A sweep continues if its caller disconnects.
#[utoipa::path(post, path = "/api/v1/sweeps", operation_id = "start_sweep", tag = "Runs", params(SweepQuery),
    request_body(content = ref("#/components/schemas/NewSweep"), description = "Optional"),
    responses(
        (status = 202, description = "Started or joined; `Location` is the run",
            body = ref("#/components/schemas/Accepted"), headers(("Location" = String, description = "The run"))),
        (status = 200, description = "The report, with `wait=true`", body = ref("#/components/schemas/Report")),
    ))]
pub(crate) async fn start(
    State(service): State<Arc<Service>>,
    Extension(asker): Extension<Asker>,
    Query(query): Query<SweepQuery>,
    JsonOrNothing(sweep): JsonOrNothing<NewSweep>,
) -> Result<Response, Problem> {
    let handle = service.sweep(&SweepRequest {
        policies: sweep.policies,
        mode: if sweep.dry_run { Mode::Plan } else { Mode::Apply },
        include_archives: sweep.include_archives,
        trigger: Trigger::Manual,
        asked_by: asker.to_name(),
        plan: None,
    })?;
    answer(&handle, &query).await
}

/// The report, or where it will be.
pub(crate) async fn answer(handle: &SweepHandle, query: &SweepQuery) -> Result<Response, Problem> {
    if query.wait {
        return Ok(Json(handle.report().await).into_response());
    }
    let location = HeaderValue::try_from(format!("/api/v1/runs/{}", handle.run_id()));
    let location = location.map_err(|_| Problem::internal())?;
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(accepted(handle))).into_response())
}

fn accepted(handle: &SweepHandle) -> Accepted {
    let mut policies = Vec::new();
    for part in handle.parts() {
        policies.extend(part.policies.iter().map(|name| AcceptedPolicy {
            name: name.clone(),
            run_id: part.sweep.run_id.clone(),
            joined: part.joined,
        }));
    }
    Accepted { run_id: handle.run_id().to_owned(), policies }
}
