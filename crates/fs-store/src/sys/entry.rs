//! What the kernel says about one entry of a directory, asked by descriptor and name.
//!
//! Everything is `statx` with `AT_SYMLINK_NOFOLLOW`: a link is a link, never what it points to. Only what the policy
//! needs is asked for.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

use cleanup_core::candidate::{Basis, Identity, Stamp};
use cleanup_core::moment::Moment;
use cleanup_core::policy::{FilePolicy, StampKind};
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Statx, StatxAttributes, StatxFlags, StatxTimestamp, Timespec, Timestamps,
    UTIME_NOW, UTIME_OMIT,
};
use rustix::io::Errno;

/// Which file this is, as long as it exists: device and inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId {
    pub(crate) device: (u32, u32),
    pub(crate) inode: u64,
}

impl From<&Identity> for FileId {
    fn from(identity: &Identity) -> Self {
        Self { device: identity.device, inode: identity.inode }
    }
}

impl FileId {
    /// The device, as major and minor number.
    pub fn device(self) -> (u32, u32) {
        self.device
    }

    /// The inode.
    pub fn inode(self) -> u64 {
        self.inode
    }
}

/// Which mount something lies on. Device numbers do not tell: a bind mount has the device of what it shows, and one
/// mount of btrfs has many devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mount {
    /// The mount's id.
    Id(u64),
    /// The device, before Linux 5.8, which has no mount ids.
    Device((u32, u32)),
}

/// The facts about one entry.
#[derive(Clone, Debug)]
pub(crate) struct Meta {
    pub(crate) id: FileId,
    pub(crate) mount: Mount,
    /// Something is mounted right here.
    pub(crate) is_mount_point: bool,
    pub(crate) uid: u32,
    /// The permission bits alone.
    pub(crate) permissions: u32,
    /// Allocated bytes: what removal gives back to the file system.
    pub(crate) allocated: u64,
    size: u64,
    links: u32,
    kind: FileType,
    times: Times,
}

#[derive(Clone, Debug)]
struct Times {
    modified: Moment,
    changed: Moment,
    accessed: Option<Moment>,
    born: Option<Moment>,
}

/// What is asked of every file.
pub(crate) const ALWAYS: StatxFlags = StatxFlags::TYPE
    .union(StatxFlags::MODE)
    .union(StatxFlags::INO)
    .union(StatxFlags::UID)
    .union(StatxFlags::BLOCKS)
    .union(StatxFlags::SIZE)
    .union(StatxFlags::NLINK)
    .union(StatxFlags::MTIME)
    .union(StatxFlags::CTIME)
    .union(StatxFlags::MNT_ID);

/// What [`Meta::of_entry`] has to ask for, so that the policy's stamp is among it, and the arrival where it counts.
pub(crate) fn needs(policy: &FilePolicy) -> StatxFlags {
    let arrival = if policy.rule.min_age.is_zero() { StatxFlags::empty() } else { StatxFlags::BTIME };
    arrival | needs_stamp(policy.stamp)
}

/// The same, without the arrival.
pub(crate) fn needs_stamp(stamp: StampKind) -> StatxFlags {
    match stamp {
        StampKind::Modified | StampKind::Changed => ALWAYS,
        StampKind::Accessed => ALWAYS.union(StatxFlags::ATIME),
        StampKind::Born => ALWAYS.union(StatxFlags::BTIME),
        StampKind::Newest => ALWAYS.union(StatxFlags::ATIME).union(StatxFlags::BTIME),
    }
}

impl Meta {
    /// Of an entry of a directory; never follows it, never triggers an automount.
    pub(crate) fn of_entry(dir: impl AsFd, name: &CStr, needs: StatxFlags) -> Result<Self, Errno> {
        #[cfg(test)]
        if failing::NAME.get().is_some_and(|failing| failing == name) {
            return Err(Errno::IO);
        }
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        rustix::fs::statx(dir, name, flags, needs).map(|statx| Self::from(&statx))
    }

    /// Of whatever the descriptor refers to, a link opened with `O_PATH` included.
    pub(crate) fn of(fd: impl AsFd) -> Result<Self, Errno> {
        let flags = AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        rustix::fs::statx(fd, c"", flags, needs_stamp(StampKind::Newest)).map(|statx| Self::from(&statx))
    }

    pub(crate) fn is_dir(&self) -> bool {
        self.kind == FileType::Directory
    }

    pub(crate) fn is_link(&self) -> bool {
        self.kind == FileType::Symlink
    }

    /// A regular file on which nothing is mounted: the only kind that is ever a candidate.
    pub(crate) fn is_plain_file(&self) -> bool {
        self.kind == FileType::RegularFile && !self.is_mount_point
    }

    pub(crate) fn kind(&self) -> FileType {
        self.kind
    }

    /// What must not change between judging and removing.
    pub(crate) fn identity(&self) -> Identity {
        Identity {
            device: self.id.device,
            inode: self.id.inode,
            size: self.size,
            modified: self.times.modified,
            changed: self.times.changed,
            links: self.links,
        }
    }

    /// When it came to be here as it is: the newest of what no copy takes along.
    pub(crate) fn arrival(&self) -> Stamp {
        let Times { modified, changed, born, .. } = &self.times;
        let modified = Stamp { at: *modified, basis: Basis::Modified };
        let others =
            [Some(Stamp { at: *changed, basis: Basis::Changed }), born.map(|at| Stamp { at, basis: Basis::Born })];
        others.into_iter().flatten().fold(modified, |newest, other| if other.at > newest.at { other } else { newest })
    }

    /// The moment that its age counts from; `None` where the file system does not record it.
    pub(crate) fn stamp(&self, kind: StampKind) -> Option<Stamp> {
        let Times { modified, changed, accessed, born } = &self.times;
        let stamp = |at: Moment, basis| Stamp { at, basis };
        match kind {
            StampKind::Modified => Some(stamp(*modified, Basis::Modified)),
            StampKind::Changed => Some(stamp(*changed, Basis::Changed)),
            StampKind::Accessed => accessed.map(|at| stamp(at, Basis::Accessed)),
            StampKind::Born => born.map(|at| stamp(at, Basis::Born)),
            StampKind::Newest => [
                Some(stamp(*modified, Basis::Modified)),
                Some(stamp(*changed, Basis::Changed)),
                accessed.map(|at| stamp(at, Basis::Accessed)),
                born.map(|at| stamp(at, Basis::Born)),
            ]
            .into_iter()
            .flatten()
            .max_by_key(|stamp| stamp.at),
        }
    }
}

impl From<&Statx> for Meta {
    fn from(statx: &Statx) -> Self {
        let has = |flag: StatxFlags| statx.stx_mask & flag.bits() != 0;
        let device = (statx.stx_dev_major, statx.stx_dev_minor);
        Self {
            id: FileId { device, inode: statx.stx_ino },
            mount: if has(StatxFlags::MNT_ID) { Mount::Id(statx.stx_mnt_id) } else { Mount::Device(device) },
            is_mount_point: statx.stx_attributes.contains(StatxAttributes::MOUNT_ROOT),
            uid: statx.stx_uid,
            permissions: u32::from(statx.stx_mode) & 0o7777,
            allocated: statx.stx_blocks.saturating_mul(512),
            size: statx.stx_size,
            links: statx.stx_nlink,
            kind: FileType::from_raw_mode(statx.stx_mode.into()),
            times: Times {
                modified: moment(statx.stx_mtime),
                changed: moment(statx.stx_ctime),
                accessed: has(StatxFlags::ATIME).then(|| moment(statx.stx_atime)),
                born: has(StatxFlags::BTIME).then(|| moment(statx.stx_btime)),
            },
        }
    }
}

fn moment(stamp: StatxTimestamp) -> Moment {
    Moment::from_unix(stamp.tv_sec, stamp.tv_nsec)
}

/// Opens a directory for reading, never through a link. Reading it leaves its access time alone, where the kernel
/// lets us ask for that (it refuses those who do not own the directory).
pub(crate) fn open_dir(parent: impl AsFd, name: &CStr) -> Result<OwnedFd, Errno> {
    const FLAGS: OFlags =
        OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);
    match rustix::fs::openat(&parent, name, FLAGS | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => rustix::fs::openat(&parent, name, FLAGS, Mode::empty()),
        result => result,
    }
}

/// What the clock of the file system says that this directory lies on. The directory is touched for that, so it must be
/// one of ours. Every change that is made later has this moment as its `ctime` or a later one.
pub(crate) fn clock_of(dir: impl AsFd) -> Result<Moment, Errno> {
    let time = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
    let now = Timestamps { last_access: time(UTIME_OMIT), last_modification: time(UTIME_NOW) };
    rustix::fs::futimens(&dir, &now)?;
    Ok(Meta::of(dir)?.times.modified)
}

/// An error of the system in words, with the usual cause where there is one.
pub(crate) fn in_words(error: Errno) -> String {
    let cause = match error {
        Errno::ACCESS => "permission denied: this user may not read, enter or write the folder",
        Errno::PERM => "not permitted: it is immutable, or in a sticky folder and somebody else's",
        Errno::ROFS => "the file system is read-only",
        Errno::BUSY => "busy: something is mounted on it",
        Errno::LOOP | Errno::NOTDIR => "a folder was replaced by something else while it was swept",
        Errno::STALE => "the network file system has lost track of it",
        Errno::IO => "the disk reports an input/output error",
        Errno::MFILE | Errno::NFILE => "too many open files",
        error => return error.to_string(),
    };
    cause.to_owned()
}
/// What a test has fail.
#[cfg(test)]
pub(crate) mod failing {
    use std::cell::Cell;
    use std::ffi::CStr;

    thread_local! {
        /// Whatever has this name cannot be looked at.
        pub(crate) static NAME: Cell<Option<&'static CStr>> = const { Cell::new(None) };
    }
}
