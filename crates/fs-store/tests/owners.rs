//! A file belongs to one policy: real sweeps of policies whose roots are the same, or lie in each other.

#![allow(clippy::unwrap_used, reason = "tests may")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cleanup_core::index::{Entry, Index};
use cleanup_core::moment::Moment;
use cleanup_core::owner::{Claimant, Naming};
use cleanup_core::pattern::Patterns;
use cleanup_core::policy::{Depth, Effect, EmptyDirs, FilePolicy, Policy, Unit};
use cleanup_core::report::{Counts, Tally};
use cleanup_core::sweep::{Judged, Mode, Observer, sweep};
use cleanup_fs_store::{Classified, FileId, Met, QuarantineRun, Roots, Same, Store, Wanted};
use common::{HOUR, file, run, tree};
use proptest::prelude::*;

const NOW: Moment = Moment::from_unix(2_000_000_000, 0);

/// A policy for everything at any depth, of this name.
fn policy(name: &str, root: &Path, include: &[&str], exclude: &[&str]) -> FilePolicy {
    let base = common::policy(root);
    FilePolicy {
        rule: Policy { name: name.to_owned(), ..base.rule.clone() },
        patterns: Patterns::new(include, exclude, &[]).unwrap(),
        ..base
    }
}

fn opened<'a>(policy: &'a FilePolicy, all: &[FilePolicy]) -> Store<'a> {
    let claimants = all.iter().map(Claimant::from).collect();
    let store = Store::open(policy, Vec::new()).unwrap().with_rivals(Arc::new(Roots::resolve(claimants)));
    match policy.unit {
        Unit::File => store,
        Unit::Directory => store.into_quarantine(Arc::new(QuarantineRun::new("R".to_owned())), NOW).unwrap(),
    }
}

fn swept(policy: &FilePolicy, all: &[FilePolicy], mode: Mode) -> Tally {
    let store = opened(policy, all);
    let tally = sweep(&store, &policy.rule, &run(), mode, &());
    store.rest_quarantine();
    tally
}

/// What a sweep of one policy counts that both a plan and a run count.
fn planned(counts: &Counts) -> Counts {
    Counts { removed: 0, removed_bytes: 0, bytes_freed: 0, dirs_removed: 0, ..*counts }
}

/// Plans, then sweeps one policy beside all of them, and holds both to the same counts.
fn apply(policy: &FilePolicy, all: &[FilePolicy]) -> Counts {
    let plan = swept(policy, all, Mode::Plan).counts;
    let swept = swept(policy, all, Mode::Apply);
    assert_eq!((planned(&swept.counts), swept.errors_total), (plan, 0), "{}", policy.rule.name);
    assert_eq!((swept.counts.removed, swept.counts.dirs_removed), (plan.due, plan.dirs_due));
    swept.counts
}

/// The files and folders below a root, but for those of the quarantine.
fn left(root: &Path) -> Vec<String> {
    let mut paths: Vec<String> = tree(root).into_iter().map(|path| path.to_str().unwrap().to_owned()).collect();
    paths.retain(|path| !path.contains(".cleanup"));
    paths
}

struct World(tempfile::TempDir);

impl World {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    /// Files three hours old.
    fn files(&self, paths: &[&str]) {
        for path in paths {
            file(&self.path(path), 3 * HOUR);
        }
    }

    /// Sets folders to the same age, the deepest first.
    fn age_folders(&self, root: &str) {
        let folders = tree(&self.path(root)).into_iter().rev().map(|path| self.path(root).join(path));
        for folder in folders.filter(|path| path.is_dir()) {
            common::set_modified(&folder, common::now() - 3 * HOUR);
        }
    }
}

#[test]
fn what_an_inner_policy_names_is_not_taken_by_an_outer_one() {
    for (word, inner_exclude, enabled, effect) in [
        ("included", &[][..], true, Effect::Enforce),
        ("excluded", &["*.log"], true, Effect::Enforce),
        ("disabled", &[], false, Effect::Enforce),
        ("observing", &[], true, Effect::Observe),
    ] {
        let world = World::new();
        world.files(&["r/a.log", "r/long/a.log", "r/long/b.tmp", "r/long/deep/a.log", "r/longer/a.log"]);
        let outer = policy("outer", &world.path("r"), &["*"], &[]);
        let inner = policy("inner", &world.path("r/long"), &["*.log"], inner_exclude);
        let all = [outer.clone(), FilePolicy { enabled, effect, ..inner }];
        let counts = apply(&outer, &all);
        assert_eq!((counts.matched, counts.removed, counts.owned_by_others), (3, 3, 2), "{word}");
        let kept = ["long", "long/a.log", "long/deep", "long/deep/a.log", "longer"];
        assert_eq!(left(&world.path("r")), kept, "{word}");
    }
}

#[test]
fn three_levels_pass_on_what_they_do_not_name_and_nothing_below_their_depth() {
    let world = World::new();
    world.files(&[
        "r/a",
        "r/m/a.m",
        "r/m/a.i",
        "r/m/i/a.i",
        "r/m/i/a.m",
        "r/m/i/a",
        "r/m/i/deep/a.i",
        "r/m/i/deep/a.m",
    ]);
    let outer = policy("outer", &world.path("r"), &["*"], &[]);
    let middle = policy("middle", &world.path("r/m"), &["*.m"], &[]);
    let inner = FilePolicy { depth: Depth::FLAT, ..policy("inner", &world.path("r/m/i"), &["*.i"], &[]) };
    let all = [inner.clone(), outer.clone(), middle.clone()];
    assert_eq!(apply(&outer, &all).owned_by_others, 4);
    let kept = ["m", "m/a.m", "m/i", "m/i/a.i", "m/i/a.m", "m/i/deep", "m/i/deep/a.m"];
    assert_eq!(left(&world.path("r")), kept);
    assert_eq!(apply(&middle, &all).removed, 3);
    assert_eq!(left(&world.path("r")), ["m", "m/i", "m/i/a.i", "m/i/deep"]);
    assert_eq!(apply(&inner, &all).removed, 1);
}

#[test]
fn two_policies_with_one_root_dispute_what_both_name_by_whatever_path_they_have_it() {
    for way in ["r", "way/r", "way/way/r"] {
        let world = World::new();
        world.files(&["r/a.log", "r/b.tmp", "r/deep/a.log"]);
        symlink(".", world.path("way")).unwrap();
        let a = policy("a", &world.path("r"), &["*"], &[]);
        let b = policy("b", &world.path(way), &["*.log"], &[]);
        let all = [a.clone(), b.clone()];
        let store = opened(&b, &all);
        assert_eq!(store.classify(b"a.log"), Classified::Disputed { policy: "a".to_owned() });
        assert_eq!(store.peers().collect::<Vec<_>>(), [("a", true)]);
        let counts = apply(&a, &all);
        assert_eq!((counts.removed, counts.kept.disputed, counts.matched), (1, 2, 3), "{way}");
        let counts = apply(&b, &all);
        assert_eq!((counts.removed, counts.kept.disputed), (0, 2), "{way}");
        // The way out.
        let a = policy("a", &world.path("r"), &["*"], &["*.log"]);
        let all = [a.clone(), b.clone()];
        assert_eq!((apply(&a, &all).matched, apply(&b, &all).removed), (0, 2), "{way}");
    }
}

#[test]
fn links_on_the_way_to_a_root_are_resolved_anew_for_each_run_and_a_missing_root_owns_nothing() {
    let world = World::new();
    world.files(&["r/one/in/a", "r/two/in/a"]);
    symlink("r/one", world.path("current")).unwrap();
    let outer = policy("outer", &world.path("r"), &["*"], &[]);
    let inner = policy("inner", &world.path("current/in"), &["*"], &[]);
    let missing = policy("missing", &world.path("nowhere/r"), &["*"], &[]);
    let all = [outer.clone(), inner, missing];
    let due = || swept(&outer, &all, Mode::Plan).counts.due;
    assert_eq!(due(), 1);
    fs::remove_file(world.path("current")).unwrap();
    assert_eq!(due(), 2, "its root is missing");
    symlink("r/two", world.path("current")).unwrap();
    assert_eq!(apply(&outer, &all).removed, 1);
    assert!(world.path("r/two/in/a").exists() && !world.path("r/one/in/a").exists());
}

/// Puts another folder in the place of an inner root while the outer policy is swept.
struct Replacing<'a>(&'a World);

impl Observer for Replacing<'_> {
    fn judged(&self, _: &Judged<'_>) {
        let _ = fs::rename(self.0.path("r/z/in"), self.0.path("moved"));
        self.0.files(&["r/z/in/other"]);
    }
}

#[test]
fn a_root_that_is_replaced_or_made_during_a_run_is_its_policys_all_the_same() {
    for is_there in [true, false] {
        let world = World::new();
        world.files(&["r/a", "r/z/b"]);
        if is_there {
            world.files(&["r/z/in/a"]);
        }
        let outer = policy("outer", &world.path("r"), &["*"], &[]);
        let all = [outer.clone(), policy("inner", &world.path("r/z/in"), &["*"], &[])];
        let store = opened(&outer, &all).with_jobs(common::jobs(1));
        sweep(&store, &outer.rule, &run(), Mode::Apply, &Replacing(&world));
        assert!(world.path("r/z/in/other").exists(), "{is_there}");
    }
}

#[test]
fn what_is_asked_for_by_name_is_asked_for_in_vain_when_it_is_anothers() {
    let world = World::new();
    world.files(&["r/a", "r/in/a", "r/in/deep/a"]);
    fs::create_dir_all(world.path("r/in/empty")).unwrap();
    world.age_folders("r");
    let outer = FilePolicy { empty_dirs: EmptyDirs::Judge, ..policy("outer", &world.path("r"), &["*"], &[]) };
    let inner = policy("inner", &world.path("r/in"), &["*"], &["deep"]);
    // A plan that was made when there was no inner policy.
    let plan = Planned::default();
    let alone = Store::open(&outer, Vec::new()).unwrap();
    sweep(&alone, &outer.rule, &run(), Mode::Plan, &plan);
    let plan = plan.0.into_inner().unwrap();
    assert_eq!(plan.len(), 6);

    let all = [outer.clone(), inner];
    let store = opened(&outer, &all);
    let wanted = plan.iter().map(|(path, same)| Wanted { path, same: Some(*same) }).collect();
    let counts = sweep(&store.select_same(wanted), &outer.rule, &run(), Mode::Apply, &()).counts;
    assert_eq!((counts.removed, counts.owned_by_others, counts.dirs_removed), (1, 2, 0));
    let paths: [&[u8]; 2] = [b"in/a", b"in/deep/a"];
    assert_eq!(sweep(&store.select(&paths), &outer.rule, &run(), Mode::Apply, &()).counts.removed, 0);
    let others = |naming| Classified::Others { policy: "inner".to_owned(), naming };
    assert_eq!((store.classify(paths[0]), store.classify(paths[1])), (others(Naming::Takes), others(Naming::Spares)));
    assert_eq!(store.met(), [Met { policy: "inner".to_owned(), owned: 4, disputed: 0 }]);
    assert_eq!(left(&world.path("r")), ["in", "in/a", "in/deep", "in/deep/a", "in/empty"]);
}

#[derive(Default)]
struct Planned(std::sync::Mutex<Vec<(Vec<u8>, Same)>>);

impl Observer for Planned {
    fn judged(&self, judged: &Judged<'_>) {
        use cleanup_core::candidate::Class;
        let (candidate, identity) = (judged.candidate, judged.candidate.identity.unwrap());
        let same = match candidate.class {
            Class::EmptyDirectory => Same::EmptyDirectory { identity, stamp: candidate.stamp },
            Class::Ordinary | Class::Archive => Same::File(identity),
        };
        self.0.lock().unwrap().push((candidate.name.to_bytes(), same));
    }
}

#[test]
fn a_folder_that_is_or_holds_anothers_root_is_never_empty() {
    let world = World::new();
    world.files(&["r/x/y/a", "r/flat/deep/a"]);
    fs::create_dir_all(world.path("r/hold/root")).unwrap();
    fs::create_dir_all(world.path("r/hold/empty")).unwrap();
    world.age_folders("r");
    let outer = FilePolicy { empty_dirs: EmptyDirs::Judge, ..policy("outer", &world.path("r"), &["*"], &[]) };
    let inner = policy("inner", &world.path("r/hold/root"), &["*"], &[]);
    let flat = FilePolicy { depth: Depth::FLAT, ..policy("flat", &world.path("r/flat"), &["*"], &[]) };
    let counts = apply(&outer, &[outer.clone(), inner, flat]);
    assert_eq!((counts.removed, counts.dirs_removed), (2, 4));
    assert_eq!(left(&world.path("r")), ["flat", "hold", "hold/root"]);
}

#[test]
fn a_whole_directory_stays_for_a_root_in_it_and_for_files_that_are_disputed() {
    let world = World::new();
    world.files(&["r/root/a", "r/holds/deep/root/a", "r/shared/deep/a.log", "r/spared/a.log", "r/free/a", "r/single"]);
    let units =
        FilePolicy { unit: Unit::Directory, depth: Depth::FLAT, ..policy("units", &world.path("r"), &["*"], &[]) };
    let all = [
        units.clone(),
        policy("in", &world.path("r/root"), &["none"], &[]),
        policy("deep", &world.path("r/holds/deep/root"), &["none"], &[]),
        policy("logs", &world.path("r"), &["*.log"], &["spared"]),
    ];
    let store = opened(&units, &all);
    assert_eq!(store.classify(b"holds"), Classified::HoldsRoot { policy: "deep".to_owned() });
    assert_eq!(store.classify(b"root"), Classified::HoldsRoot { policy: "in".to_owned() });
    assert_eq!(store.classify(b"shared"), Classified::Disputed { policy: "logs".to_owned() });
    assert_eq!(store.classify(b"shared/deep/a.log"), Classified::Disputed { policy: "logs".to_owned() });
    drop(store);
    let counts = apply(&units, &all);
    assert_eq!((counts.removed, counts.owned_by_others, counts.kept.disputed), (2, 2, 1));
    let logs = apply(&all[3], &all);
    assert_eq!((logs.removed, logs.kept.disputed), (0, 1));
    let kept = ["holds", "holds/deep", "holds/deep/root", "holds/deep/root/a", "root", "root/a", "shared"];
    assert_eq!(left(&world.path("r"))[..7], kept);
}

#[test]
fn all_in_a_directory_that_an_inner_policy_for_directories_names_is_that_policys() {
    let world = World::new();
    world.files(&["r/u/job-1/deep/a", "r/u/job-1/b", "r/u/other/a", "r/u/single"]);
    fs::create_dir_all(world.path("r/u/job-2/empty")).unwrap();
    world.age_folders("r");
    let outer = FilePolicy { empty_dirs: EmptyDirs::Judge, ..policy("outer", &world.path("r"), &["*"], &[]) };
    let units = policy("units", &world.path("r/u"), &["job-*"], &[]);
    let units = FilePolicy { unit: Unit::Directory, depth: Depth::FLAT, ..units };
    let all = [outer.clone(), units.clone()];
    let counts = apply(&outer, &all);
    assert_eq!((counts.removed, counts.owned_by_others, counts.dirs_removed), (2, 2, 1));
    assert_eq!(apply(&units, &all).removed, 2);
    assert_eq!(left(&world.path("r")), ["u"]);
}

#[test]
fn the_index_of_a_policy_counts_no_file_of_another() {
    let world = World::new();
    file(&world.path("r/in/young"), HOUR / 2);
    file(&world.path("r/young"), HOUR / 2);
    let outer = policy("outer", &world.path("r"), &["*"], &[]);
    // Made when there was no inner policy.
    let index = Indexing(std::sync::Mutex::new(Vec::new()));
    let alone = Store::open(&outer, Vec::new()).unwrap();
    sweep(&alone, &outer.rule, &run(), Mode::Plan, &index);
    let entries = index.0.into_inner().unwrap();
    assert_eq!(entries.len(), 2);
    let mut index_of_before = Index::with_room_for(2, 7, NOW);
    for entry in entries {
        index_of_before.add(entry);
    }
    let all = [outer.clone(), policy("inner", &world.path("r/in"), &["*"], &[])];
    let store = opened(&outer, &all).with_index(Some(Arc::new(index_of_before)));
    let counts = sweep(&store, &outer.rule, &run(), Mode::Apply, &()).counts;
    assert_eq!((counts.indexed, counts.kept.within_limits, counts.owned_by_others), (1, 1, 1));
}

struct Indexing(std::sync::Mutex<Vec<Entry>>);

impl Observer for Indexing {
    fn judged(&self, judged: &Judged<'_>) {
        self.0.lock().unwrap().extend(Entry::of(judged, 7));
    }
}

#[test]
fn a_folder_is_known_as_a_root_also_by_which_folder_it_is() {
    let world = World::new();
    world.files(&["r/in/a"]);
    let outer = policy("outer", &world.path("r"), &["*"], &[]);
    let all = [outer.clone(), policy("inner", &world.path("r/in"), &["*"], &[])];
    let store = opened(&outer, &all);
    assert!(FileId::of(&world.path("r/in")).is_some());
    // Found by path when the store was opened; somewhere else by the time it is walked.
    fs::rename(world.path("r/in"), world.path("r/elsewhere")).unwrap();
    let counts = sweep(&store, &outer.rule, &run(), Mode::Apply, &()).counts;
    assert_eq!((counts.removed, counts.owned_by_others), (0, 1));
}

/// The roots that random policies have, and the folders of random files.
const ROOTS: [&str; 5] = [".", "a", "a/b", "a/b/a", "b"];

fn random_policy() -> impl Strategy<Value = (&'static str, Vec<&'static str>, Vec<&'static str>, u32, bool)> {
    let pattern = || prop::sample::select(&["*", "a*", "*b", "a/b", "**/b", "?", "ab"][..]);
    let depth = prop::sample::select(&[1, 2, u32::MAX][..]);
    let lists = (prop::collection::vec(pattern(), 1..3), prop::collection::vec(pattern(), 0..2));
    (prop::sample::select(&ROOTS[..]), lists, depth, any::<bool>())
        .prop_map(|(root, (include, exclude), depth, empty)| (root, include, exclude, depth, empty))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn sweeps_in_any_order_take_each_file_for_one_policy_alone(
        rules in prop::collection::vec(random_policy(), 1..5),
    ) {
        let world = World::new();
        let mut paths = BTreeSet::new();
        for folder in ["", "a/", "ab/", "a/b/", "a/c/", "a/b/a/", "a/b/a/b/", "b/", "b/b/"] {
            paths.extend(["x", "b.f", "ab.f", "a.f"].map(|name| format!("r/{folder}{name}")));
        }
        let names = ["p0", "p1", "p2", "p3", "p4"];
        let all: Vec<FilePolicy> = rules.iter().zip(names).map(|((root, include, exclude, depth, empty), name)| {
            let root = world.path("r").join(root);
            let empty_dirs = if *empty { EmptyDirs::Judge } else { EmptyDirs::Keep };
            FilePolicy { depth: Depth(*depth), empty_dirs, ..policy(name, &root, include, exclude) }
        }).collect();
        let mut taken: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (policy, name) in all.iter().zip(names) {
            for path in &paths {
                file(&world.path(path), 3 * HOUR);
            }
            let before = swept(policy, &all, Mode::Plan).counts;
            let after = swept(policy, &all, Mode::Apply).counts;
            prop_assert_eq!(before.due, after.removed);
            for path in paths.iter().filter(|path| !world.path(path).exists()) {
                taken.entry(path).or_default().push(name);
                let path = &world.path(path);
                // Nobody with a deeper root has anything to say of it.
                let is_deeper = |other: &&FilePolicy| {
                    other.root.components().count() > policy.root.components().count() && path.starts_with(&other.root)
                        && path.strip_prefix(&other.root).unwrap().components().count() <= other.depth.0 as usize
                };
                for other in all.iter().filter(is_deeper) {
                    file(path, 3 * HOUR);
                    let alone = Store::open(other, Vec::new()).unwrap();
                    let look = alone.classify(path.strip_prefix(&other.root).unwrap().to_str().unwrap().as_bytes());
                    prop_assert!(matches!(look, Classified::NotNamed | Classified::TooDeep(_)), "{:?} {:?}", path, look);
                    fs::remove_file(path).unwrap();
                }
            }
        }
        for (path, policies) in taken {
            prop_assert_eq!(policies.len(), 1, "{} by {:?}", path, policies);
        }
    }
}
