//! The workers of one walk.
//!
//! The walk begins on the thread that asked for it. A small tree ends there; where there is more to do, or a number of
//! workers was asked for, other threads join. What they hand each other, and why that ends, is in [`super::hand_over`].
//! Whoever has handed over names of a directory waits for them before it leaves that directory, and helps meanwhile.
//! Nobody waits for folders.
//!
//! This is the only place of the crate that reads a clock: once for each batch, to see what a system call costs.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Scope;
use std::time::{Duration, Instant};

use cleanup_core::store::Visitor;
use rustix::process::{Resource, getrlimit};

use super::dir_reader::Batch;
use super::hand_over::{self, HandOver, Task};
use super::pool_size::{self, PoolSize};
use super::resume::{Place, ResumePoint};
use super::visit::Visited;
use super::walker::{OPEN, Subtree, Walker};
use crate::act::remove::Remover;
use crate::tree::Tree;

/// How many directories may wait for parts that were handed over, at a time. Each keeps a descriptor.
const MAX_PENDING: usize = 8;

/// How many directories wait to be looked at together, of all workers. Each keeps a descriptor.
const FOLDERS: usize = 128;

/// How many of the process's descriptors are for those: one of so many.
const SHARE: u64 = 8;

/// How many positions are kept of a walk that is stopped. The first is the one that counts.
const POSITIONS: usize = 64;

/// System calls per worker between two estimates of what a call costs.
const SAMPLE: u64 = 128;

/// How many workers a walk has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Jobs {
    /// As many as there is use for: the processors, four at most, and more where calls wait for a device.
    #[default]
    Adaptive,
    /// So many, as far as descriptors last.
    Fixed(NonZero<usize>),
}

impl Jobs {
    /// With how many to begin, where there is enough to do.
    pub(crate) fn at_once(self) -> usize {
        self.size().now()
    }

    fn size(self) -> PoolSize {
        PoolSize::new(self, pool_size::cores(), getrlimit(Resource::Nofile).current)
    }
}

/// What a worker is given.
#[derive(Clone, Copy)]
pub(crate) struct WorkerCtx<'scope, 'env> {
    pub(crate) tree: &'env Tree<'env>,
    pub(crate) remover: &'env Remover,
    pub(crate) visitor: &'env dyn Visitor,
    pub(crate) pool: &'env WorkerPool,
    scope: &'scope Scope<'scope, 'env>,
}

/// The workers of one walk.
///
/// All atomics here are `Relaxed`: each is a hint, a counter or a switch that is thrown once, and none of them says that
/// something else has been written. What one worker writes for another passes through a lock; see [`super::hand_over`].
pub(crate) struct WorkerPool {
    jobs: Jobs,
    pub(crate) hand_over: HandOver<Batch, Subtree>,
    /// Not known before there is use for more than one worker. Taken before the lock of the hand-over, never after it.
    size: Mutex<Option<PoolSize>>,
    /// Where the walk was to begin, when it was stopped before it came there.
    unreached: Mutex<Vec<ResumePoint>>,
    /// `swap` alone decides who starts the others. Read late, a batch is looked at instead of handed over.
    has_started: AtomicBool,
    /// Read late, something is not shared yet.
    has_begun: AtomicBool,
    /// How many descriptors a worker may keep on its way down. Read late, a few more are open for a moment.
    keeps: AtomicUsize,
    /// How many directories may wait to be looked at together, for each worker. Read late, a few more do.
    folders: AtomicUsize,
    /// Directories that wait for parts. `fetch_update` keeps it within bounds under any ordering.
    pending: AtomicUsize,
    /// System calls since the last estimate, and what they took. The two may be read at slightly different moments: the
    /// estimate is one of many, and its error is that of a batch in 128 calls.
    calls: AtomicU64,
    nanos: AtomicU64,
}

/// The parts of one directory's folders that were handed over.
pub(crate) type Pending = hand_over::Pending<Subtree>;

/// The batches of one directory's names that were handed over.
#[derive(Default)]
pub(crate) struct BatchGroup(Mutex<Group>);

#[derive(Default)]
struct Group {
    /// How many batches are not done with.
    pending: usize,
    survivors: bool,
    /// Where each of those batches begins, by its number; of one that was broken off, where it was.
    left: BTreeMap<usize, Place>,
}

/// Walks through everything below a root, from where an earlier walk was stopped. Says where this one was stopped, in
/// the order in which it would have gone on.
pub(crate) fn walk(
    tree: &Tree<'_>,
    remover: &Remover,
    jobs: Jobs,
    visitor: &dyn Visitor,
    begin: Vec<ResumePoint>,
) -> Vec<ResumePoint> {
    let pool = WorkerPool::new(jobs);
    std::thread::scope(|scope| {
        let ctx = WorkerCtx { tree, remover, visitor, pool: &pool, scope };
        let _panic = EndsOnPanic(&pool);
        if jobs != Jobs::Adaptive {
            ctx.start();
        }
        let mut walker = Walker::new(ctx);
        if let Some(subtree) = walker.at_root(begin) {
            walker.run(subtree);
            ctx.work(walker);
        }
    });
    pool.left()
}

impl<'env> WorkerCtx<'_, 'env> {
    /// Does what there is to do until nothing is left.
    fn work(self, mut walker: Walker<'_, 'env>) {
        while let Some(task) = self.pool.hand_over.next() {
            match task {
                Task::Batch(batch) => batch.run(self),
                Task::Subtree(subtree) => walker.run(subtree),
            }
        }
    }

    /// Brings in other workers, where there are to be any: there is enough to do.
    pub(crate) fn start(self) {
        if !self.pool.is_alone() && !self.pool.has_started.swap(true, Ordering::Relaxed) {
            self.hire(&mut self.pool.size());
        }
    }

    /// Starts as many workers as are missing.
    fn hire(self, size: &mut Option<PoolSize>) {
        let size = size.get_or_insert_with(|| self.pool.jobs.size());
        let workers = self.pool.hand_over.with_staff(|staff| {
            while staff.workers < size.now() {
                let work = move || {
                    let _panic = EndsOnPanic(self.pool);
                    self.work(Walker::new(self));
                };
                match std::thread::Builder::new().name("worker".to_owned()).spawn_scoped(self.scope, work) {
                    Ok(_) => staff.workers += 1,
                    // No thread is to be had: go on with those that there are.
                    Err(_) => size.stay(staff.workers),
                }
            }
            staff.wanted = size.now();
            staff.workers
        });
        self.pool.keeps.store((OPEN / workers).max(1), Ordering::Relaxed);
        self.pool.folders.store((most_folders() / workers).max(1), Ordering::Relaxed);
    }

    /// Does something that makes so many system calls in the end, and takes note of what they cost.
    pub(crate) fn timed<T>(self, work: impl FnOnce() -> (T, u64)) -> T {
        if self.pool.jobs != Jobs::Adaptive {
            return work().0;
        }
        let start = Instant::now();
        let (result, calls) = work();
        self.note(calls, start.elapsed());
        result
    }

    fn note(self, calls: u64, took: Duration) {
        let pool = self.pool;
        pool.nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        if pool.calls.fetch_add(calls, Ordering::Relaxed) + calls < SAMPLE {
            return;
        }
        let mut size = pool.size();
        let workers = pool.hand_over.with_staff(|staff| staff.workers);
        if pool.calls.load(Ordering::Relaxed) < SAMPLE * u64::try_from(workers).unwrap_or(u64::MAX) {
            return;
        }
        let calls = pool.calls.swap(0, Ordering::Relaxed);
        let call = Duration::from_nanos(pool.nanos.swap(0, Ordering::Relaxed) / calls.max(1));
        match &mut *size {
            Some(known) => {
                known.note(call);
                self.hire(&mut size);
            }
            // Few files, each of which takes its time.
            None if PoolSize::is_slow(call) => {
                drop(size);
                self.start();
            }
            None => {}
        }
    }

    /// Waits until all batches of a group are done with, and helps. Whether anything stays of them.
    pub(crate) fn settle(self, group: &BatchGroup) -> bool {
        self.pool.hand_over.help_until(|| group.lock().pending == 0, |batch| batch.run(self));
        group.lock().survivors
    }
}

impl WorkerPool {
    fn new(jobs: Jobs) -> Self {
        Self {
            jobs,
            hand_over: HandOver::new(),
            size: Mutex::new(None),
            unreached: Mutex::default(),
            has_started: AtomicBool::new(false),
            has_begun: AtomicBool::new(false),
            keeps: AtomicUsize::new(OPEN),
            folders: AtomicUsize::new(most_folders()),
            pending: AtomicUsize::new(0),
            calls: AtomicU64::new(0),
            nanos: AtomicU64::new(0),
        }
    }

    /// Whether there will never be more than one worker.
    fn is_alone(&self) -> bool {
        self.jobs == Jobs::Fixed(NonZero::<usize>::MIN)
    }

    /// How many descriptors a worker may keep on its way down, beside the first and the last.
    pub(crate) fn keeps(&self) -> usize {
        self.keeps.load(Ordering::Relaxed)
    }

    /// How many directories may wait to be looked at together.
    pub(crate) fn folders(&self) -> usize {
        self.folders.load(Ordering::Relaxed)
    }

    pub(crate) fn has_idle_workers(&self) -> bool {
        self.hand_over.has_idle_workers()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.hand_over.is_over()
    }

    pub(crate) fn end(&self) {
        self.hand_over.end();
    }

    /// Says that something was looked at.
    pub(crate) fn begin(&self) {
        self.has_begun.store(true, Ordering::Relaxed);
    }

    /// Whether anything was looked at. Nothing is handed over before that: so a walk that is stopped has got further than
    /// the one before it, and a series of them comes to its end.
    pub(crate) fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::Relaxed)
    }

    /// Whether names may be handed over.
    pub(crate) fn has_room(&self) -> bool {
        self.has_started.load(Ordering::Relaxed) && self.hand_over.has_room()
    }

    /// Leaves everything to the next walk: this one did not come to where it was to begin.
    pub(crate) fn leave_all(&self, begin: Vec<ResumePoint>) {
        *self.unreached.lock().unwrap_or_else(PoisonError::into_inner) = begin;
    }

    /// What is left, in the order in which one worker would come to it.
    fn left(self) -> Vec<ResumePoint> {
        let unreached = self.unreached.into_inner().unwrap_or_else(PoisonError::into_inner);
        if !unreached.is_empty() {
            return unreached;
        }
        let mut left = Vec::new();
        for subtree in self.hand_over.into_subtrees() {
            let mut next = Some(subtree);
            while let Some(subtree) = next {
                subtree.left(&mut left);
                // Nobody has gone on with those that were parked.
                next = subtree.part_of().and_then(Pending::take_parked);
            }
        }
        left.sort_by(|(a, _), (b, _)| a.cmp(b));
        left.truncate(POSITIONS);
        left.into_iter().map(|(_, position)| position).collect()
    }

    /// For a directory of which folders are to be handed over; `None` when too many wait already.
    pub(crate) fn new_pending(&self) -> Option<Arc<Pending>> {
        let more = |pending| (pending < MAX_PENDING).then_some(pending + 1);
        let taken = self.pending.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.is_ok().then(|| Arc::new(Pending::new()))
    }

    /// One of those is done with.
    pub(crate) fn pending_is_settled(&self) {
        self.pending.fetch_sub(1, Ordering::Relaxed);
    }

    fn size(&self) -> MutexGuard<'_, Option<PoolSize>> {
        self.size.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many directories may wait to be looked at together, as far as descriptors last.
pub(crate) fn most_folders() -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    limit.and_then(|limit| usize::try_from(limit / SHARE).ok()).unwrap_or(FOLDERS).clamp(1, FOLDERS)
}

impl BatchGroup {
    /// One more batch is handed over, which begins there. Its number.
    pub(crate) fn begin(&self, first: Place) -> usize {
        let mut group = self.lock();
        group.pending += 1;
        let number = group.left.last_key_value().map_or(0, |(last, _)| last + 1);
        group.left.insert(number, first);
        number
    }

    /// One batch is done with.
    pub(crate) fn settle(&self, pool: &WorkerPool, number: usize, visited: Visited) {
        let Visited { survivors, broken_at } = visited;
        let mut group = self.lock();
        match broken_at {
            Some(place) => group.left.insert(number, place),
            None => group.left.remove(&number),
        };
        group.survivors |= survivors;
        group.pending -= 1;
        let is_last = group.pending == 0;
        // Before the lock of the queue is taken: whoever waits holds that one while it asks for this one.
        drop(group);
        if is_last {
            pool.hand_over.wake();
        }
    }

    /// The first of what is left.
    pub(crate) fn left(&self) -> Option<Place> {
        self.lock().left.first_key_value().map(|(_, place)| place.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Group> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the walk if a worker panics, so that no other worker waits for it.
struct EndsOnPanic<'a>(&'a WorkerPool);

impl Drop for EndsOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.end();
        }
    }
}
