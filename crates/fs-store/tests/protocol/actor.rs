//! Who takes part: sweeps that move aside, purge and tidy up, and restores. A process is a list of [`Stage`]s, and a
//! place in them ([`Pc`]) at which it stands between two system calls.

use crate::world::{Facts, Id, Name};

/// What a process does, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Moves old files aside, with the notes of all in one write (`dispose = "quarantine"`).
    MoveFiles,
    /// The same, letting go of the folder of the run after each file, as deadlines do.
    MoveFilesOneByOne,
    /// Deletes old files in their place (`dispose = "delete"`).
    DeleteFiles,
    /// Moves an old directory aside (`unit = "directory"`, `dispose = "quarantine"`).
    MoveDirectory,
    /// The same, and then empties and removes it (`dispose = "delete"`).
    DeleteDirectory,
    /// Looks at what lies in quarantine: `Quarantine::purge` with nothing over its time.
    Settle,
    /// The same after `quarantine_for`: deletes for good what is the same.
    Expire,
    /// Deletes the oldest for `min_free`: `Quarantine::purge`.
    MakeRoom,
    /// Brings back all that lies in quarantine, held or not.
    Restore,
}

/// Stages, and whether the lock of the policy is taken first. Deadlines do without, and so does everybody where there is
/// no state folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) takes_lock: bool,
    pub(crate) stages: Vec<Stage>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    Waiting,
    Running,
    Ended,
    Dead,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum LockKind {
    Shared,
    Alone,
}

/// A lock on the notes of a run: on the file, whatever name that has by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Lock {
    pub(crate) run: usize,
    pub(crate) file: u8,
    pub(crate) kind: LockKind,
}

/// Where a process stands: what its next system call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Pc {
    Begin,
    // Moving in.
    Judge,
    AskHolds,
    MakeFolder,
    MakeNotes,
    LockNotes,
    SyncFolders,
    WriteNotes,
    SyncNotes,
    LastLook,
    Rename,
    LookInside,
    UnlinkInPlace,
    SyncToClose,
    Close,
    // Going back.
    PutBack,
    PutBeside,
    // Emptying a directory.
    MarkEmptying,
    SyncMark,
    ListChildren,
    LookAtChild,
    UnlinkChild,
    RemoveDirectory,
    // Tidying up.
    AskEmpty,
    LockToTidy,
    SyncToTidy,
    RemoveNotes,
    RemoveFolder,
    // Looking at what lies in quarantine, and purging it.
    NextFolder,
    LockFolder,
    ReadMark,
    ReadEntries,
    NextEntry,
    LookAgain,
    UnlinkEntry,
    SyncToConclude,
    Conclude,
    // Bringing back.
    ReadAll,
    Hold,
    NextItem,
    LockToRestore,
    MoveOut,
}

/// What is known of the things in a run's folder before any is looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Unsettled {
    All,
    Some(Vec<usize>),
    #[default]
    Nothing,
}

/// Something in a run's folder, as it was listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Entry {
    pub(crate) run: usize,
    pub(crate) number: usize,
    pub(crate) note: Option<(Name, Facts)>,
    pub(crate) is_being_emptied: bool,
}

/// A process, with what it knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Actor {
    pub(crate) phase: Phase,
    pub(crate) program: usize,
    pub(crate) stage: usize,
    pub(crate) pc: Pc,
    pub(crate) lock: Option<Lock>,
    /// Nobody else was running when it began.
    pub(crate) is_alone: bool,
    /// Something went back since the last mark.
    pub(crate) put_back: bool,
    /// The folder that it looks at had no notes when it was opened.
    pub(crate) is_noteless: bool,
    /// The holds that were read when it began.
    pub(crate) holds: [bool; 4],
    /// The file of notes that it has open.
    pub(crate) notes: u8,
    /// The number that its run gives out next.
    pub(crate) next: usize,
    /// What is to go, and at which of it it is.
    pub(crate) judged: Vec<(Name, Facts)>,
    pub(crate) at: usize,
    /// The number of the first of them.
    pub(crate) first: usize,
    /// What the last look found.
    pub(crate) looked: Option<Facts>,
    /// The directory that is being emptied, and whether something in it stays.
    pub(crate) emptying: Option<Id>,
    pub(crate) found_young: bool,
    /// What could not go back, by the numbers of its own run.
    pub(crate) stays: Vec<usize>,
    pub(crate) folders: Vec<usize>,
    pub(crate) run: usize,
    pub(crate) unsettled: Unsettled,
    pub(crate) entries: Vec<Entry>,
    pub(crate) entry: Option<Entry>,
    pub(crate) staying: Vec<usize>,
    /// What was told of, by run and number.
    pub(crate) told: Vec<(usize, usize)>,
}

impl Actor {
    pub(crate) fn new(program: usize, phase: Phase) -> Self {
        Self {
            phase,
            program,
            stage: 0,
            pc: Pc::Begin,
            lock: None,
            is_alone: false,
            put_back: false,
            is_noteless: false,
            holds: [false; 4],
            notes: 0,
            next: 0,
            judged: Vec::new(),
            at: 0,
            first: 0,
            looked: None,
            emptying: None,
            found_young: false,
            stays: Vec::new(),
            folders: Vec::new(),
            run: 0,
            unsettled: Unsettled::Nothing,
            entries: Vec::new(),
            entry: None,
            staying: Vec::new(),
            told: Vec::new(),
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Ended | Phase::Dead)
    }

    /// Whatever it knew is gone.
    pub(crate) fn die(&mut self) {
        if self.phase == Phase::Running || self.phase == Phase::Waiting {
            self.end(Phase::Dead);
        }
    }

    pub(crate) fn end(&mut self, phase: Phase) {
        *self = Self::new(self.program, phase);
    }
}
