//! Bisects a batch that the database refuses because of a row in it, as on PostgreSQL.
//!
//! The keys of the rows stay in the JSON array that SQLite made of them, and a part is a stretch of that array: a key may be a
//! session's id, and no id passes through here.

use std::ops::Range;

use super::session::{Fault, cell, count, statement};
use super::sql;
use super::{Done, Run, cutoff, remove};
use crate::idle_seconds;
use crate::obstacle::Stop;
use crate::table::Sql;

impl Run<'_> {
    /// Removes what can go of these rows, and passes by and counts what is refused alone. Says whether there was either.
    pub(super) async fn bisect(&mut self, keys: &str) -> Result<bool, Stop> {
        let length = statement(sql::length().statement()).bind(keys.to_owned());
        let all = 0..count(&self.session.one(length).await?, 0)?;
        let mut parts = Vec::from([all]);
        let mut went = false;
        while let Some(part) = parts.pop() {
            if part.is_empty() || self.ledger.is_over() {
                continue;
            }
            let result = self.listed_batch(keys, &part).await;
            match result {
                Err(Fault::Refused(reason)) if part.end - part.start == 1 => {
                    self.pass_by(keys, part.start, reason).await?;
                    went = true;
                }
                Err(Fault::Refused(_)) => {
                    let middle = part.start.midpoint(part.end);
                    parts.extend([middle..part.end, part.start..middle]);
                }
                other => match self.tried(other).await? {
                    None => parts.push(part),
                    Some(gone) => {
                        went |= gone > 0;
                        let done = Done { picked: part.end - part.start, gone, mark: None };
                        self.count(&done, std::time::Duration::ZERO).await;
                    }
                },
            }
        }
        Ok(went)
    }

    async fn listed_batch(&mut self, keys: &str, part: &Range<u64>) -> Result<u64, Fault> {
        let statements = &self.ground.statements;
        let mut batch = self.session.batch().await?;
        let gone = async {
            let cutoff =
                self.ground.bound(&batch.one(cutoff(&statements.cutoff, -idle_seconds(self.policy))).await?)?;
            let bind = |sql: &Sql| {
                let bound = statement(sql.statement()).bind(cutoff.clone()).bind(keys.to_owned());
                statements.with_values(bound.bind(place(part.start)).bind(place(part.end)))
            };
            let archive = statements.archive_listed.as_ref().map(bind);
            remove(&mut batch, archive, bind(&statements.delete_listed)).await
        };
        let gone = gone.await;
        batch.end(gone).await
    }

    async fn pass_by(&mut self, keys: &str, at: u64, reason: String) -> Result<(), Fault> {
        self.ledger.refused(&self.ground.name.to_string(), reason);
        let more =
            statement(sql::with_key().statement()).bind(self.aside.clone()).bind(keys.to_owned()).bind(place(at));
        self.aside = cell(&self.session.one(more).await?, 0)?;
        Ok(())
    }
}

fn place(at: u64) -> i64 {
    i64::try_from(at).unwrap_or(i64::MAX)
}
