//! The stream of events.

use std::time::Duration;

use serde_json::json;

use crate::client::Client;
use crate::world::{HOUR, Plan, World};

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

async fn listen_to(world: &World, query: &str) -> Client {
    let mut client = world.connect().await;
    client.send(format!("GET /api/v1/events{query} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
    client.wait_for(": hello").await;
    client
}

/// The names of the events in a text, in their order.
fn kinds(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.strip_prefix("event: ")).collect()
}

#[tokio::test]
async fn a_listener_hears_of_the_kinds_and_policies_that_it_asked_for_and_of_no_others() {
    let policy = "[files.kept]\nroot = \"kept\"\ninclude = [\"*\"]\nmax_age = \"1h\"\ndispose = \"quarantine\"\n";
    let world = World::with(Plan { more: policy.to_owned(), ..Plan::default() }).await;
    std::fs::create_dir(world.path("kept")).unwrap();
    for name in ["kept/a", "svgs/b.svg"] {
        world.file(name, 2 * HOUR);
    }
    let mut all = listen_to(&world, "").await;
    let mut of_kept = listen_to(&world, "?policy=kept").await;
    let mut of_both = listen_to(&world, "?policy=kept&policy=svgs&kind=removed&kind=sweep_ended").await;
    let mut of_undo = listen_to(&world, "?kind=restore&kind=hold&kind=release").await;

    let hold = json!({"policy": "svgs", "path": "c.svg", "for": "1d"});
    world.post("/api/v1/holds", &hold).await.is(200);
    world.call("DELETE", "/api/v1/holds?policy=svgs&path=c.svg", &[], "").await.is(204);
    let swept = world.post("/api/v1/sweeps?wait=true", &json!({"policies": ["kept", "svgs"]})).await.is(200);
    let back = world.post("/api/v1/restores", &json!({})).await.is(200);
    world.call("POST", "/cleanup/manual?policy=temp-models", &[], "").await.is(200);
    let run = |answer: &serde_json::Value, key: &str| answer[key].as_str().unwrap().to_owned();
    let (swept, restored) = (run(&swept, "run_id"), run(&back, "restore_run_id"));

    // Everything that the others do not hear is before this one.
    let text = all.wait_for("\"policies\":[\"temp-models\"]}\n\n").await;
    assert!(text.contains(&restored));
    let text = of_kept.wait_for("event: restore").await;
    assert_eq!(kinds(&text), ["sweep_started", "removed", "sweep_ended", "restore"], "{text}");
    assert!(text.contains("\"path\":\"a\"") && !text.contains("b.svg"), "{text}");
    let text = of_both.wait_for("event: sweep_ended").await;
    assert_eq!(kinds(&text), ["removed", "removed", "sweep_ended"], "{text}");
    assert!(text.contains(&format!("\"run_id\":\"{swept}\"")), "{text}");
    let text = of_undo.wait_for("\"restored\":1").await;
    assert_eq!(kinds(&text), ["hold", "release", "restore"], "{text}");
    assert!(text.contains("/svgs/c.svg\",\"policies\":[\"svgs\"],\"until\":\"") && text.contains(&restored), "{text}");
}

#[tokio::test]
async fn what_was_missed_is_filtered_as_well_and_what_makes_no_sense_is_refused() {
    let world = World::new().await;
    let mut client = listen_to(&world, "?kind=sweep_ended").await;
    world.post("/api/v1/sweeps?wait=true", &json!({ "dry_run": true })).await.is(200);
    let id = last_id(&client.wait_for("\"totals\"").await);
    world.post("/api/v1/sweeps?wait=true", &json!({ "dry_run": true })).await.is(200);
    let mut again = world.connect().await;
    let call =
        format!("GET /api/v1/events?kind=sweep_ended HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: {id}\r\n\r\n");
    again.send(call).await;
    assert_eq!(kinds(&again.wait_for("\"totals\"").await), ["sweep_ended"]);
    for (query, status) in [
        ("?kind=nonsense", 422),
        ("?kind=", 422),
        ("?kind=lagged", 422),
        ("?kinds=hold", 422),
        ("?policy=nosuch", 404),
        ("?policy=", 404),
    ] {
        world.get(&format!("/api/v1/events{query}")).await.is_problem(status);
    }
}

#[tokio::test]
async fn a_large_sweep_is_told_file_by_file_for_its_beginning_only() {
    let world = World::new().await;
    for number in 0..150 {
        world.file(&format!("svgs/{number}.svg"), 2 * HOUR);
    }
    let mut client = listen_to(&world, "?policy=svgs").await;
    world.post("/api/v1/sweeps?wait=true", &json!({"policies": ["svgs"]})).await.is(200);
    let text = client.wait_for("\"totals\"").await;
    assert_eq!(kinds(&text).iter().filter(|kind| **kind == "removed").count(), 100);
    assert!(text.contains("\"removed\":150"), "the sum is whole: {text}");
}
