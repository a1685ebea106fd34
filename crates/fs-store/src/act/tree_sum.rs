//! What a directory comes to, with all that is in it.
//!
//! A look adds up, and gives each thing in it to a fingerprint, so that a second look tells whether it is still the
//! same, in another process even.

use std::ffi::CStr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use cleanup_core::candidate::{Identity, Stamp};
use cleanup_core::moment::Moment;
use rustix::io::Errno;

use crate::protected::is_reserved;
use crate::sys::entry::{self, FileId, Meta, in_words, needs};
use crate::tree::{Tree, is_own_folder};
use crate::walk::descent::{Descent, Step};
use crate::walk::visit::NO_STAMP;

/// What a directory comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sum {
    /// Allocated bytes of all that is in it, and of itself.
    pub(crate) bytes: u64,
    /// The newest stamp of what is in it and is no directory; where there is nothing else, of the directories.
    pub(crate) stamp: Stamp,
    /// The newest arrival of anything in it, and its own.
    pub(crate) arrival: Stamp,
    /// Which directory it is, and what all in it comes to.
    pub(crate) identity: Identity,
    /// Changes when anything in it does, whatever the order of reading.
    fingerprint: u64,
}

impl Sum {
    /// Whether nothing in it has changed. Blocks may be allocated late, and reading changes `atime`: neither counts.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        (&self.identity, self.fingerprint) == (&other.identity, other.fingerprint)
    }

    /// Changes when anything in it does. Two looks at the same thing agree in it, with a restart in between even.
    pub(crate) fn fingerprint(&self) -> u64 {
        self.fingerprint
    }
}

/// The newest times in a directory that was found to be what was judged: what has newer ones was written since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Newest {
    pub(crate) modified: Moment,
    pub(crate) changed: Moment,
}

impl Newest {
    pub(crate) fn of(sum: &Sum) -> Self {
        Self { modified: sum.identity.modified, changed: sum.identity.changed }
    }
}

/// How often the clock of a file system is asked, and how long is waited in between. It ticks every few milliseconds.
const TICKS: u32 = 100;
const TICK: Duration = Duration::from_millis(1);

/// Waits until the clock of the file system has gone past a moment, so that whatever is written later has a newer stamp.
/// `dir` is a directory of ours on it. An error, in words, where that is not to be waited for.
pub(crate) fn await_clock(dir: BorrowedFd<'_>, moment: Moment) -> Result<(), String> {
    for _ in 0..TICKS {
        if entry::clock_of(dir).map_err(in_words)? > moment {
            return Ok(());
        }
        std::thread::sleep(TICK);
    }
    Err("something in it was changed later than its file system's clock shows".to_owned())
}

/// Adds up a directory that is open. An error says, in words, why it has to stay whatever its age.
pub(crate) fn look(tree: &Tree<'_>, dir: OwnedFd) -> Result<Sum, String> {
    let top = Meta::of(&dir).map_err(in_words)?;
    let mut adding = Adding {
        tree,
        files: None,
        folders: None,
        bytes: 0,
        size: 0,
        count: 0,
        modified: top.identity().modified,
        changed: Moment::EPOCH,
        arrival: top.arrival(),
        fingerprint: 0,
    };
    Descent::new(tree).run(dir, &mut adding)?;
    let stamp = adding.files.or(adding.folders).ok_or(NO_STAMP)?;
    let identity = Identity {
        size: adding.size,
        modified: adding.modified,
        changed: adding.changed,
        links: u32::try_from(adding.count).unwrap_or(u32::MAX),
        ..top.identity()
    };
    Ok(Sum { bytes: adding.bytes, stamp, arrival: adding.arrival, identity, fingerprint: adding.fingerprint })
}

struct Adding<'a> {
    tree: &'a Tree<'a>,
    files: Option<Stamp>,
    folders: Option<Stamp>,
    bytes: u64,
    size: u64,
    count: u64,
    modified: Moment,
    changed: Moment,
    arrival: Stamp,
    fingerprint: u64,
}

impl Adding<'_> {
    fn add(&mut self, folder: FileId, name: &CStr, meta: &Meta) {
        let identity = meta.identity();
        self.bytes = self.bytes.saturating_add(meta.allocated);
        self.count += 1;
        self.modified = self.modified.max(identity.modified);
        self.changed = self.changed.max(identity.changed);
        let arrival = meta.arrival();
        if arrival.at > self.arrival.at {
            self.arrival = arrival;
        }
        let mut print = Print::default();
        print.bytes(name.to_bytes());
        print.number(self.inode(folder));
        print.number(self.inode(meta.id));
        print.number(identity.size);
        print.moment(identity.modified);
        print.moment(identity.changed);
        print.number(u64::from(identity.links));
        print.number(u64::from(meta.is_dir()));
        self.fingerprint = self.fingerprint.wrapping_add(print.finish());
    }

    /// The inode, where it tells anything later.
    fn inode(&self, id: FileId) -> u64 {
        if self.tree.root.has_stable_inodes() { id.inode() } else { 0 }
    }

    fn is_ours(&self, folder: Option<&FileId>, name: &CStr, meta: &Meta) -> bool {
        let name = name.to_bytes();
        self.tree.is_protected(&meta.id)
            || (meta.is_dir() && is_own_folder(name))
            || folder.is_some_and(|folder| is_reserved(self.tree.protected_names_in(folder), name))
    }
}

const OURS: &str = "it contains files of cleanup itself";

impl Step for Adding<'_> {
    fn entry(&mut self, dir: BorrowedFd<'_>, folder: FileId, name: &CStr) -> Result<(), String> {
        let meta = match Meta::of_entry(dir, name, needs(self.tree.policy)) {
            Ok(meta) => meta,
            // Gone since its name was read: the second look, or the next run, finds what is left.
            Err(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(in_words(error)),
        };
        if meta.is_mount_point {
            return Err("something is mounted in it".to_owned());
        }
        if self.is_ours(Some(&folder), name, &meta) {
            return Err(OURS.to_owned());
        }
        let stamp = meta.stamp(self.tree.policy.stamp).ok_or(NO_STAMP)?;
        self.files = Some(self.files.map_or(stamp, |newest| if stamp.at > newest.at { stamp } else { newest }));
        self.size = self.size.saturating_add(meta.identity().size);
        self.add(folder, name, &meta);
        Ok(())
    }

    fn enter(&mut self, folder: Option<FileId>, name: &CStr, meta: &Meta) -> Result<(), String> {
        if meta.mount != self.tree.root.mount() {
            return Err("something is mounted in it".to_owned());
        }
        if self.is_ours(folder.as_ref(), name, meta) {
            return Err(OURS.to_owned());
        }
        if let Some(policy) = self.tree.rivals.as_ref().and_then(|rivals| Some(rivals.name(rivals.root_of(meta.id)?))) {
            return Err(format!("it is, or contains, the root of the policy `{policy}`"));
        }
        if let Some(stamp) = meta.stamp(self.tree.policy.stamp) {
            self.folders = Some(self.folders.map_or(stamp, |newest| if stamp.at > newest.at { stamp } else { newest }));
        }
        if let Some(folder) = folder {
            self.add(folder, name, meta);
        } else {
            // The move itself changes the uppermost one's `ctime`, and its name does not count.
            self.bytes = self.bytes.saturating_add(meta.allocated);
            let mut print = Print::default();
            print.number(self.inode(meta.id));
            print.moment(meta.identity().modified);
            self.fingerprint = self.fingerprint.wrapping_add(print.finish());
        }
        Ok(())
    }

    fn leave(&mut self, _: BorrowedFd<'_>, _: &CStr) {}
}

/// A hash that is the same in every version of this program: it is written down (64 bits of FNV-1a, mixed at the end so
/// that sums of many tell as much).
struct Print(u64);

impl Default for Print {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Print {
    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn number(&mut self, number: u64) {
        for byte in number.to_le_bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn moment(&mut self, moment: Moment) {
        self.number(moment.unix_seconds().cast_unsigned());
        self.number(u64::from(moment.subsec_nanos()));
    }

    fn finish(&self) -> u64 {
        let mixed = (self.0 ^ (self.0 >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        let mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        mixed ^ (mixed >> 33)
    }
}
