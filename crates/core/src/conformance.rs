//! The suite that every store runs in its own tests: the same rule selects the same things, wherever they lie.
//!
//! A store brings a [`Fixture`] that can fill itself with items of given ages, sweep, and say what is left. What
//! must be left is decided here, by [`judge()`] alone. Ages are relative to the store's own clock
//! and keep a minute's distance from every threshold, so that no test depends on how fast it runs.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::candidate::{Basis, Candidate, Class, Name, Stamp};
use crate::judge::{Run, judge};
use crate::moment::Moment;
use crate::policy::{Archives, MaxAge, Policy};
use crate::report::Tally;
use crate::sweep::Mode;

/// A store under test. Its methods panic when the store fails: this is for tests.
pub trait Fixture {
    /// Makes the place hold exactly these items.
    fn fill(&mut self, items: &[Item]);

    /// Sweeps it by this rule. File fixtures include `*` and take `archive-*` for archives.
    fn sweep(&mut self, rule: &Policy, mode: Mode) -> Tally;

    /// The names that are left.
    fn left(&mut self) -> BTreeSet<String>;

    /// Whether the place knows archives; rows have no classes.
    fn has_archives(&self) -> bool;
}

/// One thing to be put into a store.
#[derive(Clone, Debug)]
pub struct Item {
    /// Its name, or a row's id; at most 36 ASCII characters.
    pub name: String,
    /// How long before the store's now its stamp lies.
    pub age: Age,
}

/// How long ago an item was last touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// So long before now.
    Past(Duration),
    /// So long after now.
    Ahead(Duration),
}

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// Runs every case against the store.
///
/// # Panics
///
/// When the store selects anything else than the judge does.
pub fn check(fixture: &mut dyn Fixture) {
    for rule in rules() {
        let items = items(fixture.has_archives());
        let expected = expected(&rule, &items);

        fixture.fill(&items);
        let plan = fixture.sweep(&rule, Mode::Plan);
        let all: BTreeSet<String> = items.iter().map(|item| item.name.clone()).collect();
        assert_eq!(fixture.left(), all, "a plan changes nothing: {rule:?}");
        assert_eq!(plan.counts.removed, 0, "a plan removes nothing: {rule:?}");

        let swept = fixture.sweep(&rule, Mode::Apply);
        assert_eq!(fixture.left(), expected, "exactly what is judged due goes: {rule:?}");
        let due = (all.len() - expected.len()) as u64;
        assert_eq!((plan.counts.due, swept.counts.due, swept.counts.removed), (due, due, due), "{rule:?}");
        assert_eq!(plan.counts.matched, items.len() as u64, "{rule:?}");
        assert_eq!(swept.errors_total, 0, "{rule:?}: {:?}", swept.errors);

        let again = fixture.sweep(&rule, Mode::Apply);
        assert_eq!((again.counts.due, again.counts.removed), (0, 0), "nothing is left to do: {rule:?}");
    }

    fixture.fill(&[]);
    let empty = fixture.sweep(&rules()[0], Mode::Apply);
    assert_eq!((empty.counts.matched, empty.errors_total), (0, 0), "an empty store is no error");
}

fn rules() -> Vec<Policy> {
    let rule = |max_age: Duration, min_age: Duration, archives: Archives| Policy {
        name: "conformance".to_owned(),
        max_age: Some(MaxAge::new(max_age).expect("the ages of the suite are positive")),
        min_age,
        archives,
    };
    vec![
        rule(2 * HOUR, Duration::ZERO, Archives::Keep),
        rule(2 * HOUR, Duration::ZERO, Archives::Judge),
        rule(30 * MINUTE, Duration::ZERO, Archives::Keep),
        rule(7 * DAY, Duration::ZERO, Archives::Keep),
        rule(100 * 365 * DAY, Duration::ZERO, Archives::Keep),
    ]
}

fn items(with_archives: bool) -> Vec<Item> {
    let ages = [
        Age::Ahead(400 * 365 * DAY),
        Age::Ahead(HOUR),
        Age::Past(MINUTE),
        Age::Past(29 * MINUTE),
        Age::Past(31 * MINUTE),
        Age::Past(119 * MINUTE),
        Age::Past(121 * MINUTE),
        Age::Past((7 * 24 * 60 - 1) * MINUTE),
        Age::Past(7 * DAY + MINUTE),
        // Old, but after 2000: an earlier time is not plausible for a row.
        Age::Past(20 * 365 * DAY),
    ];
    let names: &[&str] = if with_archives { &["item", "archive"] } else { &["item"] };
    names
        .iter()
        .flat_map(|name| {
            ages.iter().enumerate().map(move |(index, age)| Item { name: format!("{name}-{index}"), age: *age })
        })
        .collect()
}

fn expected(rule: &Policy, items: &[Item]) -> BTreeSet<String> {
    let run = Run::at(Moment::from_unix(2_000_000_000, 0));
    let stays = |item: &&Item| {
        let at = match item.age {
            Age::Past(age) => run.now.minus(age),
            Age::Ahead(by) => run.now.plus(by),
        };
        let class = if item.name.starts_with("archive-") { Class::Archive } else { Class::Ordinary };
        let name = Name { folder: b"", last: item.name.as_bytes() };
        let stamp = Stamp { at, basis: Basis::Modified };
        let candidate = Candidate { name, class, bytes: 0, stamp, arrival: stamp, identity: None };
        !judge(rule, &run, &candidate).is_due()
    };
    items.iter().filter(stays).map(|item| item.name.clone()).collect()
}
