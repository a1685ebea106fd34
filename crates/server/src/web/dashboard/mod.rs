//! The pages for people: what is on disk, what is due next, what was removed.
//!
//! Each page is a view, plain data made from what the service knows, and a template that lays it out. Everything works
//! without script: looking is `GET`, acting is a form that posts and leads on. The script only asks for the page again
//! when something happened. Numbers come from memory and from indexes, never from a walk; `explain` reads the disk
//! for one path, and the pages of the quarantine read its notes.
//!
//! Nothing acts without showing first what it would do: the only button that sweeps is on the page of a dry run, the only
//! one that restores is on the page that says what would come back, and a file is held or released on the page that says
//! what becomes of it. A hold that is no tracked file's has no page; it is released where it is listed.

mod act;
mod assets;
mod charts;
mod explain;
mod files;
mod login;
mod overview;
mod page;
mod plan;
mod policies;
mod policy;
mod quarantine;
mod removals;
mod restore;
mod run;
mod runs;
mod trend;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};

pub(crate) use self::login::refused as login_refused;
pub(crate) use self::login::safe_target;
pub(crate) use self::overview::{__path_overview, overview};
use self::page::Fault;
pub(crate) use self::page::{reader, wants_html};

use crate::app::service::Service;
use crate::web::auth::Caller;
use crate::web::problem::Problem;

/// The pages but for `/`, which the description of the interface names, and the doors to them.
pub(crate) fn pages(service: &Arc<Service>) -> Router<Arc<Service>> {
    Router::new()
        .route("/policies/{name}", get(policy::one))
        .route("/runs", get(runs::list))
        .route("/runs/{id}", get(run::one))
        .route("/files", get(files::list))
        .route("/files/{id}", get(files::one))
        .route("/files/{id}/hold", post(act::hold))
        .route("/files/{id}/release", post(act::release))
        .route("/holds/release", post(act::release_path))
        .route("/quarantine", get(quarantine::list))
        .route("/quarantine/restore", get(restore::plan).post(restore::act))
        .route("/removals", get(removals::list))
        .route("/explain", get(explain::page))
        .route("/dry-run", post(act::dry_run))
        .route("/plan", post(plan::make))
        .route("/plans/{id}", get(plan::one))
        .route("/plans/{id}/apply", post(plan::apply))
        .route("/sweep", post(act::sweep))
        .route_layer(from_fn_with_state(Arc::clone(service), ask_strangers))
        .route("/login", get(login::page))
        .route("/assets/{name}", get(assets::one))
}

/// A problem as a page, for whoever looks at pages.
pub(crate) fn told(service: &Service, headers: &HeaderMap, problem: Problem, response: &Response) -> Response {
    let mut page = if problem.status() == StatusCode::UNAUTHORIZED {
        login::unasked(service)
    } else {
        Fault::new(service, headers, problem).into_response()
    };
    let is_of_body = |name: &HeaderName| matches!(*name, header::CONTENT_TYPE | header::CONTENT_LENGTH);
    for (name, value) in response.headers().iter().filter(|(name, _)| !is_of_body(name)) {
        page.headers_mut().append(name, value.clone());
    }
    page
}

/// Whether a path is one of ours: these ask for the token with a page instead of a problem.
pub(crate) fn is_page(path: &str) -> bool {
    let first = path.strip_prefix('/').and_then(|path| path.split('/').next());
    matches!(
        first,
        Some(
            "" | "policies"
                | "runs"
                | "files"
                | "holds"
                | "quarantine"
                | "removals"
                | "explain"
                | "dry-run"
                | "plan"
                | "plans"
                | "sweep"
                | "assets"
                | "login"
        )
    )
}

/// Asks whoever needs a token and has none for it, and says where it goes on.
async fn ask_strangers(State(service): State<Arc<Service>>, request: Request, next: Next) -> Response {
    if request.extensions().get() == Some(&Caller::Trusted) {
        return next.run(request).await;
    }
    let uri = request.uri();
    let target = match *request.method() {
        Method::GET | Method::HEAD => uri.path_and_query().map_or("/", |target| target.as_str()).to_owned(),
        // A form is filled in on the page above it.
        _ => match uri.path().rsplit_once('/') {
            Some((above, _)) if !above.is_empty() => above.to_owned(),
            _ => "/".to_owned(),
        },
    };
    login::asked(&service, &target).await
}
