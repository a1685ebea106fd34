//! Why a file stays or goes.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use cleanup_engine::responses::Explanation;
use serde::Deserialize;
use utoipa::IntoParams;

use super::files::path_bytes;
use super::policies::unknown_policy;
use crate::app::service::Service;
use crate::web::extract::Query;
use crate::web::problem::{Kind, Problem};

/// The longest path that the kernel takes.
const MAX_PATH_BYTES: usize = 4096;

/// Which file.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExplainQuery {
    /// An absolute path, or one below the root of `policy`.
    pub(crate) path: Option<String>,
    /// The same in base64, for a path that is not UTF-8.
    pub(crate) path_bytes: Option<String>,
    /// The policy below whose root the path lies.
    pub(crate) policy: Option<String>,
}

/// Why a file stays or goes.
///
/// One answer of each policy below whose root the path lies; none when it lies below none.
#[utoipa::path(get, path = "/api/v1/explain", tag = "Files", params(ExplainQuery),
    responses((status = 200, description = "What every policy says to it",
        body = ref("#/components/schemas/Explanation"))))]
pub(crate) async fn explain(
    State(service): State<Arc<Service>>,
    Query(query): Query<ExplainQuery>,
) -> Result<Json<Explanation>, Problem> {
    answer(&service, query).await.map(Json)
}

/// The answer to a question, whoever asks it.
pub(crate) async fn answer(service: &Service, query: ExplainQuery) -> Result<Explanation, Problem> {
    let engine = service.live().engine;
    let bytes = path_bytes(query.path, query.path_bytes)?;
    let path = plain_path(bytes)?;
    let path = match &query.policy {
        None if path.is_absolute() => path,
        None => return Err(refused("a path below a root needs `policy`; without one it must be absolute")),
        Some(name) => match engine.config().files.iter().find(|policy| policy.rule.name == *name) {
            Some(_) if path.is_absolute() => return Err(refused("with `policy` the path must be below its root")),
            Some(policy) => policy.root.join(path),
            None if engine.config().rules().any(|rule| rule.name == *name) => {
                return Err(refused("sessions have no paths"));
            }
            None => return Err(unknown_policy(service, name)),
        },
    };
    service.blocking(move || engine.explain(&path)).await
}

/// A path that names one place: what `..` leads to depends on folders that are none of the caller's business.
fn plain_path(bytes: Vec<u8>) -> Result<PathBuf, Problem> {
    if bytes.is_empty() || bytes.contains(&0) || bytes.len() > MAX_PATH_BYTES {
        return Err(refused("a path has 1 to 4096 bytes, and no NUL"));
    }
    let path = PathBuf::from(OsString::from_vec(bytes));
    let climbs = |path: &Path| path.components().any(|component| component == Component::ParentDir);
    if climbs(&path) {
        return Err(refused("a path may not hold `..`"));
    }
    Ok(path)
}

fn refused(why: &str) -> Problem {
    Problem::of(Kind::PathRefused, why)
}
