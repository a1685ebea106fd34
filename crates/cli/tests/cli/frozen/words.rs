//! What is said in whose words, and when nothing is said.

use crate::world::{HOUR, Ran, World, rendered};

/// The built-in rules where the application lies, with one file due.
fn backend() -> World {
    let world = World::new();
    world.file(format!("storage/output/{}", rendered(1)), 25 * HOUR);
    world.file("storage/temp_svgs/young.svg", HOUR / 2);
    world
}

fn with_database(world: &World, url: &str, arguments: &[&str]) -> Ran {
    world.ran(world.command(arguments).env("DATABASE_URL", url).output().unwrap())
}

#[test]
fn sessions_that_could_not_be_cleaned_up_are_said_in_the_words_of_the_script() {
    for url in
        ["postgresql+psycopg2://u:secret@127.0.0.1:1/db", "postgres://u:secret@127.0.0.1:1/db", "sqlite:///no.db"]
    {
        let world = backend();
        let ran = with_database(&world, url, &[]);
        assert_eq!(ran.exits(0), "Removed 1 file, freed 4.1 kB.\n", "{url}");
        assert!(ran.err.starts_with("Could not clean up tutor sessions: "), "{url}: {ran}");
        assert_eq!(ran.err.lines().count(), 1, "{url}: {ran}");
        assert!(!ran.err.contains("secret"), "{ran}");
        // Whoever only wants problems wants this one; a dry run says it too.
        for arguments in [&["-q"][..], &["--dry-run"], &["sweep", "tutor-sessions"]] {
            let ran = with_database(&world, url, arguments);
            ran.exits(0);
            assert!(ran.err.starts_with("Could not clean up tutor sessions: "), "{url}: {ran}");
        }
        let json = with_database(&world, url, &["--json"]).json();
        let sessions = json["policies"].as_array().unwrap().iter().find(|policy| policy["kind"] == "sessions").unwrap();
        assert!(sessions["message"].as_str().unwrap().starts_with("Could not clean up tutor sessions: "), "{sessions}");
    }
}

#[test]
fn cron_is_told_nothing_when_nothing_happened() {
    let world = backend();
    assert_eq!(world.run("").is_fine(), "Removed 1 file, freed 4.1 kB.\n");
    for line in
        ["", "", "--age-hours 24 --temp-svg-age-hours 2", "--include-archives", "sweep", "sweep temp-svgs", "-q"]
    {
        assert_eq!(world.run(line).is_fine(), "", "cleanup {line}");
    }
    let world = World::with_policy("");
    world.file("out/young.tmp", HOUR / 2);
    for line in ["", "", "sweep out", "-q", "-c cleanup.toml"] {
        assert_eq!(world.run(line).is_fine(), "", "cleanup {line}");
    }
}
