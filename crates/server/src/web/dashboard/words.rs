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
    /// For programs, and for the script that keeps `away` current.
    pub(crate) iso: String,
    /// Date and time to the second, in the service's zone. The page names the zone once.
    pub(crate) date: String,
    /// The same as short as it can be without doubt: the year only where it is another one.
    pub(crate) short: String,
    /// How far away it is.
    pub(crate) away: String,
}

/// The length of a moment as reports print it: `2026-01-02T03:04:05.000Z`.
const PRINTED: usize = 24;

impl Here {
    pub(crate) fn when(&self, at: Moment) -> When {
        let is_this_year = self.strftime(at, "%Y") == self.strftime(self.now, "%Y");
        When {
            iso: at.to_string(),
            date: self.strftime(at, "%Y-%m-%d %H:%M:%S"),
            short: self.strftime(at, if is_this_year { "%a %-d %b %H:%M" } else { "%-d %b %Y %H:%M" }),
            away: Distance::between(at, self.now).words(Roughly),
        }
    }

    /// The zone by its name, for the script; empty where it has none.
    pub(crate) fn zone_id(&self) -> &str {
        self.zone.iana_name().unwrap_or_default()
    }

    /// The zone in words: `Europe/Berlin (CET, UTC+01:00)`.
    pub(crate) fn zone_name(&self) -> String {
        let offset = self.strftime(self.now, "%Z, UTC%:z");
        match self.zone.iana_name() {
            Some("UTC" | "Etc/UTC") => "UTC".to_owned(),
            Some(name) => format!("{name} ({offset})"),
            None => offset,
        }
    }

    /// A text of a report: harmless, and its moments, which reports print in UTC, in the zone of the page.
    pub(crate) fn text(&self, text: &str) -> String {
        let text = message(text);
        let mut rest = text.as_str();
        let mut shown = String::with_capacity(rest.len());
        // Only what stands for itself is a moment: names of files may have one in them.
        while let Some(place) = rest.find('Z').map(|end| end + 1) {
            let (before, after) = rest.split_at(place);
            let start = place.checked_sub(PRINTED).filter(|start| before.is_char_boundary(*start));
            let begins = |start: usize| matches!(before[..start].chars().next_back(), None | Some(' ' | '('));
            let ends = matches!(after.as_bytes(), [] | [b' ' | b',' | b';' | b')', ..] | [b'.'] | [b'.', b' ', ..]);
            let found = start.filter(|start| ends && (*start > 0 || shown.is_empty()) && begins(*start));
            match found.and_then(|start| Some((start, Moment::parse(&before[start..]).ok()?))) {
                Some((start, at)) => {
                    shown.push_str(&before[..start]);
                    shown.push_str(&self.strftime(at, "%Y-%m-%d %H:%M:%S"));
                }
                None => shown.push_str(before),
            }
            rest = after;
        }
        shown + rest
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

/// A text that begins in the middle of a sentence, as a sentence of its own.
pub(crate) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let end = if text.is_empty() || text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{end}", letters.as_str())
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
    pub(crate) const OFF: Self = Self { word: "disabled", class: "idle" };
    pub(crate) const NEVER: Self = Self { word: "never run", class: "idle" };
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
        Trigger::Manual => "manually",
        Trigger::Schedule => "by schedule",
        Trigger::Pressure => "because a limit was exceeded",
        Trigger::Deadline => "at deadlines",
        Trigger::Restore => "by a restore",
        Trigger::Reload => "by a refused reload",
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

    fn berlin() -> Here {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        Here { now: Moment::from_unix(1_767_323_045, 0), zone }
    }

    #[test]
    fn texts_say_moments_in_the_zone_of_the_page() {
        let here = berlin();
        for (printed, shown) in [
            ("held until 2026-07-01T22:30:00.000Z", "held until 2026-07-02 00:30:00"),
            ("2026-01-01T23:30:00.123Z", "2026-01-02 00:30:00"),
            ("(since 2026-01-01T23:30:00.123Z), Z", "(since 2026-01-02 00:30:00), Z"),
            (
                "at 2026-01-01T23:30:00.000Z, until 2026-01-01T23:30:01.000Z.",
                "at 2026-01-02 00:30:00, until 2026-01-02 00:30:01.",
            ),
        ] {
            assert_eq!(here.text(printed), shown);
        }
    }

    #[test]
    fn what_is_no_moment_of_its_own_stays_as_it_is() {
        let here = berlin();
        for text in [
            "a/2026-01-01T23:30:00.000Z.tar",
            "dump-2026-01-01T23:30:00.000Z is not readable",
            " 2026-01-01T23:30:00.000Zulu",
            " 2026-01-01T23:30:00.000Z.tar",
            "2026-13-01T23:30:00.000Z",
            "Z",
            "ÄÖÜÄÖÜÄÖÜÄÖÜZ",
            "",
        ] {
            assert_eq!(here.text(text), text);
        }
    }

    #[test]
    fn a_zone_is_named_once_and_for_all() {
        assert_eq!(berlin().zone_name(), "CET, UTC+01:00");
        let utc = Here { zone: TimeZone::UTC, ..berlin() };
        assert_eq!((utc.zone_name().as_str(), utc.zone_id()), ("UTC", "UTC"));
        let when = berlin().when(Moment::from_unix(1_767_323_045, 0));
        assert_eq!((when.date.as_str(), when.short.as_str()), ("2026-01-02 04:04:05", "Fri 2 Jan 04:04"));
        assert_eq!(berlin().when(Moment::from_unix(1_735_700_400, 0)).short, "1 Jan 2025 04:00");
    }

    #[test]
    fn a_part_of_a_sentence_becomes_one() {
        assert_eq!(sentence("there is no run with this id"), "There is no run with this id.");
        assert_eq!((sentence("Is it?").as_str(), sentence("").as_str()), ("Is it?", ""));
    }
}
