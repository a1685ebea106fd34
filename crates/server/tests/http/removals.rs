//! Why a file is gone, for programs: the log of removals over HTTP.

use cleanup_server::net::socket::Peer;

use crate::world::{HOUR, Plan, TOKEN, World};

const POLICY: &str = "[files.kept]\nroot = \"kept\"\ninclude = [\"*\"]\nmax_age = \"1h\"\nrecursive = true\n";

async fn swept(peer: Peer) -> (World, String) {
    let world = World::with(Plan { more: POLICY.to_owned(), peer, ..Plan::default() }).await;
    std::fs::create_dir_all(world.path("kept/sub")).unwrap();
    for name in ["kept/a.step", "kept/b.step", "kept/sub/a.step"] {
        world.file(name, 2 * HOUR);
    }
    let token = format!("Authorization: Bearer {TOKEN}");
    let report = world.call("POST", "/api/v1/sweeps?wait=true", &[&token], "").await.is(200);
    assert_eq!(report["totals"]["removed"], 3);
    (world, report["run_id"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn removals_are_found_by_path_policy_run_and_time_page_by_page() {
    let (world, run) = swept(Peer::Loopback).await;
    let path = world.path("kept/sub/a.step").display().to_string();
    let exact = world.get(&format!("/api/v1/removals?path={path}")).await.is(200);
    let entry = &exact["removals"][0];
    assert_eq!((&entry["path"], &entry["policy"], &entry["run_id"]), (&path.into(), &"kept".into(), &run[..].into()));
    assert_eq!((&entry["action"], &entry["trigger"]), (&"removed".into(), &"manual".into()));
    assert_eq!(entry["reason"], "last modified 2h ago, older than max_age 1h");
    for (query, count) in [
        ("", 3),
        ("path=a.step", 2),
        ("path=*.step", 3),
        ("path=**/sub/*.step", 1),
        ("policy=kept", 3),
        ("policy=svgs", 0),
        ("since=2000-01-01T00:00:00Z", 3),
        ("since=2100-01-01T00:00:00Z", 0),
        (&format!("run={run}"), 3),
        (&format!("run={}", &run[..20]), 3),
    ] {
        let found = world.get(&format!("/api/v1/removals?{query}")).await.is(200);
        assert_eq!(found["removals"].as_array().unwrap().len(), count, "{query}: {found}");
    }
    let mut seen = Vec::new();
    let mut after = String::new();
    for _ in 0..4 {
        let page = world.get(&format!("/api/v1/removals?limit=1{after}")).await.is(200);
        seen.extend(page["removals"].as_array().unwrap().iter().map(|it| it["path"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 3, "each once");
    for wrong in ["path=kept/a.step", "path=[", "after=x", "limit=0", "since=yesterday", "by=me"] {
        world.get(&format!("/api/v1/removals?{wrong}")).await.is_problem(422);
    }
    world.get("/api/v1/removals?run=none").await.is_problem(404);
}

#[tokio::test]
async fn who_asked_over_the_unix_socket_is_a_user() {
    let uid = rustix::process::geteuid().as_raw();
    let (world, _) = swept(Peer::Unix { uid }).await;
    let found = world.get("/api/v1/removals?path=b.step").await.is(200);
    assert_eq!(found["removals"][0]["asked_by"], cleanup_engine::user_name(uid));
    let (world, _) = swept(Peer::Loopback).await;
    let found = world.get("/api/v1/removals?path=b.step").await.is(200);
    assert_eq!(found["removals"][0].get("asked_by"), None, "nobody knows who calls from loopback");
}

#[tokio::test]
async fn without_a_log_that_is_said() {
    let more = "[state]\nremovals_for = \"0s\"".to_owned();
    let world = World::with(Plan { more, ..Plan::default() }).await;
    world.get("/api/v1/removals").await.is_problem(503);
}
