//! Nothing is taken from under anybody: what a process has open, mapped or locked stays, and so does what a session
//! still refers to; a locked root means "not now".

use std::fs::{self, File};
use std::process::{Command, Stdio};

use rustix::fs::{FlockOperation, flock};

use crate::world::{DAY, World, am_root};

fn sql(world: &World, statements: &str) {
    let python = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).executescript(sys.argv[2])";
    let made = Command::new("python3").args(["-c", python]).arg(world.path("app.db")).arg(statements).status();
    assert!(made.expect("python3 is there").success());
}

#[test]
fn a_file_that_is_being_downloaded_stays() {
    let world = World::with_policy("skip_in_use = true");
    for name in ["open", "flocked", "free"] {
        world.file(format!("out/{name}.tmp"), DAY);
    }
    let download = File::open(world.path("out/open.tmp")).unwrap();
    let locked = File::open(world.path("out/flocked.tmp")).unwrap();
    flock(&locked, FlockOperation::LockShared).unwrap();
    let report = world.run("--json").json();
    let policy = &report["policies"][0];
    assert_eq!(world.left("out"), ["flocked.tmp", "open.tmp"]);
    assert_eq!((&policy["kept"]["in_use"], &policy["removed"], &policy["due"]), (&2.into(), &1.into(), &3.into()));
    assert!(policy["processes"]["seen"].as_u64().unwrap() > 0, "{policy}");

    drop((download, locked));
    world.run("").exits(0);
    assert!(world.left("out").is_empty());
}

#[test]
fn a_program_that_runs_stays_although_its_file_is_closed() {
    let world = World::with_policy("skip_in_use = true");
    let program = world.path("out/running.tmp");
    // Not copied by ourselves: a fork meanwhile would inherit the open file, and "text file busy" follow.
    assert!(Command::new("cp").arg("/bin/sleep").arg(&program).status().unwrap().success());
    assert!(Command::new("touch").args(["-d", "2 days ago"]).arg(&program).status().unwrap().success());
    let mut running = Command::new(&program).arg("600").stdin(Stdio::null()).spawn().unwrap();
    world.run("").exits(0);
    assert_eq!(world.left("out"), ["running.tmp"]);
    running.kill().unwrap();
    running.wait().unwrap();
    world.run("").exits(0);
    assert!(world.left("out").is_empty());
}

#[test]
fn who_may_not_look_into_others_says_how_much_it_saw() {
    let world = World::with_policy("skip_in_use = true\n[state]\nurl = \"none\"");
    world.file("out/free.tmp", DAY);
    let Some(mut command) = world.command_as_nobody(&["--json"]) else { return };
    Command::new("chown").args(["-R", "nobody"]).arg(world.path("out")).status().unwrap();
    let report = world.ran(command.output().unwrap()).json();
    let processes = &report["policies"][0]["processes"];
    assert!(am_root() && processes["hidden"].as_u64().unwrap() > 0, "{report}");
    assert!(world.left("out").is_empty());
}

#[test]
fn a_lock_on_the_root_means_not_now() {
    let world = World::with_policy("honour_flock = true");
    world.file("out/due.tmp", DAY);
    let root = File::open(world.path("out")).unwrap();
    for lock in [FlockOperation::LockShared, FlockOperation::LockExclusive] {
        flock(&root, lock).unwrap();
        let report = world.run("--json").json();
        assert_eq!(report["policies"][0]["skipped"], "root_locked", "{report}");
        assert_eq!(world.left("out"), ["due.tmp"]);
    }
    flock(&root, FlockOperation::Unlock).unwrap();
    world.run("").exits(0);
    assert!(world.left("out").is_empty());
}

#[test]
fn what_a_session_still_refers_to_stays() {
    let world = World::new();
    world.write(
        "cleanup.toml",
        "[files.out]\nroot = 'out'\ninclude = ['*.svg']\nmax_age = '1h'\n\
         keep_referenced = { sessions = 'tutors', query = \"select svg from sessions where svg is not null\" }\n\
         [sessions.tutors]\nurl = 'sqlite:///app.db'\ntable = 'sessions'\nid_column = 'id'\n\
         activity_column = 'active'\nmax_idle = '2h'\nenabled = false\n",
    );
    for name in ["needed", "in-a-path", "free"] {
        world.file(format!("out/{name}.svg"), DAY);
    }
    let away = world.run("");
    away.exits(0);
    assert!(away.err.contains("so everything stays"), "{away}");
    assert_eq!(world.left("out").len(), 3);
    world.run("--strict").exits(69);
    assert!(world.run("explain out/free.svg").exits(0).contains("so everything stays"));

    sql(
        &world,
        "create table sessions (id text primary key, active datetime, svg text);
         insert into sessions values ('1', datetime('now'), 'needed.svg'),
           ('2', datetime('now'), '/static/output/in-a-path.svg?v=2'), ('3', datetime('now'), null);",
    );
    let report = world.run("--json").json();
    assert_eq!(report["policies"][0]["kept"]["referenced"], 2, "{report}");
    assert_eq!(world.left("out"), ["in-a-path.svg", "needed.svg"]);
    let explained = world.run("explain out/needed.svg");
    assert!(explained.exits(0).contains("keep_referenced: keep"), "{explained}");

    sql(&world, "alter table sessions rename column svg to picture");
    let failed = world.run("");
    failed.exits(1);
    assert!(failed.err.contains("svg"), "{failed}");
    assert_eq!(fs::read_dir(world.path("out")).unwrap().count(), 2);
    assert!(world.run("config check").exits(1).contains("svg") || world.run("config check").err.contains("svg"));
}
