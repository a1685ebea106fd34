//! Undo: what lies in quarantine, and bringing it back. Nothing is ever written over, and what comes back is held.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use cleanup_core::report::FORMAT_VERSION;
use cleanup_core::sweep::Mode;
use cleanup_engine::responses::{Quarantined, QuarantinedFile, Restored, RestoredFile};
use cleanup_engine::{RequestError, Restore, RestoreError, RestoreRequest};
use schemars::JsonSchema;
use serde::Deserialize;
use utoipa::IntoParams;

use super::files::{max_hold, shortened};
use super::policies::unknown_policy;
use super::runs::page_size;
use super::shapes::{QuarantinePage, RestoreAnswer};
use super::span::Span;
use crate::app::service::Service;
use crate::web::extract::{Json, Query};
use crate::web::problem::{Kind, Problem};

/// Files in an answer, unless asked for otherwise, and at most.
const PAGE: usize = 100;
const MAX_PAGE: usize = 1000;

/// How many paths one call may name.
const MAX_PATHS: usize = 1000;

/// Of which policy, and how much.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct QuarantineQuery {
    /// Of this policy only.
    policy: Option<String>,
    /// How many files to name, 1 to 1000; all of them are counted.
    #[param(default = 100, minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// What to bring back: a run, or some paths of a policy. Without either: the last run.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewRestore")]
pub(crate) struct NewRestore {
    /// The run's id, or its beginning.
    run: Option<String>,
    /// The policy that the paths are of.
    policy: Option<String>,
    /// Files and folders below the policy's root.
    #[serde(default)]
    paths: Vec<String>,
    /// How long it is kept then, whatever its age; a week by default, and no longer than `max_hold` in `[server]`.
    hold: Option<Span>,
    /// Only find out what would come back.
    #[serde(default)]
    dry_run: bool,
}

/// What lies in quarantine.
#[utoipa::path(get, path = "/api/v1/quarantine", operation_id = "list_quarantine", tag = "Files",
    params(QuarantineQuery),
    responses((status = 200, description = "The sums, and the first files, the oldest run of each policy first",
        body = ref("#/components/schemas/QuarantinePage"))))]
pub(crate) async fn list(
    State(service): State<Arc<Service>>,
    Query(query): Query<QuarantineQuery>,
) -> Result<axum::Json<QuarantinePage>, Problem> {
    let limit = page_size(query.limit, PAGE, MAX_PAGE)?;
    let names: Vec<String> = query.policy.into_iter().collect();
    let (files, all) = look(&service, names, Vec::new(), move |files, file| {
        if files.len() < limit {
            files.push(file.clone());
        }
    })
    .await?;
    Ok(axum::Json(QuarantinePage { files, policies: all.policies }))
}

/// Looks at what lies in quarantine of these policies, or of all, and gathers what `each` makes of the files.
pub(crate) async fn look<T: Send + 'static>(
    service: &Service,
    policies: Vec<String>,
    mut gathered: T,
    mut each: impl FnMut(&mut T, &QuarantinedFile) + Send + 'static,
) -> Result<(T, Quarantined), Problem> {
    let engine = service.live().engine;
    let looked = service.blocking(move || {
        let all = engine.quarantined(&policies, &mut |file| each(&mut gathered, file))?;
        Ok((gathered, all))
    });
    looked.await?.map_err(|error: RequestError| match error {
        RequestError::UnknownPolicy { name, .. } => unknown_policy(service, &name),
        error => Problem::of(Kind::BadValue, error.to_string()),
    })
}

/// Bring files back from quarantine.
///
/// They keep their names, bytes and times, and are held for a while, or the next sweep would take them again. What is in
/// the way of one stays, and that one stays in quarantine.
#[utoipa::path(post, path = "/api/v1/restores", operation_id = "restore", tag = "Files",
    request_body(content = ref("#/components/schemas/NewRestore")),
    responses((status = 200, description = "What came back, and what did not: at most 1000 files are named",
        body = ref("#/components/schemas/RestoreAnswer"))))]
pub(crate) async fn restore(
    State(service): State<Arc<Service>>,
    Json(asked): Json<NewRestore>,
) -> Result<axum::Json<RestoreAnswer>, Problem> {
    let hold = asked.hold.map_or(RestoreRequest::HOLD, |Span(hold): Span| -> Duration { hold });
    let max = max_hold(&service);
    let request = RestoreRequest {
        hold: hold.min(max),
        mode: if asked.dry_run { Mode::Plan } else { Mode::Apply },
        what: what(&service, asked)?,
    };
    let (files, restored) = bring_back(&service, request, Vec::new(), |files, file| {
        if files.len() < MAX_PAGE {
            files.push(file.clone());
        }
    })
    .await?;
    let note = restored.held_until.and_then(|_| shortened(hold, max));
    Ok(axum::Json(RestoreAnswer { format_version: FORMAT_VERSION, restored, note, files }))
}

/// Brings files back, or finds out what would come back, and gathers what `each` makes of them.
pub(crate) async fn bring_back<T: Send + 'static>(
    service: &Service,
    request: RestoreRequest,
    mut gathered: T,
    mut each: impl FnMut(&mut T, &RestoredFile) + Send + 'static,
) -> Result<(T, Restored), Problem> {
    let engine = service.live().engine;
    let answer = service.blocking(move || {
        let restored = engine.restore(&request, &mut |file| each(&mut gathered, file))?;
        Ok((gathered, restored))
    });
    answer.await?.map_err(|error| refused(&error))
}

fn what(service: &Service, asked: NewRestore) -> Result<Restore, Problem> {
    match (asked.run, asked.policy, asked.paths) {
        (None, None, paths) if paths.is_empty() => Ok(Restore::Last),
        (Some(run), None, paths) if paths.is_empty() => Ok(Restore::Run(run)),
        (None, Some(name), paths) if !paths.is_empty() => {
            if paths.len() > MAX_PATHS {
                return Err(Problem::of(Kind::BadValue, format!("at most {MAX_PATHS} paths may be named in one call")));
            }
            below_root(service, &name, paths.into_iter().map(String::into_bytes))
        }
        _ => Err(Problem::of(Kind::BadValue, "either `run`, or `policy` and `paths`, or neither")),
    }
}

/// Paths below the root of a policy, which must not lead out of it.
pub(crate) fn below_root(
    service: &Service,
    name: &str,
    paths: impl IntoIterator<Item = Vec<u8>>,
) -> Result<Restore, Problem> {
    let engine = service.live().engine;
    let Some(policy) = engine.config().files.iter().find(|policy| policy.rule.name == name) else {
        return Err(unknown_policy(service, name));
    };
    let below = |path: Vec<u8>| -> Result<PathBuf, Problem> {
        let path = PathBuf::from(OsString::from_vec(path));
        let has_nul = path.as_os_str().as_encoded_bytes().contains(&0);
        let is_plain = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        // `./a` and `a/./b` name what `a` and `a/b` name; the root itself is nothing below it.
        let below: PathBuf = path.components().filter(|part| *part != Component::CurDir).collect();
        if is_plain && !has_nul && !below.as_os_str().is_empty() {
            Ok(policy.root.join(below))
        } else {
            Err(Problem::of(Kind::PathRefused, "a path must be below the policy's root, without `..`"))
        }
    };
    paths.into_iter().map(below).collect::<Result<_, _>>().map(Restore::Paths)
}

fn refused(error: &RestoreError) -> Problem {
    match error {
        RestoreError::NeverKept | RestoreError::Nothing | RestoreError::NoSuchRun(_) => {
            Problem::of(Kind::UnknownId, error.to_string())
        }
        RestoreError::AmbiguousRun { .. } => Problem::of(Kind::BadValue, error.to_string()),
        RestoreError::Busy(_) => Problem::plain(StatusCode::CONFLICT, error.to_string()),
        // Why may name a path, so only the log says it.
        RestoreError::Unreadable(_) => {
            tracing::warn!("{error}");
            Problem::of(Kind::NotNow, "the quarantine cannot be looked at now; the log says why")
        }
        RestoreError::NotHeld(_) => {
            tracing::warn!("{error}");
            Problem::of(Kind::MemoryAway, "what would come back cannot be held now, so it stays; the log says why")
        }
    }
}
