//! What a sweep and a table have to say to each other, file by file.
//!
//! The table keeps what was registered after a run began: a sweep may take minutes, and knows what was registered before
//! it. It is asked just before each removal; what is left is the time of one system call.
//!
//! The sweep tells the table what it has removed, so that whoever waited for it sees the numbers after it. The kernel
//! tells that too, a little later. A file that was made again under the name meanwhile has another row, which stays.

use std::ops::ControlFlow;

use cleanup_core::candidate::Candidate;
use cleanup_core::registration::Registrations;
use cleanup_core::store::{Batch, Fault, FileStore, Outcome, Removal, Seen, Visitor};
use cleanup_core::verdict::Remove;

use crate::track::table::{Entry, Known, locked};

/// A store whose files stay when the table knows a later registration than the run was begun with.
pub(crate) struct Rechecked<'a, S> {
    pub(crate) store: &'a S,
    /// `None` where nothing is tracked.
    pub(crate) table: Option<Known>,
    /// What the run was begun with.
    pub(crate) registrations: &'a Registrations,
}

struct Asking<'a> {
    visitor: &'a dyn Visitor,
    known: &'a Known,
    registrations: &'a Registrations,
}

struct Asked<'a> {
    batch: &'a mut dyn Batch,
    asking: &'a Asking<'a>,
    /// What was taken out of the table.
    gone: Vec<(Vec<u8>, Entry)>,
}

impl<S: FileStore> FileStore for Rechecked<'_, S> {
    fn offer(&self, visitor: &dyn Visitor) {
        match &self.table {
            None => self.store.offer(visitor),
            Some(known) => self.store.offer(&Asking { visitor, known, registrations: self.registrations }),
        }
    }
}

impl Visitor for Asking<'_> {
    fn batch(&self, batch: &mut dyn Batch) -> ControlFlow<()> {
        let before = locked(&self.known.table).earliest();
        let mut asked = Asked { batch, asking: self, gone: Vec::new() };
        let flow = self.visitor.batch(&mut asked);
        self.known.tell(&asked.gone, before);
        flow
    }

    fn fault(&self, fault: Fault<'_>) {
        self.visitor.fault(fault);
    }

    fn seen(&self, seen: Seen) {
        self.visitor.seen(seen);
    }

    fn wants_to_stop(&self) -> bool {
        self.visitor.wants_to_stop()
    }
}

impl Batch for Asked<'_> {
    fn len(&self) -> usize {
        self.batch.len()
    }

    fn candidate(&self, index: usize) -> Candidate<'_> {
        self.batch.candidate(index)
    }

    fn prepare(&mut self, is_due: &dyn Fn(&Candidate<'_>) -> Option<Remove>) {
        self.batch.prepare(is_due);
    }

    fn remove(&mut self, index: usize, why: &Remove) -> Removal {
        let Asking { known, registrations, .. } = self.asking;
        let name = self.batch.candidate(index).name;
        let (path, then) = (name.to_bytes(), registrations.get(name));
        let row = locked(&known.table).get(&path).copied();
        if let Some(now) = row.and_then(|row| row.registration)
            && then.is_none_or(|then| now != then && now.supersedes(then))
        {
            return Outcome::Changed.into();
        }
        let removal = self.batch.remove(index, why);
        if let (Outcome::Removed | Outcome::Quarantined | Outcome::Vanished, Some(row), Some(_)) =
            (&removal.outcome, row, &known.keeper)
            && locked(&known.table).forget_known(&path, &row)
        {
            self.gone.push((path, row));
        }
        removal
    }

    fn pretend(&mut self, index: usize) {
        self.batch.pretend(index);
    }
}
