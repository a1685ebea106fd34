//! Tracked files: register one, find some, hold one for a while, take a registration back. No call here deletes a file.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use cleanup_engine::HoldsQuery;
use cleanup_engine::responses::Holds;
use cleanup_engine::track::{FilesPage, FilesQuery, Registration, TrackedFile};
use schemars::JsonSchema;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use crate::app::access::Asker;
use crate::app::files::{self, Held, HeldUntil};
use crate::app::service::Service;
use crate::web::extract::{Json, JsonBytes, Part, Query, page_size, parse, path_bytes};
use crate::web::problem::{Kind, Problem, ProblemBody};
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
    /// The path relative to the policy's root.
    path: Option<String>,
    /// The same in base64, for a path that is not UTF-8.
    path_bytes: Option<String>,
    /// How long it may stay from now; the policy's `max_age` by default.
    ttl: Option<Span>,
}

/// Several files to track.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewFiles")]
pub(crate) struct NewFiles {
    /// At most 1000.
    #[schemars(length(min = 1, max = 1000))]
    files: Vec<NewFile>,
}

/// One file or several: whoever sends a key `files` means several.
pub(crate) enum OneOrMany {
    One(NewFile),
    Many(NewFiles),
}

impl<S: Send + Sync> FromRequest<S> for OneOrMany {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        #[derive(Deserialize)]
        struct Probe {
            files: Option<IgnoredAny>,
        }

        let JsonBytes(bytes) = JsonBytes::from_request(request, state).await?;
        if matches!(serde_json::from_slice(&bytes), Ok(Probe { files: Some(_) })) {
            parse(&bytes).map(Self::Many)
        } else {
            parse(&bytes).map(Self::One)
        }
    }
}

/// The results for several files.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RegisteredFiles {
    /// In the order of the request.
    files: Vec<RegisteredFile>,
}

/// The result for one of several files.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RegisteredFile {
    /// The status that a request for only this file would have: 201, 200, or that of its problem.
    status: u16,
    /// The file, if it is now tracked.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<TrackedFile>,
    /// Why it is not tracked.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<ProblemBody>,
}

impl RegisteredFile {
    fn new(registered: Result<Registration, Problem>) -> Self {
        match registered {
            Ok(Registration { file, is_new }) => {
                Self { status: registered_status(is_new).as_u16(), file: Some(file), problem: None }
            }
            Err(problem) => Self { status: problem.status().as_u16(), file: None, problem: Some(problem.into_body()) },
        }
    }
}

/// How long to hold a file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewHold")]
pub(crate) struct NewHold {
    /// The time from now, limited by `max_hold` in `[server]`.
    #[serde(rename = "for")]
    span: Span,
}

/// What to hold, and how long. Without `policy`, the path must be absolute and in the root of a file policy.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewPathHold")]
pub(crate) struct NewPathHold {
    /// A file policy, tracked or not; the path is then relative to its root.
    policy: Option<String>,
    /// The path of a file, or of a folder with everything in it; it need not exist yet.
    path: Option<String>,
    /// The same in base64, for a path that is not UTF-8.
    path_bytes: Option<String>,
    /// The time from now, limited by `max_hold` in `[server]`.
    #[serde(rename = "for")]
    span: Span,
}

/// Which holds, and which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct HoldsListQuery {
    /// Only holds that affect this policy.
    policy: Option<String>,
    /// Only paths that contain this text.
    contains: Option<String>,
    /// The number of holds, 1 to 1000; all by default.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// `next` of the previous page.
    after: Option<String>,
}

/// Which hold to take back: its path as the list of holds has it, or a path below a policy's root.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ReleaseQuery {
    /// A file policy; the path is then relative to its root.
    policy: Option<String>,
    /// The path.
    path: Option<String>,
    /// The same in base64, for a path that is not UTF-8.
    path_bytes: Option<String>,
}

/// Which files, and which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Only files of this policy.
    policy: Option<String>,
    /// Only paths that contain this text.
    contains: Option<String>,
    /// The number of files, 1 to 1000.
    #[param(default = 100, minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// `next` of the previous page.
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
    let ListQuery { policy, contains, limit: _, after } = query;
    let query = FilesQuery { policy, contains, limit, after, ..FilesQuery::default() };
    Ok(axum::Json(files::list(&service, query).await?))
}

/// Track a file, or several.
///
/// A file must exist, be a regular file below the policy's root, and match a pattern of the policy. Its time starts
/// now. Of several files, each succeeds or fails by itself, and the response has the result of each.
#[utoipa::path(post, path = "/api/v1/files", operation_id = "register_file", tag = "Files",
    request_body(content = ref("#/components/schemas/OneOrManyFiles")),
    responses(
        (status = 201, description = "The file is now tracked; `Location` is its URL",
            body = ref("#/components/schemas/TrackedFile"), headers(("Location" = String, description = "The file"))),
        (status = 200, description = "The file was tracked already, and its time starts again; or the results for \
                                      several files",
            body = ref("#/components/schemas/OneOrManyRegistered"),
            headers(("Location" = String, description = "The file, if one was sent"))),
    ))]
pub(crate) async fn register(State(service): State<Arc<Service>>, asked: OneOrMany) -> Result<Response, Problem> {
    let one = |NewFile { policy, path, path_bytes: exact, ttl }: NewFile| {
        Ok::<_, Problem>((policy, path_bytes(path, exact)?, ttl.map(|Span(ttl)| ttl)))
    };
    match asked {
        OneOrMany::One(file) => {
            let (policy, path, ttl) = one(file)?;
            let Registration { file, is_new } = files::register(&service, policy, path, ttl).await?;
            let location = HeaderValue::try_from(format!("/api/v1/files/{}", file.id));
            let location = location.map_err(|_| Problem::internal())?;
            Ok((registered_status(is_new), [(header::LOCATION, location)], axum::Json(file)).into_response())
        }
        OneOrMany::Many(NewFiles { files }) => {
            if !(1..=MAX_PAGE).contains(&files.len()) {
                return Err(Problem::of(Kind::BadValue, format!("`files` must hold 1 to {MAX_PAGE} files")));
            }
            // A list that says nothing sensible of one file is refused before any is taken.
            let files = files.into_iter().map(one).collect::<Result<Vec<_>, _>>()?;
            let registered = files::register_all(&service, files).await?;
            let each = |registered: files::Registered| RegisteredFile::new(registered.map_err(Problem::from));
            Ok(axum::Json(RegisteredFiles { files: registered.into_iter().map(each).collect() }).into_response())
        }
    }
}

fn registered_status(is_new: bool) -> StatusCode {
    if is_new { StatusCode::CREATED } else { StatusCode::OK }
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

/// Cancel a registration.
///
/// The file stays, without its explicit ttl, and the policy still applies to it.
#[utoipa::path(delete, path = "/api/v1/files/{id}", operation_id = "forget_file", tag = "Files",
    params(("id" = String, Path, description = "The file's id")),
    responses((status = 204, description = "Taken back")))]
pub(crate) async fn forget(State(service): State<Arc<Service>>, Part(id): Part) -> Result<StatusCode, Problem> {
    files::forget(&service, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Keep a file for a time, whatever its age.
///
/// `max_hold` in `[server]` limits the time; `held_until` in the response is what counts, and `note` explains a
/// difference.
#[utoipa::path(put, path = "/api/v1/files/{id}/hold", operation_id = "hold_file", tag = "Files",
    params(("id" = String, Path, description = "The file's id")),
    request_body(content = ref("#/components/schemas/NewHold")),
    responses((status = 200, description = "Held", body = ref("#/components/schemas/HeldUntil"))))]
pub(crate) async fn hold(
    State(service): State<Arc<Service>>,
    Extension(asker): Extension<Asker>,
    Part(id): Part,
    Json(NewHold { span: Span(span) }): Json<NewHold>,
) -> Result<axum::Json<HeldUntil>, Problem> {
    Ok(axum::Json(files::hold(&service, &asker, &id, span).await?))
}

/// Release a file.
#[utoipa::path(delete, path = "/api/v1/files/{id}/hold", operation_id = "release_file", tag = "Files",
    params(("id" = String, Path, description = "The file's id")),
    responses((status = 204, description = "No longer held, or was not held")))]
pub(crate) async fn release(
    State(service): State<Arc<Service>>,
    Extension(asker): Extension<Asker>,
    Part(id): Part,
) -> Result<StatusCode, Problem> {
    files::release(&service, &asker, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// All holds, of tracked and other paths, from any source.
#[utoipa::path(get, path = "/api/v1/holds", operation_id = "list_holds", tag = "Files", params(HoldsListQuery),
    responses((status = 200, description = "By path", body = ref("#/components/schemas/Holds"))))]
pub(crate) async fn holds(
    State(service): State<Arc<Service>>,
    Query(query): Query<HoldsListQuery>,
) -> Result<axum::Json<Holds>, Problem> {
    let HoldsListQuery { policy, contains, limit, after } = query;
    let limit = limit.map(|limit| page_size(Some(limit), PAGE, MAX_PAGE)).transpose()?;
    let place = |after: String| {
        let bad = || Problem::of(Kind::BadValue, "the query: `after` must be `next` of the previous page");
        HoldsQuery::path_of(&after).ok_or_else(bad)
    };
    let after = after.map(place).transpose()?;
    Ok(axum::Json(files::holds(&service, HoldsQuery { policy, contains, limit, after }).await?))
}

/// Keep a path for a time, whatever its age, tracked or not.
///
/// `max_hold` in `[server]` limits the time; `held_until` in the response is what counts, and `note` explains a
/// difference.
#[utoipa::path(post, path = "/api/v1/holds", operation_id = "hold_path", tag = "Files",
    request_body(content = ref("#/components/schemas/NewPathHold")),
    responses((status = 200, description = "Held", body = ref("#/components/schemas/Held"))))]
pub(crate) async fn hold_path(
    State(service): State<Arc<Service>>,
    Extension(asker): Extension<Asker>,
    Json(hold): Json<NewPathHold>,
) -> Result<axum::Json<Held>, Problem> {
    let NewPathHold { policy, path, path_bytes: exact, span: Span(span) } = hold;
    let path = files::path_to_hold(&service, policy, path_bytes(path, exact)?).await?;
    Ok(axum::Json(files::hold_path(&service, &asker, path, span).await?))
}

/// Release a path.
#[utoipa::path(delete, path = "/api/v1/holds", operation_id = "release_path", tag = "Files", params(ReleaseQuery),
    responses((status = 204, description = "No longer held")))]
pub(crate) async fn release_path(
    State(service): State<Arc<Service>>,
    Extension(asker): Extension<Asker>,
    Query(query): Query<ReleaseQuery>,
) -> Result<StatusCode, Problem> {
    let ReleaseQuery { policy, path, path_bytes: exact } = query;
    let path = files::path_to_release(&service, policy, path_bytes(path, exact)?)?;
    if files::release_path(&service, &asker, path).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::of(Kind::UnknownId, "nothing is held at this path; `GET /api/v1/holds` lists all holds"))
    }
}
