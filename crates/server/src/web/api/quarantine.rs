//! Undo: what lies in quarantine, and bringing it back. Nothing is ever written over, and what comes back is held.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use cleanup_core::report::FORMAT_VERSION;
use cleanup_core::sweep::Mode;
use cleanup_engine::{Restore, RestoreRequest};
use schemars::JsonSchema;
use serde::Deserialize;
use utoipa::IntoParams;

use super::shapes::{QuarantinePage, RestoreAnswer};
use crate::app::access::Asker;
use crate::app::files::{max_hold, shortened};
use crate::app::quarantine;
use crate::app::service::Service;
use crate::web::extract::{Json, Query, page_size};
use crate::web::problem::{Kind, Problem};
use crate::web::span::Span;

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
    /// Only files of this policy.
    policy: Option<String>,
    /// The number of files to list, 1 to 1000; all are counted.
    #[param(default = 100, minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// What to restore: a run, or some paths of a policy. Without either: the last run.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewRestore")]
pub(crate) struct NewRestore {
    /// The run's id, or its first characters.
    run: Option<String>,
    /// The policy of the paths.
    policy: Option<String>,
    /// Files and folders, relative to the policy's root.
    #[serde(default)]
    paths: Vec<String>,
    /// How long to hold restored files; a week by default, limited by `max_hold` in `[server]`.
    hold: Option<Span>,
    /// Only report what would be restored.
    #[serde(default)]
    dry_run: bool,
}

/// The content of the quarantine.
#[utoipa::path(get, path = "/api/v1/quarantine", operation_id = "list_quarantine", tag = "Files",
    params(QuarantineQuery),
    responses((status = 200, description = "Totals and the first files, with the oldest run of each policy first",
        body = ref("#/components/schemas/QuarantinePage"))))]
pub(crate) async fn list(
    State(service): State<Arc<Service>>,
    Query(query): Query<QuarantineQuery>,
) -> Result<axum::Json<QuarantinePage>, Problem> {
    let limit = page_size(query.limit, PAGE, MAX_PAGE)?;
    let names: Vec<String> = query.policy.into_iter().collect();
    let (files, all) = quarantine::list(&service, names, Vec::new(), move |files, file| {
        if files.len() < limit {
            files.push(file.clone());
        }
    })
    .await?;
    Ok(axum::Json(QuarantinePage { files, policies: all.policies }))
}

/// Restore files from quarantine.
///
/// Restored files keep their names, content and times, and are held for a time, because otherwise the next sweep would
/// remove them again. Nothing is overwritten: a file whose name is taken stays in quarantine. A restore is a run:
/// `restore_run_id` is its id.
#[utoipa::path(post, path = "/api/v1/restores", operation_id = "restore", tag = "Files",
    request_body(content = ref("#/components/schemas/NewRestore")),
    responses((status = 200, description = "Which files were restored and which were not; names at most 1000 files",
        body = ref("#/components/schemas/RestoreAnswer"))))]
pub(crate) async fn restore(
    State(service): State<Arc<Service>>,
    Extension(asker): Extension<Asker>,
    Json(wanted): Json<NewRestore>,
) -> Result<axum::Json<RestoreAnswer>, Problem> {
    let hold = wanted.hold.map_or(RestoreRequest::HOLD, |Span(hold): Span| -> Duration { hold });
    let max = max_hold(&service);
    let request = RestoreRequest {
        hold: hold.min(max),
        mode: if wanted.dry_run { Mode::Plan } else { Mode::Apply },
        asked_by: asker.to_name(),
        what: what(&service, wanted)?,
    };
    let (files, restored) = quarantine::restore(&service, request, Vec::new(), |files, file| {
        if files.len() < MAX_PAGE {
            files.push(file.clone());
        }
    })
    .await?;
    let note = restored.held_until.and_then(|_| shortened(hold, max));
    Ok(axum::Json(RestoreAnswer { format_version: FORMAT_VERSION, restored, note, files }))
}

fn what(service: &Service, wanted: NewRestore) -> Result<Restore, Problem> {
    match (wanted.run, wanted.policy, wanted.paths) {
        (None, None, paths) if paths.is_empty() => Ok(Restore::Last),
        (Some(run), None, paths) if paths.is_empty() => Ok(Restore::Run(run)),
        (None, Some(name), paths) if !paths.is_empty() => {
            if paths.len() > MAX_PATHS {
                return Err(Problem::of(Kind::BadValue, format!("a request may name at most {MAX_PATHS} paths")));
            }
            Ok(quarantine::paths_below_root(service, &name, paths.into_iter().map(String::into_bytes))?)
        }
        _ => Err(Problem::of(Kind::BadValue, "give either `run`, or `policy` and `paths`, or none of them")),
    }
}
