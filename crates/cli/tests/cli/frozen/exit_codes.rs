//! Each exit code, reached by the shortest way.

use std::fs::{self, File};
use std::os::unix::fs::symlink;

use crate::world::{DAY, HOUR, World};

#[test]
fn done_nothing_to_do_and_a_database_that_is_away_are_0() {
    let world = World::with_policy("");
    world.file("out/old.tmp", 2 * HOUR);
    world.run("").exits(0);
    world.run("").exits(0);
    world.run("--dry-run").exits(0);
    with_sessions(&world);
    world.run("").exits(0);
    world.run("explain /nowhere").exits(0);
}

#[test]
fn a_policy_that_cannot_run_and_a_refused_plan_are_1() {
    let world = World::with_policy("");
    fs::remove_dir(world.path("out")).unwrap();
    symlink("elsewhere", world.path("out")).unwrap();
    world.run("").exits(1);
    world.write("plan.jsonl", "this is no plan\n");
    world.run("apply plan.jsonl").exits(1);
}

#[test]
fn usage_is_2() {
    let world = World::with_policy("");
    world.run("--no-such-flag").exits(2);
    world.run("sweep no-such-policy").exits(2);
}

#[test]
fn a_limit_that_is_not_met_is_3() {
    let world = World::with_policy("max_files = 1");
    world.file("out/a.tmp", HOUR / 2);
    world.file("out/b.tmp", HOUR / 2);
    world.run("hold out --for 1h").exits(0);
    world.run("").exits(3);
}

#[test]
fn a_brake_is_4() {
    let world = World::with_policy("");
    world.run("").exits(0);
    for number in 0..150 {
        world.file(format!("out/{number}.tmp"), HOUR / 2);
    }
    let text = fs::read_to_string(world.path("cleanup.toml")).unwrap();
    world.write("cleanup.toml", &text.replace("\"1h\"", "\"10m\""));
    world.run("").exits(4);
    assert_eq!(world.left("out").len(), 150);
}

#[test]
fn a_database_that_is_away_under_strict_is_69() {
    let world = World::with_policy("");
    with_sessions(&world);
    world.run("--strict").exits(69);
}

#[test]
fn another_sweep_is_75() {
    let world = World::with_policy("");
    world.run("").exits(0);
    let lock = File::options().read(true).write(true).open(world.path(".cleanup/locks/out")).unwrap();
    lock.lock().unwrap();
    world.run("").exits(75);
}

#[test]
fn the_configuration_is_78() {
    let world = World::with_policy("");
    world.file("out/old.tmp", 30 * DAY);
    world.run("-c missing.toml").exits(78);
    world.write("cleanup.toml", "nonsense");
    world.run("").exits(78);
    assert_eq!(world.left("out"), ["old.tmp"]);
}

/// A policy for sessions whose database is not there.
fn with_sessions(world: &World) {
    let text = fs::read_to_string(world.path("cleanup.toml")).unwrap();
    let sessions = "[sessions.rows]\nurl = \"sqlite:no-such.db\"\ntable = \"t\"\nid_column = \"id\"\n\
                    activity_column = \"at\"\nmax_idle = \"2h\"\n";
    world.write("cleanup.toml", &(text + sessions));
}
