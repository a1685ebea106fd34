//! The way over HTTP: the service adds nothing to what the engine does, and loses nothing of it.

use std::sync::Arc;

use cleanup_engine::track::MAX_FILES;
use cleanup_server::net::socket::Peer;
use serde_json::{Value, json};

use crate::world::World;

#[path = "../../../engine/tests/law/gates.rs"]
mod gates;
#[path = "../../../engine/tests/law/table.rs"]
#[allow(dead_code, reason = "here is one way of all")]
mod table;
#[path = "../../../engine/tests/law/traces.rs"]
mod traces;

use self::table::{Gate, Way};
use self::traces::{Mark, Ran};

#[test]
fn a_call_passes_the_same_gates_and_leaves_the_same_traces() {
    let go = |world: &gates::World| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(call(world))
    };
    let cells: Vec<_> = Gate::ALL.iter().flat_map(|gate| traces::try_gate(Way::Http, *gate, &go)).collect();
    traces::judge(&cells);
}

async fn call(law: &gates::World) -> Ran {
    let world = World::open(Arc::clone(&law.folder), Peer::Loopback).await;
    world.start(MAX_FILES).await;
    let mut events = world.connect().await;
    events.send("GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    events.wait_for(": hello").await;
    let metric = async |name: &str| world.metric(&format!("{name}{{policy=\"law\"}}")).await.unwrap_or_default();
    let success = "cleanup_last_success_timestamp_seconds";
    let (before, succeeded_before) = (law.files().len(), metric(success).await);
    let report = world.post("/api/v1/sweeps?wait=true", &json!({ "policies": ["law"] })).await.is(200);
    let gone = before - law.files().len();

    let policy = &report["policies"][0];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let run_id = text(&report["run_id"]);
    let heard = events.wait_for("event: sweep_ended").await;
    let heard = if heard.contains("\"totals\"") { heard } else { events.wait_for("\"totals\"").await };
    let is_told = heard.contains("event: sweep_started") && heard.matches(&run_id).count() >= 2;
    let (removed, held) = (metric("cleanup_files_removed_total").await, metric("cleanup_policy_held").await);
    let succeeded = metric(success).await > succeeded_before;
    #[expect(clippy::cast_precision_loss, clippy::float_cmp, reason = "whole numbers, and a few")]
    let is_counted = removed == gone as f64 && (held > 0.0) == (policy["status"] == "held");
    let is_shown = world.get(&format!("/api/v1/runs/{run_id}")).await.is(200) == report;
    let event = if is_told && is_counted && succeeded == (policy["status"] == "ok") && is_shown {
        Mark::Left
    } else {
        Mark::Wrong(format!("{removed} removed, held {held}, succeeded {succeeded}, shown {is_shown}: {heard}"))
    };
    let status = [text(&policy["status"]), text(&policy["skipped"])].join(" ");
    Ran {
        run_id: Some(run_id),
        status: status.trim_end().to_owned(),
        message: text(&policy["message"]),
        in_sum: policy["purged"].as_u64().unwrap(),
        notes: report["notes"].as_array().into_iter().flatten().map(text).collect(),
        event,
    }
}
