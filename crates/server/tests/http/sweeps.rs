//! Sweeps: one of each policy at a time, whoever asks, and whoever goes away.

use cleanup_core::report::Trigger;
use cleanup_core::sweep::Mode;
use cleanup_server::app::error::AppError;
use cleanup_server::app::sweeps::SweepRequest;
use serde_json::{Value, json};

use crate::world::{HOUR, Plan, World};

fn request(policies: &[&str], mode: Mode) -> SweepRequest {
    let policies = policies.iter().map(|&name| name.to_owned()).collect();
    SweepRequest { policies, mode, include_archives: false, trigger: Trigger::Manual, asked_by: None, plan: None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_calls_at_once_count_each_file_once() {
    let world = std::sync::Arc::new(World::with(Plan { old_models: 500, ..Plan::default() }).await);
    let calls = (0..100).map(|_| {
        let world = std::sync::Arc::clone(&world);
        tokio::spawn(async move { world.call("POST", "/cleanup/manual", &[], "").await.is(200) })
    });
    for call in calls.collect::<Vec<_>>() {
        assert_eq!(call.await.unwrap()["status"], "success");
    }
    assert_eq!(world.count("models"), 0);
    assert_eq!(world.metric("cleanup_files_removed_total{policy=\"temp-models\"}").await, Some(500.0));
    let runs = world.get("/api/v1/runs").await.is(200);
    let removed: u64 = runs["runs"].as_array().unwrap().iter().map(|run| run["removed"].as_u64().unwrap()).sum();
    assert_eq!(removed, 500);
}

#[tokio::test]
async fn who_asks_for_what_is_being_swept_joins_it() {
    let world =
        World::with(Plan { files: vec![("models/old.step", HOUR), ("svgs/a.svg", 2 * HOUR)], ..Plan::default() }).await;
    // Nothing is awaited in between, so the first sweep has not even begun.
    let models = world.service.sweep(&request(&["temp-models"], Mode::Apply)).unwrap();
    let again = world.service.sweep(&request(&["temp-models"], Mode::Apply)).unwrap();
    let all = world.service.sweep(&request(&[], Mode::Apply)).unwrap();
    let dry = world.service.sweep(&request(&[], Mode::Plan)).unwrap();
    let dry_again = world.service.sweep(&request(&[], Mode::Plan)).unwrap();
    assert_eq!(models.run_id(), again.run_id());
    assert_ne!(all.run_id(), models.run_id());
    assert_eq!(dry.run_id(), dry_again.run_id());
    assert_ne!(dry.run_id(), all.run_id());

    let (one, both, plan) = (models.report().await, all.report().await, dry.report().await);
    assert_eq!((one.totals.removed, again.report().await), (1, one.clone()));
    let names: Vec<_> = both.policies.iter().map(|policy| (policy.name.as_str(), policy.counts.removed)).collect();
    assert_eq!(names, [("temp-models", 1), ("svgs", 1)], "the answer covers what it joined");
    assert!(plan.dry_run && plan.totals.removed == 0);
    assert_eq!(world.metric("cleanup_files_removed_total{policy=\"temp-models\"}").await, Some(1.0));
}

#[tokio::test]
async fn a_sweep_with_other_archives_waits_instead_of_joining() {
    let world = World::with(Plan { files: vec![("svgs/keep-a.svg", 2 * HOUR)], ..Plan::default() }).await;
    let plain = world.service.sweep(&request(&["svgs"], Mode::Apply)).unwrap();
    let with_archives = SweepRequest { include_archives: true, ..request(&["svgs"], Mode::Apply) };
    let archives = world.service.sweep(&with_archives).unwrap();
    assert_ne!(plain.run_id(), archives.run_id());
    let (plain, archives) = (plain.report().await, archives.report().await);
    assert_eq!((plain.totals.removed, archives.totals.removed), (0, 1));
    assert_eq!(archives.policies[0].skipped, None, "it was not turned away by the lock");
}

#[tokio::test]
async fn a_run_can_be_followed_from_its_start() {
    let world = World::with(Plan { files: vec![("models/old.step", HOUR)], ..Plan::default() }).await;
    let answer = world.post("/api/v1/sweeps", &json!({ "policies": ["temp-models"] })).await;
    let accepted = answer.is(202);
    let location = answer.header("location").unwrap().to_owned();
    assert_eq!(location, format!("/api/v1/runs/{}", accepted["run_id"].as_str().unwrap()));
    assert_eq!(accepted["policies"][0]["name"], "temp-models");
    world.service.drained().await;
    let run = world.get(&location).await.is(200);
    assert_eq!((&run["status"], &run["totals"]["removed"]), (&json!("ok"), &json!(1)));
    assert_eq!(world.get("/api/v1/runs").await.is(200)["runs"][0]["run_id"], accepted["run_id"]);
}

#[tokio::test]
async fn a_report_is_waited_for_when_asked() {
    let world = World::with(Plan { files: vec![("models/old.step", HOUR)], ..Plan::default() }).await;
    let report = world.post("/api/v1/sweeps?wait=true", &json!({ "dry_run": true })).await.is(200);
    assert_eq!((&report["dry_run"], &report["totals"]["due"]), (&json!(true), &json!(1)));
    let id = report["run_id"].as_str().unwrap();
    assert_eq!(world.get(&format!("/api/v1/runs/{id}")).await.is(200), report, "a dry run is known for a while");
    let empty = world.call("POST", "/api/v1/sweeps?wait=true", &[], "").await.is(200);
    assert_eq!(empty["totals"]["removed"], 1, "no body means every enabled policy");
    world.post("/api/v1/sweeps", &json!({ "policies": ["no"] })).await.is_problem(404);
    world.post("/api/v1/sweeps", &json!({ "force": true })).await.is_problem(422);
    world.get("/api/v1/runs/01ARZ3NDEKTSV4RRFFQ69G5FAV").await.is_problem(404);
    world.get("/api/v1/runs/0").await.is_problem(404);
}

#[tokio::test]
async fn what_another_process_sweeps_is_said_to_be_locked() {
    let world = World::with(Plan { files: vec![("models/old.step", HOUR)], ..Plan::default() }).await;
    world.post("/api/v1/sweeps?wait=true", &json!({})).await.is(200);
    world.file("svgs/next.svg", 2 * HOUR);
    let locks = world.path(".cleanup/locks");
    let held: Vec<_> =
        std::fs::read_dir(locks).unwrap().map(|entry| std::fs::File::open(entry.unwrap().path()).unwrap()).collect();
    assert!(!held.is_empty());
    for lock in &held {
        lock.lock().unwrap();
    }
    let report = world.post("/api/v1/sweeps?wait=true", &json!({ "policies": ["svgs"] })).await.is(200);
    assert_eq!(
        (&report["policies"][0]["status"], &report["policies"][0]["skipped"]),
        (&json!("skipped"), &json!("locked"))
    );
    assert_eq!(world.count("svgs"), 1);
}

#[tokio::test]
async fn a_sweep_goes_on_when_its_caller_goes_away() {
    let world = World::with(Plan { old_models: 90, ..Plan::default() }).await;
    let mut events = world.connect().await;
    events.send("GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    events.wait_for(": hello").await;
    let mut client = world.connect().await;
    client.send("POST /cleanup/manual HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    events.wait_for("event: sweep_started").await;
    drop(client);
    events.wait_for("event: sweep_ended").await;
    world.service.drained().await;
    assert_eq!(world.count("models"), 0);
    assert_eq!(world.get("/api/v1/runs").await.is(200)["runs"][0]["removed"], 90);
}

#[tokio::test]
async fn a_brake_that_holds_a_policy_back_is_said_to_the_first_clients_too() {
    let more = "[files.braked]\nroot = \"braked\"\ninclude = [\"*\"]\nmax_age = \"1m\"\nmax_removal_percent = 10";
    let files = (0..200).map(|number| -> (&'static str, _) { (format!("braked/{number}").leak(), HOUR) }).collect();
    let world = World::with(Plan { files, more: more.to_owned(), ..Plan::default() }).await;
    let answer = world.call("POST", "/cleanup/manual?policy=braked", &[], "").await.is(200);
    assert_eq!(answer["status"], "success");
    let problem = answer["cleanup_stats"]["problems"][0].as_str().unwrap();
    assert!(problem.starts_with("braked: "), "{problem}");
    assert_eq!(world.count("braked"), 200);
}

#[tokio::test]
async fn a_service_that_stops_ends_its_sweeps_and_begins_none() {
    let world = World::with(Plan { files: vec![("models/old.step", HOUR)], ..Plan::default() }).await;
    let handle = world.service.sweep(&request(&[], Mode::Apply)).unwrap();
    world.stop.cancel();
    let report = handle.report().await;
    assert_eq!(report.policies.len(), 2);
    assert_eq!(
        world.service.sweep(&request(&[], Mode::Apply)).unwrap_err(),
        AppError::NotNow("the service is stopping".to_owned())
    );
    world.call("POST", "/cleanup/manual", &[], "").await.is_problem(503);
    world.service.drained().await;
}

#[tokio::test]
async fn a_scheduled_sweep_says_so() {
    let world = World::with(Plan { files: vec![("models/old.step", HOUR)], ..Plan::default() }).await;
    let report = world.service.sweep_scheduled("temp-models").await.unwrap();
    assert_eq!((report.trigger, report.totals.removed), (Trigger::Schedule, 1));
    assert!(world.service.sweep_scheduled("no").await.is_err());
}

#[tokio::test]
async fn pages_of_runs_follow_each_other() {
    let world = World::new().await;
    for _ in 0..5 {
        world.post("/api/v1/sweeps?wait=true", &json!({})).await.is(200);
    }
    let ids = |page: &Value| -> Vec<String> {
        page["runs"].as_array().unwrap().iter().map(|run| run["run_id"].as_str().unwrap().to_owned()).collect()
    };
    let all = ids(&world.get("/api/v1/runs").await.is(200));
    assert_eq!(all.len(), 5);
    let first = world.get("/api/v1/runs?limit=2").await.is(200);
    let second = world.get(&format!("/api/v1/runs?limit=2&after={}", first["next"].as_str().unwrap())).await.is(200);
    let third = world.get(&format!("/api/v1/runs?limit=2&after={}", second["next"].as_str().unwrap())).await.is(200);
    assert_eq!([ids(&first), ids(&second), ids(&third)].concat(), all);
    assert!(third["next"].is_null());
}

#[tokio::test]
async fn runs_are_found_by_policy_and_status() {
    let world = World::new().await;
    for policies in [json!({}), json!({ "policies": ["svgs"] }), json!({ "policies": ["temp-models"] })] {
        world.post("/api/v1/sweeps?wait=true", &policies).await.is(200);
    }
    for (query, found) in [("policy=svgs", 2), ("policy=svgs&status=ok", 2), ("status=held", 0), ("policy=no", 0)] {
        let page = world.get(&format!("/api/v1/runs?{query}")).await.is(200);
        assert_eq!(page["runs"].as_array().unwrap().len(), found, "{query}: {page}");
    }
    let first = world.get("/api/v1/runs?policy=svgs&limit=1").await.is(200);
    assert_eq!(first["runs"][0]["policies"], json!(["svgs"]));
    let after = first["next"].as_str().unwrap();
    let second = world.get(&format!("/api/v1/runs?policy=svgs&limit=1&after={after}")).await.is(200);
    assert_eq!((&second["runs"][0]["policies"], &second["next"]), (&json!(["svgs", "temp-models"]), &Value::Null));
    world.get("/api/v1/runs?status=nonsense").await.is_problem(422);
}
