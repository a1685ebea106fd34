//! Tracking from outside: what is learned of, what is remembered, what goes at its deadline and what does not.

#![allow(clippy::unwrap_used, reason = "tests may")]

use std::fs::{self, File, FileTimes};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use cleanup_core::report::PolicyStatus;
use cleanup_core::sweep::Mode;
use cleanup_engine::track::{FilesQuery, Listener, RegisterError, Tracker, Watching};
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

#[test]
fn what_is_there_counts_by_its_stamps_and_what_appears_counts_from_now() {
    let world = World::plain();
    world.make("old.step", 31 * MINUTE);
    world.make("young.step", 10 * MINUTE);
    world.make("keep-1.step", 31 * MINUTE);
    world.make("other.txt", 31 * MINUTE);
    let tracking = world.track();
    tracking.hear("watching models events");
    assert_eq!(tracking.counts(), (3, 2), "an archive is there, and has no deadline");
    assert_eq!(tracking.minutes_left("young"), 20);

    world.move_in("moved.step", 9000 * MINUTE);
    tracking.hear("registered models moved.step");
    world.make("new.step", Duration::ZERO);
    tracking.hear("registered models new.step");
    assert_eq!(tracking.counts(), (5, 4));
    assert_eq!((tracking.minutes_left("moved"), tracking.minutes_left("new")), (30, 30));

    assert_eq!(tracking.remove_due(), 1);
    tracking.hear("removed models old.step");
    assert_eq!(tracking.remove_due(), 0);
    assert!(!world.exists("old.step") && world.exists("keep-1.step") && world.exists("other.txt"));
    assert_eq!(tracking.counts(), (4, 3));

    fs::remove_file(world.path("young.step")).unwrap();
    world.make("last.step", Duration::ZERO);
    tracking.hear("registered models last.step");
    assert_eq!(tracking.counts(), (4, 3), "what vanishes is forgotten without a word");
}

#[test]
fn what_was_registered_survives_a_sudden_end() {
    let world = World::plain();
    let before = world.track();
    world.move_in("moved.step", 9000 * MINUTE);
    before.hear("registered models moved.step");
    world.move_in("told.step", 9000 * MINUTE);
    before.hear("registered models told.step");
    before.tracker.register("models", b"told.step", Some(60 * MINUTE)).unwrap();
    // As if it had been killed: nothing is written down at the end.
    std::mem::forget(before);

    let after = world.track();
    assert_eq!((after.minutes_left("moved"), after.minutes_left("told")), (30, 60));
    assert_eq!(after.remove_due(), 0);
    let sweep = Request { mode: Mode::Apply, ..Request::default() };
    let report = after.engine.sweep(&sweep, &()).unwrap();
    assert_eq!((report.totals.due, report.totals.removed), (0, 0), "a sweep beside it knows the same");
    drop(after);

    let command = Engine::open(Some(&world.folder.path().join("cleanup.toml"))).unwrap();
    assert_eq!(command.sweep(&sweep, &()).unwrap().totals.due, 0, "and so does one without the service");
    let said = command.explain(&world.path("told.step")).answers.remove(0).reason;
    assert!(said.contains("within its ttl 1h"), "{said}");

    fs::remove_dir_all(world.folder.path().join(".cleanup")).unwrap();
    let without = world.track();
    assert_eq!(without.counts(), (2, 2));
    assert_eq!(without.remove_due(), 2, "without memory only the disk counts");
}

#[test]
fn a_file_written_again_starts_anew_unless_it_has_a_time_of_its_own() {
    let world = World::plain();
    world.make("a.step", 25 * MINUTE);
    world.make("b.step", 25 * MINUTE);
    let tracking = world.track();
    let told = tracking.tracker.register("models", b"b.step", Some(MINUTE)).unwrap();
    assert!(told.is_new);
    assert_eq!((tracking.minutes_left("a.step"), told.file.ttl_seconds), (5, Some(60.0)));

    fs::write(world.path("a.step"), "again").unwrap();
    fs::write(world.path("b.step"), "again").unwrap();
    world.make("mark.step", Duration::ZERO);
    tracking.hear("registered models mark.step");
    assert_eq!((tracking.minutes_left("a.step"), tracking.minutes_left("b.step")), (30, 1));
    let again = tracking.tracker.register("models", b"b.step", None).unwrap();
    assert!(!again.is_new);
    assert_eq!((again.file.ttl_seconds, tracking.minutes_left("b.step")), (None, 30));
}

#[test]
fn a_short_time_of_its_own_ends_exactly_and_a_new_file_of_that_name_is_a_new_file() {
    let world = World::plain();
    world.make("a.step", Duration::ZERO);
    let tracking = world.track();
    let file = tracking.tracker.register("models", b"a.step", Some(Duration::from_millis(300))).unwrap().file;
    let removed = tracking.remove_due();
    assert!(removed == 0 || now_seconds() >= file.due_at.unwrap().unix_seconds(), "never early");
    while world.exists("a.step") {
        tracking.remove_due();
    }
    tracking.hear("removed models a.step");
    assert!(
        SystemTime::now()
            >= SystemTime::UNIX_EPOCH
                + Duration::from_millis(u64::try_from(file.due_at.unwrap().unix_millis()).unwrap())
    );
    world.make("a.step", Duration::ZERO);
    tracking.hear("registered models a.step");
    assert_eq!(tracking.minutes_left("a.step"), 30);
    assert_eq!(tracking.tracker.file(&file.id).unwrap().ttl_seconds, None);
}

#[test]
fn a_hold_keeps_a_file_past_its_deadline() {
    let world = World::plain();
    world.make("a.step", 31 * MINUTE);
    let tracking = world.track();
    let id = tracking.id("a.step");
    tracking.tracker.hold(&id, 5 * MINUTE).unwrap().unwrap();
    assert!(tracking.tracker.file(&id).unwrap().held_until.is_some());
    assert_eq!(tracking.remove_due(), 0);
    assert_eq!(tracking.tracker.release(&id).unwrap(), Some(true));
    assert_eq!(tracking.remove_due(), 1);
    assert_eq!(tracking.tracker.hold(&id, MINUTE).unwrap().map(|_| ()), Some(()), "a path may be held before it is");
    assert_eq!(tracking.tracker.hold("models", MINUTE).unwrap(), None);
}

#[test]
fn only_what_a_sweep_would_take_can_be_registered() {
    let world = World::plain();
    for name in ["a.step", "sub/b.step", "x.txt"] {
        world.make(name, Duration::ZERO);
    }
    fs::create_dir(world.path("folder.step")).unwrap();
    std::os::unix::fs::symlink(world.path("a.step"), world.path("link.step")).unwrap();
    std::os::unix::fs::symlink(world.path("sub"), world.path("way")).unwrap();
    let tracking = world.track_at_most(2);
    let long = vec![b'a'; 5000];
    let refused: [&[u8]; 15] = [
        b"",
        b"../../etc/passwd",
        b"/etc/passwd",
        b"a/../../a.step",
        b"%2e%2e%2fa.step",
        b"a\0.step",
        &long,
        b"x.txt",
        b"folder.step",
        b"link.step",
        b"way/b.step",
        b"sub/b.step",
        b"missing.step",
        b"a.step/",
        b"./a.step",
    ];
    let root = world.folder.path().to_string_lossy().into_owned();
    for path in refused {
        let error = tracking.tracker.register("models", path, None).unwrap_err();
        assert!(matches!(error, RegisterError::Refused(_)), "{}: {error:?}", String::from_utf8_lossy(path));
        assert!(!error.to_string().contains(&root), "{error}");
    }
    let zero = tracking.tracker.register("models", b"a.step", Some(Duration::ZERO));
    assert!(matches!(zero, Err(RegisterError::Refused(_))));
    assert!(matches!(tracking.tracker.register("other", b"a", None), Err(RegisterError::UnknownPolicy(_))));
    assert!(tracking.tracker.register("models", b"a.step", None).is_ok());

    world.make("b.step", Duration::ZERO);
    tracking.hear("registered models b.step");
    world.make("c.step", Duration::ZERO);
    tracking.hear("watching models rescans");
    assert_eq!(tracking.tracker.register("models", b"c.step", None), Err(RegisterError::TooMany(2)));
    assert_eq!(tracking.counts().0, 2);
}

#[test]
fn folders_that_appear_with_files_in_them_are_looked_into() {
    let world = World::new("include = [\"*.step\"]\nmax_age = \"30m\"\nrecursive = true");
    let tracking = world.track();
    for number in 0..20 {
        world.make(&format!("job{number}/deep/er/part.step"), Duration::ZERO);
    }
    for number in 0..20 {
        tracking.hear_any_order(&format!("registered models job{number}/deep/er/part.step"));
    }
    fs::rename(world.path("job1"), world.path("renamed")).unwrap();
    tracking.hear("registered models renamed/deep/er/part.step");
    assert_eq!(tracking.counts(), (20, 20));
    fs::remove_dir_all(world.path("job2")).unwrap();
    world.make("mark.step", Duration::ZERO);
    tracking.hear("registered models mark.step");
    assert_eq!(tracking.counts(), (20, 20));
}

#[test]
fn a_burst_larger_than_the_kernel_can_queue_is_taken_in_whole() {
    let world = World::plain();
    let tracking = world.track();
    for number in 0..FILES {
        File::create(world.path(&format!("{number}.step"))).unwrap();
    }
    for _ in 0..FILES {
        let said = tracking.said.recv_timeout(LONG).unwrap();
        assert!(said.starts_with("registered") || said.starts_with("watching"), "{said}");
    }
    world.make("mark.step", Duration::ZERO);
    tracking.hear("registered models mark.step");
    assert_eq!(tracking.counts(), (FILES + 1, FILES + 1));
}

#[test]
fn a_root_that_comes_later_is_found() {
    let world = World::plain();
    fs::remove_dir(world.folder.path().join("models")).unwrap();
    let tracking = world.track();
    assert!(matches!(tracking.tracker.policy("models").unwrap().watching, Watching::Missing { .. }));
    assert!(matches!(tracking.tracker.register("models", b"a.step", None), Err(RegisterError::Unavailable(_))));
    world.make("a.step", 31 * MINUTE);
    tracking.tracker.rescan("models");
    tracking.hear("watching models events");
    while tracking.counts() != (1, 1) {
        std::thread::yield_now();
    }
    assert_eq!(tracking.remove_due(), 1);

    fs::rename(world.folder.path().join("models"), world.folder.path().join("away")).unwrap();
    tracking.hear("watching models missing");
    assert_eq!(tracking.counts(), (0, 0));
}

#[test]
fn a_rule_that_was_changed_and_takes_too_much_holds_deadlines_back() {
    let world = World::plain();
    for number in 0..200 {
        world.make(&format!("{number}.step"), 10 * MINUTE);
    }
    let engine = Engine::open(Some(&world.folder.path().join("cleanup.toml"))).unwrap();
    let sweep = Request { mode: Mode::Apply, ..Request::default() };
    assert_eq!(engine.sweep(&sweep, &()).unwrap().totals.removed, 0);
    let file = world.folder.path().join("cleanup.toml");
    fs::write(&file, fs::read_to_string(&file).unwrap().replace("30m", "3m")).unwrap();

    let tracking = world.track();
    let report = tracking.tracker.remove_due("models").unwrap();
    assert_eq!((report.status, report.counts.removed), (PolicyStatus::Held, 0));
    let message = report.message.unwrap();
    assert!(message.contains("max_age was changed from"), "{message}");
    assert!(tracking.tracker.policy("models").unwrap().held.is_some());
    tracking.engine.sweep(&Request { force: true, ..sweep }, &()).unwrap();
    assert!(!world.exists("7.step"));
}

#[test]
fn removals_are_summed_up_in_the_history() {
    let world = World::plain();
    for number in 0..30 {
        world.make(&format!("{number}.step"), 31 * MINUTE);
    }
    let tracking = world.track();
    assert_eq!(tracking.remove_due(), 30);
    world.move_in("late.step", MINUTE);
    tracking.hear("registered models late.step");
    tracking.tracker.register("models", b"late.step", Some(Duration::from_millis(1))).unwrap();
    while world.exists("late.step") {
        tracking.remove_due();
    }
    tracking.tracker.stop();
    let runs = tracking.engine.history(10).unwrap().runs;
    let removed: Vec<u64> = runs.iter().map(|run| run.removed).collect();
    assert_eq!(removed, [1, 30], "the first at once, the rest together");
    assert!(tracking.engine.last_runs().is_empty(), "deadlines are no runs of a policy");
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

#[test]
fn what_is_registered_while_it_is_being_looked_at_stays_registered() {
    let world = World::new("include = [\"*.step\"]\nmax_age = \"30m\"\nrecursive = true");
    world.make("job/old.step", 90 * MINUTE);
    let engine = Arc::new(Engine::open(Some(&world.folder.path().join("cleanup.toml"))).unwrap());
    let ((told, hear), (go_on, kept)) = (channel(), channel());
    let tracker = Tracker::start(&engine, Arc::new(Keeping(Mutex::new((told, kept)))));
    // Both are looked at together, the one in the folder last.
    drop(File::options().append(true).open(world.path("job/old.step")).unwrap());
    fs::write(world.path("new.step"), "").unwrap();
    hear.recv_timeout(LONG).unwrap();
    // It waits for the look, or comes in the middle of it: it is the later one in any case.
    let file = std::thread::scope(|scope| {
        let registering = scope.spawn(|| tracker.register("models", b"job/old.step", Some(600 * MINUTE)).unwrap().file);
        go_on.send(()).unwrap();
        registering.join().unwrap()
    });
    tracker.rescan("models");
    while tracker.policy("models").unwrap().total_files < 2 {
        std::thread::yield_now();
    }
    tracker.stop();
    assert_eq!(tracker.file(&file.id).unwrap().ttl_seconds, file.ttl_seconds);
}

#[test]
fn what_was_told_of_before_it_was_noticed_survives_a_sudden_end_too() {
    let world = World::plain();
    let before = world.track();
    world.move_in("told.step", 9000 * MINUTE);
    before.tracker.register("models", b"told.step", None).unwrap();
    std::mem::forget(before);
    let after = world.track();
    assert_eq!((after.remove_due(), after.minutes_left("told.step")), (0, 30));
}

#[test]
fn a_time_of_its_own_holds_for_every_policy_over_the_same_files() {
    let world = World::plain();
    let both = "\n[files.all]\nroot = \"models\"\ntrack = true\ninclude = [\"*\"]\nmax_age = \"1h\"\n";
    let file = world.folder.path().join("cleanup.toml");
    fs::write(&file, fs::read_to_string(&file).unwrap() + both).unwrap();
    world.make("a.step", 90 * MINUTE);
    let tracking = world.track();
    tracking.tracker.register("models", b"a.step", Some(600 * MINUTE)).unwrap();
    assert_eq!(tracking.tracker.remove_due("all").unwrap().counts.removed, 0);
    let sweep = Request { mode: Mode::Apply, ..Request::default() };
    assert_eq!(tracking.engine.sweep(&sweep, &()).unwrap().totals.removed, 0);
    tracking.tracker.stop();
    assert!(world.exists("a.step"));
    assert_eq!(tracking.engine.history(10).unwrap().runs.len(), 1, "a look that removes nothing is no run");
}

#[test]
fn a_root_that_goes_and_comes_back_brings_its_promises_along() {
    let world = World::plain();
    world.make("a.step", 90 * MINUTE);
    let tracking = world.track();
    tracking.hear("watching models events");
    tracking.tracker.register("models", b"a.step", Some(600 * MINUTE)).unwrap();
    let (root, away) = (world.folder.path().join("models"), world.folder.path().join("away"));
    let replace = |with: &Path| {
        fs::rename(&root, if with == away { world.folder.path().join("empty") } else { away.clone() }).unwrap();
        fs::rename(with, &root).unwrap();
    };
    fs::create_dir(world.folder.path().join("empty")).unwrap();
    replace(&world.folder.path().join("empty"));
    while tracking.counts() != (0, 0) {
        std::thread::yield_now();
    }
    replace(&away);
    let sweep = Request { mode: Mode::Apply, ..Request::default() };
    assert_eq!(tracking.engine.sweep(&sweep, &()).unwrap().totals.removed, 0, "noticed or not");
    while tracking.counts() != (1, 1) {
        std::thread::yield_now();
    }
    assert_eq!((tracking.remove_due(), tracking.minutes_left("a.step")), (0, 600));
}

#[test]
fn everything_that_is_due_goes_at_once_however_much_it_is() {
    let world = World::plain();
    for number in 0..FILES {
        let file = File::create(world.path(&format!("{number}.step"))).unwrap();
        file.set_times(FileTimes::new().set_modified(SystemTime::UNIX_EPOCH)).unwrap();
    }
    let tracking = world.track();
    assert_eq!(tracking.remove_due(), FILES);
}

#[test]
fn what_takes_too_much_is_held_back_however_much_it_is() {
    let world = World::new("include = [\"*.step\"]\nmax_age = \"30m\"\nmax_removal_percent = 50");
    for number in 0..FILES + 1_000 {
        let file = File::create(world.path(&format!("{number}.step"))).unwrap();
        file.set_times(FileTimes::new().set_modified(SystemTime::UNIX_EPOCH)).unwrap();
    }
    let tracking = world.track();
    let report = tracking.tracker.remove_due("models").unwrap();
    assert_eq!((report.status, report.counts.removed), (PolicyStatus::Held, 0));
}

#[test]
fn what_happens_in_a_folder_that_was_moved_away_is_of_no_account() {
    let world = World::new("include = [\"*.step\"]\nmax_age = \"30m\"\nrecursive = true");
    world.make("job/part.step", Duration::ZERO);
    let tracking = world.track();
    let away = world.folder.path().join("away");
    fs::rename(world.path("job"), &away).unwrap();
    world.make("job/part.step", Duration::ZERO);
    tracking.hear("registered models job/part.step");
    tracking.tracker.register("models", b"job/part.step", Some(600 * MINUTE)).unwrap();
    fs::remove_file(away.join("part.step")).unwrap();
    world.make("mark.step", Duration::ZERO);
    tracking.hear("registered models mark.step");
    assert_eq!((tracking.counts(), tracking.minutes_left("job/part.step")), ((2, 2), 600));
}

#[test]
fn a_file_copied_in_with_its_old_stamp_counts_from_when_it_appeared() {
    let world = World::plain();
    let tracking = world.track();
    let mut copy = File::create(world.path("copy.step")).unwrap();
    tracking.hear("registered models copy.step");
    std::io::Write::write_all(&mut copy, b"a large file").unwrap();
    copy.set_times(FileTimes::new().set_modified(SystemTime::now() - 9000 * MINUTE)).unwrap();
    drop(copy);
    world.make("mark.step", Duration::ZERO);
    tracking.hear("registered models mark.step");
    assert_eq!((tracking.remove_due(), tracking.minutes_left("copy.step")), (0, 30));
}

#[test]
fn a_tracker_that_was_stopped_takes_nothing_in() {
    let world = World::plain();
    world.make("a.step", Duration::ZERO);
    let tracking = world.track();
    tracking.tracker.stop();
    let refused = tracking.tracker.register("models", b"a.step", None);
    assert!(matches!(refused, Err(RegisterError::Unavailable(_))), "{refused:?}");
}

#[test]
fn whoever_registers_a_file_is_told_when_it_is_due() {
    let world = World::plain();
    let tracking = world.track();
    for number in 0..50 {
        let name = format!("{number}.step");
        world.make(&name, Duration::ZERO);
        let told = tracking.tracker.register("models", name.as_bytes(), None).unwrap();
        assert!(told.file.due_at.is_some(), "{name}");
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

#[test]
fn what_is_registered_in_the_middle_of_a_sweep_stays() {
    let world = World::new("include = [\"*.step\"]\nmax_age = \"30m\"\nrecursive = true");
    world.make("a.step", 90 * MINUTE);
    world.make("job/b.step", 90 * MINUTE);
    let tracking = world.track();
    let sweep = Request { mode: Mode::Apply, ..Request::default() };
    let report = tracking.engine.sweep(&sweep, &Interfering(&tracking.tracker)).unwrap();
    assert_eq!((report.totals.removed, report.policies[0].counts.changed), (1, 1));
    assert!(world.exists("job/b.step"));
}

#[test]
fn a_ttl_that_is_over_says_nothing_of_a_file_that_is_moved_over_it() {
    let world = World::plain();
    world.make("a.step", Duration::ZERO);
    let tracking = world.track();
    let file = tracking.tracker.register("models", b"a.step", Some(Duration::from_millis(1))).unwrap().file;
    tracking.tracker.hold(&file.id, 60 * MINUTE).unwrap().unwrap();
    world.move_in("a.step", 9000 * MINUTE);
    world.make("mark.step", Duration::ZERO);
    tracking.hear("registered models mark.step");
    assert_eq!(tracking.tracker.release(&file.id).unwrap(), Some(true));
    assert_eq!((tracking.remove_due(), tracking.minutes_left("a.step")), (0, 30));
}

#[test]
fn without_a_memory_files_are_registered_all_the_same_but_get_no_time_of_their_own() {
    let world = World::plain();
    fs::write(world.folder.path().join(".cleanup"), "").unwrap();
    let tracking = world.track();
    for number in 0..10 {
        let name = format!("{number}.step");
        world.move_in(&name, 90 * MINUTE);
        tracking.tracker.register("models", name.as_bytes(), None).unwrap();
        let ttl = tracking.tracker.register("models", name.as_bytes(), Some(MINUTE));
        assert!(matches!(ttl, Err(RegisterError::Unavailable(_))), "{ttl:?}");
    }
    assert_eq!(tracking.remove_due(), 0);
}

#[test]
fn a_tracker_that_is_to_stop_soon_ends_after_the_item_in_hand() {
    let world = World::plain();
    for name in ["a.step", "b.step", "c.step"] {
        world.make(name, 31 * MINUTE);
    }
    let tracking = world.track();
    tracking.tracker.stop_soon();
    assert_eq!(tracking.remove_due(), 1);
    tracking.tracker.stop();
    assert_eq!(tracking.engine.history(10).unwrap().runs.len(), 1);
}

#[test]
fn another_folder_under_the_path_of_the_root_costs_no_promise() {
    let world = World::plain();
    let file = world.folder.path().join("cleanup.toml");
    fs::write(&file, fs::read_to_string(&file).unwrap().replace("\"models\"", "\"release/models\"")).unwrap();
    let (release, away) = (world.folder.path().join("release"), world.folder.path().join("away"));
    fs::create_dir_all(release.join("models")).unwrap();
    fs::write(release.join("models/a.step"), "").unwrap();
    backdate(&release.join("models/a.step"), 90 * MINUTE);
    let tracking = world.track();
    tracking.tracker.register("models", b"a.step", Some(600 * MINUTE)).unwrap();
    let look_until = |counts| {
        tracking.tracker.rescan("models");
        let begun = SystemTime::now();
        while tracking.counts() != counts {
            assert!(begun.elapsed().unwrap() < LONG, "{:?}", tracking.counts());
            std::thread::yield_now();
        }
    };

    // The kernel tells nothing of that, as of something mounted over the root.
    fs::rename(&release, &away).unwrap();
    fs::create_dir_all(release.join("models")).unwrap();
    look_until((0, 0));
    fs::rename(&release, world.folder.path().join("empty")).unwrap();
    fs::rename(&away, &release).unwrap();
    look_until((1, 1));
    assert_eq!((tracking.remove_due(), tracking.minutes_left("a.step")), (0, 600));
}

#[test]
fn what_is_moved_over_a_file_that_is_due_is_another_file() {
    let world = World::plain();
    let tracking = world.track();
    for number in 0..50 {
        world.move_in("a.step", 9000 * MINUTE);
        tracking.tracker.register("models", b"a.step", Some(Duration::from_millis(1))).unwrap();
        // Nothing is waited for: whether or not the thread that watches has heard of it, the removal has.
        world.move_in("a.step", 9000 * MINUTE + number * MINUTE);
        assert_eq!(tracking.remove_due(), 0);
        assert!(world.exists("a.step"));
    }
}

#[test]
fn what_is_promised_of_a_new_file_outlasts_the_news_of_the_old_one() {
    let world = World::plain();
    let tracking = world.track();
    for number in 0..50 {
        world.make("a.step", Duration::ZERO);
        tracking.tracker.register("models", b"a.step", Some(600 * MINUTE)).unwrap();
        fs::remove_file(world.path("a.step")).unwrap();
        world.make("a.step", Duration::ZERO);
        let file = tracking.tracker.register("models", b"a.step", Some(60 * MINUTE)).unwrap().file;
        let mark = format!("mark{number}.step");
        world.make(&mark, Duration::ZERO);
        tracking.hear(&format!("registered models {mark}"));
        assert_eq!(tracking.tracker.file(&file.id).unwrap().ttl_seconds, Some(3600.0));
    }
}

#[test]
fn a_sweep_tells_the_tracker_itself_what_it_has_removed() {
    let world = World::plain();
    for name in ["told.step", "old.step"] {
        world.make(name, 90 * MINUTE);
    }
    let engine = Arc::new(Engine::open(Some(&world.folder.path().join("cleanup.toml"))).unwrap());
    let ((told, hear), (go_on, kept)) = (channel(), channel());
    let tracker = Tracker::start(&engine, Arc::new(Keeping(Mutex::new((told, kept)))));
    tracker.register("models", b"told.step", Some(Duration::from_millis(1))).unwrap();
    fs::write(world.path("new.step"), "").unwrap();
    hear.recv_timeout(LONG).unwrap();
    // The thread that would hear of it from the kernel is kept.
    let sweep = Request { mode: Mode::Apply, ..Request::default() };
    let removed = engine.sweep(&sweep, &()).unwrap().totals.removed;
    let known = tracker.policy("models").unwrap().total_files;
    let promises = fs::read_to_string(world.folder.path().join(".cleanup/promises.jsonl")).unwrap();
    go_on.send(()).unwrap();
    assert_eq!((removed, known), (2, 1), "only the new one is known");
    assert_eq!(promises.matches("told.step").count(), 2, "given, and taken back: {promises}");
}

#[test]
fn what_goes_at_its_deadline_goes_into_the_quarantine_of_the_run_that_tells_of_it() {
    let world = World::new("include = [\"*.step\"]\nmax_age = \"30m\"\ndispose = \"quarantine\"");
    world.make("a.step", 60 * MINUTE);
    // The first removal is written down at once, the later ones together.
    world.make("b.step", Duration::from_millis(30 * 60_000 - 1000));
    world.make("c.step", Duration::from_millis(30 * 60_000 - 1300));
    let tracking = world.track();
    let mut counts = Vec::new();
    while counts.iter().sum::<u64>() < 3 {
        let report = tracking.tracker.remove_due("models").unwrap();
        assert_eq!((report.status, report.counts.removed), (PolicyStatus::Ok, 0), "{report:?}");
        counts.extend(Some(report.counts.quarantined).filter(|count| *count > 0));
        std::thread::yield_now();
    }
    for name in ["a.step", "b.step", "c.step"] {
        tracking.hear(&format!("removed models {name}"));
    }
    assert_eq!(fs::read_dir(world.path(".cleanup/quarantine")).unwrap().count(), 2, "one folder a run");
    tracking.tracker.stop();
    let history = tracking.engine.history(1).unwrap();
    let run = history.runs[0].run_id.clone();
    assert_eq!(history.runs[0].quarantined, 2);

    let request = RestoreRequest { what: Restore::Run(run), hold: RestoreRequest::HOLD, mode: Mode::Apply };
    assert_eq!(tracking.engine.restore(&request, &mut |_| {}).unwrap().restored, 2);
    assert!(world.exists("b.step") && world.exists("c.step") && !world.exists("a.step"));
    let again = world.track();
    assert_eq!(again.tracker.remove_due("models").unwrap().counts.quarantined, 0, "held");
    assert!(world.exists("b.step") && world.exists("c.step"));
}

#[test]
fn deadlines_are_held_by_a_quarantine_that_is_not_ours_alone() {
    let world = World::new("include = [\"*.step\"]\nmax_age = \"30m\"\ndispose = \"quarantine\"");
    world.make("a.step", 60 * MINUTE);
    fs::create_dir(world.path(".cleanup")).unwrap();
    fs::set_permissions(world.path(".cleanup"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let tracking = world.track();
    let report = tracking.tracker.remove_due("models").unwrap();
    assert_eq!(report.status, PolicyStatus::Held);
    assert!(report.message.unwrap().contains("chmod 700"), "and says why");
}

#[test]
fn a_deadline_spares_the_newest_and_a_sweep_takes_them_once_they_are_not() {
    let world = World::new("include = [\"*.step\"]\nmax_age = \"30m\"\nkeep_newest = 2");
    for (name, minutes) in [("a.step", 40), ("b.step", 35), ("c.step", 33)] {
        world.make(name, minutes * MINUTE);
    }
    let tracking = world.track();
    tracking.hear("watching models events");
    assert_eq!(tracking.remove_due(), 1);
    assert!(!world.exists("a.step") && world.exists("b.step") && world.exists("c.step"));
    assert_eq!(tracking.tracker.next_deadline("models"), None, "time alone changes nothing any more");

    world.make("d.step", Duration::ZERO);
    tracking.hear("registered models d.step");
    let sweep = Request { mode: Mode::Apply, ..Request::default() };
    assert_eq!(tracking.engine.sweep(&sweep, &()).unwrap().totals.removed, 1);
    assert!(!world.exists("b.step") && world.exists("c.step"));
}

#[test]
fn what_is_tracked_beyond_its_limit_is_pressure() {
    let world = World::new("include = [\"*.step\"]\nmax_files = 2");
    world.make("a.step", 2 * MINUTE);
    world.make("b.step", MINUTE);
    let tracking = world.track();
    tracking.hear("watching models events");
    assert!(tracking.engine.has_pressure() && tracking.engine.pressure().is_empty());
    world.make("c.step", Duration::ZERO);
    tracking.hear("registered models c.step");
    assert_eq!(tracking.engine.pressure(), ["models"]);
}

#[test]
fn a_file_system_with_less_free_than_asked_for_is_pressure() {
    let pressure = |keys: &str| {
        let world = World::new(&format!("include = [\"*.step\"]\n{keys}"));
        let engine = Engine::open(Some(&world.folder.path().join("cleanup.toml"))).unwrap();
        (engine.has_pressure(), engine.pressure())
    };
    assert_eq!(pressure("max_age = \"1h\""), (false, vec![]));
    assert_eq!(pressure("min_free = \"1KB\""), (true, vec![]));
    assert_eq!(pressure("min_free = \"4000000TiB\""), (true, vec!["models".to_owned()]));
    assert_eq!(pressure("min_free = \"4000000TiB\"\nmode = \"observe\""), (false, vec![]));
}

struct Impatient;

impl Watcher for Impatient {
    fn wants_to_stop(&self) -> bool {
        true
    }
}

#[test]
fn who_stops_before_the_newest_are_known_loses_none_of_them() {
    let world = World::new("include = [\"*.step\"]\nmax_age = \"30m\"\nkeep_newest = 1");
    world.make("a.step", 40 * MINUTE);
    let engine = Engine::open(Some(&world.folder.path().join("cleanup.toml"))).unwrap();
    let report = engine.sweep(&Request { mode: Mode::Apply, ..Request::default() }, &Impatient).unwrap();
    let policy = &report.policies[0];
    assert_eq!((policy.status, policy.counts.removed), (PolicyStatus::Partial, 0));
    assert_eq!(policy.message.as_deref(), Some("stopped before its limits were known"));
    assert!(world.exists("a.step"));
}
