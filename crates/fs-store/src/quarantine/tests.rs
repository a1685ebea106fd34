//! What can happen between two steps of moving a file aside: each step is taken by itself, and something in between.

use std::fs;
use std::num::NonZero;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cleanup_core::candidate::{Basis, Class, Identity, Name, Stamp};
use cleanup_core::config::{Config, Source};
use cleanup_core::judge::Run;
use cleanup_core::moment::Moment;
use cleanup_core::policy::{Depth, Dispose, EmptyDirs, FilePolicy, MaxAge, Quarantine as Bounds, Unit as PolicyUnit};
use cleanup_core::report::Tally;
use cleanup_core::store::Outcome;
use cleanup_core::sweep::{Judged, Mode, Observer};
use cleanup_core::verdict::{Age, AgeLimit, Remove};

use super::move_in::{MoveIn, Moved};
use super::note::Leaving;
use super::{Item, QuarantineRun, Returned};
use crate::act::tree_sum;
use crate::sys::entry::{self, Meta, failing, needs};
use crate::sys::rename::{lacking, link_out, move_directory};
use crate::sys::sync::watched;
use crate::{Jobs, Store};

const NOW: Moment = Moment::from_unix(2_000_000_000, 0);

fn policy(root: &Path) -> FilePolicy {
    let text = "[files.p]\nroot = \"r\"\ninclude = [\"*\"]\nmax_age = \"1h\"\ndispose = \"quarantine\"\n";
    let source = Source { name: "cleanup.toml", text, folder: root.parent().unwrap() };
    let config = Config::load(&source, &|_| None).unwrap();
    FilePolicy { root: root.to_owned(), ..config.files[0].clone() }
}

/// One file that is being moved aside.
struct Case {
    _folder: tempfile::TempDir,
    root: PathBuf,
    policy: FilePolicy,
}

impl Case {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("r");
        fs::create_dir(&root).unwrap();
        fs::write(root.join("file"), "judged").unwrap();
        Self { policy: policy(&root), _folder: folder, root }
    }

    /// Looks, does something, moves, does something else, looks again.
    fn moves(&self, before: impl Fn(&Path), after: impl Fn(&Path)) -> Outcome {
        let (store, dir, judged) = self.looked();
        before(&self.root);
        match Self::rename(&store, &dir, judged) {
            Err(outcome) => outcome,
            Ok(moved) => {
                after(&self.root);
                moved.settle(dir.as_fd(), c"file", &judged)
            }
        }
    }

    fn looked(&self) -> (Store<'_>, std::os::fd::OwnedFd, Identity) {
        let store = Store::open(&self.policy, Vec::new()).unwrap();
        let store = store.into_quarantine(Arc::new(QuarantineRun::new("R1".to_owned())), NOW).unwrap();
        let dir = store.tree.root.reopen().unwrap();
        let judged = Meta::of_entry(&dir, c"file", needs(&self.policy)).unwrap().identity();
        (store, dir, judged)
    }

    fn rename(store: &Store<'_>, dir: &std::os::fd::OwnedFd, judged: Identity) -> Result<Moved, Outcome> {
        let aside: &MoveIn = store.remover.move_in.as_ref().unwrap();
        let why = Remove::Expired {
            stamp: Stamp { at: judged.modified, basis: Basis::Modified },
            age: Age::Wall(Duration::from_hours(2)),
            limit: AgeLimit::MaxAge(MaxAge::new(Duration::from_hours(1)).unwrap()),
        };
        let name = Name { folder: b"", last: b"file" };
        let leaving = Leaving { name, identity: judged, fingerprint: None, bytes: 4096, why: &why, at: NOW };
        aside.rename(dir.as_fd(), c"file", aside.note(&store.tree, &[leaving]).unwrap().remove(0), &|| Ok(()))
    }

    fn aside(&self) -> PathBuf {
        self.root.join(".cleanup/quarantine/R1-p")
    }

    fn items(&self) -> Vec<Item> {
        let store = Store::open(&self.policy, Vec::new()).unwrap();
        let mut items = Vec::new();
        if let Some(quarantine) = store.quarantine(&|_| true).unwrap() {
            assert_eq!(quarantine.items(&|_| true, &mut |item| items.push(item)), []);
        }
        items
    }

    fn content(&self) -> Option<String> {
        fs::read_to_string(self.root.join("file")).ok()
    }
}

#[test]
fn what_is_still_what_was_judged_stays_aside_with_its_note() {
    let case = Case::new();
    assert_eq!(case.moves(|_| {}, |_| {}), Outcome::Quarantined);
    assert_eq!(case.content(), None);
    let items = case.items();
    assert_eq!(items.len(), 1);
    let Item { path, at, reason, run, policy, .. } = &items[0];
    assert_eq!((path.as_deref(), *at, run.as_str(), policy.as_str()), (Some(b"file".as_slice()), NOW, "R1", "p"));
    assert_eq!(reason.as_deref(), Some("last modified 2h ago, older than max_age 1h"));
}

#[test]
fn a_new_file_under_the_name_of_the_judged_one_goes_back() {
    let case = Case::new();
    let replaced = |root: &Path| {
        fs::write(root.join("new"), "young!").unwrap();
        fs::rename(root.join("new"), root.join("file")).unwrap();
    };
    assert_eq!(case.moves(replaced, |_| {}), Outcome::Changed);
    assert_eq!(case.content().unwrap(), "young!");
    assert_eq!(case.items(), []);
}

#[test]
fn a_file_that_is_written_while_it_goes_goes_back() {
    for number in ["written", "written to"] {
        let case = Case::new();
        let write = |_: &Path| fs::write(case.aside().join("1"), number).unwrap();
        assert_eq!(case.moves(|_| {}, write), Outcome::Changed);
        assert_eq!(case.content().unwrap(), number);
    }
}

#[test]
fn a_link_in_place_of_the_file_goes_back_as_it_is() {
    let case = Case::new();
    let linked = |root: &Path| {
        fs::remove_file(root.join("file")).unwrap();
        std::os::unix::fs::symlink("elsewhere", root.join("file")).unwrap();
    };
    assert_eq!(case.moves(linked, |_| {}), Outcome::Changed);
    assert_eq!(fs::read_link(case.root.join("file")).unwrap(), Path::new("elsewhere"));
}

#[test]
fn what_cannot_go_back_because_its_name_was_taken_is_safe_in_quarantine() {
    let case = Case::new();
    let outcome = case.moves(
        |_| {},
        |root| {
            fs::write(case.aside().join("1"), "written later").unwrap();
            fs::write(root.join("file"), "another").unwrap();
        },
    );
    let Outcome::Failed(why) = outcome else { panic!("{outcome:?}") };
    assert!(why.contains("stays in quarantine as .cleanup/quarantine/R1-p/1"), "{why}");
    assert_eq!(case.content().unwrap(), "another");
    assert_eq!(fs::read_to_string(case.aside().join("1")).unwrap(), "written later");
    assert_eq!(case.items().len(), 1, "and can be listed and restored");
}

#[test]
fn killed_after_the_note_the_file_has_not_moved_and_nothing_is_in_quarantine() {
    let case = Case::new();
    let (store, dir, judged) = case.looked();
    // The rename fails: the file is gone by then, and comes back under its name.
    fs::rename(case.root.join("file"), case.root.join("other")).unwrap();
    assert!(matches!(Case::rename(&store, &dir, judged), Err(Outcome::Vanished)));
    fs::rename(case.root.join("other"), case.root.join("file")).unwrap();
    let notes = fs::read_to_string(case.aside().join("notes.jsonl")).unwrap();
    assert_eq!(notes.lines().count(), 2, "{notes}");
    assert_eq!(case.items(), []);
    assert_eq!(case.content().unwrap(), "judged");
}

#[test]
fn killed_after_the_rename_the_file_is_in_quarantine_and_nowhere_else() {
    let case = Case::new();
    let (store, dir, judged) = case.looked();
    drop(Case::rename(&store, &dir, judged).unwrap());
    assert_eq!(case.content(), None);
    assert_eq!(case.items().len(), 1);
}

#[test]
fn a_note_that_was_torn_costs_no_other_note() {
    let case = Case::new();
    assert_eq!(case.moves(|_| {}, |_| {}), Outcome::Quarantined);
    let notes = case.aside().join("notes.jsonl");
    let whole = fs::read_to_string(&notes).unwrap();
    let line = whole.lines().nth(1).unwrap();
    fs::write(&notes, format!("{}\n{}\n{line}\n", whole.lines().next().unwrap(), &line[..line.len() / 2])).unwrap();
    assert_eq!(case.items()[0].path.as_deref(), Some(b"file".as_slice()));
    fs::write(&notes, &line[..line.len() / 2]).unwrap();
    assert_eq!(case.items()[0].path, None, "without its note it is of unknown origin, and is not lost");
}

#[test]
fn where_a_file_system_cannot_refuse_to_replace_a_second_name_is_made_instead() {
    let case = Case::new();
    assert_eq!(case.moves(|_| {}, |_| {}), Outcome::Quarantined);
    let home = Store::open(&case.policy, Vec::new()).unwrap();
    let home = home.tree.root.reopen().unwrap();
    let aside = fs::File::open(case.aside()).unwrap();
    fs::write(case.root.join("file"), "another").unwrap();
    let refused = link_out(aside.as_fd(), c"1", home.as_fd(), c"file");
    assert_eq!((refused, case.content().unwrap().as_str()), (Err(rustix::io::Errno::EXIST), "another"));

    fs::remove_file(case.root.join("file")).unwrap();
    // Killed between the two names.
    fs::hard_link(case.aside().join("1"), case.root.join("file")).unwrap();
    link_out(aside.as_fd(), c"1", home.as_fd(), c"file").unwrap();
    assert_eq!(case.content().unwrap(), "judged");
    assert_eq!(fs::metadata(case.root.join("file")).unwrap().nlink(), 1);
}

#[test]
fn a_taken_number_is_passed_over() {
    let case = Case::new();
    fs::create_dir_all(case.aside()).unwrap();
    for folder in [".cleanup", ".cleanup/quarantine", ".cleanup/quarantine/R1-p"] {
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(case.root.join(folder), private).unwrap();
    }
    fs::write(case.aside().join("1"), "of before").unwrap();
    assert_eq!(case.moves(|_| {}, |_| {}), Outcome::Quarantined);
    assert_eq!(fs::read_to_string(case.aside().join("1")).unwrap(), "of before");
    assert_eq!(fs::read_to_string(case.aside().join("2")).unwrap(), "judged");
    let named: Vec<_> = case.items().into_iter().map(|item| (item.number, item.path.is_some())).collect();
    assert_eq!(named, [(2, true), (1, false)]);
}

#[test]
fn a_class_is_no_part_of_a_note() {
    // Archives that were included go the same way, and come back by the same name.
    let case = Case::new();
    let (store, dir, judged) = case.looked();
    let stamp = Stamp { at: judged.modified, basis: Basis::Modified };
    let file = crate::act::remove::File {
        name: c"file",
        class: Class::Archive,
        bytes: 0,
        stamp,
        arrival: stamp,
        identity: judged,
    };
    let why = Remove::Expired {
        stamp,
        age: Age::Wall(Duration::from_hours(2)),
        limit: AgeLimit::MaxAge(MaxAge::new(Duration::from_hours(1)).unwrap()),
    };
    let aside = store.remover.move_in.as_ref().unwrap();
    let noted = || aside.note_files(&store.tree, &[(b"", &file, &why)]).unwrap().remove(0);
    let refused = aside.take(dir.as_fd(), &file, noted(), &|| Err(Outcome::Changed));
    assert_eq!((refused, case.content().as_deref(), case.items().len()), (Outcome::Changed, Some("judged"), 0));
    let outcome = aside.take(dir.as_fd(), &file, noted(), &|| Ok(()));
    assert_eq!(outcome, Outcome::Quarantined);
    assert_eq!(case.items()[0].path.as_deref(), Some(b"file".as_slice()));
}

impl Case {
    /// A later sweep's care for what lies in quarantine.
    fn purge(&self, now: Moment) -> Tally {
        let store = Store::open(&self.policy, Vec::new()).unwrap();
        let bounds = match self.policy.dispose {
            Dispose::Delete => None,
            Dispose::Quarantine(bounds) => Some(bounds),
        };
        store.quarantine(&|_| true).unwrap().map_or_else(Tally::default, |quarantine| quarantine.purge(bounds, now))
    }

    /// Moves the file and is killed before it is looked at again.
    fn killed(&self) {
        let (store, dir, judged) = self.looked();
        drop(Self::rename(&store, &dir, judged).unwrap());
        drop(store);
        self.unmark();
    }

    /// A process that is killed marks nothing.
    fn unmark(&self) {
        let notes = self.aside().join("notes.jsonl");
        let text = fs::read_to_string(&notes).unwrap();
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("{\"settled\"")).collect();
        fs::write(&notes, lines.join("\n") + "\n").unwrap();
    }

    fn restore(&self) -> Vec<Returned> {
        let store = Store::open(&self.policy, Vec::new()).unwrap();
        let (items, mut came) = (self.items(), Vec::new());
        let items: Vec<&Item> = items.iter().collect();
        let quarantine = store.quarantine(&|_| true).unwrap().unwrap();
        quarantine.restore(&items, &mut |_, returned| came.push(returned));
        came
    }
}

/// Notes as earlier versions wrote them, without checksums.
fn unsummed(notes: &str) -> String {
    notes.lines().map(|line| line.split_once(",\"crc32\"").map_or(line, |(line, _)| line).to_owned() + "}\n").collect()
}

const SECOND: Duration = Duration::from_secs(1);
const WEEK: Duration = Bounds::KEEP_FOR;

fn errors(tally: &Tally) -> Vec<String> {
    tally.errors.iter().map(|error| format!("{}: {}", error.path, error.error)).collect()
}

#[test]
fn killed_before_the_second_look_the_next_sweep_looks_and_puts_back_what_is_something_else() {
    let case = Case::new();
    case.killed();
    fs::write(case.aside().join("1"), "written by whoever had it open").unwrap();
    // Long before its time is over.
    let tally = case.purge(NOW.plus(SECOND));
    assert_eq!(case.content().as_deref(), Some("written by whoever had it open"));
    assert_eq!((tally.counts.purged, tally.errors_total, case.items()), (0, 1, vec![]));
    assert!(errors(&tally)[0].starts_with("file: ") && errors(&tally)[0].contains("back in its place"), "{tally:?}");
    assert!(!case.aside().exists());
}

#[test]
fn killed_before_the_second_look_what_is_still_the_same_is_deleted_in_its_time() {
    let case = Case::new();
    case.killed();
    let tally = case.purge(NOW.plus(WEEK));
    assert_eq!((tally.counts.purged, tally.errors_total, case.items().len()), (0, 0, 1));
    let tally = case.purge(NOW.plus(WEEK + SECOND));
    assert_eq!((tally.counts.purged, tally.errors_total, case.items().len()), (1, 0, 0));
}

#[test]
fn what_cannot_be_looked_at_after_its_move_is_put_back_and_named() {
    let case = Case::new();
    let outcome = case.moves(|_| {}, |_| failing::NAME.set(Some(c"1")));
    failing::NAME.set(None);
    let Outcome::Failed(error) = outcome else { panic!("nobody is told of it: {outcome:?}") };
    assert!(error.ends_with("it is back in its place"), "{error}");
    assert_eq!((case.content().as_deref(), case.items()), (Some("judged"), vec![]));
}

#[test]
fn what_cannot_be_looked_at_stays_where_it_is_and_the_next_sweep_tries_again() {
    for now in [NOW.plus(SECOND), NOW.plus(WEEK + SECOND)] {
        let case = Case::new();
        case.killed();
        failing::NAME.set(Some(c"1"));
        let tally = case.purge(now);
        failing::NAME.set(None);
        assert_eq!((tally.counts.purged, tally.errors_total, case.content()), (0, 1, None));
        assert!(errors(&tally)[0].contains("could not be inspected"), "{tally:?}");
        assert_eq!(case.items().len(), 1);
        // It is still not known what it is, so a sweep that comes before its time is over looks again.
        fs::write(case.aside().join("1"), "written").unwrap();
        let tally = case.purge(NOW.plus(2 * SECOND));
        assert_eq!((tally.counts.purged, tally.errors_total), (0, 1));
        assert_eq!(case.content().as_deref(), Some("written"));
    }
}

#[test]
fn notes_whose_files_are_all_back_go_with_the_next_sweep() {
    let case = Case::new();
    assert_eq!(case.moves(|_| {}, |_| {}), Outcome::Quarantined);
    // By somebody who was cut off before the folder was taken away.
    fs::rename(case.aside().join("1"), case.root.join("file")).unwrap();
    let tally = case.purge(NOW.plus(SECOND));
    assert_eq!((tally.errors_total, case.aside().exists()), (0, false));
    assert_eq!(case.content().as_deref(), Some("judged"));
}

#[test]
fn a_file_whose_name_was_taken_is_told_of_in_every_run_and_deleted_in_none() {
    for killed in [false, true] {
        let mut case = Case::new();
        if killed {
            case.killed();
            fs::write(case.aside().join("1"), "young").unwrap();
            fs::write(case.root.join("file"), "another").unwrap();
        } else {
            let took = |root: &Path| {
                fs::write(case.aside().join("1"), "young").unwrap();
                fs::write(root.join("file"), "another").unwrap();
            };
            assert!(matches!(case.moves(|_| {}, took), Outcome::Failed(_)));
            assert_eq!(case.purge(NOW).errors_total, 0, "the run that moved it has told of it");
        }
        // Whatever the policy says by then.
        for (round, now) in [SECOND, WEEK, 2 * WEEK, 100 * WEEK].into_iter().enumerate() {
            let max_bytes = (round % 2 == 1).then_some(0);
            case.policy.dispose = Dispose::Quarantine(Bounds { keep_for: SECOND, max_bytes });
            let tally = case.purge(NOW.plus(now));
            assert_eq!((tally.counts.purged, tally.errors_total), (0, 1), "{tally:?}");
            assert!(errors(&tally)[0].contains("file: ") && errors(&tally)[0].contains("R1-p/1 until"), "{tally:?}");
        }
        case.policy.dispose = Dispose::Delete;
        assert_eq!(case.purge(NOW.plus(200 * WEEK)).counts.purged, 0);
        let store = Store::open(&case.policy, Vec::new()).unwrap();
        assert_eq!(store.quarantine(&|_| true).unwrap().unwrap().purge_for_space(u64::MAX).counts.purged, 0);
        assert_eq!(fs::read_to_string(case.aside().join("1")).unwrap(), "young");

        assert!(matches!(case.restore()[..], [Returned::Conflict(_)]));
        fs::remove_file(case.root.join("file")).unwrap();
        assert_eq!(case.restore(), [Returned::Restored]);
        assert_eq!((case.content().as_deref(), case.aside().exists()), (Some("young"), false));
    }
}

#[test]
fn what_was_written_after_it_was_looked_at_is_not_deleted_when_its_time_is_over() {
    let case = Case::new();
    assert_eq!(case.moves(|_| {}, |_| {}), Outcome::Quarantined);
    fs::write(case.aside().join("1"), "by an open descriptor").unwrap();
    assert_eq!(case.purge(NOW.plus(SECOND)).errors_total, 0, "everything was looked at, and need not be again");
    assert_eq!(case.purge(NOW.plus(2 * WEEK)).counts.purged, 0);
    assert_eq!(case.content().as_deref(), Some("by an open descriptor"));
}

#[test]
fn notes_of_earlier_versions_are_read_and_tell_what_they_can() {
    for is_changed in [false, true] {
        let case = Case::new();
        assert_eq!(case.moves(|_| {}, |_| {}), Outcome::Quarantined);
        // They had no marks.
        case.unmark();
        if is_changed {
            fs::write(case.aside().join("1"), "young").unwrap();
        }
        assert_eq!(case.purge(NOW.plus(WEEK + SECOND)).counts.purged, u64::from(!is_changed));
        assert_eq!(case.content().is_some(), is_changed);
    }
}

/// A whole directory that is being moved aside, one step at a time.
struct Unit {
    case: Case,
}

impl Unit {
    fn new(dispose: Dispose) -> Self {
        let mut case = Case::new();
        fs::remove_file(case.root.join("file")).unwrap();
        fs::create_dir_all(case.root.join("job/deep")).unwrap();
        for name in ["a", "deep/b", "deep/c"] {
            fs::write(case.root.join("job").join(name), "judged").unwrap();
        }
        fs::hard_link(case.root.join("job/a"), case.root.join("job/deep/a")).unwrap();
        case.policy.unit = PolicyUnit::Directory;
        case.policy.dispose = dispose;
        Self { case }
    }

    /// Moves it, does something, looks at it; then, where it is to be deleted, does something else and deletes it.
    fn moves(&self, between: impl Fn(&Path), meanwhile: impl Fn(&Path)) -> Outcome {
        let outcome = self.steps(&between, &meanwhile);
        assert_eq!(self.case.purge(NOW).errors_total, 0, "the run that moved it has told of it");
        outcome
    }

    fn steps(&self, between: &dyn Fn(&Path), meanwhile: &dyn Fn(&Path)) -> Outcome {
        let policy = &self.case.policy;
        let store = Store::open(policy, Vec::new()).unwrap();
        let store = store.into_quarantine(Arc::new(QuarantineRun::new("R1".to_owned())), NOW).unwrap();
        let aside: &MoveIn = store.remover.move_in.as_ref().unwrap();
        let root = store.tree.root.reopen().unwrap();
        let (sum, moved) = Self::renamed(&store, aside);
        between(&self.case.root);
        match moved.settle_whole(&store.tree, root.as_fd(), c"job", &sum) {
            Err(outcome) => outcome,
            Ok(_) if policy.dispose != Dispose::Delete => Outcome::Quarantined,
            Ok(moved) => {
                meanwhile(&self.case.root);
                aside.delete(&store.tree, &moved, root.as_fd(), c"job", &sum).outcome
            }
        }
    }

    fn renamed(store: &Store<'_>, aside: &MoveIn) -> (tree_sum::Sum, Moved) {
        let root = store.tree.root.reopen().unwrap();
        let sum = tree_sum::look(&store.tree, entry::open_dir(&root, c"job").unwrap()).unwrap();
        let why = Remove::Expired {
            stamp: sum.stamp,
            age: Age::Wall(Duration::from_hours(2)),
            limit: AgeLimit::MaxAge(MaxAge::new(Duration::from_hours(1)).unwrap()),
        };
        let name = Name { folder: b"", last: b"job" };
        let (identity, fingerprint) = (sum.identity, Some(sum.fingerprint()));
        let leaving = Leaving { name, identity, fingerprint, bytes: sum.bytes, why: &why, at: NOW };
        let noted = aside.note(&store.tree, &[leaving]).unwrap().remove(0);
        let moved = aside.rename(root.as_fd(), c"job", noted, &|| Ok(())).unwrap();
        (sum, moved)
    }

    /// Is killed before it is looked at.
    fn killed(&self) {
        let store = Store::open(&self.case.policy, Vec::new()).unwrap();
        let store = store.into_quarantine(Arc::new(QuarantineRun::new("R1".to_owned())), NOW).unwrap();
        Self::renamed(&store, store.remover.move_in.as_ref().unwrap());
        drop(store);
        self.case.unmark();
    }

    fn aside(&self) -> PathBuf {
        self.case.aside().join("1")
    }

    fn beside(&self, number: u32) -> PathBuf {
        self.case.root.join(format!("job.kept-by-cleanup-{number}"))
    }
}

fn kept() -> Dispose {
    Dispose::Quarantine(Bounds { keep_for: WEEK, max_bytes: None })
}

/// What can take the name of a directory.
fn takers() -> [fn(&Path); 4] {
    [
        |job| fs::write(job, "another").unwrap(),
        |job| std::os::unix::fs::symlink("elsewhere", job).unwrap(),
        |job| fs::create_dir(job).unwrap(),
        |job| {
            fs::create_dir(job).unwrap();
            fs::write(job.join("new"), "another").unwrap();
        },
    ]
}

#[test]
fn a_directory_that_changed_and_whose_name_was_taken_lies_beside_it() {
    for dispose in [Dispose::Delete, kept()] {
        for (index, take) in takers().into_iter().enumerate() {
            let unit = Unit::new(dispose);
            fs::create_dir(unit.beside(1)).unwrap();
            let outcome = unit.moves(
                |root| {
                    fs::write(unit.aside().join("deep/young"), "young").unwrap();
                    take(&root.join("job"));
                },
                |_| {},
            );
            let Outcome::Displaced(place) = outcome else { panic!("{index}: {outcome:?}") };
            assert!(place.contains("job.kept-by-cleanup-2"), "{place}");
            assert_eq!(fs::read_to_string(unit.beside(2).join("deep/young")).unwrap(), "young", "{index}");
            assert_eq!(fs::read_to_string(unit.beside(2).join("a")).unwrap(), "judged", "{index}");
            assert_eq!(fs::read_dir(unit.beside(1)).unwrap().count(), 0, "nothing is written over");
            assert!(fs::symlink_metadata(unit.case.root.join("job")).is_ok());
            assert_eq!(unit.case.purge(NOW.plus(100 * WEEK)).counts.purged, 0);
        }
    }
}

#[test]
fn a_directory_that_can_go_nowhere_stays_whatever_the_policy_says_until_it_is_restored() {
    for dispose in [Dispose::Delete, kept()] {
        let unit = Unit::new(dispose);
        for number in 1..=100 {
            fs::write(unit.beside(number), "").unwrap();
        }
        let outcome = unit.moves(
            |root| {
                fs::write(unit.aside().join("young"), "young").unwrap();
                fs::write(root.join("job"), "another").unwrap();
            },
            |_| {},
        );
        let Outcome::Failed(why) = outcome else { panic!("{outcome:?}") };
        assert!(why.contains("stays in quarantine as .cleanup/quarantine/R1-p/1"), "{why}");
        for now in [SECOND, WEEK, 100 * WEEK] {
            let tally = unit.case.purge(NOW.plus(now));
            assert_eq!((tally.counts.purged, tally.errors_total), (0, 1), "{tally:?}");
        }
        fs::remove_file(unit.case.root.join("job")).unwrap();
        assert_eq!(unit.case.restore(), [Returned::Restored]);
        assert_eq!(fs::read_to_string(unit.case.root.join("job/young")).unwrap(), "young");
        assert_eq!(unit.case.purge(NOW.plus(100 * WEEK)).errors_total, 0);
    }
}

#[test]
fn a_directory_moved_by_a_run_that_was_killed_is_looked_at_by_the_next_one() {
    for dispose in [Dispose::Delete, kept()] {
        // Still the same: as the policy says.
        let unit = Unit::new(dispose);
        unit.killed();
        let tally = unit.case.purge(NOW.plus(SECOND));
        let (gone, stays) = if dispose == Dispose::Delete { (1, false) } else { (0, true) };
        assert_eq!((tally.counts.purged, tally.errors_total), (gone, 0), "{tally:?}");
        assert_eq!((unit.aside().exists(), unit.case.root.join("job").exists()), (stays, false));
        assert_eq!(unit.case.purge(NOW.plus(2 * WEEK)).counts.purged, 1 - gone);

        // Written by whoever had it open: back under its name, or beside it.
        for is_taken in [false, true] {
            let unit = Unit::new(dispose);
            let mut open = fs::OpenOptions::new().append(true).open(unit.case.root.join("job/deep/b")).unwrap();
            unit.killed();
            std::io::Write::write_all(&mut open, b"young").unwrap();
            let home = if is_taken {
                fs::create_dir(unit.case.root.join("job")).unwrap();
                unit.beside(1)
            } else {
                unit.case.root.join("job")
            };
            let tally = unit.case.purge(NOW.plus(SECOND));
            assert_eq!((tally.counts.purged, tally.errors_total), (0, 1), "{tally:?}");
            assert_eq!(fs::read_to_string(home.join("deep/b")).unwrap(), "judgedyoung");
            assert_eq!(fs::read_to_string(home.join("a")).unwrap(), "judged");
        }
    }
}

#[test]
fn notes_of_earlier_versions_tell_of_directories_by_their_sums() {
    for is_changed in [false, true] {
        let unit = Unit::new(Dispose::Delete);
        unit.killed();
        let notes = unit.case.aside().join("notes.jsonl");
        let text = fs::read_to_string(&notes).unwrap();
        let (start, rest) = text.split_once("\"all\":").unwrap();
        fs::write(&notes, unsummed(&format!("{start}{}", rest.split_once(',').unwrap().1))).unwrap();
        if is_changed {
            fs::remove_file(unit.aside().join("deep/c")).unwrap();
        }
        assert_eq!(unit.case.purge(NOW.plus(SECOND)).counts.purged, u64::from(!is_changed));
        assert_eq!(unit.case.root.join("job/deep/b").exists(), is_changed);
    }
}

#[test]
fn what_is_written_while_a_directory_is_emptied_is_kept() {
    let writes: [&dyn Fn(&Path); 4] = [
        &|job| fs::write(job.join("deep/young"), "young").unwrap(),
        &|job| fs::write(job.join("deep/b"), "young").unwrap(),
        &|job| fs::create_dir(job.join("young")).unwrap(),
        // Its stamp is set back, but not its `ctime`.
        &|job| {
            fs::write(job.join("a"), "young!").unwrap();
            let long_ago = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
            fs::File::options().write(true).open(job.join("a")).unwrap().set_modified(long_ago).unwrap();
        },
    ];
    let young = ["deep/young", "deep/b", "young", "a"];
    for (write, young) in writes.into_iter().zip(young) {
        for is_taken in [false, true] {
            let unit = Unit::new(Dispose::Delete);
            let outcome = unit.moves(
                |root| {
                    if is_taken {
                        fs::create_dir(root.join("job")).unwrap();
                    }
                },
                |_| write(&unit.aside()),
            );
            let Outcome::Displaced(place) = outcome else { panic!("{young}: {outcome:?}") };
            let home = if is_taken { unit.beside(1) } else { unit.case.root.join("job") };
            assert!(place.contains(young.rsplit('/').next().unwrap()), "{place}");
            assert!(home.join(young).exists() && !home.join("deep/c").exists(), "{young}");
            assert_eq!(unit.case.items(), []);
        }
    }
}

#[test]
fn what_was_deleted_of_a_directory_is_freed_whatever_becomes_of_the_rest() {
    let unit = Unit::new(Dispose::Delete);
    unit.killed();
    let allocated = |name: &str| fs::metadata(unit.aside().join(name)).unwrap().blocks() * 512;
    let freed = allocated("a") + allocated("deep/b");
    fs::write(unit.aside().join("deep/c"), "young").unwrap();
    let notes = unit.case.aside().join("notes.jsonl");
    fs::write(&notes, fs::read_to_string(&notes).unwrap() + "{\"emptying\":1}\n").unwrap();
    let counts = unit.case.purge(NOW.plus(SECOND)).counts;
    assert_eq!((counts.purged, counts.purged_bytes, counts.bytes_freed), (0, freed, freed));
}

#[test]
fn a_directory_that_nobody_writes_goes_whole_with_files_that_have_several_names_in_it() {
    let unit = Unit::new(Dispose::Delete);
    assert_eq!(unit.moves(|_| {}, |_| {}), Outcome::Removed);
    assert!(!unit.case.root.join("job").exists());
    assert!(!unit.case.aside().exists(), "not even its notes are left");
}

#[test]
fn an_emptying_that_was_cut_off_is_brought_to_its_end_but_for_what_was_written_since() {
    for is_written in [false, true] {
        let unit = Unit::new(Dispose::Delete);
        unit.killed();
        let notes = unit.case.aside().join("notes.jsonl");
        fs::write(&notes, fs::read_to_string(&notes).unwrap() + "{\"emptying\":1}\n").unwrap();
        fs::remove_file(unit.aside().join("deep/c")).unwrap();
        if is_written {
            fs::write(unit.aside().join("deep/young"), "young").unwrap();
        }
        let tally = unit.case.purge(NOW.plus(SECOND));
        assert_eq!((tally.counts.purged, tally.errors_total), if is_written { (0, 1) } else { (1, 0) }, "{tally:?}");
        assert_eq!(unit.case.root.join("job/deep/young").exists(), is_written);
        assert!(!unit.case.root.join("job/deep/b").exists());
        assert!(!unit.case.aside().exists());
    }
}

#[test]
fn where_a_file_system_cannot_refuse_to_replace_a_directory_takes_the_place_of_an_empty_one() {
    let unit = Unit::new(kept());
    unit.killed();
    let root = fs::File::open(&unit.case.root).unwrap();
    let aside = fs::File::open(unit.case.aside()).unwrap();
    let home = |name: &'static std::ffi::CStr| move_directory(aside.as_fd(), c"1", root.as_fd(), name);
    fs::create_dir(unit.case.root.join("job")).unwrap();
    fs::write(unit.case.root.join("file"), "another").unwrap();
    for taken in [c"job", c"file"] {
        assert_eq!(home(taken), Err(rustix::io::Errno::EXIST), "also an empty one of somebody else");
    }
    assert!(unit.aside().exists());
    assert_eq!(home(c"free"), Ok(()));
    assert_eq!(fs::read_to_string(unit.case.root.join("free/deep/b")).unwrap(), "judged");
    assert!(!unit.aside().exists());
}

/// Has the file system know less, until it is dropped.
struct Lacks;

impl Lacks {
    fn noreplace() -> Self {
        lacking::NOREPLACE.set(true);
        Self
    }

    fn links(self) -> Self {
        lacking::LINKS.set(true);
        self
    }
}

impl Drop for Lacks {
    fn drop(&mut self) {
        lacking::NOREPLACE.set(false);
        lacking::LINKS.set(false);
    }
}

#[test]
fn where_a_file_system_cannot_refuse_to_replace_all_comes_back_nevertheless() {
    let _lacks = Lacks::noreplace();
    let case = Case::new();
    assert_eq!(case.moves(|_| {}, |_| {}), Outcome::Quarantined);
    fs::write(case.root.join("file"), "another").unwrap();
    assert_eq!(case.restore(), [Returned::Conflict(super::Conflict::Exists)]);
    assert_eq!(case.content().as_deref(), Some("another"));
    fs::remove_file(case.root.join("file")).unwrap();
    assert_eq!(case.restore(), [Returned::Restored]);
    assert_eq!((case.content().as_deref(), case.aside().exists()), (Some("judged"), false));

    let unit = Unit::new(kept());
    unit.killed();
    fs::create_dir(unit.case.root.join("job")).unwrap();
    assert_eq!(unit.case.restore(), [Returned::Conflict(super::Conflict::Exists)]);
    fs::remove_dir(unit.case.root.join("job")).unwrap();
    assert_eq!(unit.case.restore(), [Returned::Restored]);
    assert_eq!(fs::read_to_string(unit.case.root.join("job/deep/b")).unwrap(), "judged");
}

#[test]
fn where_a_file_system_cannot_refuse_to_replace_a_restore_that_was_killed_ends_when_it_is_run_again() {
    let _lacks = Lacks::noreplace();
    let case = Case::new();
    assert_eq!(case.moves(|_| {}, |_| {}), Outcome::Quarantined);
    // Killed while it was tried whether things can come out, and between the two names of the file.
    for probe in ["probe", "probe-moved"] {
        fs::write(case.aside().join(probe), "").unwrap();
    }
    fs::hard_link(case.aside().join("1"), case.root.join("file")).unwrap();
    let [item] = &case.items()[..] else { panic!("{:?}", case.items()) };
    {
        let store = Store::open(&case.policy, Vec::new()).unwrap();
        let quarantine = store.quarantine(&|_| true).unwrap().unwrap();
        assert_eq!(quarantine.could_return(item), Returned::Restored, "what a dry run says");
    }
    assert_eq!(case.restore(), [Returned::Restored]);
    assert_eq!(case.content().as_deref(), Some("judged"));
    assert_eq!(fs::metadata(case.root.join("file")).unwrap().nlink(), 1);
    assert!(!case.aside().exists(), "neither the other name, nor a note, nor what was tried");
    assert_eq!(case.items(), []);
}

#[test]
fn where_a_file_system_cannot_refuse_to_replace_what_came_out_stays_when_its_other_name_is_purged() {
    let _lacks = Lacks::noreplace();
    let case = Case::new();
    assert_eq!(case.moves(|_| {}, |_| {}), Outcome::Quarantined);
    fs::hard_link(case.aside().join("1"), case.root.join("file")).unwrap();
    let tally = case.purge(NOW.plus(2 * WEEK));
    assert_eq!((case.content().as_deref(), tally.errors_total), (Some("judged"), 0), "{tally:?}");
    assert_eq!(tally.counts.bytes_freed, 0, "{tally:?}");
    assert!(!case.aside().exists());
}

#[test]
fn where_a_file_system_cannot_refuse_to_replace_an_unfinished_folder_is_in_nobodys_way() {
    let _lacks = Lacks::noreplace();
    let unit = Unit::new(kept());
    unit.killed();
    fs::create_dir(unit.case.aside().join("folder")).unwrap();
    for probe in ["probe", "probe-moved"] {
        fs::create_dir(unit.case.aside().join(probe)).unwrap();
    }
    assert_eq!(unit.case.restore(), [Returned::Restored]);
    assert_eq!(fs::read_to_string(unit.case.root.join("job/deep/b")).unwrap(), "judged");
    assert!(!unit.case.aside().exists());
}

#[test]
fn what_could_not_come_back_is_not_moved_in_the_first_place() {
    let _lacks = Lacks::noreplace().links();
    let case = Case::new();
    let (store, dir, judged) = case.looked();
    let move_in = store.remover.move_in.as_ref().unwrap();
    let stamp = Stamp { at: judged.modified, basis: Basis::Modified };
    let why = Remove::Expired {
        stamp,
        age: Age::Wall(Duration::from_hours(2)),
        limit: AgeLimit::MaxAge(MaxAge::new(Duration::from_hours(1)).unwrap()),
    };
    let name = Name { folder: b"", last: b"file" };
    let leaving = Leaving { name, identity: judged, fingerprint: None, bytes: 4096, why: &why, at: NOW };
    let refused = move_in.note(&store.tree, &[leaving]).unwrap_err();
    assert!(refused.contains("nothing could be restored from the quarantine"), "{refused}");
    drop((store, dir));
    assert_eq!(case.content().as_deref(), Some("judged"));
    assert_eq!(case.items(), []);
    // A whole directory needs no second name.
    let unit = Unit::new(kept());
    assert_eq!(unit.moves(|_| {}, |_| {}), Outcome::Quarantined);
}

/// A sweep of all files by one worker.
fn sweep(policy: &FilePolicy) -> Tally {
    let now = Moment::from_unix(4_000_000_000, 0);
    let store = Store::open(policy, Vec::new()).unwrap().with_jobs(crate::Jobs::Fixed(std::num::NonZero::<usize>::MIN));
    let store = store.into_quarantine(Arc::new(QuarantineRun::new("R1".to_owned())), now).unwrap();
    let run = cleanup_core::judge::Run::at(now);
    cleanup_core::sweep::sweep(&store, &policy.rule, &run, cleanup_core::sweep::Mode::Apply, &())
}

#[test]
fn the_notes_of_a_batch_are_synced_once_and_before_its_first_rename() {
    let case = Case::new();
    for number in 0..99 {
        fs::write(case.root.join(format!("file-{number}")), "due").unwrap();
    }
    watched::FAILS.set(true);
    let tally = sweep(&case.policy);
    watched::FAILS.set(false);
    assert_eq!((tally.counts.quarantined, tally.errors_total), (0, 100));
    assert!(tally.errors[0].error.contains("input/output error"), "{:?}", tally.errors);
    assert!(case.root.join("file-98").exists() && case.items().is_empty());

    let before = watched::CALLS.get();
    let tally = sweep(&case.policy);
    assert_eq!((tally.counts.quarantined, tally.errors_total), (100, 0), "{:?}", tally.errors);
    // The notes, the folder that they lie in, and the three above it.
    assert_eq!(watched::CALLS.get() - before, 5);
    assert_eq!(case.items().len(), 100);
}

#[test]
fn one_sync_serves_the_notes_of_many_folders_and_each_last_look_comes_after_it() {
    for (empty_dirs, is_planned) in [(EmptyDirs::Keep, false), (EmptyDirs::Judge, false), (EmptyDirs::Keep, true)] {
        let mut case = Case::new();
        case.policy.depth = Depth::UNLIMITED;
        case.policy.empty_dirs = empty_dirs;
        let long_ago = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let mut paths = Vec::new();
        for folder in 0..100 {
            let folder = format!("{}/{folder}", folder % 10);
            fs::create_dir_all(case.root.join(&folder)).unwrap();
            for name in 0..3 {
                let path = format!("{folder}/{name}");
                fs::write(case.root.join(&path), "due").unwrap();
                paths.push(path);
            }
        }
        for entry in walkdir::WalkDir::new(&case.root) {
            let times = fs::FileTimes::new().set_modified(long_ago);
            fs::File::open(entry.unwrap().path()).unwrap().set_times(times).unwrap();
        }
        let store = Store::open(&case.policy, Vec::new()).unwrap().with_jobs(Jobs::Fixed(NonZero::<usize>::MIN));
        let store = store.into_quarantine(Arc::new(QuarantineRun::new("R1".to_owned())), NOW).unwrap();
        let before = watched::CALLS.get();
        let writes = Writes { root: &case.root, done: AtomicBool::new(false) };
        let paths: Vec<&[u8]> = paths.iter().map(String::as_bytes).collect();
        let tally = if is_planned {
            cleanup_core::sweep::sweep(&store.select(&paths), &case.policy.rule, &Run::at(NOW), Mode::Apply, &writes)
        } else {
            cleanup_core::sweep::sweep(&store, &case.policy.rule, &Run::at(NOW), Mode::Apply, &writes)
        };
        // The folder of the run and the three above it; the notes of the first file alone, which is in the root; then all.
        assert!(watched::CALLS.get() - before <= 8, "{} syncs", watched::CALLS.get() - before);
        let files = 300 + u64::from(!is_planned);
        assert_eq!((tally.counts.due, tally.counts.changed), (files, 1), "what is written after the sync stays");
        assert_eq!((tally.counts.quarantined, tally.errors_total), (files - 1, 0), "{:?}", tally.errors);
        let dirs = if empty_dirs == EmptyDirs::Judge { 110 - 2 } else { 0 };
        assert_eq!(tally.counts.dirs_removed, dirs);
    }
}

/// Writes to a file of the last folders once the first one of a folder has been moved aside.
struct Writes<'a> {
    root: &'a Path,
    done: AtomicBool,
}

impl Observer for Writes<'_> {
    fn judged(&self, judged: &Judged<'_>) {
        if judged.candidate.name.folder.is_empty() || self.done.swap(true, Ordering::Relaxed) {
            return;
        }
        let left = walkdir::WalkDir::new(self.root).into_iter().filter_entry(|entry| entry.file_name() != ".cleanup");
        let last = left.map(Result::unwrap).filter(|entry| entry.file_type().is_file()).last().unwrap();
        fs::write(last.path(), "young").unwrap();
    }
}

#[test]
fn after_a_failed_sync_no_note_of_the_run_is_relied_on() {
    let case = Case::new();
    let (store, _dir, judged) = case.looked();
    let move_in = store.remover.move_in.as_ref().unwrap();
    let stamp = Stamp { at: judged.modified, basis: Basis::Modified };
    let why = Remove::Expired {
        stamp,
        age: Age::Wall(Duration::from_hours(2)),
        limit: AgeLimit::MaxAge(MaxAge::new(Duration::from_hours(1)).unwrap()),
    };
    let name = Name { folder: b"", last: b"file" };
    let note = || {
        let leaving = Leaving { name, identity: judged, fingerprint: None, bytes: 4096, why: &why, at: NOW };
        move_in.note(&store.tree, &[leaving]).map(|noted| noted.len())
    };
    assert_eq!(note(), Ok(1));
    watched::FAILS.set(true);
    let refused = note().unwrap_err();
    watched::FAILS.set(false);
    // The kernel tells of a lost page only once.
    assert_eq!(note(), Err(refused));
}

#[test]
fn a_number_that_was_noted_is_not_given_out_again_by_the_same_run() {
    let case = Case::new();
    let (store, _dir, judged) = case.looked();
    let stamp = Stamp { at: judged.modified, basis: Basis::Modified };
    let why = Remove::Expired {
        stamp,
        age: Age::Wall(Duration::from_hours(2)),
        limit: AgeLimit::MaxAge(MaxAge::new(Duration::from_hours(1)).unwrap()),
    };
    let leaving = |last| {
        let name = Name { folder: b"", last };
        Leaving { name, identity: judged, fingerprint: None, bytes: 4096, why: &why, at: NOW }
    };
    // Noted, and deferred in the end.
    let noted = store.remover.move_in.as_ref().unwrap().note(&store.tree, &[leaving(b"x"), leaving(b"y")]).unwrap();
    drop((noted, store));
    assert_eq!(case.moves(|_| {}, |_| {}), Outcome::Quarantined);
    assert!(case.aside().join("3").exists());
    assert_eq!(case.items()[0].path.as_deref(), Some(b"file".as_slice()));
}

#[test]
fn of_two_notes_for_one_number_the_later_counts() {
    let case = Case::new();
    assert_eq!(case.moves(|_| {}, |_| {}), Outcome::Quarantined);
    let notes = case.aside().join("notes.jsonl");
    let text = fs::read_to_string(&notes).unwrap();
    let (header, rest) = text.split_once('\n').unwrap();
    let earlier = unsummed(rest.lines().next().unwrap()).replace("\"file\"", "\"another\"");
    fs::write(&notes, format!("{header}\n{earlier}{rest}")).unwrap();
    let paths: Vec<_> = case.items().into_iter().map(|item| item.path.unwrap()).collect();
    assert_eq!(paths, [b"file".to_vec()]);
}

#[test]
fn a_directory_is_emptied_only_when_that_is_on_the_disk() {
    for is_taken in [false, true] {
        let unit = Unit::new(Dispose::Delete);
        let outcome = unit.moves(
            |_| {},
            |root| {
                if is_taken {
                    fs::create_dir(root.join("job")).unwrap();
                }
                watched::FAILS.set(true);
            },
        );
        watched::FAILS.set(false);
        let home = if is_taken { unit.beside(1) } else { unit.case.root.join("job") };
        match outcome {
            Outcome::Failed(why) if !is_taken => assert!(why.ends_with("it is back in its place"), "{why}"),
            Outcome::Displaced(why) if is_taken => assert!(why.ends_with("job.kept-by-cleanup-1"), "{why}"),
            outcome => panic!("{outcome:?}"),
        }
        assert_eq!(fs::read_to_string(home.join("deep/b")).unwrap(), "judged");
        assert_eq!(fs::read_to_string(home.join("deep/c")).unwrap(), "judged");
    }
}

#[test]
fn notes_stay_until_what_they_speak_of_is_back_on_the_disk() {
    let case = Case::new();
    assert_eq!(case.moves(|_| {}, |_| {}), Outcome::Quarantined);
    watched::FAILS.set(true);
    let returned = case.restore();
    watched::FAILS.set(false);
    assert_eq!((returned.as_slice(), case.content().as_deref()), ([Returned::Restored].as_slice(), Some("judged")));
    assert!(case.aside().join("notes.jsonl").exists());
    let before = watched::CALLS.get();
    case.purge(NOW.plus(WEEK + SECOND));
    assert_eq!((watched::CALLS.get() - before, case.aside().exists()), (1, false), "a later sweep takes them away");
}

#[test]
fn notes_of_several_workers_are_all_on_the_disk_before_any_of_them_goes_on() {
    let case = Case::new();
    let (store, _dir, judged) = case.looked();
    let move_in = store.remover.move_in.as_ref().unwrap();
    let stamp = Stamp { at: judged.modified, basis: Basis::Modified };
    let why = Remove::Expired {
        stamp,
        age: Age::Wall(Duration::from_hours(2)),
        limit: AgeLimit::MaxAge(MaxAge::new(Duration::from_hours(1)).unwrap()),
    };
    let note = || {
        let name = Name { folder: b"", last: b"file" };
        let leaving = Leaving { name, identity: judged, fingerprint: None, bytes: 4096, why: &why, at: NOW };
        move_in.note(&store.tree, &[leaving]).unwrap();
    };
    note();
    // Each counts its own.
    let syncs: u32 = std::thread::scope(|scope| {
        let worker = || {
            (0..50).for_each(|_| note());
            watched::CALLS.get()
        };
        let workers: Vec<_> = (0..8).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    assert!(syncs > 0, "nobody goes on by what was synced before");
    let notes = fs::read_to_string(case.aside().join("notes.jsonl")).unwrap();
    assert_eq!(notes.lines().filter(|line| line.starts_with("{\"n\":")).count(), 401);
}

impl Case {
    /// Somebody is moving something in, or emptying a directory: the lock that they have.
    fn busy(&self) -> fs::File {
        let notes = fs::File::open(self.aside().join("notes.jsonl")).unwrap();
        rustix::fs::flock(&notes, rustix::fs::FlockOperation::LockShared).unwrap();
        notes
    }
}

#[test]
fn a_sweep_passes_by_a_folder_in_which_somebody_else_is_at_work() {
    let mut unit = Unit::new(kept());
    unit.killed();
    let busy = unit.case.busy();
    fs::write(unit.aside().join("deep/b"), "half of something").unwrap();
    for dispose in [kept(), Dispose::Quarantine(Bounds { keep_for: SECOND, max_bytes: Some(0) }), Dispose::Delete] {
        unit.case.policy.dispose = dispose;
        let tally = unit.case.purge(NOW.plus(2 * WEEK));
        assert_eq!((tally.counts.purged, tally.errors_total), (0, 0), "{tally:?}");
    }
    let store = Store::open(&unit.case.policy, Vec::new()).unwrap();
    assert_eq!(store.quarantine(&|_| true).unwrap().unwrap().purge_for_space(u64::MAX).counts.purged, 0);
    assert!(unit.aside().join("a").exists());
    let notes = fs::read_to_string(unit.case.aside().join("notes.jsonl")).unwrap();
    assert!(!notes.contains("settled"), "nobody says that it was looked at: {notes}");
    drop(busy);
    assert_eq!(unit.case.purge(NOW.plus(2 * WEEK)).errors_total, 1);
    assert!(unit.case.root.join("job/deep/b").exists());
}

#[test]
fn a_directory_that_somebody_empties_is_not_restored() {
    let unit = Unit::new(kept());
    assert_eq!(unit.moves(|_| {}, |_| {}), Outcome::Quarantined);
    let busy = unit.case.busy();
    assert!(matches!(&unit.case.restore()[..], [Returned::Failed(why)] if why.contains("being moved or deleted")));
    assert!(unit.aside().join("deep/b").exists());
    drop(busy);
    assert_eq!(unit.case.restore(), [Returned::Restored]);
    assert!(unit.case.root.join("job/deep/b").exists());
}

#[test]
fn a_file_is_restored_whoever_is_at_work() {
    let case = Case::new();
    assert_eq!(case.moves(|_| {}, |_| {}), Outcome::Quarantined);
    let _busy = case.busy();
    assert_eq!(case.restore(), [Returned::Restored]);
}

#[test]
fn a_directory_is_purged_only_when_its_mark_is_on_the_disk() {
    let unit = Unit::new(kept());
    assert_eq!(unit.moves(|_| {}, |_| {}), Outcome::Quarantined);
    watched::FAILS.set(true);
    let tally = unit.case.purge(NOW.plus(WEEK + SECOND));
    watched::FAILS.set(false);
    assert_eq!((tally.counts.purged, tally.errors_total), (0, 1), "{tally:?}");
    assert!(errors(&tally)[0].contains("input/output error"), "{tally:?}");
    for name in ["a", "deep/a", "deep/b", "deep/c"] {
        assert!(unit.aside().join(name).exists(), "{name}");
    }
    assert_eq!(unit.case.purge(NOW.plus(WEEK + SECOND)).counts.purged, 1);
}

#[test]
fn a_mark_says_that_all_was_looked_at_only_when_what_went_back_is_on_the_disk() {
    let mark = "{\"settled\":[]";
    for fails in [false, true] {
        let case = Case::new();
        let write = |_: &Path| {
            fs::write(case.aside().join("1"), "young").unwrap();
            watched::FAILS.set(fails);
        };
        assert_eq!(case.moves(|_| {}, write), Outcome::Changed);
        watched::FAILS.set(false);
        let notes = fs::read_to_string(case.aside().join("notes.jsonl")).unwrap();
        assert_eq!(notes.contains(mark), !fails, "by the run that moved it: {notes}");

        // By the next sweep: one goes back, and one stays as it was judged.
        let case = Case::new();
        assert_eq!(case.moves(|_| {}, |_| {}), Outcome::Quarantined);
        fs::write(case.root.join("file"), "judged").unwrap();
        assert_eq!(case.moves(|_| {}, |_| {}), Outcome::Quarantined);
        case.unmark();
        fs::write(case.aside().join("1"), "young").unwrap();
        watched::FAILS.set(fails);
        assert_eq!(case.purge(NOW.plus(SECOND)).errors_total, 1);
        watched::FAILS.set(false);
        let notes = fs::read_to_string(case.aside().join("notes.jsonl")).unwrap();
        assert_eq!(notes.contains(mark), !fails, "by the next sweep: {notes}");
    }
}

#[test]
fn what_somebody_restored_before_the_second_look_was_moved_and_is_no_error() {
    let case = Case::new();
    let restored = |_: &Path| assert_eq!(case.restore(), [Returned::Restored]);
    assert_eq!(case.moves(|_| {}, restored), Outcome::Quarantined);
    assert_eq!(case.content().as_deref(), Some("judged"));
}

#[test]
fn what_changed_and_has_no_folder_to_go_back_to_stays_and_is_told_of() {
    let case = Case::new();
    let (store, root, _) = case.looked();
    fs::create_dir(case.root.join("folder")).unwrap();
    fs::rename(case.root.join("file"), case.root.join("folder/file")).unwrap();
    let home = entry::open_dir(&root, c"folder").unwrap();
    let judged = Meta::of_entry(&home, c"file", needs(&case.policy)).unwrap().identity();
    let moved = Case::rename(&store, &home, judged).unwrap();
    fs::write(case.aside().join("1"), "written since").unwrap();
    fs::remove_dir(case.root.join("folder")).unwrap();
    let outcome = moved.settle(home.as_fd(), c"file", &judged);
    let is_told = matches!(&outcome, Outcome::Failed(text) if text.contains("stays in quarantine"));
    assert!(is_told, "{outcome:?}");
    assert_eq!(fs::read_to_string(case.aside().join("1")).unwrap(), "written since");
}

#[test]
fn a_mark_that_a_directory_is_being_emptied_means_nothing_of_a_file() {
    let case = Case::new();
    assert_eq!(case.moves(|_| {}, |_| {}), Outcome::Quarantined);
    let notes = case.aside().join("notes.jsonl");
    // One of an earlier version, which had no checksum, and was damaged.
    fs::write(&notes, fs::read_to_string(&notes).unwrap() + "{\"emptying\":1}\n").unwrap();
    let tally = case.purge(NOW.plus(SECOND));
    assert_eq!((tally.counts.purged, tally.errors_total, case.items().len()), (0, 0, 1));
}

#[test]
fn a_damaged_note_is_none_and_costs_no_other_one() {
    let case = Case::new();
    assert_eq!(case.moves(|_| {}, |_| {}), Outcome::Quarantined);
    let notes = case.aside().join("notes.jsonl");
    let whole = fs::read_to_string(&notes).unwrap();
    for (from, to) in
        [("\"file\"", "\"fild\""), ("{\"n\":1", "{\"n\":2"), ("\"crc32\"", "\"brc32\""), ("2033-", "2032-")]
    {
        let (header, rest) = whole.split_once('\n').unwrap();
        let damaged = rest.replacen(from, to, 1);
        assert_ne!(damaged, rest, "{from}");
        fs::write(&notes, format!("{header}\n{damaged}")).unwrap();
        assert_eq!(case.items().into_iter().map(|item| item.path).collect::<Vec<_>>(), [None], "{from}");
        assert_eq!(case.purge(NOW.plus(2 * WEEK)).counts.purged, 0, "of unknown origin");
        // One for the same number, damaged, behind the right one.
        fs::write(&notes, format!("{whole}{}\n", damaged.lines().next().unwrap())).unwrap();
        assert_eq!(case.items()[0].path.as_deref(), Some(b"file".as_slice()), "{from}");
    }
}

#[test]
fn where_the_header_is_lost_nothing_is_deleted_for_its_sake() {
    let mut case = Case::new();
    assert_eq!(case.moves(|_| {}, |_| {}), Outcome::Quarantined);
    let notes = case.aside().join("notes.jsonl");
    let damaged = fs::read_to_string(&notes).unwrap().replacen("keep_for_seconds\":60", "keep_for_seconds\":00", 1);
    fs::write(&notes, damaged).unwrap();
    case.policy.dispose = Dispose::Delete;
    assert_eq!(case.purge(NOW.plus(100 * WEEK)).counts.purged, 0);
    case.policy.dispose = kept();
    assert_eq!(case.purge(NOW.plus(100 * WEEK)).counts.purged, 1);
}
