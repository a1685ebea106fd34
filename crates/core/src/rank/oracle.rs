//! The search against a naive oracle that sorts everything, with so little room that it has to look closer each time.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::time::Duration;

use proptest::prelude::*;

use super::find::{newest_within, own_within, space_within};
use super::search::Budget;
use super::*;
use crate::candidate::{Basis, Candidate, Class, Identity, Stamp};
use crate::judge::{Run, judge};
use crate::policy::{Archives, Limits, MaxAge, Policy};
use crate::report::{Done, Limit};
use crate::store::{Batch, FileStore, Outcome, Removal, Visitor};
use crate::sweep::{Mode, sweep};
use crate::verdict::Verdict;

const NOW: Moment = Moment::from_unix(1_767_225_600, 0);
const TIGHT: Budget = Budget { things: 3, path_bytes: 24 };

/// A file: its age in seconds, negative for the future, its bytes, and its inode when it has several names.
#[derive(Clone, Debug)]
struct Thing {
    path: String,
    age: i64,
    bytes: u64,
    inode: Option<(u64, u32)>,
    is_archive: bool,
    /// How many seconds ago it arrived; `None` is with its stamp.
    arrived: Option<u64>,
}

impl Thing {
    fn candidate(&self) -> Candidate<'_> {
        let age = Duration::from_secs(self.age.unsigned_abs());
        let at = if self.age < 0 { NOW.plus(age) } else { NOW.minus(age) };
        let (folder, last) = self.path.rsplit_once('/').unwrap_or(("", &self.path));
        let identity = self.inode.map(|(inode, links)| Identity {
            device: (1, 1),
            inode,
            size: self.bytes,
            modified: at,
            changed: at,
            links,
        });
        Candidate {
            name: Name { folder: folder.as_bytes(), last: last.as_bytes() },
            class: if self.is_archive { Class::Archive } else { Class::Ordinary },
            bytes: self.bytes,
            stamp: Stamp { at, basis: Basis::Modified },
            arrival: Stamp {
                at: self.arrived.map_or(at, |ago| NOW.minus(Duration::from_secs(ago))),
                basis: Basis::Changed,
            },
            identity,
        }
    }
}

#[derive(Debug)]
struct Folder(Vec<Thing>);

impl Batch for &Folder {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn candidate(&self, index: usize) -> Candidate<'_> {
        self.0[index].candidate()
    }

    fn remove(&mut self, _: usize, _: &crate::verdict::Remove) -> Removal {
        Outcome::Removed.into()
    }

    fn pretend(&mut self, _: usize) {}
}

impl FileStore for Folder {
    fn offer(&self, visitor: &dyn Visitor) {
        assert_eq!(visitor.batch(&mut &*self), ControlFlow::Continue(()));
    }
}

/// Files of few ages and names that begin alike, so that ties are the rule; some with several names, of one age.
fn folder() -> impl Strategy<Value = Folder> {
    let age = prop_oneof![4 => 0_i64..6, 2 => 3600_i64..3604, 2 => 1_i64 << 20..1 << 40, 1 => -10_i64..0];
    let bytes = prop_oneof![1 => Just(0_u64), 3 => (1_u64..4).prop_map(|blocks| blocks * 4096), 1 => any::<u32>().prop_map(u64::from)];
    let thing = (
        "[ab]{1,2}/[abc]{1,4}|long-common-prefix-[ab]{1,3}",
        age,
        bytes,
        prop::option::weighted(0.3, 0_u64..4),
        prop::bool::weighted(0.1),
        prop::option::weighted(0.3, 0_u64..4),
    );
    let extra = prop::collection::vec(0_u32..2, 4);
    (prop::collection::vec(thing, 0..40), extra).prop_map(|(things, extra)| {
        let mut names: BTreeMap<String, Thing> = BTreeMap::new();
        let mut first: BTreeMap<u64, (i64, u64, Option<u64>)> = BTreeMap::new();
        for (path, age, bytes, inode, is_archive, arrived) in things {
            // All names of one file have its age, its bytes and its arrival.
            let own = (age, bytes, arrived);
            let (age, bytes, arrived) = inode.map_or(own, |inode| *first.entry(inode).or_insert(own));
            let inode = inode.map(|inode| (inode, 0));
            names.insert(path.clone(), Thing { path, age, bytes, inode, is_archive, arrived });
        }
        let mut things: Vec<Thing> = names.into_values().collect();
        let count = |inode: u64| things.iter().filter(|thing| thing.inode.is_some_and(|(own, _)| own == inode)).count();
        let links: Vec<u32> =
            (0..4).map(|inode| u32::try_from(count(inode)).unwrap()).zip(extra).map(|(a, b)| a + b).collect();
        for thing in &mut things {
            thing.inode = thing.inode.map(|(inode, _)| (inode, links[usize::try_from(inode).unwrap()]));
        }
        Folder(things)
    })
}

fn rule() -> impl Strategy<Value = Policy> {
    let max_age = prop::option::of(prop_oneof![Just(3_u64), Just(3601), Just(1 << 30)]);
    (max_age, 0_u64..3, any::<bool>()).prop_map(|(max_age, min_age, judged)| Policy {
        name: "x".to_owned(),
        max_age: max_age.and_then(|age| MaxAge::new(Duration::from_secs(age))),
        min_age: Duration::from_secs(min_age),
        archives: if judged { Archives::Judge } else { Archives::Keep },
    })
}

/// In the order in which they go.
fn in_order(folder: &Folder) -> Vec<&Thing> {
    let mut all: Vec<&Thing> = folder.0.iter().collect();
    all.sort_by_key(|thing| (std::cmp::Reverse(thing.age), thing.path.as_bytes()));
    all
}

/// What a set of paths takes, each file once.
fn taken(folder: &Folder, paths: &BTreeSet<&str>) -> u64 {
    let mut seen = BTreeSet::new();
    let there = folder.0.iter().filter(|thing| paths.contains(thing.path.as_str()));
    there
        .filter(|thing| thing.inode.is_none_or(|(inode, links)| links < 2 || seen.insert(inode)))
        .map(|thing| thing.bytes)
        .sum()
}

/// Removes what goes anyway, and then the oldest that may go until `is_enough`; what is left.
fn oracle<'a>(
    folder: &'a Folder,
    verdict: &dyn Fn(&Thing) -> Verdict,
    is_enough: &dyn Fn(&BTreeSet<&str>) -> bool,
) -> BTreeSet<&'a str> {
    let mut left: BTreeSet<&str> =
        folder.0.iter().filter(|thing| !verdict(thing).is_due()).map(|thing| thing.path.as_str()).collect();
    for thing in in_order(folder) {
        if is_enough(&left) {
            break;
        }
        if matches!(verdict(thing), Verdict::Keep(crate::verdict::Keep::WithinLimits { .. })) {
            left.remove(thing.path.as_str());
        }
    }
    left
}

fn left_by<'a>(folder: &'a Folder, policy: &Policy, run: &Run) -> BTreeSet<&'a str> {
    folder
        .0
        .iter()
        .filter(|thing| !judge(policy, run, &thing.candidate()).is_due())
        .map(|thing| thing.path.as_str())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn the_newest_are_those_at_the_end_of_the_list(folder in folder(), policy in rule(), of in 0_u64..20) {
        let run = Run::at(NOW);
        for budget in [TIGHT, Budget::DEFAULT] {
            let newest = newest_within(budget, Source { store: &folder, policy: &policy, run: &run, share: Share::Weighted(1.0) }, of, &()).unwrap();
            let cutoffs = Cutoffs { newest: Some(newest), over: Vec::new() };
            let ranked = in_order(&folder).into_iter().filter(|thing| thing.age >= 0 && !(thing.is_archive && policy.archives == Archives::Keep));
            let ranked: Vec<_> = ranked.collect();
            let first = ranked.len().saturating_sub(usize::try_from(of).unwrap());
            for (index, thing) in ranked.iter().enumerate() {
                let candidate = thing.candidate();
                prop_assert_eq!(cutoffs.newest(candidate.stamp.at, candidate.name).is_some(), index >= first, "{}", thing.path);
            }
        }
    }

    #[test]
    fn limits_take_the_oldest_that_nothing_protects_and_no_more(
        folder in folder(),
        policy in rule(),
        keep_newest in prop::option::of(0_u64..10),
        max_files in 0_u64..40,
        max_bytes in prop_oneof![Just(0_u64), 0_u64..100_000, any::<u32>().prop_map(u64::from), Just(u64::MAX)],
    ) {
        for budget in [TIGHT, Budget::DEFAULT] {
            let plain = Run::at(NOW);
            let source = |run| Source { store: &folder, policy: &policy, run, share: Share::Weighted(1.0) };
            let newest = keep_newest.map(|of| newest_within(budget, source(&plain), of, &()).unwrap());
            let before = Run { cutoffs: Cutoffs { newest, over: Vec::new() }, ..plain.clone() };
            let mut run = before.clone();
            let verdict = |thing: &Thing| judge(&policy, &before, &thing.candidate());
            let files = oracle(&folder, &verdict, &|left| left.len() as u64 <= max_files);
            let bytes = oracle(&folder, &verdict, &|left| taken(&folder, left) <= max_bytes);

            let of = |limits: &Limits| {
                let over = own_within(budget, source(&before), limits, &()).unwrap();
                left_by(&folder, &policy, &Run { cutoffs: Cutoffs { over, ..before.cutoffs.clone() }, ..before.clone() })
            };
            prop_assert_eq!(of(&Limits { max_files: Some(max_files), ..Limits::default() }), files.clone());
            prop_assert_eq!(of(&Limits { max_total_size: Some(max_bytes), ..Limits::default() }), bytes.clone());
            let both = Limits { max_files: Some(max_files), max_total_size: Some(max_bytes), ..Limits::default() };
            let left: BTreeSet<&str> = files.intersection(&bytes).copied().collect();
            prop_assert_eq!(of(&both), left.clone());

            run.cutoffs.over = own_within(budget, source(&before), &both, &()).unwrap();
            let remaining = Remaining::new(&());
            sweep(&folder, &policy, &run, Mode::Apply, &remaining);
            let stays = remaining.finish();
            prop_assert_eq!(stays.left(), Amount { files: left.len() as u64, bytes: taken(&folder, &left) });
            let limit = Limit::at_most(LimitKey::MaxTotalSize, max_bytes, &stays, Done::Acted);
            prop_assert_eq!(limit.pinned.values().sum::<u64>(), if limit.met { 0 } else { limit.is });
        }
    }

    #[test]
    fn policies_that_share_a_file_system_give_by_weighted_age(
        folders in prop::collection::vec((folder(), rule(), prop_oneof![Just(1.0), Just(2.5), Just(0.1)]), 1..4),
        bytes in prop_oneof![0_u64..60_000, any::<u32>().prop_map(u64::from)],
        inodes in 0_u64..30,
    ) {
        let run = Run::at(NOW);
        // A file's names all lie in one folder here.
        let mut folders = folders;
        for (number, (folder, ..)) in (0..).zip(&mut folders) {
            for thing in &mut folder.0 {
                thing.inode = thing.inode.map(|(inode, links)| (inode + 100 * number, links));
            }
        }
        let freed = |left: &[BTreeSet<&str>]| folders.iter().zip(left).fold((0, 0), |(bytes, inodes), ((folder, ..), left)| {
            let gone = |thing: &&Thing| !left.contains(thing.path.as_str());
            let mut last = BTreeMap::new();
            let mut sum = (bytes, inodes);
            for thing in folder.0.iter().filter(gone) {
                let names = match thing.inode {
                    Some((inode, links)) if links > 1 => {
                        let names = last.entry(inode).or_insert(0);
                        *names += 1;
                        (*names, links)
                    }
                    _ => (1, 1),
                };
                if names.0 == names.1 {
                    sum = (sum.0 + thing.bytes, sum.1 + 1);
                }
            }
            sum
        });
        let mut order: Vec<(u128, &str, usize)> = Vec::new();
        for (index, (folder, _, weight)) in folders.iter().enumerate() {
            let scale = super::position::Scale::new(NOW, *weight);
            order.extend(folder.0.iter().filter_map(|thing| Some((scale.position(thing.candidate().stamp.at)?, thing.path.as_str(), index))));
        }
        order.sort_by_key(|(position, path, _)| (std::cmp::Reverse(*position), path.as_bytes()));
        let sources: Vec<Source<'_>> = folders.iter().map(|(store, policy, weight)| Source { store, policy, run: &run, share: Share::Weighted(*weight) }).collect();
        for (limit, shortage) in [(LimitKey::MinFree, Shortage { bytes, inodes: 0 }), (LimitKey::MinFreeInodes, Shortage { bytes: 0, inodes })] {
            let is_enough = |left: &[BTreeSet<&str>]| freed(left).0 >= shortage.bytes && freed(left).1 >= shortage.inodes;
            let mut expected: Vec<BTreeSet<&str>> = folders.iter().map(|(folder, policy, _)| left_by(folder, policy, &run)).collect();
            let mut group = order.iter().peekable();
            while !is_enough(&expected) && let Some((position, path, _)) = group.peek().copied() {
                // The same weighted age and the same path in two folders: one place in the order.
                while let Some((_, _, index)) = group.next_if(|(other, name, _)| other == position && name == path) {
                    let (folder, policy, _) = &folders[*index];
                    let thing = folder.0.iter().find(|thing| thing.path == *path).unwrap();
                    if matches!(judge(policy, &run, &thing.candidate()), Verdict::Keep(crate::verdict::Keep::WithinLimits { .. })) {
                        expected[*index].remove(path);
                    }
                }
            }
            for budget in [TIGHT, Budget::DEFAULT] {
                let cuts = space_within(budget, &sources, shortage, &()).unwrap();
                for ((folder, policy, _), (over, expected)) in folders.iter().zip(cuts.into_iter().zip(&expected)) {
                    prop_assert!(over.iter().all(|(key, _)| *key == limit));
                    let run = Run { cutoffs: Cutoffs { newest: None, over }, ..run.clone() };
                    prop_assert_eq!(&left_by(folder, policy, &run), expected);
                }
            }
        }
    }
}

/// Files written in one and the same moment, offered one by one.
struct Crowd;

struct One(String);

impl Batch for One {
    fn len(&self) -> usize {
        1
    }

    fn candidate(&self, _: usize) -> Candidate<'_> {
        let name = Name { folder: b"renders/2026", last: self.0.as_bytes() };
        let stamp = Stamp { at: NOW.minus(Duration::from_hours(5)), basis: Basis::Modified };
        Candidate { name, class: Class::Ordinary, bytes: 4096, stamp, arrival: stamp, identity: None }
    }

    fn remove(&mut self, _: usize, _: &crate::verdict::Remove) -> Removal {
        Outcome::Removed.into()
    }

    fn pretend(&mut self, _: usize) {}
}

impl FileStore for Crowd {
    fn offer(&self, visitor: &dyn Visitor) {
        for number in 0..200_000 {
            assert_eq!(visitor.batch(&mut One(format!("image-{number:07}.svg"))), ControlFlow::Continue(()));
        }
    }
}

#[test]
fn a_crowd_of_one_moment_is_told_apart_by_names() {
    let policy = Policy { name: "x".to_owned(), max_age: None, min_age: Duration::ZERO, archives: Archives::Keep };
    let run = Run::at(NOW);
    let source = Source { store: &Crowd, policy: &policy, run: &run, share: Share::Weighted(1.0) };
    let limits = Limits { max_total_size: Some(4096 * 45_678 + 4095), ..Limits::default() };
    let cuts = own(source, &limits, &()).unwrap();
    let path = b"renders/2026/image-0154321.svg".to_vec();
    assert_eq!(cuts, [(LimitKey::MaxTotalSize, Cutoff { at: NOW.minus(Duration::from_hours(5)), path })]);
}
