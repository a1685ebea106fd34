//! Every key of `[files.NAME]`, changed alone between two runs: the second one is held when more than a hundred files go
//! by the change, or the key stands here among those that do not hold, each with its reason. The configuration's schema
//! says which keys there are, so a new one fails until it has its line.

#![allow(clippy::unwrap_used, reason = "tests may")]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use cleanup_core::config::schema;
use cleanup_core::report::{PolicyReport, PolicyStatus};
use cleanup_core::sweep::Mode;
use cleanup_engine::{Engine, Request};
use tempfile::TempDir;

/// More than is harmless.
const MANY: usize = 120;
/// Longer than any test machine has been running.
const AGE: Duration = Duration::from_hours(90 * 24);
/// What a line does not say otherwise.
const RULE: [&str; 3] = ["root = 'root'", "include = ['*.tmp']", "max_age = '60d'"];
const SESSIONS: &str = "[sessions.app]\nurl = 'sqlite:///app.db'\ntable = 's'\nid_column = 'name'\nactivity_column = 'at'\n\
                        max_idle = '1h'\nenabled = false\n";
const REFERENCED: &str = "keep_referenced = { sessions = 'app', query = 'select name from s' }";
const QUARANTINE: &str = "dispose = 'quarantine'";
/// Age takes nothing; what goes goes by a limit.
const BY_LIMIT: &str = "max_age = '1000d'";
/// More than any file system has that somebody works on, and less than all of it.
const SHORT: &str = "max_age = '1000d'\nmin_free = '99.9999999%'";

struct Line {
    key: &'static str,
    before: String,
    now: String,
    things: Things,
    then: Then,
}

/// What lies below the root.
#[derive(Clone, Copy)]
enum Things {
    /// Files that are there in both runs: the first one keeps them.
    Files(&'static str),
    /// Files that come between the two, where the first one would not have kept them.
    LaterFiles(&'static str),
    /// Directories with a file in each.
    Directories,
    EmptyDirectories,
}

enum Then {
    /// The second run is held, and says this.
    Held(&'static str),
    /// It is not, although the key has a say in what goes.
    Goes { why: &'static str },
    /// The same is due with it and without it.
    DecidesNothing { why: &'static str },
}

fn held(key: &'static str, before: &str, now: &str, things: Things) -> Line {
    Line { key, before: before.to_owned(), now: now.to_owned(), things, then: Then::Held(key) }
}

fn decides_nothing(key: &'static str, before: &str, now: &str, why: &'static str) -> Line {
    let things = Things::LaterFiles("");
    Line { key, before: before.to_owned(), now: now.to_owned(), things, then: Then::DecidesNothing { why } }
}

#[rustfmt::skip]
fn lines() -> Vec<Line> {
    use Things::{EmptyDirectories, Files, LaterFiles};
    let with_quarantine = |key: &str| format!("{QUARANTINE}\n{key}");
    vec![
        held("root", "root = 'other'", "", Files("")),
        held("include", "include = ['*.bak']", "", Files("")),
        held("exclude", "exclude = ['*.tmp']", "", Files("")),
        held("archives", "archives = ['*.tmp']", "", Files("")),
        held("include_archives", "archives = ['*.tmp']", "archives = ['*.tmp']\ninclude_archives = true", Files("")),
        held("dotfiles", "include = ['*']", "include = ['*']\ndotfiles = true", Files(".")),
        held("max_age", "max_age = '1000d'", "", Files("")),
        held("min_age", "min_age = '1h'", "", Files("")),
        held("stamp", "stamp = 'ctime'", "", Files("")),
        held("age_clock", "age_clock = 'running'", "", Files("")),
        held("recursive", "", "recursive = true", Files("deep/")),
        held("max_depth", "recursive = true\nmax_depth = 1", "recursive = true\nmax_depth = 2", Files("deep/")),
        held("unit", "include = ['*']", "include = ['*']\nunit = 'directory'", Things::Directories),
        held("keep_newest", "keep_newest = 1000", "", Files("")),
        held("max_files", &format!("{BY_LIMIT}\nmax_files = 1000"), &format!("{BY_LIMIT}\nmax_files = 1"), Files("")),
        held("max_total_size", &format!("{BY_LIMIT}\nmax_total_size = '1GB'"), &format!("{BY_LIMIT}\nmax_total_size = '4KiB'"), Files("")),
        held("min_free", &format!("{BY_LIMIT}\nmin_free = '1B'"), SHORT, Files("")),
        // What goes by it depends on the policies beside it; here, all that came since.
        held("weight", SHORT, &format!("{SHORT}\nweight = 2"), LaterFiles("")),
        held("keep_referenced", REFERENCED, "", Files("")),
        // Nothing else keeps these from the first run.
        held("skip_in_use", "skip_in_use = true", "", LaterFiles("")),
        held("honour_flock", "honour_flock = true", "", LaterFiles("")),
        Line {
            then: Then::Held("the last run, which only observed"),
            ..held("mode", "mode = 'observe'", "", LaterFiles(""))
        },
        Line {
            then: Then::Goes { why: "there is nothing in an empty folder that could be lost" },
            ..held("remove_empty_dirs", "recursive = true", "recursive = true\nremove_empty_dirs = true", EmptyDirectories)
        },
        Line {
            then: Then::Goes { why: "a policy that was off has no last run to compare with" },
            ..held("enabled", "enabled = false", "", LaterFiles(""))
        },
        decides_nothing("root_may_be_missing", "", "root_may_be_missing = true", "where there is no root nothing goes"),
        decides_nothing("dispose", QUARANTINE, "", "what becomes of what is due is another question than what is due"),
        decides_nothing("quarantine_for", &with_quarantine("quarantine_for = '30d'"), &with_quarantine("quarantine_for = '1h'"),
            "what lies there was due when it went"),
        decides_nothing("quarantine_max_size", &with_quarantine(""), &with_quarantine("quarantine_max_size = '1GB'"),
            "what lies there was due when it went"),
        decides_nothing("index", "index = false", "", "what it passes by is looked at later"),
        decides_nothing("max_removals", "max_removals = 1", "", "a brake limits the damage of a rule, and is no part of it"),
        decides_nothing("max_removal_percent", "max_removal_percent = 1", "", "a brake"),
        decides_nothing("max_consecutive_errors", "max_consecutive_errors = 1", "", "a brake"),
        decides_nothing("max_runtime", "max_runtime = '1h'", "", "a brake"),
        decides_nothing("track", "", "track = true", "it says when somebody looks"),
        decides_nothing("every", "", "every = '1h'", "it says when somebody looks"),
        decides_nothing("cron", "", "cron = '0 3 * * *'", "it says when somebody looks"),
    ]
}

struct World(TempDir);

impl World {
    fn new() -> Self {
        let world = Self(TempDir::new().unwrap());
        for root in ["root", "root/deep", "other"] {
            fs::create_dir(world.path(root)).unwrap();
        }
        age(&world.path("root/deep"));
        world
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn fill(&self, things: Things) {
        for number in 0..MANY {
            let path = match things {
                Things::Files(before) | Things::LaterFiles(before) => {
                    self.path(&format!("root/{before}due-{number}.tmp"))
                }
                Things::Directories | Things::EmptyDirectories => self.path(&format!("root/due-{number}")),
            };
            match things {
                Things::Files(_) | Things::LaterFiles(_) => fs::write(&path, [b' '; 4096]).unwrap(),
                Things::Directories => {
                    fs::create_dir(&path).unwrap();
                    fs::write(path.join("a"), "").unwrap();
                    age(&path.join("a"));
                }
                Things::EmptyDirectories => fs::create_dir(&path).unwrap(),
            }
            age(&path);
        }
    }

    /// The database that says which names are still needed: all of them.
    fn make_database(&self) {
        let names: Vec<String> = (0..MANY).map(|number| format!("('due-{number}.tmp', 0)")).collect();
        let sql = format!("create table s (name text, at integer); insert into s values {}", names.join(", "));
        let program = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).executescript(sys.argv[2])";
        let made = Command::new("python3").args(["-c", program]).arg(self.path("app.db")).arg(sql).status();
        assert!(made.unwrap().success(), "python3 makes the database");
    }

    fn configure(&self, keys: &str) {
        let is_given = |line: &str| {
            let key = line.split_once(' ').unwrap().0;
            keys.lines().any(|given| given.split_once(' ').is_some_and(|(given, _)| given == key))
        };
        let rule: Vec<&str> = RULE.into_iter().filter(|line| !is_given(line)).collect();
        let text = format!("[files.f]\n{}\n{keys}\n{SESSIONS}", rule.join("\n"));
        fs::write(self.path("cleanup.toml"), text).unwrap();
    }

    /// As another process does it.
    fn run(&self, request: &Request) -> PolicyReport {
        let engine = Engine::open(Some(&self.path("cleanup.toml"))).unwrap();
        let request = Request { policies: vec!["f".to_owned()], ..request.clone() };
        engine.sweep(&request, &()).unwrap().policies.remove(0)
    }

    fn left(&self) -> usize {
        let in_folder = |folder: &str| {
            fs::read_dir(self.path(folder)).map_or(0, |entries| {
                let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
                names.filter(|name| name.contains("due-")).count()
            })
        };
        in_folder("root") + in_folder("root/deep")
    }
}

fn age(path: &Path) {
    File::open(path).unwrap().set_modified(SystemTime::now() - AGE).unwrap();
}

fn check(line: &Line) {
    let Line { key, before, now, things, then } = line;
    let world = World::new();
    let (apply, plan) = (Request { mode: Mode::Apply, ..Request::default() }, Request::default());
    if before.contains("keep_referenced") {
        world.make_database();
    }
    let is_later = matches!(things, Things::LaterFiles(_));
    if !is_later {
        world.fill(*things);
    }
    world.configure(before);
    let first = world.run(&apply);
    assert_ne!(first.status, PolicyStatus::Held, "{key}: {first:?}");
    if is_later {
        world.fill(*things);
    }
    assert_eq!(world.left(), MANY, "{key}: {first:?}");
    // What is left for the next run is due as well.
    let due = |report: &PolicyReport| report.counts.due + report.counts.kept.deferred;
    let due_before = due(&world.run(&plan));

    world.configure(now);
    let planned = world.run(&plan);
    let second = world.run(&apply);
    match then {
        Then::Held(says) => {
            assert_eq!((planned.status, second.status), (PolicyStatus::Held, PolicyStatus::Held), "{key}: {second:?}");
            assert!(second.message.as_ref().is_some_and(|message| message.contains(says)), "{key}: {second:?}");
            assert_eq!(world.left(), MANY, "{key}");
            let forced = world.run(&Request { force: true, ..apply });
            assert!(world.left() < MANY - 100, "{key}: the change takes more than a hundred: {forced:?}");
        }
        Then::Goes { why } => {
            assert_ne!(second.status, PolicyStatus::Held, "{key} ({why}): {second:?}");
            assert!(world.left() < MANY - 100, "{key}: {second:?}");
        }
        Then::DecidesNothing { why } => {
            assert_eq!(due(&planned), due_before, "{key} ({why}): {planned:?}");
            assert_ne!(second.status, PolicyStatus::Held, "{key} ({why}): {second:?}");
        }
    }
}

#[test]
fn a_key_that_is_changed_alone_holds_the_next_run_or_is_excused() {
    let lines = lines();
    let known: BTreeSet<&str> = lines.iter().map(|line| line.key).collect();
    let schema = schema();
    let keys = schema["$defs"]["FilePolicy"]["properties"].as_object().unwrap();
    let all: BTreeSet<&str> = keys.keys().map(String::as_str).collect();
    assert_eq!(known, all, "every key of the schema has a line, and every line a key");
    assert_eq!(known.len(), lines.len());
    std::thread::scope(|scope| {
        let tries: Vec<_> = lines.chunks(8).map(|some| scope.spawn(|| some.iter().for_each(check))).collect();
        tries.into_iter().for_each(|tried| tried.join().unwrap());
    });
}
