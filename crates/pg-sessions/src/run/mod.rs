//! How batches follow each other, whatever a batch says in SQL: pacing, bounded retries, the books, and the two courses
//! whose end is not obvious.

pub(crate) mod bisect;
pub(crate) mod index_order;
pub(crate) mod pace;
pub(crate) mod progress;

use std::ops::Range;

use self::pace::Pacer;
use self::progress::{Next, Progress};
use crate::report::obstacle::Stop;

/// Batches over one table, as the courses need them.
pub(crate) trait Batches: Send {
    /// The rows of one batch, by whatever the database finds them again.
    type Rows: Sync;

    /// Asks, or tells, the state of the run.
    fn progress<R>(&mut self, act: impl FnOnce(&mut Progress<'_>) -> R) -> R;

    /// Waits before the same is tried again, and ends the run when that was often enough.
    fn wait(&mut self) -> impl Future<Output = Result<(), Stop>> + Send;

    /// Removes as many of the oldest due rows as the pacer says, from the stamp `from` on.
    fn remove_oldest(&mut self, from: &str, pacer: &mut Pacer) -> impl Future<Output = Result<Next, Stop>> + Send;

    /// The rows that this batch would take.
    fn list_oldest(&mut self, from: &str, size: u32) -> impl Future<Output = Result<Self::Rows, Stop>> + Send;

    /// How many they are.
    fn count(rows: &Self::Rows) -> usize;

    /// Removes some of those rows, if they are still due.
    fn remove_listed(
        &mut self,
        rows: &Self::Rows,
        part: Range<usize>,
        pacer: &mut Pacer,
    ) -> impl Future<Output = Result<Next, Stop>> + Send;

    /// Counts a row that the database refuses to remove, and leaves it alone from now on.
    fn pass_by(
        &mut self,
        rows: &Self::Rows,
        at: usize,
        reason: String,
    ) -> impl Future<Output = Result<(), Stop>> + Send;

    /// Not even one row could be done in the time there is.
    fn gave_up(&mut self);
}
