//! One run: a scenario, a fault at one of its system calls, and what another program writes at others.

use std::collections::HashMap;
use std::fmt;

use anyhow::{Context as _, Result, bail};
use nix::libc;
use nix::sys::signal::Signal;

use super::calls::{self, Fault, Kind};
use super::check::{Moment, Said};
use super::scenario::{ALL, Does, Scenario};
use super::tracer::{self, Answer, Call, Ended, Watchdog};
use super::world::{Found, How, World, Written};

/// A place in a program: so many calls of one kind by the same caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Site {
    by: Caller,
    number: i64,
    nth: u32,
}

/// Whose calls are counted together, because their order is the same in every run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Caller {
    /// A thread, about what lies in the world.
    Thread(usize),
    /// A thread, about anything else: how many of these there are depends on the machine.
    Elsewhere(usize),
    /// The database, by whichever thread: it is closed by the one that lets go of it last, and which one that is differs
    /// from run to run.
    Database,
    /// A thread's allocator: how often it asks for memory, and for how little, differs from run to run as well.
    Allocator(usize),
}

impl Caller {
    fn of(call: &Call, subject: &str, world: &World) -> Self {
        let is_memory = matches!(call.number, libc::SYS_mmap | libc::SYS_mprotect | libc::SYS_mremap);
        // It asks that before it gives memory back.
        if is_memory || subject == "/proc/sys/vm/overcommit_memory" {
            return Self::Allocator(call.thread);
        }
        // What the numbers in its names are made of is read by the first thread that needs one.
        let is_database = subject == "/dev/urandom" || subject.contains("/state/state.db");
        match (is_database, world.holds(subject)) {
            (true, _) => Self::Database,
            (false, true) => Self::Thread(call.thread),
            (false, false) => Self::Elsewhere(call.thread),
        }
    }

    fn is_in(self, thread: usize) -> bool {
        match self {
            Self::Thread(own) | Self::Elsewhere(own) | Self::Allocator(own) => own == thread,
            Self::Database => true,
        }
    }
}

/// Counts calls.
#[derive(Default)]
struct Counter(HashMap<(Caller, i64), u32>);

impl Counter {
    fn site(&mut self, call: &Call, subject: &str, world: &World) -> Site {
        let (by, number) = (Caller::of(call, subject, world), call.number);
        let nth = self.0.entry((by, number)).or_default();
        *nth += 1;
        Site { by, number, nth: *nth }
    }
}

/// A site that was come by.
pub(crate) struct Visit {
    pub(crate) site: Site,
    pub(crate) kind: &'static Kind,
    pub(crate) subject: String,
    pub(crate) faults: Vec<Fault>,
}

/// What somebody else writes, and before which call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Writing {
    pub(crate) at: Site,
    pub(crate) path: &'static str,
    pub(crate) how: How,
}

/// One run.
#[derive(Clone, Debug)]
pub(crate) struct Play {
    pub(crate) scenario: &'static Scenario,
    pub(crate) fault: Option<(Site, Fault)>,
    pub(crate) writings: Vec<Writing>,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Played {
    /// What is not as it should be.
    pub(crate) wrong: Vec<String>,
    /// Whether the fault happened.
    pub(crate) is_hit: bool,
    /// What the call that failed was about.
    pub(crate) subject: String,
}

impl Visit {
    /// Whether this thread takes names away here.
    pub(crate) fn moves(&self) -> bool {
        matches!(self.kind.name, "unlinkat" | "renameat2" | "renameat")
    }

    /// The thread, where it is known.
    pub(crate) fn thread(&self) -> Option<usize> {
        match self.site.by {
            Caller::Thread(thread) | Caller::Elsewhere(thread) | Caller::Allocator(thread) => Some(thread),
            Caller::Database => None,
        }
    }
}

/// Plays a scenario without a fault, and says which calls it makes.
pub(crate) fn record(world: &World, scenario: &'static Scenario, watchdog: &Watchdog) -> Result<Vec<Visit>> {
    world.make()?;
    let (mut visits, mut unknown) = (Vec::new(), Vec::new());
    let (lacks, mut counter) = (lacks(scenario), Counter::default());
    tracer::run(&mut world.command(scenario.command), watchdog, &mut |call| {
        if let Some(kind) = calls::by_number(call.number) {
            let (faults, subject) = (kind.faults(call), kind.subject(call));
            let site = counter.site(call, &subject, world);
            if !faults.is_empty() {
                visits.push(Visit { site, kind, subject, faults });
            }
        } else {
            unknown.push(call.number);
        }
        lacks.filter(|(number, _)| *number == call.number).map_or(Answer::Go, |(_, answer)| answer)
    })?;
    if !unknown.is_empty() {
        bail!(
            "{} makes calls with the numbers {unknown:?}, of which xtask/src/faults/calls.rs knows nothing",
            scenario.name
        );
    }
    Ok(visits)
}

fn lacks(scenario: &Scenario) -> Option<(i64, Answer)> {
    scenario.lacks.and_then(|(name, error)| Some((calls::by_name(name)?.number, Answer::Fail(error))))
}

impl Play {
    /// Whether its fault comes up in each run. The allocator's last calls may not be made at all, and then there is nothing
    /// that could fail.
    pub(crate) fn has_to_come_up(&self) -> bool {
        self.fault.is_some_and(|(at, _)| !matches!(at.by, Caller::Allocator(_)))
    }

    /// Plays it, and looks at everything.
    pub(crate) fn run(&self, world: &World, watchdog: &Watchdog) -> Result<Played> {
        let scenario = self.scenario;
        world.make()?;
        let before = world.look()?;
        let (mut played, mut written, mut is_in_window) = (Played::default(), Written::default(), false);
        let mut trouble = None;
        let (lacks, mut counter) = (lacks(scenario), Counter::default());
        let sites = self.writings.iter().map(|writing| writing.at).chain(self.fault.map(|(at, _)| at));
        let wanted: Vec<(Caller, i64)> = sites.map(|site| (site.by, site.number)).collect();
        let ended = tracer::run(&mut world.command(scenario.command), watchdog, &mut |call| {
            // Of most calls nobody wants to know what they are about.
            if !wanted.iter().any(|(by, number)| *number == call.number && by.is_in(call.thread)) {
                return lacks.filter(|(number, _)| *number == call.number).map_or(Answer::Go, |(_, answer)| answer);
            }
            let Some(kind) = calls::by_number(call.number) else { return Answer::Go };
            let subject = kind.subject(call);
            let site = counter.site(call, &subject, world);
            for (serial, writing) in self.writings.iter().enumerate().filter(|(_, writing)| writing.at == site) {
                // Between the last look and the removal there is the time of this one call.
                is_in_window |= call.number == libc::SYS_unlinkat && !scenario.is_kept_aside;
                if let Err(error) = world.write(writing.path, writing.how, serial, &mut written) {
                    trouble.get_or_insert(error);
                }
            }
            match self.fault {
                Some((at, fault)) if at == site => {
                    played.is_hit = true;
                    played.subject = format!("{} {subject}", kind.name);
                    fault.answer(kind)
                }
                _ => lacks.filter(|(number, _)| *number == call.number).map_or(Answer::Go, |(_, answer)| answer),
            }
        })?;
        if let Some(error) = trouble {
            return Err(error);
        }
        let found = world.look()?;
        let said = Said::new(ended, &world.said("stdout"), world.said("stderr"));
        let view = View { scenario, world, written: &written, is_in_window };
        self.check_end(ended, played.is_hit, &mut played.wrong);
        view.at(&found, |moment| {
            moment.always(&mut played.wrong);
            moment.said(&said, &before, &mut played.wrong);
        });

        let end = view.go_on(&said, &mut played.wrong)?;
        if scenario.is_kept_aside {
            view.bring_all_back(&end, &mut played.wrong)?;
            let back = world.look()?;
            view.at(&back, |moment| {
                moment.always(&mut played.wrong);
                moment.back(&mut played.wrong);
            });
        }
        played.wrong.dedup();
        Ok(played)
    }

    /// Only what was killed may end by a signal; who gets no memory may give up.
    fn check_end(&self, ended: Ended, is_hit: bool, wrong: &mut Vec<String>) {
        let Ended::Signal(signal) = ended else { return };
        let is_meant = match self.fault {
            Some((_, Fault::Kill)) => is_hit && signal == Signal::SIGKILL,
            Some((Site { number, .. }, Fault::Error(_))) => {
                let is_memory = matches!(number, libc::SYS_mmap | libc::SYS_mprotect | libc::SYS_mremap);
                is_memory && signal == Signal::SIGABRT
            }
            None => false,
        };
        if !is_meant {
            wrong.push(format!("it ended by {signal}"));
        }
    }
}

/// A world after the command, as it goes on without a fault.
struct View<'a> {
    scenario: &'static Scenario,
    world: &'a World,
    written: &'a Written,
    is_in_window: bool,
}

const SWEEP: &[&str] = &["sweep", "--jobs", "1", "--json"];

impl View<'_> {
    /// The same command again, and a sweep: they end as if nothing had been.
    fn go_on(&self, said: &Said, wrong: &mut Vec<String>) -> Result<Found> {
        let Self { scenario, world, .. } = *self;
        let is_alone = self.written.young.is_empty();
        let again = |codes: &[i32], wrong: &mut Vec<String>| -> Result<()> {
            let again = plain(world, scenario.command)?;
            if !codes.iter().any(|code| again.ended == Ended::Code(*code)) && is_alone {
                wrong.push(format!("the same again ended with {:?}: {}", again.ended, again.errors));
            }
            Ok(())
        };
        match scenario.does {
            Does::Sweep => {}
            // What went is not there any more.
            Does::Apply => again(&[0], wrong)?,
            // All of it may be back already, or have kept a second name in quarantine.
            Does::Restore => again(if said.is_fine() && scenario.lacks.is_none() { &[3] } else { &[0, 3] }, wrong)?,
            Does::Plan => self.apply(said, wrong)?,
            Does::Hold(path) => {
                let found = self.sweep(said.is_fine().then_some(true), wrong)?;
                if said.is_fine() || !found.is_home(path) {
                    return Ok(found);
                }
                again(&[0], wrong)?;
                return self.sweep(Some(true), wrong);
            }
            Does::Release(_) => {
                if !said.is_fine() {
                    self.sweep(None, wrong)?;
                    again(&[0, 1], wrong)?;
                }
            }
        }
        self.sweep(Some(false), wrong)
    }

    /// Applies a plan that may be torn: all of it counts, or nothing.
    fn apply(&self, said: &Said, wrong: &mut Vec<String>) -> Result<()> {
        if !self.world.folder.join("plan.jsonl").exists() {
            if said.is_fine() {
                wrong.push("there is no plan".to_owned());
            }
            return Ok(());
        }
        let applied = plain(self.world, &["apply", "plan.jsonl", "--jobs", "1", "--json"])?;
        let found = self.world.look()?;
        let left = self.scenario.due.iter().filter(|path| found.is_home(path)).count();
        // A plan of which was said that it is not whole may be about fewer.
        let is_right = if applied.is_fine() { left == 0 || !said.is_fine() } else { left == self.scenario.due.len() };
        if !is_right && self.written.young.is_empty() {
            wrong.push(format!("the plan was applied with {:?}, and {left} are left", applied.ended));
        }
        Ok(())
    }

    /// A plain sweep; whether what was promised counts is known, or not.
    fn sweep(&self, is_held: Option<bool>, wrong: &mut Vec<String>) -> Result<Found> {
        let said = plain(self.world, SWEEP)?;
        let found = self.world.look()?;
        self.at(&found, |moment| {
            moment.always(wrong);
            moment.in_the_end(&said, is_held, wrong);
        });
        Ok(found)
    }

    fn at(&self, found: &Found, check: impl FnOnce(&Moment<'_>)) {
        let Self { scenario, world, written, is_in_window } = *self;
        check(&Moment { scenario, world, found, written, is_in_window });
    }

    fn bring_all_back(&self, end: &Found, wrong: &mut Vec<String>) -> Result<()> {
        let mut runs: Vec<&str> = end.aside.keys().filter_map(|(folder, _)| folder.split('-').next()).collect();
        runs.dedup();
        for run in runs {
            let said = plain(self.world, &["restore", run, "--hold", "0s", "--json"])?;
            if !said.is_fine() && self.written.young.is_empty() {
                wrong.push(format!("{run} was restored with {:?}: {}", said.ended, said.errors));
            }
        }
        Ok(())
    }
}

fn plain(world: &World, line: &[&str]) -> Result<Said> {
    let ran = world.run(line)?;
    let ended = ran.status.code().map_or(Ended::Signal(Signal::SIGKILL), Ended::Code);
    Ok(Said::new(ended, &String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr).into_owned()))
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { by, nth, .. } = self;
        let name = calls::by_number(self.number).map_or("?", |kind| kind.name);
        match by {
            Caller::Thread(thread) => write!(f, "{thread}.{name}.{nth}"),
            Caller::Elsewhere(thread) => write!(f, "{thread}.{name}.else.{nth}"),
            Caller::Allocator(thread) => write!(f, "{thread}.{name}.memory.{nth}"),
            Caller::Database => write!(f, "db.{name}.{nth}"),
        }
    }
}

impl fmt::Display for Play {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.scenario.name)?;
        if let Some((site, fault)) = &self.fault {
            write!(f, "@{site}={}", fault.name())?;
        }
        for Writing { at, path, how } in &self.writings {
            let how = match how {
                How::Touch => "touch",
                How::Replace => "replace",
            };
            write!(f, "+{at}:{how}:{path}")?;
        }
        Ok(())
    }
}

impl Site {
    fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('.').collect();
        let (by, name, nth) = match parts[..] {
            ["db", name, nth] => (Caller::Database, name, nth),
            [thread, name, nth] => (Caller::Thread(thread.parse().ok()?), name, nth),
            [thread, name, "else", nth] => (Caller::Elsewhere(thread.parse().ok()?), name, nth),
            [thread, name, "memory", nth] => (Caller::Allocator(thread.parse().ok()?), name, nth),
            _ => return None,
        };
        Some(Self { by, number: calls::by_name(name)?.number, nth: nth.parse().ok()? })
    }
}

impl Play {
    /// Reads what a play is shown as.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let fails = || format!("not a run: {text}");
        let mut parts = text.split('+');
        let first = parts.next().with_context(fails)?;
        let (name, fault) = first.split_once('@').map_or((first, None), |(name, fault)| (name, Some(fault)));
        let scenario = ALL.iter().find(|scenario| scenario.name == name).with_context(fails)?;
        let fault = match fault {
            None => None,
            Some(text) => {
                let (site, fault) = text.split_once('=').with_context(fails)?;
                Some((Site::parse(site).with_context(fails)?, Fault::by_name(fault).with_context(fails)?))
            }
        };
        let mut writings = Vec::new();
        for part in parts {
            let mut parts = part.split(':');
            let at = parts.next().and_then(Site::parse).with_context(fails)?;
            let how = match parts.next() {
                Some("touch") => How::Touch,
                Some("replace") => How::Replace,
                _ => bail!(fails()),
            };
            let path = parts.next().with_context(fails)?;
            let path = scenario.contested.iter().find(|it| **it == path).with_context(fails)?;
            writings.push(Writing { at, path, how });
        }
        Ok(Self { scenario, fault, writings })
    }
}
