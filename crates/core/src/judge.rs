//! The central function: one candidate, one policy, one `now`, one verdict.
//!
//! Pure and total: no clock, no I/O, no panic, whatever the timestamp. The order of the rules is a promise to users and
//! is defined only here (`docs/deletion.md` explains it): **the first rule that applies decides**, and all rules that
//! protect come before all rules that remove. [`Rule::ORDER`] is that order. [`judge`] stops at the first rule that
//! applies and [`examine`] evaluates them all, so an explanation always agrees with the sweep.

use std::fmt;
use std::time::Duration;

use crate::candidate::{Basis, Candidate, Class, Stamp};
use crate::clock_guard::RunningTime;
use crate::hold::Holds;
use crate::moment::Moment;
use crate::policy::{Archives, Brakes, Policy};
use crate::rank::Cutoffs;
use crate::reference::Referenced;
use crate::registration::{Registration, Registrations};
use crate::verdict::{Age, AgeLimit, Keep, Remove, Verdict};

/// What is constant during one run of one policy.
#[derive(Clone, Debug)]
pub struct Run {
    /// The store's clock, read once: the wall clock for files, the database's own for rows.
    pub now: Moment,
    /// With `age_clock = "running"`: when the machine was asleep or off, which does not count as age.
    pub running: Option<RunningTime>,
    /// The holds.
    pub holds: Holds,
    /// The registered files.
    pub registrations: Registrations,
    /// Which names are still needed.
    pub referenced: Referenced,
    /// The cutoffs of the limits and of `keep_newest`.
    pub cutoffs: Cutoffs,
    /// The limits on the sweep itself.
    pub brakes: Brakes,
}

impl Run {
    /// A run by the wall clock, without holds or brakes.
    pub fn at(now: Moment) -> Self {
        Self {
            now,
            running: None,
            holds: Holds::default(),
            registrations: Registrations::default(),
            referenced: Referenced::default(),
            cutoffs: Cutoffs::default(),
            brakes: Brakes::default(),
        }
    }

    /// The age of an item with this timestamp; `None` if it is in the future.
    fn age(&self, at: Moment) -> Option<Age> {
        Some(match &self.running {
            None => Age::Wall(self.now.since(at)?),
            Some(running) => Age::Running(running.between(at, self.now)?),
        })
    }

    /// The start of a candidate's age, and its maximum.
    fn lifetime(&self, policy: &Policy, candidate: &Candidate<'_>) -> (Stamp, Option<AgeLimit>) {
        let by_policy = policy.max_age.map(AgeLimit::MaxAge);
        let registration = match candidate.class {
            Class::EmptyDirectory => None,
            Class::Ordinary | Class::Archive => self.registrations.get(candidate.name),
        };
        match registration {
            Some(Registration { at, ttl: Some(ttl) }) if candidate.stamp.at <= at.plus(ttl.get()) => {
                (Stamp { at, basis: Basis::Registered }, Some(AgeLimit::Ttl(ttl)))
            }
            Some(Registration { at, ttl: None }) if candidate.stamp.at < at => {
                (Stamp { at, basis: Basis::Registered }, by_policy)
            }
            _ => (candidate.stamp, by_policy),
        }
    }

    /// The start of a candidate's age.
    pub(crate) fn counts_from(&self, policy: &Policy, candidate: &Candidate<'_>) -> Stamp {
        self.lifetime(policy, candidate).0
    }

    /// Until when a candidate is held. A folder also stays while something in it is held.
    fn held_until(&self, candidate: &Candidate<'_>) -> Option<Moment> {
        // Nothing lies below a file, so the class does not matter here.
        let below = self.holds.below(candidate.name);
        self.holds.until(candidate.name).max(below).filter(|until| *until > self.now)
    }
}

/// One rule of the judgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Is it an archive?
    Archive,
    /// Is it on hold?
    Held,
    /// Is its name still needed?
    Referenced,
    /// Is its timestamp ahead of the clock?
    Future,
    /// Did it arrive less than `min_age` ago?
    Settling,
    /// Is it among the newest?
    Newest,
    /// Is it older than its maximum age?
    Expired,
    /// Does a limit require its removal?
    OverLimit,
}

/// The input of every rule: one candidate in one run.
struct Facts<'a> {
    policy: &'a Policy,
    run: &'a Run,
    candidate: &'a Candidate<'a>,
    stamp: Stamp,
    limit: Option<AgeLimit>,
    /// `None` if it is in the future.
    age: Option<Age>,
}

/// Judges one candidate.
pub fn judge(policy: &Policy, run: &Run, candidate: &Candidate<'_>) -> Verdict {
    let facts = Facts::new(policy, run, candidate);
    Rule::ORDER.into_iter().find_map(|rule| facts.ask(rule)).unwrap_or_else(|| facts.otherwise())
}

/// The result of each rule for one candidate, in order; `None` if a rule does not apply. The first that applies is the
/// verdict of [`judge`].
pub fn examine(policy: &Policy, run: &Run, candidate: &Candidate<'_>) -> [(Rule, Option<Verdict>); 8] {
    let facts = Facts::new(policy, run, candidate);
    Rule::ORDER.map(|rule| (rule, facts.ask(rule)))
}

impl Rule {
    /// The order of judgement.
    pub const ORDER: [Self; 8] = [
        Self::Archive,
        Self::Held,
        Self::Referenced,
        Self::Future,
        Self::Settling,
        Self::Newest,
        Self::Expired,
        Self::OverLimit,
    ];
}

/// Its name in explanations: its key, if it has one.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Archive => "archives",
            Self::Held => "hold",
            Self::Referenced => "keep_referenced",
            Self::Future => "future",
            Self::Settling => "min_age",
            Self::Newest => "keep_newest",
            Self::Expired => "max_age",
            Self::OverLimit => "limits",
        })
    }
}

impl<'a> Facts<'a> {
    fn new(policy: &'a Policy, run: &'a Run, candidate: &'a Candidate<'a>) -> Self {
        let (stamp, limit) = run.lifetime(policy, candidate);
        Self { policy, run, candidate, stamp, limit, age: run.age(stamp.at) }
    }

    fn ask(&self, rule: Rule) -> Option<Verdict> {
        let Self { policy, run, candidate, stamp, limit, age } = *self;
        let is_file = candidate.class != Class::EmptyDirectory;
        match rule {
            Rule::Archive => {
                let is_kept = candidate.class == Class::Archive && policy.archives == Archives::Keep;
                is_kept.then_some(Verdict::Keep(Keep::Archive))
            }
            Rule::Held => run.held_until(candidate).map(|until| Verdict::Keep(Keep::Held { until })),
            Rule::Referenced => run.referenced.contains(candidate.name).then_some(Verdict::Keep(Keep::Referenced)),
            Rule::Future => {
                let by = || stamp.at.since(run.now).unwrap_or_default();
                age.is_none().then(|| Verdict::Keep(Keep::Future { stamp, by: by() }))
            }
            Rule::Settling if !policy.min_age.is_zero() => {
                // From arrival, whatever `stamp` says: a copy may carry stamps that are years old.
                let stamp = if candidate.arrival.at > stamp.at { candidate.arrival } else { stamp };
                let Some(age) = run.age(stamp.at) else {
                    let by = stamp.at.since(run.now).unwrap_or_default();
                    return Some(Verdict::Keep(Keep::Future { stamp, by }));
                };
                let is_young = age.get() < policy.min_age;
                is_young.then_some(Verdict::Keep(Keep::Settling { stamp, age, min_age: policy.min_age }))
            }
            Rule::Newest if is_file => {
                let of = run.cutoffs.newest(stamp.at, candidate.name)?;
                Some(Verdict::Keep(Keep::Newest { of }))
            }
            Rule::Expired => {
                let (age, limit) = (age?, limit?);
                (age.get() > limit.get()).then_some(Verdict::Remove(Remove::Expired { stamp, age, limit }))
            }
            Rule::OverLimit if is_file => {
                let (age, limit) = (age?, run.cutoffs.asks_for(stamp.at, candidate.name)?);
                Some(Verdict::Remove(Remove::OverLimit { stamp, age, limit }))
            }
            Rule::Settling | Rule::Newest | Rule::OverLimit => None,
        }
    }

    /// The verdict when no rule applies. The age is known then: a stamp in the future would have matched a rule.
    fn otherwise(&self) -> Verdict {
        let age = self.age.unwrap_or(Age::Wall(Duration::ZERO));
        Verdict::Keep(Keep::WithinLimits { stamp: self.stamp, age, limit: self.limit })
    }
}
