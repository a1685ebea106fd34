//! A root that is not there, mistyped perhaps: said by every run and on every face, unless the policy says that it comes
//! and goes.

use std::fs;

use crate::world::{MINUTE, World};

const NEVER: &str = "warning: out: no such folder: [folder]/out; no run has seen it yet. Correct `root`, create the \
                     folder, or set `root_may_be_missing = true` if it comes and goes\n";

fn without_root(keys: &str) -> World {
    let world = World::with_policy(keys);
    fs::remove_dir(world.path("out")).unwrap();
    world
}

#[test]
fn a_missing_root_is_said_at_every_run_and_by_the_check() {
    let world = without_root("");
    for line in ["", "", "-q", "sweep out", "--dry-run", "--json"] {
        let ran = world.run(line);
        ran.exits(0);
        assert_eq!(ran.err, NEVER, "{line}");
    }
    assert!(world.run("").out.is_empty());
    let check = world.run("config check");
    let sentence = NEVER.trim_start_matches("warning: ").trim_end();
    assert!(check.exits(1).starts_with(&format!("error: {sentence}\n")), "{check}");
    let policy = &world.run("--json").json()["policies"][0];
    assert_eq!((&policy["skipped"], &policy["root_missing"]), (&"no_root".into(), &true.into()));
    let run = &world.run("history --json").json()["runs"][0];
    assert_eq!((&run["status"], &run["root_missing"]), (&"ok".into(), &serde_json::json!(["out"])));
    let history = world.run("history");
    let (runs, findings): (Vec<_>, Vec<_>) = history.is_fine().lines().partition(|line| !line.starts_with(' '));
    assert!(runs.iter().all(|line| line.contains("  root missing: out  ")), "{history}");
    assert!(findings.iter().all(|line| line.starts_with("    root_missing  out: ")), "{history}");
    assert_eq!(runs.len(), findings.len(), "{history}");
    world.run("--textfile cleanup.prom").exits(0);
    let metrics = || fs::read_to_string(world.path("cleanup.prom")).unwrap();
    assert!(metrics().contains("cleanup_root_missing{policy=\"out\"} 1\n"));

    world.file("out/young.tmp", MINUTE);
    assert_eq!(world.run("--textfile cleanup.prom").is_fine(), "");
    assert!(metrics().contains("cleanup_root_missing{policy=\"out\"} 0\n"));
    world.run("config check").is_fine();
    fs::remove_dir_all(world.path("out")).unwrap();
    let gone = world.run("");
    gone.exits(0);
    assert!(gone.err.contains("it existed in an earlier run"), "{gone}");
    fs::write(
        world.path("cleanup.toml"),
        fs::read_to_string(world.path("cleanup.toml")).unwrap().replace("\"out\"", "\"uot\""),
    )
    .unwrap();
    assert!(world.run("").err.contains("uot; no run has seen it yet"), "mistyped later");
}

#[test]
fn a_root_that_comes_and_goes_is_nothing_to_speak_of() {
    let world = without_root("root_may_be_missing = true");
    assert_eq!(world.run("").is_fine(), "");
    world.run("config check").is_fine();
    let policy = &world.run("--json").json()["policies"][0];
    assert_eq!((&policy["skipped"], policy.get("root_missing")), (&"no_root".into(), None));
    assert!(!world.run("history").is_fine().contains("missing"));
}

#[test]
fn the_built_in_rules_are_silent_about_the_other_applications_folders() {
    let world = World::new();
    world.file("storage/output/bystander.txt", MINUTE);
    assert_eq!(world.run("").is_fine(), "");
    world.run("init").is_fine();
    assert_eq!(world.run("").is_fine(), "");
    world.run("config check").is_fine();
}
