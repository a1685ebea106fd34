//! Accidents and attacks: whatever happens to the tree while it is swept, nothing outside the root is touched, and
//! nothing that changed after it was judged.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests are tests")]

mod common;

use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use cleanup_core::pattern::Dotfiles;
use cleanup_core::policy::{EmptyDirs, FilePolicy, MaxAge, StampKind};
use cleanup_core::report::Tally;
use cleanup_core::sweep::{Mode, sweep};
use cleanup_fs_store::{Classified, FileId, RootError, Store, check_access_times_of};
use common::{HOUR, Once, apply, apply_watched, file, now, plan, policy, run, set_modified, tree};

/// A folder outside the root whose files are as old as everything else.
fn victim() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let victim = file(&folder.path().join("due"), 2 * HOUR);
    (folder, victim)
}

#[test]
fn a_folder_that_becomes_a_link_in_mid_sweep_leads_nowhere() {
    let (root, (outside, victim)) = (tempfile::tempdir().unwrap(), victim());
    file(&root.path().join("first"), 2 * HOUR);
    file(&root.path().join("sub/due"), 2 * HOUR);
    // The root's own files come first; by then `sub` is known as a folder, and is entered next.
    let tally = apply_watched(
        &policy(root.path()),
        &Once::new(|| {
            fs::rename(root.path().join("sub"), root.path().join("moved")).unwrap();
            symlink(outside.path(), root.path().join("sub")).unwrap();
        }),
    );
    assert!(victim.exists());
    assert_eq!((tally.counts.removed, tally.errors_total), (1, 1));
    assert_eq!(tally.errors[0].path, "sub");
    assert!(tally.errors[0].error.contains("replaced by something else"), "{}", tally.errors[0].error);
}

#[test]
fn a_file_that_becomes_a_link_between_judging_and_removing_is_kept() {
    let (root, (_outside, victim)) = (tempfile::tempdir().unwrap(), victim());
    let names = ["a", "b"].map(|name| file(&root.path().join(name), 2 * HOUR));
    // Both are offered in one batch; whichever goes first, the other one is replaced before its turn.
    let tally = apply_watched(
        &policy(root.path()),
        &Once::new(|| {
            for path in names.iter().filter(|path| path.exists()) {
                fs::remove_file(path).unwrap();
                symlink(&victim, path).unwrap();
            }
        }),
    );
    assert!(victim.exists());
    assert_eq!((tally.counts.removed, tally.counts.changed), (1, 1));
    assert_eq!(tree(root.path()).len(), 1, "the link itself stays as well");
}

/// Sweeps two due files, of which the one that is not first in turn meets with an accident.
fn accident(accident: impl Fn(&Path) + Sync) -> Tally {
    let root = tempfile::tempdir().unwrap();
    let names = ["a", "b"].map(|name| file(&root.path().join(name), 2 * HOUR));
    apply_watched(
        &policy(root.path()),
        &Once::new(|| names.iter().filter(|path| path.exists()).for_each(|path| accident(path))),
    )
}

#[test]
fn what_changed_after_it_was_judged_stays() {
    let written = accident(|path| fs::write(path, "new").unwrap());
    assert_eq!((written.counts.removed, written.counts.changed), (1, 1));

    let replaced = accident(|path| {
        fs::remove_file(path).unwrap();
        // The same name, size and mtime: only inode and ctime differ.
        file(path, 2 * HOUR);
    });
    assert_eq!((replaced.counts.removed, replaced.counts.changed), (1, 1));

    let linked = accident(|path| fs::hard_link(path, path.with_extension("link")).unwrap());
    assert_eq!((linked.counts.removed, linked.counts.changed), (1, 1));

    let gone = accident(|path| fs::remove_file(path).unwrap());
    assert_eq!((gone.counts.removed, gone.counts.vanished, gone.errors_total), (1, 1, 0));
}

#[test]
fn a_tree_moved_away_below_the_walk_is_given_up_not_followed() {
    let (root, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // Deep enough for the upper descriptors to be given up, with a due file at the very bottom, met first, and one
    // in a folder next to the way that is still to be walked.
    let bottom = (0..40).fold(root.path().to_owned(), |path, _| path.join("d"));
    file(&bottom.join("due"), 2 * HOUR);
    let middle = root.path().join("d/d/d/d");
    let bystander = file(&elsewhere.path().join("bystander/due"), 2 * HOUR);
    let tally = apply_watched(
        &FilePolicy { empty_dirs: EmptyDirs::Judge, ..policy(root.path()) },
        &Once::new(|| fs::rename(&middle, elsewhere.path().join("d")).unwrap()),
    );
    assert!(bystander.exists());
    assert_eq!((tally.counts.removed, tally.errors_total), (1, 1));
    assert_eq!(tally.errors[0].path, "d");
    assert!(tally.errors[0].error.starts_with("moved away"), "{}", tally.errors[0].error);
}

#[test]
fn only_regular_files_are_candidates() {
    let (root, (_outside, victim)) = (tempfile::tempdir().unwrap(), victim());
    symlink(&victim, root.path().join("link")).unwrap();
    symlink("nowhere", root.path().join("dangling")).unwrap();
    let _socket = UnixListener::bind(root.path().join("socket")).unwrap();
    let fifo = root.path().join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, 0o600.into()).unwrap();
    let tally = apply(&policy(root.path()));
    assert_eq!((tally.counts.due, tally.counts.left_alone, tally.errors_total), (0, 4, 0));
    assert_eq!(tree(root.path()).len(), 4);
    assert!(victim.exists());
}

#[test]
fn the_other_names_of_a_file_are_untouched() {
    let (root, (_outside, victim)) = (tempfile::tempdir().unwrap(), victim());
    fs::hard_link(&victim, root.path().join("name")).unwrap();
    assert_eq!(apply(&policy(root.path())).counts.removed, 1);
    assert_eq!(fs::read_to_string(&victim).unwrap(), "content");
}

#[test]
fn hostile_names_are_names() {
    let root = tempfile::tempdir().unwrap();
    let names: &[&[u8]] = &[
        b"new\nline",
        b"-rf",
        b"--help",
        b"\x1b[2J",
        "\u{202e}gvs".as_bytes(),
        b"\xff\xfe",
        b"*",
        b"[a-",
        b"$(reboot)",
        b" ",
        b"...",
        b"\\",
        &[b'x'; 255],
    ];
    for name in names {
        file(&root.path().join(std::ffi::OsStr::from_bytes(name)), 2 * HOUR);
    }
    let mut policy = policy(root.path());
    policy.patterns = policy.patterns.with_dotfiles(Dotfiles::Match);
    let tally = apply(&policy);
    assert_eq!((tally.counts.removed, tally.errors_total), (names.len() as u64, 0));
}

#[test]
fn stamps_at_the_ends_of_time_neither_panic_nor_delete() {
    let root = tempfile::tempdir().unwrap();
    let year_2500 = SystemTime::UNIX_EPOCH + Duration::from_secs(16_725_225_600);
    set_modified(&file(&root.path().join("future"), HOUR), year_2500);
    set_modified(&file(&root.path().join("just ahead"), HOUR), now() + Duration::from_nanos(1));
    set_modified(&file(&root.path().join("before 1970"), HOUR), SystemTime::UNIX_EPOCH - 1000 * HOUR);
    let tally = apply(&policy(root.path()));
    assert_eq!((tally.counts.kept.future, tally.counts.removed), (2, 1));
}

#[test]
fn looking_leaves_no_trace() {
    let root = tempfile::tempdir().unwrap();
    file(&root.path().join("sub/due"), 2 * HOUR);
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let times = std::fs::FileTimes::new().set_accessed(long_ago).set_modified(now());
    for folder in [root.path().to_owned(), root.path().join("sub")] {
        File::open(folder).unwrap().set_times(times).unwrap();
    }
    assert_eq!(plan(&FilePolicy { stamp: StampKind::Modified, ..policy(root.path()) }).counts.due, 1);
    for folder in [root.path().to_owned(), root.path().join("sub")] {
        assert_eq!(fs::metadata(folder).unwrap().atime(), 1_000_000_000);
    }
}

#[test]
fn spared_files_are_never_candidates() {
    let root = tempfile::tempdir().unwrap();
    let config = file(&root.path().join("cleanup.toml"), 2 * HOUR);
    file(&root.path().join("due"), 2 * HOUR);
    let policy = policy(root.path());
    let store = Store::open(&policy, vec![FileId::of(&config).unwrap()]).unwrap();
    assert_eq!(store.classify(b"cleanup.toml"), Classified::Own);
    let tally = sweep(&store, &policy.rule, &run(), Mode::Apply, &());
    assert_eq!((tally.counts.removed, tally.counts.left_alone), (1, 1));
    assert!(config.exists());
}

#[test]
fn a_root_is_a_folder_and_no_link() {
    let folder = tempfile::tempdir().unwrap();
    let open = |path: &Path| Store::open(&policy(path), Vec::new()).map(drop);
    let (real, link, plain) = (folder.path().join("real"), folder.path().join("link"), folder.path().join("plain"));
    fs::create_dir_all(real.join("sub")).unwrap();
    symlink(&real, &link).unwrap();
    fs::write(&plain, "").unwrap();

    assert!(open(&real).is_ok());
    assert!(open(&link.join("sub")).is_ok(), "an earlier link that is ours is followed");
    assert!(open(&real.join("../real/./sub/")).is_ok());
    assert!(matches!(open(&link), Err(RootError::Link { .. })));
    assert!(matches!(open(&plain), Err(RootError::NotADirectory { .. })));
    assert!(matches!(open(&plain.join("sub")), Err(RootError::NotADirectory { .. })));
    assert!(matches!(open(&folder.path().join("none/sub")), Err(RootError::Missing { .. })));
    assert!(matches!(open(Path::new("relative")), Err(RootError::Relative { .. })));
    for slash in ["/", "//", "/.", "/tmp/..", "/proc/self/root/tmp/.."] {
        assert!(matches!(open(Path::new(slash)), Err(RootError::Slash { .. })), "{slash}");
    }
    symlink("loop", folder.path().join("loop")).unwrap();
    assert!(matches!(open(&folder.path().join("loop/sub")), Err(RootError::TooManyLinks { .. })));
}

#[test]
fn a_strangers_link_on_the_way_to_the_root_is_refused() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("NOT TESTED: links of other users (only root can make one)");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (real, link) = (folder.path().join("real"), folder.path().join("link"));
    fs::create_dir_all(real.join("sub")).unwrap();
    symlink(&real, &link).unwrap();
    let open = || Store::open(&policy(&link.join("sub")), Vec::new()).map(drop);
    assert!(open().is_ok());

    std::os::unix::fs::lchown(&link, Some(65534), None).unwrap();
    assert!(matches!(open(), Err(RootError::StrangersLink { .. })), "the link is a stranger's");
    std::os::unix::fs::lchown(&link, Some(0), None).unwrap();
    std::os::unix::fs::chown(folder.path(), Some(65534), None).unwrap();
    assert!(matches!(open(), Err(RootError::StrangersLink { .. })), "the folder that it lies in is a stranger's");
}

/// A mount for the length of a test.
struct Mounted(PathBuf);

impl Mounted {
    /// `None` where this process may not mount, which is said aloud.
    fn new(arguments: &[&str], at: &Path) -> Option<Self> {
        let done = Command::new("mount").args(arguments).arg(at).output().is_ok_and(|output| output.status.success());
        if !done {
            eprintln!("NOT TESTED: mount {} (not permitted here)", arguments.join(" "));
        }
        done.then(|| Self(at.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn what_is_mounted_below_the_root_is_never_entered() {
    let (root, (outside, victim)) = (tempfile::tempdir().unwrap(), victim());
    for name in ["bind", "tmpfs"] {
        fs::create_dir(root.path().join(name)).unwrap();
    }
    let shown = file(&root.path().join("file"), 2 * HOUR);
    file(&root.path().join("due"), 2 * HOUR);

    let bind = Mounted::new(&["--bind", outside.path().to_str().unwrap()], &root.path().join("bind"));
    let tmpfs = Mounted::new(&["-t", "tmpfs", "tmpfs"], &root.path().join("tmpfs"));
    let on_file = Mounted::new(&["--bind", victim.to_str().unwrap()], &shown);
    let (Some(_bind), Some(_tmpfs), Some(_on_file)) = (bind, tmpfs, on_file) else { return };
    let below = file(&root.path().join("tmpfs/due"), 2 * HOUR);

    let policy = FilePolicy { empty_dirs: EmptyDirs::Judge, ..policy(root.path()) };
    assert_eq!(Store::open(&policy, Vec::new()).unwrap().classify(b"bind/due"), Classified::OtherMount);
    let tally = apply(&policy);
    assert_eq!((tally.counts.removed, tally.counts.left_alone, tally.errors_total), (1, 3, 0));
    assert!(victim.exists() && below.exists() && root.path().join("bind/due").exists());
}

#[test]
fn a_look_agrees_with_the_walk() {
    let (root, (outside, _victim)) = (tempfile::tempdir().unwrap(), victim());
    file(&root.path().join("sub/due"), 2 * HOUR);
    file(&root.path().join("skip/due"), 2 * HOUR);
    symlink(outside.path(), root.path().join("link")).unwrap();
    let mut policy = policy(root.path());
    policy.patterns = cleanup_core::pattern::Patterns::new(&["due"], &["skip"], &[]).unwrap();
    let store = Store::open(&policy, Vec::new()).unwrap();
    assert!(matches!(store.classify(b"sub/due"), Classified::Candidate(_)));
    assert_eq!(store.classify(b"skip/due"), Classified::Excluded);
    assert_eq!(store.classify(b"link/due"), Classified::BehindLink);
    assert_eq!(store.classify(b"sub"), Classified::Folder);
    assert_eq!(store.classify(b"link"), Classified::NotNamed);
    assert_eq!(store.classify(b"sub/none"), Classified::Missing);
    assert_eq!(store.classify(b"../due"), Classified::Missing);
}

#[test]
fn access_times_count_only_where_the_mount_records_them() {
    let dir = tempfile::tempdir().unwrap();
    let by_access = |root: &Path, hours: u64| {
        let mut policy = FilePolicy { stamp: StampKind::Accessed, ..policy(root) };
        policy.rule.max_age = MaxAge::new(Duration::from_hours(hours));
        policy
    };
    let records = |policy: &FilePolicy| Store::open(policy, Vec::new()).unwrap().records_stamp();
    let mounted = |name: &str, options: &str| {
        let at = dir.path().join(name);
        fs::create_dir(&at).unwrap();
        Mounted::new(&["-t", "tmpfs", "-o", options, "tmpfs"], &at)
    };
    let (Some(none), Some(daily)) = (mounted("none", "noatime"), mounted("daily", "relatime")) else { return };
    let (Some(all), Some(files)) = (mounted("all", "strictatime"), mounted("files", "nodiratime,strictatime")) else {
        return;
    };

    let error = records(&by_access(&none.0, 1000)).unwrap_err();
    assert!(matches!(error, RootError::NoAccessTimes { option: "noatime", .. }), "{error}");
    assert!(error.to_string().contains("set `stamp = \"newest\"`"), "{error}");
    for stamp in [StampKind::Newest, StampKind::Modified, StampKind::Changed, StampKind::Born] {
        assert!(records(&FilePolicy { stamp, ..by_access(&none.0, 1) }).is_ok(), "{stamp:?} does not rest on it");
    }
    let error = records(&by_access(&daily.0, 47)).unwrap_err();
    assert!(matches!(error, RootError::CoarseAccessTimes { .. }), "{error}");
    assert!(error.to_string().contains("`max_age = \"1d 23h\"`") || error.to_string().contains("47h"), "{error}");
    assert!(records(&by_access(&daily.0, 48)).is_ok());
    assert!(records(&by_access(&all.0, 1)).is_ok());
    assert!(records(&by_access(&files.0, 1)).is_ok());
    let error = records(&FilePolicy { empty_dirs: EmptyDirs::Judge, ..by_access(&files.0, 1) }).unwrap_err();
    assert!(matches!(error, RootError::NoAccessTimes { option: "nodiratime", .. }), "{error}");

    // Two mounts of one file system, each with flags of its own.
    let other = dir.path().join("other");
    fs::create_dir(&other).unwrap();
    let Some(other) = Mounted::new(&["--bind", all.0.to_str().unwrap()], &other) else { return };
    assert!(records(&by_access(&other.0, 1)).is_ok());
    let remounted = Command::new("mount").args(["-o", "remount,bind,noatime"]).arg(&other.0).status().unwrap();
    assert!(remounted.success());
    assert!(records(&by_access(&other.0, 1)).is_err());
    assert!(records(&by_access(&all.0, 1)).is_ok());

    let week = Duration::from_hours(168);
    assert!(check_access_times_of(&none.0.join("not/yet/there"), week).is_err(), "the mount that it would lie on");
    assert!(check_access_times_of(&daily.0, week).is_ok());
    assert!(check_access_times_of(&daily.0, HOUR).is_err());
}
