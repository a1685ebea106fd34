//! Session policies as people meet them: a URL that cannot be followed, and a database that somebody else has locked.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

use crate::world::World;

fn world(url: &str) -> World {
    let world = World::new();
    world.write(
        "cleanup.toml",
        &format!(
            "[sessions.tutor-sessions]\nurl = \"{url}\"\ntable = \"s\"\nid_column = \"id\"\n\
             activity_column = \"at\"\nmax_idle = \"2h\"\n[files.out]\nroot = \"out\"\ninclude = [\"*\"]\nmax_age = \"1h\"\n"
        ),
    );
    std::fs::create_dir(world.path("out")).unwrap();
    world
}

#[test]
fn a_parameter_that_cannot_be_followed_is_a_configuration_error_and_named() {
    for (url, said) in [
        ("postgresql://ann:hunter2@db/app?service=replica", "the parameter `service` of url is not supported"),
        ("postgresql://ann:hunter2@db/app?passfile=/x", "the parameter `passfile` of url is not supported"),
        ("postgresql://ann:hunter2@db/app?schema=a,b", "table = \"tenant1.sessions\""),
        ("postgresql://ann:hunter2@::1/app", "IPv6 address that is not written as `[::1]`"),
        ("postgresql://ann:hunter2@a,b/app", "url names several hosts"),
        ("sqlite:///app.db?mode=ro", "the parameter `mode` of url"),
    ] {
        let world = world(url);
        for line in ["", "config check", "stats"] {
            let ran = world.run(line);
            ran.exits(78);
            let all = format!("{}{}", ran.out, ran.err);
            assert!(all.contains("sessions.tutor-sessions: ") && all.contains(said), "{url} {line}: {ran}");
            assert!(!all.contains("hunter2"), "{url} {line}: {ran}");
        }
        let checked = world.run("config check --json");
        assert!(checked.exits(78).contains("tutor-sessions"), "{checked}");
    }
}

/// Somebody who writes into the database, until it is dropped.
struct Writer(Child);

impl Writer {
    fn new(world: &World) -> Self {
        let python = "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1], isolation_level=None)\n\
                      c.execute('begin immediate'); c.execute(\"insert into s values ('w', 1)\")\n\
                      print('locked', flush=True); sys.stdin.readline()";
        let mut command = Command::new("python3");
        command.args(["-c", python]).arg(world.path("app.db")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "locked\n");
        Self(child)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.0.stdin.take().map(|mut stdin| stdin.write_all(b"\n"));
        let _ = self.0.wait();
    }
}

#[test]
fn a_database_that_a_writer_has_locked_is_skipped_and_everybody_says_so() {
    let world = world("sqlite:///app.db");
    let sql = "create table s (id text primary key, at integer);
               insert into s values ('a', unixepoch() - 86400), ('b', unixepoch());";
    let python = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).executescript(sys.argv[2])";
    let made = Command::new("python3").args(["-c", python]).arg(world.path("app.db")).arg(sql).status().unwrap();
    assert!(made.success());
    let said = "Could not clean up tutor sessions: the table is locked by another connection; the next run tries again";

    let writer = Writer::new(&world);
    let swept = world.run("");
    assert_eq!(swept.exits(0), "", "{swept}");
    assert_eq!(swept.err.trim_end(), said, "also in cron");
    let report = world.run("--json");
    let policy = &report.json()["policies"][1];
    assert_eq!((&policy["status"], &policy["skipped"]), (&"skipped".into(), &"busy".into()), "{policy}");
    assert_eq!(policy["message"], said);
    let runs = world.run("history --json").json();
    assert_eq!(runs["runs"][0]["skipped"], serde_json::json!(["tutor-sessions"]), "{runs}");
    assert!(world.run("history").is_fine().lines().next().unwrap().contains("  skipped tutor-sessions  "));

    drop(writer);
    assert_eq!(world.run("").is_fine(), "Removed 1 session.\n");
    let runs = world.run("history --json").json();
    assert_eq!(runs["runs"][0].get("skipped"), None, "{runs}");
}
