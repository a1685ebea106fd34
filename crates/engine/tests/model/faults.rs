//! Sequences that the tests beside this one have found, each as short as it can be.

use std::fs::{self, File};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cleanup_core::report::PolicyStatus;
use cleanup_core::sweep::Mode;
use cleanup_engine::track::{FilesQuery, Listener, Tracker};
use cleanup_engine::{Engine, Request, TestClock};
use tempfile::TempDir;

use crate::folder;

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
const YEAR: Duration = Duration::from_hours(365 * 24);

fn world(keys: &str) -> TempDir {
    let folder = folder();
    let text = format!("[files.p]\nroot = 'root'\ninclude = ['*']\n{keys}\n[state]\nurl = 'sqlite:state/state.db'\n");
    fs::write(folder.path().join("cleanup.toml"), text).unwrap();
    fs::create_dir(folder.path().join("root")).unwrap();
    folder
}

fn open(folder: &TempDir) -> Arc<Engine> {
    Arc::new(Engine::open(Some(&folder.path().join("cleanup.toml"))).unwrap())
}

fn apply() -> Request {
    Request { mode: Mode::Apply, ..Request::default() }
}

fn make(folder: &TempDir, clock: &TestClock, name: &str, age: Duration) {
    let outside = folder.path().join("arriving");
    File::create(&outside).unwrap().set_modified(clock.system_time() - age).unwrap();
    fs::rename(outside, folder.path().join("root").join(name)).unwrap();
}

#[derive(Default)]
struct Said(Mutex<Vec<String>>);

impl Listener for Said {
    fn noted(&self, _: Option<&str>, notes: &[String]) {
        self.0.lock().unwrap().extend_from_slice(notes);
    }
}

/// A service whose state folder was lost forgets its holds, and says so to nobody.
#[test]
fn a_service_that_finds_no_memory_says_so() {
    let _clock = TestClock::take();
    let folder = world("max_age = '1d'\ntrack = true");
    let engine = open(&folder);
    let said = Arc::new(Said::default());
    let _tracker = Tracker::start(&engine, Arc::clone(&said) as _);
    let report = engine.sweep(&apply(), &()).unwrap();
    let said = said.0.lock().unwrap();
    assert!(report.new_memory || !said.is_empty(), "neither the report nor the tracker says so: {report:?}");
}

/// The same without tracked policies: at its start the service looks for runs that were interrupted.
#[test]
fn a_service_without_tracked_policies_that_finds_no_memory_says_so() {
    let _clock = TestClock::take();
    let folder = world("max_age = '1d'");
    let engine = open(&folder);
    let said = engine.record_interrupted();
    let report = engine.sweep(&apply(), &()).unwrap();
    assert!(report.new_memory || !said.is_empty(), "{report:?}");
}

/// A service believes the clock when it starts, and forgets that it did: a clock that jumps ahead before the first run is
/// taken for a machine that was switched off for a year.
#[test]
fn a_clock_that_jumps_after_a_restart_and_before_the_first_run_is_noticed() {
    let clock = TestClock::take();
    let folder = world("max_age = '1d'\ntrack = true");
    let engine = open(&folder);
    engine.sweep(&apply(), &()).unwrap();
    clock.reboot(MINUTE);
    let engine = open(&folder);
    let tracker = Tracker::start(&engine, Arc::new(()));
    make(&folder, &clock, "young", MINUTE);
    clock.set_ahead(YEAR);
    drop(tracker.remove_due("p"));
    let report = engine.sweep(&apply(), &()).unwrap();
    assert_eq!(report.policies[0].status, PolicyStatus::Held, "{:?}", report.policies[0].counts);
}

/// A machine whose hardware clock runs in local time: it starts an hour ahead, its first run believes that, and then the
/// time service sets it right. From then on every run is held, until somebody comes by.
#[test]
fn a_clock_that_is_set_right_after_the_first_run_holds_not_for_ever() {
    let clock = TestClock::take();
    let folder = world("max_age = '1d'");
    let engine = open(&folder);
    engine.sweep(&apply(), &()).unwrap();
    clock.reboot(MINUTE);
    clock.set_ahead(HOUR);
    assert_eq!(engine.sweep(&apply(), &()).unwrap().policies[0].status, PolicyStatus::Ok);
    clock.set_back(HOUR);
    let mut held = 0;
    for _ in 0..48 {
        clock.pass(HOUR);
        held += u32::from(engine.sweep(&apply(), &()).unwrap().policies[0].status == PolicyStatus::Held);
    }
    assert!(held <= 24, "{held} of 48 hourly runs held");
}

/// What the command line releases, a policy that has only deadlines keeps until the hold would have ended.
#[test]
fn a_hold_that_another_process_takes_back_keeps_no_deadline_waiting() {
    let clock = TestClock::take();
    let folder = world("max_age = '1d'\ntrack = true");
    let engine = open(&folder);
    let tracker = Tracker::start(&engine, Arc::new(()));
    make(&folder, &clock, "a", Duration::ZERO);
    let id = tracker.register("p", b"a", None).unwrap().file.id;
    tracker.hold(&id, 90 * DAY, None).unwrap();
    assert!(open(&folder).release(&folder.path().join("root/a"), None).unwrap().is_some());
    for _ in 0..10 {
        clock.pass(DAY);
        tracker.remove_due("p");
    }
    assert!(!folder.path().join("root/a").exists(), "next deadline: {:?}", tracker.next_deadline("p"));
}

/// A file that takes the name of one whose time is over, but which no deadline has removed yet, is told of with that time.
#[test]
fn a_new_file_under_a_name_whose_time_is_over_has_no_such_time() {
    let clock = TestClock::take();
    let folder = world("max_age = '1d'\ntrack = true");
    let engine = open(&folder);
    let tracker = Tracker::start(&engine, Arc::new(()));
    make(&folder, &clock, "a", Duration::ZERO);
    tracker.register("p", b"a", Some(10 * MINUTE)).unwrap();
    clock.pass(HOUR);
    make(&folder, &clock, "a", Duration::ZERO);
    make(&folder, &clock, "mark", Duration::ZERO);
    let begun = clock.now().minus(MINUTE);
    let known = || {
        // Registering reads what the watcher has queued, unless the tracker's own thread has just taken it.
        tracker.register("p", b"mark", None).unwrap();
        let all = tracker.files(&FilesQuery { limit: 9, ..FilesQuery::default() });
        all.files.into_iter().find(|file| file.path == "a").unwrap()
    };
    let file = (0..2_000)
        .map(|_| known())
        .find(|file| {
            let is_new = file.stamp > begun;
            if !is_new {
                std::thread::sleep(Duration::from_millis(5));
            }
            is_new
        })
        .expect("the tracker never hears of the new file");
    assert_eq!(file.ttl_seconds, None, "{file:?}");
}
