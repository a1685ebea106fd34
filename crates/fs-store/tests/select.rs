//! What is selected: the suite that all stores run, and an independent oracle on random trees.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod common;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cleanup_core::conformance::{self, Age, Fixture, Item};
use cleanup_core::policy::{Archives, Depth, EmptyDirs, FilePolicy, Policy, StampKind};
use cleanup_core::report::Tally;
use cleanup_core::sweep::{Mode, sweep};
use cleanup_fs_store::Store;
use common::{CREWS, HOUR, apply, file, jobs, now, plan, policy, run, set_modified, sweep_with, tree};
use proptest::prelude::*;

struct Folder(tempfile::TempDir);

impl Fixture for Folder {
    fn fill(&mut self, items: &[Item]) {
        for name in self.left() {
            fs::remove_file(self.0.path().join(name)).unwrap();
        }
        for item in items {
            let path = self.0.path().join(&item.name);
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
        let policy = FilePolicy { rule: rule.clone(), ..policy(self.0.path()) };
        sweep(&Store::open(&policy, Vec::new()).unwrap(), rule, &run(), mode, &())
    }

    fn left(&mut self) -> BTreeSet<String> {
        tree(self.0.path()).into_iter().map(|path| path.to_str().unwrap().to_owned()).collect()
    }

    fn has_archives(&self) -> bool {
        true
    }
}

#[test]
fn files_are_selected_like_everything_else() {
    conformance::check(&mut Folder(tempfile::tempdir().unwrap()));
}

/// One entry of a random tree.
#[derive(Clone, Debug)]
enum Entry {
    File { age_minutes: u64 },
    Link { to_folder: bool },
    Folder,
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "[a-d]{1,2}(\\.svg|\\.step)?".prop_map(String::into_bytes),
        1 => "archive-[a-c]\\.svg".prop_map(String::into_bytes),
        1 => prop::collection::vec(prop::num::u8::ANY.prop_filter("no name", |byte| !matches!(byte, 0 | b'/')), 1..20)
            .prop_filter("no name", |name| !matches!(name.as_slice(), b"." | b"..")),
    ]
}

fn entry() -> impl Strategy<Value = (Vec<Vec<u8>>, Entry)> {
    let kind = prop_oneof![
        5 => (0_u64..180).prop_map(|age_minutes| Entry::File { age_minutes }),
        1 => any::<bool>().prop_map(|to_folder| Entry::Link { to_folder }),
        1 => Just(Entry::Folder),
    ];
    (prop::collection::vec(name(), 1..6), kind)
}

fn grow(root: &Path, outside: &Path, entries: &[(Vec<Vec<u8>>, Entry)]) {
    for (names, entry) in entries {
        let path = names.iter().fold(root.to_owned(), |path, name| path.join(std::ffi::OsStr::from_bytes(name)));
        // Where a name is taken already, by something else or on the way, the entry is left out.
        if fs::symlink_metadata(&path).is_ok() || behind_link(root, &path) {
            continue;
        }
        if fs::create_dir_all(path.parent().unwrap()).is_err() {
            continue;
        }
        match entry {
            Entry::File { age_minutes } => {
                file(&path, Duration::from_mins(*age_minutes));
            }
            Entry::Link { to_folder: true } => symlink(outside, &path).unwrap(),
            Entry::Link { to_folder: false } => symlink(outside.join("victim.svg"), &path).unwrap(),
            Entry::Folder => fs::create_dir(&path).unwrap(),
        }
    }
}

fn behind_link(root: &Path, path: &Path) -> bool {
    path.ancestors().take_while(|folder| *folder != root).any(Path::is_symlink)
}

/// Says by quite other means what an hour's policy has to remove.
fn oracle(policy: &FilePolicy) -> BTreeSet<PathBuf> {
    let depth = usize::try_from(policy.depth.0).unwrap_or(usize::MAX);
    let mut due = BTreeSet::new();
    for entry in walkdir::WalkDir::new(&policy.root).min_depth(1).max_depth(depth).follow_links(false) {
        let entry = entry.unwrap();
        let name = entry.file_name().as_bytes();
        let is_archive = name.starts_with(b"archive-");
        let kept = !name.ends_with(b".svg") || (is_archive && policy.rule.archives == Archives::Keep);
        if !entry.file_type().is_file() || kept {
            continue;
        }
        let age = now().duration_since(entry.metadata().unwrap().modified().unwrap()).unwrap();
        if age > HOUR {
            due.insert(entry.path().strip_prefix(&policy.root).unwrap().to_owned());
        }
    }
    due
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn exactly_what_the_oracle_names_is_removed(
        entries in prop::collection::vec(entry(), 0..40),
        depth in prop_oneof![Just(Depth::FLAT), Just(Depth(2)), Just(Depth::UNLIMITED)],
        include_archives in any::<bool>(),
        crew in prop::sample::select(&CREWS),
    ) {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let victim = file(&outside.path().join("victim.svg"), 100 * HOUR);
        grow(root.path(), outside.path(), &entries);

        let mut policy = FilePolicy { depth, ..policy(root.path()) };
        policy.patterns = cleanup_core::pattern::Patterns::new(&["*.svg"], &[], &["archive-*.svg"]).unwrap();
        policy.rule.archives = if include_archives { Archives::Judge } else { Archives::Keep };

        let before = tree(root.path());
        let due = oracle(&policy);
        let planned = sweep_with(jobs(crew), &policy, Mode::Plan);
        prop_assert_eq!(&tree(root.path()), &before, "a plan changes nothing");
        let swept = sweep_with(jobs(crew), &policy, Mode::Apply);

        let expected: BTreeSet<PathBuf> = before.difference(&due).cloned().collect();
        prop_assert_eq!(tree(root.path()), expected);
        prop_assert_eq!(planned.counts.due, due.len() as u64);
        prop_assert_eq!(swept.counts.removed, due.len() as u64);
        prop_assert_eq!(planned.counts.matched, swept.counts.matched);
        prop_assert_eq!(planned.counts.scanned, swept.counts.scanned);
        prop_assert_eq!(swept.errors_total, 0);
        prop_assert!(victim.exists());
    }

    #[test]
    fn a_plan_foretells_the_empty_directories(
        entries in prop::collection::vec(entry(), 0..40),
        crew in prop::sample::select(&CREWS),
    ) {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        grow(root.path(), outside.path(), &entries);
        age_folders(root.path());

        let policy = FilePolicy { empty_dirs: EmptyDirs::Judge, ..policy(root.path()) };
        let planned = sweep_with(jobs(crew), &policy, Mode::Plan);
        let swept = sweep_with(jobs(crew), &policy, Mode::Apply);
        prop_assert_eq!(planned.counts.dirs_due, swept.counts.dirs_removed);
        let emptied = walkdir::WalkDir::new(root.path()).min_depth(1).into_iter().filter(|entry| {
            let entry = entry.as_ref().unwrap();
            entry.file_type().is_dir() && fs::read_dir(entry.path()).unwrap().next().is_none()
        });
        prop_assert_eq!(emptied.count(), 0, "no empty directory is left");
    }
}

fn age_folders(root: &Path) {
    for entry in walkdir::WalkDir::new(root).contents_first(true) {
        let entry = entry.unwrap();
        if entry.file_type().is_dir() {
            set_modified(entry.path(), now() - 2 * HOUR);
        }
    }
}

#[test]
fn an_empty_directory_is_judged_by_its_age_from_before_the_sweep() {
    let root = tempfile::tempdir().unwrap();
    file(&root.path().join("old/due"), 2 * HOUR);
    file(&root.path().join("young/due"), 2 * HOUR);
    set_modified(&root.path().join("old"), now() - 2 * HOUR);
    set_modified(&root.path().join("young"), now() - HOUR / 2);
    let tally = apply(&FilePolicy { empty_dirs: EmptyDirs::Judge, ..policy(root.path()) });
    assert_eq!((tally.counts.removed, tally.counts.dirs_due, tally.counts.dirs_removed), (2, 1, 1));
    assert_eq!(tree(root.path()), BTreeSet::from(["young".into()]));
    assert!(root.path().exists(), "the root itself is never a candidate");
}

#[test]
fn an_excluded_folder_is_not_entered_and_our_own_never() {
    let root = tempfile::tempdir().unwrap();
    file(&root.path().join("keep/due"), 2 * HOUR);
    file(&root.path().join("deep/.cleanup/state.db"), 2 * HOUR);
    file(&root.path().join("deep/due"), 2 * HOUR);
    let mut policy = policy(root.path());
    policy.patterns = cleanup_core::pattern::Patterns::new(&["*"], &["keep"], &[]).unwrap();
    assert_eq!(apply(&policy).counts.removed, 1);
    assert!(root.path().join("keep/due").exists());
    assert!(root.path().join("deep/.cleanup/state.db").exists());
}

#[test]
fn every_stamp_has_its_own_meaning() {
    let root = tempfile::tempdir().unwrap();
    file(&root.path().join("a"), 2 * HOUR);
    // Written long ago as far as mtime goes; everything else about the file happened just now, by the real clock,
    // which is years before the test's: so all of it is old, and `newest` is mtime.
    for (stamp, due) in
        [(StampKind::Modified, 1), (StampKind::Changed, 1), (StampKind::Accessed, 1), (StampKind::Newest, 1)]
    {
        assert_eq!(plan(&FilePolicy { stamp, ..policy(root.path()) }).counts.due, due, "{stamp:?}");
    }
    let fresh = file(&root.path().join("a"), Duration::ZERO);
    assert_eq!(plan(&FilePolicy { stamp: StampKind::Newest, ..policy(root.path()) }).counts.due, 0);
    assert_eq!(plan(&FilePolicy { stamp: StampKind::Changed, ..policy(root.path()) }).counts.due, 1);
    fs::remove_file(fresh).unwrap();
}

#[test]
fn more_names_than_one_batch_holds_are_all_swept() {
    for crew in CREWS {
        let root = tempfile::tempdir().unwrap();
        for index in 0..20_000 {
            let path = root.path().join(format!("file-{index}"));
            File::create(&path).unwrap();
            set_modified(&path, now() - if index % 2 == 0 { 2 * HOUR } else { HOUR / 2 });
        }
        let tally = sweep_with(jobs(crew), &policy(root.path()), Mode::Apply);
        assert_eq!((tally.counts.scanned, tally.counts.removed), (20_000, 10_000), "{crew} workers");
        assert_eq!(tree(root.path()).len(), 10_000, "{crew} workers");
    }
}
