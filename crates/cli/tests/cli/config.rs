//! `config check`, `config show`, `config schema`.

use std::fs;
use std::os::unix::fs::symlink;

use crate::world::World;

#[test]
fn check_says_ok_or_what_it_found() {
    let world = World::with_policy("");
    insta::assert_snapshot!(world.run("config check"), @"
    exit 0
    ── stdout
    ok: ./cleanup.toml, 1 policy
    ── stderr
    ");
    fs::remove_dir(world.path("out")).unwrap();
    insta::assert_snapshot!(world.run("config check"), @"
    exit 1
    ── stdout
    error: out: no such folder: [folder]/out; no run has seen it yet. Correct `root`, create the folder, or set `root_may_be_missing = true` if it comes and goes
      try: mkdir -p [folder]/out
    ./cleanup.toml: 1 policy, 1 finding
    ── stderr
    ");
    symlink("elsewhere", world.path("out")).unwrap();
    let refused = world.run("config check");
    assert!(refused.exits(1).starts_with("error: out: "), "{refused}");
    assert_eq!(world.run("config check --json").json()["status"], "error");
}

#[test]
fn a_token_that_can_be_guessed_is_a_warning() {
    let world = World::with_policy("");
    let text = fs::read_to_string(world.path("cleanup.toml")).unwrap();
    world.write("cleanup.toml", &format!("{text}\n[server]\ntoken_file = \"token\"\n"));
    world.run("config check").is_fine();
    for (token, is_short) in [("x\n", true), ("fifteen-letters\n", true), ("sixteen-letters-\n", false)] {
        world.write("token", token);
        let check = world.run("config check");
        let said = check.exits(0);
        assert_eq!(
            said.contains("warning: [server]: ") && said.contains("16 characters"),
            is_short,
            "{token}: {check}"
        );
        assert!(!said.contains(token.trim_end()) || token == "x\n", "what it is stays secret: {check}");
        assert_eq!(world.run("config check --json").json()["status"], if is_short { "warning" } else { "ok" });
    }
}

#[test]
fn a_broken_configuration_is_a_finding_for_programs_too() {
    let world = World::with_policy("");
    world.write("bad.toml", "nonsense = 1\n\n[files.out]\nroot = 3\n");
    let refused = world.run("-c bad.toml config check --json");
    refused.exits(78);
    assert_eq!(refused.json()["status"], "error");
    assert_eq!(refused.json()["config"], "bad.toml");
    assert!(refused.json()["findings"][0]["message"].as_str().unwrap().starts_with("line 1: "), "{refused}");
    assert!(refused.err.contains("bad.toml:1:1"), "and for people on stderr: {refused}");
}

#[test]
fn show_names_the_origin_of_every_value() {
    let world = World::with_policy("every = \"${PACE:-1h}\"");
    let run = |arguments: &[&str]| world.ran(world.command(arguments).env("PACE", "30m").output().unwrap());
    let shown = run(&["config", "show"]);
    let (own, _) = shown.is_fine().split_once("exclude").unwrap();
    // The columns depend on how long the name of the temporary folder is.
    let own: Vec<String> = own.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    insta::assert_snapshot!(own.join("\n"), @r#"
    # ./cleanup.toml

    [files.out]
    root = "[folder]/out" # from line 2
    include = ["*.tmp"] # from line 3
    max_age = "1h" # from line 4
    every = "30m" # from variable PACE
    "#);
    let json = run(&["config", "show", "--json"]).json();
    let of = |key: &str| json["settings"].as_array().unwrap().iter().find(|one| one["key"] == key).unwrap().clone();
    assert_eq!(of("files.out.max_age")["line"], 4);
    assert_eq!(of("files.out.every")["variables"], serde_json::json!(["PACE"]));
    assert_eq!(of("files.out.stamp")["origin"], "default");
}

#[test]
fn a_password_is_never_shown() {
    let world = World::new();
    for line in ["config show", "config show --json", "config check", "stats", "-v", "-vv", "--json"] {
        let mut command = world.command(&line.split(' ').collect::<Vec<_>>());
        // Nothing listens on port 1.
        let ran = world.ran(command.env("DATABASE_URL", "postgres://app:hunter2@127.0.0.1:1/db").output().unwrap());
        assert!(!format!("{ran}").contains("hunter2"), "{line}: {ran}");
    }
}

#[test]
fn the_schema_is_the_committed_one_and_needs_no_configuration() {
    let world = World::new();
    world.write("cleanup.toml", "this is not TOML");
    let printed = world.run("config schema").json();
    let committed = include_str!("../../../../docs/schemas/cleanup.toml.schema.json");
    assert_eq!(printed, serde_json::from_str::<serde_json::Value>(committed).unwrap());
}

#[test]
fn the_variable_names_a_configuration_as_the_flag_does() {
    let world = World::with_policy("");
    fs::rename(world.path("cleanup.toml"), world.path("mine.toml")).unwrap();
    let shown = world.ran(world.command(&["config", "show"]).env("CLEANUP_CONFIG", "mine.toml").output().unwrap());
    assert!(shown.is_fine().starts_with("# mine.toml\n"), "{shown}");
    assert!(world.run("config show").is_fine().starts_with("# the built-in default\n"));
}

#[test]
fn a_place_that_cannot_be_looked_at_is_not_passed_over_for_the_next_one() {
    let world = World::with_policy("");
    fs::remove_file(world.path("cleanup.toml")).unwrap();
    fs::create_dir(world.path("home")).unwrap();
    // For want of a disk that fails: a link that leads nowhere but to itself.
    std::os::unix::fs::symlink(".config", world.path("home/.config")).unwrap();
    let refused = world.run("config show");
    refused.exits(78);
    assert!(refused.err.contains("home/.config/cleanup/cleanup.toml"), "{refused}");
    fs::remove_file(world.path("home/.config")).unwrap();
    fs::write(world.path("home/.config"), "no folder").unwrap();
    assert!(world.run("config show").is_fine().starts_with("# the built-in default\n"));
}

#[test]
fn check_looks_the_time_zone_up() {
    let world = World::with_policy("");
    let text = fs::read_to_string(world.path("cleanup.toml")).unwrap();
    world.write("cleanup.toml", &format!("time_zone = \"Mars/Olympus\"\n{text}"));
    let refused = world.run("config check");
    assert!(refused.exits(1).contains("Mars/Olympus"), "{refused}");
    world.write("cleanup.toml", &format!("time_zone = \"Europe/Berlin\"\n{text}"));
    world.run("config check").is_fine();
}

#[test]
fn a_pattern_that_can_never_match_is_refused_with_its_line_and_the_way_out() {
    let world = World::with_policy("");
    for (keys, title, help) in [
        ("exclude = [\"!a.tmp\"]", "this pattern does not mean what it seems to", "write `[!]a.tmp`"),
        ("exclude = [\"keep//g\"]", "this pattern can never match", "write a single `/`"),
        ("archives = [\"*.jpg,*.png\"]", "this pattern does not mean what it seems to", "write a list"),
    ] {
        let text = "[files.out]\nroot = \"out\"\ninclude = [\"*.tmp\"]\nmax_age = \"1h\"\n";
        world.write("cleanup.toml", &format!("{text}{keys}\n"));
        let refused = world.run("config check");
        refused.exits(78);
        for part in [title, help, "cleanup.toml:5"] {
            assert!(refused.err.contains(part), "{part}: {refused}");
        }
        world.run("").exits(78);
    }
    for (keys, help) in [("", "add `recursive = true`"), ("recursive = true\nmax_depth = 1\n", "recursive")] {
        let text = "[files.out]\nroot = \"out\"\ninclude = [\"logs/*.log\"]\nmax_age = \"1h\"\n";
        world.write("cleanup.toml", &format!("{text}{keys}"));
        let refused = world.run("config check");
        refused.exits(78);
        assert!(refused.err.contains("this pattern can never match") && refused.err.contains(help), "{refused}");
    }
}
