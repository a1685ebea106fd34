//! What the engine has to come to, without files, threads or a database: names, times, and the rules of the
//! documentation.
//!
//! Time goes in thousandths of a minute. Time passes in steps of ten minutes, and whatever happens takes two thousandths, so
//! that nothing is ever simultaneous. Spans end five minutes off, so that the few seconds which the real
//! engine takes never decide anything.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::select;
use proptest_state_machine::ReferenceStateMachine;

/// One minute of the model's time.
pub(crate) const MINUTE: i64 = 1000;

/// Steps of time, and of everything that lasts.
pub(crate) const TICK: i64 = 10 * MINUTE;

pub(crate) const MAX_AGE: i64 = 1445 * MINUTE;
pub(crate) const MIN_AGE: i64 = 65 * MINUTE;
pub(crate) const KEEP_NEWEST: usize = 2;
pub(crate) const KEEP_FOR: i64 = 2885 * MINUTE;
const PLAN_COUNTS_FOR: i64 = 24 * 60 * MINUTE;

/// Files come and go under these names. The last one is an archive.
const NAMES: [&str; 5] = ["a.dat", "b.dat", "sub/c.dat", "sub/d.dat", "keep-e.dat"];

/// What can be held: a folder as well.
const PLACES: [&str; 4] = ["a.dat", "b.dat", "sub/c.dat", "sub"];

pub(crate) type Name = &'static str;

/// What one case is about.
#[allow(clippy::struct_excessive_bools, reason = "each is tried with and without every other")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    /// Whether the service runs, with a tracker.
    pub(crate) tracked: bool,
    pub(crate) quarantine: bool,
    pub(crate) min_age: bool,
    pub(crate) keep_newest: bool,
}

/// Who does something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// The process that tracks, where one does.
    Service,
    /// A program that is started for it.
    Command,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passing {
    Awake,
    Asleep,
    /// Switched off: another boot, and another process.
    Off,
}

/// What a clock that is wrong can be told by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    /// Nothing is remembered of an earlier run.
    Unknown,
    /// That it is far ahead proves nothing: the machine may have been off.
    OfEarlierBoot,
    OfThisBoot,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The whole state folder, as of a container that is started afresh.
    Everything,
    /// The same under a process that goes on; a sweep follows.
    EverythingBeneath,
    Database,
    /// The same under a process that goes on.
    DatabaseBeneath,
    /// The file with the promises, while the process goes on.
    Promises,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// A file is moved in under a name, over what had it, with a stamp of so many ticks ago.
    Arrives {
        name: Name,
        ago: i64,
    },
    /// It is written to, and stamped now.
    Grows(Name),
    /// Only its stamp is set, to so many ticks ago.
    Stamped {
        name: Name,
        ago: i64,
    },
    Renamed {
        from: Name,
        to: Name,
    },
    Deleted(Name),
    Registered {
        name: Name,
        ttl: Option<i64>,
    },
    Held {
        place: Name,
        ticks: i64,
        by: By,
    },
    Released {
        place: Name,
        by: By,
    },
    Passes {
        ticks: i64,
        how: Passing,
    },
    Sweep {
        by: By,
        force: bool,
    },
    /// What is due by the tracker's table; and a sweep, where something has lain in quarantine long enough.
    Deadlines,
    Planned,
    Applied,
    /// One file, or all that there is.
    Restored {
        name: Option<Name>,
        hold: Option<i64>,
    },
    Restarted,
    Lost(Loss),
    /// The clock is set by more than a year, everything is tried, and the clock is set right again.
    WrongClock {
        ahead: bool,
    },
}

/// What a step has to come to, beside the files that there are then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Nothing,
    /// A run that went on. What is `changed` is not, or no longer, what a plan named.
    Gone {
        files: u64,
        purged: u64,
        changed: u64,
    },
    /// A run that was held.
    Held,
    /// A plan that is too old.
    Refused,
    Restored {
        files: u64,
        failed: u64,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) content: String,
    mtime: i64,
    /// Raised by whatever changes the file, so that a plan knows it no more.
    version: u64,
    registration: Option<Registration>,
    /// What the tracker's table knows.
    row: Row,
}

#[derive(Clone, Copy, Debug)]
struct Registration {
    at: i64,
    ttl: Option<i64>,
    /// Whether it is still known to other processes, and to the next one.
    on_disk: bool,
}

/// A row that is old makes the tracker late, never early.
#[derive(Clone, Copy, Debug, Default)]
struct Row {
    /// When it is looked at again.
    next: Option<i64>,
    counts_from: i64,
}

#[derive(Clone, Debug)]
pub(crate) struct Aside {
    pub(crate) name: Name,
    pub(crate) content: String,
    mtime: i64,
    at: i64,
}

enum Verdict {
    Goes,
    HeldUntil(i64),
    StaysUntil(Option<i64>),
}

/// What `keep_newest` comes to.
#[derive(Clone, Debug)]
enum Newest {
    NoRule,
    All,
    /// Everything that is newer than this.
    Behind(i64, Name),
}

/// Which files were due, in which version.
#[derive(Clone, Debug)]
struct Plan {
    made_at: i64,
    named: BTreeMap<Name, u64>,
    newest: Newest,
}

#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) setup: Setup,
    pub(crate) files: BTreeMap<Name, File>,
    pub(crate) aside: Vec<Aside>,
    pub(crate) outcome: Outcome,
    /// What is remembered of the clock.
    pub(crate) clock: Clock,
    /// Whether the last sweep was the first that knew of none before it.
    pub(crate) begins_anew: bool,
    /// Whether a sweep followed the deadlines.
    pub(crate) was_swept: bool,
    now: i64,
    held: BTreeMap<Name, i64>,
    /// Whether promises are lost and nobody has accepted that.
    lost: bool,
    plan: Option<Plan>,
    versions: u64,
}

impl Model {
    fn new(setup: Setup) -> Self {
        Self {
            setup,
            files: BTreeMap::new(),
            aside: Vec::new(),
            outcome: Outcome::Nothing,
            clock: Clock::OfThisBoot,
            begins_anew: false,
            was_swept: false,
            now: 0,
            held: BTreeMap::new(),
            lost: false,
            plan: None,
            versions: 0,
        }
    }

    /// From when a file counts, and how old it may become, for what `by` knows.
    fn lifetime(file: &File, by: By) -> (i64, i64) {
        match file.registration.filter(|it| by == By::Service || it.on_disk) {
            Some(Registration { at, ttl: Some(ttl), .. }) if file.mtime <= at + ttl => (at, ttl),
            Some(Registration { at, ttl: None, .. }) if file.mtime < at => (at, MAX_AGE),
            _ => (file.mtime, MAX_AGE),
        }
    }

    /// Where the newest begin, archives and files from the future left out.
    fn newest(&self, by: By) -> Newest {
        if !self.setup.keep_newest {
            return Newest::NoRule;
        }
        let ranked = self.files.iter().filter(|(name, _)| !is_archive(name));
        let stamps = ranked.map(|(name, file)| (Self::lifetime(file, by).0, *name));
        let mut stamps: Vec<_> = stamps.filter(|(from, _)| *from <= self.now).collect();
        stamps.sort_unstable();
        stamps.iter().rev().nth(KEEP_NEWEST).map_or(Newest::All, |(from, name)| Newest::Behind(*from, name))
    }

    /// The order of judgement, for `now` and what `by` knows.
    fn judge(&self, name: Name, file: &File, by: By, newest: &Newest) -> Verdict {
        if is_archive(name) {
            return Verdict::StaysUntil(None);
        }
        let holds = self.held.iter().filter(|(place, _)| name == **place || name.starts_with(&format!("{place}/")));
        if let Some(until) = holds.map(|(_, until)| *until).filter(|until| *until > self.now && !self.lost).max() {
            return Verdict::HeldUntil(until);
        }
        let (from, limit) = Self::lifetime(file, by);
        if from > self.now {
            return Verdict::StaysUntil(Some(from));
        }
        if self.setup.min_age {
            // No file has really come before the beginning.
            let arrived = from.max(file.mtime).max(0);
            if arrived > self.now {
                return Verdict::StaysUntil(Some(arrived));
            }
            if self.now - arrived < MIN_AGE {
                return Verdict::StaysUntil(Some(arrived + MIN_AGE));
            }
        }
        match newest {
            Newest::All => return Verdict::StaysUntil(None),
            Newest::Behind(last, last_name) if (from, name) > (*last, last_name) => return Verdict::StaysUntil(None),
            Newest::Behind(..) | Newest::NoRule => {}
        }
        if self.now - from > limit { Verdict::Goes } else { Verdict::StaysUntil(Some(from + limit)) }
    }

    /// Those of some files that go.
    fn going(&self, names: impl IntoIterator<Item = Name>, by: By, newest: &Newest) -> Vec<Name> {
        let goes = |name: &Name| matches!(self.judge(name, &self.files[name], by, newest), Verdict::Goes);
        names.into_iter().filter(goes).collect()
    }

    fn due(&self, by: By) -> Vec<Name> {
        self.going(self.files.keys().copied(), by, &self.newest(by))
    }

    /// The tracker looks at a file: what was written since its registration counts by its stamp alone.
    fn look(&mut self, name: Name) {
        let Some(file) = self.files.get_mut(name) else { return };
        file.registration = file.registration.filter(|it| it.ttl.is_some() || it.at > file.mtime);
        self.put_row(name, &Newest::NoRule);
    }

    /// What is among the newest is known only to a run, which looks at all files.
    fn put_row(&mut self, name: Name, newest: &Newest) {
        let Some(file) = self.files.get(name) else { return };
        let next = match self.judge(name, file, By::Service, newest) {
            Verdict::Goes => Some(self.now),
            // Somebody may take the hold back meanwhile.
            Verdict::HeldUntil(until) => Some(until.min(self.now + 60 * MINUTE)),
            Verdict::StaysUntil(until) => until,
        };
        let counts_from = match file.registration {
            Some(Registration { at, ttl: Some(_), .. }) => at,
            Some(Registration { at, ttl: None, .. }) => at.max(file.mtime),
            None => file.mtime,
        };
        self.files.get_mut(name).expect("it is there").row = Row { next, counts_from };
    }

    /// Another file has a name from now on.
    fn arrives(&mut self, name: Name, content: String, mtime: i64) {
        let before = self.files.get(name).and_then(|file| file.registration);
        let registration = match before {
            _ if !self.setup.tracked => None,
            Some(Registration { at, ttl: Some(ttl), .. }) if at + ttl >= self.now => before,
            // Its stamp says the same, or is from the future.
            _ if mtime >= self.now => before,
            // It counts from when it appeared.
            _ => Some(Registration { at: self.now, ttl: None, on_disk: true }),
        };
        let file = File { content, mtime, version: self.next_version(), registration, row: Row::default() };
        self.files.insert(name, file);
        self.look(name);
    }

    fn next_version(&mut self) -> u64 {
        self.versions += 1;
        self.versions
    }

    /// Takes files away, and what was long enough in quarantine for good.
    fn takes(&mut self, gone: &[Name]) -> Outcome {
        let before = self.aside.len();
        let now = self.now;
        self.aside.retain(|aside| now - aside.at <= KEEP_FOR);
        let purged = (before - self.aside.len()) as u64;
        for name in gone {
            let File { content, mtime, .. } = self.files.remove(name).expect("it is there");
            if self.setup.quarantine {
                self.aside.push(Aside { name, content, mtime, at: now });
            }
        }
        Outcome::Gone { files: gone.len() as u64, purged, changed: 0 }
    }

    fn sweep(&mut self, by: By, force: bool) -> Outcome {
        self.lost &= !force;
        self.begins_anew = self.clock == Clock::Unknown;
        self.clock = Clock::OfThisBoot;
        if self.lost { Outcome::Held } else { self.takes(&self.due(by)) }
    }

    fn deadlines(&mut self) -> Outcome {
        let now = self.now;
        let has_come = |file: &File| file.row.next.is_some_and(|next| next <= now);
        let come: Vec<Name> = self.files.iter().filter(|(_, file)| has_come(file)).map(|(name, _)| *name).collect();
        if come.is_empty() {
            return Outcome::Gone { files: 0, purged: 0, changed: 0 };
        }
        if self.lost {
            return Outcome::Held;
        }
        let newest = self.newest(By::Service);
        let gone = self.going(come.iter().copied(), By::Service, &newest);
        for name in come.iter().filter(|name| !gone.contains(name)) {
            self.put_row(name, &newest);
        }
        self.takes(&gone)
    }

    fn apply_plan(&mut self) -> Outcome {
        let Plan { made_at, named, newest } = self.plan.take().expect("there is a plan");
        if self.now - made_at > PLAN_COUNTS_FOR {
            return Outcome::Refused;
        }
        self.clock = Clock::OfThisBoot;
        if self.lost {
            return Outcome::Held;
        }
        let is_same = |name: &Name| self.files.get(name).is_some_and(|file| file.version == named[name]);
        let (same, others): (Vec<Name>, Vec<Name>) = named.keys().partition(|name| is_same(name));
        let gone = self.going(same, By::Service, &newest);
        match self.takes(&gone) {
            Outcome::Gone { files, purged, .. } => Outcome::Gone { files, purged, changed: others.len() as u64 },
            outcome => outcome,
        }
    }

    fn restore(&mut self, name: Option<Name>, hold: Option<i64>) -> Outcome {
        self.opens_memory();
        let (mut files, mut failed) = (0, 0);
        for wanted in NAMES.into_iter().filter(|it| name.is_none_or(|name| name == *it)) {
            let Some(newest) = self.aside.iter().rposition(|aside| aside.name == wanted) else { continue };
            if self.files.contains_key(wanted) {
                failed += 1;
                continue;
            }
            let Aside { content, mtime, .. } = self.aside.remove(newest);
            if let Some(span) = hold {
                let until = self.held.entry(wanted).or_insert(i64::MIN);
                *until = (*until).max(self.now + span);
            }
            files += 1;
            self.arrives(wanted, content, mtime);
        }
        Outcome::Restored { files, failed }
    }

    /// Whoever finds no memory remembers at once what the clock says.
    fn opens_memory(&mut self) {
        if self.clock == Clock::Unknown {
            self.clock = Clock::OfThisBoot;
        }
    }

    /// Another process knows what lies on the disk.
    fn restart(&mut self) {
        for file in self.files.values_mut() {
            file.registration = file.registration.filter(|it| it.on_disk);
        }
        self.looks_at_all();
    }

    fn looks_at_all(&mut self) {
        if self.setup.tracked {
            for name in NAMES {
                self.look(name);
            }
        }
    }

    fn loses(&mut self, what: Loss) -> Outcome {
        let forget = |file: &mut File, which: fn(&Registration) -> bool| {
            file.registration = file.registration.filter(|it| !which(it));
        };
        match what {
            Loss::Everything => {
                self.held.clear();
                self.lost = false;
                self.files.values_mut().for_each(|file| forget(file, |_| true));
                // Whoever tracks begins a new memory at once.
                self.clock = if self.setup.tracked { Clock::OfThisBoot } else { Clock::Unknown };
                self.looks_at_all();
            }
            Loss::Database => {
                self.files.values_mut().for_each(|file| forget(file, |it| it.ttl.is_none()));
                self.restart();
            }
            Loss::EverythingBeneath => {
                self.held.clear();
                self.lost = false;
                self.registrations().for_each(|it| it.on_disk = false);
                self.clock = Clock::Unknown;
                return self.sweep(By::Service, false);
            }
            Loss::DatabaseBeneath => self.registrations().for_each(|it| it.on_disk &= it.ttl.is_some()),
            Loss::Promises => {
                self.lost = true;
                self.held.clear();
                self.registrations().for_each(|it| it.on_disk &= it.ttl.is_none());
            }
        }
        Outcome::Nothing
    }

    fn registrations(&mut self) -> impl Iterator<Item = &mut Registration> {
        self.files.values_mut().filter_map(|file| file.registration.as_mut())
    }

    /// What is held now.
    fn in_force(&self) -> impl Iterator<Item = Name> {
        self.held.iter().filter(|(_, until)| **until > self.now).map(|(place, _)| *place)
    }

    /// Whether a promise is in force, so that its loss is noticed.
    fn has_promises(&self) -> bool {
        let lasts = |it: Registration| it.on_disk && it.ttl.is_some_and(|ttl| it.at + ttl > self.now);
        self.in_force().next().is_some() || self.files.values().filter_map(|file| file.registration).any(lasts)
    }

    fn step(&mut self, step: &Step) -> Outcome {
        match *step {
            Step::Arrives { name, ago } => {
                let content = format!("{}", self.versions);
                self.arrives(name, content, self.now - ago * TICK);
            }
            Step::Grows(name) => {
                let (now, version) = (self.now, self.next_version());
                let file = self.files.get_mut(name).expect("it is there");
                let was_ahead = file.registration.is_none() && file.row.counts_from > now;
                file.content += "+";
                // Noticed just after it was stamped.
                (file.mtime, file.version) = (now - 1, version);
                if self.setup.tracked && was_ahead {
                    file.registration = Some(Registration { at: now, ttl: None, on_disk: true });
                }
                self.look(name);
            }
            Step::Stamped { name, ago } => {
                let (mtime, version) = (self.now - ago * TICK, self.next_version());
                let file = self.files.get_mut(name).expect("it is there");
                (file.mtime, file.version) = (mtime, version);
            }
            Step::Renamed { from, to } => {
                let File { content, mtime, .. } = self.files.remove(from).expect("it is there");
                self.arrives(to, content, mtime);
            }
            Step::Deleted(name) => drop(self.files.remove(name)),
            Step::Registered { name, ttl } => {
                let file = self.files.get_mut(name).expect("it is there");
                file.registration = Some(Registration { at: self.now, ttl, on_disk: true });
                self.put_row(name, &Newest::NoRule);
            }
            Step::Held { place, ticks, by } => {
                self.opens_memory();
                self.held.insert(place, self.now + span(ticks));
                if self.setup.tracked && by == By::Service {
                    self.look(place);
                }
            }
            Step::Released { place, by } => {
                self.opens_memory();
                self.held.remove(place);
                if self.setup.tracked && by == By::Service {
                    self.look(place);
                }
            }
            Step::Passes { ticks, how } => {
                self.now += ticks * TICK;
                if how == Passing::Off {
                    if self.clock == Clock::OfThisBoot {
                        self.clock = Clock::OfEarlierBoot;
                    }
                    self.restart();
                }
            }
            Step::Sweep { by, force } => return self.sweep(by, force),
            Step::Deadlines => {
                // Whether deadlines purge depends on whether any had come at all, so a sweep follows them.
                self.was_swept = self.aside.iter().any(|aside| self.now - aside.at > KEEP_FOR);
                let first = self.deadlines();
                return if self.was_swept { first.and(self.sweep(By::Service, false)) } else { first };
            }
            Step::Planned => {
                let named = self.due(By::Service).into_iter().map(|name| (name, self.files[name].version)).collect();
                self.plan = Some(Plan { made_at: self.now, named, newest: self.newest(By::Service) });
            }
            Step::Applied => return self.apply_plan(),
            Step::Restored { name, hold } => return self.restore(name, hold.map(span)),
            Step::Restarted => self.restart(),
            Step::Lost(what) => return self.loses(what),
            Step::WrongClock { .. } => {}
        }
        Outcome::Nothing
    }
}

impl Outcome {
    /// Two runs, one after the other.
    pub(crate) fn and(self, next: Self) -> Self {
        match (self, next) {
            (Self::Gone { files, purged, .. }, Self::Gone { files: more, purged: also, .. }) => {
                Self::Gone { files: files + more, purged: purged + also, changed: 0 }
            }
            (_, next) => next,
        }
    }
}

fn is_archive(name: Name) -> bool {
    name.starts_with("keep-")
}

/// So many ticks, and a half.
pub(crate) fn span(ticks: i64) -> i64 {
    ticks * TICK + TICK / 2
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        let setup = (any::<bool>(), any::<bool>(), prop::bool::weighted(0.3), prop::bool::weighted(0.3));
        let setup = setup.prop_map(|(tracked, quarantine, min_age, keep_newest)| Setup {
            tracked,
            quarantine,
            min_age,
            keep_newest,
        });
        setup.prop_map(Self::new).boxed()
    }

    fn transitions(model: &Self) -> BoxedStrategy<Step> {
        let name = || select(NAMES.to_vec());
        let place = || select(PLACES.to_vec());
        let by = || prop_oneof![3 => Just(By::Service), 1 => Just(By::Command)];
        let ago = || prop_oneof![2 => Just(0), 2 => 1..140_i64, 4 => 145..500_i64];
        let ticks = || prop_oneof![4 => 1..20_i64, 2 => 100..200_i64, 1 => 200..600_i64];
        let how = prop_oneof![4 => Just(Passing::Awake), 1 => Just(Passing::Asleep), 1 => Just(Passing::Off)];
        let losses = vec![Loss::Everything, Loss::EverythingBeneath, Loss::Database, Loss::DatabaseBeneath];
        let mut steps: Vec<(u32, BoxedStrategy<Step>)> = vec![
            (12, (name(), ago()).prop_map(|(name, ago)| Step::Arrives { name, ago }).boxed()),
            (6, (place(), ticks(), by()).prop_map(|(place, ticks, by)| Step::Held { place, ticks, by }).boxed()),
            (10, (ticks(), how).prop_map(|(ticks, how)| Step::Passes { ticks, how }).boxed()),
            (8, (by(), Just(false)).prop_map(|(by, force)| Step::Sweep { by, force }).boxed()),
            (1, Just(Step::Restarted).boxed()),
            (3, select(losses).prop_map(Step::Lost).boxed()),
            (2, any::<bool>().prop_map(|ahead| Step::WrongClock { ahead }).boxed()),
        ];
        let there: Vec<Name> = model.files.keys().copied().collect();
        if !there.is_empty() {
            let there = || select(there.clone());
            let stamp = prop_oneof![3 => ago(), 1 => -200..0_i64];
            steps.push((2, there().prop_map(Step::Grows).boxed()));
            steps.push((4, (there(), stamp).prop_map(|(name, ago)| Step::Stamped { name, ago }).boxed()));
            steps.push((2, (there(), name()).prop_map(|(from, to)| Step::Renamed { from, to }).boxed()));
            steps.push((1, there().prop_map(Step::Deleted).boxed()));
            let ttl = prop::option::weighted(0.7, ticks().prop_map(span));
            steps.push((8, (there(), ttl).prop_map(|(name, ttl)| Step::Registered { name, ttl }).boxed()));
        }
        let in_force: Vec<Name> = model.in_force().collect();
        if !in_force.is_empty() {
            steps.push((4, (select(in_force), by()).prop_map(|(place, by)| Step::Released { place, by }).boxed()));
        }
        if model.setup.tracked {
            steps.push((8, Just(Step::Deadlines).boxed()));
        }
        if !model.lost {
            let weight = if model.due(By::Service).is_empty() { 1 } else { 6 };
            steps.push((weight, Just(Step::Planned).boxed()));
        }
        if model.plan.is_some() {
            steps.push((8, Just(Step::Applied).boxed()));
        }
        if !model.aside.is_empty() {
            let hold = prop::option::of(ticks());
            let what = prop::option::of(name());
            steps.push((6, (what, hold).prop_map(|(name, hold)| Step::Restored { name, hold }).boxed()));
        }
        if model.has_promises() {
            steps.push((2, Just(Step::Lost(Loss::Promises)).boxed()));
        }
        if model.lost {
            steps.push((8, by().prop_map(|by| Step::Sweep { by, force: true }).boxed()));
        }
        prop::strategy::Union::new_weighted(steps).boxed()
    }

    fn preconditions(model: &Self, step: &Step) -> bool {
        let tracked = model.setup.tracked;
        let is_there = |name: &Name| model.files.contains_key(name);
        match step {
            Step::Grows(name) | Step::Stamped { name, .. } | Step::Deleted(name) => is_there(name),
            // Whether a tracker has noticed just after it was stamped, or just before, is chance.
            Step::Renamed { from, to } => {
                let is_fresh = |file: &File| (0..TICK).contains(&(model.now - file.mtime));
                from != to && model.files.get(from).is_some_and(|file| !tracked || !is_fresh(file))
            }
            Step::Registered { name, .. } => tracked && is_there(name),
            Step::Held { place, by, .. } => !tracked || *by == By::Command || is_there(place),
            Step::Released { place, by } => {
                model.in_force().any(|held| held == *place) && (!tracked || *by == By::Command || is_there(place))
            }
            Step::Deadlines => tracked,
            Step::Planned => !model.lost,
            Step::Applied => model.plan.is_some(),
            Step::Restored { name, .. } => {
                let is_wanted = |aside: &Aside| name.is_none_or(|name| name == aside.name);
                model.aside.iter().any(is_wanted)
            }
            Step::Lost(Loss::Promises) => model.has_promises(),
            Step::WrongClock { ahead: true } => model.clock == Clock::OfThisBoot,
            Step::WrongClock { ahead: false } => model.clock != Clock::Unknown,
            Step::Arrives { .. } | Step::Passes { .. } | Step::Sweep { .. } | Step::Restarted | Step::Lost(_) => true,
        }
    }

    fn apply(mut model: Self, step: &Step) -> Self {
        model.now += 2;
        model.outcome = model.step(step);
        model
    }
}
