//! Index order: oldest first, locked rows passed by, a watermark ahead of dead rows.
//!
//! It ends with the first batch that picks fewer rows than it asked for. It cannot go round in circles: every batch
//! removes a row for good, or passes one by, or moves the watermark on, or asks for more than the one before; and what a
//! trigger puts back is left alone.

use super::bisect;
use super::batch::{Batches, Next};
use super::inspect::Leaf;
use super::leftovers::{Leftovers, TOO_MANY_TO_LOOK};
use super::session::{Session, statement};
use crate::obstacle::Stop;

/// How often in a row a refused batch may be bisected without any row going or staying.
const STALLS: u32 = 4;

pub(super) async fn run(session: &mut Session, batches: &mut Batches<'_>, leaf: &Leaf) -> Result<(), Stop> {
    let tids = leaf.statements.index_order_tids.statement();
    let mut pacer = batches.rows();
    let mut watermark = leaf.statements.beginning.to_owned();
    let (mut gone, mut stalled) = (0, 0);
    while !batches.is_over() {
        let size = batches.size(&pacer);
        match batches.index_order(session, leaf, &watermark, &mut pacer).await? {
            Next::Done(done) => {
                gone += done.gone;
                if done.picked.unwrap_or_default() < u64::from(size) {
                    break;
                }
                let mark = done.mark.unwrap_or_else(|| watermark.clone());
                if done.gone == 0 && mark == watermark && !pacer.stuck() {
                    break;
                }
                watermark = mark;
            }
            Next::Locked => batches.wait().await?,
            Next::Again => {}
            Next::Refused(reason) => {
                let tids = statement(tids.clone()).bind(batches.idle_seconds()).bind(watermark.clone());
                let tids = tids.bind(i64::from(size)).bind(batches.refused());
                let tids = batches.last(leaf, tids);
                let listed = batches.list(session, leaf, tids).await?;
                let before = batches.dealt_with();
                bisect::run(session, batches, leaf, &listed).await?;
                if batches.is_over() || batches.ledger.gave_up {
                    break;
                }
                // The refused row may have changed in between; but a trigger of the statement refuses no rows at all, too.
                stalled = if batches.dealt_with() == before { stalled + 1 } else { 0 };
                if stalled == STALLS {
                    return Err(Stop::Failed(reason));
                }
            }
            Next::Cancelled if pacer.cancelled() => {}
            Next::Cancelled => {
                batches.gave_up(leaf);
                break;
            }
        }
    }
    let mut left = Leftovers::default();
    batches.look_back(session, &mut left, leaf).await?;
    if Leftovers::possible(leaf) || gone <= TOO_MANY_TO_LOOK {
        batches.look_left(session, &mut left, leaf, None).await?;
    }
    left.write(leaf, batches.ledger);
    Ok(())
}
