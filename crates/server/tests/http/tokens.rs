//! Tokens with names: whose they are stands in everything that they ask for. And one that only reads numbers.

use std::sync::Arc;

use cleanup_engine::Engine;
use cleanup_server::app::access::{Access, TokenError};
use cleanup_server::net::socket::Peer;
use serde_json::{Value, json};

use crate::client::Answer;
use crate::world::{HOUR, Plan, TOKEN, World};

const OPS: &str = "operations-have-this-one";
const DEPLOY: &str = "deployments-have-this-one";
const METRICS: &str = "prometheus-has-this-one";

const CONFIG: &str = r#"
[server]
token_file         = "token"
metrics_token_file = "metrics-token"
token_for          = "everything"

[server.tokens]
ops    = "ops-token"
deploy = "deploy-token"

[audit]
file = "audit.jsonl"

[files.kept]
root    = "kept"
include = ["*"]
max_age = "1h"
dispose = "quarantine"
"#;

fn write_tokens(folder: &std::path::Path) {
    for (name, token) in [("ops-token", OPS), ("deploy-token", DEPLOY), ("metrics-token", METRICS), ("token", TOKEN)] {
        std::fs::write(folder.join(name), token).unwrap();
    }
}

async fn world(peer: Peer) -> World {
    let folder = Arc::new(tempfile::TempDir::new().unwrap());
    for name in ["models", "svgs", "kept"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    write_tokens(folder.path());
    let policies = "[files.temp-models]\nroot = \"models\"\ninclude = [\"*.step\"]\nmax_age = \"30m\"\ntrack = true\n";
    std::fs::write(folder.path().join("cleanup.toml"), format!("{policies}{CONFIG}")).unwrap();
    let world = World::open(folder, peer).await;
    world.start(1000).await;
    world
}

async fn call_as(world: &World, token: &str, method: &str, target: &str, body: &Value) -> Answer {
    let headers = [format!("Authorization: Bearer {token}"), "Content-Type: application/json".to_owned()];
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    let body = if body.is_null() { String::new() } else { body.to_string() };
    world.call(method, target, &headers, &body).await
}

fn audit(world: &World) -> Vec<Value> {
    let text = std::fs::read_to_string(world.path("audit.jsonl")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn every_token_is_good_for_everything_and_none_is_taken_for_another() {
    for peer in [Peer::Loopback, Peer::Remote] {
        let world = world(peer).await;
        for token in [TOKEN, OPS, DEPLOY] {
            call_as(&world, token, "GET", "/cleanup/stats", &Value::Null).await.is(200);
            call_as(&world, token, "POST", "/cleanup/manual", &Value::Null).await.is(200);
        }
        for token in ["", "ops", &OPS[1..], &format!("{OPS}x")] {
            call_as(&world, token, "GET", "/cleanup/stats", &Value::Null).await.is_problem(401);
        }
    }
}

#[tokio::test]
async fn who_asked_stands_in_the_report_the_history_and_the_audit_log() {
    let world = world(Peer::Loopback).await;
    world.file("kept/a", 2 * HOUR);
    let report = call_as(&world, OPS, "POST", "/api/v1/sweeps?wait=true", &Value::Null).await.is(200);
    assert_eq!((&report["asked_by"], &report["totals"]["quarantined"]), (&json!("ops"), &json!(1)), "{report}");
    let swept = report["run_id"].as_str().unwrap();
    let page = call_as(&world, TOKEN, "GET", &format!("/runs/{swept}"), &Value::Null).await;
    assert!(page.body.contains("Started manually, requested by ops"), "{page}");
    let kept = call_as(&world, TOKEN, "GET", &format!("/api/v1/runs/{swept}"), &Value::Null).await.is(200);
    assert_eq!(kept["asked_by"], "ops");

    let back = call_as(&world, DEPLOY, "POST", "/api/v1/restores", &json!({})).await.is(200);
    let restored = back["restore_run_id"].as_str().unwrap();
    let runs = call_as(&world, TOKEN, "GET", "/api/v1/runs", &Value::Null).await.is(200);
    let asked: Vec<_> = runs["runs"].as_array().unwrap().iter().map(|run| (&run["run_id"], &run["asked_by"])).collect();
    assert!(asked.contains(&(&json!(restored), &json!("deploy"))) && asked.contains(&(&json!(swept), &json!("ops"))));

    // Whoever has the token without a name is nobody in particular, also where a plan is carried out.
    world.file("kept/b", 2 * HOUR);
    let plan = call_as(&world, TOKEN, "POST", "/api/v1/plans", &Value::Null).await.is(201);
    let apply = format!("/api/v1/plans/{}/apply?wait=true", plan["plan_id"].as_str().unwrap());
    let applied = call_as(&world, TOKEN, "POST", &apply, &Value::Null).await.is(200);
    assert_eq!((applied.get("asked_by"), &applied["totals"]["quarantined"]), (None, &json!(1)), "{applied}");

    let lines = audit(&world);
    let by = |action: &str, run: &str| {
        let of_run = lines.iter().filter(|line| line["action"] == action && line["run"] == run);
        of_run.map(|line| line["asked_by"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(by("quarantined", swept), [json!("ops")]);
    assert_eq!(by("restored", restored), [json!("deploy"), json!("deploy")], "the file, and the sum");
    assert_eq!(by("quarantined", applied["run_id"].as_str().unwrap()), [Value::Null]);
}

#[tokio::test]
async fn who_asked_for_a_hold_and_for_its_release_is_written_down() {
    let world = world(Peer::Loopback).await;
    world.file("models/part.step", std::time::Duration::ZERO);
    let new = json!({"policy": "temp-models", "path": "part.step"});
    let file = call_as(&world, OPS, "POST", "/api/v1/files", &new).await.is(201);
    let hold = format!("/api/v1/files/{}/hold", file["id"].as_str().unwrap());
    call_as(&world, OPS, "PUT", &hold, &json!({"for": "1d"})).await.is(200);
    let holds = call_as(&world, TOKEN, "GET", "/api/v1/holds", &Value::Null).await.is(200);
    assert_eq!(holds["holds"][0]["asked_by"], "ops", "{holds}");
    call_as(&world, DEPLOY, "DELETE", &hold, &Value::Null).await.is(204);
    let lines: Vec<_> = audit(&world);
    let told: Vec<_> = lines.iter().map(|line| (&line["action"], &line["asked_by"], line.get("run"))).collect();
    assert_eq!(told, [(&json!("held"), &json!("ops"), None), (&json!("released"), &json!("deploy"), None)]);
    assert!(lines[0]["path"].as_str().unwrap().ends_with("/models/part.step") && lines[0]["until"].is_string());
}

#[tokio::test]
async fn a_browser_acts_by_the_name_of_the_token_it_has_shown() {
    let world = world(Peer::Loopback).await;
    let answer = call_as(&world, "", "POST", "/login", &json!({"token": OPS})).await;
    let cookie = format!("Cookie: {}", answer.header("set-cookie").unwrap().split(';').next().unwrap());
    world.file("kept/a", 2 * HOUR);
    let report = world.call("POST", "/api/v1/sweeps?wait=true", &[&cookie], "").await.is(200);
    assert_eq!(report["asked_by"], "ops");
    // Nobody signs in with the token that only reads numbers.
    call_as(&world, "", "POST", "/login", &json!({"token": METRICS})).await.is_problem(401);
}

#[tokio::test]
async fn the_token_for_metrics_reads_numbers_and_nothing_else() {
    for peer in [Peer::Loopback, Peer::Remote] {
        let world = world(peer).await;
        for via in [&[][..], &["X-Forwarded-For: 203.0.113.9"]] {
            let token = format!("Authorization: Bearer {METRICS}");
            let headers: Vec<&str> = via.iter().copied().chain([token.as_str()]).collect();
            let metrics = world.call("GET", "/metrics", &headers, "").await;
            assert_eq!(metrics.status, 200, "{metrics}");
            assert!(metrics.body.contains("cleanup_"));
            let ready = world.call("GET", "/readyz", &headers, "").await.is(200);
            assert!(
                ready["warnings"].is_array(),
                "the tokens' files are readable, which a stranger is not told: {ready}"
            );
            for path in ["/", "/cleanup/stats", "/api/v1/policies", "/openapi.json", "/metrics/", "/api/v1/events"] {
                assert_eq!(world.call("GET", path, &headers, "").await.status, 401, "{path}");
            }
            for (method, path) in [("POST", "/metrics"), ("POST", "/cleanup/manual"), ("DELETE", "/metrics")] {
                assert_eq!(world.call(method, path, &headers, "").await.status, 401, "{method} {path}");
            }
        }
        assert_eq!(world.get("/metrics").await.status, 401);
    }
}

#[tokio::test]
async fn a_token_for_metrics_alone_opens_nothing_else_to_a_proxy() {
    let more = "[server]\nmetrics_token_file = \"token\"".to_owned();
    let world = World::with(Plan { more, ..Plan::default() }).await;
    let headers = ["Via: 1.1 proxy", &format!("Authorization: Bearer {TOKEN}")];
    assert_eq!(world.call("GET", "/metrics", &headers, "").await.status, 200);
    world.call("GET", "/metrics", &headers[..1], "").await.is_problem(401);
    world.call("GET", "/cleanup/stats", &headers, "").await.is_problem(403);
    world.call("POST", "/cleanup/manual", &headers, "").await.is_problem(403);
    assert_eq!(world.get("/metrics").await.status, 200, "a program of this machine needs none, as before");
}

#[test]
fn one_token_in_two_places_is_refused_and_short_ones_are_told_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("cleanup.toml");
    std::fs::write(&config, CONFIG).unwrap();
    let engine = Engine::open(Some(&config)).unwrap();
    let read = |name: &str, token: &str| {
        write_tokens(folder.path());
        std::fs::write(folder.path().join(name), token).unwrap();
        Access::read(engine.config())
    };
    for (name, token) in [("deploy-token", OPS), ("metrics-token", OPS), ("ops-token", TOKEN), ("metrics-token", TOKEN)]
    {
        assert!(matches!(read(name, token), Err(TokenError::Same(..))), "{name}");
    }
    assert!(matches!(read("ops-token", ""), Err(TokenError::Empty(_))));
    for (name, told) in [("ops-token", "`ops`"), ("metrics-token", "for metrics"), ("token", "the token is")] {
        let warnings = read(name, "short").unwrap().warnings().to_vec();
        let of_length: Vec<_> = warnings.iter().filter(|text| text.contains("16 characters")).collect();
        assert!(matches!(of_length[..], [only] if only.contains(told)), "{name}: {warnings:?}");
    }
}

#[tokio::test]
async fn a_token_that_is_taken_back_ends_with_its_sessions() {
    let world = world(Peer::Loopback).await;
    let answer = call_as(&world, "", "POST", "/login", &json!({"token": OPS})).await;
    let cookie = format!("Cookie: {}", answer.header("set-cookie").unwrap().split(';').next().unwrap());
    world.call("GET", "/cleanup/stats", &[&cookie], "").await.is(200);
    let text = std::fs::read_to_string(world.path("cleanup.toml")).unwrap();
    std::fs::write(world.path("cleanup.toml"), text.replace("ops    = \"ops-token\"\n", "")).unwrap();
    let (service, path) = (Arc::clone(&world.service), world.path("cleanup.toml"));
    let reload = move || {
        let engine = Arc::new(Engine::open(Some(&path)).unwrap());
        let access = Access::read(engine.config()).unwrap();
        service.reload(engine, service.generation().tracker.unwrap(), access);
    };
    tokio::task::spawn_blocking(reload).await.unwrap();
    world.call("GET", "/cleanup/stats", &[&cookie], "").await.is_problem(401);
    call_as(&world, OPS, "GET", "/cleanup/stats", &Value::Null).await.is_problem(401);
    call_as(&world, DEPLOY, "GET", "/cleanup/stats", &Value::Null).await.is(200);
}
