//! Quarantine and restore over whole sweeps: what goes comes back as it was, nothing is ever written over, and a
//! quarantine that is not ours is refused.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests are tests")]

mod common;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use cleanup_core::moment::Moment;
use cleanup_core::policy::{Dispose, FilePolicy, Quarantine};
use cleanup_core::report::Tally;
use cleanup_core::sweep::{Mode, sweep};
use cleanup_fs_store::{Conflict, Item, QuarantineError, QuarantineRun, Returned, Store};
use common::{HOUR, file, run, tree};

const WEEK: Duration = Quarantine::KEEP_FOR;
const NOW: Moment = Moment::from_unix(2_000_000_000, 0);

fn quarantining(root: &Path) -> FilePolicy {
    let dispose = Dispose::Quarantine(Quarantine { keep_for: WEEK, max_bytes: None });
    FilePolicy { dispose, ..common::policy(root) }
}

fn sweep_into(policy: &FilePolicy, id: &str) -> Tally {
    let store = Store::open(policy, Vec::new()).unwrap();
    let store = store.into_quarantine(Arc::new(QuarantineRun::new(id.to_owned())), run().now).unwrap();
    sweep(&store, &policy.rule, &run(), Mode::Apply, &())
}

fn items(policy: &FilePolicy) -> Vec<Item> {
    let store = Store::open(policy, Vec::new()).unwrap();
    let mut items = Vec::new();
    if let Some(quarantine) = store.quarantine(&|_| true).unwrap() {
        assert_eq!(quarantine.items(&|_| true, &mut |item| items.push(item)), []);
    }
    items
}

fn restore(policy: &FilePolicy, items: &[Item]) -> BTreeMap<Vec<u8>, Returned> {
    let store = Store::open(policy, Vec::new()).unwrap();
    let quarantine = store.quarantine(&|_| true).unwrap().unwrap();
    let mut all = BTreeMap::new();
    let items: Vec<&Item> = items.iter().collect();
    quarantine.restore(&items, &mut |item, returned| {
        all.insert(item.path.clone().unwrap_or_default(), returned);
    });
    all
}

fn purge(policy: &FilePolicy, bounds: Option<Quarantine>, now: Moment) -> (u64, u64) {
    let store = Store::open(policy, Vec::new()).unwrap();
    let Some(quarantine) = store.quarantine(&|_| true).unwrap() else { return (0, 0) };
    let tally = quarantine.purge(bounds, now);
    assert_eq!(tally.errors_total, 0, "{:?}", tally.errors);
    (tally.counts.purged, tally.counts.purged_bytes)
}

/// Everything that a rename leaves as it is.
fn facts(path: &Path) -> (Vec<u8>, u64, u32, i64, i64, i64, i64) {
    let meta = fs::metadata(path).unwrap();
    let times = (meta.mtime(), meta.mtime_nsec(), meta.atime(), meta.atime_nsec());
    (fs::read(path).unwrap(), meta.ino(), meta.mode(), times.0, times.1, times.2, times.3)
}

#[test]
fn what_goes_comes_back_byte_for_byte_with_its_times_by_whatever_name() {
    let root = tempfile::tempdir().unwrap();
    let longest = "x".repeat(255);
    let names: &[&[u8]] = &[
        b"plain",
        b"new\nline",
        b"\xff\xfe",
        b"{\"n\":1}",
        b"\x1b[2J",
        b"-rf",
        b"quote\"back\\slash",
        "\u{202e}gvs".as_bytes(),
        longest.as_bytes(),
        b"deep/er/file",
        b"notes.jsonl",
        b"1",
    ];
    for (index, name) in names.iter().enumerate() {
        let path = file(&root.path().join(OsStr::from_bytes(name)), 2 * HOUR);
        fs::write(&path, format!("content {index}")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let nanos = Duration::from_nanos(123_456_789);
        let modified = common::now() - 2 * HOUR + nanos;
        // Newer than anything else, so that no mount takes a reading down.
        let times = fs::FileTimes::new().set_modified(modified).set_accessed(common::now() + nanos);
        fs::File::open(&path).unwrap().set_times(times).unwrap();
    }
    let young = file(&root.path().join("young"), HOUR / 2);
    let all = || names.iter().map(|name| facts(&root.path().join(OsStr::from_bytes(name)))).collect::<Vec<_>>();
    let before = all();

    let policy = quarantining(root.path());
    let tally = sweep_into(&policy, "R1");
    assert_eq!((tally.counts.quarantined, tally.counts.removed), (names.len() as u64, 0), "{:?}", tally.errors);
    assert!(names.iter().all(|name| !root.path().join(OsStr::from_bytes(name)).exists()) && young.exists());

    fs::remove_dir_all(root.path().join("deep")).unwrap();
    let returned = restore(&policy, &items(&policy));
    assert!(returned.values().all(|returned| *returned == Returned::Restored), "{returned:?}");
    assert_eq!(all(), before);
    assert_eq!(items(&policy), []);
    assert_eq!(fs::read_dir(root.path().join(".cleanup/quarantine")).unwrap().count(), 0, "its folder goes with it");
    assert_eq!(fs::metadata(root.path().join("deep")).unwrap().mode() & 0o777, 0o755);
}

#[test]
fn nothing_is_ever_written_over() {
    let root = tempfile::tempdir().unwrap();
    let policy = quarantining(root.path());
    let (taken, blocked) = (root.path().join("taken"), root.path().join("sub/blocked"));
    file(&taken, 2 * HOUR);
    file(&blocked, 2 * HOUR);
    sweep_into(&policy, "R1");
    fs::write(&taken, "new").unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::remove_dir(root.path().join("sub")).unwrap();
    symlink(elsewhere.path(), root.path().join("sub")).unwrap();

    let aside = items(&policy);
    let store = Store::open(&policy, Vec::new()).unwrap();
    let quarantine = store.quarantine(&|_| true).unwrap().unwrap();
    let foreseen: Vec<_> = aside.iter().map(|item| quarantine.could_return(item)).collect();
    assert_eq!(foreseen.len(), 2);
    assert!(foreseen.contains(&Returned::Conflict(Conflict::Exists)));
    assert!(foreseen.contains(&Returned::Conflict(Conflict::OnTheWay)));
    let returned = restore(&policy, &aside);
    assert_eq!(returned[b"taken".as_slice()], Returned::Conflict(Conflict::Exists));
    assert_eq!(returned[b"sub/blocked".as_slice()], Returned::Conflict(Conflict::OnTheWay));
    assert_eq!(fs::read_to_string(&taken).unwrap(), "new");
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0, "no link is followed");
    assert_eq!(items(&policy).len(), 2, "what cannot come back stays where it is");
}

#[test]
fn a_note_cannot_lead_out_of_the_root() {
    for path in ["../out", "a/../../out", "/out", ".cleanup/x", "", "a//b", "."] {
        let root = tempfile::tempdir().unwrap();
        let policy = quarantining(root.path());
        file(&root.path().join("file"), 2 * HOUR);
        sweep_into(&policy, "R1");
        let notes = root.path().join(".cleanup/quarantine/R1-test/notes.jsonl");
        let text = fs::read_to_string(&notes).unwrap().replace("\"path\":\"file\"", &format!("\"path\":\"{path}\""));
        // As earlier versions wrote it: with its checksum it would count as damaged.
        let unsummed = |line: &str| line.split_once(",\"crc32\"").unwrap().0.to_owned() + "}\n";
        fs::write(&notes, text.lines().map(unsummed).collect::<String>()).unwrap();
        let returned = restore(&policy, &items(&policy));
        assert_eq!(returned[path.as_bytes()], Returned::Conflict(Conflict::NoPath), "{path}");
    }
}

/// What is said of a quarantine that was prepared like this, and that nothing was touched.
#[track_caller]
fn refused(prepare: impl Fn(&Path)) -> QuarantineError {
    let root = tempfile::tempdir().unwrap();
    let due = file(&root.path().join("due"), 2 * HOUR);
    prepare(&root.path().join(".cleanup"));
    let policy = quarantining(root.path());
    let store = Store::open(&policy, Vec::new()).unwrap();
    let run = Arc::new(QuarantineRun::new("R1".to_owned()));
    let error = store.into_quarantine(run, NOW).expect_err("it is not ours");
    let store = Store::open(&policy, Vec::new()).unwrap();
    assert_eq!(store.quarantine(&|_| true).err(), Some(error.clone()));
    // Even a caller that goes on deletes nothing.
    let tally = sweep(&store, &policy.rule, &common::run(), Mode::Apply, &());
    assert_eq!((tally.counts.quarantined, tally.counts.removed), (0, 0));
    assert!(tally.errors_total > 0);
    assert!(due.exists());
    error
}

#[test]
fn a_quarantine_that_is_not_ours_alone_is_refused() {
    let private = |path: &Path, mode| {
        fs::create_dir(path).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    for mode in [0o755, 0o770, 0o701] {
        let error = refused(|own| private(own, mode));
        assert!(matches!(error, QuarantineError::Open { .. }) && error.to_string().contains("chmod 700"), "{error}");
    }
    let error = refused(|own| {
        private(own, 0o700);
        private(&own.join("quarantine"), 0o750);
    });
    assert!(error.to_string().contains(".cleanup/quarantine"), "{error}");

    let elsewhere = tempfile::tempdir().unwrap();
    private(&elsewhere.path().join("quarantine"), 0o700);
    for error in [
        refused(|own| symlink(elsewhere.path(), own).unwrap()),
        refused(|own| fs::write(own, "").unwrap()),
        refused(|own| {
            private(own, 0o700);
            symlink(elsewhere.path().join("quarantine"), own.join("quarantine")).unwrap();
        }),
    ] {
        assert!(matches!(error, QuarantineError::NotAFolder { .. }), "{error}");
    }

    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED in part: only root can give a folder to another user, or mount");
        return;
    }
    let error = refused(|own| {
        private(own, 0o700);
        private(&own.join("quarantine"), 0o700);
        chown(own.join("quarantine"), Some(65534), Some(65534)).unwrap();
    });
    assert!(matches!(error, QuarantineError::Stranger { uid: 65534, .. }), "{error}");
    let mounted = std::cell::RefCell::new(None::<PathBuf>);
    let error = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        refused(|own| {
            private(own, 0o700);
            let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "mode=700", "tmpfs"]).arg(own).status();
            assert!(mount.is_ok_and(|status| status.success()), "SKIPPED: this process may not mount");
            mounted.replace(Some(own.to_owned()));
        })
    }));
    if let Some(own) = mounted.into_inner() {
        // The root is gone by now, but for what is mounted in it.
        let _ = Command::new("umount").arg(&own).status();
        let _ = fs::remove_dir_all(own.parent().unwrap());
        let error = error.unwrap();
        assert!(matches!(error, QuarantineError::OtherMount { .. }), "{error}");
    }
}

#[test]
fn a_folder_of_another_run_that_is_not_ours_costs_nothing_but_its_own_files() {
    let root = tempfile::tempdir().unwrap();
    let policy = quarantining(root.path());
    for id in ["R1", "R2"] {
        file(&root.path().join(id), 2 * HOUR);
        sweep_into(&policy, id);
    }
    let folder = root.path().join(".cleanup/quarantine/R1-test");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    let store = Store::open(&policy, Vec::new()).unwrap();
    let mut seen = Vec::new();
    let unreadable = store.quarantine(&|_| true).unwrap().unwrap().items(&|_| true, &mut |item| seen.push(item.run));
    assert_eq!((seen, unreadable.len()), (vec!["R2".to_owned()], 1));
    assert!(unreadable[0].1.contains("chmod 700"), "{unreadable:?}");
}

#[test]
fn what_has_been_there_long_enough_is_deleted_and_its_folder_with_it() {
    let root = tempfile::tempdir().unwrap();
    let policy = quarantining(root.path());
    for id in ["R1", "R2"] {
        file(&root.path().join(id), 2 * HOUR);
        sweep_into(&policy, id);
    }
    let bounds = Some(Quarantine { keep_for: HOUR, max_bytes: None });
    assert_eq!(purge(&policy, bounds, NOW.plus(HOUR)), (0, 0), "to the moment: not yet");
    assert_eq!(purge(&policy, None, NOW.plus(2 * HOUR)), (0, 0), "its own time counts where the policy has none");
    assert_eq!(purge(&policy, bounds, NOW.plus(HOUR + Duration::from_secs(1))), (2, 8192));
    assert_eq!(fs::read_dir(root.path().join(".cleanup/quarantine")).unwrap().count(), 0);
    assert_eq!(purge(&policy, bounds, NOW.plus(2 * HOUR)), (0, 0));
}

#[test]
fn the_oldest_go_first_when_it_is_too_much() {
    let root = tempfile::tempdir().unwrap();
    let policy = quarantining(root.path());
    for id in ["R1", "R2", "R3"] {
        for name in ["a", "b"] {
            file(&root.path().join(id).join(name), 2 * HOUR);
        }
        sweep_into(&policy, id);
    }
    let max = |blocks: u64| Some(Quarantine { keep_for: WEEK, max_bytes: Some(blocks * 4096) });
    assert_eq!(purge(&policy, max(6), NOW), (0, 0));
    assert_eq!(purge(&policy, max(3), NOW), (3, 3 * 4096));
    let left = |policy| items(policy).into_iter().map(|item| item.run).collect::<Vec<_>>();
    assert_eq!(left(&policy), ["R2", "R3", "R3"]);

    let store = Store::open(&policy, Vec::new()).unwrap();
    let purged = store.quarantine(&|_| true).unwrap().unwrap().purge_for_space(5000).counts;
    assert_eq!((purged.purged, purged.purged_bytes), (2, 8192), "until so much was given back");
    assert_eq!(left(&policy), ["R3"]);
}

#[test]
fn a_file_of_unknown_origin_is_told_of_in_every_run_and_deleted_in_none() {
    let root = tempfile::tempdir().unwrap();
    let policy = quarantining(root.path());
    file(&root.path().join("due"), 2 * HOUR);
    sweep_into(&policy, "R1");
    fs::remove_file(root.path().join(".cleanup/quarantine/R1-test/notes.jsonl")).unwrap();
    let found = items(&policy);
    assert_eq!((found.len(), &found[0].path), (1, &None));
    assert_eq!(restore(&policy, &found)[b"".as_slice()], Returned::Conflict(Conflict::NoPath));
    let aside_at = found[0].at;
    let bounds = Some(Quarantine { keep_for: WEEK, max_bytes: Some(0) });
    let store = Store::open(&policy, Vec::new()).unwrap();
    for now in [aside_at, aside_at.plus(WEEK), aside_at.plus(100 * WEEK)] {
        // Nobody knows whether it was looked at after it was moved.
        let tally = store.quarantine(&|_| true).unwrap().unwrap().purge(bounds, now);
        assert_eq!((tally.counts.purged, tally.errors_total), (0, 1), "{tally:?}");
        assert!(tally.errors[0].error.contains("move it out by hand"), "{tally:?}");
    }
    assert_eq!(items(&policy).len(), 1);
}

#[test]
fn nobody_takes_a_folder_away_while_files_move_into_it() {
    let root = tempfile::tempdir().unwrap();
    let policy = quarantining(root.path());
    let id = Arc::new(QuarantineRun::new("R1".to_owned()));
    let open = || Store::open(&policy, Vec::new()).unwrap().into_quarantine(Arc::clone(&id), NOW).unwrap();
    let store = open();
    file(&root.path().join("first"), 2 * HOUR);
    assert_eq!(sweep(&store, &policy.rule, &run(), Mode::Apply, &()).counts.quarantined, 1);
    let bounds = Some(Quarantine { keep_for: HOUR, max_bytes: None });
    assert_eq!(purge(&policy, bounds, NOW.plus(2 * HOUR)).0, 0, "somebody is still at work in it");
    // Nothing is left in it, but somebody still has it open.
    assert_eq!(restore(&policy, &items(&policy))[b"first".as_slice()], Returned::Restored);
    fs::remove_file(root.path().join("first")).unwrap();
    file(&root.path().join("second"), 2 * HOUR);
    assert_eq!(sweep(&store, &policy.rule, &run(), Mode::Apply, &()).counts.quarantined, 1);
    assert_eq!(items(&policy)[0].path.as_deref(), Some(b"second".as_slice()), "its note was not lost");
    drop(store);
    assert_eq!(purge(&policy, bounds, NOW.plus(2 * HOUR)).0, 1);
    assert!(!root.path().join(".cleanup/quarantine/R1-test").exists());
    // The same run goes on where a folder was taken away.
    file(&root.path().join("third"), 2 * HOUR);
    assert_eq!(sweep(&open(), &policy.rule, &run(), Mode::Apply, &()).counts.quarantined, 1);
    assert_eq!(items(&policy)[0].number, 3);
}

#[test]
fn policies_that_share_a_root_keep_apart() {
    let root = tempfile::tempdir().unwrap();
    let mut policy = quarantining(root.path());
    for name in ["one", "two-three"] {
        policy.rule.name = name.to_owned();
        file(&root.path().join(name), 2 * HOUR);
        sweep_into(&policy, "R1");
    }
    let store = Store::open(&policy, Vec::new()).unwrap();
    let mut seen = Vec::new();
    store
        .quarantine(&|name| name == "two-three")
        .unwrap()
        .unwrap()
        .items(&|_| true, &mut |item| seen.push(item.path.unwrap()));
    assert_eq!(seen, [b"two-three"]);
}

#[test]
fn a_plan_and_an_empty_run_leave_nothing_behind() {
    let root = tempfile::tempdir().unwrap();
    let policy = quarantining(root.path());
    sweep_into(&policy, "R1");
    assert!(!root.path().join(".cleanup").exists());
    file(&root.path().join("due"), 2 * HOUR);
    assert_eq!(common::plan(&policy).counts.due, 1);
    assert_eq!(tree(root.path()).len(), 1);
}

#[test]
fn quarantine_is_private_and_never_a_candidate() {
    let root = tempfile::tempdir().unwrap();
    let policy = quarantining(root.path());
    file(&root.path().join("due"), 2 * HOUR);
    sweep_into(&policy, "R1");
    for folder in [".cleanup", ".cleanup/quarantine", ".cleanup/quarantine/R1-test"] {
        assert_eq!(fs::metadata(root.path().join(folder)).unwrap().mode() & 0o777, 0o700, "{folder}");
    }
    assert_eq!(sweep_into(&policy, "R2").counts.matched, 0);
    assert_eq!(items(&policy).len(), 1);
}

/// Who may do what in a folder.
fn access(path: &Path) -> (u32, u32, u32) {
    let meta = fs::metadata(path).unwrap();
    (meta.uid(), meta.gid(), meta.mode() & 0o7777)
}

fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("owners are not tested: that needs root");
    }
    is_root
}

#[test]
fn folders_that_are_gone_come_back_as_they_were() {
    let root = tempfile::tempdir().unwrap();
    let (secret, shared) = (root.path().join("secret"), root.path().join("secret/deep/shared"));
    for number in 0..3 {
        file(&shared.join(format!("file-{number}")), 2 * HOUR);
    }
    file(&secret.join("file"), 2 * HOUR);
    if is_root() {
        chown(&secret, Some(1234), Some(2345)).unwrap();
        chown(&shared, Some(33), Some(44)).unwrap();
    }
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o2770)).unwrap();
    let before = [&secret, &secret.join("deep"), &shared].map(|path| access(path));

    let policy = quarantining(root.path());
    assert_eq!(sweep_into(&policy, "R1").counts.quarantined, 4);
    fs::remove_dir_all(&secret).unwrap();
    let returned = restore(&policy, &items(&policy));
    assert!(returned.values().all(|returned| *returned == Returned::Restored), "{returned:?}");
    assert_eq!([&secret, &secret.join("deep"), &shared].map(|path| access(path)), before);
}

/// A folder with a file in it, for few people, that was swept away and is gone; and who might do what in it.
fn gone(root: &Path, mode: u32) -> (FilePolicy, (u32, u32, u32)) {
    let shared = root.join("shared");
    file(&shared.join("file"), 2 * HOUR);
    if is_root() {
        chown(&shared, Some(1234), Some(2345)).unwrap();
    }
    fs::set_permissions(&shared, fs::Permissions::from_mode(mode)).unwrap();
    let (before, policy) = (access(&shared), quarantining(root));
    assert_eq!(sweep_into(&policy, "R1").counts.quarantined, 1);
    fs::remove_dir_all(&shared).unwrap();
    (policy, before)
}

#[test]
fn a_restore_that_was_killed_after_making_a_folder_leaves_none_that_is_narrower() {
    // Just made; with its owner; with its permissions too; and with some that nobody would give it.
    let steps: [fn(&Path); 4] = [
        |_| {},
        |made| {
            if is_root() {
                chown(made, Some(1234), Some(2345)).unwrap();
            }
        },
        |made| fs::set_permissions(made, fs::Permissions::from_mode(0o2775)).unwrap(),
        |made| fs::set_permissions(made, fs::Permissions::from_mode(0o000)).unwrap(),
    ];
    for step in steps {
        let root = tempfile::tempdir().unwrap();
        let (policy, before) = gone(root.path(), 0o2775);
        let made = root.path().join(".cleanup/quarantine/R1-test/folder");
        fs::create_dir(&made).unwrap();
        fs::set_permissions(&made, fs::Permissions::from_mode(0o700)).unwrap();
        step(&made);

        // A sweep takes it for nothing, and nothing in the root looks finished.
        assert_eq!(purge(&policy, None, NOW), (0, 0));
        assert!(!root.path().join("shared").exists());
        let items = items(&policy);
        assert_eq!(items.len(), 1);
        assert_eq!(restore(&policy, &items).into_values().collect::<Vec<_>>(), [Returned::Restored]);
        assert_eq!(access(&root.path().join("shared")), before);
        assert!(!root.path().join(".cleanup/quarantine/R1-test").exists(), "nothing is left of it");
    }
}

#[test]
fn a_folder_has_its_name_only_when_it_is_as_it_was() {
    use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
    let root = tempfile::tempdir().unwrap();
    let (policy, before) = gone(root.path(), 0o2775);
    let watch = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
    let all = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ATTRIB;
    inotify::add_watch(&watch, root.path(), all).unwrap();
    let items = items(&policy);
    assert_eq!(restore(&policy, &items).into_values().collect::<Vec<_>>(), [Returned::Restored]);
    assert_eq!(access(&root.path().join("shared")), before);

    // So whoever is killed at any moment leaves it as it was, or not there.
    let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
    let (mut reader, mut happened) = (inotify::Reader::new(&watch, &mut buffer), Vec::new());
    while let Ok(event) = reader.next() {
        if event.file_name().is_some_and(|name| name == c"shared") {
            happened.push(event.events().difference(ReadFlags::ISDIR));
        }
    }
    assert_eq!(happened, [ReadFlags::MOVED_TO]);
}

/// `user::rwx,user:1234:---,group::r-x,mask::r-x,other::r-x`, as the kernel keeps it.
const ACL: [u8; 44] = {
    let mut acl = [0; 44];
    acl[0] = 2;
    let entries =
        [(0x01_u8, 7_u8, u32::MAX), (0x02, 0, 1234), (0x04, 5, u32::MAX), (0x10, 5, u32::MAX), (0x20, 5, u32::MAX)];
    let mut index = 0;
    while index < entries.len() {
        let (tag, permissions, id) = entries[index];
        let (at, id) = (4 + 8 * index, id.to_le_bytes());
        acl[at] = tag;
        acl[at + 2] = permissions;
        let mut byte = 0;
        while byte < 4 {
            acl[at + 4 + byte] = id[byte];
            byte += 1;
        }
        index += 1;
    }
    acl
};

#[test]
fn folders_come_back_with_their_access_control_lists_and_attributes() {
    let root = tempfile::tempdir().unwrap();
    let (with, without) = (root.path().join("with"), root.path().join("without"));
    for folder in [&with, &without] {
        file(&folder.join("file"), 2 * HOUR);
    }
    let flags = rustix::fs::XattrFlags::empty();
    let is_set = rustix::fs::setxattr(&with, "system.posix_acl_access", &ACL, flags)
        .and_then(|()| rustix::fs::setxattr(&with, "user.origin", b"\0\xff", flags));
    if is_set.is_err() {
        return eprintln!("not tested: this file system knows no access control lists");
    }
    let policy = quarantining(root.path());
    assert_eq!(sweep_into(&policy, "R1").counts.quarantined, 2);
    for folder in [&with, &without] {
        fs::remove_dir_all(folder).unwrap();
    }
    // What the folder above would have its new folders begin with must not stay.
    rustix::fs::setxattr(root.path(), "system.posix_acl_default", &ACL, flags).unwrap();
    restore(&policy, &items(&policy));
    let value = |path: &Path, name: &str| {
        let mut buffer = [0; 256];
        let length = rustix::fs::getxattr(path, name, &mut buffer)?;
        Ok::<_, rustix::io::Errno>(buffer[..length].to_vec())
    };
    assert_eq!(value(&with, "system.posix_acl_access"), Ok(ACL.to_vec()));
    assert_eq!(value(&with, "user.origin"), Ok(b"\0\xff".to_vec()));
    for folder in [&with, &without] {
        assert_eq!(access(folder).2, 0o755);
        assert_eq!(value(folder, "system.posix_acl_default"), Err(rustix::io::Errno::NODATA));
    }
    assert_eq!(value(&without, "system.posix_acl_access"), Err(rustix::io::Errno::NODATA));
}

#[test]
fn a_folder_of_which_there_is_no_note_comes_back_for_the_owner_of_its_file_alone() {
    let root = tempfile::tempdir().unwrap();
    let path = file(&root.path().join("a/b/file"), 2 * HOUR);
    let owner = if is_root() { (1234, 2345) } else { (access(&path).0, access(&path).1) };
    chown(&path, Some(owner.0), Some(owner.1)).unwrap();
    let policy = quarantining(root.path());
    sweep_into(&policy, "R1");
    fs::remove_dir_all(root.path().join("a")).unwrap();
    // As earlier versions wrote them.
    let notes = root.path().join(".cleanup/quarantine/R1-test/notes.jsonl");
    let text = fs::read_to_string(&notes).unwrap();
    assert_eq!(text.matches("{\"folder\"").count(), 2, "{text}");
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with("{\"folder\"")).collect();
    fs::write(&notes, lines.join("\n") + "\n").unwrap();

    assert_eq!(restore(&policy, &items(&policy)).into_values().collect::<Vec<_>>(), [Returned::Restored]);
    for folder in ["a", "a/b"] {
        assert_eq!(access(&root.path().join(folder)), (owner.0, owner.1, 0o700));
    }
}

/// The names in a root that are our folders.
fn own_folders(root: &Path) -> Vec<String> {
    let names = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(".cleanup-")).collect()
}

#[test]
fn a_stranger_who_takes_our_name_holds_nothing_back() {
    if !is_root() {
        return;
    }
    let squats: [&dyn Fn(&Path); 3] =
        [&|own| fs::create_dir(own).unwrap(), &|own| fs::write(own, "").unwrap(), &|own| symlink("/etc", own).unwrap()];
    for squat in squats {
        let root = tempfile::tempdir().unwrap();
        let (squatted, guessed) = (root.path().join(".cleanup"), root.path().join(".cleanup-0123456789abcdef"));
        squat(&squatted);
        fs::create_dir(&guessed).unwrap();
        for path in [&squatted, &guessed] {
            std::os::unix::fs::lchown(path, Some(65534), Some(65534)).unwrap();
        }
        let policy = quarantining(root.path());
        file(&root.path().join("a"), 2 * HOUR);
        assert_eq!(sweep_into(&policy, "R1").counts.quarantined, 1);
        let ours: Vec<_> = own_folders(root.path()).into_iter().filter(|name| !guessed.ends_with(name)).collect();
        assert_eq!(ours.len(), 1, "{ours:?}");
        assert_eq!(access(&root.path().join(&ours[0])), (0, 0, 0o700));

        file(&root.path().join("b"), 2 * HOUR);
        assert_eq!(sweep_into(&policy, "R2").counts.quarantined, 1);
        assert_eq!(own_folders(root.path()).len(), 2, "the same one is used again");
        let store = Store::open(&policy, Vec::new()).unwrap();
        assert_eq!(store.own_folders(), [ours[0].as_bytes()]);
        assert_eq!(store.classify(ours[0].as_bytes()), cleanup_fs_store::Classified::Own);

        // It goes on being read when the name is free again, and whatever the policy is by then.
        fs::remove_dir(&squatted).or_else(|_| fs::remove_file(&squatted)).unwrap();
        assert_eq!(items(&policy).len(), 2);
        let later = FilePolicy { dispose: Dispose::Delete, ..policy.clone() };
        let store = Store::open(&later, Vec::new()).unwrap().with_own_folders(&[ours[0].clone().into_bytes()]);
        assert!(store.quarantine(&|_| true).unwrap().is_some());

        let returned = restore(&policy, &items(&policy)[..1]);
        assert_eq!(returned.into_values().collect::<Vec<_>>(), [Returned::Restored]);
        assert!(root.path().join("a").exists());
        let now = run().now;
        assert_eq!(purge(&policy, Some(Quarantine { keep_for: WEEK, max_bytes: None }), now.plus(2 * WEEK)).0, 1);
        assert_eq!(fs::read_dir(root.path().join(&ours[0]).join("quarantine")).unwrap().count(), 0);
        assert!(!squatted.exists());
    }
}

#[test]
fn a_remembered_name_is_no_way_out_of_the_root() {
    let root = tempfile::tempdir().unwrap();
    let policy = quarantining(root.path());
    for name in [b"..".as_slice(), b"../x", b".cleanup-x", b"other", b".cleanup-0123456789abcdef/x", b""] {
        let store = Store::open(&policy, Vec::new()).unwrap().with_own_folders(&[name.to_owned()]);
        assert_eq!((store.own_folders().len(), store.quarantine(&|_| true).unwrap().is_none()), (0, true));
    }
}

fn allocated(path: &Path) -> u64 {
    fs::metadata(path).unwrap().blocks() * 512
}

#[test]
fn what_was_moved_aside_is_freed_when_it_is_deleted_for_good() {
    let root = tempfile::tempdir().unwrap();
    let policy = quarantining(root.path());
    let bytes: u64 = ["a", "sub/b"].iter().map(|name| allocated(&file(&root.path().join(name), 2 * HOUR))).sum();
    let counts = sweep_into(&policy, "R1").counts;
    assert_eq!((counts.quarantined, counts.quarantined_bytes, counts.bytes_freed), (2, bytes, 0));
    let store = Store::open(&policy, Vec::new()).unwrap();
    let quarantine = store.quarantine(&|_| true).unwrap().unwrap();
    let counts = quarantine.purge(None, NOW.plus(2 * WEEK)).counts;
    assert_eq!((counts.purged, counts.purged_bytes, counts.bytes_freed), (2, bytes, bytes));
}

#[test]
fn a_file_in_quarantine_with_a_name_elsewhere_is_not_freed_when_it_is_deleted_for_good() {
    let (root, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let policy = quarantining(root.path());
    let path = file(&root.path().join("a"), 2 * HOUR);
    fs::hard_link(&path, elsewhere.path().join("b")).unwrap();
    assert_eq!(sweep_into(&policy, "R1").counts.quarantined, 1);
    assert_eq!(purge(&policy, None, NOW.plus(2 * WEEK)), (1, 0));
}
