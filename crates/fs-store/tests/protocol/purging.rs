//! Looking at what lies in quarantine, and deleting it for good: `quarantine/purge.rs`.

use crate::actor::{Entry, Lock, LockKind, Pc, Stage, Unsettled};
use crate::protocol::Step;
use crate::world::{Change, Fault, Line, SLOTS, Thing, folder};

impl Step<'_> {
    pub(crate) fn purge(&mut self) {
        match self.my().pc {
            Pc::NextFolder => match self.my().folders.pop() {
                None => self.end_stage(),
                Some(run) => {
                    self.my().run = run;
                    let next = if self.stage() == Stage::MakeRoom { Pc::ReadEntries } else { Pc::LockFolder };
                    self.go(next);
                }
            },
            Pc::LockFolder => self.lock_folder(),
            // `Unsettled::of`.
            Pc::ReadMark => {
                let run = self.my().run;
                // It has looked at all that it has moved just now, and told of it.
                let is_own = run == self.me && self.my().next > 0;
                let settles = self.protocol().settles_what_was_cut_off;
                self.my().unsettled = match self.world.notes[run].settled().cloned() {
                    Some(_) if is_own => Unsettled::Nothing,
                    Some(numbers) => Unsettled::Some(numbers),
                    None if !settles => Unsettled::Nothing,
                    None => Unsettled::All,
                };
                self.go(Pc::ReadEntries);
            }
            Pc::ReadEntries => self.read_entries(),
            Pc::NextEntry => self.take_entry(),
            Pc::LookAgain => self.look_again(),
            Pc::UnlinkEntry => self.unlink_entry(),
            Pc::SyncToConclude => {
                let run = self.my().run;
                if self.protocol().syncs_before_mark {
                    self.sync(folder(run));
                }
                self.go(Pc::Conclude);
            }
            _ => self.conclude(),
        }
    }

    /// `OpenRun::lock_alone`, where nobody waits: the next run is the next try.
    fn lock_folder(&mut self) {
        let run = self.my().run;
        let notes = self.world.now.folders[run].notes;
        self.my().is_noteless = notes.is_none() && self.protocol().purges_alone;
        if let Some(file) = notes
            && self.protocol().purges_alone
        {
            if self.world.is_locked(self.me, run, file, LockKind::Alone) {
                self.my().entries.clear();
                return self.go(Pc::NextFolder);
            }
            self.my().lock = Some(Lock { run, file, kind: LockKind::Alone });
        }
        let next = if self.stage() == Stage::MakeRoom { Pc::NextEntry } else { Pc::ReadMark };
        self.go(next);
    }

    /// `OpenRun::entries`.
    fn read_entries(&mut self) {
        let run = self.my().run;
        let notes = &self.world.notes[run];
        let of = |number: usize| {
            self.world.now.folders[run].slots[number]?;
            let note = notes.note(number);
            let is_being_emptied = note.is_some() && notes.is_being_emptied(number);
            Some(Entry { run, number, note, is_being_emptied })
        };
        let entries: Vec<Entry> = (0..SLOTS).rev().filter_map(of).collect();
        self.my().entries = entries;
        let next = if self.stage() == Stage::MakeRoom { Pc::LockFolder } else { Pc::NextEntry };
        self.go(next);
    }

    /// Which of the entries has to be looked at.
    fn take_entry(&mut self) {
        let Some(entry) = self.my().entries.pop() else {
            let next = if self.stage() == Stage::MakeRoom { Pc::AskEmpty } else { Pc::SyncToConclude };
            return self.go(next);
        };
        let is_unsettled = match &self.my().unsettled {
            Unsettled::All => true,
            Unsettled::Some(numbers) => numbers.contains(&entry.number),
            Unsettled::Nothing => false,
        };
        let goes = entry.is_being_emptied || matches!(self.stage(), Stage::Expire | Stage::MakeRoom);
        // Where there were no notes to lock, somebody is about to make them: what has a note by now is theirs to look at.
        if (!goes && !is_unsettled) || (self.my().is_noteless && entry.note.is_some()) {
            return;
        }
        self.my().entry = Some(entry);
        if entry.note.is_none() {
            return self.not_the_same();
        }
        self.go(Pc::LookAgain);
    }

    /// `settle::look`.
    fn look_again(&mut self) {
        let entry = self.my().entry.expect("one was taken");
        let Entry { run, number, note, is_being_emptied } = entry;
        let goes = is_being_emptied || matches!(self.stage(), Stage::Expire | Stage::MakeRoom);
        let found = self.world.now.in_slot(run, number);
        let Some(found) = found else { return self.next_entry() };
        if is_being_emptied {
            return self.go(Pc::ListChildren);
        }
        if self.protocol().looks_before_purge || !goes {
            if note.map(|(_, judged)| judged) != Some(found) {
                return self.not_the_same();
            }
            self.world.verify(run, number);
            self.my().looked = Some(found);
        }
        if !goes {
            self.next_entry();
        } else if found.thing.is_dir() {
            self.go(Pc::MarkEmptying);
        } else {
            self.go(Pc::UnlinkEntry);
        }
    }

    /// `Purged::NotTheSame`: it is told of and put back, but by who only needs room.
    fn not_the_same(&mut self) {
        let entry = self.my().entry.expect("one was taken");
        if self.stage() == Stage::MakeRoom {
            self.next_entry();
        } else if entry.note.is_none() {
            self.stays();
        } else {
            self.go(Pc::PutBack);
        }
    }

    fn unlink_entry(&mut self) {
        let Entry { run, number, .. } = self.my().entry.expect("one was taken");
        let looked = self.my().looked.take();
        let Some(found) = self.world.now.in_slot(run, number) else { return self.could_not_delete() };
        match looked {
            // What was written since the last look goes with it: the time of one system call.
            Some(looked) if looked.id == found.id && !looked.thing.is_young() => {}
            Some(_) => self.world.fault(Fault::YoungLost),
            None => {
                self.world.fault(Fault::Unverified);
                if matches!(found.thing, Thing::File { is_young: true }) {
                    self.world.fault(Fault::YoungLost);
                }
            }
        }
        self.change(Change::UnlinkSlot { run, number });
        self.was_deleted();
    }

    pub(crate) fn next_entry(&mut self) {
        let actor = self.my();
        actor.entry = None;
        actor.looked = None;
        actor.emptying = None;
        actor.found_young = false;
        self.go(Pc::NextEntry);
    }

    /// `Unsettled::conclude`.
    fn conclude(&mut self) {
        let run = self.my().run;
        let staying = std::mem::take(&mut self.my().staying);
        let is_settled = self.world.notes[run].settled().is_some();
        let writes = match std::mem::take(&mut self.my().unsettled) {
            Unsettled::Some(before) if before == staying && is_settled => false,
            Unsettled::All | Unsettled::Some(_) => true,
            Unsettled::Nothing => false,
        };
        if writes && !self.my().is_noteless && self.world.now.folders[run].notes.is_some() {
            self.world.notes[run].lines.push(Line::Settled(staying));
        }
        self.go(Pc::AskEmpty);
    }
}
