//! One row of a session table, looked up by its key: what a sweep would make of it, and why.
//!
//! The key of a row is a session's secret. It is bound, never logged, and never repeated in an answer.

use std::fmt;
use std::time::Duration;

use cleanup_core::duration::Human;
use cleanup_core::moment::Moment;
use cleanup_core::policy::{RowStamp, SessionPolicy};
use cleanup_core::verdict::KeepKind;

/// What a table says of the rows with one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// The table, with its schema.
    pub table: String,
    /// One for each row; a key that is not unique has several, of which the first [`MOST_ROWS`] are told.
    pub rows: Vec<RowAnswer>,
    /// Whether row security may hide rows of this key.
    pub filtered: bool,
    /// Why a sweep would take nothing at all, or cannot begin.
    pub obstacle: Option<String>,
}

/// So many rows of one key are told.
pub const MOST_ROWS: u64 = 20;

/// What would happen to one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowAnswer {
    /// Why it goes or stays.
    pub fate: Fate,
    /// Its last activity, or its end; `None` if it has none, or an implausible one.
    pub stamp: Option<Moment>,
    /// From when on a sweep takes it, where time alone decides.
    pub due_at: Option<Moment>,
    /// The same in words.
    pub reason: String,
}

/// What decides about a row, in the order in which it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The key `where` leaves it out: it is no row of the policy.
    NotMeant,
    /// It has no time.
    Timeless,
    /// It never ends.
    Endless,
    /// Its time lies before 2000, or more than ten years ahead.
    Implausible,
    /// A row of another table refers to it, by a key that keeps it.
    Referenced,
    /// A sweep takes it.
    Due,
    /// Its last activity lies ahead of the database's clock.
    Future,
    /// It is younger than it may become, or has not ended yet.
    Young,
}

/// What a statement says of a row.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "answers of the database, each to a question of its own")]
pub(crate) struct Facts {
    /// Seconds since 1970; `None` is null.
    pub(crate) seconds: Option<f64>,
    pub(crate) is_null: bool,
    pub(crate) is_meant: bool,
    /// Not null, and no end that never comes.
    pub(crate) is_known: bool,
    pub(crate) is_plausible: bool,
    pub(crate) is_old: bool,
    pub(crate) is_referenced: bool,
    pub(crate) is_ahead: bool,
}

impl Fate {
    fn of(facts: Facts, policy: &SessionPolicy) -> Self {
        let Facts { seconds: _, is_null, is_meant, is_known, is_plausible, is_old, is_referenced, is_ahead } = facts;
        if !is_meant {
            Self::NotMeant
        } else if is_null {
            Self::Timeless
        } else if !is_known {
            Self::Endless
        } else if is_old {
            if is_referenced { Self::Referenced } else { Self::Due }
        } else if !is_plausible {
            Self::Implausible
        } else if is_ahead && matches!(policy.stamp, RowStamp::Activity(_)) {
            Self::Future
        } else {
            Self::Young
        }
    }

    /// Whether a sweep takes the row.
    pub fn is_due(self) -> bool {
        self == Self::Due
    }
}

impl RowAnswer {
    /// `now` is the database's clock.
    pub(crate) fn new(facts: Facts, policy: &SessionPolicy, now: Moment, stamp: Option<Moment>) -> Self {
        let fate = Fate::of(facts, policy);
        let has_time = !matches!(fate, Fate::Timeless | Fate::Endless | Fate::Implausible);
        let stamp = stamp.filter(|_| has_time && facts.seconds.is_some());
        let limit = Duration::from_secs_f64(crate::rule::idle_seconds(policy));
        let due_at = stamp.map(|stamp| stamp.plus(limit)).filter(|_| matches!(fate, Fate::Young | Fate::Future));
        let reason = Reason { fate, stamp, now, limit, policy }.to_string();
        Self { fate, stamp, due_at, reason }
    }
}

/// Why, in words; those of reports where they have some.
struct Reason<'a> {
    fate: Fate,
    stamp: Option<Moment>,
    now: Moment,
    limit: Duration,
    policy: &'a SessionPolicy,
}

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fate, stamp, now, limit, policy } = self;
        let ends = matches!(policy.stamp, RowStamp::Expiry { .. });
        let column = policy.stamp.columns().join(", ");
        let limit_key = if ends { "grace" } else { "max_idle" };
        let limit = Human(*limit);
        match (fate, stamp) {
            (Fate::NotMeant, _) => return f.write_str("not a row of this policy: its `where` excludes it"),
            (Fate::Timeless, _) => return write!(f, "{column} is null; such rows always stay"),
            (Fate::Endless, _) => return write!(f, "{column} is infinite; such rows always stay"),
            (Fate::Implausible, _) => {
                let label = KeepKind::Implausible.label();
                return write!(f, "{label}: {column} is before 2000 or more than ten years ahead");
            }
            _ => {}
        }
        let Some(stamp) = stamp else { return f.write_str("its time is unknown") };
        match (now.since(*stamp), stamp.since(*now)) {
            (Some(ago), _) if ends => write!(f, "ended {} ago", Human(ago))?,
            (Some(ago), _) => write!(f, "last activity {} ago", Human(ago))?,
            (None, ahead) if ends => return write!(f, "ends in {}", Human(ahead.unwrap_or_default())),
            (None, ahead) => write!(f, "last activity {} ahead", Human(ahead.unwrap_or_default()))?,
        }
        let has_no_limit = ends && self.limit.is_zero();
        match fate {
            Fate::Due | Fate::Referenced if has_no_limit => {}
            Fate::Due | Fate::Referenced => write!(f, ", longer than {limit_key} {limit}")?,
            Fate::Future => write!(f, ", {}; one of the clocks is wrong", KeepKind::Future.label())?,
            _ => write!(f, ", within {limit_key} {limit}")?,
        }
        if *fate == Fate::Referenced {
            let label = KeepKind::Referenced.label();
            write!(f, "; {label} by a row of another table")?;
        }
        Ok(())
    }
}
