//! Every exit code that can be reached now. The precedence of all of them is a table beside the code itself.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};

use crate::world::{DAY, HOUR, NOBODY, World, am_root};

#[test]
fn nothing_to_do_is_0_and_silent() {
    let world = World::with_policy("root_may_be_missing = true");
    assert_eq!(world.run("").is_fine(), "");
    fs::remove_dir(world.path("out")).unwrap();
    assert_eq!(world.run("").is_fine(), "", "a folder that may be missing is nothing to report to cron");
    assert_eq!(world.run("-n").is_fine(), "Dry run: nothing is due; nothing was deleted.\n");
}

#[test]
fn a_policy_that_cannot_run_is_1_and_the_others_run() {
    for kind in ["link", "file"] {
        let world = World::with_policy("[files.bad]\nroot = \"bad\"\ninclude = [\"*\"]\nmax_age = \"1h\"");
        world.file("out/old.tmp", 2 * HOUR);
        world.file("victim/precious", 30 * DAY);
        match kind {
            "link" => symlink("victim", world.path("bad")).unwrap(),
            _ => world.write("bad", ""),
        }
        let swept = world.run("");
        assert_eq!(swept.exits(1), "Removed 1 file, freed 4.1 kB; 1 policy could not run.\n", "{kind}");
        assert!(swept.err.starts_with("error: bad: "), "{kind}: {swept}");
        assert_eq!(world.left("victim"), ["precious"], "{kind}");
        assert!(world.left("out").is_empty(), "{kind}");
        for line in ["stats", "list"] {
            let looked = world.run(line);
            looked.exits(1);
            assert!(looked.err.contains("error: bad: "), "{kind} {line}: {looked}");
        }
    }
}

#[test]
fn what_does_not_exist_or_makes_no_sense_is_2_with_help() {
    let world = World::with_policy("");
    world.file("out/old.tmp", 2 * HOUR);
    for (line, says) in [
        ("sweep uot", "there is no policy \"uot\"; did you mean \"out\"?"),
        ("stats uot", "did you mean \"out\"?"),
        ("list nothing-like-it", "there is no policy \"nothing-like-it\"\n"),
        ("--max-age uot=1h", "did you mean \"out\"?"),
        ("--max-age out=90", "missing unit"),
        ("--max-age out", "expected a policy and an age"),
        ("--max-age out=1h --max-age out=2h", "two maximum ages"),
        ("sweep --max-age out=0s", "would remove everything"),
        ("--age-hours 0", "would remove everything"),
        ("--age-hours -1", "cannot be negative"),
        ("--age-hours nan", "expected a number of hours"),
        ("--age-hours 1", "`--age-hours` is for policy \"visualization-output\""),
        ("--temp-svg-age-hours 1", "use `--max-age POLICY=DURATION`"),
        ("--dry-run stats", "`--dry-run` cannot be combined with a command"),
        ("list --larger-than lots", "not a size"),
        ("explain", "required"),
        ("demo --json", "no JSON output"),
        ("swep", "swe"),
        ("--no-such-flag", "--no-such-flag"),
    ] {
        let refused = world.run(line);
        assert_eq!(refused.exits(2), "", "cleanup {line}");
        assert!(refused.err.contains(says), "cleanup {line}: {refused}");
        assert!(refused.err.contains("--help"), "cleanup {line}: {refused}");
    }
    assert_eq!(world.left("out"), ["old.tmp"], "none of them swept");
}

#[test]
fn what_cannot_be_removed_is_named_and_3() {
    let world = World::with_policy("[files.own]\nroot = \"own\"\ninclude = [\"*\"]\nmax_age = \"1h\"");
    world.file("out/a.tmp", 2 * HOUR);
    world.file("out/b.tmp", 2 * HOUR);
    world.file("own/c", 2 * HOUR);
    fs::set_permissions(world.path("out"), Permissions::from_mode(0o555)).unwrap();
    fs::set_permissions(world.path("own"), Permissions::from_mode(0o777)).unwrap();
    let mut command = world.command_as_nobody(&[]).unwrap_or_else(|| world.command(&[]));
    let swept = world.ran(command.output().unwrap());
    fs::set_permissions(world.path("out"), Permissions::from_mode(0o755)).unwrap();

    assert_eq!(swept.exits(3), "Removed 1 file, freed 4.1 kB; 2 items could not be removed.\n");
    insta::assert_snapshot!(swept.err.to_lowercase(), @"
    error: out: [folder]/out/a.tmp: permission denied: this user may not read, enter or write the folder
    error: out: [folder]/out/b.tmp: permission denied: this user may not read, enter or write the folder
    ");
    assert_eq!((world.left("out").len(), world.left("own").len()), (2, 0));
}

#[test]
fn the_worse_code_wins() {
    let world = World::with_policy("[files.bad]\nroot = \"bad\"\ninclude = [\"*\"]\nmax_age = \"1h\"");
    world.file("out/a.tmp", 2 * HOUR);
    symlink("elsewhere", world.path("bad")).unwrap();
    fs::set_permissions(world.path("out"), Permissions::from_mode(0o555)).unwrap();
    let mut command = world.command_as_nobody(&[]).unwrap_or_else(|| world.command(&[]));
    let swept = world.ran(command.output().unwrap());
    fs::set_permissions(world.path("out"), Permissions::from_mode(0o755)).unwrap();
    swept.exits(1);
    assert!(swept.err.contains("error: out: [folder]/out/a.tmp: ") && swept.err.contains("error: bad: "), "{swept}");
}

#[test]
fn a_configuration_that_cannot_be_used_is_78_for_every_command() {
    let world = World::with_policy("");
    world.file("out/old.tmp", 2 * HOUR);
    world.write("bad.toml", "[files.out]\nroot = \"out\"\ninclude = [\"*.tmp\"]\nmax_agge = \"1h\"\n");
    world.write("slash.toml", "[files.out]\nroot = \"/\"\ninclude = [\"*.tmp\"]\nmax_age = \"1h\"\n");
    for line in ["", "--json", "stats", "list", "explain out/old.tmp", "config check", "config show"] {
        for config in ["bad.toml", "slash.toml", "missing.toml"] {
            let refused = world.run(&format!("-c {config} {line}"));
            refused.exits(78);
            assert!(refused.err.contains(config), "{line}: {refused}");
        }
    }
    insta::assert_snapshot!(world.run("-c bad.toml").err, @r#"
    error: unknown key `max_agge` in `[files.out]`
     --> bad.toml:4:1
      |
    4 | max_agge = "1h"
      | ^^^^^^^^ did you mean `max_age`?
    "#);
    assert_eq!(world.left("out"), ["old.tmp"]);
}

#[test]
fn a_found_configuration_that_belongs_to_a_stranger_is_78_until_it_is_named() {
    if !am_root() {
        eprintln!("SKIPPED: only root can give a file away");
        return;
    }
    let world = World::with_policy("");
    world.file("out/old.tmp", 2 * HOUR);
    std::os::unix::fs::chown(world.path("cleanup.toml"), Some(NOBODY), None).unwrap();
    let refused = world.run("");
    assert_eq!(refused.exits(78), "");
    assert!(refused.err.contains("--config"), "the way out is named: {refused}");
    assert_eq!(world.left("out"), ["old.tmp"]);
    assert_eq!(world.run("--config cleanup.toml").is_fine(), "Removed 1 file, freed 4.1 kB.\n");
}

#[test]
fn a_policy_that_another_sweep_holds_is_75_and_the_next_run_takes_it() {
    let world = World::with_policy("");
    world.run("").is_fine();
    world.file("out/old.tmp", 2 * HOUR);
    let lock = fs::File::options().read(true).write(true).open(world.path(".cleanup/locks/out")).unwrap();
    lock.lock().unwrap();
    let refused = world.run("--json");
    refused.exits(75);
    assert_eq!(refused.json()["policies"][0]["skipped"], "locked");
    assert_eq!(world.left("out"), ["old.tmp"]);
    drop(lock);
    assert_eq!(world.run("").is_fine(), "Removed 1 file, freed 4.1 kB.\n");
}
