//! The accidents that get cleaners switched off: a jumped clock, a typo, something mounted over the root, two at once,
//! a killed run. Each ends with nothing deleted that should stay, one sentence, and the next run as it should be.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use crate::world::{DAY, HOUR, MINUTE, Ran, World};

/// `faketime` sets the wall clock of one process; boot time stays real.
pub(crate) fn at_clock(world: &World, clock: &str, line: &str) -> Ran {
    let arguments: Vec<&str> = line.split_whitespace().collect();
    let plain = world.command(&arguments);
    let mut command = Command::new("faketime");
    command.arg(clock).arg(plain.get_program()).args(plain.get_args());
    command.current_dir(world.path("")).env_clear();
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").stdin(Stdio::null());
    let output = command.output().expect("faketime is installed: `cargo xtask test` sees to it");
    world.ran(output)
}

/// A policy that ran once, with young files and one that an hour-old rule would take.
pub(crate) fn with_history(more: &str) -> World {
    let world = World::with_policy(more);
    world.file("out/first.tmp", 2 * HOUR);
    world.run("").exits(0);
    world.file("out/young.tmp", MINUTE);
    world
}

#[test]
fn a_clock_that_jumps_holds_and_the_right_time_goes_on() {
    for (clock, word) in
        [("+1 year", "ran ahead"), ("-2 years", "was set back"), ("1970-01-02 00:00:00", "was set back")]
    {
        let world = with_history("");
        let held = at_clock(&world, clock, "");
        held.exits(4);
        assert!(held.err.contains(word) && held.err.contains("--force"), "{held}");
        assert_eq!(world.left("out"), ["young.tmp"], "{clock}");
        at_clock(&world, clock, "--dry-run").exits(4);

        world.file("out/due.tmp", 2 * HOUR);
        assert_eq!(world.run("").is_fine(), "Removed 1 file, freed 4.1 kB.\n", "a held run is no baseline: {clock}");
    }
}

#[test]
fn force_takes_the_new_clock_for_right() {
    let world = with_history("");
    at_clock(&world, "+1 year", "").exits(4);
    at_clock(&world, "+1 year", "--force").exits(0);
    assert!(world.left("out").is_empty());
    world.file("out/young.tmp", MINUTE);
    at_clock(&world, "+1 year", "--dry-run").exits(0);
    assert!(world.run("").err.contains("was set back"), "and the old one for wrong");
}

#[test]
fn a_first_run_has_nothing_to_compare_with_and_a_future_stamp_stays() {
    let world = World::with_policy("");
    world.file("out/due.tmp", 2 * HOUR);
    let ran = at_clock(&world, "-2 years", "");
    assert!(ran.exits(0).is_empty(), "{ran}");
    assert_eq!(world.left("out"), ["due.tmp"], "stamped in the future of that clock");
}

#[test]
fn a_typo_in_the_threshold_is_held_and_shown() {
    let world = World::with_policy("");
    for index in 0..150 {
        world.file(format!("out/{index:03}.tmp"), 10 * MINUTE);
    }
    assert_eq!(world.run("").is_fine(), "");
    let config = fs::read_to_string(world.path("cleanup.toml")).unwrap();
    world.write("cleanup.toml", &config.replace("\"1h\"", "\"1m\""));

    let held = world.run("--json");
    held.exits(4);
    let report = held.json();
    assert_eq!(report["policies"][0]["status"], "held");
    assert_eq!(report["policies"][0]["due"], 150);
    assert_eq!(report["policies"][0]["plan"].as_array().unwrap().len(), 20);
    let message = report["policies"][0]["message"].as_str().unwrap();
    assert!(message.contains("max_age was changed from \"1h\" to \"1m\""), "{message}");
    assert_eq!(world.left("out").len(), 150);
    let text = world.run("");
    assert!(text.exits(4).ends_with("Nothing was removed; 1 policy held back.\n"), "{text}");
    assert_eq!(text.out.lines().count(), 21, "the first twenty that would have gone, and the sum: {text}");
    let plan = world.run("--dry-run");
    let last = "Dry run: would remove nothing; nothing was deleted; 1 policy held back, with 150 items due.\n";
    assert!(plan.exits(4).ends_with(last), "{plan}");

    world.write("cleanup.toml", &config);
    assert_eq!(world.run("").is_fine(), "", "mended, it goes on");
    world.write("cleanup.toml", &config.replace("\"1h\"", "\"1m\""));
    world.run("--force").exits(0);
    assert!(world.left("out").is_empty(), "meant, it goes on as well");
    assert_eq!(world.run("").is_fine(), "", "and is the rule from then on");
}

#[test]
fn another_age_on_the_command_line_is_meant() {
    let world = World::with_policy("");
    for index in 0..150 {
        world.file(format!("out/{index:03}.tmp"), 10 * MINUTE);
    }
    world.run("").exits(0);
    world.run("--max-age out=1m").exits(0);
    assert!(world.left("out").is_empty());
}

#[test]
fn shares_and_numbers_have_their_limits() {
    let world = World::with_policy("max_removal_percent = 50");
    for index in 0..200 {
        world.file(format!("out/{index:03}.tmp"), if index < 120 { 2 * HOUR } else { MINUTE });
    }
    let held = world.run("");
    held.exits(4);
    assert!(held.err.contains("120 of 200 files") && held.err.contains("max_removal_percent = 50"), "{held}");
    world.run("--force").exits(0);
    assert_eq!(world.left("out").len(), 80);

    let world = World::with_policy("max_removals = 3");
    for index in 0..10 {
        world.file(format!("out/{index}.tmp"), 2 * HOUR);
    }
    let plan = world.run("--dry-run --json").json();
    assert_eq!((&plan["policies"][0]["due"], &plan["policies"][0]["kept"]["deferred"]), (&3.into(), &7.into()));
    let report = world.run("--json").json();
    assert_eq!((&report["policies"][0]["removed"], &report["policies"][0]["kept"]["deferred"]), (&3.into(), &7.into()));
    assert_eq!(world.left("out").len(), 7);
}

#[test]
fn errors_in_a_row_end_a_hopeless_run() {
    let world = World::with_policy("max_consecutive_errors = 5");
    for index in 0..50 {
        world.file(format!("out/{index}.tmp"), 2 * HOUR);
    }
    let Some(mut command) = world.command_as_nobody(&["--json"]) else { return };
    let ran = world.ran(command.output().unwrap());
    ran.exits(3);
    assert_eq!(ran.json()["policies"][0]["errors_total"], 5);
    assert!(ran.err.contains("max_consecutive_errors"), "{ran}");
}

#[test]
fn a_run_that_takes_too_long_ends_and_the_next_one_goes_on() {
    let world = World::with_policy("max_runtime = \"1ms\"");
    for index in 0..5000 {
        world.file(format!("out/{index}.tmp"), 2 * HOUR);
    }
    // No machine looks at so many in a thousandth of a second, and each run takes one at least.
    let ended = world.run("");
    ended.exits(3);
    assert!(ended.err.contains("max_runtime = \"1ms\" reached; the next run continues at "), "{ended}");
    let left = world.left("out").len();
    assert!((1..5000).contains(&left), "{left}");
    let next = world.run("--json");
    assert!(world.left("out").len() < left);
    let message = next.json()["policies"][0]["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("continued at ") && message.contains("where the last run stopped"), "{message}");
}

#[test]
fn something_mounted_over_the_root_is_held() {
    let world = with_history("");
    let out = world.path("out");
    let mount = Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(&out).output();
    if !mount.is_ok_and(|mount| mount.status.success()) {
        eprintln!("SKIPPED: this process may not mount");
        return;
    }
    world.file("out/victim.tmp", 2 * HOUR);
    let held = world.run("");
    let left = world.left("out");
    assert!(Command::new("umount").arg(&out).status().unwrap().success());
    held.exits(4);
    assert!(held.err.contains("another file system"), "{held}");
    assert_eq!(left, ["victim.tmp"]);
    assert_eq!(world.run("").is_fine(), "");
}

#[test]
fn what_is_held_stays_and_says_so() {
    let world = World::with_policy("recursive = true");
    world.file("out/kept.tmp", 9 * DAY);
    world.file("out/folder/kept.tmp", 9 * DAY);
    world.file("out/due.tmp", 9 * DAY);
    assert!(world.run("hold out/kept.tmp out/folder --for 2d").is_fine().contains("is held until"));
    assert_eq!(world.run("hold --list").is_fine().lines().count(), 2);
    assert!(world.run("explain out/kept.tmp").is_fine().contains("held until"));
    let report = world.run("--json").json();
    assert_eq!(report["policies"][0]["kept"]["held"], 2);
    assert_eq!(world.left("out"), ["folder", "kept.tmp"]);

    let ahead = world.run("--dry-run --at +3d --json").json();
    assert_eq!(ahead["policies"][0]["due"], 2, "by then the holds are over");
    world.run("hold --release out/kept.tmp").is_fine();
    world.run("").exits(0);
    assert_eq!(world.left("out"), ["folder"]);
}

#[test]
fn looking_ahead_is_for_dry_runs() {
    let world = World::with_policy("");
    world.file("out/young.tmp", MINUTE);
    assert_eq!(world.run("--dry-run --at +1h --json").json()["policies"][0]["due"], 1);
    assert_eq!(world.run("--dry-run --at +30m --json").json()["policies"][0]["due"], 0);
    assert_eq!(world.run("--dry-run --at 2100-01-01 --json").json()["policies"][0]["due"], 1);
    world.run("--at +1h").exits(2);
    world.run("--dry-run --at soon").exits(2);
    assert_eq!(world.left("out"), ["young.tmp"]);
}

#[test]
fn history_remembers_what_ran() {
    let world = World::with_policy("");
    world.file("out/due.tmp", 2 * HOUR);
    world.run("").exits(0);
    world.run("--dry-run").exits(0);
    let history = world.run("history --json").json();
    let runs = history["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 1, "a dry run leaves nothing behind");
    assert_eq!((&runs[0]["removed"], &runs[0]["status"]), (&1.into(), &"ok".into()));
    let id = runs[0]["run_id"].as_str().unwrap();
    assert_eq!(world.run(&format!("history {id} --json")).json()["policies"][0]["removed"], 1);
    assert!(world.run(&format!("history {id}")).is_fine().contains("removed 1 of 1 file"));
    assert!(world.run("history 0000").err.contains("there is no run"));
}

#[test]
fn a_second_sweep_of_one_policy_gives_way() {
    let world = World::with_policy("");
    world.file("out/due.tmp", 2 * HOUR);
    world.run("--dry-run").exits(0);
    fs::create_dir_all(world.path(".cleanup/locks")).unwrap();
    fs::set_permissions(world.path(".cleanup"), PermissionsExt::from_mode(0o700)).unwrap();
    let lock = fs::File::create(world.path(".cleanup/locks/out")).unwrap();
    lock.lock().unwrap();
    assert!(world.run("hold out/x.tmp --for 1h").err.contains("may still remove"));
    let ran = world.run("");
    ran.exits(75);
    assert!(ran.err.contains("another sweep of this policy is running"), "{ran}");
    world.run("--dry-run").exits(0);
    lock.unlock().unwrap();
    world.run("").exits(0);
    assert!(world.left("out").is_empty());
}

#[test]
fn observing_takes_nothing_and_compares_with_the_other_cleaner() {
    let world = World::with_policy("mode = \"observe\"");
    for name in ["taken", "left"] {
        world.file(format!("out/{name}.tmp"), 2 * HOUR);
    }
    for name in ["young", "stolen"] {
        world.file(format!("out/{name}.tmp"), MINUTE);
    }
    let first = world.run("--json").json();
    assert_eq!((&first["policies"][0]["due"], &first["policies"][0]["removed"]), (&2.into(), &0.into()));
    assert_eq!(world.left("out").len(), 4);

    // The old cleaner has another idea of what is due.
    let find = ["-name", "taken.tmp", "-delete", "-o", "-name", "stolen.tmp", "-delete"];
    assert!(Command::new("find").arg(world.path("out")).args(find).status().unwrap().success());
    let second = world.run("--json").json();
    let observed = &second["policies"][0]["observed"];
    assert_eq!(observed["gone_as_predicted"], 1);
    assert_eq!(observed["still_there"], 1);
    assert_eq!(observed["gone_but_kept"], 1);
    assert_eq!(observed["examples_gone_but_kept"][0], "stolen.tmp");
}

#[test]
fn with_running_time_nothing_that_is_unknown_counts() {
    let world = World::with_policy("age_clock = \"running\"");
    world.file("out/due.tmp", 9 * DAY);
    assert_eq!(world.run("").is_fine(), "");
    let said = world.run("explain out/due.tmp");
    assert!(said.is_fine().contains("of running time ago"), "{said}");
    assert_eq!(world.left("out"), ["due.tmp"], "nobody knows how long this machine was running before");
}

#[test]
fn two_policies_with_one_root_share_it() {
    let world = World::with_policy("");
    let config = fs::read_to_string(world.path("cleanup.toml")).unwrap();
    let again = config.replace("files.out", "files.again").replace("*.tmp", "*.log");
    world.write("cleanup.toml", &(config + &again));
    for index in 0..150 {
        world.file(format!("out/{index}.tmp"), 2 * HOUR);
        world.file(format!("out/{index}.log"), 2 * HOUR);
    }
    let start = |policy: &str| {
        world.command(&["sweep", policy, "--json"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let both = [start("out"), start("again")];
    let removed: u64 = both
        .into_iter()
        .map(|child| {
            let ran = world.ran(child.wait_with_output().unwrap());
            ran.exits(0);
            ran.json()["totals"]["removed"].as_u64().unwrap()
        })
        .sum();
    assert_eq!(removed, 300, "each takes what it alone names");
    assert!(world.left("out").is_empty());
}

#[test]
fn a_hold_is_on_the_file_by_whatever_path_it_was_named() {
    let world = World::with_policy("");
    std::os::unix::fs::symlink("out", world.path("link")).unwrap();
    let config = fs::read_to_string(world.path("cleanup.toml")).unwrap();
    for root in ["out", "../here/out", "behind/out"] {
        world.write("cleanup.toml", &config.replace("\"out\"", &format!("\"{root}\"")).replace("here", &world.name()));
        let _ = std::os::unix::fs::symlink(world.path(""), world.path("behind"));
        for hold in ["link/kept.tmp", "out/kept.tmp", "link", "out", "out/../out", "."] {
            world.file("out/kept.tmp", 2 * HOUR);
            world.run(&format!("hold {hold} --for 2d")).is_fine();
            world.run("--force").exits(0);
            assert_eq!(world.left("out"), ["kept.tmp"], "{hold} under {root}");
            world.run(&format!("hold {hold} --release")).is_fine();
        }
        world.run("--force").exits(0);
        assert!(world.left("out").is_empty(), "{root}");
    }
    assert!(world.run("hold /nowhere --for 1h").err.contains("below no root"));
}

#[test]
fn sessions_can_be_observed_too() {
    let world = World::new();
    world.write(
        "cleanup.toml",
        "[sessions.tutor-sessions]\nurl = \"sqlite:///sessions.db\"\ntable = \"s\"\nid_column = \"id\"\n\
         activity_column = \"at\"\nmax_idle = \"2h\"\nmode = \"observe\"\n",
    );
    let sql =
        "create table s (id text primary key, at integer); insert into s values ('a', 1577836800), ('b', unixepoch());";
    let python = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).executescript(sys.argv[2])";
    let database = world.path("sessions.db");
    assert!(Command::new("python3").args(["-c", python]).arg(&database).arg(sql).status().unwrap().success());

    let policy = &world.run("--json").json()["policies"][0];
    assert_eq!((&policy["due"], &policy["removed"]), (&1.into(), &0.into()), "{policy}");
    assert!(policy["message"].as_str().unwrap().contains("observed only"), "{policy}");
    let config = fs::read_to_string(world.path("cleanup.toml")).unwrap().replace("mode = \"observe\"\n", "");
    world.write("cleanup.toml", &config);
    assert_eq!(world.run("").is_fine(), "Removed 1 session.\n");
}

/// The application writes the clock of this machine, and the database's is three hours ahead of it: by the database every
/// session is idle.
#[test]
fn a_database_whose_clock_is_hours_off_holds_its_sessions() {
    let server = cleanup_test_postgres::shared().unwrap();
    let database = server.create_database().unwrap();
    let table = "create table s (id text primary key, at timestamptz); create index on s (at); \
                 insert into s select n, now() - interval '3 hours' from generate_series(1, 300) n;";
    server.psql(&database, table).unwrap();
    let world = World::new();
    world.write(
        "cleanup.toml",
        &format!(
            "[sessions.tutors]\nurl = \"{}\"\ntable = \"s\"\nid_column = \"id\"\nactivity_column = \"at\"\nmax_idle = \"2h\"\n",
            server.url(&database)
        ),
    );
    let rows = || server.psql(&database, "select count(*) from s").unwrap().trim().to_owned();
    for line in ["", "--dry-run"] {
        let held = at_clock(&world, "-3 hours", line);
        held.exits(4);
        assert!(held.err.contains("tutors: held back: the database's clock says "), "{held}");
        assert!(held.err.contains("ahead of this machine's") && held.err.contains("--force"), "{held}");
        assert_eq!(rows(), "300", "{line}");
    }
    let policy = &at_clock(&world, "-3 hours", "--json").json()["policies"][0];
    assert_eq!((&policy["status"], &policy["removed"]), (&"held".into(), &0.into()), "{policy}");
    let checked = at_clock(&world, "-3 hours", "config check");
    checked.exits(1);
    assert!(checked.out.contains("held back: the database's clock says "), "{checked}");
    let stats = &at_clock(&world, "-3 hours", "stats --json").json()["policies"][0];
    assert!(stats["message"].as_str().unwrap().contains("ahead of this machine's"), "{stats}");

    assert!(at_clock(&world, "-3 hours", "--force").is_fine().starts_with("Removed 300 sessions"));
    assert_eq!(rows(), "0");
}

/// Rows have the same brakes as files: a rule that was changed, a share, a number.
#[test]
fn rows_are_held_by_a_changed_rule_and_by_a_share() {
    let world = World::new();
    let rule = "[sessions.tutors]\nurl = \"sqlite:///sessions.db\"\ntable = \"s\"\nid_column = \"id\"\n\
                activity_column = \"at\"\nmax_idle = \"20h\"\n";
    world.write("cleanup.toml", rule);
    let database = world.path("sessions.db");
    let sql = "create table s (id text primary key, at integer, kind text);
               with recursive n(i) as (select 1 union all select i + 1 from n where i < 300)
               insert into s select i, unixepoch() - 36000, 'keep' from n;
               insert into s values ('old', unixepoch() - 360000, null), ('young', unixepoch(), null)";
    let python = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).executescript(sys.argv[2])";
    assert!(Command::new("python3").args(["-c", python]).arg(&database).arg(sql).status().unwrap().success());
    assert_eq!(world.run("").is_fine(), "Removed 1 session.\n");

    let shorter = rule.replace("20h", "2h");
    world.write("cleanup.toml", &shorter);
    for line in ["", "--dry-run"] {
        let held = world.run(line);
        held.exits(4);
        let said = "tutors: held back: max_idle was changed from \"20h\" to \"2h\" since the last run; 300 of 301 rows would now be \
                    removed; if this is intended, run once with --force";
        assert!(held.err.contains(said), "{held}");
    }
    let policy = &world.run("--json").json()["policies"][0];
    assert_eq!((&policy["status"], &policy["due"], &policy["removed"]), (&"held".into(), &300.into(), &0.into()));

    // What limits a run is no part of the rule, and a smaller number needs no look.
    world.write("cleanup.toml", &format!("{rule}max_removals = 7\npace = \"strict\"\n"));
    assert_eq!(world.run("").is_fine(), "");
    world.write("cleanup.toml", &format!("{rule}where = {{ kind = {{ not = \"keep\" }} }}\n"));
    world.run("").is_fine();
    world.write("cleanup.toml", &shorter);
    let held = world.run("");
    held.exits(4);
    assert!(held.err.contains("where was removed (it was {"), "{held}");

    world.write("cleanup.toml", &format!("{shorter}max_removals = 40\n"));
    let forced = world.run("--force");
    assert_eq!(forced.is_fine().lines().next(), Some("Removed 40 sessions."), "{forced}");
    assert_eq!(world.run("").is_fine().lines().next(), Some("Removed 40 sessions."), "what was accepted is accepted");
    world.write("cleanup.toml", &format!("{shorter}max_removal_percent = 50\n"));
    let held = world.run("");
    held.exits(4);
    assert!(held.err.contains("220 of 221 rows would be removed, more than max_removal_percent = 50"), "{held}");
    assert_eq!(world.run("--force").is_fine(), "Removed 220 sessions.\n");
}

#[test]
fn sessions_that_say_when_they_end_are_told_of_so() {
    let world = World::new();
    world.write(
        "cleanup.toml",
        "[sessions.django]\nurl = \"sqlite:///sessions.db\"\ntable = \"s\"\nid_column = \"id\"\n\
         expires_column = \"ends\"\n",
    );
    let sql = "create table s (id text primary key, ends datetime);
               insert into s values ('a', '2020-01-01 00:00:00'), ('b', datetime('now', '+1 day'))";
    let python = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).executescript(sys.argv[2])";
    let database = world.path("sessions.db");
    assert!(Command::new("python3").args(["-c", python]).arg(&database).arg(sql).status().unwrap().success());
    let stats = world.run("stats -v");
    assert!(stats.out.contains("sessions in table s that have expired"), "{stats}");
    assert_eq!(world.run("").is_fine(), "Removed 1 session.\n");
}

#[test]
fn values_that_are_no_times_are_said_by_every_face() {
    let world = World::new();
    let config = "[sessions.tutors]\nurl = \"sqlite:///sessions.db\"\ntable = \"s\"\nid_column = \"id\"\n\
                  activity_column = \"at\"\nmax_idle = \"2h\"\n";
    world.write("cleanup.toml", config);
    let database = world.path("sessions.db");
    let sql = |sql: &str| {
        let python = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).executescript(sys.argv[2])";
        assert!(Command::new("python3").args(["-c", python]).arg(&database).arg(sql).status().unwrap().success());
    };
    sql(
        "create table s (id text primary key, at real); insert into s values ('a', julianday('now')), ('b', julianday('now'))",
    );
    let line = "add the line time_format = \"julian\" to [sessions.tutors]";
    for arguments in ["", "--dry-run"] {
        let refused = world.run(arguments);
        refused.exits(1);
        assert!(refused.err.contains(line), "{refused}");
    }
    assert!(world.run("config check").out.contains(line), "{}", world.run("config check"));
    assert!(world.run("stats").out.contains(line), "{}", world.run("stats"));

    world.write("cleanup.toml", &format!("{config}time_format = \"julian\"\n"));
    sql("insert into s values ('old', julianday('now', '-3 hours')), ('none', 0)");
    let said = "1 row stays: its main.s.at is an implausible time";
    let policy = &world.run("--dry-run --json").json()["policies"][0];
    assert_eq!((&policy["due"], &policy["kept"]["implausible"]), (&1.into(), &1.into()), "{policy}");
    assert!(policy["message"].as_str().unwrap().contains(said), "{policy}");
    let stats = &world.run("stats --json").json()["policies"][0];
    assert_eq!(stats["implausible_rows"], 1, "{stats}");
    assert!(world.run("stats").out.contains(said) && world.run("config check").out.contains(said));
    assert_eq!(world.run("").is_fine(), "Removed 1 session.\n");
    assert_eq!(world.run("").is_fine(), "", "nothing new is no news");
}

#[test]
fn what_cannot_be_removed_does_not_use_up_the_share() {
    let world = World::with_policy("max_removals = 3\nrecursive = true");
    for index in 0..5 {
        world.file(format!("out/stuck/{index}.tmp"), 2 * HOUR);
        world.file(format!("out/free/{index}.tmp"), 2 * HOUR);
    }
    let mode = |path: &str, mode| fs::set_permissions(world.path(path), PermissionsExt::from_mode(mode)).unwrap();
    mode("out/free", 0o777);
    for _ in 0..2 {
        let Some(mut command) = world.command_as_nobody(&[]) else { return };
        world.ran(command.output().unwrap()).exits(3);
    }
    assert!(world.left("out/free").is_empty());
    assert_eq!(world.left("out/stuck").len(), 5);
}

#[test]
fn a_found_pipe_keeps_nobody_waiting() {
    let world = World::new();
    assert!(Command::new("mkfifo").arg(world.path("cleanup.toml")).status().unwrap().success());
    let ran = world.run("");
    ran.exits(78);
    assert!(ran.err.contains("not a regular file"), "{ran}");
    world.write("large.toml", &"# nothing\n".repeat(200_000));
    assert!(world.run("-c large.toml").err.contains("larger than a megabyte"));
}
