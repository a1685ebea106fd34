//! Tracked files that were registered later than their own stamps tell.
//!
//! The disk is the better memory: a file that was just written needs no row, its stamp says the same. Only what was
//! moved, linked or copied in with an older stamp has one. A row whose file is gone, or was written since, is dropped
//! when the disk is next compared.

use cleanup_core::moment::Moment;
use sqlx::Connection as _;

use super::Ledger;

const SELECT: &str = "select path, seconds, nanos from tracked where policy = ?1";
const INSERT: &str = "insert or replace into tracked (policy, path, seconds, nanos) values (?1, ?2, ?3, ?4)";
const DELETE: &str = "delete from tracked where policy = ?1 and path = ?2";

/// A change of what is remembered of one tracked file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackedChange {
    /// The policy's key.
    pub policy: String,
    /// The path below its root.
    pub path: Vec<u8>,
    /// Since when it counts; `None` when nothing is to be remembered of it.
    pub registered_at: Option<Moment>,
}

impl Ledger {
    pub(crate) fn tracked(&mut self, policy: &str) -> Vec<(Vec<u8>, Moment)> {
        type Row = (Vec<u8>, i64, i64);
        let rows: Option<Vec<Row>> =
            self.run(&async |connection| sqlx::query_as(SELECT).bind(policy).fetch_all(connection).await);
        let moment =
            |(path, seconds, nanos): Row| (path, Moment::from_unix(seconds, u32::try_from(nanos).unwrap_or(0)));
        rows.unwrap_or_default().into_iter().map(moment).collect()
    }

    /// Whether all of them are remembered now.
    pub(crate) fn remember_tracked(&mut self, changes: &[TrackedChange]) -> bool {
        if changes.is_empty() {
            return true;
        }
        let done = self.change(&async |connection| {
            let mut transaction = connection.begin_with("begin immediate").await?;
            for TrackedChange { policy, path, registered_at } in changes {
                let query = match registered_at {
                    Some(at) => sqlx::query(INSERT)
                        .bind(policy)
                        .bind(path)
                        .bind(at.unix_seconds())
                        .bind(i64::from(at.subsec_nanos())),
                    None => sqlx::query(DELETE).bind(policy).bind(path),
                };
                query.execute(&mut *transaction).await?;
            }
            transaction.commit().await
        });
        self.end_of_run();
        done.is_some()
    }
}
