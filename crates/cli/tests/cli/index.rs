//! The second sweep of a large tree: faster, with the same numbers, and never the one who decides.

use std::fs;

use serde_json::Value;

use crate::world::{HOUR, MINUTE, World};

/// A few more than an index is kept for.
const MANY: u64 = 33_000;

/// A large tree of young files, swept once.
fn swept_once(more: &str) -> World {
    let world = World::with_policy(more);
    for number in 0..MANY {
        fs::write(world.path(format!("out/{number}.tmp")), "").unwrap();
    }
    assert_eq!(counts(&world, ""), (MANY, 0, 0));
    world
}

/// What a sweep matched, removed, and did not look at.
fn counts(world: &World, flags: &str) -> (u64, u64, u64) {
    let ran = world.run(&format!("sweep --json {flags}"));
    ran.exits(0);
    let report = ran.json();
    let number = |key: &str| report["policies"][0][key].as_u64().unwrap();
    assert_eq!(report["notes"], Value::Null, "{report}");
    (number("matched"), number("removed"), number("indexed"))
}

#[test]
fn the_second_sweep_looks_only_at_what_is_new() {
    let world = swept_once("");
    assert_eq!(counts(&world, ""), (MANY, 0, MANY));

    world.file("out/due.tmp", 2 * HOUR);
    world.file("out/young.tmp", MINUTE);
    fs::remove_file(world.path("out/7.tmp")).unwrap();
    assert_eq!(counts(&world, ""), (MANY + 1, 1, MANY - 1));
    assert_eq!(counts(&world, ""), (MANY, 0, MANY), "the young one is known now");
}

#[test]
fn whoever_wants_to_see_for_himself_does() {
    let world = swept_once("");
    assert_eq!(counts(&world, "--dry-run").2, 0);
    assert_eq!(counts(&world, "--force").2, 0);
    assert_eq!(counts(&world, "--max-age out=30m").2, 0, "another rule for one run is another question");
    assert_eq!(counts(&world, "").2, MANY, "and none of this costs the index");

    // Nobody writes a file backwards, but somebody may set its stamp back.
    world.file("out/7.tmp", 2 * HOUR);
    let explained = world.run("explain out/7.tmp");
    assert!(explained.out.contains("  due  ") && explained.out.contains("its timestamp was set back"), "{explained}");
    assert_eq!(counts(&world, ""), (MANY, 0, MANY), "known to be young, and so left for later");
    assert_eq!(counts(&world, "--force"), (MANY, 1, 0));
    world.file("out/new.tmp", 2 * HOUR);
    assert!(world.run("explain out/new.tmp").out.contains("at the next sweep"));
}

#[test]
fn what_is_held_is_held() {
    let world = swept_once("");
    world.run("hold out/7.tmp --for 1h").exits(0);
    let report = world.run("sweep --json").json();
    assert_eq!(report["policies"][0]["kept"]["held"], 1);
    assert_eq!(report["policies"][0]["indexed"], 0);
    world.run("hold out/7.tmp --release").exits(0);
    assert_eq!(counts(&world, "").2, MANY);
}

#[test]
fn a_ruined_index_costs_a_look_at_everything_and_no_more() {
    let world = swept_once("");
    let path = world.path(".cleanup/index/out");
    let whole = fs::read(&path).unwrap();
    for at in [0, 30, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..at]).unwrap();
        assert_eq!(counts(&world, ""), (MANY, 0, 0), "cut off at {at}");
        assert_eq!(counts(&world, ""), (MANY, 0, MANY), "and is made anew");
    }
}

#[test]
fn another_root_or_rule_is_another_question() {
    let world = swept_once("");
    let config = fs::read_to_string(world.path("cleanup.toml")).unwrap();
    world.write("cleanup.toml", &config.replace("\"1h\"", "\"2h\""));
    assert_eq!(counts(&world, "").2, 0, "the threshold");
    assert_eq!(counts(&world, "").2, MANY);

    // The same name, the same number of files, another folder.
    fs::rename(world.path("out"), world.path("before")).unwrap();
    fs::create_dir(world.path("out")).unwrap();
    for number in 0..MANY {
        fs::rename(world.path(format!("before/{number}.tmp")), world.path(format!("out/{number}.tmp"))).unwrap();
    }
    assert_eq!(counts(&world, "").2, 0, "the folder");
    assert_eq!(counts(&world, "").2, MANY);

    world.write("cleanup.toml", &format!("{config}index = false\n"));
    assert_eq!(counts(&world, "").2, 0, "the key");
}
