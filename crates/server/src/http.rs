//! The HTTP interface: the two calls of the first clients, `/api/v1`, health, metrics, and what describes them.
//!
//! Handlers turn a call into a question to the [`Service`] and its answer into JSON; they decide nothing. The guards
//! stand before all of them, known path or not. Each handler's own description becomes `/openapi.json`.

use std::any::Any;
use std::sync::Arc;

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse as _, Response};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::guard::guard;
use crate::problem::Problem;
use crate::service::Service;

mod events;
mod explain;
mod extract;
mod files;
mod forecast;
mod health;
mod login;
mod openapi;
mod policies;
mod runs;
mod seed;
pub mod shapes;
mod span;
mod stats;
mod sweeps;
mod text;

pub use openapi::document;

/// Everything that is served, with all guards before it. The listening half puts a [`crate::listen::Peer`] into the
/// extensions of every request; one without it is treated as coming from elsewhere.
pub fn router(service: Arc<Service>) -> Router {
    let (router, _) = described().split_for_parts();
    router
        .fallback(unknown)
        .method_not_allowed_fallback(other_method)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(Arc::clone(&service), guard))
        .with_state(service)
}

/// The routes, each with its description.
fn described() -> OpenApiRouter<Arc<Service>> {
    OpenApiRouter::new()
        .routes(routes!(seed::stats))
        .routes(routes!(seed::manual))
        .routes(routes!(policies::list))
        .routes(routes!(policies::one))
        .routes(routes!(stats::stats))
        .routes(routes!(sweeps::start))
        .routes(routes!(runs::list))
        .routes(routes!(runs::one))
        .routes(routes!(files::list, files::register))
        .routes(routes!(files::one, files::forget))
        .routes(routes!(files::hold, files::release))
        .routes(routes!(files::holds))
        .routes(routes!(explain::explain))
        .routes(routes!(forecast::forecast))
        .routes(routes!(events::events))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(text::metrics))
        .routes(routes!(text::openapi))
        .routes(routes!(text::index))
        .routes(routes!(login::login))
        .routes(routes!(login::logout))
}

async fn unknown() -> Problem {
    Problem::plain(StatusCode::NOT_FOUND, "there is no such page; /openapi.json lists all that there are")
}

async fn other_method(method: Method, _: Uri) -> Problem {
    Problem::plain(StatusCode::METHOD_NOT_ALLOWED, format!("{method} is not for this page; `Allow` says what is"))
}

fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    Problem::internal().into_response()
}
