//! Tracked files: noticing new ones, their deadlines, and their removal at that moment.
//!
//! A policy with `track = true` has a table of its files in memory. A thread keeps it current: it listens to the kernel
//! and scans the files in its events. A scan is a plan over only these files, with the same store and judge as a sweep;
//! removing is a sweep over only the due ones. So tracking can be late, but never wrong.
//!
//! Information on the disk is not stored elsewhere: after a restart, everything is scanned again. The database only has
//! files that were registered later than their timestamps, and the promises have files with their own time to live.

mod deadlines;
mod debounce;
mod events;
mod register;
mod scan;
pub(crate) mod table;
mod waker;
mod watcher;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cleanup_core::clock_guard::Reading;
use cleanup_core::moment::Moment;
use cleanup_core::policy::{FilePolicy, MaxAge, Schedule};
use cleanup_core::report::{PolicyReport, Report, json_path};
use cleanup_fs_store::{FileId, KeptRoot, Store};
use cleanup_state::TrackedChange;

pub(crate) use self::table::locked;
pub use crate::responses::track::{
    Absent, FilesOrder, FilesPage, FilesQuery, ForecastHour, RegisterError, Registration, TrackedFile, TrackedPolicy,
    Watching,
};

use self::deadlines::Sum;
use self::table::{Entry, Next, Table};
use self::waker::Waker;
use self::watcher::Listening;
use crate::clock;
use crate::engine::Engine;
use crate::place;
use crate::state::run_state::{Access, Shared};

/// Maximum number of tracked files of all policies; each takes some 350 bytes of memory.
pub const MAX_FILES: usize = 2_000_000;

/// Rows of a table that are read before its lock is released.
const AT_A_TIME: usize = 1_000;

/// Maximum number of notes for the next report of a policy.
const MAX_NOTES: usize = 100;

const HOUR: Duration = Duration::from_hours(1);

/// Observes tracking. Called from its threads, which it must not block.
pub trait Listener: Send + Sync {
    /// A file was noticed or registered. Not called for files that existed before tracking.
    fn registered(&self, policy: &str, path: &[u8]) {
        let _ = (policy, path);
    }

    /// A file with this many allocated bytes was removed, this long after its deadline.
    fn removed(&self, policy: &str, path: &[u8], bytes: u64, lateness: Duration) {
        let _ = (policy, path, bytes, lateness);
    }

    /// Allocated bytes removed at deadlines of a policy: those returned to the file system, including purges, and those
    /// moved into quarantine.
    fn bytes_went(&self, policy: &str, freed: u64, quarantined: u64) {
        let _ = (policy, freed, quarantined);
    }

    /// The next deadline of a policy has changed.
    fn deadlines_changed(&self, policy: &str) {
        let _ = policy;
    }

    /// The way in which new files are noticed has changed.
    fn watching_changed(&self, policy: &str, watching: &Watching) {
        let _ = (policy, watching);
    }

    /// The state had a problem while no run could report it; with the policy whose files were scanned, if it concerns
    /// one. The same note may be passed several times.
    fn noted(&self, policy: Option<&str>, notes: &[String]) {
        let _ = (policy, notes);
    }

    /// Removals of the last minutes, summed up as a run.
    fn ran(&self, report: &Report) {
        let _ = report;
    }
}

/// Observes nothing.
impl Listener for () {}

/// Tracks the files of all policies with `track = true`, until it is stopped or dropped.
pub struct Tracker {
    inner: Arc<Inner>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Inner {
    engine: Arc<Engine>,
    listener: Arc<dyn Listener>,
    state: Shared,
    /// The last trusted clock reading.
    clock: Mutex<Option<Reading>>,
    policies: Vec<Tracked>,
    max_files: usize,
    /// Over all policies.
    files: AtomicUsize,
    stopping: AtomicBool,
}

/// Whether a root stays open between scans. When it is quiet, it does not, because an open root blocks mounting and
/// unmounting, and the kernel reports its removal only if nobody has it open.
#[derive(Debug, Default)]
enum Kept {
    #[default]
    Not,
    /// From the next scan on.
    Soon,
    Root(KeptRoot),
}

/// One tracked policy.
struct Tracked {
    policy: FilePolicy,
    table: Arc<Mutex<Table>>,
    watching: Mutex<Watching>,
    /// The identity of the root at the last full scan.
    root: Mutex<Option<FileId>>,
    /// The root itself, during a stream of events.
    kept: Mutex<Kept>,
    /// The events of the kernel.
    listening: Mutex<Listening>,
    /// Wakes the watching thread.
    waker: Waker,
    /// Why deadlines are currently not enforced.
    held: Mutex<Option<String>>,
    /// Removals since the last entry in the history.
    sum: Mutex<Sum>,
    /// Changes not yet written to the database.
    pending: Mutex<Vec<TrackedChange>>,
    /// Notes about the state since the last removals were written to the history.
    notes: Mutex<BTreeSet<String>>,
    /// Whether the last full scan was complete.
    sees_all: AtomicBool,
}

impl Tracker {
    /// Starts tracking. Blocks until the first full scan is complete.
    pub fn start(engine: &Arc<Engine>, listener: Arc<dyn Listener>) -> Self {
        Self::start_with(engine, listener, MAX_FILES)
    }

    /// Like [`Tracker::start`], with another value for [`MAX_FILES`].
    pub fn start_with(engine: &Arc<Engine>, listener: Arc<dyn Listener>, max_files: usize) -> Self {
        let is_tracked = |policy: &&FilePolicy| policy.track && policy.enabled;
        let policies = engine.config().files.iter().filter(is_tracked).cloned().map(Tracked::new).collect();
        let mut state = engine.setup.state(Access::Run);
        // A clock that jumps before anything is due has to be compared with something as well.
        let believed = state.witness_clock().then(|| state.reading().clone());
        state.rest();
        let mut notes = state.take_notes();
        notes.extend(state.missing().map(str::to_owned));
        if !notes.is_empty() {
            listener.noted(None, &notes);
        }
        let inner = Arc::new(Inner {
            state: state.into(),
            clock: Mutex::new(believed),
            engine: Arc::clone(engine),
            listener,
            policies,
            max_files,
            files: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
        });
        let (ready, is_ready) = mpsc::channel();
        let mut threads = Vec::new();
        for index in 0..inner.policies.len() {
            let (worker, ready) = (Arc::clone(&inner), ready.clone());
            let name = format!("track-{}", inner.policies[index].name());
            let spawned = std::thread::Builder::new().name(name).spawn(move || worker.watch(index, &ready));
            match spawned {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    let why = format!("cannot start a thread to watch it: {error}");
                    *locked(&inner.policies[index].watching) = Watching::Missing { why, absent: Absent::No };
                }
            }
        }
        drop(ready);
        // Each thread says so once, or ends.
        for () in is_ready.iter().take(threads.len()) {}
        Self { inner, threads: Mutex::new(threads) }
    }

    /// The numbers of all tracked policies, in the order of the configuration.
    pub fn policies(&self) -> Vec<TrackedPolicy> {
        self.inner.policies.iter().map(Tracked::answer).collect()
    }

    /// The numbers of one policy; `None` if it is not tracked.
    pub fn policy(&self, name: &str) -> Option<TrackedPolicy> {
        self.inner.find(name).map(Tracked::answer)
    }

    /// Some of the tracked files.
    pub fn files(&self, query: &FilesQuery) -> FilesPage {
        if query.order != FilesOrder::Path {
            return self.ranked_files(query);
        }
        let after = query.after.as_deref().and_then(path_of_id);
        let mut page = FilesPage { files: Vec::new(), next: None };
        let mut skipping = after.as_ref().map(|(policy, _)| policy.as_str());
        for tracked in &self.inner.policies {
            let wanted = query.policy.as_ref().is_none_or(|name| name == tracked.name());
            let start = after.as_ref().filter(|(policy, _)| policy == tracked.name()).map(|(_, path)| path.as_slice());
            if skipping == Some(tracked.name()) {
                skipping = None;
            }
            if !wanted || skipping.is_some() {
                continue;
            }
            for (path, entry) in tracked.rows_after(start).filter(|(path, _)| is_named(query, path)) {
                if page.files.len() == query.limit {
                    page.next = page.files.last().map(|file| file.id.clone());
                    return page;
                }
                page.files.push(tracked.file(&path, &entry));
            }
        }
        page
    }

    /// A page in another order than that of the table: all rows are looked at, and no more are kept than the page has.
    fn ranked_files(&self, query: &FilesQuery) -> FilesPage {
        let place = |tracked: &Tracked| self.inner.policies.iter().position(|other| other.name() == tracked.name());
        let after = query.after.as_deref().and_then(|text| {
            let (rank, id) = text.split_once(':')?;
            let (tracked, path) = self.inner.find_file(id)?;
            Some((rank.parse::<i128>().ok()?, place(tracked)?, Arc::<[u8]>::from(path)))
        });
        let mut first: BTreeMap<(i128, usize, Arc<[u8]>), Entry> = BTreeMap::new();
        let is_wanted = |tracked: &Tracked| query.policy.as_ref().is_none_or(|name| name == tracked.name());
        for (index, tracked) in self.inner.policies.iter().enumerate().filter(|(_, tracked)| is_wanted(tracked)) {
            for (path, entry) in tracked.rows_after(None).filter(|(path, _)| is_named(query, path)) {
                let key = (rank(query.order, &entry), index, path);
                if after.as_ref().is_some_and(|after| key <= *after) {
                    continue;
                }
                if first.len() > query.limit {
                    // One more than the page has, to know whether another follows.
                    if first.last_key_value().is_some_and(|(last, _)| key > *last) {
                        continue;
                    }
                    first.pop_last();
                }
                first.insert(key, entry);
            }
        }
        let has_more = first.len() > query.limit && first.pop_last().is_some();
        let file = |((_, index, path), entry): (&(i128, usize, Arc<[u8]>), &Entry)| {
            self.inner.policies[*index].file(path, entry)
        };
        let files: Vec<TrackedFile> = first.iter().map(file).collect();
        let last = first.last_key_value().zip(files.last()).filter(|_| has_more);
        let next = last.map(|(((rank, ..), _), file)| format!("{rank}:{}", file.id));
        FilesPage { files, next }
    }

    /// The tracked file with this id.
    pub fn file(&self, id: &str) -> Option<TrackedFile> {
        let (tracked, path) = self.inner.find_file(id)?;
        let table = locked(&tracked.table);
        table.get(&path).map(|entry| tracked.file(&path, entry))
    }

    /// Registers a file: its age counts from now, or it gets its own time to live. When this returns, a time to live is
    /// a promise on the disk.
    pub fn register(&self, policy: &str, path: &[u8], ttl: Option<Duration>) -> Result<Registration, RegisterError> {
        self.inner.register(policy, path, ttl)
    }

    /// Cancels a registration and its time to live: the file's own timestamps count again. `false` if there is no such
    /// file. Removes nothing.
    pub fn forget(&self, id: &str) -> Result<bool, String> {
        let Some((tracked, path)) = self.inner.find_file(id) else { return Ok(false) };
        let Some(entry) = locked(&tracked.table).get(&path).copied() else { return Ok(false) };
        let gone: Vec<Arc<[u8]>> = vec![path.as_slice().into()];
        self.inner.forget_promises(tracked, &gone)?;
        locked(&tracked.table).put(&path, Entry { registration: None, told: false, ..entry });
        self.inner.remember(tracked, vec![tracked.change(&path, None)]);
        self.inner.scan(tracked, &[&path]);
        Ok(true)
    }

    /// Keeps a file so long from now, whatever its age, but no longer than `max`. A hold that runs longer already is never
    /// cut short by one that asks for more than `max`. `None` when there is no such file.
    /// The absolute path of a tracked file. `None` when there is no such file.
    pub fn path_of(&self, id: &str) -> Option<PathBuf> {
        let (tracked, path) = self.inner.find_file(id)?;
        Some(tracked.policy.root.join(place::path_of(&path)))
    }

    /// Keeps a file so long from now, whatever its age. `by` is the name of whoever asks for it, where there is one. `None`
    /// when there is no such file.
    pub fn hold(&self, id: &str, span: Duration, by: Option<&str>) -> Result<Option<Moment>, String> {
        let Some(path) = self.path_of(id) else { return Ok(None) };
        let held = self.inner.engine.hold(&path, span, by).map_err(|error| error.to_string())?;
        self.hold_changed(&path);
        Ok(Some(held.until))
    }

    /// Releases a hold. `None` if there is no such file, `false` if it was not held by its own path.
    pub fn release(&self, id: &str, by: Option<&str>) -> Result<Option<bool>, String> {
        let Some(path) = self.path_of(id) else { return Ok(None) };
        let released = self.inner.engine.release(&path, by).map_err(|error| error.to_string())?;
        self.hold_changed(&path);
        Ok(Some(released.is_some()))
    }

    /// Judges a tracked file again after its hold changed. Other paths are ignored here: their holds are checked when a
    /// file below them is due.
    pub fn hold_changed(&self, absolute: &Path) {
        for tracked in &self.inner.policies {
            let below = place::spellings(&tracked.policy.root);
            let Some(path) = below.iter().find_map(|root| absolute.strip_prefix(root).ok()) else { continue };
            let path = path.as_os_str().as_encoded_bytes();
            if locked(&tracked.table).get(path).is_some() {
                self.inner.scan(tracked, &[path]);
            }
        }
    }

    /// When the next file of a policy must be checked.
    pub fn next_deadline(&self, policy: &str) -> Option<Moment> {
        let tracked = self.inner.find(policy)?;
        let keeps = tracked.policy.effect == cleanup_core::policy::Effect::Enforce;
        locked(&tracked.table).earliest().filter(|_| keeps)
    }

    /// Removes the files whose deadline has come, and returns their outcomes; `None` for a policy that is not tracked.
    /// Blocks.
    pub fn remove_due(&self, policy: &str) -> Option<PolicyReport> {
        self.inner.find(policy).map(|tracked| self.inner.remove_due(tracked))
    }

    /// Requests a full scan of a policy.
    pub fn rescan(&self, policy: &str) {
        if let Some(tracked) = self.inner.find(policy) {
            tracked.waker.ask_for_rescan();
        }
    }

    /// How much becomes due in each of the next hours; `None` for a policy that is not tracked.
    pub fn forecast(&self, policy: &str, hours: u32) -> Option<Vec<ForecastHour>> {
        let tracked = self.inner.find(policy)?;
        let table = locked(&tracked.table);
        // Hours end with a whole minute: so much is summed up already, however many files there are.
        let now = clock::now();
        let minute = Moment::from_unix(now.unix_seconds().div_euclid(60) * 60, 0);
        let hour = |number: u32| {
            let (from, to) = (minute.plus(HOUR * number), minute.plus(HOUR * (number + 1)));
            // What is overdue comes first of all.
            let (files, bytes) = table.due_between(if number == 0 { Moment::EPOCH } else { from }, to);
            ForecastHour { from: from.max(now), files, bytes }
        };
        Some((0..hours).map(hour).collect())
    }

    /// The next due files of all policies, earliest first, including those that only observe.
    pub fn next_files(&self, most: usize) -> Vec<TrackedFile> {
        let mut next = Vec::new();
        for tracked in &self.inner.policies {
            let table = locked(&tracked.table);
            next.extend(table.earliest_files(most).map(|(path, entry)| tracked.file(path, entry)));
        }
        next.sort_by_key(|file| file.due_at);
        next.truncate(most);
        next
    }

    /// The files of one policy that are due next, the earliest first; `None` for a policy that is not tracked.
    pub fn next_files_of(&self, policy: &str, most: usize) -> Option<Vec<TrackedFile>> {
        let tracked = self.inner.find(policy)?;
        let table = locked(&tracked.table);
        Some(table.earliest_files(most).map(|(path, entry)| tracked.file(path, entry)).collect())
    }

    /// The number of due files of a policy, and their allocated bytes; `None` for a policy that is not tracked.
    pub fn due_now(&self, policy: &str) -> Option<(u64, u64)> {
        let tracked = self.inner.find(policy)?;
        Some(locked(&tracked.table).due_between(Moment::EPOCH, clock::now()))
    }

    /// Makes scans and removals end after the current item, without waiting; call [`Tracker::stop`] afterwards.
    pub fn stop_soon(&self) {
        self.inner.stopping.store(true, Ordering::SeqCst);
        for tracked in &self.inner.policies {
            tracked.waker.wake();
        }
    }

    /// Stops tracking: writes removals to the history, and returns when the threads have ended.
    pub fn stop(&self) {
        self.stop_soon();
        for thread in std::mem::take(&mut *locked(&self.threads)) {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
        for tracked in &self.inner.policies {
            self.inner.write_history(tracked, deadlines::When::Now);
        }
        self.inner.engine.setup.tables.clear();
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Inner {
    fn find(&self, policy: &str) -> Option<&Tracked> {
        self.policies.iter().find(|tracked| tracked.name() == policy)
    }

    fn find_file(&self, id: &str) -> Option<(&Tracked, Vec<u8>)> {
        let (policy, path) = path_of_id(id)?;
        Some((self.find(&policy)?, path))
    }

    /// Passes on notes about the state, at once and with the next report of the policy.
    fn note(&self, tracked: &Tracked, notes: Vec<String>) {
        if !notes.is_empty() {
            self.listener.noted(Some(tracked.name()), &notes);
            let mut kept = locked(&tracked.notes);
            kept.extend(notes);
            while kept.len() > MAX_NOTES {
                kept.pop_last();
            }
        }
    }

    fn store<'a>(&self, tracked: &'a Tracked) -> Result<Store<'a>, cleanup_fs_store::RootError> {
        let mut kept = locked(&tracked.kept);
        let root = if let Kept::Root(root) = &*kept { Some(root) } else { None };
        let store = self.engine.setup.store_kept(&tracked.policy, &self.state.lock(), root);
        if !matches!(*kept, Kept::Not) {
            *kept = store.as_ref().map_or(Kept::Soon, |store| Kept::Root(store.kept_root()));
        }
        store
    }
}

impl Tracked {
    fn new(policy: FilePolicy) -> Self {
        Self {
            listening: Mutex::new(Listening::new(policy.rule.max_age.map_or(HOUR, MaxAge::get))),
            policy,
            table: Arc::default(),
            watching: Mutex::new(Watching::Missing { why: "not scanned yet".to_owned(), absent: Absent::No }),
            root: Mutex::default(),
            kept: Mutex::default(),
            waker: Waker::new(),
            held: Mutex::default(),
            sum: Mutex::default(),
            pending: Mutex::default(),
            notes: Mutex::default(),
            sees_all: AtomicBool::new(false),
        }
    }

    fn name(&self) -> &str {
        &self.policy.rule.name
    }

    /// The key `every`, if the policy has it.
    fn every(&self) -> Option<Duration> {
        match &self.policy.schedule {
            Some(Schedule::Every(every)) => Some(*every),
            Some(Schedule::Cron(_)) | None => None,
        }
    }

    /// The absolute path under which a file's promises are stored.
    fn absolute(&self, path: &[u8]) -> Vec<u8> {
        let root = place::really(&self.policy.root).unwrap_or_else(|_| self.policy.root.clone());
        root.join(place::path_of(path)).into_os_string().into_encoded_bytes()
    }

    /// The rows after a path, in order. Reads a few at a time, so that a search through all of them does not block
    /// others.
    fn rows_after(&self, path: Option<&[u8]>) -> impl Iterator<Item = (Arc<[u8]>, Entry)> {
        let mut last: Option<Arc<[u8]>> = path.map(Arc::from);
        std::iter::from_fn(move || {
            let rows: Vec<_> = {
                let table = locked(&self.table);
                let rows = table.after(last.as_deref()).take(AT_A_TIME);
                rows.map(|(path, entry)| (Arc::clone(path), *entry)).collect()
            };
            last = Some(Arc::clone(&rows.last()?.0));
            Some(rows)
        })
        .flatten()
    }

    fn change(&self, path: &[u8], registered_at: Option<Moment>) -> TrackedChange {
        TrackedChange { policy: self.name().to_owned(), path: path.to_owned(), registered_at }
    }

    fn answer(&self) -> TrackedPolicy {
        let table = locked(&self.table);
        TrackedPolicy {
            policy: self.name().to_owned(),
            total_files: table.len() as u64,
            tracked_files: table.with_deadline() as u64,
            total_bytes: table.bytes(),
            next_deadline: table.earliest(),
            watching: locked(&self.watching).clone(),
            held: locked(&self.held).clone(),
        }
    }

    fn file(&self, path: &[u8], entry: &Entry) -> TrackedFile {
        let (shown, path_bytes) = json_path(path);
        let ttl = entry.registration.and_then(|registration| registration.ttl);
        TrackedFile {
            id: id_of(self.name(), path),
            policy: self.name().to_owned(),
            path: shown,
            path_bytes,
            bytes: entry.bytes,
            stamp: entry.stamp,
            ttl_seconds: ttl.map(|ttl| ttl.get().as_secs_f64()),
            due_at: entry.due_at(),
            held_until: match entry.next {
                Next::Held { until, .. } => Some(until),
                Next::Due(_) | Next::Look(_) | Next::Never => None,
            },
        }
    }
}

/// Whether a file is one of those that are asked for, by its path.
fn is_named(query: &FilesQuery, path: &[u8]) -> bool {
    query.contains.as_ref().is_none_or(|part| String::from_utf8_lossy(path).contains(part.as_str()))
}

/// The place of a file in an order; smaller ones come first.
fn rank(order: FilesOrder, entry: &Entry) -> i128 {
    match order {
        FilesOrder::Path => 0,
        FilesOrder::Largest => -i128::from(entry.bytes),
        FilesOrder::Smallest => entry.bytes.into(),
        FilesOrder::Oldest => entry.stamp.unix_nanos(),
        FilesOrder::Newest => entry.stamp.unix_nanos().saturating_neg(),
        FilesOrder::Due => entry.due_at().map_or(i128::MAX, Moment::unix_nanos),
    }
}

/// A policy's name never contains a dot.
fn id_of(policy: &str, path: &[u8]) -> String {
    format!("{policy}.{}", URL_SAFE_NO_PAD.encode(path))
}

fn path_of_id(id: &str) -> Option<(String, Vec<u8>)> {
    let (policy, path) = id.split_once('.')?;
    Some((policy.to_owned(), URL_SAFE_NO_PAD.decode(path).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_through_all_rows_keeps_nobody_else_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("cleanup.toml");
        let text = "[files.a]\nroot = \"a\"\ninclude = [\"*\"]\nmax_age = \"30m\"\ntrack = true\n";
        std::fs::write(&config, text).unwrap();
        let engine = Engine::open(Some(&config)).unwrap();
        let tracked = Tracked::new(engine.config().files[0].clone());
        let row =
            Entry { bytes: 0, stamp: Moment::EPOCH, registration: None, next: Next::Never, told: false, round: 0 };
        let path = |number: usize| format!("{number:05}").into_bytes();
        (0..=2 * AT_A_TIME).for_each(|number| locked(&tracked.table).put(&path(number), row));
        // While one looks through them, another takes some out and puts others in.
        let mut seen = Vec::new();
        for (number, (row_path, row)) in tracked.rows_after(None).enumerate() {
            locked(&tracked.table).forget(&row_path);
            if number == 0 {
                locked(&tracked.table).put(&path(99_999), row);
            }
            seen.push(row_path.to_vec());
        }
        let expected: Vec<_> = (0..=2 * AT_A_TIME).chain([99_999]).map(path).collect();
        assert_eq!(seen, expected);
        assert_eq!(tracked.rows_after(None).count(), 0);
        locked(&tracked.table).put(&path(7), row);
        assert_eq!((tracked.rows_after(Some(&path(6))).count(), tracked.rows_after(Some(&path(7))).count()), (1, 0));
    }
}
