//! Whole directories: selected by what is in them, gone whole or not at all, whatever happens meanwhile.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests are tests")]

mod common;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::ops::ControlFlow;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use cleanup_core::candidate::{Basis, Stamp};
use cleanup_core::conformance::{self, Age, Fixture};
use cleanup_core::judge::Run;
use cleanup_core::moment::Moment;
use cleanup_core::pattern::Patterns;
use cleanup_core::policy::{Dispose, FilePolicy, Policy, Quarantine, Unit};
use cleanup_core::report::Tally;
use cleanup_core::store::{Batch, Fault, FileStore as _, Outcome, Seen, Visitor};
use cleanup_core::sweep::{Mode, sweep};
use cleanup_core::verdict::{self, AgeLimit, Remove};
use cleanup_fs_store::{Classified, FileId, Item, QuarantineRun, Returned, Store};
use common::{HOUR, file, now, run, set_modified, tree};
use proptest::prelude::*;

const NOW: Moment = Moment::from_unix(2_000_000_000, 0);

fn directories(root: &Path) -> FilePolicy {
    FilePolicy { unit: Unit::Directory, ..common::policy(root) }
}

fn quarantining(root: &Path) -> FilePolicy {
    let dispose = Dispose::Quarantine(Quarantine { keep_for: HOUR, max_bytes: None });
    FilePolicy { dispose, ..directories(root) }
}

fn opened<'a>(policy: &'a FilePolicy, id: &str) -> Store<'a> {
    let store = Store::open(policy, Vec::new()).unwrap();
    store.into_quarantine(Arc::new(QuarantineRun::new(id.to_owned())), NOW).unwrap()
}

fn sweep_as(policy: &FilePolicy, mode: Mode) -> Tally {
    let store = opened(policy, "R1");
    let tally = sweep(&store, &policy.rule, &run(), mode, &());
    store.rest_quarantine();
    tally
}

fn apply(policy: &FilePolicy) -> Tally {
    sweep_as(policy, Mode::Apply)
}

/// The names that are left in the root.
fn left(root: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(root).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name != ".cleanup");
    names.sort();
    names
}

fn items(policy: &FilePolicy) -> Vec<Item> {
    let store = Store::open(policy, Vec::new()).unwrap();
    let mut items = Vec::new();
    if let Some(quarantine) = store.quarantine(&|_| true).unwrap() {
        assert_eq!(quarantine.items(&|_| true, &mut |item| items.push(item)), []);
    }
    items
}

struct Folders(tempfile::TempDir);

impl Fixture for Folders {
    fn fill(&mut self, items: &[conformance::Item]) {
        for name in self.left() {
            fs::remove_dir_all(self.0.path().join(name)).unwrap();
        }
        for item in items {
            let path = self.0.path().join(&item.name).join("deep/file");
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            File::create(&path).unwrap();
            set_modified(
                &path,
                match item.age {
                    Age::Past(age) => now() - age,
                    Age::Ahead(by) => now() + by,
                },
            );
        }
    }

    fn sweep(&mut self, rule: &Policy, mode: Mode) -> Tally {
        let rule = Policy { name: "test".to_owned(), ..rule.clone() };
        sweep_as(&FilePolicy { rule, ..directories(self.0.path()) }, mode)
    }

    fn left(&mut self) -> BTreeSet<String> {
        left(self.0.path()).into_iter().collect()
    }

    fn has_archives(&self) -> bool {
        true
    }
}

#[test]
fn directories_are_selected_like_everything_else() {
    conformance::check(&mut Folders(tempfile::tempdir().unwrap()));
}

/// A file in a tree of directories: its path, and how old it is.
fn entry() -> impl Strategy<Value = (Vec<String>, u64)> {
    (prop::collection::vec("[a-d]{1,2}(\\.svg)?", 1..5), 0_u64..180)
}

/// Says by quite other means which directories an hour's policy has to take.
fn oracle(root: &Path) -> BTreeSet<String> {
    let mut due = BTreeSet::new();
    for top in fs::read_dir(root).unwrap().map(Result::unwrap).filter(|top| top.file_type().unwrap().is_dir()) {
        let all = || walkdir::WalkDir::new(top.path()).into_iter().map(Result::unwrap);
        let newest = |is_dir: bool| {
            let some = all().filter(move |entry| entry.file_type().is_dir() == is_dir);
            some.map(|entry| entry.metadata().unwrap().modified().unwrap()).max()
        };
        let age = now().duration_since(newest(false).or(newest(true)).unwrap()).unwrap();
        let name = top.file_name().into_string().unwrap();
        if name.strip_suffix(".svg").is_some() && age > HOUR {
            due.insert(name);
        }
    }
    due
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn the_newest_file_decides_about_the_whole_directory(entries in prop::collection::vec(entry(), 0..40)) {
        let root = tempfile::tempdir().unwrap();
        for (names, age) in &entries {
            let path = names.iter().fold(root.path().to_owned(), |path, name| path.join(name));
            if path.symlink_metadata().is_err() && fs::create_dir_all(path.parent().unwrap()).is_ok() {
                if age % 10 == 0 {
                    fs::create_dir(&path).unwrap();
                } else {
                    file(&path, Duration::from_mins(*age));
                }
            }
        }
        let policy = FilePolicy { patterns: Patterns::new(&["*.svg"], &[], &[]).unwrap(), ..directories(root.path()) };
        let (due, before) = (oracle(root.path()), left(root.path()));
        let plan = sweep_as(&policy, Mode::Plan);
        prop_assert_eq!(plan.counts.due, due.len() as u64);
        prop_assert_eq!(left(root.path()), before.clone());
        let tally = apply(&policy);
        prop_assert_eq!((tally.counts.removed, tally.errors_total), (due.len() as u64, 0));
        let expected: Vec<String> = before.into_iter().filter(|name| !due.contains(name)).collect();
        prop_assert_eq!(left(root.path()), expected);
        prop_assert_eq!(fs::read_dir(root.path().join(".cleanup/quarantine")).map_or(0, Iterator::count), 0);
    }
}

#[test]
fn one_young_file_keeps_all_of_it_and_a_single_file_is_none_of_its_business() {
    let root = tempfile::tempdir().unwrap();
    file(&root.path().join("model/a/old"), 2 * HOUR);
    let young = file(&root.path().join("model/b/young"), HOUR / 2);
    file(&root.path().join("single"), 2 * HOUR);
    let tally = apply(&directories(root.path()));
    assert_eq!((tally.counts.matched, tally.counts.kept.within_limits, tally.counts.removed), (1, 1, 0));
    set_modified(&young, now() - 2 * HOUR);
    let tally = apply(&directories(root.path()));
    assert_eq!((tally.counts.removed, left(root.path())), (1, vec!["single".to_owned()]));
    assert!(tally.counts.bytes_freed >= 2 * 4096, "what is in it is counted");
}

#[test]
fn a_directory_frees_what_has_no_name_elsewhere_each_file_once() {
    let (root, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let inside = file(&root.path().join("model/a"), 2 * HOUR);
    let outside = file(&root.path().join("model/deep/er/b"), 2 * HOUR);
    fs::hard_link(inside, root.path().join("model/deep/c")).unwrap();
    fs::hard_link(outside, elsewhere.path().join("b")).unwrap();
    let allocated = |path: &str| fs::metadata(root.path().join(path)).unwrap().blocks() * 512;
    let freed: u64 = ["model", "model/deep", "model/deep/er", "model/a"].into_iter().map(allocated).sum();
    let names = allocated("model/a") + allocated("model/deep/er/b");
    let counts = apply(&directories(root.path())).counts;
    assert_eq!((counts.removed, counts.removed_bytes, counts.bytes_freed), (1, freed + names, freed));
}

#[test]
fn links_and_sockets_go_with_it_and_are_never_followed() {
    let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let victim = file(&outside.path().join("victim"), 2 * HOUR);
    file(&root.path().join("model/old"), 2 * HOUR);
    symlink(outside.path(), root.path().join("model/folder")).unwrap();
    symlink(&victim, root.path().join("model/file")).unwrap();
    let _socket = UnixListener::bind(root.path().join("model/socket")).unwrap();
    symlink(outside.path(), root.path().join("linked")).unwrap();
    // They were made just now, which lies years before the sweep.
    let tally = apply(&directories(root.path()));
    assert_eq!((tally.counts.removed, tally.counts.left_alone, tally.errors_total), (1, 1, 0));
    assert_eq!(left(root.path()), ["linked"]);
    assert!(victim.exists());
}

/// What is done between looking and removing.
struct Between<F: Fn()> {
    action: F,
    outcome: Mutex<Option<Outcome>>,
}

impl<F: Fn() + Sync> Visitor for Between<F> {
    fn batch(&self, batch: &mut dyn Batch) -> ControlFlow<()> {
        (self.action)();
        let why = Remove::Expired {
            stamp: Stamp { at: NOW, basis: Basis::Modified },
            age: verdict::Age::Wall(2 * HOUR),
            limit: AgeLimit::MaxAge(cleanup_core::policy::MaxAge::new(HOUR).unwrap()),
        };
        *self.outcome.lock().unwrap() = Some(batch.remove(0, &why).outcome);
        ControlFlow::Continue(())
    }

    fn fault(&self, fault: Fault<'_>) {
        panic!("{}", fault.error);
    }

    fn seen(&self, _: Seen) {}
}

/// What comes of a directory to which this happens after it was judged.
fn accident(policy: fn(&Path) -> FilePolicy, action: impl Fn(&Path) + Sync) -> (tempfile::TempDir, Outcome) {
    let root = tempfile::tempdir().unwrap();
    file(&root.path().join("model/a"), 2 * HOUR);
    file(&root.path().join("model/deep/er/b"), 2 * HOUR);
    let policy = policy(root.path());
    let between = Between { action: || action(root.path()), outcome: Mutex::default() };
    opened(&policy, "R1").offer(&between);
    let outcome = between.outcome.into_inner().unwrap().unwrap();
    assert_eq!(items(&policy).len(), usize::from(outcome == Outcome::Quarantined), "{outcome:?}");
    (root, outcome)
}

#[test]
fn whatever_changed_in_it_after_it_was_judged_brings_it_back_whole() {
    let changes: [&(dyn Fn(&Path) + Sync); 8] = [
        &|root| fs::write(root.join("model/deep/er/b"), "written").unwrap(),
        &|root| drop(file(&root.join("model/deep/new"), 2 * HOUR)),
        &|root| fs::remove_file(root.join("model/a")).unwrap(),
        &|root| fs::create_dir(root.join("model/deep/er/empty")).unwrap(),
        &|root| fs::rename(root.join("model/deep/er/b"), root.join("model/deep/er/c")).unwrap(),
        &|root| {
            // The same name, size and mtime.
            fs::remove_file(root.join("model/a")).unwrap();
            file(&root.join("model/a"), 2 * HOUR);
        },
        &|root| symlink("elsewhere", root.join("model/deep/link")).unwrap(),
        &|root| fs::set_permissions(root.join("model/a"), fs::Permissions::from_mode(0o600)).unwrap(),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        for policy in [directories, quarantining] {
            let (root, outcome) = accident(policy, change);
            assert_eq!(outcome, Outcome::Changed, "change {index}");
            assert_eq!(left(root.path()), ["model"], "change {index}");
            assert!(root.path().join("model/deep/er").is_dir());
        }
    }
    let (_, outcome) = accident(directories, |_| {});
    assert_eq!(outcome, Outcome::Removed);
    let (_, outcome) = accident(quarantining, |_| {});
    assert_eq!(outcome, Outcome::Quarantined);
    let (_, outcome) = accident(directories, |root| fs::remove_dir_all(root.join("model")).unwrap());
    assert_eq!(outcome, Outcome::Vanished);
    let (root, outcome) = accident(directories, |root| {
        fs::rename(root.join("model"), root.join("moved")).unwrap();
        file(&root.join("model/a"), 2 * HOUR);
    });
    assert_eq!((outcome, left(root.path())), (Outcome::Changed, vec!["model".to_owned(), "moved".to_owned()]));
}

#[test]
fn a_directory_in_quarantine_comes_back_whole_or_expires_whole() {
    let root = tempfile::tempdir().unwrap();
    let policy = quarantining(root.path());
    file(&root.path().join("model/deep/er/b"), 2 * HOUR);
    file(&root.path().join("other/a"), 2 * HOUR);
    let before = tree(root.path());
    assert_eq!(apply(&policy).counts.quarantined, 2);
    assert!(left(root.path()).is_empty());

    fs::create_dir(root.path().join("other")).unwrap();
    let store = Store::open(&policy, Vec::new()).unwrap();
    let quarantine = store.quarantine(&|_| true).unwrap().unwrap();
    let mut came = Vec::new();
    let aside = items(&policy);
    let aside: Vec<&Item> = aside.iter().collect();
    quarantine.restore(&aside, &mut |item, returned| came.push((item.path.clone().unwrap(), returned)));
    came.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(came[0], (b"model".to_vec(), Returned::Restored));
    assert!(matches!(came[1].1, Returned::Conflict(_)), "an empty directory is in the way as well");
    fs::remove_dir(root.path().join("other")).unwrap();
    let aside = items(&policy);
    quarantine.restore(&[&aside[0]], &mut |_, returned| assert_eq!(returned, Returned::Restored));
    let own = |path: &PathBuf| !path.starts_with(".cleanup");
    assert_eq!(tree(root.path()).into_iter().filter(own).collect::<BTreeSet<_>>(), before);

    assert_eq!(apply(&policy).counts.quarantined, 2);
    let tally = store.quarantine(&|_| true).unwrap().unwrap().purge(None, NOW.plus(2 * HOUR));
    assert_eq!((tally.counts.purged, tally.errors_total), (2, 0));
    assert_eq!(fs::read_dir(root.path().join(".cleanup/quarantine")).unwrap().count(), 0);
}

#[test]
fn killed_while_it_is_emptied_the_rest_is_emptied_by_the_next_sweep() {
    let root = tempfile::tempdir().unwrap();
    let policy = directories(root.path());
    for name in ["a", "deep/b", "deep/c"] {
        file(&root.path().join("model").join(name), 2 * HOUR);
    }
    // As if it had been killed with some of it gone: what was moved aside is no longer what it was.
    let (kept, stopped) = (quarantining(root.path()), root.path().join(".cleanup/quarantine/R1-test"));
    assert_eq!(apply(&kept).counts.quarantined, 1);
    fs::remove_file(stopped.join("1/deep/b")).unwrap();
    let store = opened(&policy, "R2");
    let tally = sweep(&store, &policy.rule, &run(), Mode::Apply, &());
    assert_eq!(tally.counts.due, 0);
    // Its folder says how long it was to stay; for one that was to be deleted, that is no time at all.
    let notes = stopped.join("notes.jsonl");
    let text = fs::read_to_string(&notes).unwrap().replace("\"keep_for_seconds\":3600", "\"keep_for_seconds\":0");
    // And that it was looked at before the emptying began.
    fs::write(&notes, text + "{\"emptying\":1}\n").unwrap();
    let finished = store.quarantine(&|_| true).unwrap().unwrap().purge(None, NOW.plus(Duration::from_secs(1)));
    assert_eq!((finished.counts.purged, finished.errors_total), (1, 0));
    assert!(!stopped.exists());
}

/// Why a directory with this in it stays.
#[track_caller]
fn pinned(prepare: impl Fn(&Path) -> Option<FileId>) -> String {
    let root = tempfile::tempdir().unwrap();
    file(&root.path().join("model/deep/old"), 2 * HOUR);
    file(&root.path().join("other/old"), 2 * HOUR);
    let spared = prepare(&root.path().join("model/deep"));
    let policy = directories(root.path());
    let store = Store::open(&policy, spared.into_iter().collect()).unwrap();
    let store = store.into_quarantine(Arc::new(QuarantineRun::new("R1".to_owned())), NOW).unwrap();
    let tally = sweep(&store, &policy.rule, &run(), Mode::Apply, &());
    assert_eq!((tally.counts.removed, tally.errors_total), (1, 1), "{:?}", tally.errors);
    assert_eq!(left(root.path()), ["model"], "and no other");
    assert!(root.path().join("model/deep/old").exists());
    assert_eq!(tally.errors[0].path, "model");
    tally.errors[0].error.clone()
}

#[test]
fn what_may_not_go_pins_the_whole_directory() {
    let ours = pinned(|deep| FileId::of(&deep.join("old")));
    assert!(ours.contains("files of cleanup itself"), "{ours}");
    let nested = pinned(|deep| {
        fs::create_dir(deep.join(".cleanup")).unwrap();
        None
    });
    assert!(nested.contains("files of cleanup itself"), "{nested}");
}

#[test]
fn another_mount_in_it_pins_the_whole_directory() {
    let root = tempfile::tempdir().unwrap();
    file(&root.path().join("model/deep/old"), 2 * HOUR);
    let mounted = root.path().join("model/mounted");
    fs::create_dir(&mounted).unwrap();
    let mount = Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(&mounted).output();
    if !mount.is_ok_and(|mount| mount.status.success()) {
        eprintln!("SKIPPED: this process may not mount");
        return;
    }
    let victim = file(&mounted.join("victim"), 2 * HOUR);
    let tally = apply(&directories(root.path()));
    let is_there = victim.exists();
    assert!(Command::new("umount").arg(&mounted).status().unwrap().success());
    assert!(is_there);
    assert_eq!((tally.counts.removed, tally.errors_total), (0, 1));
    assert!(tally.errors[0].error.contains("mounted"), "{:?}", tally.errors);
}

#[test]
fn a_thousand_levels_are_no_more_than_one() {
    use rustix::fs::{CWD, Mode, OFlags, Timespec, Timestamps};
    let root = tempfile::tempdir().unwrap();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut here = rustix::fs::openat(CWD, root.path(), flags, Mode::empty()).unwrap();
    for _ in 0..1000 {
        rustix::fs::mkdirat(&here, "level", 0o700.into()).unwrap();
        here = rustix::fs::openat(&here, "level", flags, Mode::empty()).unwrap();
        let file = rustix::fs::openat(&here, "old", OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC, 0o600.into());
        let long_ago = Timespec { tv_sec: 1_000_000_000, tv_nsec: 0 };
        let times = Timestamps { last_access: long_ago, last_modification: long_ago };
        rustix::fs::futimens(file.unwrap(), &times).unwrap();
    }
    drop(here);
    let tally = apply(&directories(root.path()));
    assert_eq!((tally.counts.removed, tally.errors_total), (1, 0), "{:?}", tally.errors);
    assert!(left(root.path()).is_empty());
    assert_eq!(fs::read_dir(root.path().join(".cleanup/quarantine")).unwrap().count(), 0);
}

#[test]
fn a_path_is_told_what_becomes_of_it() {
    let root = tempfile::tempdir().unwrap();
    file(&root.path().join("model/a"), 2 * HOUR);
    file(&root.path().join("single"), 2 * HOUR);
    let policy = directories(root.path());
    let store = Store::open(&policy, Vec::new()).unwrap();
    assert!(matches!(store.classify(b"model"), Classified::Candidate(found) if found.stamp.at == NOW.minus(2 * HOUR)));
    assert_eq!(store.classify(b"model/a"), Classified::InUnit);
    assert_eq!(store.classify(b"single"), Classified::NoDirectory);
    assert_eq!(store.classify(b"missing"), Classified::Missing);
    assert_eq!(store.classify(b".cleanup"), Classified::Own);
}

#[test]
fn some_of_them_can_be_picked() {
    let root = tempfile::tempdir().unwrap();
    for name in ["a", "b", "c"] {
        file(&root.path().join(name).join("old"), 2 * HOUR);
    }
    let policy = directories(root.path());
    let store = opened(&policy, "R1");
    let paths: [&[u8]; 4] = [b"a", b"c", b"b/old", b"gone"];
    let tally = sweep(&store.select(&paths), &policy.rule, &run(), Mode::Apply, &());
    assert_eq!((tally.counts.removed, tally.counts.vanished, left(root.path())), (2, 1, vec!["b".to_owned()]));
}

#[test]
fn a_hold_on_anything_in_it_holds_all_of_it() {
    let root = tempfile::tempdir().unwrap();
    file(&root.path().join("model/deep/a"), 2 * HOUR);
    let policy = directories(root.path());
    let mut run = run();
    run.holds.add(b"model/deep/a".to_vec(), NOW.plus(HOUR));
    let tally = sweep(&opened(&policy, "R1"), &policy.rule, &run, Mode::Apply, &());
    assert_eq!((tally.counts.kept.held, tally.counts.removed), (1, 0));
    assert!(root.path().join("model/deep/a").exists());
}

#[test]
fn a_writer_that_makes_the_directory_again_and_again_loses_nothing() {
    const ROUNDS: u32 = 25;
    let root = tempfile::tempdir().unwrap();
    let policies = [directories(root.path()), quarantining(root.path())];
    let (is_over, written) = (AtomicBool::new(false), Mutex::new(BTreeSet::new()));
    let now = |ahead: Duration| {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap() + ahead;
        Moment::from_unix(since.as_secs().try_into().unwrap(), 0)
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0_u64;
            while !is_over.load(Ordering::Relaxed) {
                number += 1;
                let name = format!("young-{number}");
                // What could not be written is not lost.
                let _ = fs::create_dir_all(root.path().join("job/deep"));
                if fs::write(root.path().join("job/deep").join(&name), "young").is_ok() {
                    written.lock().unwrap().insert(name);
                }
                if number.is_multiple_of(8) {
                    std::thread::yield_now();
                }
            }
        });
        for round in 0..ROUNDS {
            // Out of the way, so that the writer's next one is the next round's.
            let job = root.path().join("job");
            let _ = fs::rename(&job, root.path().join(format!("done-{round}")));
            let old = root.path().join("old");
            fs::create_dir(&old).unwrap();
            for number in 0..20 {
                let path = old.join(format!("old-{number}"));
                fs::write(&path, "old").unwrap();
                set_modified(&path, SystemTime::now() - 72 * HOUR);
            }
            // It takes the name as soon as that is free.
            let is_there = fs::rename(&old, &job).is_ok();
            if !is_there {
                fs::remove_dir_all(&old).unwrap();
            }
            for policy in &policies {
                let store = Store::open(policy, Vec::new()).unwrap();
                let run_id = QuarantineRun::new(format!("R{round}"));
                let store = store.into_quarantine(Arc::new(run_id), now(Duration::ZERO)).unwrap();
                let judging = cleanup_core::judge::Run::at(now(Duration::ZERO));
                sweep(&store, &policy.rule, &judging, Mode::Apply, &());
                store.rest_quarantine();
                if let Some(quarantine) = store.quarantine(&|_| true).unwrap() {
                    quarantine.purge(None, now(2 * HOUR));
                }
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let found: BTreeSet<String> = walkdir::WalkDir::new(root.path())
        .into_iter()
        .filter_map(|entry| entry.unwrap().file_name().to_str().map(str::to_owned))
        .collect();
    let written = written.into_inner().unwrap();
    assert!(written.len() > 100, "the writer was at it: {}", written.len());
    assert_eq!(written.difference(&found).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn a_whole_directory_settles_from_the_newest_arrival_in_it() {
    let root = tempfile::tempdir().unwrap();
    for path in ["model/a", "model/deep/b"] {
        set_modified(&file(&root.path().join(path), HOUR), std::time::SystemTime::UNIX_EPOCH);
    }
    let changed = |path: &str| {
        let meta = fs::symlink_metadata(root.path().join(path)).unwrap();
        Moment::from_unix(meta.ctime(), u32::try_from(meta.ctime_nsec()).unwrap())
    };
    let arrived = ["model", "model/a", "model/deep", "model/deep/b"].map(changed).into_iter().max().unwrap();
    let mut policy = directories(root.path());
    policy.rule.min_age = HOUR;
    let store = opened(&policy, "R1");
    let at = |now| sweep(&store, &policy.rule, &Run::at(now), Mode::Plan, &()).counts;
    assert_eq!((at(arrived).due, at(arrived).kept.settling), (0, 1));
    assert_eq!(at(arrived.plus(HOUR)).due, 1);
    fs::set_permissions(root.path().join("model/deep"), fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(at(changed("model/deep").plus(HOUR / 2)).due, 0, "a folder in it counts as well");
}

#[test]
fn a_pattern_that_ends_in_a_slash_means_the_whole_directory() {
    let root = tempfile::tempdir().unwrap();
    for path in ["keep/a", "kept/a", "gone/a"] {
        file(&root.path().join(path), 2 * HOUR);
    }
    let mut policy = directories(root.path());
    policy.patterns = Patterns::new(&["*"], &["keep/"], &["kept/"]).unwrap();
    let tally = apply(&policy);
    assert_eq!((tally.counts.removed, tally.counts.kept.archive, tally.errors_total), (1, 1, 0));
    assert_eq!(left(root.path()), ["keep", "kept"]);
    assert_eq!(Store::open(&policy, Vec::new()).unwrap().classify(b"keep"), Classified::Excluded);
}

#[test]
fn a_directory_whose_name_begins_with_a_dot_is_left_and_counted() {
    let root = tempfile::tempdir().unwrap();
    for path in ["model/.hidden", ".git/config", ".cache-1/x"] {
        file(&root.path().join(path), 2 * HOUR);
    }
    let mut policy = directories(root.path());
    policy.patterns = Patterns::new(&["*", ".cache-*"], &[], &[]).unwrap();
    let tally = apply(&policy);
    assert_eq!((tally.counts.removed, tally.counts.dotfiles, tally.errors_total), (2, 1, 0));
    assert_eq!(left(root.path()), [".git"]);
    assert_eq!(Store::open(&policy, Vec::new()).unwrap().classify(b".git"), Classified::Dotfile);
}
