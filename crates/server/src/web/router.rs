//! The HTTP interface: the two calls of the first clients, `/api/v1`, health, metrics, and what describes them.
//!
//! Handlers turn a call into a question to the [`Service`] and its answer into JSON; they decide nothing. The guards
//! stand before all of them, known path or not. Each handler's own description becomes `/openapi.json`. The pages for
//! people are `dashboard`.

use std::any::Any;
use std::sync::Arc;

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse as _, Response};
use tower_http::catch_panic::CatchPanicLayer;

use crate::app::service::Service;
use crate::web::dashboard;
use crate::web::guard::guard;
use crate::web::openapi::described;
use crate::web::problem::Problem;

/// Everything that is served, with all guards before it. The listening half puts a [`crate::net::socket::Peer`] into the
/// extensions of every request; one without it is treated as coming from elsewhere.
pub fn router(service: Arc<Service>) -> Router {
    let (router, _) = described().split_for_parts();
    guarded(router.merge(dashboard::pages(&service)), service)
}

/// Puts what stands before every page around pages.
fn guarded(pages: Router<Arc<Service>>, service: Arc<Service>) -> Router {
    pages
        .fallback(unknown)
        .method_not_allowed_fallback(other_method)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(Arc::clone(&service), guard))
        .with_state(service)
}

async fn unknown() -> Problem {
    Problem::plain(StatusCode::NOT_FOUND, "there is no such page; /openapi.json lists all pages")
}

async fn other_method(method: Method, _: Uri) -> Problem {
    Problem::plain(
        StatusCode::METHOD_NOT_ALLOWED,
        format!(
            "{method} is not supported here; `Allow` lists the \
                                                            supported methods"
        ),
    )
}

fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    Problem::internal().into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::{Request, header};
    use axum::routing::get;
    use cleanup_engine::Engine;
    use http_body_util::BodyExt as _;
    use tokio_util::sync::CancellationToken;
    use tower::ServiceExt as _;

    use super::*;
    use crate::app::access::Access;
    use crate::net::socket::Peer;

    #[tokio::test]
    async fn a_fault_inside_is_a_problem_that_says_nothing_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("cleanup.toml");
        std::fs::write(&config, "[state]\nurl = \"none\"\n").unwrap();
        let engine = Arc::new(Engine::open(Some(&config)).unwrap());
        let access = Access::read(engine.config()).unwrap();
        let service = Service::new(engine, access, CancellationToken::new());
        let pages = Router::new().route("/fault", get(async || -> () { panic!("secret of {}", "src/web/router.rs") }));
        let mut request = Request::get("/fault").header(header::HOST, "localhost").body(Body::empty()).unwrap();
        request.extensions_mut().insert(Peer::Loopback);
        let answer = guarded(pages, service).oneshot(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(answer.headers()[header::CONTENT_TYPE], crate::web::problem::PROBLEM_JSON);
        assert_eq!(answer.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(!String::from_utf8_lossy(&body).contains("secret"));
    }
}
