//! Dropping a partition instead of deleting its rows.
//!
//! It has to mean the same as deleting each of them, and nobody may wait for it. So a partition is dropped only where
//! nothing hangs on its rows (triggers, foreign keys, row security), where the application has no use for it any more (its
//! range lies in the past, so that no new row belongs there), and where every row of it is due: looked at first without a
//! lock, and once more under the lock under which it goes. What holds the lock is short, and gives up rather than wait; a
//! partition that somebody uses is left for the next run.

use std::time::{Duration, Instant};

use cleanup_core::moment::Moment;
use sqlx::postgres::types::Oid;

use super::batch::Batcher;
use super::catalog::{LeafFacts, PartitionFacts, TableFacts};
use super::fault::Fault;
use super::inspect::Leaf;
use super::session::{Frame, Limits, Session, count, statement};
use super::sql::Times;
use crate::report::obstacle::Stop;
use crate::report::plural;
use crate::rule::names::{Identifier, Sql, TableName};
use crate::rule::time::Unit;

/// How long one of the two locks may be waited for: meanwhile everybody else waits behind us.
const LOCK: Duration = Duration::from_millis(10);

/// How long a statement may take that holds them up.
const STATEMENT: Duration = Duration::from_millis(15);

/// A range of numbers has to end so long before now.
const SPARE: Duration = Duration::from_hours(24);

/// So many names fit in a sentence.
const NAMED: usize = 5;

/// A partition that may be dropped, by what the catalog says.
pub(super) struct Droppable {
    pub(super) parent: TableName,
    pub(super) parent_oid: Oid,
}

/// Why a partition is not dropped and its rows are deleted instead; without words where nobody would expect it to be.
pub(super) type Kept = Option<&'static str>;

/// What became of a leaf.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is gone, or left for the next run.
    Settled,
    /// Its rows are to be deleted.
    Rows,
}

/// Whether a partition may be dropped at all.
pub(super) fn may_drop(
    facts: &PartitionFacts,
    leaf: &LeafFacts,
    table: &TableFacts,
    (columns, times): (&[Identifier], &Times),
    now: Moment,
) -> Result<Droppable, Kept> {
    if facts.is_default {
        // It is there for whatever comes.
        return Err(None);
    }
    let Some(by) = &facts.by else {
        return Err(Some("it is not a range of one column, so new rows may belong there"));
    };
    if !facts.tells_age {
        return Err(Some("it is not a range of the activity or of the insert time, so new rows may belong there"));
    }
    let is_over = match (facts.is_over, times) {
        (Some(is_over), _) => is_over,
        (None, Times::Number(unit, _)) if columns == std::slice::from_ref(by) => ends_before(facts, *unit, now),
        (None, _) => return Err(Some("it is not a time range, so new rows may belong there")),
    };
    if !is_over {
        return Err(None);
    }
    if leaf.fires {
        return Err(Some("its rows have triggers or foreign keys, which dropping it would bypass"));
    }
    if leaf.row_security || table.row_security {
        return Err(Some("row security may hide some of its rows"));
    }
    if !facts.is_owned {
        return Err(Some("the role does not own it and the table"));
    }
    Ok(Droppable { parent: facts.parent_name.clone(), parent_oid: facts.parent })
}

/// Whether a range of numbers lies in the past.
fn ends_before(facts: &PartitionFacts, unit: Unit, now: Moment) -> bool {
    let end = facts.end.as_ref().and_then(|end| end.parse::<f64>().ok());
    end.is_some_and(|end| super::moment(unit.seconds(end)) < now.minus(SPARE))
}

/// Drops a partition whose rows are all due.
pub(super) async fn drop(session: &mut Session, batcher: &mut Batcher<'_>, leaf: &Leaf) -> Result<Outcome, Stop> {
    let name = leaf.facts.name.to_string();
    let (Some(Ok(droppable)), Some(statements)) = (&leaf.partition, &leaf.statements.drop) else {
        return Ok(Outcome::Rows);
    };
    let began = Instant::now();
    let (all, kept) = match rows(session, batcher, leaf).await {
        Ok(rows) => rows,
        Err(fault @ Fault::Away(_)) => return Err(fault.into()),
        // Whoever deletes rows meets it again.
        Err(_) => return Ok(Outcome::Rows),
    };
    if all == 0 || kept > 0 || all > batcher.progress.ledger.room() {
        return Ok(Outcome::Rows);
    }
    // Nobody had to wait while rows were counted, so that was a part of the pause.
    batcher.progress.rest_after(began.elapsed()).await;
    let quoted = Sql::new("{name}", &[("name", &leaf.facts.name)]).into_value();
    let is_due = statement(statements.is_due.statement()).bind(batcher.idle_seconds()).bind(quoted);
    let frame = Frame::batch(Limits { lock: LOCK, statement: Some(STATEMENT) }, "");
    let began = Instant::now();
    let key = batcher.key();
    match session.drop_partition(&frame, key, statements, leaf.statements.with_values(is_due)).await {
        Ok(true) => {
            tracing::debug!(table = %name, parent = %droppable.parent, "dropped");
            // Files are removed after the locks are released, which takes most of the time.
            batcher.dropped(leaf, all, began.elapsed() / 2);
            Ok(Outcome::Settled)
        }
        // Somebody has just put a row into it, or has moved it elsewhere.
        Ok(false) => Ok(Outcome::Rows),
        Err(Fault::Locked | Fault::Conflict(_) | Fault::AnotherNode) => {
            let ledger = &mut *batcher.progress.ledger;
            ledger.in_use(all);
            ledger.note(format!("{name} is in use; the next run drops it"));
            Ok(Outcome::Settled)
        }
        Err(fault @ Fault::Away(_)) => Err(fault.into()),
        Err(fault) => {
            let why = match fault {
                Fault::Cancelled => {
                    "scanning it under its lock takes too long; an index on the column helps".to_owned()
                }
                Fault::Refused(reason) | Fault::Final(reason) | Fault::Missing(reason) => reason,
                Fault::Locked | Fault::Conflict(_) | Fault::AnotherNode | Fault::Away(_) => String::new(),
            };
            batcher.progress.ledger.note(format!("rows of {name} are deleted, and it is not dropped: {why}"));
            Ok(Outcome::Rows)
        }
    }
}

/// How many rows there are, and how many of them are not due, or whether any is not.
async fn rows(session: &mut Session, batcher: &Batcher<'_>, leaf: &Leaf) -> Result<(u64, u64), Fault> {
    let counting = statement(leaf.statements.partition_rows.statement()).bind(batcher.idle_seconds());
    let row = session.ask_one(&batcher.ground.look, leaf.statements.with_values(counting)).await?;
    Ok((count(&row, 0)?, count(&row, 1)?))
}

/// Which partitions are gone.
pub(super) fn sentence(names: &[TableName]) -> Option<String> {
    let first: Vec<String> = names.iter().take(NAMED).map(ToString::to_string).collect();
    let more = names.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!names.is_empty())
        .then(|| format!("dropped {}: {}{more}", plural(names.len() as u64, "partition"), first.join(", ")))
}
