//! Watchers of the engine's own: what makes statistics and lists out of a plan.

use std::sync::Mutex;

use cleanup_core::candidate::{Candidate, Class};
use cleanup_core::moment::Moment;
use cleanup_core::policy::FilePolicy;
use cleanup_core::report::{PolicyReport, PolicyStatus, json_path};
use cleanup_core::sweep::Judged;

use crate::Watcher;
use crate::answer::{FileStats, Listed, PolicyStats};

/// Sums up what a plan says of one policy.
pub(crate) struct FileStatsWatcher {
    sum: Mutex<FileStats>,
}

impl FileStatsWatcher {
    pub(crate) fn new(policy: &FilePolicy) -> Self {
        let (root, _) = json_path(policy.root.as_os_str().as_encoded_bytes());
        Self { sum: Mutex::new(FileStats { root, ..FileStats::default() }) }
    }

    pub(crate) fn finish(self, report: PolicyReport) -> PolicyStats {
        let mut sum = self.sum.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        sum.errors_total = report.errors_total;
        let could_look = matches!(report.status, PolicyStatus::Ok | PolicyStatus::Partial);
        PolicyStats { files: could_look.then_some(sum), ..PolicyStats::without_numbers(report) }
    }
}

impl Watcher for FileStatsWatcher {
    fn judged(&self, _: &str, judged: &Judged<'_>) {
        let Candidate { class, bytes, stamp, .. } = judged.candidate;
        if class == Class::EmptyDirectory {
            return;
        }
        let mut sum = self.sum.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        sum.total_files += 1;
        sum.total_bytes += bytes;
        sum.archive_files += u64::from(class == Class::Archive);
        if judged.verdict.is_due() {
            sum.due_files += 1;
            sum.due_bytes += bytes;
        }
        let at = stamp.at;
        sum.oldest = Some(sum.oldest.map_or(at, |oldest| oldest.min(at)));
        sum.newest = Some(sum.newest.map_or(at, |newest| newest.max(at)));
        if let Some(until) = judged.verdict.kept_until() {
            sum.next_due_at = Some(sum.next_due_at.map_or(until, |next| next.min(until)));
        }
    }
}

/// Turns what a plan says into list entries.
pub(crate) struct ListWatcher<'a> {
    pub(crate) now: Moment,
    pub(crate) each: &'a (dyn Fn(&Listed) + Sync),
}

impl Watcher for ListWatcher<'_> {
    fn judged(&self, policy: &str, judged: &Judged<'_>) {
        let Judged { candidate, verdict, .. } = judged;
        if candidate.class == Class::EmptyDirectory {
            return;
        }
        let (path, path_bytes) = json_path(&candidate.name.to_bytes());
        let at = candidate.stamp.at;
        (self.each)(&Listed {
            policy: policy.to_owned(),
            path,
            path_bytes,
            bytes: candidate.bytes,
            stamp: at,
            age_seconds: self.now.unix_seconds().saturating_sub(at.unix_seconds()),
            due: verdict.is_due(),
            reason: verdict.reason(),
            kept_until: verdict.kept_until(),
        });
    }
}

impl PolicyStats {
    /// A policy that could not be looked at.
    pub(crate) fn without_numbers(report: PolicyReport) -> Self {
        let PolicyReport { name, kind, status, message, .. } = report;
        Self { name, kind, status, message, files: None, sessions: None }
    }
}
