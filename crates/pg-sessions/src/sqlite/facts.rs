//! What a sweep would do now, without doing it: for `config check`.

use cleanup_core::policy::SessionPolicy;

use super::inspect::Ground;
use super::session::{Fault, Session, cell, count, statement};
use crate::facts::{BatchPlan, Follower, TableFacts};
use crate::rule::idle_seconds;
use crate::rule::names::Sql;
use crate::{SessionStats, Strategy};

const EXPLAIN: &str = "explain query plan {pick}";

pub(super) async fn facts(
    session: &mut Session,
    policy: &SessionPolicy,
    ground: &Ground,
    stats: SessionStats,
) -> Result<TableFacts, Fault> {
    let strategy = if ground.index { Strategy::IndexOrder } else { Strategy::HeapOrder };
    let mut index = None;
    if strategy == Strategy::IndexOrder {
        let cutoff = ground.now(session, -idle_seconds(policy)).await?;
        let pick = Sql::new(EXPLAIN, &[("pick", &ground.statements.pick)]);
        let bound = statement(pick.statement()).bind(cutoff).bind("-9e18").bind(1_i64).bind("[]");
        for row in session.all(ground.statements.with_values(bound)).await? {
            let line: String = cell(&row, 3)?;
            let named = line.split_once(" INDEX ").map(|(_, named)| named.split(" (").next().unwrap_or(named));
            index = index.or_else(|| named.map(ToOwned::to_owned));
        }
    }
    let mut followers = Vec::new();
    if stats.expired_rows > 0 {
        let cutoff = ground.now(session, -idle_seconds(policy)).await?;
        for (sql, (other, what)) in ground.statements.followers.iter().zip(&ground.followers) {
            let counting = ground.statements.with_values(statement(sql.statement()).bind(cutoff.clone()));
            let rows = Some(count(&session.one(counting).await?, 0)?);
            followers.push(Follower { table: other.to_string(), what, rows });
        }
    }
    let table = ground.name.to_string();
    Ok(TableFacts {
        batches: vec![BatchPlan { table: table.clone(), strategy, index }],
        table,
        stats,
        followers,
        has_triggers: ground.triggers,
        has_row_security: false,
        clock_ahead_seconds: None,
    })
}
