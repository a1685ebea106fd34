//! Whether the service lives, and whether it is ready.

use std::os::unix::fs::PermissionsExt as _;

use cleanup_server::listen::Peer;
use serde_json::json;

use crate::world::{HOUR, Plan, World};

#[tokio::test]
async fn a_service_that_starts_lives_and_is_not_ready() {
    let world = World::with(Plan { starts: false, ..Plan::default() }).await;
    assert_eq!(world.get("/healthz").await.body, "ok\n");
    insta::assert_json_snapshot!("starting", world.get("/readyz").await.is_problem(503));
    world.start(10).await;
    assert_eq!(world.get("/readyz").await.is(200)["status"], "ready");
}

#[tokio::test]
async fn a_database_that_is_away_is_a_reason_and_strangers_are_not_told_which() {
    let database = "[sessions.away]\nurl = \"postgresql://user:secret@127.0.0.1:1/x\"\ntable = \"t\"\nid_column = \"i\"\n\
                    activity_column = \"a\"\nmax_idle = \"1h\"\n";
    let world = World::with(Plan { more: database.to_owned(), ..Plan::default() }).await;
    world.get("/readyz").await.is(200);
    let report = world.post("/api/v1/sweeps?wait=true", &json!({})).await.is(200);
    assert_eq!(report["status"], "ok", "a database that is away is no failure");
    let answer = world.get("/readyz").await;
    let problem = answer.is(503);
    assert_eq!(
        (&problem["reasons"][0]["code"], &problem["reasons"][0]["policy"]),
        (&json!("database_away"), &json!("away"))
    );
    assert!(!answer.body.contains("secret"), "{answer}");
    assert_eq!(world.metric("cleanup_errors_total{policy=\"away\",kind=\"database_away\"}").await, Some(1.0));

    let more = format!("{database}[server]\ntoken_file = \"token\"");
    let world = World::with(Plan { more, peer: Peer::Remote, ..Plan::default() }).await;
    world.service.sweep_scheduled("away").await.unwrap();
    insta::assert_json_snapshot!("stranger", world.get("/readyz").await.is_problem(503));
}

#[tokio::test]
async fn a_memory_that_cannot_be_written_is_a_reason() {
    let world =
        World::with(Plan { more: "[state]\nurl = \"sqlite:blocked/state.db\"".to_owned(), ..Plan::default() }).await;
    let _ = std::fs::remove_dir_all(world.path("blocked"));
    std::fs::write(world.path("blocked"), "no folder").unwrap();
    world.file("svgs/old.svg", 2 * HOUR);
    world.post("/api/v1/sweeps?wait=true", &json!({ "policies": ["svgs"] })).await.is(200);
    assert_eq!(world.count("svgs"), 0, "it sweeps all the same");
    let problem = world.get("/readyz").await.is_problem(503);
    assert_eq!(problem["reasons"][0]["code"], "memory");
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
