//! Looks at names and hands those that are candidates to the visitor.

use std::ffi::CStr;
use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;

use cleanup_core::candidate::{Class, Name};
use cleanup_core::store::{Batch as _, Fault, Seen};
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

/// Some names of one directory.
#[derive(Clone, Copy)]
pub(crate) struct Part<'a> {
    pub(crate) dir: BorrowedFd<'a>,
    /// Its path below the root.
    pub(crate) folder: &'a [u8],
    pub(crate) names: &'a Names,
    pub(crate) classes: &'a [Class],
    /// Where each of the names is, as [`Place::cookie`] has it.
    pub(crate) cookies: &'a [u64],
}

/// What came of looking at some names of one directory.
#[derive(Default)]
pub(crate) struct Visited {
    /// Whether anything stays of them.
    pub(crate) survivors: bool,
    /// The first one that the visitor did not get to.
    pub(crate) broken_at: Option<Place>,
}

/// Looks at names of one directory, or of several, and hands those that are candidates to the visitor as one batch.
/// What came of each part.
pub(crate) fn visit(ctx: WorkerCtx<'_, '_>, parts: &[Part<'_>], mut seen: Seen) -> Vec<Visited> {
    let WorkerCtx { tree, remover, visitor, pool, .. } = ctx;
    if parts.iter().all(|part| part.classes.is_empty()) {
        visitor.seen(seen);
        pool.begin();
        return parts.iter().map(|_| Visited::default()).collect();
    }
    let needs = needs(tree.policy);
    let visited = ctx.timed(|| {
        let looked: Vec<Candidates<'_>> = parts.iter().map(|part| look_at_part(ctx, part, needs, &mut seen)).collect();
        visitor.seen(seen);
        let mut calls: usize = parts.iter().map(|part| part.classes.len()).sum();
        let mut batch = Files::new(tree, remover, needs);
        for (part, looked) in parts.iter().zip(&looked) {
            batch.add(part.dir, part.folder, &looked.files);
        }
        let is_broken = !batch.is_empty() && visitor.batch(&mut batch) == ControlFlow::Break(());
        if is_broken {
            pool.end();
        }
        let mut all = Vec::with_capacity(parts.len());
        for (folder, Candidates { files, places, survivors }) in batch.folders().iter().zip(&looked) {
            let next = files.get(folder.asked()).zip(places.get(folder.asked())).filter(|_| is_broken);
            let place =
                |(file, cookie): (&File<'_>, &u64)| Place { name: file.name.to_bytes().to_owned(), cookie: *cookie };
            all.push(Visited { survivors: *survivors || folder.gone() < files.len(), broken_at: next.map(place) });
            calls += 2 * folder.gone();
        }
        if batch.has_waited {
            calls /= WAITED;
        }
        (all, calls as u64)
    });
    pool.begin();
    visited
}

/// The candidates among some names.
struct Candidates<'n> {
    files: Vec<File<'n>>,
    /// Where each of them is.
    places: Vec<u64>,
    /// Whether anything stays that is none.
    survivors: bool,
}

fn look_at_part<'n>(ctx: WorkerCtx<'_, '_>, part: &Part<'n>, needs: StatxFlags, seen: &mut Seen) -> Candidates<'n> {
    let WorkerCtx { tree, remover, visitor, .. } = ctx;
    let Part { dir, folder, names, classes, cookies } = *part;
    let (files, places) = (Vec::with_capacity(classes.len()), Vec::with_capacity(classes.len()));
    let mut candidates = Candidates { files, places, survivors: false };
    for ((name, class), cookie) in names.iter().zip(classes).zip(cookies) {
        match look_at(tree, &remover.unnamed, dir, name, *class, needs) {
            Looked::Candidate(file) => {
                candidates.files.push(file);
                candidates.places.push(*cookie);
            }
            Looked::Vanished => seen.vanished += 1,
            Looked::LeftAlone => {
                seen.left_alone += 1;
                candidates.survivors = true;
            }
            Looked::Unknown(error) => {
                candidates.survivors = true;
                visitor.fault(Fault { name: Name { folder, last: name.to_bytes() }, error: &error });
            }
        }
    }
    candidates
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
