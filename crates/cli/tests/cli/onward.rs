//! Runs that `max_runtime` ends before they have looked at everything: one after the other they come all the way
//! through.
//!
//! The time is over as soon as it begins, so each run does with a single file: no test here depends on how fast a machine
//! is.

use std::fs;

use crate::world::{HOUR, MINUTE, Ran, World};

const TINY: &str = "max_runtime = \"1us\"\nrecursive = true";

/// So many young files in folders, which no run can get rid of, and some that are due.
fn world(more: &str) -> World {
    let world = World::with_policy(&format!("{TINY}\n{more}"));
    for folder in 0..5 {
        for file in 0..3 {
            world.file(format!("out/folder-{folder}/young-{file}.tmp"), MINUTE);
        }
        world.file(format!("out/folder-{folder}/inner/due.tmp"), 2 * HOUR);
    }
    world
}

fn message(ran: &Ran) -> String {
    ran.json()["policies"][0]["message"].as_str().unwrap_or_default().to_owned()
}

fn due(world: &World) -> usize {
    (0..5).filter(|folder| !world.left(&format!("out/folder-{folder}/inner")).is_empty()).count()
}

#[test]
fn one_run_after_the_other_comes_all_the_way_through_and_then_begins_anew() {
    let world = world("");
    let mut before = String::new();
    let mut runs = 0;
    loop {
        runs += 1;
        assert!(runs <= 32, "20 files and 11 folders, and no end");
        let ran = world.run("--json");
        assert_eq!(ran.json()["policies"][0]["in_part"], true);
        let message = message(&ran);
        assert_eq!(message.contains("where the last run stopped"), runs > 1, "{message}");
        // Each begins where the one before has said.
        assert!(message.starts_with(&before), "{message} after {before}");
        let Some((_, next)) = message.split_once("the next run continues at ") else {
            // Its time was over with the last file, too.
            assert!(ran.code == 0 || message.contains("after scanning all files"), "{message}");
            break;
        };
        ran.exits(3);
        assert!(message.contains(" reached; the next run"), "{message}");
        before = format!("continued at {next}, where the last run stopped");
    }
    assert!(runs > 20, "{runs}");
    assert_eq!(due(&world), 0);
    let anew = message(&world.run("--json"));
    assert!(!anew.contains("continued at"), "{anew}");
}

#[test]
fn a_dry_run_begins_where_the_sweep_would_and_leaves_it_there() {
    let world = world("");
    assert!(!message(&world.run("--json --dry-run")).contains("continued"));
    world.run("").exits(3);
    let planned = message(&world.run("--json --dry-run"));
    assert!(planned.starts_with("continued at "), "{planned}");
    assert!(planned.ends_with("the next run does the rest"), "{planned}");
    assert_eq!(message(&world.run("--json --dry-run")), planned);
    let went_on = |message: &str| message.split_once(", where").unwrap().0.to_owned();
    assert_eq!(went_on(&message(&world.run("--json"))), went_on(&planned));
}

#[test]
fn statistics_and_lists_look_at_everything() {
    let world = world("");
    world.run("").exits(3);
    let left = 15 + due(&world);
    let stats = world.run("stats --json");
    stats.exits(0);
    assert_eq!(stats.json()["policies"][0]["total_files"], left);
    let list = world.run("list");
    list.exits(0);
    assert_eq!(list.out.lines().filter(|line| line.contains(".tmp")).count(), left, "{list}");
}

#[test]
fn another_rule_and_another_folder_begin_at_the_root() {
    let world = world("");
    let goes_on = |line: &str| message(&world.run(line)).contains("continued at");
    assert!(!goes_on("--json"));
    assert!(goes_on("--json"));
    // Asked for once, it is another rule.
    assert!(!goes_on("--json --max-age out=3h"));
    assert!(!goes_on("--json"), "and so is the usual one after it");

    let config = fs::read_to_string(world.path("cleanup.toml")).unwrap();
    world.write("cleanup.toml", &config.replace("max_age = \"1h\"", "max_age = \"90m\""));
    assert!(!goes_on("--json"));
    assert!(goes_on("--json"));
    world.write("cleanup.toml", &config.replace("max_age = \"1h\"", "max_age = \"90m\"").replace("1us", "2us"));
    assert!(goes_on("--json"), "the time itself decides nothing");

    fs::rename(world.path("out"), world.path("elsewhere")).unwrap();
    world.file("out/a/young.tmp", MINUTE);
    world.file("out/b/young.tmp", MINUTE);
    assert!(!goes_on("--json"));
    assert!(goes_on("--json"));
}

#[test]
fn without_memory_every_run_begins_at_the_root_and_says_so() {
    let world = world("[state]\nurl = \"none\"");
    for _ in 0..2 {
        let message = message(&world.run("--json"));
        assert!(message.ends_with("no state is kept, so the next run starts at the root"), "{message}");
        assert!(!message.contains("continued"), "{message}");
    }
}

#[test]
fn a_run_that_saw_a_part_says_nothing_of_limits() {
    let world = world("max_files = 3");
    let mut last = world.run("--json");
    for _ in 0..40 {
        assert_eq!(last.json()["policies"][0]["limits"].as_array().map(Vec::len), Some(0), "{last}");
        if !message(&last).contains("the next run continues") {
            break;
        }
        last = world.run("--json");
    }
    assert!(message(&last).starts_with("continued at "), "{last}");
    // What was over the limit went on the way, the oldest first.
    assert_eq!(world.run("stats --json").json()["policies"][0]["total_files"], 3);
}

#[test]
fn what_observes_begins_at_the_root() {
    let world = world("mode = \"observe\"");
    for _ in 0..2 {
        let message = message(&world.run("--json"));
        assert!(!message.contains("continued") && !message.contains("the next run continues"), "{message}");
    }
}
