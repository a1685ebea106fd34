//! What is logged, where to, and in whose words.
//!
//! The words are those of the service that this one replaces: people have alerts on them. Its two messages about
//! single files would drown everything else when files come by the thousand, so they carry no path and are summed
//! beyond ten a second ([`Summed`]); the path, escaped, is at `debug`.
//!
//! A log that cannot be written is dropped: nothing that happens to the log reaches the work.

use std::collections::HashMap;
use std::io::{self, IsTerminal as _, Write};
use std::time::Duration;

use cleanup_core::candidate::harmless;
use cleanup_core::config::Config;
use cleanup_core::duration::Human;
use cleanup_core::policy::MaxAge;
use cleanup_core::report::{Finding, PolicyKind, PolicyReport, PolicyStatus, Report};
use cleanup_core::words::Count;
use rustix::fs::fstat;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{EnvFilter, Layer, Registry};

mod summed;

pub use summed::Summed;

/// The service has begun.
pub const INITIALIZED: &str = "Temp cleanup service initialized";
/// A file is tracked from now on.
pub const REGISTERED: &str = "Registered file for cleanup";
/// A file was removed.
pub const CLEANED_UP: &str = "Cleaned up old file";
/// The service has ended.
pub const STOPPED: &str = "Cleanup service stopped";

/// The variable that says what is logged, in the language of `tracing-subscriber`'s filters.
pub const VARIABLE: &str = "CLEANUP_LOG";

/// A check of a policy with this `max_age` found nothing to remove: `Cleanup check: no files older than 30 minutes
/// found`. An age that is not whole minutes is shown as people write it: `90s`.
pub fn nothing_found(max_age: Duration) -> String {
    let (minutes, rest) = (max_age.as_secs() / 60, Duration::from_secs(max_age.as_secs() / 60 * 60));
    let age = match minutes {
        1 if rest == max_age => "1 minute".to_owned(),
        2.. if rest == max_age => format!("{minutes} minutes"),
        _ => Human(max_age).to_string(),
    };
    format!("Cleanup check: no files older than {age} found")
}

/// Tells of a sweep, a line a policy: what it removed, or that there was nothing, or what kept it from it.
pub fn tell_of_sweep(config: &Config, report: &Report) {
    if report.dry_run {
        return;
    }
    let ages: HashMap<&str, MaxAge> =
        config.rules().filter_map(|rule| Some((rule.name.as_str(), rule.max_age?))).collect();
    let mut found: HashMap<&str, Vec<&Finding>> = HashMap::new();
    for finding in &report.findings {
        found.entry(finding.policy.as_deref().unwrap_or_default()).or_default().push(finding);
    }
    for PolicyReport { name: policy, kind, status, message, counts, .. } in &report.policies {
        let removed = Count(counts.removed);
        match (kind, counts.removed) {
            (_, 0) => {}
            (PolicyKind::Files, 1) => tracing::info!(policy, "{CLEANED_UP}"),
            (PolicyKind::Files, _) => tracing::info!(policy, "{CLEANED_UP} ({removed} files)"),
            (PolicyKind::Sessions, _) => tracing::info!(policy, "Cleaned up idle sessions ({removed} rows)"),
        }
        if counts.quarantined > 0 {
            tracing::info!(policy, "Moved into quarantine: {} files", Count(counts.quarantined));
        }
        if counts.purged > 0 {
            tracing::info!(policy, "Deleted for good from quarantine: {} files", Count(counts.purged));
        }
        if let (PolicyStatus::Ok, PolicyKind::Files, 0, Some(max_age)) =
            (status, kind, counts.due, ages.get(policy.as_str()))
        {
            tracing::info!(policy, "{}", nothing_found(max_age.get()));
        }
        let found = found.get(policy.as_str()).map_or(&[][..], Vec::as_slice);
        for finding in found {
            tell_of_finding(finding, policy, &report.run_id);
        }
        // What needs nobody: a policy that is switched off, a run that was stopped and goes on later.
        if let Some(message) = message.as_ref().filter(|message| found.iter().all(|it| it.text != **message)) {
            tracing::info!(policy, "{}", harmless(message));
        }
    }
}

/// Tells of what needs somebody: what a run of this policy, or of these, has found.
pub(crate) fn tell_of_finding(finding: &Finding, policy: &str, run_id: &str) {
    let Finding { code, level: _, policy: _, since: _, text, remedy } = finding;
    // A field without a value is left out.
    tracing::warn!(policy, run_id, code = code.name(), remedy = remedy.as_deref(), "{}", harmless(text));
}

/// The flag `--log`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Lines for people, on stderr.
    Text,
    /// A JSON object a line, on stderr.
    Json,
    /// Entries of systemd's journal, with their fields.
    Journal,
}

/// What the flags ask for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// `--log`; `None` is the journal when stderr leads there, else text.
    pub format: Option<Format>,
    /// How often `-v` was given: once for our own `debug`, twice for everything.
    pub verbose: u8,
    /// `-q`: warnings and errors alone.
    pub quiet: bool,
}

/// Why nothing can be logged as asked.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The variable's value is no filter.
    #[error("${VARIABLE} is not a log filter: {0}; expected something like `info` or `warn,cleanup_server=debug`")]
    Filter(ParseError),
    /// `--log journal`, and there is none.
    #[error("cannot log to the journal: {0}; is systemd-journald running? `--log text` works everywhere")]
    Journal(io::Error),
    /// Logging was set up before.
    #[error(transparent)]
    Twice(TryInitError),
}

/// Sets up logging for the whole process, once. `env` answers what an environment variable holds; flags win over it.
pub fn start(wanted: Wanted, env: &dyn Fn(&str) -> Option<String>) -> Result<(), LogError> {
    let filter = filter(wanted, env(VARIABLE))?;
    tracing_subscriber::registry()
        .with(layer(wanted.format, env)?.with_filter(filter))
        .try_init()
        .map_err(LogError::Twice)
}

fn filter(wanted: Wanted, variable: Option<String>) -> Result<EnvFilter, LogError> {
    let variable = variable.filter(|directives| !directives.trim().is_empty());
    let directives = match (wanted.quiet, wanted.verbose, variable) {
        (true, ..) => "warn".to_owned(),
        (false, 0, None) => "info".to_owned(),
        (false, 0, Some(directives)) => directives,
        // A directive names a target by its beginning: this is every crate of ours.
        (false, 1, _) => "info,cleanup=debug".to_owned(),
        (false, ..) => "debug,cleanup=trace".to_owned(),
    };
    EnvFilter::builder().parse(directives).map_err(LogError::Filter)
}

fn layer(
    format: Option<Format>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Box<dyn Layer<Registry> + Send + Sync>, LogError> {
    let journal = || tracing_journald::layer().map(|journal| journal.with_field_prefix(None));
    Ok(match format {
        Some(Format::Json) => {
            let json = fmt::layer().json().flatten_event(true);
            json.log_internal_errors(false).with_writer(io::stderr).boxed()
        }
        Some(Format::Journal) => journal().map_err(LogError::Journal)?.boxed(),
        None if leads_to_journal(env("JOURNAL_STREAM").as_deref()) => match journal() {
            Ok(journal) => journal.boxed(),
            // A sandbox without the journal's socket still has stderr, where a number says how serious a line is.
            Err(_) => prefixed().boxed(),
        },
        Some(Format::Text) | None => {
            let coloured = io::stderr().is_terminal() && env("NO_COLOR").is_none_or(|value| value.is_empty());
            text().with_ansi(coloured).with_writer(io::stderr).boxed()
        }
    })
}

fn text() -> fmt::Layer<Registry> {
    fmt::layer().with_target(false).log_internal_errors(false)
}

fn prefixed() -> impl Layer<Registry> {
    text().without_time().with_ansi(false).with_level(false).with_writer(Prefixed)
}

/// Whether stderr is the stream that systemd connected to the journal: the variable may be inherited by a process
/// whose stderr leads elsewhere, so it holds the device and inode of the stream.
fn leads_to_journal(variable: Option<&str>) -> bool {
    let Some((device, inode)) = variable.and_then(|text| text.split_once(':')) else {
        return false;
    };
    let stderr = fstat(io::stderr());
    stderr.is_ok_and(|stderr| device.parse() == Ok(stderr.st_dev) && inode.parse() == Ok(stderr.st_ino))
}

/// Writes to stderr, each line with its priority in front: `<6>`.
struct Prefixed;

struct Line(u8);

impl<'a> MakeWriter<'a> for Prefixed {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line(6)
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Line {
        Line(priority(*meta.level()))
    }
}

/// The number of a level in `syslog`.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

impl Write for Line {
    /// One event comes in one piece and leaves in one piece.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let mut line = format!("<{}>", self.0).into_bytes();
        line.extend_from_slice(event);
        io::stderr().write_all(&line)?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
