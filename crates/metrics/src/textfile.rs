//! The file that `node_exporter` collects, for sweeps that end.
//!
//! Its collector reads the older text format alone: a counter's family carries `_total` as its samples do, there are no
//! units, no `info` and no end mark.

use cleanup_core::report::Finding;

use crate::{Metrics, OfError, OfPolicy, SORTS_OF_ERRORS};

impl Metrics {
    /// Goes on from what the file said of counters and last successes; all else in it is said anew, and lines that are
    /// not ours are dropped. A missing or foreign file begins at zero, as a restarted service would.
    pub fn resume(&self, text: &str) {
        for (name, labels, value) in text.lines().filter_map(sample) {
            let of = OfPolicy { policy: label(labels, "policy").to_owned() };
            match name {
                "cleanup_files_removed_total" => drop(self.files_removed.get_or_create(&of).inc_by(whole(value))),
                "cleanup_bytes_freed_total" => drop(self.bytes_freed.get_or_create(&of).inc_by(whole(value))),
                "cleanup_bytes_quarantined_total" => {
                    self.bytes_quarantined.get_or_create(&of).inc_by(whole(value));
                }
                "cleanup_sessions_removed_total" => drop(self.sessions_removed.get_or_create(&of).inc_by(whole(value))),
                "cleanup_errors_total" => {
                    if let Some(kind) = SORTS_OF_ERRORS.into_iter().find(|kind| *kind == label(labels, "kind")) {
                        let of = OfError { policy: label(labels, "policy").to_owned(), kind };
                        self.errors.get_or_create(&of).inc_by(whole(value));
                    }
                }
                "cleanup_last_success_timestamp_seconds" => drop(self.last_success.get_or_create(&of).set(value)),
                _ => {}
            }
        }
    }

    /// All of it, as the collector reads it, with what this sweep found that needs somebody. Samples are in order, so
    /// that two files can be compared.
    pub fn textfile(&self, findings: &[Finding]) -> String {
        let text = self.text(findings.iter());
        let mut families: Vec<Vec<String>> = Vec::new();
        let mut help = "";
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                help = rest.split_once(' ').map_or("", |(_, help)| help);
                families.push(Vec::new());
            } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
                let (suffix, kind) = match kind {
                    "counter" => ("_total", "counter"),
                    "info" => ("_info", "gauge"),
                    other => ("", other),
                };
                if let Some(lines) = families.last_mut() {
                    lines.push(format!("# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}"));
                }
            } else if !line.starts_with('#')
                && let Some(lines) = families.last_mut()
            {
                lines.push(line.to_owned());
            }
        }
        for lines in &mut families {
            if let [_, samples @ ..] = lines.as_mut_slice() {
                samples.sort();
            }
        }
        let lines: Vec<String> = families.into_iter().flatten().collect();
        lines.join("\n") + "\n"
    }
}

/// `name{labels} 12`
fn sample(line: &str) -> Option<(&str, &str, f64)> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = series.strip_suffix('}')?.split_once('{')?;
    let value = value.parse::<f64>().ok().filter(|value| value.is_finite() && *value >= 0.0)?;
    Some((name, labels, value))
}

/// One of `key="value",…`. No label of ours has anything in it that would have to be escaped.
fn label<'a>(labels: &'a str, key: &str) -> &'a str {
    let value = |label: &'a str| label.strip_prefix(key)?.strip_prefix("=\"")?.strip_suffix('"');
    labels.split(',').find_map(value).unwrap_or_default()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "not below zero; counts beyond 2^53 do not happen"
)]
fn whole(value: f64) -> u64 {
    value as u64
}

#[cfg(test)]
mod tests {
    use cleanup_core::moment::Moment;
    use cleanup_core::report::{PolicyKind, PolicyReport, Report, Tally, Trigger};

    use super::*;

    fn report(policies: &[&str]) -> Report {
        let of = |name: &&str| {
            let report = PolicyReport::finished(name, PolicyKind::Files, Tally::default());
            let mut counts = report.counts;
            counts.removed = 2;
            PolicyReport { counts, ..report }
        };
        let policies = policies.iter().map(of).collect();
        Report::new("01A".to_owned(), Trigger::Manual, false, Moment::EPOCH, Moment::from_unix(12, 0), policies)
    }

    fn after(text: &str, policies: &[&str]) -> String {
        let metrics = Metrics::of_sweeps();
        metrics.resume(text);
        let report = report(policies);
        metrics.took(&report);
        metrics.textfile(&report.findings)
    }

    #[test]
    fn counters_go_on_and_gauges_are_said_anew() {
        let first = after("", &["a", "b"]);
        let second = after(&first, &["a"]);
        for line in [
            "# TYPE cleanup_files_removed_total counter",
            "cleanup_files_removed_total{policy=\"a\"} 4",
            "cleanup_files_removed_total{policy=\"b\"} 2",
            "cleanup_last_success_timestamp_seconds{policy=\"b\"} 12.0",
            "cleanup_errors_total{policy=\"a\",kind=\"item\"} 0",
            "# TYPE cleanup_build_info gauge",
        ] {
            assert!(second.lines().any(|it| it == line), "{line}\nin\n{second}");
        }
        assert!(!second.contains("cleanup_due{policy=\"b\"}"), "nobody looked\n{second}");
        assert!(!second.contains("# EOF") && !second.contains("# UNIT") && !second.contains("_seconds_bucket"));
    }

    #[test]
    fn foreign_lines_are_not_taken_over() {
        let text = "# HELP cleanup_due x\ncleanup_due{policy=\"c\"} 7\ncleanup_files_removed_total{policy=\"c\"} 3\n\
                    cleanup_files_removed_total{policy=\"d\"} NaN\ncleanup_files_removed_total{policy=\"e\"} -1\n\
                    cleanup_errors_total{policy=\"c\",kind=\"x\"} 9\nother_total{policy=\"c\"} 1\nnonsense\n";
        let taken: Vec<_> =
            after(text, &[]).lines().filter(|line| line.contains("policy")).map(str::to_owned).collect();
        assert_eq!(
            taken.iter().filter(|line| line.contains('{')).collect::<Vec<_>>(),
            ["cleanup_files_removed_total{policy=\"c\"} 3"]
        );
    }
}
