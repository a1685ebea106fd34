//! Whether the service lives, and whether it can do all that it is asked to.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use cleanup_core::report::Finding;
use serde::Deserialize;
use serde_json::json;
use utoipa::IntoParams;

use super::shapes::{Ready, ReadyFinding};
use crate::app::policies::policies;
use crate::app::readiness::{Findings, findings};
use crate::app::service::Service;
use crate::web::auth::Caller;
use crate::web::extract::Query;
use crate::web::problem::{Kind, Problem};

/// The service lives.
///
/// Needs neither token nor `Host`.
#[utoipa::path(get, path = "/healthz", tag = "Operation",
    responses((status = 200, description = "`ok`", body = String, content_type = "text/plain")))]
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// What is asked of the answer.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ReadyQuery {
    /// Not ready with any finding.
    #[param(value_type = Option<bool>)]
    strict: Option<String>,
}

impl ReadyQuery {
    /// `?strict` and `?strict=true` are the same.
    fn is_strict(&self) -> Result<bool, Problem> {
        match self.strict.as_deref() {
            None | Some("false") => Ok(false),
            Some("" | "true") => Ok(true),
            Some(_) => Err(Problem::of(Kind::BadValue, "the query: `strict` must be `true` or `false`")),
        }
    }
}

/// The service can work.
///
/// Not ready while it starts or stops, without state or promises, and if no policy can run. Needs neither token nor
/// `Host`, but gives details only to callers that may read. A problem's `reasons` and `warnings` say what is wrong.
#[utoipa::path(get, path = "/readyz", tag = "Operation", params(ReadyQuery),
    responses((status = 200, description = "Ready, perhaps with warnings", body = ref("#/components/schemas/Ready"))))]
pub(crate) async fn readyz(
    State(service): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<ReadyQuery>,
) -> Result<Response, Problem> {
    let is_strict = query.is_strict()?;
    let Findings { reasons, warnings } = findings(&service, &policies(&service));
    let is_ready = reasons.is_empty() && (warnings.is_empty() || !is_strict);
    let shown = |findings: Vec<Finding>| findings.into_iter().map(ReadyFinding::new).collect::<Vec<_>>();
    let problem = || Problem::of(Kind::NotNow, "the service is not ready");
    match (is_ready, caller) {
        (true, Caller::Trusted) => Ok(Json(Ready { status: "ready", warnings: shown(warnings) }).into_response()),
        (true, Caller::Stranger) => Ok(Json(Ready { status: "ready", warnings: Vec::new() }).into_response()),
        (false, Caller::Stranger) => Err(problem()),
        (false, Caller::Trusted) => {
            Err(problem().with("reasons", json!(shown(reasons))).with("warnings", json!(shown(warnings))))
        }
    }
}
