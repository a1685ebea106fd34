//! The two calls that the first clients make, in exactly the form that they know.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use cleanup_core::report::{PolicyReport, PolicyStatus, Report, Skip, Trigger};
use cleanup_core::sweep::Mode;
use cleanup_core::words::Number;
use serde::Deserialize;
use utoipa::IntoParams;

use super::shapes::{CleanupStats, Minutes, Success};
use crate::app::access::Asker;
use crate::app::service::{Service, stats_policy};
use crate::app::sweeps::SweepRequest;
use crate::web::extract::Query;
use crate::web::problem::Problem;

/// What to sweep.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ManualQuery {
    /// One policy instead of all enabled ones.
    policy: Option<String>,
    /// Only report what would be removed.
    #[serde(default)]
    dry_run: bool,
}

/// Numbers of one tracked policy.
///
/// From memory, so its cost does not depend on the number of files. The policy is `stats_policy` in `[server]`, or
/// otherwise the first that tracks files.
#[utoipa::path(get, path = "/cleanup/stats", operation_id = "cleanup_stats", tag = "First clients",
    responses((status = 200, description = "The numbers", body = ref("#/components/schemas/Success"))))]
pub(crate) async fn stats(State(service): State<Arc<Service>>) -> Result<Json<Success>, Problem> {
    let cleanup_stats = cleanup_stats(&service)?;
    Ok(Json(Success { status: "success", message: None, cleanup_stats }))
}

/// Sweep all enabled policies now, and wait for the result.
///
/// If a policy is being swept already, the request joins that sweep.
#[utoipa::path(post, path = "/cleanup/manual", operation_id = "cleanup_manual", tag = "First clients", params(ManualQuery),
    responses((status = 200, description = "Swept", body = ref("#/components/schemas/Success"))))]
pub(crate) async fn manual(
    State(service): State<Arc<Service>>,
    Extension(asker): Extension<Asker>,
    Query(query): Query<ManualQuery>,
) -> Result<Json<Success>, Problem> {
    let handle = service.sweep(&SweepRequest {
        policies: query.policy.into_iter().collect(),
        mode: if query.dry_run { Mode::Plan } else { Mode::Apply },
        include_archives: false,
        trigger: Trigger::Manual,
        asked_by: asker.to_name(),
        plan: None,
    })?;
    let report = handle.report().await;
    let cleanup_stats = CleanupStats { problems: problems(&report), ..cleanup_stats(&service)? };
    Ok(Json(Success { status: "success", message: Some("Manual cleanup completed"), cleanup_stats }))
}

/// Where no policy tracks files there is nothing to count, and the keys stay.
fn cleanup_stats(service: &Service) -> Result<CleanupStats, Problem> {
    let tracker = service.tracker()?;
    let live = service.generation();
    let policy = stats_policy(live.engine.config());
    let known = policy.and_then(|policy| tracker.policy(&policy.rule.name));
    let (total_files, tracked_files) = known.map_or((0, 0), |policy| (policy.total_files, policy.tracked_files));
    let max_age = policy.and_then(|policy| policy.rule.max_age).map_or(0.0, |age| age.get().as_secs_f64());
    Ok(CleanupStats {
        total_files,
        tracked_files,
        cleanup_interval_minutes: minutes(max_age),
        service_running: true,
        problems: Vec::new(),
    })
}

/// What kept policies from being swept as they should.
fn problems(report: &Report) -> Vec<String> {
    let said = |policy: &PolicyReport| match (policy.status, policy.skipped) {
        (PolicyStatus::Ok, _) | (_, Some(Skip::NoDatabase | Skip::NoRoot | Skip::Disabled)) => None,
        (PolicyStatus::Partial, _) if policy.errors_total > 0 => {
            Some(format!("{}: {} could not be removed", policy.name, Number(policy.errors_total, "item")))
        }
        _ => Some(format!("{}: {}", policy.name, policy.message.as_deref().unwrap_or("not swept"))),
    };
    report.policies.iter().filter_map(said).collect()
}

fn minutes(seconds: f64) -> Minutes {
    let minutes = seconds / 60.0;
    if minutes.fract() != 0.0 {
        return Minutes::Fraction(minutes);
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number, not negative")]
    Minutes::Whole(minutes as u64)
}
