//! Deletes for good what has been in quarantine long enough, or is too much; and looks at what an earlier run moved in and
//! did not get to look at.
//!
//! Whatever is deleted is looked at first, by what its note says: what is not what was judged goes back instead, or stays,
//! and is told of in every run. So does what has no note. The oldest goes first, and each is counted as what it gave
//! back. A folder in which nothing is left goes with its notes.

use std::ffi::CStr;
use std::os::fd::AsFd as _;

use cleanup_core::candidate::Name;
use cleanup_core::moment::Moment;
use cleanup_core::policy::Quarantine as Bounds;
use cleanup_core::report::{ItemError, Tally};
use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::layout::{Entry, OpenRun, RunFolder, file_name};
use super::note::{Judged, Mark};
use super::restore::{MissingFolders, parts, reach};
use super::settle::{self, Back, Found};
use super::{Item, Quarantine};
use crate::act::delete_tree::{self, DeleteTree, Deleted};
use crate::act::tree_sum::Newest;
use crate::sys::entry::{self, Meta, in_words};
use crate::tree::Tree;

/// One thing in quarantine, as little of it as its deletion needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Aged {
    at: Moment,
    folder: usize,
    number: u64,
    bytes: u64,
    /// `None` when its note was lost.
    judged: Option<Judged>,
    is_being_emptied: bool,
}

impl Aged {
    fn new(folder: usize, entry: &Entry) -> Self {
        let Entry { item, judged, is_being_emptied } = entry;
        let (judged, is_being_emptied) = (*judged, *is_being_emptied);
        Self { at: item.at, folder, number: item.number, bytes: item.bytes, judged, is_being_emptied }
    }
}

/// What came of deleting something for good.
enum Purged {
    /// It is gone.
    Gone,
    /// It was brought back meanwhile.
    Nothing,
    /// It is not what was judged, or nobody will ever tell; why, in words.
    NotTheSame(String),
    /// It could not be looked at, or not be deleted, in words.
    Failed(String),
}

/// Why something may not be deleted.
enum Trouble {
    /// It is not what was judged; why, in words.
    NotTheSame(String),
    /// It cannot be told now, in words.
    NotSeen(String),
}

const CHANGED: &str = "it is not what was judged: it was replaced or written since";

const NOT_DELETED: &str = "it was moved into quarantine, and is not deleted";

/// Whatever it is, it stays where it is until it can be looked at.
const NOT_SEEN: &str = "it could not be inspected";

const NO_NOTE: &str = "its note was lost, so what it was is unknown";

impl Quarantine<'_> {
    /// Deletes what has been in it for longer than it may, and the oldest beyond its size. Without bounds (the policy
    /// deletes at once by now) each file stays as long as it was meant to when it came.
    pub fn purge(&self, bounds: Option<Bounds>, now: Moment) -> Tally {
        let mut tally = Tally::default();
        let max_bytes = bounds.and_then(|bounds| bounds.max_bytes);
        let mut rest = Vec::new();
        let mut total = 0_u64;
        for (index, folder) in self.folders.iter().enumerate() {
            let Some(run) = self.open(folder, &mut tally) else { continue };
            // Whoever is at it looks by itself at what it moves in; what is over its time goes the next time.
            if !run.lock_alone() {
                continue;
            }
            let keep_for = |own| bounds.map_or(own, |bounds| bounds.keep_for);
            let begun_at = run.header.as_ref().map(|header| header.at);
            // Nothing in it is older than the run itself.
            let is_young = run.header.as_ref().is_some_and(|it| now <= it.at.plus(keep_for(it.keep_for())));
            let unsettled = Unsettled::of(&run, begun_at.is_some_and(|at| at >= now));
            if is_young && max_bytes.is_none() && unsettled.is_nothing() {
                // Whoever brought everything back may have been cut off before it took the folder away.
                run.tidy();
                continue;
            }
            let mut stays = Vec::new();
            let read = run.entries(&mut |entry: Entry| {
                // Somebody has begun to move things in since it was opened.
                if !run.has_notes() && entry.judged.is_some() {
                    return;
                }
                let aged = Aged::new(index, &entry);
                // How long something was meant to stay stands in the header: where that is lost, nobody knows.
                let is_known = bounds.is_some() || run.header.is_some();
                let is_over = is_known && now > entry.item.at.plus(keep_for(entry.item.keep_for));
                // What was begun is brought to its end.
                if entry.is_being_emptied || is_over {
                    let (purged, freed) = delete(self.tree, &run, &aged);
                    tally.purge_freed(freed);
                    match purged {
                        Purged::Gone => tally.purged(),
                        Purged::Nothing => {}
                        Purged::NotTheSame(why) => stays.extend(self.bring_home(&run, &entry, &why, &mut tally)),
                        Purged::Failed(error) => {
                            fail(&mut tally, &path_of(&run, &file_name(aged.number)), error);
                            stays.extend(Some(aged.number).filter(|number| unsettled.is(*number)));
                        }
                    }
                } else if unsettled.is(aged.number)
                    && let Some(trouble) = self.trouble(&run, &aged)
                {
                    match trouble {
                        Trouble::NotTheSame(why) => stays.extend(self.bring_home(&run, &entry, &why, &mut tally)),
                        Trouble::NotSeen(error) => {
                            fail(&mut tally, &path_of(&run, &file_name(aged.number)), error);
                            stays.push(aged.number);
                        }
                    }
                } else if max_bytes.is_some() {
                    total = total.saturating_add(aged.bytes);
                    rest.push(aged);
                }
            });
            let is_all_read = read.is_ok();
            if let Err(error) = read {
                fail(&mut tally, &folder.path(), error.to_string());
            }
            if is_all_read {
                unsettled.conclude(&run, stays);
            }
            run.tidy();
        }
        if let Some(max) = max_bytes.filter(|max| total > *max) {
            self.delete_oldest(rest, &mut tally, |gone, _| total.saturating_sub(gone) <= max);
        }
        tally
    }

    /// Deletes the oldest in it until so many bytes were given back, or nothing is left.
    pub fn purge_for_space(&self, bytes: u64) -> Tally {
        let mut tally = Tally::default();
        let mut all = Vec::new();
        for (index, folder) in self.folders.iter().enumerate() {
            let Some(run) = self.open(folder, &mut tally) else { continue };
            let read = run.entries(&mut |entry: Entry| all.push(Aged::new(index, &entry)));
            if let Err(error) = read {
                fail(&mut tally, &folder.path(), error.to_string());
            }
        }
        self.delete_oldest(all, &mut tally, |_, given_back| given_back >= bytes);
        tally
    }

    /// Looks at something again; what is wrong with it, if anything is.
    fn trouble(&self, run: &OpenRun, aged: &Aged) -> Option<Trouble> {
        let Some(judged) = &aged.judged else { return Some(Trouble::NotTheSame(NO_NOTE.to_owned())) };
        match settle::look(self.tree, run.dir.as_fd(), &file_name(aged.number), judged) {
            Found::Same | Found::Gone => None,
            Found::Changed => Some(Trouble::NotTheSame(CHANGED.to_owned())),
            Found::Unknown(error) => Some(Trouble::NotSeen(format!("{NOT_SEEN} ({error})"))),
        }
    }

    /// Puts something back that is not what was judged, and tells of it. Returns its number when it stays.
    fn bring_home(&self, run: &OpenRun, entry: &Entry, why: &str, tally: &mut Tally) -> Option<u64> {
        let Item { number, path, .. } = &entry.item;
        let Some((path, (folders, last))) = path.as_deref().and_then(|path| Some((path, parts(path)?))) else {
            let stays = settle::stays_for_good_in(&run.folder, *number);
            fail(tally, &path_of(run, &file_name(*number)), format!("{NOT_DELETED}: {why}; it {stays}"));
            return Some(*number);
        };
        let back = match reach(self.tree, &folders, MissingFolders::Leave) {
            Ok(Some(home)) => settle::put_back(run.dir.as_fd(), &file_name(*number), home.as_fd(), &last),
            Ok(None) | Err(_) => Back::Stays("the folder that it came from no longer exists".to_owned()),
        };
        let (is_back, what) = match back {
            Back::UnderItsName => (true, "it is back in its place".to_owned()),
            Back::Beside(beside) => {
                let beside = settle::shown(&beside);
                (true, format!("its name was taken in the meantime, and it is next to it as {beside}"))
            }
            Back::Gone => return None,
            Back::Stays(reason) => (false, format!("{reason}, and it {}", settle::stays_in(&run.folder, *number))),
        };
        fail(tally, path, format!("{NOT_DELETED}: {why}; {what}"));
        (!is_back).then_some(*number)
    }

    /// Deletes one after the other, the oldest first, until it is enough: by the bytes that were listed, and by those
    /// that were given back.
    fn delete_oldest(&self, mut all: Vec<Aged>, tally: &mut Tally, is_enough: impl Fn(u64, u64) -> bool) {
        all.sort_unstable();
        let (mut listed, before) = (0_u64, tally.counts.purged_bytes);
        // `None` for one that somebody else is at.
        let mut open: Option<(usize, Option<OpenRun>)> = None;
        for aged in all {
            if is_enough(listed, tally.counts.purged_bytes - before) {
                break;
            }
            if open.as_ref().is_none_or(|(index, _)| *index != aged.folder) {
                let Some(run) = self.open(&self.folders[aged.folder], tally) else { continue };
                let run = run.lock_alone().then_some(run);
                if let Some((_, Some(done))) = open.replace((aged.folder, run)) {
                    done.tidy();
                }
            }
            if let Some((_, Some(run))) = &open {
                let (purged, freed) = delete(self.tree, run, &aged);
                tally.purge_freed(freed);
                match purged {
                    Purged::Gone => tally.purged(),
                    // It is told of, and put back, when its time is over; nothing else has to go for its sake.
                    Purged::Nothing | Purged::NotTheSame(_) => {}
                    Purged::Failed(error) => fail(tally, &path_of(run, &file_name(aged.number)), error),
                }
                listed = listed.saturating_add(aged.bytes);
            }
        }
        if let Some((_, Some(done))) = open {
            done.tidy();
        }
    }

    fn open(&self, folder: &RunFolder, tally: &mut Tally) -> Option<OpenRun> {
        folder.open(self.tree).unwrap_or_else(|error| {
            fail(tally, &folder.path(), error.to_string());
            None
        })
    }
}

/// Which things in a run's folder have to be looked at, however young they are.
enum Unsettled {
    /// Everything: whoever moved it in was cut off before it had looked at all of it.
    All,
    /// What is known not to be what was judged.
    Some(Vec<u64>),
    /// Nothing: the caller has moved it in and told of it just now.
    Nothing,
}

impl Unsettled {
    fn of(run: &OpenRun, is_own: bool) -> Self {
        match run.settled() {
            Some(_) if is_own => Self::Nothing,
            Some(numbers) => Self::Some(numbers),
            None => Self::All,
        }
    }

    fn is_nothing(&self) -> bool {
        match self {
            Self::All => false,
            Self::Some(numbers) => numbers.is_empty(),
            Self::Nothing => true,
        }
    }

    fn is(&self, number: u64) -> bool {
        match self {
            Self::All => true,
            Self::Some(numbers) => numbers.contains(&number),
            Self::Nothing => false,
        }
    }

    /// Writes down what is known now.
    fn conclude(self, run: &OpenRun, stays: Vec<u64>) {
        if !run.has_notes() {
            return;
        }
        match self {
            Self::Some(before) if before == stays && run.settled().is_some() => {}
            Self::All | Self::Some(_) => run.mark(&Mark::Settled(stays)),
            Self::Nothing => {}
        }
    }
}

/// Deletes one thing for good that is still what was judged, a whole directory with all that is in it. How many allocated
/// bytes that gave back, whatever came of it.
fn delete(tree: &Tree<'_>, run: &OpenRun, aged: &Aged) -> (Purged, u64) {
    let name = file_name(aged.number);
    let Some(judged) = &aged.judged else { return (Purged::NotTheSame(NO_NOTE.to_owned()), 0) };
    let newest = Newest { modified: judged.modified, changed: judged.changed };
    let emptying = if aged.is_being_emptied {
        DeleteTree::resumed(newest)
    } else {
        match settle::look(tree, run.dir.as_fd(), &name, judged) {
            Found::Same => DeleteTree::first(newest),
            Found::Changed => return (Purged::NotTheSame(CHANGED.to_owned()), 0),
            Found::Gone => return (Purged::Nothing, 0),
            Found::Unknown(error) => return (Purged::Failed(format!("{NOT_DELETED}: {NOT_SEEN} ({error})")), 0),
        }
    };
    let meta = match Meta::of_entry(&run.dir, &name, entry::ALWAYS) {
        Ok(meta) => meta,
        // It was brought back meanwhile.
        Err(Errno::NOENT) => return (Purged::Nothing, 0),
        Err(error) => return (Purged::Failed(in_words(error)), 0),
    };
    if !meta.is_dir() {
        // What has other names gives nothing back yet.
        let freed = if meta.identity().links > 1 { 0 } else { meta.allocated };
        return match rustix::fs::unlinkat(&run.dir, &name, AtFlags::empty()) {
            Ok(()) => (Purged::Gone, freed),
            Err(Errno::NOENT) => (Purged::Nothing, 0),
            Err(error) => (Purged::Failed(in_words(error)), 0),
        };
    }
    if !aged.is_being_emptied
        && let Err(error) = run.mark_emptying(aged.number)
    {
        return (Purged::Failed(in_words(error)), 0);
    }
    let (deleted, freed) = delete_tree::delete(tree, run.dir.as_fd(), &name, emptying);
    let purged = match deleted {
        Deleted::All => Purged::Gone,
        Deleted::Younger { what } => Purged::NotTheSame(format!("{what} in it was written while it was deleted")),
        Deleted::Failed(error) => Purged::Failed(error),
    };
    (purged, freed)
}

fn path_of(run: &OpenRun, name: &CStr) -> Vec<u8> {
    Name { folder: &run.folder.path(), last: name.to_bytes() }.to_bytes()
}

fn fail(tally: &mut Tally, path: &[u8], error: String) {
    tally.failed(ItemError::new(Name { folder: b"", last: path }, error));
}
