//! Holds of any path: made, listed, searched and released over HTTP and on the page, of tracked policies and others.

use std::os::unix::ffi::OsStrExt as _;

use base64::Engine as _;
use serde_json::{Value, json};

use crate::world::{HOUR, Plan, World};

async fn listed(world: &World, query: &str) -> Vec<String> {
    let holds = world.get(&format!("/api/v1/holds{query}")).await.is(200);
    let path = |hold: &Value| hold["path"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    holds["holds"].as_array().unwrap().iter().map(path).collect()
}

#[tokio::test]
async fn what_no_policy_tracks_is_held_listed_searched_and_released() {
    let world = World::new().await;
    for name in ["svgs/a.svg", "svgs/b.svg", "svgs/c.svg"] {
        world.file(name, 2 * HOUR);
    }
    let held = world.post("/api/v1/holds", &json!({"policy": "svgs", "path": "./a.svg", "for": "1d"})).await.is(200);
    assert_eq!((&held["policies"], held.get("note")), (&json!(["svgs"]), None), "{held}");
    let absolute = world.path("svgs/b.svg");
    world.post("/api/v1/holds", &json!({"path": absolute, "for": "400d"})).await.is(200)["note"].as_str().unwrap();
    world.post("/api/v1/holds", &json!({"policy": "temp-models", "path": "to-come.step", "for": 3600})).await.is(200);

    assert_eq!(listed(&world, "").await, ["to-come.step", "a.svg", "b.svg"]);
    assert_eq!(listed(&world, "?policy=svgs").await, ["a.svg", "b.svg"]);
    assert_eq!(listed(&world, "?contains=b.sv").await, ["b.svg"]);
    let first = world.get("/api/v1/holds?limit=2").await.is(200);
    assert_eq!(first["holds"].as_array().unwrap().len(), 2);
    let next = first["next"].as_str().unwrap();
    assert_eq!(listed(&world, &format!("?limit=2&after={next}")).await, ["b.svg"]);
    assert!(world.get(&format!("/api/v1/holds?limit=2&after={next}")).await.is(200).get("next").is_none());

    world.call("POST", "/cleanup/manual", &[], "").await.is(200);
    assert_eq!(world.count("svgs"), 2, "what is held stays");
    world.call("DELETE", "/api/v1/holds?policy=svgs&path=a.svg", &[], "").await.is(204);
    world.call("DELETE", "/api/v1/holds?policy=svgs&path=a.svg", &[], "").await.is_problem(404);
    let path = held["path"].as_str().unwrap().replace("a.svg", "b.svg");
    world.call("DELETE", &format!("/api/v1/holds?path={path}"), &[], "").await.is(204);
    world.call("POST", "/cleanup/manual", &[], "").await.is(200);
    assert_eq!(world.count("svgs"), 0);
}

#[tokio::test]
async fn a_restored_file_of_an_untracked_policy_is_released_by_its_listed_path() {
    let policy = "[files.kept]\nroot = \"kept\"\ninclude = [\"*\"]\nmax_age = \"1h\"\nrecursive = true\n\
                  dispose = \"quarantine\"\n";
    let world = World::with(Plan { more: policy.to_owned(), ..Plan::default() }).await;
    std::fs::create_dir_all(world.path("kept/sub")).unwrap();
    world.file("kept/sub/a", 2 * HOUR);
    world.post("/api/v1/sweeps?wait=true", &json!({})).await.is(200);
    world.post("/api/v1/restores", &json!({})).await.is(200);
    let holds = world.get("/api/v1/holds?policy=kept").await.is(200);
    let path = holds["holds"][0]["path"].as_str().unwrap().to_owned();
    // Also where that path has come to lead elsewhere.
    std::fs::rename(world.path("kept/sub"), world.path("kept/moved")).unwrap();
    std::os::unix::fs::symlink("moved", world.path("kept/sub")).unwrap();
    world.call("DELETE", &format!("/api/v1/holds?path={path}"), &[], "").await.is(204);
    assert!(listed(&world, "").await.is_empty());
}

#[tokio::test]
async fn a_tracked_file_that_is_held_by_its_path_is_held_in_every_list() {
    let world = World::new().await;
    world.file("models/a.step", std::time::Duration::ZERO);
    let file = world.post("/api/v1/files", &json!({"policy": "temp-models", "path": "a.step"})).await.is(201);
    let address = format!("/api/v1/files/{}", file["id"].as_str().unwrap());
    world.post("/api/v1/holds", &json!({"policy": "temp-models", "path": "a.step", "for": "1d"})).await.is(200);
    assert!(world.get(&address).await.is(200)["held_until"].is_string());
    world.call("DELETE", &format!("{address}/hold"), &[], "").await.is(204);
    assert!(world.get(&address).await.is(200)["held_until"].is_null());
}

#[tokio::test]
async fn what_lies_in_no_root_or_names_nothing_is_refused() {
    let world = World::new().await;
    for (body, status) in [
        (json!({"path": "/etc/passwd", "for": "1d"}), 422),
        (json!({"path": "/", "for": "1d"}), 422),
        (json!({"path": "relative", "for": "1d"}), 422),
        (json!({"path": world.path("svgs/../models/x"), "for": "1d"}), 422),
        (json!({"path": world.path("svgs/nul\0"), "for": "1d"}), 422),
        (json!({"policy": "svgs", "path": "../models/x", "for": "1d"}), 422),
        (json!({"policy": "svgs", "path": "", "for": "1d"}), 422),
        (json!({"policy": "nosuch", "path": "x", "for": "1d"}), 404),
        (json!({"policy": "svgs", "path": "x"}), 422),
        (json!({"policy": "svgs", "path": "x", "for": "0s"}), 422),
        (json!({"policy": "svgs", "path": "x", "for": "1d", "more": 1}), 422),
        (json!([{"policy": "svgs", "path": "x", "for": "1d"}]), 422),
    ] {
        assert_eq!(world.post("/api/v1/holds", &body).await.status, status, "{body}");
    }
    for (query, status) in
        [("?policy=nosuch", 404), ("?limit=0", 422), ("?limit=1001", 422), ("?after=%2F", 422), ("?more=1", 422)]
    {
        world.get(&format!("/api/v1/holds{query}")).await.is_problem(status);
    }
    for (query, status) in [("", 422), ("?path=x", 422), ("?path=/x", 404), ("?policy=nosuch&path=x", 404)] {
        world.call("DELETE", &format!("/api/v1/holds{query}"), &[], "").await.is_problem(status);
    }
    assert!(listed(&world, "").await.is_empty());
}

#[tokio::test]
async fn the_page_lists_searches_and_releases_what_no_policy_tracks() {
    let world = World::new().await;
    for name in ["a.svg", "b.svg"] {
        world.post("/api/v1/holds", &json!({"policy": "svgs", "path": name, "for": "1d"})).await.is(200);
    }
    let page = world.get("/files?contains=b.svg").await.body;
    assert!(page.contains("/b.svg") && !page.contains("/a.svg"), "{page}");
    assert!(world.get("/files?policy=svgs").await.body.contains("/a.svg"));
    let none = world.get("/files?policy=temp-models").await.body;
    assert!(none.contains("No held path matches") && !none.contains("/a.svg"), "{none}");
    let field = page.split("name=\"path_bytes\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let path = base64::engine::general_purpose::STANDARD.decode(field).unwrap();
    assert_eq!(
        path,
        world.path("svgs/b.svg").canonicalize().unwrap_or(world.path("svgs/b.svg")).as_os_str().as_bytes()
    );
    let form = "Content-Type: application/x-www-form-urlencoded";
    let body = format!("path_bytes={}", field.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D"));
    let answer = world.call("POST", "/holds/release", &[form], &body).await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/files#held-h")));
    assert_eq!(listed(&world, "").await, ["a.svg"]);
}
