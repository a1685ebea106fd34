//! The files of `cleanup` itself stay, also those that are made only while it runs.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod common;

use std::fs;
use std::path::Path;

use cleanup_core::policy::{EmptyDirs, FilePolicy, Unit};
use cleanup_core::report::Tally;
use cleanup_core::sweep::{Mode, sweep};
use cleanup_fs_store::{Classified, FileId, Protected, Same, Store, Wanted};
use common::{HOUR, POOLS, file, jobs, policy, run, tree};

/// A state folder with a database, and an audit log in another folder.
fn protected(root: &Path) -> Protected {
    let mut protected = Protected::default();
    protected.folder(&root.join("state"));
    protected.file_family(&root.join("db/state.db"));
    protected.file_family(&root.join("logs/audit.log"));
    protected
}

fn swept(policy: &FilePolicy, protected: Protected, workers: usize) -> Tally {
    let store = Store::open(policy, Vec::new()).unwrap().protecting(protected).with_jobs(jobs(workers));
    sweep(&store, &policy.rule, &run(), Mode::Apply, &())
}

const OURS: [&str; 6] =
    ["state/promises.jsonl", "state/deep/er", "db/state.db", "db/state.db-wal", "logs/audit.log", "logs/audit.log.1"];
const OTHERS: [&str; 5] = ["db/state.dbase", "logs/audit", "logs/other.log", "statement", "deep/state.db"];

#[test]
fn what_is_made_after_the_look_up_is_protected_as_well() {
    for workers in POOLS {
        let root = tempfile::tempdir().unwrap();
        for folder in ["db", "logs"] {
            fs::create_dir(root.path().join(folder)).unwrap();
        }
        let protected = protected(root.path());
        for path in OURS.iter().chain(&OTHERS) {
            file(&root.path().join(path), 2 * HOUR);
        }
        let policy = FilePolicy { empty_dirs: EmptyDirs::Judge, ..policy(root.path()) };
        let tally = swept(&policy, protected, workers);
        assert_eq!((tally.counts.removed, tally.errors_total), (OTHERS.len() as u64, 0), "{:?}", tally.errors);
        assert!(OURS.iter().all(|path| root.path().join(path).exists()));
    }
}

#[test]
fn what_is_asked_for_by_name_is_protected_as_well() {
    let root = tempfile::tempdir().unwrap();
    for folder in ["db", "logs"] {
        fs::create_dir(root.path().join(folder)).unwrap();
    }
    let protected = protected(root.path());
    for path in OURS.iter().chain(&OTHERS) {
        file(&root.path().join(path), 2 * HOUR);
    }
    let policy = FilePolicy { empty_dirs: EmptyDirs::Judge, ..policy(root.path()) };
    let store = Store::open(&policy, Vec::new()).unwrap().protecting(protected);
    for path in OURS {
        assert_eq!(store.classify(path.as_bytes()), Classified::Own, "{path}");
    }
    for path in OTHERS {
        assert!(matches!(store.classify(path.as_bytes()), Classified::Candidate(_)), "{path}");
    }
    let wanted = |path: &'static str| Wanted { path: path.as_bytes(), same: None };
    let picked = store.select_same(OURS.into_iter().chain(OTHERS).map(wanted).collect());
    let tally = sweep(&picked, &policy.rule, &run(), Mode::Apply, &());
    assert_eq!(tally.counts.removed, OTHERS.len() as u64);
    assert!(OURS.iter().all(|path| root.path().join(path).exists()));
}

#[test]
fn an_empty_folder_of_ours_is_no_empty_folder() {
    let root = tempfile::tempdir().unwrap();
    let protected = protected(root.path());
    fs::create_dir(root.path().join("state")).unwrap();
    let policy = FilePolicy { empty_dirs: EmptyDirs::Judge, ..policy(root.path()) };
    let store = Store::open(&policy, Vec::new()).unwrap().protecting(protected);
    let tally = sweep(&store, &policy.rule, &run(), Mode::Plan, &());
    assert_eq!((tally.counts.due, tally.counts.left_alone), (0, 1));

    let root = store.root_id();
    let identity = {
        let meta = fs::metadata(policy.root.join("state")).unwrap();
        let at = cleanup_core::moment::Moment::EPOCH;
        let (device, inode) = (root.device(), std::os::unix::fs::MetadataExt::ino(&meta));
        cleanup_core::candidate::Identity { device, inode, size: 0, modified: at, changed: at, links: 2 }
    };
    let stamp = cleanup_core::candidate::Stamp {
        at: cleanup_core::moment::Moment::EPOCH,
        basis: cleanup_core::candidate::Basis::Modified,
    };
    let same = Some(Same::EmptyDirectory { identity, stamp });
    let picked = store.select_same(vec![Wanted { path: b"state", same }]);
    let tally = sweep(&picked, &policy.rule, &run(), Mode::Apply, &());
    assert_eq!((tally.counts.removed, tally.counts.left_alone), (0, 1));
    assert!(policy.root.join("state").exists());
}

#[test]
fn a_whole_directory_that_holds_such_a_file_stays_whole() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("job/deep")).unwrap();
    let mut protected = Protected::default();
    protected.file_family(&root.path().join("job/deep/state.db"));
    protected.folder(&root.path().join("own"));
    for path in ["job/deep/state.db-journal", "job/a", "own/a", "free/a"] {
        file(&root.path().join(path), 2 * HOUR);
    }
    let policy = FilePolicy { unit: Unit::Directory, ..policy(root.path()) };
    let store = Store::open(&policy, Vec::new()).unwrap().protecting(protected);
    let tally = sweep(&store, &policy.rule, &run(), Mode::Plan, &());
    assert_eq!((tally.counts.due, tally.counts.left_alone, tally.errors_total), (1, 1, 1), "{:?}", tally.errors);
    assert_eq!((tally.errors[0].path.as_str()), "job");
    assert!(tally.errors[0].error.contains("files of cleanup itself"), "{:?}", tally.errors);
}

#[test]
fn a_root_in_a_folder_of_ours_is_left_alone() {
    for unit in [Unit::File, Unit::Directory] {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("state/deep");
        file(&root.join("job/a"), 2 * HOUR);
        let mut protected = Protected::default();
        protected.folder(&folder.path().join("state"));
        let policy = FilePolicy { unit, ..policy(&root) };
        let before = tree(folder.path());
        let tally = swept(&policy, protected.clone(), 1);
        assert_eq!((tally.counts.removed, tally.counts.left_alone), (0, 1));
        let store = Store::open(&policy, Vec::new()).unwrap().protecting(protected);
        let picked = store.select(&[b"job", b"job/a"]);
        assert_eq!(sweep(&picked, &policy.rule, &run(), Mode::Apply, &()).counts.removed, 0);
        assert_eq!(tree(folder.path()), before);
    }
}

#[test]
fn some_files_of_ours_in_a_root_protect_nothing_else_there() {
    let root = tempfile::tempdir().unwrap();
    let mut protected = Protected::default();
    protected.file_family(&root.path().join("state.db"));
    for name in ["promises.jsonl", "locks", "index"] {
        protected.path(&root.path().join(name));
    }
    for path in ["state.db", "state.db-wal", "promises.jsonl", "locks/p", "index"] {
        file(&root.path().join(path), 2 * HOUR);
    }
    for path in ["index.html", "locksmith", "other/index", "a"] {
        file(&root.path().join(path), 2 * HOUR);
    }
    let tally = swept(&policy(root.path()), protected, 1);
    assert_eq!((tally.counts.removed, tally.counts.left_alone), (4, 5));
}

#[test]
fn what_was_protected_before_still_is() {
    let root = tempfile::tempdir().unwrap();
    let kept = file(&root.path().join("kept"), 2 * HOUR);
    let mut more = Protected::default();
    more.folder(&root.path().join("state"));
    let policy = policy(root.path());
    let store = Store::open(&policy, FileId::of(&kept).into_iter().collect()).unwrap().protecting(more);
    let tally = sweep(&store, &policy.rule, &run(), Mode::Apply, &());
    assert_eq!((tally.counts.removed, tally.counts.left_alone), (0, 1));
}
