//! A sweep is a plan and its application: for random trees and policies both leave the same files behind.

#![allow(clippy::unwrap_used, reason = "tests may")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use cleanup_core::damage::{Blow, damaged};
use cleanup_core::sweep::Mode;
use cleanup_engine::plan::{Plan, PlanError, VALID_FOR};
use cleanup_engine::{Engine, Request};
use proptest::prelude::*;
use tempfile::TempDir;

const PLACES: [&str; 6] = ["", "a", "a/b", "a/b/c", "d", "excluded"];

#[derive(Clone, Debug)]
struct Thing {
    place: usize,
    name: u8,
    minutes: u64,
}

fn thing() -> impl Strategy<Value = Thing> {
    (0..PLACES.len(), 0_u8..12, 0_u64..240).prop_map(|(place, name, minutes)| Thing { place, name, minutes })
}

fn rule() -> impl Strategy<Value = String> {
    let switch = prop::bool::ANY;
    // All files have just arrived, so that few would go with a `min_age`.
    let min_age = prop_oneof![4 => Just(0_u64), 1 => 1_u64..60];
    (10_u64..200, switch, switch, prop::option::of(1_u32..4), switch, min_age).prop_map(
        |(max_age, recursive, empty, depth, archives, min_age)| {
            let mut rule = format!("max_age = '{max_age}m'\nmin_age = '{}m'\n", min_age.min(max_age));
            if recursive {
                rule += "recursive = true\n";
                if empty {
                    rule += "remove_empty_dirs = true\n";
                }
                if let Some(depth) = depth {
                    let _ = writeln!(rule, "max_depth = {depth}");
                }
            }
            if archives {
                rule += "include_archives = true\n";
            }
            rule
        },
    )
}

fn tree(rule: &str, things: &[Thing], now: SystemTime) -> TempDir {
    let folder = TempDir::new().unwrap();
    let text = format!(
        "[files.x]\nroot = 'root'\ninclude = ['*']\nexclude = ['excluded']\narchives = ['5*']\n{rule}[state]\nurl = 'none'\n"
    );
    fs::write(folder.path().join("cleanup.toml"), text).unwrap();
    let root = folder.path().join("root");
    fs::create_dir(&root).unwrap();
    for Thing { place, name, minutes } in things {
        let parent = root.join(PLACES[*place]);
        fs::create_dir_all(&parent).unwrap();
        let path = parent.join(format!("{name}.svg"));
        File::create(path).unwrap().set_modified(now - Duration::from_mins(*minutes)).unwrap();
    }
    // Folders as old as they can be, so that some of them go.
    let mut folders = Vec::new();
    walk(&root, &mut |path| folders.extend(path.is_dir().then(|| path.to_owned())));
    for path in folders {
        File::open(path).unwrap().set_modified(now - Duration::from_hours(3)).unwrap();
    }
    folder
}

fn walk(folder: &Path, each: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        each(&path);
        if path.is_dir() {
            walk(&path, each);
        }
    }
}

fn left(folder: &TempDir) -> BTreeSet<String> {
    let root = folder.path().join("root");
    let mut names = BTreeSet::new();
    walk(&root, &mut |path| {
        names.insert(path.strip_prefix(&root).unwrap().display().to_string());
    });
    names
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_sweep_is_a_plan_and_its_application(rule in rule(), things in prop::collection::vec(thing(), 0..40)) {
        let now = SystemTime::now();
        let (swept, planned) = (tree(&rule, &things, now), tree(&rule, &things, now));
        let before = left(&planned);
        let engine = |folder: &TempDir| Engine::open(Some(&folder.path().join("cleanup.toml"))).unwrap();

        let request = Request { mode: Mode::Apply, ..Request::default() };
        let sweep = engine(&swept).sweep(&request, &()).unwrap();

        let engine = engine(&planned);
        let file = planned.path().join("plan.jsonl");
        let out = File::create(&file).unwrap();
        let (dry, summary) = engine.write_plan(&Request::default(), VALID_FOR, out, &()).unwrap();
        prop_assert_eq!(left(&planned), before);
        let plan = Plan::open(&file).unwrap();
        let read = plan.summary();
        prop_assert_eq!((read.plan_id, read.entries, read.bytes), (summary.plan_id, summary.entries, summary.bytes));
        let applied = engine.apply_plan(&plan, &Request::default(), &()).unwrap();

        prop_assert_eq!(left(&swept), left(&planned));
        let (swept, applied) = (&sweep.policies[0].counts, &applied.policies[0].counts);
        prop_assert_eq!(summary.entries, swept.removed + swept.dirs_removed);
        prop_assert_eq!(dry.policies[0].counts.due, swept.due);
        prop_assert_eq!((applied.removed, applied.dirs_removed), (swept.removed, swept.dirs_removed));
        prop_assert_eq!((applied.changed, applied.vanished), (0, 0));
    }
}

/// A plan as it is written, with files and folders in it.
fn written() -> Vec<u8> {
    static PLAN: OnceLock<Vec<u8>> = OnceLock::new();
    let write = || {
        let thing = |(place, name)| Thing { place, name, minutes: 200 };
        let things: Vec<Thing> = [(0, 1), (1, 2), (2, 3), (4, 4)].into_iter().map(thing).collect();
        let rule = "max_age = '10m'\nmax_files = 1\nrecursive = true\nremove_empty_dirs = true\n";
        let folder = tree(rule, &things, SystemTime::now());
        let engine = Engine::open(Some(&folder.path().join("cleanup.toml"))).unwrap();
        let mut plan = Vec::new();
        engine.write_plan(&Request::default(), VALID_FOR, &mut plan, &()).unwrap();
        plan
    };
    PLAN.get_or_init(write).clone()
}

fn read(bytes: &[u8]) -> Result<Plan, PlanError> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    Plan::from_file(file)
}

/// All lines but the last, which is about the others.
fn entries(plan: &[u8]) -> Vec<&[u8]> {
    let mut lines: Vec<&[u8]> = plan.split_inclusive(|byte| *byte == b'\n').collect();
    lines.pop();
    lines
}

proptest! {
    #[test]
    fn no_damage_makes_a_plan_another_one(blows in prop::collection::vec(any::<Blow>(), 1..4)) {
        let whole = written();
        let bytes = damaged(&whole, &blows);
        match read(&bytes) {
            Ok(plan) => {
                prop_assert_eq!(entries(&bytes), entries(&whole));
                let (read, expected) = (plan.summary(), self::read(&whole).unwrap().summary());
                prop_assert_eq!((read.entries, read.bytes), (expected.entries, expected.bytes));
            }
            Err(PlanError::NotAPlan { line, .. }) => {
                let lines = bytes.split_inclusive(|byte| *byte == b'\n').count() as u64;
                prop_assert!((1..=lines.max(1)).contains(&line), "line {} of {}", line, lines);
            }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    #[test]
    fn no_bytes_are_too_strange_for_a_plan(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let header = written().split_inclusive(|byte| *byte == b'\n').next().unwrap().to_vec();
        for bytes in [bytes.clone(), [header.as_slice(), &bytes].concat(), [header.as_slice(), &bytes, b"\n"].concat()] {
            prop_assert!(read(&bytes).is_err());
        }
    }
}

#[test]
fn what_was_found_once_is_not_found_again() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/plans");
    for entry in fs::read_dir(corpus).unwrap() {
        assert!(read(&fs::read(entry.unwrap().path()).unwrap()).is_err());
    }
}
