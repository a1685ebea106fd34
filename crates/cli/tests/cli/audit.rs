//! The audit log: a line for everything that left its place, in files of a bounded size.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use serde_json::Value;

use crate::world::{DAY, MINUTE, NOBODY, World, am_root};

fn lines(world: &World, file: &str) -> Vec<Value> {
    let text = fs::read_to_string(world.path(file)).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_removal_is_written_down_with_its_reason() {
    let world = World::with_policy("[audit]\nfile = \"audit.jsonl\"");
    world.file("out/due.tmp", DAY);
    world.file("out/a\nb.tmp", DAY);
    world.file("out/young.tmp", MINUTE);
    world.run("--dry-run").exits(0);
    assert!(!world.path("audit.jsonl").exists(), "a dry run removes nothing");
    let report = world.run("--json").json();
    let lines = lines(&world, "audit.jsonl");
    let line = lines.iter().find(|line| line["path"].as_str().unwrap().ends_with("/out/due.tmp")).unwrap();
    assert_eq!((lines.len(), &line["action"], &line["policy"]), (2, &"removed".into(), &"out".into()));
    assert_eq!((&line["run"], &line["bytes"]), (&report["run_id"], &4096.into()));
    assert_eq!(line["reason"], "last modified 24h ago, older than max_age 1h");
    assert_eq!(fs::metadata(world.path("audit.jsonl")).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn what_is_moved_aside_and_what_is_deleted_later_is_written_down_too() {
    let world =
        World::with_policy("dispose = \"quarantine\"\nquarantine_for = \"1ms\"\n[audit]\nfile = \"audit.jsonl\"");
    world.file("out/due.tmp", DAY);
    world.run("").exits(0);
    world.run("").exits(0);
    let actions: Vec<_> = lines(&world, "audit.jsonl").iter().map(|line| line["action"].clone()).collect();
    assert_eq!(actions, ["quarantined", "purged"]);
}

#[test]
fn the_log_is_turned_over_at_its_size_and_nothing_is_lost_within_what_is_kept() {
    let world = World::with_policy("[audit]\nfile = \"audit.jsonl\"\nmax_size = \"4096\"\nkeep = 3");
    let mut total = 0;
    for round in 0..4 {
        for number in 0..12 {
            world.file(format!("out/{round}-{number}.tmp"), DAY);
        }
        total += 12;
        world.run("").exits(0);
    }
    let files = ["audit.jsonl", "audit.jsonl.1", "audit.jsonl.2", "audit.jsonl.3"];
    let kept: usize = files.iter().map(|file| lines(&world, file).len()).sum();
    assert_eq!(kept, total);
    for file in &files[1..] {
        let size = fs::metadata(world.path(file)).map_or(4096, |meta| meta.len());
        assert!((4096..4096 + 1024).contains(&size), "{file}: {size}");
    }
    assert!(!world.path("audit.jsonl.4").exists());
}

#[test]
fn a_log_that_cannot_be_written_stops_nothing_and_is_said() {
    let world = World::with_policy("[audit]\nfile = \"no/such/folder/audit.jsonl\"");
    world.file("out/due.tmp", DAY);
    let ran = world.run("");
    ran.exits(0);
    assert!(ran.err.contains("lines are missing from"), "{ran}");
    assert!(world.left("out").is_empty());

    // A link there is not followed: whoever can put one there would choose what root writes into.
    let world = World::with_policy("[audit]\nfile = \"audit.jsonl\"");
    world.write("victim", "");
    std::os::unix::fs::symlink(world.path("victim"), world.path("audit.jsonl")).unwrap();
    world.file("out/due.tmp", DAY);
    assert!(world.run("").err.contains("lines are missing from"));
    assert_eq!(fs::read_to_string(world.path("victim")).unwrap(), "");
}

#[test]
fn the_log_is_never_a_candidate_of_its_own() {
    let world = World::new();
    world.write(
        "cleanup.toml",
        "[files.all]\nroot = 'out'\ninclude = ['*']\nmax_age = '1h'\n[audit]\nfile = 'out/audit.jsonl'\n",
    );
    world.file("out/due", DAY);
    world.file("out/audit.jsonl", DAY);
    world.file("out/audit.jsonl.1", DAY);
    world.run("").exits(0);
    assert_eq!(world.left("out"), ["audit.jsonl", "audit.jsonl.1"]);
}

/// A sweep that has something to write into its log, and does not wait for anybody.
fn swept(world: &World) -> crate::world::Ran {
    world.file("out/due.tmp", DAY);
    let ran = world.run_within("", Duration::from_secs(60));
    assert!(world.left("out").is_empty(), "{ran}");
    ran.exits(0);
    ran
}

#[test]
fn a_log_that_is_no_regular_file_is_neither_waited_for_nor_written() {
    let world = World::with_policy("[audit]\nfile = \"audit.jsonl\"");
    let log = world.path("audit.jsonl");
    // Nobody reads it.
    let made = std::process::Command::new("mkfifo").arg(&log).status().unwrap();
    assert!(made.success());
    let ran = swept(&world);
    assert!(ran.err.contains("audit.jsonl: it is not a regular file"), "{ran}");
    // Somebody does: opened both ways, it does not wait.
    let mut reader = fs::File::options().read(true).write(true).open(&log).unwrap();
    let ran = swept(&world);
    assert!(ran.err.contains("audit.jsonl: it is not a regular file"), "{ran}");
    std::io::Write::write_all(&mut reader, b"end").unwrap();
    let mut read = [0; 3];
    std::io::Read::read_exact(&mut reader, &mut read).unwrap();
    assert_eq!(&read, b"end", "nothing was written");

    fs::remove_file(&log).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(&log).unwrap();
    assert!(swept(&world).err.contains("audit.jsonl: it is not a regular file"));
    fs::remove_file(&log).unwrap();
    fs::create_dir(&log).unwrap();
    assert!(swept(&world).err.contains("lines are missing from"));
}

#[test]
fn a_strangers_log_is_not_written() {
    if !am_root() {
        eprintln!("SKIPPED: only root can give a file to another user");
        return;
    }
    let world = World::with_policy("[audit]\nfile = \"audit.jsonl\"");
    world.write("audit.jsonl", "");
    std::os::unix::fs::chown(world.path("audit.jsonl"), Some(NOBODY), None).unwrap();
    let ran = swept(&world);
    assert!(ran.err.contains("audit.jsonl: it belongs to another user (uid 65534)"), "{ran}");
    assert_eq!(fs::read_to_string(world.path("audit.jsonl")).unwrap(), "");
}

#[test]
fn whoever_locks_the_log_keeps_no_sweep_waiting() {
    let world = World::with_policy("[audit]\nfile = \"audit.jsonl\"\nmax_size = \"4096\"");
    world.write("audit.jsonl", &"x".repeat(5000));
    let log = fs::File::open(world.path("audit.jsonl")).unwrap();
    rustix::fs::flock(&log, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let ran = swept(&world);
    assert!(!ran.err.contains("lines are missing from"), "{ran}");
    assert!(fs::read_to_string(world.path("audit.jsonl")).unwrap().contains("due.tmp"), "it is written all the same");
    drop(log);
    swept(&world);
    assert!(world.path("audit.jsonl.1").exists());
}

#[test]
fn a_hold_and_its_release_are_written_down_and_can_be_searched_for() {
    let world = World::with_policy("[audit]\nfile = \"audit.jsonl\"");
    for name in ["out/one.tmp", "out/two.tmp"] {
        world.file(name, DAY);
        world.run(&format!("hold {name} --for 1h")).exits(0);
    }
    let found = world.run("hold --list --contains two").exits(0).to_owned();
    assert!(found.contains("/out/two.tmp") && !found.contains("one.tmp"), "{found}");
    assert!(world.run("hold --list --policy out").exits(0).lines().count() == 2);
    assert_eq!(world.run("hold --list --contains three").exits(0), "No matching holds.\n");
    world.run("hold --list --policy nosuch").exits(2);
    world.run("hold --contains one --for 1h out/one.tmp").exits(2);
    world.run("hold --release out/one.tmp").exits(0);
    let lines = lines(&world, "audit.jsonl");
    let told: Vec<_> = lines.iter().map(|line| (line["action"].as_str().unwrap(), line.get("run"))).collect();
    assert_eq!(told, [("held", None), ("held", None), ("released", None)]);
    assert!(lines[2]["path"].as_str().unwrap().ends_with("/out/one.tmp"));
}
