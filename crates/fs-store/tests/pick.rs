//! Some files by their paths, and hints of what appears.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use cleanup_core::pattern::Patterns;
use cleanup_core::policy::{Depth, FilePolicy};
use cleanup_core::sweep::{Mode, sweep};
use cleanup_fs_store::{Hint, Store, Watch};
use common::{HOUR, file, policy, run};

fn removed(policy: &FilePolicy, paths: &[&str]) -> u64 {
    let store = Store::open(policy, Vec::new()).unwrap();
    let paths: Vec<&[u8]> = paths.iter().map(|path| path.as_bytes()).collect();
    sweep(&store.select(&paths), &policy.rule, &run(), Mode::Apply, &()).counts.removed
}

#[test]
fn only_what_is_picked_goes_and_only_if_the_walk_would_take_it() {
    let tree = tempfile::tempdir().unwrap();
    for path in ["a.svg", "b.svg", "young.svg", "x.txt", "sub/c.svg", "sub/deep/d.svg", "skip/e.svg", ".cleanup/f.svg"]
    {
        let age = if path == "young.svg" { Duration::ZERO } else { Duration::from_hours(48) };
        file(&tree.path().join(path), age);
    }
    symlink(tree.path().join("b.svg"), tree.path().join("link.svg")).unwrap();
    symlink(tree.path().join("sub"), tree.path().join("way")).unwrap();
    let patterns = Patterns::new(&["*.svg"], &["skip"], &[]).unwrap();
    let policy = FilePolicy { patterns, depth: Depth(2), ..policy(tree.path()) };
    let all = [
        "a.svg",
        "young.svg",
        "x.txt",
        "sub/c.svg",
        "sub/deep/d.svg",
        "skip/e.svg",
        ".cleanup/f.svg",
        "link.svg",
        "way/c.svg",
        "missing.svg",
        "missing/too.svg",
        "../a.svg",
        "sub/../b.svg",
        "a.svg",
    ];
    assert_eq!(removed(&policy, &all), 2, "a.svg and sub/c.svg, each once");
    for kept in ["b.svg", "young.svg", "x.txt", "sub/deep/d.svg", "skip/e.svg", ".cleanup/f.svg", "link.svg"] {
        assert!(tree.path().join(kept).symlink_metadata().is_ok(), "{kept}");
    }
    assert_eq!(removed(&policy, &["b.svg"]), 1);
}

#[test]
fn many_files_are_picked_by_several_workers() {
    let tree = tempfile::tempdir().unwrap();
    let paths: Vec<String> = (0..3000).map(|index| format!("folder-{}/file-{index}", index % 7)).collect();
    for path in &paths {
        file(&tree.path().join(path), 2 * HOUR);
    }
    let policy = policy(tree.path());
    let all: Vec<&[u8]> = paths.iter().map(String::as_bytes).collect();
    let store = Store::open(&policy, Vec::new()).unwrap().with_jobs(common::jobs(3));
    let tally = sweep(&store.select(&all), &policy.rule, &common::run(), Mode::Apply, &());
    assert_eq!((tally.counts.scanned, tally.counts.removed, tally.errors_total), (3000, 3000, 0));
}

/// Everything that is hinted at, in words, in its order.
fn hints(watch: &mut Watch) -> Vec<String> {
    let mut all = Vec::new();
    let shown = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
    let take = |hint: Hint<'_>| {
        all.push(match hint {
            Hint::Appeared(path) => format!("appeared {}", shown(path)),
            Hint::Written(path) => format!("written {}", shown(path)),
            Hint::Gone(path) => format!("gone {}", shown(path)),
            Hint::Folder(path) => format!("folder {}", shown(path)),
            Hint::FolderGone(path) => format!("folder gone {}", shown(path)),
            Hint::Anything => "anything".to_owned(),
            Hint::RootGone => "root gone".to_owned(),
        });
    };
    watch.read(take).unwrap();
    all
}

#[test]
fn what_appears_and_goes_is_hinted_at() {
    let tree = tempfile::tempdir().unwrap();
    fs::create_dir_all(tree.path().join("sub")).unwrap();
    let policy = policy(tree.path());
    let store = Store::open(&policy, Vec::new()).unwrap();
    let mut watch = Watch::open(&store).unwrap();
    assert!(hints(&mut watch).is_empty());

    fs::write(tree.path().join("a"), "1").unwrap();
    fs::write(tree.path().join("sub/b"), "1").unwrap();
    assert_eq!(hints(&mut watch), ["appeared a", "written a", "appeared sub/b", "written sub/b"]);
    fs::read(tree.path().join("a")).unwrap();
    assert!(hints(&mut watch).is_empty(), "reading is nobody's business");

    fs::rename(tree.path().join("a"), tree.path().join("sub/a")).unwrap();
    fs::remove_file(tree.path().join("sub/b")).unwrap();
    assert_eq!(hints(&mut watch), ["gone a", "appeared sub/a", "gone sub/b"]);

    fs::create_dir(tree.path().join("new")).unwrap();
    assert_eq!(hints(&mut watch), ["folder new"]);
    watch.add_tree(&store, b"new", |_| {}).unwrap();
    fs::rename(tree.path().join("new"), tree.path().join("newer")).unwrap();
    assert_eq!(hints(&mut watch), ["folder gone new", "folder newer"]);
    fs::create_dir_all(tree.path().join("newer/deep")).unwrap();
    fs::write(tree.path().join("newer/deep/early"), "1").unwrap();
    let mut found = Vec::new();
    watch.add_tree(&store, b"newer", |hint| found.push(format!("{hint:?}"))).unwrap();
    assert_eq!(found, [format!("{:?}", Hint::Appeared(b"newer/deep/early"))]);
    hints(&mut watch);
    fs::write(tree.path().join("newer/c"), "1").unwrap();
    assert_eq!(hints(&mut watch), ["appeared newer/c", "written newer/c"], "under its new name");

    // The kernel tells of it when nobody has it open any more.
    drop(store);
    fs::remove_dir_all(tree.path()).unwrap();
    assert_eq!(hints(&mut watch).last().unwrap(), "root gone");
}

#[test]
fn a_flat_policy_watches_one_folder() {
    let tree = tempfile::tempdir().unwrap();
    fs::create_dir_all(tree.path().join("sub")).unwrap();
    let policy = FilePolicy { depth: Depth::FLAT, ..policy(tree.path()) };
    let store = Store::open(&policy, Vec::new()).unwrap();
    let mut watch = Watch::open(&store).unwrap();
    fs::write(tree.path().join("sub/b"), "1").unwrap();
    assert!(hints(&mut watch).is_empty());
}

#[test]
fn more_than_the_kernel_can_queue_is_a_reason_to_look_at_everything() {
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let limit: usize = limit.trim().parse().unwrap();
    let tree = tempfile::tempdir().unwrap();
    let policy = policy(tree.path());
    let store = Store::open(&policy, Vec::new()).unwrap();
    let mut watch = Watch::open(&store).unwrap();
    // Each makes at least two events.
    for number in 0..=limit / 2 {
        fs::write(tree.path().join(number.to_string()), "").unwrap();
    }
    let hints = hints(&mut watch);
    assert_eq!(hints.iter().filter(|hint| *hint == "anything").count(), 1, "{} hints", hints.len());
    fs::write(tree.path().join("later"), "").unwrap();
    let mut later = Vec::new();
    watch.read(|hint| later.push(format!("{hint:?}"))).unwrap();
    assert_eq!(later.len(), 2, "and it goes on");
}
