//! The workers of one walk, and what they hand each other.
//!
//! The walk begins on the thread that asked for it. Small trees end there; where there is more to do, or a number of
//! workers was asked for, other threads come in. Two kinds of work are handed over: names of one directory that are still to be looked at ([`Batch`]), and folders
//! that are still to be walked ([`Way`]). Whoever handed names over waits for them, and helps meanwhile. Nobody waits for
//! folders: the way that needs them lies in their [`Join`], and whoever settles the last of them goes on with it.
//!
//! This is the one place of the store that reads a clock, a batch at a time and only to see what calls cost.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Scope;
use std::time::{Duration, Instant};

use cleanup_core::store::Visitor;
use rustix::process::{Resource, getrlimit};

use crate::Store;
use crate::walk::dir_reader::{Batch, Visited};
use crate::walk::pool_size::{self, Size};
use crate::walk::resume::{Place, Position};
use crate::walk::walker::{OPEN, Walk, Way};

/// How many joins there may be at a time. Each keeps a descriptor.
const JOINS: usize = 8;

/// So many positions are kept of a walk that is stopped. The first is the one that counts.
const POSITIONS: usize = 64;

/// So many calls say what a call costs, for each worker.
const TELLING: u64 = 128;

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
        Size::new(self, pool_size::cores(), getrlimit(Resource::Nofile).current).now()
    }
}

/// What a worker has at hand.
#[derive(Clone, Copy)]
pub(crate) struct Hand<'scope, 'env> {
    pub(crate) store: &'env Store<'env>,
    pub(crate) visitor: &'env dyn Visitor,
    pub(crate) crew: &'env Crew,
    scope: &'scope Scope<'scope, 'env>,
}

/// The workers of one walk.
pub(crate) struct Crew {
    jobs: Jobs,
    queue: Mutex<Queue>,
    /// Something was handed over, settled, or is over.
    changed: Condvar,
    /// Whether somebody has nothing to do.
    is_hungry: AtomicBool,
    has_started: AtomicBool,
    is_over: AtomicBool,
    /// Whether anything was looked at.
    has_begun: AtomicBool,
    /// How many descriptors a worker may keep on its way down.
    keeps: AtomicUsize,
    joins: AtomicUsize,
    /// Of late.
    calls: AtomicU64,
    /// What they took.
    nanos: AtomicU64,
}

struct Queue {
    batches: VecDeque<Batch>,
    ways: Vec<Way>,
    /// Where it was to begin, when it was stopped on the way there.
    unreached: Vec<Position>,
    /// The first one included.
    workers: usize,
    idle: usize,
    /// Not known before there is use for more than one.
    size: Option<Size>,
}

enum Task {
    Batch(Batch),
    Way(Way),
}

/// What was handed over of one directory's folders. The one who began it may be elsewhere by the time it is settled.
#[derive(Default)]
pub(crate) struct Join(Mutex<Joined>);

#[derive(Default)]
struct Joined {
    pending: usize,
    survivors: bool,
    /// The way that has nothing left to do but to wait for this.
    parked: Option<Way>,
}

/// What was handed over of one directory's names.
#[derive(Default)]
pub(crate) struct Split {
    pending: AtomicUsize,
    survivors: AtomicBool,
    /// Where each of the batches begins that are not done with, by its number.
    left: Mutex<BTreeMap<usize, Place>>,
}

/// Walks through everything below the root of a store, from where an earlier walk was stopped. Says where this one was,
/// in the order in which it would have gone on.
pub(crate) fn walk(store: &Store<'_>, visitor: &dyn Visitor, begin: Vec<Position>) -> Vec<Position> {
    let crew = Crew::new(store.jobs);
    std::thread::scope(|scope| {
        let hand = Hand { store, visitor, crew: &crew, scope };
        let _panic = EndsOnPanic(&crew);
        if store.jobs != Jobs::Adaptive {
            hand.start();
        }
        let mut walk = Walk::new(hand);
        if let Some(way) = walk.at_root(begin) {
            walk.run(way);
            hand.work(walk);
        }
    });
    crew.left()
}

impl<'env> Hand<'_, 'env> {
    /// Does what is there to do until there is nothing left.
    fn work(self, mut walk: Walk<'_, 'env>) {
        while let Some(task) = self.crew.next() {
            match task {
                Task::Batch(batch) => batch.run(self),
                Task::Way(way) => walk.run(way),
            }
        }
    }

    /// Brings in others, where there are to be any: there is enough to do.
    pub(crate) fn start(self) {
        if !self.crew.is_alone() && !self.crew.has_started.swap(true, Ordering::Relaxed) {
            self.hire(&mut self.crew.lock());
        }
    }

    fn hire(self, queue: &mut Queue) {
        let size = queue
            .size
            .get_or_insert_with(|| Size::new(self.crew.jobs, pool_size::cores(), getrlimit(Resource::Nofile).current));
        while queue.workers < size.now() {
            let work = move || {
                let _panic = EndsOnPanic(self.crew);
                self.work(Walk::new(self));
            };
            match std::thread::Builder::new().name("worker".to_owned()).spawn_scoped(self.scope, work) {
                Ok(_) => queue.workers += 1,
                Err(_) => size.stay(queue.workers),
            }
        }
        self.crew.keeps.store((OPEN / queue.workers).max(1), Ordering::Relaxed);
    }

    /// Does something that makes so many calls in the end, and takes note of what they cost.
    pub(crate) fn timed<T>(self, work: impl FnOnce() -> (T, u64)) -> T {
        if self.crew.jobs != Jobs::Adaptive {
            return work().0;
        }
        let start = Instant::now();
        let (result, calls) = work();
        self.note(calls, start.elapsed());
        result
    }

    fn note(self, calls: u64, took: Duration) {
        let crew = self.crew;
        crew.nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        let all = crew.calls.fetch_add(calls, Ordering::Relaxed) + calls;
        if all < TELLING {
            return;
        }
        let mut queue = crew.lock();
        let workers = u64::try_from(queue.workers).unwrap_or(u64::MAX);
        if crew.calls.load(Ordering::Relaxed) < TELLING * workers {
            return;
        }
        let calls = crew.calls.swap(0, Ordering::Relaxed);
        let call = Duration::from_nanos(crew.nanos.swap(0, Ordering::Relaxed) / calls.max(1));
        match &mut queue.size {
            Some(size) => {
                size.note(call);
                self.hire(&mut queue);
            }
            // Few files, each of which takes its time.
            None if Size::is_slow(call) => {
                drop(queue);
                self.start();
            }
            None => {}
        }
    }

    /// Waits until all names that were handed over are settled, and helps. Whether anything stays of them.
    pub(crate) fn settle(self, split: &Split) -> bool {
        let mut queue = self.crew.lock();
        while split.pending.load(Ordering::Acquire) > 0 && !self.crew.is_over() {
            queue = match queue.batches.pop_front() {
                Some(batch) => {
                    self.crew.show_hunger(&queue);
                    drop(queue);
                    batch.run(self);
                    self.crew.lock()
                }
                None => self.crew.changed.wait(queue).unwrap_or_else(PoisonError::into_inner),
            };
        }
        split.survivors.load(Ordering::Relaxed)
    }
}

impl Crew {
    fn new(jobs: Jobs) -> Self {
        let queue = Queue {
            batches: VecDeque::new(),
            ways: Vec::new(),
            unreached: Vec::new(),
            workers: 1,
            idle: 0,
            size: None,
        };
        Self {
            jobs,
            queue: Mutex::new(queue),
            changed: Condvar::new(),
            is_hungry: AtomicBool::new(false),
            has_started: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            has_begun: AtomicBool::new(false),
            keeps: AtomicUsize::new(OPEN),
            joins: AtomicUsize::new(0),
            calls: AtomicU64::new(0),
            nanos: AtomicU64::new(0),
        }
    }

    /// Whether there will never be more than one.
    pub(crate) fn is_alone(&self) -> bool {
        self.jobs == Jobs::Fixed(NonZero::<usize>::MIN)
    }

    /// How many descriptors a worker may keep on its way down, beside the first and the last.
    pub(crate) fn keeps(&self) -> usize {
        self.keeps.load(Ordering::Relaxed)
    }

    /// Whether somebody has nothing to do.
    pub(crate) fn is_hungry(&self) -> bool {
        self.is_hungry.load(Ordering::Relaxed)
    }

    /// Whether the walk has come to its end, or is not to go on.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Ends the walk.
    pub(crate) fn end(&self) {
        // Under the lock, so that nobody begins to wait in between.
        let _queue = self.lock();
        self.is_over.store(true, Ordering::Relaxed);
        self.changed.notify_all();
    }

    /// Says that something was looked at.
    pub(crate) fn begin(&self) {
        self.has_begun.store(true, Ordering::Relaxed);
    }

    /// Whether anything was looked at. Nothing is handed over before: so whoever is stopped has got further than the walk
    /// that was stopped before, and a series of them comes to its end.
    pub(crate) fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::Relaxed)
    }

    /// Leaves what is left of a way when the walk is over.
    pub(crate) fn leave(&self, way: Way) {
        self.lock().ways.push(way);
    }

    /// Leaves all to the next walk: this one did not come to where it was to begin.
    pub(crate) fn leave_all(&self, begin: Vec<Position>) {
        self.lock().unreached = begin;
    }

    /// What is left, in the order in which one worker would come to it.
    fn left(self) -> Vec<Position> {
        let queue = self.queue.into_inner().unwrap_or_else(PoisonError::into_inner);
        if !queue.unreached.is_empty() {
            return queue.unreached;
        }
        let mut left = Vec::new();
        for way in queue.ways {
            let mut next = Some(way);
            while let Some(way) = next {
                way.left(&mut left);
                // Of those that wait for each other nobody has gone on.
                next = way.join().and_then(|join| join.lock().parked.take());
            }
        }
        left.sort_by(|(a, _), (b, _)| a.cmp(b));
        left.truncate(POSITIONS);
        left.into_iter().map(|(_, position)| position).collect()
    }

    /// Whether names may be handed over: as long as there are not too many waiting.
    pub(crate) fn has_room(&self) -> bool {
        self.has_started.load(Ordering::Relaxed) && {
            let queue = self.lock();
            queue.workers > 1 && queue.batches.len() < 2 * queue.workers
        }
    }

    pub(crate) fn hand_names(&self, batch: Batch) {
        let mut queue = self.lock();
        queue.batches.push_back(batch);
        self.show_hunger(&queue);
        // Whoever waits takes names, whatever else it waits for.
        self.changed.notify_one();
    }

    pub(crate) fn hand_folders(&self, way: Way) {
        let mut queue = self.lock();
        queue.ways.push(way);
        self.show_hunger(&queue);
        self.changed.notify_all();
    }

    /// A join, unless there are too many of them already.
    pub(crate) fn join(&self) -> Option<Arc<Join>> {
        let more = |joins| (joins < JOINS).then_some(joins + 1);
        let taken = self.joins.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.is_ok().then(Arc::default)
    }

    /// The next thing to do; `None` when it is over, or there are too many to do it.
    fn next(&self) -> Option<Task> {
        let mut queue = self.lock();
        loop {
            if self.is_over() {
                return None;
            }
            if queue.size.as_ref().is_some_and(|size| queue.workers > size.now()) {
                queue.workers -= 1;
                return None;
            }
            let batch = queue.batches.pop_front().map(Task::Batch);
            if let Some(task) = batch.or_else(|| queue.ways.pop().map(Task::Way)) {
                self.show_hunger(&queue);
                return Some(task);
            }
            queue.idle += 1;
            self.show_hunger(&queue);
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.idle -= 1;
            self.show_hunger(&queue);
        }
    }

    fn show_hunger(&self, queue: &Queue) {
        self.is_hungry.store(queue.idle > queue.batches.len() + queue.ways.len(), Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Join {
    /// One more part is handed over.
    pub(crate) fn begin(&self) {
        self.lock().pending += 1;
    }

    /// Waits for nobody: either all is settled, and whether anything stays of it, or the way is parked here.
    pub(crate) fn settled_or_park(&self, crew: &Crew, way: &mut Way) -> Option<bool> {
        let mut joined = self.lock();
        if joined.pending > 0 {
            let mut parked = std::mem::take(way);
            parked.rest();
            joined.parked = Some(parked);
            return None;
        }
        crew.joins.fetch_sub(1, Ordering::Relaxed);
        Some(joined.survivors)
    }

    /// One part is settled. If it was the last one, the way that is parked here can go on.
    pub(crate) fn settle(&self, crew: &Crew, survivors: bool) -> Option<Way> {
        let mut joined = self.lock();
        joined.pending -= 1;
        joined.survivors |= survivors;
        if joined.pending > 0 {
            return None;
        }
        let mut way = joined.parked.take()?;
        crew.joins.fetch_sub(1, Ordering::Relaxed);
        way.last().survivors |= joined.survivors;
        Some(way)
    }

    fn lock(&self) -> MutexGuard<'_, Joined> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Split {
    /// One more batch is handed over, which begins there. Its number.
    pub(crate) fn begin(&self, first: Place) -> usize {
        self.pending.fetch_add(1, Ordering::Relaxed);
        let mut left = self.lock();
        let number = left.last_key_value().map_or(0, |(last, _)| last + 1);
        left.insert(number, first);
        number
    }

    /// One batch is settled.
    pub(crate) fn settle(&self, crew: &Crew, number: usize, visited: Visited) {
        let Visited { survivors, broken_at } = visited;
        match broken_at {
            Some(place) => self.lock().insert(number, place),
            None => self.lock().remove(&number),
        };
        self.survivors.fetch_or(survivors, Ordering::Relaxed);
        // Under the lock, so that nobody begins to wait in between.
        let _queue = crew.lock();
        if self.pending.fetch_sub(1, Ordering::Release) == 1 {
            crew.changed.notify_all();
        }
    }

    /// The first of what is left.
    pub(crate) fn left(&self) -> Option<Place> {
        self.lock().first_key_value().map(|(_, place)| place.clone())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<usize, Place>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nobody waits for a worker that will not come back.
struct EndsOnPanic<'a>(&'a Crew);

impl Drop for EndsOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.end();
        }
    }
}
