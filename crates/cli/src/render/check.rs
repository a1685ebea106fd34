//! What `config check` found.

use std::fmt;
use std::time::Duration;

use cleanup_core::candidate::Escaped;
use cleanup_core::duration::Human;
use cleanup_core::moment::Moment;
use cleanup_core::verdict::KeepKind;
use cleanup_core::words::{Count, Number};
use cleanup_engine::responses::{BatchPlan, Check, Finding, Follower, RowOrder, SessionCheck, Severity};
use jiff::tz::TimeZone;

use super::Theme;
use super::when::When;

/// So many partitions are told one by one.
const MOST_PARTS: usize = 8;

/// The findings, or `ok`.
pub(crate) struct Checked<'a> {
    pub(crate) check: &'a Check,
    /// How many policies were looked at.
    pub(crate) policies: usize,
    pub(crate) now: Moment,
    pub(crate) zone: &'a TimeZone,
    pub(crate) theme: &'a Theme,
}

impl fmt::Display for Checked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { check, theme: Theme { stays, detail, .. }, .. } = self;
        for sessions in &check.sessions {
            self.sessions(f, sessions)?;
        }
        for Finding { policy, severity, message, remedy } in &check.findings {
            let (style, word) = self.severity(*severity);
            writeln!(f, "{style}{word}{style:#}: {policy}: {message}")?;
            if let Some(remedy) = remedy {
                writeln!(f, "  {detail}try:{detail:#} {remedy}")?;
            }
        }
        let policies = Number(self.policies as u64, "policy");
        match check.status {
            Severity::Ok => writeln!(f, "{stays}ok{stays:#}: {}, {policies}", check.config),
            _ => writeln!(f, "{}: {policies}, {}", check.config, Number(check.findings.len() as u64, "finding")),
        }
    }
}

impl Checked<'_> {
    /// How a sweep would go about a table. What is wrong with it is said by the findings.
    fn sessions(&self, f: &mut fmt::Formatter<'_>, check: &SessionCheck) -> fmt::Result {
        let Theme { name, detail, .. } = self.theme;
        let SessionCheck {
            policy,
            table,
            total_rows,
            due_rows,
            implausible_rows,
            estimated,
            oldest,
            newest,
            next_due_at,
            batches,
            followers,
            triggers,
            row_security,
            clock_ahead_seconds,
        } = check;
        let shown = |text: &str| Escaped(text.as_bytes()).to_string();
        writeln!(f, "{name}{policy}{name:#}  {detail}{}{detail:#}", shown(table))?;

        let about = if *estimated { "about " } else { "" };
        write!(f, "  rows        {about}{}, {} due now", Number(*total_rows, "row"), Count(*due_rows))?;
        if *implausible_rows > 0 {
            write!(f, ", {} {}", Count(*implausible_rows), KeepKind::Implausible.label())?;
        }
        writeln!(f)?;
        let when = |at: &Moment| When { at: *at, now: self.now, zone: self.zone };
        for (label, at) in [("oldest", oldest), ("newest", newest), ("next due", next_due_at)] {
            if let Some(at) = at {
                writeln!(f, "  {label:10}  {}", when(at))?;
            }
        }
        let mut label = "batches";
        for (index, batch) in batches.iter().enumerate() {
            let BatchPlan { table: part, order, index: followed } = batch;
            if index == MOST_PARTS {
                writeln!(f, "              and {} more", Number((batches.len() - index) as u64, "partition"))?;
                break;
            }
            let part = if batches.len() > 1 { format!("{}: ", shown(part)) } else { String::new() };
            match (order, followed) {
                (RowOrder::Index, Some(followed)) => {
                    writeln!(f, "  {label:10}  {part}in order of the index {}", shown(followed))?;
                }
                (RowOrder::Index, None) => writeln!(f, "  {label:10}  {part}oldest first, without an index")?,
                (RowOrder::Heap, _) => writeln!(f, "  {label:10}  {part}in physical order, each page once")?,
            }
            label = "";
        }
        let mut label = "along";
        for Follower { table, what, rows } in followers {
            let rows = rows.map_or_else(|| "rows".to_owned(), |rows| Number(rows, "row").to_string());
            writeln!(f, "  {label:10}  {rows} of {} {what}", shown(table))?;
            label = "";
        }
        if *triggers {
            writeln!(f, "  triggers    fire when rows are removed")?;
        }
        if *row_security {
            writeln!(f, "  security    its policies filter rows: hidden rows stay")?;
        }
        match clock_ahead_seconds {
            Some(seconds) if seconds.abs() >= 1.0 => {
                let word = if *seconds > 0.0 { "ahead of" } else { "behind" };
                let apart = Duration::try_from_secs_f64(seconds.abs()).unwrap_or(Duration::MAX);
                writeln!(f, "  clock       {} {word} this machine's", Human(apart))
            }
            Some(_) => writeln!(f, "  clock       agrees with this machine's"),
            None => Ok(()),
        }
    }

    fn severity(&self, severity: Severity) -> (anstyle::Style, &'static str) {
        match severity {
            Severity::Ok => (self.theme.stays, "ok"),
            Severity::Warning => (self.theme.warning, "warning"),
            Severity::Error => (self.theme.error, "error"),
        }
    }
}
