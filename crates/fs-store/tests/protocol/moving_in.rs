//! Moving aside, and deleting in place: `act/remove.rs` and `quarantine/move_in.rs`.

use crate::actor::{Lock, LockKind, Pc, Stage};
use crate::protocol::{Made, Step};
use crate::world::{Change, Facts, Fault, HOME, Id, Line, Name, Notes, QUARANTINE, SLOTS, Thing, folder};

impl Step<'_> {
    pub(crate) fn move_in(&mut self) -> Made {
        // The folder of a run is its own.
        let run = self.me;
        match self.my().pc {
            Pc::Judge => self.judge(),
            // What was restored has its hold before it has its name.
            Pc::AskHolds => {
                let held = self.world.held;
                self.my().judged.retain(|(name, _)| !held[*name as usize]);
                if self.my().judged.is_empty() {
                    self.end_stage();
                } else {
                    self.go(Pc::MakeFolder);
                }
            }
            Pc::MakeFolder => {
                if !self.world.now.folders[run].exists {
                    self.change(Change::MakeFolder(run));
                }
                self.go(Pc::MakeNotes);
            }
            Pc::MakeNotes => self.make_notes(run),
            Pc::LockNotes => return self.lock_notes(run),
            Pc::SyncFolders => {
                if self.protocol().syncs_folders {
                    self.sync(folder(run) | QUARANTINE | HOME);
                }
                let next = if self.protocol().writes_note_first { Pc::WriteNotes } else { Pc::LastLook };
                self.go(next);
            }
            Pc::WriteNotes => self.write_notes(run),
            Pc::SyncNotes => {
                if self.protocol().syncs_notes {
                    self.world.notes[run].synced = self.world.notes[run].lines.len();
                }
                let next = if self.protocol().writes_note_first { Pc::LastLook } else { Pc::LookInside };
                self.go(next);
            }
            Pc::LastLook => self.last_look(),
            Pc::Rename => self.rename(run),
            Pc::LookInside => self.look_inside(run),
            Pc::UnlinkInPlace => self.unlink_in_place(),
            // `MoveIn::close`: what went back is on the disk before a mark says that nothing else is there.
            Pc::SyncToClose => {
                if std::mem::take(&mut self.my().put_back) && self.protocol().syncs_before_mark {
                    self.sync(folder(run));
                }
                self.go(Pc::Close);
            }
            _ => self.close(run),
        }
        Made::Call
    }

    /// The walk and `core::judge`: what is old and not held is due.
    fn judge(&mut self) {
        let names: &[Name] = match self.stage() {
            Stage::MoveDirectory | Stage::DeleteDirectory => &[Name::D],
            _ => &[Name::A, Name::B],
        };
        let holds = self.my().holds;
        let asks = self.protocol().asks_holds;
        let is_due = |name: &Name| {
            let facts = self.world.now.at_home(*name)?;
            let is_held = asks && holds[*name as usize];
            let is_old = matches!(facts.thing, Thing::OLD_FILE | Thing::OLD_DIR);
            (is_old && !is_held).then_some((*name, facts))
        };
        let due: Vec<_> = names.iter().filter_map(is_due).collect();
        if due.is_empty() {
            return self.end_stage();
        }
        self.my().judged = due;
        let next = match self.stage() {
            Stage::DeleteFiles => Pc::LastLook,
            Stage::MoveFilesOneByOne if self.protocol().asks_holds_again => Pc::AskHolds,
            _ => Pc::MakeFolder,
        };
        self.go(next);
    }

    /// `RunFolder::make`: the folder may be taken away between two of its steps.
    fn make_notes(&mut self, run: usize) {
        if !self.world.now.folders[run].exists {
            return self.go(Pc::MakeFolder);
        }
        let file = if let Some(file) = self.world.now.folders[run].notes {
            file
        } else {
            self.world.notes_made += 1;
            let file = self.world.notes_made;
            self.change(Change::MakeNotes(run, file));
            self.world.notes[run] = Notes::default();
            file
        };
        self.my().notes = file;
        self.go(Pc::LockNotes);
    }

    fn lock_notes(&mut self, run: usize) -> Made {
        let file = self.my().notes;
        if self.world.is_locked(self.me, run, file, LockKind::Shared) {
            return Made::Waits;
        }
        if self.world.now.folders[run].notes != Some(file) && self.protocol().checks_notes {
            self.go(Pc::MakeFolder);
        } else {
            self.my().lock = Some(Lock { run, file, kind: LockKind::Shared });
            self.go(Pc::SyncFolders);
        }
        Made::Call
    }

    /// `MoveIn::note`: the lines of all that is due in one write.
    fn write_notes(&mut self, run: usize) {
        let actor = self.my();
        let (file, at) = (actor.notes, actor.at);
        let judged: Vec<(Name, Facts)> = match self.stage() {
            Stage::MoveFilesOneByOne => vec![self.my().judged[at]],
            _ if !self.protocol().writes_note_first => vec![self.my().judged[at]],
            _ => self.my().judged.clone(),
        };
        if self.protocol().writes_note_first {
            let next = self.my().next;
            self.my().first = next - at.min(next);
            self.my().next = next + judged.len();
        }
        let first = self.my().first + at;
        // Into a file that has lost its name nobody can look.
        if self.world.now.folders[run].notes == Some(file) {
            for (index, (name, judged)) in judged.into_iter().enumerate() {
                self.world.notes[run].lines.push(Line::Note { number: first + index, name, judged });
            }
        }
        self.go(Pc::SyncNotes);
    }

    /// `Files::look_again`.
    fn last_look(&mut self) {
        let at = self.my().at;
        let (name, judged) = self.my().judged[at];
        let found = self.world.now.at_home(name);
        self.my().looked = found;
        if found == Some(judged) || !self.protocol().looks_last {
            let next = if self.stage() == Stage::DeleteFiles { Pc::UnlinkInPlace } else { Pc::Rename };
            self.go(next);
        } else {
            // Changed, or vanished.
            self.next_file();
        }
    }

    /// `MoveIn::rename`: whatever has the name goes.
    fn rename(&mut self, run: usize) {
        let at = self.my().at;
        let name = self.my().judged[at].0;
        self.my().looked = None;
        if self.world.now.home[name as usize].is_none() {
            return self.next_file();
        }
        let number = self.my().first + at;
        assert!(number < SLOTS, "no more than {SLOTS} are moved by one run");
        self.change(Change::MoveIn { name, run, number });
        let next = if self.protocol().writes_note_first { Pc::LookInside } else { Pc::WriteNotes };
        self.go(next);
    }

    /// `Moved::settle`, and `Moved::settle_whole` of a directory.
    fn look_inside(&mut self, run: usize) {
        let at = self.my().at;
        let (judged, number) = (self.my().judged[at].1, self.my().first + at);
        let found = self.world.now.in_slot(run, number);
        if found.is_none() && self.protocol().knows_gone {
            return self.is_gone();
        }
        if self.protocol().looks_inside {
            if found != Some(judged) {
                return self.go(Pc::PutBack);
            }
            self.world.verify(run, number);
        }
        if let Some(facts) = found {
            self.takes(facts.id);
        }
        if self.stage() == Stage::DeleteDirectory {
            self.go(Pc::MarkEmptying);
        } else {
            self.world.said += 1;
            self.next_file();
        }
    }

    /// Something goes that was not put back.
    fn takes(&mut self, id: Id) {
        if self.world.restored.contains(&id) {
            self.world.fault(Fault::PromiseBroken);
        }
    }

    fn unlink_in_place(&mut self) {
        let at = self.my().at;
        let name = self.my().judged[at].0;
        let looked = self.my().looked.take();
        if let Some(facts) = self.world.now.at_home(name) {
            // What was written or put there since the last look goes with it: the time of one system call.
            let was_seen = looked == Some(facts);
            if was_seen && facts.thing.is_young() {
                self.world.fault(Fault::YoungLost);
            }
            self.takes(facts.id);
            self.change(Change::UnlinkHome { name });
        }
        self.next_file();
    }

    pub(crate) fn next_file(&mut self) {
        let stage = self.stage();
        let actor = self.my();
        actor.emptying = None;
        actor.found_young = false;
        actor.looked = None;
        actor.at += 1;
        let is_last = actor.at >= actor.judged.len();
        let next = match stage {
            Stage::DeleteFiles if is_last => return self.end_stage(),
            _ if is_last || stage == Stage::MoveFilesOneByOne => Pc::SyncToClose,
            _ => Pc::LastLook,
        };
        self.go(next);
    }

    /// `MoveIn::close`, which marks that everything was looked at, and `MoveIn::rest`.
    fn close(&mut self, run: usize) {
        let actor = self.my();
        let (file, stays) = (actor.notes, actor.stays.clone());
        if self.world.now.folders[run].notes == Some(file) {
            self.world.notes[run].lines.push(Line::Settled(stays));
        }
        let actor = self.my();
        actor.lock = None;
        actor.run = run;
        let next = if actor.at < actor.judged.len() { Pc::MakeFolder } else { Pc::AskEmpty };
        self.go(next);
    }
}
