//! What an earlier version left behind is read, and an upgrade alone holds nothing back.
//!
//! `old/` holds what version 0.1.0 wrote in a folder with a path of 96 bytes: its state folder after two runs, a few
//! holds, a registration and a plan; its quarantine; and what it said about them then. A test puts them into a folder
//! whose path is as long, so that a path is replaced by one of equal length everywhere, also in the database.
//!
//! What it said then has to be said still; more may be said. A rule that was not touched has to count as untouched, so a
//! key that is new, and at its default, must not change what `policies.deciding` in `state.db` and `config` in a plan
//! are compared with.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::world::{DAY, HOUR, World};

/// Where the earlier version ran.
const THERE: &str = "/tmp/the-folder-in-which-this-was-written------------------------------------------------------x";

const RUN: &str = "01KDYAK361AVRGGCV3NBWX3QQN";

const CONFIG: &str = include_str!("old/cleanup.toml");
const DATABASE: &[u8] = include_bytes!("old/state.db");
const PROMISES: &str = include_str!("old/promises.jsonl");
/// How many promises there are.
const GUARD: &str = include_str!("old/promises.guard");
const NOTES: &str = include_str!("old/notes.jsonl");
const PLAN: &str = include_str!("old/plan.jsonl");
/// The settings that the plan was made for, of which it holds a digest.
const SETTINGS: &str = include_str!("old/settings");

const HISTORY: &str = include_str!("old/history.json");
const REPORT: &str = include_str!("old/report.json");
const HOLDS: &str = include_str!("old/holds.json");
const QUARANTINE: &str = include_str!("old/quarantine.json");

#[test]
fn its_history_is_read() {
    let old = Old::new();
    old.says("history --json", HISTORY);
    old.says(&format!("history {RUN} --json"), REPORT);
    old.run(&format!("history {RUN}")).0.lines().find(|line| line.contains("Removed 2 files")).unwrap();
}

#[test]
fn its_promises_are_kept() {
    let old = Old::new();
    let odd = OsStr::from_bytes(b"plain/\xffodd.tmp");
    old.world.file(old.here("plain/held.tmp"), 30 * DAY);
    old.world.file(old.here(odd), 30 * DAY);
    old.world.file(old.here("plain/free.tmp"), 30 * DAY);
    old.world.file(old.here("tracked/told.step"), 30 * DAY);
    old.world.file(old.here("tracked/free.step"), 30 * DAY);
    old.says("hold --list --json", HOLDS);
    let (out, err) = old.run("");
    assert_eq!((out.as_str(), err.as_str()), ("Removed 2 files, freed 8.2 kB.\n", ""));
    for (path, stays) in [("plain/held.tmp", true), ("plain/free.tmp", false), ("tracked/told.step", true)] {
        assert_eq!(old.here(path).exists(), stays, "{path}");
    }
    assert!(old.here(odd).exists());

    old.run("hold plain/held.tmp --release");
    let (out, err) = old.run("");
    assert_eq!((out.as_str(), err.as_str()), ("Removed 1 file, freed 4.1 kB.\n", ""), "and taken back");
}

#[test]
fn its_registrations_count() {
    let old = Old::new();
    // It had this stamp when it was moved in, the next day.
    let stamp = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
    old.world.file(old.here("tracked/moved.step"), stamp.elapsed().unwrap());
    let (explained, _) = old.run("explain tracked/moved.step");
    assert!(explained.contains("  registered ") && !explained.contains("last modified"), "{explained}");
}

#[test]
fn an_upgrade_alone_holds_nothing_back_and_says_nothing() {
    let old = Old::new();
    for number in 0..150 {
        old.world.file(old.here(format!("plain/{number}.tmp")), 30 * DAY);
        old.world.file(old.here(format!("aside/{number}.tmp")), 30 * DAY);
        old.world.file(old.here(format!("rich/below/{number}.tmp")), 30 * DAY);
    }
    // The newest of its stamps cannot be set back, so this one is looked at from tomorrow.
    let (out, err) = old.run("sweep rich --dry-run --at +1d");
    assert_eq!((out.as_str(), err.as_str()), ("Dry run: would remove 149 files, 610.3 kB; nothing was deleted.\n", ""));
    let (out, err) = old.run("");
    assert_eq!(err, "");
    assert_eq!(out, "Removed 150 files and moved 150 files into quarantine, 1.2 MB.\n");
    assert_eq!(old.run(""), (String::new(), String::new()), "nor the next time");
}

#[test]
fn a_rule_that_is_changed_with_the_upgrade_still_counts_as_changed() {
    let old = Old::new();
    for number in 0..150 {
        old.world.file(old.here(format!("plain/{number}.tmp")), HOUR / 2);
    }
    // The first age is that of `plain`.
    fs::write(old.here("cleanup.toml"), CONFIG.replacen("max_age = \"1h\"", "max_age = \"10m\"", 1)).unwrap();
    let (code, out, err) = old.ran("sweep plain");
    assert_eq!(code, Some(4), "{out}{err}");
    assert!(err.contains("max_age was changed from \"1h\" to \"10m\""), "{err}");
    assert_eq!(fs::read_dir(old.here("plain")).unwrap().count(), 150);
}

#[test]
fn what_lies_in_its_quarantine_is_listed_and_comes_back() {
    let old = Old::new();
    old.says("quarantine --json", QUARANTINE);
    old.run("");
    old.says("quarantine --json", QUARANTINE);
    let (_, err) = old.run(&format!("restore {RUN}"));
    assert_eq!(err, "");
    for (path, text) in [(&b"\xffodd.tmp"[..], "1"), (b"one.tmp", "2"), (b"below/two.tmp", "3")] {
        let path = old.here("aside").join(OsStr::from_bytes(path));
        assert_eq!(fs::read_to_string(&path).unwrap(), text, "{}", path.display());
    }
    old.run("");
    assert!(old.here("aside/one.tmp").exists(), "and stays for a while");
}

#[test]
fn its_plans_are_carried_out_on_the_files_that_they_name() {
    let old = Old::new();
    old.world.file(old.here("plain/planned.tmp"), 30 * DAY);
    old.plan("plan.jsonl", &|line| line.to_owned());
    let report: Value = serde_json::from_str(&old.run("apply plan.jsonl --json").0).unwrap();
    assert_eq!((&report["totals"]["removed"], &report["policies"][0]["changed"]), (&0.into(), &1.into()), "{report:#}");
    assert!(old.here("plain/planned.tmp").exists(), "another file by the name of the one that was meant");

    let file = fs::metadata(old.here("plain/planned.tmp")).unwrap();
    let exact = |seconds, nanos| format!("\"{seconds}.{nanos:09}\"");
    old.plan("same.jsonl", &|line| {
        let mut line = line.to_owned();
        for (key, value) in [
            ("device", format!("[{},{}]", rustix::fs::major(file.dev()), rustix::fs::minor(file.dev()))),
            ("inode", file.ino().to_string()),
            ("size", file.size().to_string()),
            ("mtime", exact(file.mtime(), file.mtime_nsec())),
            ("ctime", exact(file.ctime(), file.ctime_nsec())),
        ] {
            line = with_value(&line, key, &value);
        }
        line
    });
    let report: Value = serde_json::from_str(&old.run("apply same.jsonl --json").0).unwrap();
    assert_eq!(report["totals"]["removed"], 1, "{report:#}");
    assert!(!old.here("plain/planned.tmp").exists());
}

/// A folder as the earlier version left it, at another place.
struct Old {
    world: World,
    here: String,
}

impl Old {
    fn new() -> Self {
        let world = World::new();
        let top = world.path("").canonicalize().unwrap().into_os_string().into_string().unwrap();
        let name = THERE.len().checked_sub(top.len() + 1).filter(|length| *length > 0);
        let here = format!("{top}/{}", "x".repeat(name.expect("the path of the temporary folder is short")));
        let old = Self { world, here };
        let run = format!("aside/.cleanup/quarantine/{RUN}-aside");
        for folder in ["plain", "rich/below", "aside/below", "tracked"] {
            fs::create_dir_all(old.here(folder)).unwrap();
        }
        for folder in [".cleanup/locks", &run] {
            DirBuilder::new().mode(0o700).recursive(true).create(old.here(folder)).unwrap();
        }
        fs::write(old.here("cleanup.toml"), CONFIG).unwrap();
        old.write(".cleanup/state.db", &replaced(DATABASE, THERE.as_bytes(), old.here.as_bytes()));
        old.write(".cleanup/locks/promises.jsonl", GUARD.as_bytes());
        old.write(".cleanup/promises.jsonl", old.promises().as_bytes());
        for number in 1..=3 {
            old.write(&format!("{run}/{number}"), number.to_string().as_bytes());
        }
        old.write(&format!("{run}/notes.jsonl"), old.notes(&run).as_bytes());
        old
    }

    fn here(&self, path: impl AsRef<std::path::Path>) -> PathBuf {
        PathBuf::from(&self.here).join(path)
    }

    fn write(&self, path: &str, content: &[u8]) {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.here(path)).unwrap();
        file.write_all(content).unwrap();
    }

    /// Each line has a checksum of what follows it.
    fn promises(&self) -> String {
        const HEAD: usize = "{\"v\":1,\"crc32\":\"01234567\",".len();
        assert_eq!(self.moved(THERE), self.here);
        let line = |line: &str| {
            let (head, rest) = line.split_at(HEAD);
            let checksum = |text: &str| format!("{{\"v\":1,\"crc32\":\"{:08x}\",", crc32(text.as_bytes()));
            assert_eq!(head, checksum(rest), "as it was written");
            let rest = self.moved(rest);
            checksum(&rest) + &rest + "\n"
        };
        PROMISES.lines().map(line).collect()
    }

    /// The notes of files that are these.
    fn notes(&self, run: &str) -> String {
        let line = |(number, line): (usize, &str)| {
            let mut line = self.moved(line);
            if number > 0 {
                let file = fs::metadata(self.here(run).join(number.to_string())).unwrap();
                for (key, value) in [
                    ("device", format!("[{},{}]", rustix::fs::major(file.dev()), rustix::fs::minor(file.dev()))),
                    ("inode", file.ino().to_string()),
                    ("bytes", (file.blocks() * 512).to_string()),
                    ("size", file.size().to_string()),
                    ("mtime", format!("[{},{}]", file.mtime(), file.mtime_nsec())),
                ] {
                    line = with_value(&line, key, &value);
                }
            }
            line + "\n"
        };
        NOTES.lines().enumerate().map(line).collect()
    }

    /// Writes the plan for the same settings in this folder, with its lines about files changed.
    fn plan(&self, name: &str, change: &dyn Fn(&str) -> String) {
        let hex = |text: &str| {
            Sha256::digest(text).iter().fold(String::new(), |mut hex, byte| {
                write!(hex, "{byte:02x}").unwrap();
                hex
            })
        };
        assert!(PLAN.contains(&hex(SETTINGS)), "the settings are those that it was made for");
        let mut plan = String::new();
        for line in PLAN.lines() {
            let line = match line.split('"').nth(1).unwrap() {
                "plan" => line.replace(&hex(SETTINGS), &hex(&self.moved(SETTINGS))),
                "end" => with_value(line, "digest", &format!("\"{}\"", hex(&plan))),
                "remove" => change(line),
                _ => line.to_owned(),
            };
            plan += &line;
            plan.push('\n');
        }
        self.write(name, plan.as_bytes());
    }

    /// The text with this folder's path in the place of that one's, in base64 as well.
    fn moved(&self, text: &str) -> String {
        let encoded = |path: &str| STANDARD.encode(path);
        text.replace(THERE, &self.here).replace(&encoded(THERE), &encoded(&self.here))
    }

    /// Runs a command line in this folder: the exit code and both streams.
    fn ran(&self, line: &str) -> (Option<i32>, String, String) {
        let arguments: Vec<&str> = line.split_whitespace().collect();
        let output = self.world.command(&arguments).current_dir(&self.here).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }

    /// Runs a command line in this folder, which has to succeed; both streams.
    #[track_caller]
    fn run(&self, line: &str) -> (String, String) {
        let (code, out, err) = self.ran(line);
        assert_eq!(code, Some(0), "cleanup {line}\n{out}{err}");
        (out, err)
    }

    /// Demands that a command line still says what it said then.
    #[track_caller]
    fn says(&self, line: &str, then: &str) {
        let (out, err) = self.run(line);
        assert_eq!(err, "", "cleanup {line}");
        let now = serde_json::from_str(&out).unwrap();
        let then = serde_json::from_str(&self.moved(then)).unwrap();
        if let Some(lost) = lost(&then, &now, "") {
            panic!("cleanup {line}: {lost}\n{now:#}");
        }
    }
}

/// What is in `then` and not in `now`: objects may have gained keys.
fn lost(then: &Value, now: &Value, at: &str) -> Option<String> {
    match (then, now) {
        (Value::Object(then), Value::Object(now)) => then.iter().find_map(|(key, value)| match now.get(key) {
            Some(now) => lost(value, now, &format!("{at}.{key}")),
            None => Some(format!("`{at}.{key}` is lost")),
        }),
        (Value::Array(then), Value::Array(now)) if then.len() == now.len() => {
            then.iter().zip(now).enumerate().find_map(|(index, (then, now))| lost(then, now, &format!("{at}[{index}]")))
        }
        _ if then == now => None,
        _ => Some(format!("`{at}` was {then} and is {now}")),
    }
}

/// The line with another value for a key: a number, a text without escapes, or a list of numbers.
fn with_value(line: &str, key: &str, value: &str) -> String {
    let start = line.find(&format!("\"{key}\":")).expect("the line has the key") + key.len() + 3;
    let rest = &line[start..];
    let end = match rest.as_bytes()[0] {
        b'[' => rest.find(']').unwrap() + 1,
        b'"' => rest[1..].find('"').unwrap() + 2,
        _ => rest.find([',', '}']).unwrap(),
    };
    format!("{}{value}{}", &line[..start], &rest[end..])
}

/// As long as what it replaces, so that nothing moves.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let (mut bytes, mut found) = (bytes.to_owned(), 0);
    let mut at = 0;
    while at + from.len() <= bytes.len() {
        if bytes[at..].starts_with(from) {
            bytes[at..at + to.len()].copy_from_slice(to);
            found += 1;
        }
        at += 1;
    }
    assert!(found > 4, "{found}");
    bytes
}

/// CRC-32 as in zip and PNG.
fn crc32(bytes: &[u8]) -> u32 {
    let shifted = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| shifted(crc)))
}
