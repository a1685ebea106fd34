//! A rule that protects less than in the last run is held, whatever the share of the files that would go; one that
//! protects more is not.

use std::process::Command;

use crate::world::{DAY, HOUR, MINUTE, World};

const RULE: &str = "[files.out]\nroot = \"out\"\ninclude = [\"*.tmp\", \"*.bak\"]\nmax_age = \"1h\"\n";
const SESSIONS: &str = "[sessions.app]\nurl = 'sqlite:///app.db'\ntable = 's'\nid_column = 'id'\n\
                        activity_column = 'at'\nmax_idle = '2h'\nenabled = false\n";
const REFERENCED: &str = "keep_referenced = { sessions = 'app', query = \"select svg from s\" }";
const OTHER_QUERY: &str = "keep_referenced = { sessions = 'app', query = \"select svg from s where id > ''\" }";

/// Something is due in every case, in front of far more that is not.
fn fill(world: &World) {
    for number in 0..300 {
        world.file(format!("out/young-{number}.tmp"), MINUTE);
    }
    for number in 0..120 {
        world.file(format!("out/due-{number}.tmp"), DAY);
    }
}

fn python(world: &World, database: &str, sql: &str) {
    let program = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).executescript(sys.argv[2])";
    let made = Command::new("python3").args(["-c", program]).arg(world.path(database)).arg(sql).status();
    assert!(made.unwrap().success());
}

/// A world in which the policy ran once with these keys, and then has others and something to take.
fn changed(before: &str, now: &str) -> World {
    let world = World::new();
    std::fs::create_dir(world.path("out")).unwrap();
    python(&world, "app.db", "create table s (id text, at integer, svg text); insert into s values ('1', 1, 'x.tmp')");
    let write = |keys: &str| world.write("cleanup.toml", &format!("{RULE}{keys}\n{SESSIONS}"));
    write(before);
    world.run("").is_fine();
    fill(&world);
    write(now);
    world
}

#[test]
fn every_protecting_key_that_was_loosened_holds_and_a_tightened_one_does_not() {
    for (key, looser, tighter) in [
        ("exclude", "", "exclude = [\"x\"]"),
        ("exclude", "exclude = [\"x\"]", "exclude = [\"x\", \"y\"]"),
        ("archives", "", "archives = [\"x\"]"),
        ("include_archives", "archives = [\"x\"]\ninclude_archives = true", "archives = [\"x\"]"),
        // It counts from arrival, which is now: so short that what has just been made is due all the same.
        ("min_age", "min_age = \"1ms\"", "min_age = \"2ms\""),
        ("min_age", "", "min_age = \"2ms\""),
        ("keep_newest", "keep_newest = 1", "keep_newest = 2"),
        ("keep_newest", "", "keep_newest = 2"),
        ("skip_in_use", "", "skip_in_use = true"),
        ("honour_flock", "", "honour_flock = true"),
        ("keep_referenced", "", REFERENCED),
    ] {
        let world = changed(tighter, looser);
        let plan = world.run("--dry-run");
        plan.exits(4);
        let held = world.run("");
        held.exits(4);
        let is_named = held.err.contains(&format!("held back: {key} was ")) && held.err.contains("--force");
        assert!(is_named && held.err.contains("protects fewer files"), "{key}: {held}");
        assert_eq!(world.left("out").len(), 420, "{key}");
        world.run("").exits(4);
        world.run("--force").exits(0);
        assert_eq!(world.left("out").len(), 300, "{key}");
        fill(&world);
        world.run("").exits(0);
        assert_eq!(world.left("out").len(), 300, "{key}: forced once, it is the rule");

        let world = changed(looser, tighter);
        world.run("").exits(0);
        assert_eq!(world.left("out").len(), 300, "{key}, tightened");
    }
}

#[test]
fn another_query_may_protect_less_and_few_files_do_not_hold() {
    let world = changed(REFERENCED, OTHER_QUERY);
    let held = world.run("");
    held.exits(4);
    assert!(held.err.contains("held back: keep_referenced was changed from"), "{held}");

    let world = changed("exclude = [\"x\"]", "");
    for number in 0..20 {
        std::fs::remove_file(world.path(format!("out/due-{number}.tmp"))).unwrap();
    }
    world.run("").exits(0);
    assert_eq!(world.left("out").len(), 300);
}

#[test]
fn other_keys_hold_when_most_would_go_as_ever() {
    for (before, now) in [("", "recursive = true"), ("recursive = true", "")] {
        let world = changed(before, now);
        world.run("").exits(0);
    }
    let world = changed("", "recursive = true");
    for number in 0..300 {
        std::fs::remove_file(world.path(format!("out/young-{number}.tmp"))).unwrap();
    }
    assert!(world.run("").err.contains("recursive was set to true since the last run"));
}

#[test]
fn what_the_last_release_remembered_is_compared_and_an_upgrade_alone_holds_nothing() {
    let first = "root = \"ROOT/out\"\nunit = \"file\"\ninclude = [\"*.tmp\", \"*.bak\"]\nexclude = EXCLUDE\narchives = []\n\
                 include_archives = false\nmax_age = \"60m\"\nmin_age = \"0s\"\nstamp = \"mtime\"\nage_clock = \"wall\"\n\
                 recursive = false\nremove_empty_dirs = false";
    let second = "version = 2\nEXCLUDE_LINE\ninclude = [\"*.tmp\", \"*.bak\"]\nkeep_referenced = { query = \"select svg from s\", \
                  sessions = \"app\" }\nmax_age = \"1h\"\nroot = \"ROOT/out\"\nskip_in_use = true\n";
    let first = |exclude: &str| first.replace("EXCLUDE", exclude);
    let second = |exclude: &str| second.replace("EXCLUDE_LINE", exclude);
    for (remembered, code) in
        [(first("[]"), 0), (first("[\"x\"]"), 4), (second(""), 0), (second("exclude = [\"x\"]"), 4)]
    {
        let world = changed("", &format!("skip_in_use = true\n{REFERENCED}"));
        for number in 0..300 {
            std::fs::remove_file(world.path(format!("out/young-{number}.tmp"))).unwrap();
        }
        let root = std::fs::canonicalize(world.path("")).unwrap();
        let remembered = remembered.replace("ROOT", root.to_str().unwrap());
        python(
            &world,
            ".cleanup/state.db",
            &format!("update policies set deciding = '{remembered}', referenced = null"),
        );
        let ran = world.run("");
        ran.exits(code);
        assert_eq!(ran.err.contains("held back: exclude was removed (it was [\"x\"])"), code == 4, "{ran}");
    }
}

#[test]
fn who_has_observed_is_held_when_far_more_would_go_than_was_foreseen() {
    let world = World::with_policy("mode = \"observe\"");
    let files = |from: u32, to: u32| (from..to).for_each(|number| world.file(format!("out/{number}.tmp"), 2 * HOUR));
    let enforce = |effect: &str| {
        let text = std::fs::read_to_string(world.path("cleanup.toml")).unwrap();
        let text = text.replace("\"observe\"", effect).replace("\"enforce\"", effect);
        world.write("cleanup.toml", &text);
    };
    files(0, 60);
    world.run("").exits(0);
    files(60, 121);
    enforce("\"enforce\"");
    let held = world.run("");
    held.exits(4);
    assert!(
        held.err.contains("which only observed, predicted 60 removals, but 121 files would now be removed"),
        "{held}"
    );
    assert_eq!(world.run("--dry-run").code, 4, "a dry run says so as well");
    assert_eq!(world.left("out").len(), 121);

    // Observed once more, it is what was foreseen; so it is by a plan that somebody has read.
    enforce("\"observe\"");
    world.run("").exits(0);
    enforce("\"enforce\"");
    assert_eq!(world.run("").is_fine(), "Removed 121 files, freed 495.6 kB.\n");
    files(0, 300);
    assert_eq!(world.run("").is_fine(), "Removed 300 files, freed 1.2 MB.\n", "from then on it enforces");
}
