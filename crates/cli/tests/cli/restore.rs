//! Undo as people meet it: what goes into quarantine comes back, stays then, and every word about it is right.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use crate::world::{HOUR, MINUTE, World};

const QUARANTINE: &str = "dispose = \"quarantine\"";

/// A world of which these files went into quarantine.
fn swept(more: &str, files: &[&str]) -> World {
    let world = World::with_policy(&format!("{QUARANTINE}\n{more}"));
    for file in files {
        world.file(format!("out/{file}"), 2 * HOUR);
    }
    let said = world.run("");
    assert!(said.is_fine().starts_with("Moved "), "{said}");
    assert!(world.left("out").is_empty());
    world
}

#[test]
fn the_last_run_is_undone_and_the_next_sweep_leaves_it_alone() {
    let world = World::with_policy(QUARANTINE);
    world.file("out/a.tmp", 2 * HOUR);
    world.file("out/b.tmp", 2 * HOUR);
    world.write("out/b.tmp", "mine");
    let b = fs::File::options().write(true).open(world.path("out/b.tmp")).unwrap();
    b.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    let report = world.run("--json").json();
    let counts = &report["policies"][0];
    assert_eq!((&counts["quarantined"], &counts["removed"]), (&2.into(), &0.into()));
    assert_eq!((&counts["quarantined_bytes"], &counts["bytes_freed"]), (&8192.into(), &0.into()));
    assert!(world.left("out").is_empty());

    let dry = world.run("restore --dry-run");
    assert!(dry.is_fine().contains("would restore  out/a.tmp\n"), "{dry}");
    assert!(world.left("out").is_empty());
    let undone = world.run("restore");
    let lines: Vec<&str> = undone.is_fine().lines().collect();
    assert!(lines[0].starts_with("restored  out/a.tmp  (held until "), "{undone}");
    let id = report["run_id"].as_str().unwrap();
    let expected = format!("Restored 2 files, 8.2 kB, of run {id}; held until ");
    assert!(lines[2].starts_with(&expected), "{undone}");
    assert_eq!(world.left("out"), ["a.tmp", "b.tmp"]);
    assert_eq!(fs::read_to_string(world.path("out/b.tmp")).unwrap(), "mine");
    assert_eq!(b.metadata().unwrap().modified().unwrap(), std::time::SystemTime::UNIX_EPOCH);
    assert!(!world.path(format!("out/.cleanup/quarantine/{id}-out")).exists());

    let next = world.run("--json").json();
    assert_eq!((&next["policies"][0]["due"], &next["policies"][0]["kept"]["held"]), (&0.into(), &2.into()));
    let history = world.run("history");
    assert!(history.is_fine().contains("removed 0 of 2 due, freed 0 B  2 in quarantine, 8.2 kB"), "{history}");
}

#[test]
fn a_restore_is_a_run_with_a_place_in_the_history() {
    let world = swept("", &["a.tmp", "b.tmp"]);
    let restored = world.run("restore out/a.tmp --json").json();
    let id = restored["restore_run_id"].as_str().unwrap();
    let line = world.run("history --limit 1");
    assert!(line.is_fine().starts_with(id) && line.out.contains("ok  restored 1"), "{line}");
    let shown = world.run(&format!("history {id}"));
    assert!(shown.is_fine().contains("restored 1 file, 4.1 kB"), "{shown}");
    assert!(shown.out.ends_with("Restored 1 file, 4.1 kB.\n"), "{shown}");
    // What is in its way is an error of that run.
    world.file("out/b.tmp", HOUR);
    world.run("restore out/b.tmp").exits(3);
    let runs = world.run("history --json").json();
    assert_eq!(runs["runs"][0]["run_id"], id, "nothing was tried, so that is no run");
}

#[test]
fn it_needs_no_database() {
    let world = swept("", &["a.tmp"]);
    fs::remove_dir_all(world.path(".cleanup")).unwrap();
    world.run("restore").exits(0);
    assert_eq!(world.left("out"), ["a.tmp"]);
}

#[test]
fn a_run_a_file_and_a_folder_can_be_named() {
    let world = World::with_policy(&format!("{QUARANTINE}\nrecursive = true"));
    let mut runs = Vec::new();
    for name in ["a.tmp", "deep/er/b.tmp", "deep/c.tmp", "abcd.tmp"] {
        world.file(format!("out/{name}"), 2 * HOUR);
        runs.push(world.run("--json").json()["run_id"].as_str().unwrap().to_owned());
    }
    fs::remove_dir_all(world.path("out/deep")).unwrap();
    world.run(&format!("restore {}", runs[0].to_lowercase())).is_fine();
    assert_eq!(world.left("out"), ["a.tmp"]);
    world.run("restore out/deep").is_fine();
    assert_eq!(
        (world.left("out/deep"), world.left("out/deep/er")),
        (vec!["c.tmp".into(), "er".into()], vec!["b.tmp".into()])
    );
    world.run("restore out/abcd.tmp").is_fine();

    let none = world.run("restore out/nothing.tmp");
    none.exits(3);
    assert!(none.err.contains("out/nothing.tmp: not in quarantine") || none.err.contains("dispose"), "{none}");
    let gone = world.run(&format!("restore {}", runs[0]));
    gone.exits(3);
}

#[test]
fn of_several_versions_the_newest_comes_back() {
    let world = World::with_policy(QUARANTINE);
    for version in ["first", "second"] {
        world.file("out/a.tmp", 2 * HOUR);
        let at = fs::metadata(world.path("out/a.tmp")).unwrap().modified().unwrap();
        world.write("out/a.tmp", version);
        fs::File::options().write(true).open(world.path("out/a.tmp")).unwrap().set_modified(at).unwrap();
        world.run("").is_fine();
    }
    let restored = world.run("restore out/a.tmp");
    assert!(restored.is_fine().contains("1 older version stays in quarantine"), "{restored}");
    assert_eq!(fs::read_to_string(world.path("out/a.tmp")).unwrap(), "second");
    let conflict = world.run("restore out");
    conflict.exits(3);
    assert!(conflict.err.contains("out/a.tmp: already exists"), "{conflict}");
    assert_eq!(fs::read_to_string(world.path("out/a.tmp")).unwrap(), "second");
    assert!(conflict.out.contains("Restored nothing; 1 file could not be restored."), "{conflict}");
}

#[test]
fn where_nothing_can_come_back_it_says_so_and_which_key_changes_that() {
    let world = World::with_policy("");
    world.file("out/a.tmp", 2 * HOUR);
    world.run("").is_fine();
    for line in ["restore", "restore out/a.tmp"] {
        let refused = world.run(line);
        refused.exits(3);
        assert!(refused.err.contains("dispose = \"quarantine\""), "{refused}");
    }
    assert!(world.run("quarantine").is_fine().contains("dispose = \"quarantine\""));
    assert!(!world.path("out/.cleanup").exists());

    let world = World::with_policy(QUARANTINE);
    let refused = world.run("restore");
    refused.exits(3);
    assert!(refused.err.contains("the quarantine is empty"), "{refused}");
}

#[test]
fn what_cannot_be_held_is_not_restored() {
    let world = swept("[state]\nurl = \"none\"", &["a.tmp"]);
    let refused = world.run("restore");
    refused.exits(1);
    assert!(refused.err.contains("--hold 0s"), "{refused}");
    assert!(world.left("out").is_empty());
    world.run("restore --hold 0s").is_fine();
    assert_eq!(world.left("out"), ["a.tmp"]);
    assert!(world.run("").is_fine().starts_with("Moved 1 file"), "and nothing holds it");
}

#[test]
fn it_waits_for_no_sweep() {
    let world = swept("", &["a.tmp"]);
    let lock = fs::File::options().read(true).write(true).open(world.path(".cleanup/locks/out")).unwrap();
    lock.lock().unwrap();
    let busy = world.run("restore");
    assert_eq!(busy.exits(75), "");
    assert!(world.left("out").is_empty());
    lock.unlock().unwrap();
    world.run("restore").is_fine();
}

#[test]
fn what_lies_in_quarantine_is_listed_and_explained() {
    let world = swept("", &["a.tmp", "b.tmp"]);
    let list = world.run("quarantine");
    let lines: Vec<&str> = list.is_fine().lines().collect();
    assert_eq!(lines.len(), 3, "{list}");
    let mut paths: Vec<&str> = lines[..2].iter().map(|line| line.split_whitespace().last().unwrap()).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["out/a.tmp", "out/b.tmp"]);
    assert!(lines[0].starts_with("expires     in 7d "), "{list}");
    assert!(lines[2].starts_with("out: 2 files in quarantine, 8.2 kB; the first is deleted after "), "{list}");
    assert!(world.run("quarantine -v").is_fine().contains("older than max_age 1h"));
    let json = world.run("quarantine out --json").json();
    assert_eq!((json["files"].as_array().unwrap().len(), &json["policies"][0]["files"]), (2, &2.into()));
    world.run("quarantine nosuch").exits(2);

    let explained = world.run("explain out/a.tmp");
    assert!(explained.is_fine().contains("moved into quarantine at "), "{explained}");
    assert_eq!(world.run("explain out/a.tmp --json").json()["paths"][0]["answers"][0]["verdict"], "quarantined");
}

#[test]
fn it_does_not_stay_for_ever_and_does_not_grow_without_end() {
    let world = swept("quarantine_for = \"1ms\"", &["a.tmp"]);
    let said = world.run("");
    assert_eq!(said.is_fine(), "Nothing was due; permanently deleted 1 file from quarantine, freed 4.1 kB.\n");
    assert!(!fs::read_dir(world.path("out/.cleanup/quarantine")).unwrap().any(|_| true));

    let world = swept("quarantine_max_size = \"10KiB\"", &["a.tmp", "b.tmp"]);
    world.file("out/c.tmp", 2 * HOUR);
    let report = world.run("--json").json();
    assert_eq!((&report["policies"][0]["purged"], &report["policies"][0]["purged_bytes"]), (&1.into(), &4096.into()));
    let totals = &report["totals"];
    assert_eq!(
        (&totals["quarantined_bytes"], &totals["bytes_freed"]),
        (&4096.into(), &4096.into()),
        "what is purged is"
    );
    world.run("restore").is_fine();
    assert_eq!(world.left("out"), ["c.tmp"], "the oldest went first");
}

#[test]
fn a_policy_that_deletes_by_now_lets_go_of_what_it_moved_aside_before() {
    let world = swept("quarantine_for = \"1ms\"", &["a.tmp"]);
    let config = fs::read_to_string(world.path("cleanup.toml")).unwrap();
    world.write("cleanup.toml", &config.replace("dispose = \"quarantine\"\nquarantine_for = \"1ms\"", ""));
    assert!(world.run("quarantine").is_fine().contains("1 file in quarantine"));
    assert!(world.run("").is_fine().contains("permanently deleted 1 file"));

    let world = swept("", &["a.tmp"]);
    let config = fs::read_to_string(world.path("cleanup.toml")).unwrap();
    world.write("cleanup.toml", &config.replace(QUARANTINE, "").replace("files.out", "files.renamed"));
    assert_eq!(world.run("").is_fine(), "", "for as long as it was promised when it went");
    world.run("restore").is_fine();
    assert_eq!(world.left("out"), ["a.tmp"], "whatever the policy is called now");
}

#[test]
fn a_strangers_quarantine_holds_the_policy_and_names_the_way_out() {
    let world = World::with_policy(QUARANTINE);
    world.file("out/a.tmp", 2 * HOUR);
    fs::create_dir(world.path("out/.cleanup")).unwrap();
    fs::set_permissions(world.path("out/.cleanup"), fs::Permissions::from_mode(0o777)).unwrap();
    let held = world.run("");
    held.exits(4);
    assert!(held.err.contains("chmod 700 [folder]/out/.cleanup"), "{held}");
    assert_eq!(world.left("out"), ["a.tmp"]);
    let restore = world.run("restore");
    restore.exits(3);
    assert!(restore.err.contains("chmod 700"), "not that there is nothing: {restore}");
    let check = world.run("config check");
    check.exits(1);
    assert!(check.out.contains("chmod 700"), "{check}");
    let config = fs::read_to_string(world.path("cleanup.toml")).unwrap();
    world.write("cleanup.toml", &config.replace(QUARANTINE, ""));
    assert!(world.run("").is_fine().starts_with("Removed 1 file"), "no concern of a policy that deletes");
}

#[test]
fn the_state_folder_may_lie_in_the_root_itself() {
    let world = World::new();
    let config = format!("[files.here]\nroot = \".\"\ninclude = [\"*.tmp\"]\nmax_age = \"1h\"\n{QUARANTINE}\n");
    world.write("cleanup.toml", &config);
    world.file("a.tmp", 2 * HOUR);
    assert!(world.run("").is_fine().starts_with("Moved 1 file"));
    assert!(world.path(".cleanup/state.db").exists() && world.path(".cleanup/quarantine").exists());
    world.run("restore").is_fine();
    assert!(world.path("a.tmp").exists());
}

#[test]
fn killed_at_any_moment_each_file_is_in_exactly_one_place() {
    let world = World::with_policy(QUARANTINE);
    let mut all = 0;
    for round in 0_u64..40 {
        for index in 0..40 {
            world.file(format!("out/{round}-{index}.tmp"), 2 * HOUR);
            all += 1;
        }
        let restores = round % 3 == 2;
        let words: &[&str] = if restores { &["restore", "out", "--hold", "0s"] } else { &[] };
        let mut child = world.command(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // The moments are spread by work of our own, not by waiting: more each round.
        let mut nothing = std::io::sink();
        for byte in 0..round * 6000 {
            nothing.write_all(&byte.to_le_bytes()).unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let listed = world.run("quarantine --json").json();
        let aside = listed["files"].as_array().unwrap().len();
        assert_eq!(aside + world.left("out").len(), all, "round {round}");
        assert!(listed["files"].as_array().unwrap().iter().all(|file| file["origin_known"] == true));
    }
    world.file("out/young.tmp", MINUTE);
    world.run("").exits(0);
    assert_eq!(world.left("out"), ["young.tmp"]);
    world.run("restore out").exits(0);
    assert_eq!(world.left("out").len(), all + 1);
}

/// Two exported models, one of which is still worked on.
fn models(more: &str) -> World {
    let world = World::new();
    let config = format!(
        "[files.models]\nroot = \"models\"\ninclude = [\"*\"]\nmax_age = \"1h\"\nunit = \"directory\"\n{more}\n"
    );
    world.write("cleanup.toml", &config);
    for file in ["done/mesh.step", "done/parts/a.step", "live/mesh.step"] {
        world.file(format!("models/{file}"), 2 * HOUR);
    }
    world.file("models/live/parts/b.step", MINUTE);
    world
}

#[test]
fn a_directory_goes_whole_and_comes_back_whole() {
    let world = models(QUARANTINE);
    let plan = world.run("--dry-run -v");
    assert!(plan.is_fine().contains("models/done"), "{plan}");
    assert!(plan.out.contains("directories in models older than 1h"), "{plan}");
    assert!(plan.out.contains("would remove 1 of 2 directories"), "{plan}");
    let stats = world.run("stats --json").json();
    assert_eq!((&stats["policies"][0]["total_files"], &stats["policies"][0]["due_files"]), (&2.into(), &1.into()));
    assert_eq!(world.run("list --due").is_fine().lines().count(), 1);
    let inside = world.run("explain models/done/mesh.step");
    assert!(inside.is_fine().contains("with the whole directory"), "{inside}");
    assert!(world.run("explain models/done").is_fine().contains("older than max_age 1h"));

    let report = world.run("--json").json();
    assert_eq!(report["policies"][0]["quarantined"], 1);
    assert_eq!(world.left("models"), ["live"]);
    assert!(world.run("explain models/done").is_fine().contains("moved into quarantine at "));
    world.run("restore models/done").is_fine();
    assert_eq!(world.left("models/done"), ["mesh.step", "parts"]);
    assert_eq!(world.run("--json").json()["policies"][0]["kept"]["held"], 1);
}

#[test]
fn a_directory_that_is_deleted_leaves_nothing_behind() {
    let world = models("");
    assert_eq!(world.run("--json").json()["policies"][0]["removed"], 1);
    assert_eq!(world.left("models"), ["live"]);
    assert_eq!(fs::read_dir(world.path("models/.cleanup/quarantine")).unwrap().count(), 0);
    assert_eq!(world.run("").is_fine(), "");
}

#[test]
fn a_directory_that_cannot_be_read_stays_and_is_named() {
    let world = models("");
    fs::set_permissions(world.path("models/done/parts"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(world.path("models"), fs::Permissions::from_mode(0o777)).unwrap();
    let Some(mut command) = world.command_as_nobody(&[]) else { return };
    let ran = world.ran(command.output().unwrap());
    ran.exits(3);
    assert!(
        ran.err
            .to_lowercase()
            .contains("models: [folder]/models/done: the whole directory stays: parts: permission denied"),
        "{ran}"
    );
    assert_eq!(world.left("models"), ["done", "live"]);
}

#[test]
fn killed_at_any_moment_a_directory_is_whole_where_it_was_or_on_its_way_out() {
    let world = models("");
    for round in 0_u64..30 {
        for index in 0..6 {
            for file in 0..6 {
                world.file(format!("models/{round}-{index}/deep/{file}"), 2 * HOUR);
            }
        }
        let mut child = world.command(&[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut nothing = std::io::sink();
        for byte in 0..round * 8000 {
            nothing.write_all(&byte.to_le_bytes()).unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        for left in world.left("models").iter().filter(|name| !matches!(name.as_str(), "done" | "live")) {
            assert_eq!(world.left(&format!("models/{left}/deep")).len(), 6, "round {round}: {left}");
        }
    }
    world.run("").exits(0);
    assert_eq!(world.left("models"), ["live"]);
    world.run("").exits(0);
    assert_eq!(
        fs::read_dir(world.path("models/.cleanup/quarantine")).unwrap().count(),
        0,
        "the next sweep finishes it"
    );
}

/// The notes as earlier versions wrote them: the first line without its checksum.
fn without_sum(notes: &str) -> String {
    let (first, rest) = notes.split_once('\n').unwrap();
    let (body, _) = first.split_once(",\"crc32\"").unwrap();
    format!("{body}}}\n{rest}")
}

/// A world in which a run was killed just after it had moved the directory `job` aside, before it looked at it there.
fn killed(more: &str) -> World {
    let world = World::with_policy(&format!("{QUARANTINE}\nunit = \"directory\""));
    world.write("cleanup.toml", &fs::read_to_string(world.path("cleanup.toml")).unwrap().replace("*.tmp", "job"));
    world.file("out/job/deep/old", 2 * HOUR);
    assert!(world.run("").is_fine().starts_with("Moved "));
    let notes = world.aside().join("notes.jsonl");
    let text = fs::read_to_string(&notes).unwrap();
    let unmarked: Vec<&str> = text.lines().filter(|line| !line.starts_with("{\"settled\"")).collect();
    // As `dispose` has it that is said of the next runs.
    let text = unmarked.join("\n") + "\n";
    let is_deleting = more.contains("delete");
    let text = if is_deleting {
        without_sum(&text.replace("\"keep_for_seconds\":604800", "\"keep_for_seconds\":0"))
    } else {
        text
    };
    fs::write(&notes, text).unwrap();
    let config = fs::read_to_string(world.path("cleanup.toml")).unwrap().replace(QUARANTINE, more);
    world.write("cleanup.toml", &config);
    world
}

#[test]
fn what_a_killed_run_has_moved_aside_goes_only_if_it_is_still_what_was_judged() {
    for dispose in ["dispose = \"delete\"", QUARANTINE] {
        let world = killed(dispose);
        world.run("").exits(0);
        assert_eq!(world.left("out"), [""; 0]);
        assert_eq!(world.path("out/.cleanup/quarantine").read_dir().unwrap().count() == 1, dispose == QUARANTINE);

        // Whoever had it open wrote into it.
        for is_taken in [false, true] {
            let world = killed(dispose);
            fs::write(world.aside().join("1/deep/young"), "young").unwrap();
            if is_taken {
                fs::create_dir(world.path("out/job")).unwrap();
            }
            let ran = world.run("");
            ran.exits(3);
            let home = if is_taken { "out/job.kept-by-cleanup-1" } else { "out/job" };
            assert!(ran.err.contains("job: it was moved into quarantine, and is not deleted"), "{ran}");
            assert!(!is_taken || ran.err.contains("job.kept-by-cleanup-1"), "{ran}");
            assert_eq!(fs::read_to_string(world.path(home).join("deep/young")).unwrap(), "young");
            assert!(world.path(home).join("deep/old").exists());
            world.run("").exits(0);
        }
    }
}

#[test]
fn what_can_go_nowhere_is_told_of_in_every_run_until_it_is_restored() {
    let world = swept("", &["a.tmp"]);
    // By a descriptor that was open all the time.
    fs::write(world.aside().join("1"), "young").unwrap();
    world.write("out/a.tmp", "another");
    let config = fs::read_to_string(world.path("cleanup.toml")).unwrap();
    world.write("cleanup.toml", &format!("{config}quarantine_for = \"1ms\"\n"));
    for _ in 0..3 {
        let ran = world.run("");
        ran.exits(3);
        assert!(ran.err.contains("stays in quarantine as .cleanup/quarantine/"), "{ran}");
    }
    fs::remove_file(world.path("out/a.tmp")).unwrap();
    world.run("restore out/a.tmp").exits(0);
    assert_eq!(fs::read_to_string(world.path("out/a.tmp")).unwrap(), "young");
    world.run("").exits(0);
}

#[test]
fn our_folder_under_another_name_is_remembered_and_found_without_that() {
    let world = World::with_policy(QUARANTINE);
    let (squatted, other) = (world.path("out/.cleanup"), world.path("out/.cleanup-0000000000000000"));
    fs::create_dir_all(&squatted).unwrap();
    if std::os::unix::fs::lchown(&squatted, Some(65534), Some(65534)).is_err() {
        return; // Only root can do that.
    }
    world.file("out/a.tmp", 2 * HOUR);
    assert_eq!(world.run("").is_fine(), "Moved 1 file into quarantine, 4.1 kB.\n");
    // Whoever reads the names in the root comes to this one first.
    fs::create_dir(&other).unwrap();
    fs::set_permissions(&other, fs::Permissions::from_mode(0o700)).unwrap();
    world.file("out/b.tmp", 2 * HOUR);
    world.run("").is_fine();
    assert!(!other.join("quarantine").exists());
    assert!(world.run("quarantine").is_fine().contains("2 files in quarantine"));

    fs::remove_file(world.path(".cleanup/state.db")).unwrap();
    assert!(world.run("quarantine").is_fine().contains("2 files in quarantine"), "found all the same");
    world.file("out/c.tmp", 2 * HOUR);
    world.run("").exits(0);
    assert!(other.join("quarantine").exists());
    world.run("restore --hold 1h out").is_fine();
    assert_eq!(world.left("out"), ["a.tmp", "b.tmp", "c.tmp"]);
}
