//! The JSON Schema of the language, for editors: made from the raw types and their doc comments.

use schemars::transform::{RecursiveTransform, Transform as _};
use schemars::{Schema, schema_for};
use serde_json::Value;

use super::raw::RawConfig;

/// The JSON Schema of `cleanup.toml`. A copy is committed as `docs/schemas/cleanup.toml.schema.json`.
pub fn schema() -> Value {
    let mut schema = schema_for!(RawConfig);
    schema.insert("title".to_owned(), "cleanup.toml".into());
    RecursiveTransform(without_null).transform(&mut schema);
    schema.to_value()
}

/// TOML has no null: a key that may be missing is simply not required.
fn without_null(schema: &mut Schema) {
    let null = Value::from("null");
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|one| *one != null);
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
        choices.retain(|one| one.get("type") != Some(&null));
        if let [Value::Object(only)] = choices.as_slice() {
            let only = only.clone();
            schema.remove("anyOf");
            only.into_iter().for_each(|(key, value)| drop(schema.insert(key, value)));
        }
    }
}
