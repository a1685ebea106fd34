//! The exit code: the one thing that every script reads.
//!
//! Each thing that went wrong is a [`Fault`]; where several did, the first of 78, 1, 4, 69, 3, 75 is reported. A
//! usage error (2) ends the program before anything could go wrong beside it.

use std::process::ExitCode;

use cleanup_core::report::{PolicyStatus, Report, Skip};

/// What the program ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// 0: done, nothing to do, or a session policy was skipped.
    Done,
    /// 2: the command line asks for something that does not exist or makes no sense.
    Usage,
    /// 2 as well: a plan was asked whether there is anything to do (`--detailed-exitcode`), and there is.
    Changes,
    /// What went wrong.
    Fault(Fault),
}

/// What went wrong, the first to report first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// 78: the configuration cannot be found, trusted, read or understood.
    Configuration,
    /// 1: a policy could not run, or the command could not do its work.
    Failed,
    /// 4: a safety brake held a policy back.
    Held,
    /// 69: a database is away, and `--strict` was given.
    Away,
    /// 3: finished, but some items could not be removed, or a limit is not met.
    Unfinished,
    /// 75: another sweep holds the lock.
    Locked,
}

/// Whether a database that is away counts as a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strictness {
    /// It is a skipped policy, and the next run is the retry.
    Lenient,
    /// `--strict`
    Strict,
}

impl Code {
    /// Of everything that went wrong, the first to report.
    pub(crate) fn of(faults: impl IntoIterator<Item = Fault>) -> Self {
        faults.into_iter().min().map_or(Self::Done, Self::Fault)
    }

    /// This code, and one more thing that went wrong.
    pub(crate) fn and(self, fault: Fault) -> Self {
        match self {
            Self::Usage => Self::Usage,
            Self::Fault(other) => Self::of([other, fault]),
            Self::Done | Self::Changes => Self::Fault(fault),
        }
    }

    /// Help and version end with 0, everything else that clap says with 2.
    pub(crate) fn from_clap(message: &clap::Error) -> Self {
        if message.use_stderr() { Self::Usage } else { Self::Done }
    }

    fn number(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Usage | Self::Changes => 2,
            Self::Fault(Fault::Configuration) => 78,
            Self::Fault(Fault::Failed) => 1,
            Self::Fault(Fault::Held) => 4,
            Self::Fault(Fault::Away) => 69,
            Self::Fault(Fault::Unfinished) => 3,
            Self::Fault(Fault::Locked) => 75,
        }
    }
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        code.number().into()
    }
}

/// Everything that went wrong in a sweep.
pub(crate) fn faults(report: &Report, strictness: Strictness) -> Vec<Fault> {
    let mut faults = Vec::new();
    for policy in &report.policies {
        faults.extend(status_fault(policy.status));
        let is_away = policy.skipped == Some(Skip::DatabaseAway);
        faults.extend((is_away && strictness == Strictness::Strict).then_some(Fault::Away));
        faults.extend((policy.skipped == Some(Skip::Locked)).then_some(Fault::Locked));
    }
    faults
}

/// What a policy's status means for the exit code.
pub(crate) fn status_fault(status: PolicyStatus) -> Option<Fault> {
    match status {
        PolicyStatus::Ok | PolicyStatus::Skipped => None,
        PolicyStatus::Partial => Some(Fault::Unfinished),
        PolicyStatus::Held => Some(Fault::Held),
        PolicyStatus::Failed | PolicyStatus::Interrupted => Some(Fault::Failed),
    }
}

#[cfg(test)]
mod tests {
    use cleanup_core::moment::Moment;
    use cleanup_core::report::{PolicyKind, PolicyReport, Tally, Trigger};

    use super::*;

    #[test]
    fn the_first_of_78_1_4_69_3_75_is_reported() {
        use Fault::{Away, Configuration, Failed, Held, Locked, Unfinished};
        for (faults, number) in [
            (vec![], 0),
            (vec![Configuration], 78),
            (vec![Failed], 1),
            (vec![Held], 4),
            (vec![Away], 69),
            (vec![Unfinished], 3),
            (vec![Locked], 75),
            (vec![Locked, Unfinished, Away, Held, Failed, Configuration], 78),
            (vec![Locked, Unfinished, Away, Held, Failed], 1),
            (vec![Locked, Unfinished, Away, Held], 4),
            (vec![Locked, Unfinished, Away], 69),
            (vec![Locked, Unfinished], 3),
        ] {
            assert_eq!(Code::of(faults.clone()).number(), number, "{faults:?}");
            assert_eq!(Code::of(faults.iter().rev().copied()).number(), number, "{faults:?}, reversed");
            let one_by_one = faults.iter().fold(Code::Done, |code, fault| code.and(*fault));
            assert_eq!(one_by_one.number(), number, "{faults:?}, one by one");
        }
    }

    #[test]
    fn a_fault_outweighs_changes_and_is_outweighed_by_wrong_usage() {
        assert_eq!(Code::Changes.and(Fault::Failed).number(), 1);
        assert_eq!(Code::Usage.and(Fault::Failed).number(), 2);
    }

    #[test]
    fn every_outcome_of_a_policy_has_its_code() {
        let name = "p";
        let ok = || PolicyReport::finished(name, PolicyKind::Files, Tally::default());
        let skipped = |skip| PolicyReport::skipped(name, PolicyKind::Sessions, skip, "why".to_owned());
        let partial = PolicyReport { status: PolicyStatus::Partial, ..ok() };
        let held = PolicyReport { status: PolicyStatus::Held, ..ok() };
        let failed = PolicyReport::failed(name, PolicyKind::Files, "why".to_owned());
        for (policies, lenient, strict) in [
            (vec![], 0, 0),
            (vec![ok()], 0, 0),
            (vec![skipped(Skip::NoRoot)], 0, 0),
            (vec![skipped(Skip::NoDatabase)], 0, 0),
            (vec![skipped(Skip::DatabaseAway)], 0, 69),
            (vec![skipped(Skip::Busy)], 0, 0),
            (vec![skipped(Skip::Locked)], 75, 75),
            (vec![skipped(Skip::AnotherNode)], 0, 0),
            (vec![partial.clone()], 3, 3),
            (vec![held.clone()], 4, 4),
            (vec![failed.clone()], 1, 1),
            (vec![partial.clone(), held.clone()], 4, 4),
            (vec![partial, skipped(Skip::DatabaseAway)], 3, 69),
            (vec![held, failed, ok()], 1, 1),
        ] {
            let report =
                Report::new(String::new(), Trigger::Manual, false, Moment::EPOCH, Moment::EPOCH, policies.clone());
            let code = |strictness| Code::of(faults(&report, strictness)).number();
            let codes = (code(Strictness::Lenient), code(Strictness::Strict));
            assert_eq!(codes, (lenient, strict), "{policies:?}");
        }
    }
}
