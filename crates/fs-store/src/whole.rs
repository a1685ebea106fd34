//! A directory with all that is in it: what it comes to, and its emptying.
//!
//! Both go down the same way: iteratively, by descriptor, with few of them open at any depth, never through a link and
//! never onto another mount. A look adds up, and gives each thing in it to a fingerprint, so that a second look tells
//! whether it is still the same. Emptying is for what lies in quarantine already; what it cannot delete it leaves there.

use std::ffi::{CStr, CString};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use cleanup_core::candidate::{Escaped, Identity, Stamp};
use cleanup_core::moment::Moment;
use rustix::fs::{AtFlags, FileType, RawDir, StatxFlags};
use rustix::io::Errno;

use crate::entry::{self, FileId, Meta, in_words, needs};
use crate::names::Names;
use crate::read::NO_STAMP;
use crate::walk::{OPEN, reopen_above};
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

/// Deletes a directory that lies in quarantine, with all that is in it. Returns the allocated bytes that were given
/// back; an error says what could not be deleted, and everything else is gone.
pub(crate) fn delete(store: &Store<'_>, parent: BorrowedFd<'_>, name: &CStr) -> Result<u64, String> {
    let dir = entry::open_dir(parent, name).map_err(in_words)?;
    let own = Meta::of(&dir).map_or(0, |meta| meta.allocated);
    let mut emptying = Emptying { bytes: 0, failed: None };
    let walked = Descent::new(store).run(dir, &mut emptying);
    match emptying.failed.or(walked.err()) {
        None => {
            rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR).map_err(in_words)?;
            Ok(emptying.bytes + own)
        }
        Some(error) => Err(error),
    }
}

/// What is done on the way down and up.
trait Step {
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
        let mut hasher = DefaultHasher::new();
        (folder, name, identity, meta.is_dir()).hash(&mut hasher);
        self.fingerprint = self.fingerprint.wrapping_add(hasher.finish());
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
        if let Some(stamp) = meta.stamp(self.store.policy.stamp) {
            self.folders = Some(self.folders.map_or(stamp, |newest| if stamp.at > newest.at { stamp } else { newest }));
        }
        if let Some(folder) = folder {
            self.add(folder, name, meta);
        } else {
            // The move itself changes the uppermost one's `ctime`, and its name does not count.
            self.bytes = self.bytes.saturating_add(meta.allocated);
            let mut hasher = DefaultHasher::new();
            (meta.id, meta.identity().modified).hash(&mut hasher);
            self.fingerprint = self.fingerprint.wrapping_add(hasher.finish());
        }
        Ok(())
    }

    fn leave(&mut self, _: BorrowedFd<'_>, _: &CStr) {}
}

struct Emptying {
    bytes: u64,
    /// The first thing that could not be deleted.
    failed: Option<String>,
}

impl Emptying {
    fn note(&mut self, name: &CStr, error: Errno) {
        self.failed.get_or_insert_with(|| format!("{}: {}", Escaped(name.to_bytes()), in_words(error)));
    }
}

impl Step for Emptying {
    fn entry(&mut self, dir: BorrowedFd<'_>, _: FileId, name: &CStr) -> Result<(), String> {
        let given_back = Meta::of_entry(dir, name, entry::ALWAYS).and_then(|meta| {
            rustix::fs::unlinkat(dir, name, AtFlags::empty())?;
            Ok(if meta.identity().links > 1 { 0 } else { meta.allocated })
        });
        match given_back {
            Ok(bytes) => self.bytes = self.bytes.saturating_add(bytes),
            Err(Errno::NOENT) => {}
            Err(error) => self.note(name, error),
        }
        Ok(())
    }

    fn enter(&mut self, _: Option<FileId>, _: &CStr, meta: &Meta) -> Result<(), String> {
        self.bytes = self.bytes.saturating_add(meta.allocated);
        Ok(())
    }

    fn leave(&mut self, parent: BorrowedFd<'_>, name: &CStr) {
        match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => self.note(name, error),
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
struct Descent<'a> {
    store: &'a Store<'a>,
    frames: Vec<Frame>,
    buffer: Vec<MaybeUninit<u8>>,
}

impl<'a> Descent<'a> {
    fn new(store: &'a Store<'a>) -> Self {
        Self { store, frames: Vec::new(), buffer: vec![MaybeUninit::uninit(); BUFFER] }
    }

    fn run(mut self, dir: OwnedFd, step: &mut dyn Step) -> Result<(), String> {
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
