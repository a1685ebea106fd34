//! Doing one batch after the other: limits, pacing, bounded retries, and the books.
//!
//! Both strategies hand their statements in here and are told what came of them. Whatever goes wrong is bounded here: a lock
//! that is not had is tried again a few times with jitter, a conflict likewise, a batch that takes too long is halved, and
//! so many rows that the database refuses to remove are passed by.

use std::time::{Duration, Instant};

use cleanup_core::policy::SessionPolicy;
use cleanup_core::store::Seen;
use cleanup_core::sweep::Observer;
use sqlx::postgres::types::Oid;

use super::catalog::tighter;
use super::fault::Fault;
use super::inspect::{Ground, Leaf, Steering};
use super::leftovers::{Leftovers, Look};
use super::millis;
use super::heap_order::tid;
use super::session::{Bound, Done, Frame, Limits, Session, Work, cell, count, statement};
use crate::obstacle::{Ledger, Stop};
use crate::pace::{self, Pacer};
use crate::table::Sql;

/// How often a lock or a conflict is tried again before the run ends.
const TRIES: u32 = 4;

/// How many times its target a batch may take before it is cancelled, when the policy does not say.
const PATIENCE: u32 = 50;

/// The fewest pages that the log's buffers may hold a batch down to: a server with small ones would only ever commit.
const FEWEST_PAGES: u64 = 256;

/// How long counting what is left may take.
const LOOK_LIMIT: Duration = Duration::from_secs(10);

/// The index leads, whatever the planner's statistics say: a seq scan or a sort would read everything in each batch.
const BY_INDEX: &str = "; set local enable_seqscan = off; set local enable_sort = off";

/// The range leads: with stale statistics the planner may follow an index through the whole backlog in each batch.
const BY_RANGE: &str = "; set local enable_seqscan = off; set local enable_indexscan = off; \
    set local enable_indexonlyscan = off; set local enable_bitmapscan = off";

/// What became of a batch, and so what may be done next.
pub(super) enum Next {
    /// It was done and is counted.
    Done(Done),
    /// Somebody holds a lock; worth another statement, or the same again after [`Batches::wait`].
    Locked,
    /// It took too long and was cancelled.
    Cancelled,
    /// It lost against somebody; a pause was made, and the same may be tried again.
    Again,
    /// A row of it may not go; the text says why, not which.
    Refused(String),
}

/// The state of a run.
pub(super) struct Batches<'a> {
    policy: &'a SessionPolicy,
    ground: &'a Ground,
    observer: &'a dyn Observer,
    pub(super) ledger: &'a mut Ledger,
    limits: Limits,
    target: Duration,
    /// The key of the advisory lock.
    key: i64,
    /// How often in a row it did not work.
    tries: u32,
    /// For how long the database is left alone before the next batch.
    pause: Duration,
    /// The places of the rows of this leaf that the database refused to remove.
    refused: Vec<String>,
    /// The first transaction of ours in which a trigger put rows into this leaf while others were removed. What was
    /// written since is the next run's: else the same rows would go and come back for ever.
    since: Option<String>,
    /// The leaf, where it has a trigger that may do so.
    watched: Option<Oid>,
    /// For rows that a waiting statement locks too: they must not wait for long.
    hasty: Frame,
    around: Frame,
    steady: Frame,
    /// For rows by their places, which need no planner's switch.
    listed: Frame,
}

impl<'a> Batches<'a> {
    pub(super) fn new(
        policy: &'a SessionPolicy,
        ground: &'a Ground,
        observer: &'a dyn Observer,
        ledger: &'a mut Ledger,
    ) -> Self {
        let target = pace::target(policy.pace);
        let lock = tighter(ground.server.lock_timeout_ms, policy.lock_timeout);
        let patience = policy.statement_timeout.unwrap_or_else(|| (target * PATIENCE).max(lock * 2));
        let statement = tighter(ground.server.statement_timeout_ms, patience);
        let limits = Limits { lock, statement: Some(statement) };
        let target = target.min(statement / 4).max(millis(1));
        let key = ground.table.key;
        let frame = Frame::batch(limits, "");
        let (hasty, around, steady, listed) = (frame.clone(), frame.clone(), frame.clone(), frame);
        Self {
            policy,
            ground,
            observer,
            ledger,
            limits,
            target,
            key,
            tries: 0,
            pause: Duration::ZERO,
            refused: Vec::new(),
            since: None,
            watched: None,
            hasty,
            around,
            steady,
            listed,
        }
    }

    /// For a second connection of the same run, which must not take the first one for another node.
    pub(super) fn second(self) -> Self {
        Self { key: self.key.wrapping_add(1), ..self }
    }

    /// Makes ready for a leaf.
    pub(super) fn enter(&mut self, leaf: &Leaf) {
        self.refused.clear();
        self.since = None;
        self.watched = leaf.facts.own_triggers.then_some(leaf.facts.oid);
        let hasty = Limits { lock: self.limits.lock.min(self.target), ..self.limits };
        self.hasty = Frame::batch(hasty, by_range(leaf));
        self.around = Frame::batch(self.limits, by_range(leaf));
        self.steady = Frame::batch(self.limits, by_index(leaf));
        self.listed = Frame::batch(self.limits, if leaf.steering == Steering::Whole { by_range(leaf) } else { "" });
    }

    /// A pacer for batches of rows.
    pub(super) fn rows(&self) -> Pacer {
        Pacer::new(self.policy.pace, self.target, self.policy.batch_size, pace::ROWS)
    }

    /// A pacer for ranges of pages that hold `rows_per_page`.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and float casts saturate")]
    pub(super) fn pages(&self, rows_per_page: f64) -> Pacer {
        let pages = |rows: u32| (f64::from(rows) / rows_per_page).ceil().max(1.0) as u32;
        let bounds = 1..=pages(*pace::ROWS.end()).min(self.logged_pages());
        Pacer::new(self.policy.pace, self.target, pages(self.policy.batch_size), bounds)
    }

    /// So many pages that their images in the log fit in three quarters of its buffers. While a larger batch is flushed
    /// by its commit, the second connection fills the buffers and stands still: 40 MB a batch were 0.7 times as fast as
    /// 12 MB.
    fn logged_pages(&self) -> u32 {
        let server = &self.ground.server;
        let pages = server.wal_buffer_bytes / 4 * 3 / server.block_bytes;
        u32::try_from(pages.max(FEWEST_PAGES)).unwrap_or(u32::MAX)
    }

    /// A pacer that begins with all the rows that a batch may have.
    pub(super) fn whole_range(&self) -> Pacer {
        Pacer::new(self.policy.pace, self.target, *pace::ROWS.end(), pace::ROWS)
    }

    /// As many rows as the next batch may have.
    pub(super) fn size(&self, pacer: &Pacer) -> u32 {
        self.ledger.fitting(pacer.size())
    }

    pub(super) fn idle_seconds(&self) -> f64 {
        crate::idle_seconds(self.policy)
    }

    pub(super) fn block_bytes(&self) -> u64 {
        self.ground.server.block_bytes
    }

    /// A range of pages. It would wait for locked rows, but not for long; where it picks rows first it passes them by.
    pub(super) async fn range(
        &mut self,
        session: &mut Session,
        leaf: &Leaf,
        (page, end): (u64, u64),
        pacer: &mut Pacer,
    ) -> Result<Next, Stop> {
        let bind = |sql: &Sql| statement(sql.statement()).bind(self.idle_seconds()).bind(tid(page)).bind(tid(end));
        let work = match leaf.steering {
            Steering::Picking => self.pick_first(leaf, self.last(leaf, bind(&leaf.statements.range_pick).bind(i64::MAX))),
            Steering::Whole | Steering::None => {
                let bound = self.last(leaf, bind(&leaf.statements.range));
                if leaf.statements.archives { Work::Picked(bound) } else { Work::Plain(bound) }
            }
        };
        let frame = self.hasty.clone();
        self.run(session, &frame, work, pacer).await
    }

    /// A batch in the order of the index that passes locked rows by; it only ever waits for the table.
    pub(super) async fn index_order(
        &mut self,
        session: &mut Session,
        leaf: &Leaf,
        watermark: &str,
        pacer: &mut Pacer,
    ) -> Result<Next, Stop> {
        let size = i64::from(self.size(pacer));
        let bind = |sql: &Sql| {
            let bound = statement(sql.statement()).bind(self.idle_seconds()).bind(watermark.to_owned());
            self.last(leaf, bound.bind(size).bind(self.refused()))
        };
        let work = match leaf.steering {
            Steering::Picking => self.pick_first(leaf, bind(&leaf.statements.index_order_pick)),
            Steering::Whole | Steering::None => Work::Picked(bind(&leaf.statements.index_order)),
        };
        let frame = self.steady.clone();
        self.run(session, &frame, work, pacer).await
    }

    /// A range again, around the locked rows.
    pub(super) async fn around(
        &mut self,
        session: &mut Session,
        leaf: &Leaf,
        (page, end): (u64, u64),
        pacer: &mut Pacer,
    ) -> Result<Next, Stop> {
        let size = i64::from(self.size(pacer));
        let bind = |sql: &Sql| {
            let bound = statement(sql.statement()).bind(self.idle_seconds());
            self.last(leaf, bound.bind(tid(page)).bind(tid(end)).bind(size))
        };
        let work = match leaf.steering {
            Steering::Picking => self.pick_first(leaf, bind(&leaf.statements.range_pick)),
            Steering::Whole | Steering::None => Work::Picked(bind(&leaf.statements.range_around_locks)),
        };
        let frame = self.around.clone();
        self.run(session, &frame, work, pacer).await
    }

    /// Some rows by their places.
    pub(super) async fn listed(
        &mut self,
        session: &mut Session,
        leaf: &Leaf,
        places: &[String],
        pacer: &mut Pacer,
    ) -> Result<Next, Stop> {
        let bound = statement(leaf.statements.listed.statement()).bind(self.idle_seconds()).bind(places.to_vec());
        let (frame, work) = (self.listed.clone(), Work::Picked(self.last(leaf, bound)));
        self.run(session, &frame, work, pacer).await
    }

    fn pick_first(&self, leaf: &Leaf, pick: Bound) -> Work {
        let (statements, idle, since) = (leaf.statements.clone(), self.idle_seconds(), self.since.clone());
        let archives = statements.archives;
        let delete = move |places: Vec<String>| {
            let bound = statement(statements.places.statement()).bind(idle).bind(places).bind(since);
            statements.with_values(bound)
        };
        Work::PickFirst { pick, delete: Box::new(delete), archives }
    }

    /// The last values of each statement that removes or picks.
    pub(super) fn last(&self, leaf: &Leaf, bound: Bound) -> Bound {
        leaf.statements.with_values(bound.bind(self.since.clone()))
    }

    async fn run(&mut self, session: &mut Session, frame: &Frame, work: Work, pacer: &mut Pacer) -> Result<Next, Stop> {
        tokio::time::sleep(std::mem::take(&mut self.pause)).await;
        let began = Instant::now();
        match session.batch(frame, self.key, work, self.watched).await {
            Ok(done) => {
                self.pause = pacer.done(began.elapsed());
                self.tries = 0;
                self.ledger.removed(done.gone);
                if self.since.is_none() {
                    self.since.clone_from(&done.put_back);
                }
                self.observer.seen(Seen { scanned: done.picked.unwrap_or(done.gone), ..Seen::default() });
                Ok(Next::Done(done))
            }
            Err(Fault::Locked) => Ok(Next::Locked),
            Err(Fault::Cancelled) => Ok(Next::Cancelled),
            Err(Fault::Refused(reason)) => Ok(Next::Refused(reason)),
            Err(Fault::Conflict(reason)) => {
                self.again().await.map_err(|()| Stop::Failed(reason))?;
                Ok(Next::Again)
            }
            // The other node's batches are short, too, and two that share the work both get on.
            Err(Fault::AnotherNode) => {
                self.again().await.map_err(|()| Stop::AnotherNode)?;
                Ok(Next::Again)
            }
            Err(fault) => Err(fault.into()),
        }
    }

    /// How many rows are gone or refused so far: as long as it grows, a run gets on.
    pub(super) fn dealt_with(&self) -> u64 {
        self.ledger.tally.counts.removed + self.ledger.refused_rows()
    }

    /// Waits before the same is tried again, and ends the run when that was often enough.
    pub(super) async fn wait(&mut self) -> Result<(), Stop> {
        self.again().await.map_err(|()| Stop::Busy)
    }

    async fn again(&mut self) -> Result<(), ()> {
        self.tries += 1;
        if self.tries >= TRIES {
            return Err(());
        }
        tokio::time::sleep(pace::backoff(self.target, self.tries)).await;
        Ok(())
    }

    /// The rows that are passed by, as PostgreSQL writes their places.
    pub(super) fn refused(&self) -> Vec<String> {
        self.refused.clone()
    }

    /// Counts a row that may not go, and leaves it alone from now on.
    pub(super) fn pass_by(&mut self, leaf: &Leaf, row: &str, reason: String) {
        self.refused.push(row.to_owned());
        self.ledger.refused(&leaf.facts.name.to_string(), reason);
    }

    /// Whether somebody wants the run to end, or so many rows were refused that trying more would only fill the
    /// server's log.
    pub(super) fn is_over(&mut self) -> bool {
        if self.observer.wants_to_stop() {
            self.ledger.stop();
        }
        self.ledger.stop_when_late();
        self.ledger.is_over()
    }

    /// The places of the rows that a batch would take.
    pub(super) async fn list(&mut self, session: &mut Session, leaf: &Leaf, bound: Bound) -> Result<Vec<String>, Stop> {
        let frame = self.looking(by_range(leaf));
        let rows = session.ask(&frame, bound).await?;
        Ok(rows.iter().map(|row| cell(row, 0)).collect::<Result<_, Fault>>()?)
    }

    fn looking(&self, planner: &'static str) -> Frame {
        Frame::batch(Limits { statement: Some(LOOK_LIMIT), ..self.limits }, planner)
    }

    /// Not even one row could be done in the time there is: the run goes on elsewhere and ends *partial*.
    pub(super) fn gave_up(&mut self, leaf: &Leaf) {
        if !self.ledger.gave_up {
            self.ledger.gave_up = true;
            let limit = self.limits.statement.unwrap_or_default().as_millis();
            let error = format!("even a single row takes longer than the statement_timeout of {limit} ms");
            self.ledger.error(&leaf.facts.name.to_string(), error);
        }
    }

    /// Counts what was due when the run began and is still there, in a range of pages or everywhere.
    pub(super) async fn look_left(
        &mut self,
        session: &mut Session,
        left: &mut Leftovers,
        leaf: &Leaf,
        pages: Option<(u64, u64)>,
    ) -> Result<(), Stop> {
        let frame = self.looking(if pages.is_some() { by_range(leaf) } else { by_index(leaf) });
        let (idle, started) = (self.idle_seconds(), &self.ground.server.now_text);
        let look = Look { frame: &frame, idle, started, aside: &self.refused, since: self.since.as_deref() };
        left.look(session, &look, leaf, pages).await
    }

    /// Counts what is due and left for the next run, because no more may go in this one.
    pub(super) async fn look_deferred(&mut self, session: &mut Session, leaf: &Leaf) -> Result<(), Stop> {
        let frame = self.looking(by_index(leaf));
        let counting = statement(leaf.statements.left.statement()).bind(self.idle_seconds());
        let counting = counting.bind(self.ground.server.now_text.clone()).bind(i64::MAX);
        let counting = leaf.statements.with_values(counting.bind(self.refused.clone()).bind(None::<String>));
        match session.ask_one(&frame, counting).await {
            Ok(row) => self.ledger.deferred(count(&row, 0)?.saturating_sub(count(&row, 1)?)),
            Err(fault @ Fault::Away(_)) => return Err(fault.into()),
            Err(_) => {
                let note = format!("max_removals is reached; what is left in {} was not counted", leaf.facts.name);
                self.ledger.note(note);
            }
        }
        Ok(())
    }

    /// Counts what a trigger has put back, where it has.
    pub(super) async fn look_back(&mut self, session: &mut Session, left: &mut Leftovers, leaf: &Leaf) -> Result<(), Stop> {
        let frame = self.looking(by_index(leaf));
        let (idle, started) = (self.idle_seconds(), &self.ground.server.now_text);
        let look = Look { frame: &frame, idle, started, aside: &self.refused, since: self.since.as_deref() };
        left.look_back(session, &look, leaf).await
    }
}

fn by_range(leaf: &Leaf) -> &'static str {
    if leaf.steering == Steering::None { "" } else { BY_RANGE }
}

fn by_index(leaf: &Leaf) -> &'static str {
    if leaf.facts.index && leaf.steering != Steering::None { BY_INDEX } else { "" }
}
