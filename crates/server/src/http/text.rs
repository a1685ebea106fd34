//! What is served as it is: metrics, the description of the interface, the first page.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use crate::guard::{Caller, refused};
use crate::metrics::OPENMETRICS;
use crate::service::Service;

/// What the first page may load: its own style, and nothing from anywhere.
const PAGE_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

const INDEX: &str = include_str!("index.html");
const LOGIN: &str = include_str!("login.html");

/// Metrics for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "Operation",
    responses((status = 200, description = "OpenMetrics text", body = String,
        content_type = "application/openmetrics-text")))]
pub(crate) async fn metrics(State(service): State<Arc<Service>>) -> Response {
    let metrics = &service.feed().metrics;
    for policy in service.live().tracker.iter().flat_map(|tracker| tracker.policies()) {
        metrics.tracks(&policy.policy, policy.tracked_files);
    }
    ([(header::CONTENT_TYPE, OPENMETRICS)], metrics.text()).into_response()
}

/// This description.
#[utoipa::path(get, path = "/openapi.json", tag = "Operation",
    responses((status = 200, description = "OpenAPI 3.1", body = Object)))]
pub(crate) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], super::document()).into_response()
}

/// A page with links, or one that asks for the token.
#[utoipa::path(get, path = "/", tag = "Operation",
    responses((status = 200, description = "A page for people", body = String, content_type = "text/html")))]
pub(crate) async fn index(Extension(caller): Extension<Caller>) -> Response {
    let page = |status: StatusCode, html: &'static str| {
        let headers =
            [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, PAGE_POLICY)];
        (status, headers, html).into_response()
    };
    match caller {
        Caller::Trusted => page(StatusCode::OK, INDEX),
        Caller::Stranger => {
            let problem = refused().await.into_response();
            let mut response = page(StatusCode::UNAUTHORIZED, LOGIN);
            for value in problem.headers().get_all(header::WWW_AUTHENTICATE) {
                response.headers_mut().append(header::WWW_AUTHENTICATE, HeaderValue::clone(value));
            }
            response
        }
    }
}
