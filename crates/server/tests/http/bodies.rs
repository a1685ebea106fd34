//! Bodies that are too large, too slow, too deep, or no bodies at all.

use serde_json::{Value, json};

use crate::world::{HOUR, Plan, World};

const JSON: &str = "Content-Type: application/json";

#[tokio::test]
async fn a_body_over_64_kib_is_refused_by_its_announcement() {
    let world = World::new().await;
    for (target, method) in [("/api/v1/files", "POST"), ("/cleanup/manual", "POST"), ("/cleanup/stats", "GET")] {
        let length = "Content-Length: 10737418240";
        let answer = world.call(method, target, &[JSON, length], "").await;
        assert_eq!(answer.header("connection"), Some("close"));
        insta::allow_duplicates! { insta::assert_json_snapshot!("too_large", answer.is_problem(413)) }
    }
    assert_eq!(world.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn endless_chunks_are_cut_off() {
    let world = World::new().await;
    let mut client = world.connect().await;
    let head =
        format!("POST /api/v1/files HTTP/1.1\r\nHost: localhost\r\n{JSON}\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send(head).await;
    let chunk = format!("4000\r\n{}\r\n", " ".repeat(0x4000));
    let mut sent = 0;
    while sent < 4096 && client.send(&chunk).await {
        sent += 1;
        tokio::task::yield_now().await;
    }
    assert!(sent < 4096, "64 MiB were taken");
    assert_eq!(world.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn a_chunked_body_that_is_too_large_is_413() {
    let world = World::new().await;
    let body = format!("11000\r\n{}\r\n0\r\n\r\n", " ".repeat(0x11000));
    let head =
        format!("POST /api/v1/files HTTP/1.1\r\nHost: localhost\r\n{JSON}\r\nTransfer-Encoding: chunked\r\n\r\n");
    world.raw(head + &body).await.is_problem(413);
}

/// The clock is paused: it runs ahead when nothing else is to be done.
#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_408() {
    let world = World::new().await;
    let before = tokio::time::Instant::now();
    let mut client = world.connect().await;
    client
        .send(format!("POST /api/v1/files HTTP/1.1\r\nHost: localhost\r\n{JSON}\r\nContent-Length: 9\r\n\r\n{{"))
        .await;
    let text = client.wait_for("\r\n\r\n{").await;
    assert!(text.starts_with("HTTP/1.1 408"), "{text}");
    assert!(before.elapsed() < std::time::Duration::from_secs(20));
}

#[tokio::test]
async fn what_is_no_json_is_400_and_what_is_the_wrong_json_is_422() {
    let world = World::new().await;
    for body in ["{", "", "nonsense", "{\"policy\":}", "{\"policy\":\"a\"} x", "\u{feff}{}"] {
        let answer = world.call("POST", "/api/v1/files", &[JSON], body).await;
        answer.is_problem(400);
    }
    for body in [
        "[]",
        "7",
        "{}",
        "{\"policy\":1}",
        "{\"policy\":\"temp-models\",\"path\":\"a.step\",\"colour\":1}",
        "{\"policy\":\"temp-models\",\"path\":\"\\ud800\"}",
        "{\"policy\":\"temp-models\",\"path\":\"a.step\",\"path\":\"b.step\"}",
        "{\"policy\":\"temp-models\",\"path\":\"a.step\",\"path_bytes\":\"YQ==\"}",
        "{\"policy\":\"temp-models\",\"path_bytes\":\"!\"}",
    ] {
        world.call("POST", "/api/v1/files", &[JSON], body).await.is_problem(422);
    }
    insta::assert_json_snapshot!("no_json", world.call("POST", "/api/v1/files", &[JSON], "{").await.is_problem(400));
    let unknown = world.post("/api/v1/files", &json!({ "policy": "x", "file": "y" })).await;
    insta::assert_json_snapshot!("unknown_key", unknown.is_problem(422));
}

/// Every call that the description says takes JSON, each with an array that would be an object by position.
#[tokio::test]
async fn an_array_is_never_taken_for_an_object() {
    let world = World::with(Plan { files: vec![("svgs/old.svg", 2 * HOUR)], ..Plan::default() }).await;
    let document: Value = serde_json::from_str(cleanup_server::web::document()).unwrap();
    let mut calls = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let takes_json = !operation["requestBody"]["content"]["application/json"].is_null();
            if takes_json {
                calls.push((method.to_uppercase(), path.replace("{id}", "temp-models.YQ")));
            }
        }
    }
    assert!(calls.len() >= 6, "{calls:?}");
    let bodies = [
        "[]",
        " []",
        "[[]]",
        "[[],true]",
        "[[\"svgs\"],false,true]",
        "[\"temp-models\",\"a.step\"]",
        "[\"1h\"]",
        "[\"token\"]",
        "[null,null,[],null,false]",
        "null",
        "7",
        "\"x\"",
        "true",
    ];
    for (method, target) in &calls {
        for body in bodies {
            let problem = world.call(method, target, &[JSON], body).await.is_problem(422);
            assert_eq!(problem["type"], "/problems/bad-value", "{method} {target} {body}");
        }
    }
    let runs = world.get("/api/v1/runs").await.is(200);
    assert_eq!((&runs["runs"], &runs["running"]), (&json!([]), &Value::Null), "no sweep was started");
    assert_eq!(world.count("svgs"), 1);
    for body in ["{}", " {}", "\n{\"dry_run\":true}"] {
        world.call("POST", "/api/v1/sweeps?wait=true", &[JSON], body).await.is(200);
    }
    world.call("POST", "/api/v1/sweeps?wait=true", &[], "").await.is(200);
}

#[tokio::test]
async fn no_depth_of_json_is_too_deep_to_refuse() {
    let world = World::new().await;
    for open in ["[", "{\"a\":"] {
        let deep = open.repeat(60_000 / open.len());
        for body in [deep.clone(), format!("{{\"policy\":{deep}"), format!("{{\"colour\":{deep}")] {
            let answer = world.call("POST", "/api/v1/files", &[JSON], &body).await;
            assert!(matches!(answer.status, 400 | 422), "{answer}");
        }
        let answer = world.call("POST", "/api/v1/files", &[JSON], &open.repeat(100_000)).await;
        answer.is_problem(413);
    }
    assert_eq!(world.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn only_plain_json_is_taken() {
    let world = World::new().await;
    let gzip = world.call("POST", "/api/v1/files", &[JSON, "Content-Encoding: gzip"], "{}").await;
    insta::assert_json_snapshot!("gzip", gzip.is_problem(415));
    for kind in ["Content-Type: text/plain", "Content-Type: application/x-www-form-urlencoded", "X-None: 1"] {
        world.call("POST", "/api/v1/files", &[kind], "{}").await.is_problem(415);
    }
    let with_charset = "Content-Type: application/json; charset=utf-8";
    world.call("POST", "/api/v1/sweeps?wait=true", &[with_charset], "{\"dry_run\":true}").await.is(200);
}

#[tokio::test]
async fn two_lengths_are_none() {
    let world = World::new().await;
    let call = format!(
        "POST /api/v1/files HTTP/1.1\r\nHost: localhost\r\n{JSON}\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}"
    );
    assert_eq!(world.raw(call).await.status, 400);
    assert_eq!(world.get("/healthz").await.status, 200);
}
