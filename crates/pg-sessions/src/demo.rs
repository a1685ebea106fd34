//! A small session database to show a sweep on: SQLite, with the application's own table.

use std::path::Path;
use std::time::Duration;

use cleanup_core::moment::Moment;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, SqliteConnection};

/// The table as SQLAlchemy makes it on SQLite.
const TABLE: &str = "\
create table tutor_sessions (
  session_id varchar(36) not null primary key,
  visual_language text,
  history json,
  session_metadata json,
  created_at datetime not null,
  last_activity datetime not null)";

const INDEX: &str = "create index ix_tutor_sessions_last_activity on tutor_sessions (last_activity)";

const ROW: &str = "\
insert into tutor_sessions (session_id, visual_language, history, session_metadata, created_at, last_activity)
values (?1, '', '[]', '{}', ?2, ?2)";

/// Why there is no database to show.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a session database in {path}")]
pub struct DemoError {
    path: String,
    source: sqlx::Error,
}

/// Makes a new database file with a session for each id, idle for that long.
pub async fn create(path: &Path, rows: &[(&str, Duration)], now: Moment) -> Result<(), DemoError> {
    fill(path, rows, now).await.map_err(|source| DemoError { path: path.display().to_string(), source })
}

async fn fill(path: &Path, rows: &[(&str, Duration)], now: Moment) -> Result<(), sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let mut connection = SqliteConnection::connect_with(&options).await?;
    let mut transaction = connection.begin().await?;
    sqlx::query(TABLE).execute(&mut *transaction).await?;
    sqlx::query(INDEX).execute(&mut *transaction).await?;
    for (id, idle) in rows {
        let stamp = sqlalchemy(now.minus(*idle));
        sqlx::query(ROW).bind((*id).to_owned()).bind(stamp).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    connection.close().await
}

/// `2026-01-02 03:04:05.678000`, the form that SQLAlchemy stores.
fn sqlalchemy(moment: Moment) -> String {
    let text = moment.to_string().replace('T', " ");
    format!("{}000", text.trim_end_matches('Z'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_have_the_form_that_sqlalchemy_stores() {
        assert_eq!(sqlalchemy(Moment::from_unix(1_767_323_045, 678_000_000)), "2026-01-02 03:04:05.678000");
    }
}
