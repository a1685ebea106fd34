//! The engine beside its model: whatever happens to files and memory, both come to the same.
//!
//! Real trees, a real state folder, a real tracker with the kernel's events; only the clocks are moved. After every step
//! the root holds just the files that the model has, with what was written into them, and everything else is as it was
//! at the beginning: what lies outside, what is excluded, where links lead, what another policy only observes.
//!
//! `ctime` is the kernel's and stays at the beginning, so `min_age` protects what was stamped lately, and not what came
//! lately with an older stamp; other tests look at that.
//!
//! `PROPTEST_CASES` says how many cases there are; a handful for every run of the tests, thousands now and then.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use cleanup_core::report::{PolicyReport, PolicyStatus, Report};
use cleanup_core::sweep::Mode;
use cleanup_engine::plan::{Plan, PlanError, VALID_FOR};
use cleanup_engine::track::{FilesQuery, Listener, TrackedFile, Tracker};
use cleanup_engine::{Engine, Request, Restore, RestoreRequest, TestClock};
use proptest::test_runner::Config;
use proptest_state_machine::{StateMachineTest, prop_state_machine};
use tempfile::TempDir;

use crate::folder;
use crate::reference::{
    By, KEEP_FOR, KEEP_NEWEST, Loss, MAX_AGE, MIN_AGE, MINUTE, Model, Name, Outcome, Passing, Setup, Step, TICK, span,
};

const YEAR: Duration = Duration::from_hours(365 * 24);

/// An archive: registered to make sure that the tracker has heard of everything that came before.
const MARK: &str = "keep-mark.dat";

/// Another one, there for a moment.
const PROBE: &str = "keep-probe.dat";

/// The engine, and the machine that it runs on.
struct Machine {
    setup: Setup,
    tracker: Option<Tracker>,
    engine: Arc<Engine>,
    /// What the tracker says beside its reports.
    said: Arc<Said>,
    /// What nobody may touch: path, and what is there.
    others: BTreeMap<PathBuf, String>,
    folder: TempDir,
    clock: TestClock,
}

#[derive(Default)]
struct Said(Mutex<Vec<String>>);

impl Listener for Said {
    fn noted(&self, _: Option<&str>, notes: &[String]) {
        self.0.lock().unwrap().extend_from_slice(notes);
    }
}

impl Machine {
    fn new(setup: Setup) -> Self {
        let clock = TestClock::take();
        let folder = folder();
        let root = folder.path().join("root");
        for below in ["sub", "safe", "inner"] {
            fs::create_dir_all(root.join(below)).unwrap();
        }
        fs::create_dir(folder.path().join("outside")).unwrap();
        let long_ago = clock.system_time() - YEAR;
        for other in ["outside/a.dat", "root/safe/a.dat", "root/inner/a.dat", "root/a.txt", "root/keep-mark.dat"] {
            let path = folder.path().join(other);
            fs::write(&path, other).unwrap();
            File::open(path).unwrap().set_modified(long_ago).unwrap();
        }
        symlink("../outside/a.dat", root.join("link.dat")).unwrap();
        symlink("../outside", root.join("way")).unwrap();
        fs::write(folder.path().join("cleanup.toml"), config(setup)).unwrap();

        let engine = Arc::new(Engine::open(Some(&folder.path().join("cleanup.toml"))).unwrap());
        let others = others(folder.path());
        let mut machine = Self { setup, tracker: None, engine, said: Arc::default(), others, folder, clock };
        machine.start();
        // There was an earlier run, under the right clock.
        assert_eq!(machine.sweep(By::Command, false).policies[0].status, PolicyStatus::Ok);
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("root").join(name)
    }

    fn open(&self) -> Engine {
        Engine::open(Some(&self.folder.path().join("cleanup.toml"))).unwrap()
    }

    fn start(&mut self) {
        self.engine = Arc::new(self.open());
        self.tracker = self.setup.tracked.then(|| Tracker::start(&self.engine, Arc::clone(&self.said) as _));
        self.hears();
    }

    /// Everything was looked at when a tracker has started, and its thread is about to listen. Once it has heard of one
    /// file, whoever asks it hears of all that has happened.
    fn hears(&self) {
        if self.tracker.is_some() {
            self.arrives(PROBE, "", self.stamp(0));
            self.wait_until(|| self.tracked(PROBE).is_some());
            fs::remove_file(self.path(PROBE)).unwrap();
            self.wait_until(|| self.tracked(PROBE).is_none());
        }
    }

    fn wait_until(&self, is_so: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < Duration::from_mins(1), "the tracker hears nothing");
            self.settle();
        }
    }

    /// What the tracker has heard of by now is all that has happened.
    fn settle(&self) {
        if let Some(tracker) = &self.tracker {
            tracker.register("p", MARK.as_bytes(), None).unwrap();
        }
    }

    fn tracked(&self, name: &str) -> Option<TrackedFile> {
        let all = self.tracker.as_ref()?.files(&FilesQuery { limit: 100, ..FilesQuery::default() });
        all.files.into_iter().find(|file| file.path == name)
    }

    fn stamp(&self, ago: i64) -> SystemTime {
        let now = self.clock.system_time();
        if ago < 0 { now + minutes(-ago * TICK) } else { now - minutes(ago * TICK) }
    }

    /// Changes a file so that its stamp is now, again until the tracker has noticed at once: on a busy machine it may
    /// take longer, and then it cannot know.
    fn now(&self, name: &str, change: impl Fn(SystemTime)) {
        for _ in 0..50 {
            change(self.stamp(0));
            self.settle();
            let Some(file) = self.tracked(name).filter(|file| file.ttl_seconds.is_none()) else { return };
            let stamp = fs::metadata(self.path(name)).unwrap().modified().unwrap();
            if file.stamp.since(cleanup_core::moment::Moment::EPOCH)
                == Some(stamp.duration_since(SystemTime::UNIX_EPOCH).unwrap())
            {
                return;
            }
        }
        panic!("the tracker never notices {name} in time");
    }

    fn arrives(&self, name: &str, content: &str, stamp: SystemTime) {
        let outside = self.folder.path().join("arriving");
        fs::write(&outside, content).unwrap();
        File::open(&outside).unwrap().set_modified(stamp).unwrap();
        fs::rename(outside, self.path(name)).unwrap();
    }

    fn sweep(&self, by: By, force: bool) -> Report {
        let request = Request { mode: Mode::Apply, force, ..Request::default() };
        match by {
            By::Service => self.engine.sweep(&request, &()).unwrap(),
            By::Command => self.open().sweep(&request, &()).unwrap(),
        }
    }

    fn hold(&self, place: &str, span: Duration, by: By) {
        match (&self.tracker, by) {
            (Some(tracker), By::Service) => {
                let file = self.tracked(place).expect("the tracker knows what is there");
                assert!(tracker.hold(&file.id, span, None).unwrap().is_some());
            }
            (None, By::Service) => drop(self.engine.hold(&self.path(place), span, None).unwrap()),
            (_, By::Command) => drop(self.open().hold(&self.path(place), span, None).unwrap()),
        }
    }

    fn release(&self, place: &str, by: By) -> bool {
        match (&self.tracker, by) {
            (Some(tracker), By::Service) => {
                let file = self.tracked(place).expect("the tracker knows what is there");
                tracker.release(&file.id, None).unwrap().unwrap()
            }
            (None, By::Service) => self.engine.release(&self.path(place), None).unwrap().is_some(),
            (_, By::Command) => self.open().release(&self.path(place), None).unwrap().is_some(),
        }
    }

    fn plan_file(&self) -> PathBuf {
        self.folder.path().join("plan.jsonl")
    }

    fn plan(&self) {
        let out = File::create(self.plan_file()).unwrap();
        self.engine.write_plan(&Request::default(), VALID_FOR, out, &()).unwrap();
    }

    fn apply_plan(&self) -> Result<Report, PlanError> {
        let plan = Plan::open(&self.plan_file()).unwrap();
        self.engine.apply_plan(&plan, &Request::default(), &())
    }

    fn deadlines(&self) -> PolicyReport {
        self.tracker.as_ref().unwrap().remove_due("p").unwrap()
    }

    fn restore(&self, name: Option<Name>, hold: Option<i64>) -> (u64, u64) {
        let what = Restore::Paths(vec![name.map_or_else(|| self.path(""), |name| self.path(name))]);
        let hold = hold.map_or(Duration::ZERO, |ticks| minutes(span(ticks)));
        let restored = self
            .engine
            .restore(&RestoreRequest { what, hold, mode: Mode::Apply, asked_by: None }, &mut |_| {})
            .unwrap();
        assert_eq!((restored.problems, restored.not_found), (Vec::new(), Vec::new()));
        (restored.restored, restored.failed)
    }

    fn lose(&mut self, what: Loss) -> Outcome {
        let state = self.folder.path().join("state");
        if matches!(what, Loss::Everything | Loss::Database) {
            self.tracker = None;
        }
        // Twice in a row there is nothing to lose.
        match what {
            Loss::Promises => fs::remove_file(state.join("promises.jsonl")).unwrap(),
            Loss::Everything | Loss::EverythingBeneath => drop(fs::remove_dir_all(&state)),
            Loss::Database | Loss::DatabaseBeneath => {
                for file in ["state.db", "state.db-wal", "state.db-shm"] {
                    drop(fs::remove_file(state.join(file)));
                }
            }
        }
        match what {
            Loss::Everything | Loss::Database => self.start(),
            Loss::EverythingBeneath => {
                let report = self.sweep(By::Service, false);
                assert!(report.new_memory, "that nothing is known any more is said");
                return came_of(&report.policies[0]);
            }
            Loss::DatabaseBeneath | Loss::Promises => {}
        }
        Outcome::Nothing
    }

    /// By a clock that is wrong nothing goes, in whatever way.
    fn under_a_wrong_clock(&self, ahead: bool) {
        let turn = |ahead| if ahead { self.clock.set_ahead(YEAR) } else { self.clock.set_back(YEAR) };
        let before = self.files();
        turn(ahead);
        for by in [By::Command, By::Service] {
            assert_eq!(self.sweep(by, false).policies[0].status, PolicyStatus::Held);
        }
        if self.setup.tracked {
            let report = self.deadlines();
            assert_eq!(taken(&report), 0, "{report:?}");
        }
        if self.plan_file().exists() {
            match self.apply_plan() {
                Ok(report) => assert!(report.policies.iter().all(|policy| policy.status == PolicyStatus::Held)),
                Err(error) => assert!(matches!(error, PlanError::TooOld { .. } | PlanError::Future { .. }), "{error}"),
            }
        }
        turn(!ahead);
        assert_eq!(self.files(), before);
    }

    /// The policy's files, with what is in them.
    fn files(&self) -> BTreeMap<String, String> {
        let root = self.path("");
        let is_theirs = |path: &PathBuf| !self.others.contains_key(path);
        let named = |path: PathBuf| {
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(path).unwrap())
        };
        walk(&root).into_iter().filter(|path| !path.is_dir()).filter(is_theirs).map(named).collect()
    }
}

fn config(setup: Setup) -> String {
    let span = |units| format!("{}m", units / MINUTE);
    let key = |wanted: bool, keys: String| if wanted { keys + "\n" } else { String::new() };
    let keys = [
        key(true, format!("max_age = '{}'", span(MAX_AGE))),
        key(setup.min_age, format!("min_age = '{}'", span(MIN_AGE))),
        key(setup.quarantine, format!("dispose = 'quarantine'\nquarantine_for = '{}'", span(KEEP_FOR))),
        key(setup.keep_newest, format!("keep_newest = {KEEP_NEWEST}")),
        key(setup.tracked, "track = true".to_owned()),
    ];
    format!(
        "[files.p]\nroot = 'root'\ninclude = ['*.dat']\nexclude = ['safe/']\narchives = ['keep-*']\nrecursive = true\n{}\
         [files.observed]\nroot = 'root/inner'\ninclude = ['*']\nmax_age = '1h'\nmode = 'observe'\n\
         [state]\nurl = 'sqlite:state/state.db'\n",
        keys.concat()
    )
}

fn minutes(units: i64) -> Duration {
    Duration::from_secs(u64::try_from(units * 60 / MINUTE).unwrap())
}

fn taken(report: &PolicyReport) -> u64 {
    report.counts.removed + report.counts.quarantined
}

/// Everything below a folder but the engine's own.
fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name() == ".cleanup" || entry.file_name() == "state" {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            all.extend(walk(&entry.path()));
        }
        all.push(entry.path());
    }
    all
}

/// What is there that no policy may take, before any of its files are.
fn others(folder: &Path) -> BTreeMap<PathBuf, String> {
    let is_passing = |path: &PathBuf| path.ends_with("plan.jsonl");
    let told = |path: PathBuf| {
        let metadata = path.symlink_metadata().unwrap();
        let what = if metadata.is_symlink() {
            format!("-> {}", fs::read_link(&path).unwrap().display())
        } else if metadata.is_dir() {
            "folder".to_owned()
        } else {
            format!("{:?} {}", metadata.modified().unwrap(), fs::read_to_string(&path).unwrap())
        };
        (path, what)
    };
    walk(folder).into_iter().filter(|path| !is_passing(path)).map(told).collect()
}

impl StateMachineTest for Machine {
    type SystemUnderTest = Self;
    type Reference = Model;

    fn init_test(model: &Model) -> Self {
        Self::new(model.setup)
    }

    fn apply(mut machine: Self, model: &Model, step: Step) -> Self {
        let mut outcome = Outcome::Nothing;
        let before = machine.files().len();
        match step {
            Step::Arrives { name, ago } => {
                let content = &model.files[name].content;
                if ago == 0 {
                    machine.now(name, |now| machine.arrives(name, content, now));
                } else {
                    machine.arrives(name, content, machine.stamp(ago));
                }
            }
            Step::Grows(name) => {
                let mut file = OpenOptions::new().append(true).open(machine.path(name)).unwrap();
                file.write_all(b"+").unwrap();
                file.set_modified(machine.stamp(0)).unwrap();
            }
            Step::Stamped { name, ago } => {
                File::open(machine.path(name)).unwrap().set_modified(machine.stamp(ago)).unwrap();
            }
            Step::Renamed { from, to } => fs::rename(machine.path(from), machine.path(to)).unwrap(),
            Step::Deleted(name) => fs::remove_file(machine.path(name)).unwrap(),
            Step::Registered { name, ttl } => {
                let tracker = machine.tracker.as_ref().unwrap();
                tracker.register("p", name.as_bytes(), ttl.map(minutes)).unwrap();
            }
            Step::Held { place, ticks, by } => machine.hold(place, minutes(span(ticks)), by),
            Step::Released { place, by } => assert!(machine.release(place, by), "{place} was held"),
            Step::Passes { ticks, how } => {
                let span = minutes(ticks * TICK);
                match how {
                    Passing::Awake => machine.clock.pass(span),
                    Passing::Asleep => machine.clock.suspend(span),
                    Passing::Off => {
                        machine.tracker = None;
                        machine.clock.reboot(span);
                        machine.start();
                    }
                }
            }
            Step::Sweep { by, force } => {
                let report = machine.sweep(by, force);
                // A service may have found that out before, when it started, and says it now.
                assert!(report.new_memory || !model.begins_anew, "that nothing is known any more is said");
                outcome = came_of(&report.policies[0]);
            }
            Step::Deadlines => {
                let report = machine.deadlines();
                outcome = came_of(&report);
                if model.was_swept {
                    outcome = outcome.and(came_of(&machine.sweep(By::Service, false).policies[0]));
                }
            }
            Step::Planned => machine.plan(),
            Step::Applied => {
                outcome = match machine.apply_plan() {
                    Ok(report) => came_of(&report.policies[0]),
                    Err(PlanError::TooOld { .. }) => Outcome::Refused,
                    Err(error) => panic!("{error}"),
                };
                fs::remove_file(machine.plan_file()).unwrap();
            }
            Step::Restored { name, hold } => {
                let (files, failed) = machine.restore(name, hold);
                outcome = Outcome::Restored { files, failed };
            }
            Step::Restarted => {
                machine.tracker = None;
                machine.start();
            }
            Step::Lost(what) => outcome = machine.lose(what),
            Step::WrongClock { ahead } => machine.under_a_wrong_clock(ahead),
        }
        machine.settle();
        assert_eq!(outcome, model.outcome, "what came of it");
        if let Outcome::Gone { files, .. } = outcome {
            assert_eq!(before - machine.files().len(), usize::try_from(files).unwrap(), "what the report counts");
        }
        machine
    }

    fn check_invariants(machine: &Self, model: &Model) {
        let expected = model.files.iter().map(|(name, file)| ((*name).to_owned(), file.content.clone())).collect();
        assert_eq!(machine.files(), expected, "the files");
        let mut others = others(machine.folder.path());
        others.retain(|path, _| machine.others.contains_key(path));
        assert_eq!(others, machine.others, "what is none of the policy's");
        if let Some(tracker) = &machine.tracker {
            assert_eq!(
                tracker.policy("p").unwrap().total_files,
                model.files.len() as u64 + 1,
                "what the tracker knows"
            );
        }
        let mut aside = 0;
        machine.engine.quarantined(&[], &mut |_| aside += 1).unwrap();
        assert_eq!(aside, model.aside.len(), "what lies in quarantine");
    }

    /// Whatever lies in quarantine can come back, as it was: of each name the newest first.
    fn teardown(machine: Self, model: Model) {
        for aside in model.aside.iter().rev() {
            let _ = fs::remove_file(machine.path(aside.name));
            assert_eq!(machine.restore(Some(aside.name), None), (1, 0));
            assert_eq!(fs::read_to_string(machine.path(aside.name)).unwrap(), aside.content);
        }
    }
}

fn came_of(report: &PolicyReport) -> Outcome {
    let counts = &report.counts;
    assert_eq!(report.errors_total, 0, "{report:?}");
    match report.status {
        PolicyStatus::Held => {
            assert_eq!((taken(report), counts.purged), (0, 0), "{report:?}");
            Outcome::Held
        }
        PolicyStatus::Ok => {
            Outcome::Gone { files: taken(report), purged: counts.purged, changed: counts.vanished + counts.changed }
        }
        PolicyStatus::Partial | PolicyStatus::Skipped | PolicyStatus::Failed | PolicyStatus::Interrupted => {
            panic!("{report:?}")
        }
    }
}

fn config_of_test() -> Config {
    let or = |variable, cases, ours| if std::env::var_os(variable).is_some() { cases } else { ours };
    let Config { cases, max_shrink_iters, .. } = Config::default();
    Config {
        cases: or("PROPTEST_CASES", cases, 16),
        max_shrink_iters: or("PROPTEST_MAX_SHRINK_ITERS", max_shrink_iters, 2000),
        failure_persistence: None,
        ..Config::default()
    }
}

prop_state_machine! {
    #![proptest_config(config_of_test())]

    #[test]
    fn the_engine_does_what_its_model_does(sequential 1..80 => Machine);
}
