//! Observe mode: what an observing run would have taken and kept, compared with the run before.
//!
//! Names are streamed into a *generation* of their own, a batch at a time: no transaction spans the walk, so nobody
//! waits for it, and memory stays flat over millions of files. A generation counts once it is finished; one that was
//! broken off is cleared away by the next. Of each policy only the newest finished generation is kept.

use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};

use super::Ledger;

/// Rows in one statement: enough that the cost of a statement is spread thin, few enough for SQLite's bound values.
const BATCH: usize = 512;

/// How many paths of each kind are named.
const MAX_NAMES: i64 = 20;

/// Rows forgotten in one transaction, so that nobody waits long.
const FORGET: i64 = 20_000;

const BEGIN: &str = "insert into generations (policy) values (?1) returning id";
const EARLIER: &str = "select id from generations where policy = ?1 and id < ?2 and finished = 1 \
                       order by id desc limit 1";
const FINISH: &str = "update generations set finished = 1 where id = ?1";
const ROW: &str = "insert or replace into observed (generation, path, due) values (?1, ?2, ?3)";

const KNOWN: &str = "select count(*) from generations where id = ?1";

/// How many of the earlier generation were due and are gone, were due and are there, were kept and are gone.
const COUNT: &str = "select coalesce(sum(due and not there), 0), coalesce(sum(due and there), 0), \
                     coalesce(sum(not due and not there), 0) from (select old.due as due, exists \
                     (select 1 from observed as new where new.generation = ?2 and new.path = old.path) as there \
                     from observed as old where old.generation = ?1)";
const GONE: &str = "select old.path from observed as old where old.generation = ?1 and old.due = ?3 and not exists \
                    (select 1 from observed as new where new.generation = ?2 and new.path = old.path) \
                    order by old.path limit ?4";
const THERE: &str = "select old.path from observed as old where old.generation = ?1 and old.due = ?3 and exists \
                     (select 1 from observed as new where new.generation = ?2 and new.path = old.path) \
                     order by old.path limit ?4";

const STALE: &str = "select id from generations where policy = ?1 and id <> ?2";
const EDGE: &str = "select path from observed where generation = ?1 order by path limit 1 offset ?2";
const FORGET_BEFORE: &str = "delete from observed where generation = ?1 and path < ?2";
const FORGET_REST: &str = "delete from observed where generation = ?1";
const FORGET_GENERATION: &str = "delete from generations where id = ?1";
const SEEN: &str = "update generations set seen_seconds = ?1 where seen_seconds is null";
const OLD_ROWS: &str = "delete from observed where generation in \
                        (select id from generations where seen_seconds < ?1)";
const OLD: &str = "delete from generations where seen_seconds < ?1";
const SHRINK: &str = "pragma incremental_vacuum";

/// An observation under way. One that is dropped before [`Observation::finish`] never counts.
#[derive(Debug)]
#[must_use]
pub struct Observation<'a> {
    ledger: &'a mut Ledger,
    policy: String,
    /// `None` when the database failed: whatever is noted then is forgotten.
    generation: Option<i64>,
    batch: Vec<(Vec<u8>, bool)>,
}

/// What the run before judged, and what became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Judged *remove*, and gone now.
    pub gone_as_predicted: Sample,
    /// Judged *remove*, and still there.
    pub still_there: Sample,
    /// Judged *keep*, and gone now: somebody else takes what we would not.
    pub gone_but_kept: Sample,
}

/// Files of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// The number of files.
    pub count: u64,
    /// The first 20 paths below the root, in order of their bytes.
    pub first: Vec<Vec<u8>>,
}

impl Ledger {
    pub(crate) fn observe(&mut self, policy: &str) -> Observation<'_> {
        let generation = self.change(&async |connection| {
            let (id,): (i64,) = sqlx::query_as(BEGIN).bind(policy).fetch_one(connection).await?;
            Ok(id)
        });
        Observation { ledger: self, policy: policy.to_owned(), generation, batch: Vec::new() }
    }
}

impl Observation<'_> {
    /// Notes a file by its path below the root, and whether it would have been taken.
    pub fn note(&mut self, path: &[u8], due: bool) {
        if self.generation.is_none() {
            return;
        }
        self.batch.push((path.to_owned(), due));
        if self.batch.len() == BATCH {
            self.flush();
        }
    }

    /// Ends the observation, and says what became of what the run before judged. `None` when there is nothing to
    /// compare with, or the database failed (a note then says why).
    pub fn finish(mut self) -> Option<Observed> {
        self.flush();
        let generation = self.generation?;
        let policy = &self.policy;
        let observed = self.ledger.change(&async |connection| {
            let earlier: Option<(i64,)> =
                sqlx::query_as(EARLIER).bind(policy).bind(generation).fetch_optional(&mut *connection).await?;
            let observed = match earlier {
                Some((earlier,)) => Some(compare(connection, earlier, generation).await?),
                None => None,
            };
            sqlx::query(FINISH).bind(generation).execute(connection).await?;
            Ok(observed)
        });
        self.ledger.change(&async |connection| forget_others(connection, policy, generation).await);
        observed.flatten()
    }

    fn flush(&mut self) {
        let Some(generation) = self.generation else { return };
        let batch = std::mem::take(&mut self.batch);
        let done = self.ledger.change(&async |connection| insert(connection, generation, &batch).await);
        if done != Some(true) {
            self.generation = None;
        }
        self.batch = batch;
        self.batch.clear();
    }
}

/// Says whether the generation is known: a database that was started in between lacks the earlier batches.
async fn insert(
    connection: &mut SqliteConnection,
    generation: i64,
    batch: &[(Vec<u8>, bool)],
) -> Result<bool, sqlx::Error> {
    let (known,): (i64,) = sqlx::query_as(KNOWN).bind(generation).fetch_one(&mut *connection).await?;
    if known == 0 {
        return Ok(false);
    }
    if batch.len() == BATCH {
        let mut statement = sqlx::query(AssertSqlSafe(full_batch()));
        for (path, due) in batch {
            statement = statement.bind(generation).bind(path.as_slice()).bind(*due);
        }
        statement.execute(connection).await?;
        return Ok(true);
    }
    let mut transaction = connection.begin_with("begin immediate").await?;
    for (path, due) in batch {
        sqlx::query(ROW).bind(generation).bind(path.as_slice()).bind(*due).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(true)
}

/// [`ROW`] for [`BATCH`] rows. Made of constants alone.
fn full_batch() -> String {
    let more = ", (?, ?, ?)".repeat(BATCH - 1);
    format!("insert or replace into observed (generation, path, due) values (?, ?, ?){more}")
}

async fn compare(connection: &mut SqliteConnection, earlier: i64, now: i64) -> Result<Observed, sqlx::Error> {
    let (due_and_gone, due_and_there, kept_and_gone): (i64, i64, i64) =
        sqlx::query_as(COUNT).bind(earlier).bind(now).fetch_one(&mut *connection).await?;
    let mut samples = [Sample::default(), Sample::default(), Sample::default()];
    let wanted = [(due_and_gone, GONE, true), (due_and_there, THERE, true), (kept_and_gone, GONE, false)];
    for (sample, (count, names, due)) in samples.iter_mut().zip(wanted) {
        sample.count = u64::try_from(count).unwrap_or(0);
        if count > 0 {
            let first: Vec<(Vec<u8>,)> = sqlx::query_as(names)
                .bind(earlier)
                .bind(now)
                .bind(due)
                .bind(MAX_NAMES)
                .fetch_all(&mut *connection)
                .await?;
            sample.first = first.into_iter().map(|(path,)| path).collect();
        }
    }
    let [gone_as_predicted, still_there, gone_but_kept] = samples;
    Ok(Observed { gone_as_predicted, still_there, gone_but_kept })
}

/// Forgets all other generations of the policy, finished or broken off.
async fn forget_others(connection: &mut SqliteConnection, policy: &str, generation: i64) -> Result<(), sqlx::Error> {
    let stale: Vec<(i64,)> = sqlx::query_as(STALE).bind(policy).bind(generation).fetch_all(&mut *connection).await?;
    for (id,) in stale {
        loop {
            let edge: Option<(Vec<u8>,)> =
                sqlx::query_as(EDGE).bind(id).bind(FORGET).fetch_optional(&mut *connection).await?;
            let Some((edge,)) = edge else { break };
            sqlx::query(FORGET_BEFORE).bind(id).bind(edge).execute(&mut *connection).await?;
        }
        sqlx::query(FORGET_REST).bind(id).execute(&mut *connection).await?;
        sqlx::query(FORGET_GENERATION).bind(id).execute(&mut *connection).await?;
    }
    sqlx::query(SHRINK).execute(connection).await?;
    Ok(())
}

/// Forgets what policies observed that nobody has run for too long.
pub(super) async fn prune(connection: &mut SqliteConnection, now: i64, oldest: i64) -> Result<(), sqlx::Error> {
    sqlx::query(SEEN).bind(now).execute(&mut *connection).await?;
    sqlx::query(OLD_ROWS).bind(oldest).execute(&mut *connection).await?;
    sqlx::query(OLD).bind(oldest).execute(connection).await?;
    Ok(())
}
