//! What needs somebody, as a report says it to programs: one code for each kind, in the words that people read, and since
//! when.

use std::fs;

use serde_json::Value;

use crate::world::{HOUR, World};

/// The findings of one run, and the texts of its notes and messages.
fn found(world: &World, line: &str) -> (Vec<Value>, String) {
    let report: Value = serde_json::from_str(&world.run(line).out).unwrap();
    let of = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let message = |policy: &Value| policy["message"].as_str().unwrap_or_default().to_owned();
    let mut said: Vec<String> = of(&report["policies"]).iter().map(message).collect();
    said.extend(of(&report["notes"]).iter().map(|note| note.as_str().unwrap().to_owned()));
    (of(&report["findings"]), said.join("\n"))
}

fn codes(findings: &[Value]) -> Vec<String> {
    findings.iter().map(|finding| finding["code"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_missing_root_is_found_until_it_is_there_and_keeps_its_first_moment() {
    let world = World::with_policy("");
    world.run("").exits(0);
    fs::remove_dir(world.path("out")).unwrap();
    let (first, said) = found(&world, "--json");
    assert_eq!(codes(&first), ["root_missing"]);
    let finding = &first[0];
    assert_eq!((&finding["level"], &finding["policy"]), (&"error".into(), &"out".into()));
    assert!(said.contains(finding["text"].as_str().unwrap()), "the words are those of the report");
    assert_eq!(finding["remedy"], "mkdir -p [folder]/out");
    let (second, _) = found(&world, "--json");
    assert_eq!(second[0]["since"], finding["since"], "it was found then");
    // The history says the same, and a dry run does.
    let run = world.run("history --json").json()["runs"][0]["run_id"].as_str().unwrap().to_owned();
    assert_eq!(world.run(&format!("history {run} --json")).json()["findings"], Value::from(second));
    assert_eq!(codes(&found(&world, "--dry-run --json").0), ["root_missing"]);

    fs::create_dir(world.path("out")).unwrap();
    assert_eq!(codes(&found(&world, "--json").0), [""; 0]);
    fs::remove_dir(world.path("out")).unwrap();
    let (again, _) = found(&world, "--json");
    assert_ne!(again[0]["since"], finding["since"], "it was there in between");
}

#[test]
fn each_kind_has_its_code() {
    let world = World::with_policy("max_removal_percent = 10\n[audit]\nfile = \"audit.jsonl\"");
    world.run("").exits(0);
    for number in 0..120 {
        world.file(format!("out/{number}.tmp"), 2 * HOUR);
    }
    assert_eq!(codes(&found(&world, "--json").0), ["held"]);

    // Lost promises hold every policy; that they are lost is said once for all.
    world.run("hold --for 1h out/7.tmp").exits(0);
    fs::remove_file(world.path(".cleanup/promises.jsonl")).unwrap();
    let (lost, said) = found(&world, "--json");
    assert_eq!(codes(&lost), ["promises_lost", "held"]);
    assert!(said.contains(lost[0]["text"].as_str().unwrap()));
    assert_eq!(lost[0]["policy"], Value::Null);
    assert_eq!(lost[0]["remedy"], "cleanup sweep --force");

    fs::write(world.path(".cleanup/promises.jsonl"), "no promise\n").unwrap();
    assert_eq!(codes(&found(&world, "--json").0), ["promises_damaged", "held"]);
    fs::remove_file(world.path(".cleanup/promises.jsonl")).unwrap();

    let begun = r#"{"run_id":"01KDYAK361AVRGGCV3NBWX3QQN","trigger":"schedule",
                    "started_at":"2026-01-02T03:04:05.000Z","policies":[{"name":"out","kind":"files"}]}"#;
    fs::write(world.path(".cleanup/running/01KDYAK361AVRGGCV3NBWX3QQN"), begun).unwrap();
    // It has the line of the hold.
    fs::remove_file(world.path("audit.jsonl")).unwrap();
    fs::create_dir(world.path("audit.jsonl")).unwrap();
    // That the loss is accepted is said as well.
    assert_eq!(codes(&found(&world, "--force --json").0), ["audit", "interrupted", "memory"]);
    assert_eq!(world.left("out"), [""; 0]);
    fs::remove_dir(world.path("audit.jsonl")).unwrap();
    assert_eq!(codes(&found(&world, "--json").0), [""; 0]);
}

#[test]
fn what_two_policies_dispute_and_a_limit_that_is_not_met_are_found() {
    let world = World::with_policy(
        "[files.other]\nroot = \"out\"\ninclude = [\"a*\"]\nmax_age = \"1h\"\n\
         [files.full]\nroot = \"full\"\ninclude = [\"*\"]\nmax_files = 1\nmin_age = \"1h\"",
    );
    world.file("out/a.tmp", 2 * HOUR);
    world.file("full/a", HOUR / 4);
    world.file("full/b", HOUR / 4);
    let (findings, said) = found(&world, "--json");
    assert_eq!(codes(&findings), ["disputed", "disputed", "limit_unmet"], "{said}");
    for finding in findings {
        assert!(said.contains(finding["text"].as_str().unwrap()), "{finding}: {said}");
        assert_eq!(finding["level"], "warning");
    }
}
