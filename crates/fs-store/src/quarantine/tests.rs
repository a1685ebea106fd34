//! What can happen between two steps of moving a file aside: each step is taken by itself, and something in between.

use std::fs;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cleanup_core::candidate::{Basis, Class, Identity, Name, Stamp};
use cleanup_core::config::{Config, Source};
use cleanup_core::moment::Moment;
use cleanup_core::policy::{FilePolicy, MaxAge};
use cleanup_core::store::Outcome;
use cleanup_core::verdict::{Age, AgeLimit, Remove};

use super::aside::{Aside, Moved, link_out};
use super::note::Leaving;
use super::{Item, QuarantineRun};
use crate::Store;
use crate::entry::{Meta, needs};

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
        let dir = store.root.reopen().unwrap();
        let judged = Meta::of_entry(&dir, c"file", needs(&self.policy)).unwrap().identity();
        (store, dir, judged)
    }

    fn rename(store: &Store<'_>, dir: &std::os::fd::OwnedFd, judged: Identity) -> Result<Moved, Outcome> {
        let aside: &Aside = store.aside.as_ref().unwrap();
        let why = Remove::Expired {
            stamp: Stamp { at: judged.modified, basis: Basis::Modified },
            age: Age::Wall(Duration::from_hours(2)),
            limit: AgeLimit::MaxAge(MaxAge::new(Duration::from_hours(1)).unwrap()),
        };
        let name = Name { folder: b"", last: b"file" };
        let leaving = Leaving { name, identity: judged, bytes: 4096, why: &why, at: NOW };
        aside.rename(store, dir.as_fd(), c"file", &leaving)
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
    assert!(why.contains("safe in quarantine"), "{why}");
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
    let line = whole.lines().last().unwrap();
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
    let home = home.root.reopen().unwrap();
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
    let file =
        crate::remove::File { name: c"file", class: Class::Archive, bytes: 0, stamp, arrival: stamp, identity: judged };
    let why = Remove::Expired {
        stamp,
        age: Age::Wall(Duration::from_hours(2)),
        limit: AgeLimit::MaxAge(MaxAge::new(Duration::from_hours(1)).unwrap()),
    };
    let outcome = store.aside.as_ref().unwrap().take(&store, dir.as_fd(), b"", &file, &why);
    assert_eq!(outcome, Outcome::Quarantined);
    assert_eq!(case.items()[0].path.as_deref(), Some(b"file".as_slice()));
}
