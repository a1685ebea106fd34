//! Registering files, and everything that must not be registered.

use std::time::Duration;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;

use base64::Engine as _;
use serde_json::{Value, json};

use crate::client::Answer;
use crate::world::{HOUR, Plan, World};

async fn register(world: &World, path: &str) -> Answer {
    world.post("/api/v1/files", &json!({ "policy": "temp-models", "path": path })).await
}

#[tokio::test]
async fn a_file_is_registered_found_held_and_given_back() {
    let world = World::new().await;
    world.file("models/part.step", HOUR / 60);
    let new = json!({ "policy": "temp-models", "path": "part.step", "ttl": "10m" });
    let answer = world.post("/api/v1/files", &new).await;
    let file = answer.is(201);
    assert_eq!(
        (&file["path"], &file["policy"], &file["ttl_seconds"]),
        (&json!("part.step"), &json!("temp-models"), &json!(600.0))
    );
    let location = answer.header("location").unwrap().to_owned();
    assert_eq!(location, format!("/api/v1/files/{}", file["id"].as_str().unwrap()));
    let again = world.post("/api/v1/files", &new).await;
    again.is(200);
    assert_eq!(again.header("location"), Some(location.as_str()));

    assert_eq!(world.get(&location).await.is(200)["path"], "part.step");
    let listed = world.get("/api/v1/files?policy=temp-models&contains=art").await.is(200);
    assert_eq!(listed["files"][0]["path"], "part.step");
    assert_eq!(world.get("/api/v1/files?contains=nothing").await.is(200), json!({ "files": [], "next": null }));

    let hold = format!("{location}/hold");
    let put = async |body: &str| world.call("PUT", &hold, &["Content-Type: application/json"], body).await;
    assert!(put("{\"for\":\"2d\"}").await.is(200)["held_until"].is_string());
    assert!(world.get(&location).await.is(200)["held_until"].is_string());
    assert_eq!(world.get("/api/v1/holds").await.is(200)["holds"].as_array().unwrap().len(), 1);
    put("{\"for\":\"soon\"}").await.is_problem(422);
    put("{}").await.is_problem(422);
    world.call("DELETE", &hold, &[], "").await.is(204);
    world.call("DELETE", &hold, &[], "").await.is(204);
    assert!(world.get(&location).await.is(200)["held_until"].is_null());

    world.call("DELETE", &location, &[], "").await.is(204);
    assert!(world.path("models/part.step").exists(), "taking a registration back deletes nothing");
}

#[tokio::test]
async fn unknown_names_are_404() {
    let world = World::new().await;
    let answer = world.post("/api/v1/files", &json!({ "policy": "temp-model", "path": "a.step" })).await;
    insta::assert_json_snapshot!("unknown_policy", answer.is_problem(404));
    let answer = world.post("/api/v1/files", &json!({ "policy": "svgs", "path": "a.svg" })).await;
    insta::assert_json_snapshot!("not_tracked", answer.is_problem(422));
    for id in ["x", "%00", "..%2f..", "AAAA", &"a".repeat(5000)] {
        let file = format!("/api/v1/files/{id}");
        let problem = world.get(&file).await.is_problem(404);
        insta::allow_duplicates! { insta::assert_json_snapshot!("unknown_id", problem) }
        world.call("DELETE", &file, &[], "").await.is_problem(404);
        world.call("DELETE", &format!("{file}/hold"), &[], "").await.is_problem(404);
        let json = ["Content-Type: application/json"];
        world.call("PUT", &format!("{file}/hold"), &json, "{\"for\":60}").await.is_problem(404);
    }
    world.get("/api/v1/policies/none").await.is_problem(404);
    world.get("/api/v1/files?policy=none").await.is_problem(404);
}

#[tokio::test]
async fn a_path_that_is_no_file_of_the_policy_is_422() {
    let world = World::with(Plan { files: vec![("models/real.step", HOUR)], ..Plan::default() }).await;
    let outside = world.path("outside.step");
    std::fs::write(&outside, "x").unwrap();
    world.file("models/other.txt", HOUR);
    std::fs::create_dir(world.path("models/folder.step")).unwrap();
    std::fs::create_dir(world.path("elsewhere")).unwrap();
    world.file("elsewhere/a.step", HOUR);
    symlink(&outside, world.path("models/link.step")).unwrap();
    symlink(world.path("elsewhere"), world.path("models/linked")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, world.path("models/fifo.step"), rustix::fs::Mode::RWXU).unwrap();
    let long = "x".repeat(5000);
    let absolute = world.path("models/real.step").to_str().unwrap().to_owned();
    for path in [
        "../../etc/passwd",
        "../outside.step",
        "/etc/passwd",
        "%2e%2e%2foutside.step",
        "..%2foutside.step",
        "real.step\0",
        "\0",
        "",
        ".",
        "..",
        "/",
        "./..",
        "./../outside.step",
        "real.step/.",
        "./",
        "././",
        "sub//a.step",
        "real.step/",
        "linked/../real.step",
        "link.step",
        "linked/a.step",
        "folder.step",
        "fifo.step",
        "missing.step",
        "other.txt",
        &long,
        &absolute,
    ] {
        let answer = register(&world, path).await;
        let problem = answer.is_problem(422);
        assert_eq!(problem["type"], "/problems/path-refused", "{path:?} {problem}");
        assert!(!answer.body.contains(world.folder.path().to_str().unwrap()), "{answer}");
    }
    assert_eq!(world.get("/api/v1/files").await.is(200)["files"].as_array().unwrap().len(), 1, "the real one alone");
    insta::assert_json_snapshot!("outside", register(&world, "../../etc/passwd").await.is_problem(422));
    let leaves = async |path: &str| {
        register(&world, path).await.is_problem(422)["detail"].as_str().unwrap().contains("leaves its root")
    };
    for path in ["..", "../a.step", "a/../../a.step", "./../a.step"] {
        assert!(leaves(path).await, "{path}");
    }
    for path in ["a/../real.step", "sub//a.step", "./", "/etc/passwd", "real.step/"] {
        assert!(!leaves(path).await, "{path}");
    }
    assert!(outside.exists());
}

#[tokio::test]
async fn a_path_with_a_dot_in_it_is_the_path_without() {
    let more =
        "[files.deep]\nroot = \"deep\"\ninclude = [\"*.step\"]\nmax_age = \"1h\"\nrecursive = true\ntrack = true\n";
    let world = World::with(Plan { more: more.to_owned(), ..Plan::default() }).await;
    std::fs::create_dir_all(world.path("deep/a")).unwrap();
    world.file("deep/x.step", HOUR / 60);
    world.file("deep/a/b.step", HOUR / 60);
    for (path, plain) in [
        ("./x.step", "x.step"),
        ("././x.step", "x.step"),
        ("a/b.step", "a/b.step"),
        ("a/./b.step", "a/b.step"),
        ("./a/././b.step", "a/b.step"),
    ] {
        let answer = world.post("/api/v1/files", &json!({ "policy": "deep", "path": path, "ttl": "10m" })).await;
        assert!(matches!(answer.status, 200 | 201), "{path}: {answer}");
        let file: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(file["path"], plain, "{path}");
        let exact = base64::engine::general_purpose::STANDARD.encode(path);
        let same = world.post("/api/v1/files", &json!({ "policy": "deep", "path_bytes": exact })).await.is(200);
        assert_eq!(same["id"], file["id"], "one file, one id");
        let explained = world.get(&format!("/api/v1/explain?policy=deep&path={path}")).await.is(200);
        assert_eq!(explained["answers"][0]["policy"], "deep", "{path}: {explained}");
    }
    let listed = world.get("/api/v1/files?policy=deep").await.is(200);
    assert_eq!(listed["files"].as_array().unwrap().len(), 2, "{listed}");
}

#[tokio::test]
async fn no_request_holds_a_file_for_longer_than_is_allowed() {
    const DAY: f64 = 86_400.0;
    let days_from_now = |answer: &Value| {
        let until: jiff::Timestamp = answer["held_until"].as_str().unwrap().parse().unwrap();
        until.duration_since(jiff::Timestamp::now()).as_secs_f64() / DAY
    };
    for (more, max) in [("", 90.0), ("[server]\nmax_hold = \"2d\"", 2.0)] {
        let world = World::with(Plan { more: more.to_owned(), ..Plan::default() }).await;
        world.file("models/part.step", HOUR / 60);
        let id = register(&world, "part.step").await.is(201)["id"].as_str().unwrap().to_owned();
        let hold = format!("/api/v1/files/{id}/hold");
        let put = async |span: &str| {
            let body = format!("{{\"for\":\"{span}\"}}");
            world.call("PUT", &hold, &["Content-Type: application/json"], &body).await.is(200)
        };
        let within = put("1d").await;
        assert!((days_from_now(&within) - 1.0).abs() < 0.01 && within.get("note").is_none(), "{within}");
        // As if until 2126.
        let beyond = put("36500d").await;
        assert!((days_from_now(&beyond) - max).abs() < 0.01, "{beyond}");
        assert!(beyond["note"].as_str().unwrap().contains("max_hold"), "{beyond}");
        assert!((days_from_now(&world.get(&format!("/api/v1/files/{id}")).await.is(200)) - max).abs() < 0.01);

        // What somebody on the machine held for longer is not cut short by asking for more.
        let engine = std::sync::Arc::clone(&world.service.generation().engine);
        let path = world.path("models/part.step");
        std::thread::spawn(move || engine.hold(&path, HOUR * 24 * 200, None).unwrap()).join().unwrap();
        let longer = put("36500d").await;
        assert!(days_from_now(&longer) > 199.9, "{longer}");
        assert!((days_from_now(&put("1d").await) - 1.0).abs() < 0.01, "but by asking for less");
    }
}

#[tokio::test]
async fn a_ttl_that_is_no_time_is_422() {
    let world = World::new().await;
    world.file("models/a.step", HOUR);
    let ttls = [
        "-1",
        "0",
        "0.0",
        "-0.5",
        "1e308",
        "1e309",
        "-1e309",
        "NaN",
        "-Infinity",
        "Infinity",
        "\"NaN\"",
        "\"-1\"",
        "\"0s\"",
        "\"1e308\"",
        "\"10\"",
        "\"1mo\"",
        "\"\"",
        "true",
        "[]",
        "{}",
        "18446744073709551615",
        "\"300y\"",
        "1e-300",
    ];
    for ttl in ttls {
        let body = format!("{{\"policy\":\"temp-models\",\"path\":\"a.step\",\"ttl\":{ttl}}}");
        let answer = world.call("POST", "/api/v1/files", &["Content-Type: application/json"], &body).await;
        assert_eq!(answer.is_problem(422)["type"], "/problems/bad-value", "{ttl}");
    }
    for (ttl, seconds) in [(json!("1h30m"), 5400.0), (json!(90), 90.0), (json!(0.5), 0.5), (Value::Null, -1.0)] {
        let body = json!({ "policy": "temp-models", "path": "a.step", "ttl": ttl });
        let file = world.post("/api/v1/files", &body).await;
        assert!(matches!(file.status, 200 | 201), "{file}");
        let wanted = if seconds < 0.0 { Value::Null } else { json!(seconds) };
        assert_eq!(serde_json::from_str::<Value>(&file.body).unwrap()["ttl_seconds"], wanted);
    }
}

#[tokio::test]
async fn more_files_than_there_is_room_for_are_507() {
    let world = World::with(Plan { max_files: 3, ..Plan::default() }).await;
    for number in 0..5 {
        world.file(&format!("models/{number}.step"), HOUR / 60);
    }
    let mut statuses = Vec::new();
    for number in 0..5 {
        statuses.push(register(&world, &format!("{number}.step")).await.status);
    }
    assert!(statuses.contains(&507), "{statuses:?}");
    let full = (0..5).find(|number| statuses[*number] == 507).unwrap();
    insta::assert_json_snapshot!(register(&world, &format!("{full}.step")).await.is_problem(507));
    assert_eq!(world.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn pages_follow_each_other_and_miss_nothing() {
    let world = World::new().await;
    for number in 0..7 {
        world.file(&format!("models/{number}.step"), HOUR / 60);
        assert!(register(&world, &format!("{number}.step")).await.status < 300);
    }
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = world.get(&format!("/api/v1/files?limit=3{after}")).await.is(200);
        seen.extend(page["files"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(seen, (0..7).map(|number| format!("{number}.step")).collect::<Vec<_>>());
    for limit in ["0", "1001", "-1", "many"] {
        world.get(&format!("/api/v1/files?limit={limit}")).await.is_problem(422);
    }
}

#[tokio::test]
async fn hostile_names_are_plain_text() {
    let world = World::new().await;
    let name = OsStr::from_bytes(b"\xff<img onerror=x>\n\"\x1b[31m\xe2\x80\xae.step");
    std::fs::write(world.path("models").join(name), "x").unwrap();
    let exact = base64::engine::general_purpose::STANDARD.encode(name.as_bytes());
    let answer = world.post("/api/v1/files", &json!({ "policy": "temp-models", "path_bytes": exact })).await;
    let file: Value = serde_json::from_str(&answer.body).unwrap();
    assert!(answer.status < 300, "{answer}");
    assert_eq!(file["path_bytes"], exact);
    assert!(!answer.body.contains(['\n', '\x1b']), "{answer}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let explained =
        world.get(&format!("/api/v1/explain?policy=temp-models&path_bytes={}", exact.replace('+', "%2b"))).await;
    assert_eq!(explained.is(200)["answers"][0]["policy"], "temp-models");
}

#[tokio::test]
async fn why_a_file_stays_or_goes_is_explained() {
    let files = vec![("models/old.step", HOUR), ("svgs/keep-a.svg", 5 * HOUR)];
    let world = World::with(Plan { files, ..Plan::default() }).await;
    let old = world.get("/api/v1/explain?policy=temp-models&path=old.step").await.is(200);
    assert_eq!(old["answers"][0]["verdict"], "remove", "{old}");
    let absolute = world.path("svgs/keep-a.svg").to_str().unwrap().replace('/', "%2f");
    let archive = world.get(&format!("/api/v1/explain?path={absolute}")).await.is(200);
    assert_eq!(archive["answers"][0]["verdict"], "keep");
    assert_eq!(world.get("/api/v1/explain?path=/etc/passwd").await.is(200)["answers"], json!([]));
    for query in [
        "",
        "path=",
        "path=old.step",
        "path=/etc/../etc/passwd",
        "policy=temp-models&path=../cleanup.toml",
        "policy=temp-models&path=/etc/passwd",
        "policy=temp-models&path=a%00b",
        &format!("policy=temp-models&path={}", "x".repeat(5000)),
    ] {
        world.get(&format!("/api/v1/explain?{query}")).await.is_problem(422);
    }
    world.get("/api/v1/explain?policy=none&path=a").await.is_problem(404);
}

#[tokio::test]
async fn several_files_are_registered_in_one_call_each_for_itself() {
    let world = World::new().await;
    for name in ["a.step", "b.step"] {
        world.file(&format!("models/{name}"), Duration::ZERO);
    }
    let file = |path: &str| json!({"policy": "temp-models", "path": path});
    let known = world.post("/api/v1/files", &file("b.step")).await.is(201);
    let files = [
        json!({"policy": "temp-models", "path": "a.step", "ttl": "10m"}),
        file("b.step"),
        file("missing.step"),
        json!({"policy": "nosuch", "path": "a.step"}),
        json!({"policy": "svgs", "path": "a.svg"}),
        file("../models/a.step"),
    ];
    let answer = world.post("/api/v1/files", &json!({"files": files})).await.is(200);
    let each = answer["files"].as_array().unwrap();
    let statuses: Vec<_> = each.iter().map(|one| one["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [201, 200, 422, 404, 422, 422], "{answer}");
    assert_eq!((&each[0]["file"]["path"], &each[0]["file"]["ttl_seconds"]), (&json!("a.step"), &json!(600.0)));
    assert_eq!((&each[1]["file"]["id"], each[1].get("problem")), (&known["id"], None));
    let kinds: Vec<_> = each[2..].iter().map(|one| one["problem"]["type"].as_str().unwrap()).collect();
    let refused =
        ["path-refused", "unknown-policy", "not-tracked", "path-refused"].map(|kind| format!("/problems/{kind}"));
    assert_eq!(kinds, refused);
    assert!(each[2..].iter().all(|one| one.get("file").is_none()));
    assert_eq!(world.get("/api/v1/files").await.is(200)["files"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_list_of_files_that_makes_no_sense_registers_none() {
    let world = World::new().await;
    world.file("models/a.step", Duration::ZERO);
    let good = json!({"policy": "temp-models", "path": "a.step"});
    for body in [
        json!({"files": []}),
        json!({"files": {}}),
        json!({"files": good}),
        json!({"files": [good, []]}),
        json!({"files": [["temp-models", "a.step"]]}),
        json!({"files": [good, {"policy": "temp-models"}]}),
        json!({"files": [good, {"policy": "temp-models", "path": "a.step", "more": 1}]}),
        json!({"files": [good, {"policy": "temp-models", "path": "a.step", "ttl": 0}]}),
        json!({"files": [good], "policy": "temp-models"}),
        json!([good]),
    ] {
        world.post("/api/v1/files", &body).await.is_problem(422);
    }
    let many = vec![json!({"policy": "x", "path": "y"}); 1001];
    world.post("/api/v1/files", &json!({"files": many})).await.is_problem(422);
    assert!(world.get("/api/v1/files").await.is(200)["files"][0]["ttl_seconds"].is_null());
    assert_eq!(world.post("/api/v1/files", &good).await.status, 201, "nobody had told of it");
}
