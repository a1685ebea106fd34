//! Watchers of the engine's own: what makes statistics and lists out of a plan.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Mutex;

use cleanup_core::candidate::{Candidate, Class};
use cleanup_core::moment::Moment;
use cleanup_core::policy::FilePolicy;
use cleanup_core::report::{PolicyReport, PolicyStatus, json_path};
use cleanup_core::sweep::Judged;
use cleanup_core::verdict::{Keep, Remove, Verdict};

use crate::Watcher;
use crate::answer::{FileStats, Listed, NextToGo, PolicyStats};

/// How many of the files that would go next are named.
const NEXT: usize = 5;

/// Sums up what a plan says of one policy.
pub(crate) struct FileStatsWatcher {
    sum: Mutex<FileStats>,
    /// `None` for a policy without limits: there, age alone says what goes, and when.
    next: Option<Mutex<BinaryHeap<Next>>>,
}

/// A file by its place in the order in which files go.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Next {
    at: Moment,
    path: Vec<u8>,
    bytes: u64,
    due: bool,
}

impl FileStatsWatcher {
    pub(crate) fn new(policy: &FilePolicy) -> Self {
        let (root, _) = json_path(policy.root.as_os_str().as_encoded_bytes());
        let next = policy.limits.need_ranking().then(Mutex::default);
        Self { sum: Mutex::new(FileStats { root, ..FileStats::default() }), next }
    }

    pub(crate) fn finish(self, report: PolicyReport) -> PolicyStats {
        let mut sum = self.sum.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        sum.errors_total = report.errors_total;
        sum.limits.clone_from(&report.limits);
        let next = self.next.map(|next| next.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner));
        sum.next = next.unwrap_or_default().into_sorted_vec().iter().map(in_answer).collect();
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
        if let Some(next) = &self.next {
            offer(&mut next.lock().unwrap_or_else(std::sync::PoisonError::into_inner), judged);
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

/// Keeps the first few of those that nothing protects.
fn offer(next: &mut BinaryHeap<Next>, judged: &Judged<'_>) {
    let (stamp, due) = match judged.verdict {
        Verdict::Keep(Keep::WithinLimits { stamp, .. }) => (stamp, false),
        Verdict::Remove(Remove::Expired { stamp, .. } | Remove::OverLimit { stamp, .. }) => (stamp, true),
        Verdict::Keep(_) => return,
    };
    let Candidate { name, bytes, .. } = judged.candidate;
    let is_late = |last: &Next| (stamp.at, name.cmp_path(&last.path)) > (last.at, Ordering::Equal);
    if next.len() == NEXT && next.peek().is_some_and(is_late) {
        return;
    }
    next.push(Next { at: stamp.at, path: name.to_bytes(), bytes, due });
    if next.len() > NEXT {
        next.pop();
    }
}

fn in_answer(next: &Next) -> NextToGo {
    let (path, path_bytes) = json_path(&next.path);
    NextToGo { path, path_bytes, bytes: next.bytes, stamp: next.at, due: next.due }
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
