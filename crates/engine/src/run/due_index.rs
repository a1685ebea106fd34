//! The due index in one run: what the last sweep knows of young files, and what this one hands on.
//!
//! It serves whole sweeps of policies in which time alone decides. Where anything else may keep or take a file (a hold,
//! a registration, a reference, a limit, another clock), and where somebody wants to see for himself (a dry run,
//! `--force`, another threshold for one run), every file is looked at, and the index stays as it is.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cleanup_core::candidate::Candidate;
use cleanup_core::index::{Entry, Index};
use cleanup_core::judge::Run;
use cleanup_core::moment::Moment;
use cleanup_core::policy::{AgeClock, Effect, FilePolicy, Indexing as Wanted, Unit};
use cleanup_core::report::PolicyReport;
use cleanup_core::store::Seen;
use cleanup_core::sweep::{Judged, Observer};
use cleanup_fs_store::Store;
use cleanup_state::{About, IndexWriter, Remembered};

use crate::state::run_state::RunState;

/// Maximum age of an index. After it every file is looked at again, so a timestamp that was set back is noticed within
/// 24 h.
const LOOK_AT_ALL_EVERY: Duration = Duration::from_hours(24);

/// The index of one sweep.
pub(crate) struct Indexing {
    known: Option<Arc<Index>>,
    seed: u64,
    writing: Mutex<Writing>,
}

struct Writing {
    writer: IndexWriter,
    /// The first thing that went wrong. Nothing is written after it.
    error: Option<io::Error>,
}

impl Indexing {
    /// For a sweep of all files of a policy; `None` where every file is to be looked at.
    pub(crate) fn begin(policy: &FilePolicy, run: &Run, store: &Store<'_>, state: &RunState) -> Option<Self> {
        let about = about(policy, run, store)?;
        let known = fresh(policy, &about, run, state);
        let begun_at = known.as_ref().map_or(run.now, |known| known.begun_at);
        let writer = state.begin_index(policy, &about, begun_at)?;
        let seed = writer.seed();
        let known = known.map(|known| Arc::new(known.index));
        Some(Self { known, seed, writing: Mutex::new(Writing { writer, error: None }) })
    }

    /// What need not be looked at.
    pub(crate) fn known(&self) -> Option<Arc<Index>> {
        self.known.clone()
    }

    /// Notes what another observer sees as well.
    pub(crate) fn noting<'a>(&'a self, observer: &'a dyn Observer) -> Noting<'a> {
        Noting { indexing: self, observer }
    }

    /// Leaves what is known now to the next sweep, or says that it cannot.
    pub(crate) fn hand_on(self, report: &PolicyReport, state: &mut RunState) {
        if let Err(error) = self.write(report) {
            let name = &report.name;
            state.note(format!("cannot save the index of {name}, so its next sweep scans every file: {error}"));
        }
    }

    /// What a run that saw only a part of the files has not seen may still be there.
    fn write(self, report: &PolicyReport) -> io::Result<()> {
        let Writing { mut writer, error } = self.writing.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = error {
            return Err(error);
        }
        if let Some(known) = &self.known {
            let stays = if report.in_part { known.len() } else { known.recalled().count() };
            // A few that are gone do no harm.
            if writer.is_empty() && stays >= known.len() - known.len() / 8 {
                return Ok(());
            }
            if report.in_part {
                known.entries().try_for_each(|entry| writer.add(entry))?;
            } else {
                known.recalled().try_for_each(|entry| writer.add(entry))?;
            }
        }
        writer.keep()
    }
}

/// Until when sweeps pass by a candidate that is due, at the latest: one whose stamp was set back after it was judged.
/// `None` where the next sweep looks at it.
pub(crate) fn passed_by_until(
    policy: &FilePolicy,
    run: &Run,
    store: &Store<'_>,
    state: &RunState,
    candidate: &Candidate<'_>,
) -> Option<Moment> {
    let known = fresh(policy, &about(policy, run, store)?, run, state)?;
    let until = known.index.passes_by_until(candidate.identity?.inode, candidate.name.last)?;
    Some(until.min(known.begun_at.plus(LOOK_AT_ALL_EVERY)))
}

/// What an index of this policy is about; `None` where there can be none.
///
/// Takes the policy and the run apart without `..`: whoever adds a rule is asked here whether it can keep or take a file
/// before its time has come.
fn about(policy: &FilePolicy, run: &Run, store: &Store<'_>) -> Option<About> {
    let FilePolicy {
        // They are part of what an index was made for.
        rule,
        stamp,
        // By these, time alone does not decide.
        unit,
        age_clock,
        limits,
        references,
        // Nothing is removed by it, or somebody does not want one.
        effect,
        indexing,
        // Which folder it is, is asked of the store.
        root: _,
        root_may_be_missing: _,
        // What they name is asked before the index is.
        patterns: _,
        depth: _,
        empty_dirs: _,
        // What becomes of what is due, and how much of it goes.
        dispose: _,
        in_use: _,
        root_lock: _,
        brakes: _,
        // When it runs.
        track: _,
        schedule: _,
        enabled: _,
    } = policy;
    let Run { holds, registrations, now: _, running: _, referenced: _, cutoffs: _, brakes: _ } = run;
    let by_time_alone = *unit == Unit::File
        && *age_clock == AgeClock::Wall
        && !limits.need_ranking()
        && references.is_none()
        && holds.is_empty()
        && registrations.is_empty();
    let is_wanted = *indexing == Wanted::Remember && *effect == Effect::Enforce;
    let (root, file_system) = (store.root_id(), store.file_system());
    (is_wanted && by_time_alone).then(|| About(format!("{rule:?} by {stamp:?} in {root:?} on {file_system:?}")))
}

/// The index that the last sweep has left, unless it is time to look at all files again.
fn fresh(policy: &FilePolicy, about: &About, run: &Run, state: &RunState) -> Option<Remembered> {
    let is_fresh = |it: &Remembered| run.now.since(it.begun_at).is_some_and(|age| age < LOOK_AT_ALL_EVERY);
    state.index(policy, about, run.now).filter(is_fresh)
}

/// Writes down from when on each file can be due.
pub(crate) struct Noting<'a> {
    indexing: &'a Indexing,
    observer: &'a dyn Observer,
}

impl Observer for Noting<'_> {
    fn judged(&self, judged: &Judged<'_>) {
        if let Some(entry) = Entry::of(judged, self.indexing.seed) {
            let mut writing = self.indexing.writing.lock().unwrap_or_else(PoisonError::into_inner);
            if writing.error.is_none() {
                writing.error = writing.writer.add(entry).err();
            }
        }
        self.observer.judged(judged);
    }

    fn deferred(&self, candidate: &Candidate<'_>) {
        self.observer.deferred(candidate);
    }

    fn seen(&self, seen: Seen) {
        self.observer.seen(seen);
    }

    fn wants_to_stop(&self) -> bool {
        self.observer.wants_to_stop()
    }
}
