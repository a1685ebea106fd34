//! History: what ran, and what came of it. It has a retention of its own.

use std::time::Duration;

use cleanup_core::moment::Moment;
use cleanup_core::report::{Finding, PolicyStatus, Report, RunStatus, Trigger};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sqlx::{Connection as _, SqliteConnection};

use super::clock::{self, ClockReading};
use super::{Ledger, observe, past};

/// Runs are forgotten beyond this many, whatever their age.
const MAX_RUNS: i64 = 20_000;

/// How many ids an ambiguous prefix names.
const MAX_MATCHES: i64 = 5;

/// With its rows in other tables: a `replace` would leave those behind.
const FORGET: &str = "delete from runs where id = ?1";
const INSERT: &str = "insert into runs (id, started_by, started_at, finished_at, recorded_seconds, status, \
                      due, removed, quarantined, bytes_freed, errors, report, restored, quarantined_bytes) \
                      values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
const PRUNE_OLD: &str = "delete from runs where recorded_seconds < ?1 and sequence < (select max(sequence) from runs)";
const PRUNE_MANY: &str = "delete from runs where sequence <= \
                          (select sequence from runs order by sequence desc limit 1 offset ?1)";
const BY_PREFIX: &str =
    "select id, report from runs where substr(id, 1, length(?1)) = ?1 order by sequence desc limit ?2";
const LAST: &str = "insert into last_runs (policy, started_at, succeeded_at) values (?1, ?2, ?3) \
                    on conflict (policy) do update set started_at = excluded.started_at, \
                    succeeded_at = coalesce(excluded.succeeded_at, succeeded_at)";
const ALL_LAST: &str = "select policy, started_at, succeeded_at from last_runs";
/// Gives freed pages back to the file system, a few at a time.
const SHRINK: &str = "pragma incremental_vacuum(256)";

/// One run in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSummary {
    /// A ULID.
    pub id: String,
    /// What started it.
    pub trigger: Trigger,
    /// Its start.
    pub started_at: Moment,
    /// When it ended.
    pub finished_at: Moment,
    /// The worst status of its policies.
    pub status: RunStatus,
    /// Items judged *remove*.
    pub due: u64,
    /// Items removed for good.
    pub removed: u64,
    /// Items moved into quarantine.
    pub quarantined: u64,
    /// Allocated bytes of quarantined items, which are not freed.
    #[serde(default)]
    pub quarantined_bytes: u64,
    /// Allocated bytes returned to the file system.
    pub bytes_freed: u64,
    /// Items that could not be inspected or removed.
    pub errors: u64,
    /// Items brought back from quarantine.
    #[serde(default)]
    pub restored: u64,
    /// The names of its policies.
    pub policies: Vec<String>,
    /// Those of them that something was in the way of: a lock, another node, a database that was away.
    #[serde(default)]
    pub skipped: Vec<String>,
    /// Those of them whose root did not exist, and is not said to come and go.
    #[serde(default)]
    pub root_missing: Vec<String>,
    /// Who asked for it, where that has a name.
    #[serde(default)]
    pub asked_by: Option<String>,
    /// What needed somebody.
    #[serde(default)]
    pub findings: Vec<Finding>,
}

/// When a policy last ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastRun {
    /// The policy's name.
    pub policy: String,
    /// When its last run began, whatever came of it.
    pub started_at: Moment,
    /// When it last did all that was asked of it; a run that was skipped or held back does not count.
    pub succeeded_at: Option<Moment>,
}

/// What a list takes of a run.
pub(super) type Row = (String, String, String, String, String, i64, i64, i64, i64, i64, i64, i64);

/// Several runs begin so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("several runs begin with {prefix:?}: {}", matches.join(", "))]
pub struct AmbiguousRun {
    /// What was asked for.
    pub prefix: String,
    /// The newest that begin so.
    pub matches: Vec<String>,
}

impl Ledger {
    /// Remembers a run, and forgets the old ones. Without a reading the clock is not trusted; then nothing is forgotten
    /// because of its age: a clock that jumped a year ahead must not cost the history.
    pub(crate) fn record_run(&mut self, report: &Report, reading: Option<&ClockReading>, keep: Duration, now: Moment) {
        let Ok(text) = serde_json::to_string(report) else {
            self.note(format!("the report of run {} is not saved: it has no JSON form", report.run_id));
            return;
        };
        self.change(&async |connection| {
            let mut transaction = connection.begin_with("begin immediate").await?;
            insert(&mut transaction, report, &text, now).await?;
            remember_last(&mut transaction, report).await?;
            if let Some(reading) = reading {
                clock::add(&mut transaction, reading).await?;
                let oldest = now.minus(keep).unix_seconds();
                sqlx::query(PRUNE_OLD).bind(oldest).execute(&mut *transaction).await?;
                observe::prune(&mut transaction, now.unix_seconds(), oldest).await?;
            }
            sqlx::query(PRUNE_MANY).bind(MAX_RUNS).execute(&mut *transaction).await?;
            transaction.commit().await?;
            sqlx::query(SHRINK).execute(connection).await
        });
        self.end_of_run();
    }

    pub(crate) fn last_runs(&mut self) -> Vec<LastRun> {
        type Row = (String, String, Option<String>);
        let rows: Option<Vec<Row>> = self.run(&async |connection| sqlx::query_as(ALL_LAST).fetch_all(connection).await);
        let last = |(policy, started_at, succeeded_at): Row| {
            let succeeded_at = succeeded_at.and_then(|at| Moment::parse(&at).ok());
            Some(LastRun { policy, started_at: Moment::parse(&started_at).ok()?, succeeded_at })
        };
        rows.unwrap_or_default().into_iter().filter_map(last).collect()
    }

    pub(crate) fn run_report(&mut self, id_prefix: &str) -> Result<Option<Report>, AmbiguousRun> {
        let prefix = id_prefix.to_ascii_uppercase();
        let rows: Vec<(String, String)> = self
            .run(&async |connection| {
                sqlx::query_as(BY_PREFIX).bind(&prefix).bind(MAX_MATCHES).fetch_all(connection).await
            })
            .unwrap_or_default();
        match rows.as_slice() {
            [] => Ok(None),
            [(id, text)] => match serde_json::from_str(text) {
                Ok(report) => Ok(Some(report)),
                Err(error) => {
                    self.note(format!("the report of run {id} cannot be read: {error}"));
                    Ok(None)
                }
            },
            several => Err(AmbiguousRun {
                prefix: id_prefix.to_owned(),
                matches: several.iter().map(|(id, _)| id.clone()).collect(),
            }),
        }
    }
}

/// `None` when the row is not as we write it: it is left out.
pub(super) fn summary(
    (
        id,
        trigger,
        started_at,
        finished_at,
        status,
        due,
        removed,
        quarantined,
        bytes_freed,
        errors,
        restored,
        quarantined_bytes,
    ): Row,
) -> Option<RunSummary> {
    Some(RunSummary {
        id,
        trigger: word(trigger)?,
        started_at: Moment::parse(&started_at).ok()?,
        finished_at: Moment::parse(&finished_at).ok()?,
        status: word(status)?,
        due: unsigned(due),
        removed: unsigned(removed),
        quarantined: unsigned(quarantined),
        quarantined_bytes: unsigned(quarantined_bytes),
        bytes_freed: unsigned(bytes_freed),
        errors: unsigned(errors),
        restored: unsigned(restored),
        policies: Vec::new(),
        skipped: Vec::new(),
        root_missing: Vec::new(),
        asked_by: None,
        findings: Vec::new(),
    })
}

async fn insert(
    connection: &mut SqliteConnection,
    report: &Report,
    text: &str,
    now: Moment,
) -> Result<(), sqlx::Error> {
    let totals = &report.totals;
    sqlx::query(FORGET).bind(&report.run_id).execute(&mut *connection).await?;
    let inserted = sqlx::query(INSERT)
        .bind(&report.run_id)
        .bind(name(&report.trigger))
        .bind(report.started_at.to_string())
        .bind(report.finished_at.to_string())
        .bind(now.unix_seconds())
        .bind(name(&report.status))
        .bind(signed(totals.due))
        .bind(signed(totals.removed))
        .bind(signed(totals.quarantined))
        .bind(signed(totals.bytes_freed))
        .bind(signed(totals.errors))
        .bind(text)
        .bind(signed(totals.restored))
        .bind(signed(totals.quarantined_bytes))
        .execute(&mut *connection)
        .await?;
    past::insert(connection, report, inserted.last_insert_rowid(), now).await
}

/// When a policy was last swept.
async fn remember_last(connection: &mut SqliteConnection, report: &Report) -> Result<(), sqlx::Error> {
    if report.dry_run || !report.trigger.is_sweep() {
        return Ok(());
    }
    // One that was interrupted is to be made up for like one that never was.
    for policy in report.policies.iter().filter(|policy| policy.status != PolicyStatus::Interrupted) {
        let succeeded = (policy.status == PolicyStatus::Ok).then(|| report.finished_at.to_string());
        sqlx::query(LAST)
            .bind(&policy.name)
            .bind(report.started_at.to_string())
            .bind(succeeded)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// A unit variant as its word in JSON.
pub(super) fn name(variant: &impl Serialize) -> String {
    let value = serde_json::to_value(variant).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

pub(super) fn word<T: DeserializeOwned>(name: String) -> Option<T> {
    serde_json::from_value(name.into()).ok()
}

pub(super) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}
