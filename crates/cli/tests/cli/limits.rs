//! Limits that hold, or say exactly what stands in the way: on real trees and, where this process may mount, on a small
//! file system of its own.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::world::{DAY, HOUR, MINUTE, Ran, World};

const KIB: u64 = 1024;

/// A policy for `out/*.tmp` with these keys alone.
fn world(keys: &str) -> World {
    let world = World::new();
    world.write("cleanup.toml", &format!("[files.out]\nroot = \"out\"\ninclude = [\"*.tmp\"]\n{keys}\n"));
    fs::create_dir(world.path("out")).unwrap();
    world
}

/// Files of 4 KiB, `00.tmp` the oldest, a minute apart.
fn fill(world: &World, count: u32) {
    for number in 0..count {
        world.file(format!("out/{number:02}.tmp"), HOUR.saturating_sub(MINUTE * number));
    }
}

fn limits(ran: &Ran) -> Value {
    ran.json()["policies"][0]["limits"].clone()
}

#[test]
fn the_oldest_go_until_the_limit_is_met_and_a_dry_run_says_so() {
    for (keys, left) in [
        ("max_files = 3", 3),
        ("max_total_size = \"12KiB\"", 3),
        ("max_total_size = \"16383\"", 3),
        ("max_files = 5\nmax_total_size = \"12KiB\"", 3),
        ("max_files = 0", 0),
        ("max_total_size = \"0\"", 0),
        ("max_files = 10", 10),
        ("max_total_size = \"1000TiB\"", 10),
        ("max_age = \"55m30s\"\nmax_files = 5", 5),
        ("max_age = \"55m30s\"\nmax_files = 6", 5),
        ("max_files = 2\nkeep_newest = 4", 4),
        ("max_age = \"1m\"\nkeep_newest = 4", 4),
    ] {
        let world = world(keys);
        fill(&world, 10);
        let planned = world.run("--dry-run --json");
        planned.exits(0);
        let ran = world.run("--json");
        assert_eq!(planned.json()["totals"]["due"], ran.json()["totals"]["removed"], "{keys}");
        let expected: Vec<String> = (10 - left..10).map(|number| format!("{number:02}.tmp")).collect();
        assert_eq!(world.left("out"), expected, "{keys}");
        let is_met = !keys.contains("max_files = 2");
        ran.exits(if is_met { 0 } else { 3 });
        let limits = limits(&ran);
        assert!(limits.as_array().unwrap().iter().all(|limit| limit["met"] == is_met), "{keys}: {ran}");
    }
}

#[test]
fn what_is_protected_stays_and_the_report_says_what_stands_in_the_way() {
    let world = world("archives = [\"0*.tmp\"]\nmin_age = \"50m30s\"\nmax_total_size = \"4KiB\"\nkeep_newest = 1");
    fill(&world, 15);
    world.run("hold out/10.tmp --for 1d").exits(0);
    let plan = world.run("--dry-run --json");
    assert_eq!(plan.exits(0), plan.out);
    assert_eq!(limits(&plan)[0]["is"], 15 * 4 * KIB);
    let ran = world.run("--json");
    ran.exits(3);
    let archives = 10 * 4 * KIB;
    assert_eq!(
        limits(&ran),
        json!([{
            "name": "max_total_size", "met": false, "wanted": 4 * KIB, "is": 15 * 4 * KIB,
            "pinned": {"archive": archives, "held": 4 * KIB, "settling": 4 * 4 * KIB},
        }])
    );
    assert_eq!(ran.json()["policies"][0]["status"], "partial");
    assert!(ran.err.contains("max_total_size is not met: 61.4 kB of 4.1 kB; 41.0 kB archived, 4.1 kB held"), "{ran}");
    let textfile = world.run("--textfile metrics.prom");
    textfile.exits(3);
    let metrics = fs::read_to_string(world.path("metrics.prom")).unwrap();
    for line in [
        "cleanup_limit_met{policy=\"out\",limit=\"max_total_size\"} 0\n",
        "cleanup_limit_ratio{policy=\"out\",limit=\"max_total_size\"} 15.0\n",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
}

#[test]
fn statistics_and_explanations_know_what_would_go() {
    let world = world("max_files = 8\nkeep_newest = 2");
    fill(&world, 10);
    let stats = world.run("stats --json").json();
    let stats = &stats["policies"][0];
    assert_eq!(stats["due_files"], 2);
    assert_eq!(
        stats["limits"],
        json!([{"name": "max_files", "met": false, "wanted": 8, "is": 10, "after": 8, "pinned": {}}])
    );
    let next: Vec<(&str, bool)> = stats["next"]
        .as_array()
        .unwrap()
        .iter()
        .map(|next| (next["path"].as_str().unwrap(), next["due"].as_bool().unwrap()))
        .collect();
    assert_eq!(next, [("00.tmp", true), ("01.tmp", true), ("02.tmp", false), ("03.tmp", false), ("04.tmp", false)]);
    let text = world.run("stats");
    assert!(text.out.contains("max_files  [####################] 125%  10 of 8; 8 after a sweep"), "{text}");

    let explained = |name: &str| world.run(&format!("explain out/{name}.tmp")).is_fine().to_owned();
    assert!(explained("01").contains("among the oldest beyond max_files"));
    assert!(explained("02").contains("no limit requires its removal"));
    assert!(explained("08").contains("among the newest (keep_newest = 2)"));
}

#[test]
fn a_file_with_several_names_counts_once_and_goes_with_its_last_name() {
    let world = world("max_total_size = \"8KiB\"");
    world.file("out/a.tmp", 3 * HOUR);
    fs::hard_link(world.path("out/a.tmp"), world.path("out/b.tmp")).unwrap();
    world.file("out/c.tmp", 2 * HOUR);
    world.file("out/d.tmp", HOUR);
    // 12 KiB in four names: both names of the oldest file go before anything is gained.
    world.run("").exits(0);
    assert_eq!(world.left("out"), ["c.tmp", "d.tmp"]);

    fs::hard_link(world.path("out/c.tmp"), world.path("out/e.tmp")).unwrap();
    world.run("").exits(0);
    assert_eq!(world.left("out"), ["c.tmp", "d.tmp", "e.tmp"], "still 8 KiB");
}

#[test]
fn a_limit_that_is_set_anew_and_would_take_most_is_held() {
    let world = world("max_age = \"1d\"");
    for number in 0..150 {
        world.file(format!("out/{number:03}.tmp"), MINUTE);
    }
    world.run("").exits(0);
    let config = fs::read_to_string(world.path("cleanup.toml")).unwrap();
    world.write("cleanup.toml", &format!("{config}max_files = 20\n"));
    let held = world.run("");
    held.exits(4);
    assert!(held.err.contains("max_files was set to 20"), "{held}");
    assert_eq!(world.left("out").len(), 150);
    world.run("--force").exits(0);
    assert_eq!(world.left("out").len(), 20);
}

/// How many bytes the file system has on which a world lies.
fn whole(world: &World) -> u64 {
    let found = rustix::fs::statvfs(world.path("")).unwrap();
    found.f_blocks * found.f_frsize
}

#[test]
fn a_disk_that_can_never_be_free_enough_takes_all_that_may_go_and_names_the_rest() {
    let world = world("");
    // As much as there is but for a byte, and something always lies there.
    let mark = whole(&world) - 1;
    let policy = format!(
        "[files.out]\nroot = \"out\"\ninclude = [\"*.tmp\"]\narchives = [\"00.tmp\"]\nmin_free = \"{mark}B\"\n"
    );
    world.write("cleanup.toml", &policy);
    fill(&world, 4);
    let ran = world.run("--json");
    ran.exits(3);
    assert_eq!(world.left("out"), ["00.tmp"]);
    let limit = &limits(&ran)[0];
    assert_eq!((&limit["name"], &limit["met"]), (&json!("min_free"), &json!(false)));
    assert_eq!(limit["pinned"]["archive"], 4 * KIB);
    assert!(limit["pinned"]["elsewhere"].as_u64().is_some(), "{ran}");
}

#[test]
fn a_mark_that_is_larger_than_the_file_system_takes_nothing() {
    for mark in ["\"4000000TiB\"", "{ low = \"1KB\", high = \"4000000TiB\" }"] {
        // Also what is due by its age: the policy is not what somebody meant it to be.
        let world = world(&format!("max_age = \"30m\"\nmin_free = {mark}"));
        fill(&world, 4);
        let size = cleanup_core::size::HumanBytes(whole(&world)).to_string();
        for line in ["", "--dry-run", "--force", "plan -o plan.jsonl"] {
            let held = world.run(line);
            held.exits(4);
            assert!(held.err.contains("min_free requires "), "{held}");
            assert!(held.err.contains(&format!("the whole file system has only {size}")), "{held}");
        }
        assert_eq!(world.left("out").len(), 4, "{mark}");
        assert!(world.run("config check").exits(1).contains("the whole file system has"));
        world.run("stats").is_fine();
    }
    let harmless = world("max_total_size = \"4000000TiB\"");
    fill(&harmless, 4);
    harmless.run("").is_fine();
}

/// A file system of a few MiB.
struct Small(PathBuf);

impl Small {
    /// `None`, said aloud, where this process may not mount.
    fn mount(world: &World, name: &str, size: &str) -> Option<Self> {
        let at = world.path(name);
        fs::create_dir_all(&at).unwrap();
        let option = format!("size={size}");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &option, "tmpfs"]).arg(&at).output();
        if mount.is_ok_and(|mount| mount.status.success()) {
            return Some(Self(at));
        }
        eprintln!("SKIPPED: this process may not mount");
        None
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        assert!(Command::new("umount").arg(&self.0).status().unwrap().success());
    }
}

#[test]
fn policies_on_one_file_system_give_their_oldest_by_weight() {
    let world = World::new();
    let policy = |name: &str, weight: &str| {
        format!(
            "[files.{name}]\nroot = \"disk/{name}\"\ninclude = [\"*.tmp\"]\n\
             min_free = {{ low = \"50%\", high = \"75%\" }}\n{weight}\n"
        )
    };
    world.write("cleanup.toml", &(policy("cheap", "") + &policy("dear", "weight = 3")));
    let Some(disk) = Small::mount(&world, "disk", "256K") else { return };
    // 32 of 64 blocks are free while 32 files are there: 33 are one too many, and 16 may stay.
    for number in 0..17_u32 {
        world.file(format!("disk/cheap/{number:02}.tmp"), HOUR + MINUTE * number);
    }
    for number in 0..16_u32 {
        world.file(format!("disk/dear/{number:02}.tmp"), 3 * HOUR + MINUTE * (3 * number));
    }
    let explained = world.run("explain disk/cheap/16.tmp disk/dear/00.tmp");
    let planned = world.run("--dry-run --json");
    let ran = world.run("--json");
    let left = (world.left("disk/cheap"), world.left("disk/dear"));
    drop(disk);
    ran.exits(0);
    // Weighted, both are between one hour and one hour and a quarter old: the youngest eight of each stay.
    let youngest: Vec<String> = (0..8).map(|number| format!("{number:02}.tmp")).collect();
    assert_eq!(left, (youngest.clone(), youngest));
    assert_eq!(planned.json()["totals"]["due"], ran.json()["totals"]["removed"]);
    for policy in ran.json()["policies"].as_array().unwrap() {
        assert_eq!(
            (&policy["limits"][0]["met"], &policy["limits"][0]["is"]),
            (&json!(true), &json!(192 * KIB)),
            "{ran}"
        );
    }
    assert!(
        explained.out.contains("beyond min_free") && explained.out.contains("no limit requires its removal"),
        "{explained}"
    );
}

#[test]
fn a_writer_that_never_rests_is_given_room_by_every_sweep_and_then_the_mark_holds() {
    let world = world("min_free = { low = \"25%\", high = \"50%\" }\n[state]\nurl = \"none\"");
    let Some(disk) = Small::mount(&world, "out", "8M") else { return };
    let is_done = AtomicBool::new(false);
    let codes = std::thread::scope(|scope| {
        scope.spawn(|| {
            // Eight times what there is room for.
            for number in 0..4096 {
                let path = world.path(format!("out/{number}.tmp"));
                while fs::write(&path, [7; 16 * 1024]).is_err() {
                    // A full disk is the writer's own trouble; it tries again.
                    let _ = fs::remove_file(&path);
                    std::thread::yield_now();
                }
            }
            is_done.store(true, Ordering::Relaxed);
        });
        let mut codes = Vec::new();
        while !is_done.load(Ordering::Relaxed) {
            codes.push(world.run("").code);
        }
        codes
    });
    let last = world.run("--json");
    drop(disk);
    assert!(codes.iter().all(|code| matches!(code, 0 | 3)), "{codes:?}");
    last.exits(0);
    assert_eq!(limits(&last)[0]["met"], true, "{last}");
    assert!(limits(&last)[0]["is"].as_u64().unwrap() >= 2 * KIB * KIB, "{last}");
}

#[test]
fn free_inodes_are_kept_too() {
    let world = world("min_free = { low = \"1%\", inodes = \"50%\" }");
    let at = world.path("out");
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "nr_inodes=100", "tmpfs"]).arg(&at).output();
    if !mount.is_ok_and(|mount| mount.status.success()) {
        eprintln!("SKIPPED: this process may not mount");
        return;
    }
    let disk = Small(at);
    fill(&world, 60);
    let ran = world.run("--json");
    let left = world.left("out");
    drop(disk);
    ran.exits(0);
    // The root has an inode of its own.
    assert_eq!(left.len(), 49, "{ran}");
    assert_eq!(left[0], "11.tmp");
}

#[test]
fn an_observing_policy_shows_its_limits_and_takes_nothing() {
    let world = world("max_files = 1\nmode = \"observe\"");
    world.file("out/a.tmp", DAY);
    world.file("out/b.tmp", HOUR);
    let ran = world.run("--json");
    ran.exits(0);
    assert_eq!(world.left("out").len(), 2);
    assert_eq!(
        limits(&ran),
        json!([{"name": "max_files", "met": false, "wanted": 1, "is": 2, "after": 1, "pinned": {}}])
    );
}

#[test]
fn what_lies_in_quarantine_goes_before_what_is_still_in_its_place() {
    let world = world("max_age = \"2h\"\ndispose = \"quarantine\"\nmin_free = \"50%\"");
    let Some(disk) = Small::mount(&world, "out", "512K") else { return };
    for number in 0..30_u32 {
        world.file(format!("out/old{number:02}.tmp"), 3 * HOUR);
    }
    let aside = world.run("--json");
    for number in 0..45_u32 {
        world.file(format!("out/young{number:02}.tmp"), MINUTE);
    }
    let planned = world.run("--dry-run --json");
    let pressed = world.run("--json");
    let left = world.left("out").len();
    drop(disk);
    assert_eq!(aside.json()["totals"]["quarantined"], 30, "{aside}");
    assert_eq!(planned.json()["policies"][0]["purged"], 0, "a dry run deletes nothing: {planned}");
    pressed.exits(0);
    let policy = &pressed.json()["policies"][0];
    let purged = policy["purged"].as_u64().unwrap();
    assert!((1..30).contains(&purged), "no more than is needed: {pressed}");
    assert_eq!((&policy["quarantined"], &policy["limits"][0]["met"], left), (&json!(0), &json!(true), 45), "{pressed}");
}
