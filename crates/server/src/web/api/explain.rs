//! Why a file stays or goes.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use cleanup_engine::responses::Explanation;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::app;
use crate::app::service::Service;
use crate::web::extract::{Query, path_bytes};
use crate::web::problem::Problem;

/// Which file.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExplainQuery {
    /// An absolute path, or one relative to the root of `policy`.
    path: Option<String>,
    /// The same in base64, for a path that is not UTF-8.
    path_bytes: Option<String>,
    /// The policy whose root the path is relative to.
    policy: Option<String>,
}

/// Why a file stays or is due.
///
/// One answer for each policy whose root contains the path.
#[utoipa::path(get, path = "/api/v1/explain", tag = "Files", params(ExplainQuery),
    responses((status = 200, description = "The verdict of each policy",
        body = ref("#/components/schemas/Explanation"))))]
pub(crate) async fn explain(
    State(service): State<Arc<Service>>,
    Query(query): Query<ExplainQuery>,
) -> Result<Json<Explanation>, Problem> {
    let path = path_bytes(query.path, query.path_bytes)?;
    Ok(Json(app::explain::explain(&service, path, query.policy.as_deref()).await?))
}
