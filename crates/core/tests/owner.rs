//! Whose file it is, over all policies: at most one policy may take a file, and none against an inner one's will.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::BTreeSet;
use std::path::PathBuf;

use cleanup_core::candidate::Name;
use cleanup_core::owner::{Claim, Claimant, Ground, Naming};
use cleanup_core::pattern::Patterns;
use cleanup_core::policy::{Depth, Unit};
use proptest::prelude::*;

/// A policy with a root below a folder of the test's own; the empty one is that folder.
fn claimant(root: &str, include: &[&str], exclude: &[&str], depth: Depth, unit: Unit) -> Claimant {
    let patterns = Patterns::new(include, exclude, &[]).unwrap();
    Claimant { name: root.to_owned(), root: PathBuf::from(root), patterns, depth, unit }
}

fn deep(root: &str, include: &[&str], exclude: &[&str]) -> Claimant {
    claimant(root, include, exclude, Depth::UNLIMITED, Unit::File)
}

/// The path below a root; `None` when it lies elsewhere.
fn below<'a>(root: &str, path: &'a str) -> Option<&'a str> {
    if root.is_empty() { Some(path) } else { path.strip_prefix(root)?.strip_prefix('/') }
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

fn name(path: &str) -> Name<'_> {
    let (folder, last) = split(path);
    Name { folder: folder.as_bytes(), last: last.as_bytes() }
}

/// What a walk of one policy makes of a file, a folder at a time; `None` where it does not name it, or does not come to
/// it.
fn claim(claimants: &[Claimant], own: usize, file: &str) -> Option<Claim> {
    let policy = &claimants[own];
    let path = below(policy.root.to_str().unwrap(), file)?;
    let roots_at = |folder: &str| {
        let absolute = [policy.root.to_str().unwrap(), folder].join("/");
        let absolute = absolute.trim_matches('/').to_owned();
        let is_root = move |claimant: &Claimant| claimant.root.to_str() == Some(absolute.as_str());
        (0..claimants.len()).filter(move |other| *other != own && is_root(&claimants[*other]))
    };
    let mut ground = Ground::of_root(roots_at(""));
    let (folders, _) = split(path);
    let mut folder = String::new();
    for part in folders.split('/').filter(|part| !part.is_empty()) {
        let inside = Name { folder: folder.as_bytes(), last: part.as_bytes() };
        let next = if folder.is_empty() { part.to_owned() } else { format!("{folder}/{part}") };
        ground = ground.folder(claimants, inside, roots_at(&next));
        if policy.unit == Unit::File && policy.patterns.excludes(inside) {
            return None;
        }
        folder = next;
    }
    (naming(policy, path)? == Naming::Takes).then(|| ground.claim(claimants, name(path)))
}

/// What a policy makes of a path below its root, by itself.
fn naming(policy: &Claimant, path: &str) -> Option<Naming> {
    let parts: Vec<&str> = path.split('/').collect();
    let takes = |path: &str| policy.patterns.class(name(path)).map(|_| Naming::Takes);
    match policy.unit {
        Unit::Directory if parts.len() < 2 => None,
        Unit::Directory if policy.patterns.excludes(name(parts[0])) => Some(Naming::Spares),
        Unit::Directory => takes(parts[0]),
        Unit::File => {
            let depth = policy.depth.0 as usize;
            let is_spared =
                (1..=parts.len().min(depth)).any(|len| policy.patterns.excludes(name(&parts[..len].join("/"))));
            if is_spared { Some(Naming::Spares) } else { takes(path).filter(|_| parts.len() <= depth) }
        }
    }
}

/// The rule, as it is told: of those that name the file, the deepest root; `None` where nobody may take it.
fn owner(claimants: &[Claimant], file: &str) -> Option<usize> {
    let named = |policy: &usize| {
        let claimant = &claimants[*policy];
        let root = claimant.root.to_str().unwrap();
        Some((root.len(), *policy, naming(claimant, below(root, file)?)?))
    };
    let all: Vec<_> = (0..claimants.len()).filter_map(|policy| named(&policy)).collect();
    let deepest = all.iter().map(|(root, ..)| *root).max()?;
    let takers: Vec<usize> =
        all.iter().filter(|it| it.0 == deepest && it.2 == Naming::Takes).map(|(_, policy, _)| *policy).collect();
    if let [owner] = takers.as_slice() { Some(*owner) } else { None }
}

#[test]
fn the_deepest_root_that_names_a_file_has_it() {
    let claimants = [deep("", &["*"], &[]), deep("long", &["*.log"], &["keep*"]), deep("long/x", &["a.*"], &[])];
    let other = |policy, naming| Some(Claim::Other { policy, naming });
    for (file, claims) in [
        ("a.log", [Some(Claim::Own), None, None]),
        ("long/a.log", [other(1, Naming::Takes), Some(Claim::Own), None]),
        ("long/a.tmp", [Some(Claim::Own), None, None]),
        ("long/keep.log", [other(1, Naming::Spares), None, None]),
        ("long/keeper/deep/a.log", [other(1, Naming::Spares), None, None]),
        ("long/x/a.log", [other(2, Naming::Takes), other(2, Naming::Takes), Some(Claim::Own)]),
        ("long/x/b.log", [other(1, Naming::Takes), Some(Claim::Own), None]),
        ("longer/a.log", [Some(Claim::Own), None, None]),
    ] {
        for (policy, expected) in claims.into_iter().enumerate() {
            assert_eq!(claim(&claimants, policy, file), expected, "{file} for {policy}");
        }
    }
}

#[test]
fn a_policy_has_nothing_below_its_depth() {
    let flat = |include: &[&str], exclude: &[&str]| claimant("in", include, exclude, Depth::FLAT, Unit::File);
    for inner in [flat(&["*"], &[]), flat(&["none"], &["a"])] {
        let claimants = [deep("", &["*"], &[]), inner];
        assert_ne!(claim(&claimants, 0, "in/a"), Some(Claim::Own));
        assert_eq!(claim(&claimants, 0, "in/deep/a"), Some(Claim::Own));
    }
    let claimants = [deep("", &["*"], &[]), flat(&["none"], &["kept"])];
    assert_ne!(claim(&claimants, 0, "in/kept/deep/a"), Some(Claim::Own), "a folder is excluded with all in it");
}

#[test]
fn two_with_the_same_root_dispute_what_both_would_take_and_exclude_is_the_way_out() {
    let both = [deep("r", &["*"], &[]), deep("r", &["*.log"], &[])];
    assert_eq!(claim(&both, 0, "r/a.log"), Some(Claim::Disputed { policy: 1 }));
    assert_eq!(claim(&both, 1, "r/a.log"), Some(Claim::Disputed { policy: 0 }));
    assert_eq!(claim(&both, 0, "r/a.tmp"), Some(Claim::Own));
    let parted = [deep("r", &["*"], &["*.log"]), deep("r", &["*.log"], &[]), deep("", &["*"], &[])];
    assert_eq!(claim(&parted, 0, "r/a.log"), None);
    assert_eq!(claim(&parted, 1, "r/a.log"), Some(Claim::Own));
    assert_ne!(claim(&parted, 2, "r/a.log"), Some(Claim::Own));
    let disputed = [both.as_slice(), &[deep("", &["*"], &[])]].concat();
    assert_ne!(claim(&disputed, 2, "r/a.log"), Some(Claim::Own), "what inner ones dispute does not go outward");
}

#[test]
fn a_policy_for_whole_directories_has_all_in_those_that_it_names() {
    let units = claimant("u", &["job-*"], &["job-keep"], Depth::FLAT, Unit::Directory);
    let claimants = [deep("", &["*"], &[]), units];
    let other = |naming| Some(Claim::Other { policy: 1, naming });
    assert_eq!(claim(&claimants, 0, "u/job-1/deep/a"), other(Naming::Takes));
    assert_eq!(claim(&claimants, 0, "u/job-keep/deep/a"), other(Naming::Spares));
    assert_eq!(claim(&claimants, 0, "u/other/a"), Some(Claim::Own));
    assert_eq!(claim(&claimants, 0, "u/job-1"), Some(Claim::Own), "a file of that name is no directory");
}

#[test]
fn a_folder_stays_for_whoever_has_its_root_in_it_or_walks_into_it() {
    let claimants = [
        deep("", &["*"], &[]),
        claimant("flat", &["*"], &["spared"], Depth::FLAT, Unit::File),
        deep("deep", &["none"], &[]),
        claimant("units", &["job-*"], &[], Depth::FLAT, Unit::Directory),
    ];
    let keeper = |folders: &[&str]| {
        let (mut ground, mut path) = (Ground::default(), String::new());
        for part in folders {
            let next = if path.is_empty() { (*part).to_owned() } else { format!("{path}/{part}") };
            let roots = (1..claimants.len()).filter(|other| claimants[*other].root.to_str() == Some(next.as_str()));
            ground = ground.folder(&claimants, Name { folder: path.as_bytes(), last: part.as_bytes() }, roots);
            path = next;
        }
        ground.keeper(&claimants)
    };
    for (folders, expected) in [
        (&["other"][..], None),
        (&["flat"], Some(1)),
        (&["flat", "x"], None),
        (&["flat", "spared"], Some(1)),
        (&["deep"], Some(2)),
        (&["deep", "x", "y"], Some(2)),
        (&["units"], Some(3)),
        (&["units", "job-1"], Some(3)),
        (&["units", "job-1", "x"], Some(3)),
        (&["units", "x"], None),
    ] {
        assert_eq!(keeper(folders), expected, "{folders:?}");
    }
}

fn policy() -> impl Strategy<Value = Claimant> {
    let root = prop::sample::select(&["", "a", "a/b", "a/b/a", "b"][..]);
    let patterns = || prop::sample::select(&["*", "a*", "*b", "a/b", "**/b", "?", "ab"][..]);
    let depth = prop::sample::select(&[1, 2, 3, u32::MAX][..]);
    let unit = prop::sample::select(&[Unit::File, Unit::File, Unit::Directory][..]);
    (root, prop::collection::vec(patterns(), 1..3), prop::collection::vec(patterns(), 0..2), depth, unit)
        .prop_map(|(root, include, exclude, depth, unit)| claimant(root, &include, &exclude, Depth(depth), unit))
}

fn files() -> impl Iterator<Item = String> {
    let names = ["a", "b", "ab", "c"];
    let mut folders = vec![String::new()];
    let mut files = BTreeSet::new();
    for _ in 0..5 {
        files.extend(folders.iter().flat_map(|folder| names.iter().map(move |name| format!("{folder}{name}"))));
        folders = folders.iter().flat_map(|folder| ["a/", "b/", "ab/"].map(|name| format!("{folder}{name}"))).collect();
    }
    files.into_iter()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn at_most_one_policy_may_take_a_file_and_it_is_the_one_of_the_rule(
        claimants in prop::collection::vec(policy(), 1..6),
    ) {
        for file in files() {
            let may = |policy: &usize| claim(&claimants, *policy, &file) == Some(Claim::Own);
            let takers: Vec<usize> = (0..claimants.len()).filter(may).collect();
            prop_assert_eq!(takers, owner(&claimants, &file).into_iter().collect::<Vec<_>>(), "{}", file);
        }
    }
}
