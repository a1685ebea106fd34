//! Every JSON document against its committed schema, with the worst names a folder can hold.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;

use base64::Engine as _;
use serde_json::Value;

use crate::world::{DAY, HOUR, World};

fn validator(name: &str) -> jsonschema::Validator {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/schemas");
    let text = std::fs::read_to_string(format!("{folder}/{name}.schema.json")).unwrap();
    jsonschema::validator_for(&serde_json::from_str(&text).unwrap()).unwrap()
}

#[track_caller]
fn assert_valid(name: &str, document: &Value) {
    let validator = validator(name);
    let errors: Vec<String> =
        validator.iter_errors(document).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{name}: {errors:#?}\n{document:#}");
    assert_eq!(document["format_version"], 1, "{name}");
}

fn world() -> World {
    let world = World::with_policy(
        "archives = [\"keep-*\"]\nevery = \"1h\"\n\
         [files.missing]\nroot = \"missing\"\ninclude = [\"*\"]\nmax_age = \"1h\"\n\
         [files.link]\nroot = \"link\"\ninclude = [\"*\"]\nmax_age = \"2d\"\n\
         [sessions.rows]\nurl = \"${NO_SUCH_DATABASE}\"\ntable = \"t\"\nid_column = \"id\"\n\
         activity_column = \"at\"\nmax_idle = \"2h\"",
    );
    world.write("crontab", "find /srv/a /srv/b* -mtime +1 -delete\n");
    world.file("out/old.tmp", 2 * HOUR);
    world.file("out/keep-me.tmp", 3 * DAY);
    world.file(world.path("out").join(OsStr::from_bytes(b"\xff\n\"\x1b.tmp")), 2 * HOUR);
    world.file("out/young.tmp", HOUR / 2);
    std::os::unix::fs::symlink("elsewhere", world.path("link")).unwrap();
    world
}

#[test]
fn every_document_is_as_its_schema_says() {
    let world = world();
    for (schema, line, code) in [
        ("report", "--dry-run --json", 1),
        ("stats", "stats --json", 1),
        ("stats", "--stats --format json", 1),
        ("list", "list --json", 1),
        ("list", "list --json --due missing", 0),
        ("explain", "explain --json out/old.tmp out/young.tmp out/keep-me.tmp missing/x link/y /etc/passwd", 0),
        ("check", "config check --json", 1),
        ("check", "config check --json -c no-such.toml", 78),
        ("show", "config show --json", 0),
        ("import", "import --json crontab", 0),
        ("report", "--json", 1),
    ] {
        let ran = world.run(line);
        ran.exits(code);
        assert_valid(schema, &ran.json());
        assert_says_enough(schema, &ran.json());
    }
}

#[test]
fn every_document_about_what_went_is_as_its_schema_says() {
    let world = World::with_policy("dispose = \"quarantine\"");
    for name in ["a", "b", "c"] {
        world.file(format!("out/{name}.tmp"), 2 * HOUR);
    }
    world.file(world.path("out").join(OsStr::from_bytes(b"\xff\n\"\x1b.tmp")), 2 * HOUR);
    for (schema, line) in [
        ("holds", "hold out/c.tmp --for 1h --json"),
        ("plan", "plan -o plan.jsonl --json"),
        ("report", "apply plan.jsonl --json"),
        ("history", "history --json"),
        ("removals", "history --path *.tmp --json"),
        ("removals", "history --path a.tmp --limit 1 --json"),
        ("quarantine", "quarantine --json"),
        ("restore", "restore --dry-run --json"),
        ("restore", "restore --json"),
        ("holds", "hold --list --json"),
    ] {
        let ran = world.run(line);
        ran.exits(0);
        assert_valid(schema, &ran.json());
        assert_says_enough(schema, &ran.json());
    }
}

/// A schema that demands nothing would pass everything. Only who asked may be unknown, and the last page has no next one.
#[track_caller]
fn assert_says_enough(name: &str, document: &Value) {
    for key in document.as_object().unwrap().keys().filter(|key| !["asked_by", "next"].contains(&key.as_str())) {
        let mut without = document.clone();
        without.as_object_mut().unwrap().remove(key);
        assert!(!validator(name).is_valid(&without), "{name} without {key}");
    }
}

#[test]
fn a_name_that_is_not_text_is_given_exactly() {
    let world = world();
    let list = world.run("list out --json --due").json();
    let files = list["files"].as_array().unwrap();
    let odd = files.iter().find(|file| file.get("path_bytes").is_some()).expect("one name is not UTF-8");
    let bytes = base64::engine::general_purpose::STANDARD.decode(odd["path_bytes"].as_str().unwrap()).unwrap();
    assert_eq!(bytes, b"\xff\n\"\x1b.tmp");
    assert!(world.path("out").join(OsStr::from_bytes(&bytes)).exists());
}

#[test]
fn an_item_that_cannot_be_removed_is_in_the_document() {
    let world = world();
    world.file("shut/a.tmp", 2 * HOUR);
    world.write("shut.toml", "[files.shut]\nroot = \"shut\"\ninclude = [\"*\"]\nmax_age = \"1h\"\n");
    std::fs::set_permissions(world.path("shut"), Permissions::from_mode(0o555)).unwrap();
    let arguments = ["--json", "-c", "shut.toml"];
    let mut command = world.command_as_nobody(&arguments).unwrap_or_else(|| world.command(&arguments));
    let ran = world.ran(command.output().unwrap());
    ran.exits(3);
    assert_valid("report", &ran.json());
    assert_eq!(ran.json()["policies"][0]["errors"][0]["path"], "a.tmp");
    assert_eq!(ran.json()["status"], "partial");
}
