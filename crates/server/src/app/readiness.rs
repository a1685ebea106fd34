//! What needs somebody now, and whether it keeps the service from its work.

use std::collections::HashSet;

use cleanup_core::report::{Finding, FindingCode, PolicyStatus};
use cleanup_engine::track::{Absent, Watching};
use cleanup_engine::{LastSweep, now, tell_of_interrupted};

use super::policies::Policy;
use super::service::Service;

/// All findings of the moment: those that keep the service from its work, and the others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings {
    /// With one of these the service is not ready.
    pub(crate) reasons: Vec<Finding>,
    /// Findings that do not prevent work.
    pub(crate) warnings: Vec<Finding>,
}

impl Findings {
    /// All of them, the reasons first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Finding> {
        self.reasons.iter().chain(&self.warnings)
    }
}

/// What needs somebody now. From memory.
pub(crate) fn findings(service: &Service, policies: &[Policy]) -> Findings {
    let mut all = of_service(service, policies);
    service.feed().findings.date(&mut all);
    let known: HashSet<(FindingCode, Option<String>)> = all.iter().map(|it| (it.code, it.policy.clone())).collect();
    let enabled: HashSet<&str> =
        policies.iter().filter(|policy| policy.enabled).map(|policy| policy.name.as_str()).collect();
    let counts = |finding: &Finding| {
        // Whether a root is missing is asked between runs, too.
        finding.code != FindingCode::RootMissing
            && finding.policy.as_deref().is_none_or(|policy| enabled.contains(policy))
            && !known.contains(&(finding.code, finding.policy.clone()))
    };
    all.extend(service.feed().findings.of_runs().into_iter().filter(counts));

    let unable: HashSet<&str> = all
        .iter()
        .filter(|finding| makes_unable(finding.code))
        .filter_map(|finding| finding.policy.as_deref())
        .collect();
    let is_unable = !enabled.is_empty() && enabled.iter().all(|policy| unable.contains(policy));
    let not_remembered = service.feed().last_runs.not_remembered();
    let is_reason = |finding: &Finding| match finding.code {
        FindingCode::Starting | FindingCode::Stopping | FindingCode::PromisesLost | FindingCode::PromisesDamaged => {
            true
        }
        // A memory that began anew is one; one that cannot be written is none.
        FindingCode::Memory => not_remembered.as_ref() == Some(&finding.text),
        code => is_unable && makes_unable(code),
    };
    let (reasons, warnings) = all.into_iter().partition(is_reason);
    Findings { reasons, warnings }
}

/// Whether a policy does nothing while this is so.
fn makes_unable(code: FindingCode) -> bool {
    match code {
        FindingCode::Held | FindingCode::Failed | FindingCode::DatabaseAway | FindingCode::RootMissing => true,
        FindingCode::Memory
        | FindingCode::PromisesLost
        | FindingCode::PromisesDamaged
        | FindingCode::Audit
        | FindingCode::ReloadRefused
        | FindingCode::Errors
        | FindingCode::RefusedRows
        | FindingCode::LimitUnmet
        | FindingCode::Interrupted
        | FindingCode::Disputed
        | FindingCode::Busy
        | FindingCode::Watching
        | FindingCode::Token
        | FindingCode::Starting
        | FindingCode::Stopping => false,
    }
}

/// What the service finds without a run.
fn of_service(service: &Service, policies: &[Policy]) -> Vec<Finding> {
    let generation = service.generation();
    let now = now();
    let mut found: Vec<Finding> = Vec::new();
    let mut add = |code, policy: Option<&str>, text: &str| {
        found.push(generation.engine.finding(code, policy, text.to_owned(), now));
    };
    if generation.tracker.is_none() {
        add(FindingCode::Starting, None, "the service is still scanning the tracked folders");
    }
    if service.stop().is_cancelled() {
        add(FindingCode::Stopping, None, "the service is stopping");
    }
    if let Some(refused) = service.refused_reload() {
        add(FindingCode::ReloadRefused, None, &refused.to_string());
    }
    if let [first, others @ ..] = generation.access.warnings() {
        let text = others.iter().fold(first.clone(), |text, warning| format!("{text}; {warning}"));
        add(FindingCode::Token, None, &text);
    }
    for policy in policies.iter().filter(|policy| policy.enabled) {
        let name = Some(policy.name.as_str());
        if let Some(why) = service.feed().last_runs.missing_root(&policy.name) {
            add(FindingCode::RootMissing, name, &why);
        }
        if let Some(tracked) = &policy.tracked {
            // A root that is not there is a finding of its own, where it is one.
            if let Watching::Rescans { why } | Watching::Missing { why, absent: Absent::No } = &tracked.watching {
                add(FindingCode::Watching, name, why);
            }
            if let Some(why) = &tracked.held {
                add(FindingCode::Held, name, why);
            }
        }
        if let Some(interrupted) = interrupted(service, policy) {
            add(FindingCode::Interrupted, name, &interrupted);
        }
    }
    found
}

/// What is said of a policy whose last sweep before the service started never ended, until another one has.
fn interrupted(service: &Service, policy: &Policy) -> Option<String> {
    let has_run = policy.last_run.as_ref().is_some_and(|last| last.outcome.is_some());
    let before =
        service.feed().last_runs.before(&policy.name).filter(|before| before.status == PolicyStatus::Interrupted)?;
    let LastSweep { run_id, finished_at, .. } = before;
    // A run of which no end is known is in the history as if it had ended when it began.
    (!has_run).then(|| tell_of_interrupted(&run_id, &policy.name, finished_at))
}
