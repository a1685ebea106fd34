//! Plans over HTTP: made, read, carried out to the letter, and refused when they no longer count.

use serde_json::{Value, json};

use crate::world::{HOUR, Plan, World};

async fn planned() -> (World, String) {
    let files = vec![("models/a.step", HOUR), ("models/b.step", HOUR)];
    let world = World::with(Plan { files, ..Plan::default() }).await;
    let plan = world.call("POST", "/api/v1/plans", &[], "").await.is(201);
    assert_eq!(plan["entries"], 2, "{plan}");
    let id = plan["plan_id"].as_str().unwrap().to_owned();
    (world, id)
}

#[tokio::test]
async fn a_plan_is_read_and_then_carried_out_to_the_letter() {
    let (world, id) = planned().await;
    assert_eq!(world.get("/api/v1/plans").await.is(200)["plans"].as_array().unwrap().len(), 1);
    let answer = world.get(&format!("/api/v1/plans/{id}")).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/jsonl")));
    // Between the lines stand the lengths of the chunks.
    let objects = answer.body.lines().filter(|line| line.starts_with('{'));
    let lines: Vec<Value> = objects.map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().filter(|line| line.get("remove").is_some()).count(), 2);
    assert_eq!(lines.last().unwrap()["end"]["entries"], 2);
    assert_eq!(world.count("models"), 2, "nothing has gone yet");

    std::fs::write(world.path("models/a.step"), "written since").unwrap();
    let report = world.call("POST", &format!("/api/v1/plans/{id}/apply?wait=true"), &[], "").await.is(200);
    assert_eq!((&report["totals"]["removed"], &report["policies"][0]["changed"]), (&json!(1), &json!(1)), "{report}");
    assert_eq!(world.count("models"), 1);
    let run = world.get(&format!("/api/v1/runs/{}", report["run_id"].as_str().unwrap())).await.is(200);
    assert_eq!(run["totals"]["removed"], 1);
}

#[tokio::test]
async fn a_plan_that_was_dropped_or_never_was_is_unknown() {
    let (world, id) = planned().await;
    assert_eq!(world.call("DELETE", &format!("/api/v1/plans/{id}"), &[], "").await.status, 204);
    world.call("DELETE", &format!("/api/v1/plans/{id}"), &[], "").await.is_problem(404);
    world.get(&format!("/api/v1/plans/{id}")).await.is_problem(404);
    world.call("POST", &format!("/api/v1/plans/{id}/apply"), &[], "").await.is_problem(404);
    world.get("/api/v1/plans/%1b%5b31m").await.is_problem(404);
    assert_eq!(world.count("models"), 2);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let (world, _) = planned().await;
    let json = ["Content-Type: application/json"];
    for (body, status) in [
        (r#"{"policies":["nothing"]}"#, 404),
        (r#"{"valid_for":0}"#, 422),
        (r#"{"valid_for":"-1h"}"#, 422),
        (r#"{"what":1}"#, 422),
        ("{", 400),
    ] {
        world.call("POST", "/api/v1/plans", &json, body).await.is_problem(status);
    }
    world.call("GET", "/api/v1/plans/x/apply", &[], "").await.is_problem(405);
}
