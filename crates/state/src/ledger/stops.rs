//! Where a run was stopped before it had looked at everything, so that the next one goes on there.

use sqlx::{Connection as _, SqliteConnection};

use super::Ledger;

const SELECT: &str = "select rule, root from stops where policy = ?1";
const SELECT_POSITIONS: &str = "select folder, entry, cookie from positions where policy = ?1 order by number";
const INSERT: &str = "insert into stops (policy, rule, root) values (?1, ?2, ?3)";
const INSERT_POSITION: &str =
    "insert into positions (policy, number, folder, entry, cookie) values (?1, ?2, ?3, ?4, ?5)";
const DELETE: &str = "delete from stops where policy = ?1";
const DELETE_POSITIONS: &str = "delete from positions where policy = ?1";

/// Where a run of a policy was stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The rule that it was a run of; it counts for no other.
    pub rule: String,
    /// Which folder the root was; it counts for no other.
    pub root: String,
    /// What was next, the first of it first.
    pub next: Vec<StoppedAt>,
}

/// What was next when a run was stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoppedAt {
    /// A folder by its path below the root.
    pub folder: Vec<u8>,
    /// An entry of it, and where it was in it; `None` is the whole folder.
    pub entry: Option<(Vec<u8>, u64)>,
}

impl Ledger {
    pub(crate) fn stop(&mut self, policy: &str) -> Option<Stop> {
        type Row = (Vec<u8>, Option<Vec<u8>>, Option<i64>);
        let found = self.run(&async |connection| {
            let stop: Option<(String, String)> =
                sqlx::query_as(SELECT).bind(policy).fetch_optional(&mut *connection).await?;
            let rows: Vec<Row> = match stop {
                Some(_) => sqlx::query_as(SELECT_POSITIONS).bind(policy).fetch_all(connection).await?,
                None => Vec::new(),
            };
            Ok(stop.zip(Some(rows)))
        });
        let ((rule, root), rows) = found.flatten()?;
        let next =
            |(folder, entry, cookie): Row| StoppedAt { folder, entry: entry.zip(cookie.map(i64::cast_unsigned)) };
        Some(Stop { rule, root, next: rows.into_iter().map(next).collect() })
    }

    /// Whether it is remembered, or forgotten, now.
    pub(crate) fn remember_stop(&mut self, policy: &str, stop: Option<&Stop>) -> bool {
        let done = self.change(&async |connection| {
            let mut transaction = connection.begin_with("begin immediate").await?;
            sqlx::query(DELETE).bind(policy).execute(&mut *transaction).await?;
            sqlx::query(DELETE_POSITIONS).bind(policy).execute(&mut *transaction).await?;
            if let Some(stop) = stop {
                insert(&mut transaction, policy, stop).await?;
            }
            transaction.commit().await
        });
        done.is_some()
    }
}

async fn insert(connection: &mut SqliteConnection, policy: &str, stop: &Stop) -> Result<(), sqlx::Error> {
    let Stop { rule, root, next } = stop;
    sqlx::query(INSERT).bind(policy).bind(rule).bind(root).execute(&mut *connection).await?;
    for (StoppedAt { folder, entry }, number) in next.iter().zip(0_i64..) {
        let (entry, cookie) = entry.as_ref().map(|(name, cookie)| (name, cookie.cast_signed())).unzip();
        sqlx::query(INSERT_POSITION)
            .bind(policy)
            .bind(number)
            .bind(folder)
            .bind(entry)
            .bind(cookie)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
