//! What becomes of the output never becomes of the work: closed pipes, full disks, closed descriptors. Output that is
//! lost on a full disk is a fault of its own; a reader that went away is none.

use std::fs::File;
use std::process::Stdio;

use crate::world::{HOUR, World};

/// So many that what is said of them fills the buffer of the output, and more.
const FILES: usize = 500;

fn world() -> World {
    let world = World::with_policy("");
    for number in 0..FILES {
        world.file(format!("out/a_rather_long_name_that_fills_the_buffer_soon_{number}.tmp"), 2 * HOUR);
    }
    world
}

/// A pipe that nobody reads.
fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

fn full_disk() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

#[test]
fn a_sweep_completes_when_nobody_reads_its_output() {
    for arguments in [&["-v"][..], &["-vv"], &["--json"], &[]] {
        let world = world();
        let mut command = world.command(arguments);
        let ran = world.ran(command.stdout(closed_pipe()).stderr(Stdio::piped()).output().unwrap());
        ran.exits(0);
        assert!(!ran.err.contains("panicked"), "{arguments:?}: {ran}");
        assert!(world.left("out").is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_sweep_completes_on_a_full_disk_and_its_lost_report_is_a_fault() {
    for arguments in [&["-v"][..], &["--json"], &[]] {
        let world = world();
        let ran = world.ran(world.command(arguments).stdout(full_disk()).stderr(Stdio::piped()).output().unwrap());
        ran.exits(1);
        assert_eq!(ran.err.matches("error: cannot write the output: ").count(), 1, "{arguments:?}: {ran}");
        assert_eq!(ran.err.lines().count(), 1, "{arguments:?}: {ran}");
        assert!(world.left("out").is_empty(), "{arguments:?}");
        let history = world.run("history --json").json();
        assert_eq!(history["runs"][0]["removed"], FILES, "{arguments:?}: the history has what was not printed");
    }
}

#[test]
fn a_report_that_says_nothing_cannot_be_lost() {
    let world = World::with_policy("");
    world.file("out/old.tmp", 2 * HOUR);
    let sweep = || world.command(&["-q"]).stdout(full_disk()).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(world.ran(sweep()).is_fine(), "");
    assert!(world.left("out").is_empty());
    let again = world.command(&[]).stdout(full_disk()).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(world.ran(again).is_fine(), "", "nor one that has nothing to say");
}

#[test]
fn a_lost_report_weighs_as_much_as_a_policy_that_could_not_run() {
    // A limit that is not met, alone 3.
    let world = World::with_policy("max_files = 1");
    world.file("out/a.tmp", HOUR / 2);
    world.file("out/b.tmp", HOUR / 2);
    world.run("hold out --for 1h").exits(0);
    world.run("--json").exits(3);
    let on = |stdout: Stdio| world.ran(world.command(&["--json"]).stdout(stdout).output().unwrap());
    on(full_disk()).exits(1);
    on(closed_pipe()).exits(3);
    // And a configuration that cannot be used weighs more.
    world.write("cleanup.toml", "nonsense");
    let mut check = world.command(&["config", "check", "--json"]);
    world.ran(check.stdout(full_disk()).output().unwrap()).exits(78);
}

#[test]
fn a_sweep_completes_when_both_streams_are_lost() {
    for (lost, code) in [(closed_pipe as fn() -> Stdio, 0), (full_disk, 1)] {
        let world = world();
        let status = world.command(&["-vv"]).stdout(lost()).stderr(lost()).status().unwrap();
        assert_eq!(status.code(), Some(code));
        assert!(world.left("out").is_empty());
    }
    let world = world();
    let mut shell = std::process::Command::new("sh");
    let line = format!("exec '{}' -vv >&- 2>&- <&-", env!("CARGO_BIN_EXE_cleanup"));
    let status = shell.args(["-c", &line]).current_dir(world.path("")).env_clear().status().unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(world.left("out").is_empty());
}

#[test]
fn a_lost_output_does_not_hide_the_exit_code() {
    let world = World::with_policy("");
    world.write("bad.toml", "nonsense");
    for (arguments, code) in [(&["-c", "bad.toml"][..], 78), (&["sweep", "nothing"], 2), (&["--nonsense"], 2)] {
        for lost in [closed_pipe as fn() -> Stdio, full_disk] {
            let status = world.command(arguments).stdout(lost()).stderr(lost()).status().unwrap();
            assert_eq!(status.code(), Some(code), "{arguments:?}");
        }
    }
}

#[test]
fn a_command_whose_product_is_its_output_fails_on_a_full_disk_and_not_on_a_closed_pipe() {
    let world = world();
    world.write("old.conf", "d /srv/app/tmp - - - 1d\n");
    for arguments in [
        &["list"][..],
        &["list", "--json"],
        &["--dry-run"],
        &["--dry-run", "-v"],
        &["--dry-run", "--json"],
        &["plan", "-o", "plan.jsonl", "--json"],
        &["stats"],
        &["stats", "--json"],
        &["explain", "out"],
        &["explain", "out", "--json"],
        &["history"],
        &["history", "--json"],
        &["quarantine"],
        &["quarantine", "--json"],
        &["hold", "--list"],
        &["hold", "--list", "--json"],
        &["config", "check"],
        &["config", "check", "--json"],
        &["config", "show"],
        &["config", "show", "--json"],
        &["config", "schema"],
        &["completions", "bash"],
        &["man"],
        &["import", "old.conf"],
        &["import", "--json", "old.conf"],
        &["demo"],
        &["--help"],
        &["help", "sweep"],
        &["--version"],
    ] {
        let full = world.ran(world.command(arguments).stdout(full_disk()).stderr(Stdio::piped()).output().unwrap());
        full.exits(1);
        assert!(full.err.contains("cannot write the output"), "{arguments:?}: {full}");
        let closed = world.ran(world.command(arguments).stdout(closed_pipe()).stderr(Stdio::piped()).output().unwrap());
        assert_eq!((closed.exits(0), closed.err.as_str()), ("", ""), "{arguments:?}");
    }
    assert_eq!(world.left("out").len(), FILES);
}

/// Where the command itself changes something, that is done all the same.
#[test]
fn a_command_that_also_does_something_has_done_it_when_its_output_is_lost() {
    let on_full_disk = |world: &World, line: &str| {
        let arguments: Vec<&str> = line.split_whitespace().collect();
        let ran = world.ran(world.command(&arguments).stdout(full_disk()).stderr(Stdio::piped()).output().unwrap());
        ran.exits(1);
        assert_eq!(ran.err.matches("error: cannot write the output: ").count(), 1, "{line}: {ran}");
    };
    let world = World::with_policy("dispose = \"quarantine\"");
    world.file("out/old.tmp", 2 * HOUR);
    world.run("plan -o plan.jsonl").exits(0);
    on_full_disk(&world, "apply plan.jsonl");
    assert!(world.left("out").is_empty());
    on_full_disk(&world, "restore --json");
    assert_eq!(world.left("out"), ["old.tmp"]);
    on_full_disk(&world, "hold out --for 1h");
    assert!(world.run("hold --list").is_fine().contains("/out  until "));
    on_full_disk(&world, "hold out --release");
    on_full_disk(&world, "units --out deployed");
    assert!(world.path("deployed/systemd").is_dir());
    on_full_disk(&world, "-c new.toml init");
    assert!(world.path("new.toml").exists());
}

#[test]
fn a_plan_that_cannot_be_written_to_the_end_is_none() {
    let world = World::with_policy("");
    world.file("out/old.tmp", 2 * HOUR);
    let ran = world.ran(world.command(&["plan", "-o", "-"]).stdout(full_disk()).output().unwrap());
    ran.exits(1);
    assert!(ran.err.contains("error: the plan cannot be written: "), "{ran}");
    // Not even where the reader had enough: nobody can apply a part of one.
    let ran = world.ran(world.command(&["plan", "-o", "-"]).stdout(closed_pipe()).output().unwrap());
    ran.exits(1);
    assert_eq!(world.left("out"), ["old.tmp"]);
}
