//! Whether the service lives, and whether it is ready.

use std::os::unix::fs::PermissionsExt as _;

use cleanup_server::net::socket::Peer;
use serde_json::json;

use crate::world::{HOUR, Plan, World};

#[tokio::test]
async fn a_service_that_starts_lives_and_is_not_ready() {
    let world = World::with(Plan { starts: false, ..Plan::default() }).await;
    assert_eq!(world.get("/healthz").await.body, "ok\n");
    let mut problem = world.get("/readyz").await.is_problem(503);
    assert!(problem["reasons"][0]["since"].take().is_string());
    insta::assert_json_snapshot!("starting", problem);
    world.start(10).await;
    assert_eq!(world.get("/readyz").await.is(200)["status"], "ready");
}

#[tokio::test]
async fn a_database_that_is_away_is_said_and_strangers_are_not_told_which() {
    let database = "[sessions.away]\nurl = \"postgresql://user:secret@127.0.0.1:1/x\"\ntable = \"t\"\nid_column = \"i\"\n\
                    activity_column = \"a\"\nmax_idle = \"1h\"\n";
    let world = World::with(Plan { more: database.to_owned(), ..Plan::default() }).await;
    world.get("/readyz").await.is(200);
    let report = world.post("/api/v1/sweeps?wait=true", &json!({})).await.is(200);
    assert_eq!(report["status"], "ok", "a database that is away is no failure");
    let answer = world.get("/readyz").await;
    let ready = answer.is(200);
    let warning = &ready["warnings"][0];
    assert_eq!((&warning["code"], &warning["policy"]), (&json!("database_away"), &json!("away")));
    assert_eq!((&warning["text"], &warning["level"]), (&report["policies"][2]["message"], &json!("warning")));
    assert!(warning["since"].is_string() && warning["message"] == warning["text"], "{warning}");
    assert!(!answer.body.contains("secret"), "{answer}");
    for strict in ["/readyz?strict", "/readyz?strict=true"] {
        assert_eq!(world.get(strict).await.is_problem(503)["warnings"][0]["code"], "database_away", "{strict}");
    }
    world.get("/readyz?strict=false").await.is(200);
    world.get("/readyz?strict=perhaps").await.is_problem(422);
    assert_eq!(world.metric("cleanup_finding{code=\"database_away\",policy=\"away\"}").await, Some(1.0));
    assert_eq!(world.metric("cleanup_errors_total{policy=\"away\",kind=\"database_away\"}").await, Some(1.0));

    let more = format!("{database}[server]\ntoken_file = \"token\"");
    let world = World::with(Plan { more, peer: Peer::Remote, ..Plan::default() }).await;
    world.service.sweep_scheduled("away").await.unwrap();
    assert_eq!(world.get("/readyz").await.is(200)["warnings"], json!(null));
    insta::assert_json_snapshot!("stranger", world.get("/readyz?strict").await.is_problem(503));
}

#[tokio::test]
async fn a_service_of_which_no_policy_can_run_is_not_ready() {
    let world = World::new().await;
    world.get("/readyz").await.is(200);
    for root in ["models", "svgs"] {
        std::fs::remove_dir_all(world.path(root)).unwrap();
        world.post("/api/v1/sweeps?wait=true", &json!({})).await.is(200);
    }
    let problem = world.get("/readyz").await.is(503);
    let reason =
        |number: usize| (problem["reasons"][number]["code"].clone(), problem["reasons"][number]["policy"].clone());
    assert_eq!(
        [reason(0), reason(1)],
        [(json!("root_missing"), json!("temp-models")), (json!("root_missing"), json!("svgs"))],
        "{problem}"
    );
    assert!(problem["reasons"][0]["remedy"].as_str().unwrap().starts_with("mkdir -p "), "{problem}");
}

#[tokio::test]
async fn a_memory_that_cannot_be_written_is_a_reason() {
    let world =
        World::with(Plan { more: "[state]\nurl = \"sqlite:blocked/state.db\"".to_owned(), ..Plan::default() }).await;
    let _ = std::fs::remove_dir_all(world.path("blocked"));
    std::fs::write(world.path("blocked"), "no folder").unwrap();
    world.file("svgs/old.svg", 2 * HOUR);
    let report = world.post("/api/v1/sweeps?wait=true", &json!({ "policies": ["svgs"] })).await.is(200);
    assert_eq!(world.count("svgs"), 0, "it sweeps all the same");
    let problem = world.get("/readyz").await.is(503);
    let reason = &problem["reasons"][0];
    assert_eq!((&reason["code"], &reason["text"]), (&json!("memory"), &report["not_remembered"]), "{problem}");
    assert_eq!(world.metric("cleanup_finding{code=\"memory\",policy=\"\"}").await, Some(1.0));
    assert!(world.get("/").await.body.contains("No state is kept"));
    world.get("/api/v1/runs").await.is_problem(503);
}

#[tokio::test]
async fn what_is_not_as_good_as_it_could_be_is_a_warning() {
    let world = World::with_token(Peer::Loopback).await;
    std::fs::set_permissions(world.path("token"), std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::remove_dir(world.path("models")).unwrap();
    let ready = world.get("/readyz").await.is(200);
    assert!(
        ready["warnings"].as_array().is_some_and(|warnings| warnings.iter().any(|it| it["code"] == "token")),
        "{ready}"
    );
}

#[tokio::test]
async fn a_root_that_is_missing_is_named_from_the_start_until_it_is_there() {
    let policy = |name: &str, keys: &str| {
        format!("[files.{name}]\nroot = \"{name}\"\ninclude = [\"*\"]\nmax_age = \"1h\"\n{keys}\n")
    };
    let more = policy("typo", "")
        + &policy("watched", "track = true")
        + &policy("guest", "root_may_be_missing = true")
        + &policy("tracked-guest", "root_may_be_missing = true\ntrack = true");
    let world = World::with(Plan { more, ..Plan::default() }).await;
    let missing = async || {
        let ready = world.get("/readyz").await.is(200);
        let warnings = ready["warnings"].as_array().cloned().unwrap_or_default();
        let named = |it: &serde_json::Value| {
            (it["code"].as_str().unwrap().to_owned(), it["policy"].as_str().unwrap().to_owned())
        };
        warnings.iter().map(named).collect::<Vec<_>>()
    };
    let is = |name: &str| ("root_missing".to_owned(), name.to_owned());
    assert_eq!(missing().await, [is("typo"), is("watched")]);
    assert_eq!(world.metric("cleanup_root_missing{policy=\"typo\"}").await, Some(1.0));
    assert_eq!(world.metric("cleanup_root_missing{policy=\"guest\"}").await, Some(0.0));
    let page = world.get("/").await.body;
    assert!(page.contains("no run has seen it yet"), "{page}");

    std::fs::create_dir(world.path("typo")).unwrap();
    world.post("/api/v1/sweeps?wait=true", &json!({ "policies": ["typo"] })).await.is(200);
    assert_eq!(missing().await, [is("watched")]);
    assert_eq!(world.metric("cleanup_root_missing{policy=\"typo\"}").await, Some(0.0));
    std::fs::remove_dir(world.path("typo")).unwrap();
    let report = world.post("/api/v1/sweeps?wait=true", &json!({ "policies": ["typo"] })).await.is(200);
    assert_eq!(report["policies"][0]["root_missing"], true, "{report}");
    assert_eq!(missing().await, [is("typo"), is("watched")]);
}

#[tokio::test]
async fn a_rule_that_was_changed_between_two_starts_is_named_before_anything_is_due_again() {
    let names: Vec<_> = (0..200).map(|number| -> &'static str { format!("slow/{number}.svg").leak() }).collect();
    let more = "[files.slow]\nroot = \"slow\"\ninclude = [\"*.svg\"]\nmax_age = \"30d\"\ntrack = true";
    let world = World::with(Plan { more: more.to_owned(), ..Plan::default() }).await;
    std::fs::create_dir(world.path("slow")).unwrap();
    for name in names {
        world.file(name, 48 * HOUR);
    }
    drop(world.again().await);
    let config = std::fs::read_to_string(world.path("cleanup.toml")).unwrap();
    std::fs::write(world.path("cleanup.toml"), config.replace("30d", "1h")).unwrap();
    let again = world.again().await;
    let warnings = again.get("/readyz").await.is(200)["warnings"].clone();
    assert_eq!((&warnings[0]["code"], &warnings[0]["policy"]), (&json!("held"), &json!("slow")), "{warnings}");
    assert!(warnings[0]["message"].as_str().unwrap().contains("max_age was changed"), "{warnings}");
    assert_eq!(again.count("slow"), 200);
}

#[tokio::test]
async fn a_service_that_stops_is_not_ready() {
    let world = World::new().await;
    world.stop.cancel();
    assert_eq!(world.get("/readyz").await.is_problem(503)["reasons"][0]["code"], "stopping");
    assert_eq!(world.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn policies_numbers_and_forecast_come_from_memory() {
    let world = World::with(Plan { files: vec![("models/a.step", HOUR / 4)], ..Plan::default() }).await;
    let policies = world.get("/api/v1/policies").await.is(200);
    let names: Vec<_> =
        policies["policies"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["temp-models", "svgs"]);
    let one = world.get("/api/v1/policies/temp-models").await.is(200);
    assert_eq!((&one["tracked"]["total_files"], &one["max_age_seconds"]), (&json!(1), &json!(1800.0)));
    assert_eq!(world.get("/api/v1/stats").await.is(200)["tracked_files"], 1);
    let forecast = world.get("/api/v1/forecast").await.is(200);
    let (tracked, other) = (&forecast["policies"][0], &forecast["policies"][1]);
    assert_eq!((tracked["hours"].as_array().unwrap().len(), &tracked["hours"][0]["files"]), (24, &json!(1)));
    assert!(other["hours"].is_null() && other["reason"].is_string());
    let page = world.get("/").await;
    assert!(page.status == 200 && page.body.contains("/openapi.json"), "{page}");
    assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
}
