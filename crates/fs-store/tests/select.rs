//! What is selected: the suite that all stores run, and an independent oracle on random trees.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod common;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use cleanup_core::candidate::Name;
use cleanup_core::conformance::{self, Age, Fixture, Item};
use cleanup_core::judge::{Run, judge};
use cleanup_core::moment::Moment;
use cleanup_core::pattern::{Dotfiles, Patterns};
use cleanup_core::policy::{Archives, Depth, EmptyDirs, FilePolicy, Policy, StampKind};
use cleanup_core::report::Tally;
use cleanup_core::sweep::{Mode, sweep};
use cleanup_core::verdict::{Keep, Verdict};
use cleanup_fs_store::{Classified, Store};
use common::{HOUR, POOLS, apply, file, jobs, now, plan, policy, quarantining, run, set_modified, sweep_with, tree};
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
        let below = entry.path().strip_prefix(&policy.root).unwrap();
        let is_hidden = below.components().any(|component| component.as_os_str().as_bytes().starts_with(b"."));
        if !entry.file_type().is_file() || kept || is_hidden {
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
        workers in prop::sample::select(&POOLS),
        is_noted in any::<bool>(),
    ) {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let victim = file(&outside.path().join("victim.svg"), 100 * HOUR);
        grow(root.path(), outside.path(), &entries);

        let mut policy = FilePolicy { depth, ..policy(root.path()) };
        policy = if is_noted { quarantining(policy) } else { policy };
        policy.patterns = cleanup_core::pattern::Patterns::new(&["*.svg"], &[], &["archive-*.svg"]).unwrap();
        policy.rule.archives = if include_archives { Archives::Judge } else { Archives::Keep };

        let before = tree(root.path());
        let due = oracle(&policy);
        let planned = sweep_with(jobs(workers), &policy, Mode::Plan);
        prop_assert_eq!(&tree(root.path()), &before, "a plan changes nothing");
        let swept = sweep_with(jobs(workers), &policy, Mode::Apply);

        let expected: BTreeSet<PathBuf> = before.difference(&due).cloned().collect();
        prop_assert_eq!(tree(root.path()), expected);
        prop_assert_eq!(planned.counts.due, due.len() as u64);
        prop_assert_eq!(swept.counts.removed + swept.counts.quarantined, due.len() as u64);
        prop_assert_eq!(planned.counts.matched, swept.counts.matched);
        prop_assert_eq!(planned.counts.scanned, swept.counts.scanned);
        prop_assert_eq!(swept.errors_total, 0);
        prop_assert!(victim.exists());
    }

    #[test]
    fn a_plan_foretells_the_empty_directories(
        entries in prop::collection::vec(entry(), 0..40),
        workers in prop::sample::select(&POOLS),
        is_noted in any::<bool>(),
    ) {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        grow(root.path(), outside.path(), &entries);
        age_folders(root.path());

        let mut policy = FilePolicy { empty_dirs: EmptyDirs::Judge, ..policy(root.path()) };
        policy.patterns = policy.patterns.with_dotfiles(Dotfiles::Match);
        policy = if is_noted { quarantining(policy) } else { policy };
        let planned = sweep_with(jobs(workers), &policy, Mode::Plan);
        let swept = sweep_with(jobs(workers), &policy, Mode::Apply);
        prop_assert_eq!(planned.counts.dirs_due, swept.counts.dirs_removed);
        let walk = walkdir::WalkDir::new(root.path()).min_depth(1).into_iter();
        let walk = walk.filter_entry(|entry| entry.file_name() != ".cleanup");
        let emptied = walk.filter(|entry| {
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
    for workers in POOLS {
        let root = tempfile::tempdir().unwrap();
        for index in 0..20_000 {
            let path = root.path().join(format!("file-{index}"));
            File::create(&path).unwrap();
            set_modified(&path, now() - if index % 2 == 0 { 2 * HOUR } else { HOUR / 2 });
        }
        let tally = sweep_with(jobs(workers), &policy(root.path()), Mode::Apply);
        assert_eq!((tally.counts.scanned, tally.counts.removed), (20_000, 10_000), "{workers} workers");
        assert_eq!(tree(root.path()).len(), 10_000, "{workers} workers");
    }
}

/// What is left of a tree in which a dot begins some names, and how many files were left for that reason.
fn left_of_dotfiles(include: &[&str], dotfiles: Dotfiles, workers: usize) -> (Vec<String>, u64) {
    let root = tempfile::tempdir().unwrap();
    for path in ["a", ".gitkeep", ".git/config", ".cache-1/x", "sub/.env", "sub/b", "other/c", ".x.keep"] {
        file(&root.path().join(path), 2 * HOUR);
    }
    fs::create_dir(root.path().join(".empty")).unwrap();
    let mut policy = FilePolicy { empty_dirs: EmptyDirs::Judge, ..policy(root.path()) };
    policy.patterns = Patterns::new(include, &[], &["*.keep"]).unwrap().with_dotfiles(dotfiles);
    let planned = sweep_with(jobs(workers), &policy, Mode::Plan);
    let tally = sweep_with(jobs(workers), &policy, Mode::Apply);
    assert_eq!(tally.errors_total, 0);
    assert_eq!((planned.counts.due, planned.counts.dotfiles), (tally.counts.removed, tally.counts.dotfiles));
    let left = tree(root.path()).into_iter().map(|path| path.to_str().unwrap().to_owned()).collect();
    (left, tally.counts.dotfiles)
}

#[test]
fn wildcards_leave_dotfiles_and_hidden_folders_and_count_them() {
    for workers in POOLS {
        let all = [".cache-1", ".cache-1/x", ".empty", ".git", ".git/config", ".gitkeep", ".x.keep", "sub", "sub/.env"];
        assert_eq!(left_of_dotfiles(&["*"], Dotfiles::Leave, workers), (all.map(str::to_owned).to_vec(), 5));
        assert_eq!(left_of_dotfiles(&["**"], Dotfiles::Leave, workers), (all.map(str::to_owned).to_vec(), 5));
        let named = left_of_dotfiles(&["*", ".cache-*/*", ".gitk*"], Dotfiles::Leave, workers);
        let expected = [".empty", ".git", ".git/config", ".x.keep", "sub", "sub/.env"];
        assert_eq!(named, (expected.map(str::to_owned).to_vec(), 3), "a pattern that names the dot");
        assert_eq!(left_of_dotfiles(&["*"], Dotfiles::Match, workers), (vec![".x.keep".to_owned()], 0));
    }
}

#[test]
fn a_look_says_that_a_dot_keeps_a_file() {
    let root = tempfile::tempdir().unwrap();
    for path in [".gitkeep", ".git/config", "a", ".x"] {
        file(&root.path().join(path), 2 * HOUR);
    }
    let mut policy = policy(root.path());
    policy.patterns = Patterns::new(&["*", ".x"], &[], &[]).unwrap();
    let store = Store::open(&policy, Vec::new()).unwrap();
    for path in [".gitkeep", ".git/config"] {
        assert_eq!(store.classify(path.as_bytes()), Classified::Dotfile, "{path}");
        assert!(store.classify(path.as_bytes()).to_string().contains("`dotfiles = true`"));
    }
    for path in ["a", ".x"] {
        assert!(matches!(store.classify(path.as_bytes()), Classified::Candidate(_)), "{path}");
    }
}

#[test]
fn a_folder_with_a_slash_is_protected_with_all_that_is_in_it() {
    let swept = |exclude: &[&str], archives: &[&str], judged| {
        let root = tempfile::tempdir().unwrap();
        for path in ["keep/a", "keep/deep/b", "x/keep/c", "x/d", "keeper"] {
            file(&root.path().join(path), 2 * HOUR);
        }
        fs::create_dir(root.path().join("keep/empty")).unwrap();
        let mut policy = FilePolicy { empty_dirs: EmptyDirs::Judge, ..policy(root.path()) };
        policy.rule.archives = judged;
        policy.patterns = Patterns::new(&["*"], exclude, archives).unwrap();
        assert_eq!(apply(&policy).errors_total, 0);
        tree(root.path()).into_iter().map(|path| path.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let kept = ["keep", "keep/a", "keep/deep", "keep/deep/b", "keep/empty", "x", "x/keep", "x/keep/c"];
    for pattern in ["keep/", "**/keep/"] {
        assert_eq!(swept(&[pattern], &[], Archives::Keep), kept, "{pattern}");
        assert_eq!(swept(&[], &[pattern], Archives::Keep), kept, "{pattern}");
        assert_eq!(swept(&[], &[pattern], Archives::Judge), [""; 0], "{pattern}");
    }
}

/// The moment at which a file was last changed in any way.
fn changed(path: &Path) -> Moment {
    let meta = fs::symlink_metadata(path).unwrap();
    Moment::from_unix(meta.ctime(), u32::try_from(meta.ctime_nsec()).unwrap())
}

fn settling(root: &Path) -> FilePolicy {
    let mut policy = policy(root);
    policy.rule.min_age = HOUR;
    policy
}

#[test]
fn what_has_just_arrived_is_left_however_old_its_stamps_are() {
    let root = tempfile::tempdir().unwrap();
    let old = file(&root.path().join("copied"), Duration::ZERO);
    for (name, at) in [("copied", SystemTime::now() - 9600 * HOUR), ("partial", SystemTime::UNIX_EPOCH)] {
        file(&root.path().join(name), Duration::ZERO);
        set_modified(&root.path().join(name), at);
    }
    let folder = root.path().join("folder");
    fs::create_dir(&folder).unwrap();
    set_modified(&folder, SystemTime::UNIX_EPOCH);
    let arrived = changed(&old).max(changed(&folder)).max(changed(&root.path().join("partial")));

    for stamp in [StampKind::Modified, StampKind::Changed, StampKind::Born] {
        let policy = FilePolicy { stamp, empty_dirs: EmptyDirs::Judge, ..settling(root.path()) };
        let store = Store::open(&policy, Vec::new()).unwrap();
        let at = |now| sweep(&store, &policy.rule, &Run::at(now), Mode::Plan, &()).counts;
        let young = at(arrived);
        assert_eq!((young.due, young.dirs_due, young.kept.settling), (0, 0, 2), "{stamp:?}");
        let settled = at(arrived.plus(HOUR + Duration::from_nanos(1)));
        assert_eq!((settled.due, settled.dirs_due, settled.kept.settling), (2, 1, 0), "{stamp:?}");
        let Classified::Candidate(found) = store.classify(b"partial") else { panic!("a candidate") };
        let verdict = judge(&policy.rule, &Run::at(arrived), &found.candidate(Name { folder: b"", last: b"partial" }));
        assert!(matches!(verdict, Verdict::Keep(Keep::Settling { .. })), "{verdict}");
        let picked = store.select(&[b"copied", b"partial"]);
        let picked = sweep(&picked, &policy.rule, &Run::at(arrived), Mode::Apply, &()).counts;
        assert_eq!((picked.removed, picked.kept.settling), (0, 2), "deadlines and plans judge alike");
    }
    fs::set_permissions(&old, fs::Permissions::from_mode(0o600)).unwrap();
    let policy = settling(root.path());
    let later = Run::at(changed(&old).plus(Duration::from_mins(59)));
    let swept = sweep(&Store::open(&policy, Vec::new()).unwrap(), &policy.rule, &later, Mode::Plan, &());
    assert!(swept.counts.kept.settling > 0, "chmod delays it");
}

#[test]
fn all_names_of_a_file_go_in_one_sweep_with_min_age_too() {
    let root = tempfile::tempdir().unwrap();
    let first = file(&root.path().join("a/x"), Duration::ZERO);
    set_modified(&first, SystemTime::UNIX_EPOCH);
    for folder in ["b", "c", "d"] {
        fs::create_dir(root.path().join(folder)).unwrap();
        fs::hard_link(&first, root.path().join(folder).join("x")).unwrap();
    }
    let arrived = changed(&first);
    // The kernel's clock has to go on, or the first removal would leave no trace in `ctime`.
    let ticked = (0..1_000_000).any(|_| changed(&file(&root.path().join("tick"), Duration::ZERO)) > arrived);
    assert!(ticked);
    fs::remove_file(root.path().join("tick")).unwrap();

    let policy = settling(root.path());
    let run = Run::at(arrived.plus(HOUR));
    let store = Store::open(&policy, Vec::new()).unwrap().with_jobs(jobs(1));
    let counts = sweep(&store, &policy.rule, &run, Mode::Apply, &()).counts;
    assert_eq!((counts.removed, counts.kept.settling), (4, 0));
}
