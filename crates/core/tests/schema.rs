//! The committed JSON Schema is the one that the types make, and it describes the language as it is.

use std::collections::BTreeSet;
use std::path::Path;

use cleanup_core::config::{Config, DEFAULT, Source, schema};
use serde_json::Value;

const COMMITTED: &str = include_str!("../../../docs/schemas/cleanup.toml.schema.json");

/// Follows a reference to where the schema is defined.
fn resolved<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    match schema.get("$ref").and_then(Value::as_str) {
        Some(reference) => root.pointer(reference.trim_start_matches('#')).unwrap_or(schema),
        None => schema,
    }
}

#[test]
fn the_committed_schema_is_the_one_that_the_types_make() {
    let made = schema();
    let committed: Value = serde_json::from_str(COMMITTED).unwrap_or_default();
    assert!(
        made == committed,
        "docs/schemas/cleanup.toml.schema.json is out of date; `cleanup config schema` prints the new one:\n{made:#}"
    );
}

#[test]
fn every_key_of_the_schema_is_described() {
    let schema = schema();
    for kind in ["Configuration", "State", "Audit", "Server", "FilePolicy", "SessionPolicy"] {
        let table = if kind == "Configuration" { &schema } else { &schema["$defs"][kind] };
        assert_eq!(table["additionalProperties"], false, "{kind}");
        for (key, value) in table["properties"].as_object().unwrap() {
            let described = value.get("description").or_else(|| resolved(value, &schema).get("description"));
            assert!(described.is_some(), "{kind}.{key}: {value}");
            assert!(!value.to_string().contains("\"null\""), "{kind}.{key}: {value}");
        }
    }
}

#[test]
fn the_schema_takes_the_built_in_default() {
    let schema = schema();
    let default: Value = toml::from_str(DEFAULT).unwrap();
    for (kind, definition) in [("files", "FilePolicy"), ("sessions", "SessionPolicy")] {
        let policies = resolved(&schema["properties"][kind]["additionalProperties"], &schema);
        assert_eq!(policies, &schema["$defs"][definition]);
        for (name, policy) in default[kind].as_object().unwrap() {
            for key in policy.as_object().unwrap().keys() {
                assert!(policies["properties"].get(key).is_some(), "{kind}.{name}.{key}");
            }
        }
    }
}

#[test]
fn the_reference_names_every_key() {
    let reference = include_str!("../../../docs/configuration.md");
    let schema = schema();
    for definition in ["State", "Audit", "Server", "FilePolicy", "SessionPolicy"] {
        for key in schema["$defs"][definition]["properties"].as_object().unwrap().keys() {
            assert!(reference.contains(&format!("\n| `{key}` |")), "docs/configuration.md has no row for `{key}`");
        }
    }
}

/// The words that a key takes, when it takes one of a few.
fn words_of(property: &Value, schema: &Value) -> Vec<String> {
    let choices = resolved(property, schema).get("oneOf").and_then(Value::as_array);
    let words = choices.into_iter().flatten().filter_map(|choice| choice.get("const").and_then(Value::as_str));
    words.map(str::to_owned).collect()
}

/// Neither may a word that nobody knows pass for the default, nor one that is known for another.
#[test]
fn a_key_that_takes_one_of_a_few_words_takes_no_other_and_tells_them_apart() {
    let schema = schema();
    let mut found = Vec::new();
    for (definition, before) in [
        ("FilePolicy", "[files.f]\nroot = \"/r\"\ninclude = [\"a\"]\nmax_age = \"1h\"\n"),
        (
            "SessionPolicy",
            "[sessions.s]\nurl = \"sqlite:////s\"\ntable = \"t\"\nid_column = \"i\"\nactivity_column = \"a\"\n\
             max_idle = \"1h\"\n",
        ),
        ("Server", "[server]\n"),
    ] {
        for (key, property) in schema["$defs"][definition]["properties"].as_object().unwrap() {
            let words = words_of(property, &schema);
            if words.is_empty() {
                continue;
            }
            found.push(key.clone());
            let loaded = |word: &str| {
                let text = format!("{before}{key} = \"{word}\"\n");
                let source = Source { name: "cleanup.toml", text: &text, folder: Path::new("/") };
                Config::load(&source, &|_| None)
            };
            let error = loaded("nonsense").expect_err(key).to_string();
            for word in &words {
                assert!(error.contains(&format!("`{word}`")), "{key} {word}: {error}");
            }
            let meanings = words.iter().map(|word| {
                let config = loaded(word).unwrap_or_else(|error| panic!("{key} {word}: {error}"));
                format!("{:?} {:?} {:?}", config.files, config.sessions, config.server)
            });
            assert_eq!(meanings.collect::<BTreeSet<_>>().len(), words.len(), "{key}: two words mean the same");
        }
    }
    let expected =
        ["age_clock", "dispose", "mode", "stamp", "unit", "mode", "pace", "partitions", "time_format", "token_for"];
    assert_eq!(found, expected);
}
