//! One connection, and transactions on it that leave nothing behind.
//!
//! Whatever is set is set `local`, and every statement stands in an explicit transaction: behind a pooler in
//! transaction mode the next transaction may run on another server connection. Statements are therefore never prepared
//! under a name either. Every step has a deadline on our side, because a network that stalls answers no timeout of
//! the server's.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{Connection as _, Either, Executor as _, PgConnection, Postgres, Row as _, SqlStr};

use super::fault::Fault;
use super::sql::DropStatements;
use super::url::Server;
use crate::rule::names::{Part, Sql};
use crate::run::progress::Done;

/// What a statement may take on our side beyond what the server allows it.
const SLACK: Duration = Duration::from_secs(5);

/// A batch: READ COMMITTED whatever the role's default, nothing to wait for long, no notices (a trigger's may name a
/// session), and no locks kept when we are stopped in the middle. The role's own `search_path` stays, because triggers of
/// the application may name tables without a schema; our own statements name the schema of everything.
///
/// JIT is off: a planner switch makes a plan that cannot do without the method look as expensive as 1e10, and then even
/// a statement of two rows is compiled first, for a tenth of a second, each time.
const BEGIN: &str = "\
begin isolation level read committed; \
set local jit = off; \
set local client_min_messages = error; \
set local idle_in_transaction_session_timeout = 15000; \
set local lock_timeout = {lock}; \
set local statement_timeout = {statement}{planner}";

/// For looking: one snapshot for all of it, no way to change anything, and no path that a stranger could put a function
/// on.
const BEGIN_READ_ONLY: &str = "\
begin isolation level repeatable read read only; \
set local search_path = pg_catalog, pg_temp; \
set local client_min_messages = error; \
set local idle_in_transaction_session_timeout = 15000; \
set local jit = off; \
set local lock_timeout = {lock}; \
set local statement_timeout = {statement}";

/// The same with the limits that the role has.
const BEGIN_SETTINGS: &str = "\
begin isolation level repeatable read read only; \
set local search_path = pg_catalog, pg_temp; \
set local client_min_messages = error; \
set local idle_in_transaction_session_timeout = 15000";

/// The same under the role's own `search_path`.
const BEGIN_LOOK_UP: &str = "\
begin isolation level repeatable read read only; \
set local jit = off; \
set local client_min_messages = error; \
set local lock_timeout = {lock}; \
set local statement_timeout = {statement}";

/// Takes every planner switch back, to what the role, the database or the server has set.
const UNSTEERED: &str = "\
set local enable_seqscan to default; set local enable_sort to default; set local enable_indexscan to default; \
set local enable_indexonlyscan to default; set local enable_bitmapscan to default";

/// The lock that nodes hold while they are at it; taken together with the beginning of the transaction.
const LOCK: &str = "; select pg_catalog.pg_try_advisory_xact_lock('{key}'::pg_catalog.int8){watched}";

/// How many rows this connection has put into a table, has removed from one, or has changed in one, as far as the server
/// has not passed the number on yet: only the difference of two answers within one transaction says anything.
const INSERTED: &str = "pg_catalog.pg_stat_get_xact_tuples_inserted({table}::pg_catalog.oid)";

const DELETED: &str = "pg_catalog.pg_stat_get_xact_tuples_deleted({table}::pg_catalog.oid)";

const UPDATED: &str = "pg_catalog.pg_stat_get_xact_tuples_updated({table}::pg_catalog.oid)";

const COMMIT: &str = "commit";

/// The same numbers at the end, with what is deferred to the commit, after the number of the transaction: a row holds it in
/// 32 bits.
const COMMIT_WATCHED: &str = "\
set constraints all immediate; \
select (pg_catalog.txid_current_if_assigned() operator(pg_catalog.%) 4294967296)::pg_catalog.text{counters}; \
commit";

/// What else a batch does, as far as the server counts it.
#[derive(Clone, Debug, Default)]
pub(super) struct Watched {
    /// The swept table, where a trigger may put rows into it.
    pub(super) put_back: Option<Oid>,
    /// Tables whose rows go along (`true`), or are changed.
    pub(super) followers: Vec<(Oid, bool)>,
}

impl Watched {
    /// `, …` for each number that is asked for.
    fn counters(&self) -> Sql {
        let followers = self.followers.iter().map(|(table, goes)| (if *goes { DELETED } else { UPDATED }, table));
        let counters = self.put_back.iter().map(|table| (INSERTED, table)).chain(followers);
        let counters: Vec<Sql> = counters
            .map(|(template, Oid(table))| {
                let counter = Sql::new(template, &[("table", &u64::from(*table))]);
                Sql::new(", {counter}", &[("counter", &counter)])
            })
            .collect();
        Sql::joined(counters.iter().map(|counter| counter as &dyn Part), "")
    }
}

/// How a transaction begins, and how long a statement in it may take.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    begin: Sql,
    path: Path,
    deadline: Option<Duration>,
}

/// Where names without a schema are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Path {
    /// Where the role, the database or the URL says.
    Own,
    /// In PostgreSQL's own schema.
    Fixed,
}

/// The limits of a transaction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) lock: Duration,
    /// `None` is no limit.
    pub(super) statement: Option<Duration>,
}

impl Frame {
    /// For a batch that deletes. `planner` holds more `; set local …`.
    pub(super) fn batch(limits: Limits, planner: &'static str) -> Self {
        Self::new(BEGIN, limits, planner, Path::Own)
    }

    /// For looking at names, counts and estimates.
    pub(super) fn look(limits: Limits) -> Self {
        Self::new(BEGIN_READ_ONLY, limits, "", Path::Fixed)
    }

    /// For asking the server about itself, its own limits among it: what is asked for so waits for nobody. Its version is
    /// not known yet.
    pub(super) fn settings(limits: Limits) -> Self {
        Self::new(BEGIN_SETTINGS, limits, "", Path::Fixed)
    }

    /// For finding out which table a name without a schema means: under the role's own `search_path`.
    pub(super) fn look_up(limits: Limits) -> Self {
        Self::new(BEGIN_LOOK_UP, limits, "", Path::Own)
    }

    fn new(template: &'static str, limits: Limits, planner: &'static str, path: Path) -> Self {
        let (lock, statement) = (millis(Some(limits.lock)), millis(limits.statement));
        let planner = Sql::new(planner, &[]);
        let begin = Sql::new(template, &[("lock", &lock), ("statement", &statement), ("planner", &planner)]);
        Self { begin, path, deadline: limits.statement.map(|limit| limit.saturating_add(SLACK)) }
    }
}

/// 0 is PostgreSQL's "no limit", so what is shorter than a millisecond becomes one.
fn millis(limit: Option<Duration>) -> u64 {
    limit.map_or(0, |limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX).clamp(1, 2_147_483_647))
}

/// A connection. It closes when it is dropped; an open transaction is then rolled back by the server.
pub(crate) struct Session {
    connection: PgConnection,
    /// What puts the URL's schema on the path of a transaction. `set local`, as everything: a pooler refuses a parameter
    /// of the start that it does not know.
    schema: Sql,
}

/// A statement with its values.
pub(super) type Bound = Query<'static, Postgres, PgArguments>;

/// Whether two threads can be had at a time: one for whoever asks next, and one because a thread that has ended counts
/// for a moment longer.
fn find_threads() -> std::io::Result<()> {
    let (end, is_over) = std::sync::mpsc::channel::<()>();
    // It ends when nobody can tell it to any more.
    let first = std::thread::Builder::new().spawn(move || {
        let _ = is_over.recv();
    })?;
    let second = std::thread::Builder::new().spawn(|| ());
    drop(end);
    let second = second?;
    // Neither has anything to say.
    let _ = (first.join(), second.join());
    Ok(())
}

/// A statement, to be bound. Never prepared under a name.
pub(super) fn statement(sql: SqlStr) -> Bound {
    sqlx::query(sql).persistent(false)
}

impl Session {
    pub(super) async fn open(server: &Server) -> Result<Self, Fault> {
        let options = &server.options;
        let host = options.get_host();
        let is_a_name = options.get_socket().is_none() && !host.starts_with('/') && host.parse::<IpAddr>().is_err();
        // Names are looked up on a thread of their own, and the runtime panics where there is none to be had.
        if is_a_name && let Err(error) = find_threads() {
            return Err(Fault::Away(format!("cannot start a thread to resolve its name: {error}")));
        }
        let schema = match &server.schema {
            Some(schema) => Sql::new("; set local search_path = {schema}", &[("schema", schema)]),
            None => Sql::EMPTY,
        };
        match tokio::time::timeout(server.patience, PgConnection::connect_with(options)).await {
            Ok(connection) => Ok(Self { connection: connection?, schema }),
            Err(_) => Err(Fault::Away(format!("no response within {} s", server.patience.as_secs()))),
        }
    }

    /// How a transaction begins on this connection.
    fn begin(&self, frame: &Frame) -> Sql {
        match frame.path {
            Path::Own => Sql::joined([&frame.begin as &dyn Part, &self.schema], ""),
            Path::Fixed => frame.begin.clone(),
        }
    }

    /// Begins a transaction that no other node is in at the same time, and answers the `counters` as they stand. In one
    /// message: together with the commit a batch takes four round trips and not nine, and where the
    /// processors are busy each of them waits for its turn.
    async fn enter(&mut self, frame: &Frame, key: i64, counters: &Sql) -> Result<Vec<u64>, Fault> {
        let lock = Sql::new(LOCK, &[("key", &key), ("watched", counters)]);
        let begin = Sql::joined([&self.begin(frame) as &dyn Part, &lock], "");
        let row = self.raw(&begin).await?.ok_or_else(|| Fault::Final("an empty answer".to_owned()))?;
        if !cell::<bool>(&row, 0)? {
            return Err(Fault::AnotherNode);
        }
        counted(&row)
    }

    /// Some statements without values in one message, of which the last one that answers anything answers one row.
    async fn raw(&mut self, sql: &Sql) -> Result<Option<PgRow>, Fault> {
        Ok(sqlx::raw_sql(sql.statement()).fetch_all(&mut self.connection).await?.pop())
    }

    /// After a failure nothing of a transaction stays, and the connection is ready for the next one.
    async fn settle<T>(&mut self, deadline: Option<Duration>, result: Result<T, Fault>) -> Result<T, Fault> {
        if result.as_ref().is_err_and(|fault| !matches!(fault, Fault::Away(_))) {
            within(deadline, async { self.raw(&Sql::new("rollback", &[])).await }).await?;
        }
        result
    }

    /// One transaction, one `DELETE`, one batch. With a key it runs only when no other node is at it. The rows are
    /// only handed out after the commit was acknowledged: what is not acknowledged counts as not done.
    pub(super) async fn batch(
        &mut self,
        frame: &Frame,
        key: i64,
        work: Work,
        watched: &Watched,
    ) -> Result<Batch, Fault> {
        let deadline = match work {
            Work::Plain(_) | Work::Picked(_) => frame.deadline,
            Work::PickFirst { .. } => frame.deadline.map(|deadline| deadline.saturating_mul(2)),
        };
        let counters = watched.counters();
        let result = within(deadline, async {
            let before = self.enter(frame, key, &counters).await?;
            let began = Instant::now();
            let connection = &mut self.connection;
            let done = match work {
                Work::Plain(bound) => {
                    Done { gone: bound.execute(connection).await?.rows_affected(), ..Done::default() }
                }
                Work::Picked(bound) => removed(&bound.fetch_one(connection).await?)?,
                Work::PickFirst { pick, delete, archives } => {
                    let rows = pick.fetch_all(&mut *connection).await?;
                    let places = rows.iter().map(|row| cell(row, 0)).collect::<Result<Vec<String>, Fault>>()?;
                    let mark = rows.last().map(|row| cell(row, 1)).transpose()?.flatten();
                    let picked = Some(places.len() as u64);
                    let gone = if places.is_empty() {
                        0
                    } else {
                        connection.execute(SqlStr::from_static(UNSTEERED)).await?;
                        let delete = delete(places);
                        if archives {
                            removed(&delete.fetch_one(connection).await?)?.gone
                        } else {
                            delete.execute(connection).await?.rows_affected()
                        }
                    };
                    Done { picked, gone, mark }
                }
            };
            let took = began.elapsed();
            if before.is_empty() || done.gone == 0 {
                self.raw(&Sql::new(COMMIT, &[])).await?;
                return Ok(Batch { done, took, put_back: None, followed: Vec::new() });
            }
            let commit = Sql::new(COMMIT_WATCHED, &[("counters", &counters)]);
            let row = self.raw(&commit).await?.ok_or_else(|| Fault::Final("an empty answer".to_owned()))?;
            let mut counts = counted(&row)?.into_iter().zip(before).map(|(now, before)| now.saturating_sub(before));
            let has_put_back = watched.put_back.and_then(|_| counts.next()).is_some_and(|rows| rows > 0);
            let transaction = cell::<Option<String>>(&row, 0)?;
            Ok(Batch { done, took, put_back: transaction.filter(|_| has_put_back), followed: counts.collect() })
        })
        .await;
        self.settle(deadline, result).await
    }

    /// Drops a partition if it is still the one that was looked at and holds nothing but what is due; `false` if not.
    pub(super) async fn drop_partition(
        &mut self,
        frame: &Frame,
        key: i64,
        statements: &DropStatements,
        is_due: Bound,
    ) -> Result<bool, Fault> {
        let result = within(frame.deadline, async {
            self.enter(frame, key, &Sql::EMPTY).await?;
            self.raw(&statements.lock).await?;
            let row = is_due.fetch_one(&mut self.connection).await?;
            let (is_the_same, has_kept) = (cell::<Option<bool>>(&row, 0)?, cell::<Option<bool>>(&row, 1)?);
            if (is_the_same, has_kept) != (Some(true), Some(false)) {
                self.raw(&Sql::new("rollback", &[])).await?;
                return Ok(false);
            }
            let drop = Sql::joined([&statements.drop as &dyn Part, &Sql::new(COMMIT, &[])], "; ");
            self.raw(&drop).await?;
            Ok(true)
        })
        .await;
        self.settle(frame.deadline, result).await
    }

    /// Some statements without values in one transaction that is rolled back, all in one message, with the rows of each.
    pub(super) async fn look_at_once(&mut self, frame: &Frame, statements: &[Sql]) -> Result<Vec<Vec<PgRow>>, Fault> {
        let begin = self.begin(frame);
        let rollback = Sql::new("rollback", &[]);
        let message = Sql::joined(
            std::iter::once(&begin).chain(statements).chain([&rollback]).map(|statement| statement as &dyn Part),
            "; ",
        );
        let result = within(frame.deadline, async {
            let mut answers = sqlx::raw_sql(message.statement()).fetch_many(&mut self.connection);
            let mut groups = vec![Vec::new()];
            while let Some(answer) = answers.try_next().await? {
                match (answer, groups.last_mut()) {
                    (Either::Right(row), Some(rows)) => rows.push(row),
                    (Either::Left(_), _) | (_, None) => groups.push(Vec::new()),
                }
            }
            // The beginning answers several times, the rollback once, and then nothing follows.
            let end = groups.len().saturating_sub(2);
            let begin = end.checked_sub(statements.len());
            let begin = begin.ok_or_else(|| Fault::Final("an empty answer".to_owned()))?;
            Ok(groups.drain(begin..end).collect())
        })
        .await;
        self.settle(frame.deadline, result).await
    }

    /// The rows of one statement without values.
    pub(super) async fn look_once(&mut self, frame: &Frame, statement: &Sql) -> Result<Vec<PgRow>, Fault> {
        Ok(self.look_at_once(frame, std::slice::from_ref(statement)).await?.pop().unwrap_or_default())
    }

    /// Some statements in one transaction that is rolled back, with a row from each.
    pub(super) async fn look(&mut self, frame: &Frame, statements: Vec<Bound>) -> Result<Vec<Vec<PgRow>>, Fault> {
        let begin = self.begin(frame).statement();
        within(frame.deadline, async {
            let mut transaction = self.connection.begin_with(begin).await?;
            let mut answers = Vec::with_capacity(statements.len());
            for bound in statements {
                answers.push(bound.fetch_all(&mut *transaction).await?);
            }
            transaction.rollback().await?;
            Ok(answers)
        })
        .await
    }

    /// The first column of every row of one answer, as it comes, in a transaction that is rolled back.
    pub(super) async fn each(
        &mut self,
        frame: &Frame,
        bound: Bound,
        each: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<(), Fault> {
        let begin = self.begin(frame).statement();
        within(frame.deadline, async {
            let mut transaction = self.connection.begin_with(begin).await?;
            let mut rows = bound.fetch(&mut *transaction);
            while let Some(row) = rows.try_next().await? {
                if let Some(name) = text(&row)? {
                    each(name.as_bytes());
                }
            }
            drop(rows);
            transaction.rollback().await?;
            Ok(())
        })
        .await
    }

    /// One statement in a transaction that is rolled back.
    pub(super) async fn ask(&mut self, frame: &Frame, bound: Bound) -> Result<Vec<PgRow>, Fault> {
        Ok(self.look(frame, vec![bound]).await?.pop().unwrap_or_default())
    }

    /// The first row of the answer.
    pub(super) async fn ask_one(&mut self, frame: &Frame, bound: Bound) -> Result<PgRow, Fault> {
        self.ask(frame, bound).await?.into_iter().next().ok_or_else(|| Fault::Final("an empty answer".to_owned()))
    }

    /// Says goodbye, without waiting for long.
    pub(super) async fn close(self) {
        let _ = tokio::time::timeout(Duration::from_secs(1), self.connection.close()).await;
    }
}

/// A batch that is committed.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) done: Done,
    /// How long its statements took that remove rows. What comes before and after them (settings, the lock, the flush of
    /// the commit) takes as long for one row as for a thousand, so a smaller batch would not make it any shorter: on a busy
    /// machine batches shrank to nothing when it was counted.
    pub(super) took: Duration,
    /// The number of its transaction, when a trigger put rows into a watched table while others were removed.
    pub(super) put_back: Option<String>,
    /// How many rows of the watched followers went along or were changed, where any rows went.
    pub(super) followed: Vec<u64>,
}

/// What a batch executes, and how it tells what it did.
pub(super) enum Work {
    /// One statement; the number of rows that it affected.
    Plain(Bound),
    /// One statement; a row with how many were picked, how many are gone, and the newest stamp of those picked.
    Picked(Bound),
    /// First `pick` locks rows and answers their places and stamps, under the planner switches that the transaction
    /// began with. Then `delete` removes those rows with the switches taken back, because what it sets in motion
    /// (triggers, foreign keys that act) is planned under them as well. Where nothing is picked nothing is deleted, so
    /// that no trigger of the statement fires for nothing.
    PickFirst { pick: Bound, delete: Box<dyn FnOnce(Vec<String>) -> Bound + Send>, archives: bool },
}

/// What a statement came to that says so itself: rows picked, gone, the newest stamp, and rows that arrived in the
/// archive. A row that is gone and did not arrive there is lost, so the batch must be rolled back.
fn removed(row: &PgRow) -> Result<Done, Fault> {
    let (gone, archived) = (count(row, 1)?, cell::<Option<i64>>(row, 3)?);
    match archived.map(|archived| u64::try_from(archived).unwrap_or(0)) {
        Some(archived) if archived != gone => Err(Fault::Final(format!(
            "the archive_table takes {archived} of {gone} rows, because one of its triggers rejects or redirects the \
             others; the batch was rolled back, so all rows stay"
        ))),
        _ => Ok(Done { picked: cell::<Option<i64>>(row, 0)?.map(i64::unsigned_abs), gone, mark: cell(row, 2)? }),
    }
}

/// A value of a row, by its place.
pub(super) fn cell<'r, T>(row: &'r PgRow, index: usize) -> Result<T, Fault>
where
    T: sqlx::Decode<'r, Postgres> + sqlx::Type<Postgres>,
{
    row.try_get(index).map_err(|_| Fault::Final("an answer of an unexpected type".to_owned()))
}

/// The first column, which has to be text.
fn text(row: &PgRow) -> Result<Option<&str>, Fault> {
    row.try_get(0)
        .map_err(|_| Fault::Final("the query must return text in its first column; cast it (`::text`)".to_owned()))
}

/// All counts of a row but for its first value, which is something else.
fn counted(row: &PgRow) -> Result<Vec<u64>, Fault> {
    (1..row.len()).map(|index| count(row, index)).collect()
}

/// A count of a row, by its place.
pub(super) fn count(row: &PgRow, index: usize) -> Result<u64, Fault> {
    Ok(u64::try_from(cell::<i64>(row, index)?).unwrap_or(0))
}

async fn within<T>(deadline: Option<Duration>, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    match deadline {
        None => work.await,
        Some(deadline) => match tokio::time::timeout(deadline, work).await {
            Ok(result) => result,
            Err(_) => Err(Fault::Away("the connection stalled".to_owned())),
        },
    }
}
