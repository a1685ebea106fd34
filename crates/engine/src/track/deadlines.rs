//! Removes what is due: a run like any other, over just those files.
//!
//! What is different: its runs are summed up over some minutes before they are written into the history, and what came
//! of each file is taken into the table.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cleanup_core::clock_guard::{self, Jump, Reading};
use cleanup_core::moment::Moment;
use cleanup_core::policy::{Effect, Limits};
use cleanup_core::report::{Counts, PolicyKind, PolicyReport, PolicyStatus, Tally, Trigger};
use cleanup_core::store::Outcome;
use cleanup_core::sweep::{Judged, Mode};
use cleanup_core::verdict::Verdict;
use cleanup_fs_store::{Classified, Jobs, QuarantineRun, Store};
use cleanup_state::{BegunPolicy, BegunRun};

use super::table::{Entry, Known, Next, locked};
use super::{HOUR, Inner, Tracked};
use crate::clock;
use crate::run::observers::Watcher;
use crate::run::params::{Gates, RunParams};
use crate::run::record::{self, Recording, run_id};
use crate::run::scope::{Due, Scope};
use crate::run::{PolicyRun, gates, policy_run};
use crate::state::run_state::RunState;

/// Most files removed in one run; the rest follows at once.
const MOST: usize = 20_000;

/// When a file that could not be removed is tried again.
const AGAIN: Duration = Duration::from_mins(1);

/// How long removals are summed up.
const SUMMED: Duration = Duration::from_mins(10);

/// How often it is looked for what has been in quarantine long enough.
const FRESH: Duration = Duration::from_mins(1);

/// What was removed since it was last written into the history.
#[derive(Debug, Default)]
pub(super) struct Sum {
    tally: Tally,
    since: Option<Moment>,
    /// The run that it will be, as its quarantine knows it.
    run: Option<Arc<QuarantineRun>>,
    /// The same, as the history will know it.
    recording: Option<Recording>,
    /// When it was last looked for what has been in quarantine long enough.
    purged: Option<Duration>,
    /// By the clock that cannot be set.
    written_at: Option<Duration>,
    /// When the interval began in which `max_removals` counts, and how many it had.
    interval: Option<(Duration, u64)>,
}

/// Whether removals are written into the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// Yes.
    Now,
    /// If it was not done for some minutes.
    InTime,
}

impl Sum {
    /// How long until it is to be written; `None` when there is nothing to write.
    pub(super) fn until_written(&self, now: Duration) -> Option<Duration> {
        self.since?;
        let written_at = self.written_at?;
        Some((written_at + SUMMED).saturating_sub(now))
    }

    fn is_to_be_written(&self, now: Duration, when: When) -> bool {
        self.since.is_some() && (when == When::Now || self.until_written(now).is_none_or(|until| until.is_zero()))
    }
}

impl Inner {
    pub(super) fn remove_due(&self, tracked: &Tracked) -> PolicyReport {
        let name = tracked.name();
        let nothing = || PolicyReport::finished(name, PolicyKind::Files, Tally::default());
        if tracked.policy.effect == Effect::Observe {
            return nothing();
        }
        let come = || locked(&tracked.table).come(clock::now(), MOST);
        if come().is_empty() {
            return nothing();
        }
        self.catch_up(tracked);
        let mut due = come();
        if due.is_empty() {
            return nothing();
        }
        let mut all = Tally::default();
        let held = loop {
            match self.remove(tracked, &due) {
                Ok(tally) => all.add(tally),
                Err(report) => break Some(*report),
            }
            if due.len() < MOST || all.stopped.is_some() {
                break None;
            }
            due = come();
            if due.is_empty() {
                break None;
            }
        };
        tracked.hold(held.as_ref().and_then(|report| report.message.clone()));
        self.write_history(tracked, When::InTime);
        match held {
            Some(report) if all.counts.removed + all.counts.quarantined == 0 => match report.status {
                // It is tried again in a minute; what fails for good is the sweeps' to say.
                PolicyStatus::Failed => PolicyReport { status: PolicyStatus::Held, ..report },
                _ => report,
            },
            _ => PolicyReport::finished(name, PolicyKind::Files, all),
        }
    }

    /// Removes those of these files that are still due: a run over just them. An error says why nothing is removed now.
    fn remove(&self, tracked: &Tracked, due: &[Arc<[u8]>]) -> Result<Tally, Box<PolicyReport>> {
        let policy = &tracked.policy;
        let paths: Vec<&[u8]> = due.iter().map(|path| &**path).collect();
        let jump = {
            let mut state = self.state.lock();
            state.begin();
            // Something is about to be removed: whose it is, is asked anew.
            state.forget_roots();
            self.doubt_clock(&mut state).err()
        };
        let run_id = self.begin_run(tracked);
        let due_now = Due {
            paths: &paths,
            registrations: Self::registrations(tracked, &paths),
            table: Known { table: Arc::clone(&tracked.table), keeper: None },
            // However little is dealt with now.
            counts: Self::counts(tracked, (due.len() < MOST).then_some(due.len())),
            counts_all: tracked.knows_all_that_is_due(),
            max_removals: tracked.left_to_remove(),
            quarantine: tracked.quarantine_run(),
            purges: tracked.is_to_purge(),
        };
        let removing = Removing { inner: self, tracked, now: clock::now(), done: Mutex::default() };
        let params = RunParams {
            mode: Mode::Apply,
            gates: Gates::All,
            jump: jump.as_ref(),
            at: None,
            run_id: &run_id,
            trigger: Trigger::Deadline,
            asked_by: None,
            jobs: Jobs::default(),
            watcher: &removing,
        };
        let task = PolicyRun { policy, store: self.store(tracked), scope: Scope::Paths(&due_now), cutoffs: None };
        let result = policy_run(&self.engine.setup, &self.state, task, &params);
        let now = removing.now;
        let done = removing.done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.note_state(tracked);
        let Some(tally) = result.tally else {
            tracked.end_unused();
            return Err(Box::new(result.report));
        };
        // Before anybody hears of a single file.
        self.listener.bytes_went(tracked.name(), tally.counts.bytes_freed, tally.counts.quarantined_bytes);
        self.settle(tracked, due, &done, now);
        if let Some(recording) = &locked(&tracked.sum).recording {
            recording.policy_ended(&self.engine.setup, &result.report);
        }
        tracked.add(&tally, now);
        Ok(tally)
    }

    /// What a plan over all files would count, for the gates.
    fn counts(tracked: &Tracked, due: Option<usize>) -> Counts {
        let table = locked(&tracked.table);
        let due = due.unwrap_or_else(|| table.overdue(clock::now()));
        Counts { matched: table.len() as u64, due: due as u64, ..Counts::default() }
    }

    /// Passes on what happened to the memory, and closes what need not stay open.
    fn note_state(&self, tracked: &Tracked) {
        let notes = {
            let mut state = self.state.lock();
            state.rest();
            state.take_notes()
        };
        self.note(tracked, notes);
    }

    /// Writes down that removals begin which the history is told of some minutes later. Returns the id that their run
    /// will have.
    fn begin_run(&self, tracked: &Tracked) -> String {
        let run_id = tracked.quarantine_run().id().to_owned();
        let mut sum = locked(&tracked.sum);
        if sum.recording.is_none() {
            let policies = vec![BegunPolicy { name: tracked.name().to_owned(), kind: PolicyKind::Files }];
            let (trigger, started_at) = (Trigger::Deadline, clock::now());
            let run = BegunRun { run_id: run_id.clone(), trigger, asked_by: None, started_at, policies };
            sum.recording = Some(Recording::begin(&self.state, Mode::Apply, run));
        }
        run_id
    }

    /// Compares a policy with what it was in the last run, as soon as everything was looked at: what holds it back is
    /// said before anything is due, and what it is now is known to the next start.
    pub(super) fn doubt_at_first(&self, tracked: &Tracked, store: &Store<'_>) {
        let policy = &tracked.policy;
        let counts = Self::counts(tracked, None);
        let jump = {
            let mut state = self.state.lock();
            self.doubt_clock(&mut state).err()
        };
        let why = match jump {
            Some(jump) => Some(jump.to_string()),
            None => gates::at_start(&self.state, policy, store, &counts).err().map(|brake| brake.to_string()),
        };
        if why.is_none() {
            record::compare_next_start(&self.state, policy, store, &counts, tracked.knows_all_that_is_due());
        }
        self.note_state(tracked);
        if policy.effect == Effect::Enforce {
            tracked.hold(why);
        }
    }

    /// Whether the wall clock went on alike since the last time; if not, whether a later run has believed it.
    fn doubt_clock(&self, state: &mut RunState) -> Result<(), Jump> {
        let reading = state.reading().clone();
        let mut baseline = locked(&self.clock);
        let jump = match &*baseline {
            Some(last) => clock_guard::check(last, &reading).err(),
            None => state.doubt_clock().err(),
        };
        if let Some(jump) = jump.and_then(|jump| state.allow_correction(jump).err()) {
            let is_later = |last: &Reading| baseline.as_ref().is_none_or(|base| last.boot > base.boot);
            let believed = state.last_clock().filter(is_later);
            if believed.is_none_or(|last| clock_guard::check(&last, &reading).is_err()) {
                return Err(jump);
            }
        }
        *baseline = Some(reading);
        Ok(())
    }

    /// Takes what came of the files into the table.
    fn settle(&self, tracked: &Tracked, due: &[Arc<[u8]>], done: &HashMap<Vec<u8>, Fate>, now: Moment) {
        let mut gone = Vec::new();
        // Only where something was not even offered.
        let mut store = None;
        for path in due {
            match done.get(&**path) {
                Some(Fate::Removed { .. } | Fate::Vanished) => gone.push(Arc::clone(path)),
                Some(Fate::Stays { bytes, stamp, next }) => {
                    let mut table = locked(&tracked.table);
                    if let Some(known) = table.get(path).copied() {
                        let stamp = known.registration.map_or(*stamp, |it| it.counts_from(*stamp));
                        table.put(path, Entry { bytes: *bytes, stamp, next: *next, ..known });
                    }
                }
                // It was not even offered.
                None if self.is_stopping() => {}
                None => match store.get_or_insert_with(|| self.store(tracked)) {
                    Ok(store)
                        if !matches!(store.classify(path), Classified::Candidate(_) | Classified::Unreadable(_)) =>
                    {
                        gone.push(Arc::clone(path));
                    }
                    Ok(_) | Err(_) => locked(&tracked.table).look_again(path, now.plus(AGAIN)),
                },
            }
        }
        self.forget(tracked, &gone);
        // Told of when it is no longer counted: whoever hears of it may ask at once.
        for path in &gone {
            if let Some(Fate::Removed { bytes, lateness }) = done.get(&**path) {
                self.listener.removed(tracked.name(), path, *bytes, *lateness);
            }
        }
    }

    /// Writes what was removed into the history.
    pub(super) fn write_history(&self, tracked: &Tracked, when: When) {
        let boot = clock::boot();
        let (tally, recording) = {
            let mut sum = locked(&tracked.sum);
            if !sum.is_to_be_written(boot, when) {
                return;
            }
            sum.written_at = Some(boot);
            sum.since = None;
            sum.run = None;
            let Some(recording) = sum.recording.take() else { return };
            (std::mem::take(&mut sum.tally), recording)
        };
        let policy = PolicyReport::finished(tracked.name(), PolicyKind::Files, tally);
        let notes = std::mem::take(&mut *locked(&tracked.notes)).into_iter().collect();
        let clock_trusted = {
            let mut state = self.state.lock();
            state.begin();
            // A clock that has jumped since is not to become what the next run compares with.
            !state.is_without_clock() && self.doubt_clock(&mut state).is_ok()
        };
        let report = recording.end(&self.engine.setup, &self.state, vec![policy], notes, clock_trusted);
        self.state.lock().rest();
        self.listener.ran(&report);
    }
}

impl Tracked {
    /// Says why deadlines are not kept, once, or that they are.
    fn hold(&self, why: Option<String>) {
        let before = std::mem::replace(&mut *locked(&self.held), why.clone());
        if let Some(why) = why.filter(|why| before.as_ref() != Some(why)) {
            tracing::warn!(policy = self.name(), "deadlines are not kept: {why}");
        }
    }

    /// Whether the table knows of every file that a sweep would take by a changed rule. Where limits may ask for more,
    /// only a sweep can tell, and the rule stays a changed one until then.
    fn knows_all_that_is_due(&self) -> bool {
        let Limits { keep_newest: _, max_files, max_total_size, min_free } = &self.policy.limits;
        let by_time = max_files.is_none() && max_total_size.is_none() && min_free.is_none();
        by_time && self.sees_all.load(Ordering::SeqCst)
    }

    /// Ends a run of which nothing came.
    fn end_unused(&self) {
        let mut sum = locked(&self.sum);
        if sum.since.is_none() {
            sum.recording.take().into_iter().for_each(Recording::drop_unused);
        }
    }

    fn add(&self, tally: &Tally, now: Moment) {
        let mut sum = locked(&self.sum);
        if let Some((_, removed)) = &mut sum.interval {
            *removed += tally.counts.removed + tally.counts.quarantined;
        }
        let Counts { removed, quarantined, purged, bytes_freed, .. } = tally.counts;
        if removed + quarantined + purged + bytes_freed + tally.errors_total == 0 {
            // Nothing came of it. What was begun before is still to be written.
            drop(sum);
            self.end_unused();
            return;
        }
        let is_first = sum.since.is_none();
        sum.since.get_or_insert(now);
        sum.tally.add(tally.clone());
        drop(sum);
        // The thread knows by itself when the rest of the sum is to be written.
        if is_first {
            self.waker.wake();
        }
    }

    /// The run whose files go into quarantine now: the one that the sum will be.
    fn quarantine_run(&self) -> Arc<QuarantineRun> {
        let new = || Arc::new(QuarantineRun::new(run_id()));
        Arc::clone(locked(&self.sum).run.get_or_insert_with(new))
    }

    /// Whether it is time to look for what has been in quarantine long enough.
    fn is_to_purge(&self) -> bool {
        let now = clock::boot();
        let mut sum = locked(&self.sum);
        let is_time = sum.purged.is_none_or(|last| now >= last + FRESH);
        if is_time {
            sum.purged = Some(now);
        }
        is_time
    }

    /// How many files may be removed in this interval still; `None` when nothing limits it.
    fn left_to_remove(&self) -> Option<u64> {
        let max = self.policy.brakes.max_removals?;
        let length = self.every().unwrap_or(HOUR);
        let now = clock::boot();
        let mut sum = locked(&self.sum);
        match &mut sum.interval {
            Some((began, removed)) if now < *began + length => Some(max.saturating_sub(*removed)),
            interval => {
                *interval = Some((now, 0));
                Some(max)
            }
        }
    }
}

/// What became of one file.
enum Fate {
    Removed { bytes: u64, lateness: Duration },
    Vanished,
    Stays { bytes: u64, stamp: Moment, next: Next },
}

struct Removing<'a> {
    inner: &'a Inner,
    tracked: &'a Tracked,
    now: Moment,
    done: Mutex<HashMap<Vec<u8>, Fate>>,
}

impl Watcher for Removing<'_> {
    fn judged(&self, _: &str, judged: &Judged<'_>) {
        let Judged { candidate, verdict, outcome, .. } = judged;
        let path = candidate.name.to_bytes();
        let stays = |next| Fate::Stays { bytes: candidate.bytes, stamp: candidate.stamp.at, next };
        let fate = match (verdict, outcome) {
            (Verdict::Remove(_), Some(Outcome::Removed | Outcome::Quarantined)) => {
                let lateness = locked(&self.tracked.table)
                    .get(&path)
                    .and_then(|entry| clock::now().since(entry.next.at()?))
                    .unwrap_or_default();
                Fate::Removed { bytes: candidate.bytes, lateness }
            }
            (Verdict::Remove(_), Some(Outcome::Vanished)) => Fate::Vanished,
            // Looked at again with the next ones.
            (Verdict::Remove(_), Some(Outcome::Changed)) => stays(Next::Look(self.now)),
            (Verdict::Remove(_), _) => stays(Next::Look(self.now.plus(AGAIN))),
            (verdict @ Verdict::Keep(_), _) => stays(Next::of(verdict, self.now)),
        };
        locked(&self.done).insert(path, fate);
    }

    fn wants_to_stop(&self) -> bool {
        self.inner.is_stopping()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;
    use crate::Engine;
    use crate::track::Tracker;

    const YEAR: Duration = Duration::from_hours(24 * 365);

    #[test]
    fn a_clock_that_jumps_before_anything_was_due_holds_deadlines_back() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("cleanup.toml");
        let text =
            "[files.a]\nroot = \"a\"\ninclude = [\"*\"]\nmax_age = \"30m\"\ntrack = true\n[state]\nurl = \"none\"\n";
        std::fs::write(&config, text).unwrap();
        std::fs::create_dir(folder.path().join("a")).unwrap();
        File::create(folder.path().join("a/b")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        let tracker = Tracker::start(&Arc::new(Engine::open(Some(&config)).unwrap()), Arc::new(()));
        // As if it had been a year earlier when tracking began.
        for last in locked(&tracker.inner.clock).iter_mut() {
            last.wall = last.wall.minus(YEAR);
        }
        let report = tracker.remove_due("a").unwrap();
        assert_eq!((report.status, report.counts.removed), (PolicyStatus::Held, 0));
    }
}
