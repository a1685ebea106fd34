//! Whether the service lives, and whether it can do all that it is asked to.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use serde_json::json;

use super::shapes::Ready;
use crate::app::policies::policies;
use crate::app::readiness::{reasons, warnings};
use crate::app::service::Service;
use crate::web::auth::Caller;
use crate::web::problem::{Kind, Problem};

/// The service lives.
///
/// Needs neither token nor `Host`.
#[utoipa::path(get, path = "/healthz", tag = "Operation",
    responses((status = 200, description = "`ok`", body = String, content_type = "text/plain")))]
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// The service can do all that it is asked to.
///
/// Needs neither token nor `Host`; who needs a token to read and sends none is told only yes or no. A problem's `reasons`
/// and `warnings` say what is wrong.
#[utoipa::path(get, path = "/readyz", tag = "Operation",
    responses((status = 200, description = "Ready, perhaps with warnings", body = ref("#/components/schemas/Ready"))))]
pub(crate) async fn readyz(
    State(service): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Problem> {
    let policies = policies(&service);
    let reasons = reasons(&service, &policies);
    let warnings = match caller {
        Caller::Trusted => warnings(&service, &policies),
        Caller::Stranger => Vec::new(),
    };
    if reasons.is_empty() {
        return Ok(Json(Ready { status: "ready", warnings }).into_response());
    }
    let problem = Problem::of(Kind::NotNow, "the service is not ready");
    Err(match caller {
        Caller::Stranger => problem,
        Caller::Trusted => problem.with("reasons", json!(reasons)).with("warnings", json!(warnings)),
    })
}
