//! A directory with all that is in it: what it comes to, and its emptying.
//!
//! Both go down the same way: iteratively, by descriptor, with few of them open at any depth, never through a link and
//! never onto another mount. A look adds up, and gives each thing in it to a fingerprint, so that a second look tells
//! whether it is still the same, in another process even. Emptying is for what lies in quarantine already, and was found
//! there to be what was judged. Another program may still have something in it open: what is newer than all that was
//! found is left where it is. So is what cannot be deleted.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::Duration;

use cleanup_core::candidate::{Escaped, Identity, Stamp};
use cleanup_core::moment::Moment;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, StatxFlags};
use rustix::io::Errno;

use crate::sys::entry::{self, FileId, Meta, in_words, needs};
use crate::sys::name_buffer::Names;
use crate::walk::dir_reader::NO_STAMP;
use crate::walk::walker::{OPEN, reopen_above};
use crate::{OWN_FOLDER, Store};

/// Room for what one `getdents64` returns.
const BUFFER: usize = 64 * 1024;

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
    Err("something in it was changed later than the clock of its file system says".to_owned())
}

/// Adds up a directory that is open. An error says, in words, why it has to stay whatever its age.
pub(crate) fn look(store: &Store<'_>, dir: OwnedFd) -> Result<Sum, String> {
    let top = Meta::of(&dir).map_err(in_words)?;
    let mut adding = Adding {
        store,
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
    Descent::new(store).run(dir, &mut adding)?;
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

/// What came of emptying a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deleted {
    /// It is gone, and gave back so many allocated bytes.
    All(u64),
    /// Something in it was written since it was looked at, and is still there; the text names the first.
    Younger { what: String },
    /// Something could not be deleted; the text says what, and why.
    Failed(String),
}

/// Deletes a directory that lies in quarantine and was found to be what was judged, with all that is in it but what was
/// written since.
pub(crate) fn delete(store: &Store<'_>, parent: BorrowedFd<'_>, name: &CStr, mut emptying: Emptying) -> Deleted {
    let dir = match entry::open_dir(parent, name) {
        Ok(dir) => dir,
        Err(error) => return Deleted::Failed(in_words(error)),
    };
    let own = Meta::of(&dir).map_or(0, |meta| meta.allocated);
    let walked = Descent::new(store).run(dir, &mut emptying);
    if let Some(what) = emptying.younger {
        return Deleted::Younger { what };
    }
    if let Some(error) = emptying.failed.or(walked.err()) {
        return Deleted::Failed(error);
    }
    match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Ok(()) => Deleted::All(emptying.bytes + own),
        // It was empty a moment ago.
        Err(Errno::NOTEMPTY | Errno::EXIST) => Deleted::Younger { what: "something".to_owned() },
        Err(error) => Deleted::Failed(in_words(error)),
    }
}

/// What is done on the way down and up.
pub(crate) trait Step {
    /// Something that is no directory. An error ends it.
    fn entry(&mut self, dir: BorrowedFd<'_>, folder: FileId, name: &CStr) -> Result<(), String>;

    /// A directory was opened, before anything in it is met. An error ends it.
    fn enter(&mut self, folder: Option<FileId>, name: &CStr, meta: &Meta) -> Result<(), String>;

    /// Nothing is left to be met in a directory.
    fn leave(&mut self, parent: BorrowedFd<'_>, name: &CStr);
}

struct Adding<'a> {
    store: &'a Store<'a>,
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
        if self.store.root.has_stable_inodes() { id.inode() } else { 0 }
    }

    fn is_ours(&self, name: &CStr, meta: &Meta) -> bool {
        self.store.is_spared(&meta.id) || (meta.is_dir() && name.to_bytes() == OWN_FOLDER)
    }
}

const OURS: &str = "there are files of cleanup itself in it";

impl Step for Adding<'_> {
    fn entry(&mut self, dir: BorrowedFd<'_>, folder: FileId, name: &CStr) -> Result<(), String> {
        let meta = match Meta::of_entry(dir, name, needs(self.store.policy)) {
            Ok(meta) => meta,
            // Gone since its name was read: the second look, or the next run, finds what is left.
            Err(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(in_words(error)),
        };
        if meta.is_mount_point {
            return Err("something is mounted in it".to_owned());
        }
        if self.is_ours(name, &meta) {
            return Err(OURS.to_owned());
        }
        let stamp = meta.stamp(self.store.policy.stamp).ok_or(NO_STAMP)?;
        self.files = Some(self.files.map_or(stamp, |newest| if stamp.at > newest.at { stamp } else { newest }));
        self.size = self.size.saturating_add(meta.identity().size);
        self.add(folder, name, &meta);
        Ok(())
    }

    fn enter(&mut self, folder: Option<FileId>, name: &CStr, meta: &Meta) -> Result<(), String> {
        if meta.mount != self.store.root.mount() {
            return Err("something is mounted in it".to_owned());
        }
        if self.is_ours(name, meta) {
            return Err(OURS.to_owned());
        }
        if let Some(policy) = self.store.rivals.as_ref().and_then(|rivals| Some(rivals.name(rivals.root_of(meta.id)?)))
        {
            return Err(format!("it is, or holds, the root of the policy `{policy}`"));
        }
        if let Some(stamp) = meta.stamp(self.store.policy.stamp) {
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

/// Empties a directory of all that is no newer than it was found.
pub(crate) struct Emptying {
    newest: Newest,
    /// It was begun before: the directories in it have changed by that alone.
    is_resumed: bool,
    bytes: u64,
    /// The first thing that was written since.
    younger: Option<String>,
    /// The first thing that could not be deleted.
    failed: Option<String>,
    /// Of the directories on the way here, whether each is newer than it was found.
    young_folders: Vec<bool>,
    /// The `ctime` of files that lost one of their names by our hand, by inode.
    unlinked: HashMap<u64, Moment>,
}

impl Emptying {
    /// Of a directory that was just found to be what was judged.
    pub(crate) fn first(newest: Newest) -> Self {
        Self {
            newest,
            is_resumed: false,
            bytes: 0,
            younger: None,
            failed: None,
            young_folders: Vec::new(),
            unlinked: HashMap::new(),
        }
    }

    /// Of a directory that somebody has begun to empty before.
    pub(crate) fn resumed(newest: Newest) -> Self {
        Self { is_resumed: true, ..Self::first(newest) }
    }

    fn failed(&mut self, name: &CStr, error: Errno) {
        self.failed.get_or_insert_with(|| format!("{}: {}", Escaped(name.to_bytes()), in_words(error)));
    }

    fn keep(&mut self, name: &CStr) {
        self.younger.get_or_insert_with(|| Escaped(name.to_bytes()).to_string());
    }

    fn is_younger(&self, meta: &Meta) -> bool {
        let Identity { inode, modified, changed, .. } = meta.identity();
        let is_by_us = self.unlinked.get(&inode) == Some(&changed);
        modified > self.newest.modified || (changed > self.newest.changed && !is_by_us)
    }

    /// Deletes one thing that is no directory; `None` when it stays because it was written since. Returns the bytes that
    /// were given back.
    fn unlink(&mut self, dir: BorrowedFd<'_>, name: &CStr) -> Result<Option<u64>, Errno> {
        let meta = Meta::of_entry(dir, name, entry::ALWAYS)?;
        if self.is_younger(&meta) {
            return Ok(None);
        }
        if meta.identity().links <= 1 {
            rustix::fs::unlinkat(dir, name, AtFlags::empty())?;
            return Ok(Some(meta.allocated));
        }
        // Its other names may be in here as well, and are not newer because this one goes.
        let file = rustix::fs::openat(dir, name, BY_PATH, Mode::empty())?;
        let before = Meta::of(&file)?;
        if before.id != meta.id || self.is_younger(&before) {
            return Ok(None);
        }
        rustix::fs::unlinkat(dir, name, AtFlags::empty())?;
        let (before, after) = (before.identity(), Meta::of(&file)?.identity());
        if (before.size, before.modified) == (after.size, after.modified) {
            self.unlinked.insert(after.inode, after.changed);
        }
        Ok(Some(0))
    }
}

const BY_PATH: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Step for Emptying {
    fn entry(&mut self, dir: BorrowedFd<'_>, _: FileId, name: &CStr) -> Result<(), String> {
        match self.unlink(dir, name) {
            Ok(Some(bytes)) => self.bytes = self.bytes.saturating_add(bytes),
            Ok(None) => self.keep(name),
            Err(Errno::NOENT) => {}
            Err(error) => self.failed(name, error),
        }
        Ok(())
    }

    fn enter(&mut self, folder: Option<FileId>, _: &CStr, meta: &Meta) -> Result<(), String> {
        if folder.is_some() {
            // The move itself has changed the uppermost one, and what has gone before, those that were begun.
            self.young_folders.push(!self.is_resumed && self.is_younger(meta));
            self.bytes = self.bytes.saturating_add(meta.allocated);
        }
        Ok(())
    }

    fn leave(&mut self, parent: BorrowedFd<'_>, name: &CStr) {
        if self.young_folders.pop().unwrap_or(false) {
            return self.keep(name);
        }
        match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => {}
            // It was read to its end, and nothing was left in it.
            Err(Errno::NOTEMPTY | Errno::EXIST) if self.failed.is_none() => self.keep(name),
            Err(error) => self.failed(name, error),
        }
    }
}

/// A directory on the way down.
struct Frame {
    /// The uppermost and the last ones have theirs.
    dir: Option<OwnedFd>,
    id: FileId,
    name: CString,
    /// Directories in it that are still to be entered.
    folders: Names,
}

/// The way through a directory and all below it.
pub(crate) struct Descent<'a> {
    store: &'a Store<'a>,
    frames: Vec<Frame>,
    buffer: Vec<MaybeUninit<u8>>,
}

impl<'a> Descent<'a> {
    pub(crate) fn new(store: &'a Store<'a>) -> Self {
        Self { store, frames: Vec::new(), buffer: vec![MaybeUninit::uninit(); BUFFER] }
    }

    pub(crate) fn run(mut self, dir: OwnedFd, step: &mut dyn Step) -> Result<(), String> {
        self.enter(dir, CString::default(), step)?;
        while let Some(here) = self.frames.last_mut() {
            match here.folders.pop() {
                Some(name) => {
                    let parent = here.dir.as_ref().expect("the last frame has its descriptor");
                    match entry::open_dir(parent, &name) {
                        Ok(dir) => self.enter(dir, name, step)?,
                        Err(Errno::NOENT) => {}
                        Err(error) => return Err(format!("{}: {}", Escaped(name.to_bytes()), in_words(error))),
                    }
                }
                None => self.climb(step)?,
            }
        }
        Ok(())
    }

    fn enter(&mut self, dir: OwnedFd, name: CString, step: &mut dyn Step) -> Result<(), String> {
        let meta = Meta::of(&dir).map_err(in_words)?;
        // Whatever the step: a mount that came meanwhile is none of ours.
        if meta.mount != self.store.root.mount() {
            return Err("something is mounted in it".to_owned());
        }
        step.enter(self.frames.last().map(|above| above.id), &name, &meta)?;
        let mut folders = Names::default();
        let mut buffer = std::mem::take(&mut self.buffer);
        let read = read(&dir, meta.id, &mut buffer, &mut folders, step);
        self.buffer = buffer;
        read?;
        self.frames.push(Frame { dir: Some(dir), id: meta.id, name, folders });
        let deepest = self.frames.len() - 1;
        if deepest > OPEN {
            self.frames[deepest - OPEN].dir = None;
        }
        Ok(())
    }

    fn climb(&mut self, step: &mut dyn Step) -> Result<(), String> {
        let done = self.frames.pop().expect("the way up begins in a frame");
        let Some(above) = self.frames.last_mut() else { return Ok(()) };
        if above.dir.is_none() {
            let below = done.dir.as_ref().expect("the last frame has its descriptor");
            above.dir = reopen_above(below.as_fd(), above.id);
        }
        match &above.dir {
            Some(parent) => {
                step.leave(parent.as_fd(), &done.name);
                Ok(())
            }
            None => Err("a folder in it was moved away while it was looked at".to_owned()),
        }
    }
}

/// Reads one directory to its end: what is no directory goes to the step, directories are kept for later.
fn read(
    dir: &OwnedFd,
    id: FileId,
    buffer: &mut [MaybeUninit<u8>],
    folders: &mut Names,
    step: &mut dyn Step,
) -> Result<(), String> {
    let mut entries = RawDir::new(dir, buffer);
    while let Some(entry) = entries.next() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(in_words(error)),
        };
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => {
                Meta::of_entry(dir, name, StatxFlags::TYPE).map_or(FileType::Unknown, |meta| meta.kind())
            }
            kind => kind,
        };
        if kind == FileType::Directory {
            folders.push(name);
        } else {
            step.entry(dir.as_fd(), id, name)?;
        }
    }
    Ok(())
}
