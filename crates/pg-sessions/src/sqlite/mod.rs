//! SQLite, the embedded twin: the same rows by the same rule, for applications that develop on it.
//!
//! There is one writer at a time and no row locks, so everything is simpler and one thing is harder: while a batch is
//! open, every other writer waits. Batches therefore aim at 5 to 10 ms, take the write lock at once (`begin immediate`), and
//! a stretch of the table in which nothing is due is passed without taking it at all. The file belongs to an
//! application: it is never created, and its journal mode never changed.

mod facts;
mod inspect;
mod parameter;
mod row;
mod session;
mod sql;
mod tables;
mod url;
mod zone;

use std::cmp::Ordering;
use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use cleanup_core::moment::Moment;
use cleanup_core::policy::SessionPolicy;
use sqlx::sqlite::SqliteRow;

use self::inspect::Ground;
use self::session::{Batch, Bound, Fault, Session, cell, count, statement, text};
pub(crate) use self::tables::tables;
pub(crate) use self::url::parse as parse_url;
use crate::database::{Access, Database, Inspected, Run, Seen};
use crate::report::ledger::{Ledger, Planned};
use crate::report::obstacle::Stop;
use crate::report::plural;
use crate::rule::clocks::Clock;
use crate::rule::idle_seconds;
use crate::rule::names::Sql;
use crate::run::pace::{self, Pacer, Sharing};
use crate::run::progress::{Done, Next, Progress};
use crate::run::{Batches, bisect, index_order};
use crate::{Rows, SessionStats, Strategy, TableFacts};

/// A database file; whether it exists is found out when it is opened.
#[derive(Debug)]
pub(crate) struct File(pub(crate) PathBuf);

/// A JSON array without keys.
const NO_KEYS: &str = "[]";

/// Before every text, and as a number before every date.
const BEGINNING: &str = "-9e18";

impl Database for File {
    type Session = Session;
    type Ground = Ground;

    async fn open(&self, policy: &SessionPolicy, access: Access) -> Result<Session, Stop> {
        Ok(Session::open(&self.0, access, policy.lock_timeout).await?)
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
        let beginning = ground.now(session, -idle_seconds(policy)).await?;
        // Only a trigger can put rows back.
        let due = if ground.triggers { Some(count_due(session, ground, &beginning).await?) } else { None };
        let strategy = strategy.unwrap_or(if ground.index { Strategy::IndexOrder } else { Strategy::HeapOrder });
        let mut table = Table {
            session,
            ground,
            progress: Progress::new(policy, observer, ledger, Sharing::InTurns, pace::embedded_target(policy.pace)),
            aside: NO_KEYS.to_owned(),
            due: due.unwrap_or(u64::MAX),
        };
        match strategy {
            Strategy::HeapOrder if ground.rowid => table.heap_order().await?,
            Strategy::IndexOrder | Strategy::HeapOrder => drop(index_order::run(&mut table, BEGINNING).await?),
        }
        if ledger.tally.counts.removed > 0 {
            for (other, follow) in &ground.followers {
                // SQLite keeps no count for each table.
                ledger.followed(other.to_string(), follow, None);
            }
        }
        if ledger.room() == 0 {
            ledger.deferred(count_due(session, ground, &beginning).await?);
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
                ledger.failed(&ground.name.to_string(), back, "a trigger restores them");
                let kept = kept - back;
                ledger.failed(&ground.name.to_string(), kept, "a trigger keeps them");
            }
        }
        Ok(())
    }

    async fn plan(
        &self,
        session: &mut Session,
        ground: &Ground,
        policy: &SessionPolicy,
        ahead: f64,
        ledger: &mut Ledger,
    ) -> Result<(), Stop> {
        let cutoff = ground.now(session, ahead - idle_seconds(policy)).await?;
        let now = ground.now(session, ahead).await?;
        let counting = statement(ground.statements.count.statement()).bind(cutoff.clone()).bind(now);
        let row = session.one(ground.statements.with_values(counting)).await?;
        if count(&row, 1)? > 0 {
            for (sql, (other, follow)) in ground.statements.followers.iter().zip(&ground.followers) {
                let counting = ground.statements.with_values(statement(sql.statement()).bind(cutoff.clone()));
                match count(&session.one(counting).await?, 0)? {
                    0 => {}
                    rows => ledger.note(format!("{} of {other} {follow}", plural(rows, "row"))),
                }
            }
        }
        ledger.planned(Planned {
            all: count(&row, 0)?,
            due: count(&row, 1)?,
            referenced: count(&row, 2)?,
            future: count(&row, 3)?,
            implausible: count(&row, 4)?,
        });
        Ok(())
    }

    async fn stats(
        &self,
        session: &mut Session,
        ground: &Ground,
        policy: &SessionPolicy,
        seen: Seen,
    ) -> Result<SessionStats, Stop> {
        let idle = idle_seconds(policy);
        let cutoff = ground.now(session, -idle).await?;
        let now = ground.now(session, 0.0).await?;
        let bind = |sql: &Sql| {
            ground.statements.with_values(statement(sql.statement()).bind(cutoff.clone()).bind(now.clone()))
        };
        let rows = session.snapshot(vec![bind(&ground.statements.count), bind(&ground.statements.ends)]).await?;
        let [counts, ends] = &rows[..] else { return Err(Stop::Failed("an empty answer".to_owned())) };
        let moment = |index| Ok::<_, Fault>(cell::<Option<f64>>(ends, index)?.map(moment));
        Ok(SessionStats {
            total_rows: count(counts, 0)?,
            expired_rows: if seen.is_refused { 0 } else { count(counts, 1)? },
            implausible_rows: count(counts, 4)?,
            estimated: false,
            oldest: moment(0)?,
            newest: moment(1)?,
            next_due_at: moment(2)?.filter(|_| !seen.is_refused).map(|next| next.plus(Duration::from_secs_f64(idle))),
            notes: seen.notes,
        })
    }

    async fn facts(
        &self,
        session: &mut Session,
        ground: &Ground,
        policy: &SessionPolicy,
        seen: Seen,
    ) -> Result<TableFacts, Stop> {
        let stats = self.stats(session, ground, policy, seen).await?;
        Ok(facts::facts(session, policy, ground, stats).await?)
    }

    async fn explain(
        &self,
        session: &mut Session,
        ground: &Ground,
        policy: &SessionPolicy,
        clock: &Clock,
        key: &str,
    ) -> Result<Rows, Stop> {
        Ok(row::explain(session, policy, ground, clock, key).await?)
    }

    async fn references(
        &self,
        session: &mut Session,
        _policy: &SessionPolicy,
        query: &Sql,
        each: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<(), Stop> {
        for row in session.all(statement(query.statement())).await? {
            if let Some(name) = text(&row)? {
                each(name.as_bytes());
            }
        }
        Ok(())
    }

    async fn close(&self, session: Session) {
        session.close().await;
    }
}

/// How many rows are due and not referred to.
async fn count_due(session: &mut Session, ground: &Ground, cutoff: &str) -> Result<u64, Fault> {
    let counting = statement(ground.statements.count.statement()).bind(cutoff.to_owned()).bind(cutoff.to_owned());
    let counting = ground.statements.with_values(counting);
    count(&session.one(counting).await?, 1)
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
struct Table<'r, 'a> {
    session: &'r mut Session,
    ground: &'r Ground,
    progress: Progress<'a>,
    /// Keys of rows that the database refused to remove, as a JSON array: they are only ever handed back to it.
    aside: String,
    /// So many rows were due at the beginning, where a trigger may put rows back; what is due later is the next run's.
    due: u64,
}

/// The keys of some rows, in the JSON array that SQLite made of them: a key may be a session's id, and no id passes
/// through here.
struct Keys {
    array: String,
    count: usize,
}

impl Batches for Table<'_, '_> {
    type Rows = Keys;

    fn progress<R>(&mut self, act: impl FnOnce(&mut Progress<'_>) -> R) -> R {
        act(&mut self.progress)
    }

    async fn wait(&mut self) -> Result<(), Stop> {
        self.progress.wait().await
    }

    async fn remove_oldest(&mut self, from: &str, pacer: &mut Pacer) -> Result<Next, Stop> {
        if self.progress.ledger.tally.counts.removed >= self.due {
            return Ok(Next::Done(Done::default()));
        }
        self.progress.rest().await;
        let began = Instant::now();
        let oldest = Oldest { from, size: self.progress.size(pacer), aside: &self.aside };
        let result = oldest_batch(self.session, self.progress.policy, self.ground, &oldest).await;
        self.came_to(result, began, pacer)
    }

    async fn list_oldest(&mut self, from: &str, size: u32) -> Result<Keys, Stop> {
        let Self { session, ground, progress, aside, .. } = self;
        let cutoff = ground.now(session, -idle_seconds(progress.policy)).await?;
        let oldest = Oldest { from, size, aside };
        let keys = oldest.bind(ground, &ground.statements.picked_keys, &cutoff);
        let array = cell(&session.one(keys).await?, 0)?;
        Ok(self.keys(array).await?)
    }

    fn count(rows: &Keys) -> usize {
        rows.count
    }

    async fn remove_listed(&mut self, rows: &Keys, part: Range<usize>, pacer: &mut Pacer) -> Result<Next, Stop> {
        self.progress.rest().await;
        let began = Instant::now();
        let picked = part.len() as u64;
        let gone = listed_batch(self.session, self.progress.policy, self.ground, &rows.array, part).await;
        self.came_to(gone.map(|gone| Done { picked: Some(picked), gone, mark: None }), began, pacer)
    }

    async fn pass_by(&mut self, rows: &Keys, at: usize, reason: String) -> Result<(), Stop> {
        self.progress.ledger.refused(&self.ground.name.to_string(), reason);
        let more = statement(sql::with_key().statement()).bind(self.aside.clone());
        let more = more.bind(rows.array.clone()).bind(place(at));
        self.aside = cell(&self.session.one(more).await?, 0)?;
        Ok(())
    }

    /// Nothing here is cancelled.
    fn gave_up(&mut self) {}
}

impl Table<'_, '_> {
    /// In physical order, a window of rows at a time, due or not.
    async fn heap_order(&mut self) -> Result<(), Stop> {
        let mut pacer = self.progress.rows();
        let mut before = i64::MIN;
        // Rows that come meanwhile are the next run's; a trigger may put back each one that goes.
        let last = self.session.one(statement(self.ground.statements.last.statement())).await?;
        let Some(end) = cell::<Option<i64>>(&last, 0)? else { return Ok(()) };
        while !self.progress.is_over() {
            self.progress.rest().await;
            let began = Instant::now();
            let window = statement(self.ground.statements.window.statement())
                .bind(before)
                .bind(i64::from(self.progress.size(&pacer)))
                .bind(end);
            let row = self.session.one(window).await?;
            let Some(last) = cell::<Option<i64>>(&row, 1)? else { return Ok(()) };
            let picked = Some(count(&row, 0)?);
            let gone = window_batch(self.session, self.progress.policy, self.ground, before, last).await;
            match self.came_to(gone.map(|gone| Done { picked, gone, mark: None }), began, &mut pacer)? {
                Next::Locked => self.progress.wait().await?,
                Next::Again | Next::Cancelled => {}
                Next::Done(_) => before = last,
                Next::Refused(_) => {
                    let keys = self.window_keys(before, last).await?;
                    bisect::run(self, &keys).await?;
                    before = last;
                }
            }
        }
        Ok(())
    }

    async fn window_keys(&mut self, before: i64, last: i64) -> Result<Keys, Fault> {
        let Self { session, ground, progress, .. } = self;
        let cutoff = ground.now(session, -idle_seconds(progress.policy)).await?;
        let keys = statement(ground.statements.window_keys.statement()).bind(cutoff).bind(before).bind(last);
        let array = cell(&session.one(ground.statements.with_values(keys)).await?, 0)?;
        self.keys(array).await
    }

    async fn keys(&mut self, array: String) -> Result<Keys, Fault> {
        let length = statement(sql::length().statement()).bind(array.clone());
        let count = usize::try_from(count(&self.session.one(length).await?, 0)?).unwrap_or(usize::MAX);
        Ok(Keys { array, count })
    }

    fn came_to(&mut self, result: Result<Done, Fault>, began: Instant, pacer: &mut Pacer) -> Result<Next, Stop> {
        match result {
            Ok(done) => {
                let pause = pacer.done(began.elapsed(), done.gone);
                // Where nothing was due nobody was shut out.
                let pause = if done.gone > 0 { pause } else { Duration::ZERO };
                Ok(self.progress.done(done, pause))
            }
            Err(Fault::Locked) => Ok(Next::Locked),
            Err(Fault::Refused(reason)) => Ok(Next::Refused(reason)),
            Err(fault) => Err(fault.into()),
        }
    }
}

/// What a batch in index order is about.
struct Oldest<'a> {
    from: &'a str,
    size: u32,
    aside: &'a str,
}

impl Oldest<'_> {
    fn bind(&self, ground: &Ground, sql: &Sql, cutoff: &str) -> Bound {
        let bound = statement(sql.statement()).bind(cutoff.to_owned()).bind(self.from.to_owned());
        ground.statements.with_values(bound.bind(i64::from(self.size)).bind(self.aside.to_owned()))
    }
}

async fn oldest_batch(
    session: &mut Session,
    policy: &SessionPolicy,
    ground: &Ground,
    oldest: &Oldest<'_>,
) -> Result<Done, Fault> {
    let statements = &ground.statements;
    let mut batch = session.batch().await?;
    let done = async {
        let cutoff = ground.bound(&batch.one(cutoff(&statements.cutoff, -idle_seconds(policy))).await?)?;
        let bind = |sql: &Sql| oldest.bind(ground, sql, &cutoff);
        let row = batch.one(bind(&statements.pick)).await?;
        let (picked, mark) = (count(&row, 0)?, cell(&row, 1)?);
        let archive = statements.archive_picked.as_ref().map(bind);
        let gone = remove(&mut batch, archive, bind(&statements.delete_picked)).await?;
        Ok(Done { picked: Some(picked), gone, mark })
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

/// Some of those rows by their keys.
async fn listed_batch(
    session: &mut Session,
    policy: &SessionPolicy,
    ground: &Ground,
    keys: &str,
    part: Range<usize>,
) -> Result<u64, Fault> {
    let statements = &ground.statements;
    let mut batch = session.batch().await?;
    let gone = async {
        let cutoff = ground.bound(&batch.one(cutoff(&statements.cutoff, -idle_seconds(policy))).await?)?;
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

fn place(at: usize) -> i64 {
    i64::try_from(at).unwrap_or(i64::MAX)
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
            "the archive_table takes {archived} of {gone} rows, because one of its triggers rejects the others; the \
             batch was rolled back, so all rows stay"
        ))),
    }
}
