//! What a newcomer meets: an empty folder, `init`, `demo`, completions, the manual.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use crate::world::World;

#[test]
fn an_empty_folder_says_where_to_begin_unless_told_to_be_quiet() {
    let world = World::new();
    assert_eq!(world.run("-q").is_fine(), "");
    for line in ["", "--age-hours 24 --temp-svg-age-hours 2", "-v", "--dry-run", "sweep temp-svgs", "stats", "list"] {
        let ran = world.run(line);
        ran.exits(0);
        assert!(ran.err.contains("cleanup init") && ran.err.contains("cleanup demo"), "{line}: {ran}");
    }
    assert_eq!(world.run("-n").out, "Dry run: nothing is due; nothing was deleted.\n");
    assert_eq!(world.run("--json").json()["status"], "ok");
    world.run("--json").is_fine();
}

#[test]
fn init_writes_the_defaults_and_never_over_a_file() {
    let world = World::new();
    insta::assert_snapshot!(world.run("init"), @"
    exit 0
    ── stdout
    Wrote cleanup.toml. Edit it to define what is temporary, for how long, and what must never be touched.
    Then:
      cleanup config check   validate it
      cleanup --dry-run      preview the removals
      cleanup                sweep
    ── stderr
    ");
    let written = fs::read_to_string(world.path("cleanup.toml")).unwrap();
    let added = written.strip_prefix(include_str!("../../../../deploy/cleanup.toml")).unwrap();
    assert!(
        added.starts_with("# Once there is a token") && added.ends_with("\ntoken_for = \"everything\"\n"),
        "{added}"
    );
    let shown = world.run("config show");
    let token_for = shown.is_fine().lines().find(|line| line.contains("token_for")).unwrap();
    assert!(token_for.contains("\"everything\"") && token_for.contains("line "), "{token_for}");
    assert_eq!(fs::metadata(world.path("cleanup.toml")).unwrap().permissions().mode() & 0o022, 0);
    world.run("config check").is_fine();

    world.write("cleanup.toml", "# mine");
    let refused = world.run("init");
    assert_eq!(refused.exits(1), "");
    assert_eq!(refused.err, "error: cleanup.toml already exists; it was left alone\n");
    assert_eq!(fs::read_to_string(world.path("cleanup.toml")).unwrap(), "# mine");

    fs::remove_file(world.path("cleanup.toml")).unwrap();
    symlink("victim", world.path("cleanup.toml")).unwrap();
    world.run("init").exits(1);
    assert!(!world.path("victim").exists(), "nor through a link");
}

#[test]
fn init_writes_where_the_configuration_is_named() {
    let world = World::new();
    let ran = world.run("-c there.toml init");
    assert!(ran.is_fine().contains("cleanup -c there.toml --dry-run"), "{ran}");
    world.run("-c there.toml config check").is_fine();
    world.run("-c no/such/folder.toml init").exits(1);
}

#[test]
fn the_demo_shows_every_step_and_leaves_nothing_behind() {
    let world = World::new();
    let demo = world.run("demo");
    insta::assert_snapshot!(demo.is_fine());
    assert!(world.left("").is_empty(), "the temporary folder is gone");
    assert!(demo.out.lines().count() <= 64, "it fits on a screen");
}

#[test]
fn the_demo_obeys_neither_the_configuration_here_nor_the_environment() {
    let world = World::new();
    world.write("cleanup.toml", "this is not TOML");
    let mut command = world.command(&["demo"]);
    command.env("CLEANUP_CONFIG", "cleanup.toml").env("DATABASE_URL", "postgres://127.0.0.1:1/db");
    let demo = world.ran(command.output().unwrap());
    assert_eq!(demo.is_fine(), World::new().run("demo").out);
}

#[test]
fn completions_and_the_manual_are_printed() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = world.run(&format!("completions {shell}"));
        assert!(script.is_fine().contains("include-archives"), "{shell}");
    }
    let page = world.run("man");
    assert!(page.is_fine().contains(".TH cleanup 1"), "{page}");
    assert!(world.run("man sweep").is_fine().contains(".TH cleanup-sweep 1"));
    world.run("man nothing").exits(2);
    world.run("completions tcsh").exits(2);
}

#[test]
fn the_help_is_reviewed() {
    let world = World::new();
    insta::assert_snapshot!("help", world.run("--help").is_fine());
    assert_eq!(world.run("-h").is_fine(), world.run("--help").out);
    assert!(world.run("--version").is_fine().starts_with("cleanup "));
}
