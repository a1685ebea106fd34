//! The stream of events.

use std::time::Duration;

use serde_json::json;

use crate::client::Client;
use crate::world::{HOUR, World};

async fn listen(world: &World, last_id: &str) -> Client {
    let mut client = world.connect().await;
    let last_id = if last_id.is_empty() { String::new() } else { format!("Last-Event-ID: {last_id}\r\n") };
    client.send(format!("GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n{last_id}\r\n")).await;
    client.wait_for(": hello").await;
    client
}

fn last_id(text: &str) -> String {
    text.lines().filter_map(|line| line.strip_prefix("id: ")).next_back().unwrap().to_owned()
}

#[tokio::test]
async fn a_listener_hears_of_files_and_sweeps() {
    let world = World::new().await;
    let mut client = listen(&world, "").await;
    world.file("models/<b>\n.step", HOUR);
    let new = json!({ "policy": "temp-models", "path": "<b>\n.step" });
    assert!(world.post("/api/v1/files", &new).await.status < 300);
    let text = client.wait_for("event: registered").await;
    assert!(
        text.contains("HTTP/1.1 200") && text.to_ascii_lowercase().contains("content-type: text/event-stream"),
        "{text}"
    );
    client.wait_for("<b>\\n.step").await;
    world.call("POST", "/cleanup/manual?dry_run=true", &[], "").await.is(200);
    client.wait_for("event: sweep_started").await;
    let text = client.wait_for("event: sweep_ended").await;
    assert!(text.contains("\"dry_run\":true"), "{text}");
}

#[tokio::test]
async fn a_listener_that_comes_back_gets_what_it_missed() {
    let world = World::new().await;
    let mut client = listen(&world, "").await;
    world.post("/api/v1/sweeps?wait=true", &json!({ "dry_run": true })).await.is(200);
    client.wait_for("event: sweep_ended").await;
    let text = client.wait_for("\"totals\"").await;
    let id = last_id(&text);
    drop(client);
    let run = world.post("/api/v1/sweeps?wait=true", &json!({ "dry_run": true })).await.is(200);
    let text = listen(&world, &id).await.wait_for("event: sweep_ended").await;
    assert!(text.contains(run["run_id"].as_str().unwrap()) && !text.contains("lagged"), "{text}");
    for unknown in ["nonsense", "0-1", "ffffffffffffffff-99999999999999999999", "-"] {
        listen(&world, unknown).await.wait_for("event: lagged\ndata: {\"missed\":null}").await;
    }
}

#[tokio::test]
async fn open_streams_end_when_the_service_stops() {
    let world = World::new().await;
    let client = listen(&world, "").await;
    world.stop.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(5), async move {
        let mut client = client;
        client.wait_for("0\r\n\r\n").await
    });
    ended.await.expect("the stream has ended");
}

#[tokio::test]
async fn there_is_an_end_to_how_many_may_listen() {
    let world = World::new().await;
    let mut clients = Vec::new();
    for _ in 0..64 {
        clients.push(listen(&world, "").await);
    }
    let refused = world.get("/api/v1/events").await;
    insta::assert_json_snapshot!(refused.is_problem(503));
    assert_eq!(world.get("/healthz").await.status, 200);
    clients.pop();
    while world.get_head("/api/v1/events").await != 200 {}
}

/// The clock is paused: it runs ahead when nothing else is to be done.
#[tokio::test(start_paused = true)]
async fn a_quiet_stream_shows_that_it_lives() {
    let world = World::new().await;
    let mut client = listen(&world, "").await;
    let begun = tokio::time::Instant::now();
    client.wait_for("\n:\n").await;
    assert!(begun.elapsed() <= Duration::from_secs(16));
}

#[tokio::test]
async fn a_removal_at_its_deadline_is_told_and_counted_once() {
    let world = World::new().await;
    let mut client = listen(&world, "").await;
    world.file("models/part.step", Duration::ZERO);
    let new = json!({ "policy": "temp-models", "path": "part.step", "ttl": 0.01 });
    assert!(world.post("/api/v1/files", &new).await.status < 300);
    let tracker = world.service.generation().tracker.unwrap();
    let remove = move || {
        while tracker.policy("temp-models").unwrap().total_files > 0 {
            tracker.remove_due("temp-models").unwrap();
        }
        // Writes the history, and says so.
        tracker.stop();
    };
    tokio::task::spawn_blocking(remove).await.unwrap();
    assert_eq!(world.count("models"), 0);
    let text = client.wait_for("event: removed").await;
    assert!(text.contains("event: registered"), "{text}");
    client.wait_for("\"lateness_seconds\":").await;
    client.wait_for("\"trigger\":\"deadline\"").await;
    assert_eq!(world.metric("cleanup_files_removed_total{policy=\"temp-models\"}").await, Some(1.0));
    assert_eq!(world.metric("cleanup_deadline_lateness_seconds_count").await, Some(1.0));
    assert!(world.metric("cleanup_last_success_timestamp_seconds{policy=\"temp-models\"}").await.is_some());
}
