//! Past runs as a table, the newest first.

use std::fmt;

use cleanup_core::candidate::harmless;
use cleanup_core::moment::Moment;
use cleanup_core::report::{Level, RunStatus, Trigger};
use cleanup_core::size::HumanBytes;
use cleanup_core::words::Count;
use cleanup_engine::responses::{History, PastRun};
use jiff::tz::TimeZone;

use super::Theme;
use super::when::{When, age};

/// How many findings of a run the table tells; all stand in its report.
const MAX_FINDINGS: usize = 5;

/// The table.
pub(crate) struct HistoryTable<'a> {
    pub(crate) history: &'a History,
    pub(crate) now: Moment,
    pub(crate) zone: &'a TimeZone,
    pub(crate) theme: &'a Theme,
}

impl fmt::Display for HistoryTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { history, now, zone, theme: Theme { name, detail, warning, error, .. } } = self;
        for run in &history.runs {
            let PastRun {
                run_id,
                started_at,
                finished_at,
                status,
                removed,
                quarantined,
                quarantined_bytes,
                bytes_freed,
                errors,
                due,
                trigger,
                restored,
                skipped,
                root_missing,
                asked_by,
                findings,
                ..
            } = run;
            let at = When { at: *started_at, now: *now, zone };
            let (style, status) = match status {
                // Neither when it ended nor what it removed is known.
                RunStatus::Interrupted => {
                    writeln!(
                        f,
                        "{name}{run_id}{name:#}  {at}  {error}interrupted{error:#}  {}",
                        run.policies.join(", ")
                    )?;
                    continue;
                }
                RunStatus::Ok => (detail, "ok"),
                RunStatus::Partial => (warning, "partial"),
                RunStatus::Held => (warning, "held"),
                RunStatus::Failed => (error, "failed"),
            };
            let took = age(finished_at.since(*started_at).unwrap_or_default());
            write!(f, "{name}{run_id}{name:#}  {at}  took {took}  {style}{status}{style:#}")?;
            match trigger {
                Trigger::Restore => write!(f, "  restored {}", Count(*restored))?,
                Trigger::Reload => write!(f, "  reload of the service")?,
                Trigger::Manual | Trigger::Schedule | Trigger::Pressure | Trigger::Deadline => {
                    let (removed, due) = (Count(*removed), Count(*due));
                    write!(f, "  removed {removed} of {due} due, freed {}", HumanBytes(*bytes_freed))?;
                }
            }
            if *quarantined > 0 {
                write!(f, "  {} in quarantine, {}", Count(*quarantined), HumanBytes(*quarantined_bytes))?;
            }
            if !skipped.is_empty() {
                write!(f, "  {warning}skipped {}{warning:#}", skipped.join(", "))?;
            }
            if *errors > 0 {
                write!(f, "  {error}{} errors{error:#}", Count(*errors))?;
            }
            if !root_missing.is_empty() {
                write!(f, "  {warning}root missing: {}{warning:#}", root_missing.join(", "))?;
            }
            if let Some(asked_by) = asked_by {
                write!(f, "  {detail}asked by {}{detail:#}", harmless(asked_by))?;
            }
            writeln!(f)?;
            for finding in findings.iter().take(MAX_FINDINGS) {
                let style = match finding.level {
                    Level::Warning => warning,
                    Level::Error => error,
                };
                let about = finding.policy.as_deref().map(|policy| format!("{policy}: ")).unwrap_or_default();
                let (code, text) = (finding.code.name(), harmless(&finding.text));
                writeln!(f, "    {style}{code}{style:#}  {about}{text}")?;
            }
            if let more @ 1.. = findings.len().saturating_sub(MAX_FINDINGS) {
                writeln!(f, "    {detail}and {} more: cleanup history {run_id}{detail:#}", Count(more as u64))?;
            }
        }
        Ok(())
    }
}
