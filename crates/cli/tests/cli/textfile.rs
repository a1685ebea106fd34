//! `--textfile`: metrics of sweeps that end.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use crate::world::{DAY, World};

#[test]
fn counters_go_on_from_sweep_to_sweep() {
    let world = World::with_policy("");
    let sample = |name: &str| {
        let text = fs::read_to_string(world.path("cleanup.prom")).unwrap();
        let start = format!("{name}{{");
        let line = text.lines().find(|line| line.starts_with(&start)).unwrap_or_else(|| panic!("no {name} in {text}"));
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    for removed in [2.0, 4.0] {
        world.file("out/a.tmp", DAY);
        world.file("out/b.tmp", DAY);
        world.run("--textfile cleanup.prom -q").is_fine();
        assert!((sample("cleanup_files_removed_total") - removed).abs() < 0.5);
        assert!(sample("cleanup_due").abs() < 0.5);
    }
    assert!(sample("cleanup_last_success_timestamp_seconds") > 1_700_000_000.0);
    let mode = fs::metadata(world.path("cleanup.prom")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644, "the collector may read it");
    assert_eq!(
        fs::read_dir(world.path("."))
            .unwrap()
            .filter(|entry| { entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(".cleanup-") })
            .count(),
        0
    );
}

#[test]
fn bytes_count_as_freed_when_the_last_name_of_a_file_goes_and_what_is_set_aside_when_it_is_purged() {
    let bytes = |world: &World| {
        let text = fs::read_to_string(world.path("cleanup.prom")).unwrap();
        ["cleanup_bytes_freed_total{", "cleanup_bytes_quarantined_total{"].map(|name| {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap();
            line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
        })
    };
    let world = World::with_policy("");
    world.file("out/0.tmp", DAY);
    for name in 1..100 {
        fs::hard_link(world.path("out/0.tmp"), world.path(format!("out/{name}.tmp"))).unwrap();
    }
    assert_eq!(world.run("--textfile cleanup.prom").is_fine(), "Removed 100 files, freed 4.1 kB.\n");
    assert_eq!(bytes(&world), [4096, 0]);

    let world = World::with_policy("dispose = \"quarantine\"\nquarantine_for = \"1ms\"");
    world.file("out/a.tmp", DAY);
    assert_eq!(world.run("--textfile cleanup.prom").is_fine(), "Moved 1 file into quarantine, 4.1 kB.\n");
    assert_eq!(bytes(&world), [0, 4096]);
    world.run("--textfile cleanup.prom").is_fine();
    assert_eq!(bytes(&world), [4096, 4096]);
}

#[test]
fn metrics_that_cannot_be_written_cost_no_sweep() {
    let world = World::with_policy("");
    world.file("out/a.tmp", DAY);
    let swept = world.run("--textfile missing/cleanup.prom");
    assert!(swept.err.contains("cannot write the metrics to missing/cleanup.prom"), "{swept}");
    swept.exits(0);
    assert!(!world.path("out/a.tmp").exists());
    world.run("--dry-run --textfile cleanup.prom").exits(2);
    world.run("--textfile cleanup.prom sweep --dry-run").exits(2);
}

#[test]
fn metrics_that_are_no_regular_file_are_not_waited_for() {
    let world = World::with_policy("");
    world.file("out/a.tmp", DAY);
    let made = std::process::Command::new("mkfifo").arg(world.path("cleanup.prom")).status().unwrap();
    assert!(made.success());
    let swept = world.run_within("--textfile cleanup.prom", Duration::from_secs(60));
    assert!(swept.err.contains("not a regular file"), "{swept}");
    assert!(world.left("out").is_empty());
}
