//! Bisects a batch that the database refuses because of a row in it, until the refused row stands alone.
//!
//! A trigger that raises, or a constraint, ends the whole statement and does not say which row it was about. So the rows
//! of the batch are listed by their places and tried in halves: what can go goes, and a row that is refused alone is
//! passed by for the rest of the run and counted. It ends because a half is smaller than the whole, and because a run
//! passes only so many rows by.

use super::batch::{Batches, Next};
use super::inspect::Leaf;
use super::session::Session;
use crate::obstacle::Stop;

pub(super) async fn run(
    session: &mut Session,
    batches: &mut Batches<'_>,
    leaf: &Leaf,
    tids: &[String],
) -> Result<(), Stop> {
    let mut pacer = batches.whole_range();
    let mut parts = vec![tids];
    while let Some(part) = parts.pop() {
        if part.is_empty() || batches.is_over() {
            continue;
        }
        match (batches.listed(session, leaf, part, &mut pacer).await?, part) {
            (Next::Done(_), _) => {}
            (Next::Again, part) => parts.push(part),
            (Next::Locked, part) => {
                batches.wait().await?;
                parts.push(part);
            }
            (Next::Refused(reason), [row]) => batches.pass_by(leaf, row, reason),
            (Next::Cancelled, [_]) => batches.gave_up(leaf),
            (Next::Refused(_) | Next::Cancelled, part) => {
                let (first, second) = part.split_at(part.len() / 2);
                parts.extend([second, first]);
            }
        }
    }
    Ok(())
}
