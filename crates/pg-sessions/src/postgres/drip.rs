//! The drip: in the order of the index, oldest first, locked rows passed by, a watermark ahead of dead rows.
//!
//! It ends with the first batch that picks fewer rows than it asked for. It cannot go round in circles: every batch
//! removes a row, or moves the watermark on, or asks for more than the one before.

use super::batch::{Batches, Next};
use super::inspect::Leaf;
use super::left::{Left, TOO_MANY_TO_LOOK};
use super::session::{Session, statement};
use crate::obstacle::Stop;

/// Older than every stamp; the watermark of a run begins here each time.
const BEGINNING: &str = "-infinity";

pub(super) async fn run(session: &mut Session, batches: &mut Batches<'_>, leaf: &Leaf) -> Result<(), Stop> {
    let drip = leaf.statements.drip.statement();
    let mut pacer = batches.rows();
    let mut watermark = BEGINNING.to_owned();
    let mut gone = 0;
    loop {
        let size = pacer.size();
        let bound = statement(drip.clone()).bind(batches.idle_seconds()).bind(watermark.clone()).bind(i64::from(size));
        match batches.steady(session, bound, &mut pacer).await? {
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
            Next::Cancelled if pacer.cancelled() => {}
            Next::Cancelled => {
                batches.gave_up(leaf);
                break;
            }
        }
    }
    let mut left = Left::default();
    if Left::possible(leaf) || gone <= TOO_MANY_TO_LOOK {
        batches.look_left(session, &mut left, leaf, None).await?;
    }
    left.write(leaf, batches.ledger);
    Ok(())
}
