//! The thread of one tracked policy: sleeps until the kernel tells of something, and looks at it.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use cleanup_fs_store::{Hint, Watch};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use super::due::When;
use super::sight::As;
use super::table::locked;
use super::{Inner, Tracked, Watching};

/// What happens within this time is looked at together.
const TOGETHER: Duration = Duration::from_millis(20);

/// How long lies between two looks while something happens all the time: a look costs some fifty system calls, for one
/// file as for many.
const BETWEEN_LOOKS: Duration = Duration::from_millis(250);

/// How often a root that cannot be opened is tried again.
const RETRY: Duration = Duration::from_secs(10);

/// How often everything is looked at where nothing tells of new files, unless the policy says `every`.
const RESCAN: Duration = Duration::from_mins(5);

/// Wakes a thread that waits.
pub(super) struct Bell {
    /// Without one (no descriptor is to be had) the thread looks every now and then.
    fd: Option<OwnedFd>,
    rescan: AtomicBool,
}

impl Bell {
    pub(super) fn new() -> Self {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok();
        Self { fd, rescan: AtomicBool::new(false) }
    }

    pub(super) fn ring(&self) {
        if let Some(fd) = &self.fd {
            // It fails when it has rung very often without being heard: then it rings already.
            let _ = rustix::io::write(fd, &1_u64.to_ne_bytes());
        }
    }

    pub(super) fn ask_for_rescan(&self) {
        self.rescan.store(true, Ordering::SeqCst);
        self.ring();
    }

    /// Waits until it rings, something can be read, or the time is over.
    fn wait(&self, other: Option<BorrowedFd<'_>>, most: Option<Duration>) {
        let most = if self.fd.is_none() { Some(most.unwrap_or(RETRY).min(RETRY)) } else { most };
        let timeout = most.map(|most| Timespec {
            tv_sec: i64::try_from(most.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(most.subsec_nanos()),
        });
        let own = self.fd.iter().map(OwnedFd::as_fd);
        let mut fds: Vec<_> = own.chain(other).map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        // An interrupted wait is over early, and whoever waits looks and waits again.
        let _ = poll(&mut fds, timeout.as_ref());
        if let Some(fd) = &self.fd {
            let mut count = [0_u8; 8];
            let _ = rustix::io::read(fd, &mut count);
        }
    }
}

/// What happened to files, in the order in which it matters.
enum Step {
    Files(BTreeMap<Vec<u8>, Fate>),
    Folder(Vec<u8>),
    FolderGone(Vec<u8>),
}

/// What happened to one name.
#[derive(Clone, Copy, Debug, Default)]
struct Fate {
    /// Another file had this name before.
    was_gone: bool,
    appeared: bool,
    is_gone: bool,
}

/// All that was told since the last look.
#[derive(Default)]
struct News {
    steps: Vec<Step>,
    anything: bool,
    root_gone: bool,
}

impl News {
    fn take(&mut self, hint: Hint<'_>) {
        match hint {
            Hint::Anything => self.anything = true,
            Hint::RootGone => self.root_gone = true,
            Hint::Folder(path) => self.steps.push(Step::Folder(path.to_owned())),
            Hint::FolderGone(path) => self.steps.push(Step::FolderGone(path.to_owned())),
            Hint::Appeared(path) => self.file(path, |fate| (fate.appeared, fate.is_gone) = (true, false)),
            Hint::Written(path) => self.file(path, |fate| fate.is_gone = false),
            Hint::Gone(path) => self.file(path, |fate| *fate = Fate { was_gone: true, appeared: false, is_gone: true }),
        }
    }

    fn file(&mut self, path: &[u8], change: impl FnOnce(&mut Fate)) {
        if !matches!(self.steps.last(), Some(Step::Files(_))) {
            self.steps.push(Step::Files(BTreeMap::new()));
        }
        if let Some(Step::Files(files)) = self.steps.last_mut() {
            if let Some(fate) = files.get_mut(path) {
                change(fate);
            } else {
                change(files.entry(path.to_owned()).or_default());
            }
        }
    }
}

/// Why a thread stops listening.
enum Heard {
    /// To look at everything again: what is new has appeared meanwhile.
    LookAgain,
    /// To open the root again, as if for the first time.
    OpenAgain,
    /// For good.
    Stop,
}

impl Inner {
    /// Keeps the table of a policy true until tracking ends. Says once when everything was looked at.
    pub(super) fn watch(&self, index: usize, ready: &mpsc::Sender<()>) {
        let tracked = &self.policies[index];
        let mut is_first = true;
        let mut is_ready = false;
        while !self.is_stopping() {
            is_first = match self.store(tracked) {
                Err(error) => {
                    self.lose(tracked);
                    tracked.set_watching(self, Watching::Missing { why: error.to_string() });
                    self.announce(tracked, &mut is_ready, ready);
                    tracked.bell.wait(None, Some(RETRY));
                    true
                }
                Ok(store) => {
                    tracked.bell.rescan.store(false, Ordering::SeqCst);
                    // Something was mounted over the root, or not mounted: another folder has other files, and what is
                    // promised of the first one's stays promised.
                    let root = store.root_id();
                    let before = std::mem::replace(&mut *locked(&tracked.root), root);
                    let is_first = is_first || before != root;
                    if before.is_some() && before != root {
                        self.lose(tracked);
                    }
                    // Watched first, looked at then: nothing can appear unseen in between.
                    let watch = Watch::open(&store);
                    let kind = if is_first { As::Found } else { As::Appeared(BTreeSet::new()) };
                    tracked.set_watching(
                        self,
                        match &watch {
                            Ok(_) => Watching::Events,
                            Err(error) => Watching::Rescans { why: error.to_string() },
                        },
                    );
                    self.look_at_all(tracked, &store, &kind);
                    drop(store);
                    self.announce(tracked, &mut is_ready, ready);
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

    fn announce(&self, tracked: &Tracked, is_ready: &mut bool, ready: &mpsc::Sender<()>) {
        if !std::mem::replace(is_ready, true) {
            self.engine.tables.add(tracked.name(), &tracked.table);
            // Nobody waits any more when tracking was stopped meanwhile.
            let _ = ready.send(());
        }
    }

    fn listen(&self, tracked: &Tracked, mut watch: Watch) -> Heard {
        let mut looked_at = None;
        // Asked before each wait: whichever wait hears the bell has silenced it.
        while !self.is_stopping() {
            let until_history = locked(&tracked.sum).until_written(crate::clock::boot());
            tracked.bell.wait(Some(watch.readable()), until_history);
            self.write_history(tracked, When::InTime);
            let since_look = looked_at.map_or(BETWEEN_LOOKS, |at| crate::clock::boot().saturating_sub(at));
            tracked.bell.wait(None, Some(BETWEEN_LOOKS.saturating_sub(since_look).max(TOGETHER)));
            looked_at = Some(crate::clock::boot());
            let mut news = News::default();
            if let Err(error) = watch.read(|hint| news.take(hint)) {
                tracing::warn!(policy = tracked.name(), "{error}");
                return Heard::LookAgain;
            }
            if news.root_gone {
                return Heard::OpenAgain;
            }
            if news.anything {
                tracing::warn!(
                    policy = tracked.name(),
                    "more happened than the kernel could tell; looking at everything again"
                );
                return Heard::LookAgain;
            }
            for step in news.steps {
                if self.follow(tracked, &mut watch, step).is_err() {
                    return Heard::LookAgain;
                }
            }
            if tracked.bell.rescan.swap(false, Ordering::SeqCst) {
                return Heard::LookAgain;
            }
        }
        Heard::Stop
    }

    /// Waits until it is time to look at everything again, or somebody asks for that. The bell alone, which rings at
    /// every removal, is no reason to go through a large tree.
    fn pause(&self, tracked: &Tracked, interval: Duration) {
        let over = crate::clock::boot() + interval;
        while !self.is_stopping() && !tracked.bell.rescan.load(Ordering::SeqCst) {
            let now = crate::clock::boot();
            if now >= over {
                return;
            }
            let until_history = locked(&tracked.sum).until_written(now).unwrap_or(interval);
            tracked.bell.wait(None, Some(over.saturating_sub(now).min(until_history)));
            self.write_history(tracked, When::InTime);
        }
    }

    /// Looks at what has happened. An error means that new folders cannot be watched any more.
    fn follow(&self, tracked: &Tracked, watch: &mut Watch, step: Step) -> Result<(), ()> {
        match step {
            Step::Files(files) => self.follow_files(tracked, &files),
            Step::FolderGone(folder) => {
                let below = locked(&tracked.table).below(&folder);
                self.forget(tracked, &below);
            }
            Step::Folder(folder) => {
                let Ok(store) = self.store(tracked) else { return Ok(()) };
                let mut found = News::default();
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

    fn follow_files(&self, tracked: &Tracked, files: &BTreeMap<Vec<u8>, Fate>) {
        let gone = files.iter().filter(|(_, fate)| fate.was_gone);
        let gone: Vec<Arc<[u8]>> = gone.map(|(path, _)| path.as_slice().into()).collect();
        self.forget(tracked, &gone);
        let there: Vec<&[u8]> =
            files.iter().filter(|(_, fate)| !fate.is_gone).map(|(path, _)| path.as_slice()).collect();
        if !there.is_empty() {
            let appeared = files.iter().filter(|(_, fate)| fate.appeared).map(|(path, _)| path.clone()).collect();
            self.look_at_as(tracked, &there, &As::Appeared(appeared));
        }
    }

    /// Empties the table of a root that is not there. Its promises stay: it may come back with its files.
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
    fn set_watching(&self, inner: &Inner, watching: Watching) {
        let is_news = *locked(&self.watching) != watching;
        if is_news {
            inner.listener.watching_changed(self.name(), &watching);
            *locked(&self.watching) = watching;
        }
    }

    /// Says that not everything can be tracked.
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
    fn a_removal_is_no_reason_to_look_at_everything_again() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("cleanup.toml");
        let text = "[files.a]\nroot = \"a\"\ninclude = [\"*\"]\nmax_age = \"30m\"\ntrack = true\n";
        std::fs::write(&config, text).unwrap();
        let service = Tracker::start(&Arc::new(Engine::open(Some(&config)).unwrap()), Arc::new(()));
        let inner = &service.inner;
        // Of its own: the tracker's hears the bell itself.
        let tracked = Tracked::new(inner.policies[0].policy.clone());
        let interval = Duration::from_millis(50);
        let begun = crate::clock::boot();
        tracked.bell.ring();
        inner.pause(&tracked, interval);
        assert!(crate::clock::boot() >= begun + interval);
        tracked.bell.ask_for_rescan();
        inner.pause(&tracked, Duration::from_hours(24));
    }
}
