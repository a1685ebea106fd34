//! Depth: ten thousand levels under sixty-four descriptors. Alone in its process, because the limit is the process's.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod common;

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Mutex;

use cleanup_core::policy::{EmptyDirs, FilePolicy};
use cleanup_core::sweep::Mode;
use cleanup_fs_store::Jobs;
use common::{jobs, policy, sweep_with, tree};
use rustix::fs::{CWD, OFlags, Timespec, Timestamps};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[test]
fn ten_thousand_levels_need_few_descriptors() {
    check(jobs(1), 10_000, &["level"]);
}

#[test]
fn many_workers_on_a_deep_way_need_few_descriptors_together() {
    for jobs in [jobs(2), jobs(8), Jobs::Adaptive] {
        check(jobs, 1000, &["a", "level", "y", "z"]);
    }
}

/// Sweeps a way down under sixty-four descriptors.
fn check(jobs: Jobs, levels: u64, folders: &[&str]) {
    let _alone = LIMIT.lock().unwrap();
    let root = tempfile::tempdir().unwrap();
    dig(root.path(), levels, folders);

    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum: before.maximum }).unwrap();
    let policy = FilePolicy { empty_dirs: EmptyDirs::Judge, ..policy(root.path()) };
    let tally = sweep_with(jobs, &policy, Mode::Apply);
    setrlimit(Resource::Nofile, before).unwrap();

    assert_eq!(tally.errors_total, 0, "{jobs:?}: {:?}", tally.errors);
    let gone = (tally.counts.removed, tally.counts.dirs_removed);
    assert_eq!(gone, (levels, levels * folders.len() as u64), "{jobs:?}");
    assert!(tree(root.path()).is_empty());
}

/// The limit of descriptors is the process's.
static LIMIT: Mutex<()> = Mutex::new(());

/// Digs down, with one old file and these folders on every level. By descriptor: no path is that long.
fn dig(root: &Path, levels: u64, folders: &[&str]) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut here: OwnedFd = rustix::fs::openat(CWD, root, flags, 0.into()).unwrap();
    for _ in 0..levels {
        for name in folders {
            rustix::fs::mkdirat(&here, *name, 0o700.into()).unwrap();
        }
        let file = rustix::fs::openat(&here, "due", OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC, 0o600.into());
        let long_ago = Timespec { tv_sec: 1_000_000_000, tv_nsec: 0 };
        let times = Timestamps { last_access: long_ago, last_modification: long_ago };
        rustix::fs::futimens(file.unwrap(), &times).unwrap();
        here = rustix::fs::openat(&here, "level", flags, 0.into()).unwrap();
    }
    // The bottom level has a file too few: so that every level has one, the root's is enough.
}
