//! Index order: oldest first, locked rows passed by, a watermark ahead of dead rows.
//!
//! It ends with the first batch that picks fewer rows than it asked for. It cannot go round in circles: every batch
//! removes a row for good, or passes one by, or moves the watermark on, or asks for more than the one before; and what a
//! trigger puts back is left alone.

use super::progress::Next;
use super::{Batches, bisect};
use crate::report::obstacle::Stop;

/// How often in a row a refused batch may be bisected without any row going or staying.
const STALLS: u32 = 4;

/// Goes through a table from the stamp `beginning` on, and says how many rows are gone.
pub(crate) async fn run<B: Batches>(batches: &mut B, beginning: &str) -> Result<u64, Stop> {
    let mut pacer = batches.progress(|progress| progress.rows());
    let mut watermark = beginning.to_owned();
    let (mut gone, mut stalled) = (0, 0);
    while batches.progress(|progress| !progress.is_over()) {
        let size = batches.progress(|progress| progress.size(&pacer));
        match batches.remove_oldest(&watermark, &mut pacer).await? {
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
                let rows = batches.list_oldest(&watermark, size).await?;
                let before = batches.progress(|progress| progress.dealt_with());
                bisect::run(batches, &rows).await?;
                if batches.progress(|progress| progress.is_over() || progress.ledger.gave_up) {
                    break;
                }
                let after = batches.progress(|progress| progress.dealt_with());
                // The refused row may have changed in between; but a trigger of the statement refuses no rows at all, too.
                stalled = if after == before { stalled + 1 } else { 0 };
                if stalled == STALLS {
                    return Err(Stop::Failed(reason));
                }
            }
            Next::Cancelled if pacer.cancelled() => {}
            Next::Cancelled => {
                batches.gave_up();
                break;
            }
        }
    }
    Ok(gone)
}
