//! One row by its key.

use cleanup_core::policy::SessionPolicy;
use sqlx::sqlite::SqliteRow;

use super::inspect::Ground;
use super::moment;
use super::session::{Fault, Session, cell, statement};
use crate::row::{Facts, MOST_ROWS, RowAnswer, Rows};
use crate::rule::clocks::Clock;
use crate::rule::idle_seconds;

pub(super) async fn explain(
    session: &mut Session,
    policy: &SessionPolicy,
    ground: &Ground,
    clock: &Clock,
    key: &str,
) -> Result<Rows, Fault> {
    let cutoff = ground.now(session, -idle_seconds(policy)).await?;
    let now = ground.now(session, 0.0).await?;
    let most = i64::try_from(MOST_ROWS).unwrap_or(i64::MAX);
    let bound = statement(ground.statements.row.statement()).bind(cutoff).bind(now).bind(key.to_owned()).bind(most);
    let rows = session.all(ground.statements.with_values(bound)).await?;
    // The file's clock is this machine's.
    let rows = rows.iter().map(|row| answer(row, policy, clock)).collect::<Result<_, _>>()?;
    Ok(Rows { table: ground.name.to_string(), rows, filtered: false, obstacle: None })
}

fn answer(row: &SqliteRow, policy: &SessionPolicy, clock: &Clock) -> Result<RowAnswer, Fault> {
    let holds = |index| Ok::<_, Fault>(cell::<Option<i64>>(row, index)?.is_some_and(|holds| holds != 0));
    let seconds: Option<f64> = cell(row, 0)?;
    let facts = Facts {
        seconds,
        is_null: holds(1)?,
        is_meant: holds(2)?,
        // What is infinite is a number like others here.
        is_known: true,
        is_plausible: holds(3)?,
        is_old: holds(4)?,
        is_referenced: holds(5)?,
        is_ahead: holds(6)?,
    };
    Ok(RowAnswer::new(facts, policy, clock.now(), seconds.map(moment)))
}
