//! What is there, as a table with a row for each policy.

use std::fmt;

use cleanup_core::candidate::harmless;
use cleanup_core::moment::Moment;
use cleanup_core::size::HumanBytes;
use cleanup_core::words::Count;
use cleanup_engine::responses::{PolicyStats, Stats};
use jiff::tz::TimeZone;

use super::Theme;
use super::limits::LimitsBelow;
use super::place::Places;
use super::when::{Distance, When, age};

/// The table.
pub(crate) struct StatsTable<'a> {
    pub(crate) stats: &'a Stats,
    pub(crate) now: Moment,
    pub(crate) theme: &'a Theme,
    /// With the places and dates below each row.
    pub(crate) details: Option<Details<'a>>,
}

/// What `-v` adds.
pub(crate) struct Details<'a> {
    pub(crate) places: &'a Places<'a>,
    pub(crate) zone: &'a TimeZone,
}

const HEADS: [&str; 7] = ["count", "size", "due", "size", "archives", "oldest", "next due"];

impl fmt::Display for StatsTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Theme { name, detail, .. } = self.theme;
        let policies = &self.stats.policies;
        let rows: Vec<Option<[String; 7]>> = policies.iter().map(|policy| cells(policy, self.now)).collect();
        let mut widths = HEADS.map(str::len);
        for row in rows.iter().flatten() {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.len());
            }
        }
        let name_width = policies.iter().map(|policy| policy.name.len()).chain(["policy".len()]).max().unwrap_or(0);

        write!(f, "{detail}{:name_width$}", "policy")?;
        for (head, width) in HEADS.iter().zip(widths) {
            write!(f, "  {head:>width$}")?;
        }
        writeln!(f, "{detail:#}")?;
        for (policy, row) in policies.iter().zip(&rows) {
            write!(f, "{name}{:name_width$}{name:#}", policy.name)?;
            match row {
                Some(row) => {
                    for (cell, width) in row.iter().zip(widths) {
                        write!(f, "  {cell:>width$}")?;
                    }
                }
                None => self.why_not(f, policy)?,
            }
            writeln!(f)?;
            if let Some(files) = &policy.files {
                for (count, text) in [
                    (files.owned_by_others, "owned by a policy whose root is deeper".to_owned()),
                    (files.disputed_files, format!("disputed with {}", files.disputed_with.join(", "))),
                ] {
                    if count > 0 {
                        let detail = self.theme.detail;
                        writeln!(f, "  {detail}{} more, {text}{detail:#}", Count(count))?;
                    }
                }
                write!(f, "{}", LimitsBelow { files, now: self.now, theme: self.theme })?;
            }
            self.note(f, policy)?;
            self.details(f, policy)?;
        }
        Ok(())
    }
}

impl StatsTable<'_> {
    fn why_not(&self, f: &mut fmt::Formatter<'_>, policy: &PolicyStats) -> fmt::Result {
        let Theme { detail, error, .. } = self.theme;
        let message = harmless(policy.message.as_deref().unwrap_or("nothing to show"));
        if super::problem::is_failure(policy.status) {
            // The message follows on stderr.
            write!(f, "  {error}could not be inspected{error:#}")
        } else {
            write!(f, "  {detail}skipped: {message}{detail:#}")
        }
    }

    /// What looks wrong about a table that could be looked at.
    fn note(&self, f: &mut fmt::Formatter<'_>, policy: &PolicyStats) -> fmt::Result {
        let Theme { warning, .. } = self.theme;
        match &policy.message {
            Some(message) if policy.sessions.is_some() => writeln!(f, "  {warning}{}{warning:#}", harmless(message)),
            _ => Ok(()),
        }
    }

    fn details(&self, f: &mut fmt::Formatter<'_>, policy: &PolicyStats) -> fmt::Result {
        let Some(Details { places, zone }) = self.details else { return Ok(()) };
        let Theme { detail, .. } = self.theme;
        writeln!(f, "  {detail}{}{detail:#}", places.about(&policy.name))?;
        let moments = match (&policy.files, &policy.sessions) {
            (Some(files), _) => [files.oldest, files.newest, files.next_due_at],
            (None, Some(rows)) => [rows.oldest, rows.newest, rows.next_due_at],
            (None, None) => [None; 3],
        };
        for (label, at) in ["oldest", "newest", "next due"].into_iter().zip(moments) {
            if let Some(at) = at {
                writeln!(f, "  {detail}{label:9} {}{detail:#}", When { at, now: self.now, zone })?;
            }
        }
        Ok(())
    }
}

/// The cells of a policy that could be looked at.
fn cells(policy: &PolicyStats, now: Moment) -> Option<[String; 7]> {
    let dash = || "-".to_owned();
    let past = |at: Option<Moment>| match at.and_then(|at| now.since(at)) {
        Some(since) => age(since).to_string(),
        // Nothing there, or only stamps that lie ahead.
        None => dash(),
    };
    let ahead = |at: Option<Moment>| at.map_or_else(dash, |at| Distance { at, now }.to_string());
    if let Some(files) = &policy.files {
        return Some([
            Count(files.total_files).to_string(),
            HumanBytes(files.total_bytes).to_string(),
            Count(files.due_files).to_string(),
            HumanBytes(files.due_bytes).to_string(),
            Count(files.archive_files).to_string(),
            past(files.oldest),
            ahead(files.next_due_at),
        ]);
    }
    let rows = policy.sessions.as_ref()?;
    let about = if rows.estimated { "~" } else { "" };
    Some([
        format!("{about}{}", Count(rows.total_rows)),
        dash(),
        Count(rows.expired_rows).to_string(),
        dash(),
        dash(),
        past(rows.oldest),
        ahead(rows.next_due_at),
    ])
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cleanup_core::report::{PolicyKind, PolicyStatus};
    use cleanup_engine::responses::{FileStats, SessionStats};

    use super::*;

    #[test]
    fn files_rows_and_what_could_not_be_looked_at_share_one_table() {
        let now = Moment::from_unix(1_767_323_045, 0);
        let policy = |name: &str, kind, status, message: Option<&str>| PolicyStats {
            name: name.to_owned(),
            kind,
            status,
            message: message.map(str::to_owned),
            files: None,
            sessions: None,
        };
        let files = FileStats {
            total_files: 1_234_567,
            total_bytes: 5_000_000_000,
            due_files: 9,
            due_bytes: 9 * 4096,
            archive_files: 2,
            oldest: Some(now.minus(Duration::from_hours(50))),
            next_due_at: Some(now.plus(Duration::from_millis(1))),
            ..FileStats::default()
        };
        let rows = SessionStats {
            total_rows: 40_000,
            expired_rows: 7,
            estimated: true,
            oldest: Some(now.plus(Duration::from_hours(1))),
            ..SessionStats::default()
        };
        let (ok, skipped, failed) = (PolicyStatus::Ok, PolicyStatus::Skipped, PolicyStatus::Failed);
        let policies = vec![
            PolicyStats { files: Some(files), ..policy("images", PolicyKind::Files, ok, None) },
            PolicyStats { files: Some(FileStats::default()), ..policy("empty", PolicyKind::Files, ok, None) },
            policy("bad", PolicyKind::Files, failed, Some("the root is a link")),
            PolicyStats {
                sessions: Some(rows),
                ..policy("tutor-sessions", PolicyKind::Sessions, ok, Some("1 row stays"))
            },
            policy("other", PolicyKind::Sessions, skipped, Some("DATABASE_URL is not set")),
        ];
        let stats = Stats { format_version: 1, policies };
        let table = StatsTable { stats: &stats, now, theme: &Theme::PLAIN, details: None };
        insta::assert_snapshot!(table, @"
        policy              count    size  due     size  archives  oldest  next due
        images          1,234,567  5.0 GB    9  36.9 kB         2    2d2h     in 1s
        empty                   0     0 B    0      0 B         0       -         -
        bad             could not be inspected
        tutor-sessions    ~40,000       -    7        -         -       -         -
          1 row stays
        other           skipped: DATABASE_URL is not set
        ");
    }
}
