//! The description of the interface against the committed one, and against itself.

use std::path::Path;

use serde_json::Value;

use crate::world::World;

#[test]
fn the_committed_description_is_that_of_the_handlers() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(&path, cleanup_server::http::document()).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let is_fresh = committed == cleanup_server::http::document();
    assert!(is_fresh, "docs/openapi.json is stale: UPDATE_OPENAPI=1 cargo test -p cleanup-server openapi");
}

#[test]
fn every_reference_leads_somewhere_and_every_operation_has_a_name_and_a_summary() {
    let document: Value = serde_json::from_str(cleanup_server::http::document()).unwrap();
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

#[tokio::test]
async fn it_is_served_as_committed() {
    let answer = World::new().await.get("/openapi.json").await;
    assert_eq!(answer.is(200)["openapi"], "3.1.0");
    assert_eq!(answer.body, cleanup_server::http::document());
}
