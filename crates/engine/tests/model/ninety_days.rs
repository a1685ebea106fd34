//! False alarms count: ninety days of a site's life, hour by hour.
//!
//! A brake that holds what everybody meant is switched off sooner or later, and then it holds nothing any more. So what
//! happens to any site in a quarter is played here: deploys, restarts, a restored backup, fresh containers, both changes
//! of daylight-saving time, an administrator who sets the clock by an hour, a full disk, a policy that is added, one that
//! is shortened, one that only observes at first. Of all those runs hardly one may be held. Between them happens what
//! brakes are for, and there nothing may go.
//!
//! Each file's stamp is known, so each day it is looked whether all that is young is there, and all that is old is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cleanup_core::report::{PolicyReport, PolicyStatus};
use cleanup_core::sweep::Mode;
use cleanup_engine::track::Tracker;
use cleanup_engine::{Engine, Request, TestClock, demo};
use tempfile::TempDir;

use crate::folder;

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
const YEAR: Duration = Duration::from_hours(365 * 24);

const DAYS: u64 = 90;

/// What cron starts every hour, and what it starts at night.
const HOURLY: [&str; 1] = ["exports"];
const NIGHTLY: [&str; 5] = ["drafts", "models", "releases", "thumbs", "uploads"];

/// How late a file may go: until the next hourly or nightly run.
const LATE: Duration = Duration::from_hours(26);

#[test]
fn in_ninety_days_hardly_a_run_is_held_that_should_not_be_and_none_goes_on_that_should() {
    let mut site = Site::new();
    for hour in 0..DAYS * 24 {
        let (day, hour) = (hour / 24, hour % 24);
        site.happens(day, hour);
        site.works(day, hour);
        site.clock.pass(30 * MINUTE);
        site.deadlines();
        site.sweep(&HOURLY);
        if hour == 2 {
            for _ in 0..runs_at_night(day) {
                site.sweep(&NIGHTLY);
            }
        }
        site.clock.pass(30 * MINUTE);
        if hour == 23 && site.to_be_held.is_empty() && runs_at_night(day) > 0 {
            site.is_as_it_should_be();
        }
    }
    let Site { false_alarms, missed, runs, removed, held, .. } = &site;
    assert!(missed.is_empty(), "should have been held: {missed:#?}");
    assert!(false_alarms.len() <= 1, "should not have been held: {false_alarms:#?}");
    let enough = *runs > 2_500 && *removed > 25_000 && *held > 15;
    assert!(enough, "less happened than was meant: {runs} runs, {removed} files, {held} rightly held");
}

/// Local time knows 2:30 twice in one night in autumn, and not at all in one in spring.
fn runs_at_night(day: u64) -> u32 {
    match day {
        24 => 2,
        85 => 0,
        _ => 1,
    }
}

/// What the configuration says by now.
struct Rules {
    exports: Duration,
    drafts_exclude: bool,
    uploads: Option<&'static str>,
    thumbs: bool,
}

/// Which policy a file belongs to, and whether that has reason to keep it for ever.
struct Made {
    policy: &'static str,
    stamp: SystemTime,
    is_protected: bool,
}

struct Site {
    rules: Rules,
    files: BTreeMap<PathBuf, Made>,
    /// The policies that have to be held at the moment.
    to_be_held: BTreeSet<&'static str>,
    now: String,
    false_alarms: Vec<String>,
    missed: Vec<String>,
    runs: u64,
    removed: u64,
    held: u64,
    service: Service,
    state: State,
    folder: TempDir,
    clock: TestClock,
}

/// The state folder, on a small file system of its own where this process may mount one.
struct State {
    folder: PathBuf,
    backup: PathBuf,
    mounted: Option<Mounted>,
}

/// A small file system, unmounted at the end.
struct Mounted(PathBuf);

impl Mounted {
    fn new(at: &Path, size: &str) -> Option<Self> {
        let options = format!("size={size},mode=0700");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(at.to_owned()));
        }
        eprintln!("NOT TESTED: a full disk, a file system mounted over a root (a tmpfs may not be mounted here)");
        None
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily: a child that another test is just starting may share one of our descriptors for a moment.
        let unmounted = Command::new("umount").arg("--lazy").arg(&self.0).output();
        assert!(unmounted.is_ok_and(|output| output.status.success()) || std::thread::panicking());
    }
}

/// The process that tracks and sweeps.
struct Service {
    tracker: Option<Tracker>,
    engine: Arc<Engine>,
}

impl Service {
    fn start(config: &Path) -> Self {
        let engine = Arc::new(Engine::open(Some(config)).unwrap());
        Self { tracker: Some(Tracker::start(&engine, Arc::new(()))), engine }
    }
}

impl Rules {
    fn text(&self) -> String {
        let minutes = |span: Duration| format!("{}m", span.as_secs() / 60);
        let policy = |name: &str, keys: &str| format!("[files.{name}]\nroot = '{name}'\ninclude = ['*']\n{keys}\n");
        let exports = format!("max_age = '{}'\nmin_age = '30m'", minutes(self.exports));
        let exclude = if self.drafts_exclude { "exclude = ['pinned-*']\n" } else { "" };
        let drafts = format!(
            "{exclude}max_age = '3d'\n\
             keep_referenced = {{ sessions = 'app', query = \"select session_id || '.txt' from tutor_sessions\" }}"
        );
        let mut all = vec![
            policy("exports", &exports),
            policy("releases", "recursive = true\nremove_empty_dirs = true\nmax_age = '14d'\nmax_removal_percent = 60"),
            policy("models", "track = true\nmax_age = '1d'\ndispose = 'quarantine'\nquarantine_for = '3d'"),
            policy("drafts", &drafts),
        ];
        all.extend(self.uploads.map(|mode| policy("uploads", &format!("max_age = '5d'\nmode = '{mode}'"))));
        all.extend(self.thumbs.then(|| policy("thumbs", "max_age = '7d'\nmax_files = 500\nmin_age = '1h'")));
        all.concat()
            + "[sessions.app]\nurl = 'sqlite:///app.db'\ntable = 'tutor_sessions'\nid_column = 'session_id'\n\
               activity_column = 'last_activity'\nmax_idle = '30d'\nenabled = false\n\
               [state]\nurl = 'sqlite:state/memory/state.db'\n"
    }
}

impl Site {
    fn new() -> Self {
        let clock = TestClock::take();
        let folder = folder();
        let at = |name: &str| folder.path().join(name);
        for root in HOURLY.into_iter().chain(NIGHTLY).chain(["state"]) {
            fs::create_dir(at(root)).unwrap();
        }
        let mounted = Mounted::new(&at("state"), "8M");
        let state = State { folder: at("state/memory"), backup: at("backup"), mounted };
        let rules = Rules { exports: 48 * HOUR, drafts_exclude: true, uploads: None, thumbs: false };
        fs::write(at("cleanup.toml"), rules.text()).unwrap();
        let service = Service::start(&at("cleanup.toml"));
        let mut site = Self {
            rules,
            files: BTreeMap::new(),
            to_be_held: BTreeSet::new(),
            now: String::new(),
            false_alarms: Vec::new(),
            missed: Vec::new(),
            runs: 0,
            removed: 0,
            held: 0,
            service,
            state,
            folder,
            clock,
        };
        for number in 0..120 {
            site.protected("drafts", &format!("pinned-{number}.txt"));
        }
        for number in 0..240 {
            site.protected("drafts", &format!("session-{number}.txt"));
        }
        site.sessions(240);
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What is not everyday's. Each line is an event, and at most one of them happens within an hour.
    fn happens(&mut self, day: u64, hour: u64) {
        self.now = format!("day {day}, {hour}:00");
        match (day, hour) {
            // The machine is restarted, sleeps, is moved to another rack.
            (5, 4) => self.restart(|clock| clock.reboot(10 * MINUTE)),
            (33, 1) => self.clock.suspend(6 * HOUR),
            (35, 1) => self.restart(|clock| clock.reboot(2 * DAY)),
            // A container is started afresh, without a volume for its state.
            (10, 12) | (50, 0) => self.starts_afresh(),
            // A policy observes for a week, and then enforces.
            (14, 1) => {
                for number in 0..300 {
                    self.make("uploads", &format!("{number}"), DAY * (number % 20));
                }
                self.configure(|rules| rules.uploads = Some("observe"));
            }
            (21, 1) => self.configure(|rules| rules.uploads = Some("enforce")),
            // It is winter time, and somebody helps the clock along.
            // By a clock that is behind nothing is due too early; when it is set right, nothing is held for that.
            (24, 8) => self.clock.set_back(HOUR),
            (24, 13) => self.clock.set_ahead(HOUR),
            (85, 8) => self.wrong_clock(|clock| clock.set_ahead(HOUR)),
            (85, 11) => self.right_clock(|clock| clock.set_back(HOUR)),
            // A backup: of the state on the day that it is made, of files three days later.
            (27, 5) => copy(&self.state.folder, &self.state.backup),
            (30, 15) => {
                self.service.tracker = None;
                fs::remove_dir_all(&self.state.folder).unwrap();
                copy(&self.state.backup, &self.state.folder);
                self.restart(|_| ());
                for number in 0..150 {
                    self.make("exports", &format!("restored-{number}.zip"), 40 * DAY);
                }
            }
            // A policy is added for a folder that nobody has cleaned for long.
            (40, 1) => {
                for number in 0..400 {
                    self.make("thumbs", &format!("old-{number}"), DAY * (number % 30));
                }
                self.configure(|rules| rules.thumbs = true);
            }
            // An age is shortened by a fifth, and another one made longer again.
            (44, 16) => self.configure(|rules| rules.exports = rules.exports * 4 / 5),
            (56, 16) => {
                // What went until now went rightly.
                self.is_as_it_should_be();
                self.configure(|rules| rules.exports = 60 * HOUR);
            }
            // The disk on which the state lies is full for most of a day, and a restart does not help.
            (62, 3) => self.state.fill(),
            (62, 10) => self.restart(|clock| clock.reboot(5 * MINUTE)),
            (62, 22) => self.state.empty(),
            // And what brakes are for: somebody loses a line of the configuration,
            (66, 1) => {
                self.configure(|rules| rules.drafts_exclude = false);
                self.to_be_held.extend(["drafts"]);
            }
            (68, 1) => {
                self.configure(|rules| rules.drafts_exclude = true);
                self.to_be_held.clear();
            }
            // the clock jumps by a year,
            (70, 6) => self.wrong_clock(|clock| clock.set_ahead(YEAR)),
            (70, 11) => self.right_clock(|clock| clock.set_back(YEAR)),
            // another file system is mounted over a root,
            (72, 20) => self.swapped_root(),
            // an application begins with an empty database.
            (76, 1) => {
                self.sessions(0);
                self.to_be_held.extend(["drafts"]);
            }
            (78, 1) => {
                self.sessions(240);
                self.to_be_held.clear();
            }
            // Half of all sessions end over a weekend.
            (80, 1) => {
                self.sessions(120);
                for number in 120..240 {
                    let path = self.path("drafts").join(format!("session-{number}.txt"));
                    self.files.get_mut(&path).expect("it was made").is_protected = false;
                }
            }
            _ => {}
        }
    }

    /// What the site writes in an hour.
    fn works(&mut self, day: u64, hour: u64) {
        for number in 0..12 {
            self.make("exports", &format!("{day}-{hour}-{number}.zip"), Duration::ZERO);
        }
        for number in 0..2 {
            self.make("drafts", &format!("{day}-{hour}-{number}.txt"), Duration::ZERO);
        }
        if hour.is_multiple_of(6) {
            self.make("models", &format!("{day}-{hour}.step"), Duration::ZERO);
        }
        if self.rules.uploads.is_some() {
            self.make("uploads", &format!("{day}-{hour}"), Duration::ZERO);
        }
        if self.rules.thumbs {
            self.make("thumbs", &format!("{day}-{hour}"), Duration::ZERO);
        }
        // A deploy brings folders of its own, whose files are as old as their build.
        if day.is_multiple_of(5) && hour == 14 {
            for number in 0..150 {
                self.make("releases", &format!("{day}/assets/{}/{number}.map", number % 7), 6 * HOUR);
            }
        }
    }

    /// Moved in under its name, as whoever writes carefully does.
    fn make(&mut self, policy: &'static str, name: &str, age: Duration) {
        let stamp = self.clock.system_time() - age;
        let (path, outside) = (self.path(policy).join(name), self.path("arriving"));
        File::create(&outside).unwrap().set_modified(stamp).unwrap();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::rename(outside, &path).unwrap();
        self.files.insert(path, Made { policy, stamp, is_protected: false });
        if policy == "models" {
            // The tracker has heard of it before the clock goes on.
            self.service.tracker.as_ref().unwrap().register("models", name.as_bytes(), None).unwrap();
        }
    }

    /// A file that is old, and kept by `exclude` or because a session names it.
    fn protected(&mut self, policy: &'static str, name: &str) {
        self.make(policy, name, 100 * DAY);
        self.files.values_mut().for_each(|made| made.is_protected |= made.policy == policy);
    }

    /// The application's database, begun anew.
    fn sessions(&self, count: u32) {
        let file = self.path("app.db");
        let _ = fs::remove_file(&file);
        let ids: Vec<String> = (0..count).map(|number| format!("session-{number}")).collect();
        let rows: Vec<_> = ids.iter().map(|id| (id.as_str(), HOUR)).collect();
        demo::sessions(&file, &rows).unwrap();
    }

    fn restart(&mut self, meanwhile: impl FnOnce(&TestClock)) {
        self.service.tracker = None;
        meanwhile(&self.clock);
        self.service = Service::start(&self.path("cleanup.toml"));
    }

    fn configure(&mut self, change: impl FnOnce(&mut Rules)) {
        change(&mut self.rules);
        fs::write(self.path("cleanup.toml"), self.rules.text()).unwrap();
        self.restart(|_| ());
    }

    /// The image brings files that are as old as it is, and the first that runs is a single sweep.
    fn starts_afresh(&mut self) {
        self.service.tracker = None;
        fs::remove_dir_all(&self.state.folder).unwrap();
        for number in 0..900 {
            self.make("exports", &format!("image-{number}.zip"), 60 * DAY);
        }
        self.service.engine = Arc::new(Engine::open(Some(&self.path("cleanup.toml"))).unwrap());
        self.sweep(&HOURLY);
        self.restart(|_| ());
    }

    fn wrong_clock(&mut self, set: impl FnOnce(&TestClock)) {
        set(&self.clock);
        self.to_be_held.extend(HOURLY.into_iter().chain(NIGHTLY));
    }

    fn right_clock(&mut self, set: impl FnOnce(&TestClock)) {
        set(&self.clock);
        self.to_be_held.clear();
    }

    /// Old files of somebody else lie where ours did.
    fn swapped_root(&mut self) {
        let root = self.path("exports");
        let Some(mounted) = Mounted::new(&root, "8M") else { return };
        let theirs: Vec<PathBuf> = (0..150).map(|number| root.join(format!("theirs-{number}.zip"))).collect();
        for path in &theirs {
            File::create(path).unwrap().set_modified(self.clock.system_time() - 9 * DAY).unwrap();
        }
        self.to_be_held.extend(["exports"]);
        self.sweep(&["exports"]);
        self.to_be_held.clear();
        assert!(theirs.iter().all(|path| path.exists()));
        drop(mounted);
    }

    fn sweep(&mut self, policies: &[&'static str]) {
        let known = self.service.engine.config().rules().map(|rule| rule.name.clone()).collect::<BTreeSet<_>>();
        let policies = policies.iter().map(|name| (*name).to_owned()).filter(|name| known.contains(name)).collect();
        let request = Request { policies, mode: Mode::Apply, ..Request::default() };
        let report = self.service.engine.sweep(&request, &()).unwrap();
        report.policies.iter().for_each(|policy| self.ran(policy));
    }

    /// As the service does: woken when the first of them has come.
    fn deadlines(&mut self) {
        let tracker = self.service.tracker.as_ref().unwrap();
        if tracker.next_deadline("models").is_some_and(|next| next <= self.clock.now()) {
            let report = tracker.remove_due("models").unwrap();
            self.ran(&report);
        }
    }

    fn ran(&mut self, report: &PolicyReport) {
        let PolicyReport { name, status, counts, message, .. } = report;
        let (is_held, taken) = (*status == PolicyStatus::Held, counts.removed + counts.quarantined);
        assert!(is_held || *status == PolicyStatus::Ok, "{}: {report:?}", self.now);
        let told = || format!("{}, {name}: {taken} of {} gone; {message:?}", self.now, counts.due);
        match (is_held, self.to_be_held.contains(name.as_str())) {
            (true, false) => self.false_alarms.push(told()),
            (false, true) => self.missed.push(told()),
            (true, true) => self.held += 1,
            (false, false) => {}
        }
        self.runs += 1;
        self.removed += taken;
    }

    /// All that is young or protected is there, and all that is old is gone.
    fn is_as_it_should_be(&mut self) {
        let Self { rules, clock, now, .. } = self;
        let today = clock.system_time();
        self.files.retain(|path, made| {
            let max_age = match made.policy {
                "exports" => rules.exports,
                "releases" => 14 * DAY,
                "models" => DAY,
                "drafts" => 3 * DAY,
                "uploads" if rules.uploads != Some("enforce") => Duration::MAX,
                "uploads" => 5 * DAY,
                _ => 7 * DAY,
            };
            let age = today.duration_since(made.stamp).unwrap_or_default();
            let is_there = path.exists();
            let told = || format!("{now}: {} is {} hours old", path.display(), age.as_secs() / 3600);
            if made.is_protected || age < max_age {
                assert!(is_there, "{}, and gone", told());
            } else if age > max_age + LATE {
                assert!(!is_there, "{}, and still there", told());
            }
            is_there
        });
    }
}

impl State {
    fn fill(&self) {
        if let Some(Mounted(at)) = &self.mounted {
            let mut file = File::create(at.join("filling")).unwrap();
            while std::io::Write::write_all(&mut file, &[1; 4096]).is_ok() {}
        }
    }

    fn empty(&self) {
        if let Some(Mounted(at)) = &self.mounted {
            fs::remove_file(at.join("filling")).unwrap();
        }
    }
}

/// A folder with its subfolders, as a backup has it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}
