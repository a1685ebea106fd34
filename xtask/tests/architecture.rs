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
    ("cleanup-cli", &["cleanup-engine", "cleanup-metrics", "cleanup-units", "cleanup-core"]),
    ("cleanup-server", &["cleanup-engine", "cleanup-metrics", "cleanup-core"]),
    ("xtask", &["cleanup-units", "cleanup-core", "cleanup-test-browser", "cleanup-test-postgres"]),
    // wiring
    ("cleanup-engine", &["cleanup-fs-store", "cleanup-notify", "cleanup-pg-sessions", "cleanup-state", "cleanup-core"]),
    // hands: they never see each other
    ("cleanup-fs-store", &["cleanup-core"]),
    ("cleanup-notify", &["cleanup-core"]),
    ("cleanup-pg-sessions", &["cleanup-core"]),
    ("cleanup-state", &["cleanup-core"]),
    // papers
    ("cleanup-units", &["cleanup-core"]),
    ("cleanup-metrics", &["cleanup-core"]),
    // rule
    ("cleanup-core", &[]),
    // for tests only
    ("cleanup-test-browser", &[]),
    ("cleanup-test-postgres", &[]),
    ("cleanup-test-webhook", &[]),
];

/// What every package may use in its tests besides its own arrows.
const FOR_TESTS: &[&str] = &["cleanup-core", "cleanup-test-browser", "cleanup-test-postgres", "cleanup-test-webhook"];

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

/// What files of a package must not name, and why: the files and folders, what they must not name, the reason.
type Rules = &'static [(&'static [&'static str], &'static [&'static str], &'static str)];

const ENGINE_RULES: Rules = &[
    (
        &["setup.rs", "state/", "run/", "quarantine/mod.rs", "request.rs", "responses/"],
        &["crate::engine", "crate::plan", "crate::query", "crate::Engine"],
        "whatever runs a policy is given `Setup`; `Engine` lies above it",
    ),
    (
        &["track/", "plan/", "query/", "quarantine/"],
        &["cleanup_core::sweep::sweep", "sweep::{sweep", ", sweep}", "brake::check"],
        "everything that is removed goes through `run::policy_run`, with its gates and its traces",
    ),
    (
        &["track/", "plan/", "query/", "quarantine/", "engine.rs"],
        &["crate::run::audit", "record_run", "remember_policy"],
        "traces are left by `run::record`",
    ),
];

const SERVER_RULES: Rules = &[
    (&["app/"], &["axum", "StatusCode"], "use cases return values and `AppError`; `web` turns both into HTTP"),
    (
        &["app/", "background/", "telemetry/", "net/"],
        &["crate::web", "crate::lifecycle"],
        "`web` stands above them, and whoever starts everything above that",
    ),
    (&["app/", "telemetry/", "net/", "web/"], &["crate::background"], "what runs by itself calls, and is not called"),
    (&["telemetry/", "net/"], &["crate::app"], "they are told, and ask nobody"),
    (&["web/api/"], &["dashboard"], "JSON and pages are siblings: what both need is in `app`, or above both in `web`"),
    (&["web/dashboard/"], &["web::api", "super::api"], "pages and JSON are siblings"),
];

#[test]
fn the_rooms_keep_their_walls() {
    let mut broken = Vec::new();
    for (package, rules) in [("engine", ENGINE_RULES), ("server", SERVER_RULES)] {
        for (path, text) in sources(package) {
            for (places, names, why) in rules {
                if places.iter().any(|place| path == *place || (place.ends_with('/') && path.starts_with(place))) {
                    let named = names.iter().filter(|name| uses(&text).iter().any(|line| line.contains(**name)));
                    broken.extend(named.map(|name| format!("{package}/{path} names {name}: {why}")));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// The rooms of the row store that all databases share, and the databases.
const SHARED_ROOMS: &[&str] = &["report/", "rule/", "run/", "url/"];
const DATABASES: &[&str] = &["postgres", "sqlite"];

#[test]
fn databases_share_rooms_and_do_not_know_each_other() {
    let mut broken = Vec::new();
    for (path, text) in sources("pg-sessions") {
        let is_shared = SHARED_ROOMS.iter().any(|room| path.starts_with(room)) && !path.ends_with("tests.rs");
        let strangers = DATABASES.iter().filter(|database| {
            let is_another = DATABASES.iter().any(|own| path.starts_with(own)) && !path.starts_with(**database);
            is_shared || is_another
        });
        let named = strangers.filter(|database| {
            let name = format!("crate::{database}");
            uses(&text).iter().any(|line| line.contains(&name))
        });
        broken.extend(named.map(|database| format!("{path} names {database}")));
    }
    assert!(broken.is_empty(), "one more database would be a fork and no folder:\n{}", broken.join("\n"));
}

#[test]
fn no_files_of_the_engine_use_each_other_in_a_circle() {
    assert_no_circle("engine");
}

#[test]
fn no_files_of_the_server_use_each_other_in_a_circle() {
    assert_no_circle("server");
}

/// Files of one room may share what their `mod.rs` holds; beyond that, no file uses one that uses it.
fn assert_no_circle(package: &str) {
    let sources = sources(package);
    let files: BTreeSet<&str> = sources.iter().map(|(path, _)| path.as_str()).collect();
    let mut arrows: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (path, text) in &sources {
        let room = path.strip_suffix("mod.rs").or_else(|| Some(&path[..=path.rfind('/')?])).unwrap_or("");
        let mut known = BTreeSet::new();
        for name in uses(text).iter().flat_map(|line| names(line)) {
            let (base, rest) = match name.split_once("::") {
                Some(("crate", rest)) => ("", rest.to_owned()),
                Some(("self" | "super", rest)) => (room, rest.to_owned()),
                _ => continue,
            };
            known.extend(file_of(&files, base, &rest));
        }
        // What a room's own `mod.rs` holds is everybody's in it.
        known.retain(|other| {
            *other != path && !(other.ends_with("mod.rs") && path.starts_with(other.trim_end_matches("mod.rs")))
        });
        arrows.insert(path, known);
    }
    // Whoever uses nobody that is left is taken away; what cannot be taken away is a circle.
    while let Some(done) = arrows.iter().find(|(_, uses)| uses.is_empty()).map(|(path, _)| *path) {
        arrows.remove(done);
        for uses in arrows.values_mut() {
            uses.retain(|used| *used != done);
        }
    }
    assert!(arrows.is_empty(), "in a circle, or using one: {arrows:#?}");
}

#[test]
fn one_clock_tells_the_time() {
    let clocks = ["SystemTime::now", "Timestamp::now", "Zoned::now"];
    let mut found = Vec::new();
    for package in ["cli", "engine", "fs-store", "notify", "pg-sessions", "server", "state", "units"] {
        for (path, text) in sources(package) {
            // Tests may ask for the time of their own files.
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            let is_named = clocks.iter().any(|clock| code.contains(clock)) && !path.ends_with("tests.rs");
            found.extend(is_named.then(|| format!("{package}/{path}")));
        }
    }
    assert_eq!(found, ["engine/clock.rs"], "everybody else is handed `now`, or asks `cleanup_engine::now`");
}

/// The source files of a package, by path below its `src`, in the order of their paths.
fn sources(package: &str) -> Vec<(String, String)> {
    let src = top().join("crates").join(package).join("src");
    let mut folders = vec![src.clone()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(&src).unwrap().to_str().unwrap().to_owned(), text));
            }
        }
    }
    found.sort();
    assert!(found.len() > 5, "{package} has moved");
    found
}

/// The `use` declarations of a file, each on a line, those of its tests left out.
fn uses(text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let mut found = Vec::new();
    let mut open: Option<String> = None;
    for line in code.lines() {
        let begins = ["use ", "pub use ", "pub(crate) use ", "pub(super) use "].iter().any(|it| line.starts_with(it));
        if begins || open.is_some() {
            let whole = open.take().unwrap_or_default() + line.trim();
            if line.ends_with(';') { found.push(whole) } else { open = Some(whole) }
        }
    }
    found
}

/// The paths of one `use` declaration: `use a::{b, c::{self, d}};` names `a::b`, `a::c`, `a::c::d`.
fn names(line: &str) -> Vec<String> {
    let path = line.trim_end_matches(';').split_once("use ").map_or("", |(_, path)| path);
    let mut found = Vec::new();
    let mut prefix: Vec<String> = Vec::new();
    let mut word = String::new();
    for letter in path.chars().chain([',']) {
        match letter {
            '{' => prefix.push(std::mem::take(&mut word)),
            ',' | '}' => {
                if !word.trim().is_empty() {
                    found.push(prefix.concat() + word.trim());
                }
                word.clear();
                if letter == '}' {
                    prefix.pop();
                }
            }
            ' ' => {}
            _ => word.push(letter),
        }
    }
    found
}

/// The file that a path below a room leads to.
fn file_of<'a>(files: &BTreeSet<&'a str>, room: &str, path: &str) -> Option<&'a str> {
    let parts: Vec<&str> = path.split("::").collect();
    (1..=parts.len()).rev().find_map(|length| {
        let module = room.to_owned() + &parts[..length].join("/");
        [format!("{module}.rs"), format!("{module}/mod.rs")].iter().find_map(|file| files.get(file.as_str()).copied())
    })
}

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
