//! Finds the cutoffs in several passes over all files, in bounded memory.
//!
//! Everything is judged by the rules that stand before the limits, by the same [`judge`] as in the sweep that
//! follows: what they protect is never counted on, and what goes by age alone is taken off first.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::links::{Fate, Links, several_names};
use super::position::Scale;
use super::search::{Budget, Search};
use super::{Cutoff, Newest};
use crate::candidate::{Candidate, Class};
use crate::judge::{Run, judge};
use crate::policy::{Archives, Limits, Marks, MinFree, Policy};
use crate::report::Space;
use crate::store::{Batch, Fault, FileStore, Seen, Visitor};
use crate::sweep::Observer;
use crate::verdict::{Keep, LimitKey, Verdict};

/// The files of one policy, to be ranked.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// Where they are.
    pub store: &'a dyn FileStore,
    /// Their rule.
    pub policy: &'a Policy,
    /// The run, with the cutoffs that are known already.
    pub run: &'a Run,
    /// What it gives when a limit asks.
    pub share: Share,
}

/// What one of several policies gives, where they share a file system.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Share {
    /// The policy's files by this relative cost of recreating them: above 0, and 1 for a policy by itself.
    Weighted(f64),
    /// Nothing beyond what goes in any case.
    Nothing,
}

impl Source<'_> {
    fn scale(&self) -> Scale {
        let weight = match self.share {
            Share::Weighted(weight) => weight,
            Share::Nothing => 1.0,
        };
        Scale::new(self.run.now, weight)
    }
}

/// The watcher asked to stop before the cutoffs were known. Nothing may be removed by incomplete ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stopped before its limits were known")]
pub struct Stopped;

/// How much must become free on a file system; 0 where there is enough.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shortage {
    /// Bytes.
    pub bytes: u64,
    /// Inodes.
    pub inodes: u64,
}

/// How full a file system is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileSystem {
    /// In bytes.
    pub bytes: Space,
    /// In inodes; `None` where there is no fixed number of them.
    pub inodes: Option<Space>,
}

impl Shortage {
    /// What a policy is short of: nothing while no more is taken than its low marks allow, and else what its high
    /// marks are away. A file system without a fixed number of inodes is never short of them.
    pub fn of(wanted: &MinFree, file_system: &FileSystem) -> Self {
        let short = |marks: Option<Marks>, space: Space| match marks {
            Some(Marks { low, high }) if space.free < low.of(space.whole) => {
                high.of(space.whole).saturating_sub(space.free)
            }
            _ => 0,
        };
        Self {
            bytes: short(wanted.space, file_system.bytes),
            inodes: file_system.inodes.map_or(0, |inodes| short(wanted.inodes, inodes)),
        }
    }

    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Where the newest begin: so many, archives that are kept and files from the future left out.
pub fn newest(source: Source<'_>, of: u64, observer: &dyn Observer) -> Result<Newest, Stopped> {
    newest_within(Budget::DEFAULT, source, of, observer)
}

/// Where `max_files` and `max_total_size` cut, as far as they ask for anything.
pub fn own(source: Source<'_>, limits: &Limits, observer: &dyn Observer) -> Result<Vec<(LimitKey, Cutoff)>, Stopped> {
    own_within(Budget::DEFAULT, source, limits, observer)
}

/// Where the shortage of a file system cuts in each of the policies that share it: the oldest of all of them go first.
pub fn space(
    sources: &[Source<'_>],
    shortage: Shortage,
    observer: &dyn Observer,
) -> Result<Vec<Vec<(LimitKey, Cutoff)>>, Stopped> {
    space_within(Budget::DEFAULT, sources, shortage, observer)
}

pub(super) fn newest_within(
    budget: Budget,
    source: Source<'_>,
    of: u64,
    observer: &dyn Observer,
) -> Result<Newest, Stopped> {
    let mut search = Search::new(budget);
    let mut count = 0_u64;
    let keeps_archives = source.policy.archives == Archives::Keep;
    let mut is_first = true;
    while search.cut().is_none() {
        pass(&[source], observer, &mut |shown| {
            let is_ranked = !(keeps_archives && shown.candidate.class == Class::Archive);
            if let Some(position) = shown.position.filter(|_| is_ranked) {
                count += u64::from(is_first);
                search.see(position, shown.candidate.name, 1);
            }
        })?;
        if std::mem::take(&mut is_first) {
            search.ask(count.saturating_sub(of));
        } else {
            search.end_pass();
        }
    }
    Ok(Newest { of, before: search.cut().and_then(|cut| source.scale().cutoff(cut)) })
}

pub(super) fn own_within(
    budget: Budget,
    source: Source<'_>,
    limits: &Limits,
    observer: &dyn Observer,
) -> Result<Vec<(LimitKey, Cutoff)>, Stopped> {
    let ask = |limit, measure, most: Option<u64>| Some(Asked::new(budget, limit, measure, Target::AtMost(most?)));
    let asked = [
        ask(LimitKey::MaxFiles, Measure::Names, limits.max_files),
        ask(LimitKey::MaxTotalSize, Measure::Bytes, limits.max_total_size),
    ];
    let cuts = cut(&[source], asked.into_iter().flatten().collect(), observer)?;
    Ok(cuts.into_iter().flatten().collect())
}

pub(super) fn space_within(
    budget: Budget,
    sources: &[Source<'_>],
    shortage: Shortage,
    observer: &dyn Observer,
) -> Result<Vec<Vec<(LimitKey, Cutoff)>>, Stopped> {
    let ask = |limit, measure, need| (need > 0).then(|| Asked::new(budget, limit, measure, Target::Free(need)));
    let asked = [
        ask(LimitKey::MinFree, Measure::FreedBytes, shortage.bytes),
        ask(LimitKey::MinFreeInodes, Measure::FreedInodes, shortage.inodes),
    ];
    cut(sources, asked.into_iter().flatten().collect(), observer)
}

/// What is counted of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measure {
    /// Each name is one.
    Names,
    /// Allocated bytes, once for each file.
    Bytes,
    /// Allocated bytes that the file system gets back.
    FreedBytes,
    /// Inodes that the file system gets back.
    FreedInodes,
}

impl Measure {
    fn of(self, bytes: u64) -> u64 {
        match self {
            Self::Names | Self::FreedInodes => 1,
            Self::Bytes | Self::FreedBytes => bytes,
        }
    }

    /// Of a file with several names, whose last one goes.
    fn of_linked(self, bytes: u64, has_names_elsewhere: bool) -> u64 {
        match self {
            Self::FreedBytes | Self::FreedInodes if has_names_elsewhere => 0,
            // Its names are counted one by one.
            Self::Names => 0,
            measure => measure.of(bytes),
        }
    }
}

/// What a limit asks for.
#[derive(Clone, Copy, Debug)]
enum Target {
    /// That no more than this stays.
    AtMost(u64),
    /// That so much goes.
    Free(u64),
}

/// One limit on the way to its cut.
struct Asked {
    limit: LimitKey,
    measure: Measure,
    target: Target,
    search: Search,
    /// What goes in any case.
    goes: u64,
    /// What does not.
    other: u64,
}

impl Asked {
    fn new(budget: Budget, limit: LimitKey, measure: Measure, target: Target) -> Self {
        Self { limit, measure, target, search: Search::new(budget), goes: 0, other: 0 }
    }

    /// Counts in the first pass.
    fn count(&mut self, candidate: &Candidate<'_>, fate: Fate) {
        let amount = self.measure.of(candidate.bytes);
        self.sum(amount, fate);
        if let Fate::MayGo(position) = fate {
            self.search.see(position, candidate.name, amount);
        }
    }

    fn sum(&mut self, amount: u64, fate: Fate) {
        let sum = if fate == Fate::Goes { &mut self.goes } else { &mut self.other };
        *sum = sum.saturating_add(amount);
    }

    /// Counts one of several names in the first pass: only as a name.
    fn count_name(&mut self, candidate: &Candidate<'_>, fate: Fate) {
        let names = u64::from(self.measure == Measure::Names);
        self.sum(names, fate);
        if let Fate::MayGo(position) = fate {
            self.search.see(position, candidate.name, names);
        }
    }

    fn end_first_pass(&mut self, links: &Links) {
        for file in links.files() {
            let amount = self.measure.of_linked(file.bytes, file.has_names_elsewhere());
            self.sum(amount, file.fate());
            if let Fate::MayGo(position) = file.fate() {
                self.search.add_amount(position, amount);
            }
        }
        self.search.ask(match self.target {
            Target::AtMost(most) => self.other.saturating_sub(most),
            Target::Free(amount) => amount.saturating_sub(self.goes),
        });
    }

    /// Counts in a later pass.
    fn look_closer(&mut self, candidate: &Candidate<'_>, position: u128, links: &Links) {
        let single = self.measure.of(candidate.bytes);
        let amount = match several_names(candidate).filter(|identity| links.knows(*identity)) {
            Some(identity) if self.measure != Measure::Names => {
                let file = links.counts_with(identity, position, candidate.name);
                file.map_or(0, |file| self.measure.of_linked(file.bytes, file.has_names_elsewhere()))
            }
            _ => single,
        };
        self.search.see(position, candidate.name, amount);
    }
}

/// Finds the cuts of all that is asked, in the same passes; by source.
fn cut(
    sources: &[Source<'_>],
    mut asked: Vec<Asked>,
    observer: &dyn Observer,
) -> Result<Vec<Vec<(LimitKey, Cutoff)>>, Stopped> {
    if !asked.is_empty() {
        let mut links = Links::default();
        pass(sources, observer, &mut |shown| {
            let fate = shown.fate();
            let linked =
                several_names(&shown.candidate).is_some_and(|identity| links.note(identity, &shown.candidate, fate));
            for asked in &mut asked {
                if linked { asked.count_name(&shown.candidate, fate) } else { asked.count(&shown.candidate, fate) }
            }
        })?;
        for asked in &mut asked {
            asked.end_first_pass(&links);
        }
        while asked.iter().any(|asked| asked.search.cut().is_none()) {
            pass(sources, observer, &mut |shown| {
                if let Fate::MayGo(position) = shown.fate() {
                    for asked in &mut asked {
                        asked.look_closer(&shown.candidate, position, &links);
                    }
                }
            })?;
            for asked in &mut asked {
                asked.search.end_pass();
            }
        }
    }
    let cutoffs = sources.iter().map(|source| {
        let cutoff = |asked: &Asked| Some((asked.limit, source.scale().cutoff(asked.search.cut()?)?));
        asked.iter().filter(|_| source.share != Share::Nothing).filter_map(cutoff).collect()
    });
    Ok(cutoffs.collect())
}

/// One candidate in a pass.
struct Shown<'a> {
    candidate: Candidate<'a>,
    verdict: Verdict,
    /// By the moment from which its age counts; `None` for one from the future.
    position: Option<u128>,
    share: Share,
}

impl Shown<'_> {
    fn fate(&self) -> Fate {
        match (self.verdict, self.position) {
            (Verdict::Remove(_), _) => Fate::Goes,
            (Verdict::Keep(Keep::WithinLimits { .. }), Some(position)) if self.share != Share::Nothing => {
                Fate::MayGo(position)
            }
            (Verdict::Keep(_), _) => Fate::Stays,
        }
    }
}

/// Shows every file of all sources once.
fn pass(
    sources: &[Source<'_>],
    observer: &dyn Observer,
    each: &mut (dyn FnMut(&Shown<'_>) + Send),
) -> Result<(), Stopped> {
    let each = Mutex::new(each);
    for source in sources {
        let showing =
            Showing { source, scale: source.scale(), observer, each: &each, is_stopped: AtomicBool::new(false) };
        source.store.offer(&showing);
        if showing.is_stopped.into_inner() {
            return Err(Stopped);
        }
    }
    Ok(())
}

struct Showing<'a, 'b> {
    source: &'a Source<'a>,
    scale: Scale,
    observer: &'a dyn Observer,
    each: &'a Mutex<&'b mut (dyn FnMut(&Shown<'_>) + Send)>,
    is_stopped: AtomicBool,
}

impl Visitor for Showing<'_, '_> {
    fn batch(&self, batch: &mut dyn Batch) -> ControlFlow<()> {
        let Source { policy, run, share, .. } = self.source;
        let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        for index in 0..batch.len() {
            let candidate = batch.candidate(index);
            if candidate.class == Class::EmptyDirectory {
                continue;
            }
            let verdict = judge(policy, run, &candidate);
            let position = self.scale.position(run.counts_from(policy, &candidate).at);
            each(&Shown { candidate, verdict, position, share: *share });
        }
        if self.observer.wants_to_stop() {
            self.is_stopped.store(true, Ordering::Relaxed);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    /// The sweep that follows meets the same item and reports it.
    fn fault(&self, _: Fault<'_>) {}

    /// Items are visited several times, and counted once: by the sweep.
    fn seen(&self, _: Seen) {}
}
