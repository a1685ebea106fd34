//! Opens a policy's root: the only place where a path is used.
//!
//! The path is walked one component at a time, each with `O_NOFOLLOW`. `openat2` with `RESOLVE_NO_SYMLINKS` would do
//! it in one call, but sandboxes deny it, so it is never relied on.
//!
//! The last component must be a directory itself: a link there is refused, because whoever can put a link in its
//! place chooses what is deleted. In an earlier component a link is followed by hand, but only where the link and the
//! folder that it lies in belong to root or to the running user; anybody else's link is refused for the same reason.

use std::collections::VecDeque;
use std::ffi::{CStr, OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use cleanup_core::candidate::Escaped;
use cleanup_core::duration::Human;
use cleanup_core::policy::{EmptyDirs, FilePolicy, MaxAge, StampKind};
use cleanup_core::rank::FileSystem;
use cleanup_core::report::Space;
use rustix::fs::{Access, AtFlags, FlockOperation, Mode, OFlags, StatVfsMountFlags};
use rustix::io::Errno;

use super::entry::{self, FileId, Meta, Mount};

/// The name of the folder that `fsck` keeps for what it finds.
const LOST_AND_FOUND: &[u8] = b"lost+found";

/// How many links a path may lead through, as in the kernel.
const MAX_LINKS: u32 = 40;

/// With `relatime` a read may be recorded a day late; below twice that, `atime` tells too little.
const RELATIME: Duration = Duration::from_hours(48);

/// Why a root cannot be opened, or not be used. Each names the root.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// It does not exist: nothing to do rather than a failure.
    #[error("no such folder: {}", shown(.root))]
    Missing {
        /// The root as configured.
        root: PathBuf,
    },
    /// Its last component is a symbolic link.
    #[error("the root {} is a symbolic link; name the folder that it points to instead", shown(.root))]
    Link {
        /// The root as configured.
        root: PathBuf,
    },
    /// A component is no directory.
    #[error("{} is not a folder", shown(.at))]
    NotADirectory {
        /// The offending path.
        at: PathBuf,
    },
    /// It is `/`, by whatever name.
    #[error("the root {} is the whole file system; name a folder below it", shown(.root))]
    Slash {
        /// The root as configured.
        root: PathBuf,
    },
    /// An earlier component is a link that a stranger controls.
    #[error(
        "{} on the path to {} is a symbolic link that another user owns or could replace; use a path without it",
        shown(.link),
        shown(.root)
    )]
    StrangersLink {
        /// The link.
        link: PathBuf,
        /// The root as configured.
        root: PathBuf,
    },
    /// The path leads through too many links.
    #[error("the root {} leads through more than {MAX_LINKS} symbolic links", shown(.root))]
    TooManyLinks {
        /// The root as configured.
        root: PathBuf,
    },
    /// The path is not absolute.
    #[error("the root {} is not an absolute path", shown(.root))]
    Relative {
        /// The root as configured.
        root: PathBuf,
    },
    /// Its mount does not record when files are read, and that is what the policy goes by.
    #[error(
        "`stamp = \"atime\"` cannot be used in {}: its mount has `{option}`, so the kernel does not record when {what}; \
         set `stamp = \"newest\"` or `\"mtime\"`, or mount it with `strictatime`",
        shown(.root)
    )]
    NoAccessTimes {
        /// The root as configured.
        root: PathBuf,
        /// The mount option.
        option: &'static str,
        /// What is read without a trace, in words.
        what: &'static str,
    },
    /// Its mount records reads once in 24 hours, and the policy's age is too short for that.
    #[error(
        "`stamp = \"atime\"` with `max_age = \"{}\"` cannot be used in {}: its mount has `relatime`, so the kernel \
         records a read only once in 24 hours; set `max_age` to at least 48h, or `stamp = \"newest\"` or `\"mtime\"`, \
         or mount it with `strictatime`",
        Human(*.max_age),
        shown(.root)
    )]
    CoarseAccessTimes {
        /// The root as configured.
        root: PathBuf,
        /// The policy's age.
        max_age: Duration,
    },
    /// The system refuses.
    #[error("cannot open the root {}: {}: {error}", shown(.root), shown(.at))]
    Unreadable {
        /// The root as configured.
        root: PathBuf,
        /// The component at which it failed.
        at: PathBuf,
        /// Why.
        error: Errno,
    },
}

/// A root that is locked until this is dropped.
#[derive(Debug)]
#[must_use]
pub struct LockedRoot(#[expect(dead_code, reason = "it is held for its lock")] OwnedFd);

/// Why a root could not be locked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RootLocked {
    /// Somebody holds a lock on it: not now.
    #[error("another program has locked the root (honour_flock); the next run tries again")]
    ByOther,
    /// This file system has no such locks, or refuses them.
    #[error("cannot check the lock of the root (honour_flock): {0}")]
    Unknown(String),
}

fn shown(path: &Path) -> Escaped<'_> {
    Escaped(path.as_os_str().as_bytes())
}

/// An opened root.
#[derive(Debug)]
pub(crate) struct Root {
    fd: OwnedFd,
    id: FileId,
    mount: Mount,
    /// Whether something is mounted right here: it is the uppermost folder of its mount.
    is_uppermost: bool,
    has_stable_inodes: bool,
}

/// File systems that may give a file another inode number when it is met again, by their `statfs` number: FAT, exFAT,
/// FUSE, 9P.
const UNSTABLE_INODES: [u32; 4] = [0x4d44, 0x2011_bab0, 0x6573_5546, 0x0102_1997];

impl Root {
    pub(crate) fn open(path: &Path) -> Result<Self, RootError> {
        let folder = Ascent::new(path)?.climb()?;
        let at_root = |error| RootError::Unreadable { root: path.to_owned(), at: path.to_owned(), error };

        let fd = entry::open_dir(&folder, c".").map_err(at_root)?;
        let meta = Meta::of(&fd).map_err(at_root)?;
        let slash = rustix::fs::open("/", PATH_ONLY, Mode::empty()).and_then(Meta::of).map_err(at_root)?;
        if meta.id == slash.id {
            return Err(RootError::Slash { root: path.to_owned() });
        }
        // Where the kernel does not tell of mounts, what lies above is on another one, or on another device.
        let above = Meta::of_entry(&fd, c"..", entry::ALWAYS).map(|above| above.mount);
        let is_uppermost = meta.is_mount_point || above.is_ok_and(|above| above != meta.mount);
        let mut root = Self { fd, id: meta.id, mount: meta.mount, is_uppermost, has_stable_inodes: true };
        root.has_stable_inodes = !UNSTABLE_INODES.into_iter().any(|magic| root.is_on(magic));
        Ok(root)
    }

    /// Whether a file that is met again later, after a restart even, has the inode number that it had.
    pub(crate) fn has_stable_inodes(&self) -> bool {
        self.has_stable_inodes
    }

    /// Whether an entry of the root is the folder that `fsck` keeps for what it finds: `lost+found`, directly below the
    /// root of a mount, owned by root. It belongs to the file system.
    pub(crate) fn is_lost_and_found(&self, name: &[u8], meta: &Meta) -> bool {
        self.is_uppermost && name == LOST_AND_FOUND && meta.is_dir() && meta.uid == 0
    }

    /// A descriptor of its own, so that every pass reads the folder from its beginning.
    pub(crate) fn reopen(&self) -> Result<OwnedFd, Errno> {
        entry::open_dir(&self.fd, c".")
    }

    /// Whether this name in the root is the file system's own `lost+found`; see [`Self::is_lost_and_found`]. Asks the kernel only
    /// where the name fits.
    pub(crate) fn has_lost_and_found(&self, name: &CStr) -> bool {
        self.is_uppermost
            && name.to_bytes() == LOST_AND_FOUND
            && Meta::of_entry(&self.fd, name, entry::ALWAYS)
                .is_ok_and(|meta| self.is_lost_and_found(name.to_bytes(), &meta))
    }

    /// Whether a path leads to this very folder, by this very mount. Who or what has led there meanwhile is of no
    /// account: the folder is the one that was reached by a way that could be trusted.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::statx(rustix::fs::CWD, path, flags, entry::needs_stamp(StampKind::Modified))
            .map(|statx| Meta::from(&statx))
            .is_ok_and(|meta| meta.id == self.id && meta.mount == self.mount && meta.is_dir())
    }

    /// Whether the effective user may write and enter it.
    pub(crate) fn may_remove(&self) -> Result<(), Errno> {
        let wanted = Access::WRITE_OK | Access::EXEC_OK;
        rustix::fs::accessat(&self.fd, c".", wanted, AtFlags::EACCESS)
    }

    pub(crate) fn lock(&self) -> Result<LockedRoot, RootLocked> {
        // By a descriptor of its own: ours may be kept open for other stores.
        let own = self.reopen().map_err(|error| RootLocked::Unknown(entry::in_words(error)))?;
        match rustix::fs::flock(&own, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(LockedRoot(own)),
            Err(Errno::WOULDBLOCK) => Err(RootLocked::ByOther),
            Err(error) => Err(RootLocked::Unknown(entry::in_words(error))),
        }
    }

    pub(crate) fn id(&self) -> FileId {
        self.id
    }

    pub(crate) fn file_system(&self) -> Option<String> {
        let id = rustix::fs::fstatvfs(&self.fd).ok()?.f_fsid;
        (id != 0).then(|| format!("{id:x}"))
    }

    /// Whether its mount records the moments that a policy goes by: `atime` is written only where the mount says so.
    /// The flags are those of the mount, which may differ between two mounts of one file system.
    pub(crate) fn records(&self, policy: &FilePolicy) -> Result<(), RootError> {
        // `newest` takes what `atime` says only in addition.
        if policy.stamp != StampKind::Accessed {
            return Ok(());
        }
        let root = &policy.root;
        let unreadable = |error| RootError::Unreadable { root: root.clone(), at: root.clone(), error };
        let flags = rustix::fs::fstatvfs(&self.fd).map_err(unreadable)?.f_flag;
        check_access_times(root, flags, policy.rule.max_age.map(MaxAge::get), policy.empty_dirs)
    }

    /// Whether this is true of it, or of any folder above it. Where those cannot be opened, nobody can tell.
    pub(crate) fn is_or_lies_in(&self, is_wanted: &dyn Fn(&FileId) -> bool) -> bool {
        let mut here = self.id;
        let mut dir = rustix::fs::openat(&self.fd, c".", PATH_ONLY, Mode::empty());
        while !is_wanted(&here) {
            let Ok(above) = dir.and_then(|dir| rustix::fs::openat(dir, c"..", PATH_ONLY, Mode::empty())) else {
                return false;
            };
            match Meta::of(&above) {
                // Above `/` is `/`.
                Ok(meta) if meta.id != here => here = meta.id,
                _ => return false,
            }
            dir = Ok(above);
        }
        true
    }

    /// How full its file system is, for unprivileged users.
    pub(crate) fn space(&self) -> Result<FileSystem, Errno> {
        let found = rustix::fs::fstatvfs(&self.fd)?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        let inodes = Space { whole: found.f_files, free: found.f_favail };
        Ok(FileSystem {
            bytes: Space { whole: bytes(found.f_blocks), free: bytes(found.f_bavail) },
            // btrfs and others make inodes as they are needed, and say 0.
            inodes: (inodes.whole > 0).then_some(inodes),
        })
    }

    /// Whether it lies on a file system of this kind, by its `statfs` number.
    pub(crate) fn is_on(&self, magic: u32) -> bool {
        // The number is 32 bits wide; the field that holds it is wider on most machines, and signed.
        rustix::fs::fstatfs(&self.fd).is_ok_and(|found| i128::from(found.f_type) & 0xffff_ffff == i128::from(magic))
    }

    /// The mount that the root lies on; the walk never leaves it.
    pub(crate) fn mount(&self) -> Mount {
        self.mount
    }
}

/// Whether reads of files below a folder are recorded finely enough for an age. Of a folder that does not exist, the
/// mount counts that it would be made on; where nothing can be found out, nothing is said.
pub fn check_access_times_of(folder: &Path, max_age: Duration) -> Result<(), RootError> {
    let found = folder.ancestors().find_map(|folder| rustix::fs::statvfs(folder).ok());
    found.map_or(Ok(()), |found| check_access_times(folder, found.f_flag, Some(max_age), EmptyDirs::Keep))
}

fn check_access_times(
    root: &Path,
    flags: StatVfsMountFlags,
    max_age: Option<Duration>,
    empty_dirs: EmptyDirs,
) -> Result<(), RootError> {
    let root = root.to_owned();
    if flags.contains(StatVfsMountFlags::NOATIME) {
        return Err(RootError::NoAccessTimes { root, option: "noatime", what: "a file is read" });
    }
    if flags.contains(StatVfsMountFlags::NODIRATIME) && empty_dirs == EmptyDirs::Judge {
        return Err(RootError::NoAccessTimes { root, option: "nodiratime", what: "a folder is read" });
    }
    match max_age.filter(|age| *age < RELATIME) {
        Some(max_age) if flags.contains(StatVfsMountFlags::RELATIME) => {
            Err(RootError::CoarseAccessTimes { root, max_age })
        }
        _ => Ok(()),
    }
}

const PATH_ONLY: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The way from `/` to a root, one component at a time.
struct Ascent<'a> {
    root: &'a Path,
    ahead: VecDeque<OsString>,
    /// For messages only.
    behind: PathBuf,
    links: u32,
}

impl<'a> Ascent<'a> {
    fn new(root: &'a Path) -> Result<Self, RootError> {
        if !root.is_absolute() {
            return Err(RootError::Relative { root: root.to_owned() });
        }
        Ok(Self { root, ahead: names(root).collect(), behind: PathBuf::from("/"), links: 0 })
    }

    fn climb(mut self) -> Result<OwnedFd, RootError> {
        let mut folder = self.open_slash()?;
        while let Some(name) = self.ahead.pop_front() {
            let next = rustix::fs::openat(&folder, &name, PATH_ONLY, Mode::empty());
            self.behind.push(&name);
            let next = next.map_err(|error| self.refused(error))?;
            let meta = Meta::of(&next).map_err(|error| self.refused(error))?;
            if meta.is_dir() {
                folder = next;
            } else if meta.is_link() {
                let target = self.follow(&folder, &next, &meta)?;
                if target.is_absolute() {
                    folder = self.open_slash()?;
                    self.behind = PathBuf::from("/");
                } else {
                    self.behind.pop();
                }
                for name in names(&target).collect::<Vec<_>>().into_iter().rev() {
                    self.ahead.push_front(name);
                }
            } else {
                return Err(RootError::NotADirectory { at: self.behind });
            }
        }
        Ok(folder)
    }

    /// Reads a link that may be followed.
    fn follow(&mut self, folder: &OwnedFd, link: &OwnedFd, meta: &Meta) -> Result<PathBuf, RootError> {
        let root = self.root.to_owned();
        if self.ahead.is_empty() {
            return Err(RootError::Link { root });
        }
        let holder = Meta::of(folder).map_err(|error| self.refused(error))?;
        let us = rustix::process::geteuid().as_raw();
        let trusted = |owner: u32| owner == 0 || owner == us;
        if !trusted(meta.uid) || !trusted(holder.uid) {
            return Err(RootError::StrangersLink { link: self.behind.clone(), root });
        }
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(RootError::TooManyLinks { root });
        }
        let target = rustix::fs::readlinkat(link, c"", Vec::new()).map_err(|error| self.refused(error))?;
        Ok(PathBuf::from(OsString::from_vec(target.into_bytes())))
    }

    fn open_slash(&self) -> Result<OwnedFd, RootError> {
        rustix::fs::open("/", PATH_ONLY, Mode::empty()).map_err(|error| self.refused(error))
    }

    fn refused(&self, error: Errno) -> RootError {
        let root = self.root.to_owned();
        match error {
            Errno::NOENT => RootError::Missing { root },
            Errno::NOTDIR => RootError::NotADirectory { at: self.behind.clone() },
            error => RootError::Unreadable { root, at: self.behind.clone(), error },
        }
    }
}

/// The components that have to be opened; `..` is opened like a name, so it means what it means to the kernel.
fn names(path: &Path) -> impl Iterator<Item = OsString> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsStr::new("..").to_owned()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

impl FileId {
    /// The identity of an existing file by its path, for whoever opens a store; `None` when there is none.
    pub fn of(path: &Path) -> Option<Self> {
        let statx = rustix::fs::statx(rustix::fs::CWD, path, AtFlags::empty(), entry::needs_stamp(StampKind::Modified));
        statx.ok().map(|statx| Meta::from(&statx).id)
    }
}
