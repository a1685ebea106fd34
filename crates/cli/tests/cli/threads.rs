//! Where no thread is to be had, one does it all.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use crate::world::{DAY, HOUR, Ran, World, am_root};

/// Runs a copy of the binary as a user who may have so many processes and threads at a time; `None`, said aloud, where
/// that cannot be played. The limit does not bind root, and counts everything that the user runs: so it is a user of whom
/// there is nothing else.
fn run_with(world: &World, threads: u32, line: &str) -> Option<Ran> {
    if !am_root() {
        eprintln!("SKIPPED: only root can run the binary as another user");
        return None;
    }
    let user = 2_000_000 + std::process::id() % 1_000_000;
    let copy = world.path("cleanup-of-another-user");
    if !copy.exists() {
        // Not by ourselves: a test that forks while we write would inherit the descriptor, and "text file busy" follow.
        let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_cleanup")).arg(&copy).status().unwrap();
        assert!(copied.success());
    }
    give(&world.path("."), user);
    let output = Command::new("prlimit")
        .arg(format!("--nproc={threads}"))
        .arg(&copy)
        .args(line.split_whitespace())
        .current_dir(world.path("."))
        .env_clear()
        .env("HOME", world.path("home"))
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .uid(user)
        .gid(user)
        .output()
        .unwrap();
    Some(world.ran(output))
}

fn give(path: &Path, user: u32) {
    chown(path, Some(user), Some(user)).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path(), user);
        }
    }
}

#[test]
fn a_sweep_goes_on_with_one_thread() {
    for (threads, more) in [(1, ""), (2, ""), (1, "dispose = \"quarantine\""), (2, "unit = \"directory\"")] {
        let world = World::with_policy(more);
        for number in 0..300 {
            world.file(format!("out/{number}.tmp{}", if more.starts_with("unit") { "/x" } else { "" }), DAY);
        }
        let Some(plan) = run_with(&world, threads, "--dry-run --jobs 4") else { return };
        let ran = run_with(&world, threads, "--jobs 4").unwrap();
        for ran in [plan, ran] {
            assert!(!ran.err.contains("panicked") && !ran.err.contains("thread '"), "{ran}");
            ran.exits(0);
        }
        assert!(world.left("out").is_empty(), "{threads} {more}");
    }
}

#[test]
fn a_database_that_would_need_a_thread_stops_no_files() {
    let world = World::with_policy(
        "[sessions.web]\nurl = \"postgresql://app@database.invalid/app\"\ntable = \"sessions\"\nid_column = \"id\"\n\
         activity_column = \"seen\"\nmax_idle = \"1h\"",
    );
    for threads in [1, 2] {
        world.file("out/due.tmp", DAY);
        world.file("out/young.tmp", HOUR / 2);
        let Some(ran) = run_with(&world, threads, "") else { return };
        assert!(!ran.err.contains("panicked"), "{ran}");
        assert_eq!(world.left("out"), ["young.tmp"], "{ran}");
        // This test would prove nothing where the limit does not bind.
        let ran = run_with(&world, threads, "--json").unwrap();
        assert!(ran.out.contains("cannot start a thread"), "{ran}");
    }
}
