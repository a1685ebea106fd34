//! The policies: what they say, what they track, how they last ran.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::shapes::Policies;
use crate::app::error::AppError;
use crate::app::policies::{Policy, policies};
use crate::app::service::Service;
use crate::web::extract::Part;
use crate::web::problem::Problem;

/// All policies.
#[utoipa::path(get, path = "/api/v1/policies", operation_id = "list_policies", tag = "Policies",
    responses((status = 200, description = "In the order of the configuration, files first",
        body = ref("#/components/schemas/Policies"))))]
pub(crate) async fn list(State(service): State<Arc<Service>>) -> Json<Policies> {
    Json(Policies { policies: policies(&service) })
}

/// One policy.
#[utoipa::path(get, path = "/api/v1/policies/{name}", operation_id = "get_policy", tag = "Policies",
    params(("name" = String, Path, description = "The name in the configuration")),
    responses((status = 200, description = "The policy", body = ref("#/components/schemas/Policy"))))]
pub(crate) async fn one(State(service): State<Arc<Service>>, Part(name): Part) -> Result<Json<Policy>, Problem> {
    let policy = policies(&service).into_iter().find(|policy| policy.name == name);
    Ok(Json(policy.ok_or_else(|| AppError::unknown_policy(service.generation().engine.config(), &name))?))
}
