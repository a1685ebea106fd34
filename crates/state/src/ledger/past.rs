//! The history as it is looked at: a page of it, and its course over time. Pages read the reports for what no index has:
//! what needed somebody, who asked, and what was in the way of a policy that was skipped.

use std::collections::{BTreeSet, HashMap};

use cleanup_core::moment::Moment;
use cleanup_core::report::{Finding, PolicyKind, PolicyReport, PolicyStatus, Report, RunStatus, Trigger};
use serde::Deserialize;
use sqlx::SqliteConnection;

use super::Ledger;
use super::runs::{Row, RunSummary, name, signed, summary, unsigned, word};

const INSERT: &str = "insert into run_policies (sequence, policy, recorded_seconds, run_status, status, swept, due, \
                      removed, bytes_freed, kept, kept_bytes, root_missing) \
                      values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) \
                      on conflict do nothing";

/// Where a page goes on. The run that the page before ended with may be forgotten by now; ids sort by time.
const CURSOR: &str = "select coalesce((select sequence from runs where id = ?1), \
                      (select sequence + 1 from runs where id < ?1 order by id desc limit 1), 0)";

macro_rules! page {
    ($from:literal, $where:literal) => {
        concat!(
            "select id, started_by, started_at, finished_at, runs.status, runs.due, runs.removed, quarantined, \
             runs.bytes_freed, errors, restored, quarantined_bytes, (select json_group_array(p.policy) from run_policies p \
             where p.sequence = runs.sequence), case when exists (select 1 from run_policies p \
             where p.sequence = runs.sequence and p.status = 'skipped') and json_valid(report) then \
             (select json_group_array(value ->> 'name') from json_each(report, '$.policies') \
             where value ->> 'skipped' in ('locked', 'database_away', 'busy', 'another_node', 'root_locked')) end, \
             (select json_group_array(p.policy) from run_policies p \
             where p.sequence = runs.sequence and p.root_missing), \
             case when json_valid(report) then json_object('findings', report -> '$.findings', 'asked_by', \
             report ->> 'asked_by') end from ",
            $from,
            " where ",
            $where,
            " limit ?2"
        )
    };
}

const PAGE: &str = page!("runs", "runs.sequence < ?1 order by runs.sequence desc");
const PAGE_OF_STATUS: &str = page!("runs", "runs.sequence < ?1 and runs.status = ?3 order by runs.sequence desc");
const PAGE_OF_POLICY: &str = page!(
    "run_policies q join runs on runs.sequence = q.sequence",
    "q.sequence < ?1 and q.policy = ?4 order by q.sequence desc"
);
const PAGE_OF_BOTH: &str = page!(
    "run_policies q join runs on runs.sequence = q.sequence",
    "q.sequence < ?1 and q.run_status = ?3 and q.policy = ?4 order by q.sequence desc"
);

/// SQLite takes the columns without a function from the row that has the greatest `sequence`: the last sweep of each
/// stretch says what was kept at its end.
const TREND: &str = "select policy, (recorded_seconds - ?1) / ?2, sum(removed), sum(bytes_freed), \
                     max(case when kept is not null then sequence end), kept, kept_bytes \
                     from run_policies where recorded_seconds >= ?1 and recorded_seconds < ?3 group by 1, 2";

const LAST: &str = "select policy, max(q.sequence), runs.id, runs.finished_at, q.status, q.due, q.removed, \
                    q.bytes_freed, q.kept, q.kept_bytes from run_policies q join runs on runs.sequence = q.sequence \
                    where swept group by policy";

/// The last run of each policy.
const LAST_OF_ALL: &str = "select policy, max(sequence) from run_policies group by policy";
const LAST_OF_SWEEPS: &str = "select policy, max(sequence) from run_policies where swept group by policy";

const FINDINGS: &str = "select report -> '$.findings' from runs where sequence = ?1 and json_valid(report)";

/// Which runs count as the last ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runs {
    /// Those of deadlines and restores too.
    All,
    /// Those that cover everything that their policies name.
    Sweeps,
}

/// Which past runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunsQuery {
    /// Those recorded before the run with this id; `None` begins with the newest.
    pub before: Option<String>,
    /// At most so many.
    pub limit: usize,
    /// Only those in which this policy had a part.
    pub policy: Option<String>,
    /// Only those that ended so.
    pub status: Option<RunStatus>,
}

/// What came of one policy in one stretch of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrendPoint {
    /// The policy.
    pub policy: String,
    /// The how manieth stretch, from 0.
    pub stretch: u64,
    /// Items removed or quarantined in it.
    pub removed: u64,
    /// Allocated bytes returned to the file system.
    pub bytes_freed: u64,
    /// Items that the last sweep in it kept; `None` when none looked at everything.
    pub kept: Option<u64>,
    /// Their allocated bytes; `None` also for runs that did not count them yet.
    pub kept_bytes: Option<u64>,
}

/// What came of a policy's last sweep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastSweep {
    /// The policy.
    pub policy: String,
    /// The run.
    pub run_id: String,
    /// When the run ended.
    pub finished_at: Moment,
    /// How the policy's part of it ended.
    pub status: PolicyStatus,
    /// Items judged *remove*.
    pub due: u64,
    /// Items removed or quarantined.
    pub removed: u64,
    /// Their allocated bytes.
    pub bytes_freed: u64,
    /// Items that were kept, where that is known.
    pub kept: Option<u64>,
    /// Their allocated bytes, where that is known.
    pub kept_bytes: Option<u64>,
}

/// Remembers what came of each policy of the run that was inserted last.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    report: &Report,
    sequence: i64,
    now: Moment,
) -> Result<(), sqlx::Error> {
    for policy in &report.policies {
        let counts = &policy.counts;
        let kept = looked_at_everything(report.trigger, policy).then(|| counts.kept_items());
        sqlx::query(INSERT)
            .bind(sequence)
            .bind(&policy.name)
            .bind(now.unix_seconds())
            .bind(name(&report.status))
            .bind(name(&policy.status))
            .bind(report.trigger.is_sweep())
            .bind(signed(counts.due))
            .bind(signed(counts.removed + counts.quarantined))
            .bind(signed(counts.bytes_freed))
            .bind(kept.map(|(items, _)| signed(items)))
            .bind(kept.map(|(_, bytes)| signed(bytes)))
            .bind(policy.root_missing)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Deadlines look at single files; what was skipped, failed or held before it began looked at nothing.
fn looked_at_everything(trigger: Trigger, policy: &PolicyReport) -> bool {
    match policy.status {
        // A sweep of rows reads those that are due.
        _ if policy.in_part || policy.kind == PolicyKind::Sessions => false,
        PolicyStatus::Ok | PolicyStatus::Partial => trigger.is_sweep(),
        PolicyStatus::Held => trigger.is_sweep() && policy.counts.scanned > 0,
        PolicyStatus::Skipped | PolicyStatus::Failed | PolicyStatus::Interrupted => false,
    }
}

impl Ledger {
    pub(crate) fn page_of_runs(&mut self, query: &RunsQuery) -> Vec<RunSummary> {
        let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
        let statement = match (&query.policy, query.status) {
            (None, None) => PAGE,
            (None, Some(_)) => PAGE_OF_STATUS,
            (Some(_), None) => PAGE_OF_POLICY,
            (Some(_), Some(_)) => PAGE_OF_BOTH,
        };
        let rows: Option<Vec<PageRow>> = self.run(&async |connection| {
            let before = match &query.before {
                None => i64::MAX,
                Some(id) => sqlx::query_scalar(CURSOR).bind(id).fetch_one(&mut *connection).await?,
            };
            let page = sqlx::query_as(statement).bind(before).bind(limit);
            page.bind(query.status.map(|status| name(&status))).bind(&query.policy).fetch_all(connection).await
        });
        rows.unwrap_or_default().into_iter().filter_map(of_page).collect()
    }

    pub(crate) fn trend(&mut self, since: Moment, stretch_seconds: u32, stretches: u32) -> Vec<TrendPoint> {
        type Row = (String, i64, i64, i64, Option<i64>, Option<i64>, Option<i64>);
        let (since, stretch) = (since.unix_seconds(), i64::from(stretch_seconds.max(1)));
        let end = since.saturating_add(stretch * i64::from(stretches));
        let rows: Option<Vec<Row>> = self.run(&async |connection| {
            sqlx::query_as(TREND).bind(since).bind(stretch).bind(end).fetch_all(connection).await
        });
        let point = |(policy, stretch, removed, bytes_freed, whole, kept, kept_bytes): Row| TrendPoint {
            policy,
            stretch: unsigned(stretch),
            removed: unsigned(removed),
            bytes_freed: unsigned(bytes_freed),
            kept: whole.and(kept).map(unsigned),
            kept_bytes: whole.and(kept_bytes).map(unsigned),
        };
        rows.unwrap_or_default().into_iter().map(point).collect()
    }

    /// Each report is read once, however many policies had their last run in it.
    pub(crate) fn last_findings(&mut self, of: Runs) -> Vec<Finding> {
        let last = match of {
            Runs::All => LAST_OF_ALL,
            Runs::Sweeps => LAST_OF_SWEEPS,
        };
        let found = self.run(&async |connection| {
            let last: HashMap<String, i64> =
                sqlx::query_as(last).fetch_all(&mut *connection).await?.into_iter().collect();
            let runs: BTreeSet<i64> = last.values().copied().collect();
            let newest = runs.last().copied();
            let mut found = Vec::new();
            for run in runs {
                let json: Option<Option<String>> =
                    sqlx::query_scalar(FINDINGS).bind(run).fetch_optional(&mut *connection).await?;
                let of_run: Vec<Finding> =
                    json.flatten().and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default();
                found.extend(of_run.into_iter().filter(|finding| match &finding.policy {
                    Some(policy) => last.get(policy) == Some(&run),
                    None => newest == Some(run),
                }));
            }
            Ok(found)
        });
        found.unwrap_or_default()
    }

    pub(crate) fn last_sweeps(&mut self) -> Vec<LastSweep> {
        type Row = (String, i64, String, String, String, i64, i64, i64, Option<i64>, Option<i64>);
        let rows: Option<Vec<Row>> = self.run(&async |connection| sqlx::query_as(LAST).fetch_all(connection).await);
        let last = |(policy, _, run_id, finished_at, status, due, removed, bytes_freed, kept, kept_bytes): Row| {
            Some(LastSweep {
                policy,
                run_id,
                finished_at: Moment::parse(&finished_at).ok()?,
                status: word(status)?,
                due: unsigned(due),
                removed: unsigned(removed),
                bytes_freed: unsigned(bytes_freed),
                kept: kept.map(unsigned),
                kept_bytes: kept_bytes.map(unsigned),
            })
        };
        rows.unwrap_or_default().into_iter().filter_map(last).collect()
    }
}

/// A [`Row`] and, as JSON, the names of policies (all, those that something was in the way of, those whose root was
/// missing) and what else the report says.
type PageRow = (
    String,
    String,
    String,
    String,
    String,
    i64,
    i64,
    i64,
    i64,
    i64,
    i64,
    i64,
    String,
    Option<String>,
    String,
    Option<String>,
);

/// What a page takes from a report.
#[derive(Default, Deserialize)]
struct Told {
    findings: Option<Vec<Finding>>,
    asked_by: Option<String>,
}

fn of_page(page: PageRow) -> Option<RunSummary> {
    let (
        id,
        trigger,
        started_at,
        finished_at,
        status,
        due,
        removed,
        quarantined,
        bytes,
        errors,
        restored,
        aside,
        policies,
        skipped,
        missing,
        told,
    ) = page;
    let row: Row =
        (id, trigger, started_at, finished_at, status, due, removed, quarantined, bytes, errors, restored, aside);
    let names = |json: &str| serde_json::from_str(json).unwrap_or_default();
    let told: Told = told.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default();
    Some(RunSummary {
        policies: names(&policies),
        skipped: names(&skipped.unwrap_or_default()),
        root_missing: names(&missing),
        findings: told.findings.unwrap_or_default(),
        asked_by: told.asked_by,
        ..summary(row)?
    })
}
