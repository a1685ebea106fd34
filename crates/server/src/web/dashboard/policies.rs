//! One policy on the overview: what it does in words, what is there, what is due, how it last ran.

use std::fmt::Write as _;
use std::time::Duration;

use cleanup_core::config::{Config, Setting};
use cleanup_core::duration::Human;
use cleanup_core::report::{Limit, PolicyKind, PolicyStatus};
use cleanup_engine::LastSweep;
use cleanup_engine::track::{Absent, Watching};

use super::charts::spark;
use super::words::{self, Here, Status, When};
use crate::app::policies::{Policy, PolicyMode};
use crate::app::trend::{Measure, Trend};
use crate::telemetry::last_runs::Look;

/// Items, and their bytes where those are known.
pub(crate) type Amount = (u64, Option<u64>);

/// Everything that is known of a policy.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) policy: Policy,
    /// The patterns, as the configuration has them.
    pub(crate) include: String,
    pub(crate) archives: String,
    /// How much may lie there, or has to be free, as the configuration has it.
    pub(crate) limits: Vec<String>,
    pub(crate) look: Option<Look>,
    /// The last sweep before the service started.
    pub(crate) before: Option<LastSweep>,
    /// Files that are due now, and their bytes, where files are tracked.
    pub(crate) due_now: Option<(u64, u64)>,
}

/// A policy as the overview shows it.
#[derive(Clone, Debug)]
pub(crate) struct Card {
    pub(crate) name: String,
    pub(crate) status: Status,
    /// What else is to be seen at once: watching only, switched off, held.
    pub(crate) marks: Vec<Status>,
    pub(crate) sentence: String,
    /// Why it does not do what it should.
    pub(crate) trouble: Vec<String>,
    pub(crate) facts: Vec<Fact>,
    pub(crate) limits: Vec<LimitLine>,
    pub(crate) spark: Option<String>,
    pub(crate) is_tracked: bool,
    pub(crate) running: Option<String>,
}

/// One number with what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fact {
    pub(crate) label: &'static str,
    pub(crate) value: String,
    /// Instead of a value.
    pub(crate) when: Option<When>,
    pub(crate) note: String,
}

/// One limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LimitLine {
    pub(crate) name: String,
    pub(crate) status: Status,
    pub(crate) sentence: String,
}

impl Fact {
    fn of(label: &'static str, value: String, note: String) -> Self {
        Self { label, value, when: None, note }
    }
}

/// A value of the configuration as it stands there, without the brackets of a list.
pub(crate) fn setting(config: &Config, key: &str) -> String {
    let found = config.settings.iter().find(|setting| setting.key == key);
    let text = found.map(|setting| setting.value.trim_matches(['[', ']']).trim().to_owned());
    words::message(&text.unwrap_or_default())
}

/// The limits of a policy as they stand in the configuration, each with its key.
pub(crate) fn limits(config: &Config, policy: &str) -> Vec<String> {
    let prefix = format!("files.{policy}.");
    let limit = |setting: &Setting| {
        let key = setting.key.strip_prefix(&prefix)?;
        let is_limit = ["max_files", "max_total_size", "min_free"].iter().any(|limit| key.starts_with(limit));
        is_limit.then(|| words::message(&format!("{key} {}", setting.value.trim_matches('"'))))
    };
    config.settings.iter().filter_map(limit).collect()
}

impl Known {
    /// Files or rows that are there, and their bytes where they are known.
    pub(crate) fn there(&self) -> Option<Amount> {
        match (&self.policy.tracked, &self.look) {
            (Some(tracked), _) => Some((tracked.total_files, Some(tracked.total_bytes))),
            (None, Some(look)) => Some((look.items?, look.bytes)),
            (None, None) => None,
        }
    }

    /// Those that are due, and their bytes where they are known.
    pub(crate) fn due(&self) -> Option<Amount> {
        match (self.due_now, &self.look) {
            (Some((files, bytes)), _) => Some((files, Some(bytes))),
            (None, Some(look)) => Some((look.due, look.due_bytes)),
            (None, None) => None,
        }
    }

    fn noun(&self) -> &'static str {
        match self.policy.kind {
            PolicyKind::Files => "file",
            PolicyKind::Sessions => "row",
        }
    }

    /// How old the numbers are, in words.
    fn as_of(&self, here: &Here) -> String {
        match (&self.policy.tracked, &self.look) {
            (Some(_), _) => "at this moment".to_owned(),
            (None, Some(look)) => {
                let by = if look.dry_run { "dry run" } else { "sweep" };
                format!("as of the {by} {}", here.when(look.at).away)
            }
            (None, None) => "nobody has looked yet".to_owned(),
        }
    }

    fn sentence(&self) -> String {
        let Policy { root, table, schedule, tracked, max_age_seconds, .. } = &self.policy;
        let age = max_age_seconds.map(|age| Human(Duration::try_from_secs_f64(age).unwrap_or_default()));
        let mut text = match (root, table, age) {
            (Some(root), _, Some(age)) => {
                format!("Files in {} named {} go once they are older than {age}.", words::message(root), self.include)
            }
            (Some(root), _, None) => {
                format!(
                    "Files in {} named {} go, the oldest first, when a limit asks for it.",
                    words::message(root),
                    self.include
                )
            }
            (None, Some(table), Some(age)) => {
                format!("Sessions in the table {} go once they are idle for more than {age}.", words::message(table))
            }
            (None, _, _) => String::new(),
        };
        // Writing to a string does not fail.
        if !self.limits.is_empty() {
            let _ = write!(text, " Limits: {}.", self.limits.join(", "));
        }
        if !self.archives.is_empty() {
            let _ = write!(text, " Archives stay: {}.", self.archives);
        }
        if tracked.is_some() && age.is_some() {
            text += " Each goes at its own deadline.";
        }
        match schedule {
            Some(schedule) => {
                let by = if schedule.starts_with("cron") { "by " } else { "" };
                let _ = write!(text, " Swept {by}{schedule}.");
            }
            None if tracked.is_none() => text += " Swept only when asked.",
            None => {}
        }
        if self.policy.mode == PolicyMode::Observe {
            text += " For now it only observes: nothing is removed.";
        }
        text
    }

    fn status(&self) -> Status {
        if self.policy.running.is_some() {
            return Status::RUNNING;
        }
        let outcome = self.policy.last_run.as_ref().and_then(|last| last.outcome.as_ref());
        match (outcome, &self.before) {
            (Some(outcome), _) => outcome.status.into(),
            (None, Some(before)) => before.status.into(),
            (None, None) => Status::NEVER,
        }
    }

    fn limits(&self) -> Vec<LimitLine> {
        let outcome = self.policy.last_run.as_ref().and_then(|last| last.outcome.as_ref());
        outcome.map(|outcome| outcome.limits.iter().map(LimitLine::new).collect()).unwrap_or_default()
    }

    fn trouble(&self) -> Vec<String> {
        let mut trouble = Vec::new();
        if let Some(tracked) = &self.policy.tracked {
            match &tracked.watching {
                Watching::Events | Watching::Missing { absent: Absent::Expected, .. } => {}
                Watching::Rescans { why } | Watching::Missing { why, .. } => trouble.push(words::message(why)),
            }
            trouble.extend(tracked.held.as_deref().map(words::message));
        }
        if let Some(outcome) = self.policy.last_run.as_ref().and_then(|last| last.outcome.as_ref())
            && outcome.status != PolicyStatus::Ok
        {
            trouble.extend(outcome.message.as_deref().map(words::message));
            if outcome.errors_total > 0 {
                trouble.push(format!(
                    "{} could not be looked at or removed.",
                    words::number(outcome.errors_total, "item")
                ));
            }
        }
        trouble.dedup();
        trouble
    }

    fn last(&self, here: &Here) -> Fact {
        let went = |removed, freed, quarantined| match (removed, self.policy.kind) {
            (0, _) => "nothing removed".to_owned(),
            (removed, PolicyKind::Files) => words::gone(removed, "file", freed, quarantined),
            (removed, PolicyKind::Sessions) => format!("{} removed", words::number(removed, "row")),
        };
        let label = "Last run";
        let last = self.policy.last_run.as_ref();
        if let Some(outcome) = last.and_then(|last| last.outcome.as_ref()) {
            let counts = &outcome.counts;
            let note = went(counts.removed + counts.quarantined, counts.bytes_freed, counts.quarantined_bytes);
            return Fact { label, value: String::new(), when: Some(here.when(outcome.finished_at)), note };
        }
        if let Some(before) = &self.before {
            let note = went(before.removed, before.bytes_freed, 0);
            return Fact { label, value: String::new(), when: Some(here.when(before.finished_at)), note };
        }
        match last.and_then(|last| last.started_at) {
            Some(at) => Fact { label, value: String::new(), when: Some(here.when(at)), note: String::new() },
            None => Fact::of(label, "never".to_owned(), String::new()),
        }
    }

    /// The card.
    pub(crate) fn card(&self, trend: &Trend, here: &Here) -> Card {
        let with_bytes = |bytes: Option<u64>, note: String| match bytes {
            Some(bytes) => format!("{}, {note}", words::bytes(bytes)),
            None => note,
        };
        let noun = self.noun();
        let place = if self.policy.kind == PolicyKind::Files { "On disk" } else { "In the table" };
        let as_of = self.as_of(here);
        let mut facts = vec![match self.there() {
            Some((items, bytes)) => Fact::of(place, words::number(items, noun), with_bytes(bytes, as_of.clone())),
            // A sweep of rows reads those that are due, by an index where there is one: it has not counted all.
            None if self.look.is_some() => {
                Fact::of(place, "not counted".to_owned(), "a dry run counts them".to_owned())
            }
            None => Fact::of(place, "not known".to_owned(), as_of.clone()),
        }];
        facts.push(match self.due() {
            Some((items, bytes)) => Fact::of("Due", words::number(items, noun), with_bytes(bytes, as_of)),
            None => Fact::of("Due", "not known".to_owned(), "a dry run tells".to_owned()),
        });
        if let Some(tracked) = &self.policy.tracked {
            let label = "Next deadline";
            facts.push(match tracked.next_deadline {
                Some(at) => {
                    let when = here.when(at);
                    Fact { label, value: String::new(), note: when.date.clone(), when: Some(when) }
                }
                None => Fact::of(label, "none".to_owned(), String::new()),
            });
        }
        facts.push(self.last(here));
        let limits = self.limits();
        let mut marks = Vec::new();
        if !self.policy.enabled {
            marks.push(Status::OFF);
        }
        if self.policy.mode == PolicyMode::Observe {
            marks.push(Status { word: "observes only", class: "idle" });
        }
        if self.policy.tracked.as_ref().is_some_and(|tracked| tracked.held.is_some()) {
            marks.push(Status::HELD);
        }
        if limits.iter().any(|limit| limit.status == Status::LIMIT) {
            marks.push(Status::LIMIT);
        }
        let values = trend.kept(&self.policy.name, Measure::Bytes);
        let values = if values.iter().flatten().next().is_some() {
            values
        } else {
            trend.kept(&self.policy.name, Measure::Files)
        };
        Card {
            name: self.policy.name.clone(),
            status: self.status(),
            marks,
            sentence: self.sentence(),
            trouble: self.trouble(),
            facts,
            limits,
            spark: spark(&format!("What {} kept", self.policy.name), &values),
            is_tracked: self.policy.tracked.is_some(),
            running: self.policy.running.clone(),
        }
    }
}

impl LimitLine {
    pub(crate) fn new(limit: &Limit) -> Self {
        let show = |value| if limit.is_bytes() { words::bytes(value) } else { words::count(value) };
        let (is, wanted) = (show(limit.is), show(limit.wanted));
        let mut sentence = match (limit.is_bytes(), limit.asks_for_free()) {
            (true, true) => format!("{is} are free, at least {wanted} are wanted"),
            (false, true) => format!("{is} inodes are free, at least {wanted} are wanted"),
            (true, false) => format!("{is} lie here, at most {wanted} may"),
            (false, false) => format!("{} here, at most {wanted} may be", words::number(limit.is, "file")),
        };
        // Writing to a string does not fail.
        if let Some(after) = limit.after.filter(|after| *after != limit.is) {
            let _ = write!(sentence, "; a sweep would make it {}", show(after));
        }
        if !limit.pinned.is_empty() {
            let _ = write!(sentence, "; in the way: {}", words::message(&limit.reasons()));
        }
        let status = if limit.met { Status { word: "met", class: "good" } } else { Status::LIMIT };
        Self { name: limit.name.clone(), status, sentence }
    }
}
