//! What becomes of the output never becomes of the work: closed pipes, full disks, closed descriptors.

use std::fs::File;
use std::process::Stdio;

use crate::world::{HOUR, World};

const FILES: usize = 2000;

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
fn a_sweep_completes_on_a_full_disk_and_says_that_its_output_is_lost() {
    for arguments in [&["-v"][..], &["--json"], &[]] {
        let world = world();
        let ran = world.ran(world.command(arguments).stdout(full_disk()).stderr(Stdio::piped()).output().unwrap());
        ran.exits(0);
        assert_eq!(ran.err.matches("error: cannot write the output: ").count(), 1, "{arguments:?}: {ran}");
        assert!(world.left("out").is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_sweep_completes_when_both_streams_are_lost() {
    for lost in [closed_pipe as fn() -> Stdio, full_disk] {
        let world = world();
        let status = world.command(&["-vv"]).stdout(lost()).stderr(lost()).status().unwrap();
        assert_eq!(status.code(), Some(0));
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
    for arguments in [
        &["list"][..],
        &["list", "--json"],
        &["stats"],
        &["stats", "--json"],
        &["explain", "out"],
        &["config", "show"],
        &["config", "schema"],
        &["completions", "bash"],
        &["man"],
        &["demo"],
    ] {
        let full = world.ran(world.command(arguments).stdout(full_disk()).stderr(Stdio::piped()).output().unwrap());
        full.exits(1);
        assert!(full.err.contains("cannot write the output"), "{arguments:?}: {full}");
        let closed = world.ran(world.command(arguments).stdout(closed_pipe()).stderr(Stdio::piped()).output().unwrap());
        assert_eq!((closed.exits(0), closed.err.as_str()), ("", ""), "{arguments:?}");
    }
    for arguments in [&["--help"][..], &["--version"]] {
        let status = world.command(arguments).stdout(closed_pipe()).status().unwrap();
        assert_eq!(status.code(), Some(0), "{arguments:?}");
    }
    assert_eq!(world.left("out").len(), FILES);
}
