//! `sweep --textfile`: the metrics of the service, for sweeps that end: a file for `node_exporter` to collect.
//!
//! Counters go on from what the file says; a missing or foreign file begins at zero, as a restarted service would. The
//! file is replaced whole, so a collector never reads half of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use cleanup_core::report::{PolicyKind, PolicyReport, PolicyStatus, Report, Skip};

const COUNTERS: [(&str, &str); 4] = [
    ("cleanup_files_removed_total", "Files removed or moved into quarantine."),
    (
        "cleanup_bytes_freed_total",
        "Allocated bytes that the file system got back; what lies in quarantine is not among them.",
    ),
    ("cleanup_sessions_removed_total", "Session rows removed."),
    (
        "cleanup_errors_total",
        "Items that failed (item), policies that could not run (policy), databases that were away.",
    ),
];

const LAST_SUCCESS: &str = "cleanup_last_success_timestamp_seconds";

const FINDING: &str = "cleanup_finding";

const GAUGES: [(&str, &str); 7] = [
    (LAST_SUCCESS, "When the policy last did all that was asked of it; a skipped or held run does not count."),
    ("cleanup_due", "What the last run found due and is still there."),
    ("cleanup_policy_held", "Whether a brake held the policy back in its last run."),
    (
        "cleanup_root_missing",
        "Whether the policy's root did not exist in the last run, and is not said to come and go.",
    ),
    ("cleanup_limit_met", "Whether the limit was met after the last run."),
    ("cleanup_limit_ratio", "How much of the limit was used after the last run; above 1 it was not met."),
    (FINDING, "What needs somebody, by its code; without a policy where it concerns all of them."),
];

/// Values by metric and labels, in the order in which they are written.
type Values = BTreeMap<(String, String), f64>;

/// Writes the file anew, with what this sweep adds.
pub(crate) fn write(path: &Path, report: &Report) -> io::Result<()> {
    let before = match read(path) {
        Ok(text) => parse(&text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Values::new(),
        Err(error) => return Err(error),
    };
    let text = render(&after(before, report));
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".cleanup-").tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    // The collector is another user.
    file.as_file().set_permissions(Permissions::from_mode(0o644))?;
    file.persist(path)?;
    Ok(())
}

/// The whole file. Others may write the folder of the collector: what is no regular file there (a FIFO, a device) is not
/// waited for.
fn read(path: &Path) -> io::Result<String> {
    let no_wait = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = OpenOptions::new().read(true).custom_flags(no_wait).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    io::read_to_string(file)
}

/// Takes over what a file of ours says of counters and last successes; all else is said anew.
fn parse(text: &str) -> Values {
    let lasts = |name: &str| name == LAST_SUCCESS || COUNTERS.iter().any(|(counter, _)| *counter == name);
    let sample = |line: &str| {
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) = series.strip_suffix('}')?.split_once('{')?;
        let value = value.parse::<f64>().ok().filter(|value| value.is_finite() && *value >= 0.0)?;
        lasts(name).then(|| ((name.to_owned(), labels.to_owned()), value))
    };
    text.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect()
}

fn after(mut values: Values, report: &Report) -> Values {
    for policy in &report.policies {
        let PolicyReport { name, counts, status, .. } = policy;
        // A policy's name has nothing in it that a label would have to escape.
        let labels = format!("policy=\"{name}\"");
        let mut add = |metric: &str, labels: &str, count: u64| {
            *values.entry((metric.to_owned(), labels.to_owned())).or_default() += number(count);
        };
        match policy.kind {
            PolicyKind::Files => {
                add("cleanup_files_removed_total", &labels, counts.removed + counts.quarantined);
                add("cleanup_bytes_freed_total", &labels, counts.bytes_freed);
            }
            PolicyKind::Sessions => add("cleanup_sessions_removed_total", &labels, counts.removed),
        }
        let is_away = policy.skipped == Some(Skip::DatabaseAway);
        for (kind, count) in [
            ("item", policy.errors_total),
            ("policy", u64::from(*status == PolicyStatus::Failed)),
            ("database_away", u64::from(is_away)),
        ] {
            if kind != "database_away" || policy.kind == PolicyKind::Sessions {
                add("cleanup_errors_total", &format!("policy=\"{name}\",kind=\"{kind}\""), count);
            }
        }
        let mut set = |metric: &str, labels: String, value: f64| values.insert((metric.to_owned(), labels), value);
        if *status == PolicyStatus::Ok {
            #[expect(clippy::cast_precision_loss, reason = "seconds need no more than 53 bits until long after 9999")]
            set(LAST_SUCCESS, labels.clone(), report.finished_at.unix_millis() as f64 / 1000.0);
        }
        if policy.kind == PolicyKind::Files {
            set("cleanup_root_missing", labels.clone(), f64::from(u8::from(policy.root_missing)));
        }
        set("cleanup_policy_held", labels.clone(), f64::from(u8::from(*status == PolicyStatus::Held)));
        if !matches!(status, PolicyStatus::Skipped | PolicyStatus::Failed | PolicyStatus::Interrupted) {
            let gone = counts.removed + counts.quarantined + counts.vanished + counts.changed;
            set("cleanup_due", labels.clone(), number(counts.due.saturating_sub(gone)));
        }
        for limit in &policy.limits {
            let of_limit = format!("{labels},limit=\"{}\"", limit.name);
            set("cleanup_limit_met", of_limit.clone(), f64::from(u8::from(limit.met)));
            set("cleanup_limit_ratio", of_limit, limit.ratio());
        }
    }
    for finding in &report.findings {
        let policy = finding.policy.as_deref().unwrap_or_default();
        let labels = format!("code=\"{}\",policy=\"{policy}\"", finding.code.name());
        values.insert((FINDING.to_owned(), labels), 1.0);
    }
    values
}

fn render(values: &Values) -> String {
    let mut text = String::new();
    let counters = COUNTERS.iter().map(|(name, help)| (name, help, "counter"));
    for (name, help, kind) in counters.chain(GAUGES.iter().map(|(name, help)| (name, help, "gauge"))) {
        let samples: Vec<_> = values.iter().filter(|((metric, _), _)| metric == name).collect();
        if samples.is_empty() {
            continue;
        }
        // Writing to a string does not fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for ((_, labels), value) in samples {
            let _ = writeln!(text, "{name}{{{labels}}} {value}");
        }
    }
    let version = env!("CARGO_PKG_VERSION");
    let _ = writeln!(text, "# HELP cleanup_build_info The version.\n# TYPE cleanup_build_info gauge");
    let _ = writeln!(text, "cleanup_build_info{{version=\"{version}\"}} 1");
    text
}

#[expect(clippy::cast_precision_loss, reason = "a metric is a float; counts beyond 2^53 do not happen")]
fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_go_on_and_foreign_lines_are_not_taken_over() {
        let text = "# HELP cleanup_due x\ncleanup_due{policy=\"a\"} 7\ncleanup_files_removed_total{policy=\"a\"} 3\n\
                    cleanup_files_removed_total{policy=\"b\"} NaN\nother_total{policy=\"a\"} 1\nnonsense\n";
        let values = parse(text);
        assert_eq!(values.len(), 1);
        assert!(render(&values).starts_with(
            "# HELP cleanup_files_removed_total Files removed or moved into quarantine.\n# TYPE cleanup_files_removed_total counter\n\
             cleanup_files_removed_total{policy=\"a\"} 3\n"
        ));
    }
}
