//! Keeps what was registered after a run began: a sweep may take minutes, and knows what was registered before it.
//!
//! The table is asked just before each removal. What is left is the time of one system call.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use cleanup_core::candidate::Candidate;
use cleanup_core::registration::Registrations;
use cleanup_core::store::{Batch, Fault, FileStore, Outcome, Seen, Visitor};
use cleanup_core::verdict::Remove;

use super::table::{Table, locked};

/// A store whose files stay when the table knows a later registration than the run was begun with.
pub(crate) struct Heeding<'a, S> {
    pub(crate) store: &'a S,
    /// `None` where nothing is tracked.
    pub(crate) table: Option<Arc<Mutex<Table>>>,
    /// What the run was begun with.
    pub(crate) registrations: &'a Registrations,
}

struct Asking<'a> {
    visitor: &'a dyn Visitor,
    table: &'a Mutex<Table>,
    registrations: &'a Registrations,
}

struct Asked<'a> {
    batch: &'a mut dyn Batch,
    asking: &'a Asking<'a>,
}

impl<S: FileStore> FileStore for Heeding<'_, S> {
    fn offer(&self, visitor: &dyn Visitor) {
        match &self.table {
            None => self.store.offer(visitor),
            Some(table) => self.store.offer(&Asking { visitor, table, registrations: self.registrations }),
        }
    }
}

impl Visitor for Asking<'_> {
    fn batch(&self, batch: &mut dyn Batch) -> ControlFlow<()> {
        self.visitor.batch(&mut Asked { batch, asking: self })
    }

    fn fault(&self, fault: Fault<'_>) {
        self.visitor.fault(fault);
    }

    fn seen(&self, seen: Seen) {
        self.visitor.seen(seen);
    }
}

impl Batch for Asked<'_> {
    fn len(&self) -> usize {
        self.batch.len()
    }

    fn candidate(&self, index: usize) -> Candidate<'_> {
        self.batch.candidate(index)
    }

    fn remove(&mut self, index: usize, why: &Remove) -> Outcome {
        let name = self.batch.candidate(index).name;
        let now = locked(self.asking.table).get(&name.to_bytes()).and_then(|entry| entry.registration);
        let then = self.asking.registrations.get(name);
        match now {
            Some(now) if then.is_none_or(|then| now != then && now.supersedes(then)) => Outcome::Changed,
            _ => self.batch.remove(index, why),
        }
    }

    fn pretend(&mut self, index: usize) {
        self.batch.pretend(index);
    }
}
