//! Counting instead of removing: plans and statistics.

use cleanup_core::policy::SessionPolicy;
use sqlx::postgres::PgRow;

use super::fault::Fault;
use super::inspect::{Ground, Leaf};
use super::session::{Frame, Limits, Session, cell, count, statement};
use super::{millis, moment};
use crate::SessionStats;
use crate::database::Seen;
use crate::report::ledger::{Ledger, Planned};
use crate::report::obstacle::Stop;
use crate::report::plural;
use crate::rule::idle_seconds;

/// Up to this size a table is counted for statistics; beyond it the planner is asked.
const COUNTED_BYTES: u64 = 64 << 20;

/// The planner's figure for expired rows: the first line of `explain` ends in `(cost=… rows=… width=…)`.
pub(super) async fn estimate(session: &mut Session, look: &Frame, leaf: &Leaf, idle: f64) -> Result<f64, Fault> {
    let row = session
        .ask_one(look, leaf.statements.with_values(statement(leaf.statements.estimate.statement()).bind(idle)))
        .await?;
    let line: String = cell(&row, 0)?;
    let rows = line.rsplit_once("rows=").and_then(|(_, rest)| rest.split_whitespace().next()?.parse().ok());
    rows.ok_or_else(|| Fault::Final("explain returned no estimate".to_owned()))
}

/// Counts everything in one snapshot, as of `ahead` seconds from now.
pub(super) async fn plan(
    session: &mut Session,
    policy: &SessionPolicy,
    ground: &Ground,
    ahead: f64,
    ledger: &mut Ledger,
) -> Result<(), Stop> {
    let frame = unhurried(policy, ground);
    let statements = ground.leaves.iter().map(|leaf| {
        let counting = statement(leaf.statements.count.statement()).bind(idle_seconds(policy) - ahead).bind(ahead);
        leaf.statements.with_values(counting)
    });
    let answers = session.look(&frame, statements.collect()).await.map_err(too_slow)?;
    for leaf in &ground.leaves {
        if let Some(why) = &leaf.hidden {
            ledger.error(&leaf.facts.name.to_string(), why.clone());
        }
    }
    for (leaf, rows) in ground.leaves.iter().zip(answers) {
        let mut due = 0;
        for row in &rows {
            let rows = counted(row)?;
            due += rows.due;
            planned(leaf, rows, ledger);
        }
        if due > 0 && matches!(leaf.partition, Some(Ok(_))) {
            let idle = idle_seconds(policy) - ahead;
            let counting = statement(leaf.statements.partition_rows.statement()).bind(idle);
            let row = session.ask_one(&frame, leaf.statements.with_values(counting)).await.map_err(too_slow)?;
            if count(&row, 1)? == 0 {
                ledger.note(format!("the partition {} would be dropped", leaf.facts.name));
            }
        }
        if due > 0 {
            followers(session, &frame, leaf, idle_seconds(policy) - ahead, ledger).await?;
        }
    }
    Ok(())
}

/// Says how many rows of other tables go along with those that are due, or are changed.
async fn followers(
    session: &mut Session,
    frame: &Frame,
    leaf: &Leaf,
    idle: f64,
    ledger: &mut Ledger,
) -> Result<(), Stop> {
    for (sql, (other, follow)) in leaf.statements.followers.iter().zip(&leaf.followers) {
        let counting = leaf.statements.with_values(statement(sql.statement()).bind(idle));
        match session.ask_one(frame, counting).await {
            Ok(row) => match count(&row, 0)? {
                0 => {}
                rows => ledger.note(format!("{} of {other} {follow}", plural(rows, "row"))),
            },
            Err(fault @ Fault::Away(_)) => return Err(fault.into()),
            Err(_) => ledger.note(format!("rows of {other} that {follow} were not counted")),
        }
    }
    Ok(())
}

/// Writes down what there is in a leaf. Only a policy for seeing filters a count; what those for deleting keep is told
/// apart here as far as it can be.
fn planned(leaf: &Leaf, rows: Planned, ledger: &mut Ledger) {
    let (name, due) = (leaf.facts.name.to_string(), rows.due);
    if !leaf.facts.row_security || due == 0 {
        ledger.planned(rows);
    } else if leaf.facts.forbidden.iter().any(|command| command == "delete") {
        ledger.planned(Planned { due: 0, all: rows.all - due, ..rows });
        ledger.failed(&name, due, "no row security policy lets the role delete them");
    } else {
        ledger.planned(rows);
        if leaf.facts.deletes_otherwise {
            let rows = plural(due, "expired row");
            ledger.note(format!(
                "row security of {name} has separate policies for delete, so a sweep may remove fewer than {rows}"
            ));
        }
    }
}

/// Counts small tables, and asks the planner about large ones.
pub(super) async fn stats(
    session: &mut Session,
    policy: &SessionPolicy,
    ground: &Ground,
    seen: Seen,
) -> Result<SessionStats, Stop> {
    let idle = idle_seconds(policy);
    let frame = unhurried(policy, ground);
    let Seen { implausible, notes, is_refused, clock_ahead_seconds: _ } = seen;
    let mut stats = SessionStats { implausible_rows: implausible, notes, ..SessionStats::default() };
    for leaf in &ground.leaves {
        let small = leaf.facts.bytes <= COUNTED_BYTES;
        if small || leaf.facts.tuples < 0.0 {
            let counting = statement(leaf.statements.count.statement()).bind(idle).bind(0.0);
            let counting = leaf.statements.with_values(counting);
            let rows = counted(&session.ask_one(&frame, counting).await.map_err(too_slow)?)?;
            stats.total_rows += rows.all;
            stats.expired_rows += rows.due;
        } else {
            stats.estimated = true;
            stats.total_rows += whole(leaf.facts.tuples);
            stats.expired_rows += whole(estimate(session, &ground.look, leaf, idle).await?);
        }
        if is_refused {
            stats.expired_rows = 0;
        }
        if small || leaf.facts.index {
            let asked = vec![
                leaf.statements.with_values(statement(leaf.statements.ends.statement())),
                leaf.statements.with_values(statement(leaf.statements.next.statement()).bind(idle)),
            ];
            let answers = session.look(&frame, asked).await.map_err(too_slow)?;
            if let [ends, next] = &answers[..]
                && let (Some(ends), Some(next)) = (ends.first(), next.first())
            {
                let earliest = |a: Option<_>, b: Option<_>| a.into_iter().chain(b).min();
                stats.oldest = earliest(stats.oldest, cell::<Option<f64>>(ends, 0)?.map(moment));
                stats.newest = stats.newest.max(cell::<Option<f64>>(ends, 1)?.map(moment));
                let next = cell::<Option<f64>>(next, 0)?.filter(|next| next.is_finite() && !is_refused);
                stats.next_due_at = earliest(stats.next_due_at, next.map(|next| moment(next + idle)));
            }
        }
    }
    Ok(stats)
}

/// For counting everything: as long as the role may, and no locks waited for.
fn unhurried(policy: &SessionPolicy, ground: &Ground) -> Frame {
    let role = ground.server.statement_timeout_ms;
    Frame::look(Limits { lock: policy.lock_timeout, statement: (role > 0).then(|| millis(role)) })
}

fn too_slow(fault: Fault) -> Stop {
    match fault {
        Fault::Cancelled => Stop::GaveUp("counting takes longer than the role's statement_timeout".to_owned()),
        other => other.into(),
    }
}

fn counted(row: &PgRow) -> Result<Planned, Fault> {
    Ok(Planned {
        all: count(row, 0)?,
        due: count(row, 1)?,
        referenced: count(row, 2)?,
        future: count(row, 3)?,
        implausible: count(row, 4)?,
    })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "float casts saturate")]
fn whole(rows: f64) -> u64 {
    rows.max(0.0) as u64
}
