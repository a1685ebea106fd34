//! Tracked files: register one, find some, hold one for a while, take a registration back. No call here deletes a file.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use cleanup_core::duration::Human;
use cleanup_core::report::FORMAT_VERSION;
use cleanup_engine::responses::{HeldPath, Holds};
use cleanup_engine::track::{FilesPage, FilesQuery, RegisterError, Registration, TrackedFile};
use schemars::JsonSchema;
use serde::Deserialize;
use utoipa::IntoParams;

use super::policies::unknown_policy;
use super::runs::{memory_away, page_size, remembers_nothing};
use super::shapes::HeldUntil;
use super::span::Span;
use crate::app::service::Service;
use crate::web::extract::{Json, Part, Query};
use crate::web::problem::{Kind, Problem};

/// Files on a page, unless asked for otherwise, and at most.
const PAGE: usize = 100;
const MAX_PAGE: usize = 1000;

/// A file to track.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewFile")]
pub(crate) struct NewFile {
    /// A policy that tracks files.
    policy: String,
    /// The path below the policy's root.
    path: Option<String>,
    /// The same in base64, for a path that is not UTF-8.
    path_bytes: Option<String>,
    /// How long it may stay from now on; without it, the policy's `max_age`.
    ttl: Option<Span>,
}

/// How long to hold a file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewHold")]
pub(crate) struct NewHold {
    /// So long from now, and no longer than `max_hold` in `[server]` allows.
    #[serde(rename = "for")]
    span: Span,
}

/// Which files, and which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Of this policy only.
    policy: Option<String>,
    /// Only those whose path holds this text.
    contains: Option<String>,
    /// How many files, 1 to 1000.
    #[param(default = 100, minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// The `next` of the page before.
    after: Option<String>,
}

/// Tracked files.
#[utoipa::path(get, path = "/api/v1/files", operation_id = "list_files", tag = "Files", params(ListQuery),
    responses((status = 200, description = "A page", body = ref("#/components/schemas/FilesPage"))))]
pub(crate) async fn list(
    State(service): State<Arc<Service>>,
    Query(query): Query<ListQuery>,
) -> Result<axum::Json<FilesPage>, Problem> {
    let limit = page_size(query.limit, PAGE, MAX_PAGE)?;
    let tracker = service.tracker()?;
    if let Some(policy) = &query.policy
        && !service.live().engine.config().rules().any(|rule| rule.name == *policy)
    {
        return Err(unknown_policy(&service, policy));
    }
    let query = FilesQuery { policy: query.policy, contains: query.contains, limit, after: query.after };
    service.blocking(move || tracker.files(&query)).await.map(axum::Json)
}

/// Track a file.
///
/// It must exist, be a regular file below the policy's root, and match a pattern of the policy. Its time begins now.
#[utoipa::path(post, path = "/api/v1/files", operation_id = "register_file", tag = "Files",
    request_body(content = ref("#/components/schemas/NewFile")),
    responses(
        (status = 201, description = "It was not tracked before; `Location` is the file",
            body = ref("#/components/schemas/TrackedFile"), headers(("Location" = String, description = "The file"))),
        (status = 200, description = "It was tracked before, and its time begins anew",
            body = ref("#/components/schemas/TrackedFile"), headers(("Location" = String, description = "The file"))),
    ))]
pub(crate) async fn register(
    State(service): State<Arc<Service>>,
    Json(file): Json<NewFile>,
) -> Result<Response, Problem> {
    let path = path_bytes(file.path, file.path_bytes)?;
    let ttl = file.ttl.map(|Span(ttl)| ttl);
    let tracker = service.tracker()?;
    let registered = service.blocking(move || tracker.register(&file.policy, &path, ttl)).await?;
    let Registration { file, is_new } = registered.map_err(|error| not_registered(&service, error))?;
    let location = HeaderValue::try_from(format!("/api/v1/files/{}", file.id)).map_err(|_| Problem::internal())?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, [(header::LOCATION, location)], axum::Json(file)).into_response())
}

/// One tracked file.
#[utoipa::path(get, path = "/api/v1/files/{id}", operation_id = "get_file", tag = "Files",
    params(("id" = String, Path, description = "The file's id")),
    responses((status = 200, description = "The file", body = ref("#/components/schemas/TrackedFile"))))]
pub(crate) async fn one(
    State(service): State<Arc<Service>>,
    Part(id): Part,
) -> Result<axum::Json<TrackedFile>, Problem> {
    service.tracker()?.file(&id).map(axum::Json).ok_or_else(unknown_file)
}

/// Take a registration back.
///
/// The file stays where it is, and its explicit ttl is forgotten. The policy still means it.
#[utoipa::path(delete, path = "/api/v1/files/{id}", operation_id = "forget_file", tag = "Files",
    params(("id" = String, Path, description = "The file's id")),
    responses((status = 204, description = "Taken back")))]
pub(crate) async fn forget(State(service): State<Arc<Service>>, Part(id): Part) -> Result<StatusCode, Problem> {
    let tracker = service.tracker()?;
    match service.blocking(move || tracker.forget(&id)).await? {
        Ok(true) => Ok(StatusCode::NO_CONTENT),
        Ok(false) => Err(unknown_file()),
        Err(why) => Err(not_written(&why)),
    }
}

/// Keep a file for a while, whatever its age.
///
/// A time beyond `max_hold` in `[server]` is cut to it; the answer's `held_until` is what counts, and `note` says so.
#[utoipa::path(put, path = "/api/v1/files/{id}/hold", operation_id = "hold_file", tag = "Files",
    params(("id" = String, Path, description = "The file's id")),
    request_body(content = ref("#/components/schemas/NewHold")),
    responses((status = 200, description = "Held", body = ref("#/components/schemas/HeldUntil"))))]
pub(crate) async fn hold(
    State(service): State<Arc<Service>>,
    Part(id): Part,
    Json(NewHold { span: Span(span) }): Json<NewHold>,
) -> Result<axum::Json<HeldUntil>, Problem> {
    keep(&service, id, span).await.map(axum::Json)
}

/// Holds a file, whoever asks for it, for no longer than is allowed. A hold that runs longer already, because somebody
/// made it in another way, is never cut short by one that asks for more.
pub(crate) async fn keep(service: &Service, id: String, span: Duration) -> Result<HeldUntil, Problem> {
    let tracker = service.tracker()?;
    let max = max_hold(service);
    match service.blocking(move || tracker.hold_at_most(&id, span, max)).await? {
        Ok(Some(held_until)) => Ok(HeldUntil { held_until, note: shortened(span, max) }),
        Ok(None) => Err(unknown_file()),
        Err(why) => Err(not_written(&why)),
    }
}

/// The longest time for which a request may hold a file.
pub(crate) fn max_hold(service: &Service) -> Duration {
    service.live().engine.config().server.max_hold
}

/// What is to be said of a hold for so long.
pub(crate) fn shortened(span: Duration, max: Duration) -> Option<String> {
    (span > max).then(|| {
        format!(
            "not held for as long as was asked: `max_hold` in `[server]` allows {}; hold it again before that is over",
            Human(max)
        )
    })
}

/// Let a file go again.
#[utoipa::path(delete, path = "/api/v1/files/{id}/hold", operation_id = "release_file", tag = "Files",
    params(("id" = String, Path, description = "The file's id")),
    responses((status = 204, description = "Not held any more, or not held before")))]
pub(crate) async fn release(State(service): State<Arc<Service>>, Part(id): Part) -> Result<StatusCode, Problem> {
    let_go(&service, id).await.map(|()| StatusCode::NO_CONTENT)
}

/// Takes a hold back, whoever asks for it.
pub(crate) async fn let_go(service: &Service, id: String) -> Result<(), Problem> {
    let tracker = service.tracker()?;
    match service.blocking(move || tracker.release(&id)).await? {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(unknown_file()),
        Err(why) => Err(not_written(&why)),
    }
}

/// Everything that is held, tracked or not.
#[utoipa::path(get, path = "/api/v1/holds", operation_id = "list_holds", tag = "Files",
    responses((status = 200, description = "By path", body = ref("#/components/schemas/Holds"))))]
pub(crate) async fn holds(State(service): State<Arc<Service>>) -> Result<axum::Json<Holds>, Problem> {
    let holds = held_paths(&service).await?;
    Ok(axum::Json(Holds { format_version: FORMAT_VERSION, holds }))
}

/// All paths that are held, by path.
pub(crate) async fn held_paths(service: &Service) -> Result<Vec<HeldPath>, Problem> {
    if remembers_nothing(service) {
        return Ok(Vec::new());
    }
    let engine = service.live().engine;
    let held = service.blocking(move || engine.holds()).await?;
    held.map(|held| held.holds).map_err(|error| memory_away(&error))
}

/// The path that a call names: as text, or exactly.
pub(crate) fn path_bytes(text: Option<String>, exact: Option<String>) -> Result<Vec<u8>, Problem> {
    match (text, exact) {
        (Some(text), None) => Ok(text.into_bytes()),
        (None, Some(exact)) => base64::engine::general_purpose::STANDARD
            .decode(exact)
            .map_err(|_| Problem::of(Kind::BadValue, "`path_bytes` is not base64")),
        (None, None) => Err(Problem::of(Kind::BadValue, "`path` is missing")),
        (Some(_), Some(_)) => Err(Problem::of(Kind::BadValue, "`path` and `path_bytes` are two names for one thing")),
    }
}

fn not_registered(service: &Service, error: RegisterError) -> Problem {
    match error {
        RegisterError::UnknownPolicy(policy) => unknown_policy(service, &policy),
        RegisterError::NotTracked(_) => Problem::of(Kind::NotTracked, error.to_string()),
        RegisterError::Refused(why) => Problem::of(Kind::PathRefused, why),
        RegisterError::TooMany(_) => Problem::of(Kind::TooManyFiles, error.to_string()),
        RegisterError::Unavailable(why) => not_written(&why),
    }
}

pub(crate) fn unknown_file() -> Problem {
    Problem::of(Kind::UnknownId, "no file with this id is tracked")
}

/// What was promised cannot be written down, or the root is away. Why may name a path, so only the log says it.
fn not_written(why: &str) -> Problem {
    tracing::warn!("{why}");
    Problem::of(Kind::MemoryAway, "this cannot be done now; the log and /readyz say why")
}
