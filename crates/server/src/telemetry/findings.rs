//! What needs somebody now, as the last runs found it.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cleanup_core::moment::Moment;
use cleanup_core::report::{Finding, FindingCode, FoundBy, Report};
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
        let (is_sweep, silence) = (report.trigger.is_sweep(), report.silence());
        let is_over = |finding: &Finding| match &finding.policy {
            None => silence.has_looked_for(finding.code),
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

/// Whether the silence of a run that covers few files says anything.
fn is_found_by_every_run(code: FindingCode) -> bool {
    code.found_by() == FoundBy::EveryRun
}

#[cfg(test)]
mod tests {
    use cleanup_core::report::{PolicyKind, PolicyReport, Skip, Tally, Trigger};

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
