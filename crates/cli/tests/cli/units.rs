//! `cleanup units`: an installation from nothing but the binary.

use std::fs;

use crate::world::World;

#[test]
fn init_units_and_three_copied_files_are_an_installation() {
    let world = World::new();
    world.run("init").is_fine();
    let ran = world.run("units --out u --user nobody");
    assert_eq!(ran.is_fine(), "Rendered 29 files in u; 29 of them changed.\n");
    for file in ["u/cron/cleanup", "u/logrotate/cleanup", "u/tmpfiles.d/cleanup.conf"] {
        assert!(world.path(file).is_file(), "{file}");
    }
    let here = fs::canonicalize(world.path(".")).unwrap();
    let crontab = fs::read_to_string(world.path("u/cron/cleanup")).unwrap();
    // The program is this one, and the configuration the one that was found.
    let program = fs::canonicalize(env!("CARGO_BIN_EXE_cleanup")).unwrap();
    let line = format!(
        " nobody {} sweep temp-svgs temp-models --config {}/cleanup.toml >> ",
        program.display(),
        here.display()
    );
    assert!(crontab.contains(&line), "{crontab}");
}

#[test]
fn what_is_there_is_compared_and_only_our_own_files_are_touched() {
    let world = World::with_policy("every = \"1h\"");
    let fine = |line: &str| world.run(line).is_fine().to_owned();
    fine("units --out u");
    world.write("u/systemd/mine.timer", "[Timer]\n");
    assert_eq!(fine("units --out u --check"), "");
    assert!(fine("units --out u").contains("; 0 of them changed"));

    let config = fs::read_to_string(world.path("cleanup.toml")).unwrap();
    world.write("cleanup.toml", &config.replace("files.out", "files.other"));
    let ran = world.run("units --out u --check");
    let printed = ran.exits(1);
    for line in [
        "missing: systemd/cleanup-sweep-other.timer\n",
        "no longer rendered: systemd/cleanup-sweep-out.timer\n",
        "stale: cron/cleanup\n",
    ] {
        assert!(printed.contains(line), "{ran}");
    }
    fine("units --out u");
    assert!(!world.path("u/systemd/cleanup-sweep-out.timer").exists());
    assert!(world.path("u/systemd/cleanup-sweep-other.timer").exists());
    assert!(world.path("u/systemd/mine.timer").exists());

    world.write("u/cron/cleanup", "# mine\n");
    world.run("units --out u").exits(1);
    assert_eq!(fs::read_to_string(world.path("u/cron/cleanup")).unwrap(), "# mine\n");
}

#[test]
fn what_is_left_out_is_said() {
    let world = World::with_policy("every = \"7m\"");
    let ran = world.run("units --out u");
    ran.exits(0);
    assert!(ran.err.contains("out: not in the cron files: `every 7m`"), "{ran}");
}

#[test]
fn without_a_configuration_it_says_where_to_begin() {
    let world = World::new();
    let ran = world.run("units --out u");
    ran.exits(1);
    assert!(ran.err.contains("cleanup init"), "{ran}");
    world.run("units --out u --config-path /srv/app/cleanup.toml").is_fine();
    world.run("units --out u --user root --config-path /srv/app/cleanup.toml").exits(1);
    world.write("cleanup.toml", "[files.out]\n");
    world.run("units --out u").exits(78);
}
