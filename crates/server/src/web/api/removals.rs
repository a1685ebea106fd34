//! What was removed, when and why.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use cleanup_core::moment::Moment;
use cleanup_engine::responses::Removals;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::app::removals;
use crate::app::service::Service;
use crate::web::extract::{Query, page_size};
use crate::web::problem::Problem;

/// Entries on a page, unless asked for otherwise, and at most.
const PAGE: usize = 100;
const MAX_PAGE: usize = 1000;

/// Which removals, and which page of them.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RemovalsQuery {
    /// Of this absolute path, found by an index. A name without `/` is looked for in all folders, and what holds `*`,
    /// `?`, `[` or `{` is a pattern as in `include`, matched against the absolute path, or without `/` against the name;
    /// for these the whole log is read.
    path: Option<String>,
    /// Only by this policy.
    policy: Option<String>,
    /// Only by this run, or by the one whose id begins so.
    run: Option<String>,
    /// Only since this moment, as RFC 3339 has it.
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<Moment>,
    /// How many entries, 1 to 1000.
    #[param(default = 100, minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// The `next` of the page before.
    after: Option<String>,
}

/// What was removed.
///
/// When, by which run and policy, why, and who asked: the newest first, for as long as `removals_for` in `[state]` says.
/// Rows are counted and not named.
#[utoipa::path(get, path = "/api/v1/removals", operation_id = "list_removals", tag = "Runs", params(RemovalsQuery),
    responses((status = 200, description = "A page", body = ref("#/components/schemas/Removals"))))]
pub(crate) async fn list(
    State(service): State<Arc<Service>>,
    Query(query): Query<RemovalsQuery>,
) -> Result<Json<Removals>, Problem> {
    let RemovalsQuery { path, policy, run, since, limit, after } = query;
    let limit = page_size(limit, PAGE, MAX_PAGE)?;
    let path = path.map(Into::into);
    let query = cleanup_engine::RemovalsQuery { path, policy, run, since, limit, before: after };
    Ok(Json(removals::page(&service, query).await?))
}
