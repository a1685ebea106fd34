//! `cleanup sweep`: what is printed, and that it is what was done.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::process::Stdio;

use crate::world::{DAY, HOUR, MINUTE, Ran, World};

fn sorted(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

#[test]
fn every_path_is_shown_with_its_reason_under_v() {
    let world = World::new();
    world.write(
        "cleanup.toml",
        "[files.out]\nroot = \"out\"\ninclude = [\"*.tmp\"]\narchives = [\"keep-*\"]\nmax_age = \"30d\"\n",
    );
    world.file("out/old.tmp", 40 * DAY);
    world.file("out/young.tmp", 3 * DAY);
    world.file("out/keep-me.tmp", 400 * DAY);
    world.file("out/other.txt", 400 * DAY);

    let plan = world.run("-v --dry-run");
    let (paths, block) = plan.is_fine().split_once("out  files").unwrap();
    insta::assert_snapshot!(sorted(paths), @"
    due      out/old.tmp  last modified 40d ago, older than max_age 30d
    keep     out/keep-me.tmp  archived; kept unless archives are included
    keep     out/young.tmp  last modified 3d ago, within max_age 30d
    ");
    insta::assert_snapshot!(block, @"
     in out older than 30d
      would remove 1 of 3 files, 4.1 kB
      kept 2: 1 archived, 1 within limits

    Dry run: would remove 1 file, 4.1 kB; nothing was deleted.
    ");

    let swept = world.run("-v");
    assert!(swept.is_fine().contains("removed  out/old.tmp  last modified 40d ago, older than max_age 30d\n"));
    assert!(swept.out.ends_with("Removed 1 file, freed 4.1 kB.\n"), "{swept}");
    assert_eq!(world.left("out"), ["keep-me.tmp", "other.txt", "young.tmp"]);
}

#[test]
fn a_dry_run_says_exactly_what_a_sweep_then_takes() {
    let world = World::with_policy("");
    for number in 0..50_u32 {
        world.file(format!("out/{number}.tmp"), number * 3 * MINUTE);
    }
    let plan = world.run("sweep --dry-run --json").json();
    let swept = world.run("sweep --json").json();
    for key in ["due", "due_bytes", "matched", "scanned"] {
        assert_eq!(plan["policies"][0][key], swept["policies"][0][key], "{key}");
    }
    assert_eq!(plan["dry_run"], true);
    assert_eq!(plan["totals"]["removed"], 0);
    assert_eq!(swept["totals"]["removed"], plan["totals"]["due"]);
    assert_eq!(world.left("out").len() as u64, 50 - swept["totals"]["removed"].as_u64().unwrap());
}

#[test]
fn a_dry_run_before_the_word_sweep_is_still_a_dry_run() {
    let world = World::with_policy("");
    world.file("out/old.tmp", 2 * HOUR);
    for line in ["--dry-run sweep", "sweep --dry-run", "-n", "-n sweep out"] {
        assert_eq!(world.run(line).is_fine(), "Dry run: would remove 1 file, 4.1 kB; nothing was deleted.\n", "{line}");
        assert_eq!(world.left("out"), ["old.tmp"], "{line}");
    }
}

#[test]
fn named_policies_alone_are_swept_and_ages_are_for_one_run() {
    let world = World::with_policy("[files.other]\nroot = \"other\"\ninclude = [\"*\"]\nmax_age = \"1h\"");
    world.file("out/a.tmp", 40 * MINUTE);
    world.file("other/a", 2 * HOUR);
    assert_eq!(world.run("sweep out").is_fine(), "");
    assert_eq!(world.run("sweep out --max-age out=0.5h").is_fine(), "Removed 1 file, freed 4.1 kB.\n");
    assert_eq!(world.left("other"), ["a"]);
    assert_eq!(world.run("--max-age other=1d --max-age out=1m").is_fine(), "");
    assert_eq!(world.run("sweep other").is_fine(), "Removed 1 file, freed 4.1 kB.\n");
}

#[test]
fn hostile_names_are_removed_and_never_reach_the_terminal_raw() {
    let names: [&[u8]; 6] =
        [b"a\x1b[2J.tmp", b"b\nb.tmp", b"\xff\xfe.tmp", "\u{202e}gpj.tmp".as_bytes(), b"-rf.tmp", b"back\\slash.tmp"];
    let world = World::with_policy("");
    for name in names {
        world.file(world.path("out").join(OsStr::from_bytes(name)), 3 * DAY);
    }
    let list = world.run("list");
    let shown: Vec<&str> = list.is_fine().lines().map(|line| line.rsplit("  ").next().unwrap()).collect();
    insta::assert_snapshot!(sorted(&shown.join("\n")), @r"
    out/-rf.tmp
    out/\u{202e}gpj.tmp
    out/\xff\xfe.tmp
    out/a\u{1b}[2J.tmp
    out/b\u{a}b.tmp
    out/back\\slash.tmp
    ");
    let swept = world.run("-v -v");
    for text in [&swept.out, &swept.err] {
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{swept}");
    }
    assert!(world.left("out").is_empty());
}

#[test]
fn quiet_means_problems_only() {
    let world = World::with_policy("[files.link]\nroot = \"link\"\ninclude = [\"*\"]\nmax_age = \"1h\"");
    world.file("out/old.tmp", 2 * HOUR);
    std::os::unix::fs::symlink("elsewhere", world.path("link")).unwrap();
    let swept = world.run("-q");
    assert_eq!(swept.exits(1), "");
    assert!(swept.err.starts_with("error: link: "), "{swept}");
    assert!(world.left("out").is_empty(), "one policy that cannot run does not stop the others");
    assert_eq!(world.run("-q -n sweep out").is_fine(), "", "not even under a dry run");
}

#[test]
fn logs_go_to_stderr_and_name_every_removed_file() {
    let world = World::with_policy("");
    world.file("out/old.tmp", 3 * DAY);
    let swept = world.run("-vv --json");
    assert_eq!(swept.json()["totals"]["removed"], 1);
    assert!(swept.err.contains("DEBUG") && swept.err.contains("old.tmp"), "{swept}");
}

#[test]
fn two_sweeps_at_once_count_every_file_once() {
    let world = World::with_policy("");
    for number in 0..3000 {
        world.file(format!("out/{number}.tmp"), 2 * HOUR);
    }
    let start = || {
        let mut command = world.command(&["--json"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let sweeps: Vec<Ran> =
        [start(), start()].into_iter().map(|child| world.ran(child.wait_with_output().unwrap())).collect();
    let removed = |ran: &Ran| {
        assert!(matches!(ran.code, 0 | 75), "the second finds nothing left, or the policy locked: {ran}");
        ran.json()["totals"]["removed"].as_u64().unwrap()
    };
    assert_eq!(sweeps.iter().map(removed).sum::<u64>(), 3000);
    assert!(world.left("out").is_empty());
}
