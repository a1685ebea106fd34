//! What the clocks said: the baseline of the clock guard, and what tells running time from time asleep.

use std::time::Duration;

pub use cleanup_core::clock_guard::Reading as ClockReading;
use cleanup_core::moment::Moment;
use sqlx::SqliteConnection;

use super::Ledger;

/// Readings are forgotten beyond this many, whatever their age.
const MAX_READINGS: i64 = 20_000;

/// Readings of one boot closer together than this are thinned out: only *where* between two readings the machine
/// slept is lost by it, to this precision, never for how long.
const THIN_SECONDS: i64 = 600;

const ALL: &str = "select wall_seconds, wall_nanos, boot_nanos, running_nanos, boot_id from clock \
                   where sequence >= ?1 order by sequence";
const NEWEST: &str = "select wall_seconds, wall_nanos, boot_nanos, running_nanos, boot_id from clock \
                      order by sequence desc limit 1";
/// The last reading before the moment; 0 when there is none, which is before all.
const BEFORE: &str = "select coalesce(max(sequence), 0) from clock \
                      where wall_seconds < ?1 or (wall_seconds = ?1 and wall_nanos < ?2)";
const INSERT: &str = "insert into clock (wall_seconds, wall_nanos, boot_nanos, running_nanos, boot_id) \
                      values (?1, ?2, ?3, ?4, ?5)";
const LAST_TWO: &str = "select sequence, wall_seconds, boot_id from clock order by sequence desc limit 2";
const DELETE: &str = "delete from clock where sequence = ?1";
const PRUNE: &str = "delete from clock where sequence <= \
                     (select sequence from clock order by sequence desc limit 1 offset ?1)";

type Row = (i64, i64, i64, i64, String);

impl Ledger {
    pub(crate) fn last_clock(&mut self) -> Option<ClockReading> {
        let row: Option<Row> =
            self.run(&async |connection| sqlx::query_as(NEWEST).fetch_optional(connection).await).flatten();
        row.map(reading)
    }

    pub(crate) fn clock_readings(&mut self, since: Moment) -> Vec<ClockReading> {
        let rows: Option<Vec<Row>> = self.run(&async |connection| {
            let (before,): (i64,) = sqlx::query_as(BEFORE)
                .bind(since.unix_seconds())
                .bind(i64::from(since.subsec_nanos()))
                .fetch_one(&mut *connection)
                .await?;
            sqlx::query_as(ALL).bind(before).fetch_all(connection).await
        });
        rows.unwrap_or_default().into_iter().map(reading).collect()
    }
}

/// Adds a trusted reading, and thins out those before.
pub(super) async fn add(connection: &mut SqliteConnection, reading: &ClockReading) -> Result<(), sqlx::Error> {
    let seconds = reading.wall.unix_seconds();
    let last: Vec<(i64, i64, String)> = sqlx::query_as(LAST_TWO).fetch_all(&mut *connection).await?;
    if let [(sequence, _, later), (_, wall, earlier)] = last.as_slice()
        && [later, earlier].into_iter().all(|boot| *boot == reading.boot_id)
        && (0..THIN_SECONDS).contains(&seconds.saturating_sub(*wall))
    {
        sqlx::query(DELETE).bind(sequence).execute(&mut *connection).await?;
    }
    sqlx::query(INSERT)
        .bind(seconds)
        .bind(i64::from(reading.wall.subsec_nanos()))
        .bind(nanos(reading.boot))
        .bind(nanos(reading.running))
        .bind(&reading.boot_id)
        .execute(&mut *connection)
        .await?;
    sqlx::query(PRUNE).bind(MAX_READINGS).execute(connection).await?;
    Ok(())
}

fn reading((seconds, nanos, boot, running, boot_id): Row) -> ClockReading {
    let wall = Moment::from_unix(seconds, u32::try_from(nanos).unwrap_or(0));
    ClockReading { wall, boot: span(boot), running: span(running), boot_id }
}

fn nanos(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}

fn span(nanos: i64) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}
