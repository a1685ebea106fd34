//! Tracking from outside: what is learned of, what is remembered, what goes at its deadline and what does not.

#![allow(clippy::unwrap_used, reason = "tests may")]

mod deadlines;
mod news;
mod owners;
mod promises;

use std::fs::{self, File, FileTimes};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use cleanup_core::report::PolicyStatus;
use cleanup_core::sweep::Mode;
use cleanup_engine::track::{FilesOrder, FilesQuery, Listener, RegisterError, Tracker, Watching};
use cleanup_engine::{Engine, Request, Restore, RestoreRequest, Watcher};
use tempfile::TempDir;

const MINUTE: Duration = Duration::from_mins(1);
/// More than twice what the kernel queues.
const FILES: u64 = 40_000;
const LONG: Duration = Duration::from_mins(1);

struct World {
    folder: TempDir,
}

/// What a tracker says, in words.
struct Ear(Mutex<Sender<String>>);

impl Listener for Ear {
    fn registered(&self, policy: &str, path: &[u8]) {
        self.say(format!("registered {policy} {}", String::from_utf8_lossy(path)));
    }

    fn removed(&self, policy: &str, path: &[u8], _: u64, _: Duration) {
        self.say(format!("removed {policy} {}", String::from_utf8_lossy(path)));
    }

    fn bytes_went(&self, policy: &str, freed: u64, quarantined: u64) {
        if freed + quarantined > 0 {
            self.say(format!("went {policy} {freed} {quarantined}"));
        }
    }

    fn watching_changed(&self, policy: &str, watching: &Watching) {
        let word = match watching {
            Watching::Events => "events",
            Watching::Rescans { .. } => "rescans",
            Watching::Missing { .. } => "missing",
        };
        self.say(format!("watching {policy} {word}"));
    }
}

impl Ear {
    fn say(&self, text: String) {
        // Nobody may listen any more.
        let _ = self.0.lock().unwrap().send(text);
    }
}

struct Tracking {
    engine: Arc<Engine>,
    tracker: Tracker,
    said: Receiver<String>,
}

impl World {
    fn new(policy: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("models")).unwrap();
        let text = format!("[files.models]\nroot = \"models\"\ntrack = true\n{policy}\n");
        fs::write(folder.path().join("cleanup.toml"), text).unwrap();
        Self { folder }
    }

    fn plain() -> Self {
        Self::new("include = [\"*.step\"]\narchives = [\"keep-*\"]\nmax_age = \"30m\"")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("models").join(name)
    }

    /// Makes a file of this age elsewhere and moves it in.
    fn move_in(&self, name: &str, age: Duration) {
        let outside = self.folder.path().join("outside");
        fs::write(&outside, name).unwrap();
        backdate(&outside, age);
        fs::rename(outside, self.path(name)).unwrap();
    }

    fn make(&self, name: &str, age: Duration) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), name).unwrap();
        backdate(&self.path(name), age);
    }

    fn exists(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    fn track(&self) -> Tracking {
        self.track_at_most(cleanup_engine::track::MAX_FILES)
    }

    fn track_at_most(&self, files: usize) -> Tracking {
        let engine = Arc::new(Engine::open(Some(&self.folder.path().join("cleanup.toml"))).unwrap());
        let (sender, said) = channel();
        let tracker = Tracker::start_with(&engine, Arc::new(Ear(Mutex::new(sender))), files);
        Tracking { engine, tracker, said }
    }
}

impl Tracking {
    /// Waits until that is said.
    fn hear(&self, text: &str) {
        loop {
            let said = self.said.recv_timeout(LONG).unwrap_or_else(|_| panic!("nobody says {text:?}"));
            if said == text {
                return;
            }
        }
    }

    fn counts(&self) -> (u64, u64) {
        let policy = self.tracker.policy("models").unwrap();
        (policy.total_files, policy.tracked_files)
    }

    /// Waits until so many files are there, and tracked.
    fn wait_for_counts(&self, counts: (u64, u64)) {
        let begun = Instant::now();
        while self.counts() != counts {
            assert!(begun.elapsed() < LONG, "{:?} instead of {counts:?}", self.counts());
            std::thread::yield_now();
        }
    }

    fn remove_due(&self) -> u64 {
        self.tracker.remove_due("models").unwrap().counts.removed
    }

    /// The whole seconds until a file is due, rounded to minutes.
    fn minutes_left(&self, name: &str) -> i64 {
        let query = FilesQuery { contains: Some(name.to_owned()), limit: 1, ..FilesQuery::default() };
        let file = self.tracker.files(&query).files.remove(0);
        let seconds = file.due_at.unwrap().unix_seconds() - now_seconds();
        (seconds + 30).div_euclid(60)
    }

    fn id(&self, name: &str) -> String {
        let query = FilesQuery { contains: Some(name.to_owned()), limit: 1, ..FilesQuery::default() };
        self.tracker.files(&query).files.remove(0).id
    }
}

fn now_seconds() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

fn backdate(path: &Path, age: Duration) {
    let at = SystemTime::now() - age;
    File::open(path).unwrap().set_times(FileTimes::new().set_modified(at)).unwrap();
}

impl Tracking {
    /// Waits until that is said, or was said already to somebody who waited for something else.
    fn hear_any_order(&self, text: &str) {
        let name = text.rsplit(' ').next().unwrap();
        let query = FilesQuery { contains: Some(name.to_owned()), limit: 1, ..FilesQuery::default() };
        while self.tracker.files(&query).files.is_empty() {
            self.said.recv_timeout(LONG).unwrap_or_else(|_| panic!("nobody says {text:?}"));
        }
    }
}

/// Keeps the thread that tells of a new file until it is let go.
struct Keeping(Mutex<(Sender<()>, Receiver<()>)>);

impl Listener for Keeping {
    fn registered(&self, _: &str, path: &[u8]) {
        if path == b"new.step" {
            let (told, go_on) = &*self.0.lock().unwrap();
            told.send(()).unwrap();
            go_on.recv_timeout(LONG).unwrap();
        }
    }
}

/// Registers a file in the middle of a sweep.
struct Interfering<'a>(&'a Tracker);

impl Watcher for Interfering<'_> {
    fn judged(&self, _: &str, judged: &cleanup_core::sweep::Judged<'_>) {
        if judged.candidate.name.folder.is_empty() {
            self.0.register("models", b"job/b.step", Some(600 * MINUTE)).unwrap();
        }
    }
}

struct Impatient;

impl Watcher for Impatient {
    fn wants_to_stop(&self) -> bool {
        true
    }
}

#[test]
fn files_come_in_every_order_page_by_page_each_once() {
    // Archives have no deadline, and several files have the same size and the same age.
    let world = World::plain();
    for number in 0..60_u64 {
        let kept = if number % 7 == 0 { "keep-" } else { "" };
        let path = format!("{kept}{number}.step");
        fs::write(world.path(&path), vec![b' '; usize::try_from(number % 5 * 9000).unwrap()]).unwrap();
        backdate(&world.path(&path), MINUTE * u32::try_from(number % 9).unwrap());
    }
    let tracking = world.track();
    let all = |order, limit| {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = tracking.tracker.files(&FilesQuery { order, limit, after, ..FilesQuery::default() });
            assert!(page.files.len() <= limit);
            found.extend(page.files);
            match page.next {
                Some(next) => after = Some(next),
                None => return found,
            }
        }
    };
    let by_path = all(FilesOrder::Path, 100);
    assert_eq!(by_path.len(), 60);
    for order in [
        FilesOrder::Path,
        FilesOrder::Largest,
        FilesOrder::Smallest,
        FilesOrder::Oldest,
        FilesOrder::Newest,
        FilesOrder::Due,
    ] {
        let mut expected = by_path.clone();
        // Sorting keeps the order of paths where nothing else decides.
        match order {
            FilesOrder::Path => {}
            FilesOrder::Largest => expected.sort_by_key(|file| std::cmp::Reverse(file.bytes)),
            FilesOrder::Smallest => expected.sort_by_key(|file| file.bytes),
            FilesOrder::Oldest => expected.sort_by_key(|file| file.stamp),
            FilesOrder::Newest => expected.sort_by_key(|file| std::cmp::Reverse(file.stamp)),
            FilesOrder::Due => expected.sort_by_key(|file| (file.due_at.is_none(), file.due_at)),
        }
        for limit in [1, 7, 59, 60, 61] {
            let found: Vec<_> = all(order, limit).into_iter().map(|file| file.path).collect();
            let expected: Vec<_> = expected.iter().map(|file| file.path.clone()).collect();
            assert_eq!(found, expected, "{order:?} by {limit}");
        }
    }
    let some = FilesQuery {
        order: FilesOrder::Largest,
        limit: 2,
        contains: Some("keep-".to_owned()),
        ..FilesQuery::default()
    };
    assert!(tracking.tracker.files(&some).files.iter().all(|file| file.path.starts_with("keep-")));
    let none =
        FilesQuery { order: FilesOrder::Due, limit: 2, after: Some("nonsense".to_owned()), ..FilesQuery::default() };
    assert_eq!(tracking.tracker.files(&none).files.len(), 2, "a place that is none asks for the first page");
    let next = tracking.tracker.next_files_of("models", 3).unwrap();
    assert_eq!(next, all(FilesOrder::Due, 100)[..3]);
    assert_eq!(tracking.tracker.next_files_of("no", 3), None);
}
