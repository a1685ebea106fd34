//! The model: every order in which the processes, the application and a crash can take their steps.

use stateright::{Model, Property};

use crate::actor::{Actor, Phase, Program, Stage};
use crate::protocol::{Made, Protocol, Rules, Step};
use crate::world::{Change, Disk, Fault, Folder, Id, Journal, Line, Name, Notes, RUNS, SLOTS, Slot, Thing, World};

// The invariants, in the words of docs/deletion.md.
pub(crate) const YOUNG: &str = "nothing young is lost";
pub(crate) const VERIFIED: &str = "only what was verified is purged";
pub(crate) const ALWAYS_NOTED: &str = "what is in quarantine has its note";
pub(crate) const NEVER_OVER: &str = "what comes back never overwrites";
pub(crate) const WHOLE: &str = "nobody meets half a directory";
pub(crate) const KEPT: &str = "a promise is kept";
pub(crate) const RESTORABLE: &str = "what was put aside can be restored";
pub(crate) const TOLD: &str = "what is not verified is told of";
pub(crate) const TRUE: &str = "what is said is true";
pub(crate) const COUNTED: &str = "counts are exact";
pub(crate) const GOES_ON: &str = "nobody waits for ever";
pub(crate) const ENDS: &str = "it ends";

/// What the application can do to the names and the inodes that there are in the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    /// Makes a name that is free.
    Make(Name),
    /// Moves something new over a file.
    Replace(Name),
    /// Writes to what has the name; into a directory it puts something new.
    Touch(Name),
    /// Writes through a descriptor that it has had open from the beginning; of a directory, to the old file in it.
    ToOpen(Id),
    /// Makes something new in a directory that it has had open from the beginning.
    In(Id),
}

/// How a process or the machine may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crash {
    Never,
    Kill,
    Power(Journal),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Step(usize),
    Application(Write),
    Killed(usize),
    /// Which of the changes that were not synced are left, as bits, and how many lines of each file of notes.
    PowerLost(u32, [usize; RUNS]),
    /// What comes after all that.
    Begins(usize),
}

/// How an earlier run came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Earlier {
    /// It looked at all that it had moved.
    Settled,
    /// It was killed before it looked at what it had moved.
    Killed,
    /// The same, and what it moved is not what was judged.
    KilledWithSomethingElse,
}

/// A site, and what happens there.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    rules: Rules,
    /// What an earlier run has left in quarantine; where it was killed, without a mark.
    earlier: Option<Earlier>,
    writes: (u8, Vec<Write>),
    crash: Crash,
}

impl Site {
    /// Two old files `A` and `B`, and an old directory `D`; two processes.
    pub(crate) fn new(first: &[Stage], second: &[Stage]) -> Self {
        let program = |stages: &[Stage]| Program { takes_lock: true, stages: stages.to_vec() };
        let rules = Rules {
            protocol: Protocol::WHOLE,
            journal: Journal::Eternal,
            programs: vec![program(first), program(second)],
        };
        Self { rules, earlier: None, writes: (0, Vec::new()), crash: Crash::Never }
    }

    /// The second process, or both, do without the lock of the policy.
    pub(crate) fn without_lock(mut self, who: &[usize]) -> Self {
        for who in who {
            self.rules.programs[*who].takes_lock = false;
        }
        self
    }

    pub(crate) fn writing(mut self, times: u8, what: &[Write]) -> Self {
        self.writes = (times, what.to_vec());
        self
    }

    /// A file and the directory lie in quarantine already, in the folder that the first process would use.
    pub(crate) fn after(mut self, earlier: Earlier) -> Self {
        self.earlier = Some(earlier);
        self
    }

    pub(crate) fn crashing(mut self, crash: Crash) -> Self {
        self.crash = crash;
        if let Crash::Power(journal) = crash {
            self.rules.journal = journal;
        }
        self
    }

    /// One of these follows when both have ended.
    pub(crate) fn then(mut self, programs: &[&[Stage]]) -> Self {
        let program = |stages: &&[Stage]| Program { takes_lock: true, stages: stages.to_vec() };
        self.rules.programs.extend(programs.iter().map(program));
        self
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Protocol)) -> Self {
        change(&mut self.rules.protocol);
        self
    }

    /// Whether anybody who is at work can take a step.
    fn somebody_goes_on(&self, world: &World) -> bool {
        let mut running = (0..3).filter(|who| world.actors[*who].phase == Phase::Running).peekable();
        running.peek().is_none() || running.any(|who| self.next_state(world, Event::Step(who)).is_some())
    }

    /// What a write comes to; `None` where it is not possible.
    fn write(&self, world: &World, write: Write) -> Option<World> {
        let mut next = world.clone();
        next.writes_left -= 1;
        let journal = self.rules.journal;
        let young = |name: Name| match name {
            Name::A | Name::B => Thing::File { is_young: true },
            Name::D | Name::Beside => Thing::Dir { old: None, has_new: true },
        };
        match write {
            Write::Make(name) => {
                if world.now.home[name as usize].is_some() {
                    return None;
                }
                let id = next.make(young(name), journal);
                next.change(Change::Put { name, id }, journal);
            }
            Write::Replace(name) => {
                world.now.home[name as usize]?;
                let id = next.make(young(name), journal);
                next.change(Change::Put { name, id }, journal);
            }
            Write::Touch(name) => {
                let facts = world.now.at_home(name)?;
                next.write(facts.id, touched(facts.thing), journal);
            }
            Write::In(id) if is_linked(&world.now, id) => next.write(id, touched(world.now.thing(id)), journal),
            Write::In(_) => return None,
            Write::ToOpen(id) => {
                let written = match world.now.thing(id) {
                    Thing::File { .. } if is_linked(&world.now, id) => Thing::File { is_young: true },
                    Thing::Dir { old: Some(_), has_new } => Thing::Dir { old: Some(true), has_new },
                    // What it writes has no name any more.
                    Thing::File { .. } | Thing::Dir { .. } => return None,
                };
                next.write(id, written, journal);
            }
        }
        (next != *world).then_some(next)
    }
}

fn touched(thing: Thing) -> Thing {
    match thing {
        Thing::File { .. } => Thing::File { is_young: true },
        Thing::Dir { old, .. } => Thing::Dir { old, has_new: true },
    }
}

fn is_linked(disk: &Disk, id: Id) -> bool {
    disk.home.contains(&Some(id)) || disk.slot_of(id).is_some()
}

impl Model for Site {
    type State = World;
    type Action = Event;

    fn init_states(&self) -> Vec<World> {
        let mut disk = Disk::default();
        for (name, thing) in [(Name::A, Thing::OLD_FILE), (Name::B, Thing::OLD_FILE), (Name::D, Thing::OLD_DIR)] {
            disk.home[name as usize] = Some(u8::try_from(disk.things.len()).expect("few there are"));
            disk.things.push(thing);
        }
        let mut notes = Notes::default();
        if let Some(earlier) = self.earlier {
            disk.folders[0] = Folder { exists: true, notes: Some(0), ..Folder::default() };
            for (number, name) in [Name::A, Name::D].into_iter().enumerate() {
                let judged = disk.at_home(name).expect("it was put there");
                notes.lines.push(Line::Note { number, name, judged });
                let id = disk.home[name as usize].take().expect("it was put there");
                if earlier == Earlier::KilledWithSomethingElse {
                    disk.things[usize::from(id)] = touched(judged.thing);
                }
                disk.folders[0].slots[number] = Some(Slot { id, from: name });
            }
            if earlier == Earlier::Settled {
                notes.lines.push(Line::Settled(Vec::new()));
            }
            notes.synced = notes.lines.len();
        }
        let actors = [
            Actor::new(0, Phase::Running),
            if self.rules.programs[1].stages.is_empty() {
                Actor::new(1, Phase::Ended)
            } else {
                Actor::new(1, Phase::Running)
            },
            Actor::new(2, Phase::Waiting),
        ];
        let crashes = u8::from(self.crash != Crash::Never);
        let mut world = World::new(disk, actors, self.writes.0, crashes, self.rules.journal);
        world.said = i8::try_from(world.now.folders[0].slots.iter().flatten().count()).expect("few there are");
        if self.earlier == Some(Earlier::Settled) {
            (0..SLOTS)
                .filter(|it| world.now.folders[0].slots[*it].is_some())
                .collect::<Vec<_>>()
                .into_iter()
                .for_each(|it| world.verify(0, it));
        }
        world.notes[0] = notes;
        vec![world]
    }

    fn actions(&self, world: &World, events: &mut Vec<Event>) {
        let is_running = |who: usize| world.actors[who].phase == Phase::Running;
        events.extend((0..3).filter(|who| is_running(*who)).map(Event::Step));
        if world.writes_left > 0 && (0..2).any(is_running) {
            events.extend(self.writes.1.iter().copied().map(Event::Application));
        }
        if world.crashes_left > 0 && (0..2).any(is_running) {
            match self.crash {
                Crash::Never => {}
                Crash::Kill => events.extend((0..2).filter(|who| is_running(*who)).map(Event::Killed)),
                Crash::Power(journal) => {
                    let lines = |run: usize| world.notes[run].synced..=world.notes[run].lines.len();
                    for keep in world.survivals(journal) {
                        for first in lines(0) {
                            events.extend(lines(1).map(|second| Event::PowerLost(keep, [first, second])));
                        }
                    }
                }
            }
        }
        if world.actors[2].phase == Phase::Waiting && (0..2).all(|who| world.actors[who].is_over()) {
            events.extend((2..self.rules.programs.len()).map(Event::Begins));
        }
    }

    fn next_state(&self, world: &World, event: Event) -> Option<World> {
        let mut next = world.clone();
        match event {
            Event::Step(me) => {
                if (Step { rules: &self.rules, world: &mut next, me }).run() == Made::Waits {
                    return None;
                }
            }
            Event::Application(write) => return self.write(world, write),
            Event::Killed(who) => {
                next.crashes_left -= 1;
                next.kill(who);
            }
            Event::PowerLost(keep, lines) => {
                next.crashes_left -= 1;
                next.lose_power(keep, lines);
            }
            Event::Begins(program) => next.actors[2] = Actor::new(program, Phase::Running),
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::<Self>::always(YOUNG, |_, world| !world.has(Fault::YoungLost)),
            Property::<Self>::always(VERIFIED, |_, world| !world.has(Fault::Unverified)),
            Property::<Self>::always(ALWAYS_NOTED, |_, world| every_note_is_there(world)),
            Property::<Self>::always(NEVER_OVER, |_, world| !world.has(Fault::Overwritten)),
            Property::<Self>::always(WHOLE, |_, world| !world.has(Fault::Half)),
            Property::<Self>::always(KEPT, |_, world| !world.has(Fault::PromiseBroken)),
            Property::<Self>::always(RESTORABLE, |_, world| !world.has(Fault::NotRestored)),
            Property::<Self>::always(TOLD, |_, world| !world.has(Fault::Untold)),
            Property::<Self>::always(TRUE, |_, world| !world.has(Fault::FalseWord)),
            Property::<Self>::always(COUNTED, |_, world| !world.has(Fault::Miscounted)),
            Property::<Self>::always(GOES_ON, Self::somebody_goes_on),
            Property::<Self>::sometimes(ENDS, |_, world| world.actors[..2].iter().all(Actor::is_over)),
        ]
    }
}

/// Of everything in quarantine a note says where it came from, and the way to it is there.
fn every_note_is_there(world: &World) -> bool {
    (0..RUNS).all(|run| {
        let folder = &world.now.folders[run];
        (0..SLOTS).all(|number| {
            let Some(slot) = folder.slots[number] else { return true };
            let is_noted = world.notes[run].note(number).is_some_and(|(name, _)| name == slot.from);
            folder.exists && folder.notes.is_some() && is_noted
        })
    })
}

/// For traces.
pub(crate) fn in_short(world: &World) -> String {
    let Disk { things, home, folders } = &world.now;
    let lines: Vec<&Vec<Line>> = world.notes.iter().map(|notes| &notes.lines).collect();
    let pcs: Vec<_> = world.actors.iter().map(|actor| (actor.phase, actor.stage, actor.pc)).collect();
    format!(
        "{pcs:?}\n    home {home:?} things {things:?}\n    slots {:?}\n    notes {lines:?}\n    pending {:?}",
        folders.iter().map(|folder| folder.slots).collect::<Vec<_>>(),
        world.pending
    )
}
