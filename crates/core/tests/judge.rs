//! Judging: tables of policies and files with the text that people read, and properties that hold for all of them.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use cleanup_core::candidate::{Basis, Candidate, Class, Name, Stamp};
use cleanup_core::config::{Config, Source};
use cleanup_core::duration;
use cleanup_core::judge::{Run, examine, judge};
use cleanup_core::moment::Moment;
use cleanup_core::policy::{Archives, FilePolicy, MaxAge, Policy};
use cleanup_core::rank::{Cutoff, Cutoffs, Newest};
use cleanup_core::registration::Registration;
use cleanup_core::report::{KeptCounts, PolicyKind, PolicyReport, Tally};
use cleanup_core::store::{Batch, FileStore, Outcome, Removal, Seen, Visitor};
use cleanup_core::sweep::{Mode, sweep};
use cleanup_core::verdict::{LimitKey, Remove, Verdict};
use proptest::prelude::*;

const HOUR: Duration = Duration::from_hours(1);
const NOW: Moment = Moment::from_unix(1_767_225_600, 0);
const UUID: &str = "3f2504e0-4f89-11d3-9a0c-0305e82c3301";

fn policy(toml: &str) -> FilePolicy {
    let source = Source { name: "cleanup.toml", text: toml, folder: Path::new("/srv/app") };
    Config::load(&source, &|_| None).unwrap().files.remove(0)
}

/// One line a file: its name and what is said of it. An age of `+1h` lies ahead.
fn table(toml: &str, files: &[(&str, &str)]) -> String {
    let policy = policy(toml);
    let mut text = String::new();
    for (name, age) in files {
        let at = match age.strip_prefix('+') {
            Some(ahead) => NOW.plus(duration::parse(ahead).unwrap()),
            None => NOW.minus(duration::parse(age).unwrap()),
        };
        let name = Name { folder: b"", last: name.as_bytes() };
        let said = match policy.patterns.class(name) {
            None => "no candidate".to_owned(),
            Some(class) => {
                let stamp = Stamp { at, basis: Basis::Modified };
                judge(
                    &policy.rule,
                    &Run::at(NOW),
                    &Candidate { name, class, bytes: 0, stamp, arrival: stamp, identity: None },
                )
                .to_string()
            }
        };
        writeln!(text, "{age:>6}  {name}: {said}").unwrap();
    }
    text
}

#[test]
fn the_visualisations_of_the_first_application() {
    let toml = r#"
        [files.visualization-output]
        root     = "storage/output"
        include  = ["formal_*-*-*-*-*.svg", "intuitive_*-*-*-*-*.svg"]
        archives = ["formal_*_*-*-*-*-*.svg", "intuitive_*_*-*-*-*-*.svg"]
        max_age  = "24h"
    "#;
    let (formal, intuitive) = (format!("formal_{UUID}.svg"), format!("intuitive_{UUID}.svg"));
    let archive = format!("formal_20240101_{UUID}.svg");
    let files = [
        (formal.as_str(), "25h"),
        (formal.as_str(), "24h"),
        (formal.as_str(), "23h59m59s"),
        (formal.as_str(), "+1h"),
        (intuitive.as_str(), "400d"),
        (archive.as_str(), "400d"),
        (archive.as_str(), "1h"),
        ("formal.svg", "400d"),
        ("formal_1-2-3-4-5.png", "400d"),
    ];
    insta::assert_snapshot!("visualisations", table(toml, &files));

    let included = toml.replace("max_age", "include_archives = true\nmax_age");
    insta::assert_snapshot!(
        "archives_included",
        table(&included, &[(&archive, "400d"), (&archive, "24h"), (&archive, "+1s")])
    );
}

#[test]
fn what_settles_is_younger_than_min_age() {
    let toml = r#"
        [files.exports]
        root    = "exports"
        include = ["*.step"]
        exclude = ["keep-*"]
        max_age = "1h"
        min_age = "10m"
    "#;
    let files = [("a.step", "9m59s"), ("a.step", "10m"), ("a.step", "1h"), ("a.step", "1h1s"), ("keep-a.step", "9d")];
    insta::assert_snapshot!("settling", table(toml, &files));
}

#[test]
fn age_is_exceeded_strictly_to_the_nanosecond() {
    let policy = policy("[files.x]\nroot = \"x\"\ninclude = [\"*\"]\nmax_age = \"1h\"");
    let due = |age: Duration| {
        let stamp = Stamp { at: NOW.minus(age), basis: Basis::Modified };
        let candidate = Candidate {
            name: Name { folder: b"", last: b"x" },
            class: Class::Ordinary,
            bytes: 0,
            stamp,
            arrival: stamp,
            identity: None,
        };
        judge(&policy.rule, &Run::at(NOW), &candidate).is_due()
    };
    let hour = Duration::from_hours(1);
    assert!(!due(hour));
    assert!(due(hour + Duration::from_nanos(1)));
}

/// What one thing in [`Memory`] is.
#[derive(Clone, Debug)]
struct Thing {
    class: Class,
    bytes: u64,
    at: i64,
    /// What will happen when it is removed.
    fate: Outcome,
}

/// A store in memory, with every fate that a removal can meet with.
struct Memory(Mutex<BTreeMap<u32, Thing>>);

struct Held<'a> {
    memory: &'a Memory,
    things: Vec<(u32, Thing, String)>,
}

impl Batch for Held<'_> {
    fn len(&self) -> usize {
        self.things.len()
    }

    fn candidate(&self, index: usize) -> Candidate<'_> {
        let (_, thing, name) = &self.things[index];
        let stamp = Stamp { at: Moment::from_unix(thing.at, 0), basis: Basis::Modified };
        Candidate {
            name: Name { folder: b"", last: name.as_bytes() },
            class: thing.class,
            bytes: thing.bytes,
            stamp,
            arrival: stamp,
            identity: None,
        }
    }

    fn remove(&mut self, index: usize, _: &Remove) -> Removal {
        let (id, thing, _) = &self.things[index];
        if matches!(thing.fate, Outcome::Removed | Outcome::Quarantined | Outcome::Vanished) {
            self.memory.0.lock().unwrap().remove(id);
        }
        // What is half gone gives back a part of it.
        let freed = match &thing.fate {
            Outcome::Removed => thing.bytes,
            Outcome::Failed(_) => thing.bytes / 2,
            _ => 0,
        };
        Removal { outcome: thing.fate.clone(), freed }
    }

    fn pretend(&mut self, _: usize) {}
}

impl FileStore for Memory {
    fn offer(&self, visitor: &dyn Visitor) {
        let all: Vec<_> =
            self.0.lock().unwrap().iter().map(|(id, thing)| (*id, thing.clone(), id.to_string())).collect();
        for things in all.chunks(7) {
            visitor.seen(Seen { scanned: things.len() as u64, ..Seen::default() });
            let flow = visitor.batch(&mut Held { memory: self, things: things.to_vec() });
            assert_eq!(flow, ControlFlow::Continue(()));
        }
    }
}

fn thing() -> impl Strategy<Value = Thing> {
    let class = prop_oneof![Just(Class::Ordinary), Just(Class::Archive), Just(Class::EmptyDirectory)];
    let fate = prop_oneof![
        6 => Just(Outcome::Removed),
        1 => Just(Outcome::Quarantined),
        1 => Just(Outcome::InUse),
        1 => Just(Outcome::Vanished),
        1 => Just(Outcome::Changed),
        1 => Just(Outcome::Failed("refused".to_owned())),
    ];
    let at = prop_oneof![5 => -10_000_i64..10_000, 1 => any::<i64>()];
    (class, 0_u64..1 << 40, at, fate).prop_map(|(class, bytes, at, fate)| Thing { class, bytes, at, fate })
}

fn rule() -> impl Strategy<Value = Policy> {
    (1_u64..8000, 0_u64..4000, any::<bool>()).prop_map(|(max_age, min_age, include)| Policy {
        name: "rule".to_owned(),
        max_age: MaxAge::new(Duration::from_secs(max_age)),
        min_age: Duration::from_secs(min_age),
        archives: if include { Archives::Judge } else { Archives::Keep },
    })
}

fn swept(things: &[Thing], rule: &Policy, now: i64, mode: Mode) -> (Tally, Vec<u32>) {
    let memory = Memory(Mutex::new((0_u32..).zip(things.iter().cloned()).collect()));
    let tally = sweep(&memory, rule, &Run::at(Moment::from_unix(now, 0)), mode, &());
    (tally, memory.0.into_inner().unwrap().into_keys().collect())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_candidate_is_counted_once(things in prop::collection::vec(thing(), 0..60), rule in rule(), now in any::<i64>()) {
        let files = things.iter().filter(|thing| thing.class != Class::EmptyDirectory).count() as u64;
        let (tally, _) = swept(&things, &rule, now, Mode::Apply);
        let counts = tally.counts;
        let kept = counts.kept;
        prop_assert_eq!(counts.matched, files);
        prop_assert_eq!(counts.due + kept.archive + kept.future + kept.settling + kept.within_limits, files);
        let acted = counts.removed + counts.quarantined + counts.vanished + counts.changed + kept.in_use;
        prop_assert!(acted <= counts.due);
        let gone = counts.removed_bytes + counts.quarantined_bytes;
        prop_assert!(gone <= counts.due_bytes);
        prop_assert_eq!(counts.still_due_bytes(), counts.due_bytes - gone);
        prop_assert_eq!(counts.kept_items().1, counts.matched_bytes - gone);
        let freed = |thing: &Thing| match thing.fate {
            Outcome::Removed => thing.bytes,
            Outcome::Failed(_) => thing.bytes / 2,
            _ => 0,
        };
        prop_assert!(counts.bytes_freed <= things.iter().map(freed).sum(), "what was moved aside is not freed");
        prop_assert!(counts.bytes_freed >= counts.removed_bytes);
    }

    #[test]
    fn a_dry_run_says_what_a_sweep_does(things in prop::collection::vec(thing(), 0..60), rule in rule(), now in -20_000_i64..20_000) {
        let (plan, untouched) = swept(&things, &rule, now, Mode::Plan);
        prop_assert_eq!(untouched.len(), things.len());
        prop_assert_eq!((plan.counts.removed, plan.counts.bytes_freed, plan.errors_total), (0, 0, 0));

        let (sweep, left) = swept(&things, &rule, now, Mode::Apply);
        prop_assert_eq!(sweep.counts.due, plan.counts.due);
        prop_assert_eq!(sweep.counts.dirs_due, plan.counts.dirs_due);
        prop_assert_eq!(KeptCounts { in_use: 0, ..sweep.counts.kept }, plan.counts.kept);
        let gone = sweep.counts.removed + sweep.counts.quarantined + sweep.counts.dirs_removed;
        let vanished = things.len() as u64 - left.len() as u64 - gone;
        prop_assert!(vanished >= sweep.counts.vanished);
    }

    #[test]
    fn order_changes_nothing(things in prop::collection::vec(thing(), 0..40), rule in rule(), now in -20_000_i64..20_000) {
        let (straight, _) = swept(&things, &rule, now, Mode::Apply);
        let reversed: Vec<Thing> = things.into_iter().rev().collect();
        let (backwards, _) = swept(&reversed, &rule, now, Mode::Apply);
        prop_assert_eq!(straight.counts, backwards.counts);
        prop_assert_eq!(straight.errors_total, backwards.errors_total);
    }

    #[test]
    fn nothing_protected_is_ever_removed(thing in thing(), rule in rule(), now in any::<i64>()) {
        let stamp = Stamp { at: Moment::from_unix(thing.at, 0), basis: Basis::Modified };
        let candidate =
            Candidate { name: Name { folder: b"", last: b"x" }, class: thing.class, bytes: thing.bytes, stamp, arrival: stamp, identity: None };
        let now = Moment::from_unix(now, 0);
        if let Verdict::Remove(_) = judge(&rule, &Run::at(now), &candidate) {
            prop_assert!(thing.class != Class::Archive || rule.archives == Archives::Judge);
            let age = now.since(stamp.at).unwrap();
            prop_assert!(age > rule.max_age.unwrap().get() && age >= rule.min_age);
        }
    }
}

#[test]
fn a_report_names_a_hundred_errors_and_counts_all() {
    let failed = Thing { class: Class::Ordinary, bytes: 1, at: 0, fate: Outcome::Failed("refused".to_owned()) };
    let rule = Policy {
        name: "rule".to_owned(),
        max_age: MaxAge::new(Duration::from_secs(1)),
        min_age: Duration::ZERO,
        archives: Archives::Keep,
    };
    let (tally, left) = swept(&vec![failed; 250], &rule, 100, Mode::Apply);
    assert_eq!((tally.errors_total, left.len()), (250, 250));
    let report = PolicyReport::finished("rule", PolicyKind::Files, tally);
    assert_eq!((report.errors.len(), report.errors_total), (100, 250));
    assert!(report.errors.is_sorted_by_key(|error| error.path.clone()));
}

#[test]
fn a_registration_makes_a_file_younger_and_a_ttl_gives_it_a_time_of_its_own() {
    let policy = policy("[files.models]\nroot = 'models'\ninclude = ['*.step']\nmax_age = '30m'\nmin_age = '5s'\n");
    let minutes = |minutes| NOW.minus(Duration::from_mins(minutes));
    let ttl = |minutes| MaxAge::new(Duration::from_mins(minutes));
    let verdict = |written: Moment, at: Moment, ttl: Option<MaxAge>| {
        let name = Name { folder: b"a", last: b"part.step" };
        let stamp = Stamp { at: written, basis: Basis::Modified };
        let registrations = [(b"a/part.step".to_vec(), Registration { at, ttl })].into_iter().collect();
        let run = Run { registrations, ..Run::at(NOW) };
        judge(
            &policy.rule,
            &run,
            &Candidate { name, class: Class::Ordinary, bytes: 0, stamp, arrival: stamp, identity: None },
        )
        .to_string()
    };
    let table = [
        ("an old file moved in just now", verdict(minutes(9000), minutes(1), None)),
        ("long ago", verdict(minutes(9000), minutes(31), None)),
        ("written again since", verdict(minutes(2), minutes(31), None)),
        ("a short time of its own", verdict(minutes(9000), minutes(11), ttl(10))),
        ("a long time of its own", verdict(minutes(9000), minutes(31), ttl(60))),
        ("a time of its own is not changed by a write", verdict(minutes(1), minutes(11), ttl(10))),
        ("what is written after it is another file", verdict(minutes(1), minutes(40), ttl(10))),
        ("registered by a clock that was ahead", verdict(minutes(9000), NOW.plus(Duration::from_mins(1)), ttl(10))),
        ("too young for any rule", verdict(minutes(0), minutes(0), MaxAge::new(Duration::from_nanos(1)))),
    ];
    let text = table.iter().fold(String::new(), |text, (case, verdict)| text + case + ": " + verdict + "\n");
    insta::assert_snapshot!("registrations", text);
}

/// Everything that can be said of one file, so that a change in the order of judgement is seen.
#[test]
fn what_protects_stands_before_what_removes() {
    let policy = policy("[files.x]\nroot = 'x'\ninclude = ['*']\narchives = ['a*']\nmax_age = '1h'\nmin_age = '1m'\n");
    let all = |last: &'static str, age: &str| {
        let name = Name { folder: b"", last: last.as_bytes() };
        let stamp = Stamp { at: NOW.minus(duration::parse(age).unwrap()), basis: Basis::Modified };
        let candidate = Candidate {
            name,
            class: policy.patterns.class(name).unwrap(),
            bytes: 0,
            stamp,
            arrival: stamp,
            identity: None,
        };
        let mut run = Run::at(NOW);
        run.holds.add(b"a-held".to_vec(), NOW.plus(Duration::from_hours(1)));
        run.holds.add(b"held".to_vec(), NOW.plus(Duration::from_hours(1)));
        run.referenced.add(b"held");
        run.referenced.add(b"needed");
        let cut = |age: u64| Cutoff { at: NOW.minus(Duration::from_secs(age)), path: b"~".to_vec() };
        run.cutoffs.newest = Some(Newest { of: 2, before: Some(cut(50)) });
        run.cutoffs.over = vec![(LimitKey::MaxFiles, cut(600))];
        let rules = examine(&policy.rule, &run, &candidate);
        let verdict = judge(&policy.rule, &run, &candidate);
        assert_eq!(rules.iter().find_map(|(_, answer)| *answer).unwrap_or(verdict), verdict);
        let applied = rules.iter().filter_map(|(rule, answer)| answer.map(|answer| format!("  {rule}: {answer}\n")));
        format!("{last} {age}: {verdict}\n{}", applied.collect::<String>())
    };
    insta::assert_snapshot!(
        "order",
        [
            all("a-held", "2h"),
            all("held", "2h"),
            all("needed", "2h"),
            all("young", "10s"),
            all("new", "0s"),
            all("old", "2h"),
            all("over", "30m"),
            all("within", "5m"),
        ]
        .concat()
    );
}

#[test]
fn min_age_counts_from_arrival_whatever_the_stamp_says() {
    let policy = policy("[files.x]\nroot = \"x\"\ninclude = [\"*\"]\nmax_age = \"1d\"\nmin_age = \"1h\"");
    let (minute, hour, year) = (Duration::from_mins(1), Duration::from_hours(1), Duration::from_hours(365 * 24));
    let judged = |written: Duration, arrived: Moment, run: &Run| {
        let stamp = Stamp { at: NOW.minus(written), basis: Basis::Modified };
        let arrival = Stamp { at: arrived, basis: Basis::Changed };
        let name = Name { folder: b"", last: b"x" };
        judge(&policy.rule, run, &Candidate { name, class: Class::Ordinary, bytes: 0, stamp, arrival, identity: None })
    };
    let run = Run::at(NOW);
    let copied = judged(year, NOW.minus(59 * minute), &run);
    assert_eq!(copied.to_string(), "keep: last changed 59m ago, younger than min_age 1h");
    assert_eq!(copied.holds_until(NOW), Some(NOW.plus(minute)), "it is judged again when it has settled");
    assert!(judged(year, NOW.minus(hour), &run).is_due());
    let ahead = judged(year, NOW.plus(hour), &run);
    assert!(ahead.to_string().contains("last changed 1h in the future"), "{ahead}");
    let written = judged(minute, NOW.minus(year), &run);
    assert_eq!(written.to_string(), "keep: last modified 1m ago, younger than min_age 1h");

    let over = vec![(LimitKey::MaxFiles, Cutoff { at: NOW, path: b"x".to_vec() })];
    let limited = Run { cutoffs: Cutoffs { newest: None, over }, ..Run::at(NOW) };
    assert!(!judged(2 * hour, NOW.minus(minute), &limited).is_due(), "no limit takes what has just arrived");
    assert!(judged(2 * hour, NOW.minus(2 * hour), &limited).is_due());
}

#[test]
fn without_min_age_arrival_is_not_asked_for() {
    let policy = policy("[files.x]\nroot = \"x\"\ninclude = [\"*\"]\nmax_age = \"1d\"");
    for arrived in [NOW, NOW.plus(Duration::from_hours(1))] {
        let stamp = Stamp { at: NOW.minus(Duration::from_hours(48)), basis: Basis::Modified };
        let arrival = Stamp { at: arrived, basis: Basis::Changed };
        let name = Name { folder: b"", last: b"x" };
        let candidate = Candidate { name, class: Class::Ordinary, bytes: 0, stamp, arrival, identity: None };
        assert!(judge(&policy.rule, &Run::at(NOW), &candidate).is_due());
    }
}

#[test]
fn a_hold_ends_at_its_moment_and_a_registration_counts_only_when_it_is_later() {
    let policy = policy("[files.x]\nroot = \"x\"\ninclude = [\"*\"]\nmax_age = \"1h\"");
    let (name, stamp) = (Name { folder: b"", last: b"x" }, Stamp { at: NOW.minus(2 * HOUR), basis: Basis::Modified });
    let candidate = Candidate { name, class: Class::Ordinary, bytes: 0, stamp, arrival: stamp, identity: None };
    let held = |until: Moment| {
        let mut run = Run::at(NOW);
        run.holds.add(b"x".to_vec(), until);
        judge(&policy.rule, &run, &candidate)
    };
    assert!(!held(NOW.plus(Duration::from_nanos(1))).is_due());
    assert!(held(NOW).is_due(), "until now is over");

    let registered = |at: Moment| {
        let registrations = [(b"x".to_vec(), Registration { at, ttl: None })].into_iter().collect();
        judge(&policy.rule, &Run { registrations, ..Run::at(NOW) }, &candidate).to_string()
    };
    assert!(registered(stamp.at).contains("last modified"), "the file's own stamp says as much");
    assert!(registered(stamp.at.plus(Duration::from_nanos(1))).contains("registered"));
}

#[test]
fn limits_and_keep_newest_are_about_files() {
    let policy = policy("[files.x]\nroot = \"x\"\ninclude = [\"*\"]\nmax_age = \"1h\"");
    let everything = Cutoff { at: NOW, path: b"~".to_vec() };
    let verdict = |class, age: Duration, cutoffs: Cutoffs| {
        let stamp = Stamp { at: NOW.minus(age), basis: Basis::Modified };
        let name = Name { folder: b"", last: b"x" };
        let candidate = Candidate { name, class, bytes: 0, stamp, arrival: stamp, identity: None };
        judge(&policy.rule, &Run { cutoffs, ..Run::at(NOW) }, &candidate).is_due()
    };
    let newest = || Cutoffs { newest: Some(Newest { of: 9, before: None }), over: Vec::new() };
    let over = || Cutoffs { newest: None, over: vec![(LimitKey::MaxFiles, everything.clone())] };
    assert_eq!([Class::Ordinary, Class::EmptyDirectory].map(|class| verdict(class, 2 * HOUR, newest())), [false, true]);
    assert_eq!([Class::Ordinary, Class::EmptyDirectory].map(|class| verdict(class, HOUR / 2, over())), [true, false]);
}
