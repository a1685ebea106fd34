//! Bisects a batch that the database refuses because of a row in it, until the refused row stands alone.
//!
//! A trigger that raises, or a constraint, ends the whole statement and does not say which row it was about. So the rows
//! of the batch are tried in halves: what can go goes, and a row that is refused alone is passed by for the rest of the run
//! and counted. It ends because a half is smaller than the whole, and because a run passes only so many rows by.

use super::Batches;
use super::progress::Next;
use crate::report::obstacle::Stop;

pub(crate) async fn run<B: Batches>(batches: &mut B, rows: &B::Rows) -> Result<(), Stop> {
    let mut pacer = batches.progress(|progress| progress.most_rows());
    let all = 0..B::count(rows);
    let mut parts = Vec::from([all]);
    while let Some(part) = parts.pop() {
        let goes_on = batches.progress(|progress| !progress.is_over());
        if part.is_empty() || !goes_on {
            continue;
        }
        let is_alone = part.len() == 1;
        match batches.remove_listed(rows, part.clone(), &mut pacer).await? {
            Next::Done(_) => {}
            Next::Again => parts.push(part),
            Next::Locked => {
                batches.wait().await?;
                parts.push(part);
            }
            Next::Refused(reason) if is_alone => batches.pass_by(rows, part.start, reason).await?,
            Next::Cancelled if is_alone => batches.gave_up(),
            Next::Refused(_) | Next::Cancelled => {
                let middle = part.start.midpoint(part.end);
                parts.extend([middle..part.end, part.start..middle]);
            }
        }
    }
    Ok(())
}
