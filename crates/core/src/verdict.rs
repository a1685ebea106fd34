//! Verdicts: what happens to a candidate, and why.
//!
//! Every verdict contains its reason. Reasons are types; `Display` generates their text, which `explain` prints.

mod kind;

use std::fmt;
use std::time::Duration;

pub use self::kind::{KeepKind, KeptCounts};
use crate::candidate::Stamp;
use crate::duration::Human;
use crate::moment::Moment;
use crate::policy::MaxAge;

/// What happens to one candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It stays.
    Keep(Keep),
    /// It may be removed.
    Remove(Remove),
}

/// Why a candidate stays. The variants are in the order of the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// A pattern in `archives` matches it, and archives are not included.
    Archive,
    /// It, or a folder that contains it, is on hold.
    Held {
        /// Its end.
        until: Moment,
    },
    /// Its name is still needed (`keep_referenced`).
    Referenced,
    /// Its timestamp is ahead of the clock.
    Future {
        /// The stamp.
        stamp: Stamp,
        /// How far ahead.
        by: Duration,
    },
    /// It arrived less than `min_age` ago.
    Settling {
        /// The newest timestamp that shows its arrival.
        stamp: Stamp,
        /// The age of that.
        age: Age,
        /// The policy's `min_age`.
        min_age: Duration,
    },
    /// Among the newest.
    Newest {
        /// Of so many: `keep_newest`.
        of: u64,
    },
    /// Within its maximum age, and no limit requires its removal.
    WithinLimits {
        /// The stamp.
        stamp: Stamp,
        /// Its age.
        age: Age,
        /// Its maximum age; `None` if only limits apply.
        limit: Option<AgeLimit>,
    },
}

/// Why a candidate may be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remove {
    /// Older than it may become, strictly.
    Expired {
        /// The stamp.
        stamp: Stamp,
        /// Its age.
        age: Age,
        /// Its maximum age.
        limit: AgeLimit,
    },
    /// Among the oldest, while a limit is exceeded.
    OverLimit {
        /// The stamp.
        stamp: Stamp,
        /// Its age.
        age: Age,
        /// The limit.
        limit: LimitKey,
    },
}

/// A limit, by the key that sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LimitKey {
    /// `max_files`
    MaxFiles,
    /// `max_total_size`
    MaxTotalSize,
    /// `min_free`, of bytes.
    MinFree,
    /// `min_free`, of inodes.
    MinFreeInodes,
}

impl LimitKey {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::MaxFiles, Self::MaxTotalSize, Self::MinFree, Self::MinFreeInodes];

    /// The key, as reports name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::MaxFiles => "max_files",
            Self::MaxTotalSize => "max_total_size",
            Self::MinFree => "min_free",
            Self::MinFreeInodes => "min_free_inodes",
        }
    }

    /// Whether it counts bytes, instead of files or inodes.
    pub fn is_bytes(self) -> bool {
        matches!(self, Self::MaxTotalSize | Self::MinFree)
    }
}

/// A maximum age, and its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgeLimit {
    /// The policy.
    MaxAge(MaxAge),
    /// The registration of the file.
    Ttl(MaxAge),
}

impl AgeLimit {
    /// The limit itself.
    pub fn get(self) -> Duration {
        match self {
            Self::MaxAge(limit) | Self::Ttl(limit) => limit.get(),
        }
    }
}

/// `max_age 30m`, `its ttl 10m`.
impl fmt::Display for AgeLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whose, limit) = match self {
            Self::MaxAge(limit) => ("max_age", limit),
            Self::Ttl(limit) => ("its ttl", limit),
        };
        write!(f, "{whose} {}", Human(limit.get()))
    }
}

/// How old something is, and by which clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// By the wall clock.
    Wall(Duration),
    /// By the time for which this machine has certainly been running since.
    Running(Duration),
}

impl Age {
    /// The age that counts.
    pub fn get(self) -> Duration {
        match self {
            Self::Wall(age) | Self::Running(age) => age,
        }
    }
}

/// `3h ago`, `3h of running time ago`.
impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wall(age) => write!(f, "{} ago", Human(*age)),
            Self::Running(age) => write!(f, "{} of running time ago", Human(*age)),
        }
    }
}

impl Verdict {
    /// The last moment at which it is kept, if only age decides; it may be removed at any later one.
    pub fn kept_until(&self) -> Option<Moment> {
        match self {
            Self::Keep(Keep::WithinLimits { stamp, limit: Some(limit), age: Age::Wall(_) }) => {
                Some(stamp.at.plus(limit.get()))
            }
            Self::Keep(_) | Self::Remove(_) => None,
        }
    }

    /// The last moment for which this verdict, judged at `now`, is certain: when to judge again. `None` if time does
    /// not change it.
    pub fn holds_until(&self, now: Moment) -> Option<Moment> {
        match self {
            Self::Remove(_) => Some(now),
            Self::Keep(
                Keep::Archive | Keep::Referenced | Keep::Newest { .. } | Keep::WithinLimits { limit: None, .. },
            ) => None,
            Self::Keep(Keep::Held { until }) => Some(*until),
            Self::Keep(Keep::Future { stamp, .. }) => Some(stamp.at),
            Self::Keep(Keep::Settling { age, min_age, .. }) => Some(now.plus(min_age.saturating_sub(age.get()))),
            Self::Keep(Keep::WithinLimits { age, limit: Some(limit), .. }) => {
                Some(now.plus(limit.get().saturating_sub(age.get())))
            }
        }
    }

    /// The reason as text, without the verdict.
    pub fn reason(&self) -> String {
        match self {
            Self::Keep(keep) => keep.to_string(),
            Self::Remove(remove) => remove.to_string(),
        }
    }

    /// Whether this is a [`Remove`].
    pub fn is_due(&self) -> bool {
        matches!(self, Self::Remove(_))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keep(keep) => write!(f, "keep: {keep}"),
            Self::Remove(remove) => write!(f, "remove: {remove}"),
        }
    }
}

/// The label of its kind, with details.
impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = self.kind().label();
        match self {
            Self::Archive => write!(f, "{label}; kept unless archives are included"),
            Self::Held { until } => write!(f, "{label} until {until}"),
            Self::Referenced => write!(f, "{label}: the keep_referenced query returned it"),
            Self::Future { stamp, by } => {
                write!(
                    f,
                    "{} {} in the future ({}); the stamp or the clock is wrong",
                    stamp.basis,
                    Human(*by),
                    stamp.at
                )
            }
            Self::Settling { stamp, age, min_age } => {
                write!(f, "{} {age}, {label} {}", stamp.basis, Human(*min_age))
            }
            Self::Newest { of } => write!(f, "{label} (keep_newest = {of})"),
            Self::WithinLimits { stamp, age, limit: Some(limit) } => {
                write!(f, "{} {age}, within {limit}", stamp.basis)
            }
            Self::WithinLimits { stamp, age, limit: None } => {
                write!(f, "{} {age}, and no limit requires its removal", stamp.basis)
            }
        }
    }
}

impl fmt::Display for Remove {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired { stamp, age, limit } => write!(f, "{} {age}, older than {limit}", stamp.basis),
            Self::OverLimit { stamp, age, limit } => {
                write!(f, "{} {age}, among the oldest beyond {}", stamp.basis, limit.name())
            }
        }
    }
}
