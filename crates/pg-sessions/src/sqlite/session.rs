//! One connection to a file that belongs to an application: never created, its journal mode never changed.

use std::path::Path;
use std::time::Duration;

use cleanup_core::candidate::Escaped;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteRow};
use sqlx::{ConnectOptions as _, Connection as _, Row as _, SqlStr, Sqlite, SqliteConnection};

use crate::database::Access;
use crate::report::obstacle::Stop;

/// What came of a statement that did not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The file is not there, or cannot be opened.
    Away(String),
    /// Somebody writes, for longer than `busy_timeout`.
    Locked,
    /// A constraint or a trigger has something against a row of the batch; it does not say which.
    Refused(String),
    /// Nothing that another try would change.
    Final(String),
}

/// Only codes that speak of the file are quoted: what a trigger raises may name a session.
impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        let sqlx::Error::Database(error) = error else {
            return Self::Final("unexpected answer of the database driver".to_owned());
        };
        let code = error.code().and_then(|code| code.parse::<u32>().ok()).unwrap_or_default();
        match code & 0xff {
            5 | 6 => Self::Locked,
            14 => Self::Away("the database file cannot be opened".to_owned()),
            8 => Self::Final("the database file or its folder is read-only".to_owned()),
            19 => Self::Refused(format!("refused by the database (SQLite code {code}, a constraint or trigger)")),
            _ => Self::Final(format!("{} (SQLite code {code})", Escaped(error.message().as_bytes()))),
        }
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Away(reason) => Self::Away(reason),
            Fault::Locked => Self::Busy,
            Fault::Refused(reason) | Fault::Final(reason) => Self::Failed(reason),
        }
    }
}

/// A connection. It closes when it is dropped; an open transaction is then rolled back.
pub(crate) struct Session(SqliteConnection);

/// A statement with its values.
pub(super) type Bound = Query<'static, Sqlite, SqliteArguments>;

pub(super) fn statement(sql: SqlStr) -> Bound {
    sqlx::query(sql)
}

impl Session {
    pub(super) async fn open(file: &Path, access: Access, patience: Duration) -> Result<Self, Fault> {
        let shown = file.to_string_lossy();
        let shown = Escaped(shown.as_bytes());
        match std::fs::metadata(file) {
            Ok(found) if found.is_file() => {}
            // Opening a pipe would wait for somebody to write into it.
            Ok(_) => {
                return Err(Fault::Final(format!("{shown} is not a database file but a folder, a pipe or a device")));
            }
            Err(_) => return Err(Fault::Away(format!("there is no database file {shown}"))),
        }
        let options = SqliteConnectOptions::new().filename(file).create_if_missing(false).busy_timeout(patience);
        let options = match access {
            Access::Look => options.pragma("query_only", "on"),
            Access::Change => options,
        };
        Ok(Self(SqliteConnection::connect_with(&options.disable_statement_logging()).await?))
    }

    pub(super) async fn all(&mut self, bound: Bound) -> Result<Vec<SqliteRow>, Fault> {
        Ok(bound.fetch_all(&mut self.0).await?)
    }

    pub(super) async fn one(&mut self, bound: Bound) -> Result<SqliteRow, Fault> {
        Ok(bound.fetch_one(&mut self.0).await?)
    }

    /// One snapshot for several statements.
    pub(super) async fn snapshot(&mut self, statements: Vec<Bound>) -> Result<Vec<SqliteRow>, Fault> {
        let mut transaction = self.0.begin_with("begin deferred").await?;
        let mut rows = Vec::with_capacity(statements.len());
        for bound in statements {
            rows.push(bound.fetch_one(&mut *transaction).await?);
        }
        transaction.rollback().await?;
        Ok(rows)
    }

    /// A batch: the write lock is taken at once (a late upgrade would answer busy without waiting) and nobody else can
    /// change anything until the commit.
    pub(super) async fn batch(&mut self) -> Result<Batch<'_>, Fault> {
        sqlx::query("begin immediate").execute(&mut self.0).await?;
        Ok(Batch(&mut self.0))
    }

    pub(super) async fn close(self) {
        let _ = self.0.close().await;
    }
}

/// An open transaction that holds the write lock until [`Batch::end`]. When it is dropped with its connection, as a sweep
/// is that is broken off, the database rolls it back.
///
/// It is no `sqlx::Transaction`: after a trigger's `raise(rollback)` that one waits for ever for a transaction to end.
pub(super) struct Batch<'a>(&'a mut SqliteConnection);

impl Batch<'_> {
    pub(super) async fn one(&mut self, bound: Bound) -> Result<SqliteRow, Fault> {
        Ok(bound.fetch_one(&mut *self.0).await?)
    }

    /// How many rows it changed itself; rows that went along by a cascade are not among them.
    pub(super) async fn run(&mut self, bound: Bound) -> Result<u64, Fault> {
        Ok(bound.execute(&mut *self.0).await?.rows_affected())
    }

    /// Commits what was done; after a failure nothing of it stays.
    pub(super) async fn end<T>(self, result: Result<T, Fault>) -> Result<T, Fault> {
        let result = match result {
            Ok(done) => match sqlx::query("commit").execute(&mut *self.0).await {
                Ok(_) => return Ok(done),
                Err(error) => Err(error.into()),
            },
            Err(fault) => Err(fault),
        };
        // A trigger may have rolled back already, and then there is nothing to roll back.
        let _ = sqlx::query("rollback").execute(&mut *self.0).await;
        result
    }
}

/// A value of a row, by its place.
pub(super) fn cell<'r, T>(row: &'r SqliteRow, index: usize) -> Result<T, Fault>
where
    T: sqlx::Decode<'r, Sqlite> + sqlx::Type<Sqlite>,
{
    row.try_get(index).map_err(|_| Fault::Final("an answer of an unexpected type".to_owned()))
}

/// The first column, which has to be text.
pub(super) fn text(row: &SqliteRow) -> Result<Option<&str>, Fault> {
    row.try_get(0)
        .map_err(|_| Fault::Final("the query must return text in its first column; cast it to text".to_owned()))
}

/// A count of a row, by its place.
pub(super) fn count(row: &SqliteRow, index: usize) -> Result<u64, Fault> {
    Ok(u64::try_from(cell::<i64>(row, index)?).unwrap_or(0))
}
