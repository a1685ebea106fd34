//! Statistics and lists, from the same plan as a dry run.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Mutex;
use std::time::Duration;

use cleanup_core::candidate::{Candidate, Class};
use cleanup_core::moment::Moment;
use cleanup_core::policy::FilePolicy;
use cleanup_core::report::{FORMAT_VERSION, PolicyReport, PolicyStatus, json_path};
use cleanup_core::sweep::Judged;
use cleanup_core::verdict::{Keep, Remove, Verdict};

use crate::clock;
use crate::engine::Engine;
use crate::request::RequestError;
use crate::responses::track::ForecastHour;
use crate::responses::{AgeBand, FileStats, Listed, NextToGo, PolicyStats, Stats};
use crate::run::min_free::{SharedCutoffs, shared_cutoffs};
use crate::run::observers::Watcher;
use crate::run::{request, sessions};
use crate::setup::Selected;
use crate::state::run_state::{Access, Shared};

/// Where the bands of ages end, in seconds: ten minutes, an hour, six, a day, a week, thirty days, a year.
const AGES: [u64; 7] = [600, 3600, 21_600, 86_400, 604_800, 2_592_000, 31_536_000];

/// Number of hours in the forecast.
const HOURS: u32 = 24;
const HOUR: Duration = Duration::from_hours(1);

/// How many of the next files are listed.
const NEXT: usize = 5;

impl Engine {
    /// Current statistics by policy.
    pub fn stats(&self, policies: &[String]) -> Result<Stats, RequestError> {
        let setup = &self.setup;
        let selected = setup.select(policies)?;
        let state = Shared::from(setup.state(Access::Look));
        let shared = self.look_at_space(&selected, &state);
        let files = selected.files.into_iter().map(|policy| {
            let now = clock::now();
            let watcher = FileStatsWatcher::new(policy, now);
            let report = request::look(setup, &state, policy, now, &shared, &watcher);
            watcher.finish(report)
        });
        let policies = files.chain(sessions::stats(&selected.sessions, &setup.folder)).collect();
        Ok(Stats { format_version: FORMAT_VERSION, policies })
    }

    /// Calls `each` for every file that a policy matches, in the order of the walk. Returns the status of the policies.
    pub fn list(
        &self,
        policies: &[String],
        each: &(dyn Fn(&Listed) + Sync),
    ) -> Result<Vec<PolicyReport>, RequestError> {
        let selected = self.setup.select(policies)?;
        let watcher = ListWatcher { now: clock::now(), each };
        let state = Shared::from(self.setup.state(Access::Look));
        let shared = self.look_at_space(&selected, &state);
        let look = |policy: &FilePolicy| request::look(&self.setup, &state, policy, watcher.now, &shared, &watcher);
        Ok(selected.files.into_iter().map(look).collect())
    }

    fn look_at_space(&self, selected: &Selected<'_>, state: &Shared) -> SharedCutoffs {
        let policies = selected.files.iter().copied();
        shared_cutoffs(&self.setup, state, policies, clock::now(), &()).unwrap_or_default()
    }
}

/// Sums up a plan of one policy.
struct FileStatsWatcher {
    now: Moment,
    sum: Mutex<FileStats>,
    /// `None` for a policy without limits, where only age decides.
    next: Option<Mutex<BinaryHeap<Next>>>,
}

/// A file by its position in the order of removal.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Next {
    at: Moment,
    path: Vec<u8>,
    bytes: u64,
    due: bool,
}

impl FileStatsWatcher {
    fn new(policy: &FilePolicy, now: Moment) -> Self {
        let (root, _) = json_path(policy.root.as_os_str().as_encoded_bytes());
        let bands = AGES.into_iter().map(Some).chain([None]);
        let ages = bands.map(|below_seconds| AgeBand { below_seconds, files: 0, bytes: 0 }).collect();
        let hour = |number| ForecastHour { from: now.plus(HOUR * number), files: 0, bytes: 0 };
        let next_hours = (0..HOURS).map(hour).collect();
        let next = policy.limits.need_ranking().then(Mutex::default);
        Self { now, sum: Mutex::new(FileStats { root, ages, next_hours, ..FileStats::default() }), next }
    }

    fn finish(self, report: PolicyReport) -> PolicyStats {
        let mut sum = self.sum.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        sum.dotfiles = report.counts.dotfiles;
        sum.errors_total = report.errors_total;
        sum.owned_by_others = report.counts.owned_by_others;
        sum.disputed_files = report.counts.kept.disputed;
        sum.disputed_with.clone_from(&report.disputed_with);
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
        // What is stamped in the future is as young as can be.
        let age = self.now.since(at).unwrap_or_default();
        if let Some(band) = sum.ages.iter_mut().find(|band| band.below_seconds.is_none_or(|end| age.as_secs() < end)) {
            band.files += 1;
            band.bytes += bytes;
        }
        if let Some(until) = judged.verdict.kept_until() {
            let ahead = until.since(self.now).unwrap_or_default();
            let hour = usize::try_from(ahead.as_secs() / HOUR.as_secs()).unwrap_or(usize::MAX);
            if let Some(hour) = sum.next_hours.get_mut(hour) {
                hour.files += 1;
                hour.bytes += bytes;
            }
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

/// Turns the verdicts of a plan into list entries.
struct ListWatcher<'a> {
    now: Moment,
    each: &'a (dyn Fn(&Listed) + Sync),
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
    /// A policy that could not be inspected.
    pub(crate) fn without_numbers(report: PolicyReport) -> Self {
        let PolicyReport { name, kind, status, message, .. } = report;
        Self { name, kind, status, message, files: None, sessions: None }
    }
}
