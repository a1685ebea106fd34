//! The search for one cut: the fewest of the oldest that come to what is needed, found without a list of all.
//!
//! Each pass shows everything that may go. The first one counts by age; those after it look closer, at what lies between
//! the cuts that are certain, until so little is left that it can be remembered one by one. Things of one and the same
//! age are told apart by their names, a few bytes in each pass. What changes between two passes can move the cut only
//! within what was undecided; where nothing is left to decide by, less goes rather than more.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::histogram::{Bucket, Found, Histogram, bytes_of};
use super::position::Cut;
use crate::candidate::Name;

/// After this many passes somebody changes names faster than they can be counted.
const MAX_PASSES: u32 = 100;

/// How much one search remembers one by one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    pub(super) things: u64,
    pub(super) path_bytes: usize,
}

impl Budget {
    pub(super) const DEFAULT: Self = Self { things: 20_000, path_bytes: 8 << 20 };
}

/// One search.
#[derive(Debug)]
pub(super) struct Search {
    budget: Budget,
    /// What is still needed of what the range holds; unknown in the first pass.
    need: u64,
    range: Range,
    step: Step,
    passes: u32,
    cut: Option<Cut>,
}

/// What is not decided yet. What goes before it goes, what comes after it stays.
#[derive(Clone, Debug)]
enum Range {
    Positions { oldest: u128, youngest: u128 },
    Names { position: u128, prefix: Vec<u8> },
}

/// What a pass does with what is in the range.
#[derive(Debug)]
enum Step {
    Count(Histogram),
    /// Finds what all their names begin with.
    Prefix(Option<Vec<u8>>),
    Collect(Heap),
}

impl Search {
    pub(super) fn new(budget: Budget) -> Self {
        let range = Range::Positions { oldest: u128::MAX, youngest: 0 };
        Self { budget, need: 0, range, step: Step::Count(Histogram::by_ratio()), passes: 0, cut: None }
    }

    /// Takes something that may go.
    pub(super) fn see(&mut self, position: u128, name: Name<'_>, amount: u64) {
        if self.cut.is_some() {
            return;
        }
        match &self.range {
            Range::Positions { oldest, youngest } if (*youngest..=*oldest).contains(&position) => {
                match &mut self.step {
                    Step::Count(histogram) => histogram.add(position, b"", amount),
                    Step::Collect(heap) => heap.push(position, name.to_bytes(), amount, self.need),
                    Step::Prefix(_) => {}
                }
            }
            Range::Names { position: same, prefix } if position == *same => {
                let path = name.to_bytes();
                let Some(rest) = path.strip_prefix(prefix.as_slice()) else { return };
                match &mut self.step {
                    Step::Count(histogram) => histogram.add(position, rest, amount),
                    Step::Prefix(Some(common)) => {
                        let same = common.iter().zip(&path).take_while(|(a, b)| a == b).count();
                        common.truncate(same);
                    }
                    Step::Prefix(none) => *none = Some(path),
                    Step::Collect(heap) => heap.push(position, path, amount, self.need),
                }
            }
            Range::Positions { .. } | Range::Names { .. } => {}
        }
    }

    /// Adds to what something amounts to that was seen in this pass, which must be the first one.
    pub(super) fn add_amount(&mut self, position: u128, amount: u64) {
        if let Step::Count(histogram) = &mut self.step {
            histogram.add_amount(position, amount);
        }
    }

    /// Ends the first pass: only now it is known how much is needed.
    pub(super) fn ask(&mut self, need: u64) {
        self.need = need;
        if need == 0 {
            self.cut = Some(Cut::Nothing);
        }
        self.end_pass();
    }

    /// Ends a pass: the cut is found, or the next pass looks closer.
    pub(super) fn end_pass(&mut self) {
        self.passes += 1;
        if self.cut.is_some() {
            return;
        }
        if self.passes > MAX_PASSES {
            self.cut = Some(self.before_range());
            return;
        }
        let step = std::mem::replace(&mut self.step, Step::Prefix(None));
        match (step, &mut self.range) {
            (Step::Count(histogram), Range::Positions { youngest, .. }) => match histogram.find(self.need) {
                // All of it is not enough.
                None => self.cut = Some(Cut::From(*youngest)),
                Some(Found { bucket, before, .. }) if bucket.amount == self.need - before && !bucket.has_empty => {
                    self.cut = Some(Cut::From(bucket.youngest));
                }
                Some(Found { bucket, before, .. }) => {
                    let Bucket { count, oldest, youngest, .. } = bucket;
                    self.need -= before;
                    self.range = Range::Positions { oldest, youngest };
                    self.step = self.closer(count);
                }
            },
            (Step::Count(histogram), Range::Names { prefix, .. }) => match histogram.find(self.need) {
                None => self.cut = Some(self.before_range()),
                Some(Found { index, bucket, before }) => {
                    let known = prefix.len();
                    prefix.extend(bytes_of(index));
                    let has_ended = prefix.len() < known + 2;
                    self.need -= before;
                    self.step = if has_ended { self.collect() } else { self.closer(bucket.count) };
                }
            },
            (Step::Prefix(Some(common)), Range::Names { prefix, .. }) => {
                *prefix = common;
                self.step = Step::Count(Histogram::by_name());
            }
            (Step::Collect(heap), _) if heap.is_full() => self.step = self.closer(u64::MAX),
            (Step::Collect(heap), _) => {
                let last = heap.last().map(|last| Cut::At(last.position, last.path));
                self.cut = Some(last.unwrap_or_else(|| self.before_range()));
            }
            // Everything that was there is gone.
            (Step::Prefix(_), _) => self.cut = Some(self.before_range()),
        }
    }

    /// The cut, once it is found.
    pub(super) fn cut(&self) -> Option<&Cut> {
        self.cut.as_ref()
    }

    /// The cut by which nothing of the range goes.
    fn before_range(&self) -> Cut {
        match &self.range {
            Range::Positions { oldest, .. } => Cut::From(oldest.saturating_add(1)),
            Range::Names { position, prefix } => Cut::At(*position, prefix.clone()),
        }
    }

    fn collect(&self) -> Step {
        Step::Collect(Heap::new(self.budget.path_bytes))
    }

    /// How to look at so many things in the range.
    fn closer(&mut self, count: u64) -> Step {
        match &self.range {
            _ if count <= self.budget.things => self.collect(),
            Range::Positions { oldest, youngest } if oldest == youngest => {
                self.range = Range::Names { position: *oldest, prefix: Vec::new() };
                Step::Prefix(None)
            }
            Range::Positions { oldest, youngest } => Step::Count(Histogram::by_width(*oldest, *youngest)),
            Range::Names { .. } => Step::Prefix(None),
        }
    }
}

/// The oldest of what was pushed, no more than come to what is needed.
#[derive(Debug)]
struct Heap {
    things: BinaryHeap<Thing>,
    amount: u64,
    path_bytes: usize,
    most_path_bytes: usize,
}

/// The greatest is the last to go.
#[derive(Debug, PartialEq, Eq)]
struct Thing {
    position: u128,
    path: Vec<u8>,
    amount: u64,
}

impl Ord for Thing {
    fn cmp(&self, other: &Self) -> Ordering {
        other.position.cmp(&self.position).then_with(|| self.path.cmp(&other.path))
    }
}

impl PartialOrd for Thing {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Heap {
    fn new(most_path_bytes: usize) -> Self {
        Self { things: BinaryHeap::new(), amount: 0, path_bytes: 0, most_path_bytes }
    }

    fn push(&mut self, position: u128, path: Vec<u8>, amount: u64, need: u64) {
        if self.is_full() {
            return;
        }
        self.path_bytes += path.len();
        self.amount = self.amount.saturating_add(amount);
        self.things.push(Thing { position, path, amount });
        while let Some(last) = self.things.peek()
            && self.amount - last.amount >= need
        {
            self.amount -= last.amount;
            self.path_bytes -= last.path.len();
            self.things.pop();
        }
    }

    /// Whether it has given up: the names are so long that they have to be told apart in smaller groups.
    fn is_full(&self) -> bool {
        self.path_bytes > self.most_path_bytes
    }

    fn last(self) -> Option<Thing> {
        self.things.into_iter().max()
    }
}
