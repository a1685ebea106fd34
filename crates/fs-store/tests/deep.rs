//! Depth: ten thousand levels under sixty-four descriptors. Alone in its process, because the limit is the process's.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod common;

use std::os::fd::OwnedFd;

use cleanup_core::policy::{EmptyDirs, FilePolicy};
use common::{apply, policy, tree};
use rustix::fs::{CWD, Mode, OFlags, Timespec, Timestamps};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const LEVELS: usize = 10_000;

#[test]
fn ten_thousand_levels_need_few_descriptors() {
    let root = tempfile::tempdir().unwrap();
    dig(root.path());

    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum: before.maximum }).unwrap();
    let tally = apply(&FilePolicy { empty_dirs: EmptyDirs::Judge, ..policy(root.path()) });
    setrlimit(Resource::Nofile, before).unwrap();

    assert_eq!(tally.errors_total, 0, "{:?}", tally.errors);
    assert_eq!((tally.counts.removed, tally.counts.dirs_removed), (LEVELS as u64, LEVELS as u64));
    assert!(tree(root.path()).is_empty());
}

/// Digs down, with one old file on every level. By descriptor: no path is that long.
fn dig(root: &std::path::Path) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut here: OwnedFd = rustix::fs::openat(CWD, root, flags, Mode::empty()).unwrap();
    for _ in 0..LEVELS {
        rustix::fs::mkdirat(&here, "level", 0o700.into()).unwrap();
        let file = rustix::fs::openat(&here, "due", OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC, 0o600.into());
        let long_ago = Timespec { tv_sec: 1_000_000_000, tv_nsec: 0 };
        let times = Timestamps { last_access: long_ago, last_modification: long_ago };
        rustix::fs::futimens(file.unwrap(), &times).unwrap();
        here = rustix::fs::openat(&here, "level", flags, Mode::empty()).unwrap();
    }
    // The bottom level has a file too few: so that every level has one, the root's is enough.
}
