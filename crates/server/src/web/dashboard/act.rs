//! What the forms do. Each leads on to a page that shows what came of it; the guards have checked where it comes from.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Redirect, Response};
use cleanup_core::report::Trigger;
use cleanup_core::sweep::Mode;
use serde::Deserialize;

use super::page::Fault;
use crate::app::access::Asker;
use crate::app::files;
use crate::app::service::Service;
use crate::app::sweeps::{SweepHandle, SweepRequest};
use crate::web::extract::{PageForm, path_bytes};
use crate::web::problem::{Kind, Problem};
use crate::web::span::Span;

/// How long a form waits for a short run to end, so that its page shows what came of it. A longer one is followed there.
const PATIENCE: Duration = Duration::from_secs(2);

/// What to make a dry run of: one policy, or every enabled one when the field is empty.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DryRun {
    policy: String,
}

/// Which plan to carry out: the id of a dry run.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sweep {
    plan: String,
}

/// How long to hold a file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hold {
    #[serde(rename = "for")]
    span: Span,
}

/// Which hold to take back.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Release {
    /// The absolute path, in base64.
    path_bytes: String,
}

/// Finds out what would go.
pub(crate) async fn dry_run(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    Extension(asker): Extension<Asker>,
    form: Result<PageForm<DryRun>, Problem>,
) -> Response {
    let done = async {
        let PageForm(DryRun { policy }) = form?;
        let policies = if policy.is_empty() { Vec::new() } else { vec![policy] };
        start(&service, &asker, policies, Mode::Plan, false).await
    };
    led_on(&service, &headers, done.await)
}

/// Does what a dry run showed: the same policies in the same way. By then more may have come due, or less.
pub(crate) async fn sweep(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    Extension(asker): Extension<Asker>,
    form: Result<PageForm<Sweep>, Problem>,
) -> Response {
    let done = async {
        let PageForm(Sweep { plan }) = form?;
        let plan = service.sweeps().dry_run(&plan).ok_or_else(forgotten)?;
        start(&service, &asker, plan.policies.clone(), Mode::Apply, plan.include_archives).await
    };
    led_on(&service, &headers, done.await)
}

/// Keeps a file for a while.
pub(crate) async fn hold(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
    form: Result<PageForm<Hold>, Problem>,
) -> Response {
    let done = async {
        let PageForm(Hold { span: Span(span) }) = form?;
        // What is not on a page cannot be held from it.
        files::one(&service, &id)?;
        files::hold(&service, &asker, &id, span).await?;
        Ok(format!("/files/{id}"))
    };
    led_on(&service, &headers, done.await)
}

/// Lets a file go again.
pub(crate) async fn release(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
) -> Response {
    let released = files::release(&service, &asker, &id).await;
    let done = released.map(|()| format!("/files/{id}")).map_err(Problem::from);
    led_on(&service, &headers, done)
}

/// Lets any path go again that is held.
pub(crate) async fn release_path(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    Extension(asker): Extension<Asker>,
    form: Result<PageForm<Release>, Problem>,
) -> Response {
    let done = async {
        let PageForm(Release { path_bytes: exact }) = form?;
        let path = files::path_to_release(&service, None, path_bytes(None, Some(exact))?)?;
        // Somebody else may have been first: then the page that follows says so.
        files::release_path(&service, &asker, path).await?;
        Ok("/files#held-h".to_owned())
    };
    led_on(&service, &headers, done.await)
}

/// Only the latest dry runs are known.
pub(super) fn forgotten() -> Problem {
    Problem::of(Kind::UnknownId, "this dry run is too old to be followed by a sweep; start another one")
}

async fn start(
    service: &Service,
    asker: &Asker,
    policies: Vec<String>,
    mode: Mode,
    include_archives: bool,
) -> Result<String, Problem> {
    let (trigger, asked_by) = (Trigger::Manual, asker.to_name());
    let request = SweepRequest { policies, mode, include_archives, trigger, asked_by, plan: None };
    Ok(followed(&service.sweep(&request)?).await)
}

/// Waits a little for a run, and leads to its page.
pub(super) async fn followed(handle: &SweepHandle) -> String {
    // Whether it has ended by then is for its page to say.
    let _ = tokio::time::timeout(PATIENCE, handle.report()).await;
    format!("/runs/{}", handle.run_id())
}

pub(super) fn led_on(service: &Service, headers: &HeaderMap, done: Result<String, Problem>) -> Response {
    match done {
        Ok(target) => Redirect::to(&target).into_response(),
        Err(problem) => Fault::new(service, headers, problem).into_response(),
    }
}
