//! The walk: from directory to directory, iteratively, with few descriptors at any depth.
//!
//! Each directory on the way down is a [`Frame`]. Only the deepest [`OPEN`] frames and the root keep a descriptor;
//! when the walk climbs back to one that has given up its own, it opens `..` and compares device and inode with what
//! it left there. If somebody moved a directory meanwhile they differ: then what is above is lost sight of, its rest
//! is left for the next run, and that is reported. Thirty thousand levels need no more descriptors than thirty.

use std::ffi::CString;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use cleanup_core::candidate::{Identity, Name, Stamp};
use cleanup_core::policy::{Depth, EmptyDirs};
use cleanup_core::store::{Fault, Seen, Visitor};
use rustix::io::Errno;

use crate::Store;
use crate::entry::{self, FileId, Meta, in_words};
use crate::read::{Names, Reader};
use crate::remove::EmptyDirectory;

/// How many frames keep their descriptors, beside the root.
pub(crate) const OPEN: usize = 16;

/// One walk through everything below the root.
pub(crate) struct Walk<'a> {
    store: &'a Store<'a>,
    visitor: &'a dyn Visitor,
    reader: Reader<'a>,
    /// From the root to where the walk is. The root and the last one always have their descriptors.
    frames: Vec<Frame>,
    /// The last frame's path below the root.
    path: Vec<u8>,
}

/// A directory on the way to where the walk is.
struct Frame {
    dir: Option<OwnedFd>,
    /// From before anything in it was touched.
    identity: Identity,
    /// Likewise.
    stamp: Option<Stamp>,
    /// The length of its path in [`Walk::path`].
    path_len: usize,
    /// Directories in it that are still to be walked.
    folders: Names,
    /// Whether anything stays in it.
    survivors: bool,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(store: &'a Store<'a>, visitor: &'a dyn Visitor) -> Self {
        Self { store, visitor, reader: Reader::new(store, visitor), frames: Vec::new(), path: Vec::new() }
    }

    pub(crate) fn run(mut self) {
        let root = self.store.root.reopen().and_then(|dir| Ok((Meta::of(&dir)?, dir)));
        let mut flow = match root {
            Ok((meta, dir)) => self.enter(dir, &meta),
            Err(error) => {
                self.fault(&in_words(error));
                return;
            }
        };
        while flow.is_continue() {
            let Some(here) = self.frames.last_mut() else { break };
            flow = match here.folders.pop() {
                Some(name) => self.descend(&name),
                None => self.climb(),
            };
        }
    }

    /// Opens a directory below the last frame and reads it.
    fn descend(&mut self, name: &CString) -> ControlFlow<()> {
        let len = self.path.len();
        if len > 0 {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(name.as_bytes());

        let opened = entry::open_dir(self.here(), name).and_then(|dir| Ok((Meta::of(&dir)?, dir)));
        let kept = match opened {
            Ok((meta, dir)) if meta.mount == self.store.root.mount() && !self.store.spared.contains(&meta.id) => {
                return self.enter(dir, &meta);
            }
            Ok(_) => {
                self.visitor.seen(Seen { left_alone: 1, ..Seen::default() });
                true
            }
            Err(Errno::NOENT) => false,
            Err(error) => {
                self.fault(&in_words(error));
                true
            }
        };
        self.path.truncate(len);
        self.last().survivors |= kept;
        ControlFlow::Continue(())
    }

    /// Makes a directory the last frame and reads it. Its path is in place already.
    fn enter(&mut self, dir: OwnedFd, meta: &Meta) -> ControlFlow<()> {
        let below = Depth(u32::try_from(self.frames.len()).unwrap_or(u32::MAX).saturating_add(1));
        let contents = self.reader.read(dir.as_fd(), &self.path, below);
        self.frames.push(Frame {
            dir: Some(dir),
            identity: meta.identity(),
            stamp: meta.stamp(self.store.policy.stamp),
            path_len: self.path.len(),
            folders: contents.folders,
            survivors: contents.survivors,
        });
        let deepest = self.frames.len() - 1;
        if deepest > OPEN {
            self.frames[deepest - OPEN].dir = None;
        }
        contents.flow
    }

    /// Leaves the last frame for the one above it, and offers it for removal if nothing is left in it.
    fn climb(&mut self) -> ControlFlow<()> {
        let done = self.frames.pop().expect("the walk climbs from a frame");
        let Some(above) = self.frames.last_mut() else { return ControlFlow::Break(()) };
        if above.dir.is_none() {
            let below = done.dir.as_ref().expect("the last frame has its descriptor");
            above.dir = reopen_above(below.as_fd(), FileId::from(&above.identity));
            if above.dir.is_none() {
                self.lose_sight();
                return ControlFlow::Continue(());
            }
        }
        let flow = self.offer_empty(&done);
        let parent_len = self.last().path_len;
        self.path.truncate(parent_len);
        flow
    }

    fn offer_empty(&mut self, done: &Frame) -> ControlFlow<()> {
        let stamp = match done.stamp {
            Some(stamp) if self.store.policy.empty_dirs == EmptyDirs::Judge && !done.survivors => stamp,
            _ => {
                self.last().survivors = true;
                return ControlFlow::Continue(());
            }
        };
        let parent_len = self.last().path_len;
        let (folder, name) = self.path.split_at(parent_len);
        let name = CString::new(name.strip_prefix(b"/").unwrap_or(name)).expect("names hold no NUL");
        let mut batch =
            EmptyDirectory { parent: self.here(), folder, name: &name, identity: done.identity, stamp, gone: false };
        let flow = self.visitor.batch(&mut batch);
        let kept = !batch.gone;
        self.last().survivors |= kept;
        flow
    }

    /// Gives up all frames whose descriptors cannot be had again, down to one that still has its own.
    fn lose_sight(&mut self) {
        while self.last().dir.is_none() {
            self.frames.pop();
        }
        self.last().survivors = true;

        // Named is the uppermost of what is given up: the folder right below the frame that is left.
        let len = self.last().path_len;
        if let Some(end) = self.path.iter().skip(len + 1).position(|byte| *byte == b'/') {
            self.path.truncate(len + 1 + end);
        }
        self.fault("moved away while it was swept; what is left in it is up to the next run");
        self.path.truncate(len);
    }

    fn here(&self) -> BorrowedFd<'_> {
        let last = self.frames.last().expect("the walk is somewhere");
        last.dir.as_ref().expect("the last frame has its descriptor").as_fd()
    }

    fn last(&mut self) -> &mut Frame {
        self.frames.last_mut().expect("the walk is somewhere")
    }

    fn fault(&self, error: &str) {
        self.visitor.fault(Fault { name: Name { folder: b"", last: &self.path }, error });
    }
}

/// Opens the directory above one that is open, if it is still the one that the walk came from.
pub(crate) fn reopen_above(below: BorrowedFd<'_>, expected: FileId) -> Option<OwnedFd> {
    let dir = entry::open_dir(below, c"..").ok()?;
    (Meta::of(&dir).ok()?.id == expected).then_some(dir)
}
