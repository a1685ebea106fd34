//! What lies on the disk, and what the kernel has not written to it yet.
//!
//! Whatever changes a directory is an operation in the journal. A kill leaves all of them, because the kernel lives on;
//! a loss of power leaves those that were synced, and of the others as many as the [`Journal`] lets it. Lines of notes
//! are data: of those that were not synced any number of the first ones is left, whatever became of the directories.
//! What the application writes counts as written to the disk at once, which is the worst case: all of it has to be
//! there later.

use crate::actor::{Actor, LockKind};

pub(crate) type Id = u8;

/// A name in the root. `Beside` is what a directory gets whose name was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Name {
    A,
    B,
    D,
    Beside,
}

/// Something with an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Thing {
    /// A file, and whether it was written since it became old.
    File { is_young: bool },
    /// A directory: the old file in it, and whether that was written since; and whether there is a new one.
    Dir { old: Option<bool>, has_new: bool },
}

impl Thing {
    pub(crate) const OLD_FILE: Self = Self::File { is_young: false };
    pub(crate) const OLD_DIR: Self = Self::Dir { old: Some(false), has_new: false };

    pub(crate) fn is_young(self) -> bool {
        match self {
            Self::File { is_young } => is_young,
            Self::Dir { old, has_new } => has_new || old == Some(true),
        }
    }

    pub(crate) fn is_dir(self) -> bool {
        matches!(self, Self::Dir { .. })
    }
}

/// What a look finds: which inode it is, and what it comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Facts {
    pub(crate) id: Id,
    pub(crate) thing: Thing,
}

/// Something in quarantine, and where it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Slot {
    pub(crate) id: Id,
    pub(crate) from: Name,
}

/// The most that one run moves aside here.
pub(crate) const SLOTS: usize = 3;
pub(crate) const RUNS: usize = 2;

/// The folder of one run in quarantine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Folder {
    pub(crate) exists: bool,
    /// Which file has the name of the notes.
    pub(crate) notes: Option<u8>,
    pub(crate) slots: [Option<Slot>; SLOTS],
}

impl Folder {
    pub(crate) fn is_empty(&self) -> bool {
        self.slots.iter().all(Option::is_none)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Disk {
    pub(crate) things: Vec<Thing>,
    pub(crate) home: [Option<Id>; 4],
    pub(crate) folders: [Folder; RUNS],
}

impl Disk {
    pub(crate) fn thing(&self, id: Id) -> Thing {
        self.things[usize::from(id)]
    }

    pub(crate) fn at_home(&self, name: Name) -> Option<Facts> {
        self.home[name as usize].map(|id| Facts { id, thing: self.thing(id) })
    }

    pub(crate) fn in_slot(&self, run: usize, number: usize) -> Option<Facts> {
        self.folders[run].slots[number].map(|slot| Facts { id: slot.id, thing: self.thing(slot.id) })
    }

    pub(crate) fn slot_of(&self, id: Id) -> Option<Slot> {
        self.folders.iter().flat_map(|folder| folder.slots).flatten().find(|slot| slot.id == id)
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::MakeFolder(run) => self.folders[run].exists = true,
            Change::MakeNotes(run, file) => self.folders[run].notes = Some(file),
            Change::MoveIn { name, run, number } => {
                let id = self.home[name as usize].take();
                self.folders[run].slots[number] = id.map(|id| Slot { id, from: name });
            }
            Change::MoveOut { run, number, name } => {
                self.home[name as usize] = self.folders[run].slots[number].take().map(|slot| slot.id);
            }
            Change::UnlinkSlot { run, number } => self.folders[run].slots[number] = None,
            Change::UnlinkHome { name } => self.home[name as usize] = None,
            Change::UnlinkChild { id } => {
                if let Thing::Dir { old, .. } = &mut self.things[usize::from(id)] {
                    *old = None;
                }
            }
            Change::RemoveNotes(run) => self.folders[run].notes = None,
            Change::RemoveFolder(run) => self.folders[run].exists = false,
            Change::Put { name, id } => self.home[name as usize] = Some(id),
        }
    }
}

/// What one system call changes in directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Change {
    MakeFolder(usize),
    MakeNotes(usize, u8),
    MoveIn {
        name: Name,
        run: usize,
        number: usize,
    },
    MoveOut {
        run: usize,
        number: usize,
        name: Name,
    },
    UnlinkSlot {
        run: usize,
        number: usize,
    },
    UnlinkHome {
        name: Name,
    },
    UnlinkChild {
        id: Id,
    },
    RemoveNotes(usize),
    RemoveFolder(usize),
    /// The application makes a name.
    Put {
        name: Name,
        id: Id,
    },
}

/// Directories, as bits.
pub(crate) const HOME: u8 = 1;
/// `.cleanup/quarantine`, in which the folders of runs are.
pub(crate) const QUARANTINE: u8 = 2;
const INSIDE: u8 = 16;

pub(crate) fn folder(run: usize) -> u8 {
    4 << run
}

impl Change {
    /// The directories that it changes.
    fn touches(self) -> u8 {
        match self {
            Self::MakeFolder(_) => QUARANTINE,
            Self::MakeNotes(run, _) | Self::RemoveNotes(run) => folder(run),
            Self::RemoveFolder(run) => QUARANTINE | folder(run),
            Self::MoveIn { run, .. } | Self::MoveOut { run, .. } => HOME | folder(run),
            Self::UnlinkSlot { run, .. } => folder(run) | INSIDE,
            Self::UnlinkHome { .. } | Self::Put { .. } => HOME,
            Self::UnlinkChild { .. } => INSIDE,
        }
    }
}

/// What the power may leave of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Journal {
    /// The power never fails: nothing has to be remembered.
    Eternal,
    /// The first so many changes, as a file system with one journal does.
    InOrder,
    /// Any of them, as long as of one directory the earlier ones are there.
    ByDirectory,
}

/// A line of notes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Line {
    Note { number: usize, name: Name, judged: Facts },
    Emptying(usize),
    Settled(Vec<usize>),
}

/// The notes of one run, as they are read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Notes {
    pub(crate) lines: Vec<Line>,
    /// How many of them are on the disk for certain.
    pub(crate) synced: usize,
}

impl Notes {
    pub(crate) fn note(&self, number: usize) -> Option<(Name, Facts)> {
        let of = |line: &Line| match line {
            Line::Note { number: noted, name, judged } if *noted == number => Some((*name, *judged)),
            Line::Note { .. } | Line::Emptying(_) | Line::Settled(_) => None,
        };
        self.lines.iter().rev().find_map(of)
    }

    pub(crate) fn is_being_emptied(&self, number: usize) -> bool {
        self.lines.contains(&Line::Emptying(number))
    }

    pub(crate) fn settled(&self) -> Option<&Vec<usize>> {
        match self.lines.last() {
            Some(Line::Settled(numbers)) => Some(numbers),
            Some(Line::Note { .. } | Line::Emptying(_)) | None => None,
        }
    }
}

/// What must never happen, as bits of [`World::faults`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Something young was removed that the last look could have shown.
    YoungLost = 1,
    /// A program deleted something in quarantine at which nobody had looked since it came.
    Unverified = 2,
    /// Something was moved over something.
    Overwritten = 4,
    /// Somebody met half a directory under its name.
    Half = 8,
    /// What was restored under a hold was taken again.
    PromiseBroken = 16,
    /// A report says that something stays in quarantine, or could not be deleted, that is not there any more.
    FalseWord = 32,
    /// The counts of a report are not what was done.
    Miscounted = 64,
    /// A sweep passed by something that is not known to be what was judged, and did not tell of it.
    Untold = 128,
    /// Nothing was in the way of something, and it was not restored.
    NotRestored = 256,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    /// As every process sees it.
    pub(crate) now: Disk,
    /// What is on the disk for certain, and what is not, in its order; empty where the power never fails.
    certain: Disk,
    pub(crate) pending: Vec<Change>,
    pub(crate) notes: [Notes; RUNS],
    pub(crate) actors: [Actor; 3],
    /// Who has the lock of the policy.
    pub(crate) policy_lock: Option<usize>,
    /// What was promised to be kept, by name.
    pub(crate) held: [bool; 4],
    /// At what somebody has looked since it came, by run and number, and found what was judged.
    verified: Vec<(usize, usize)>,
    /// What was restored, by inode.
    pub(crate) restored: Vec<Id>,
    /// How many files of notes were made.
    pub(crate) notes_made: u8,
    /// What lies in quarantine by the counts of all reports, and whether one was never written.
    pub(crate) said: i8,
    pub(crate) was_cut_off: bool,
    /// How much the application will still do, and how often something is still cut off.
    pub(crate) writes_left: u8,
    pub(crate) crashes_left: u8,
    pub(crate) faults: u16,
}

impl World {
    pub(crate) fn new(disk: Disk, actors: [Actor; 3], writes_left: u8, crashes_left: u8, journal: Journal) -> Self {
        let certain = if journal == Journal::Eternal { Disk::default() } else { disk.clone() };
        Self {
            now: disk,
            certain,
            pending: Vec::new(),
            notes: Default::default(),
            actors,
            policy_lock: None,
            held: [false; 4],
            verified: Vec::new(),
            restored: Vec::new(),
            notes_made: 0,
            said: 0,
            was_cut_off: false,
            writes_left,
            crashes_left,
            faults: 0,
        }
    }

    pub(crate) fn fault(&mut self, fault: Fault) {
        self.faults |= fault as u16;
    }

    pub(crate) fn has(&self, fault: Fault) -> bool {
        self.faults & fault as u16 != 0
    }

    pub(crate) fn change(&mut self, change: Change, journal: Journal) {
        self.now.apply(change);
        if journal != Journal::Eternal {
            self.pending.push(change);
        }
    }

    /// Somebody has looked at something since it came, and found what was judged.
    pub(crate) fn verify(&mut self, run: usize, number: usize) {
        if !self.is_verified(run, number) {
            self.verified.push((run, number));
        }
    }

    pub(crate) fn is_verified(&self, run: usize, number: usize) -> bool {
        self.verified.contains(&(run, number))
    }

    /// What the application does to something is on the disk at once.
    pub(crate) fn write(&mut self, id: Id, thing: Thing, journal: Journal) {
        self.now.things[usize::from(id)] = thing;
        if journal != Journal::Eternal {
            // But not what we have removed in it meanwhile, which may come back.
            let before = &mut self.certain.things[usize::from(id)];
            *before = match (*before, thing) {
                (Thing::Dir { old: Some(young), .. }, Thing::Dir { old: None, has_new }) => {
                    Thing::Dir { old: Some(young), has_new }
                }
                _ => thing,
            };
        }
    }

    pub(crate) fn make(&mut self, thing: Thing, journal: Journal) -> Id {
        let id = u8::try_from(self.now.things.len()).expect("few are made");
        self.now.things.push(thing);
        if journal != Journal::Eternal {
            self.certain.things.push(thing);
        }
        id
    }

    /// `fdatasync` of directories.
    pub(crate) fn sync(&mut self, directories: u8, journal: Journal) {
        let keep = match journal {
            Journal::Eternal => return,
            Journal::InOrder => {
                let last = self.pending.iter().rposition(|change| change.touches() & directories != 0);
                (1_u32 << last.map_or(0, |last| last + 1)) - 1
            }
            Journal::ByDirectory => {
                let (mut wanted, mut keep) = (directories, 0_u32);
                // What comes before something in one of its directories is written with it.
                for (index, change) in self.pending.iter().enumerate().rev() {
                    if change.touches() & wanted != 0 {
                        wanted |= change.touches();
                        keep |= 1 << index;
                    }
                }
                keep
            }
        };
        self.make_certain(keep);
    }

    fn make_certain(&mut self, keep: u32) {
        let mut index = 0;
        let (pending, certain) = (&mut self.pending, &mut self.certain);
        pending.retain(|change| {
            let is_kept = keep & (1 << index) != 0;
            index += 1;
            if is_kept {
                certain.apply(*change);
            }
            !is_kept
        });
    }

    /// Which sets of changes a loss of power may leave, as bits.
    pub(crate) fn survivals(&self, journal: Journal) -> Vec<u32> {
        let count = self.pending.len();
        match journal {
            Journal::Eternal => Vec::new(),
            Journal::InOrder => (0..=count).map(|count| (1_u32 << count) - 1).collect(),
            Journal::ByDirectory => (0..1_u32 << count).filter(|keep| self.is_possible(*keep)).collect(),
        }
    }

    fn is_possible(&self, keep: u32) -> bool {
        let mut lost = 0;
        self.pending.iter().enumerate().all(|(index, change)| {
            if keep & (1 << index) == 0 {
                lost |= change.touches();
                true
            } else {
                change.touches() & lost == 0
            }
        })
    }

    /// The power fails: so much of the changes and of the notes is left, and no process.
    pub(crate) fn lose_power(&mut self, keep: u32, lines: [usize; RUNS]) {
        self.make_certain(keep);
        self.pending.clear();
        self.now = self.certain.clone();
        for (notes, lines) in self.notes.iter_mut().zip(lines) {
            notes.lines.truncate(lines);
            notes.synced = lines;
        }
        for run in 0..RUNS {
            if self.now.folders[run].notes.is_none() {
                self.notes[run] = Notes::default();
            }
        }
        self.actors[..2].iter_mut().for_each(Actor::die);
        self.policy_lock = None;
        self.was_cut_off = true;
    }

    pub(crate) fn kill(&mut self, who: usize) {
        self.actors[who].die();
        self.was_cut_off = true;
        if self.policy_lock == Some(who) {
            self.policy_lock = None;
        }
    }

    /// Whether somebody else has a lock on a file of notes that keeps this one away.
    pub(crate) fn is_locked(&self, me: usize, run: usize, file: u8, kind: LockKind) -> bool {
        self.actors.iter().enumerate().any(|(who, actor)| {
            who != me
                && actor.lock.is_some_and(|lock| {
                    (lock.run, lock.file) == (run, file) && (kind == LockKind::Alone || lock.kind == LockKind::Alone)
                })
        })
    }
}
