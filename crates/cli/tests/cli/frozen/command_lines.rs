//! Every command line of the document that this program replaces the script of, with `cleanup` in its place, in a
//! tree as that document describes it, without any configuration file.

use std::fs::OpenOptions;

use crate::world::{DAY, HOUR, MINUTE, World, archive, rendered};

/// Ages on both sides of every threshold that the document uses, and a bystander in each folder.
fn backend() -> World {
    let world = World::new();
    for (number, age) in [(1, 30 * MINUTE), (2, 2 * HOUR), (7, 7 * HOUR), (25, 25 * HOUR)] {
        world.file(format!("storage/output/{}", rendered(number)), age);
        let intuitive = rendered(number).replace("formal", "intuitive");
        world.file(format!("storage/output/{intuitive}"), age);
    }
    world.file(format!("storage/output/{}", archive(1)), MINUTE);
    world.file(format!("storage/output/{}", archive(99)), 30 * DAY);
    world.file("storage/output/readme.txt", 30 * DAY);
    for (name, age) in [("a20m", 20 * MINUTE), ("b40m", 40 * MINUTE), ("c90m", 90 * MINUTE), ("d3h", 3 * HOUR)] {
        world.file(format!("storage/temp_svgs/{name}.svg"), age);
    }
    world.file("storage/temp_svgs/notes.md", 30 * DAY);
    world
}

/// The numbers of the visualisations that are left, the archives that are left, the first letters of the icons.
fn left(world: &World) -> (Vec<u32>, Vec<u32>, String) {
    let output = world.left("storage/output");
    assert!(output.contains(&"readme.txt".to_owned()), "bystanders stay");
    let icons = world.left("storage/temp_svgs");
    assert!(icons.contains(&"notes.md".to_owned()), "bystanders stay");
    let numbers = |name: fn(u32) -> String| -> Vec<u32> {
        [1, 2, 7, 25, 99].into_iter().filter(|number| output.contains(&name(*number))).collect()
    };
    for number in [1, 2, 7, 25] {
        let twin = rendered(number).replace("formal", "intuitive");
        assert_eq!(output.contains(&rendered(number)), output.contains(&twin), "both kinds are treated alike");
    }
    let letters = icons.iter().filter_map(|name| name.strip_suffix(".svg")).filter_map(|name| name.chars().next());
    (numbers(rendered), numbers(archive), letters.collect())
}

#[test]
fn each_command_line_does_what_the_document_says() {
    for (line, output, archives, icons, last_line) in [
        ("", vec![1, 2, 7], vec![1, 99], "ab", "Removed 4 files, freed 16.4 kB.\n"),
        ("--age-hours 1", vec![1], vec![1, 99], "ab", "Removed 8 files, freed 32.8 kB.\n"),
        ("--temp-svg-age-hours 0.5", vec![1, 2, 7], vec![1, 99], "a", "Removed 5 files, freed 20.5 kB.\n"),
        (
            "--dry-run",
            vec![1, 2, 7, 25],
            vec![1, 99],
            "abcd",
            "Dry run: would remove 4 files, 16.4 kB; nothing was deleted.\n",
        ),
        (
            "--age-hours 24 --temp-svg-age-hours 2",
            vec![1, 2, 7],
            vec![1, 99],
            "abc",
            "Removed 3 files, freed 12.3 kB.\n",
        ),
        ("--include-archives", vec![1, 2, 7], vec![1], "ab", "Removed 5 files, freed 20.5 kB.\n"),
        ("--age-hours 6 --temp-svg-age-hours 0.5", vec![1, 2], vec![1, 99], "a", "Removed 7 files, freed 28.7 kB.\n"),
    ] {
        let world = backend();
        let ran = world.run(line);
        assert_eq!(ran.is_fine(), last_line, "cleanup {line}");
        assert_eq!(left(&world), (output, archives, icons.to_owned()), "cleanup {line}");
        if !line.contains("--dry-run") {
            assert_eq!(world.run(line).is_fine(), "", "cleanup {line}: a second run finds nothing and says nothing");
        }
    }
}

#[test]
fn stats_show_both_folders_and_change_nothing() {
    let world = backend();
    let shown = world.run("--stats");
    assert_eq!(shown.is_fine(), world.run("stats").is_fine());
    let row = |name: &str| {
        let line = shown.out.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(row("visualization-output")[1..7], ["10", "41.0", "kB", "2", "8.2", "kB"]);
    assert_eq!(row("temp-svgs")[1..7], ["4", "16.4", "kB", "2", "8.2", "kB"]);
    assert_eq!(left(&world).0, [1, 2, 7, 25]);
}

#[test]
fn the_crontab_line_leaves_one_line_in_the_log_and_only_when_something_went() {
    let world = backend();
    for _ in 0..3 {
        let log = || OpenOptions::new().create(true).append(true).open(world.path("cron.log")).unwrap();
        let status = world.command(&[]).stdout(log()).stderr(log()).status().unwrap();
        assert_eq!(status.code(), Some(0));
    }
    let log = std::fs::read_to_string(world.path("cron.log")).unwrap();
    assert_eq!(log, "Removed 4 files, freed 16.4 kB.\n");
}

#[test]
fn the_built_in_rules_are_those_of_the_documents() {
    let world = World::new();
    let shown = world.run("config show --json").json();
    let value = |key: &str| {
        let setting = shown["settings"].as_array().unwrap().iter().find(|setting| setting["key"] == key);
        let setting = setting.unwrap_or_else(|| panic!("{key} is not set: {shown:#}"));
        setting["value"].as_str().unwrap().replace("[folder]/", "")
    };
    for (key, expected) in [
        ("files.visualization-output.root", r#""storage/output""#),
        ("files.visualization-output.include", r#"["formal_*-*-*-*-*.svg", "intuitive_*-*-*-*-*.svg"]"#),
        ("files.visualization-output.archives", r#"["formal_*_*-*-*-*-*.svg", "intuitive_*_*-*-*-*-*.svg"]"#),
        ("files.visualization-output.include_archives", "false"),
        ("files.visualization-output.max_age", r#""24h""#),
        ("files.visualization-output.stamp", r#""mtime""#),
        ("files.visualization-output.dispose", r#""delete""#),
        ("files.visualization-output.recursive", "false"),
        ("files.temp-svgs.root", r#""storage/temp_svgs""#),
        ("files.temp-svgs.include", r#"["*.svg"]"#),
        ("files.temp-svgs.max_age", r#""1h""#),
        ("files.temp-models.root", r#""temp_models""#),
        ("files.temp-models.include", r#"["*.step"]"#),
        ("files.temp-models.max_age", r#""30m""#),
        ("files.temp-models.track", "true"),
        ("sessions.tutor-sessions.table", r#""tutor_sessions""#),
        ("sessions.tutor-sessions.id_column", r#""session_id""#),
        ("sessions.tutor-sessions.activity_column", r#""last_activity""#),
        ("sessions.tutor-sessions.max_idle", r#""2h""#),
        ("server.listen", r#""127.0.0.1:8000""#),
    ] {
        assert_eq!(value(key), expected, "{key}");
    }
}
