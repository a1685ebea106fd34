//! The thread of one tracked policy: sleeps until there are events, and scans their files.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use cleanup_core::candidate::Name;
use cleanup_fs_store::{Classified, RootError, Watch, WatchError};

use super::deadlines::When;
use super::debounce::{Debounce, rested};
use super::events::{Events, NameChange, Step};
use super::scan::{Discovery, SweptBy};
use super::table::{Known, locked};
use super::{Absent, Inner, Kept, Tracked, Watching};
use crate::clock;
use crate::run::gates::missing_root;

/// How often a root that cannot be opened is tried again.
const RETRY: Duration = Duration::from_secs(10);

/// How long to wait before opening a root again that was replaced while it was opened.
const ONCE_MORE: Duration = Duration::from_millis(50);

/// How often to scan everything if there are no events, unless the policy has `every`.
const RESCAN: Duration = Duration::from_mins(5);

/// The events of one policy, for the next scan: by the watching thread, or by a removal.
#[derive(Debug)]
pub(super) struct Listening {
    /// `None` while there are no events.
    watch: Option<Watch>,
    debounce: Debounce,
    /// Events were lost: the earliest moment for a full scan.
    lost: Option<Duration>,
    /// When the next forced full scan is allowed.
    rested: Duration,
    /// Why there are no more events.
    heard: Option<Heard>,
}

impl Listening {
    pub(super) fn new(shortest_life: Duration) -> Self {
        let debounce = Debounce::new(shortest_life);
        Self { watch: None, debounce, lost: None, rested: Duration::ZERO, heard: None }
    }
}

/// Why a thread stops listening.
#[derive(Clone, Copy, Debug)]
enum Heard {
    /// To scan everything again: unknown files have appeared in the meantime.
    LookAgain,
    /// To open the root again, as if for the first time.
    OpenAgain,
    /// For good.
    Stop,
}

impl Inner {
    /// Keeps the table of a policy current until tracking ends. Signals once when the first full scan is complete.
    pub(super) fn watch(self: &Arc<Self>, index: usize, ready: &mpsc::Sender<()>) {
        let tracked = &self.policies[index];
        let mut is_first = true;
        let mut is_ready = false;
        while !self.is_stopping() {
            is_first = match self.store(tracked) {
                Err(error) => {
                    self.lose(tracked);
                    tracked.set_watching(self, self.missing(tracked, &error));
                    self.announce(index, &mut is_ready, ready);
                    tracked.waker.wait(None, Some(RETRY));
                    true
                }
                Ok(store) => {
                    tracked.waker.rescan.store(false, Ordering::SeqCst);
                    // Something was mounted over the root, or not mounted: another folder has other files, and what is
                    // promised of the first one's stays promised.
                    let root = store.root_id();
                    let before = locked(&tracked.root).replace(root);
                    let is_anew = is_first || before != Some(root);
                    if before.is_some_and(|before| before != root) {
                        self.lose(tracked);
                    }
                    // Watched first, looked at then: nothing can appear unseen in between.
                    let watch = Watch::open(&store);
                    if let Err(error @ WatchError::RootMoved) = &watch {
                        // Nobody would hear of what happens in the folder that is there now.
                        drop(store);
                        self.lose(tracked);
                        tracked.set_watching(self, Watching::Missing { why: error.to_string(), absent: Absent::No });
                        self.announce(index, &mut is_ready, ready);
                        tracked.waker.wait(None, Some(ONCE_MORE));
                        is_first = true;
                        continue;
                    }
                    let kind = if is_anew { Discovery::Found } else { Discovery::Appeared(BTreeSet::new()) };
                    tracked.set_watching(
                        self,
                        match &watch {
                            Ok(_) => Watching::Events,
                            Err(error) => Watching::Rescans { why: error.to_string() },
                        },
                    );
                    let begun = clock::boot();
                    self.scan_all(tracked, &store, &kind);
                    if is_first {
                        self.doubt_at_first(tracked, &store);
                    }
                    drop(store);
                    let ended = clock::boot();
                    locked(&tracked.listening).rested = rested(ended, ended.saturating_sub(begun));
                    self.announce(index, &mut is_ready, ready);
                    match watch.map(|watch| self.listen(tracked, watch)) {
                        // Forgotten, not gone: what was promised of its files stays.
                        Ok(Heard::OpenAgain) => {
                            self.lose(tracked);
                            true
                        }
                        Ok(Heard::LookAgain | Heard::Stop) => false,
                        Err(_) => {
                            self.pause(tracked, tracked.rescan_interval());
                            false
                        }
                    }
                }
            };
        }
    }

    /// Why a root cannot be opened.
    fn missing(&self, tracked: &Tracked, error: &RootError) -> Watching {
        let policy = &tracked.policy;
        let expected = if policy.root_may_be_missing { Absent::Expected } else { Absent::Unexpected };
        let absent = if matches!(error, RootError::Missing { .. }) { expected } else { Absent::No };
        let why = match absent {
            Absent::Unexpected => missing_root(policy, error, &mut self.state.lock()),
            Absent::Expected | Absent::No => None,
        };
        Watching::Missing { why: why.unwrap_or_else(|| error.to_string()), absent }
    }

    fn announce(self: &Arc<Self>, index: usize, is_ready: &mut bool, ready: &mpsc::Sender<()>) {
        if !std::mem::replace(is_ready, true) {
            let tracked = &self.policies[index];
            let keeper = SweptBy { inner: Arc::downgrade(self), index };
            let known = Known { table: Arc::clone(&tracked.table), keeper: Some(Arc::new(keeper)) };
            self.engine.setup.tables.add(tracked.name(), known);
            // Nobody waits any more when tracking was stopped meanwhile.
            let _ = ready.send(());
        }
    }

    fn listen(&self, tracked: &Tracked, watch: Watch) -> Heard {
        let readable = watch.readable();
        locked(&tracked.listening).watch = Some(watch);
        let heard = self.listen_to(tracked, &readable);
        tracked.keep_root(Kept::Not);
        let mut listening = locked(&tracked.listening);
        (listening.watch, listening.lost, listening.heard) = (None, None, None);
        heard
    }

    fn listen_to(&self, tracked: &Tracked, readable: &impl AsFd) -> Heard {
        // Asked before each wait: whichever wait is woken has used the wake-up up.
        while !self.is_stopping() {
            let (debounce, lost) = {
                let listening = locked(&tracked.listening);
                (listening.debounce, listening.lost)
            };
            let is_stream = debounce.is_stream(clock::boot());
            tracked.keep_root(if is_stream { Kept::Soon } else { Kept::Not });
            if !is_stream {
                let now = clock::boot();
                let until_history = locked(&tracked.sum).until_written(now);
                let until_rested = lost.map(|at| at.saturating_sub(now));
                tracked.waker.wait(Some(readable.as_fd()), until_history.into_iter().chain(until_rested).min());
            }
            self.write_history(tracked, When::InTime);
            tracked.waker.wait(None, Some(debounce.together(clock::boot())));
            self.catch_up(tracked);
            let (heard, lost) = {
                let listening = locked(&tracked.listening);
                (listening.heard, listening.lost)
            };
            if let Some(heard) = heard {
                return heard;
            }
            if lost.is_some_and(|at| at <= clock::boot()) || tracked.waker.rescan.swap(false, Ordering::SeqCst) {
                return Heard::LookAgain;
            }
        }
        Heard::Stop
    }

    /// Processes the events since the last time. A removal does so first, because a file that was moved over a due one
    /// is another file. So does a registration, and it waits for a concurrent one: earlier events must not undo a later
    /// promise.
    pub(super) fn catch_up(&self, tracked: &Tracked) {
        let mut listening = locked(&tracked.listening);
        let Listening { watch: Some(watch), debounce, lost, rested, heard } = &mut *listening else { return };
        if heard.is_some() {
            return;
        }
        let mut events = Events::default();
        let read = watch.read(|hint| events.take(hint));
        if !events.is_empty() {
            debounce.note(clock::boot());
        }
        *heard = match read {
            Err(error) => {
                tracing::warn!(policy = tracked.name(), "{error}");
                Some(Heard::LookAgain)
            }
            Ok(()) if events.root_gone => Some(Heard::OpenAgain),
            Ok(()) => {
                if events.anything && lost.is_none() {
                    tracing::warn!(policy = tracked.name(), "the kernel dropped events; scanning all files again");
                    *lost = Some(*rested);
                }
                let mut steps = events.steps.into_iter();
                steps.any(|step| self.follow(tracked, watch, step).is_err()).then_some(Heard::LookAgain)
            }
        };
        if heard.is_some() {
            // It is for the thread that watches.
            tracked.waker.wake();
        }
    }

    /// Waits until it is time for a full scan, or one is requested. A wake-up alone, which comes with every removal, is
    /// not a reason to scan a large tree.
    fn pause(&self, tracked: &Tracked, interval: Duration) {
        let over = clock::boot() + interval;
        while !self.is_stopping() && !tracked.waker.rescan.load(Ordering::SeqCst) {
            let now = clock::boot();
            if now >= over {
                return;
            }
            let until_history = locked(&tracked.sum).until_written(now).unwrap_or(interval);
            tracked.waker.wait(None, Some(over.saturating_sub(now).min(until_history)));
            self.write_history(tracked, When::InTime);
        }
    }

    /// Processes events. An error means that new folders can no longer be watched.
    fn follow(&self, tracked: &Tracked, watch: &mut Watch, step: Step) -> Result<(), ()> {
        match step {
            Step::Files(files) => self.follow_files(tracked, &files),
            Step::FolderGone(folder) => {
                let below = locked(&tracked.table).below(&folder);
                self.forget_gone(tracked, below);
            }
            Step::Folder(folder) => {
                let Ok(store) = self.store(tracked) else { return Ok(()) };
                let mut found = Events::default();
                let added = watch.add_tree(&store, &folder, |hint| found.take(hint));
                drop(store);
                for step in found.steps {
                    if let Step::Files(files) = step {
                        self.follow_files(tracked, &files);
                    }
                }
                added.map_err(|error| tracing::warn!(policy = tracked.name(), "{error}"))?;
            }
        }
        Ok(())
    }

    fn follow_files(&self, tracked: &Tracked, files: &BTreeMap<Vec<u8>, NameChange>) {
        let gone = files.iter().filter(|(_, change)| change.was_gone);
        self.forget_gone(tracked, gone.map(|(path, _)| path.as_slice().into()).collect());
        let there: Vec<&[u8]> =
            files.iter().filter(|(_, change)| !change.is_gone).map(|(path, _)| path.as_slice()).collect();
        if !there.is_empty() {
            let appeared = files.iter().filter(|(_, change)| change.appeared).map(|(path, _)| path.clone()).collect();
            self.scan_as(tracked, &there, &Discovery::Appeared(appeared));
        }
    }

    /// Forgets files that are reported as gone.
    fn forget_gone(&self, tracked: &Tracked, mut gone: Vec<Arc<[u8]>>) {
        gone.retain(|path| !self.is_old_news(tracked, path));
        self.forget(tracked, &gone);
    }

    /// Whether the previous file with this name was gone before the current one got its time to live, and only its
    /// event came late. A file that has not changed since then is the registered one.
    fn is_old_news(&self, tracked: &Tracked, path: &[u8]) -> bool {
        let registration = locked(&tracked.table).get(path).and_then(|entry| entry.registration);
        let Some(registration) = registration.filter(|it| it.ttl.is_some()) else { return false };
        let Ok(store) = self.store(tracked) else { return false };
        let Classified::Candidate(found) = store.classify(path) else { return false };
        let name = Name { folder: b"", last: path };
        found.candidate(name).identity.is_some_and(|file| file.changed <= registration.at)
    }

    /// Empties the table of a missing root. Its promises stay, because it may come back with its files.
    fn lose(&self, tracked: &Tracked) {
        let mut table = locked(&tracked.table);
        self.files.fetch_sub(table.len(), Ordering::Relaxed);
        table.clear();
        drop(table);
        self.listener.deadlines_changed(tracked.name());
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }
}

impl Tracked {
    /// Sets whether the root stays open between scans. One that is open stays open.
    fn keep_root(&self, wanted: Kept) {
        let mut kept = locked(&self.kept);
        if !matches!((&*kept, &wanted), (Kept::Root(_), Kept::Soon)) {
            *kept = wanted;
        }
    }

    fn set_watching(&self, inner: &Inner, watching: Watching) {
        let is_news = *locked(&self.watching) != watching;
        if is_news {
            inner.listener.watching_changed(self.name(), &watching);
            *locked(&self.watching) = watching;
        }
    }

    /// Reports that not everything can be tracked.
    pub(super) fn watched_by_rescans(&self, inner: &Inner, why: String) {
        self.set_watching(inner, Watching::Rescans { why });
    }

    fn rescan_interval(&self) -> Duration {
        self.every().unwrap_or(RESCAN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Engine;
    use crate::track::Tracker;

    #[test]
    fn old_news_of_a_name_do_not_take_back_what_was_promised_since() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("cleanup.toml");
        let text = "[files.a]\nroot = \"a\"\ninclude = [\"*\"]\nmax_age = \"30m\"\ntrack = true\n";
        std::fs::write(&config, text).unwrap();
        let path = folder.path().join("a/x/file");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "").unwrap();
        let text = text.replace("track = true", "track = true\nrecursive = true");
        std::fs::write(&config, text).unwrap();
        let service = Tracker::start(&Arc::new(Engine::open(Some(&config)).unwrap()), Arc::new(()));
        let inner = &service.inner;
        // Of its own, that no kernel tells of.
        let tracked = Tracked::new(inner.policies[0].policy.clone());
        let at = cleanup_core::moment::Moment::EPOCH.plus(Duration::from_secs(4_000_000_000));
        let ttl = cleanup_core::policy::MaxAge::new(Duration::from_hours(9));
        let promise = |at| {
            let store = inner.store(&tracked).unwrap();
            let registration = cleanup_core::registration::Registration { at, ttl };
            inner.scan_registered(&tracked, &store, b"x/file", registration);
        };
        let is_promised = || {
            let registration = locked(&tracked.table).get(b"x/file").and_then(|entry| entry.registration);
            registration.is_some_and(|it| it.ttl.is_some())
        };
        let events = || [(b"x/file".to_vec(), NameChange { was_gone: true, appeared: true, is_gone: false })].into();

        // Given after the file was last changed, and before.
        for (at, stays) in [(at, true), (cleanup_core::moment::Moment::EPOCH, false)] {
            promise(at);
            inner.follow_files(&tracked, &events());
            assert_eq!(is_promised(), stays, "a file");
            promise(at);
            let below = locked(&tracked.table).below(b"x");
            inner.forget_gone(&tracked, below);
            assert_eq!(is_promised(), stays, "a folder");
        }
        promise(at);
        std::fs::remove_file(path).unwrap();
        inner.follow_files(&tracked, &events());
        assert!(!is_promised(), "it is really gone");
    }

    #[test]
    fn a_removal_is_no_reason_to_look_at_everything_again() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("cleanup.toml");
        let text = "[files.a]\nroot = \"a\"\ninclude = [\"*\"]\nmax_age = \"30m\"\ntrack = true\n";
        std::fs::write(&config, text).unwrap();
        let service = Tracker::start(&Arc::new(Engine::open(Some(&config)).unwrap()), Arc::new(()));
        let inner = &service.inner;
        // Of its own: the thread of the tracker would be woken itself.
        let tracked = Tracked::new(inner.policies[0].policy.clone());
        let interval = Duration::from_millis(50);
        let begun = clock::boot();
        tracked.waker.wake();
        inner.pause(&tracked, interval);
        assert!(clock::boot() >= begun + interval);
        tracked.waker.ask_for_rescan();
        inner.pause(&tracked, Duration::from_hours(24));
    }
}
