//! A file belongs to one policy, whichever way somebody comes to remove it.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use crate::world::{DAY, HOUR, Ran, World};

/// `short` takes everything below `r` after a day, `long` what lies in `r/long` after a month.
fn nested(short: &str, long: &str) -> World {
    let world = World::new();
    let policies = format!(
        "[files.short]\nroot = \"r\"\nrecursive = true\ninclude = [\"*\"]\nmax_age = \"1d\"\n{short}\n\
         [files.long]\nroot = \"r/long\"\ninclude = [\"*\"]\nmax_age = \"30d\"\n{long}\n"
    );
    world.write("cleanup.toml", &policies);
    for path in ["r/a", "r/long/a", "r/long/b", "r/long/deep/a"] {
        world.file(path, 2 * DAY);
    }
    world
}

/// Two policies with the root `r`, one of them by way of a link.
fn equal(a: &str, b: &str) -> World {
    let world = World::new();
    symlink(".", world.path("way")).unwrap();
    let policies = format!(
        "[files.a]\nroot = \"r\"\ninclude = [\"*\"]\nmax_age = \"1h\"\n{a}\n\
         [files.b]\nroot = \"way/r\"\ninclude = [\"*.log\"]\nmax_age = \"2h\"\n{b}\n"
    );
    world.write("cleanup.toml", &policies);
    for path in ["r/a.log", "r/b.tmp"] {
        world.file(path, 3 * HOUR);
    }
    world
}

fn counts(ran: &Ran) -> Vec<Value> {
    let report = ran.json();
    let policies = report["policies"].as_array().unwrap();
    policies.iter().map(|it| json!([it["due"], it["removed"], it["owned_by_others"], it["kept"]["disputed"]])).collect()
}

#[test]
fn the_shortest_age_does_not_win_and_a_dry_run_counts_what_the_run_does() {
    for line in ["", "sweep short", "sweep short --max-age short=1h", "--include-archives"] {
        let world = nested("", "");
        let planned = counts(&world.run(&format!("{line} --dry-run --json")));
        assert_eq!(planned[0], json!([2, 0, 2, 0]), "{line}");
        let ran = world.run(&format!("{line} --json"));
        ran.exits(0);
        assert_eq!(counts(&ran)[0], json!([2, 2, 2, 0]), "{line}");
        assert_eq!(world.left("r/long"), ["a", "b", "deep"], "{line}");
        assert_eq!(ran.err, "", "what belongs to another policy is no news");
    }
    let world = nested("", "");
    let listed = world.run("list --json");
    assert_eq!(listed.out.matches("\"path\":\"").count(), 4, "each file once: {listed}");
}

#[test]
fn a_policy_that_does_not_run_owns_its_files() {
    for long in ["enabled = false", "mode = \"observe\"", "exclude = [\"*\"]"] {
        let world = nested("", long);
        world.run("").exits(0);
        assert_eq!(world.left("r/long"), ["a", "b", "deep"], "{long}");
        // What is excluded there is the folder as well, with all that is in it.
        let deep: &[&str] = if long.starts_with("exclude") { &["a"] } else { &[] };
        assert_eq!(world.left("r/long/deep"), deep, "{long}");
    }
}

#[test]
fn a_deeper_policy_that_is_removed_or_names_less_holds_the_outer_one() {
    let outer = "[files.short]\nroot = \"r\"\nrecursive = true\ninclude = [\"*\"]\nmax_age = \"1d\"\n";
    let deep = "[files.long]\nroot = \"r/long\"\ninclude = [\"*.txt\"]\nmax_age = \"30d\"\n";
    for (now, said) in
        [("", "deeper_policies was removed"), (&*deep.replace("txt", "log"), "deeper_policies was changed")]
    {
        let world = World::new();
        world.write("cleanup.toml", &format!("{outer}{deep}"));
        for number in 0..120 {
            world.file(format!("r/long/{number}.txt"), 3 * DAY);
        }
        world.run("").is_fine();
        assert_eq!(world.left("r/long").len(), 120);
        world.write("cleanup.toml", &format!("{outer}{now}"));
        let held = world.run("sweep short");
        held.exits(4);
        assert!(held.err.contains(said) && held.err.contains("protects fewer files"), "{held}");
        assert_eq!(world.left("r/long").len(), 120);
        world.run("sweep short --force").exits(0);
        assert_eq!(world.left("r/long").len(), 0);
    }
}

#[test]
fn limits_count_and_take_only_what_is_the_policys_own() {
    for (short, own) in [("max_files = 1", 1), ("max_total_size = \"4KiB\"", 1), ("min_free = \"99.9%\"", 0)] {
        let world = nested("", "");
        let config = fs::read_to_string(world.path("cleanup.toml")).unwrap();
        world.write("cleanup.toml", &config.replace("max_age = \"1d\"", short));
        let stats = world.run("stats short --json");
        assert_eq!(stats.json()["policies"][0]["total_files"], 2, "{short}: {stats}");
        assert_eq!(stats.json()["policies"][0]["owned_by_others"], 2, "{short}: {stats}");
        let ran = world.run("--json");
        assert_eq!(counts(&ran)[0], json!([2 - own, 2 - own, 2, 0]), "{short}: {ran}");
        let left = (world.left("r/long"), world.left("r/long/deep").len() + world.left("r").len() - 1);
        assert_eq!(left, (["a", "b", "deep"].map(str::to_owned).to_vec(), own), "{short}");
    }
}

#[test]
fn a_plan_takes_nothing_of_a_policy_that_came_after_it() {
    let world = nested("", "");
    let both = fs::read_to_string(world.path("cleanup.toml")).unwrap();
    let (short, _) = both.split_once("[files.long]").unwrap();
    world.write("cleanup.toml", short);
    world.run("plan -o plan.jsonl").exits(0);
    assert_eq!(fs::read_to_string(world.path("plan.jsonl")).unwrap().matches("\"remove\"").count(), 4);
    world.write("cleanup.toml", &both);
    let applied = world.run("apply plan.jsonl --json");
    assert_eq!(counts(&applied)[0], json!([2, 2, 2, 0]), "{applied}");
    assert_eq!(world.left("r/long"), ["a", "b", "deep"]);
}

#[test]
fn what_two_policies_with_one_root_name_stays_and_both_say_what_to_do() {
    let world = equal("", "");
    let ran = world.run("--json");
    ran.exits(0);
    assert_eq!(counts(&ran), [json!([1, 1, 0, 1]), json!([0, 0, 0, 1])]);
    let report = ran.json();
    assert_eq!(report["policies"][0]["disputed_with"], json!(["b"]));
    let why = "1 item stays, because `a` with the same root matches it too; \
               exclude it in all but one of these policies";
    assert_eq!(report["notes"][1], format!("b: {why}"));
    assert_eq!(world.left("r"), ["a.log"]);
    let ran = world.run("-q");
    assert_eq!(ran.exits(0), "", "{ran}");
    assert!(ran.err.contains(&format!("warning: b: {why}")) && ran.err.contains("warning: a: "), "{ran}");
    let stats = world.run("stats --json");
    assert_eq!(stats.json()["policies"][1]["disputed_files"], 1, "{stats}");

    // The way out.
    let world = equal("exclude = [\"*.log\"]", "");
    let ran = world.run("--json");
    assert_eq!(counts(&ran), [json!([1, 1, 0, 0]), json!([1, 1, 0, 0])]);
    assert_eq!((ran.json()["notes"].clone(), ran.err.as_str()), (Value::Null, ""));
}

#[test]
fn explain_names_the_owner_and_who_else_would_have_it() {
    let world = nested("", "");
    let undated = |ran: Ran| -> String {
        ran.out
            .lines()
            .filter(|line| !line.contains("  removal  "))
            .fold(String::new(), |text, line| text + line + "\n")
    };
    insta::assert_snapshot!(undated(world.run("explain r/long/a r/a")), @"
    r/long/a
      owner       long
      left alone  it belongs to the policy `long`, whose root is deeper
      policy      short (runs only on request)
      keep        last modified 2d ago, within max_age 30d
      rules       not applicable: archives, hold, keep_referenced, future, min_age, keep_newest, max_age, limits
      policy      long (runs only on request)
    r/a
      due         last modified 2d ago, older than max_age 24h
      rules       max_age: remove, last modified 2d ago, older than max_age 24h
                  not applicable: archives, hold, keep_referenced, future, min_age, keep_newest, limits
      policy      short (runs only on request)
    ");
    let explained = world.run("explain r/long/a --json").json()["paths"][0].clone();
    assert_eq!((&explained["owner"], &explained["answers"][0]["belongs_to"]), (&json!("long"), &json!("long")));
    let world = equal("", "");
    insta::assert_snapshot!(undated(world.run("explain r/a.log")), @"
    r/a.log
      owner       none: a and b dispute it
      left alone  the policy `b` has the same root and matches it as well, so neither removes it; add it to `exclude` in one of the two
      policy      a (runs only on request)
      left alone  the policy `a` has the same root and matches it as well, so neither removes it; add it to `exclude` in one of the two
      policy      b (runs only on request)
    ");
}

#[test]
fn the_check_counts_what_more_than_one_policy_names() {
    let world = nested("", "");
    insta::assert_snapshot!(world.run("config check"), @"
    exit 0
    ── stdout
    ok: short: 2 matching items belong to `long`, whose root is deeper
    ok: ./cleanup.toml, 2 policies
    ── stderr
    ");
    let world = equal("", "");
    insta::assert_snapshot!(world.run("config check"), @"
    exit 0
    ── stdout
    warning: a: 1 item stays, because `b` with the same root matches it too; exclude it in all but one of these policies
    warning: b: 1 item stays, because `a` with the same root matches it too; exclude it in all but one of these policies
    ./cleanup.toml: 2 policies, 2 findings
    ── stderr
    ");
}

#[test]
fn what_lies_in_quarantine_is_deleted_for_the_policy_alone_that_moved_it_there() {
    let quarantine = "dispose = \"quarantine\"";
    let world =
        equal(&format!("exclude = [\"*.log\"]\n{quarantine}"), &format!("{quarantine}\nquarantine_max_size = \"0\""));
    world.run("sweep a").exits(0);
    assert_eq!(world.left("r"), ["a.log"]);
    let ran = world.run("sweep b --json");
    assert_eq!(ran.json()["policies"][0]["purged"], 1, "its own: {ran}");
    let there = world.run("quarantine --json");
    assert!(there.out.contains("b.tmp") && !there.out.contains("a.log"), "{there}");
}
