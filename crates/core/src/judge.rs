//! The heart: one candidate, one policy, one `now`, one verdict.
//!
//! Pure and total: no clock, no I/O, no panic, whatever the stamp. The order of the rules is the product's promise
//! and is written here once (and in `docs/deletion.md` for people): **the first rule that applies wins**, and
//! everything that protects stands before everything that removes.

use crate::candidate::{Candidate, Class};
use crate::moment::Moment;
use crate::policy::{Archives, Policy};
use crate::verdict::{Keep, Remove, Verdict};

/// What is fixed for one run of one policy.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// The store's clock, read once: the wall clock for files, the database's own for rows.
    pub now: Moment,
}

/// Decides about one candidate.
pub fn judge(policy: &Policy, run: &Run, candidate: &Candidate<'_>) -> Verdict {
    let stamp = candidate.stamp;
    let max_age = policy.max_age;

    if candidate.class == Class::Archive && policy.archives == Archives::Keep {
        return Verdict::Keep(Keep::Archive);
    }
    let Some(age) = run.now.since(stamp.at) else {
        let by = stamp.at.since(run.now).unwrap_or_default();
        return Verdict::Keep(Keep::Future { stamp, by });
    };
    if age < policy.min_age {
        return Verdict::Keep(Keep::Settling { stamp, age, min_age: policy.min_age });
    }
    if age > max_age.get() {
        return Verdict::Remove(Remove::Expired { stamp, age, max_age });
    }
    Verdict::Keep(Keep::WithinLimits { stamp, age, max_age })
}
