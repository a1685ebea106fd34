//! Numbers, moments and names as the pages say them. Pure: `now` and the zone are handed in.

use std::time::Duration;

use base64::Engine as _;
use cleanup_core::candidate::Escaped;
pub(crate) use cleanup_core::candidate::harmless as message;
use cleanup_core::moment::Moment;
use cleanup_core::report::{PolicyStatus, RunStatus, Trigger};
use cleanup_core::size::HumanBytes;
use cleanup_core::words::{Count, Distance, Number, Roughly};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// When and where it is said.
#[derive(Clone, Debug)]
pub(crate) struct Here {
    pub(crate) now: Moment,
    pub(crate) zone: TimeZone,
}

/// A moment with everything that a page shows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct When {
    /// For programs, and for the script that lets it run on.
    pub(crate) iso: String,
    /// Date and time in the service's zone.
    pub(crate) date: String,
    /// How far away it is.
    pub(crate) away: String,
}

impl Here {
    pub(crate) fn when(&self, at: Moment) -> When {
        When {
            iso: at.to_string(),
            date: self.strftime(at, "%Y-%m-%d %H:%M:%S %Z"),
            away: Distance::between(at, self.now).words(Roughly),
        }
    }

    /// A moment in the service's zone.
    pub(crate) fn strftime(&self, at: Moment, format: &str) -> String {
        match Timestamp::from_second(at.unix_seconds()) {
            Ok(timestamp) => timestamp.to_zoned(self.zone.clone()).strftime(format).to_string(),
            Err(_) => at.to_string(),
        }
    }
}

/// The two largest units of a span: `3d 4h`, `12s`.
pub(crate) fn span(span: Duration) -> String {
    Roughly(span).to_string()
}

/// A span of whole days in words, any other as [`span`].
pub(crate) fn days(time: Duration) -> String {
    match (time.as_secs() / 86_400, time.as_secs() % 86_400) {
        (1, 0) => "a day".to_owned(),
        (days @ 2.., 0) => format!("{days} days"),
        _ => span(time),
    }
}

/// A lateness: short ones to the millisecond.
pub(crate) fn lateness(late: Duration) -> String {
    match late.as_secs() {
        0 => format!("{} ms", late.as_millis()),
        1..60 => format!("{:.1} s", late.as_secs_f64()),
        _ => span(late),
    }
}

/// `1,234,567`
pub(crate) fn count(number: u64) -> String {
    Count(number).to_string()
}

/// `1 file`, `1,234 files`
pub(crate) fn number(of: u64, noun: &str) -> String {
    Number(of, noun).to_string()
}

/// `3 files removed, 8.2 kB freed, 4.1 kB moved into quarantine`: what a run removed, of these counts.
pub(crate) fn gone(items: u64, noun: &str, freed: u64, quarantined: u64) -> String {
    let mut parts = vec![format!("{} removed", number(items, noun))];
    if freed > 0 || quarantined == 0 {
        parts.push(format!("{} freed", bytes(freed)));
    }
    if quarantined > 0 {
        parts.push(format!("{} moved into quarantine", bytes(quarantined)));
    }
    parts.join(", ")
}

/// `4.1 MB`
pub(crate) fn bytes(of: u64) -> String {
    HumanBytes(of).to_string()
}

/// A path of an answer, so that nothing in it can fool a reader: control characters and marks that turn text around
/// become escapes, as do bytes that are not UTF-8.
pub(crate) fn path(text: &str, exact: Option<&str>) -> String {
    let decoded = exact.and_then(|text| base64::engine::general_purpose::STANDARD.decode(text).ok());
    match decoded {
        Some(bytes) => Escaped(&bytes).to_string(),
        None => Escaped(text.as_bytes()).to_string(),
    }
}

/// How something stands: a word, and the class that gives it a colour. Never the colour alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) word: &'static str,
    pub(crate) class: &'static str,
}

impl Status {
    pub(crate) const RUNNING: Self = Self { word: "running", class: "busy" };
    pub(crate) const DRY_RUN: Self = Self { word: "dry run", class: "busy" };
    pub(crate) const OFF: Self = Self { word: "switched off", class: "idle" };
    pub(crate) const NEVER: Self = Self { word: "not swept yet", class: "idle" };
    pub(crate) const HELD: Self = Self { word: "held", class: "warn" };
    pub(crate) const LIMIT: Self = Self { word: "limit not met", class: "warn" };
}

impl From<RunStatus> for Status {
    fn from(status: RunStatus) -> Self {
        match status {
            RunStatus::Ok => Self { word: "ok", class: "good" },
            RunStatus::Partial => Self { word: "partial", class: "warn" },
            RunStatus::Held => Self::HELD,
            RunStatus::Interrupted => Self { word: "interrupted", class: "bad" },
            RunStatus::Failed => Self { word: "failed", class: "bad" },
        }
    }
}

impl From<PolicyStatus> for Status {
    fn from(status: PolicyStatus) -> Self {
        match status {
            PolicyStatus::Skipped => Self { word: "skipped", class: "idle" },
            other => Self::from(RunStatus::from(other)),
        }
    }
}

/// What started a run.
pub(crate) fn trigger(of: Trigger) -> &'static str {
    match of {
        Trigger::Manual => "by hand",
        Trigger::Schedule => "by schedule",
        Trigger::Pressure => "because a limit was exceeded",
        Trigger::Deadline => "at deadlines",
        Trigger::Restore => "by a restore",
        Trigger::Reload => "by a reload that was refused",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_fool_a_reader() {
        assert_eq!(path("a\u{202e}gnp.svg", None), "a\\u{202e}gnp.svg");
        assert_eq!(path("a\u{fffd}", Some("Yf8=")), "a\\xff");
        assert_eq!(message("a\\xff \u{202e}"), "a\\xff \\u{202e}");
    }
}
