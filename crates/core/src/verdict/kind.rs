//! The kinds of reasons to keep something, and how often each was met.
//!
//! One table makes both, so that they cannot differ: a line gives the kind, its key in JSON, and the words that every
//! face uses for it. Whoever adds a [`Keep`] is asked by [`Keep::kind`] for its kind, and whoever adds a kind is done
//! with the line: counting, adding, the JSON, its schema, and all that is shown follow from it.

use std::ops::{AddAssign, Index, IndexMut};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Keep;

macro_rules! reasons_to_keep {
    ($($(#[doc = $doc:literal])+ $kind:ident, $key:ident, $label:literal;)+) => {
        /// A kind of reason for which something stays: what the judge decided, or what was found at the last moment.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum KeepKind {
            $($(#[doc = $doc])+ $kind,)+
        }

        impl KeepKind {
            /// All of them, in the order in which they are shown.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)+];

            /// The key in JSON.
            pub fn key(self) -> &'static str {
                match self {
                    $(Self::$kind => stringify!($key),)+
                }
            }

            /// The reason in words, wherever it is shown. Completes "12 of them are …" and "kept: …".
            pub fn label(self) -> &'static str {
                match self {
                    $(Self::$kind => $label,)+
                }
            }
        }

        /// Kept items, by reason.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(default)]
        pub struct KeptCounts {
            $($(#[doc = $doc])+ pub $key: u64,)+
        }

        impl Index<KeepKind> for KeptCounts {
            type Output = u64;

            fn index(&self, kind: KeepKind) -> &u64 {
                match kind {
                    $(KeepKind::$kind => &self.$key,)+
                }
            }
        }

        impl IndexMut<KeepKind> for KeptCounts {
            fn index_mut(&mut self, kind: KeepKind) -> &mut u64 {
                match kind {
                    $(KeepKind::$kind => &mut self.$key,)+
                }
            }
        }
    };
}

reasons_to_keep! {
    /// Archives that are not included.
    Archive, archive, "archived";
    /// On hold.
    Held, held, "held";
    /// Referenced by a live session.
    Referenced, referenced, "still referenced";
    /// Stamped in the future.
    Future, future, "stamped in the future";
    /// Rows with an implausible time: before 2000, or more than ten years ahead.
    Implausible, implausible, "without a plausible time";
    /// Younger than `min_age`.
    Settling, settling, "younger than min_age";
    /// Among the newest N.
    Newest, newest, "among the newest";
    /// No older than `max_age`, and over no limit.
    WithinLimits, within_limits, "within limits";
    /// Open or locked by a process.
    InUse, in_use, "in use";
    /// Due, but left for the next run by a brake.
    Deferred, deferred, "left for the next run";
    /// Also matched by another policy with the same root, so neither removes them.
    Disputed, disputed, "disputed with another policy";
}

impl Keep {
    /// The kind that it is counted and shown as.
    pub fn kind(&self) -> KeepKind {
        match self {
            Self::Archive => KeepKind::Archive,
            Self::Held { .. } => KeepKind::Held,
            Self::Referenced => KeepKind::Referenced,
            Self::Future { .. } => KeepKind::Future,
            Self::Settling { .. } => KeepKind::Settling,
            Self::Newest { .. } => KeepKind::Newest,
            Self::WithinLimits { .. } => KeepKind::WithinLimits,
        }
    }
}

impl KeptCounts {
    /// Every kind with its count, in the order in which they are shown.
    pub fn by_kind(&self) -> impl Iterator<Item = (KeepKind, u64)> + '_ {
        KeepKind::ALL.iter().map(|kind| (*kind, self[*kind]))
    }

    /// All that stay.
    pub fn total(&self) -> u64 {
        self.by_kind().map(|(_, count)| count).sum()
    }
}

impl AddAssign for KeptCounts {
    fn add_assign(&mut self, other: Self) {
        for (kind, count) in other.by_kind() {
            self[kind] += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_count_of_its_own() {
        let mut sum = KeptCounts::default();
        for (place, kind) in (1..).zip(KeepKind::ALL) {
            sum[*kind] += place;
        }
        let one = sum;
        sum += one;
        let json = serde_json::to_value(sum).unwrap();
        for (place, kind) in (1_u64..).zip(KeepKind::ALL) {
            assert_eq!((sum[*kind], &json[kind.key()]), (2 * place, &(2 * place).into()), "{kind:?}");
        }
        assert_eq!(json.as_object().unwrap().len(), KeepKind::ALL.len());
        assert_eq!(sum.total(), 2 * (1..=KeepKind::ALL.len() as u64).sum::<u64>());
        assert_eq!(serde_json::from_value::<KeptCounts>(json).unwrap(), sum);
    }

    #[test]
    fn a_report_of_a_version_without_a_kind_is_read() {
        let read: KeptCounts = serde_json::from_str("{\"held\":3}").unwrap();
        assert_eq!(read, KeptCounts { held: 3, ..KeptCounts::default() });
    }
}
