//! The outcome of a limit: what is wanted, what there is, and what stands in the way.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rank::{Amount, Pin, Stays};
use crate::size::HumanBytes;
use crate::verdict::LimitKey;

/// The reason for what lies on the file system and is none of the policy's files.
const ELSEWHERE: &str = "elsewhere";

/// The result for one limit. Bytes are allocated blocks; files with several names count once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Limit {
    /// The key that sets it.
    pub name: String,
    /// Whether the limit is met.
    pub met: bool,
    /// The configured value, in files, bytes or inodes: a maximum, or for `min_free` the minimum that must be free.
    pub wanted: u64,
    /// The current value: after the sweep, or before it if this run removes nothing.
    pub is: u64,
    /// The value after a sweep, if this run removes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// What prevents meeting it, by reason; empty if nothing does.
    pub pinned: BTreeMap<String, u64>,
}

/// Whether the sweep that measured a limit has removed what it judged due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// It has.
    Acted,
    /// It only said what it would do.
    Planned,
}

/// How much of a file system is free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// All of it.
    pub whole: u64,
    /// What unprivileged users may still take.
    pub free: u64,
}

impl Limit {
    /// A limit on how much may lie below a root.
    pub fn at_most(key: LimitKey, wanted: u64, stays: &Stays, done: Done) -> Self {
        let of = |amount: &Amount| if key.is_bytes() { amount.bytes } else { amount.files };
        let (found, left) = (of(&stays.found), of(&stays.left()));
        let (is, after) = match done {
            Done::Acted => (left, None),
            Done::Planned => (found, Some(left)),
        };
        let pinned = if left > wanted { by_reason(stays, of) } else { BTreeMap::new() };
        Self { name: key.name().to_owned(), met: is <= wanted, wanted, is, after, pinned }
    }

    /// A limit on how little may be free.
    pub fn at_least(key: LimitKey, wanted: u64, space: Space, stays: &Stays, done: Done) -> Self {
        let of = |amount: &Amount| if key.is_bytes() { amount.bytes } else { amount.files };
        let (found, left) = (of(&stays.found), of(&stays.left()));
        let after = (done == Done::Planned).then(|| space.free.saturating_add(found - left));
        let mut pinned = BTreeMap::new();
        if after.unwrap_or(space.free) < wanted {
            pinned = by_reason(stays, of);
            let ours = if done == Done::Planned { found } else { left };
            let elsewhere = space.whole.saturating_sub(space.free).saturating_sub(ours);
            pinned.extend((elsewhere > 0).then(|| (ELSEWHERE.to_owned(), elsewhere)));
        }
        Self { name: key.name().to_owned(), met: space.free >= wanted, wanted, is: space.free, after, pinned }
    }

    /// How much of the limit is used: above 1 it is not met.
    #[expect(clippy::cast_precision_loss, reason = "a share need not be exact to the byte")]
    pub fn ratio(&self) -> f64 {
        let (part, whole) = if self.asks_for_free() { (self.wanted, self.is) } else { (self.is, self.wanted) };
        part as f64 / whole.max(1) as f64
    }

    /// Whether it asks for so much to be free, instead of allowing so much to lie here.
    pub fn asks_for_free(&self) -> bool {
        self.name.starts_with(LimitKey::MinFree.name())
    }

    /// Whether it counts bytes.
    pub fn is_bytes(&self) -> bool {
        [LimitKey::MaxTotalSize, LimitKey::MinFree].iter().any(|key| key.name() == self.name)
    }

    /// An amount of what it counts, in words.
    pub fn amount(&self, amount: u64) -> String {
        if self.is_bytes() { HumanBytes(amount).to_string() } else { amount.to_string() }
    }

    /// What stands in the way, in words; empty when nothing does.
    pub fn reasons(&self) -> String {
        let reason = |(name, amount): (&String, &u64)| {
            let amount = self.amount(*amount);
            match Pin::of(name) {
                Some(pin) => format!("{amount} {pin}"),
                None if name == ELSEWHERE => format!("{amount} other files of the file system"),
                None => format!("{amount} {name}"),
            }
        };
        self.pinned.iter().map(reason).collect::<Vec<_>>().join(", ")
    }
}

/// A sentence without its full stop.
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (is, wanted) = (self.amount(self.is), self.amount(self.wanted));
        let state = if self.met { "met" } else { "not met" };
        let free = if self.asks_for_free() { " free" } else { "" };
        write!(f, "{} is {state}: {is}{free} of {wanted}", self.name)?;
        if let Some(after) = self.after.filter(|after| *after != self.is) {
            write!(f, ", a sweep would make it {}", self.amount(after))?;
        }
        let reasons = self.reasons();
        if reasons.is_empty() { Ok(()) } else { write!(f, "; {reasons}") }
    }
}

fn by_reason(stays: &Stays, of: impl Fn(&Amount) -> u64) -> BTreeMap<String, u64> {
    let kept = stays.kept.iter().map(|(pin, amount)| (pin.name().to_owned(), of(amount)));
    kept.filter(|(_, amount)| *amount > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::KeepKind;

    fn stays() -> Stays {
        let amount = |files, bytes| Amount { files, bytes };
        let kept = [
            (Pin::Kept(KeepKind::Archive), amount(3, 3_000_000)),
            (Pin::Kept(KeepKind::Settling), amount(2, 2_000_000)),
        ]
        .into();
        Stays { found: amount(10, 10_000_000), kept }
    }

    #[test]
    fn a_limit_says_what_is_and_what_stands_in_the_way() {
        let space = Space { whole: 100_000_000, free: 4_000_000 };
        let limits = [
            Limit::at_most(LimitKey::MaxTotalSize, 6_000_000, &stays(), Done::Acted),
            Limit::at_most(LimitKey::MaxTotalSize, 4_000_000, &stays(), Done::Acted),
            Limit::at_most(LimitKey::MaxFiles, 0, &stays(), Done::Planned),
            Limit::at_most(LimitKey::MaxFiles, 7, &stays(), Done::Planned),
            Limit::at_least(LimitKey::MinFree, 5_000_000, space, &stays(), Done::Acted),
            Limit::at_least(LimitKey::MinFree, 9_000_000, space, &stays(), Done::Planned),
            Limit::at_least(LimitKey::MinFreeInodes, 4_000_000, space, &stays(), Done::Acted),
        ];
        let shown: Vec<String> = limits.iter().map(|limit| format!("{:.2} {limit}", limit.ratio())).collect();
        insta::assert_snapshot!(shown.join("\n"));
    }
}
