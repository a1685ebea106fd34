//! What a sweep and a table have to say to each other, file by file.
//!
//! The table keeps what was registered after a run began: a sweep may take minutes, and knows what was registered before
//! it. It is asked just before each removal; what is left is the time of one system call.
//!
//! A deadline does not wait for the policy's lock, so a restore may go on beside it. What comes back is held before it has
//! its name: whoever asks for the holds after the look at a file knows the hold of that file. So a deadline asks again.
//!
//! The sweep tells the table what it has removed, so that whoever waited for it sees the numbers after it. The kernel
//! tells that too, a little later. A file that was made again under the name meanwhile has another row, which stays.

use std::ops::ControlFlow;

use cleanup_core::candidate::Candidate;
use cleanup_core::hold::Holds;
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
    /// What is held by now, where that has to be asked again. An error says why nobody knows.
    pub(crate) held_now: Option<&'a HeldNow<'a>>,
}

/// Asks for the holds.
pub(crate) type HeldNow<'a> = dyn Fn() -> Result<Holds, String> + Sync + 'a;

struct Asking<'a> {
    visitor: &'a dyn Visitor,
    known: &'a Known,
    registrations: &'a Registrations,
    held_now: Option<&'a HeldNow<'a>>,
}

struct Asked<'a> {
    batch: &'a mut dyn Batch,
    asking: &'a Asking<'a>,
    /// Asked for when the files of this batch had been looked at.
    held: Option<Result<Holds, String>>,
    /// What was taken out of the table.
    gone: Vec<(Vec<u8>, Entry)>,
}

impl<S: FileStore> FileStore for Rechecked<'_, S> {
    fn offer(&self, visitor: &dyn Visitor) {
        match &self.table {
            None => self.store.offer(visitor),
            Some(known) => {
                let Self { registrations, held_now, .. } = *self;
                self.store.offer(&Asking { visitor, known, registrations, held_now });
            }
        }
    }
}

impl Visitor for Asking<'_> {
    fn batch(&self, batch: &mut dyn Batch) -> ControlFlow<()> {
        let before = locked(&self.known.table).earliest();
        let held = self.held_now.map(|ask| ask());
        let mut asked = Asked { batch, asking: self, held, gone: Vec::new() };
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
        match &self.held {
            None => {}
            Some(Ok(holds)) if holds.until(name).is_some() || holds.below(name).is_some() => {
                return Outcome::Changed.into();
            }
            Some(Ok(_)) => {}
            Some(Err(why)) => return Outcome::Failed(why.clone()).into(),
        }
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::{Arc, Mutex};

    use cleanup_core::config::{Config, Source};
    use cleanup_core::judge::Run;
    use cleanup_core::moment::Moment;
    use cleanup_core::sweep::{Mode, sweep};
    use cleanup_fs_store::Store;

    use super::*;
    use crate::track::table::Table;

    #[test]
    fn what_was_held_after_the_run_began_stays_and_what_nobody_can_tell_stays_too() {
        let folder = tempfile::tempdir().unwrap();
        let text = "[files.p]\nroot = \"r\"\ninclude = [\"*\"]\nmax_age = \"1h\"\n";
        let config = Config::load(&Source { name: "cleanup.toml", text, folder: folder.path() }, &|_| None).unwrap();
        let (policy, now) = (&config.files[0], Moment::from_unix(4_000_000_000, 0));
        let root = folder.path().join("r");
        fs::create_dir(&root).unwrap();
        for name in ["held", "due"] {
            fs::write(root.join(name), name).unwrap();
        }
        let remove = |held_now: &HeldNow<'_>| {
            let store = Store::open(policy, Vec::new()).unwrap();
            let registrations = Registrations::default();
            let table = Some(Known { table: Arc::new(Mutex::new(Table::default())), keeper: None });
            let files = store.select(&[b"held", b"due"]);
            let rechecked = Rechecked { store: &files, table, registrations: &registrations, held_now: Some(held_now) };
            sweep(&rechecked, &policy.rule, &Run::at(now), Mode::Apply, &())
        };
        let there = |name: &str| Path::new(&root).join(name).exists();

        let tally = remove(&|| Err("promises are damaged".to_owned()));
        assert_eq!((tally.counts.due, tally.counts.removed, tally.errors_total), (2, 0, 2));
        assert!(there("held") && there("due"));
        let tally = remove(&|| {
            let mut holds = Holds::default();
            holds.add(b"held".to_vec(), now.plus(std::time::Duration::from_secs(1)));
            Ok(holds)
        });
        assert_eq!((tally.counts.due, tally.counts.removed, tally.counts.changed), (2, 1, 1));
        assert!(there("held") && !there("due"));
    }
}
