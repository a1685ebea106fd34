//! PostgreSQL: one connection, small transactions, two strategies of going through a table.
//!
//! A run looks at the catalog, estimates, and then takes each leaf of the table by one of two strategies. **Index order**
//! is the steady state: few rows are due, an index leads to them, they go oldest first. **Heap order** is for a backlog or
//! a table without an index: ranges of pages in physical order, each page read once. Both are sequences of batches, and a
//! batch is a transaction of one `DELETE` that carries the age test itself. Nothing is remembered between runs.

mod bisect;
mod archive;
mod batch;
mod catalog;
mod columns;
mod count;
mod index_order;
mod fault;
mod inspect;
mod leftovers;
mod heap_order;
mod session;
mod sql;
mod values;

use std::time::Duration;

use cleanup_core::moment::Moment;
use cleanup_core::policy::{Pace, SessionPolicy};
use cleanup_core::sweep::Observer;

use self::batch::Batches;
use self::catalog::Standing;
use self::fault::Fault;
use self::inspect::{Ground, Leaf};
use self::session::{Frame, Limits, Session, statement};
use crate::check::Finding;
use crate::obstacle::{Ledger, Stop, first_problem, may_begin};
use crate::table::Sql;
use crate::url::Server;
use crate::{Clock, SessionStats, Strategy};

/// From this share of expired rows on, going through everything beats following an index.
const BACKLOG_SHARE: f64 = 0.3;

/// From this size on, and only when nobody is there to feel it, two connections take half of a table each: deleting is
/// work for a processor, and a server has more than one.
const TWO_CONNECTIONS_BYTES: u64 = 16 << 20;

/// How long the operator's own query may take, unless `statement_timeout` says otherwise.
const QUERY: Duration = Duration::from_secs(30);

/// How often a table is looked at whose partitions are dropped under the look.
const LOOKS: u32 = 3;

/// TID ranges came with this version.
const TID_RANGES: i32 = 140_000;

/// Removes what is due. What was committed is in the ledger, however it ends.
pub(crate) async fn sweep(
    at: &Server,
    policy: &SessionPolicy,
    clock: &Clock,
    strategy: Option<Strategy>,
    observer: &dyn Observer,
    ledger: &mut Ledger,
) -> Result<(), Stop> {
    let mut session = Session::open(at).await?;
    let ground = stand(&mut session, policy, clock, ledger).await?;
    ledger.implausible(ground.implausible);
    let mut batches = Batches::new(policy, &ground, observer, ledger);
    let mut locked = None;
    for leaf in &ground.leaves {
        if batches.is_over() {
            break;
        }
        if let Some(why) = &leaf.hidden {
            batches.ledger.error(&leaf.facts.name.to_string(), why.clone());
            continue;
        }
        let run = Run { at, policy, ground: &ground, observer };
        match run.sweep(&mut session, &mut batches, leaf, strategy).await {
            Ok(()) => {}
            // The other partitions may be free.
            Err(Stop::Busy) => locked = Some(Stop::Busy),
            // It is said below that it is gone.
            Err(Stop::Missing(reason)) => {
                let now = catalog::standing(&mut session, &ground.look, ground.table.oid, vec![leaf.facts.oid]).await?;
                if now == [Standing::Member] {
                    return Err(Stop::Failed(reason));
                }
            }
            Err(stop) => return Err(stop),
        }
    }
    if batches.ledger.room() == 0 {
        for leaf in &ground.leaves {
            batches.look_deferred(&mut session, leaf).await?;
        }
    }
    say_what_went(&mut session, &ground, batches.ledger).await?;
    session.close().await;
    locked.map_or(Ok(()), Err)
}

/// What the sweeps of a run's tables have in common.
struct Run<'a> {
    at: &'a Server,
    policy: &'a SessionPolicy,
    ground: &'a Ground,
    observer: &'a dyn Observer,
}

impl Run<'_> {
    /// One table without children.
    async fn sweep(
        &self,
        session: &mut Session,
        batches: &mut Batches<'_>,
        leaf: &Leaf,
        strategy: Option<Strategy>,
    ) -> Result<(), Stop> {
        let Self { at, policy, ground, observer } = *self;
        let strategy = match strategy {
            Some(strategy) => strategy,
            None => choose(session, ground, leaf, policy).await?,
        };
        tracing::debug!(table = %leaf.facts.name, ?strategy, "sweeping");
        batches.enter(leaf);
        if strategy == Strategy::IndexOrder {
            return index_order::run(session, batches, leaf).await;
        }
        let pages = heap_order::pages(leaf, ground.server.block_bytes);
        // One connection alone can tell what a trigger puts back, and when enough has gone.
        let is_alone = leaf.facts.own_triggers || batches.ledger.is_limited();
        let is_shared = !is_alone && leaf.facts.bytes >= TWO_CONNECTIONS_BYTES;
        let second = if policy.pace == Pace::OffHours && is_shared {
            // A role may have no second connection left; one is enough.
            Session::open(at).await.ok()
        } else {
            None
        };
        let Some(mut second) = second else { return heap_order::run(session, batches, leaf, 0..pages).await };
        let mut second_ledger = batches.ledger.beside();
        let mut second_batches = Batches::new(policy, ground, observer, &mut second_ledger).second();
        second_batches.enter(leaf);
        let (first, last) = tokio::join!(
            heap_order::run(session, batches, leaf, 0..pages / 2),
            heap_order::run(&mut second, &mut second_batches, leaf, pages / 2..pages),
        );
        batches.ledger.add(second_ledger);
        first.and(last)?;
        second.close().await;
        Ok(())
    }
}

/// Says which partitions, or whether the table itself, went while it was swept.
async fn say_what_went(session: &mut Session, ground: &Ground, ledger: &mut Ledger) -> Result<(), Stop> {
    let oids = std::iter::once(ground.table.oid).chain(ground.leaves.iter().map(|leaf| leaf.facts.oid));
    let standing = catalog::standing(session, &ground.look, ground.table.oid, oids.collect()).await?;
    if standing.first() == Some(&Standing::Dropped) {
        return Err(Stop::Failed(format!("the table {} was dropped while it was swept", ground.table.name)));
    }
    for (leaf, standing) in ground.leaves.iter().zip(standing.into_iter().skip(1)) {
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

/// Counts what a sweep would take, exactly, in one read-only snapshot; `ahead` seconds from now.
pub(crate) async fn plan(
    at: &Server,
    policy: &SessionPolicy,
    clock: &Clock,
    ahead: f64,
    ledger: &mut Ledger,
) -> Result<(), Stop> {
    let mut session = Session::open(at).await?;
    for again in 1.. {
        let ground = stand(&mut session, policy, clock, ledger).await?;
        match count::plan(&mut session, policy, &ground, ahead, ledger).await {
            Err(Stop::Missing(_)) if again < LOOKS => {}
            done => {
                done?;
                break;
            }
        }
    }
    session.close().await;
    Ok(())
}

pub(crate) async fn stats(at: &Server, policy: &SessionPolicy, clock: &Clock) -> Result<SessionStats, Stop> {
    let mut session = Session::open(at).await?;
    let mut again = 1;
    let stats = loop {
        let (ground, findings) = inspect::inspect(&mut session, policy, clock).await?;
        let Some(ground) = ground else {
            first_problem(&findings)?;
            return Err(Stop::Failed("the table cannot be looked at".to_owned()));
        };
        if let Some(why) = ground.leaves.iter().find_map(|leaf| leaf.hidden.clone()) {
            return Err(Stop::Failed(why));
        }
        match count::stats(&mut session, policy, &ground).await {
            Err(Stop::Missing(_)) if again < LOOKS => again += 1,
            done => break done?,
        }
    };
    session.close().await;
    Ok(stats)
}

pub(crate) async fn check(at: &Server, policy: &SessionPolicy, clock: &Clock) -> Result<Vec<Finding>, Stop> {
    let mut session = Session::open(at).await?;
    let (_, findings) = inspect::inspect(&mut session, policy, clock).await?;
    session.close().await;
    Ok(findings)
}

/// Hands on what the operator's own query answers.
pub(crate) async fn references(
    at: &Server,
    policy: &SessionPolicy,
    query: &Sql,
    each: &mut (dyn FnMut(&[u8]) + Send),
) -> Result<(), Stop> {
    let mut session = Session::open(at).await?;
    let limits = Limits { lock: policy.lock_timeout, statement: Some(policy.statement_timeout.unwrap_or(QUERY)) };
    session.each(&Frame::look_up(limits), statement(query.statement()), each).await?;
    session.close().await;
    Ok(())
}

async fn stand(
    session: &mut Session,
    policy: &SessionPolicy,
    clock: &Clock,
    ledger: &mut Ledger,
) -> Result<Ground, Stop> {
    let (ground, findings) = inspect::inspect(session, policy, clock).await?;
    may_begin(&findings, clock)?;
    let ground = ground.ok_or_else(|| Stop::Failed("the table cannot be looked at".to_owned()))?;
    if let Some(sentence) = ground.clocks.difference() {
        tracing::warn!(policy = policy.rule.name, "{sentence}");
    }
    for note in &ground.notes {
        ledger.note(note.clone());
    }
    Ok(ground)
}

/// The strategy for this leaf and this run, from the planner's estimate: no row is read for it.
async fn choose(session: &mut Session, ground: &Ground, leaf: &Leaf, policy: &SessionPolicy) -> Result<Strategy, Fault> {
    if ground.server.version < TID_RANGES {
        return Ok(Strategy::IndexOrder);
    }
    // Picking rows locks them, and row security lets nobody lock what no policy lets them update.
    let may_lock = !leaf.facts.row_security || !leaf.facts.forbidden.iter().any(|command| command == "update");
    if !leaf.facts.index || !may_lock {
        return Ok(Strategy::HeapOrder);
    }
    let expired = count::estimate(session, &ground.look, leaf, crate::idle_seconds(policy)).await?;
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
