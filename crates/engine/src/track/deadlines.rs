//! Removes what is due, through the same checks, the same judge and the same hand as a sweep.
//!
//! What is different: it goes through the files whose moment has come instead of through the folder, it takes no lock
//! (an `unlinkat` counts for whoever made it), and its runs are summed up over some minutes before they are written
//! into the history.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cleanup_core::brake::{Brake, HARMLESS, Suspicions};
use cleanup_core::guard::{self, Reading};
use cleanup_core::judge::Run;
use cleanup_core::moment::Moment;
use cleanup_core::policy::{Brakes, Effect, Limits, RootLock};
use cleanup_core::rank::Stopped;
use cleanup_core::reference::Referenced;
use cleanup_core::report::{PolicyKind, PolicyReport, Report, Tally, Trigger};
use cleanup_core::store::Outcome;
use cleanup_core::sweep::{Judged, Mode, Observer, sweep};
use cleanup_core::verdict::Verdict;
use cleanup_fs_store::{Look, QuarantineRun, Store};
use cleanup_state::{BegunPolicy, BegunRun, RunMark};

use super::table::{Entry, Known, Next, locked};
use super::{HOUR, Inner, Tracked};
use crate::clock;
use crate::engine::run_id;
use crate::quarantine;
use crate::run::audit::Audit;
use crate::run::limits;
use crate::run::recheck::Heeding;
use crate::run::sessions;
use crate::state::run_state::{Answered, Memory};

/// How many files are dealt with together; the rest follows at once.
const MOST: usize = 20_000;

/// When a file that could not be removed is tried again.
const AGAIN: Duration = Duration::from_mins(1);

/// How long removals are summed up.
const SUMMED: Duration = Duration::from_mins(10);

/// How long the memory's answers about a root and a rule count.
const FRESH: Duration = Duration::from_mins(1);

/// What was removed since it was last written into the history.
#[derive(Debug, Default)]
pub(super) struct Sum {
    tally: Tally,
    since: Option<Moment>,
    /// The run that it will be, made with the first file that goes into quarantine.
    run: Option<Arc<QuarantineRun>>,
    /// Tells of it should it never be written.
    mark: Option<RunMark>,
    /// When it was last looked for what has been in quarantine long enough.
    expired: Option<Duration>,
    /// By the clock that cannot be set.
    written_at: Option<Duration>,
    /// When the memory was last asked about the root and the rule, and which file system it was asked about.
    checked: Option<(Duration, Option<String>)>,
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
        let why = loop {
            match self.remove(tracked, &due) {
                Ok(tally) => all.add(tally),
                Err(why) => break Some(why),
            }
            if due.len() < MOST || all.stopped.is_some() {
                break None;
            }
            due = come();
            if due.is_empty() {
                break None;
            }
        };
        tracked.hold(why.clone());
        self.write_history(tracked, When::InTime);
        match why {
            Some(why) if all.counts.removed + all.counts.quarantined == 0 => {
                PolicyReport::held_back(name, PolicyKind::Files, why)
            }
            _ => PolicyReport::finished(name, PolicyKind::Files, all),
        }
    }

    /// Removes those of these files that are still due. An error says why nothing is removed now.
    fn remove(&self, tracked: &Tracked, due: &[Arc<[u8]>]) -> Result<Tally, String> {
        let paths: Vec<&[u8]> = due.iter().map(|path| &**path).collect();
        let mut run = self.run(tracked, Self::registrations(tracked, &paths))?;
        // The table may have been made before a promise, or for another policy.
        locked(&self.memory).add_ttls(&tracked.policy, &paths, &mut run.registrations)?;
        locked(&self.memory).forget_roots();
        let store = self.store(tracked).map_err(|error| error.to_string())?;
        store.records_stamp().map_err(|error| error.to_string())?;
        let _root_lock = match tracked.policy.root_lock {
            RootLock::Honour => Some(store.lock_root().map_err(|locked| locked.to_string())?),
            RootLock::Ignore => None,
        };
        let asked = sessions::referenced(&tracked.policy, &self.engine.config, &self.engine.folder);
        run.referenced = asked.map_err(|obstacle| obstacle.to_string())?;
        let store = quarantine::prepare_as(store, &tracked.policy, || tracked.quarantine_run(), run.now)?;
        // The brakes look at all of it, however little is dealt with now.
        let overdue = if due.len() < MOST { due.len() } else { locked(&tracked.table).overdue(clock::now()) };
        self.doubt(tracked, &store, overdue, Some(&run.referenced))?;

        let run = Run { brakes: Brakes { max_removals: tracked.left_to_remove(), ..tracked.policy.brakes }, ..run };
        if run.brakes.max_removals == Some(0) {
            return Err("max_removals is reached for now; the rest follows later".to_owned());
        }
        let Ok(run) = self.with_newest(tracked, &store, run) else {
            return Ok(Tally { stopped: Some(Stopped.to_string()), ..Tally::default() });
        };
        let removing = Removing { inner: self, tracked, now: run.now, done: Mutex::default() };
        let (picked, table) = (store.pick(&paths), Some(Known { table: Arc::clone(&tracked.table), keeper: None }));
        let heeding = Heeding { store: &picked, table, registrations: &run.registrations };
        self.begin_sum(tracked, run.now);
        let mut tally = sweep(&heeding, &tracked.policy.rule, &run, Mode::Apply, &removing);
        if tracked.is_to_expire() {
            let expired = quarantine::expire(&store, &tracked.policy, run.now);
            if let Some(audit) = self.engine.audit.as_ref().filter(|_| expired.counts.purged > 0) {
                let expired = PolicyReport::finished(tracked.name(), PolicyKind::Files, expired.clone());
                audit.ended(tracked.quarantine_run().id(), &expired);
            }
            tally.add(expired);
        }
        let done = removing.done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.settle(tracked, &store, due, &done, run.now);
        tracked.add(&tally, run.now);
        Ok(tally)
    }

    /// Writes down that removals begin which the history is told of some minutes later.
    fn begin_sum(&self, tracked: &Tracked, now: Moment) {
        if locked(&tracked.sum).mark.is_some() {
            return;
        }
        let run_id = tracked.quarantine_run().id().to_owned();
        let policies = vec![BegunPolicy { name: tracked.name().to_owned(), kind: PolicyKind::Files }];
        let run = BegunRun { run_id, trigger: Trigger::Deadline, started_at: now, policies };
        let mark = locked(&self.memory).mark_run(&run);
        locked(&tracked.sum).mark = mark;
    }

    /// Who is among the newest is known only after a look at everything; a policy without `keep_newest` pays nothing.
    fn with_newest(&self, tracked: &Tracked, store: &Store<'_>, run: Run) -> Result<Run, Stopped> {
        if tracked.policy.limits.keep_newest.is_none() {
            return Ok(run);
        }
        let all = Run { registrations: self.engine.tables.registrations(&tracked.policy), ..run.clone() };
        let ranked = limits::with_newest(store, &tracked.policy, all, &Stopping(self))?;
        Ok(Run { cutoffs: ranked.cutoffs, ..run })
    }

    /// Compares a policy with what it was in the last run, as soon as everything was looked at: what holds it back is
    /// said before anything is due, and what it is now is known to the next start.
    pub(super) fn doubt_at_first(&self, tracked: &Tracked, store: &Store<'_>) {
        let overdue = locked(&tracked.table).overdue(clock::now());
        let why = self.doubt(tracked, store, overdue, None).err();
        if tracked.policy.effect == Effect::Enforce {
            tracked.hold(why);
        }
    }

    /// Everything that could hold a sweep back holds deadlines back as well. What passes is what the next start, and the
    /// next sweep, compares with.
    fn doubt(
        &self,
        tracked: &Tracked,
        store: &Store<'_>,
        due: usize,
        referenced: Option<&Referenced>,
    ) -> Result<(), String> {
        let policy = &tracked.policy;
        let mut memory = locked(&self.memory);
        self.doubt_clock(&mut memory)?;
        let fewer = referenced.and_then(|referenced| memory.fewer_references(policy, referenced));
        let boot = clock::boot();
        let file_system = store.file_system();
        let is_same = |(at, seen): &(Duration, Option<String>)| boot < *at + FRESH && *seen == file_system;
        let is_fresh = locked(&tracked.sum).checked.as_ref().is_some_and(is_same);
        if is_fresh && due as u64 <= HARMLESS && fewer.is_none() {
            memory.rest();
            return Ok(());
        }
        let is_elsewhere = memory.is_elsewhere(policy, file_system.as_deref());
        let suspicions =
            Suspicions { changes: memory.changes(policy), references: fewer, clock_is_lost: memory.is_without_clock() };
        memory.rest();
        let notes = memory.take_notes();
        drop(memory);
        self.note(tracked, notes);
        if is_elsewhere {
            return Err(Brake::OtherFileSystem { root: policy.root.display().to_string() }.to_string());
        }
        limits::reachable(store, policy).map_err(|brake| brake.to_string())?;
        tracked.brake(due, &suspicions)?;
        if suspicions.changes.is_none() || tracked.knows_all_that_is_due() {
            let answered = referenced.map_or(Answered::Unasked, |it| Answered::ForSome(it.distinct()));
            let mut memory = locked(&self.memory);
            memory.remember(policy, file_system.clone(), answered);
            memory.rest();
        }
        locked(&tracked.sum).checked = Some((boot, file_system));
        Ok(())
    }

    /// Whether the wall clock went on alike since the last time; if not, whether a later run has believed it.
    fn doubt_clock(&self, memory: &mut Memory) -> Result<(), String> {
        let reading = memory.reading().clone();
        let mut baseline = locked(&self.clock);
        let jump = match &*baseline {
            Some(last) => guard::check(last, &reading).err(),
            None => memory.doubt_clock().err(),
        };
        if let Some(jump) = jump {
            let is_later = |last: &Reading| baseline.as_ref().is_none_or(|base| last.boot > base.boot);
            let believed = memory.last_clock().filter(is_later);
            if believed.is_none_or(|last| guard::check(&last, &reading).is_err()) {
                return Err(jump.to_string());
            }
        }
        *baseline = Some(reading);
        Ok(())
    }

    /// Takes what came of the files into the table.
    fn settle(
        &self,
        tracked: &Tracked,
        store: &Store<'_>,
        due: &[Arc<[u8]>],
        done: &HashMap<Vec<u8>, Fate>,
        now: Moment,
    ) {
        let mut gone = Vec::new();
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
                None => match store.look(path) {
                    Look::Candidate(_) | Look::Unreadable(_) => {
                        locked(&tracked.table).look_again(path, now.plus(AGAIN));
                    }
                    _ => gone.push(Arc::clone(path)),
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
        let (tally, since, id, mark) = {
            let mut sum = locked(&tracked.sum);
            if !sum.is_to_be_written(boot, when) {
                return;
            }
            sum.written_at = Some(boot);
            let since = sum.since.take().unwrap_or_else(clock::now);
            let id = sum.run.take().map_or_else(run_id, |run| run.id().to_owned());
            (std::mem::take(&mut sum.tally), since, id, sum.mark.take())
        };
        let policy = PolicyReport::finished(tracked.name(), PolicyKind::Files, tally);
        let mut report = Report::new(id, Trigger::Deadline, false, since, clock::now(), vec![policy]);
        // What is known by now stands in the history too; what befalls the memory while it is written, in the report.
        report.notes = std::mem::take(&mut *locked(&tracked.notes)).into_iter().collect();
        report.notes.extend(self.engine.audit.as_ref().and_then(Audit::take_failure));
        let mut memory = locked(&self.memory);
        memory.begin();
        let clock_trusted = !memory.is_without_clock();
        memory.record(&report, clock_trusted);
        memory.rest();
        let notes = memory.take_notes();
        report.not_remembered = memory.missing().map(str::to_owned);
        drop(memory);
        mark.into_iter().for_each(RunMark::end);
        self.note(tracked, notes);
        report.notes.extend(std::mem::take(&mut *locked(&tracked.notes)));
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

    fn add(&self, tally: &Tally, now: Moment) {
        let mut sum = locked(&self.sum);
        if let Some((_, removed)) = &mut sum.interval {
            *removed += tally.counts.removed + tally.counts.quarantined;
        }
        if tally.counts.removed + tally.counts.quarantined + tally.counts.purged == 0 && tally.errors_total == 0 {
            // Nothing came of it. What was begun before is still to be written.
            if sum.since.is_none() {
                sum.mark.take().into_iter().for_each(RunMark::end);
            }
            return;
        }
        let is_first = sum.since.is_none();
        sum.since.get_or_insert(now);
        sum.tally.add(tally.clone());
        drop(sum);
        // The thread knows by itself when the rest of the sum is to be written.
        if is_first {
            self.bell.ring();
        }
    }

    /// The run whose files go into quarantine now: the one that the sum will be.
    fn quarantine_run(&self) -> Arc<QuarantineRun> {
        let new = || Arc::new(QuarantineRun::new(run_id()));
        Arc::clone(locked(&self.sum).run.get_or_insert_with(new))
    }

    /// Whether it is time to look for what has been in quarantine long enough.
    fn is_to_expire(&self) -> bool {
        let now = clock::boot();
        let mut sum = locked(&self.sum);
        let is_time = sum.expired.is_none_or(|last| now >= last + FRESH);
        if is_time {
            sum.expired = Some(now);
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

/// Says only whether to stop.
struct Stopping<'a>(&'a Inner);

impl Observer for Stopping<'_> {
    fn wants_to_stop(&self) -> bool {
        self.0.is_stopping()
    }
}

struct Removing<'a> {
    inner: &'a Inner,
    tracked: &'a Tracked,
    now: Moment,
    done: Mutex<HashMap<Vec<u8>, Fate>>,
}

impl Observer for Removing<'_> {
    fn judged(&self, judged: &Judged<'_>) {
        let Judged { candidate, verdict, outcome } = judged;
        if let (Some(audit), true) = (&self.inner.engine.audit, outcome.is_some_and(Outcome::is_gone)) {
            audit.judged(&self.tracked.policy, self.tracked.quarantine_run().id(), judged);
        }
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

    use cleanup_core::report::PolicyStatus;

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
