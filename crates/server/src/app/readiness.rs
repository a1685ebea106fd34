//! What keeps the service from its work, and what does not work as well as it could.

use cleanup_core::report::{PolicyStatus, Skip};
use cleanup_engine::LastSweep;
use cleanup_engine::track::{Absent, Watching};
use schemars::JsonSchema;
use serde::Serialize;

use super::policies::Policy;
use super::service::Service;

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    /// For programs: `starting`, `stopping`, `memory`, `database_away`, `watching`, `root_missing`, `held`, `failed`,
    /// `interrupted`, `limit`, `token`, `reload_refused`.
    pub code: &'static str,
    /// The policy that it concerns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// For people.
    pub message: String,
}

/// What keeps the service from its work, and what does not work as well as it could.
pub(crate) fn findings(service: &Service, policies: &[Policy]) -> (Vec<Finding>, Vec<Finding>) {
    (reasons(service, policies), warnings(service, policies))
}

fn general(code: &'static str, message: &str) -> Finding {
    Finding { code, policy: None, message: message.to_owned() }
}

fn of(policy: &Policy, code: &'static str, message: Option<&str>) -> Finding {
    let message = message.unwrap_or("its last run did not say why").to_owned();
    Finding { code, policy: Some(policy.name.clone()), message }
}

/// What keeps the service from doing what it is asked to.
pub(crate) fn reasons(service: &Service, policies: &[Policy]) -> Vec<Finding> {
    let mut reasons = Vec::new();
    if service.generation().tracker.is_none() {
        reasons.push(general("starting", "the service still looks at the tracked folders"));
    }
    if service.stop().is_cancelled() {
        reasons.push(general("stopping", "the service is stopping"));
    }
    // Why may name a path, so only the log says it.
    if service.feed().last_runs.not_remembered().is_some() {
        reasons.push(general("memory", "the last run could not be remembered; the log says why"));
    }
    let away = |policy: &&Policy| policy.enabled && skip(policy) == Some(Skip::DatabaseAway);
    reasons.extend(policies.iter().filter(away).map(|policy| of(policy, "database_away", message(policy))));
    reasons
}

/// What does not work as well as it could.
pub(crate) fn warnings(service: &Service, policies: &[Policy]) -> Vec<Finding> {
    let mut warnings = Vec::new();
    if let Some(refused) = service.refused_reload() {
        warnings.push(general("reload_refused", &refused.to_string()));
    }
    warnings.extend(service.generation().access.warnings().iter().map(|warning| general("token", warning)));
    for policy in policies.iter().filter(|policy| policy.enabled) {
        if let Some(why) = service.feed().last_runs.missing_root(&policy.name) {
            warnings.push(of(policy, "root_missing", Some(&why)));
        }
        if let Some(tracked) = &policy.tracked {
            // A root that is not there is a finding of its own, where it is one.
            if let Watching::Rescans { why } | Watching::Missing { why, absent: Absent::No } = &tracked.watching {
                warnings.push(of(policy, "watching", Some(why)));
            }
            if let Some(why) = &tracked.held {
                warnings.push(of(policy, "held", Some(why)));
            }
        }
        if let Some(interrupted) = interrupted(service, policy) {
            warnings.push(of(policy, "interrupted", Some(&interrupted)));
        }
        let Some(outcome) = policy.last_run.as_ref().and_then(|last| last.outcome.as_ref()) else { continue };
        match outcome.status {
            PolicyStatus::Held => warnings.push(of(policy, "held", message(policy))),
            PolicyStatus::Failed => warnings.push(of(policy, "failed", message(policy))),
            PolicyStatus::Ok | PolicyStatus::Partial | PolicyStatus::Skipped | PolicyStatus::Interrupted => {}
        }
        for limit in outcome.limits.iter().filter(|limit| !limit.met) {
            warnings.push(of(policy, "limit", Some(&limit.to_string())));
        }
    }
    warnings
}

/// What is said of a policy whose last sweep before the service started never ended, until another one has.
fn interrupted(service: &Service, policy: &Policy) -> Option<String> {
    let has_run = policy.last_run.as_ref().is_some_and(|last| last.outcome.is_some());
    let before =
        service.feed().last_runs.before(&policy.name).filter(|before| before.status == PolicyStatus::Interrupted)?;
    let LastSweep { run_id, finished_at, .. } = before;
    let text = format!("run {run_id}, begun at {finished_at}, was interrupted: its process was gone before it ended");
    (!has_run).then_some(text)
}

fn skip(policy: &Policy) -> Option<Skip> {
    policy.last_run.as_ref()?.outcome.as_ref()?.skipped
}

fn message(policy: &Policy) -> Option<&str> {
    policy.last_run.as_ref()?.outcome.as_ref()?.message.as_deref()
}
