//! Metrics, as monitoring reads them.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use cleanup_metrics::OPENMETRICS;

use crate::app::policies::policies;
use crate::app::readiness::findings;
use crate::app::service::Service;

/// Metrics for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "Operation",
    responses((status = 200, description = "OpenMetrics text", body = String,
        content_type = "application/openmetrics-text")))]
pub(crate) async fn metrics(State(service): State<Arc<Service>>) -> Response {
    let metrics = &service.feed().metrics;
    for policy in service.generation().tracker.iter().flat_map(|tracker| tracker.policies()) {
        metrics.tracks(&policy.policy, policy.tracked_files);
    }
    let findings = findings(&service, &policies(&service));
    ([(header::CONTENT_TYPE, OPENMETRICS)], metrics.text(findings.all())).into_response()
}
