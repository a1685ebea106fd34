//! Plans: what is written down is removed exactly so, and nothing that has become another file since.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use serde_json::Value;

use crate::world::{DAY, HOUR, MINUTE, World};

fn lines(world: &World, plan: &str) -> Vec<Value> {
    let text = fs::read_to_string(world.path(plan)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Three due files, a young one, and a plan.
fn planned() -> World {
    let world = World::with_policy("");
    for name in ["a", "b", "c"] {
        world.file(format!("out/{name}.tmp"), DAY);
    }
    world.file("out/young.tmp", MINUTE);
    world.run("plan -o plan.jsonl").exits(0);
    assert_eq!(world.left("out").len(), 4, "a plan removes nothing");
    world
}

#[test]
fn a_plan_is_carried_out_to_the_letter() {
    let world = planned();
    let lines = lines(&world, "plan.jsonl");
    assert_eq!(lines.len(), 6);
    let first = &lines[2]["remove"];
    let path = world.path("out").join(first["path"].as_str().unwrap());
    let meta = fs::metadata(&path).unwrap();
    assert_eq!(first["inode"], meta.ino());
    assert_eq!(first["mtime"], format!("{}.{:09}", meta.mtime(), meta.mtime_nsec()));
    assert_eq!(first["ctime"], format!("{}.{:09}", meta.ctime(), meta.ctime_nsec()));
    assert_eq!(first["reason"], "last modified 24h ago, older than max_age 1h");
    assert_eq!(fs::metadata(world.path("plan.jsonl")).unwrap().mode() & 0o777, 0o600);

    // Due by now, but nobody has read of it.
    world.file("out/later.tmp", DAY);
    let report = world.run("apply plan.jsonl --json").json();
    assert_eq!(report["totals"]["removed"], 3);
    assert_eq!(world.left("out"), ["later.tmp", "young.tmp"]);

    let again = world.run("apply plan.jsonl --json").json();
    assert_eq!((&again["totals"]["removed"], &again["policies"][0]["vanished"]), (&0.into(), &3.into()));
    assert!(world.run("history").exits(0).lines().count() >= 2, "an applied plan is a run like any other");
}

#[test]
fn what_is_another_file_now_stays_and_so_does_what_is_held() {
    let world = planned();
    // The same name, size and mtime: only the inode tells.
    let mtime = fs::metadata(world.path("out/a.tmp")).unwrap().modified().unwrap();
    fs::remove_file(world.path("out/a.tmp")).unwrap();
    world.file("out/a.tmp", DAY);
    fs::File::options().write(true).open(world.path("out/a.tmp")).unwrap().set_modified(mtime).unwrap();
    world.run("hold out/b.tmp --for 1d").exits(0);

    let report = world.run("apply plan.jsonl --json").json();
    let policy = &report["policies"][0];
    assert_eq!((&policy["changed"], &policy["kept"]["held"], &policy["removed"]), (&1.into(), &1.into(), &1.into()));
    assert_eq!(world.left("out"), ["a.tmp", "b.tmp", "young.tmp"]);
}

#[test]
fn a_file_behind_a_link_that_took_its_folder_s_place_stays() {
    let world = World::new();
    world.write("cleanup.toml", "[files.out]\nroot = 'out'\ninclude = ['*']\nmax_age = '1h'\nrecursive = true\n");
    world.file("out/sub/a", DAY);
    world.run("plan -o plan.jsonl").exits(0);
    fs::rename(world.path("out/sub"), world.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink(world.path("elsewhere"), world.path("out/sub")).unwrap();
    let report = world.run("apply plan.jsonl --json").json();
    assert_eq!((&report["totals"]["removed"], &report["policies"][0]["changed"]), (&0.into(), &1.into()));
    assert!(world.path("elsewhere/a").exists());
}

#[test]
fn a_plan_that_is_edited_cut_foreign_or_too_old_is_refused() {
    let world = planned();
    let text = fs::read_to_string(world.path("plan.jsonl")).unwrap();
    let refused = |text: &str, why: &str| {
        world.write("other.jsonl", text);
        let ran = world.run("apply other.jsonl");
        ran.exits(1);
        assert!(ran.err.contains(why), "{ran}");
        assert_eq!(world.left("out").len(), 4, "{why}");
    };
    refused(&text.replacen("a.tmp", "young.tmp", 1), "was edited");
    let mut without: Vec<&str> = text.lines().collect();
    without.remove(2);
    refused(&(without.join("\n") + "\n"), "was edited");
    refused(&text.replacen("\"entries\":3", "\"entries\":4", 1), "was edited");
    refused(&format!("{text}{{\"end\":{{\"entries\":0,\"bytes\":0,\"digest\":\"\"}}}}\n"), "was edited");
    let cut = text.trim_end().rsplit_once('\n').unwrap().0;
    refused(&format!("{cut}\n"), "incomplete");
    refused(cut, "incomplete");
    refused("", "line 1: not a plan entry");
    refused("[files.a]\n", "line 1: not a plan entry");
    refused(&"x".repeat(200_000), "line 1: not a plan entry: it is too long");

    let config = fs::read_to_string(world.path("cleanup.toml")).unwrap();
    world.write("cleanup.toml", &config.replace("1h", "2h"));
    refused(&text, "their settings have changed");
    world.write("cleanup.toml", &config.replace("files.out", "files.other"));
    refused(&text, "made for other policies");
    world.write("cleanup.toml", &config);
    world.run("plan -o short.jsonl --valid-for 1ms").exits(0);
    let short = fs::read_to_string(world.path("short.jsonl")).unwrap();
    refused(&short, "expired at");
    world.run("apply plan.jsonl").exits(0);
    assert_eq!(world.left("out"), ["young.tmp"], "and the one that was not touched counts still");
}

#[test]
fn the_exit_code_says_whether_there_is_anything_to_do() {
    let world = planned();
    world.run("plan -o again.jsonl --detailed-exitcode").exits(2);
    world.run("apply plan.jsonl").exits(0);
    world.run("plan -o again.jsonl --detailed-exitcode").exits(0);
    assert_eq!(lines(&world, "again.jsonl").len(), 3, "a plan of nothing is a plan");
    world.run("apply again.jsonl").exits(0);
    world.run("plan -o again.jsonl nonsense").exits(2);
    world.run("plan").exits(2);
    world.run("apply missing.jsonl").exits(1);
    world.run("plan -o no/such/folder.jsonl").exits(1);
}

#[test]
fn rows_are_in_no_plan_and_neither_is_what_only_observes() {
    let world = World::new();
    world.write(
        "cleanup.toml",
        "[files.out]\nroot = 'out'\ninclude = ['*']\nmax_age = '1h'\nmode = 'observe'\n\
         [sessions.tutors]\nurl = 'sqlite:///db'\ntable = 't'\nid_column = 'i'\nactivity_column = 'a'\nmax_idle = '2h'\n",
    );
    world.file("out/a", DAY);
    world.run("plan -o plan.jsonl").exits(0);
    assert_eq!(lines(&world, "plan.jsonl").len(), 2);
    world.run("apply plan.jsonl").exits(0);
    assert_eq!(world.left("out"), ["a"]);
    let named = world.run("plan -o plan.jsonl tutors");
    named.exits(2);
    assert!(named.err.contains("a plan contains only files"), "{named}");
}

#[test]
fn names_from_hell_go_through_a_plan_unharmed() {
    let world = World::new();
    world.write("cleanup.toml", "[files.out]\nroot = 'out'\ninclude = ['*']\nmax_age = '1h'\n");
    let long = vec![b'x'; 255];
    let names: [&[u8]; 5] = [b"a\nb", b"\xff\xfe", b"--force", b"\x1b[31m", &long];
    for name in names {
        world.file(std::path::Path::new("out").join(std::ffi::OsStr::from_bytes(name)), DAY);
    }
    world.run("plan -o plan.jsonl").exits(0);
    assert_eq!(lines(&world, "plan.jsonl").len(), names.len() + 3);
    world.run("apply plan.jsonl").exits(0);
    assert!(world.left("out").is_empty());
}

#[test]
fn a_clock_far_behind_the_plan_s_refuses_it() {
    let world = planned();
    // The digest is over the text, so an edited date would be found out first: a plan of another clock is made anew.
    let arguments = ["+2 days", env!("CARGO_BIN_EXE_cleanup"), "plan", "-o", "future.jsonl"];
    let mut command = std::process::Command::new("faketime");
    command.args(arguments).current_dir(world.path("")).env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    command.env("HOME", world.path("home"));
    assert!(command.status().expect("faketime is installed: `cargo xtask test` sees to it").code() != Some(1));
    let ran = world.run("apply future.jsonl");
    ran.exits(1);
    assert!(ran.err.contains("in the future"), "{ran}");
}

#[test]
fn an_hour_of_waiting_changes_nothing_in_what_a_plan_takes() {
    let world = World::with_policy("");
    world.file("out/due.tmp", 2 * HOUR);
    world.file("out/soon.tmp", HOUR.saturating_sub(Duration::from_millis(50)));
    world.run("plan -o plan.jsonl").exits(0);
    let named = lines(&world, "plan.jsonl").len() - 3;
    world.run("apply plan.jsonl").exits(0);
    assert_eq!(world.left("out").len(), 2 - named, "only what it names");
}

#[test]
fn a_whole_directory_goes_by_a_plan_only_while_nothing_in_it_has_changed() {
    let world = World::new();
    world.write("cleanup.toml", "[files.out]\nroot = 'out'\ninclude = ['*']\nmax_age = '1h'\nunit = 'directory'\n");
    for model in ["a", "b"] {
        world.file(format!("out/{model}/deep/part.step"), DAY);
    }
    world.run("plan -o plan.jsonl").exits(0);
    assert_eq!(lines(&world, "plan.jsonl").len(), 5);
    // As old as everything else; only that it is there tells.
    world.file("out/a/deep/more.step", DAY);
    let report = world.run("apply plan.jsonl --json").json();
    let policy = &report["policies"][0];
    assert_eq!((&policy["changed"], &policy["removed"]), (&1.into(), &1.into()), "{report}");
    assert_eq!(world.left("out"), ["a"]);
}
