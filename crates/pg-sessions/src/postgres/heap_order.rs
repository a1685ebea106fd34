//! Heap order: ranges of pages in physical order, the age test alone, no sort, no index, each page read once.
//!
//! The plain statement for a range waits when somebody holds a lock on one of its rows. It does so only for as long as
//! a batch takes, and the same range is then done again around the locked rows: nobody waits for us, and we for nobody.
//! A page whose rows take too long all at once is taken in pieces.

use std::ops::Range;

use super::batch::{Batcher, OnLeaf};
use super::inspect::{Leaf, Steering};
use super::leftovers::Leftovers;
use super::session::{Session, statement};
use crate::report::obstacle::Stop;
use crate::run::progress::Next;
use crate::run::{bisect, pace};

pub(super) async fn run(
    session: &mut Session,
    batcher: &mut Batcher<'_>,
    leaf: &Leaf,
    part: Range<u64>,
) -> Result<(), Stop> {
    let mut pacer = batcher.pages(rows_per_page(leaf, pages(leaf, batcher.block_bytes())));
    let mut left = Leftovers::default();
    let mut page = part.start;
    while page < part.end {
        let end = (page + u64::from(pacer.size())).min(part.end);
        if batcher.progress.ledger.is_limited() {
            // Only where rows are picked it is known how many will go.
            around_locks(session, batcher, leaf, page, end).await?;
            page = end;
            if batcher.progress.is_over() {
                batcher.stopped_at = Some(page);
                break;
            }
            continue;
        }
        match batcher.range(session, leaf, (page, end), &mut pacer).await? {
            Next::Done(_) => {
                // Where rows are picked first, those that somebody has locked were passed by.
                if Leftovers::possible(leaf) || batcher.steering == Steering::Picking {
                    batcher.look_left(session, &mut left, leaf, Some((page, end))).await?;
                }
                page = end;
            }
            Next::Again => {}
            Next::Cancelled if pacer.cancelled() => {}
            Next::Refused(_) => {
                bisect_range(session, batcher, leaf, page, end).await?;
                batcher.look_left(session, &mut left, leaf, Some((page, end))).await?;
                page = end;
            }
            Next::Locked | Next::Cancelled => {
                around_locks(session, batcher, leaf, page, end).await?;
                batcher.look_left(session, &mut left, leaf, Some((page, end))).await?;
                page = end;
            }
        }
        if batcher.progress.is_over() {
            batcher.stopped_at = Some(page);
            break;
        }
    }
    batcher.look_back(session, &mut left, leaf).await?;
    left.write(leaf, batcher.progress.ledger);
    Ok(())
}

/// How many pages a leaf has.
pub(super) fn pages(leaf: &Leaf, block_bytes: u64) -> u64 {
    leaf.facts.bytes.div_ceil(block_bytes)
}

/// The same range without waiting, in pieces that fit.
async fn around_locks(
    session: &mut Session,
    batcher: &mut Batcher<'_>,
    leaf: &Leaf,
    page: u64,
    end: u64,
) -> Result<(), Stop> {
    let mut pacer = batcher.progress.most_rows();
    loop {
        let size = batcher.progress.size(&pacer);
        match batcher.around(session, leaf, (page, end), &mut pacer).await? {
            Next::Done(done) => {
                let picked = done.picked.unwrap_or_default();
                if picked < u64::from(size) || (done.gone == 0 && !pacer.stuck()) || batcher.progress.is_over() {
                    return Ok(());
                }
            }
            Next::Locked => batcher.progress.wait().await?,
            Next::Again => {}
            Next::Refused(_) => return bisect_range(session, batcher, leaf, page, end).await,
            Next::Cancelled if pacer.cancelled() => {}
            Next::Cancelled => {
                batcher.gave_up(leaf);
                return Ok(());
            }
        }
    }
}

/// All of a range in which the database refuses a row, without waiting.
async fn bisect_range(
    session: &mut Session,
    batcher: &mut Batcher<'_>,
    leaf: &Leaf,
    page: u64,
    end: u64,
) -> Result<(), Stop> {
    loop {
        let most = i64::from(batcher.progress.ledger.fitting(*pace::ROWS.end()));
        let tids = statement(leaf.statements.range_tids.statement()).bind(batcher.idle_seconds());
        let tids = tids.bind(tid(page)).bind(tid(end)).bind(most).bind(batcher.refused());
        let tids = batcher.last(leaf, tids);
        let listed = batcher.list(session, tids).await?;
        let before = batcher.progress.dealt_with();
        bisect::run(&mut OnLeaf { session, batcher, leaf }, &listed).await?;
        // A range is not much larger than a batch, unless the planner's figures are old.
        let more = i64::try_from(listed.len()) == Ok(most);
        if !more || batcher.progress.is_over() || batcher.progress.dealt_with() == before {
            return Ok(());
        }
    }
}

/// What the planner believes; a guess when it has never looked. It only sets the size of the first batch and the bounds.
#[expect(clippy::cast_precision_loss, reason = "a guess")]
fn rows_per_page(leaf: &Leaf, pages: u64) -> f64 {
    if leaf.facts.tuples > 0.0 && pages > 0 { (leaf.facts.tuples / pages as f64).max(0.1) } else { 8.0 }
}

/// The first place of a page, as PostgreSQL writes it. Pages are numbered with 32 bits.
pub(super) fn tid(page: u64) -> String {
    format!("({},0)", page.min(u64::from(u32::MAX)))
}
