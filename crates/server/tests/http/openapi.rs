//! The description of the interface against the committed one, and against itself.

use std::path::Path;

use serde_json::{Value, json};

use crate::world::{HOUR, Plan, World};

#[test]
fn the_committed_description_is_that_of_the_handlers() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(&path, cleanup_server::web::document()).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let is_fresh = committed == cleanup_server::web::document();
    assert!(is_fresh, "docs/openapi.json is stale: UPDATE_OPENAPI=1 cargo test -p cleanup-server openapi");
}

#[test]
fn every_reference_leads_somewhere_and_every_operation_has_a_name_and_a_summary() {
    let document: Value = serde_json::from_str(cleanup_server::web::document()).unwrap();
    let mut names = std::collections::BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            assert!(operation["summary"].is_string(), "{method} {path}");
            let id = operation["operationId"].as_str().unwrap_or_else(|| panic!("{method} {path} has no name"));
            assert!(names.insert(id.to_owned()), "{id} twice");
            assert!(operation["responses"]["default"].is_object());
        }
    }
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(references.len() > 50);
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            references.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|value| collect(value, references));
        }
        Value::Array(list) => list.iter().for_each(|value| collect(value, references)),
        _ => {}
    }
}

#[test]
fn a_body_is_required_of_every_call_that_has_one_but_the_sweep() {
    let document: Value = serde_json::from_str(cleanup_server::web::document()).unwrap();
    let required = |pointer: &str| document["paths"].pointer(pointer).unwrap()["requestBody"]["required"].clone();
    for pointer in ["/~1api~1v1~1files/post", "/~1api~1v1~1files~1{id}~1hold/put", "/~1login/post"] {
        assert_eq!(required(pointer), true, "{pointer}");
    }
    assert_eq!(required("/~1api~1v1~1sweeps/post"), Value::Null);
}

#[tokio::test]
async fn it_is_served_as_committed() {
    let answer = World::new().await.get("/openapi.json").await;
    assert_eq!(answer.is(200)["openapi"], "3.1.0");
    assert_eq!(answer.body, cleanup_server::web::document());
}

/// Demands that a document is as the description says.
#[track_caller]
fn assert_described(name: &str, document: &Value) {
    let description: Value = serde_json::from_str(cleanup_server::web::document()).unwrap();
    let schema = json!({
        "$ref": format!("#/components/schemas/{name}"),
        "components": description["components"],
    });
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<_> =
        validator.iter_errors(document).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{name}: {errors:#?}\n{document:#}");
    assert!(!validator.is_valid(&json!({ "nothing": true })), "{name} demands nothing");
}

#[tokio::test]
async fn every_answer_is_as_described() {
    let files = vec![("models/old.step", HOUR), ("svgs/old.svg", 2 * HOUR)];
    let more = "[sessions.rows]\nurl = \"${NO_SUCH_DATABASE_HERE}\"\ntable = \"t\"\nid_column = \"i\"\n\
                activity_column = \"a\"\nmax_idle = \"1h\"";
    let world = World::with(Plan { files, more: more.to_owned(), ..Plan::default() }).await;
    world.file("models/new.step", HOUR / 60);
    let file = world.post("/api/v1/files", &json!({ "policy": "temp-models", "path": "new.step", "ttl": "9m" })).await;
    let file: Value = serde_json::from_str(&file.body).unwrap();
    assert_described("TrackedFile", &file);
    let hold = format!("/api/v1/files/{}/hold", file["id"].as_str().unwrap());
    let answer = world.call("PUT", &hold, &["Content-Type: application/json"], "{\"for\":90}").await;
    assert_described("HeldUntil", &answer.is(200));
    assert_described("Report", &world.post("/api/v1/sweeps?wait=true", &json!({ "dry_run": true })).await.is(200));
    assert_described("Accepted", &world.post("/api/v1/sweeps", &json!({})).await.is(202));
    world.service.drained().await;
    for (name, target) in [
        ("Success", "/cleanup/stats"),
        ("Policies", "/api/v1/policies"),
        ("Policy", "/api/v1/policies/rows"),
        ("ServiceStats", "/api/v1/stats"),
        ("Runs", "/api/v1/runs"),
        ("FilesPage", "/api/v1/files"),
        ("Holds", "/api/v1/holds"),
        ("Explanation", "/api/v1/explain?policy=temp-models&path=new.step"),
        ("Forecast", "/api/v1/forecast"),
        ("Ready", "/readyz"),
    ] {
        assert_described(name, &world.get(target).await.is(200));
    }
    assert_described("Problem", &world.get("/api/v1/policies/none").await.is(404));
}
