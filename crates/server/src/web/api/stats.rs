//! The service in numbers, from memory alone.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::shapes::ServiceStats;
use crate::app::service::Service;
use crate::web::problem::Problem;

/// The service in numbers.
///
/// From memory, so its cost does not depend on the number of files. Includes only policies that track files.
#[utoipa::path(get, path = "/api/v1/stats", operation_id = "service_stats", tag = "Policies",
    responses((status = 200, description = "The numbers", body = ref("#/components/schemas/ServiceStats"))))]
pub(crate) async fn stats(State(service): State<Arc<Service>>) -> Result<Json<ServiceStats>, Problem> {
    let policies = service.tracker()?.policies();
    Ok(Json(ServiceStats {
        started_at: service.started_at,
        total_files: policies.iter().map(|policy| policy.total_files).sum(),
        tracked_files: policies.iter().map(|policy| policy.tracked_files).sum(),
        total_bytes: policies.iter().map(|policy| policy.total_bytes).sum(),
        next_deadline: policies.iter().filter_map(|policy| policy.next_deadline).min(),
        running: service.sweeps().running().iter().map(|sweep| sweep.run_id.clone()).collect(),
        policies,
    }))
}
