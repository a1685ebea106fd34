//! A model of what workers hand each other: every order of their steps, and every value that their atomics may be seen
//! to have. No folder is lost, none is walked twice, a folder is left only after all below it, and it always ends.
//!
//! The hand-over is the very file of the crate, with loom's locks and atomics in the place of the standard library's. The
//! workers are those of the walk without the file system. A worker that would wait for ever is found by loom, which fails
//! then.

#![allow(clippy::unwrap_used, dead_code, unreachable_pub, reason = "a model, and a file of the crate in another place")]

#[path = "../src/walk/hand_over.rs"]
mod hand_over;

mod sync {
    pub(crate) use loom::sync::atomic::{AtomicBool, Ordering};
    pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};
}

use std::sync::Arc;

use hand_over::{HandOver, Task};
use loom::sync::Mutex;

type Pending = hand_over::Pending<Subtree>;

/// The folders in each folder; the root is 0.
type Tree = &'static [&'static [usize]];

const FLAT: Tree = &[&[1, 2, 3], &[], &[], &[]];
const DEEP: Tree = &[&[1, 2], &[3], &[4], &[], &[]];

struct Subtree {
    frames: Vec<Frame>,
    part_of: Option<Arc<Pending>>,
}

struct Frame {
    folder: usize,
    folders: Vec<usize>,
    pending: Option<Arc<Pending>>,
}

#[derive(Default)]
struct Group {
    pending: usize,
    looked_at: Vec<usize>,
}

struct Batch(Arc<Mutex<Group>>, usize);

struct World {
    tree: Tree,
    pool: HandOver<Batch, Subtree>,
    /// Folders in the order in which they were entered, and left.
    entered: Mutex<Vec<usize>>,
    left: Mutex<Vec<usize>>,
}

impl World {
    fn new(tree: Tree) -> Self {
        Self { tree, pool: HandOver::new(), entered: Mutex::new(Vec::new()), left: Mutex::new(Vec::new()) }
    }

    fn work(&self) {
        while let Some(task) = self.pool.next() {
            match task {
                Task::Subtree(subtree) => self.walk(subtree),
                Task::Batch(batch) => self.look(batch),
            }
        }
    }

    fn enter(&self, folder: usize) -> Frame {
        self.entered.lock().unwrap().push(folder);
        Frame { folder, folders: self.tree[folder].to_vec(), pending: None }
    }

    /// What `Walker::run` does.
    fn walk(&self, mut subtree: Subtree) {
        while !self.pool.is_over() {
            if self.pool.has_idle_workers()
                && let Some(part) = share(&mut subtree)
            {
                self.pool.push_subtree(part);
            }
            let last = subtree.frames.last_mut().unwrap();
            if let Some(folder) = last.folders.pop() {
                let frame = self.enter(folder);
                subtree.frames.push(frame);
                continue;
            }
            if let Some(pending) = last.pending.take() {
                let parked = std::mem::replace(&mut subtree, Subtree { frames: Vec::new(), part_of: None });
                let mut parked = Some(parked);
                if pending.settled_or_park(|| parked.take().unwrap()).is_none() {
                    return;
                }
                subtree = parked.unwrap();
            }
            if subtree.frames.len() > 1 {
                let done = subtree.frames.pop().unwrap();
                self.left.lock().unwrap().push(done.folder);
                continue;
            }
            match subtree.part_of.take() {
                None => self.pool.end(),
                Some(pending) => match pending.settle(false) {
                    Some((parked, _)) => subtree = parked,
                    None => return,
                },
            }
        }
    }

    fn look(&self, Batch(group, number): Batch) {
        let mut group = group.lock().unwrap();
        group.looked_at.push(number);
        group.pending -= 1;
        let is_last = group.pending == 0;
        drop(group);
        if is_last {
            self.pool.wake();
        }
    }
}

/// What `Subtree::share` does.
fn share(subtree: &mut Subtree) -> Option<Subtree> {
    let last = subtree.frames.len() - 1;
    let (index, frame) = subtree
        .frames
        .iter_mut()
        .enumerate()
        .find(|(index, frame)| !frame.folders.is_empty() && (*index != last || frame.folders.len() > 1))?;
    let pending = match (index, &subtree.part_of, &frame.pending) {
        (0, Some(pending), _) | (_, _, Some(pending)) => Arc::clone(pending),
        _ => Arc::clone(frame.pending.insert(Arc::new(Pending::new()))),
    };
    pending.begin();
    let half = frame.folders.len().div_ceil(2);
    let folders = frame.folders.drain(..half).collect();
    let first = Frame { folder: frame.folder, folders, pending: None };
    Some(Subtree { frames: vec![first], part_of: Some(pending) })
}

fn explore(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

fn walked_by(others: usize, tree: Tree, preemptions: usize) {
    explore(preemptions, move || {
        let world = Arc::new(World::new(tree));
        let work = |world: Arc<World>| move || world.work();
        let others: Vec<_> = (0..others).map(|_| loom::thread::spawn(work(Arc::clone(&world)))).collect();
        let root = world.enter(0);
        world.walk(Subtree { frames: vec![root], part_of: None });
        world.work();
        for other in others {
            other.join().unwrap();
        }
        let mut entered = world.entered.lock().unwrap().clone();
        entered.sort_unstable();
        assert_eq!(entered, (0..tree.len()).collect::<Vec<_>>(), "each once");
        let left = world.left.lock().unwrap();
        assert_eq!(left.len(), tree.len() - 1);
        let place = |folder: usize| left.iter().position(|left| *left == folder);
        for (folder, below) in tree.iter().enumerate().skip(1) {
            assert!(below.iter().all(|below| place(*below) < place(folder)), "{left:?}");
        }
    });
}

#[test]
fn no_folder_is_lost_or_walked_twice_and_it_ends() {
    walked_by(1, FLAT, 3);
    walked_by(1, DEEP, 3);
}

#[test]
fn no_folder_is_lost_or_walked_twice_by_three() {
    walked_by(2, FLAT, 2);
}

#[test]
fn whoever_waits_for_batches_goes_on_when_all_are_looked_at() {
    explore(3, || {
        let world = Arc::new(World::new(FLAT));
        let other = Arc::clone(&world);
        let other = loom::thread::spawn(move || other.work());
        let group = Arc::new(Mutex::new(Group::default()));
        for number in 0..3 {
            group.lock().unwrap().pending += 1;
            world.pool.push_batch(Batch(Arc::clone(&group), number));
        }
        world.pool.help_until(|| group.lock().unwrap().pending == 0, |batch| world.look(batch));
        let mut looked_at = group.lock().unwrap().looked_at.clone();
        looked_at.sort_unstable();
        assert_eq!(looked_at, [0, 1, 2]);
        world.pool.end();
        other.join().unwrap();
    });
}

#[test]
fn a_worker_that_is_too_many_leaves_its_work_to_the_others() {
    explore(3, || {
        let world = Arc::new(World::new(FLAT));
        world.pool.with_staff(|staff| staff.workers = 2);
        let other = Arc::clone(&world);
        let other = loom::thread::spawn(move || other.work());
        let group = Arc::new(Mutex::new(Group { pending: 1, ..Group::default() }));
        world.pool.push_batch(Batch(Arc::clone(&group), 0));
        world.pool.with_staff(|staff| staff.wanted = 1);
        world.pool.help_until(|| group.lock().unwrap().pending == 0, |batch| world.look(batch));
        assert_eq!(group.lock().unwrap().looked_at, [0]);
        world.pool.end();
        other.join().unwrap();
    });
}
