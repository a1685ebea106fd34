//! The heart: one candidate, one policy, one `now`, one verdict.
//!
//! Pure and total: no clock, no I/O, no panic, whatever the stamp. The order of the rules is the product's promise
//! and is written here once (and in `docs/deletion.md` for people): **the first rule that applies wins**, and
//! everything that protects stands before everything that removes.

use crate::candidate::{Basis, Candidate, Class, Stamp};
use crate::guard::RunningTime;
use crate::hold::Holds;
use crate::moment::Moment;
use crate::policy::{Archives, Brakes, Policy};
use crate::registration::{Registration, Registrations};
use crate::verdict::{Age, AgeLimit, Keep, Remove, Verdict};

/// What is fixed for one run of one policy.
#[derive(Clone, Debug)]
pub struct Run {
    /// The store's clock, read once: the wall clock for files, the database's own for rows.
    pub now: Moment,
    /// With `age_clock = "running"`: when the machine was asleep or off, which does not count as age.
    pub running: Option<RunningTime>,
    /// What somebody asked to keep for a while.
    pub holds: Holds,
    /// What counts from its registration.
    pub registrations: Registrations,
    /// Where the sweep itself has to stop.
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
            brakes: Brakes::default(),
        }
    }

    /// The age of something stamped at that moment; `None` when it lies ahead.
    fn age(&self, at: Moment) -> Option<Age> {
        Some(match &self.running {
            None => Age::Wall(self.now.since(at)?),
            Some(running) => Age::Running(running.between(at, self.now)?),
        })
    }

    /// From when a candidate's age counts, and how old it may become.
    fn lifetime(&self, policy: &Policy, candidate: &Candidate<'_>) -> (Stamp, AgeLimit) {
        let by_policy = AgeLimit::MaxAge(policy.max_age);
        let registration = match candidate.class {
            Class::EmptyDirectory => None,
            Class::Ordinary | Class::Archive => self.registrations.get(candidate.name),
        };
        match registration {
            Some(Registration { at, ttl: Some(ttl) }) if candidate.stamp.at <= at.plus(ttl.get()) => {
                (Stamp { at, basis: Basis::Registered }, AgeLimit::Ttl(ttl))
            }
            Some(Registration { at, ttl: None }) if candidate.stamp.at < at => {
                (Stamp { at, basis: Basis::Registered }, by_policy)
            }
            _ => (candidate.stamp, by_policy),
        }
    }

    /// Until when a candidate is held. A folder stays as well while something in it is held.
    fn held_until(&self, candidate: &Candidate<'_>) -> Option<Moment> {
        let below = || match candidate.class {
            Class::EmptyDirectory => self.holds.below(candidate.name),
            Class::Ordinary | Class::Archive => None,
        };
        self.holds.until(candidate.name).max(below()).filter(|until| *until > self.now)
    }
}

/// Decides about one candidate.
pub fn judge(policy: &Policy, run: &Run, candidate: &Candidate<'_>) -> Verdict {
    let (stamp, limit) = run.lifetime(policy, candidate);

    if candidate.class == Class::Archive && policy.archives == Archives::Keep {
        return Verdict::Keep(Keep::Archive);
    }
    if let Some(until) = run.held_until(candidate) {
        return Verdict::Keep(Keep::Held { until });
    }
    let Some(age) = run.age(stamp.at) else {
        let by = stamp.at.since(run.now).unwrap_or_default();
        return Verdict::Keep(Keep::Future { stamp, by });
    };
    if age.get() < policy.min_age {
        return Verdict::Keep(Keep::Settling { stamp, age, min_age: policy.min_age });
    }
    if age.get() > limit.get() {
        return Verdict::Remove(Remove::Expired { stamp, age, limit });
    }
    Verdict::Keep(Keep::WithinLimits { stamp, age, limit })
}
