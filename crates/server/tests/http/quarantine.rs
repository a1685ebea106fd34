//! Undo over HTTP: what lies in quarantine, what brings it back, and who may ask.

use std::time::Duration;

use cleanup_server::net::socket::Peer;
use serde_json::json;

use crate::world::{HOUR, Plan, TOKEN, World};

const POLICY: &str = "[files.kept]\nroot = \"kept\"\ninclude = [\"*\"]\nmax_age = \"1h\"\nrecursive = true\n\
                      dispose = \"quarantine\"\n";

async fn swept(more: &str, peer: Peer) -> (World, String) {
    let world = World::with(Plan { more: format!("{more}\n{POLICY}"), peer, ..Plan::default() }).await;
    for name in ["kept/a", "kept/sub/b"] {
        std::fs::create_dir_all(world.path("kept/sub")).unwrap();
        world.file(name, 2 * HOUR);
    }
    let token = format!("Authorization: Bearer {TOKEN}");
    let report = world.call("POST", "/api/v1/sweeps?wait=true", &[&token], "").await.is(200);
    assert_eq!(report["totals"]["quarantined"], 2);
    (world, report["run_id"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn what_a_sweep_moved_aside_comes_back() {
    let (world, run) = swept("", Peer::Loopback).await;
    let page = world.get("/api/v1/quarantine?policy=kept&limit=1").await.is(200);
    assert_eq!((page["files"].as_array().unwrap().len(), &page["policies"][0]["files"]), (1, &json!(2)));
    assert_eq!(page["files"][0]["run_id"], run.as_str());

    let dry = world.post("/api/v1/restores", &json!({"run": run, "dry_run": true})).await.is(200);
    assert_eq!((&dry["restored"], &dry["dry_run"], world.path("kept/a").exists()), (&json!(2), &json!(true), false));
    let some = world.post("/api/v1/restores", &json!({"policy": "kept", "paths": ["sub"], "hold": "1h"})).await.is(200);
    assert_eq!((&some["restored"], &some["files"][0]["path"]), (&json!(1), &json!("sub/b")));
    assert!(world.path("kept/sub/b").exists() && !world.path("kept/a").exists());

    world.file("kept/a", Duration::ZERO);
    let conflict = world.post("/api/v1/restores", &json!({})).await.is(200);
    assert_eq!((&conflict["restored"], &conflict["failed"]), (&json!(0), &json!(1)));
    assert_eq!(
        (&conflict["files"][0]["outcome"], &conflict["files"][0]["error"]),
        (&json!("conflict"), &json!("already exists"))
    );
    std::fs::remove_file(world.path("kept/a")).unwrap();
    assert_eq!(world.post("/api/v1/restores", &json!({})).await.is(200)["restored"], 1);
    assert_eq!(world.get("/api/v1/holds").await.is(200)["holds"].as_array().unwrap().len(), 2);
    world.post("/api/v1/restores", &json!({})).await.is_problem(404);
}

#[tokio::test]
async fn what_comes_back_is_held_for_no_longer_than_is_allowed_and_by_any_plain_name() {
    let (world, _) = swept("[server]\nmax_hold = \"2d\"", Peer::Loopback).await;
    let in_days = |answer: &serde_json::Value| {
        let until: jiff::Timestamp = answer["held_until"].as_str().unwrap().parse().unwrap();
        until.duration_since(jiff::Timestamp::now()).as_secs_f64() / 86_400.0
    };
    let long = json!({"policy": "kept", "paths": ["./a"], "hold": "36500d"});
    let back = world.post("/api/v1/restores", &long).await.is(200);
    assert_eq!(back["restored"], 1, "{back}");
    assert!((in_days(&back) - 2.0).abs() < 0.01 && back["note"].as_str().unwrap().contains("max_hold"), "{back}");
    let brief = json!({"policy": "kept", "paths": ["sub/./b"], "hold": "1h"});
    let back = world.post("/api/v1/restores", &brief).await.is(200);
    assert!(in_days(&back) < 0.1 && back.get("note").is_none(), "{back}");
    for path in [".", "./", "a/..", "./.."] {
        world.post("/api/v1/restores", &json!({"policy": "kept", "paths": [path]})).await.is_problem(422);
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let (world, run) = swept("", Peer::Loopback).await;
    for (body, status) in [
        (json!({"run": run, "paths": ["a"], "policy": "kept"}), 422),
        (json!({"paths": ["a"]}), 422),
        (json!({"policy": "kept"}), 422),
        (json!({"policy": "kept", "paths": ["../models"]}), 422),
        (json!({"policy": "kept", "paths": ["/etc/passwd"]}), 422),
        (json!({"policy": "nosuch", "paths": ["a"]}), 404),
        (json!({"run": "0000"}), 404),
        (json!({"hold": "0s"}), 422),
    ] {
        world.post("/api/v1/restores", &body).await.is_problem(status);
    }
    world.get("/api/v1/quarantine?policy=nosuch").await.is_problem(404);
    world.get("/api/v1/quarantine?limit=0").await.is_problem(422);
    assert_eq!(world.count("kept"), 2, "`sub` and `.cleanup` alone");
}

#[tokio::test]
async fn a_restore_is_a_changing_call() {
    let (world, _) = swept("[server]\ntoken_file = \"token\"", Peer::Loopback).await;
    world.post("/api/v1/restores", &json!({})).await.is_problem(401);
    let cross = ["Sec-Fetch-Site: cross-site"];
    world.call("POST", "/api/v1/restores", &cross, "{}").await.is_problem(403);
    assert!(!world.path("kept/a").exists());
}

#[tokio::test]
async fn a_restore_is_a_run_in_the_history_and_on_the_pages() {
    let (world, run) = swept("", Peer::Loopback).await;
    let form = "Content-Type: application/x-www-form-urlencoded";
    let page = world.call("POST", "/quarantine/restore", &[form], &format!("run={run}")).await;
    assert_eq!(page.status, 200, "{page}");
    let restored = page.body.split("href=\"/runs/").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let report = world.get(&format!("/api/v1/runs/{restored}")).await.is(200);
    assert_eq!((&report["trigger"], &report["totals"]["restored"]), (&json!("restore"), &json!(2)), "{report}");
    let runs = world.get("/api/v1/runs?policy=kept&limit=1").await.is(200);
    assert_eq!((&runs["runs"][0]["run_id"], &runs["runs"][0]["restored"]), (&json!(restored), &json!(2)));
    assert!(world.get("/runs").await.body.contains(&restored));
    let own = world.get(&format!("/runs/{restored}")).await.body;
    assert!(own.contains("2 items restored"), "{own}");
}

#[tokio::test]
async fn a_restore_that_is_not_remembered_is_told_as_a_sweep_is() {
    let (world, run) = swept("", Peer::Loopback).await;
    assert_eq!(world.get("/readyz").await.is(200), json!({"status": "ready"}));
    let history = world.path(".cleanup/state.db");
    std::fs::remove_file(&history).unwrap();
    std::fs::create_dir(&history).unwrap();
    let back = world.post("/api/v1/restores", &json!({"run": run})).await.is(200);
    assert_eq!(back["restored"], 2, "{back}");
    let ready = world.get("/readyz").await.is(200);
    assert!(ready["warnings"].as_array().unwrap().iter().any(|finding| finding["code"] == "memory"), "{ready}");
}
