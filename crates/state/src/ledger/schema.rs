//! The migrations, and the look at a header that says whether they are needed.
//!
//! `migrations/` is append-only: a released file is never edited. The header's `user_version` says how many a database
//! has, so that opening one that is current costs a single look. sqlx's own migrator would keep that in a table of its
//! own as well, and its macro compiles SQLite a second time; so the files are listed here by hand, and a test holds
//! the list to the folder.

use sqlx::{Connection as _, SqliteConnection};

/// "Clnp", as the first migration writes it into the header.
const APPLICATION_ID: i64 = 0x436c_6e70;

const MIGRATIONS: &[(&str, &str)] = &[
    ("begin", include_str!("../../migrations/0001_begin.sql")),
    ("service", include_str!("../../migrations/0002_service.sql")),
    ("history", include_str!("../../migrations/0003_history.sql")),
    ("stops", include_str!("../../migrations/0004_stops.sql")),
    ("findings", include_str!("../../migrations/0005_findings.sql")),
    ("foreseen", include_str!("../../migrations/0006_foreseen.sql")),
    ("freed", include_str!("../../migrations/0007_freed.sql")),
    ("own_folders", include_str!("../../migrations/0008_own_folders.sql")),
];

const HEADER: &str = "select application_id, user_version, (select count(*) from sqlite_schema) \
                      from pragma_application_id, pragma_user_version";

/// What the header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// Nothing is in it.
    Empty,
    /// Ours, from an older version.
    Older,
    /// Ours, of this version.
    Current,
    /// Ours, from a newer version.
    Newer,
    /// Another program's.
    Foreign,
}

pub(super) async fn version(connection: &mut SqliteConnection) -> Result<Version, sqlx::Error> {
    let (application, version, objects): (i64, i64, i64) = sqlx::query_as(HEADER).fetch_one(connection).await?;
    let current = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    Ok(match (application, version) {
        (0, 0) if objects == 0 => Version::Empty,
        (APPLICATION_ID, version) if version == current => Version::Current,
        (APPLICATION_ID, version) if version > current => Version::Newer,
        (APPLICATION_ID, _) => Version::Older,
        _ => Version::Foreign,
    })
}

/// Brings the database up to date, a migration at a time, each wholly or not at all: its number in the header is part
/// of the same transaction.
pub(super) async fn migrate(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let (done,): (i64,) = sqlx::query_as("pragma user_version").fetch_one(&mut *connection).await?;
    for ((_, sql), number) in MIGRATIONS.iter().zip(1..) {
        if number > done {
            let mut transaction = connection.begin_with("begin immediate").await?;
            sqlx::raw_sql(*sql).execute(&mut *transaction).await?;
            transaction.commit().await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::MIGRATIONS;

    #[test]
    fn every_file_of_the_folder_is_listed_in_its_order() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
        let mut files: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        files.sort();
        let listed = MIGRATIONS.iter().zip(1..).map(|((name, _), number)| format!("{number:04}_{name}.sql"));
        assert_eq!(files, listed.collect::<Vec<_>>());
    }

    #[test]
    fn every_migration_raises_the_version_in_the_header() {
        for ((name, sql), number) in MIGRATIONS.iter().zip(1..) {
            assert!(sql.contains(&format!("pragma user_version = {number};")), "{name}");
        }
    }
}
