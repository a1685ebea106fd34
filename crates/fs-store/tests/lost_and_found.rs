//! `lost+found` directly below the root of a mount belongs to the file system: never a candidate, never entered, never an
//! error.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests are tests")]

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use cleanup_core::moment::Moment;
use cleanup_core::policy::{EmptyDirs, FilePolicy, Unit};
use cleanup_core::sweep::{Mode, sweep};
use cleanup_fs_store::{Classified, QuarantineRun, Store};
use common::{HOUR, apply, file, now, run, set_modified};

const NOW: Moment = Moment::from_unix(2_000_000_000, 0);

/// A file system of its own with a `lost+found`; `None`, said aloud, where none can be mounted.
struct Mounted(tempfile::TempDir);

impl Mounted {
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mount = Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(folder.path()).output();
        if !mount.is_ok_and(|mount| mount.status.success()) {
            eprintln!("SKIPPED: this process may not mount");
            return None;
        }
        let mounted = Self(folder);
        lost_and_found(mounted.0.path());
        Some(mounted)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

/// As `mkfs` makes it, with something that `fsck` has found, all of it long ago.
fn lost_and_found(root: &Path) -> PathBuf {
    let folder = root.join("lost+found");
    file(&folder.join("#12"), 2 * HOUR);
    fs::create_dir(folder.join("#13")).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    set_modified(&folder.join("#13"), now() - 2 * HOUR);
    set_modified(&folder, now() - 2 * HOUR);
    folder
}

fn tidying(root: &Path) -> FilePolicy {
    FilePolicy { empty_dirs: EmptyDirs::Judge, ..common::policy(root) }
}

fn directories(root: &Path) -> FilePolicy {
    FilePolicy { unit: Unit::Directory, ..common::policy(root) }
}

/// Sweeps whole directories; how many went, and how many errors there were.
fn apply_whole(policy: &FilePolicy) -> (u64, u64) {
    let store = Store::open(policy, Vec::new()).unwrap();
    let store = store.into_quarantine(Arc::new(QuarantineRun::new("R1".to_owned())), NOW).unwrap();
    let tally = sweep(&store, &policy.rule, &run(), Mode::Apply, &());
    store.rest_quarantine();
    (tally.counts.removed, tally.errors_total)
}

#[test]
fn it_is_neither_entered_nor_removed_at_the_top_of_a_mount() {
    let Some(mounted) = Mounted::new() else { return };
    let root = mounted.0.path();
    file(&mounted.path("sub/old"), 2 * HOUR);
    let ordinary = lost_and_found(&mounted.path("deeper"));
    let tally = apply(&tidying(root));
    assert_eq!((tally.counts.removed, tally.errors_total), (2, 0), "{:?}", tally.errors);
    assert!(mounted.path("lost+found/#12").exists() && mounted.path("lost+found/#13").exists());
    assert!(!ordinary.join("#12").exists(), "of that name alone there may be many");

    // Nor by a plan, a deadline, or whoever asks.
    let policy = tidying(root);
    let store = Store::open(&policy, Vec::new()).unwrap();
    let picked = sweep(&store.select(&[b"lost+found/#12"]), &policy.rule, &run(), Mode::Apply, &());
    assert_eq!((picked.counts.removed, picked.errors_total), (0, 0));
    assert_eq!(
        (store.classify(b"lost+found"), store.classify(b"lost+found/#12")),
        (Classified::LostAndFound, Classified::LostAndFound)
    );
}

#[test]
fn it_is_no_whole_directory_that_could_go() {
    let Some(mounted) = Mounted::new() else { return };
    let policy = directories(mounted.0.path());
    file(&mounted.path("job/old"), 2 * HOUR);
    assert_eq!(apply_whole(&policy), (1, 0));
    assert!(mounted.path("lost+found/#12").exists() && !mounted.path("job").exists());
    let store = Store::open(&policy, Vec::new()).unwrap();
    assert_eq!(
        (store.classify(b"lost+found"), store.classify(b"lost+found/#12")),
        (Classified::LostAndFound, Classified::LostAndFound)
    );
}

#[test]
fn a_strangers_folder_of_that_name_is_a_folder_like_any_other() {
    let Some(mounted) = Mounted::new() else { return };
    chown(mounted.path("lost+found"), Some(65534), Some(65534)).unwrap();
    assert_eq!(apply(&tidying(mounted.0.path())).counts.removed, 1);
    // So is one that lies at the top of no mount.
    let folder = tempfile::tempdir().unwrap();
    lost_and_found(folder.path());
    assert_eq!(apply_whole(&directories(folder.path())), (1, 0));
}
