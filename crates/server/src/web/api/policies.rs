//! The policies: what they say, what they track, how they last ran.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use cleanup_core::policy::{Effect, FilePolicy, SessionPolicy};
use cleanup_core::report::{PolicyKind, json_path};
use cleanup_core::sweep::Mode;

use super::shapes::{Policies, Policy, PolicyMode};
use crate::app::service::{Live, Service};
use crate::web::extract::Part;
use crate::web::problem::{Kind, Problem};

/// All policies.
#[utoipa::path(get, path = "/api/v1/policies", operation_id = "list_policies", tag = "Policies",
    responses((status = 200, description = "In the order of the configuration, files first",
        body = ref("#/components/schemas/Policies"))))]
pub(crate) async fn list(State(service): State<Arc<Service>>) -> Json<Policies> {
    Json(Policies { policies: policies(&service) })
}

/// One policy.
#[utoipa::path(get, path = "/api/v1/policies/{name}", operation_id = "get_policy", tag = "Policies",
    params(("name" = String, Path, description = "The name in the configuration")),
    responses((status = 200, description = "The policy", body = ref("#/components/schemas/Policy"))))]
pub(crate) async fn one(State(service): State<Arc<Service>>, Part(name): Part) -> Result<Json<Policy>, Problem> {
    let policy = policies(&service).into_iter().find(|policy| policy.name == name);
    policy.map(Json).ok_or_else(|| unknown_policy(&service, &name))
}

/// No policy has this name; says which one was meant, perhaps.
pub(crate) fn unknown_policy(service: &Service, name: &str) -> Problem {
    let live = service.live();
    let meant = live.engine.config().nearest_policy(name);
    let hint = meant.map(|name| format!("; did you mean {name:?}?")).unwrap_or_default();
    Problem::of(Kind::UnknownPolicy, format!("there is no policy {name:?}{hint}"))
}

pub(crate) fn policies(service: &Service) -> Vec<Policy> {
    let live = service.live();
    let config = live.engine.config();
    let files = config.files.iter().map(|policy| of_files(service, &live, policy));
    files.chain(config.sessions.iter().map(|policy| of_sessions(service, policy))).collect()
}

fn of_files(service: &Service, live: &Live, policy: &FilePolicy) -> Policy {
    let name = &policy.rule.name;
    Policy {
        name: name.clone(),
        kind: PolicyKind::Files,
        enabled: policy.enabled,
        mode: mode(policy.effect),
        max_age_seconds: policy.rule.max_age.map(|age| age.get().as_secs_f64()),
        schedule: policy.schedule.as_ref().map(ToString::to_string),
        root: Some(json_path(policy.root.as_os_str().as_encoded_bytes()).0),
        table: None,
        tracked: live.tracker.as_ref().and_then(|tracker| tracker.policy(name)),
        last_run: service.feed().latest.of(name),
        running: running(service, name),
    }
}

fn of_sessions(service: &Service, policy: &SessionPolicy) -> Policy {
    let name = &policy.rule.name;
    Policy {
        name: name.clone(),
        kind: PolicyKind::Sessions,
        enabled: policy.enabled,
        mode: mode(policy.effect),
        max_age_seconds: policy.rule.max_age.map(|age| age.get().as_secs_f64()),
        schedule: policy.schedule.as_ref().map(ToString::to_string),
        root: None,
        table: Some(policy.table.clone()),
        tracked: None,
        last_run: service.feed().latest.of(name),
        running: running(service, name),
    }
}

fn mode(effect: Effect) -> PolicyMode {
    match effect {
        Effect::Enforce => PolicyMode::Enforce,
        Effect::Observe => PolicyMode::Observe,
    }
}

/// The real sweep that is at a policy now.
fn running(service: &Service, policy: &str) -> Option<String> {
    let flights = service.sweeps().running();
    let at_it = flights.iter().find(|flight| flight.mode == Mode::Apply && flight.is_at(policy));
    at_it.map(|flight| flight.run_id.clone())
}
