//! What comes due in the next hours, as far as it is known without looking at every file.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::shapes::{Forecast, PolicyForecast};
use crate::app::service::Service;
use crate::web::problem::Problem;

/// How far ahead to look.
const HOURS: u32 = 24;

/// How much becomes due in each of the next 24 hours.
///
/// From memory, so only for policies that track files.
#[utoipa::path(get, path = "/api/v1/forecast", tag = "Policies",
    responses((status = 200, description = "By policy and hour", body = ref("#/components/schemas/Forecast"))))]
pub(crate) async fn forecast(State(service): State<Arc<Service>>) -> Result<Json<Forecast>, Problem> {
    let tracker = service.tracker()?;
    let engine = service.generation().engine;
    let policies = move || {
        let config = engine.config();
        let files = config.files.iter().map(|policy| match tracker.forecast(&policy.rule.name, HOURS) {
            None => unknown(&policy.rule.name, "the policy does not track files"),
            hours => PolicyForecast { policy: policy.rule.name.clone(), hours, reason: None },
        });
        let sessions = config.sessions.iter().map(|policy| unknown(&policy.rule.name, "sessions are not tracked"));
        files.chain(sessions).collect()
    };
    Ok(Json(Forecast { hours: HOURS, policies: service.blocking(policies).await? }))
}

fn unknown(policy: &str, reason: &'static str) -> PolicyForecast {
    PolicyForecast { policy: policy.to_owned(), hours: None, reason: Some(reason) }
}
