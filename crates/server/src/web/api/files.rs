//! Tracked files: register one, find some, hold one for a while, take a registration back. No call here deletes a file.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use cleanup_core::report::FORMAT_VERSION;
use cleanup_engine::responses::Holds;
use cleanup_engine::track::{FilesPage, FilesQuery, Registration, TrackedFile};
use schemars::JsonSchema;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::app::files::{self, HeldUntil};
use crate::app::service::Service;
use crate::web::extract::{Json, Part, Query, page_size, path_bytes};
use crate::web::problem::Problem;
use crate::web::span::Span;

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
    let query = FilesQuery { policy: query.policy, contains: query.contains, limit, after: query.after };
    Ok(axum::Json(files::list(&service, query).await?))
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
    let Registration { file, is_new } = files::register(&service, file.policy, path, ttl).await?;
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
    Ok(axum::Json(files::one(&service, &id)?))
}

/// Take a registration back.
///
/// The file stays where it is, and its explicit ttl is forgotten. The policy still means it.
#[utoipa::path(delete, path = "/api/v1/files/{id}", operation_id = "forget_file", tag = "Files",
    params(("id" = String, Path, description = "The file's id")),
    responses((status = 204, description = "Taken back")))]
pub(crate) async fn forget(State(service): State<Arc<Service>>, Part(id): Part) -> Result<StatusCode, Problem> {
    files::forget(&service, id).await?;
    Ok(StatusCode::NO_CONTENT)
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
    Ok(axum::Json(files::hold(&service, id, span).await?))
}

/// Let a file go again.
#[utoipa::path(delete, path = "/api/v1/files/{id}/hold", operation_id = "release_file", tag = "Files",
    params(("id" = String, Path, description = "The file's id")),
    responses((status = 204, description = "Not held any more, or not held before")))]
pub(crate) async fn release(State(service): State<Arc<Service>>, Part(id): Part) -> Result<StatusCode, Problem> {
    files::release(&service, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Everything that is held, tracked or not.
#[utoipa::path(get, path = "/api/v1/holds", operation_id = "list_holds", tag = "Files",
    responses((status = 200, description = "By path", body = ref("#/components/schemas/Holds"))))]
pub(crate) async fn holds(State(service): State<Arc<Service>>) -> Result<axum::Json<Holds>, Problem> {
    let holds = files::holds(&service).await?;
    Ok(axum::Json(Holds { format_version: FORMAT_VERSION, holds }))
}
