//! Limits as text: how full each is, what stands in its way, and what would go next.

use std::fmt;

use cleanup_core::candidate::Escaped;
use cleanup_core::moment::Moment;
use cleanup_core::report::Limit;
use cleanup_core::size::HumanBytes;
use cleanup_core::words::Count;
use cleanup_engine::responses::FileStats;

use super::Theme;
use super::place::exact;
use super::when::age;

/// How many characters wide a full bar is.
const BAR: usize = 20;

/// One line for a limit in a report.
pub(crate) struct LimitLine<'a> {
    pub(crate) limit: &'a Limit,
    pub(crate) theme: &'a Theme,
}

/// The limits of a policy below its row in the statistics: a bar for each, and what would go next.
pub(crate) struct LimitsBelow<'a> {
    pub(crate) files: &'a FileStats,
    pub(crate) now: Moment,
    pub(crate) theme: &'a Theme,
}

/// An amount of what a limit counts.
fn amount(limit: &Limit, amount: u64) -> String {
    if limit.is_bytes() { HumanBytes(amount).to_string() } else { Count(amount).to_string() }
}

/// `4.1 GB of 5.0 GB`, `12 GB free, 10 GB wanted`.
fn state(limit: &Limit) -> String {
    let (is, wanted) = (amount(limit, limit.is), amount(limit, limit.wanted));
    if limit.asks_for_free() { format!("{is} free, {wanted} wanted") } else { format!("{is} of {wanted}") }
}

fn sweep_would(limit: &Limit) -> String {
    let after = limit.after.filter(|after| *after != limit.is);
    after.map_or_else(String::new, |after| format!("; {} after a sweep", amount(limit, after)))
}

impl fmt::Display for LimitLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, theme: Theme { detail, warning, .. } } = self;
        let (state, would) = (state(limit), sweep_would(limit));
        if limit.met {
            return write!(f, "  {detail}{} is met: {state}{would}{detail:#}", limit.name);
        }
        write!(f, "  {warning}{} is not met:{warning:#} {state}{would}", limit.name)?;
        let reasons = limit.reasons();
        if reasons.is_empty() { Ok(()) } else { write!(f, " ({reasons})") }
    }
}

impl fmt::Display for LimitsBelow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { files, now, theme: Theme { detail, warning, goes, .. } } = self;
        let width = files.limits.iter().map(|limit| limit.name.len()).max().unwrap_or(0);
        for limit in &files.limits {
            let name = &limit.name;
            write!(f, "  {detail}{name:width$}{detail:#}  {}", Bar(limit.ratio()))?;
            if limit.met {
                write!(f, "  {}", state(limit))?;
            } else {
                write!(f, "  {warning}{}{warning:#}", state(limit))?;
            }
            write!(f, "{}", sweep_would(limit))?;
            let reasons = limit.reasons();
            if !reasons.is_empty() {
                write!(f, " ({reasons})")?;
            }
            writeln!(f)?;
        }
        if !files.next.is_empty() {
            writeln!(f, "  {detail}next to be removed:{detail:#}")?;
        }
        for next in &files.next {
            let path = exact(&next.path, next.path_bytes.as_deref());
            let path = Escaped(&path);
            let size = HumanBytes(next.bytes);
            let old = now.since(next.stamp).map_or_else(String::new, |since| format!(", {} old", age(since)));
            if next.due {
                writeln!(f, "    {goes}{path}{goes:#}  {detail}{size}{old}, due now{detail:#}")?;
            } else {
                writeln!(f, "    {path}  {detail}{size}{old}{detail:#}")?;
            }
        }
        Ok(())
    }
}

/// A share of a whole as a bar and in percent; beyond the whole the bar is full.
struct Bar(f64);

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = self.0.clamp(0.0, 1.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 20")]
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let full = (share * BAR as f64) as usize;
        // Rounded down, so that a hundred means that it is reached.
        let percent = (self.0 * 100.0).min(999.0).floor();
        write!(f, "[{}{}] {percent:>3}%", "#".repeat(full), ".".repeat(BAR - full))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cleanup_engine::responses::NextToGo;

    use super::*;

    fn limit(name: &str, wanted: u64, is: u64, after: Option<u64>, pinned: &[(&str, u64)]) -> Limit {
        let met = if name.starts_with("min") { is >= wanted } else { is <= wanted };
        let pinned = pinned.iter().map(|(reason, amount)| ((*reason).to_owned(), *amount)).collect();
        Limit { name: name.to_owned(), met, wanted, is, after, pinned }
    }

    #[test]
    fn limits_are_shown_with_what_is_and_what_stands_in_the_way() {
        let now = Moment::from_unix(1_767_323_045, 0);
        let next = |path: &str, hours, due| NextToGo {
            path: path.to_owned(),
            path_bytes: None,
            bytes: 4096,
            stamp: now.minus(Duration::from_hours(hours)),
            due,
        };
        let files = FileStats {
            limits: vec![
                limit("max_files", 1000, 950, Some(950), &[]),
                limit("max_total_size", 5_000_000_000, 6_000_000_000, Some(5_000_000_000), &[]),
                limit("max_files", 0, 5, Some(3), &[("archive", 2), ("settling", 1)]),
                limit("min_free", 10_000_000_000, 7_000_000_000, None, &[("elsewhere", 90_000_000_000)]),
                limit("min_free_inodes", 0, 0, None, &[]),
            ],
            next: vec![next("a.svg", 50, true), next("b\u{1b}.svg", 3, false)],
            ..FileStats::default()
        };
        let lines = files.limits.iter().map(|limit| LimitLine { limit, theme: &Theme::PLAIN }.to_string());
        let lines: Vec<String> = lines.collect();
        let below = LimitsBelow { files: &files, now, theme: &Theme::PLAIN };
        insta::assert_snapshot!(format!("{}\n\n{below}", lines.join("\n")));
    }
}
