//! The database's clock beside this machine's, of which one may be wrong.

use std::time::{Duration, Instant};

use cleanup_core::duration::Human;
use cleanup_core::moment::Moment;
use cleanup_core::policy::{MaxAge, RowStamp, SessionPolicy};

use crate::report::finding::Finding;

/// Clocks further apart than this are worth a word.
const NOTICEABLE: Duration = Duration::from_secs(5);

/// No limit is so short that clocks this close together could not be told apart from it.
const LEAST_TOLERANCE: Duration = Duration::from_mins(5);

/// This machine's clock at the beginning of a call. It is compared with the database's, which alone decides who is idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wall {
    pub(crate) now: Moment,
    heeded: bool,
}

impl Wall {
    /// The same when a person has looked (`--force`): a database whose clock differs much no longer holds a sweep back.
    #[must_use]
    pub fn unheeded(self) -> Self {
        Self { heeded: false, ..self }
    }
}

impl From<Moment> for Wall {
    fn from(now: Moment) -> Self {
        Self { now, heeded: true }
    }
}

/// The caller's clock, which is compared with the database's and never used for anything else.
pub(crate) struct Clock {
    wall: Wall,
    since: Instant,
}

impl Clock {
    pub(crate) fn new(wall: Wall) -> Self {
        Self { wall, since: Instant::now() }
    }

    pub(crate) fn now(&self) -> Moment {
        self.wall.now.plus(self.since.elapsed())
    }

    pub(crate) fn is_heeded(&self) -> bool {
        self.wall.heeded
    }
}

/// How far clocks may lie apart before a sweep is held back, and activity ahead of the database's clock before it is
/// said: the larger of five minutes and a tenth of the limit.
pub(crate) fn tolerance(policy: &SessionPolicy) -> Duration {
    let limit = match &policy.stamp {
        RowStamp::Expiry { grace, .. } => *grace,
        RowStamp::Activity(_) => policy.rule.max_age.map_or(Duration::ZERO, MaxAge::get),
    };
    LEAST_TOLERANCE.max(limit / 10)
}

/// The database's clock beside this machine's, of which one may be wrong.
///
/// An application that writes its own clock into the activity column shares it with this machine more often than with
/// the database: a database that is three hours ahead would then take every live session for idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clocks {
    database: Moment,
    ours: Moment,
    apart: Duration,
    tolerance: Duration,
}

impl Clocks {
    /// The database's clock was read at some time between `asked` and `answered` of ours: what lies within that says
    /// nothing.
    pub(crate) fn new(database: Moment, asked: Moment, answered: Moment, tolerance: Duration) -> Self {
        let (ours, apart) = match (database.since(answered), asked.since(database)) {
            (Some(ahead), _) => (answered, ahead),
            (_, Some(behind)) => (asked, behind),
            (None, None) => (database, Duration::ZERO),
        };
        Self { database, ours, apart, tolerance }
    }

    /// Seconds by which the database's clock is ahead; negative is behind, and what the answer took says nothing.
    pub(crate) fn ahead_seconds(&self) -> f64 {
        let apart = self.apart.as_secs_f64();
        if self.database >= self.ours { apart } else { -apart }
    }

    fn word(&self) -> &'static str {
        if self.database > self.ours { "ahead of" } else { "behind" }
    }

    /// A sentence when they do not agree well.
    pub(crate) fn difference(&self) -> Option<String> {
        let Self { apart, .. } = self;
        let word = self.word();
        (*apart > NOTICEABLE).then(|| {
            format!("the database's clock is {} {word} this machine's; removal follows the database's", Human(*apart))
        })
    }

    /// A sentence when they differ so much that nothing may be removed.
    pub(crate) fn brake(&self) -> Option<String> {
        let Self { database, ours, apart, tolerance } = self;
        let word = self.word();
        (apart > tolerance).then(|| {
            format!(
                "held back: the database's clock says {database}, {} {word} this machine's, which says {ours}; with a \
                 difference of more than {}, sessions that are live by one clock are idle by the other. Correct the \
                 wrong clock, or, if the database's clock is right and the application uses it, run once with --force",
                Human(*apart),
                Human(*tolerance)
            )
        })
    }

    pub(crate) fn finding(&self) -> Option<Finding> {
        self.brake().map(Finding::held).or_else(|| self.difference().map(Finding::warning))
    }
}

/// Says that somebody writes activity that has not happened yet by the database's clock.
///
/// Not where the column holds the end of each session, which of course lies ahead: because it says so, or because the limit
/// is so short that it must.
pub(crate) fn newest_ahead(
    newest: Option<Moment>,
    now: Moment,
    policy: &SessionPolicy,
    column: &str,
) -> Option<String> {
    let tolerance = tolerance(policy);
    let holds_ends = matches!(policy.stamp, RowStamp::Expiry { .. })
        || policy.rule.max_age.is_some_and(|limit| limit.get() <= LEAST_TOLERANCE);
    let ahead = newest?.since(now).filter(|ahead| *ahead > tolerance && !holds_ends)?;
    Some(format!(
        "the newest {column} is {} ahead of the database's clock: an application uses another clock, so its sessions \
         stay that much longer",
        Human(ahead)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::EPOCH.plus(Duration::from_secs(seconds))
    }

    fn clocks(database: u64, asked: u64, answered: u64) -> Clocks {
        Clocks::new(at(database), at(asked), at(answered), LEAST_TOLERANCE)
    }

    #[test]
    fn what_lies_within_the_round_trip_says_nothing() {
        for database in [1000, 1100, 1305] {
            let clocks = clocks(database, 1000, 1300);
            assert_eq!((clocks.difference(), clocks.brake()), (None, None), "{database}");
        }
    }

    #[test]
    fn a_noticeable_difference_is_said_and_a_large_one_holds() {
        let said = |clocks: Clocks| (clocks.difference().is_some(), clocks.brake().is_some());
        for (database, expected) in [
            (10_005, (false, false)),
            (10_006, (true, false)),
            (10_300, (true, false)),
            (10_301, (true, true)),
            (9_995, (false, false)),
            (9_994, (true, false)),
            (9_700, (true, false)),
            (9_699, (true, true)),
        ] {
            assert_eq!(said(clocks(database, 10_000, 10_000)), expected, "{database}");
        }
        assert_eq!(
            clocks(20_800, 10_000, 10_000).brake().unwrap().split(';').next().unwrap(),
            "held back: the database's clock says 1970-01-01T05:46:40.000Z, 3h ahead of this machine's, which says \
             1970-01-01T02:46:40.000Z"
        );
    }
}
