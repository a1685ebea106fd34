//! Scans files, some or all of them: a plan whose verdicts become rows of the table.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use cleanup_core::candidate::Class;
use cleanup_core::judge::{Run, judge};
use cleanup_core::moment::Moment;
use cleanup_core::policy::{AgeClock, MaxAge};
use cleanup_core::registration::{Registration, Registrations};
use cleanup_core::store::FileStore;
use cleanup_core::sweep::{Judged, Observer};
use cleanup_fs_store::Store;
use cleanup_state::TrackedChange;

use super::table::{Entry, Keeper, Next, locked};
use super::{Inner, Tracked};
use crate::{clock, run};

/// A file whose timestamp is at most this old when it is noticed was just written, so its age counts from its
/// timestamp.
const NOTICED: Duration = Duration::from_secs(2);

/// How a scan found its files.
#[derive(Clone, Debug)]
pub(super) enum Discovery {
    /// They existed before tracking: their ages count from their timestamps, or from their records.
    Found,
    /// Unknown files appeared since the last scan; these paths did in any case.
    Appeared(BTreeSet<Vec<u8>>),
    /// A client registers this file.
    Told(Vec<u8>, Registration),
}

/// Informs a tracker, while there is one, of files that sweeps remove from the table of a policy.
#[derive(Debug)]
pub(super) struct SweptBy {
    pub(super) inner: Weak<Inner>,
    pub(super) index: usize,
}

impl Keeper for SweptBy {
    fn swept(&self, gone: &[(Vec<u8>, Entry)], before: Option<Moment>) {
        if let Some(inner) = self.inner.upgrade() {
            inner.swept(&inner.policies[self.index], gone, before);
        }
    }
}

/// Takes verdicts into the table.
struct Scan<'a> {
    inner: &'a Inner,
    tracked: &'a Tracked,
    run: &'a Run,
    kind: &'a Discovery,
    seen: Mutex<Seen>,
    /// The run, with the registration of a single file in it.
    single: Mutex<Run>,
}

#[derive(Default)]
struct Seen {
    changes: Vec<TrackedChange>,
    /// Whether there are files that could not be taken in.
    too_many: bool,
}

impl Inner {
    /// Everything that is constant for a scan or a removal now. An error is the reason why nothing may be removed.
    pub(super) fn run(&self, tracked: &Tracked, registrations: Registrations) -> Result<Run, String> {
        let mut state = self.state.lock();
        state.begin();
        let now = state.now();
        let holds = state.holds(&tracked.policy.root, now)?;
        let running = match tracked.policy.age_clock {
            AgeClock::Wall => None,
            AgeClock::Running => state.running_time(),
        };
        state.rest();
        let notes = state.take_notes();
        drop(state);
        self.note(tracked, notes);
        Ok(Run { now, running, holds, registrations, ..Run::at(now) })
    }

    /// The registrations of some files in the table.
    pub(super) fn registrations(tracked: &Tracked, paths: &[&[u8]]) -> Registrations {
        let table = locked(&tracked.table);
        let known = |path: &&[u8]| Some((path.to_vec(), table.get(path)?.registration?));
        paths.iter().filter_map(known).collect()
    }

    /// Scans some known files.
    pub(super) fn scan(&self, tracked: &Tracked, paths: &[&[u8]]) {
        self.scan_as(tracked, paths, &Discovery::Found);
    }

    pub(super) fn scan_as(&self, tracked: &Tracked, paths: &[&[u8]], kind: &Discovery) {
        let Ok(store) = self.store(tracked) else { return };
        let registrations = Self::registrations(tracked, paths);
        self.take_in(tracked, &store.select(paths), registrations, kind);
    }

    /// Scans a file that a client registers.
    pub(super) fn scan_registered(
        &self,
        tracked: &Tracked,
        store: &Store<'_>,
        path: &[u8],
        registration: Registration,
    ) {
        let kind = Discovery::Told(path.to_owned(), registration);
        let registrations = [(path.to_owned(), registration)].into_iter().collect();
        self.take_in(tracked, &store.select(&[path]), registrations, &kind);
    }

    /// Scans everything. Known files that no longer exist are forgotten, unless something could not be inspected.
    pub(super) fn scan_all(&self, tracked: &Tracked, store: &Store<'_>, kind: &Discovery) {
        let registrations = match kind {
            Discovery::Found => self.state.lock().registrations(&tracked.policy),
            Discovery::Appeared(_) | Discovery::Told(..) => {
                let table = locked(&tracked.table);
                let known = table.after(None);
                known.filter_map(|(path, entry)| Some((path.to_vec(), entry.registration?))).collect()
            }
        };
        locked(&tracked.table).begin_round();
        tracked.sees_all.store(true, Ordering::SeqCst);
        if self.take_in(tracked, store, registrations, kind) {
            let unseen = locked(&tracked.table).unseen();
            self.forget(tracked, &unseen);
        } else {
            tracked.sees_all.store(false, Ordering::SeqCst);
        }
    }

    /// Forgets files that are gone.
    pub(super) fn forget(&self, tracked: &Tracked, paths: &[Arc<[u8]>]) {
        let known: Vec<Arc<[u8]>> = {
            let table = locked(&tracked.table);
            paths.iter().filter(|path| table.get(path).is_some()).map(Arc::clone).collect()
        };
        if known.is_empty() {
            return;
        }
        if let Err(error) = self.forget_promises(tracked, &known) {
            // It stays as a promise about nothing, and ends by itself.
            tracing::debug!(policy = tracked.name(), "{error}");
        }
        let mut changes = Vec::new();
        let mut table = locked(&tracked.table);
        let before = table.earliest();
        for path in &known {
            if let Some(entry) = table.forget(path) {
                self.files.fetch_sub(1, Ordering::Relaxed);
                if entry.registration.is_some_and(|registration| registration.ttl.is_none()) {
                    changes.push(tracked.change(path, None));
                }
            }
        }
        let after = table.earliest();
        drop(table);
        self.remember(tracked, changes);
        if before != after {
            self.listener.deadlines_changed(tracked.name());
        }
    }

    /// Deletes the records of files that a sweep removed, and removed from the table one by one.
    fn swept(&self, tracked: &Tracked, gone: &[(Vec<u8>, Entry)], before: Option<Moment>) {
        self.files.fetch_sub(gone.len(), Ordering::Relaxed);
        let given = gone.iter().filter_map(|(path, row)| Some((path, row.registration.filter(|it| it.ttl.is_some())?)));
        let given: Vec<_> = given.map(|(path, registration)| (tracked.absolute(path), registration)).collect();
        if !given.is_empty()
            && let Err(error) = self.state.lock().forget_ttls_given(&given, clock::now())
        {
            // It stays as a promise about nothing, and ends by itself.
            tracing::debug!(policy = tracked.name(), "{error}");
        }
        let is_remembered = |row: &Entry| row.registration.is_some_and(|it| it.ttl.is_none());
        let remembered: Vec<_> = gone.iter().filter(|(_, row)| is_remembered(row)).collect();
        let table = locked(&tracked.table);
        if !remembered.is_empty() {
            // Under the lock: what has the name by now is remembered after this, not before.
            let changes = remembered.iter().filter(|(path, _)| table.get(path).is_none());
            self.remember(tracked, changes.map(|(path, _)| tracked.change(path, None)).collect());
        }
        let after = table.earliest();
        drop(table);
        if before != after {
            self.listener.deadlines_changed(tracked.name());
        }
    }

    /// Plans over the files of a store and updates the table. `false` if the scan was incomplete.
    fn take_in(
        &self,
        tracked: &Tracked,
        store: &impl FileStore,
        registrations: Registrations,
        kind: &Discovery,
    ) -> bool {
        let mut run = match self.run(tracked, registrations.clone()) {
            Ok(run) => run,
            // Nothing will be removed as long as that lasts; what is there is worth knowing all the same.
            Err(_) => Run { registrations, ..Run::at(clock::now()) },
        };
        if let Discovery::Told(_, registration) = kind {
            // It was rounded up to the millisecond, and is not from the future for that.
            run.now = run.now.max(registration.at);
        }
        let before = locked(&tracked.table).earliest();
        let single = Run { registrations: Registrations::default(), ..run.clone() };
        let scan = Scan { inner: self, tracked, run: &run, kind, seen: Mutex::default(), single: Mutex::new(single) };
        let tally = run::look(store, &tracked.policy, &run, &scan);
        let seen = std::mem::take(&mut *locked(&scan.seen));
        self.remember(tracked, seen.changes);
        if seen.too_many {
            tracked.sees_all.store(false, Ordering::SeqCst);
            tracked.watched_by_rescans(self, format!("more than {} files; sweeps handle the rest", self.max_files));
        }
        if before != locked(&tracked.table).earliest() {
            self.listener.deadlines_changed(tracked.name());
        }
        tally.errors_total == 0 && tally.stopped.is_none()
    }
}

impl Observer for Scan<'_> {
    fn judged(&self, judged: &Judged<'_>) {
        let candidate = &judged.candidate;
        if candidate.class == Class::EmptyDirectory {
            return;
        }
        let path = candidate.name.to_bytes();
        let now = self.run.now;
        let mut table = locked(&self.tracked.table);
        let known = table.get(&path).copied();
        if known.is_none() && self.inner.files.load(Ordering::Relaxed) >= self.inner.max_files {
            locked(&self.seen).too_many = true;
            return;
        }

        let told = matches!(self.kind, Discovery::Told(told, _) if *told == path);
        let judged_by = self.run.registrations.get(candidate.name);
        // What was registered since this look began counts: what it began with may be minutes old.
        let before = known.map_or(judged_by.filter(|_| !told), |known| known.registration);
        let has_appeared = matches!(self.kind, Discovery::Appeared(appeared) if appeared.contains(&path));
        // What has the name of a file whose time is over is another file.
        let holds = |ttl: MaxAge, at: Moment| !has_appeared || at.plus(ttl.get()) >= now;
        let registration = match (self.kind, before) {
            (Discovery::Told(_, registration), _) if told => Some(*registration),
            (_, Some(Registration { at, ttl: Some(ttl) })) if holds(ttl, at) => before,
            (Discovery::Appeared(_), before) if known.is_none() || has_appeared => {
                // Written a moment ago: its stamp says the same, and the disk remembers it.
                let noticed = candidate.stamp.at.plus(NOTICED) >= now;
                // A time of its own that is over was another file's.
                if noticed { before.filter(|it| it.ttl.is_none()) } else { Some(Registration { at: now, ttl: None }) }
            }
            // Its stamp was set back, as whoever copies a file does at the end: it counts from when it was noticed.
            (Discovery::Appeared(_), None) => {
                let noticed = known.filter(|known| candidate.stamp.at < known.stamp);
                noticed.map(|known| Registration { at: known.stamp.min(now), ttl: None })
            }
            (_, before) => before,
        };
        // What was written since needs no memory of when it was noticed.
        let registration = registration.filter(|it| told || it.ttl.is_some() || it.at > candidate.stamp.at);
        let verdict = if registration == judged_by {
            judged.verdict
        } else {
            let mut run = locked(&self.single);
            run.registrations = registration.map(|registration| (path.clone(), registration)).into_iter().collect();
            judge(&self.tracked.policy.rule, &run, candidate)
        };

        let at = |registration: Option<Registration>| registration.filter(|it| it.ttl.is_none()).map(|it| it.at);
        if at(registration) != at(before) {
            locked(&self.seen).changes.push(self.tracked.change(&path, at(registration)));
        }
        let entry = Entry {
            bytes: candidate.bytes,
            stamp: registration.map_or(candidate.stamp.at, |it| it.counts_from(candidate.stamp.at)),
            registration,
            next: Next::of(&verdict, now),
            told: told || known.is_some_and(|known| known.told),
            round: table.round(),
        };
        table.put(&path, entry);
        drop(table);
        if known.is_none() {
            self.inner.files.fetch_add(1, Ordering::Relaxed);
            if !matches!(self.kind, Discovery::Found) {
                self.inner.listener.registered(self.tracked.name(), &path);
            }
        }
    }

    fn wants_to_stop(&self) -> bool {
        self.inner.stopping.load(Ordering::Relaxed)
    }
}
