//! What the workers of one walk hand each other, and how they find out that there is nothing left.
//!
//! Two kinds of work are handed over: a *batch* is some names of one directory, a *subtree* is some folders and all
//! below them. A batch never waits for anything. A subtree may have to wait for parts of itself that were handed to
//! others; then it is parked in their [`Pending`], its worker goes on with something else, and whoever settles the last
//! of those parts takes the subtree up again.
//!
//! # Why it ends
//!
//! Every subtree that is not done with is in exactly one place: in the queue, in the hands of one worker, or parked.
//! It is parked only while some of its parts are not done with, and its parts are subtrees of their own, of which the
//! same is true. As a tree of folders is finite, whoever follows from a parked subtree to a part of it, and on to a part
//! of that, comes to one that is not parked. So as long as anything is left, there is a subtree in the queue or in the
//! hands of a worker.
//!
//! In the hands of a worker it goes on, because a worker waits for one thing alone: for the batches of its own directory
//! ([`HandOver::help_until`]). Those are in the queue, where that worker takes them itself if nobody else does, or in
//! the hands of others, where nothing keeps them waiting. In the queue it is found, because a worker goes to sleep only
//! after it has found the queue empty, and keeps the lock from that look until it sleeps; and whoever puts something in
//! takes the same lock and wakes the sleepers afterwards. (A batch wakes one sleeper only. Should that one take
//! something else or leave, the batch is taken by the worker that waits for it.)
//!
//! When the subtree that began at the root is done with, so is everything, and its worker calls [`HandOver::end`], which
//! wakes all sleepers for the last time. A worker that panics does the same, so that nobody waits for what it had in its
//! hands.
//!
//! # Why the orderings are weak
//!
//! What is handed over, and what comes of it, passes through the lock of the queue or that of a [`Pending`]; those locks
//! order everything that has to be ordered. The two atomics beside them only save taking a lock:
//!
//! - `has_idle_workers` is a hint. A worker that reads an old value shares a little too late, or once for nothing.
//! - `is_over` only ever goes from false to true, and nothing is published by it: a worker that reads an old value does
//!   a little more work, and reads the new one later, at the latest under the lock before it would sleep. Whoever looks
//!   at the results has joined all workers before.
//!
//! So both are `Relaxed`.

use std::collections::VecDeque;
use std::sync::PoisonError;

use super::sync::{AtomicBool, Condvar, Mutex, MutexGuard, Ordering};

/// The queue of one walk.
pub(crate) struct HandOver<B, S> {
    queue: Mutex<Queue<B, S>>,
    /// Something was put into the queue, or what somebody waits for has come, or it is over.
    changed: Condvar,
    has_idle_workers: AtomicBool,
    is_over: AtomicBool,
}

struct Queue<B, S> {
    batches: VecDeque<B>,
    subtrees: Vec<S>,
    staff: Staff,
    idle: usize,
}

/// How many workers there are, and how many there are to be.
pub(crate) struct Staff {
    /// The one included that began the walk.
    pub(crate) workers: usize,
    /// A worker that finds more than these leaves. Never less than one.
    pub(crate) wanted: usize,
}

/// Something to do.
pub(crate) enum Task<B, S> {
    Batch(B),
    Subtree(S),
}

impl<B, S> HandOver<B, S> {
    pub(crate) fn new() -> Self {
        let staff = Staff { workers: 1, wanted: usize::MAX };
        let queue = Queue { batches: VecDeque::new(), subtrees: Vec::new(), staff, idle: 0 };
        Self {
            queue: Mutex::new(queue),
            changed: Condvar::new(),
            has_idle_workers: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
        }
    }

    /// Whether some workers have nothing to do, so that sharing is worth it.
    pub(crate) fn has_idle_workers(&self) -> bool {
        self.has_idle_workers.load(Ordering::Relaxed)
    }

    /// Whether the walk has come to its end, or is not to go on.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Ends the walk.
    pub(crate) fn end(&self) {
        // Under the lock: a worker that has just found the flag unset sleeps before this goes on, and is woken.
        let _queue = self.lock();
        self.is_over.store(true, Ordering::Relaxed);
        self.changed.notify_all();
    }

    /// Whether batches may be handed over: as long as there are others to take them, and not too many waiting.
    pub(crate) fn has_room(&self) -> bool {
        let queue = self.lock();
        queue.staff.workers > 1 && queue.batches.len() < 2 * queue.staff.workers
    }

    pub(crate) fn push_batch(&self, batch: B) {
        let mut queue = self.lock();
        queue.batches.push_back(batch);
        self.note_idle(&queue);
        // One is enough: everybody who sleeps here takes batches, whatever else they sleep for.
        self.changed.notify_one();
    }

    pub(crate) fn push_subtree(&self, subtree: S) {
        let mut queue = self.lock();
        queue.subtrees.push(subtree);
        self.note_idle(&queue);
        // All, because those who wait for batches leave subtrees alone.
        self.changed.notify_all();
    }

    /// Keeps what is left of a subtree when the walk is over.
    pub(crate) fn leave(&self, subtree: S) {
        self.lock().subtrees.push(subtree);
    }

    /// The next thing to do, as soon as there is one; `None` when it is over, or there are too many workers.
    pub(crate) fn next(&self) -> Option<Task<B, S>> {
        let mut queue = self.lock();
        loop {
            if self.is_over() {
                return None;
            }
            if queue.staff.workers > queue.staff.wanted {
                queue.staff.workers -= 1;
                return None;
            }
            // Batches first: somebody may wait for them.
            let batch = queue.batches.pop_front().map(Task::Batch);
            if let Some(task) = batch.or_else(|| queue.subtrees.pop().map(Task::Subtree)) {
                self.note_idle(&queue);
                return Some(task);
            }
            queue.idle += 1;
            self.note_idle(&queue);
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.idle -= 1;
            self.note_idle(&queue);
        }
    }

    /// Does batches, anybody's, until something is done or the walk is over; sleeps while there are none.
    pub(crate) fn help_until(&self, is_done: impl Fn() -> bool, run: impl Fn(B)) {
        let mut queue = self.lock();
        // Asked under the lock: whoever makes it true calls `wake` afterwards, which waits for the lock.
        while !is_done() && !self.is_over() {
            queue = match queue.batches.pop_front() {
                Some(batch) => {
                    self.note_idle(&queue);
                    drop(queue);
                    run(batch);
                    self.lock()
                }
                None => self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Wakes everybody: something is done that somebody may wait for.
    pub(crate) fn wake(&self) {
        // Under the lock, for the same reason as in `end`.
        let _queue = self.lock();
        self.changed.notify_all();
    }

    /// Changes how many workers there are, or are to be.
    pub(crate) fn with_staff<T>(&self, change: impl FnOnce(&mut Staff) -> T) -> T {
        change(&mut self.lock().staff)
    }

    /// The subtrees that are left in the queue when all workers have ended.
    pub(crate) fn into_subtrees(self) -> Vec<S> {
        self.queue.into_inner().unwrap_or_else(PoisonError::into_inner).subtrees
    }

    fn note_idle(&self, queue: &Queue<B, S>) {
        let is_short = queue.idle > queue.batches.len() + queue.subtrees.len();
        self.has_idle_workers.store(is_short, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Queue<B, S>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The parts of one directory's folders that were handed over, and the subtree that needs them.
pub(crate) struct Pending<S>(Mutex<State<S>>);

struct State<S> {
    parts: usize,
    survivors: bool,
    /// The subtree that has nothing left to do but to wait for the parts.
    parked: Option<S>,
}

impl<S> Pending<S> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(State { parts: 0, survivors: false, parked: None }))
    }

    /// One more part is handed over.
    pub(crate) fn begin(&self) {
        self.lock().parts += 1;
    }

    /// Waits for nobody: either all parts are settled, and this is whether anything stays of them, or the subtree is
    /// parked here, and belongs to whoever settles the last part.
    pub(crate) fn settled_or_park(&self, subtree: impl FnOnce() -> S) -> Option<bool> {
        let mut state = self.lock();
        if state.parts > 0 {
            state.parked = Some(subtree());
            return None;
        }
        Some(state.survivors)
    }

    /// One part is settled. If it was the last one, and the subtree is parked here, it can go on: with whether anything
    /// stays of its parts.
    pub(crate) fn settle(&self, survivors: bool) -> Option<(S, bool)> {
        let mut state = self.lock();
        state.parts -= 1;
        state.survivors |= survivors;
        if state.parts > 0 {
            return None;
        }
        let subtree = state.parked.take()?;
        Some((subtree, state.survivors))
    }

    /// Takes what is parked here when all workers have ended.
    pub(crate) fn take_parked(&self) -> Option<S> {
        self.lock().parked.take()
    }

    fn lock(&self) -> MutexGuard<'_, State<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
