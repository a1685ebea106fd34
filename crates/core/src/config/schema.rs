//! The JSON Schema of the language, for editors: made from the raw types and their doc comments.

use super::raw::RawConfig;

/// The JSON Schema of `cleanup.toml`. A copy is committed as `docs/schemas/cleanup.toml.schema.json`.
pub fn schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(RawConfig);
    schema.insert("title".to_owned(), "cleanup.toml".into());
    schema.to_value()
}
