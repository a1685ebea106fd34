//! One batch of a table: its statement, its limits, and what became of it.

use std::ops::Range;
use std::time::Duration;

use cleanup_core::policy::SessionPolicy;
use cleanup_core::sweep::Observer;
use sqlx::postgres::types::Oid;

use super::catalog::tighter;
use super::fault::Fault;
use super::heap_order::{self, tid};
use super::inspect::{Counted, Ground, Leaf, Steering};
use super::leftovers::{Leftovers, Look};
use super::millis;
use super::session::{Batch, Bound, Frame, Limits, Session, Watched, Work, cell, count, statement};
use crate::report::ledger::Ledger;
use crate::report::obstacle::Stop;
use crate::rule::idle_seconds;
use crate::rule::names::{Sql, TableName};
use crate::run;
use crate::run::pace::{self, Pacer, Sharing};
use crate::run::progress::{Done, Next, Progress};
use crate::{RowPlace, Strategy};

/// How many times its target a batch may take before it is cancelled, when the policy does not say.
const PATIENCE: u32 = 50;

/// The fewest pages that the log's buffers may hold a batch down to: a server with small ones would only ever commit.
const FEWEST_PAGES: u64 = 256;

/// So many batches go by before the planner is asked again which way it would go.
const ASKED_EVERY: u32 = 64;

/// How long counting what is left may take.
const LOOK_LIMIT: Duration = Duration::from_secs(10);

/// The index leads, whatever the planner's statistics say: a seq scan or a sort would read everything in each batch.
pub(super) const BY_INDEX: &str = "; set local enable_seqscan = off; set local enable_sort = off";

/// The range leads: with stale statistics the planner may follow an index through the whole backlog in each batch.
const BY_RANGE: &str = "; set local enable_seqscan = off; set local enable_indexscan = off; \
    set local enable_indexonlyscan = off; set local enable_bitmapscan = off";

/// The state of a run.
pub(super) struct Batcher<'a> {
    pub(super) progress: Progress<'a>,
    pub(super) ground: &'a Ground,
    limits: Limits,
    /// The key of the advisory lock.
    key: i64,
    /// The places of the rows of this leaf that the database refused to remove.
    refused: Vec<String>,
    /// The first transaction of ours in which a trigger put rows into this leaf while others were removed. What was
    /// written since is the next run's: else the same rows would go and come back for ever.
    since: Option<String>,
    /// The leaf, where it has a trigger that may do so, and the tables whose rows follow.
    watched: Watched,
    /// The first page of this leaf that was not looked at, where the run was stopped in it.
    pub(super) stopped_at: Option<u64>,
    /// Partitions that this run has dropped.
    pub(super) gone: Vec<(Oid, TableName)>,
    /// How the planner is held to the strategy, for now.
    pub(super) steering: Steering,
    /// After so many batches the planner is asked again.
    until_asked: u32,
    /// For rows that a waiting statement locks too: they must not wait for long.
    hasty: Frame,
    around: Frame,
    steady: Frame,
    /// For rows by their places, which need no planner's switch.
    listed: Frame,
}

impl<'a> Batcher<'a> {
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
            progress: Progress::new(policy, observer, ledger, Sharing::Beside, target),
            ground,
            limits,
            key,
            refused: Vec::new(),
            since: None,
            watched: Watched::default(),
            stopped_at: None,
            gone: Vec::new(),
            steering: Steering::None,
            until_asked: 0,
            hasty,
            around,
            steady,
            listed,
        }
    }

    /// For a second connection of the same run, which must not take the first one for another node.
    pub(super) fn second<'b>(&self, ledger: &'b mut Ledger) -> Batcher<'b>
    where
        'a: 'b,
    {
        let Progress { policy, observer, .. } = &self.progress;
        let second = Batcher::new(policy, self.ground, *observer, ledger);
        Batcher { key: self.key.wrapping_add(1), ..second }
    }

    /// Makes ready for a leaf.
    pub(super) fn enter(&mut self, leaf: &Leaf) {
        self.refused.clear();
        self.stopped_at = None;
        self.since = None;
        let followers = leaf.counted.iter().filter_map(|counted| Some((counted.oid?, counted.goes)));
        self.watched =
            Watched { put_back: leaf.facts.own_triggers.then_some(leaf.facts.oid), followers: followers.collect() };
        self.until_asked = 0;
        self.steer(leaf, leaf.steering);
    }

    fn steer(&mut self, leaf: &Leaf, steering: Steering) {
        self.steering = steering;
        let hasty = Limits { lock: self.limits.lock.min(self.progress.target), ..self.limits };
        self.hasty = Frame::batch(hasty, by_range(steering));
        self.around = Frame::batch(self.limits, by_range(steering));
        self.steady = Frame::batch(self.limits, by_index(leaf, steering));
        self.listed = Frame::batch(self.limits, if steering == Steering::Whole { by_range(steering) } else { "" });
    }

    /// Asks the planner now and then whether it goes the way of the strategy by itself, where a delete sets something in
    /// motion that our switches must not reach. Its statistics may change in between, so a batch that takes long has it
    /// asked again.
    async fn ask_planner(
        &mut self,
        session: &mut Session,
        leaf: &Leaf,
        explain: Bound,
        strategy: Strategy,
    ) -> Result<(), Stop> {
        if leaf.steering != Steering::Picking || self.until_asked > 0 {
            self.until_asked = self.until_asked.saturating_sub(1);
            return Ok(());
        }
        self.until_asked = ASKED_EVERY;
        let is_willing = match session.ask(&self.looking(""), explain).await {
            Ok(rows) => {
                let plan = rows.iter().map(|row| cell(row, 0)).collect::<Result<Vec<String>, Fault>>()?;
                goes_by_itself(&plan, strategy)
            }
            Err(fault @ Fault::Away(_)) => return Err(fault.into()),
            // The batch will meet it again, and say so.
            Err(_) => false,
        };
        tracing::debug!(table = %leaf.facts.name, is_willing, "asked the planner");
        self.steer(leaf, if is_willing { Steering::None } else { leaf.steering });
        Ok(())
    }

    /// A pacer for ranges of pages that hold `rows_per_page`.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and float casts saturate")]
    pub(super) fn pages(&self, rows_per_page: f64) -> Pacer {
        let pages = |rows: u32| (f64::from(rows) / rows_per_page).ceil().max(1.0) as u32;
        let bounds = 1..=pages(*pace::ROWS.end()).min(self.logged_pages());
        let Progress { policy, sharing, target, .. } = &self.progress;
        Pacer::new(policy.pace, *sharing, *target, pages(policy.batch_size), bounds)
    }

    /// So many pages that their images in the log fit in three quarters of its buffers. While a larger batch is flushed
    /// by its commit, the second connection fills the buffers and stands still: 40 MB a batch were 0.7 times as fast as
    /// 12 MB.
    fn logged_pages(&self) -> u32 {
        let server = &self.ground.server;
        let pages = server.wal_buffer_bytes / 4 * 3 / server.block_bytes;
        u32::try_from(pages.max(FEWEST_PAGES)).unwrap_or(u32::MAX)
    }

    pub(super) fn idle_seconds(&self) -> f64 {
        idle_seconds(self.progress.policy)
    }

    pub(super) fn key(&self) -> i64 {
        self.key
    }

    /// Notes where the next run goes on, where this one was stopped and may be gone on with.
    pub(super) fn stop_at(&mut self, leaf: &Leaf, page: u64) {
        let ledger = &mut *self.progress.ledger;
        if ledger.is_stopped() && ledger.place.is_none() {
            ledger.place = Some(RowPlace { table: leaf.facts.name.to_string(), page });
        }
    }

    /// Counts the rows of a partition that is gone as a whole.
    pub(super) fn dropped(&mut self, leaf: &Leaf, rows: u64, pause: Duration) {
        self.progress.done(Done { gone: rows, ..Done::default() }, pause);
        self.gone.push((leaf.facts.oid, leaf.facts.name.clone()));
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
        let idle = self.idle_seconds();
        let bind = |sql: &Sql| statement(sql.statement()).bind(idle).bind(tid(page)).bind(tid(end));
        if page == 0 && end >= heap_order::pages(leaf, self.block_bytes()) {
            // Whichever way all of it is read, each page is read once. So small a table would take longer to ask about.
            self.until_asked = 0;
            self.steer(leaf, if leaf.steering == Steering::Picking { Steering::None } else { leaf.steering });
        } else {
            let explain = self.last(leaf, bind(&leaf.statements.explain_range));
            self.ask_planner(session, leaf, explain, Strategy::HeapOrder).await?;
        }
        let work = match self.steering {
            Steering::Picking => {
                self.pick_first(leaf, self.last(leaf, bind(&leaf.statements.range_pick).bind(i64::MAX)))
            }
            Steering::Whole | Steering::None => {
                let bound = self.last(leaf, bind(&leaf.statements.range));
                if leaf.statements.archives { Work::Picked(bound) } else { Work::Plain(bound) }
            }
        };
        let frame = self.hasty.clone();
        self.run(session, (leaf, &frame), work, pacer).await
    }

    /// A batch in the order of the index that passes locked rows by; it only ever waits for the table.
    pub(super) async fn index_order(
        &mut self,
        session: &mut Session,
        leaf: &Leaf,
        watermark: &str,
        pacer: &mut Pacer,
    ) -> Result<Next, Stop> {
        let size = i64::from(self.progress.size(pacer));
        let bind = |this: &Self, sql: &Sql| {
            let bound = statement(sql.statement()).bind(this.idle_seconds()).bind(watermark.to_owned());
            this.last(leaf, bound.bind(size).bind(this.refused()))
        };
        let explain = bind(self, &leaf.statements.explain_index_order);
        self.ask_planner(session, leaf, explain, Strategy::IndexOrder).await?;
        let work = match self.steering {
            Steering::Picking => self.pick_first(leaf, bind(self, &leaf.statements.index_order_pick)),
            Steering::Whole | Steering::None => Work::Picked(bind(self, &leaf.statements.index_order)),
        };
        let frame = self.steady.clone();
        self.run(session, (leaf, &frame), work, pacer).await
    }

    /// A range again, around the locked rows.
    pub(super) async fn around(
        &mut self,
        session: &mut Session,
        leaf: &Leaf,
        (page, end): (u64, u64),
        pacer: &mut Pacer,
    ) -> Result<Next, Stop> {
        let size = i64::from(self.progress.size(pacer));
        let bind = |sql: &Sql| {
            let bound = statement(sql.statement()).bind(self.idle_seconds());
            self.last(leaf, bound.bind(tid(page)).bind(tid(end)).bind(size))
        };
        let work = match self.steering {
            Steering::Picking => self.pick_first(leaf, bind(&leaf.statements.range_pick)),
            Steering::Whole | Steering::None => Work::Picked(bind(&leaf.statements.range_around_locks)),
        };
        let frame = self.around.clone();
        self.run(session, (leaf, &frame), work, pacer).await
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
        self.run(session, (leaf, &frame), work, pacer).await
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

    /// Writes down what became of the rows of other tables.
    fn count_followers(&mut self, leaf: &Leaf, followed: Vec<u64>) {
        let mut followed = followed.into_iter();
        for Counted { oid, table, follow, .. } in &leaf.counted {
            let rows = oid.and_then(|_| followed.next());
            self.progress.ledger.followed(table.to_string(), follow, rows);
        }
    }

    async fn run(
        &mut self,
        session: &mut Session,
        (leaf, frame): (&Leaf, &Frame),
        work: Work,
        pacer: &mut Pacer,
    ) -> Result<Next, Stop> {
        self.progress.rest().await;
        match session.batch(frame, self.key, work, &self.watched).await {
            Ok(Batch { done, took, put_back, followed }) => {
                if done.gone > 0 {
                    self.count_followers(leaf, followed);
                }
                if self.since.is_none() {
                    self.since = put_back;
                }
                if took > self.progress.target * 4 {
                    self.until_asked = 0;
                }
                let pause = pacer.done(took, done.gone);
                Ok(self.progress.done(done, pause))
            }
            Err(Fault::Locked) => Ok(Next::Locked),
            Err(Fault::Cancelled) => Ok(Next::Cancelled),
            Err(Fault::Refused(reason)) => Ok(Next::Refused(reason)),
            Err(Fault::Conflict(reason)) => self.progress.again(Stop::Failed(reason)).await,
            // The other node's batches are short, too, and two that share the work both get on.
            Err(Fault::AnotherNode) => self.progress.again(Stop::AnotherNode).await,
            Err(fault) => Err(fault.into()),
        }
    }

    /// The rows that are passed by, as PostgreSQL writes their places.
    pub(super) fn refused(&self) -> Vec<String> {
        self.refused.clone()
    }

    /// Counts a row that may not go, and leaves it alone from now on.
    pub(super) fn pass_by(&mut self, leaf: &Leaf, row: &str, reason: String) {
        self.refused.push(row.to_owned());
        self.progress.ledger.refused(&leaf.facts.name.to_string(), reason);
    }

    /// The places of the rows that a batch would take.
    pub(super) async fn list(&mut self, session: &mut Session, bound: Bound) -> Result<Vec<String>, Stop> {
        let frame = self.looking(by_range(self.steering));
        let rows = session.ask(&frame, bound).await?;
        Ok(rows.iter().map(|row| cell(row, 0)).collect::<Result<_, Fault>>()?)
    }

    fn looking(&self, planner: &'static str) -> Frame {
        Frame::batch(Limits { statement: Some(LOOK_LIMIT), ..self.limits }, planner)
    }

    /// Not even one row could be done in the time there is: the run goes on elsewhere and ends *partial*.
    pub(super) fn gave_up(&mut self, leaf: &Leaf) {
        if !self.progress.ledger.gave_up {
            self.progress.ledger.gave_up = true;
            let limit = self.limits.statement.unwrap_or_default().as_millis();
            let error = format!("even a single row takes longer than the statement_timeout of {limit} ms");
            self.progress.ledger.error(&leaf.facts.name.to_string(), error);
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
        let frame = self.looking(if pages.is_some() { by_range(self.steering) } else { by_index(leaf, self.steering) });
        let (idle, started) = (self.idle_seconds(), &self.ground.server.now_text);
        let look = Look { frame: &frame, idle, started, aside: &self.refused, since: self.since.as_deref() };
        left.look(session, &look, leaf, pages).await
    }

    /// Counts what is due and left for the next run, because no more may go in this one.
    pub(super) async fn look_deferred(&mut self, session: &mut Session, leaf: &Leaf) -> Result<(), Stop> {
        let frame = self.looking(by_index(leaf, self.steering));
        let counting = statement(leaf.statements.left.statement()).bind(self.idle_seconds());
        let counting = counting.bind(self.ground.server.now_text.clone()).bind(i64::MAX);
        let counting = leaf.statements.with_values(counting.bind(self.refused.clone()).bind(None::<String>));
        match session.ask_one(&frame, counting).await {
            Ok(row) => self.progress.ledger.deferred(count(&row, 0)?.saturating_sub(count(&row, 1)?)),
            Err(fault @ Fault::Away(_)) => return Err(fault.into()),
            Err(_) => {
                let note = format!("max_removals reached; the rest of {} was not counted", leaf.facts.name);
                self.progress.ledger.note(note);
            }
        }
        Ok(())
    }

    /// Counts what a trigger has put back, where it has.
    pub(super) async fn look_back(
        &mut self,
        session: &mut Session,
        left: &mut Leftovers,
        leaf: &Leaf,
    ) -> Result<(), Stop> {
        let frame = self.looking(by_index(leaf, self.steering));
        let (idle, started) = (self.idle_seconds(), &self.ground.server.now_text);
        let look = Look { frame: &frame, idle, started, aside: &self.refused, since: self.since.as_deref() };
        left.look_back(session, &look, leaf).await
    }
}

/// Batches over one leaf, for the courses that all databases share.
pub(super) struct OnLeaf<'r, 'a> {
    pub(super) session: &'r mut Session,
    pub(super) batcher: &'r mut Batcher<'a>,
    pub(super) leaf: &'r Leaf,
}

impl run::Batches for OnLeaf<'_, '_> {
    /// Their places, as PostgreSQL writes them.
    type Rows = Vec<String>;

    fn progress<R>(&mut self, act: impl FnOnce(&mut Progress<'_>) -> R) -> R {
        act(&mut self.batcher.progress)
    }

    async fn wait(&mut self) -> Result<(), Stop> {
        self.batcher.progress.wait().await
    }

    async fn remove_oldest(&mut self, from: &str, pacer: &mut Pacer) -> Result<Next, Stop> {
        self.batcher.index_order(self.session, self.leaf, from, pacer).await
    }

    async fn list_oldest(&mut self, from: &str, size: u32) -> Result<Vec<String>, Stop> {
        let Self { session, batcher, leaf } = self;
        let tids = statement(leaf.statements.index_order_tids.statement());
        let tids = tids.bind(batcher.idle_seconds()).bind(from.to_owned());
        let tids = batcher.last(leaf, tids.bind(i64::from(size)).bind(batcher.refused()));
        batcher.list(session, tids).await
    }

    fn count(rows: &Vec<String>) -> usize {
        rows.len()
    }

    async fn remove_listed(&mut self, rows: &Vec<String>, part: Range<usize>, pacer: &mut Pacer) -> Result<Next, Stop> {
        self.batcher.listed(self.session, self.leaf, &rows[part], pacer).await
    }

    async fn pass_by(&mut self, rows: &Vec<String>, at: usize, reason: String) -> Result<(), Stop> {
        self.batcher.pass_by(self.leaf, &rows[at], reason);
        Ok(())
    }

    fn gave_up(&mut self) {
        self.batcher.gave_up(self.leaf);
    }
}

fn by_range(steering: Steering) -> &'static str {
    if steering == Steering::None { "" } else { BY_RANGE }
}

fn by_index(leaf: &Leaf, steering: Steering) -> &'static str {
    if leaf.facts.index && steering != Steering::None { BY_INDEX } else { "" }
}

/// Whether a plan reads the swept table, which is called `t` in every statement, as the strategy would have it.
fn goes_by_itself(plan: &[String], strategy: Strategy) -> bool {
    let scans = || plan.iter().filter(|line| line.contains(" t  (cost=") && line.contains("Scan "));
    let by_place = |line: &String| line.contains("Tid Range Scan on ") || line.contains("Tid Scan on ");
    let by_index = |line: &String| line.contains("Index Scan using ") || line.contains("Index Only Scan using ");
    match strategy {
        Strategy::HeapOrder => scans().next().is_some() && scans().all(by_place),
        Strategy::IndexOrder => {
            let has_sort = plan.iter().any(|line| line.contains("Sort  (cost="));
            scans().any(by_index) && scans().all(|line| by_index(line) || by_place(line)) && !has_sort
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goes(plan: &str, strategy: Strategy) -> bool {
        goes_by_itself(&plan.lines().map(ToOwned::to_owned).collect::<Vec<_>>(), strategy)
    }

    #[test]
    fn a_plan_is_taken_only_where_it_reads_the_table_as_the_strategy_does() {
        let delete = "Delete on tutor_sessions t  (cost=0.01..8 rows=0 width=0)\n";
        let by_range = "  ->  Tid Range Scan on tutor_sessions t  (cost=0.01..8 rows=5 width=6)";
        let by_index = "  ->  Index Scan using ix on tutor_sessions t  (cost=0.01..8 rows=5 width=6)";
        let in_order = "  CTE picked\n    ->  LockRows  (cost=0.42..1 rows=1 width=20)\n          ->  Index Scan using \
             \"odd (name\" on tutor_sessions t  (cost=0.42..1 rows=1 width=20)\n  ->  Tid Scan on tutor_sessions t  (cost=1..2 \
             rows=1 width=6)";
        let sorted = "  ->  Sort  (cost=1..2 rows=1 width=20)";
        for (plan, heap, index) in [
            (format!("{delete}{by_range}"), true, false),
            (format!("{delete}{by_index}"), false, true),
            (format!("{delete}{in_order}"), false, true),
            (format!("{delete}{in_order}\n{sorted}"), false, false),
            (format!("{delete}  ->  Seq Scan on tutor_sessions t  (cost=1..2 rows=1 width=6)"), false, false),
            (format!("{delete}  ->  Bitmap Heap Scan on tutor_sessions t  (cost=1..2 rows=1 width=6)"), false, false),
            (format!("{delete}{by_range}\n  ->  Seq Scan on pg_inherits i  (cost=1..2 rows=1 width=6)"), true, false),
            (delete.to_owned(), false, false),
        ] {
            assert_eq!(goes(&plan, Strategy::HeapOrder), heap, "{plan}");
            assert_eq!(goes(&plan, Strategy::IndexOrder), index, "{plan}");
        }
    }
}
