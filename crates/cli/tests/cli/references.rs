//! `keep_referenced` by a database that is new, empty, or lost most of its rows: what it kept is not taken for free.

use std::process::Command;

use crate::world::{DAY, MINUTE, Ran, World};

fn sql(world: &World, statements: &str) {
    let python = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).executescript(sys.argv[2])";
    let made = Command::new("python3").args(["-c", python]).arg(world.path("app.db")).arg(statements).status();
    assert!(made.unwrap().success());
}

/// Two hundred files that a session refers to, and a rule that knows it.
fn world() -> World {
    let world = World::new();
    world.write(
        "cleanup.toml",
        "[files.out]\nroot = 'out'\ninclude = ['*.tmp']\nmax_age = '1h'\n\
         keep_referenced = { sessions = 'app', query = \"select svg from s\" }\n\
         [sessions.app]\nurl = 'sqlite:///app.db'\ntable = 's'\nid_column = 'id'\n\
         activity_column = 'at'\nmax_idle = '2h'\nenabled = false\n",
    );
    sql(&world, "create table s (id integer primary key, at integer, svg text)");
    answers(&world, 200, 1);
    for number in 0..200 {
        world.file(format!("out/{number}.tmp"), DAY);
    }
    world
}

/// So many distinct answers, each so many times.
fn answers(world: &World, distinct: u32, times: u32) {
    let rows: Vec<String> = (0..distinct * times).map(|row| format!("({row}, 1, '{}.tmp')", row % distinct)).collect();
    let insert = if rows.is_empty() { String::new() } else { format!("insert into s values {};", rows.join(", ")) };
    sql(world, &format!("delete from s; {insert}"));
}

#[track_caller]
fn held(ran: &Ran, words: &[&str]) {
    ran.exits(4);
    for word in ["keep_referenced query returned", "--force"].iter().chain(words) {
        assert!(ran.err.contains(word), "{word}: {ran}");
    }
}

#[test]
fn none_a_tenth_and_less_than_half_hold_and_half_does_not() {
    for (distinct, times, words, left) in [
        (0, 1, Some("returned no names"), 200),
        (20, 1, Some("only 20 names, after 200 in the last complete run"), 200),
        (20, 10, Some("only 20 names"), 200),
        (99, 1, Some("only 99 names"), 200),
        (100, 1, None, 100),
        (100, 2, None, 100),
    ] {
        let world = world();
        world.run("").is_fine();
        answers(&world, distinct, times);
        // One more is due than is harmless.
        world.file("out/more.tmp", DAY);
        let ran = world.run("");
        match words {
            Some(words) => {
                held(&ran, &[words]);
                held(&world.run("--dry-run"), &[words]);
                held(&world.run(""), &[words]);
                assert_eq!(world.left("out").len(), 201, "{distinct}");
                answers(&world, 200, 1);
                world.run("").exits(0);
            }
            None => drop(ran.exits(0)),
        }
        assert_eq!(world.left("out").len(), left, "{distinct}");
    }
}

#[test]
fn none_at_all_holds_also_at_a_first_run_and_whatever_few_would_go() {
    let world = world();
    answers(&world, 0, 1);
    held(&world.run(""), &["returned no names", "200 files would now be removed"]);
    for number in 1..200 {
        std::fs::remove_file(world.path(format!("out/{number}.tmp"))).unwrap();
    }
    held(&world.run(""), &["1 file would now be removed"]);
    std::fs::remove_file(world.path("out/0.tmp")).unwrap();
    world.run("").is_fine();
}

#[test]
fn force_passes_and_is_what_later_runs_are_compared_with() {
    let world = world();
    world.run("").is_fine();
    answers(&world, 20, 1);
    held(&world.run(""), &[]);
    world.run("--force").exits(0);
    assert_eq!(world.left("out").len(), 20);
    for number in 20..200 {
        world.file(format!("out/{number}.tmp"), DAY);
    }
    world.run("").exits(0);
    assert_eq!(world.left("out").len(), 20, "20 are what there was before");
    answers(&world, 0, 1);
    held(&world.run(""), &["returned no names"]);
    world.run("--force").exits(0);
    world.file("out/more.tmp", DAY);
    world.run("").exits(0);
    assert!(world.left("out").is_empty(), "somebody has said that there may be none");
}

#[test]
fn a_plan_that_was_made_before_is_held_as_well() {
    let world = world();
    answers(&world, 40, 1);
    // Nothing is known of earlier answers, so the plan is made.
    world.run("plan -o plan.jsonl").exits(0);
    answers(&world, 0, 1);
    held(&world.run("apply plan.jsonl"), &["returned no names"]);
    assert_eq!(world.left("out").len(), 200);
    answers(&world, 40, 1);
    world.run("apply plan.jsonl").exits(0);
    assert_eq!(world.left("out").len(), 40);
}

#[test]
fn few_files_go_while_a_few_answers_are_left() {
    let world = world();
    world.run("").is_fine();
    answers(&world, 50, 1);
    for number in 100..200 {
        std::fs::remove_file(world.path(format!("out/{number}.tmp"))).unwrap();
    }
    world.run("").exits(0);
    assert_eq!(world.left("out").len(), 50);
}

#[test]
fn an_answer_that_is_doubted_is_no_measure_because_nothing_was_due_just_then() {
    for before in [200, 0] {
        let world = world();
        answers(&world, before, 1);
        for number in 0..200 {
            world.file(format!("out/{number}.tmp"), MINUTE);
        }
        world.run("").is_fine();
        answers(&world, 0, 1);
        world.run("").is_fine();
        for number in 0..200 {
            world.file(format!("out/{number}.tmp"), DAY);
        }
        held(&world.run(""), &["returned no names"]);
        assert_eq!(world.left("out").len(), 200, "{before}");
    }
}
