//! Looks at names of one directory and hands those that are candidates to the visitor.

use std::ffi::CStr;
use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;

use cleanup_core::candidate::{Class, Name};
use cleanup_core::store::{Fault, Seen};
use rustix::fs::StatxFlags;
use rustix::io::Errno;

use super::resume::Place;
use super::worker_pool::WorkerCtx;
use crate::act::remove::{File, Files, Unnamed};
use crate::sys::entry::{Meta, in_words, needs};
use crate::sys::name_buffer::Names;
use crate::tree::Tree;

/// A batch that has waited for the disk to have its notes counts as so many times fewer calls. Most of a sync is waiting,
/// and what several workers wait for is written together, so more of them are worth it sooner.
const WAITED: usize = 4;

/// What came of looking at some names of one directory.
pub(crate) struct Visited {
    /// Whether anything stays of them.
    pub(crate) survivors: bool,
    /// The first one that the visitor did not get to.
    pub(crate) broken_at: Option<Place>,
}

/// Looks at names of one directory and hands those that are candidates to the visitor.
pub(crate) fn visit(
    ctx: WorkerCtx<'_, '_>,
    dir: BorrowedFd<'_>,
    folder: &[u8],
    names: &Names,
    classes: &[Class],
    cookies: &[u64],
    mut seen: Seen,
) -> Visited {
    let WorkerCtx { tree, remover, visitor, pool, .. } = ctx;
    if classes.is_empty() {
        visitor.seen(seen);
        pool.begin();
        return Visited { survivors: false, broken_at: None };
    }
    let needs = needs(tree.policy);
    let visited = ctx.timed(|| {
        let mut visited = Visited { survivors: false, broken_at: None };
        let mut files = Vec::with_capacity(classes.len());
        let mut places = Vec::with_capacity(classes.len());
        for ((name, class), cookie) in names.iter().zip(classes).zip(cookies) {
            match look_at(tree, &remover.unnamed, dir, name, *class, needs) {
                Looked::Candidate(file) => {
                    files.push(file);
                    places.push(*cookie);
                }
                Looked::Vanished => seen.vanished += 1,
                Looked::LeftAlone => {
                    seen.left_alone += 1;
                    visited.survivors = true;
                }
                Looked::Unknown(error) => {
                    visited.survivors = true;
                    visitor.fault(Fault { name: Name { folder, last: name.to_bytes() }, error: &error });
                }
            }
        }
        visitor.seen(seen);
        let mut calls = classes.len();
        if !files.is_empty() {
            let mut batch = Files::new(tree, remover, dir, folder, needs, &files);
            if visitor.batch(&mut batch) == ControlFlow::Break(()) {
                let asked = batch.asked.get();
                let next = files.get(asked).zip(places.get(asked));
                visited.broken_at =
                    next.map(|(file, cookie)| Place { name: file.name.to_bytes().to_owned(), cookie: *cookie });
                pool.end();
            }
            visited.survivors |= batch.gone < files.len();
            calls += 2 * batch.gone;
            if batch.has_waited {
                calls /= WAITED;
            }
        }
        (visited, calls as u64)
    });
    pool.begin();
    visited
}

/// What one name that a pattern matches turned out to be.
pub(crate) enum Looked<'n> {
    Candidate(File<'n>),
    Vanished,
    /// Something that is never removed.
    LeftAlone,
    /// It could not be looked at, or not be judged; in words.
    Unknown(String),
}

/// Looks at one name in an open directory.
pub(crate) fn look_at<'n>(
    tree: &Tree<'_>,
    unnamed: &Unnamed,
    dir: BorrowedFd<'_>,
    name: &'n CStr,
    class: Class,
    needs: StatxFlags,
) -> Looked<'n> {
    let meta = match Meta::of_entry(dir, name, needs) {
        Ok(meta) => meta,
        Err(Errno::NOENT) => return Looked::Vanished,
        Err(error) => return Looked::Unknown(in_words(error)),
    };
    if !meta.is_plain_file() || tree.is_protected(&meta.id) {
        return Looked::LeftAlone;
    }
    match meta.stamp(tree.policy.stamp) {
        Some(stamp) => {
            let (arrival, identity) = (unnamed.arrival(&meta), meta.identity());
            Looked::Candidate(File { name, class, bytes: meta.allocated, stamp, arrival, identity })
        }
        None => Looked::Unknown(NO_STAMP.to_owned()),
    }
}

/// What is said of a file whose file system does not record the policy's stamp.
pub(crate) const NO_STAMP: &str = "the file system does not record this stamp; choose another `stamp`";
