//! What a sweep would do now, without doing it: for `config check`.

use cleanup_core::policy::SessionPolicy;

use super::batch::BY_INDEX;
use super::choose;
use super::fault::Fault;
use super::inspect::{Ground, Leaf, Steering};
use super::session::{Frame, Limits, Session, cell, count, statement};
use crate::facts::{BatchPlan, Follower, TableFacts};
use crate::rule::idle_seconds;
use crate::rule::names::Sql;
use crate::{SessionStats, Strategy};

/// What looking may take.
const LOOK: std::time::Duration = std::time::Duration::from_secs(10);

/// Planned and not executed. A batch picks so few rows that the planner has no reason to sort.
const EXPLAIN: &str = "explain {pick}";

/// As many rows as the first batch picks.
const BATCH: i64 = 500;

pub(super) async fn facts(
    session: &mut Session,
    policy: &SessionPolicy,
    ground: &Ground,
    stats: SessionStats,
) -> Result<TableFacts, Fault> {
    let (mut batches, mut followers) = (Vec::new(), Vec::new());
    for leaf in &ground.leaves {
        let strategy = choose(session, ground, leaf, policy).await?;
        let index = match strategy {
            Strategy::IndexOrder => index(session, policy, leaf).await?,
            Strategy::HeapOrder => None,
        };
        batches.push(BatchPlan { table: leaf.facts.name.to_string(), strategy, index });
        if stats.expired_rows > 0 {
            count_followers(session, policy, ground, leaf, &mut followers).await?;
        }
    }
    Ok(TableFacts {
        table: ground.table.name.to_string(),
        stats,
        batches,
        followers,
        has_triggers: ground.leaves.iter().any(|leaf| leaf.facts.own_triggers),
        has_row_security: ground.leaves.iter().any(|leaf| leaf.facts.row_security),
        clock_ahead_seconds: None,
    })
}

/// The index that a batch follows, as the planner has it.
async fn index(session: &mut Session, policy: &SessionPolicy, leaf: &Leaf) -> Result<Option<String>, Fault> {
    let limits = Limits { lock: policy.lock_timeout, statement: Some(LOOK) };
    let planner = if leaf.steering == Steering::None { "" } else { BY_INDEX };
    let pick = Sql::new(EXPLAIN, &[("pick", &leaf.statements.index_order_pick)]);
    let bound = statement(pick.statement())
        .bind(idle_seconds(policy))
        .bind(leaf.statements.beginning)
        .bind(BATCH)
        .bind(Vec::<String>::new())
        .bind(None::<String>);
    let rows = session.ask(&Frame::batch(limits, planner), leaf.statements.with_values(bound)).await?;
    for row in &rows {
        let line: String = cell(row, 0)?;
        if let Some((_, scan)) = line.split_once(" using ")
            && let Some((index, _)) = scan.rsplit_once(" on ")
        {
            return Ok(Some(index.to_owned()));
        }
        if let Some((_, scan)) = line.split_once("Bitmap Index Scan on ") {
            return Ok(scan.split("  (cost").next().map(ToOwned::to_owned));
        }
    }
    Ok(None)
}

/// Partitions have the same keys, so what one says is added to what the others say.
async fn count_followers(
    session: &mut Session,
    policy: &SessionPolicy,
    ground: &Ground,
    leaf: &Leaf,
    followers: &mut Vec<Follower>,
) -> Result<(), Fault> {
    for (sql, (other, what)) in leaf.statements.followers.iter().zip(&leaf.followers) {
        let bound = leaf.statements.with_values(statement(sql.statement()).bind(idle_seconds(policy)));
        let rows = match session.ask_one(&ground.look, bound).await {
            Ok(row) => Some(count(&row, 0)?),
            Err(fault @ Fault::Away(_)) => return Err(fault),
            Err(_) => None,
        };
        let table = other.to_string();
        match followers.iter_mut().find(|known| known.table == table && known.what == *what) {
            Some(known) => known.rows = known.rows.zip(rows).map(|(some, more)| some + more),
            None => followers.push(Follower { table, what, rows }),
        }
    }
    Ok(())
}
