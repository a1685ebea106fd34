//! Metrics under their promised names.

use serde_json::json;

use crate::world::{HOUR, Plan, World};

#[tokio::test]
async fn metrics_have_the_promised_names_and_no_path_in_any_label() {
    let files = vec![("models/secret-name.step", HOUR), ("svgs/keep-a.svg", 9 * HOUR)];
    let more = "[sessions.rows]\nurl = \"${NO_SUCH_DATABASE_HERE}\"\ntable = \"t\"\nid_column = \"i\"\n\
                activity_column = \"a\"\nmax_idle = \"1h\"";
    let world = World::with(Plan { files, more: more.to_owned(), ..Plan::default() }).await;
    world.post("/api/v1/sweeps?wait=true", &json!({})).await.is(200);
    let answer = world.get("/metrics").await;
    assert_eq!(answer.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    assert!(!answer.body.contains("secret-name") && answer.body.ends_with("# EOF\n"), "{answer}");
    let mut shape: Vec<String> = answer
        .body
        .lines()
        .filter(|line| !line.contains("_bucket{") && !line.contains("_sum"))
        .map(|line| match line.strip_prefix("cleanup_last_success_timestamp_seconds{") {
            Some(labels) => {
                format!("cleanup_last_success_timestamp_seconds{{{} [time]", labels.split(' ').next().unwrap())
            }
            None => line.replace(env!("CARGO_PKG_VERSION"), "[version]"),
        })
        .collect();
    // The series of one name come in any order.
    shape.sort();
    insta::assert_snapshot!(shape.join("\n"));
}

#[tokio::test]
async fn a_run_that_was_skipped_or_a_dry_run_is_no_success() {
    let world = World::with(Plan { files: vec![("models/old.step", HOUR)], ..Plan::default() }).await;
    let success = "cleanup_last_success_timestamp_seconds{policy=\"svgs\"}";
    world.post("/api/v1/sweeps?wait=true", &json!({ "dry_run": true })).await.is(200);
    assert_eq!(world.metric(success).await, None);
    assert_eq!(world.metric("cleanup_due{policy=\"temp-models\"}").await, Some(1.0));
    std::fs::remove_dir_all(world.path("svgs")).unwrap();
    let report = world.post("/api/v1/sweeps?wait=true", &json!({})).await.is(200);
    assert_eq!(report["policies"][1]["status"], "skipped");
    assert_eq!(world.metric(success).await, None);
    assert!(world.metric("cleanup_last_success_timestamp_seconds{policy=\"temp-models\"}").await.is_some());
    assert_eq!(world.metric("cleanup_due{policy=\"temp-models\"}").await, Some(0.0));
}

#[tokio::test]
async fn the_last_success_survives_a_restart() {
    let world = World::new().await;
    world.post("/api/v1/sweeps?wait=true", &json!({})).await.is(200);
    let success = "cleanup_last_success_timestamp_seconds{policy=\"svgs\"}";
    let before = world.metric(success).await.unwrap();
    let again = world.again().await;
    let after = again.metric(success).await.unwrap();
    assert!((before - after).abs() < 0.01, "{before} {after}");
}

#[tokio::test]
async fn a_policy_that_is_held_shows() {
    let files = vec![("braked/a.svg", 2 * HOUR), ("braked/b.svg", 2 * HOUR)];
    let more = "[files.braked]\nroot = \"braked\"\ninclude = [\"*.svg\"]\nmax_age = \"1h\"\nmax_removal_percent = 10";
    let names: Vec<_> = (0..200).map(|number| -> &'static str { format!("braked/{number}.svg").leak() }).collect();
    let files = files.into_iter().chain(names.iter().map(|name| (*name, 2 * HOUR))).collect();
    let world = World::with(Plan { files, more: more.to_owned(), ..Plan::default() }).await;
    let report = world.post("/api/v1/sweeps?wait=true", &json!({ "policies": ["braked"] })).await.is(200);
    assert_eq!(report["policies"][0]["status"], "held", "{report}");
    assert_eq!(world.metric("cleanup_policy_held{policy=\"braked\"}").await, Some(1.0));
    let warnings = world.get("/readyz").await.is(200)["warnings"].clone();
    assert_eq!((&warnings[0]["code"], &warnings[0]["policy"]), (&json!("held"), &json!("braked")));
}
