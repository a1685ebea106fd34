//! Ranking: the order in which a limit removes candidates.
//!
//! Oldest first, ties by name. A limit becomes a [`Cutoff`] before the sweep, so judging stays one pure call for each
//! candidate. [`newest`], [`own`] and [`space`] find the cutoffs, in passes with little memory; [`Remaining`] observes
//! the following sweep to report on each limit.

mod find;
mod histogram;
mod links;
mod position;
mod remain;
mod search;

pub use self::find::{FileSystem, Share, Shortage, Source, Stopped, newest, own, space};
pub use self::remain::{Amount, Pin, Remaining, Stays};
use crate::candidate::Name;
use crate::moment::Moment;
use crate::verdict::LimitKey;

/// A position in the order of age: everything up to it is older, everything after it is newer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cutoff {
    /// The timestamp of the last item before the cutoff.
    pub at: Moment,
    /// Its path below the root.
    pub path: Vec<u8>,
}

impl Cutoff {
    /// Whether an item with this timestamp and name is before the cutoff.
    pub fn covers(&self, at: Moment, name: Name<'_>) -> bool {
        at < self.at || (at == self.at && name.cmp_path(&self.path).is_le())
    }
}

/// The cutoffs of a policy's ranking rules in one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cutoffs {
    /// Everything after this is among the newest; with the number in `keep_newest`.
    pub newest: Option<Newest>,
    /// Everything up to each of these is over that limit.
    pub over: Vec<(LimitKey, Cutoff)>,
}

/// The start of the newest items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newest {
    /// Their number: `keep_newest`.
    pub of: u64,
    /// The newest item that is not among them; `None` if all are.
    pub before: Option<Cutoff>,
}

impl Cutoffs {
    /// The limit that requires the removal of an item with this timestamp and name.
    pub fn asks_for(&self, at: Moment, name: Name<'_>) -> Option<LimitKey> {
        self.over.iter().find(|(_, cutoff)| cutoff.covers(at, name)).map(|(limit, _)| *limit)
    }

    /// `keep_newest`, if this item is among the newest.
    pub fn newest(&self, at: Moment, name: Name<'_>) -> Option<u64> {
        let newest = self.newest.as_ref()?;
        let is_older = newest.before.as_ref().is_some_and(|before| before.covers(at, name));
        (!is_older).then_some(newest.of)
    }
}

#[cfg(test)]
mod oracle;

#[cfg(test)]
mod tests {
    use super::*;

    fn name(last: &'static str) -> Name<'static> {
        Name { folder: b"x", last: last.as_bytes() }
    }

    fn at(seconds: i64) -> Moment {
        Moment::from_unix(seconds, 0)
    }

    #[test]
    fn the_oldest_stand_before_the_cut_and_ties_go_by_path() {
        let cutoff = Cutoff { at: at(5), path: b"x/b".to_vec() };
        assert!(cutoff.covers(at(4), name("z")));
        assert!(cutoff.covers(at(5), name("a")) && cutoff.covers(at(5), name("b")));
        assert!(!cutoff.covers(at(5), name("c")) && !cutoff.covers(at(6), name("a")));
    }

    #[test]
    fn everything_is_newest_when_there_are_no_more() {
        let cutoffs = Cutoffs { newest: Some(Newest { of: 3, before: None }), ..Cutoffs::default() };
        assert_eq!(cutoffs.newest(at(0), name("a")), Some(3));
        assert_eq!(Cutoffs::default().newest(at(0), name("a")), None);
    }

    #[test]
    fn the_first_limit_that_covers_something_asks_for_it() {
        let cut = |seconds| Cutoff { at: at(seconds), path: b"x/a".to_vec() };
        let over = vec![(LimitKey::MaxFiles, cut(1)), (LimitKey::MaxTotalSize, cut(2))];
        let cutoffs = Cutoffs { newest: None, over };
        assert_eq!(cutoffs.asks_for(at(1), name("a")), Some(LimitKey::MaxFiles));
        assert_eq!(cutoffs.asks_for(at(2), name("a")), Some(LimitKey::MaxTotalSize));
        assert_eq!(cutoffs.asks_for(at(2), name("b")), None);
    }
}
