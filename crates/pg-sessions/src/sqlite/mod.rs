//! SQLite, the embedded twin: the same rows by the same rule, for applications that develop on it.
//!
//! There is one writer at a time and no row locks, so everything is simpler and one thing is harder: while a batch is
//! open, every other writer waits. Batches therefore aim at 5 to 10 ms, take the write lock at once (`begin immediate`), and
//! a stretch of the table in which nothing is due is passed without taking it at all. The file belongs to an
//! application: it is never created, and its journal mode never changed.

mod bisect;
mod inspect;
mod session;
mod sql;
mod zone;

use std::cmp::Ordering;
use std::path::Path;
use std::time::{Duration, Instant};

use cleanup_core::moment::Moment;
use cleanup_core::policy::SessionPolicy;
use cleanup_core::store::Seen;
use cleanup_core::sweep::Observer;
use sqlx::sqlite::SqliteRow;

use self::inspect::Ground;
use self::session::{Access, Batch, Bound, Fault, Session, cell, count, statement, text};
use crate::check::Finding;
use crate::obstacle::{Ledger, Planned, Stop, first_problem, may_begin};
use crate::pace::{self, Pacer};
use crate::table::Sql;
use crate::{Clock, SessionStats, Strategy, idle_seconds};

/// A JSON array without keys.
const NO_KEYS: &str = "[]";

/// How often the write lock is tried again before the run ends.
const TRIES: u32 = 4;

/// Removes what is due. What was committed is in the ledger, however it ends.
pub(crate) async fn sweep(
    file: &Path,
    policy: &SessionPolicy,
    clock: &Clock,
    strategy: Option<Strategy>,
    observer: &dyn Observer,
    ledger: &mut Ledger,
) -> Result<(), Stop> {
    let mut session = Session::open(file, Access::Change, policy.lock_timeout).await?;
    let ground = stand(&mut session, policy, clock, ledger).await?;
    ledger.implausible(ground.implausible);
    let beginning = ground.now(&mut session, -idle_seconds(policy)).await?;
    // Only a trigger can put rows back.
    let due = if ground.triggers { Some(count_due(&mut session, &ground, &beginning).await?) } else { None };
    let strategy = strategy.unwrap_or(if ground.index { Strategy::IndexOrder } else { Strategy::HeapOrder });
    let mut run = Run {
        session: &mut session,
        policy,
        ground: &ground,
        observer,
        ledger,
        tries: 0,
        aside: NO_KEYS.to_owned(),
        due: due.unwrap_or(u64::MAX),
    };
    match strategy {
        Strategy::HeapOrder if ground.rowid => run.heap_order().await?,
        Strategy::IndexOrder | Strategy::HeapOrder => run.index_order().await?,
    }
    if ledger.room() == 0 {
        ledger.deferred(count_due(&mut session, &ground, &beginning).await?);
    }
    if ground.keepers {
        let counting = statement(ground.statements.count.statement()).bind(beginning.clone()).bind(beginning);
        let counting = ground.statements.with_values(counting);
        let row = session.one(counting).await?;
        ledger.referenced(count(&row, 2)?);
        if !ledger.is_over() {
            let kept = count(&row, 1)?.saturating_sub(ledger.refused_rows());
            let gone = ledger.tally.counts.removed;
            // A row may have gone more than once.
            let more = due.map_or(0, |due| (gone + kept + ledger.refused_rows()).saturating_sub(due).min(gone));
            let back = more.min(kept);
            ledger.put_back(more);
            ledger.failed(&ground.name.to_string(), back, "a trigger puts them back");
            let kept = kept - back;
            ledger.failed(&ground.name.to_string(), kept, "a trigger keeps them");
        }
    }
    session.close().await;
    Ok(())
}

/// How many rows are due and not referred to.
async fn count_due(session: &mut Session, ground: &Ground, cutoff: &str) -> Result<u64, Fault> {
    let counting = statement(ground.statements.count.statement()).bind(cutoff.to_owned()).bind(cutoff.to_owned());
    let counting = ground.statements.with_values(counting);
    count(&session.one(counting).await?, 1)
}

/// Counts what a sweep would take, exactly; `ahead` seconds from now.
pub(crate) async fn plan(
    file: &Path,
    policy: &SessionPolicy,
    clock: &Clock,
    ahead: f64,
    ledger: &mut Ledger,
) -> Result<(), Stop> {
    let mut session = Session::open(file, Access::Look, policy.lock_timeout).await?;
    let ground = stand(&mut session, policy, clock, ledger).await?;
    let cutoff = ground.now(&mut session, ahead - idle_seconds(policy)).await?;
    let now = ground.now(&mut session, ahead).await?;
    let counting = statement(ground.statements.count.statement()).bind(cutoff).bind(now);
    let row = session.one(ground.statements.with_values(counting)).await?;
    ledger.planned(Planned {
        all: count(&row, 0)?,
        due: count(&row, 1)?,
        referenced: count(&row, 2)?,
        future: count(&row, 3)?,
        implausible: count(&row, 4)?,
    });
    session.close().await;
    Ok(())
}

pub(crate) async fn stats(file: &Path, policy: &SessionPolicy, clock: &Clock) -> Result<SessionStats, Stop> {
    let mut session = Session::open(file, Access::Look, policy.lock_timeout).await?;
    let (ground, findings) = inspect::inspect(&mut session, policy, clock).await?;
    let Some(ground) = ground else {
        first_problem(&findings)?;
        return Err(Stop::Failed("the table cannot be looked at".to_owned()));
    };
    let idle = idle_seconds(policy);
    let cutoff = ground.now(&mut session, -idle).await?;
    let now = ground.now(&mut session, 0.0).await?;
    let bind =
        |sql: &Sql| ground.statements.with_values(statement(sql.statement()).bind(cutoff.clone()).bind(now.clone()));
    let rows = session.snapshot(vec![bind(&ground.statements.count), bind(&ground.statements.ends)]).await?;
    session.close().await;
    let [counts, ends] = &rows[..] else { return Err(Stop::Failed("an empty answer".to_owned())) };
    let moment = |index| Ok::<_, Fault>(cell::<Option<f64>>(ends, index)?.map(moment));
    Ok(SessionStats {
        total_rows: count(counts, 0)?,
        expired_rows: if ground.is_refused { 0 } else { count(counts, 1)? },
        implausible_rows: count(counts, 4)?,
        estimated: false,
        oldest: moment(0)?,
        newest: moment(1)?,
        next_due_at: moment(2)?.filter(|_| !ground.is_refused).map(|next| next.plus(Duration::from_secs_f64(idle))),
        notes: ground.notes,
    })
}

pub(crate) async fn check(file: &Path, policy: &SessionPolicy, clock: &Clock) -> Result<Vec<Finding>, Stop> {
    let mut session = Session::open(file, Access::Look, policy.lock_timeout).await?;
    let (_, findings) = inspect::inspect(&mut session, policy, clock).await?;
    session.close().await;
    Ok(findings)
}

/// Hands on what the operator's own query answers.
pub(crate) async fn references(
    file: &Path,
    policy: &SessionPolicy,
    query: &Sql,
    each: &mut (dyn FnMut(&[u8]) + Send),
) -> Result<(), Stop> {
    let mut session = Session::open(file, Access::Look, policy.lock_timeout).await?;
    for row in session.all(statement(query.statement())).await? {
        if let Some(name) = text(&row)? {
            each(name.as_bytes());
        }
    }
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
    for note in &ground.notes {
        ledger.note(note.clone());
    }
    Ok(ground)
}

impl Ground {
    /// The database's clock, so many seconds from now, in the form of the column.
    async fn now(&self, session: &mut Session, seconds: f64) -> Result<String, Fault> {
        self.bound(&session.one(cutoff(&self.statements.cutoff, seconds)).await?)
    }

    /// The answer, as statements want it.
    fn bound(&self, row: &SqliteRow) -> Result<String, Fault> {
        Ok(self.wall_clock.both(cell(row, 0)?))
    }
}

fn cutoff(sql: &Sql, seconds: f64) -> Bound {
    statement(sql.statement()).bind(format!("{seconds:+.3} seconds"))
}

/// A moment from seconds since 1970, to the microsecond.
fn moment(seconds: f64) -> Moment {
    let span = Duration::try_from_secs_f64(seconds.abs()).unwrap_or(Duration::MAX);
    if seconds < 0.0 { Moment::EPOCH.minus(span) } else { Moment::EPOCH.plus(span) }
}

/// A run over one table.
struct Run<'a> {
    session: &'a mut Session,
    policy: &'a SessionPolicy,
    ground: &'a Ground,
    observer: &'a dyn Observer,
    ledger: &'a mut Ledger,
    tries: u32,
    /// Keys of rows that the database refused to remove, as a JSON array: they are only ever handed back to it.
    aside: String,
    /// So many rows were due at the beginning, where a trigger may put rows back; what is due later is the next run's.
    due: u64,
}

/// What came of a batch.
struct Done {
    picked: u64,
    gone: u64,
    mark: Option<String>,
}

impl Run<'_> {
    /// In the order of the index. Ends as it does on PostgreSQL, and for the same reasons.
    async fn index_order(&mut self) -> Result<(), Stop> {
        let mut pacer = self.pacer();
        // Before every text, and as a number before every date.
        let mut watermark = "-9e18".to_owned();
        let mut stalled = 0;
        while !self.is_over() {
            let size = self.ledger.fitting(pacer.size());
            let began = Instant::now();
            let values = Values { watermark: &watermark, size, aside: &self.aside };
            let result = index_order_batch(self.session, self.policy, self.ground, &values).await;
            if let Err(Fault::Refused(reason)) = result {
                let keys = values.keys(self.session, self.policy, self.ground).await?;
                let went = self.bisect(&keys).await?;
                if self.ledger.is_over() {
                    return Ok(());
                }
                stalled = if went { 0 } else { stalled + 1 };
                if stalled == TRIES {
                    return Err(Stop::Failed(reason));
                }
                continue;
            }
            let Some(done) = self.tried(result).await? else { continue };
            self.count(&done, pacer.done(began.elapsed())).await;
            if done.picked < u64::from(size) || self.ledger.tally.counts.removed >= self.due {
                return Ok(());
            }
            let mark = done.mark.unwrap_or_else(|| watermark.clone());
            if done.gone == 0 && mark == watermark && !pacer.stuck() {
                return Ok(());
            }
            watermark = mark;
        }
        Ok(())
    }

    /// In physical order, a window of rows at a time, due or not.
    async fn heap_order(&mut self) -> Result<(), Stop> {
        let mut pacer = self.pacer();
        let mut before = i64::MIN;
        // Rows that come meanwhile are the next run's; a trigger may put back each one that goes.
        let last = self.session.one(statement(self.ground.statements.last.statement())).await?;
        let Some(end) = cell::<Option<i64>>(&last, 0)? else { return Ok(()) };
        while !self.is_over() {
            let began = Instant::now();
            let window = statement(self.ground.statements.window.statement())
                .bind(before)
                .bind(i64::from(self.ledger.fitting(pacer.size())));
            let window = window.bind(end);
            let row = self.session.one(window).await?;
            let Some(last) = cell::<Option<i64>>(&row, 1)? else { return Ok(()) };
            let result = window_batch(self.session, self.policy, self.ground, before, last).await;
            if let Err(Fault::Refused(_)) = result {
                let cutoff = self.ground.now(self.session, -idle_seconds(self.policy)).await?;
                let keys =
                    statement(self.ground.statements.window_keys.statement()).bind(cutoff).bind(before).bind(last);
                let keys = self.ground.statements.with_values(keys);
                let keys: String = cell(&self.session.one(keys).await?, 0)?;
                self.bisect(&keys).await?;
                if self.ledger.is_over() {
                    return Ok(());
                }
                before = last;
                continue;
            }
            let Some(gone) = self.tried(result).await? else { continue };
            let done = Done { picked: count(&row, 0)?, gone, mark: None };
            self.count(&done, pacer.done(began.elapsed())).await;
            before = last;
        }
        Ok(())
    }

    fn is_over(&mut self) -> bool {
        if self.observer.wants_to_stop() {
            self.ledger.stop();
        }
        self.ledger.stop_when_late();
        self.ledger.is_over()
    }

    /// `None` when the write lock was not had and the same may be tried again.
    async fn tried<T>(&mut self, result: Result<T, Fault>) -> Result<Option<T>, Stop> {
        match result {
            Ok(done) => {
                self.tries = 0;
                Ok(Some(done))
            }
            Err(Fault::Locked) if self.tries + 1 < TRIES => {
                self.tries += 1;
                tokio::time::sleep(pace::backoff(pace::embedded_target(self.policy.pace), self.tries)).await;
                Ok(None)
            }
            Err(fault) => Err(fault.into()),
        }
    }

    async fn count(&mut self, done: &Done, pause: Duration) {
        self.ledger.removed(done.gone);
        self.observer.seen(Seen { scanned: done.picked, ..Seen::default() });
        if done.gone > 0 {
            tokio::time::sleep(pause).await;
        }
    }

    fn pacer(&self) -> Pacer {
        let target = pace::embedded_target(self.policy.pace);
        Pacer::new(self.policy.pace, target, self.policy.batch_size, pace::ROWS)
    }
}

/// What a batch in index order is about.
struct Values<'a> {
    watermark: &'a str,
    size: u32,
    aside: &'a str,
}

impl Values<'_> {
    fn bind(&self, ground: &Ground, sql: &Sql, cutoff: &str) -> Bound {
        let bound = statement(sql.statement()).bind(cutoff.to_owned()).bind(self.watermark.to_owned());
        ground.statements.with_values(bound.bind(i64::from(self.size)).bind(self.aside.to_owned()))
    }

    /// The keys of the rows that the batch would take.
    async fn keys(&self, session: &mut Session, policy: &SessionPolicy, ground: &Ground) -> Result<String, Fault> {
        let cutoff = ground.now(session, -idle_seconds(policy)).await?;
        cell(&session.one(self.bind(ground, &ground.statements.picked_keys, &cutoff)).await?, 0)
    }
}

async fn index_order_batch(
    session: &mut Session,
    policy: &SessionPolicy,
    ground: &Ground,
    values: &Values<'_>,
) -> Result<Done, Fault> {
    let statements = &ground.statements;
    let mut batch = session.batch().await?;
    let done = async {
        let cutoff = ground.bound(&batch.one(cutoff(&statements.cutoff, -idle_seconds(policy))).await?)?;
        let bind = |sql: &Sql| values.bind(ground, sql, &cutoff);
        let row = batch.one(bind(&statements.pick)).await?;
        let (picked, mark) = (count(&row, 0)?, cell(&row, 1)?);
        let archive = statements.archive_picked.as_ref().map(bind);
        let gone = remove(&mut batch, archive, bind(&statements.delete_picked)).await?;
        Ok(Done { picked, gone, mark })
    };
    let done = done.await;
    batch.end(done).await
}

async fn window_batch(
    session: &mut Session,
    policy: &SessionPolicy,
    ground: &Ground,
    before: i64,
    last: i64,
) -> Result<u64, Fault> {
    let statements = &ground.statements;
    let seconds = -idle_seconds(policy);
    let bind = |sql: &Sql, cutoff: &str| {
        statements.with_values(statement(sql.statement()).bind(cutoff.to_owned()).bind(before).bind(last))
    };
    let first = ground.now(session, seconds).await?;
    if cell::<i64>(&session.one(bind(&statements.any_in_window, &first)).await?, 0)? == 0 {
        return Ok(0);
    }
    let mut batch = session.batch().await?;
    let gone = async {
        let cutoff = ground.bound(&batch.one(cutoff(&statements.cutoff, seconds)).await?)?;
        let archive = statements.archive_window.as_ref().map(|sql| bind(sql, &cutoff));
        remove(&mut batch, archive, bind(&statements.delete_window, &cutoff)).await
    };
    let gone = gone.await;
    batch.end(gone).await
}

/// Archives, then deletes, under one write lock and one cutoff; both must mean the same number of rows.
async fn remove(batch: &mut Batch<'_>, archive: Option<Bound>, delete: Bound) -> Result<u64, Fault> {
    let Some(archive) = archive else { return batch.run(delete).await };
    let archived = batch.run(archive).await?;
    let gone = batch.run(delete).await?;
    match archived.cmp(&gone) {
        Ordering::Equal => Ok(gone),
        Ordering::Greater => {
            Err(Fault::Final("more rows would be archived than removed, because a trigger keeps some".to_owned()))
        }
        Ordering::Less => Err(Fault::Final(format!(
            "the archive_table takes {archived} of {gone} rows, because a trigger of it keeps the others out; the batch was \
             rolled back, so they all stay"
        ))),
    }
}
