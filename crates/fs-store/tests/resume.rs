//! Walks that are stopped and gone on with: however small the steps are, one after the other they come all the way
//! through, whatever happens to the tree between them.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod common;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};
use std::thread::ThreadId;
use std::time::Duration;

use cleanup_core::candidate::Class;
use cleanup_core::pattern::Patterns;
use cleanup_core::policy::{Depth, EmptyDirs, FilePolicy, Unit};
use cleanup_core::report::Tally;
use cleanup_core::store::Seen;
use cleanup_core::sweep::{Judged, Mode, Observer, sweep};
use cleanup_fs_store::{Place, ResumePoint, Store};
use common::{HOUR, POOLS, file, jobs, opened, policy, quarantining, run};
use proptest::prelude::*;

/// Wants to stop after so many candidates, but not before anything was looked at: as `max_runtime` does.
#[derive(Default)]
struct Budget {
    most: usize,
    has_seen: AtomicBool,
    offered: Mutex<Vec<Vec<u8>>>,
}

impl Observer for Budget {
    fn judged(&self, judged: &Judged<'_>) {
        if judged.candidate.class != Class::EmptyDirectory {
            self.offered.lock().unwrap().push(judged.candidate.name.to_bytes());
        }
    }

    fn seen(&self, _: Seen) {
        self.has_seen.store(true, Ordering::Relaxed);
    }

    fn wants_to_stop(&self) -> bool {
        self.has_seen.load(Ordering::Relaxed) && self.offered.lock().unwrap().len() >= self.most
    }
}

/// One of a series of walks.
struct Went {
    offered: Vec<Vec<u8>>,
    tally: Tally,
    next: Vec<ResumePoint>,
}

fn go(policy: &FilePolicy, workers: usize, mode: Mode, most: usize, begin: Vec<ResumePoint>) -> Went {
    let store = opened(policy, jobs(workers));
    let budget = Budget { most, ..Budget::default() };
    let leg = store.resume(begin);
    let tally = sweep(&leg, &policy.rule, &run(), mode, &budget);
    let (next, offered) = (leg.stopped_at(), budget.offered.into_inner().unwrap());
    assert!(tally.stopped.is_some() || next.is_empty(), "{next:?}");
    Went { offered, tally, next }
}

/// How often each file was offered in a series of walks that came to its end.
fn series(
    policy: &FilePolicy,
    workers: usize,
    most: usize,
    limit: usize,
    mut between: impl FnMut(usize, &[ResumePoint]),
) -> BTreeMap<Vec<u8>, u32> {
    let mut offered = BTreeMap::new();
    let mut begin = Vec::new();
    for number in 0.. {
        assert!(number < limit, "{workers} workers, {most} at a time: no end after {number} walks; next is {begin:?}");
        let went = go(policy, workers, Mode::Plan, most, begin);
        assert_eq!(went.tally.errors, [], "{workers} workers, {most} at a time");
        for path in went.offered {
            *offered.entry(path).or_default() += 1;
        }
        begin = went.next;
        if begin.is_empty() {
            break;
        }
        between(number, &begin);
    }
    offered
}

/// The files below a folder, by path, with their inodes.
fn files(root: &Path) -> BTreeMap<Vec<u8>, u64> {
    let entries = walkdir::WalkDir::new(root).into_iter().filter_entry(|entry| entry.file_name() != ".cleanup");
    let entries = entries.map(|entry| entry.unwrap());
    let files = entries.filter(|entry| entry.file_type().is_file());
    let path = |path: &Path| path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_owned();
    files.map(|entry| (path(entry.path()), entry.metadata().unwrap().ino())).collect()
}

fn at(root: &Path, path: &[u8]) -> PathBuf {
    root.join(OsStr::from_bytes(path))
}

/// Where there is one, a folder in memory too: there the order of names and their cookies are quite other ones.
fn places() -> Vec<tempfile::TempDir> {
    let memory = Some(Path::new("/dev/shm")).filter(|path| path.is_dir());
    [Some(tempfile::tempdir().unwrap()), memory.map(|path| tempfile::tempdir_in(path).unwrap())]
        .into_iter()
        .flatten()
        .collect()
}

/// One of them; mostly the last, which is quicker.
fn place() -> impl Strategy<Value = tempfile::TempDir> {
    prop::bool::weighted(0.25).prop_map(|on_disk| {
        let mut places = places();
        if on_disk { places.swap_remove(0) } else { places.pop().unwrap() }
    })
}

fn grow(root: &Path, paths: &[Vec<u8>]) {
    for path in paths {
        let path = path.iter().map(|name| format!("{name:x}")).collect::<Vec<_>>().join("/");
        if let Some(folder) = root.join(&path).parent()
            && fs::create_dir_all(folder).is_ok()
            && !root.join(&path).exists()
        {
            file(&root.join(&path), Duration::ZERO);
        }
    }
}

/// What somebody else does to the tree between two walks.
#[derive(Clone, Debug)]
enum Change {
    /// What is next goes, with all in it.
    RemoveNext,
    /// So does one of all entries.
    Remove(prop::sample::Index),
    /// An entry gets another name in its folder.
    Rename(prop::sample::Index),
    /// An entry is replaced by a link out of the tree.
    Link(prop::sample::Index),
    Add(Vec<u8>),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => Just(Change::RemoveNext),
        2 => any::<prop::sample::Index>().prop_map(Change::Remove),
        2 => any::<prop::sample::Index>().prop_map(Change::Rename),
        1 => any::<prop::sample::Index>().prop_map(Change::Link),
        2 => path().prop_map(Change::Add),
    ]
}

fn path() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(0_u8..12, 1..6)
}

fn apply(root: &Path, outside: &Path, next: &ResumePoint, change: &Change) {
    let entry = |index: &prop::sample::Index| {
        let all: Vec<PathBuf> = common::tree(root).into_iter().map(|path| root.join(path)).collect();
        (!all.is_empty()).then(|| index.get(&all).clone())
    };
    let remove = |path: &Path| {
        let _ = if path.is_dir() && !path.is_symlink() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    };
    match change {
        Change::RemoveNext => {
            let name = next.place.as_ref().map_or(b"".as_slice(), |place| &place.name);
            let path = at(&at(root, &next.folder), name);
            assert_ne!(path, root);
            remove(&path);
        }
        Change::Remove(index) => entry(index).iter().for_each(|path| remove(path)),
        Change::Rename(index) => {
            if let Some(path) = entry(index) {
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                let _ = fs::rename(&path, path.with_file_name(name + "-renamed"));
            }
        }
        Change::Link(index) => {
            if let Some(path) = entry(index) {
                remove(&path);
                symlink(outside, &path).unwrap();
            }
        }
        Change::Add(path) => {
            let path = path.iter().map(|name| format!("{name:x}")).collect::<Vec<_>>().join("/");
            if fs::create_dir_all(root.join(&path).parent().unwrap()).is_ok() && !root.join(&path).exists() {
                fs::write(root.join(&path), "added").unwrap();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_series_of_stopped_walks_comes_all_the_way_through(
        root in place(),
        paths in prop::collection::vec(path(), 0..80),
        depth in prop_oneof![Just(Depth::FLAT), Just(Depth(2)), Just(Depth::UNLIMITED)],
        most in 0_usize..12,
        workers in prop::sample::select(&POOLS),
        is_noted in any::<bool>(),
    ) {
        grow(root.path(), &paths);
        let policy = FilePolicy { depth, ..policy(root.path()) };
        let policy = if is_noted { quarantining(policy) } else { policy };
        let mut all = files(root.path());
        all.retain(|path, _| path.split(|byte| *byte == b'/').count() <= depth.0 as usize);
        // Each of them does with a file at least, or with a folder in which there is none.
        let limit = common::tree(root.path()).len() + 2;
        let offered = series(&policy, workers, most, limit, |_, _| {});
        prop_assert_eq!(offered.keys().collect::<Vec<_>>(), all.keys().collect::<Vec<_>>());
        // One worker looks at nothing twice.
        prop_assert!(workers > 1 || offered.values().all(|count| *count == 1), "{:?}", offered);
    }

    #[test]
    fn whatever_happens_between_them_what_stays_is_offered_and_nothing_else_is_touched(
        root in place(),
        paths in prop::collection::vec(path(), 0..80),
        most in 0_usize..12,
        changes in prop::collection::vec(change(), 0..20),
        workers in prop::sample::select(&POOLS),
        is_noted in any::<bool>(),
    ) {
        let outside = tempfile::tempdir().unwrap();
        file(&outside.path().join("victim"), 2 * HOUR);
        grow(root.path(), &paths);
        let policy = policy(root.path());
        let policy = if is_noted { quarantining(policy) } else { policy };
        let mut stayed = files(root.path());
        let limit = (common::tree(root.path()).len() + changes.len() + 2) * (changes.len() + 1);
        let offered = series(&policy, workers, most, limit, |number, next| {
            if let Some(change) = changes.get(number) {
                apply(root.path(), outside.path(), &next[0], change);
                let now = files(root.path());
                stayed.retain(|path, inode| now.get(path) == Some(inode));
            }
        });
        for path in stayed.keys() {
            prop_assert!(offered.contains_key(path), "{:?}", at(Path::new(""), path));
        }
        prop_assert!(offered.keys().all(|path| !path.ends_with(b"victim")));
    }

    #[test]
    fn what_is_due_goes_in_steps_with_the_folders_at_the_latest_the_next_time(
        root in place(),
        paths in prop::collection::vec(path(), 0..60),
        most in 0_usize..12,
        workers in prop::sample::select(&POOLS),
        is_noted in any::<bool>(),
    ) {
        grow(root.path(), &paths);
        for path in files(root.path()).keys() {
            common::set_modified(&at(root.path(), path), common::now() - 2 * HOUR);
        }
        for path in common::tree(root.path()) {
            common::set_modified(&root.path().join(path), common::now() - 2 * HOUR);
        }
        let policy = FilePolicy { empty_dirs: EmptyDirs::Judge, ..policy(root.path()) };
        let policy = if is_noted { quarantining(policy) } else { policy };
        let mut begin = Vec::new();
        for _ in 0..common::tree(root.path()).len() + 2 {
            let went = go(&policy, workers, Mode::Apply, most, begin);
            prop_assert_eq!(went.tally.errors, []);
            begin = went.next;
            if begin.is_empty() {
                break;
            }
        }
        prop_assert!(begin.is_empty(), "no end: {:?}", begin);
        prop_assert_eq!(files(root.path()), BTreeMap::new());
    }
}

#[test]
fn what_waits_for_other_workers_is_left_as_well() {
    let root = places().pop().unwrap();
    // A long way down with folders beside it, and two at its end: one for whoever comes, and one for somebody else.
    let mut bottom = root.path().to_owned();
    for level in 0..12 {
        // In memory, what was made first is walked first.
        fs::create_dir(bottom.join("way")).unwrap();
        for side in 0..if (1..10).contains(&level) { 8 } else { 0 } {
            file(&bottom.join(format!("side-{side}/file")), Duration::ZERO);
        }
        bottom.push("way");
    }
    file(&bottom.join("one/file"), Duration::ZERO);
    file(&bottom.join("other/file"), Duration::ZERO);
    let policies = [policy(root.path()), quarantining(policy(root.path()))];
    // Which worker comes to what is chance.
    for policy in policies.iter().cycle().take(40) {
        let store = opened(policy, jobs(8));
        let (leg, lingers) = (store.resume(Vec::new()), Lingers::default());
        sweep(&leg, &policy.rule, &run(), Mode::Plan, &lingers);
        let (next, mut offered) = (leg.stopped_at(), lingers.offered.into_inner().unwrap());
        if !next.is_empty() {
            offered.extend(go(policy, 8, Mode::Plan, usize::MAX, next).offered);
        }
        let missing = files(root.path()).into_keys().find(|path| !offered.contains(path));
        assert_eq!(missing, None);
    }
}

/// Lingers at the bottom in a worker that came in, until the others have nothing left to do there, and then wants to stop.
#[derive(Default)]
struct Lingers {
    offered: Mutex<Vec<Vec<u8>>>,
    first: OnceLock<ThreadId>,
    wants_to_stop: AtomicBool,
}

impl Observer for Lingers {
    fn judged(&self, judged: &Judged<'_>) {
        let path = judged.candidate.name.to_bytes();
        let (is_at_bottom, worker) = (path.split(|byte| *byte == b'/').count() > 13, std::thread::current().id());
        self.offered.lock().unwrap().push(path);
        if !is_at_bottom {
            return;
        }
        let came_in = *self.first.get_or_init(|| worker) != worker;
        for _ in 0..if came_in { 20_000 } else { 200 } {
            std::thread::yield_now();
        }
        self.wants_to_stop.fetch_or(came_in, Ordering::Relaxed);
    }

    fn wants_to_stop(&self) -> bool {
        self.wants_to_stop.load(Ordering::Relaxed)
    }
}

/// Files enough for several blocks of the directory and for several batches, and a folder among them.
fn flat(root: &Path, count: usize) -> FilePolicy {
    for index in 0..count {
        fs::write(root.join(format!("file-{index}")), "").unwrap();
    }
    fs::create_dir(root.join("folder")).unwrap();
    fs::write(root.join("folder/inner"), "").unwrap();
    policy(root)
}

#[test]
fn a_flat_folder_is_gone_on_with_in_its_middle() {
    for root in places() {
        let policy = flat(root.path(), 5000);
        for depth in [Depth::FLAT, Depth::UNLIMITED] {
            let policy = FilePolicy { depth, ..policy.clone() };
            let all = if depth == Depth::FLAT { 5000 } else { 5001 };
            for (workers, most) in [(1, 700), (1, 1024), (1, 1100), (2, 700), (8, 1500)] {
                let offered = series(&policy, workers, most, 5000, |_, next| assert!(next[0].place.is_some()));
                assert_eq!(offered.len(), all, "{workers} workers in {}", root.path().display());
                assert!(workers > 1 || offered.values().all(|count| *count == 1), "{}", root.path().display());
            }
        }
    }
}

#[test]
fn when_what_was_next_is_gone_it_goes_on_behind_it() {
    for root in places() {
        let policy = flat(root.path(), 3000);
        for depth in [Depth::FLAT, Depth::UNLIMITED] {
            let policy = FilePolicy { depth, ..policy.clone() };
            let mut stayed = files(root.path());
            let offered = series(&policy, 1, 500, 50, |_, next| {
                let gone = next[0].place.as_ref().unwrap();
                fs::remove_file(at(root.path(), &gone.name)).unwrap();
                stayed.remove(&gone.name);
            });
            stayed.retain(|path, _| depth == Depth::UNLIMITED || !path.contains(&b'/'));
            let twice: Vec<_> = offered.iter().filter(|(_, count)| **count != 1).collect();
            assert!(twice.is_empty(), "{twice:?} in {}", root.path().display());
            assert_eq!(offered.keys().collect::<Vec<_>>(), stayed.keys().collect::<Vec<_>>());
        }
    }
}

#[test]
fn what_was_done_with_is_gone_and_nothing_is_passed_over() {
    for root in places() {
        let policy = FilePolicy { depth: Depth::FLAT, ..flat(root.path(), 4000) };
        for path in files(root.path()).keys() {
            common::set_modified(&at(root.path(), path), common::now() - 2 * HOUR);
        }
        let mut begin = Vec::new();
        for left in [3000, 2000, 1000, 0] {
            let went = go(&policy, 1, Mode::Apply, 1000, begin);
            assert_eq!(files(root.path()).len(), left + 1, "{}", root.path().display());
            begin = went.next;
        }
    }
}

#[test]
fn a_place_that_makes_no_sense_costs_another_look() {
    let root = tempfile::tempdir().unwrap();
    let policy = flat(root.path(), 100);
    let place = |name: &[u8], cookie| Some(Place { name: name.to_owned(), cookie });
    // What lies beside a folder that is gone was done with before it; beside a name that is gone all is looked at again.
    for (folder, place, flat) in [
        (b"gone".as_slice(), None, 0),
        (b"file-7", None, 0),
        (b"../..", None, 0),
        (b"/etc", None, 0),
        (b"gone", place(b"x", 1), 0),
        (b"", place(b"gone", u64::MAX), 100),
        (b"", place(b"", 0), 100),
    ] {
        let begin = ResumePoint { folder: folder.to_owned(), place };
        for (depth, inner) in [(Depth::FLAT, 0), (Depth::UNLIMITED, 1)] {
            let policy = FilePolicy { depth, ..policy.clone() };
            let went = go(&policy, 1, Mode::Plan, usize::MAX, vec![begin.clone()]);
            assert_eq!((went.tally.errors_total, went.next), (0, Vec::new()), "{begin:?}");
            assert_eq!(went.offered.len(), flat + inner, "{begin:?} {depth:?}");
        }
    }
}

#[test]
fn names_that_no_pattern_means_are_passed_over_in_steps_too() {
    let root = places().pop().unwrap();
    for index in 0..20_000 {
        fs::write(root.path().join(format!("other-{index}")), "").unwrap();
    }
    fs::write(root.path().join("one.svg"), "").unwrap();
    let patterns = Patterns::new(&["*.svg"], &[], &[]).unwrap();
    let policy = FilePolicy { patterns, ..policy(root.path()) };
    let mut walks = 0;
    let offered = series(&policy, 1, 0, 10, |number, _| walks = number + 1);
    assert_eq!(offered.len(), 1);
    assert!(walks >= 2, "{walks}");
}

/// Wants to stop at once.
struct Never;

impl Observer for Never {
    fn wants_to_stop(&self) -> bool {
        true
    }
}

#[test]
fn a_walk_that_is_stopped_on_the_way_there_leaves_the_next_one_where_it_was_to_begin() {
    let root = tempfile::tempdir().unwrap();
    for index in 0..9 {
        file(&root.path().join(format!("a/b{index}/c/file")), Duration::ZERO);
    }
    let policy = policy(root.path());
    let begin = go(&policy, 1, Mode::Plan, 3, Vec::new()).next;
    let store = Store::open(&policy, Vec::new()).unwrap();
    let leg = store.resume(begin.clone());
    let tally = sweep(&leg, &policy.rule, &run(), Mode::Plan, &Never);
    assert_eq!((tally.counts.scanned, leg.stopped_at()), (0, begin));
}

#[test]
fn whole_directories_are_gone_on_with_too() {
    let root = tempfile::tempdir().unwrap();
    for index in 0..12 {
        file(&root.path().join(format!("unit-{index}/file")), Duration::ZERO);
    }
    let policy = FilePolicy { unit: Unit::Directory, ..policy(root.path()) };
    let mut removed = 0;
    let offered = series(&policy, 1, 0, 12, |_, next| {
        // It may be gone by then.
        if next.len() > 1 {
            fs::remove_dir_all(at(root.path(), &next[0].folder)).unwrap();
            removed += 1;
        }
    });
    assert_eq!((offered.len(), removed), (7, 5));
    assert!(offered.values().all(|count| *count == 1), "{offered:?}");
}

#[test]
fn a_position_is_shown_as_paths_are() {
    let position = ResumePoint { folder: b"a/b".to_vec(), place: None };
    assert_eq!(position.to_string(), "a/b");
    let place = Some(Place { name: b"c\x1b".to_vec(), cookie: 7 });
    assert_eq!(ResumePoint { place, ..position }.to_string(), "a/b/c\\u{1b}");
}
