//! `stats`, `list`, `explain`: they look, say, and change nothing.

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};

use crate::world::{DAY, HOUR, World};

/// Files on every side of one policy; each age is days away from the limit of 30 days.
fn world() -> World {
    let world = World::new();
    world.write(
        "cleanup.toml",
        "[files.out]\nroot = \"out\"\ninclude = [\"*.tmp\"]\narchives = [\"keep-*\"]\nmax_age = \"30d\"\nevery = \"1h\"\n",
    );
    world.file("out/old.tmp", 40 * DAY);
    world.file("out/young.tmp", 3 * DAY);
    world.file("out/keep-me.tmp", 400 * DAY);
    world.file("out/other.txt", 400 * DAY);
    fs::create_dir(world.path("out/below")).unwrap();
    symlink("other.txt", world.path("out/link.tmp")).unwrap();
    world
}

/// Dates differ at every run; their shape does not.
fn without_dates(text: &str) -> String {
    let blank = |line: &str| {
        let Some(at) = line.find(" UTC (") else { return line.to_owned() };
        let start = at - "2026-01-02 03:04:05".len();
        format!("{}[date]{}", &line[..start], &line[at..])
    };
    text.lines().map(blank).collect::<Vec<_>>().join("\n")
}

#[test]
fn explain_answers_for_every_kind_of_path() {
    let world = world();
    let paths = "out/old.tmp out/young.tmp out/keep-me.tmp out/other.txt out/below out/link.tmp out/missing.tmp \
                 /etc/passwd out/below/../young.tmp";
    let explained = world.run(&format!("explain {paths}"));
    insta::assert_snapshot!(without_dates(explained.is_fine()));
}

#[test]
fn explain_knows_a_stamp_in_the_future_and_survives_the_far_ones() {
    let world = world();
    let stamp = |at: SystemTime| {
        let file = File::options().write(true).open(world.path("out/young.tmp")).unwrap();
        file.set_times(FileTimes::new().set_modified(at)).unwrap();
    };
    stamp(SystemTime::now() + 10 * DAY + HOUR);
    let explained = world.run("explain out/young.tmp");
    assert!(explained.is_fine().contains("in the future"), "{explained}");
    stamp(SystemTime::UNIX_EPOCH + Duration::from_secs(16_725_225_600));
    for line in ["explain out/young.tmp", "stats", "stats -v", "list", "-v", "--json"] {
        world.run(line).is_fine();
    }
    assert!(world.left("out").contains(&"young.tmp".to_owned()), "the year 2500 is not due");
}

#[test]
fn list_shows_what_is_asked_for() {
    let world = world();
    fs::write(world.path("out/large.tmp"), vec![1; 300_000]).unwrap();
    let lines = |line: &str| {
        let ran = world.run(line);
        let mut lines: Vec<String> = ran.is_fine().lines().map(str::to_owned).collect();
        lines.sort();
        lines.join("\n")
    };
    insta::assert_snapshot!(lines("list --due"), @"due       40d     4.1 kB  out/old.tmp");
    insta::assert_snapshot!(
        lines("list -v --due"),
        @"due       40d     4.1 kB  out/old.tmp  last modified 40d ago, older than max_age 30d"
    );
    assert_eq!(lines("list").lines().count(), 4);
    assert_eq!(lines("list --larger-than 100k").lines().count(), 1);
    assert!(lines("list --larger-than 100k").ends_with("out/large.tmp"));
    assert_eq!(lines("list --larger-than 100k --due"), "");
    assert_eq!(world.run("list --json --due").json()["files"][0]["path"], "old.tmp");
    assert_eq!(world.run("list --json --larger-than 1G").json()["files"], serde_json::json!([]));
}

#[test]
fn stats_are_a_table() {
    let world = world();
    insta::assert_snapshot!(world.run("stats").is_fine(), @"
    policy  count     size  due    size  archives  oldest  next due
    out         3  12.3 kB    1  4.1 kB         1    400d    in 27d
    ");
    let detailed = world.run("stats -v");
    insta::assert_snapshot!(without_dates(detailed.is_fine()), @"
    policy  count     size  due    size  archives  oldest  next due
    out         3  12.3 kB    1  4.1 kB         1    400d    in 27d
      files in out older than 30d
      oldest    [date] UTC (400d ago)
      newest    [date] UTC (3d ago)
      next due  [date] UTC (in 27d)

    Bytes by policy
    out  ################################ 12.3 kB, 3 files, 1 file due

    Files by age
       under 10m  none
        under 1h  none
        under 6h  none
       under 24h  none
        under 7d  ################################ 1 file, 4.1 kB
       under 30d  none
      under 365d  ################################ 1 file, 4.1 kB
    365d or more  ################################ 1 file, 4.1 kB

    Due in the next 24 hours
      none by age alone
    ");
    let json = world.run("stats --json").json();
    let files = &json["policies"][0];
    assert_eq!((&files["ages"][4]["below_seconds"], &files["ages"][4]["files"]), (&604_800.into(), &1.into()));
    assert_eq!((files["next_hours"].as_array().unwrap().len(), &files["next_hours"][0]["files"]), (24, &0.into()));
    fs::remove_dir_all(world.path("out")).unwrap();
    insta::assert_snapshot!(world.run("stats").is_fine(), @"
    policy  count  size  due  size  archives  oldest  next due
    out     skipped: no such folder: [folder]/out; no run has seen it yet. Correct `root`, create the folder, or set `root_may_be_missing = true` if it comes and goes
    ");
}
