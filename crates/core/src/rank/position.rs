//! Positions: how far back in the order of age something stands, as one number.
//!
//! Policies that share a file system are weighted: what is costly to recreate counts as younger. Positions are fine
//! enough that two moments, a nanosecond apart, keep their order under any weight; so a cut among positions is a cut
//! among the moments of each policy.

use std::time::Duration;

use super::Cutoff;
use crate::moment::Moment;

/// Ages beyond this many nanoseconds, 150 million years, count as equal: they come from damaged inodes.
const OLDEST: u128 = (1 << 82) - 1;

/// A weight of 1. Weights go from a millionth of it to a million times it.
const ONE: u64 = 1 << 20;

/// Where the search for a cut ended. The oldest has the greatest position and goes first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// Nothing has to go.
    Nothing,
    /// Everything from this position on.
    From(u128),
    /// Everything beyond this position, and at it whatever is not behind this path.
    At(u128, Vec<u8>),
}

/// Turns the moments of one policy into positions and back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    now: Moment,
    weight: u64,
}

impl Scale {
    pub(super) fn new(now: Moment, weight: f64) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a power of two")]
        let scaled = (weight * ONE as f64).round().clamp(1.0, (ONE as f64) * (ONE as f64));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 1 to 2^40")]
        Self { now, weight: scaled as u64 }
    }

    /// `None` for what lies ahead.
    pub(super) fn position(&self, at: Moment) -> Option<u128> {
        self.now.since(at).map(|age| self.of_age(age.as_nanos()))
    }

    fn of_age(&self, nanos: u128) -> u128 {
        (nanos.min(OLDEST) << 40) / u128::from(self.weight)
    }

    /// The same cut among the moments of this policy; `None` where nothing stands before it.
    pub(super) fn cutoff(&self, cut: &Cut) -> Option<Cutoff> {
        let (position, path) = match cut {
            Cut::Nothing => return None,
            Cut::From(position) => (*position, None),
            Cut::At(position, path) => (*position, Some(path)),
        };
        let age = self.youngest_age(position)?;
        let at = self.now.minus(nanos(age));
        Some(match path.filter(|_| self.of_age(age) == position) {
            Some(path) => Cutoff { at, path: path.clone() },
            // No path is empty: this covers everything up to that moment, and nothing after it.
            None => Cutoff { at: at.plus(Duration::from_nanos(1)), path: Vec::new() },
        })
    }

    /// The least age that has at least this position.
    fn youngest_age(&self, position: u128) -> Option<u128> {
        if self.of_age(OLDEST) < position {
            return None;
        }
        let (mut low, mut high) = (0, OLDEST);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.of_age(middle) < position {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Some(low)
    }
}

fn nanos(age: u128) -> Duration {
    const SECOND: u128 = 1_000_000_000;
    let seconds = u64::try_from(age / SECOND).unwrap_or(u64::MAX);
    Duration::new(seconds, u32::try_from(age % SECOND).expect("a remainder of 10^9 fits 32 bits"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::candidate::Name;

    const NOW: Moment = Moment::from_unix(2_000_000_000, 5);

    #[test]
    fn a_cut_among_positions_is_the_same_cut_among_moments() {
        let name = Name { folder: b"", last: b"m" };
        for weight in [1.0, 0.000_001, 0.3, 7.0, 1_000_000.0, f64::MAX, 0.0] {
            let scale = Scale::new(NOW, weight);
            for age in [0_u64, 1, 2, 999, 1 << 30, 86_400_000_000_000, u64::MAX] {
                let at = |age: u64| NOW.minus(Duration::from_nanos(age));
                let position = scale.position(at(age)).unwrap();
                let from = scale.cutoff(&Cut::From(position)).unwrap();
                assert!(from.covers(at(age), name), "{weight} {age}");
                assert!(age == 0 || !from.covers(at(age - 1), name), "{weight} {age}");
                let up_to = |path: &[u8]| scale.cutoff(&Cut::At(position, path.to_vec())).unwrap();
                assert!(up_to(b"m").covers(at(age), name) && !up_to(b"l").covers(at(age), name), "{weight} {age}");
                assert!(age == u64::MAX || up_to(b"l").covers(at(age + 1), name), "{weight} {age}");
            }
            assert_eq!(scale.position(NOW.plus(Duration::from_nanos(1))), None);
        }
    }

    #[test]
    fn what_is_dearer_counts_as_younger() {
        let hours = |hours| NOW.minus(Duration::from_hours(hours));
        let (cheap, dear) = (Scale::new(NOW, 1.0), Scale::new(NOW, 10.0));
        assert!(dear.position(hours(9)) < cheap.position(hours(1)));
        assert_eq!(dear.position(hours(10)), cheap.position(hours(1)));
        assert_eq!(cheap.cutoff(&Cut::Nothing), None);
    }
}
