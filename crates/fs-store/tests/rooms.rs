//! The rooms of this crate, executed: who stands on whom.
//!
//! A failure here is a question, not a typo: is the new arrow worth changing the order in `src/lib.rs` for?

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};

/// The source of a room, its tests left out, by file.
fn sources(room: &str) -> Vec<(PathBuf, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let single = src.join(format!("{room}.rs"));
    let files = if single.exists() {
        vec![single]
    } else {
        fs::read_dir(src.join(room)).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned();
        (path, code)
    };
    let is_code = |path: &PathBuf| path.file_name().is_some_and(|name| name != "tests.rs");
    files.into_iter().filter(is_code).map(read).collect()
}

/// The rooms that a source names.
fn named(code: &str) -> Vec<&str> {
    let is_end = |c: char| !c.is_alphanumeric() && c != '_';
    code.split("crate::").skip(1).filter_map(|rest| rest.split(is_end).next()).collect()
}

#[test]
fn every_room_names_only_those_below_it() {
    let below: [(&str, &[&str]); 8] = [
        ("sys", &[]),
        ("protected", &["sys"]),
        ("rivals", &["sys"]),
        ("tree", &["sys", "protected", "rivals"]),
        ("walk", &["sys", "protected", "rivals", "tree", "act"]),
        // What is due goes into quarantine, and what lies there is emptied.
        ("act", &["sys", "protected", "rivals", "tree", "walk", "quarantine"]),
        ("quarantine", &["sys", "tree", "act"]),
        ("select", &["sys", "protected", "rivals", "tree", "walk", "act"]),
    ];
    let mut strangers = Vec::new();
    for (room, known) in below {
        let sources = sources(room);
        assert!(!sources.is_empty(), "{room}");
        for (path, code) in sources {
            for name in named(&code) {
                if name != room && !known.contains(&name) {
                    strangers.push(format!("{} names {name}", path.display()));
                }
            }
        }
    }
    assert!(strangers.is_empty(), "{}", strangers.join("\n"));
}

#[test]
fn directories_are_read_in_one_place() {
    let rooms = ["sys", "protected", "rivals", "tree", "walk", "act", "quarantine", "select", "watch", "store"];
    let mut readers: Vec<_> = rooms
        .into_iter()
        .flat_map(sources)
        .filter(|(_, code)| {
            code.contains("RawDir::new") || code.contains("Dir::read_from") || code.contains("read_dir(")
        })
        .map(|(path, _)| path.file_name().unwrap().to_owned())
        .collect();
    readers.sort();
    assert_eq!(readers, ["dir.rs"]);
}
