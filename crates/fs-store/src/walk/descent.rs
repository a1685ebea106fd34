//! One way down through a directory and all below it, for whoever adds up, compares or deletes.
//!
//! It goes iteratively, by descriptor, with few of them open at any depth, never through a link and never onto another
//! mount. The walk of a whole root ([`super::walker`]) shares the reading of a directory and the way back up with it, and
//! no more: its frames can be split among workers, parked, and named for the next run to go on from, and what is in a
//! directory waits there in batches. A descent that could do all that would be the walker, with nobody here to use it.

use std::ffi::{CStr, CString};
use std::ops::ControlFlow;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use cleanup_core::candidate::Escaped;
use rustix::fs::FileType;
use rustix::io::Errno;

use super::walker::{OPEN, reopen_above};
use crate::sys::dir::{self, Buffer};
use crate::sys::entry::{self, FileId, Meta, in_words};
use crate::sys::name_buffer::Names;
use crate::tree::Tree;

/// What is done on the way down and up.
pub(crate) trait Step {
    /// Something that is no directory. An error ends it.
    fn entry(&mut self, dir: BorrowedFd<'_>, folder: FileId, name: &CStr) -> Result<(), String>;

    /// A directory was opened, before anything in it is met. An error ends it.
    fn enter(&mut self, folder: Option<FileId>, name: &CStr, meta: &Meta) -> Result<(), String>;

    /// Nothing is left to be met in a directory.
    fn leave(&mut self, parent: BorrowedFd<'_>, name: &CStr);
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
    tree: &'a Tree<'a>,
    frames: Vec<Frame>,
    buffer: Buffer,
}

impl<'a> Descent<'a> {
    pub(crate) fn new(tree: &'a Tree<'a>) -> Self {
        Self { tree, frames: Vec::new(), buffer: Buffer::default() }
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
        if meta.mount != self.tree.root.mount() {
            return Err("something is mounted in it".to_owned());
        }
        step.enter(self.frames.last().map(|above| above.id), &name, &meta)?;
        let mut folders = Names::default();
        read(&dir, meta.id, &mut self.buffer, &mut folders, step)?;
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
            None => Err("a folder in it was moved away during the scan".to_owned()),
        }
    }
}

/// Reads one directory to its end: what is no directory goes to the step, directories are kept for later.
fn read(
    dir: &OwnedFd,
    id: FileId,
    buffer: &mut Buffer,
    folders: &mut Names,
    step: &mut dyn Step,
) -> Result<(), String> {
    let stopped = dir::read(dir.as_fd(), 0, buffer, |entry| {
        if entry.kind() == FileType::Directory {
            folders.push(entry.name);
            return ControlFlow::Continue(());
        }
        match step.entry(dir.as_fd(), id, entry.name) {
            Ok(()) => ControlFlow::Continue(()),
            Err(why) => ControlFlow::Break(why),
        }
    });
    stopped.map_err(in_words)?.map_or(Ok(()), Err)
}
