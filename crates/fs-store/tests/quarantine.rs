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

fn expire(policy: &FilePolicy, bounds: Option<Quarantine>, now: Moment) -> (u64, u64) {
    let store = Store::open(policy, Vec::new()).unwrap();
    let Some(quarantine) = store.quarantine(&|_| true).unwrap() else { return (0, 0) };
    let tally = quarantine.expire(bounds, now);
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
        fs::write(&notes, text).unwrap();
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
        chown(own, Some(65534), Some(65534)).unwrap();
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
    assert_eq!(expire(&policy, bounds, NOW.plus(HOUR)), (0, 0), "to the moment: not yet");
    assert_eq!(expire(&policy, None, NOW.plus(2 * HOUR)), (0, 0), "its own time counts where the policy has none");
    assert_eq!(expire(&policy, bounds, NOW.plus(HOUR + Duration::from_secs(1))), (2, 8192));
    assert_eq!(fs::read_dir(root.path().join(".cleanup/quarantine")).unwrap().count(), 0);
    assert_eq!(expire(&policy, bounds, NOW.plus(2 * HOUR)), (0, 0));
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
    assert_eq!(expire(&policy, max(6), NOW), (0, 0));
    assert_eq!(expire(&policy, max(3), NOW), (3, 3 * 4096));
    let left = |policy| items(policy).into_iter().map(|item| item.run).collect::<Vec<_>>();
    assert_eq!(left(&policy), ["R2", "R3", "R3"]);

    let store = Store::open(&policy, Vec::new()).unwrap();
    let purged = store.quarantine(&|_| true).unwrap().unwrap().purge(5000).counts;
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
        let tally = store.quarantine(&|_| true).unwrap().unwrap().expire(bounds, now);
        assert_eq!((tally.counts.purged, tally.errors_total), (0, 1), "{tally:?}");
        assert!(tally.errors[0].error.contains("moves it out by hand"), "{tally:?}");
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
    // Everything in it goes, but somebody still has it open.
    let bounds = Some(Quarantine { keep_for: HOUR, max_bytes: None });
    assert_eq!(expire(&policy, bounds, NOW.plus(2 * HOUR)).0, 1);
    file(&root.path().join("second"), 2 * HOUR);
    assert_eq!(sweep(&store, &policy.rule, &run(), Mode::Apply, &()).counts.quarantined, 1);
    assert_eq!(items(&policy)[0].path.as_deref(), Some(b"second".as_slice()), "its note was not lost");
    drop(store);
    assert_eq!(expire(&policy, bounds, NOW.plus(2 * HOUR)).0, 1);
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
