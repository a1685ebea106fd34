//! Several workers: nothing is lost between them, a directory is settled after everything in it, and what ends one of
//! them ends them all.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cleanup_core::candidate::Class;
use cleanup_core::policy::{Brakes, EmptyDirs, FilePolicy};
use cleanup_core::report::PolicyStatus;
use cleanup_core::report::{PolicyKind, PolicyReport};
use cleanup_core::sweep::{Judged, Mode, Observer, sweep};
use cleanup_fs_store::{Jobs, Store};
use common::{HOUR, POOLS, file, jobs, now, opened, policy, quarantining, run, set_modified, sweep_with, tree};

/// Folders in folders, some with nothing in them, with three due files in each of the others.
fn grow(root: &Path, width: u32, depth: u32) {
    for index in 0..width {
        let folder = root.join(format!("folder-{index}"));
        fs::create_dir(&folder).unwrap();
        if index % 3 > 0 {
            for name in ["a", "b", "c"] {
                file(&folder.join(name), 2 * HOUR);
            }
        }
        if depth > 1 && index % 2 == 0 {
            grow(&folder, width, depth - 1);
        }
        set_modified(&folder, now() - 2 * HOUR);
    }
}

/// Notes the paths of what is due, in the order in which it was judged.
#[derive(Default)]
struct Order(Mutex<Vec<(Vec<u8>, Class)>>);

impl Observer for Order {
    fn judged(&self, judged: &Judged<'_>) {
        self.0.lock().unwrap().push((judged.candidate.name.to_bytes(), judged.candidate.class));
    }
}

#[test]
fn a_directory_comes_after_everything_in_it_whoever_does_what() {
    let root = tempfile::tempdir().unwrap();
    grow(root.path(), 12, 3);
    let all = tree(root.path()).len();
    let policy = FilePolicy { empty_dirs: EmptyDirs::Judge, ..policy(root.path()) };
    let noted = quarantining(policy.clone());
    for (workers, policy) in [1, 2, 3, 8, 32].into_iter().flat_map(|workers| [(workers, &policy), (workers, &noted)]) {
        let order = Order::default();
        let store = opened(policy, jobs(workers));
        sweep(&store, &policy.rule, &run(), Mode::Plan, &order);
        let order = order.0.into_inner().unwrap();
        assert_eq!(order.len(), all, "{workers} workers");
        let mut settled = BTreeSet::new();
        for (path, class) in order {
            let folder = path.iter().rposition(|byte| *byte == b'/').map(|slash| &path[..slash]);
            assert!(folder.is_none_or(|folder| !settled.contains(folder)), "{workers} workers: {path:?} came too late");
            if class == Class::EmptyDirectory {
                settled.insert(path);
            }
        }
    }
}

#[test]
fn workers_leave_nothing_and_take_nothing_else() {
    let pools = POOLS.map(jobs).into_iter().chain([Jobs::Adaptive]);
    for (workers, is_noted) in pools.flat_map(|workers| [(workers, false), (workers, true)]) {
        let root = tempfile::tempdir().unwrap();
        grow(root.path(), 12, 3);
        let young = file(&root.path().join("folder-0/folder-2/folder-1/young"), Duration::ZERO);
        let policy = FilePolicy { empty_dirs: EmptyDirs::Judge, ..policy(root.path()) };
        let policy = if is_noted { quarantining(policy) } else { policy };
        let tally = sweep_with(workers, &policy, Mode::Apply);
        assert_eq!(tally.errors_total, 0, "{workers:?}: {:?}", tally.errors);
        let left: Vec<_> = young.strip_prefix(root.path()).unwrap().ancestors().map(Path::to_owned).collect();
        let left: BTreeSet<_> = left.into_iter().filter(|path| path != Path::new("")).collect();
        assert_eq!(tree(root.path()), left, "{workers:?}");
    }
}

#[test]
fn a_limit_counts_for_all_workers_together() {
    let root = tempfile::tempdir().unwrap();
    for index in 0..5000 {
        file(&root.path().join(format!("folder-{}/file-{index}", index % 50)), 2 * HOUR);
    }
    let policy = policy(root.path());
    let brakes = Brakes { max_removals: Some(1234), ..Brakes::default() };
    let run = cleanup_core::judge::Run { brakes, ..run() };
    let store = Store::open(&policy, Vec::new()).unwrap().with_jobs(jobs(8));
    let tally = sweep(&store, &policy.rule, &run, Mode::Apply, &());
    assert_eq!((tally.counts.removed, tally.counts.kept.deferred), (1234, 5000 - 1234));
}

/// Wants to stop after so many.
struct StopsAfter(AtomicU64, u64);

impl Observer for StopsAfter {
    fn judged(&self, _: &Judged<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn wants_to_stop(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= self.1
    }
}

#[test]
fn all_workers_end_when_one_is_asked_to() {
    for (workers, is_noted) in [(2, false), (8, false), (2, true), (8, true)] {
        let root = tempfile::tempdir().unwrap();
        for index in 0..6000 {
            file(&root.path().join(format!("folder-{}/file-{index}", index % 3)), 2 * HOUR);
        }
        let policy = if is_noted { quarantining(policy(root.path())) } else { policy(root.path()) };
        let store = opened(&policy, jobs(workers));
        let tally = sweep(&store, &policy.rule, &run(), Mode::Apply, &StopsAfter(AtomicU64::new(0), 500));
        let gone = tally.counts.removed + tally.counts.quarantined;
        assert!((500..500 + workers as u64).contains(&gone), "{gone} with {workers}");
        let report = PolicyReport::finished("test", PolicyKind::Files, tally);
        assert_eq!(report.status, PolicyStatus::Partial);
    }
}

/// Loses its head at the hundredth.
struct Panics(AtomicU64);

impl Observer for Panics {
    fn judged(&self, _: &Judged<'_>) {
        assert!(self.0.fetch_add(1, Ordering::Relaxed) != 99, "the hundredth");
    }
}

#[test]
fn a_worker_that_panics_leaves_nobody_waiting() {
    let root = tempfile::tempdir().unwrap();
    grow(root.path(), 12, 3);
    for policy in [policy(root.path()), quarantining(policy(root.path()))] {
        let store = opened(&policy, jobs(8));
        let swept = catch_unwind(AssertUnwindSafe(|| {
            sweep(&store, &policy.rule, &run(), Mode::Plan, &Panics(AtomicU64::new(0)));
        }));
        assert!(swept.is_err());
    }
}

#[test]
fn a_file_with_many_names_is_freed_once_and_with_a_name_elsewhere_never() {
    for number in POOLS {
        let (root, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = file(&root.path().join("0/0"), 2 * HOUR);
        for index in 1..200 {
            let folder = root.path().join((index % 20).to_string());
            fs::create_dir_all(&folder).unwrap();
            fs::hard_link(&first, folder.join(index.to_string())).unwrap();
        }
        let outside = file(&root.path().join("0/outside"), 2 * HOUR);
        fs::hard_link(&outside, elsewhere.path().join("a")).unwrap();
        let bytes = fs::metadata(&first).unwrap().blocks() * 512;
        let counts = sweep_with(jobs(number), &policy(root.path()), Mode::Apply).counts;
        assert_eq!((counts.removed, counts.removed_bytes), (201, 201 * bytes), "{number} workers");
        assert_eq!(counts.bytes_freed, bytes, "{number} workers");
    }
}
