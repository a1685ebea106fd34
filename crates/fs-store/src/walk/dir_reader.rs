//! Reads one directory: names first, then facts, then batches.
//!
//! The order is what makes it fast: `getdents64` gives names and types without touching an inode; the name filter
//! runs on bytes; only what it lets through costs a `statx`. Names wait in one buffer that is used again for every
//! directory, and are handed on [`BATCH`] at a time: memory grows neither with the number of files nor with depth.

use std::ffi::CStr;
use std::ops::ControlFlow;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;

use cleanup_core::candidate::{Class, Name};
use cleanup_core::owner::{Claim, Ground};
use cleanup_core::policy::Depth;
use cleanup_core::store::{Fault, Seen};
use rustix::fs::FileType;

use super::resume::{Place, ResumePoint};
use super::visit::{self, Visited, visit};
use super::worker_pool::{BatchGroup, WorkerCtx};
use crate::act::GATHERED;
use crate::protected::{Reserved, is_reserved};
use crate::rivals::Meeting;
use crate::sys::dir::{self, Buffer, Entry};
use crate::sys::entry::{FileId, in_words};
use crate::sys::name_buffer::Names;
use crate::tree::is_own_folder;

/// How many names are looked at, judged and acted on together. More would only be more to wait for at the end.
const BATCH: usize = 1024;

/// How many names are worth handing over while other workers are idle.
const FEW: usize = 64;

/// Names that no pattern matches are reported in steps of this many, so that a walk through a large directory shows that
/// it goes on, and can be stopped.
const PASSED_OVER: u64 = 8192;

/// What one directory turned out to hold.
pub(crate) struct Contents {
    /// Directories to be walked.
    pub(crate) folders: Names,
    /// Whether anything stays in it, apart from the directories that are to be walked.
    pub(crate) survivors: bool,
    /// What is left of it, if the walk was stopped.
    pub(crate) remainder: Option<Remainder>,
    /// Names of it that were not looked at yet: they may wait for those of other directories.
    pub(crate) gathered: Option<Gathered>,
}

/// Some names of one directory that wait to be looked at.
pub(crate) struct Gathered {
    dir: Arc<OwnedFd>,
    folder: Arc<[u8]>,
    names: Names,
    classes: Vec<Class>,
    cookies: Vec<u64>,
    /// What else was seen while they were read.
    pub(crate) seen: Seen,
}

impl Gathered {
    pub(crate) fn len(&self) -> usize {
        self.classes.len()
    }

    pub(crate) fn as_part(&self) -> visit::Part<'_> {
        let Self { dir, folder, names, classes, cookies, .. } = self;
        visit::Part { dir: dir.as_fd(), folder, names, classes, cookies }
    }

    /// Where it is: the first of the names, or a later one.
    pub(crate) fn position(&self, place: Option<Place>) -> Option<ResumePoint> {
        let first =
            || Some(Place { name: self.names.iter().next()?.to_bytes().to_owned(), cookie: *self.cookies.first()? });
        Some(ResumePoint { folder: self.folder.to_vec(), place: Some(place.or_else(first)?) })
    }
}

/// Where reading a directory begins.
pub(crate) enum ReadFrom {
    /// At its first entry.
    Anew,
    /// At this entry: an earlier walk has dealt with the files before it, but with none of its folders.
    At(Place),
    /// An earlier walk has dealt with everything but some of its folders.
    Below,
}

/// What is left of a directory when the walk was stopped while it was read.
pub(crate) struct Remainder {
    /// What the reader itself would have looked at next; `None` when it came to the end.
    place: Option<Place>,
    /// What was handed to other workers. Only when they have ended it is known what they have left.
    group: Option<Arc<BatchGroup>>,
}

impl Remainder {
    /// The first of it; `None` when nothing was left after all.
    pub(crate) fn first(&self) -> Option<Place> {
        self.group.as_ref().and_then(|group| group.left()).or_else(|| self.place.clone())
    }
}

/// Reads directories, one at a time.
pub(crate) struct DirReader<'scope, 'env> {
    ctx: WorkerCtx<'scope, 'env>,
    buffer: Buffer,
}

/// Some names of one directory, for another worker to look at.
pub(crate) struct Batch {
    names: Gathered,
    group: Arc<BatchGroup>,
    /// Its number among those that were handed over of this directory.
    number: usize,
}

impl Batch {
    /// Looks at the names, and says so to whoever waits for them.
    pub(crate) fn run(self, ctx: WorkerCtx<'_, '_>) {
        let Self { names, group, number } = self;
        group.settle(ctx.pool, number, visit_one(ctx, names.as_part(), names.seen));
    }
}

fn visit_one(ctx: WorkerCtx<'_, '_>, part: visit::Part<'_>, seen: Seen) -> Visited {
    visit(ctx, &[part], seen).pop().unwrap_or_default()
}

impl<'scope, 'env> DirReader<'scope, 'env> {
    pub(crate) fn new(ctx: WorkerCtx<'scope, 'env>) -> Self {
        Self { ctx, buffer: Buffer::default() }
    }

    /// Reads one directory to its end and hands its files on. `below` counts from 1, the root's own entries.
    pub(crate) fn read(
        &mut self,
        dir: &Arc<OwnedFd>,
        id: FileId,
        folder: &[u8],
        below: Depth,
        ground: &Ground,
        read_from: ReadFrom,
    ) -> Contents {
        let mut reading = Reading {
            ctx: self.ctx,
            dir,
            folder,
            ground,
            reserved: self.ctx.tree.protected_names_in(&id),
            meeting: Meeting::default(),
            descend: below < self.ctx.tree.policy.depth,
            seen: Seen::default(),
            names: Names::default(),
            classes: Vec::new(),
            cookies: Vec::new(),
            handed: None,
            broken_at: None,
            // Of what was not looked at, nobody knows that it is gone.
            contents: Contents {
                folders: Names::default(),
                survivors: !matches!(read_from, ReadFrom::Anew),
                remainder: None,
                gathered: None,
            },
            part: match read_from {
                ReadFrom::Anew => Part::All,
                ReadFrom::At(place) => Part::From(place),
                ReadFrom::Below => Part::Folders,
            },
        };
        reading.all(&mut self.buffer);
        self.ctx.tree.meet(&mut reading.meeting);
        reading.contents
    }
}

/// One directory while it is read.
struct Reading<'a, 'scope, 'env> {
    ctx: WorkerCtx<'scope, 'env>,
    dir: &'a Arc<OwnedFd>,
    folder: &'a [u8],
    /// The other policies in whose roots it lies.
    ground: &'a Ground,
    /// Names that are protected in it.
    reserved: &'a [Reserved],
    /// What was met of their files.
    meeting: Meeting,
    descend: bool,
    seen: Seen,
    names: Names,
    classes: Vec<Class>,
    /// Where each of the names is, as [`Place::cookie`] has it.
    cookies: Vec<u64>,
    /// The batches that were handed to other workers, and the path of the folder for them.
    handed: Option<(Arc<BatchGroup>, Arc<[u8]>)>,
    /// The first entry that the visitor did not get to, when it stopped the walk.
    broken_at: Option<Place>,
    part: Part,
    contents: Contents,
}

/// Which entries are looked at.
enum Part {
    /// All.
    All,
    /// Folders, and from this one on all.
    From(Place),
    /// Folders.
    Folders,
    /// All but folders.
    Files,
}

impl Reading<'_, '_, '_> {
    fn all(&mut self, buffer: &mut Buffer) {
        let is_whole = match &self.part {
            Part::From(place) => self.from(&place.clone(), buffer),
            Part::All | Part::Folders | Part::Files => self.pass(0, buffer),
        };
        if is_whole && !matches!(self.part, Part::Folders) {
            if self.may_wait() {
                self.gather();
            } else {
                self.look();
            }
            let group = self.handed.take().map(|(group, _)| group);
            self.contents.survivors |= group.as_ref().is_some_and(|group| self.ctx.settle(group));
            if self.ctx.pool.is_over() {
                self.contents.remainder = Some(Remainder { place: self.broken_at.take(), group });
            }
        }
    }

    /// Reads what an earlier walk has left. Whether it got to the end.
    fn from(&mut self, place: &Place, buffer: &mut Buffer) -> bool {
        let cookie = place.cookie;
        if !self.descend && self.is_at(place, buffer) {
            self.part = Part::All;
            return self.pass(dir::seek(self.dir, cookie), buffer);
        }
        let is_whole = self.pass(dir::seek(self.dir, 0), buffer);
        if is_whole && matches!(self.part, Part::From(_)) {
            // It is gone, and the folders are known by now: on with what came after it.
            self.part = Part::Files;
            self.seen = Seen::default();
            return self.pass(dir::seek(self.dir, cookie), buffer);
        }
        is_whole
    }

    /// Whether an entry is where it was.
    fn is_at(&self, place: &Place, buffer: &mut Buffer) -> bool {
        let found = dir::seek(self.dir, place.cookie);
        let first = dir::read(self.dir.as_fd(), found, buffer, |entry| {
            ControlFlow::Break(entry.cookie == place.cookie && entry.name.to_bytes() == place.name)
        });
        found == place.cookie && first == Ok(Some(true))
    }

    /// Reads on from where the descriptor is. Whether it came to the end.
    fn pass(&mut self, cookie: u64, buffer: &mut Buffer) -> bool {
        let mut is_stopped = false;
        let dir = Arc::clone(self.dir);
        let read = dir::read(dir.as_fd(), cookie, buffer, |entry| {
            if is_stopped {
                // The entry that would have come next.
                return ControlFlow::Break(place_of(&entry));
            }
            if matches!(&self.part, Part::From(place) if place.name == entry.name.to_bytes()) {
                self.part = Part::All;
                self.seen = Seen::default();
            }
            self.sort(&entry);
            self.cookies.resize(self.classes.len(), entry.cookie);
            self.share_or_look();
            is_stopped = self.ctx.pool.is_over();
            if is_stopped && self.is_known_what_is_next() {
                return ControlFlow::Break(place_of(&entry));
            }
            ControlFlow::Continue(())
        });
        let following = read.unwrap_or_else(|error| {
            self.contents.survivors = true;
            let name = Name { folder: b"", last: self.folder };
            self.ctx.visitor.fault(Fault { name, error: &in_words(error) });
            None
        });
        if is_stopped {
            self.contents.remainder = Some(self.remainder(following));
        }
        !is_stopped
    }

    /// Hands on the names gathered so far when there are enough of them.
    fn share_or_look(&mut self) {
        let is_noted = self.ctx.remover.move_in.is_some();
        let (batch, few) = if is_noted { (GATHERED, GATHERED) } else { (BATCH, FEW) };
        if self.classes.len() >= batch {
            self.ctx.start();
            if self.ctx.pool.has_room() { self.hand_over() } else { self.look() }
        } else if self.classes.len() >= few && self.ctx.pool.has_idle_workers() {
            self.hand_over();
        } else if self.seen.scanned >= PASSED_OVER {
            // With the few that were meant: whoever stops here has got somewhere.
            if self.is_looking() {
                self.look();
            } else {
                self.seen = Seen::default();
            }
            if self.ctx.visitor.wants_to_stop() {
                self.ctx.pool.end();
            }
        }
    }

    /// Whether it is known what would be looked at next, should it be stopped here.
    fn is_known_what_is_next(&self) -> bool {
        matches!(self.part, Part::From(_)) || self.broken_at.is_some() || !self.classes.is_empty()
    }

    /// What is left where it was stopped; `following` is the first entry that was not read.
    fn remainder(&mut self, following: Option<Place>) -> Remainder {
        let group = self.handed.take().map(|(group, _)| group);
        let place = match (&self.part, self.broken_at.take()) {
            (Part::From(place), _) => Some(place.clone()),
            (_, Some(place)) => Some(place),
            (_, None) => self.gathered().or(following),
        };
        Remainder { place, group }
    }

    /// The first of the names gathered so far.
    fn gathered(&self) -> Option<Place> {
        let name = self.names.iter().next()?;
        Some(Place { name: name.to_bytes().to_owned(), cookie: *self.cookies.first()? })
    }

    /// Whether files are looked at here.
    fn is_looking(&self) -> bool {
        matches!(self.part, Part::All | Part::Files)
    }

    /// Decides by name and type alone what an entry is to this policy.
    fn sort(&mut self, entry: &Entry<'_>) {
        let (name, kind) = (entry.name, entry.kind());
        self.seen.scanned += 1;
        if is_reserved(self.reserved, name.to_bytes()) {
            if self.is_looking() {
                self.seen.left_alone += 1;
            }
            self.contents.survivors = true;
            return;
        }
        if kind == FileType::Directory {
            return self.sort_folder(name);
        }
        if !self.is_looking() {
            return;
        }
        let is_file = kind == FileType::RegularFile;
        let Some(class) = self.class(name) else {
            let is_left = is_file && self.ctx.tree.policy.patterns.leaves_dotfile(self.named(name));
            self.seen.dotfiles += u64::from(is_left);
            self.contents.survivors = true;
            return;
        };
        if !self.ground.is_empty() && self.is_claimed(name, is_file || kind == FileType::Unknown) {
            self.contents.survivors = true;
            return;
        }
        if is_file && let Some(bytes) = self.ctx.tree.recall(entry.inode, name.to_bytes(), class) {
            self.seen.indexed += 1;
            self.seen.indexed_bytes += bytes;
            self.contents.survivors = true;
        } else if is_file || kind == FileType::Unknown {
            self.names.push(name);
            self.classes.push(class);
        } else {
            self.leave_alone();
        }
    }

    /// Whether a name is none of this policy's because of another one. Files are counted for that.
    fn is_claimed(&mut self, name: &CStr, is_file: bool) -> bool {
        let claim = self.ctx.tree.claim(self.ground, self.named(name));
        match claim {
            Claim::Own => return false,
            Claim::Other { .. } => self.seen.owned_by_others += u64::from(is_file),
            // What is no file stays anyway, and is counted as that.
            Claim::Disputed { .. } if !is_file => return false,
            Claim::Disputed { .. } => self.seen.disputed += 1,
        }
        if is_file {
            self.meeting.note(claim);
        }
        true
    }

    fn sort_folder(&mut self, name: &CStr) {
        if matches!(self.part, Part::Files) {
            return;
        }
        if is_own_folder(name.to_bytes()) {
            self.leave_alone();
        } else if self.descend && !self.ctx.tree.policy.patterns.excludes_folder(self.named(name)) {
            if self.folder.is_empty() && self.ctx.tree.root.has_lost_and_found(name) {
                return self.leave_alone();
            }
            self.contents.folders.push(name);
        } else {
            self.contents.survivors = true;
        }
    }

    /// Whether the names gathered so far may wait for those of other directories. Whoever stops has got somewhere before.
    fn may_wait(&self) -> bool {
        self.ctx.remover.move_in.is_some()
            && !self.classes.is_empty()
            && self.handed.is_none()
            && self.ctx.pool.has_begun()
            && !self.ctx.pool.is_over()
    }

    /// Leaves the names gathered so far for later.
    fn gather(&mut self) {
        self.contents.gathered = Some(self.take(self.folder.into()));
    }

    fn take(&mut self, folder: Arc<[u8]>) -> Gathered {
        Gathered {
            dir: Arc::clone(self.dir),
            folder,
            names: std::mem::take(&mut self.names),
            classes: std::mem::take(&mut self.classes),
            cookies: std::mem::take(&mut self.cookies),
            seen: std::mem::take(&mut self.seen),
        }
    }

    /// Looks at the names gathered so far and hands those that are candidates to the visitor.
    fn look(&mut self) {
        let Self { ctx, dir, folder, names, classes, cookies, .. } = self;
        let seen = std::mem::take(&mut self.seen);
        let visited = visit_one(*ctx, visit::Part { dir: dir.as_fd(), folder, names, classes, cookies }, seen);
        self.contents.survivors |= visited.survivors;
        self.broken_at = visited.broken_at;
        // Used again: a directory of a million names fills these many times over.
        self.names.clear();
        self.classes.clear();
        self.cookies.clear();
    }

    /// Leaves the names gathered so far to somebody else.
    fn hand_over(&mut self) {
        let Some(first) = self.gathered().filter(|_| self.ctx.pool.has_begun()) else { return self.look() };
        let (group, folder) = self.handed.get_or_insert_with(|| (Arc::default(), self.folder.into()));
        let (group, folder) = (Arc::clone(group), Arc::clone(folder));
        let number = group.begin(first);
        self.ctx.pool.hand_over.push_batch(Batch { names: self.take(folder), group, number });
    }

    fn leave_alone(&mut self) {
        self.seen.left_alone += 1;
        self.contents.survivors = true;
    }

    fn class(&self, name: &CStr) -> Option<Class> {
        self.ctx.tree.policy.patterns.class(self.named(name))
    }

    fn named<'n>(&'n self, name: &'n CStr) -> Name<'n> {
        Name { folder: self.folder, last: name.to_bytes() }
    }
}

fn place_of(entry: &Entry<'_>) -> Place {
    Place { name: entry.name.to_bytes().to_owned(), cookie: entry.cookie }
}
