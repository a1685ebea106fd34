//! Sweeps that know young files from the sweep before: they take nothing that they would not take anyway, and whatever
//! they leave for later was set back on purpose.

#![allow(clippy::unwrap_used, reason = "tests may")]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use cleanup_core::index::{Entry, Index};
use cleanup_core::judge::Run;
use cleanup_core::moment::Moment;
use cleanup_core::policy::{FilePolicy, StampKind};
use cleanup_core::report::Tally;
use cleanup_core::sweep::{Judged, Mode, Observer, sweep};
use cleanup_fs_store::Store;
use common::{HOUR, POOLS, file, jobs, policy, set_modified, tree};
use proptest::prelude::*;
use tempfile::TempDir;

const SEED: u64 = 99;

/// Writes entries down, as whoever keeps an index does.
#[derive(Default)]
struct Noting(Mutex<Vec<Entry>>);

impl Observer for Noting {
    fn judged(&self, judged: &Judged<'_>) {
        self.0.lock().unwrap().extend(Entry::of(judged, SEED));
    }
}

/// A tree that is swept again and again, and the index between the sweeps.
struct World {
    folder: TempDir,
    policy: FilePolicy,
    workers: usize,
    now: u64,
    entries: Vec<Entry>,
}

impl World {
    fn new(workers: usize) -> Self {
        let folder = TempDir::new().unwrap();
        let policy = policy(folder.path());
        Self { folder, policy, workers, now: 2_000_000_000, entries: Vec::new() }
    }

    fn path(&self, name: u8) -> PathBuf {
        let folder = ["", "x", "x/y", "z"][usize::from(name % 4)];
        self.folder.path().join(folder).join(format!("{}", name / 4))
    }

    /// All names of a file, which are set back together.
    fn names_of(&self, path: &Path) -> Vec<PathBuf> {
        let inode = path.metadata().unwrap().ino();
        let is_it = |path: &PathBuf| self.folder.path().join(path).metadata().unwrap().ino() == inode;
        tree(self.folder.path()).into_iter().filter(is_it).collect()
    }

    fn time(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.now)
    }

    /// What a look at everything would take, found out by other means.
    fn due(&self) -> BTreeSet<PathBuf> {
        let is_due = |path: &&PathBuf| {
            let metadata = self.folder.path().join(path).symlink_metadata().unwrap();
            let age = self.time().duration_since(metadata.modified().unwrap());
            metadata.is_file() && age.is_ok_and(|age| age > HOUR)
        };
        tree(self.folder.path()).iter().filter(is_due).cloned().collect()
    }

    fn sweep(&mut self) -> (BTreeSet<PathBuf>, Tally) {
        let now = Moment::from_unix(self.now.cast_signed(), 0);
        let mut index = Index::with_room_for(self.entries.len(), SEED, now);
        self.entries.drain(..).for_each(|entry| index.add(entry));
        let index = Arc::new(index);
        let before = tree(self.folder.path());
        let noting = Noting::default();
        let store = Store::open(&self.policy, Vec::new()).unwrap().with_jobs(jobs(self.workers));
        let store = store.with_index(Some(Arc::clone(&index)));
        let tally = sweep(&store, &self.policy.rule, &Run::at(now), Mode::Apply, &noting);
        self.entries = noting.0.into_inner().unwrap();
        self.entries.extend(index.recalled());
        let after = tree(self.folder.path());
        (before.difference(&after).cloned().collect(), tally)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Write(u8),
    SetBack(u8),
    Rename(u8, u8),
    Replace(u8),
    Remove(u8),
    Link(u8, u8),
    Wait(u64),
    Sweep,
    SweepAll,
}

fn step() -> impl Strategy<Value = Step> {
    let name = || 0..24u8;
    prop_oneof![
        6 => name().prop_map(Step::Write),
        2 => name().prop_map(Step::SetBack),
        2 => (name(), name()).prop_map(|(from, to)| Step::Rename(from, to)),
        2 => name().prop_map(Step::Replace),
        2 => name().prop_map(Step::Remove),
        1 => (name(), name()).prop_map(|(from, to)| Step::Link(from, to)),
        3 => (1..3_000u64).prop_map(Step::Wait),
        4 => Just(Step::Sweep),
        1 => Just(Step::SweepAll),
    ]
}

fn folder_of(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn an_index_takes_nothing_more_and_leaves_only_what_was_set_back(
        steps in proptest::collection::vec(step(), 1..60),
        workers in proptest::sample::select(&POOLS[..]),
    ) {
        let mut world = World::new(workers);
        // Last names, because another file may get the inode and the name of one that is gone.
        let mut set_back: BTreeSet<PathBuf> = BTreeSet::new();
        let last = |path: &Path| PathBuf::from(path.file_name().unwrap());
        for step in steps {
            match step {
                Step::Write(name) => {
                    let path = world.path(name);
                    folder_of(&path);
                    fs::write(&path, "content").unwrap();
                    set_modified(&path, world.time());
                }
                Step::Replace(name) => {
                    let (path, new) = (world.path(name), world.folder.path().join("new"));
                    folder_of(&path);
                    fs::write(&new, "content").unwrap();
                    set_modified(&new, world.time());
                    fs::rename(new, path).unwrap();
                }
                Step::SetBack(name) => {
                    let path = world.path(name);
                    if path.exists() {
                        set_modified(&path, world.time() - 2 * HOUR);
                        set_back.extend(world.names_of(&path).iter().map(|path| last(path)));
                    }
                }
                Step::Rename(from, to) => {
                    let (from, to) = (world.path(from), world.path(to));
                    folder_of(&to);
                    if from.exists() {
                        if set_back.contains(&last(&from)) {
                            set_back.insert(last(&to));
                        }
                        fs::rename(from, to).unwrap();
                    }
                }
                Step::Link(from, to) => {
                    let (from, to) = (world.path(from), world.path(to));
                    folder_of(&to);
                    if from.exists() && !to.exists() {
                        // One file: what is set back by one name is so by the other.
                        if set_back.contains(&last(&from)) {
                            set_back.insert(last(&to));
                        }
                        fs::hard_link(from, to).unwrap();
                    }
                }
                Step::Remove(name) => { let _ = fs::remove_file(world.path(name)); }
                Step::Wait(seconds) => world.now += seconds,
                Step::Sweep => {
                    let due = world.due();
                    let (gone, tally) = world.sweep();
                    prop_assert!(gone.is_subset(&due), "gone {gone:?} of {due:?}");
                    let late: Vec<_> = due.difference(&gone).collect();
                    let was_set_back = |path: &&PathBuf| set_back.contains(&last(path));
                    prop_assert!(late.iter().all(was_set_back), "late {late:?}, set back {set_back:?}");
                    let counts = tally.counts;
                    prop_assert_eq!(counts.matched, counts.due + counts.kept.within_limits + counts.kept.future);
                }
                Step::SweepAll => {
                    world.entries.clear();
                    let due = world.due();
                    let (gone, tally) = world.sweep();
                    prop_assert_eq!(gone, due);
                    prop_assert_eq!(tally.counts.indexed, 0);
                    set_back.clear();
                }
            }
        }
    }
}

#[test]
fn a_second_sweep_looks_at_what_is_new_and_counts_as_the_first_one() {
    for workers in POOLS {
        let mut world = World::new(workers);
        for number in 0..3_000 {
            file(&world.folder.path().join(format!("x/{}/{number}", number % 7)), HOUR / 2);
        }
        let (_, first) = world.sweep();
        let (gone, second) = world.sweep();
        assert!(gone.is_empty());
        assert_eq!((first.counts.indexed, second.counts.indexed), (0, 3_000));
        let same = cleanup_core::report::Counts { indexed: 0, ..second.counts };
        assert_eq!(same, first.counts);

        file(&world.folder.path().join("new"), HOUR / 2);
        world.now += HOUR.as_secs();
        let (gone, third) = world.sweep();
        assert_eq!((gone.len(), third.counts.indexed), (3_001, 0), "their time has come");
    }
}

#[test]
fn an_archive_is_looked_at() {
    let mut world = World::new(1);
    file(&world.folder.path().join("archive-1"), HOUR / 2);
    file(&world.folder.path().join("other"), HOUR / 2);
    world.sweep();
    let (_, tally) = world.sweep();
    assert_eq!((tally.counts.indexed, tally.counts.kept.archive), (1, 1));
}

#[test]
fn a_link_or_a_folder_with_the_name_of_a_young_file_is_still_what_it_is() {
    let mut world = World::new(1);
    let path = file(&world.folder.path().join("a"), HOUR / 2);
    world.sweep();
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
    let (gone, tally) = world.sweep();
    assert!(gone.is_empty());
    assert_eq!((tally.counts.indexed, tally.counts.left_alone), (0, 1));
}

#[test]
fn the_newest_of_all_stamps_is_remembered_as_any_other() {
    let mut world = World::new(2);
    world.policy.stamp = StampKind::Newest;
    // Its change cannot be stamped at will, so this one test is about the time that the file was really made.
    fs::write(world.folder.path().join("a"), "content").unwrap();
    world.now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() + 1;
    world.sweep();
    let (gone, tally) = world.sweep();
    assert!(gone.is_empty());
    assert_eq!(tally.counts.indexed, 1);
}
