//! Deletes for good what has been in quarantine long enough, or is too much.
//!
//! The oldest goes first, and each is counted as what it gave back. A folder in which nothing is left goes with its
//! notes.

use std::ffi::CStr;
use std::os::fd::AsFd as _;

use cleanup_core::candidate::Name;
use cleanup_core::moment::Moment;
use cleanup_core::policy::Quarantine as Bounds;
use cleanup_core::report::{ItemError, Tally};
use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::folder::{OpenRun, RunFolder, file_name};
use super::{Item, Quarantine};
use crate::Store;
use crate::entry::{self, Meta, in_words};
use crate::whole;

/// One thing in quarantine, as little of it as the order of age needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Aged {
    at: Moment,
    folder: usize,
    number: u64,
    bytes: u64,
}

impl Quarantine<'_> {
    /// Deletes what has been in it for longer than it may, and the oldest beyond its size. Without bounds (the policy
    /// deletes at once by now) each file stays as long as it was meant to when it came.
    pub fn expire(&self, bounds: Option<Bounds>, now: Moment) -> Tally {
        let mut tally = Tally::default();
        let max_bytes = bounds.and_then(|bounds| bounds.max_bytes);
        let mut rest = Vec::new();
        let mut total = 0_u64;
        for (index, folder) in self.folders.iter().enumerate() {
            let Some(run) = self.open(folder, &mut tally) else { continue };
            let keep_for = |own| bounds.map_or(own, |bounds| bounds.keep_for);
            // Nothing in it is older than the run itself.
            let is_young = run.header.as_ref().is_some_and(|it| now <= it.at.plus(keep_for(it.keep_for())));
            if is_young && max_bytes.is_none() {
                continue;
            }
            let mut old = Vec::new();
            let read = run.items(&mut |item: Item| {
                if now > item.at.plus(keep_for(item.keep_for)) {
                    old.push(item.number);
                } else if max_bytes.is_some() {
                    total = total.saturating_add(item.bytes);
                    rest.push(Aged { at: item.at, folder: index, number: item.number, bytes: item.bytes });
                }
            });
            if let Err(error) = read {
                fail(&mut tally, &folder.path(), error.to_string());
            }
            for number in old {
                delete(self.store, &run, number, &mut tally);
            }
            run.tidy();
        }
        if let Some(max) = max_bytes.filter(|max| total > *max) {
            self.delete_oldest(rest, &mut tally, |gone, _| total.saturating_sub(gone) <= max);
        }
        tally
    }

    /// Deletes the oldest in it until so many bytes were given back, or nothing is left.
    pub fn purge(&self, bytes: u64) -> Tally {
        let mut tally = Tally::default();
        let mut all = Vec::new();
        for (index, folder) in self.folders.iter().enumerate() {
            let Some(run) = self.open(folder, &mut tally) else { continue };
            let read = run.items(&mut |item: Item| {
                all.push(Aged { at: item.at, folder: index, number: item.number, bytes: item.bytes });
            });
            if let Err(error) = read {
                fail(&mut tally, &folder.path(), error.to_string());
            }
        }
        self.delete_oldest(all, &mut tally, |_, given_back| given_back >= bytes);
        tally
    }

    /// Deletes one after the other, the oldest first, until it is enough: by the bytes that were listed, and by those
    /// that were given back.
    fn delete_oldest(&self, mut all: Vec<Aged>, tally: &mut Tally, is_enough: impl Fn(u64, u64) -> bool) {
        all.sort_unstable();
        let (mut listed, before) = (0_u64, tally.counts.purged_bytes);
        let mut open: Option<(usize, OpenRun)> = None;
        for aged in all {
            if is_enough(listed, tally.counts.purged_bytes - before) {
                break;
            }
            if open.as_ref().is_none_or(|(index, _)| *index != aged.folder) {
                let Some(run) = self.open(&self.folders[aged.folder], tally) else { continue };
                if let Some((_, done)) = open.replace((aged.folder, run)) {
                    done.tidy();
                }
            }
            if let Some((_, run)) = &open {
                delete(self.store, run, aged.number, tally);
                listed = listed.saturating_add(aged.bytes);
            }
        }
        if let Some((_, done)) = open {
            done.tidy();
        }
    }

    fn open(&self, folder: &RunFolder, tally: &mut Tally) -> Option<OpenRun> {
        folder.open(self.store).unwrap_or_else(|error| {
            fail(tally, &folder.path(), error.to_string());
            None
        })
    }
}

/// Deletes one thing for good, a whole directory with all that is in it.
fn delete(store: &Store<'_>, run: &OpenRun, number: u64, tally: &mut Tally) {
    let name = file_name(number);
    let meta = match Meta::of_entry(&run.dir, &name, entry::ALWAYS) {
        Ok(meta) => meta,
        // It was brought back meanwhile.
        Err(Errno::NOENT) => return,
        Err(error) => return fail(tally, &path_of(run, &name), in_words(error)),
    };
    let gone = if meta.is_dir() {
        whole::delete(store, run.dir.as_fd(), &name)
    } else {
        // What has other names gives nothing back yet.
        let bytes = if meta.identity().links > 1 { 0 } else { meta.allocated };
        rustix::fs::unlinkat(&run.dir, &name, AtFlags::empty()).map(|()| bytes).map_err(in_words)
    };
    match gone {
        Ok(bytes) => tally.purged(bytes),
        Err(error) => fail(tally, &path_of(run, &name), error),
    }
}

fn path_of(run: &OpenRun, name: &CStr) -> Vec<u8> {
    Name { folder: &run.folder.path(), last: name.to_bytes() }.to_bytes()
}

fn fail(tally: &mut Tally, path: &[u8], error: String) {
    tally.failed(ItemError::new(Name { folder: b"", last: path }, error));
}
