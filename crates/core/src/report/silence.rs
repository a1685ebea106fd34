//! What the silence of a run says: which earlier findings are over because this run did not find them again.

use std::collections::BTreeMap;

use super::{FindingCode, FoundBy, PolicyKind, PolicyReport, PolicyStatus, Report, Skip, Trigger};

/// Which findings a run would have found if they still were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    is_sweep: bool,
    /// Whether anything was to be written into the audit log.
    wrote: bool,
    /// Whether a file policy got past the question for promises.
    asked_for_promises: bool,
    policies: BTreeMap<String, Looked>,
}

/// How far the run of a policy came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Looked {
    /// To its end, or as far as it was let.
    Through,
    /// It found that its root is not there, as it may.
    ForRoot,
    /// The policy is switched off: nothing is expected of it.
    Off,
    /// Something kept it from looking.
    Not,
}

impl Looked {
    fn of(report: &PolicyReport) -> Self {
        match (report.status, report.skipped) {
            (PolicyStatus::Ok | PolicyStatus::Partial, _) => Self::Through,
            (PolicyStatus::Skipped, Some(Skip::Disabled) | None) => Self::Off,
            (PolicyStatus::Skipped, Some(Skip::NoRoot)) if !report.root_missing => Self::ForRoot,
            (
                PolicyStatus::Skipped,
                Some(
                    Skip::NoRoot
                    | Skip::Locked
                    | Skip::NoDatabase
                    | Skip::DatabaseAway
                    | Skip::Busy
                    | Skip::AnotherNode
                    | Skip::RootLocked,
                ),
            )
            | (PolicyStatus::Held | PolicyStatus::Failed | PolicyStatus::Interrupted, _) => Self::Not,
        }
    }
}

impl Report {
    /// Which earlier findings are over because this run did not find them again.
    pub fn silence(&self) -> Silence {
        let Self { trigger, policies, totals, .. } = self;
        let is_past_promises = |policy: &PolicyReport| {
            policy.kind == PolicyKind::Files && matches!(policy.status, PolicyStatus::Ok | PolicyStatus::Partial)
        };
        Silence {
            is_sweep: trigger.is_sweep(),
            wrote: totals.removed + totals.quarantined + totals.restored > 0
                || policies.iter().any(|policy| policy.counts.purged > 0),
            // A restore removes nothing, and asks for no promises.
            asked_for_promises: *trigger != Trigger::Restore && policies.iter().any(is_past_promises),
            policies: policies.iter().map(|policy| (policy.name.clone(), Looked::of(policy))).collect(),
        }
    }
}

impl Silence {
    /// Whether such a finding is over, unless the run found it again. A policy that was kept from looking (held back,
    /// locked, without its database) says nothing of what an earlier run of it found.
    pub fn ends(&self, code: FindingCode, policy: Option<&str>) -> bool {
        match policy {
            None => code.found_by() != FoundBy::Service && self.has_looked_for(code),
            Some(policy) => match (self.policies.get(policy), code.found_by()) {
                (None | Some(Looked::Not), _) | (_, FoundBy::Service) => false,
                (Some(Looked::Off), _) | (Some(Looked::Through), FoundBy::EveryRun) => true,
                (Some(Looked::Through), FoundBy::Sweeps) => self.is_sweep,
                (Some(Looked::ForRoot), _) => code == FindingCode::RootMissing,
            },
        }
    }

    /// Whether the run says anything of what concerns no policy. What no run finds is over with any of them.
    pub fn has_looked_for(&self, code: FindingCode) -> bool {
        match code {
            // A run that had nothing to write down says nothing of the log that it would have written to.
            FindingCode::Audit => self.wrote,
            // Only file policies ask for promises, and none gets past them while they are lost.
            FindingCode::PromisesLost | FindingCode::PromisesDamaged => self.asked_for_promises,
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moment::Moment;
    use crate::report::Tally;

    fn silence(trigger: Trigger, policies: Vec<PolicyReport>) -> Silence {
        Report::new("01A".to_owned(), trigger, false, Moment::EPOCH, Moment::EPOCH, policies).silence()
    }

    fn finished(name: &str) -> PolicyReport {
        PolicyReport::finished(name, PolicyKind::Files, Tally::default())
    }

    #[test]
    fn a_policy_that_was_kept_from_looking_ends_nothing() {
        let skipped = |skip| PolicyReport::skipped("a", PolicyKind::Files, skip, String::new());
        for kept in [
            skipped(Skip::Locked),
            skipped(Skip::RootLocked),
            skipped(Skip::DatabaseAway),
            PolicyReport::failed("a", PolicyKind::Files, String::new()),
            PolicyReport { root_missing: true, ..skipped(Skip::NoRoot) },
        ] {
            let silence = silence(Trigger::Schedule, vec![kept.clone()]);
            for code in [FindingCode::Held, FindingCode::Failed, FindingCode::LimitUnmet, FindingCode::RootMissing] {
                assert!(!silence.ends(code, Some("a")), "{code:?}: {kept:?}");
            }
        }
        let through = silence(Trigger::Schedule, vec![finished("a")]);
        assert!(through.ends(FindingCode::Held, Some("a")) && through.ends(FindingCode::LimitUnmet, Some("a")));
        assert!(!through.ends(FindingCode::Held, Some("b")), "it was about another policy");
        assert!(!through.ends(FindingCode::Watching, Some("a")), "no run finds that");
        assert!(silence(Trigger::Manual, vec![skipped(Skip::Disabled)]).ends(FindingCode::Held, Some("a")));
        let away = silence(Trigger::Manual, vec![skipped(Skip::NoRoot)]);
        assert!(away.ends(FindingCode::RootMissing, Some("a")), "it may be missing now");
        assert!(!away.ends(FindingCode::Errors, Some("a")));
    }

    #[test]
    fn a_deadline_ends_only_what_every_run_finds() {
        let deadline = silence(Trigger::Deadline, vec![finished("a")]);
        assert!(deadline.ends(FindingCode::Held, Some("a")));
        assert!(!deadline.ends(FindingCode::LimitUnmet, Some("a")));
    }
}
