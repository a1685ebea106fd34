//! The drawing of the house, executed: who may know whom, and what may lie at the top of the repository.
//!
//! A failure here is a question, not a typo: is the new arrow, or the new thing at the top, worth changing the drawing
//! in `docs/architecture.md` for? Then change both.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::{DependencyKind, MetadataCommand};

/// All arrows between our packages: the one on the left may use those on the right, and nobody else of ours.
const ARROWS: &[(&str, &[&str])] = &[
    // faces
    ("cleanup-cli", &["cleanup-engine", "cleanup-units", "cleanup-core"]),
    ("cleanup-server", &["cleanup-engine", "cleanup-core"]),
    ("xtask", &["cleanup-units", "cleanup-core", "cleanup-test-browser", "cleanup-test-postgres"]),
    // wiring
    ("cleanup-engine", &["cleanup-fs-store", "cleanup-pg-sessions", "cleanup-state", "cleanup-core"]),
    // hands: they never see each other
    ("cleanup-fs-store", &["cleanup-core"]),
    ("cleanup-pg-sessions", &["cleanup-core"]),
    ("cleanup-state", &["cleanup-core"]),
    // papers
    ("cleanup-units", &["cleanup-core"]),
    // rule
    ("cleanup-core", &[]),
    // for tests only
    ("cleanup-test-browser", &[]),
    ("cleanup-test-postgres", &[]),
];

/// What every package may use in its tests besides its own arrows.
const FOR_TESTS: &[&str] = &["cleanup-core", "cleanup-test-browser", "cleanup-test-postgres"];

/// Everything that may lie at the top of the repository.
const TOP: &[&str] = &[
    ".cargo",
    ".ci",
    ".config",
    ".dockerignore",
    ".editorconfig",
    ".gitattributes",
    ".github",
    ".gitignore",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "clippy.toml",
    "crates",
    "deny.toml",
    "deploy",
    "docs",
    "rust-toolchain.toml",
    "rustfmt.toml",
    "xtask",
];

#[test]
fn every_arrow_between_our_packages_is_on_the_drawing() {
    let drawing: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    let metadata = MetadataCommand::new().current_dir(top()).no_deps().exec().unwrap();
    let ours: BTreeSet<_> = metadata.packages.iter().map(|package| package.name.as_str()).collect();

    let mut strangers = Vec::new();
    for package in &metadata.packages {
        let Some(known) = drawing.get(package.name.as_str()) else {
            strangers.push(format!("{} is not on the drawing", package.name));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|dependency| ours.contains(dependency.name.as_str())) {
            let name = dependency.name.as_str();
            let for_tests = dependency.kind == DependencyKind::Development && FOR_TESTS.contains(&name);
            if !known.contains(&name) && !for_tests {
                strangers.push(format!("{} -> {name} ({})", package.name, dependency.kind));
            }
        }
    }
    assert!(strangers.is_empty(), "not on the drawing:\n{}", strangers.join("\n"));
}

#[test]
fn a_package_lies_in_the_folder_of_its_name() {
    let metadata = MetadataCommand::new().current_dir(top()).no_deps().exec().unwrap();
    for package in &metadata.packages {
        let folder = match package.name.strip_prefix("cleanup-") {
            Some(name) => top().join("crates").join(name),
            None => top().join(package.name.as_str()),
        };
        assert_eq!(package.manifest_path, folder.join("Cargo.toml"), "{}", package.name);
    }
}

#[test]
fn nothing_lies_at_the_top_without_a_reason() {
    // What git knows or would add; where there is no git (a source archive) everything is ours.
    let listing = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(top())
        .output()
        .ok()
        .filter(|output| output.status.success());
    let entries: BTreeSet<String> = match listing {
        Some(output) => String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter_map(|path| path.split('/').next())
            .map(|entry| entry.trim_matches('"').to_owned())
            .collect(),
        None => std::fs::read_dir(top())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .filter(|entry| entry != "target")
            .collect(),
    };
    let unexplained: Vec<_> = entries.iter().filter(|entry| !TOP.contains(&entry.as_str())).collect();
    assert!(unexplained.is_empty(), "at the top of the repository without a reason: {unexplained:?}");
}

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
