//! What the tests of this crate share: policies without a configuration file, files of a given age, one sweep.

#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "tests may, and every test binary uses its own part"
)]

use std::collections::BTreeSet;
use std::fs::{self, File, FileTimes};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use cleanup_core::judge::Run;
use cleanup_core::moment::Moment;
use cleanup_core::pattern::Patterns;
use cleanup_core::policy::{
    AgeClock, Archives, Brakes, Depth, Dispose, Effect, EmptyDirs, FilePolicy, InUse, Indexing, Limits, MaxAge, Policy,
    Quarantine, RootLock, StampKind, Unit,
};
use cleanup_core::report::Tally;
use cleanup_core::sweep::{Judged, Mode, Observer, sweep};
use cleanup_fs_store::{Jobs, QuarantineRun, Store};

pub const HOUR: Duration = Duration::from_hours(1);

/// 2033-05-18: far from any real clock, so that nothing depends on one.
pub fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000)
}

pub fn run() -> Run {
    Run::at(Moment::from_unix(2_000_000_000, 0))
}

/// Everything older than an hour goes, at any depth.
pub fn policy(root: &Path) -> FilePolicy {
    FilePolicy {
        rule: Policy {
            name: "test".to_owned(),
            max_age: MaxAge::new(HOUR),
            min_age: Duration::ZERO,
            archives: Archives::Keep,
        },
        root: root.to_owned(),
        root_may_be_missing: false,
        patterns: Patterns::new(&["*"], &[], &["archive-*"]).unwrap(),
        unit: Unit::File,
        stamp: StampKind::Modified,
        depth: Depth::UNLIMITED,
        empty_dirs: EmptyDirs::Keep,
        age_clock: AgeClock::Wall,
        limits: Limits::default(),
        dispose: Dispose::Delete,
        in_use: InUse::Ignore,
        root_lock: RootLock::Ignore,
        indexing: Indexing::Remember,
        references: None,
        brakes: Brakes::default(),
        effect: Effect::Enforce,
        track: false,
        schedule: None,
        enabled: true,
    }
}

pub fn apply(policy: &FilePolicy) -> Tally {
    apply_watched(policy, &())
}

pub fn apply_watched(policy: &FilePolicy, observer: &dyn Observer) -> Tally {
    let store = Store::open(policy, Vec::new()).unwrap();
    sweep(&store, &policy.rule, &run(), Mode::Apply, observer)
}

pub fn plan(policy: &FilePolicy) -> Tally {
    let store = Store::open(policy, Vec::new()).unwrap();
    sweep(&store, &policy.rule, &run(), Mode::Plan, &())
}

/// One, as many as most machines have at least, and more than most trees have work for.
pub const POOLS: [usize; 3] = [1, 2, 8];

pub fn jobs(number: usize) -> Jobs {
    Jobs::Fixed(NonZero::new(number).unwrap())
}

/// What is due goes into quarantine.
pub fn quarantining(policy: FilePolicy) -> FilePolicy {
    FilePolicy { dispose: Dispose::Quarantine(Quarantine { keep_for: HOUR, max_bytes: None }), ..policy }
}

/// Opens it with so many workers, and with its quarantine where it has one.
pub fn opened(policy: &FilePolicy, jobs: Jobs) -> Store<'_> {
    let store = Store::open(policy, Vec::new()).unwrap().with_jobs(jobs);
    match policy.dispose {
        Dispose::Delete => store,
        Dispose::Quarantine(_) => {
            store.into_quarantine(Arc::new(QuarantineRun::new("R1".to_owned())), run().now).unwrap()
        }
    }
}

pub fn sweep_with(jobs: Jobs, policy: &FilePolicy, mode: Mode) -> Tally {
    let store = opened(policy, jobs);
    sweep(&store, &policy.rule, &run(), mode, &())
}

/// Makes a file, with its folders, that was last written so long before [`now`].
pub fn file(path: &Path, age: Duration) -> PathBuf {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, "content").unwrap();
    set_modified(path, now() - age);
    path.to_owned()
}

pub fn set_modified(path: &Path, at: SystemTime) {
    File::open(path).unwrap().set_times(FileTimes::new().set_modified(at)).unwrap();
}

/// All entries below a folder, relative to it, but for what lies in quarantine.
pub fn tree(root: &Path) -> BTreeSet<PathBuf> {
    walkdir::WalkDir::new(root)
        .min_depth(1)
        .into_iter()
        .filter_entry(|entry| entry.file_name() != ".cleanup")
        .map(|entry| entry.unwrap().path().strip_prefix(root).unwrap().to_owned())
        .collect()
}

/// Does something once, when the first candidate has been dealt with: between two steps of the walk.
pub struct Once<F: FnOnce() + Send>(Mutex<Option<F>>);

impl<F: FnOnce() + Send> Once<F> {
    pub fn new(action: F) -> Self {
        Self(Mutex::new(Some(action)))
    }
}

impl<F: FnOnce() + Send> Observer for Once<F> {
    fn judged(&self, _: &Judged<'_>) {
        if let Some(action) = self.0.lock().unwrap().take() {
            action();
        }
    }
}
