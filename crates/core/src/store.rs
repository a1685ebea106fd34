//! The interface between the sweep and a place that holds files.
//!
//! A store offers what it holds in batches and removes what it is told to; it never judges. It may call its visitor
//! from several threads at once: a visitor is shared and counts for itself.
//!
//! Rows are not offered one by one: their store carries the same rule inside its `DELETE`. The conformance suite
//! ([`crate::conformance`]) holds both to the same selection.

use std::ops::ControlFlow;

use crate::candidate::{Candidate, Name};
use crate::verdict::Remove;

/// A place that holds files, opened for one policy.
pub trait FileStore: Sync {
    /// Goes through the place once and hands all that the policy names to the visitor, a batch at a time, in no
    /// particular order; stops early when the visitor breaks.
    ///
    /// Whatever goes wrong on the way concerns single items, is told to the visitor as a [`Fault`], and stops
    /// nothing else.
    fn offer(&self, visitor: &dyn Visitor);
}

/// Receives what a store offers.
pub trait Visitor: Sync {
    /// Judges a batch, in its order, and acts on it. When it breaks, it is done with all up to the last candidate that
    /// it asked for.
    fn batch(&self, batch: &mut dyn Batch) -> ControlFlow<()>;

    /// Something could not be looked at.
    fn fault(&self, fault: Fault<'_>);

    /// More entries have been scanned.
    fn seen(&self, seen: Seen);

    /// Whether to go no further: asked now and then where there may be nothing to offer for a long time.
    fn wants_to_stop(&self) -> bool {
        false
    }
}

/// Some candidates, with the means to remove them.
pub trait Batch {
    /// How many candidates this batch has.
    fn len(&self) -> usize;

    /// Whether it has none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The candidate with this index, below [`Batch::len`].
    fn candidate(&self, index: usize) -> Candidate<'_>;

    /// Called before the first [`Batch::remove`]: `is_due` says which of the candidates are due, and why. For stores that
    /// write notes ahead of removals, many at once. Not all of them need to be removed in the end.
    fn prepare(&mut self, is_due: &dyn Fn(&Candidate<'_>) -> Option<Remove>) {
        let _ = is_due;
    }

    /// Looks at the candidate again and removes it if it is still what was offered. The reason goes into the note, where
    /// the candidate can be restored.
    fn remove(&mut self, index: usize, why: &Remove) -> Removal;

    /// Notes that the candidate would be removed, and changes nothing: so that what follows from its removal (a
    /// directory with nothing left in it) can be planned as well.
    fn pretend(&mut self, index: usize);
}

/// What came of removing one candidate, and what that gave back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// What came of it.
    pub outcome: Outcome,
    /// Allocated bytes that the file system got back, or gets back when the last program closes the file. 0 for a file
    /// that has other names and for what was moved aside; of a directory, what was deleted in it whatever the outcome.
    pub freed: u64,
}

/// An outcome that gives nothing back.
impl From<Outcome> for Removal {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, freed: 0 }
    }
}

/// What came of removing one candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// We removed it.
    Removed,
    /// It was moved aside, and can come back.
    Quarantined,
    /// Somebody else removed it first.
    Vanished,
    /// It is no longer what was judged, and was kept: written, replaced, or (a directory) filled again.
    Changed,
    /// Like [`Outcome::Changed`], but somebody must be told: it now lies elsewhere, because its name has been taken, or only
    /// what was written meanwhile is left of it. The text says which, and where.
    Displaced(String),
    /// A process has it open, mapped or locked, and it was kept.
    InUse,
    /// It could not be removed; the text names the reason as the system gave it.
    Failed(String),
}

impl Outcome {
    /// Whether we removed it from its place.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Removed | Self::Quarantined)
    }
}

/// One thing that could not be looked at.
#[derive(Clone, Copy, Debug)]
pub struct Fault<'a> {
    /// Where it is below the root; both parts empty for the root itself.
    pub name: Name<'a>,
    /// What went wrong, in words.
    pub error: &'a str,
}

/// How much was scanned since the last call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Directory entries, `.` and `..` left out.
    pub scanned: u64,
    /// Entries that a pattern names but that were gone before they could be looked at.
    pub vanished: u64,
    /// Entries that were asked for as a certain file, and are another one now. They are kept.
    pub changed: u64,
    /// What is never touched: entries that a pattern names but that are no regular files (links, sockets, FIFOs,
    /// devices), whatever is mounted below the root, and the files of `cleanup` itself.
    pub left_alone: u64,
    /// Files that an index knows to be too young, and that were not looked at.
    pub indexed: u64,
    /// Their allocated bytes, as they were when they were looked at.
    pub indexed_bytes: u64,
    /// Files, or whole directories, that a pattern names and that belong to a policy whose root lies deeper. They are no
    /// candidates.
    pub owned_by_others: u64,
    /// Files, or whole directories, that another policy with the same root names as well. They are kept, and not looked
    /// at.
    pub disputed: u64,
    /// Files that are no candidates because a dot begins their name, or that of a folder on the way to them, and only a
    /// wildcard would stand for it.
    pub dotfiles: u64,
}
