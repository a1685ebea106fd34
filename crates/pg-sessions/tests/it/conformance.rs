//! The suite of core: both databases select what the judge selects.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cleanup_core::conformance::{self, Age, Fixture, Item};
use cleanup_core::policy::{Policy, SessionPolicy};
use cleanup_core::report::Tally;
use cleanup_core::sweep::Mode;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, SqliteConnection};
use tokio::runtime::Handle;

use crate::support::{APPLICATION_TABLE, Db, now};

fn seconds(age: Age) -> f64 {
    match age {
        Age::Past(age) => -age.as_secs_f64(),
        Age::Ahead(by) => by.as_secs_f64(),
    }
}

fn sweep(handle: &Handle, policy: SessionPolicy, rule: &Policy, mode: Mode) -> Tally {
    let policy = SessionPolicy { rule: rule.clone(), ..policy };
    let report = handle.block_on(cleanup_pg_sessions::sweep(&policy, Path::new("/"), mode, now(), &()));
    // Some items lie 400 years ahead, some an hour: that is all there is to say.
    let said = report.message.iter().flat_map(|message| message.split("; "));
    for sentence in said {
        assert!(
            sentence.contains("implausible time") || sentence.contains("ahead of the database's clock"),
            "{sentence}"
        );
    }
    Tally { counts: report.counts, errors: report.errors, errors_total: report.errors_total, ..Tally::default() }
}

struct Postgres {
    db: Db<'static>,
    handle: Handle,
}

impl Fixture for Postgres {
    fn fill(&mut self, items: &[Item]) {
        let row = |item: &Item| {
            let (name, seconds) = (&item.name, seconds(item.age));
            format!("('{name}', now() + make_interval(secs => {seconds}))")
        };
        let rows: Vec<String> = items.iter().map(row).collect();
        self.db.sql("truncate tutor_sessions");
        if !rows.is_empty() {
            let rows = rows.join(", ");
            self.db.sql(&format!("insert into tutor_sessions (session_id, last_activity) values {rows}"));
        }
    }

    fn sweep(&mut self, rule: &Policy, mode: Mode) -> Tally {
        sweep(&self.handle, self.db.policy(), rule, mode)
    }

    fn left(&mut self) -> BTreeSet<String> {
        self.db.sql("select session_id from tutor_sessions").lines().map(ToOwned::to_owned).collect()
    }

    fn has_archives(&self) -> bool {
        false
    }
}

struct Embedded {
    file: PathBuf,
    epochs: bool,
    handle: Handle,
}

impl Embedded {
    async fn connect(file: &Path) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(file).create_if_missing(true);
        SqliteConnection::connect_with(&options.busy_timeout(Duration::from_secs(20))).await.unwrap()
    }
}

impl Fixture for Embedded {
    fn fill(&mut self, items: &[Item]) {
        self.handle.block_on(async {
            let mut file = Self::connect(&self.file).await;
            sqlx::raw_sql("create table if not exists tutor_sessions (session_id text primary key, last_activity); delete from tutor_sessions")
                .execute(&mut file)
                .await
                .unwrap();
            let insert = if self.epochs {
                "insert into tutor_sessions values (?1, unixepoch('now', ?2))"
            } else {
                "insert into tutor_sessions values (?1, strftime('%Y-%m-%d %H:%M:%f', 'now', ?2) || '000')"
            };
            for item in items {
                let shift = format!("{:+} seconds", seconds(item.age));
                sqlx::query(insert).bind(item.name.clone()).bind(shift).execute(&mut file).await.unwrap();
            }
            file.close().await.unwrap();
        });
    }

    fn sweep(&mut self, rule: &Policy, mode: Mode) -> Tally {
        let policy = crate::support::policy(&format!("sqlite:///{}", self.file.display()));
        sweep(&self.handle, policy, rule, mode)
    }

    fn left(&mut self) -> BTreeSet<String> {
        self.handle.block_on(async {
            let mut file = Self::connect(&self.file).await;
            let ids = sqlx::query_scalar("select session_id from tutor_sessions").fetch_all(&mut file).await.unwrap();
            file.close().await.unwrap();
            ids.into_iter().collect()
        })
    }

    fn has_archives(&self) -> bool {
        false
    }
}

#[test]
fn postgres_conforms() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let db = Db::shared();
    db.sql(APPLICATION_TABLE);
    conformance::check(&mut Postgres { db, handle: runtime.handle().clone() });
}

#[test]
fn sqlite_conforms_in_both_forms() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for epochs in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        conformance::check(&mut Embedded {
            file: folder.path().join("app.db"),
            epochs,
            handle: runtime.handle().clone(),
        });
    }
}
