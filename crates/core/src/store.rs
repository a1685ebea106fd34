//! The interface between the sweep and a place that holds files.
//!
//! A store offers its content in batches and removes what it is told to; it never judges. It may call its visitor from
//! several threads at once, so a visitor is shared and does its own counting.
//!
//! Rows are not offered one by one: their store applies the same rule inside its `DELETE`. The conformance suite
//! ([`crate::conformance`]) checks that both select the same items.

use std::ops::ControlFlow;

use crate::candidate::{Candidate, Name};
use crate::verdict::Remove;

/// A place that contains files, opened for one policy.
pub trait FileStore: Sync {
    /// Scans the place once and passes everything that the policy matches to the visitor, in batches, in no particular
    /// order; stops early if the visitor breaks.
    ///
    /// Errors concern single items, are reported to the visitor as a [`Fault`], and stop nothing else.
    fn offer(&self, visitor: &dyn Visitor);
}

/// Receives what a store offers.
pub trait Visitor: Sync {
    /// Judges a batch, in its order, and acts on it. If it breaks, it has finished with everything up to the last
    /// candidate that it requested.
    fn batch(&self, batch: &mut dyn Batch) -> ControlFlow<()>;

    /// Something could not be looked at.
    fn fault(&self, fault: Fault<'_>);

    /// More entries have been scanned.
    fn seen(&self, seen: Seen);

    /// Whether to stop; called periodically while there is nothing to offer.
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

    /// Called before the first [`Batch::remove`]: `is_due` returns which candidates are due, and why. For stores that
    /// write notes before removals, many at once. Not all of these candidates need to be removed.
    fn prepare(&mut self, is_due: &dyn Fn(&Candidate<'_>) -> Option<Remove>) {
        let _ = is_due;
    }

    /// Checks the candidate again and removes it if it is unchanged. If it can be restored, its note contains the
    /// reason.
    fn remove(&mut self, index: usize, why: &Remove) -> Removal;

    /// Records that the candidate would be removed, and changes nothing, so that consequences (a directory that becomes
    /// empty) can be planned too.
    fn pretend(&mut self, index: usize);
}

/// The outcome of removing one candidate, and what it freed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// Its result.
    pub outcome: Outcome,
    /// Allocated bytes returned to the file system, now or when the last program closes the file. 0 for a file with
    /// other names and for a quarantined one; for a directory, everything deleted in it, whatever the outcome.
    pub freed: u64,
}

/// An outcome that frees nothing.
impl From<Outcome> for Removal {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, freed: 0 }
    }
}

/// The outcome of removing one candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// We removed it.
    Removed,
    /// It was moved aside, and can come back.
    Quarantined,
    /// It was already gone.
    Vanished,
    /// It is no longer what was judged, and was kept: written, replaced, or (a directory) filled again.
    Changed,
    /// Like [`Outcome::Changed`], but must be reported: it is now elsewhere, because its name was taken, or only what
    /// was written in the meantime is left of it. The text says which, and where.
    Displaced(String),
    /// A process has it open, mapped or locked, and it was kept.
    InUse,
    /// It could not be removed; the text is the system's reason.
    Failed(String),
}

impl Outcome {
    /// Whether we removed it from its place.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Removed | Self::Quarantined)
    }
}

/// One item that could not be inspected.
#[derive(Clone, Copy, Debug)]
pub struct Fault<'a> {
    /// Its path relative to the root; both parts are empty for the root itself.
    pub name: Name<'a>,
    /// The error, as text.
    pub error: &'a str,
}

/// How much was scanned since the last call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Directory entries, without `.` and `..`.
    pub scanned: u64,
    /// Entries that match a pattern but were gone before they could be inspected.
    pub vanished: u64,
    /// Requested files that are different files now. They are kept.
    pub changed: u64,
    /// Entries that are never touched: matching ones that are not regular files (links, sockets, FIFOs, devices),
    /// mounts below the root, and the files of `cleanup` itself.
    pub left_alone: u64,
    /// Files that were not scanned, because an index shows that they are too young.
    pub indexed: u64,
    /// Their allocated bytes at the last scan.
    pub indexed_bytes: u64,
    /// Files, or whole directories, that match a pattern but belong to a policy whose root is deeper. They are not
    /// candidates.
    pub owned_by_others: u64,
    /// Files, or whole directories, that another policy with the same root also matches. They are kept, and not
    /// inspected.
    pub disputed: u64,
    /// Files that are ignored because their name, or that of a folder above, starts with a dot that only a wildcard
    /// would match.
    pub dotfiles: u64,
}
