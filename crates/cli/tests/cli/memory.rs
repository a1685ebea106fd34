//! What one run leaves behind for the next: lost, ruined, unreadable, or of a run that was killed. None of it lets a file
//! go early that somebody was promised, or that is young by the right clock.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use crate::brakes::{at_clock, with_history};
use crate::world::{HOUR, MINUTE, World};

#[test]
fn lost_promises_hold_the_files_until_somebody_accepts_the_loss() {
    for shorten in [true, false] {
        let world = with_history("");
        world.file("out/kept.tmp", 2 * HOUR);
        world.file("out/also.tmp", 2 * HOUR);
        world.run("hold out/kept.tmp --for 2d").is_fine();
        world.run("hold out/also.tmp --for 2d").is_fine();
        let file = world.path(".cleanup/promises.jsonl");
        if shorten {
            let promises = fs::read_to_string(&file).unwrap();
            fs::write(&file, &promises[..=promises.find('\n').unwrap()]).unwrap();
        } else {
            fs::remove_file(&file).unwrap();
        }
        let all = ["also.tmp", "kept.tmp", "young.tmp"];
        let plan = world.run("--dry-run");
        plan.exits(4);
        assert!(plan.err.contains("nothing is deleted") && plan.err.contains("--force"), "{plan}");
        // Held again and again, not only when it is noticed, and on every way.
        for line in ["", "sweep out", "--json", ""] {
            world.run(line).exits(4);
            assert_eq!(world.left("out"), all);
        }
        // A dry run accepts nothing, whatever it is told; nor does a new hold make up for what is lost.
        assert_eq!(world.run("--dry-run --force --json").json()["policies"][0]["due"], if shorten { 1 } else { 2 });
        world.run("hold out/also.tmp --for 2d").is_fine();
        world.run("").exits(4);
        assert_eq!(world.left("out"), all);

        world.run("--force").exits(0);
        world.run("").exits(0);
        let left: &[&str] = if shorten { &all } else { &["also.tmp", "young.tmp"] };
        assert_eq!(world.left("out"), left, "what is still promised is kept");
    }
}

#[test]
fn a_lost_database_takes_no_clock_along() {
    for ruin in [None, Some(&b"SQLite format 3\0 and then nonsense"[..])] {
        let world = with_history("");
        match ruin {
            None => fs::remove_file(world.path(".cleanup/state.db")).unwrap(),
            Some(ruin) => fs::write(world.path(".cleanup/state.db"), ruin).unwrap(),
        }
        let held = at_clock(&world, "+400 days", "");
        held.exits(4);
        assert!(held.err.contains("ran ahead"), "{held}");
        assert_eq!(world.left("out"), ["young.tmp"]);
        assert_eq!(world.run("").exits(0), "");
    }
}

#[test]
fn a_memory_without_any_witness_of_the_clock_holds_what_takes_most_of_the_files() {
    let world = with_history("");
    for number in 0..120 {
        world.file(format!("out/{number}.tmp"), MINUTE);
    }
    for lost in ["state.db", "state.db-wal", "state.db-shm", "locks/clock"] {
        let _ = fs::remove_file(world.path(format!(".cleanup/{lost}")));
    }
    let held = at_clock(&world, "+400 days", "");
    held.exits(4);
    assert!(held.err.contains("--force"), "{held}");
    assert_eq!(world.left("out").len(), 121);
    at_clock(&world, "+400 days", "").exits(4);
    assert_eq!(world.left("out").len(), 121, "a run that is held is no witness");
    // Nor is one that was about other files, or about few.
    fs::create_dir(world.path("other")).unwrap();
    world.file("other/due.tmp", 2 * HOUR);
    let config = fs::read_to_string(world.path("cleanup.toml")).unwrap();
    let other = "[files.other]\nroot = \"other\"\ninclude = [\"*.tmp\"]\nmax_age = \"1h\"\n";
    world.write("cleanup.toml", &format!("{config}{other}"));
    at_clock(&world, "+400 days", "sweep other").exits(0);
    at_clock(&world, "+400 days", "").exits(4);
    assert_eq!(world.left("out").len(), 121);
    // No memory at all is a first run, as a container has one whenever it starts.
    fs::remove_dir_all(world.path(".cleanup")).unwrap();
    at_clock(&world, "+400 days", "").exits(0);
    assert!(world.left("out").is_empty());
}

#[test]
fn a_hold_before_the_first_run_makes_no_doubtful_memory() {
    let world = World::with_policy("");
    for number in 0..120 {
        world.file(format!("out/{number}.tmp"), 2 * HOUR);
    }
    world.run("hold out/0.tmp --for 2d").is_fine();
    world.run("").exits(0);
    assert_eq!(world.left("out"), ["0.tmp"]);
}

#[test]
fn a_killed_run_is_known_of() {
    let world = World::with_policy("");
    // As a kill leaves it: the mark of a run whose process, and with it the lock, is gone.
    world.run("").exits(0);
    let begun = r#"{"run_id":"01KDYAK361AVRGGCV3NBWX3QQN","trigger":"schedule","started_at":"2026-01-02T03:04:05.000Z",
                    "policies":[{"name":"test","kind":"files"}]}"#;
    let mark = world.path(".cleanup/running/01KDYAK361AVRGGCV3NBWX3QQN");
    fs::write(&mark, begun).unwrap();

    // Before any other run, and by whoever only looks.
    let ran = world.run("history");
    let table = ran.is_fine();
    assert!(table.lines().next().unwrap().contains("interrupted"), "{table}");
    let run = world.run("history 01KDYAK --json").json();
    assert_eq!((&run["status"], &run["trigger"]), (&"interrupted".into(), &"schedule".into()), "{run}");
    assert_eq!(run["policies"][0]["name"], "test");
    assert!(mark.exists(), "a look takes nothing into the history");

    let next = world.run("");
    next.exits(0);
    assert!(
        next.err.contains("01KDYAK361AVRGGCV3NBWX3QQN of test, started at 2026-01-02T03:04:05.000Z, was interrupted"),
        "{next}"
    );
    assert!(!mark.exists());
    let runs = world.run("history --json").json();
    let status = |index: usize| runs["runs"][index]["status"].as_str().unwrap().to_owned();
    assert_eq!((status(0).as_str(), status(1).as_str()), ("ok", "interrupted"), "{runs}");
    assert_eq!(world.run("").is_fine(), "", "said once");
}

#[test]
fn a_run_that_is_killed_in_the_middle_leaves_its_mark() {
    let world = World::with_policy("");
    for index in 0..20_000 {
        world.file(format!("out/{index}.tmp"), 2 * HOUR);
    }
    let mut child = world.command(&[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // A mark that has not got its name yet is of a run that has removed nothing.
    let marks = || fs::read_dir(world.path(".cleanup/running")).into_iter().flatten().flatten();
    let is_running = || marks().any(|mark| mark.path().extension().is_none());
    let begun = std::time::Instant::now();
    while !is_running() && child.try_wait().unwrap().is_none() {
        assert!(begun.elapsed() < std::time::Duration::from_secs(60));
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!world.left("out").is_empty(), "it was killed before its end");
    assert!(world.run("history").is_fine().contains("interrupted"));
    world.run("").exits(0);
    assert_eq!(marks().count(), 0, "every run that ends takes its mark away");
    assert!(world.left("out").is_empty());
}

#[test]
fn a_lost_memory_deletes_nothing_early() {
    let world = with_history("");
    fs::remove_dir_all(world.path(".cleanup")).unwrap();
    assert_eq!(world.run("").is_fine(), "");
    for ruin in [b"".as_slice(), b"SQLite format 3\0 and then nonsense", &[0xff; 5000]] {
        fs::write(world.path(".cleanup/state.db"), ruin).unwrap();
        world.run("").exits(0);
        assert_eq!(world.left("out"), ["young.tmp"]);
    }
}

#[test]
fn promises_that_cannot_be_read_hold_the_files() {
    let world = with_history("");
    world.run("hold out/kept.tmp --for 2d").is_fine();
    world.run("hold out/other.tmp --for 2d").is_fine();
    let file = world.path(".cleanup/promises.jsonl");
    let mut promises = fs::read(&file).unwrap();
    promises[20] ^= 1;
    fs::write(&file, promises).unwrap();
    world.file("out/due.tmp", 2 * HOUR);
    let held = world.run("");
    held.exits(4);
    assert!(held.err.contains("promises.jsonl"), "{held}");
    assert_eq!(world.left("out"), ["due.tmp", "young.tmp"]);
}

#[test]
fn without_a_place_for_it_nothing_is_remembered_and_files_go_all_the_same() {
    let world = World::with_policy("");
    world.write(".cleanup", "a file where the folder should be");
    world.file("out/due.tmp", 2 * HOUR);
    let report = world.run("--json");
    report.exits(0);
    assert!(report.json()["not_remembered"].as_str().unwrap().contains("no state is kept"), "{report}");
    assert!(world.left("out").is_empty());
}

#[test]
fn killed_at_any_moment_it_leaves_nothing_stuck() {
    let world = World::with_policy("");
    for round in 0_u64..50 {
        for index in 0..20 {
            world.file(format!("out/{round}-{index}.tmp"), 2 * HOUR);
        }
        let mut child = world.command(&[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // The moments are spread by work of our own, not by waiting: more each round.
        let mut nothing = std::io::sink();
        for byte in 0..round * 4000 {
            nothing.write_all(&byte.to_le_bytes()).unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    world.file("out/young.tmp", MINUTE);
    let last = world.run("");
    last.exits(0);
    assert_eq!(world.left("out"), ["young.tmp"], "{last}");
    assert_eq!(world.run("").is_fine(), "");
    world.run("history").is_fine();
}

#[test]
fn a_memory_that_can_only_be_read_still_keeps_its_promises() {
    let world = with_history("");
    world.file("out/due.tmp", 2 * HOUR);
    world.file("out/kept.tmp", 2 * HOUR);
    world.run("hold out/kept.tmp --for 2d").is_fine();
    let Some(mut command) = world.command_as_nobody(&["--json"]) else { return };
    let mode = |path: &str, mode| fs::set_permissions(world.path(path), PermissionsExt::from_mode(mode)).unwrap();
    mode("out", 0o777);

    let ran = world.ran(command.output().unwrap());
    ran.exits(4);
    assert!(ran.err.contains("holds are unknown"), "{ran}");
    assert_eq!(world.left("out"), ["due.tmp", "kept.tmp", "young.tmp"]);

    for (path, bits) in [(".cleanup", 0o755), (".cleanup/locks", 0o755), (".cleanup/promises.jsonl", 0o644)] {
        mode(path, bits);
    }
    for file in fs::read_dir(world.path(".cleanup/locks")).unwrap() {
        fs::set_permissions(file.unwrap().path(), PermissionsExt::from_mode(0o644)).unwrap();
    }
    let ran = world.ran(command.output().unwrap());
    ran.exits(0);
    assert!(ran.json()["not_remembered"].is_string(), "{ran}");
    assert_eq!(world.left("out"), ["kept.tmp", "young.tmp"]);
}

#[test]
fn a_memory_below_a_root_is_never_swept() {
    let world = World::new();
    world.write(
        "cleanup.toml",
        "[state]\nurl = \"sqlite:store/state.db\"\n[files.all]\nroot = \"store\"\ninclude = [\"*\"]\nmax_age = \"1h\"\n\
         recursive = true\nremove_empty_dirs = true\n",
    );
    world.file("store/due.tmp", 2 * HOUR);
    world.run("hold store/kept --for 2d").is_fine();
    world.run("").exits(0);
    let age = ["-exec", "touch", "-d", "3 days ago", "{}", "+"];
    assert!(Command::new("find").arg(world.path("store")).args(age).status().unwrap().success());
    world.run("").exits(0);
    assert_eq!(world.run("hold --list").is_fine().lines().count(), 1);
    assert!(world.path("store/locks/all").exists() && world.path("store/state.db").exists());
}

#[test]
fn what_appears_beside_our_own_files_while_a_run_is_on_its_way_is_ours_too() {
    let world = World::new();
    let config = "[files.all]\nroot = \".\"\ninclude = [\"*\"]\nrecursive = true\ndotfiles = true\nmax_age = \"1h\"\n\
                  [audit]\nfile = \"audit.jsonl\"\n[state]\nurl = \"sqlite:data/memory.db\"\n";
    for name in
        ["data/mine.txt", "data/memory.db-journal", "data/promises.jsonl.new", "data/locks/all", "audit.jsonl.3"]
    {
        world.file(name, 48 * HOUR);
    }
    world.write("cleanup.toml", config);
    let file = fs::File::options().write(true).open(world.path("cleanup.toml")).unwrap();
    file.set_modified(std::time::SystemTime::now() - 48 * HOUR).unwrap();
    let listed = world.run("list --json").json();
    let paths: Vec<&str> = listed["files"].as_array().unwrap().iter().map(|it| it["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["data/mine.txt"]);
}
