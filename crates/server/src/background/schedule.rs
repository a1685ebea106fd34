//! When a policy runs next.
//!
//! Pure: the moments come in, a moment comes out. Two rules hold for both kinds of schedule. A run that was missed,
//! because the service was off or the machine asleep, is made up once, however many were missed. And no clock can
//! hurry it: a last run that lies in the future, because the clock was set back since, counts as if it were now, so
//! that neither a year of silence nor a storm of runs follows.
//!
//! `cron` means what Vixie's cron means by it, also in the two nights of the year that are not 24 hours long. A field
//! of minutes or hours that begins with `*` makes a job that follows the clock on the wall: skipped with a skipped
//! hour, run again in a doubled one. Any other job runs as often as the calendar names it: once right after the
//! skipped hour in which it was due, once in a doubled hour.

use std::time::Duration;

use cleanup_core::moment::Moment;
use cleanup_core::policy::{CronExpression, Schedule};
use croner::Cron;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use sha2::{Digest as _, Sha256};

pub use cleanup_engine::{UnknownZone, time_zone};

/// What an interval shorter than this counts as: nothing runs more often than once a second.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
/// How much of an interval the spread may take: one part in this many.
const SPREAD_PARTS: u32 = 10;
/// The longest that a regular run waits for its turn among the machines.
const MAX_SPREAD: Duration = Duration::from_secs(5 * 60);
/// The longest that a missed run waits after the start.
const MAX_SPREAD_MISSED: Duration = Duration::from_secs(60);
/// The longest that a `cron` run waits after the minute that it names.
const MAX_SPREAD_CRON: Duration = Duration::from_secs(30);
/// Where a schedule without any further run is said to run next: after everything that a clock can show.
const NEVER: Moment = Moment::from_unix(i64::MAX, 0);

/// This machine's turn for one policy, so that a fleet does not hit its database in the same second.
///
/// The same for the same machine and policy, always; a delay, never a lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread(u64);

impl Spread {
    /// The first in the line: runs when the schedule says.
    pub const NONE: Self = Self(0);

    /// The turn of the machine named `host` for the policy named `policy`.
    pub fn of(host: &str, policy: &str) -> Self {
        let digest = Sha256::new().chain_update(host).chain_update([0]).chain_update(policy).finalize();
        let (first, _) = digest.split_first_chunk().expect("a digest has 32 bytes");
        Self(u64::from_be_bytes(*first))
    }

    /// The delay, from nothing up to, never reaching, `limit`.
    pub fn within(self, limit: Duration) -> Duration {
        let nanos = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        let share = (u128::from(nanos) * u128::from(self.0)) >> u64::BITS;
        Duration::from_nanos(u64::try_from(share).expect("a share is smaller than the whole"))
    }
}

/// When the policy runs next; never before `now`, and `now` itself when a run is overdue.
///
/// `last_run` is the start of the last one, `started_at` the start of the service. `every` counts from the last
/// run's start; the first run of this process waits for its turn besides, at most a tenth of the interval and five
/// minutes, and a missed one at most a minute. `cron` waits for its turn after the minute that it names, at most
/// 30 seconds.
pub fn next_run(
    schedule: &Schedule,
    zone: &TimeZone,
    last_run: Option<Moment>,
    started_at: Moment,
    now: Moment,
    spread: Spread,
) -> Moment {
    let last_run = last_run.map(|at| at.min(now));
    let started_at = started_at.min(now);
    let next = match schedule {
        Schedule::Every(interval) => next_by_interval(*interval, last_run, started_at, spread),
        Schedule::Cron(expression) => next_by_cron(expression, zone, last_run, started_at, spread),
    };
    next.max(now)
}

fn next_by_interval(interval: Duration, last_run: Option<Moment>, started_at: Moment, spread: Spread) -> Moment {
    let interval = interval.max(SHORTEST_INTERVAL);
    let turn = |limit: Duration| spread.within(limit.min(interval / SPREAD_PARTS));
    match last_run.map(|last| (last, last.plus(interval))) {
        Some((last, due)) if last >= started_at => due,
        Some((_, due)) if due > started_at => due.plus(turn(MAX_SPREAD)),
        _ => started_at.plus(turn(MAX_SPREAD_MISSED)),
    }
}

fn next_by_cron(
    expression: &CronExpression,
    zone: &TimeZone,
    last_run: Option<Moment>,
    started_at: Moment,
    spread: Spread,
) -> Moment {
    let Some(due) = next_occurrence(expression, zone, last_run.unwrap_or(started_at)) else {
        return NEVER;
    };
    due.max(started_at).plus(spread.within(MAX_SPREAD_CRON))
}

/// The first moment strictly after `after` at which cron would run the job; `None` when there is none.
fn next_occurrence(expression: &CronExpression, zone: &TimeZone, after: Moment) -> Option<Moment> {
    let cron = expression.parsed();
    let after = Timestamp::new(after.unix_seconds(), 0).ok()?;
    let next = if follows_the_wall(expression) {
        cron.find_next_occurrence(&after.to_zoned(zone.clone()), false).ok()?
    } else {
        next_of_calendar(cron, zone, after)?
    };
    Some(next.timestamp().into())
}

/// Whether Vixie's cron would take this for a wildcard job, which it runs whenever the wall clock matches.
fn follows_the_wall(expression: &CronExpression) -> bool {
    expression.text().split_whitespace().take(2).any(|field| field.starts_with('*'))
}

/// Looks through a calendar in which every day has 24 hours, and then asks the zone when that was: a skipped time is
/// the first moment after the gap, a doubled one the earlier of the two.
fn next_of_calendar(cron: &Cron, zone: &TimeZone, after: Timestamp) -> Option<Zoned> {
    let mut civil = after.to_zoned(zone.clone()).datetime();
    // Several skipped times share one moment, and one second of a doubled hour was there before: both are left behind
    // in a few steps, of which an hour of minutes is the most.
    for _ in 0..2 * 60 {
        civil = cron.find_next_occurrence(&civil.to_zoned(TimeZone::UTC).ok()?, false).ok()?.datetime();
        let next = moment_of(zone, civil)?;
        if next.timestamp() > after {
            return Some(next);
        }
    }
    None
}

fn moment_of(zone: &TimeZone, civil: DateTime) -> Option<Zoned> {
    use jiff::tz::AmbiguousOffset::{Fold, Gap, Unambiguous};
    let ambiguous = zone.to_ambiguous_zoned(civil);
    match ambiguous.offset() {
        Unambiguous { .. } | Fold { .. } => ambiguous.earlier().ok(),
        // Read with the offset after the gap, a skipped time lies before it: the next transition is its end.
        Gap { .. } => {
            let before = ambiguous.earlier().ok()?.timestamp();
            Some(zone.following(before).next()?.timestamp().to_zoned(zone.clone()))
        }
    }
}

#[cfg(test)]
mod tests;
