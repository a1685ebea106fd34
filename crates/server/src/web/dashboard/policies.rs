//! One policy: what it does in words, what is there, what is due, how it last ran. The overview and its own page show it.

use std::fmt::Write as _;
use std::time::Duration;

use cleanup_core::config::{Config, Setting};
use cleanup_core::duration::Human;
use cleanup_core::report::{Finding, Limit, PolicyKind, PolicyStatus};
use cleanup_engine::LastSweep;
use cleanup_engine::track::{Absent, Watching};

use super::charts::spark;
use super::words::{self, Here, Status, When};
use crate::app::generation::Generation;
use crate::app::policies::{Policy, PolicyMode};
use crate::app::readiness::Findings;
use crate::app::service::Service;
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
    /// Whether a brake holds back files, which can be reviewed in a plan.
    pub(crate) is_held: bool,
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
    pub(crate) gauge: Gauge,
}

/// A limit as a bar: what is, and a mark at what is allowed or required. Its ends are not those of the limit, so that a
/// value beyond it can be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gauge {
    pub(crate) is: u64,
    pub(crate) end: u64,
    /// In thousandths of the bar.
    pub(crate) filled: u64,
    pub(crate) mark: u64,
}

impl Gauge {
    fn new(limit: &Limit) -> Self {
        // A tenth more than the larger of the two, so that the mark is never at the edge.
        let most = limit.is.max(limit.wanted).max(1);
        let end = most.saturating_add(most / 10).max(most.saturating_add(1));
        let share = |value: u64| {
            let thousandths = u128::from(value) * 1000 / u128::from(end);
            u64::try_from(thousandths).unwrap_or(1000).min(1000)
        };
        Self { is: limit.is, end, filled: share(limit.is), mark: share(limit.wanted) }
    }
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FindingLine {
    pub(crate) status: Status,
    pub(crate) policy: Option<String>,
    pub(crate) message: String,
    pub(crate) since: When,
    /// A command that helps.
    pub(crate) remedy: Option<String>,
}

impl FindingLine {
    /// All findings, those that keep the service from its work first.
    pub(crate) fn all(Findings { reasons, warnings }: &Findings, here: &Here) -> Vec<Self> {
        let line = |status: Status, finding: &Finding| Self {
            status,
            policy: finding.policy.clone(),
            message: words::sentence(&here.text(&finding.text)),
            since: here.when(finding.since),
            remedy: finding.remedy.as_deref().map(words::message),
        };
        let reasons = reasons.iter().map(|finding| line(Status { word: "not ready", class: "bad" }, finding));
        let warnings = warnings.iter().map(|finding| line(Status { word: "warning", class: "warn" }, finding));
        reasons.chain(warnings).collect()
    }
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
    /// What is known of a policy, from memory.
    pub(crate) fn of(service: &Service, live: &Generation, policy: Policy) -> Self {
        let (config, latest) = (live.engine.config(), &service.feed().last_runs);
        Self {
            include: setting(config, &format!("files.{}.include", policy.name)),
            archives: setting(config, &format!("files.{}.archives", policy.name)),
            limits: limits(config, &policy.name),
            look: latest.look(&policy.name),
            before: latest.before(&policy.name),
            due_now: live.tracker.as_ref().and_then(|tracker| tracker.due_now(&policy.name)),
            policy,
        }
    }

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

    pub(crate) fn noun(&self) -> &'static str {
        match self.policy.kind {
            PolicyKind::Files => "file",
            PolicyKind::Sessions => "row",
        }
    }

    /// How old the numbers are, in words.
    fn as_of(&self, here: &Here) -> String {
        match (&self.policy.tracked, &self.look) {
            (Some(_), _) => "now".to_owned(),
            (None, Some(look)) => {
                let by = if look.dry_run { "dry run" } else { "sweep" };
                match here.when(look.at).away {
                    away if away == "now" => format!("as of the {by} just now"),
                    away => format!("as of the {by} {away}"),
                }
            }
            (None, None) => "not scanned yet".to_owned(),
        }
    }

    fn sentence(&self) -> String {
        let Policy { root, table, schedule, tracked, max_age_seconds, .. } = &self.policy;
        let age = max_age_seconds.map(|age| Human(Duration::try_from_secs_f64(age).unwrap_or_default()));
        let mut text = match (root, table, age) {
            (Some(root), _, Some(age)) => {
                format!(
                    "Removes files in {} that match {} once they are older than {age}.",
                    words::message(root),
                    self.include
                )
            }
            (Some(root), _, None) => {
                format!(
                    "Removes the oldest files in {} that match {} when a limit is exceeded.",
                    words::message(root),
                    self.include
                )
            }
            (None, Some(table), Some(age)) => {
                format!(
                    "Removes sessions in the table {} that have been idle for more than {age}.",
                    words::message(table)
                )
            }
            (None, _, _) => String::new(),
        };
        // Writing to a string does not fail.
        if !self.limits.is_empty() {
            let _ = write!(text, " Limits: {}.", self.limits.join(", "));
        }
        if !self.archives.is_empty() {
            let _ = write!(text, " Keeps archives: {}.", self.archives);
        }
        if tracked.is_some() && age.is_some() {
            text += " Each file is removed at its own deadline.";
        }
        match schedule {
            Some(schedule) => {
                let by = if schedule.starts_with("cron") { "by " } else { "" };
                let _ = write!(text, " Runs {by}{schedule}.");
            }
            None if tracked.is_none() => text += " Runs only on request.",
            None => {}
        }
        if self.policy.mode == PolicyMode::Observe {
            text += " It only observes for now: nothing is removed.";
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

    /// Whether its last run was held back.
    fn is_held(&self) -> bool {
        let is_held_now = self.policy.tracked.as_ref().is_some_and(|tracked| tracked.held.is_some());
        is_held_now || (self.policy.running.is_none() && self.status() == Status::HELD)
    }

    fn limits(&self) -> Vec<LimitLine> {
        let outcome = self.policy.last_run.as_ref().and_then(|last| last.outcome.as_ref());
        outcome.map(|outcome| outcome.limits.iter().map(LimitLine::new).collect()).unwrap_or_default()
    }

    fn trouble(&self, here: &Here) -> Vec<String> {
        let mut trouble = Vec::new();
        if let Some(tracked) = &self.policy.tracked {
            match &tracked.watching {
                Watching::Events | Watching::Missing { absent: Absent::Expected, .. } => {}
                Watching::Rescans { why } | Watching::Missing { why, .. } => {
                    trouble.push(words::sentence(&here.text(why)));
                }
            }
            trouble.extend(tracked.held.as_deref().map(|why| words::sentence(&here.text(why))));
        }
        if let Some(outcome) = self.policy.last_run.as_ref().and_then(|last| last.outcome.as_ref())
            && outcome.status != PolicyStatus::Ok
        {
            trouble.extend(outcome.message.as_deref().map(|why| words::sentence(&here.text(why))));
            if outcome.errors_total > 0 {
                trouble.push(format!("{} could not be read or removed.", words::number(outcome.errors_total, "item")));
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
            None => Fact::of(place, "unknown".to_owned(), as_of.clone()),
        }];
        facts.push(match self.due() {
            Some((items, bytes)) => Fact::of("Due", words::number(items, noun), with_bytes(bytes, as_of)),
            None => Fact::of("Due", "unknown".to_owned(), "a dry run finds out".to_owned()),
        });
        if let Some(tracked) = &self.policy.tracked {
            let label = "Next deadline";
            facts.push(match tracked.next_deadline {
                Some(at) => {
                    let when = here.when(at);
                    Fact { label, value: String::new(), note: when.short.clone(), when: Some(when) }
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
            trouble: self.trouble(here),
            facts,
            limits,
            spark: spark(&format!("Kept by {}", self.policy.name), &values),
            is_tracked: self.policy.tracked.is_some(),
            running: self.policy.running.clone(),
            is_held: self.is_held() && self.policy.kind == PolicyKind::Files,
        }
    }
}

impl LimitLine {
    pub(crate) fn new(limit: &Limit) -> Self {
        let show = |value| if limit.is_bytes() { words::bytes(value) } else { words::count(value) };
        let (is, wanted) = (show(limit.is), show(limit.wanted));
        let mut sentence = match (limit.is_bytes(), limit.asks_for_free()) {
            (true, true) => format!("{is} free, at least {wanted} required"),
            (false, true) => format!("{is} inodes free, at least {wanted} required"),
            (true, false) => format!("{is} on disk, at most {wanted} allowed"),
            (false, false) => format!("{} on disk, at most {wanted} allowed", words::number(limit.is, "file")),
        };
        // Writing to a string does not fail.
        if let Some(after) = limit.after.filter(|after| *after != limit.is) {
            let _ = write!(sentence, "; a sweep would bring it to {}", show(after));
        }
        if !limit.pinned.is_empty() {
            let _ = write!(sentence, "; in the way: {}", words::message(&limit.reasons()));
        }
        let status = if limit.met { Status { word: "met", class: "good" } } else { Status::LIMIT };
        Self { name: limit.name.clone(), status, sentence, gauge: Gauge::new(limit) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_gauge_shows_values_on_both_sides_of_its_mark_whatever_they_are() {
        let gauge = |is, wanted| {
            let limit =
                Limit { name: "max_files".to_owned(), met: true, wanted, is, after: None, pinned: BTreeMap::new() };
            Gauge::new(&limit)
        };
        for (is, wanted) in [(0, 0), (1, 2000), (2000, 2000), (5000, 2000), (u64::MAX, 1), (0, u64::MAX)] {
            let Gauge { filled, mark, end, .. } = gauge(is, wanted);
            assert!(filled <= 1000 && mark <= 1000 && end >= is, "{is} of {wanted}: {filled} {mark} {end}");
            assert_eq!(filled.cmp(&mark), is.cmp(&wanted), "{is} of {wanted}");
        }
    }
}
