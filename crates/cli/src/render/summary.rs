//! The last line of a sweep: the sum. The only line that cron may see, and that only when there is something to say.

use std::fmt;

use cleanup_core::report::{PolicyKind, PolicyReport, PolicyStatus, Report, Trigger};
use cleanup_core::size::HumanBytes;
use cleanup_core::words::Number;

/// The last line.
pub(crate) struct Summary<'a>(pub(crate) &'a Report);

impl Summary<'_> {
    /// Whether a reader who is not at a terminal should see it.
    pub(crate) fn is_news(&self) -> bool {
        let Self(report) = self;
        let is_wrong = |policy: &PolicyReport| !matches!(policy.status, PolicyStatus::Ok | PolicyStatus::Skipped);
        report.dry_run
            || report.totals.removed > 0
            || report.totals.quarantined > 0
            || self.sum(|policy| policy.counts.purged) > 0
            || self.sum(|policy| policy.counts.dirs_removed) > 0
            || report.policies.iter().any(is_wrong)
    }

    fn sum(&self, count: impl Fn(&PolicyReport) -> u64) -> u64 {
        self.swept().map(count).sum()
    }

    fn sum_of(&self, kind: PolicyKind, count: impl Fn(&PolicyReport) -> u64) -> u64 {
        self.swept().filter(|policy| policy.kind == kind).map(count).sum()
    }

    /// The policies that took something, or would: what a held one would have taken stays.
    fn swept(&self) -> impl Iterator<Item = &PolicyReport> {
        self.0.policies.iter().filter(|policy| policy.status != PolicyStatus::Held)
    }

    fn has_held(&self) -> bool {
        self.swept().count() < self.0.policies.len()
    }

    /// `3 files, 2 empty folders and 4 sessions`, leaving out what there is none of.
    fn things(&self, count: fn(&PolicyReport) -> u64, dirs: fn(&PolicyReport) -> u64) -> Option<String> {
        let parts: Vec<String> = [
            Number(self.sum_of(PolicyKind::Files, count), "file"),
            Number(self.sum(dirs), "empty folder"),
            Number(self.sum_of(PolicyKind::Sessions, count), "session"),
        ]
        .into_iter()
        .filter(|number| number.0 > 0)
        .map(|number| number.to_string())
        .collect();
        let (last, before) = parts.split_last()?;
        Some(if before.is_empty() { last.clone() } else { format!("{} and {last}", before.join(", ")) })
    }

    fn write_removed(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let totals = self.0.totals;
        let removed = self.things(|policy| policy.counts.removed, |policy| policy.counts.dirs_removed);
        let quarantined = self.things(|policy| policy.counts.quarantined, |_| 0);
        if self.0.trigger == Trigger::Restore {
            let bytes = HumanBytes(self.sum(|policy| policy.counts.restored_bytes));
            return write!(f, "Restored {}, {bytes}", Number(totals.restored, "file"));
        }
        match (removed, quarantined) {
            (None, None) if totals.due == 0 && !self.has_held() => f.write_str("Nothing was due")?,
            (None, None) => f.write_str("Nothing was removed")?,
            (Some(removed), None) => write!(f, "Removed {removed}")?,
            (None, Some(quarantined)) => write!(f, "Moved {quarantined} into quarantine")?,
            (Some(removed), Some(quarantined)) => {
                write!(f, "Removed {removed} and moved {quarantined} into quarantine")?;
            }
        }
        let bytes = self.sum(|policy| policy.counts.freed_by_removal() + policy.counts.quarantined_bytes);
        if bytes > 0 {
            // What lies in quarantine still takes up its room.
            let freed = if totals.quarantined > 0 { "" } else { "freed " };
            write!(f, ", {freed}{}", HumanBytes(bytes))?;
        }
        let purged = self.sum(|policy| policy.counts.purged);
        if purged > 0 {
            let bytes = HumanBytes(self.sum(|policy| policy.counts.purged_bytes));
            write!(f, "; permanently deleted {} from quarantine, freed {bytes}", Number(purged, "file"))?;
        }
        Ok(())
    }
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(report) = self;
        if report.dry_run {
            match self.things(|policy| policy.counts.due, |policy| policy.counts.dirs_due) {
                None if self.has_held() => f.write_str("Dry run: would remove nothing")?,
                None => f.write_str("Dry run: nothing is due")?,
                Some(due) => {
                    write!(f, "Dry run: would remove {due}")?;
                    let bytes = self.sum(|policy| policy.counts.due_bytes);
                    if bytes > 0 {
                        write!(f, ", {}", HumanBytes(bytes))?;
                    }
                }
            }
            f.write_str("; nothing was deleted")?;
        } else {
            self.write_removed(f)?;
        }
        let with = |status| report.policies.iter().filter(|policy| policy.status == status).count() as u64;
        let (failed, held) = (with(PolicyStatus::Failed), with(PolicyStatus::Held));
        match (report.totals.errors, report.dry_run) {
            (0, _) => {}
            (errors, true) => write!(f, "; {} could not be inspected", Number(errors, "item"))?,
            (errors, false) if report.trigger == Trigger::Restore => {
                write!(f, "; {} could not be restored", Number(errors, "item"))?;
            }
            (errors, false) => write!(f, "; {} could not be removed", Number(errors, "item"))?,
        }
        if failed > 0 {
            write!(f, "; {} could not run", Number(failed, "policy"))?;
        }
        if held > 0 {
            write!(f, "; {} held back", Number(held, "policy"))?;
            let is_held = |policy: &&PolicyReport| policy.status == PolicyStatus::Held;
            let due: u64 = report.policies.iter().filter(is_held).map(|policy| policy.counts.due).sum();
            if report.dry_run && due > 0 {
                write!(f, ", with {} due", Number(due, "item"))?;
            }
        }
        f.write_str(".")
    }
}

#[cfg(test)]
mod tests {
    use cleanup_core::moment::Moment;
    use cleanup_core::report::{Counts, Skip, Trigger};

    use super::*;

    fn line(dry_run: bool, policies: Vec<PolicyReport>) -> (String, bool) {
        let report = Report::new(String::new(), Trigger::Manual, dry_run, Moment::EPOCH, Moment::EPOCH, policies);
        (Summary(&report).to_string(), Summary(&report).is_news())
    }

    fn policy(kind: PolicyKind, status: PolicyStatus, counts: &Counts, errors_total: u64) -> PolicyReport {
        PolicyReport {
            status,
            counts: *counts,
            errors_total,
            ..PolicyReport::skipped("p", kind, Skip::NoRoot, String::new())
        }
    }

    #[test]
    fn the_sum_is_one_sentence() {
        use PolicyKind::{Files, Sessions};
        use PolicyStatus::{Failed, Ok, Partial, Skipped};
        let files = Counts {
            due: 1234,
            due_bytes: 5_000_000,
            removed: 1233,
            bytes_freed: 4_900_000,
            removed_bytes: 4_900_000,
            ..Counts::default()
        };
        let plan = Counts { due: 1, due_bytes: 4096, dirs_due: 2, ..Counts::default() };
        let rows = Counts { due: 7, removed: 7, ..Counts::default() };
        let none = Counts::default();
        let cases = [
            line(false, vec![policy(Files, Ok, &none, 0), policy(Files, Skipped, &none, 0)]),
            line(false, vec![policy(Files, Partial, &files, 1), policy(Sessions, Ok, &rows, 0)]),
            line(false, vec![policy(Files, Failed, &none, 0)]),
            line(true, vec![policy(Files, Ok, &plan, 0), policy(Sessions, Ok, &rows, 0)]),
            line(true, vec![policy(Files, Ok, &none, 0)]),
        ];
        let shown: Vec<String> = cases.iter().map(|(line, is_news)| format!("{is_news:5} {line}")).collect();
        insta::assert_snapshot!(shown.join("\n"), @"
        false Nothing was due.
        true  Removed 1,233 files and 7 sessions, freed 4.9 MB; 1 item could not be removed.
        true  Nothing was due; 1 policy could not run.
        true  Dry run: would remove 1 file, 2 empty folders and 7 sessions, 4.1 kB; nothing was deleted.
        true  Dry run: nothing is due; nothing was deleted.
        ");
    }
}
