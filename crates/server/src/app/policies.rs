//! The policies: what they say, what they track, how they last ran.

use cleanup_core::policy::{Effect, FilePolicy, SessionPolicy};
use cleanup_core::report::{PolicyKind, json_path};
use cleanup_core::sweep::Mode;
use cleanup_engine::track::TrackedPolicy;
use schemars::JsonSchema;
use serde::Serialize;

use super::generation::Generation;
use super::service::Service;
use crate::telemetry::last_runs::LastRun;

/// One policy: its settings, what it tracks, its last run.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Policy {
    /// The name in the configuration.
    pub name: String,
    /// Files or sessions.
    pub kind: PolicyKind,
    /// Whether it is enabled.
    pub enabled: bool,
    /// Whether it removes what is due, or only reports it.
    pub mode: PolicyMode,
    /// Age after which items are removed, in seconds; `null` if only limits apply.
    pub max_age_seconds: Option<f64>,
    /// Its schedule, as written; `null` without one.
    pub schedule: Option<String>,
    /// The root of a file policy; lossy if it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// The table of a session policy, as written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// What is tracked; `null` if the policy does not track files.
    pub tracked: Option<TrackedPolicy>,
    /// Its last run; `null` if there is none.
    pub last_run: Option<LastRun>,
    /// The run in progress.
    pub running: Option<String>,
}

/// The key `mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PolicyMode {
    /// What is due is removed.
    Enforce,
    /// Everything but the removal.
    Observe,
}

/// All policies, in the order of the configuration, files first.
pub(crate) fn policies(service: &Service) -> Vec<Policy> {
    let live = service.generation();
    let config = live.engine.config();
    let files = config.files.iter().map(|policy| of_files(service, &live, policy));
    files.chain(config.sessions.iter().map(|policy| of_sessions(service, policy))).collect()
}

fn of_files(service: &Service, live: &Generation, policy: &FilePolicy) -> Policy {
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
        last_run: service.feed().last_runs.of(name),
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
        last_run: service.feed().last_runs.of(name),
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
    let sweeps = service.sweeps().running();
    let at_it = sweeps.iter().find(|sweep| sweep.mode == Mode::Apply && sweep.is_at(policy));
    at_it.map(|sweep| sweep.run_id.clone())
}
