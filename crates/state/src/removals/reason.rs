//! Why something was removed, as it was said then.
//!
//! What a policy says to a file is kept as its parts, and put into words when somebody asks: making a sentence for each
//! file takes longer than all else that the log does with it.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use cleanup_core::candidate::{Basis, Stamp};
use cleanup_core::moment::Moment;
use cleanup_core::policy::MaxAge;
use cleanup_core::verdict::{Age, AgeLimit, LimitKey, Remove};

/// Why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason<'a> {
    /// As a policy judged it.
    Judged(Judged),
    /// In words.
    Words(Cow<'a, str>),
}

/// A verdict as far as its words need it: ages are whole seconds, or milliseconds below one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged(Remove);

impl From<&Remove> for Reason<'_> {
    fn from(verdict: &Remove) -> Self {
        match Judged::of(verdict) {
            Some(judged) => Self::Judged(judged),
            None => Self::Words(verdict.to_string().into()),
        }
    }
}

impl Reason<'_> {
    pub(super) fn into_owned(self) -> Reason<'static> {
        match self {
            Self::Judged(judged) => Reason::Judged(judged),
            Self::Words(words) => Reason::Words(words.into_owned().into()),
        }
    }
}

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Judged(Judged(verdict)) => verdict.fmt(f),
            Self::Words(words) => f.write_str(words),
        }
    }
}

impl Judged {
    /// `None` where its words could not be made again from what is kept.
    fn of(verdict: &Remove) -> Option<Self> {
        let (stamp, age) = match verdict {
            Remove::Expired { stamp, age, .. } | Remove::OverLimit { stamp, age, .. } => (stamp, age),
        };
        // No sentence has the stamp itself in it.
        let stamp = Stamp { at: Moment::EPOCH, basis: stamp.basis };
        let age = match age {
            Age::Wall(age) => Age::Wall(coarse(*age)),
            Age::Running(age) => Age::Running(coarse(*age)),
        };
        Some(Self(match verdict {
            Remove::Expired { limit, .. } => {
                let limit = match limit {
                    AgeLimit::MaxAge(max) => AgeLimit::MaxAge(MaxAge::new(coarse(max.get()))?),
                    AgeLimit::Ttl(max) => AgeLimit::Ttl(MaxAge::new(coarse(max.get()))?),
                };
                Remove::Expired { stamp, age, limit }
            }
            Remove::OverLimit { limit, .. } => Remove::OverLimit { stamp, age, limit: *limit },
        }))
    }

    /// The kind of the verdict in seven bits, its age, and its limit where that is an age.
    pub(super) fn parts(self) -> (u8, Duration, Option<Duration>) {
        let (stamp, age) = match self.0 {
            Remove::Expired { stamp, age, .. } | Remove::OverLimit { stamp, age, .. } => (stamp, age),
        };
        let (limit, span) = match self.0 {
            Remove::Expired { limit: AgeLimit::MaxAge(max), .. } => (0, Some(max.get())),
            Remove::Expired { limit: AgeLimit::Ttl(max), .. } => (1, Some(max.get())),
            Remove::OverLimit { limit: LimitKey::MaxFiles, .. } => (2, None),
            Remove::OverLimit { limit: LimitKey::MaxTotalSize, .. } => (3, None),
            Remove::OverLimit { limit: LimitKey::MinFree, .. } => (4, None),
            Remove::OverLimit { limit: LimitKey::MinFreeInodes, .. } => (5, None),
        };
        let clock = match age {
            Age::Wall(_) => 0,
            Age::Running(_) => 1,
        };
        (limit | clock << 3 | basis_number(stamp.basis) << 4, age.get(), span)
    }

    /// Whether the limit of this kind is an age.
    pub(super) fn has_span(kind: u8) -> bool {
        kind & 7 < 2
    }

    /// The verdict of these parts; `None` where there is none.
    pub(super) fn from_parts(kind: u8, age: Duration, span: Option<Duration>) -> Option<Self> {
        let stamp = Stamp { at: Moment::EPOCH, basis: *BASES.get(usize::from(kind >> 4))? };
        let age = if kind & 8 == 0 { Age::Wall(age) } else { Age::Running(age) };
        let over = |limit| Some(Remove::OverLimit { stamp, age, limit });
        let expired = |limit| Some(Remove::Expired { stamp, age, limit });
        let verdict = match (kind & 7, span.and_then(MaxAge::new)) {
            (0, Some(max)) => expired(AgeLimit::MaxAge(max)),
            (1, Some(max)) => expired(AgeLimit::Ttl(max)),
            (2, None) => over(LimitKey::MaxFiles),
            (3, None) => over(LimitKey::MaxTotalSize),
            (4, None) => over(LimitKey::MinFree),
            (5, None) => over(LimitKey::MinFreeInodes),
            _ => None,
        };
        verdict.map(Self)
    }
}

/// As it is written. Appended to only.
const BASES: [Basis; 6] =
    [Basis::Modified, Basis::Accessed, Basis::Changed, Basis::Born, Basis::LastActivity, Basis::Registered];

fn basis_number(basis: Basis) -> u8 {
    match basis {
        Basis::Modified => 0,
        Basis::Accessed => 1,
        Basis::Changed => 2,
        Basis::Born => 3,
        Basis::LastActivity => 4,
        Basis::Registered => 5,
    }
}

/// As exact as [`cleanup_core::duration::Human`] shows it.
fn coarse(span: Duration) -> Duration {
    match span.as_secs() {
        0 => Duration::from_millis(u64::from(span.subsec_millis())),
        seconds => Duration::from_secs(seconds),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_kept_has_the_same_words(
            (basis, limit) in (0..6_usize, 0..6_u8),
            (age, span) in (any::<(u32, u32)>(), any::<(u32, u32)>()),
            is_running in any::<bool>(),
        ) {
            let duration = |(seconds, nanos): (u32, u32)| {
                Duration::new(u64::from(seconds >> (nanos % 32)), nanos % 1_000_000_000)
            };
            let stamp = Stamp { at: Moment::from_unix(7, 7), basis: BASES[basis] };
            let age = if is_running { Age::Running(duration(age)) } else { Age::Wall(duration(age)) };
            let max = MaxAge::new(duration(span).max(Duration::from_nanos(1))).unwrap();
            let verdict = match limit {
                0 => Remove::Expired { stamp, age, limit: AgeLimit::MaxAge(max) },
                1 => Remove::Expired { stamp, age, limit: AgeLimit::Ttl(max) },
                limit => Remove::OverLimit { stamp, age, limit: LimitKey::ALL[usize::from(limit) - 2] },
            };
            let reason = Reason::from(&verdict);
            prop_assert_eq!(reason.to_string(), verdict.to_string());
            if let Reason::Judged(judged) = reason {
                let (kind, age, span) = judged.parts();
                prop_assert_eq!(Judged::has_span(kind), span.is_some());
                prop_assert_eq!(Judged::from_parts(kind, age, span), Some(judged));
            }
        }
    }
}
