//! What needs somebody now, as the last runs found it.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cleanup_core::moment::Moment;
use cleanup_core::report::{Finding, FindingCode, PolicyKind, PolicyStatus, Report, Trigger};
use cleanup_engine::LastFindings;

/// The findings of the last runs, and since when the service itself finds others.
#[derive(Debug, Default)]
pub(crate) struct Findings(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    of_runs: Vec<Finding>,
    first_seen: HashMap<(FindingCode, Option<String>), Moment>,
}

impl Findings {
    /// Takes in what a run found. What runs before it found of the same policies, or of none, is over.
    pub(crate) fn ran(&self, report: &Report) {
        let policies: HashSet<&str> = report.policies.iter().map(|policy| policy.name.as_str()).collect();
        let is_sweep = report.trigger.is_sweep();
        let is_over = |finding: &Finding| match &finding.policy {
            None => has_looked(report, finding.code),
            Some(policy) => policies.contains(policy.as_str()) && (is_sweep || is_found_by_every_run(finding.code)),
        };
        let mut inner = self.lock();
        inner.of_runs.retain(|finding| !is_over(finding));
        inner.of_runs.extend(report.findings.iter().cloned());
    }

    /// Begins with what the history knows of the last runs.
    pub(crate) fn begin(&self, LastFindings { of_sweeps, of_runs }: LastFindings) {
        let of_sweeps = of_sweeps.into_iter().filter(|finding| !is_found_by_every_run(finding.code));
        let of_runs = of_runs.into_iter().filter(|finding| is_found_by_every_run(finding.code));
        self.lock().of_runs = of_sweeps.chain(of_runs).collect();
    }

    /// What the last runs found.
    pub(crate) fn of_runs(&self) -> Vec<Finding> {
        self.lock().of_runs.clone()
    }

    /// Since when each of these is found, by code and policy; all others are over. For findings that no run makes.
    pub(crate) fn date(&self, findings: &mut [Finding]) {
        let mut inner = self.lock();
        let before = std::mem::take(&mut inner.first_seen);
        for finding in findings {
            let key = (finding.code, finding.policy.clone());
            finding.since = before.get(&key).copied().unwrap_or(finding.since);
            inner.first_seen.insert(key, finding.since);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the silence of a run says anything of what concerns no policy.
fn has_looked(report: &Report, code: FindingCode) -> bool {
    let mut policies = report.policies.iter();
    match code {
        // A run that had nothing to write down says nothing of the log that it would have written to.
        FindingCode::Audit => {
            let totals = &report.totals;
            totals.removed + totals.quarantined + totals.restored > 0 || policies.any(|policy| policy.counts.purged > 0)
        }
        // Only file policies ask for promises, and none gets past them while they are lost. A restore removes nothing.
        FindingCode::PromisesLost | FindingCode::PromisesDamaged => {
            report.trigger != Trigger::Restore
                && policies.any(|policy| {
                    policy.kind == PolicyKind::Files
                        && matches!(policy.status, PolicyStatus::Ok | PolicyStatus::Partial)
                })
        }
        FindingCode::Memory
        | FindingCode::ReloadRefused
        | FindingCode::RootMissing
        | FindingCode::DatabaseAway
        | FindingCode::Held
        | FindingCode::Failed
        | FindingCode::Errors
        | FindingCode::RefusedRows
        | FindingCode::LimitUnmet
        | FindingCode::Interrupted
        | FindingCode::Disputed
        | FindingCode::Busy
        | FindingCode::Watching
        | FindingCode::Token
        | FindingCode::Starting
        | FindingCode::Stopping => true,
    }
}

/// Whether the silence of a run that covers few files, at their deadlines or to restore them, says anything. What only a
/// look at everything can find stays found until the next sweep.
fn is_found_by_every_run(code: FindingCode) -> bool {
    match code {
        FindingCode::Held
        | FindingCode::Failed
        | FindingCode::Errors
        | FindingCode::Busy
        | FindingCode::Memory
        | FindingCode::PromisesLost
        | FindingCode::PromisesDamaged
        | FindingCode::Audit => true,
        FindingCode::RootMissing
        | FindingCode::DatabaseAway
        | FindingCode::RefusedRows
        | FindingCode::LimitUnmet
        | FindingCode::Interrupted
        | FindingCode::Disputed
        | FindingCode::ReloadRefused
        | FindingCode::Watching
        | FindingCode::Token
        | FindingCode::Starting
        | FindingCode::Stopping => false,
    }
}

#[cfg(test)]
mod tests {
    use cleanup_core::report::{PolicyReport, Skip, Tally};

    use super::*;

    fn finding(code: FindingCode, policy: Option<&str>, since: i64) -> Finding {
        let since = Moment::from_unix(since, 0);
        let policy = policy.map(str::to_owned);
        Finding { code, level: code.level(), policy, since, text: "it is".to_owned(), remedy: None }
    }

    fn report(trigger: Trigger, policies: &[&str], findings: Vec<Finding>) -> Report {
        let of = |name: &&str| PolicyReport::finished(name, PolicyKind::Files, Tally::default());
        let policies = policies.iter().map(of).collect();
        let report = Report::new("01A".to_owned(), trigger, false, Moment::EPOCH, Moment::EPOCH, policies);
        Report { findings, ..report }
    }

    #[test]
    fn the_last_run_of_a_policy_says_what_is_found_and_deadlines_say_less() {
        let all = Findings::default();
        let codes = || all.of_runs().iter().map(|it| (it.code, it.policy.clone())).collect::<Vec<_>>();
        let (limit, held) = (FindingCode::LimitUnmet, FindingCode::Held);
        let a = || Some("a".to_owned());
        all.ran(&report(Trigger::Schedule, &["a"], vec![finding(limit, Some("a"), 1), finding(held, Some("a"), 1)]));
        all.ran(&report(Trigger::Schedule, &["b"], vec![finding(FindingCode::Memory, None, 1)]));
        assert_eq!(codes(), [(limit, a()), (held, a()), (FindingCode::Memory, None)]);
        all.ran(&report(Trigger::Deadline, &["a"], Vec::new()));
        assert_eq!(codes(), [(limit, a())], "a deadline cannot know whether the limit is met");
        all.ran(&report(Trigger::Manual, &["a"], Vec::new()));
        assert_eq!(codes(), []);
    }

    #[test]
    fn an_audit_log_that_lacks_lines_is_found_until_one_could_be_written() {
        let all = Findings::default();
        all.ran(&report(Trigger::Schedule, &["a"], vec![finding(FindingCode::Audit, None, 1)]));
        all.ran(&report(Trigger::Schedule, &["b"], Vec::new()));
        assert_eq!(all.of_runs().len(), 1, "it had nothing to write");
        let mut removed = report(Trigger::Schedule, &["b"], Vec::new());
        removed.totals.removed = 1;
        all.ran(&removed);
        assert_eq!(all.of_runs(), []);
    }

    #[test]
    fn lost_promises_are_found_until_a_file_policy_has_got_past_them() {
        for code in [FindingCode::PromisesLost, FindingCode::PromisesDamaged] {
            let all = Findings::default();
            all.ran(&report(Trigger::Schedule, &["a"], vec![finding(code, None, 1)]));
            let mut rows = report(Trigger::Schedule, &["rows"], Vec::new());
            rows.policies[0].kind = PolicyKind::Sessions;
            all.ran(&rows);
            assert_eq!(all.of_runs().len(), 1, "rows know of no promises");
            let mut skipped = report(Trigger::Schedule, &["b"], Vec::new());
            skipped.policies[0] =
                PolicyReport::skipped("b", PolicyKind::Files, Skip::NoRoot, "there is no such folder".to_owned());
            all.ran(&skipped);
            assert_eq!(all.of_runs().len(), 1, "it did not come so far");
            all.ran(&report(Trigger::Restore, &["b"], Vec::new()));
            assert_eq!(all.of_runs().len(), 1, "it brings back, and asks nobody");
            all.ran(&report(Trigger::Schedule, &["b"], Vec::new()));
            assert_eq!(all.of_runs(), []);
        }
    }

    #[test]
    fn after_a_restart_the_last_runs_are_taken_at_their_word() {
        let all = Findings::default();
        let (limit, held) = (FindingCode::LimitUnmet, FindingCode::Held);
        all.begin(LastFindings {
            of_sweeps: vec![finding(limit, Some("a"), 1), finding(held, Some("a"), 1), finding(held, Some("b"), 1)],
            of_runs: vec![finding(limit, Some("c"), 2), finding(held, Some("b"), 2)],
        });
        let found: Vec<_> = all.of_runs().into_iter().map(|it| (it.code, it.policy)).collect();
        let of = |code, policy: &str| (code, Some(policy.to_owned()));
        assert_eq!(found, [of(limit, "a"), of(held, "b")], "a deadline passed the gates of `a` since");
    }

    #[test]
    fn what_the_service_finds_is_as_old_as_its_first_sight_without_a_gap() {
        let all = Findings::default();
        let since = |at: i64, codes: &[FindingCode]| {
            let mut found: Vec<Finding> = codes.iter().map(|code| finding(*code, None, at)).collect();
            all.date(&mut found);
            found.iter().map(|it| it.since.unix_seconds()).collect::<Vec<_>>()
        };
        assert_eq!(since(1, &[FindingCode::Token]), [1]);
        assert_eq!(since(2, &[FindingCode::Token, FindingCode::Watching]), [1, 2]);
        assert_eq!(since(3, &[FindingCode::Watching]), [2]);
        assert_eq!(since(4, &[FindingCode::Token]), [4], "it was over in between");
    }
}
