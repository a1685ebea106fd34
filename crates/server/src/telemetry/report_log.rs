//! What went wrong beside the work, in the log: what runs found, and what befell the memory between them.
//!
//! A fault that lasts would be said with every run, and nobody reads a log that repeats itself each minute. So a note is
//! logged when it is new for a policy, again when it comes back after a run without it, and once a day while it lasts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use cleanup_core::report::{Finding, Report, Trigger};

use super::logs;

/// After so long it is said again.
const AGAIN: Duration = Duration::from_hours(24);

/// Notes that are remembered for each policy; beyond them the oldest knowledge is forgotten, and said again.
const MOST: usize = 200;

/// Policies that a line names one by one.
const NAMED: usize = 3;

/// Where a note comes from. What one kind of run says is not taken back by the silence of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Sweep,
    DryRun,
    Deadlines,
    /// Between runs, while files are tracked: silence means nothing there.
    Tracking,
}

/// What was logged already, and when.
#[derive(Debug, Default)]
pub(crate) struct ReportLog(Mutex<BTreeMap<(Source, String), BTreeMap<String, Instant>>>);

impl ReportLog {
    /// Logs what is new in a report.
    pub(crate) fn of_run(&self, report: &Report) {
        let source = match (report.dry_run, report.trigger) {
            (true, _) => Source::DryRun,
            (false, Trigger::Deadline) => Source::Deadlines,
            (false, Trigger::Manual | Trigger::Schedule | Trigger::Pressure | Trigger::Restore | Trigger::Reload) => {
                Source::Sweep
            }
        };
        if report.new_memory {
            // At a first start there is nothing wrong with that.
            tracing::info!(
                run_id = report.run_id,
                "no state was found, so a new one starts: earlier holds, if any, are lost"
            );
        }
        // What a sweep finds of its policies is told with what came of them, run by run.
        let is_ours = |finding: &&Finding| finding.policy.is_none() || source == Source::Deadlines;
        let found: Vec<&Finding> = report.findings.iter().filter(is_ours).collect();
        let policies: Vec<&str> = report.policies.iter().map(|policy| policy.name.as_str()).collect();
        let texts: Vec<String> = found.iter().map(|finding| finding.text.clone()).collect();
        let fresh = self.fresh(source, &policies, &texts, Instant::now());
        for finding in found.into_iter().filter(|finding| fresh.contains(&finding.text)) {
            logs::tell_of_finding(finding, &named(&policies), &report.run_id);
        }
    }

    /// Logs what is new of what befell the memory between runs.
    pub(crate) fn of_tracking(&self, policy: Option<&str>, notes: &[String]) {
        let policies: Vec<&str> = policy.into_iter().collect();
        for note in self.fresh(Source::Tracking, &policies, notes, Instant::now()) {
            // A field without a value is left out.
            tracing::warn!(policy, "{note}");
        }
    }

    /// Those of these notes that are to be logged now.
    fn fresh(&self, source: Source, policies: &[&str], notes: &[String], now: Instant) -> Vec<String> {
        let keys: Vec<_> = if policies.is_empty() { vec![""] } else { policies.to_vec() };
        let notes: BTreeSet<&String> = notes.iter().collect();
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut fresh = Vec::new();
        for note in &notes {
            let is_known = |policy: &&str| {
                let known = told.get(&(source, (*policy).to_owned()));
                let at = known.and_then(|known| known.get(*note));
                at.is_some_and(|at| now.saturating_duration_since(*at) < AGAIN)
            };
            if keys.iter().all(is_known) {
                continue;
            }
            fresh.push((*note).clone());
            for policy in &keys {
                let known = told.entry((source, (*policy).to_owned())).or_default();
                if known.len() >= MOST {
                    known.clear();
                }
                known.insert((*note).clone(), now);
            }
        }
        if source != Source::Tracking {
            for policy in &keys {
                if let Some(known) = told.get_mut(&(source, (*policy).to_owned())) {
                    known.retain(|note, _| notes.contains(note));
                }
            }
        }
        fresh
    }
}

fn named(policies: &[&str]) -> String {
    match policies.len() {
        0..=NAMED => policies.join(", "),
        many => format!("{} and {} more", policies[..NAMED].join(", "), many - NAMED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn notes(notes: &[&str]) -> Vec<String> {
        notes.iter().map(|note| (*note).to_owned()).collect()
    }

    #[test]
    fn a_note_is_said_when_it_is_new_and_when_it_comes_back_and_once_a_day() {
        let (told, begun) = (ReportLog::default(), Instant::now());
        let said =
            |minutes: u32, wanted: &[&str]| told.fresh(Source::Sweep, &["a"], &notes(wanted), begun + MINUTE * minutes);
        assert_eq!(said(0, &[]), notes(&[]));
        assert_eq!(said(1, &["full"]), notes(&["full"]));
        assert_eq!(said(2, &["full"]), notes(&[]), "the same again");
        assert_eq!(said(3, &["full", "gone", "gone"]), notes(&["gone"]), "the new one alone, and once");
        assert_eq!(said(4, &["gone"]), notes(&[]));
        assert_eq!(said(5, &["full", "gone"]), notes(&["full"]), "it was away");
        assert_eq!(said(24 * 60 + 2, &["full", "gone"]), notes(&[]));
        assert_eq!(said(24 * 60 + 3, &["full", "gone"]), notes(&["gone"]), "a day later");
        assert_eq!(said(24 * 60 + 5, &["full", "gone"]), notes(&["full"]));
        assert_eq!(said(24 * 60 + 6, &["full", "gone"]), notes(&[]));
    }

    #[test]
    fn policies_and_kinds_of_runs_speak_for_themselves() {
        let (told, now) = (ReportLog::default(), Instant::now());
        let said = |source, policies: &[&str], wanted: &[&str]| told.fresh(source, policies, &notes(wanted), now).len();
        assert_eq!(said(Source::Sweep, &["a"], &["full"]), 1);
        assert_eq!(said(Source::Sweep, &["b"], &["full"]), 1, "for another policy");
        assert_eq!(said(Source::Sweep, &["a", "b"], &["full"]), 0, "known of both");
        assert_eq!(said(Source::Sweep, &["a", "c"], &["full"]), 1, "not of one");
        assert_eq!(said(Source::Sweep, &["c"], &["full"]), 0);
        assert_eq!(said(Source::Sweep, &["b"], &[]), 0);
        assert_eq!(said(Source::Sweep, &["b"], &["full"]), 1, "away for b");
        assert_eq!(said(Source::Sweep, &["a"], &["full"]), 0, "and not for a");
        assert_eq!(said(Source::DryRun, &["a"], &["full"]), 1);
        assert_eq!(said(Source::Deadlines, &["a"], &[]), 0, "its silence says nothing of sweeps");
        assert_eq!(said(Source::Sweep, &["a"], &["full"]), 0);
        assert_eq!(said(Source::Tracking, &["a"], &["full"]), 1);
        assert_eq!(said(Source::Tracking, &["a"], &[]), 0);
        assert_eq!(said(Source::Tracking, &["a"], &["full"]), 0, "between runs silence says nothing");
        assert_eq!(said(Source::Sweep, &[], &["full"]), 1, "a run without policies");
    }

    #[test]
    fn what_is_remembered_of_notes_is_bounded() {
        let (told, now) = (ReportLog::default(), Instant::now());
        for number in 0..10 * MOST {
            told.fresh(Source::Tracking, &["a"], &[number.to_string()], now);
        }
        let known = told.0.lock().unwrap().values().map(BTreeMap::len).sum::<usize>();
        assert!(known <= MOST, "{known}");
    }

    #[test]
    fn a_line_names_a_few_policies() {
        assert_eq!(named(&["a", "b", "c"]), "a, b, c");
        assert_eq!(named(&["a", "b", "c", "d", "e"]), "a, b, c and 2 more");
    }
}
