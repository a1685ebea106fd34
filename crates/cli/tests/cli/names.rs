//! Whose files these are by their names and stamps: dotfiles, copies with old times, mounts that record no reads.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::world::{DAY, HOUR, World};

fn world(keys: &str) -> World {
    let world = World::new();
    world.write("cleanup.toml", &format!("[files.out]\nroot = \"out\"\ninclude = [\"*\"]\nrecursive = true\n{keys}\n"));
    fs::create_dir(world.path("out")).unwrap();
    world
}

#[test]
fn dotfiles_stay_are_counted_and_explained() {
    const FILES: [&str; 3] = ["out/a.tmp", "out/.gitkeep", "out/.git/config"];
    let there = |world: &World| FILES.map(|name| world.path(name).exists());
    let world = world("max_age = \"1h\"");
    for name in FILES {
        world.file(name, 2 * HOUR);
    }
    let stats = world.run("stats --json");
    assert_eq!(stats.json()["policies"][0]["dotfiles"], 2, "{stats}");
    assert_eq!(stats.json()["policies"][0]["total_files"], 1, "{stats}");
    let said = world.run("stats");
    assert!(said.exits(0).contains("out: 2 files whose name or folder starts with a dot are ignored"), "{said}");
    for name in ["out/.gitkeep", "out/.git/config"] {
        let why = world.run(&format!("explain {name}"));
        assert!(why.exits(0).contains("`dotfiles = true`"), "{why}");
    }
    assert_eq!(world.run("--json").json()["policies"][0]["removed"], 1);
    assert_eq!(there(&world), [false, true, true]);

    let config = fs::read_to_string(world.path("cleanup.toml")).unwrap();
    world.write("cleanup.toml", &format!("{config}dotfiles = true\n"));
    let said = world.run("stats");
    assert!(!said.exits(0).contains("starts with a dot"), "{said}");
    world.run("").exits(0);
    assert_eq!(there(&world), [false, false, false]);
}

#[test]
fn the_rules_that_are_built_in_go_on_taking_dotfiles() {
    let world = World::new();
    let files = ["storage/temp_svgs/.icon.svg", "temp_models/.part.step", "storage/output/.formal.svg"];
    for name in files {
        world.file(name, 30 * DAY);
    }
    world.run("").exits(0);
    assert_eq!(files.map(|name| world.path(name).exists()), [false, false, true]);
}

#[test]
fn a_copy_with_old_times_settles_like_any_new_file() {
    for keys in ["max_age = \"1d\"\nmin_age = \"1h\"", "max_files = 0\nmin_age = \"1h\""] {
        let world = world(keys);
        world.file("original", 400 * DAY);
        let copied = Command::new("cp").arg("-p").arg(world.path("original")).arg(world.path("out/copy")).status();
        assert!(copied.unwrap().success());
        let ran = world.run("--json");
        let policy = &ran.json()["policies"][0];
        assert_eq!((&policy["removed"], &policy["kept"]["settling"]), (&0.into(), &1.into()), "{ran}");
        let why = world.run("explain out/copy");
        assert!(why.exits(0).contains("younger than min_age 1h"), "{why}");
        let later = world.run("--dry-run --json --at +2h");
        assert_eq!(later.json()["policies"][0]["due"], 1, "{later}");
        assert_eq!(world.left("out"), ["copy"]);
    }
}

/// A mount for the length of a test.
struct Mounted(PathBuf);

impl Mounted {
    /// `None`, said aloud, where this process may not mount.
    fn new(world: &World, name: &str, options: &str) -> Option<Self> {
        let at = world.path(name);
        fs::create_dir_all(&at).unwrap();
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&at).output();
        if mount.is_ok_and(|mount| mount.status.success()) {
            return Some(Self(at));
        }
        eprintln!("SKIPPED: this process may not mount");
        None
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        assert!(Command::new("umount").arg(&self.0).status().unwrap().success());
    }
}

#[test]
fn a_mount_that_records_no_reads_is_no_place_for_atime() {
    for (options, refused, fine) in [
        ("noatime", "stamp = \"atime\"\nmax_age = \"9d\"", "stamp = \"newest\"\nmax_age = \"9d\""),
        ("relatime", "stamp = \"atime\"\nmax_age = \"47h\"", "stamp = \"atime\"\nmax_age = \"48h\""),
        ("noatime", "stamp = \"atime\"\nmax_files = 0", "stamp = \"mtime\"\nmax_files = 0"),
    ] {
        let world = world(refused);
        let Some(_mounted) = Mounted::new(&world, "out", options) else { return };
        world.file("out/old", 40 * DAY);
        for (arguments, code) in [
            ("", 1),
            ("--force", 1),
            ("--dry-run", 1),
            ("stats", 1),
            ("list", 1),
            ("plan -o x.plan", 1),
            ("config check", 1),
        ] {
            let ran = world.run(arguments);
            ran.exits(code);
            let said = format!("{}{}", ran.out, ran.err);
            assert!(said.contains(options) && said.contains("`stamp = \"newest\"`"), "{arguments}: {ran}");
        }
        let why = world.run("explain out/old");
        assert!(why.exits(0).contains(options), "{why}");
        assert_eq!(world.run("--json").json()["policies"][0]["status"], "failed");
        assert_eq!(world.left("out"), ["old"]);

        let policy = "[files.out]\nroot = \"out\"\ninclude = [\"*\"]\n";
        world.write("cleanup.toml", &format!("{policy}{fine}\n"));
        world.run("config check").exits(0);
        world.run("").exits(0);
    }
}
