//! Bringing back: `engine/src/quarantine/restore.rs`, and `quarantine/restore.rs` here.

use crate::actor::{Entry, Lock, LockKind, Pc};
use crate::protocol::{Made, Step};
use crate::world::{RUNS, SLOTS};

impl Step<'_> {
    pub(crate) fn restore(&mut self) -> Made {
        match self.my().pc {
            // `Engine::choose`.
            Pc::ReadAll => {
                let all = (0..RUNS).flat_map(|run| (0..SLOTS).map(move |number| (run, number)));
                let of = |(run, number): (usize, usize)| {
                    self.world.now.folders[run].slots[number]?;
                    let note = self.world.notes[run].note(number);
                    Some(Entry { run, number, note, is_being_emptied: false })
                };
                let mut entries: Vec<Entry> = all.filter_map(of).filter(|entry| entry.note.is_some()).collect();
                entries.reverse();
                if !self.protocol().restores_all {
                    entries.truncate(1);
                }
                self.my().entries = entries;
                let next = if self.protocol().holds_first { Pc::Hold } else { Pc::NextItem };
                self.go(next);
            }
            // `hold`: all of them with one write, on the disk before anything moves.
            Pc::Hold => {
                for entry in self.my().entries.clone() {
                    if let Some((name, _)) = entry.note {
                        self.world.held[name as usize] = true;
                    }
                }
                self.go(Pc::NextItem);
            }
            Pc::NextItem => {
                self.my().lock = None;
                self.my().entry = None;
                match self.my().entries.pop() {
                    None => self.end_stage(),
                    Some(entry) => {
                        self.my().entry = Some(entry);
                        self.my().run = entry.run;
                        let found = self.world.now.in_slot(entry.run, entry.number);
                        let locks = self.protocol().restores_alone && found.is_some_and(|it| it.thing.is_dir());
                        self.go(if locks { Pc::LockToRestore } else { Pc::MoveOut });
                    }
                }
            }
            // `OpenRun::lock_alone`: waits until nobody is emptying a directory of this run.
            Pc::LockToRestore => {
                let run = self.my().run;
                if let Some(file) = self.world.now.folders[run].notes {
                    if self.world.is_locked(self.me, run, file, LockKind::Alone) {
                        return Made::Waits;
                    }
                    self.my().lock = Some(Lock { run, file, kind: LockKind::Alone });
                }
                self.go(Pc::MoveOut);
            }
            // `Quarantine::bring_back`.
            _ => {
                let Entry { run, number, note, .. } = self.my().entry.expect("one was taken");
                let name = note.expect("only those with a note are chosen").0;
                if let Some(slot) = self.world.now.folders[run].slots[number]
                    && self.rename_out(run, number, name)
                {
                    self.world.restored.push(slot.id);
                    self.world.said -= 1;
                }
                self.my().entry = None;
                self.my().lock = None;
                let is_last = self.my().entries.last().is_none_or(|next| next.run != run);
                self.go(if is_last { Pc::AskEmpty } else { Pc::NextItem });
            }
        }
        Made::Call
    }
}
