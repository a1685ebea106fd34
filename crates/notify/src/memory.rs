//! What was found and what was told, and what follows from both.
//!
//! For each finding, by code and policy, and for each target:
//!
//! - It is told when it begins, and again once a day while it lasts.
//! - Its end is told once, if its beginning was. What was over before anybody was told is told to nobody.
//! - What comes and goes is told at most once an hour, and its end at most once an hour. A message that is put off is
//!   sent later only if it is still true.
//! - A message that was not delivered was not told: the next round tries it again.

use std::collections::BTreeMap;
use std::time::Duration;

use cleanup_core::config::Notify;
use cleanup_core::moment::Moment;
use cleanup_core::report::{Finding, FindingCode, FoundBy, Level};
use serde::{Deserialize, Serialize};

use crate::look::Look;
use crate::message::{Event, Message};

/// The version of the JSON.
const VERSION: u32 = 1;

/// Least time between two messages of one kind about one finding.
const HOUR: Duration = Duration::from_hours(1);

/// After this time a finding that lasts is told again.
const DAY: Duration = Duration::from_hours(24);

/// After this time without a look at it, a finding that nobody here can look for any more is forgotten.
const MONTH: Duration = Duration::from_hours(30 * 24);

/// Most messages to one target in one round. A disk that is away breaks every policy at once.
const MOST: usize = 20;

/// Who is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The key `webhook`.
    Webhook,
    /// The key `command`.
    Command,
}

impl Target {
    /// The targets of a configuration.
    pub fn of(notify: &Notify) -> Vec<Self> {
        let webhook = notify.webhook.as_ref().map(|_| Self::Webhook);
        webhook.into_iter().chain(notify.command.as_ref().map(|_| Self::Command)).collect()
    }
}

/// What was found and told, by code and policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory(BTreeMap<Key, Entry>);

type Key = (FindingCode, Option<String>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    /// As it was found last.
    finding: Finding,
    /// The run that found it, or the one that did not any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    run_id: Option<String>,
    /// Whether it still is.
    is_there: bool,
    /// When it was found last.
    seen_at: Moment,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    told: BTreeMap<Target, Told>,
}

/// What one target was told of one finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    last: Event,
    finding_at: Moment,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recovered_at: Option<Moment>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    entries: Vec<Entry>,
}

/// What the configuration says of a policy. Two configurations may share a folder, and with it this memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// It runs.
    On,
    /// It is switched off: nothing is expected of it.
    Off,
    /// There is none of this name: it was removed, or is another configuration's.
    Not,
}

/// Something that one target is to be told now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    key: Key,
    target: Target,
    event: Event,
}

impl Memory {
    /// Reads what [`Memory::to_json`] wrote. What cannot be read is forgotten: then what lasts is told once more.
    pub fn from_json(text: &[u8]) -> Self {
        let stored = serde_json::from_slice(text).ok().filter(|stored: &Stored| stored.version == VERSION);
        let entries = stored.map(|stored| stored.entries).unwrap_or_default();
        Self(entries.into_iter().map(|entry| (key(&entry.finding), entry)).collect())
    }

    /// The bytes to keep.
    pub fn to_json(&self) -> Vec<u8> {
        let stored = Stored { version: VERSION, entries: self.0.values().cloned().collect() };
        // A struct of texts and numbers: this cannot fail.
        serde_json::to_vec(&stored).unwrap_or_default()
    }

    /// Takes in what was seen. What was found of a policy that is switched off is forgotten; of one that the configuration
    /// does not have, it is left alone for a month.
    pub fn take_in(&mut self, look: Look, notify: &Notify, known: &dyn Fn(&str) -> Known, now: Moment) {
        for step in look.into_steps() {
            for ((code, policy), entry) in &mut self.0 {
                if entry.is_there && step.ends(*code, policy.as_deref()) {
                    entry.is_there = false;
                    entry.run_id = step.run_id().map(str::to_owned);
                }
            }
            for finding in step.found().iter().filter(|finding| is_for_somebody(finding.code)) {
                let run_id = step.run_id().map(str::to_owned);
                let told = self.0.remove(&key(finding)).map(|entry| entry.told).unwrap_or_default();
                let entry = Entry { finding: finding.clone(), run_id, is_there: true, seen_at: now, told };
                self.0.insert(key(finding), entry);
            }
        }
        let targets = Target::of(notify);
        self.0.retain(|(code, policy), entry| {
            let is_old = is_over(entry.seen_at, MONTH, now);
            match policy.as_deref().map_or(Known::On, known) {
                Known::Off => return false,
                Known::Not => return !is_old,
                Known::On if entry.is_there => return true,
                Known::On => {}
            }
            if !(notify.recovered && notify.wants(*code)) {
                let ours = entry.told.iter_mut().filter(|(target, _)| targets.contains(target));
                ours.for_each(|(_, told)| told.last = Event::Recovered);
            }
            let is_settled = |told: &Told| {
                told.last == Event::Recovered
                    && is_over(told.finding_at, HOUR, now)
                    && told.recovered_at.is_none_or(|at| is_over(at, HOUR, now))
            };
            !is_old && !entry.told.values().all(is_settled)
        });
    }

    /// What a target is to be told now, the worst first, and how many messages wait behind these.
    pub fn pending(
        &self,
        target: Target,
        notify: &Notify,
        known: &dyn Fn(&str) -> Known,
        now: Moment,
    ) -> (Vec<Pending>, usize) {
        let due = |(key, entry): (&Key, &Entry)| {
            let event = entry.due(target, now).filter(|_| notify.wants(key.0) && is_ours(key, known))?;
            Some((event, entry.finding.level, Pending { key: key.clone(), target, event }))
        };
        let mut pending: Vec<_> = self.0.iter().filter_map(due).collect();
        pending.sort_by_key(|(event, level, _)| (*event == Event::Recovered, std::cmp::Reverse(*level)));
        let waiting = pending.len().saturating_sub(MOST);
        (pending.into_iter().take(MOST).map(|(_, _, pending)| pending).collect(), waiting)
    }

    /// The message of something pending.
    pub fn message(&self, pending: &Pending, host: &str) -> Option<Message> {
        let entry = self.0.get(&pending.key)?;
        Some(Message::of(pending.event, host, &entry.finding, entry.run_id.as_deref()))
    }

    /// Something pending was told.
    pub fn told(&mut self, Pending { key, target, event }: &Pending, now: Moment) {
        let Some(entry) = self.0.get_mut(key) else { return };
        let told = entry.told.entry(*target).or_insert(Told { last: *event, finding_at: now, recovered_at: None });
        told.last = *event;
        match event {
            Event::Recovered => told.recovered_at = Some(now),
            Event::Finding | Event::Test => told.finding_at = now,
        }
    }

    /// Whether a run found something that does not work until somebody has done something, and it is not over.
    pub fn has_error(&self, known: &dyn Fn(&str) -> Known) -> bool {
        let is_error = |finding: &Finding| finding.level == Level::Error && finding.code.found_by() != FoundBy::Service;
        self.0.iter().any(|(key, entry)| entry.is_there && is_error(&entry.finding) && is_ours(key, known))
    }
}

impl Entry {
    fn due(&self, target: Target, now: Moment) -> Option<Event> {
        match (self.is_there, self.told.get(&target)) {
            (true, None) => Some(Event::Finding),
            (true, Some(told)) => {
                let pause = if told.last == Event::Recovered { HOUR } else { DAY };
                is_over(told.finding_at, pause, now).then_some(Event::Finding)
            }
            (false, Some(Told { last: Event::Finding, recovered_at, .. })) => {
                recovered_at.is_none_or(|at| is_over(at, HOUR, now)).then_some(Event::Recovered)
            }
            (false, _) => None,
        }
    }
}

fn key(finding: &Finding) -> Key {
    (finding.code, finding.policy.clone())
}

fn is_ours((_, policy): &Key, known: &dyn Fn(&str) -> Known) -> bool {
    policy.as_deref().map_or(Known::On, known) == Known::On
}

/// Whether anybody can be told of it at all.
fn is_for_somebody(code: FindingCode) -> bool {
    !matches!(code, FindingCode::Notify | FindingCode::Starting | FindingCode::Stopping)
}

/// Whether so much time has passed. A moment in the future is one of a clock that was wrong: nobody waits for it.
fn is_over(at: Moment, pause: Duration, now: Moment) -> bool {
    match now.since(at) {
        Some(passed) => passed >= pause,
        None => at.since(now).is_some_and(|ahead| ahead >= pause),
    }
}

#[cfg(test)]
mod tests {
    use cleanup_core::report::{PolicyKind, PolicyReport, Report, Tally, Trigger};

    use super::*;

    fn at(minutes: u64) -> Moment {
        Moment::from_unix(1_700_000_000, 0).plus(Duration::from_secs(60 * minutes))
    }

    fn finding(code: FindingCode, policy: &str) -> Finding {
        let policy = Some(policy.to_owned());
        Finding { code, level: code.level(), policy, since: at(0), text: "it is".to_owned(), remedy: None }
    }

    /// A sweep of `a` that found this.
    fn run(codes: &[FindingCode]) -> Look {
        let policies = vec![PolicyReport::finished("a", PolicyKind::Files, Tally::default())];
        let report = Report::new("01A".to_owned(), Trigger::Manual, false, at(0), at(0), policies);
        let findings = codes.iter().map(|code| finding(*code, "a")).collect();
        let mut look = Look::default();
        look.ran(&Report { findings, ..report });
        look
    }

    fn config() -> Notify {
        Notify { command: Some(vec!["true".to_owned()]), recovered: true, ..Notify::default() }
    }

    struct Play {
        memory: Memory,
        notify: Notify,
    }

    impl Play {
        fn new() -> Self {
            Self { memory: Memory::default(), notify: config() }
        }

        /// What is told of a run at this minute, when everything is delivered, or nothing.
        fn told(&mut self, minute: u64, look: Look, is_delivered: bool) -> Vec<(Event, FindingCode)> {
            let Self { memory, notify } = self;
            // Through the file and back, as from one run to the next.
            *memory = Memory::from_json(&memory.to_json());
            memory.take_in(look, notify, &all, at(minute));
            let (pending, _) = memory.pending(Target::Command, notify, &all, at(minute));
            if is_delivered {
                for one in &pending {
                    memory.told(one, at(minute));
                }
            }
            pending.into_iter().map(|one| (one.event, one.key.0)).collect()
        }
    }

    fn all(_: &str) -> Known {
        Known::On
    }

    const HELD: FindingCode = FindingCode::Held;
    const BEGUN: (Event, FindingCode) = (Event::Finding, HELD);
    const OVER: (Event, FindingCode) = (Event::Recovered, HELD);

    #[test]
    fn a_finding_is_told_when_it_begins_once_a_day_and_when_it_is_over() {
        let mut play = Play::new();
        assert_eq!(play.told(0, run(&[HELD]), true), [BEGUN]);
        for minute in [1, 30, 61, 600, 1439] {
            assert_eq!(play.told(minute, run(&[HELD]), true), [], "{minute}");
        }
        assert_eq!(play.told(1440, run(&[HELD]), true), [BEGUN]);
        assert_eq!(play.told(1441, run(&[HELD]), true), []);
        assert_eq!(play.told(1442, run(&[]), true), [OVER]);
        assert_eq!(play.told(1443, run(&[]), true), []);
        assert_eq!(play.told(1600, run(&[]), true), []);
        assert_eq!(play.memory, Memory::default(), "nothing is left of it");
    }

    #[test]
    fn what_comes_and_goes_is_told_once_an_hour_and_only_what_is_still_true() {
        let mut play = Play::new();
        let mut told = Vec::new();
        for minute in 0..240 {
            let look = if minute % 10 < 5 { run(&[HELD]) } else { run(&[]) };
            told.extend(play.told(minute, look, true).into_iter().map(|(event, _)| (minute, event)));
        }
        let expected = [0, 60, 120, 180].map(|begin| [(begin, Event::Finding), (begin + 5, Event::Recovered)]);
        assert_eq!(told, expected.as_flattened());
    }

    #[test]
    fn what_was_not_delivered_is_told_later_and_what_nobody_heard_of_is_not_over() {
        let mut play = Play::new();
        assert_eq!(play.told(0, run(&[HELD]), false), [BEGUN]);
        assert_eq!(play.told(1, Look::default(), false), [BEGUN], "without another run");
        assert_eq!(play.told(2, run(&[]), true), []);
        assert_eq!(play.memory, Memory::default());
        assert_eq!(play.told(3, run(&[HELD]), true), [BEGUN]);
        assert_eq!(play.told(4, run(&[]), false), [OVER]);
        assert_eq!(play.told(5, run(&[]), true), [OVER]);
        assert_eq!(play.told(6, run(&[]), true), []);
    }

    #[test]
    fn each_target_has_a_memory_of_its_own() {
        let mut play = Play::new();
        play.notify.webhook = Some(cleanup_core::config::Endpoint::File("/url".into()));
        assert_eq!(play.told(0, run(&[HELD]), true), [BEGUN]);
        assert_eq!(play.told(1, run(&[HELD]), true), []);
        let (webhook, _) = play.memory.pending(Target::Webhook, &play.notify, &all, at(1));
        assert_eq!(webhook.len(), 1, "it was down");
    }

    #[test]
    fn only_the_codes_that_are_asked_for_are_told() {
        let mut play = Play::new();
        play.notify.on = Some(vec![FindingCode::Errors]);
        assert_eq!(play.told(0, run(&[HELD, FindingCode::Errors]), true), [(Event::Finding, FindingCode::Errors)]);
        assert!(play.memory.has_error(&all), "a ping still knows of it");
        play.notify.recovered = false;
        assert_eq!(play.told(1, run(&[]), true), []);
        assert!(!play.memory.has_error(&all));
        assert_eq!(play.told(2, run(&[FindingCode::Errors]), true), [], "within an hour");
        assert_eq!(play.told(61, run(&[FindingCode::Errors]), true), [(Event::Finding, FindingCode::Errors)]);
        let mut play = Play::new();
        assert_eq!(play.told(0, run(&[FindingCode::Busy, FindingCode::Notify]), true), [], "by default");
    }

    #[test]
    fn a_policy_that_is_gone_is_forgotten_without_a_word() {
        let mut play = Play::new();
        assert_eq!(play.told(0, run(&[HELD]), true), [BEGUN]);
        let off = |name: &str| if name == "a" { Known::Off } else { Known::On };
        play.memory.take_in(Look::default(), &play.notify, &off, at(1));
        assert_eq!(play.memory, Memory::default());
    }

    #[test]
    fn what_another_configuration_found_is_not_ours_to_tell_or_forget() {
        let mut play = Play::new();
        assert_eq!(play.told(0, run(&[HELD]), true), [BEGUN]);
        let other = |_: &str| Known::Not;
        for minute in [1, 1441] {
            play.memory.take_in(Look::default(), &config(), &other, at(minute));
            assert_eq!(play.memory.pending(Target::Command, &config(), &other, at(minute)).0, []);
            assert!(!play.memory.has_error(&other) && play.memory.has_error(&all));
        }
        assert_eq!(play.told(1442, run(&[HELD]), true), [BEGUN], "its own configuration goes on");
        play.memory.take_in(Look::default(), &config(), &other, at(1442 + 30 * 1440));
        assert_eq!(play.memory, Memory::default(), "nobody has looked for a month");
    }

    #[test]
    fn a_clock_that_was_far_ahead_silences_nobody() {
        let mut play = Play::new();
        assert_eq!(play.told(1_000_000, run(&[HELD]), true), [BEGUN]);
        assert_eq!(play.told(0, run(&[HELD]), true), [BEGUN]);
        assert_eq!(play.told(1, run(&[HELD]), true), []);
    }

    #[test]
    fn the_worst_is_told_first_and_a_flood_in_parts() {
        let mut memory = Memory::default();
        let mut look = Look::default();
        let of = |index: u32| {
            let code = if index.is_multiple_of(2) { FindingCode::Errors } else { HELD };
            finding(code, &format!("policy-{index}"))
        };
        look.service_finds((0..50).map(of).collect());
        memory.take_in(look, &config(), &all, at(0));
        let (first, waiting) = memory.pending(Target::Command, &config(), &all, at(0));
        assert_eq!((first.len(), waiting), (MOST, 30));
        assert!(first.iter().all(|one| one.key.0 == HELD), "errors before warnings");
        for one in &first {
            memory.told(one, at(0));
        }
        assert_eq!(memory.pending(Target::Command, &config(), &all, at(1)).0.len(), MOST);
    }

    #[test]
    fn what_cannot_be_read_is_forgotten() {
        for text in ["", "{}", "[]", "{\"version\":2,\"entries\":[]}", "\0", "{\"version\":1,\"entries\":[{}]}"] {
            assert_eq!(Memory::from_json(text.as_bytes()), Memory::default(), "{text}");
        }
    }

    #[test]
    fn the_silence_of_the_service_ends_only_what_it_finds_itself() {
        let mut play = Play::new();
        let mut look = Look::default();
        look.service_finds(vec![finding(FindingCode::RootMissing, "a"), finding(FindingCode::Watching, "b")]);
        look.ran(&Report::new("01B".to_owned(), Trigger::Manual, false, at(0), at(0), Vec::new()));
        let told = play.told(0, look, true);
        assert_eq!(told.len(), 2);
        assert_eq!(play.told(1, run(&[HELD]), true), [BEGUN, (Event::Recovered, FindingCode::RootMissing)]);
        let mut look = Look::default();
        look.service_finds(Vec::new());
        assert_eq!(play.told(2, look, true), [(Event::Recovered, FindingCode::Watching)], "the hold is a run's");
    }
}
