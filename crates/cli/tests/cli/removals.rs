//! Why is it gone: the log of removals, and who reads it.

use std::fs;
use std::os::unix::fs::symlink;

use crate::world::{DAY, MINUTE, World};

/// The user who runs the tests.
fn user() -> String {
    cleanup_engine::user_name(rustix::process::geteuid().as_raw())
}

/// What is said of removals, without what differs each time: moments, run ids, the user.
fn told(text: &str) -> String {
    let mut told = String::new();
    for line in text.lines() {
        if let Some(when) = line.strip_prefix("  removed     2") {
            let bytes = when.rfind(')').map_or(when, |end| &when[end + 1..]);
            told = format!("{told}  removed     WHEN{bytes}");
        } else if line.starts_with("  run  ") {
            told.push_str("  run         RUN");
        } else {
            told.push_str(&line.replace(&format!("asked by {}", user()), "asked by USER"));
        }
        told.push('\n');
    }
    told
}

#[test]
fn a_removed_file_is_explained_by_its_path_its_name_and_a_pattern() {
    let world = World::with_policy("");
    world.file("out/x.tmp", DAY);
    world.file("out/young.tmp", MINUTE);
    let run_id = world.run("--json").json()["run_id"].as_str().unwrap().to_owned();
    let expected = "\
out/x.tmp
  removed     WHEN  4.1 kB
  why         last modified 24h ago, older than max_age 1h
  policy      out (manual, asked by USER)
  run         RUN
";
    for path in ["out/x.tmp", "x.tmp", "*.tmp", "/**/x.tmp", "./out/x.tmp", "out/*.tmp", "**/x.tmp"] {
        assert_eq!(told(world.run(&format!("history --path {path}")).is_fine()), expected, "{path}");
    }
    let absolute = world.path("out/x.tmp");
    let line = format!("history {} --path {} --policy out --since -1d", &run_id[..20], absolute.display());
    assert_eq!(told(world.run(&line).is_fine()), expected);
    let nothing = "No removal of it is recorded. Removals are kept for 30d.\n";
    for more in ["out/young.tmp", "y.tmp", "out/x.tmp --policy other", "out/x.tmp --since 2100-01-01"] {
        let ran = world.run(&format!("history --path {more}"));
        assert_eq!(ran.exits(0), nothing, "{more}");
    }
    let json = world.run("history --path x.tmp --json").json();
    assert_eq!(json["removals"][0]["run_id"], run_id);
    assert_eq!(json["removals"][0]["asked_by"], user());

    let explained = world.run("explain out/x.tmp").is_fine().to_owned();
    assert!(told(&explained).ends_with(expected.split_once('\n').unwrap().1), "{explained}");
    let explained = world.run("explain out/never.tmp").is_fine().to_owned();
    assert!(explained.ends_with("  removed     nothing is recorded; removals are kept for 30d\n"), "{explained}");
    let explained = world.run("explain out/young.tmp").is_fine().to_owned();
    assert!(!explained.contains("recorded"), "{explained}");
}

#[test]
fn a_dry_run_writes_nothing_down_and_a_second_removal_stands_before_the_first() {
    let world = World::with_policy("");
    world.file("out/x.tmp", DAY);
    world.run("--dry-run").exits(0);
    world.run("plan --out p").exits(0);
    assert!(!world.path(".cleanup/removals").exists());
    world.run("").exits(0);
    world.file("out/x.tmp", 2 * DAY);
    world.run("").exits(0);
    let json = world.run("history --path out/x.tmp --json").json();
    let reasons: Vec<_> = json["removals"].as_array().unwrap().iter().map(|it| it["reason"].clone()).collect();
    assert_eq!(reasons, ["2d", "24h"].map(|age| format!("last modified {age} ago, older than max_age 1h")));
    let one = world.run("history --path x.tmp --limit 1 --json").json();
    assert_eq!(one["removals"][0], json["removals"][0]);
    assert!(one["next"].is_string());
}

#[test]
fn what_came_back_and_what_was_purged_is_told_too() {
    let world = World::with_policy("dispose = \"quarantine\"\nquarantine_for = \"7d\"");
    world.file("out/x.tmp", DAY);
    world.run("").exits(0);
    world.run("restore").exits(0);
    let json = world.run("history --path x.tmp --json").json();
    let actions: Vec<_> = json["removals"].as_array().unwrap().iter().map(|it| it["action"].clone()).collect();
    assert_eq!(actions, ["restored", "quarantined"]);
    let triggers: Vec<_> = json["removals"].as_array().unwrap().iter().map(|it| it["trigger"].clone()).collect();
    assert_eq!(triggers, ["restore", "manual"]);
}

#[test]
fn a_file_is_found_by_every_spelling_of_its_folder_and_in_a_folder_that_went_whole() {
    let world = World::new();
    fs::create_dir_all(world.path("really/out")).unwrap();
    symlink(world.path("really"), world.path("link")).unwrap();
    world.write(
        "cleanup.toml",
        "[files.jobs]\nroot = 'link/out'\ninclude = ['job-*']\nmax_age = '1h'\nunit = 'directory'\n",
    );
    world.file("really/out/job-7/deep/x.step", DAY);
    for folder in ["really/out/job-7/deep", "really/out/job-7"] {
        let past = std::time::SystemTime::now() - DAY;
        fs::File::open(world.path(folder)).unwrap().set_modified(past).unwrap();
    }
    world.run("--force").exits(0);
    assert!(!world.path("really/out/job-7").exists());
    for path in ["job-7/deep/x.step", "job-7"] {
        for root in ["link/out", "really/out"] {
            let told = world.run(&format!("history --path {root}/{path}")).is_fine().to_owned();
            assert!(told.contains("link/out/job-7\n") && told.contains("with the whole directory"), "{path}: {told}");
        }
    }
    let told = world.run("history --path link/out/job-8/x.step").is_fine().to_owned();
    assert!(told.starts_with("No removal of it is recorded."), "{told}");
}

#[test]
fn hostile_names_are_found_and_shown_harmlessly() {
    let world = World::with_policy("");
    world.file("out/a\u{1b}[31mb\n.tmp", DAY);
    world.file("out/[x]*.tmp", DAY);
    world.run("").exits(0);
    let told = world.run("history --path *.tmp").is_fine().to_owned();
    assert!(told.contains("out/a\\u{1b}[31mb\\u{a}.tmp\n") && !told.contains('\u{1b}'), "{told}");
    // A name that looks like a pattern is found by itself.
    let told = world.run("history --path [x]*.tmp").is_fine().to_owned();
    assert!(told.starts_with("out/[x]*.tmp\n"), "{told}");
}

#[test]
fn a_log_can_be_switched_off_and_one_that_cannot_be_written_stops_no_run() {
    let world = World::with_policy("[state]\nremovals_for = \"0s\"");
    world.file("out/x.tmp", DAY);
    world.run("").exits(0);
    assert!(!world.path(".cleanup/removals").exists());
    let ran = world.run("history --path x.tmp");
    assert!(ran.exits(1).is_empty());
    assert!(ran.err.contains("no log of removals is kept: `removals_for` in `[state]` is zero"), "{}", ran.err);

    let world = World::with_policy("");
    world.file("out/x.tmp", DAY);
    fs::create_dir(world.path(".cleanup")).unwrap();
    world.write(".cleanup/removals", "in the way");
    let report = world.run("--json").json();
    assert!(!world.path("out/x.tmp").exists());
    let finding = &report["findings"][0];
    assert_eq!(finding["code"], "memory");
    assert!(finding["text"].as_str().unwrap().contains("removals lacks entries: "), "{finding}");
    assert_eq!(report["notes"].as_array().unwrap().len(), 1, "{report}");

    let ran = world.run("history --path a{b");
    ran.exits(2);
    assert!(ran.err.contains("invalid pattern \"a{b\""), "{}", ran.err);
}

#[test]
fn its_bounds_are_checked() {
    let world = World::with_policy("[state]\nremovals_max_size = \"1kB\"");
    let ran = world.run("config check");
    ran.exits(78);
    assert!(ran.err.contains("`removals_max_size` is too small"), "{}", ran.err);
}
