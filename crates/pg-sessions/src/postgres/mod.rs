//! PostgreSQL: one connection, small transactions, two strategies of going through a table.
//!
//! A run looks at the catalog, estimates, and then takes each leaf of the table by one of two strategies. **Index order**
//! is the steady state: few rows are due, an index leads to them, they go oldest first. **Heap order** is for a backlog or
//! a table without an index: ranges of pages in physical order, each page read once. Both are sequences of batches, and a
//! batch is a transaction of one `DELETE` that carries the age test itself. Nothing is remembered between runs.

mod archive;
mod batch;
mod catalog;
mod columns;
mod count;
mod facts;
mod fault;
mod heap_order;
mod index_order;
mod inspect;
mod leftovers;
mod parameter;
mod partition;
mod row;
mod session;
mod sql;
mod tables;
mod url;
mod values;

use std::ops::Range;
use std::time::Duration;

use cleanup_core::moment::Moment;
use cleanup_core::policy::{Pace, SessionPolicy};
use sqlx::postgres::types::Oid;

use self::batch::Batcher;
use self::catalog::Standing;
use self::fault::Fault;
use self::inspect::{Ground, Leaf};
#[cfg(test)]
pub(crate) use self::parameter::LIBPQ;
use self::session::{Frame, Limits, Session, statement};
pub(crate) use self::tables::tables;
pub(crate) use self::url::{Server, parse as parse_url};
use crate::database::{Access, Database, Inspected, Run, Seen};
use crate::report::ledger::Ledger;
use crate::report::obstacle::Stop;
use crate::rule::clocks::Clock;
use crate::rule::idle_seconds;
use crate::rule::names::Sql;
use crate::{RowPlace, Rows, SessionStats, Strategy, TableFacts};

/// From this share of expired rows on, going through everything beats following an index.
const BACKLOG_SHARE: f64 = 0.3;

/// From this size on, and only when nobody is there to feel it, two connections take half of a table each: deleting is
/// work for a processor, and a server has more than one.
const TWO_CONNECTIONS_BYTES: u64 = 16 << 20;

/// How long the operator's own query may take, unless `statement_timeout` says otherwise.
const QUERY: Duration = Duration::from_secs(30);

/// TID ranges came with this version.
const TID_RANGES: i32 = 140_000;

impl Database for Server {
    type Session = Session;
    type Ground = Ground;

    async fn open(&self, _policy: &SessionPolicy, _access: Access) -> Result<Session, Stop> {
        Ok(Session::open(self).await?)
    }

    async fn inspect(
        &self,
        session: &mut Session,
        policy: &SessionPolicy,
        clock: &Clock,
    ) -> Result<Inspected<Ground>, Stop> {
        Ok(inspect::inspect(session, policy, clock).await?)
    }

    async fn sweep(&self, session: &mut Session, ground: &Ground, run: Run<'_>) -> Result<(), Stop> {
        let Run { policy, strategy, observer, ledger } = run;
        let turns = turns(ground, ledger.place.take());
        let mut batcher = Batcher::new(policy, ground, observer, ledger);
        let mut locked = Ok(());
        // Leaves of which nothing is left for a second turn.
        let mut settled = Vec::new();
        for (leaf, pages) in turns {
            let is_first = pages.end == u64::MAX;
            if !is_first && settled.contains(&leaf.facts.oid) {
                continue;
            }
            if batcher.progress.is_over() {
                batcher.stop_at(leaf, pages.start);
                break;
            }
            if let Some(why) = &leaf.hidden {
                batcher.progress.ledger.error(&leaf.facts.name.to_string(), why.clone());
                continue;
            }
            if is_first && partition::drop(session, &mut batcher, leaf).await? == partition::Outcome::Settled {
                settled.push(leaf.facts.oid);
                continue;
            }
            let before = batcher.progress.ledger.tally.counts.removed;
            let strategy = if is_first { strategy } else { Some(Strategy::HeapOrder) };
            match self.sweep_leaf(session, &mut batcher, leaf, (strategy, pages.clone())).await {
                Ok(_) if batcher.progress.ledger.is_over() => {
                    let end = pages.end.min(heap_order::pages(leaf, batcher.block_bytes()));
                    // In the order of the index the next run begins with the first row that is left.
                    let page = batcher.stopped_at.unwrap_or(pages.start);
                    if page < end {
                        batcher.stop_at(leaf, page);
                        break;
                    }
                }
                Ok(Strategy::IndexOrder) => settled.push(leaf.facts.oid),
                Ok(Strategy::HeapOrder) => {}
                // The other partitions may be free.
                Err(Stop::Busy) => locked = Err(Stop::Busy),
                // It is said below that it is gone.
                Err(Stop::Missing(reason)) => {
                    let asked = vec![leaf.facts.oid];
                    let now = catalog::standing(session, &ground.look, ground.table.oid, asked).await?;
                    if now == [Standing::Member] {
                        return Err(Stop::Failed(reason));
                    }
                }
                Err(stop) => return Err(stop),
            }
            if let Some(Err(Some(why))) = &leaf.partition
                && batcher.progress.ledger.tally.counts.removed > before
            {
                let name = &leaf.facts.name;
                batcher.progress.ledger.note(format!("rows of {name} are deleted, and it is not dropped: {why}"));
            }
        }
        if batcher.progress.ledger.room() == 0 {
            let gone: Vec<_> = batcher.gone.iter().map(|(oid, _)| *oid).collect();
            for leaf in ground.leaves.iter().filter(|leaf| !gone.contains(&leaf.facts.oid)) {
                batcher.look_deferred(session, leaf).await?;
            }
        }
        let (gone, names): (Vec<_>, Vec<_>) = std::mem::take(&mut batcher.gone).into_iter().unzip();
        let ledger = batcher.progress.ledger;
        if let Some(sentence) = partition::sentence(&names) {
            ledger.note(sentence);
        }
        say_what_went(session, ground, &gone, ledger).await?;
        locked
    }

    async fn plan(
        &self,
        session: &mut Session,
        ground: &Ground,
        policy: &SessionPolicy,
        ahead: f64,
        ledger: &mut Ledger,
    ) -> Result<(), Stop> {
        count::plan(session, policy, ground, ahead, ledger).await
    }

    async fn stats(
        &self,
        session: &mut Session,
        ground: &Ground,
        policy: &SessionPolicy,
        seen: Seen,
    ) -> Result<SessionStats, Stop> {
        if let Some(why) = ground.leaves.iter().find_map(|leaf| leaf.hidden.clone()) {
            return Err(Stop::Failed(why));
        }
        count::stats(session, policy, ground, seen).await
    }

    async fn facts(
        &self,
        session: &mut Session,
        ground: &Ground,
        policy: &SessionPolicy,
        seen: Seen,
    ) -> Result<TableFacts, Stop> {
        let clock_ahead_seconds = seen.clock_ahead_seconds;
        let stats = self.stats(session, ground, policy, seen).await?;
        Ok(TableFacts { clock_ahead_seconds, ..facts::facts(session, policy, ground, stats).await? })
    }

    async fn explain(
        &self,
        session: &mut Session,
        ground: &Ground,
        policy: &SessionPolicy,
        _clock: &Clock,
        key: &str,
    ) -> Result<Rows, Stop> {
        row::explain(session, policy, ground, key).await
    }

    async fn references(
        &self,
        session: &mut Session,
        policy: &SessionPolicy,
        query: &Sql,
        each: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<(), Stop> {
        let limits = Limits { lock: policy.lock_timeout, statement: Some(policy.statement_timeout.unwrap_or(QUERY)) };
        Ok(session.each(&Frame::look_up(limits), statement(query.statement()), each).await?)
    }

    async fn close(&self, session: Session) {
        session.close().await;
    }
}

impl Server {
    /// Some pages of one table without children, or all of it in the order of its index; says which.
    async fn sweep_leaf(
        &self,
        session: &mut Session,
        batcher: &mut Batcher<'_>,
        leaf: &Leaf,
        (strategy, part): (Option<Strategy>, Range<u64>),
    ) -> Result<Strategy, Stop> {
        let strategy = match strategy {
            Some(strategy) => strategy,
            None => choose(session, batcher.ground, leaf, batcher.progress.policy).await?,
        };
        tracing::debug!(table = %leaf.facts.name, ?strategy, "sweeping");
        batcher.enter(leaf);
        if strategy == Strategy::IndexOrder {
            index_order::run(session, batcher, leaf).await?;
            return Ok(strategy);
        }
        let pages = heap_order::pages(leaf, batcher.block_bytes());
        let part = part.start.min(pages)..part.end.min(pages);
        // One connection alone can tell what a trigger puts back, and when enough has gone.
        let is_alone = leaf.facts.own_triggers || batcher.progress.ledger.is_limited();
        let is_shared = !is_alone && leaf.facts.bytes >= TWO_CONNECTIONS_BYTES;
        let second = if batcher.progress.policy.pace == Pace::OffHours && is_shared {
            // A role may have no second connection left; one is enough.
            Session::open(self).await.ok()
        } else {
            None
        };
        let Some(mut second) = second else {
            heap_order::run(session, batcher, leaf, part).await?;
            return Ok(strategy);
        };
        let mut second_ledger = batcher.progress.ledger.beside();
        let mut second_batcher = batcher.second(&mut second_ledger);
        second_batcher.enter(leaf);
        let middle = part.start.midpoint(part.end);
        let (first, last) = tokio::join!(
            heap_order::run(session, batcher, leaf, part.start..middle),
            heap_order::run(&mut second, &mut second_batcher, leaf, middle..part.end),
        );
        // What the second one has looked at, the next run may look at again.
        batcher.stopped_at = batcher.stopped_at.filter(|page| *page < middle).or(second_batcher.stopped_at);
        batcher.progress.ledger.add(second_ledger);
        first.and(last)?;
        second.close().await;
        Ok(strategy)
    }
}

/// Which pages of which leaf are gone through, one after the other: all of them once, from the place on where an earlier
/// run was stopped. The first pages of a leaf come last where it was stopped in the middle of it.
fn turns(ground: &Ground, from: Option<RowPlace>) -> Vec<(&Leaf, Range<u64>)> {
    let all = ground.leaves.iter().map(|leaf| (leaf, 0..u64::MAX));
    let Some(RowPlace { table, page }) = from else { return all.collect() };
    let Some(first) = ground.leaves.iter().position(|leaf| leaf.facts.name.to_string() == table) else {
        return all.collect();
    };
    let mut turns: Vec<_> = all.collect();
    turns.rotate_left(first);
    let leaf = &ground.leaves[first];
    let is_divided = 0 < page
        && page < heap_order::pages(leaf, ground.server.block_bytes)
        // What a trigger puts back is known for one turn only.
        && !leaf.facts.own_triggers;
    if is_divided {
        turns[0].1 = page..u64::MAX;
        turns.push((leaf, 0..page));
    }
    turns
}

/// Says which partitions, or whether the table itself, went while it was swept.
async fn say_what_went(
    session: &mut Session,
    ground: &Ground,
    dropped: &[Oid],
    ledger: &mut Ledger,
) -> Result<(), Stop> {
    let oids = std::iter::once(ground.table.oid).chain(ground.leaves.iter().map(|leaf| leaf.facts.oid));
    let standing = catalog::standing(session, &ground.look, ground.table.oid, oids.collect()).await?;
    if standing.first() == Some(&Standing::Dropped) {
        return Err(Stop::Failed(format!("the table {} was dropped while it was swept", ground.table.name)));
    }
    let leaves = ground.leaves.iter().zip(standing.into_iter().skip(1));
    for (leaf, standing) in leaves.filter(|(leaf, _)| !dropped.contains(&leaf.facts.oid)) {
        let name = &leaf.facts.name;
        match standing {
            Standing::Member => {}
            Standing::Dropped => ledger.note(format!("the partition {name} was dropped during the sweep")),
            Standing::Detached => {
                ledger.note(format!("the partition {name} was detached during the sweep; what it still holds stays"));
            }
        }
    }
    Ok(())
}

/// The strategy for this leaf and this run, from the planner's estimate: no row is read for it.
async fn choose(
    session: &mut Session,
    ground: &Ground,
    leaf: &Leaf,
    policy: &SessionPolicy,
) -> Result<Strategy, Fault> {
    if ground.server.version < TID_RANGES {
        return Ok(Strategy::IndexOrder);
    }
    // Picking rows locks them, and row security lets nobody lock what no policy lets them update.
    let may_lock = !leaf.facts.row_security || !leaf.facts.forbidden.iter().any(|command| command == "update");
    if !leaf.facts.index || !may_lock {
        return Ok(Strategy::HeapOrder);
    }
    let expired = count::estimate(session, &ground.look, leaf, idle_seconds(policy)).await?;
    let share = expired / leaf.facts.tuples.max(1.0);
    Ok(if share >= BACKLOG_SHARE { Strategy::HeapOrder } else { Strategy::IndexOrder })
}

/// A moment from PostgreSQL's seconds since 1970; both infinities are the ends of what a moment can be.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "float casts saturate, and the rest is below 1"
)]
fn moment(seconds: f64) -> Moment {
    let whole = seconds.floor();
    Moment::from_unix(whole as i64, ((seconds - whole).clamp(0.0, 0.999_999) * 1e6) as u32 * 1000)
}

/// A millisecond count as a duration.
fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}
