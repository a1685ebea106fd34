//! What a person at a terminal sees: the same binary on a pseudo-terminal.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::world::{DAY, HOUR, World};

/// Runs a command line with stdout and stderr on one terminal; gives back the exit code and what is on it.
fn at_a_terminal(world: &World, line: &str) -> (i32, String) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let open = || File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();

    let arguments: Vec<&str> = line.split_whitespace().collect();
    let mut command = world.command(&arguments);
    command.env("TERM", "xterm").stdout(open()).stderr(open());
    let mut child = command.spawn().unwrap();
    // The last descriptors of the other side on ours: without them the end of the child is the end of the text.
    drop(command);
    let text = read_to_end(master);
    let code = child.wait().unwrap().code().unwrap();
    (code, text.replace("\r\n", "\n").replace(&world.path("").display().to_string(), "[folder]/"))
}

/// A terminal whose other side is closed reads as an I/O error, not as the end.
fn read_to_end(master: OwnedFd) -> String {
    let (mut master, mut bytes, mut buffer) = (File::from(master), Vec::new(), [0; 4096]);
    while let Ok(read @ 1..) = master.read(&mut buffer) {
        bytes.extend_from_slice(&buffer[..read]);
    }
    String::from_utf8(bytes).unwrap()
}

fn world() -> World {
    let world = World::with_policy(
        "archives = [\"keep-*\"]\n\
         [files.missing]\nroot = \"missing\"\ninclude = [\"*\"]\nmax_age = \"1h\"\n\
         [files.link]\nroot = \"link\"\ninclude = [\"*\"]\nmax_age = \"2d\"",
    );
    for number in 0..25 {
        world.file(format!("out/old-{number:02}.tmp"), 2 * HOUR);
    }
    world.file("out/young.tmp", HOUR / 2);
    world.file("out/keep-me.tmp", 3 * DAY);
    std::os::unix::fs::symlink("young.tmp", world.path("out/link.tmp")).unwrap();
    std::os::unix::fs::symlink("elsewhere", world.path("link")).unwrap();
    world
}

#[test]
fn each_policy_is_a_block_and_the_last_line_is_the_sum() {
    let world = world();
    let (code, text) = at_a_terminal(&world, "--color never --dry-run");
    insta::assert_snapshot!("dry_run_at_a_terminal", format!("exit {code}\n{text}"));
    let (code, text) = at_a_terminal(&world, "--color never");
    insta::assert_snapshot!("sweep_at_a_terminal", format!("exit {code}\n{text}"));
    assert_eq!(world.left("out"), ["keep-me.tmp", "link.tmp", "young.tmp"]);
}

#[test]
fn colours_are_for_terminals_and_for_those_who_ask() {
    let world = world();
    assert!(at_a_terminal(&world, "-n").1.contains("\u{1b}[1mout"));
    assert!(!at_a_terminal(&world, "-n --color never").1.contains('\u{1b}'));
    assert!(!world.run("-n -v").out.contains('\u{1b}'));
    assert!(world.run("-n -v --color always").out.contains("\u{1b}[1mout"));
    let refused = world.run("--color always -c nothing.toml");
    assert!(refused.err.contains('\u{1b}'), "{refused}");
}

#[test]
fn a_hint_is_there_when_there_is_nothing_here() {
    let (code, text) = at_a_terminal(&World::new(), "--color never");
    insta::assert_snapshot!(format!("exit {code}\n{text}"), @"
    exit 0
    Nothing to clean up here: there is no cleanup.toml and none of the folders of the built-in configuration.
      cleanup init   write a commented cleanup.toml
      cleanup demo   try it on a sample folder
    ");
}
