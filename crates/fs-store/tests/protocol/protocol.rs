//! The protocol: what each step is, and what of it a test may leave out to see the checker find the harm.

use crate::actor::{Actor, LockKind, Pc, Phase, Program, Stage};
use crate::world::{Change, Fault, Journal, Line, Name, Thing, World};

/// What the program does for safety. Everything, but in tests of the checker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Protocol {
    /// `MoveIn::note` writes before `MoveIn::rename` moves.
    pub(crate) writes_note_first: bool,
    /// `MoveIn::sync` before the first rename.
    pub(crate) syncs_notes: bool,
    /// `RunFolder::begin` syncs the folders on the way to the notes.
    pub(crate) syncs_folders: bool,
    /// `Files::look_again`, the last look.
    pub(crate) looks_last: bool,
    /// `Moved::settle` and `settle_whole`.
    pub(crate) looks_inside: bool,
    /// `rename_out` does not replace.
    pub(crate) never_replaces: bool,
    /// `settle::look` before anything is deleted for good.
    pub(crate) looks_before_purge: bool,
    /// `Unsettled::of` has everything looked at where the notes do not end with a mark.
    pub(crate) settles_what_was_cut_off: bool,
    /// `Quarantine::bring_home`, and the error that tells of it.
    pub(crate) tells: bool,
    /// `MoveIn::mark_emptying` and `OpenRun::mark_emptying` write a mark.
    pub(crate) marks_emptying: bool,
    /// They have it on the disk before the first removal.
    pub(crate) syncs_mark: bool,
    /// `DeleteTree` keeps what is younger than all that was found.
    pub(crate) keeps_younger: bool,
    /// `MoveIn::close` and `Unsettled::conclude` have on the disk what went back before they mark that all was looked at.
    pub(crate) syncs_before_mark: bool,
    /// `OpenRun::lock_alone`: whoever settles or purges keeps away who moves in, and others that purge.
    pub(crate) purges_alone: bool,
    /// It keeps away who restores a directory, too.
    pub(crate) restores_alone: bool,
    /// Something that somebody else brought back or deleted meanwhile is no error.
    pub(crate) knows_gone: bool,
    /// `OpenRun::tidy` takes the lock, and asks again under it.
    pub(crate) tidies_alone: bool,
    /// `RunFolder::make` asks under its lock whether the notes still have their name.
    pub(crate) checks_notes: bool,
    /// A restore promises before it moves.
    pub(crate) holds_first: bool,
    /// The judge asks for holds.
    pub(crate) asks_holds: bool,
    /// `Rechecked`: a deadline asks again when it has looked.
    pub(crate) asks_holds_again: bool,
    /// What was put back counts as changed, and not as quarantined.
    pub(crate) counts_back: bool,
    /// A restore of all chooses all that has a note.
    pub(crate) restores_all: bool,
}

impl Protocol {
    pub(crate) const WHOLE: Self = Self {
        writes_note_first: true,
        syncs_notes: true,
        syncs_folders: true,
        looks_last: true,
        looks_inside: true,
        never_replaces: true,
        looks_before_purge: true,
        settles_what_was_cut_off: true,
        tells: true,
        marks_emptying: true,
        syncs_mark: true,
        keeps_younger: true,
        syncs_before_mark: true,
        purges_alone: true,
        restores_alone: true,
        knows_gone: true,
        tidies_alone: true,
        checks_notes: true,
        holds_first: true,
        asks_holds: true,
        asks_holds_again: true,
        counts_back: true,
        restores_all: true,
    };
}

/// What of a run is fixed.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) protocol: Protocol,
    pub(crate) journal: Journal,
    /// Of the first two processes, and then what may follow them.
    pub(crate) programs: Vec<Program>,
}

/// One system call of one process.
pub(crate) struct Step<'a> {
    pub(crate) rules: &'a Rules,
    pub(crate) world: &'a mut World,
    pub(crate) me: usize,
}

/// Whether a system call was made, or has to wait for somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Made {
    Call,
    Waits,
}

impl Step<'_> {
    /// One system call, and all that the process does by itself up to the next one.
    pub(crate) fn run(mut self) -> Made {
        let made = self.one();
        while made == Made::Call && self.my().phase == Phase::Running && self.is_silent() {
            self.one();
        }
        made
    }

    /// Whether nobody else sees what comes next, nor it what anybody else does.
    fn is_silent(&mut self) -> bool {
        let syncs = self.rules.journal != Journal::Eternal;
        match self.my().pc {
            Pc::NextFolder | Pc::NextEntry | Pc::NextItem => true,
            Pc::SyncFolders | Pc::SyncNotes | Pc::SyncMark | Pc::SyncToTidy | Pc::SyncToConclude => !syncs,
            Pc::SyncToClose => !syncs || !self.my().put_back,
            _ => false,
        }
    }

    fn one(&mut self) -> Made {
        match self.my().pc {
            Pc::Begin => self.begin(),
            Pc::Judge
            | Pc::AskHolds
            | Pc::MakeFolder
            | Pc::MakeNotes
            | Pc::LockNotes
            | Pc::SyncFolders
            | Pc::WriteNotes
            | Pc::SyncNotes
            | Pc::LastLook
            | Pc::Rename
            | Pc::LookInside
            | Pc::UnlinkInPlace
            | Pc::SyncToClose
            | Pc::Close => return self.move_in(),
            Pc::PutBack | Pc::PutBeside => self.put_back(),
            Pc::MarkEmptying
            | Pc::SyncMark
            | Pc::ListChildren
            | Pc::LookAtChild
            | Pc::UnlinkChild
            | Pc::RemoveDirectory => self.empty(),
            Pc::AskEmpty | Pc::LockToTidy | Pc::SyncToTidy | Pc::RemoveNotes | Pc::RemoveFolder => self.tidy(),
            Pc::NextFolder
            | Pc::LockFolder
            | Pc::ReadMark
            | Pc::ReadEntries
            | Pc::NextEntry
            | Pc::LookAgain
            | Pc::UnlinkEntry
            | Pc::SyncToConclude
            | Pc::Conclude => self.purge(),
            Pc::ReadAll | Pc::Hold | Pc::NextItem | Pc::LockToRestore | Pc::MoveOut => return self.restore(),
        }
        Made::Call
    }

    pub(crate) fn my(&mut self) -> &mut Actor {
        &mut self.world.actors[self.me]
    }

    pub(crate) fn go(&mut self, pc: Pc) {
        self.my().pc = pc;
    }

    pub(crate) fn protocol(&self) -> Protocol {
        self.rules.protocol
    }

    pub(crate) fn program(&self) -> &Program {
        &self.rules.programs[self.world.actors[self.me].program]
    }

    pub(crate) fn stage(&self) -> Stage {
        self.program().stages[self.world.actors[self.me].stage]
    }

    pub(crate) fn change(&mut self, change: Change) {
        self.world.change(change, self.rules.journal);
    }

    pub(crate) fn sync(&mut self, directories: u8) {
        self.world.sync(directories, self.rules.journal);
    }

    /// `gates::policy_lock`, and then `gates::facts`, which reads the holds.
    fn begin(&mut self) {
        let me = self.me;
        if self.my().stage == 0 && self.program().takes_lock {
            if self.world.policy_lock.is_some_and(|who| who != me) {
                // Skipped.
                return self.my().end(Phase::Ended);
            }
            self.world.policy_lock = Some(me);
        }
        self.my().is_alone =
            !self.world.actors.iter().enumerate().any(|(who, it)| who != me && it.phase == Phase::Running);
        self.my().holds = self.world.held;
        let first = match self.stage() {
            Stage::MoveFiles
            | Stage::MoveFilesOneByOne
            | Stage::DeleteFiles
            | Stage::MoveDirectory
            | Stage::DeleteDirectory => Pc::Judge,
            Stage::Settle | Stage::Expire | Stage::MakeRoom => {
                self.my().told.clear();
                let there = (0..self.world.now.folders.len()).filter(|run| self.world.now.folders[*run].exists);
                self.my().folders = there.rev().collect();
                Pc::NextFolder
            }
            Stage::Restore => Pc::ReadAll,
        };
        self.go(first);
    }

    /// A stage is over.
    pub(crate) fn end_stage(&mut self) {
        self.compare();
        let count = self.program().stages.len();
        let me = self.me;
        let actor = self.my();
        let (stage, stays) = (actor.stage + 1, std::mem::take(&mut actor.stays));
        let next = actor.next;
        if stage < count {
            *actor = Actor { stage, next, stays, ..Actor::new(actor.program, Phase::Running) };
        } else {
            actor.end(Phase::Ended);
            if self.world.policy_lock == Some(me) {
                self.world.policy_lock = None;
            }
        }
    }

    /// What must be true after a sweep or a restore beside which nobody else was at it.
    fn compare(&mut self) {
        let me = self.me;
        if !self.my().is_alone {
            return;
        }
        let stage = self.stage();
        let world = &mut *self.world;
        let there = world.now.folders.iter().flat_map(|folder| folder.slots).flatten().count();
        if !world.was_cut_off && i32::try_from(there) != Ok(i32::from(world.said)) {
            world.fault(Fault::Miscounted);
        }
        for run in 0..world.now.folders.len() {
            for number in 0..world.now.folders[run].slots.len() {
                let Some(slot) = world.now.folders[run].slots[number] else { continue };
                let is_verified = world.is_verified(run, number);
                let is_told = world.actors[me].told.contains(&(run, number));
                match stage {
                    Stage::Settle | Stage::Expire if !is_verified && !is_told => world.fault(Fault::Untold),
                    Stage::Restore if world.now.home[slot.from as usize].is_none() => world.fault(Fault::NotRestored),
                    Stage::Settle
                    | Stage::Expire
                    | Stage::Restore
                    | Stage::MoveFiles
                    | Stage::MoveFilesOneByOne
                    | Stage::DeleteFiles
                    | Stage::MoveDirectory
                    | Stage::DeleteDirectory
                    | Stage::MakeRoom => {}
                }
            }
        }
    }

    /// `rename_out` from quarantine to a name. Whether that was free.
    pub(crate) fn rename_out(&mut self, run: usize, number: usize, name: Name) -> bool {
        if self.world.now.home[name as usize].is_some() {
            if self.protocol().never_replaces {
                return false;
            }
            self.world.fault(Fault::Overwritten);
        }
        self.change(Change::MoveOut { run, number, name });
        true
    }

    /// `settle::put_back`: under its name, or a directory beside it.
    fn put_back(&mut self) {
        let (run, number, name) = self.place();
        let Some(facts) = self.world.now.in_slot(run, number) else {
            // Somebody restored or deleted it since it was looked at.
            return if self.protocol().knows_gone { self.is_gone() } else { self.stays() };
        };
        let is_beside = self.my().pc == Pc::PutBeside;
        let to = if is_beside { Name::Beside } else { name };
        if self.rename_out(run, number, to) {
            if facts.thing == (Thing::Dir { old: None, has_new: false }) {
                self.world.fault(Fault::Half);
            }
            self.is_back();
        } else if is_beside || !facts.thing.is_dir() {
            self.stays();
        } else {
            self.go(Pc::PutBeside);
        }
    }

    /// What is being moved in, or purged: where it lies, and where it came from.
    pub(crate) fn place(&mut self) -> (usize, usize, Name) {
        let me = self.me;
        let actor = self.my();
        match actor.entry {
            Some(entry) => (entry.run, entry.number, entry.note.map_or(Name::A, |(name, _)| name)),
            None => (me, actor.first + actor.at, actor.judged[actor.at].0),
        }
    }

    fn is_back(&mut self) {
        let (run, number, _) = self.place();
        self.my().put_back = true;
        if self.my().entry.is_some() {
            self.my().told.push((run, number));
            self.world.said -= 1;
            self.next_entry();
        } else {
            // Changed: for the counts it never left.
            self.world.said += i8::from(!self.protocol().counts_back);
            self.next_file();
        }
    }

    /// It stays in quarantine, and that is said.
    pub(crate) fn stays(&mut self) {
        let (run, number, _) = self.place();
        if self.world.now.folders[run].slots[number].is_none() {
            self.world.fault(Fault::FalseWord);
        }
        if self.my().entry.is_some() {
            if self.protocol().tells {
                self.my().told.push((run, number));
            }
            self.my().staying.push(number);
            self.next_entry();
        } else {
            self.my().stays.push(number);
            self.world.said += 1;
            self.next_file();
        }
    }

    /// It is not there any more, and that is no error.
    pub(crate) fn is_gone(&mut self) {
        if self.my().entry.is_some() {
            self.next_entry();
        } else {
            // It was moved into quarantine; what became of it is somebody else's to tell.
            self.my().put_back = true;
            self.world.said += 1;
            self.next_file();
        }
    }

    /// `delete_tree::delete`, after the mark.
    fn empty(&mut self) {
        let (run, number, _) = self.place();
        match self.my().pc {
            Pc::MarkEmptying => {
                if self.protocol().marks_emptying {
                    self.world.notes[run].lines.push(Line::Emptying(number));
                }
                self.go(Pc::SyncMark);
            }
            Pc::SyncMark => {
                if self.protocol().syncs_mark {
                    self.world.notes[run].synced = self.world.notes[run].lines.len();
                }
                self.go(Pc::ListChildren);
            }
            Pc::ListChildren => {
                let Some(facts) = self.world.now.in_slot(run, number) else {
                    return self.could_not_delete();
                };
                let Thing::Dir { old, has_new } = facts.thing else { return self.could_not_delete() };
                if !self.world.is_verified(run, number) {
                    self.world.fault(Fault::Unverified);
                }
                self.my().emptying = Some(facts.id);
                self.my().found_young = has_new && self.protocol().keeps_younger;
                if has_new && !self.protocol().keeps_younger {
                    self.world.fault(Fault::YoungLost);
                }
                let next = if old.is_some() { Pc::LookAtChild } else { Pc::RemoveDirectory };
                self.go(next);
            }
            Pc::LookAtChild => {
                let id = self.my().emptying.expect("it was opened");
                let thing = self.world.now.thing(id);
                let Thing::Dir { old: Some(is_young), .. } = thing else {
                    return self.go(Pc::RemoveDirectory);
                };
                self.my().looked = Some(crate::world::Facts { id, thing });
                if is_young && self.protocol().keeps_younger {
                    self.my().found_young = true;
                    self.go(Pc::RemoveDirectory);
                } else {
                    self.go(Pc::UnlinkChild);
                }
            }
            Pc::UnlinkChild => {
                let id = self.my().emptying.expect("it was opened");
                let was_young = matches!(
                    self.my().looked.take().map(|facts| facts.thing),
                    Some(Thing::Dir { old: Some(true), .. })
                );
                if was_young {
                    self.world.fault(Fault::YoungLost);
                }
                if let Thing::Dir { old: Some(_), .. } = self.world.now.thing(id) {
                    if self.world.now.slot_of(id).is_none() {
                        self.world.fault(Fault::Half);
                    }
                    self.change(Change::UnlinkChild { id });
                }
                self.go(Pc::RemoveDirectory);
            }
            _ => self.remove_directory(),
        }
    }

    fn remove_directory(&mut self) {
        let (run, number, _) = self.place();
        if self.my().found_young {
            return self.go(Pc::PutBack);
        }
        match self.world.now.in_slot(run, number).map(|facts| facts.thing) {
            None => self.could_not_delete(),
            // `ENOTEMPTY`: something was made in it meanwhile.
            Some(Thing::Dir { old: Some(_), .. } | Thing::Dir { has_new: true, .. }) => self.go(Pc::PutBack),
            Some(_) => {
                self.change(Change::UnlinkSlot { run, number });
                self.was_deleted();
            }
        }
    }

    /// Whoever was at it deleted it for good, and says so.
    pub(crate) fn was_deleted(&mut self) {
        if self.my().entry.is_some() {
            self.world.said -= 1;
            self.next_entry();
        } else {
            // Removed.
            self.next_file();
        }
    }

    /// `Deleted::Failed`, or `Purged::Failed`.
    pub(crate) fn could_not_delete(&mut self) {
        let (run, number, _) = self.place();
        if self.world.now.folders[run].slots[number].is_none() {
            if self.protocol().knows_gone {
                return self.is_gone();
            }
            self.world.fault(Fault::FalseWord);
        }
        if self.my().entry.is_some() {
            self.my().told.push((run, number));
            self.next_entry();
        } else {
            self.world.said += 1;
            self.next_file();
        }
    }

    /// `OpenRun::tidy`.
    fn tidy(&mut self) {
        let run = self.my().run;
        let folder = self.world.now.folders[run].clone();
        match self.my().pc {
            Pc::AskEmpty => {
                if !folder.exists || !folder.is_empty() {
                    return self.is_tidy();
                }
                match folder.notes {
                    Some(file) => {
                        self.my().notes = file;
                        self.go(if self.protocol().tidies_alone { Pc::LockToTidy } else { Pc::SyncToTidy });
                    }
                    None => self.go(Pc::RemoveFolder),
                }
            }
            Pc::LockToTidy => {
                let file = self.my().notes;
                let is_empty = folder.is_empty();
                if self.world.is_locked(self.me, run, file, LockKind::Alone) || !is_empty {
                    return self.is_tidy();
                }
                self.my().lock = Some(crate::actor::Lock { run, file, kind: LockKind::Alone });
                self.go(Pc::SyncToTidy);
            }
            Pc::SyncToTidy => {
                self.sync(crate::world::folder(run));
                self.go(Pc::RemoveNotes);
            }
            Pc::RemoveNotes => {
                if self.world.now.folders[run].notes.is_some() {
                    self.change(Change::RemoveNotes(run));
                }
                self.go(Pc::RemoveFolder);
            }
            _ => {
                // `rmdir` takes only an empty folder.
                if folder.exists && folder.is_empty() && folder.notes.is_none() {
                    self.change(Change::RemoveFolder(run));
                }
                self.is_tidy();
            }
        }
    }

    fn is_tidy(&mut self) {
        self.my().lock = None;
        match self.stage() {
            Stage::MoveFiles | Stage::MoveFilesOneByOne | Stage::MoveDirectory | Stage::DeleteDirectory => {
                self.end_stage();
            }
            Stage::DeleteFiles | Stage::Settle | Stage::Expire | Stage::MakeRoom => self.go(Pc::NextFolder),
            Stage::Restore => self.go(Pc::NextItem),
        }
    }
}
