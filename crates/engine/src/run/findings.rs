//! Findings of a run, created once for every interface.
//!
//! The texts are those of the report: a finding adds no information to its run, only a code for programs and the time
//! since which it exists.

use cleanup_core::config::Config;
use cleanup_core::moment::Moment;
use cleanup_core::report::{Finding, FindingCode, PolicyKind, PolicyReport, PolicyStatus, Report, Skip};

use crate::run::owners;

/// Findings of the whole run.
pub(crate) fn of_run(config: &Config, report: &Report, noted: Vec<(FindingCode, String)>) -> Vec<Finding> {
    noted.into_iter().map(|(code, text)| finding(config, code, None, text, report.started_at)).collect()
}

/// Findings in the reports of the policies.
pub(crate) fn of_policies(config: &Config, report: &Report) -> Vec<Finding> {
    let of = |policy: &PolicyReport| {
        let said = of_policy(policy).into_iter();
        said.map(|(code, text)| finding(config, code, Some(&policy.name), text, report.started_at)).collect::<Vec<_>>()
    };
    report.policies.iter().flat_map(of).collect()
}

fn of_policy(report: &PolicyReport) -> Vec<(FindingCode, String)> {
    let message = || report.message.clone().unwrap_or_default();
    let status = match (report.status, report.skipped) {
        (PolicyStatus::Ok | PolicyStatus::Partial | PolicyStatus::Interrupted, _)
        | (PolicyStatus::Skipped, Some(Skip::Disabled) | None) => None,
        (PolicyStatus::Held, _) => Some(FindingCode::Held),
        (PolicyStatus::Failed, _) => Some(FindingCode::Failed),
        (PolicyStatus::Skipped, Some(Skip::NoRoot)) => report.root_missing.then_some(FindingCode::RootMissing),
        (PolicyStatus::Skipped, Some(Skip::NoDatabase | Skip::DatabaseAway)) => Some(FindingCode::DatabaseAway),
        (PolicyStatus::Skipped, Some(Skip::Locked | Skip::Busy | Skip::AnotherNode | Skip::RootLocked)) => {
            Some(FindingCode::Busy)
        }
    };
    let unmet: Vec<String> = report.limits.iter().filter(|limit| !limit.met).map(ToString::to_string).collect();
    let has_acted = matches!(report.status, PolicyStatus::Ok | PolicyStatus::Partial);
    let unmet = (has_acted && !unmet.is_empty()).then(|| (FindingCode::LimitUnmet, unmet.join("; ")));
    let errors = report.errors.first().map(|first| {
        let code = match report.kind {
            PolicyKind::Files => FindingCode::Errors,
            PolicyKind::Sessions => FindingCode::RefusedRows,
        };
        let more = match report.errors_total {
            0 | 1 => String::new(),
            total => format!(", and {} more", total - 1),
        };
        let path = match &report.root {
            Some(root) => format!("{}/{}", root.trim_end_matches('/'), first.path),
            None => first.path.clone(),
        };
        (code, format!("{path}: {}{more}", first.error))
    });
    let disputed = owners::dispute_of(report).map(|text| (FindingCode::Disputed, text));
    status.map(|code| (code, message())).into_iter().chain(errors).chain(unmet).chain(disputed).collect()
}

/// A finding, with the level and the remedy of its code.
pub(crate) fn finding(
    config: &Config,
    code: FindingCode,
    policy: Option<&str>,
    text: String,
    since: Moment,
) -> Finding {
    let remedy = remedy(config, code, policy);
    Finding { code, level: code.level(), policy: policy.map(str::to_owned), since, text, remedy }
}

/// A command that fixes it, or shows more.
fn remedy(config: &Config, code: FindingCode, policy: Option<&str>) -> Option<String> {
    let root = || config.files.iter().find(|it| Some(it.rule.name.as_str()) == policy).map(|it| it.root.display());
    match (code, policy) {
        (FindingCode::PromisesLost, _) => Some("cleanup sweep --force".to_owned()),
        (FindingCode::RootMissing, _) => root().map(|root| format!("mkdir -p {root}")),
        (FindingCode::Held, Some(policy)) => Some(format!("cleanup sweep --dry-run {policy}")),
        (FindingCode::LimitUnmet, Some(policy)) => Some(format!("cleanup stats {policy}")),
        (FindingCode::Interrupted, _) => Some("cleanup history".to_owned()),
        (
            FindingCode::DatabaseAway
            | FindingCode::RefusedRows
            | FindingCode::Failed
            | FindingCode::Errors
            | FindingCode::Disputed
            | FindingCode::ReloadRefused,
            _,
        ) => Some("cleanup config check".to_owned()),
        (
            FindingCode::Memory
            | FindingCode::PromisesDamaged
            | FindingCode::Audit
            | FindingCode::Busy
            | FindingCode::Held
            | FindingCode::LimitUnmet
            | FindingCode::Watching
            | FindingCode::Token
            | FindingCode::Starting
            | FindingCode::Stopping,
            _,
        ) => None,
    }
}
