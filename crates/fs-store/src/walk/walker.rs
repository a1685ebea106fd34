//! The walk: from directory to directory, iteratively, with few descriptors at any depth.
//!
//! Each directory on the way down is a [`DirFrame`]. Only the deepest [`OPEN`] frames and the first one keep a
//! descriptor. When the walk climbs back to a frame that has given up its own, it opens `..` and compares device and
//! inode with what it left there. They differ if somebody has moved a directory meanwhile: then the frames above are
//! given up, the rest of them is left for the next run, and that is reported. So thirty thousand levels need no more
//! descriptors than thirty.
//!
//! Where notes are written of what goes, and have to be on the disk before it does, names wait for those of the next
//! directories ([`Waiting`]), so that one sync is enough for all of them. Nobody else waits for them: they are looked at
//! before anything is settled that others have a part in.
//!
//! Where other workers have nothing to do, some folders of a directory become a [`Subtree`] of their own. A directory is
//! offered as empty by whoever settles the last thing below it, and never before.

use std::ffi::CString;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use cleanup_core::candidate::{Identity, Name, Stamp};
use cleanup_core::owner::Ground;
use cleanup_core::policy::{Depth, EmptyDirs};
use cleanup_core::store::{Fault, Seen};
use rustix::io::Errno;

use super::dir_reader::{DirReader, Gathered, ReadFrom, Remainder};
use super::resume::ResumePoint;
use super::visit::visit;
use super::worker_pool::{Pending, WorkerCtx};
use crate::act::GATHERED;
use crate::act::remove::EmptyDirectory;
use crate::sys::entry::{self, FileId, Meta, in_words};
use crate::sys::name_buffer::Names;

/// How many frames keep their descriptors, beside the first one, of all workers together.
pub(crate) const OPEN: usize = 16;

/// How many folders that come next stand in for the one that was next when the walk was stopped, in each directory.
pub(crate) const SPARES: usize = 3;

/// A folder below one with a longer path than this is not kept as a stand-in.
const LONG: usize = 4096;

/// From so many directories on the tree is not a small one, and other workers join.
const MANY: u32 = 64;

/// A worker that walks.
pub(crate) struct Walker<'scope, 'env> {
    ctx: WorkerCtx<'scope, 'env>,
    reader: DirReader<'scope, 'env>,
    subtree: Subtree,
    /// Where the walk is to begin, as long as it has not got there.
    begin: Vec<ResumePoint>,
    /// Directories entered.
    entered: u32,
    waiting: Waiting,
}

/// Names of the last directories that wait to be looked at together, and what waits for them.
#[derive(Default)]
struct Waiting {
    /// Each with the number of its directory.
    names: Vec<(usize, Gathered)>,
    /// Of each directory, by its number, whether anything is known to stay in it.
    survivors: Vec<bool>,
    /// Directories that are empty if nothing stays in them, those that lie deeper first.
    empty: Vec<MaybeEmpty>,
}

/// A directory that is to be offered if nothing stays in it.
struct MaybeEmpty {
    /// Its number.
    number: usize,
    /// The number of the one that it lies in.
    above: usize,
    parent: Arc<OwnedFd>,
    folder: Vec<u8>,
    name: CString,
    identity: Identity,
    stamp: Stamp,
    arrival: Stamp,
}

impl Waiting {
    /// The number of one more directory.
    fn number(&mut self) -> usize {
        self.survivors.push(false);
        self.survivors.len() - 1
    }

    /// How many names wait.
    fn names(&self) -> usize {
        self.names.iter().map(|(_, names)| names.len()).sum()
    }

    /// How many descriptors are open for it, at most. Directories beside each other share that of the one above.
    fn descriptors(&self) -> usize {
        let beside = |a: &MaybeEmpty, b: &MaybeEmpty| Arc::ptr_eq(&a.parent, &b.parent);
        self.names.len() + self.empty.chunk_by(beside).count()
    }
}

/// Some folders and all below them: where the walk through them is, and what is left to do on the way back to where it
/// began. One worker has it at a time.
#[derive(Default)]
pub(crate) struct Subtree {
    /// From where it began: the root, or a directory of which some folders were handed over. The first one, the last
    /// one, and those of which folders were handed over always have their descriptors.
    frames: Vec<DirFrame>,
    /// The last frame's path below the root.
    path: Vec<u8>,
    /// Of what it is a part; `None` for the one that began at the root.
    part_of: Option<Arc<Pending>>,
    /// Its place among all subtrees, in the order in which one worker would come to them.
    rank: Vec<u32>,
    /// How many subtrees were taken off it.
    shared: u32,
    /// Names that were waiting when the walk was stopped, in the order of reading. They come before everything else.
    not_looked_at: Vec<ResumePoint>,
}

/// A directory on the way to where the walk is.
pub(crate) struct DirFrame {
    dir: Option<Arc<OwnedFd>>,
    /// From before anything in it was touched.
    identity: Identity,
    /// Likewise.
    stamp: Option<Stamp>,
    /// Likewise; `None` in the first frame of a subtree that was taken off another one: that directory is offered there.
    arrival: Option<Stamp>,
    /// The length of its path in [`Subtree::path`].
    path_len: usize,
    /// How deep its entries lie: 1 for those of the root.
    below: Depth,
    /// The other policies in whose roots it lies.
    ground: Ground,
    /// Directories in it that are still to be walked.
    folders: Names,
    /// What was left of it when it was stopped while it was read.
    remainder: Option<Remainder>,
    /// Whether anything stays in it, as far as is known.
    pub(crate) survivors: bool,
    /// Its number in [`Waiting`], where it depends on what waits whether anything stays in it.
    number: Option<usize>,
    /// The folders of it that were handed over.
    pending: Option<Arc<Pending>>,
}

impl Subtree {
    pub(crate) fn last(&mut self) -> &mut DirFrame {
        self.frames.last_mut().expect("the walk is somewhere")
    }

    /// What was handed over of the last frame.
    fn last_pending(&self) -> Option<&Arc<Pending>> {
        self.frames.last().and_then(|last| last.pending.as_ref())
    }

    /// Lets go of the descriptors that can be had again.
    pub(crate) fn rest(&mut self) {
        let last = self.frames.len().saturating_sub(1);
        self.frames[..last]
            .iter_mut()
            .skip(1)
            .filter(|frame| frame.pending.is_none())
            .for_each(|frame| frame.dir = None);
    }

    /// Of what it is a part.
    pub(crate) fn part_of(&self) -> Option<&Pending> {
        self.part_of.as_deref()
    }

    /// Adds what is left of it, with its place among all that is left: what lies deeper comes first.
    pub(crate) fn left(&self, left: &mut Vec<(Vec<u32>, ResumePoint)>) {
        let before = left.len();
        for (index, position) in (0..).zip(&self.not_looked_at) {
            left.push(([self.rank.as_slice(), &[0, index]].concat(), position.clone()));
        }
        for frame in self.frames.iter().rev() {
            let folder = &self.path[..frame.path_len];
            let rank = || self.rank_at(frame.below);
            if let Some(place) = frame.remainder.as_ref().and_then(Remainder::first) {
                left.push((rank(), ResumePoint { folder: folder.to_owned(), place: Some(place) }));
                continue;
            }
            for name in frame.folders.iter().rev().take(SPARES) {
                if left.len() == before || folder.len() < LONG {
                    left.push((rank(), ResumePoint::whole(Name { folder, last: name.to_bytes() })));
                }
            }
        }
    }

    /// The place of a directory on it: before those above, and before the subtrees that were taken off it there.
    fn rank_at(&self, below: Depth) -> Vec<u32> {
        [self.rank.as_slice(), &[u32::MAX - below.0]].concat()
    }

    /// Takes some folders off it, for somebody else: of the uppermost directory that has any, where they are likely to
    /// be the most work. So nobody has to wait with folders left above.
    fn share(&mut self, new_pending: impl FnOnce() -> Option<Arc<Pending>>) -> Option<Self> {
        let last = self.frames.len().checked_sub(1)?;
        for (index, frame) in self.frames.iter_mut().enumerate() {
            let Some(dir) = &frame.dir else { continue };
            if frame.folders.is_empty() || (index == last && frame.folders.is_single()) {
                continue;
            }
            let pending = match (index, &self.part_of, &frame.pending) {
                (0, Some(pending), _) | (_, _, Some(pending)) => Arc::clone(pending),
                _ => Arc::clone(frame.pending.insert(new_pending()?)),
            };
            pending.begin();
            // What is taken off later would have come earlier.
            self.shared = self.shared.saturating_add(1);
            let rank = [self.rank.as_slice(), &[u32::MAX - frame.below.0, u32::MAX - self.shared]].concat();
            let first = DirFrame {
                dir: Some(Arc::clone(dir)),
                identity: frame.identity,
                stamp: None,
                arrival: None,
                path_len: frame.path_len,
                below: frame.below,
                ground: frame.ground.clone(),
                folders: frame.folders.take_half(),
                remainder: None,
                survivors: false,
                number: None,
                pending: None,
            };
            let path = self.path[..frame.path_len].to_vec();
            return Some(Self { frames: vec![first], path, part_of: Some(pending), rank, ..Self::default() });
        }
        None
    }
}

impl<'scope, 'env> Walker<'scope, 'env> {
    pub(crate) fn new(ctx: WorkerCtx<'scope, 'env>) -> Self {
        Self {
            ctx,
            reader: DirReader::new(ctx),
            subtree: Subtree::default(),
            begin: Vec::new(),
            entered: 0,
            waiting: Waiting::default(),
        }
    }

    /// Everything from there on, with the root read.
    pub(crate) fn at_root(&mut self, begin: Vec<ResumePoint>) -> Option<Subtree> {
        self.begin = begin;
        let root = self.ctx.tree.root.reopen().and_then(|dir| Ok((Meta::of(&dir)?, dir)));
        match root {
            Ok((meta, dir)) => {
                self.enter(dir, &meta);
                Some(std::mem::take(&mut self.subtree))
            }
            Err(error) => {
                self.fault(&in_words(error));
                None
            }
        }
    }

    /// Walks through a subtree until it comes to its end, or has to wait for what was handed over of it.
    pub(crate) fn run(&mut self, subtree: Subtree) {
        self.subtree = subtree;
        while !self.ctx.pool.is_over() {
            if self.ctx.visitor.wants_to_stop() {
                self.ctx.pool.end();
                break;
            }
            if self.ctx.pool.has_idle_workers()
                && self.ctx.pool.has_begun()
                && let Some(part) = self.subtree.share(|| self.ctx.pool.new_pending())
            {
                self.ctx.pool.hand_over.push_subtree(part);
            }
            match self.last().folders.pop() {
                Some(name) => self.descend(&name),
                // Others have a part in what comes next.
                None if self.is_shared() && !self.look_at_waiting() => {}
                None if !self.settle() => return,
                None if self.subtree.frames.len() > 1 => self.climb(),
                None if !self.arrive() => return,
                None => {}
            }
        }
        self.leave_waiting();
        match std::mem::take(&mut self.begin) {
            begin if begin.is_empty() => self.ctx.pool.hand_over.leave(std::mem::take(&mut self.subtree)),
            begin => self.ctx.pool.leave_all(begin),
        }
    }

    /// Whether the way up from the last frame leads to what others have a part in, or to the end.
    fn is_shared(&self) -> bool {
        self.subtree.frames.len() == 1 || self.subtree.last_pending().is_some()
    }

    /// Looks at the names that wait, and offers what is empty after that. Whether the walk goes on.
    fn look_at_waiting(&mut self) -> bool {
        if self.waiting.names.is_empty() || self.ctx.pool.is_over() {
            return !self.ctx.pool.is_over();
        }
        let Waiting { mut names, mut survivors, empty } = std::mem::take(&mut self.waiting);
        for (_, names) in &mut names {
            self.ctx.visitor.seen(std::mem::take(&mut names.seen));
        }
        let parts: Vec<_> = names.iter().map(|(_, names)| names.as_part()).collect();
        let visited = visit(self.ctx, &parts, Seen::default());
        for ((number, names), visited) in names.iter().zip(visited) {
            survivors[*number] |= visited.survivors;
            self.subtree.not_looked_at.extend(visited.broken_at.and_then(|place| names.position(Some(place))));
        }
        for MaybeEmpty { number, above, parent, folder, name, identity, stamp, arrival } in empty {
            // What is not offered any more is, the next time.
            survivors[above] |= survivors[number] || self.ctx.pool.is_over() || {
                let (parent, gone) = (parent.as_fd(), false);
                let empty = EmptyDirectory { parent, folder: &folder, name: &name, identity, stamp, arrival, gone };
                !self.offer(empty)
            };
        }
        for frame in &mut self.subtree.frames {
            frame.survivors |= frame.number.take().is_some_and(|number| survivors[number]);
        }
        !self.ctx.pool.is_over()
    }

    /// Leaves what waits to the next walk.
    fn leave_waiting(&mut self) {
        let Waiting { names, .. } = std::mem::take(&mut self.waiting);
        for (_, names) in &names {
            self.ctx.visitor.seen(names.seen);
        }
        self.subtree.not_looked_at.extend(names.iter().filter_map(|(_, names)| names.position(None)));
    }

    /// Has names wait for others; looks at them, and at those that wait, when they are enough.
    fn wait(&mut self, names: Gathered) {
        let (room, descriptors) = (GATHERED.saturating_sub(names.len()), self.ctx.pool.folders());
        if self.waiting.names() > room || self.waiting.descriptors() >= descriptors {
            self.look_at_waiting();
        }
        let number = self.number_of_last();
        self.waiting.names.push((number, names));
    }

    /// The number of the last frame's directory in [`Waiting`].
    fn number_of_last(&mut self) -> usize {
        let last = self.subtree.last();
        *last.number.get_or_insert_with(|| self.waiting.number())
    }

    /// Whether all is settled that was handed over of the last frame. If not, somebody else goes on here.
    fn settle(&mut self) -> bool {
        let Some(pending) = self.last().pending.take() else { return true };
        let parked = || {
            let mut subtree = std::mem::take(&mut self.subtree);
            subtree.rest();
            subtree
        };
        match pending.settled_or_park(parked) {
            Some(survivors) => {
                self.ctx.pool.pending_is_settled();
                self.last().survivors |= survivors;
                true
            }
            None => false,
        }
    }

    /// The end of a subtree. Whether there is another one to go on with: that of which this one was the last part.
    fn arrive(&mut self) -> bool {
        let survivors = self.last().survivors;
        let Some(pending) = self.subtree.part_of.take() else {
            self.ctx.pool.end();
            return false;
        };
        let Some((mut subtree, survivors)) = pending.settle(survivors) else { return false };
        self.ctx.pool.pending_is_settled();
        subtree.last().survivors |= survivors;
        self.subtree = subtree;
        true
    }

    /// Opens a directory below the last frame and reads it.
    fn descend(&mut self, name: &CString) {
        let path = &mut self.subtree.path;
        let len = path.len();
        if len > 0 {
            path.push(b'/');
        }
        path.extend_from_slice(name.as_bytes());

        let opened = entry::open_dir(self.here(), name).and_then(|dir| Ok((Meta::of(&dir)?, dir)));
        let kept = match opened {
            Ok((meta, dir)) if self.is_ours_to_enter(&meta) => return self.enter(dir, &meta),
            Ok(_) => {
                self.ctx.visitor.seen(Seen { left_alone: 1, ..Seen::default() });
                true
            }
            Err(Errno::NOENT) => false,
            Err(error) => {
                self.fault(&in_words(error));
                true
            }
        };
        // What was to be begun in it is not there.
        self.begin.clear();
        self.subtree.path.truncate(len);
        self.last().survivors |= kept;
    }

    fn is_ours_to_enter(&self, meta: &Meta) -> bool {
        meta.mount == self.ctx.tree.root.mount() && !self.ctx.tree.is_protected(&meta.id)
    }

    /// Makes a directory the last frame and reads it. Its path is in place already.
    fn enter(&mut self, dir: OwnedFd, meta: &Meta) {
        let dir = Arc::new(dir);
        let below = self.subtree.frames.last().map_or(Depth::FLAT, |above| Depth(above.below.0.saturating_add(1)));
        self.entered = self.entered.saturating_add(1);
        if self.entered == MANY {
            self.ctx.start();
        }
        let ground = self.ground(meta.id);
        let read_from = self.read_from();
        let is_above = matches!(read_from, ReadFrom::Below);
        let mut contents = self.reader.read(&dir, meta.id, &self.subtree.path, below, &ground, read_from);
        // Stopped before that, it is still to be begun there.
        if is_above && !self.ctx.pool.is_over() {
            self.follow(&mut contents.folders);
        }
        self.subtree.frames.push(DirFrame {
            dir: Some(dir),
            identity: meta.identity(),
            stamp: meta.stamp(self.ctx.tree.policy.stamp),
            arrival: Some(meta.arrival()),
            path_len: self.subtree.path.len(),
            below,
            ground,
            folders: contents.folders,
            remainder: contents.remainder,
            survivors: contents.survivors,
            number: None,
            pending: None,
        });
        if let Some(names) = contents.gathered {
            self.wait(names);
        }
        let deepest = self.subtree.frames.len() - 1;
        let keeps = self.ctx.pool.keeps();
        if deepest > keeps {
            // Those that are deeper than this one were kept while there were fewer workers.
            let first = deepest.saturating_sub(OPEN).max(1);
            let given_up =
                self.subtree.frames[first..=deepest - keeps].iter_mut().filter(|frame| frame.pending.is_none());
            given_up.for_each(|frame| frame.dir = None);
        }
    }

    /// Whose territory the directory is that the path leads to, as seen from the last frame.
    fn ground(&self, id: FileId) -> Ground {
        let Some(above) = self.subtree.frames.last() else { return self.ctx.tree.ground() };
        let (folder, last) = self.subtree.path.split_at(above.path_len);
        self.ctx.tree.ground_below(&above.ground, Name { folder, last: last.strip_prefix(b"/").unwrap_or(last) }, id)
    }

    /// How the directory is begun that the path leads to.
    fn read_from(&mut self) -> ReadFrom {
        match self.begin.first() {
            None => ReadFrom::Anew,
            Some(position) if position.folder == self.subtree.path => {
                let here = std::mem::take(&mut self.begin).swap_remove(0);
                here.place.map_or(ReadFrom::Anew, ReadFrom::At)
            }
            Some(_) => ReadFrom::Below,
        }
    }

    /// Leaves out those folders of a directory that were walked before. Where none of those is there that were next, all
    /// of them are walked.
    fn follow(&mut self, folders: &mut Names) {
        let path = &self.subtree.path;
        let next = self.begin.iter().filter_map(|position| position.below(path)).find(|name| folders.end_at(name));
        match next.map(<[u8]>::to_owned) {
            Some(next) => self.begin.retain(|position| position.below(path) == Some(&next)),
            None => self.begin.clear(),
        }
    }

    /// Leaves the last frame for the one above it, and offers it for removal if nothing is left in it.
    fn climb(&mut self) {
        let done = self.subtree.frames.pop().expect("the walk climbs from a frame");
        let above = self.last();
        if above.dir.is_none() {
            let below = done.dir.as_ref().expect("the last frame has its descriptor");
            above.dir = reopen_above(below.as_fd(), FileId::from(&above.identity)).map(Arc::new);
            if above.dir.is_none() {
                return self.lose_sight();
            }
        }
        self.offer_empty(&done);
        let parent_len = self.last().path_len;
        self.subtree.path.truncate(parent_len);
    }

    fn offer_empty(&mut self, done: &DirFrame) {
        let (stamp, arrival) = match done.stamp.zip(done.arrival) {
            Some(both)
                if self.ctx.tree.policy.empty_dirs == EmptyDirs::Judge
                    && !done.survivors
                    && !self.ctx.tree.is_kept_for_another(&done.ground) =>
            {
                both
            }
            _ => {
                self.last().survivors = true;
                return;
            }
        };
        let parent_len = self.last().path_len;
        let (folder, name) = self.subtree.path.split_at(parent_len);
        let name = CString::new(name.strip_prefix(b"/").unwrap_or(name)).expect("names hold no NUL");
        let policy = self.ctx.tree.policy;
        if policy.patterns.keeps_folder(Name { folder, last: name.as_bytes() }, policy.rule.archives) {
            self.last().survivors = true;
            return;
        }
        let identity = done.identity;
        if let Some(number) = done.number {
            let folder = folder.to_owned();
            let parent = Arc::clone(self.last().dir.as_ref().expect("the last frame has its descriptor"));
            let above = self.number_of_last();
            self.waiting.empty.push(MaybeEmpty { number, above, parent, folder, name, identity, stamp, arrival });
            return;
        }
        let (parent, gone) = (self.here(), false);
        let kept = !self.offer(EmptyDirectory { parent, folder, name: &name, identity, stamp, arrival, gone });
        self.last().survivors |= kept;
    }

    /// Offers a directory with nothing left in it. Whether it is gone.
    fn offer(&self, mut empty: EmptyDirectory<'_>) -> bool {
        if self.ctx.visitor.batch(&mut empty) == ControlFlow::Break(()) {
            self.ctx.pool.end();
        }
        empty.gone
    }

    /// Gives up all frames whose descriptors cannot be had again, down to one that still has its own.
    fn lose_sight(&mut self) {
        while self.last().dir.is_none() {
            self.subtree.frames.pop();
        }
        self.last().survivors = true;

        // Named is the uppermost of what is given up: the folder right below the frame that is left.
        let len = self.last().path_len;
        let path = &mut self.subtree.path;
        if let Some(end) = path.iter().skip(len + 1).position(|byte| *byte == b'/') {
            path.truncate(len + 1 + end);
        }
        self.fault("moved away during the sweep; the next run does the rest");
        self.subtree.path.truncate(len);
    }

    fn here(&self) -> BorrowedFd<'_> {
        let last = self.subtree.frames.last().expect("the walk is somewhere");
        last.dir.as_ref().expect("the last frame has its descriptor").as_fd()
    }

    fn last(&mut self) -> &mut DirFrame {
        self.subtree.last()
    }

    fn fault(&self, error: &str) {
        self.ctx.visitor.fault(Fault { name: Name { folder: b"", last: &self.subtree.path }, error });
    }
}

/// Opens the directory above one that is open, if it is still the one that the walk came from.
pub(crate) fn reopen_above(below: BorrowedFd<'_>, expected: FileId) -> Option<OwnedFd> {
    let dir = entry::open_dir(below, c"..").ok()?;
    (Meta::of(&dir).ok()?.id == expected).then_some(dir)
}
