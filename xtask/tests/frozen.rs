//! The keys that programs rely on: none is lost, and none changes its type.
//!
//! Scripts read `--json`, clients call the HTTP interface, and people keep a `cleanup.toml` for years. None of them
//! notices an upgrade until a key that they use is missing, so every key of `docs/schemas` and `docs/openapi.json` is
//! written down in `frozen/`, one line each, and compared here. Other tests hold those documents to the types, and the
//! types to what the programs print.
//!
//! - `policies[].kept.held: integer` is always there; `path_bytes?: null|string` may be missing.
//! - `status = "partial"` is one of the words that a key may have.
//! - In what the programs *print*, a key keeps its type and goes on being there. In what they *read* (`cleanup.toml`,
//!   parameters, bodies), a key may take more than before, and nothing new may be demanded.
//!
//! New keys are welcome. They are frozen with `UPDATE_FROZEN=1 cargo test -p xtask --test frozen`, which adds lines and
//! never takes one away. Whoever takes a line away by hand breaks somebody's program, and says so in `CHANGELOG.md`.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

#[test]
fn no_key_is_lost_or_changes_its_type() {
    let mut complaints = String::new();
    for (name, now) in documents() {
        let path = frozen().join(format!("{name}.keys"));
        let mut text = std::fs::read_to_string(&path).unwrap_or_default();
        if std::env::var_os("UPDATE_FROZEN").is_some() {
            text = with_new_lines(&text, &now);
            std::fs::write(&path, &text).unwrap();
        }
        assert!(!text.is_empty(), "{} is missing: UPDATE_FROZEN=1 cargo test -p xtask --test frozen", path.display());
        for complaint in complaints_about(&text, &now) {
            writeln!(complaints, "{name}: {complaint}").unwrap();
        }
    }
    assert!(complaints.is_empty(), "programs that work today would fail:\n{complaints}");
}

#[test]
fn no_document_is_lost() {
    let documents: BTreeSet<String> = documents().into_keys().collect();
    let frozen: BTreeSet<String> = std::fs::read_dir(frozen())
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    assert!(frozen.len() > 10, "{frozen:?}");
    let lost: Vec<_> = frozen.difference(&documents).collect();
    assert!(lost.is_empty(), "docs/ no longer describes {lost:?}");
}

#[test]
fn the_lists_are_sorted_and_name_no_key_twice() {
    for entry in std::fs::read_dir(frozen()).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let sorted: BTreeSet<&str> = lines.iter().copied().collect();
        assert_eq!(lines, sorted.iter().copied().collect::<Vec<_>>(), "{}", path.display());
        let names: BTreeSet<&str> = lines.iter().map(|line| name_of(line)).collect();
        let keys = lines.iter().filter(|line| !line.contains(" = "));
        assert_eq!(keys.count(), names.len(), "{}: a key twice, or a word of a key that is not there", path.display());
    }
}

/// What a document prints and what it reads are held to different rules, so each change is tried on both.
#[test]
fn each_change_that_breaks_somebody_is_named_and_no_other() {
    let old = json!({
        "type": "object",
        "properties": {
            "count": { "type": "integer" },
            "status": { "enum": ["ok", "failed"] },
            "more": { "type": "array", "items": { "$ref": "#/$defs/Item" } },
        },
        "required": ["count", "status"],
        "$defs": { "Item": { "type": "object", "properties": { "path": { "type": "string" } }, "required": ["path"] } },
    });
    let changed = |pointer: &str, value: Option<Value>| {
        let mut new = old.clone();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let parent = new.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        match value {
            Some(value) => drop(parent.insert(key.to_owned(), value)),
            None => drop(parent.remove(key)),
        }
        new
    };
    let wider = json!({ "type": ["integer", "string"] });
    for (what, new, printed, read) in [
        ("nothing", old.clone(), None, None),
        ("a key is lost", changed("/properties/count", None), Some("`count` is lost"), Some("`count` is lost")),
        (
            "a key within is lost",
            changed("/$defs/Item/properties/path", None),
            Some("`more[].path` is lost"),
            Some("`more[].path` is lost"),
        ),
        (
            "a type is another one",
            changed("/properties/count", Some(json!({ "type": "string" }))),
            Some("`count` was integer and is string"),
            Some("`count` took integer and takes string"),
        ),
        (
            "a type is wider",
            changed("/properties/count", Some(wider)),
            Some("`count` was integer and is integer|string"),
            None,
        ),
        (
            "a word is lost",
            changed("/properties/status/enum", Some(json!(["ok"]))),
            Some("`status` no longer knows \"failed\""),
            Some("`status` no longer knows \"failed\""),
        ),
        ("a word is new", changed("/properties/status/enum", Some(json!(["ok", "failed", "held"]))), None, None),
        (
            "a key may be missing",
            changed("/required", Some(json!(["status"]))),
            Some("`count` was always there and may be missing now"),
            None,
        ),
        (
            "a key is demanded",
            changed("/required", Some(json!(["count", "status", "more"]))),
            None,
            Some("`more` is demanded now, and was not"),
        ),
        ("a key is new", changed("/properties/new", Some(json!({ "type": "string" }))), None, None),
        (
            "a new key is demanded",
            changed(
                "/$defs/Item",
                Some(json!({
                    "properties": { "path": { "type": "string" }, "new": { "type": "string" } },
                    "required": ["path", "new"],
                    "type": "object",
                })),
            ),
            None,
            Some("`more[].new` is demanded now, and was not"),
        ),
    ] {
        for (direction, expected) in [(Direction::Printed, printed), (Direction::Read, read)] {
            let text = with_new_lines("", &keys(&old, direction));
            let complaints = complaints_about(&text, &keys(&new, direction));
            assert_eq!(complaints, expected.into_iter().collect::<Vec<_>>(), "{what}, {direction:?}");
        }
    }
}

#[test]
fn what_is_new_is_added_and_what_is_lost_stays_written_down() {
    let of = |name: &str, kind: &str| {
        keys(&json!({ "type": "object", "properties": { name: { "type": kind } } }), Direction::Printed)
    };
    let text = with_new_lines("", &of("old", "string"));
    assert_eq!(text, ".: object\nold?: string\n");
    let text = with_new_lines(&text, &of("new", "integer"));
    assert_eq!(text, ".: object\nnew?: integer\nold?: string\n");
    assert_eq!(complaints_about(&text, &of("new", "integer")), ["`old` is lost"]);
}

/// A key of a document, as its schema has it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    direction: Direction,
    is_optional: bool,
    types: BTreeSet<String>,
    /// The words that it may have, where they are counted.
    words: BTreeSet<String>,
}

/// Whose the key is: it decides which changes break somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    /// The programs write it, others read it.
    Printed,
    /// Others write it, the programs read it.
    Read,
}

type Keys = BTreeMap<String, Key>;

/// The name of a whole document.
const WHOLE: &str = ".";

/// All documents by the name of their list.
fn documents() -> BTreeMap<String, Keys> {
    let docs = top().join("docs");
    let read = |path: &Path| -> Value { serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap() };
    let mut documents = BTreeMap::new();
    for entry in std::fs::read_dir(docs.join("schemas")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().strip_suffix(".schema.json").unwrap().to_owned();
        let direction = if name == "cleanup.toml" { Direction::Read } else { Direction::Printed };
        documents.insert(name, keys(&read(&path), direction));
    }
    documents.insert("openapi".to_owned(), interface(&read(&docs.join("openapi.json"))));
    documents
}

fn keys(schema: &Value, direction: Direction) -> Keys {
    let mut keys = Keys::new();
    Walk { root: schema, direction, keys: &mut keys }.key(schema, WHOLE, false, &mut Vec::new());
    keys
}

/// What can be sent to each call of the HTTP interface, and what comes back.
fn interface(document: &Value) -> Keys {
    let mut keys = Keys::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let call = format!("{} {path}", method.to_uppercase());
            let mut walk = |direction, schema: &Value, name: String, is_optional| {
                Walk { root: document, direction, keys: &mut keys }.key(schema, &name, is_optional, &mut Vec::new());
            };
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let (place, name) = (parameter["in"].as_str().unwrap(), parameter["name"].as_str().unwrap());
                let is_optional = parameter["required"] != true;
                walk(Direction::Read, &parameter["schema"], format!("{call} {place} {name}"), is_optional);
            }
            let is_optional = operation["requestBody"]["required"] != true;
            for (kind, content) in operation["requestBody"]["content"].as_object().into_iter().flatten() {
                walk(Direction::Read, &content["schema"], format!("{call} body {kind}"), is_optional);
            }
            for (status, response) in operation["responses"].as_object().unwrap() {
                for (header, content) in response["headers"].as_object().into_iter().flatten() {
                    walk(Direction::Printed, &content["schema"], format!("{call} {status} header {header}"), false);
                }
                let contents = response["content"].as_object();
                for (kind, content) in contents.into_iter().flatten() {
                    walk(Direction::Printed, &content["schema"], format!("{call} {status} {kind}"), false);
                }
                if contents.is_none() {
                    walk(Direction::Printed, &Value::Null, format!("{call} {status}"), false);
                }
            }
        }
    }
    keys
}

/// Follows a schema to every key of the documents that it describes.
struct Walk<'a> {
    root: &'a Value,
    direction: Direction,
    keys: &'a mut Keys,
}

impl Walk<'_> {
    fn key(&mut self, schema: &Value, name: &str, is_optional: bool, inside: &mut Vec<String>) {
        let new = || Key { direction: self.direction, is_optional, types: BTreeSet::new(), words: BTreeSet::new() };
        self.keys.entry(name.to_owned()).or_insert_with(new).is_optional |= is_optional;
        self.schema(schema, name, inside);
    }

    /// Adds what a schema says about a key; several of them may say something about one.
    fn schema(&mut self, schema: &Value, name: &str, inside: &mut Vec<String>) {
        if let Some(reference) = schema["$ref"].as_str() {
            // A type that holds itself has the same keys again at every depth.
            if !inside.iter().any(|outer| outer == reference) {
                let target = self.root.pointer(reference.trim_start_matches('#')).unwrap();
                inside.push(reference.to_owned());
                self.schema(target, name, inside);
                inside.pop();
            }
        }
        let key = self.keys.get_mut(name).unwrap();
        match &schema["type"] {
            Value::String(word) => drop(key.types.insert(word.clone())),
            Value::Array(words) => key.types.extend(words.iter().filter_map(Value::as_str).map(str::to_owned)),
            _ => {}
        }
        let fixed = schema.get("const").into_iter().chain(schema["enum"].as_array().into_iter().flatten());
        key.words.extend(fixed.map(Value::to_string));
        for part in ["allOf", "anyOf", "oneOf"] {
            for schema in schema[part].as_array().into_iter().flatten() {
                self.schema(schema, name, inside);
            }
        }
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for (property, schema) in schema["properties"].as_object().into_iter().flatten() {
            self.key(schema, &joined(name, property), !required.contains(&property.as_str()), inside);
        }
        if schema["additionalProperties"].is_object() {
            self.key(&schema["additionalProperties"], &joined(name, "*"), true, inside);
        }
        if schema["items"].is_object() {
            self.key(&schema["items"], &format!("{name}[]"), false, inside);
        }
        for (index, schema) in schema["prefixItems"].as_array().into_iter().flatten().enumerate() {
            self.key(schema, &format!("{name}[{index}]"), false, inside);
        }
    }
}

/// `policies[].name`, and `GET /healthz 200 application/json status`: after what names a whole body stands a space.
fn joined(name: &str, property: &str) -> String {
    let is_body = name.rsplit(' ').next().is_some_and(|last| last.contains('/'));
    match name {
        WHOLE => property.to_owned(),
        _ if is_body => format!("{name} {property}"),
        _ => format!("{name}.{property}"),
    }
}

/// A line for each key, and one for each of its words.
fn lines(name: &str, key: &Key) -> impl Iterator<Item = String> {
    let types = key.types.iter().cloned().collect::<Vec<_>>().join("|");
    let types = if types.is_empty() { "anything".to_owned() } else { types };
    let first = format!("{name}{}: {types}", if key.is_optional { "?" } else { "" });
    std::iter::once(first).chain(key.words.iter().map(move |word| format!("{name} = {word}")))
}

/// The name of the key that a line is about.
fn name_of(line: &str) -> &str {
    let name = match line.split_once(" = ") {
        Some((name, _)) => name,
        None => line.rsplit_once(": ").unwrap().0,
    };
    name.strip_suffix('?').unwrap_or(name)
}

/// The text with lines for what it does not name yet; what it names stays as it is.
fn with_new_lines(text: &str, now: &Keys) -> String {
    let mut all: BTreeSet<String> = text.lines().map(str::to_owned).collect();
    let known: BTreeSet<String> =
        text.lines().filter(|line| !line.contains(" = ")).map(|line| name_of(line).to_owned()).collect();
    for (name, key) in now {
        all.extend(lines(name, key).filter(|line| line.contains(" = ") || !known.contains(name)));
    }
    all.into_iter().fold(String::new(), |text, line| text + &line + "\n")
}

/// What would break whoever relies on the lines of `text`, in their order.
fn complaints_about(text: &str, now: &Keys) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut optional = BTreeMap::new();
    for line in text.lines() {
        let name = name_of(line);
        if !line.contains(" = ") {
            optional.insert(name, line.contains(&format!("{name}?: ")));
        }
        // Of a key that is lost, one line is enough.
        let Some(key) = now.get(name) else {
            if !line.contains(" = ") {
                complaints.push(format!("`{name}` is lost"));
            }
            continue;
        };
        if let Some((_, word)) = line.split_once(" = ") {
            if !key.words.contains(word) {
                complaints.push(format!("`{name}` no longer knows {word}"));
            }
            continue;
        }
        let before: BTreeSet<String> = line
            .rsplit_once(": ")
            .unwrap()
            .1
            .split('|')
            .filter(|word| *word != "anything")
            .map(str::to_owned)
            .collect();
        let shown = |types: &BTreeSet<String>| types.iter().cloned().collect::<Vec<_>>().join("|");
        match key.direction {
            Direction::Printed if key.types != before => {
                complaints.push(format!("`{name}` was {} and is {}", shown(&before), shown(&key.types)));
            }
            Direction::Printed if key.is_optional && !optional[name] => {
                complaints.push(format!("`{name}` was always there and may be missing now"));
            }
            Direction::Read if !key.types.is_superset(&before) => {
                complaints.push(format!("`{name}` took {} and takes {}", shown(&before), shown(&key.types)));
            }
            Direction::Printed | Direction::Read => {}
        }
    }
    for (name, _) in now.iter().filter(|(_, key)| key.direction == Direction::Read && !key.is_optional) {
        // Where the object around it is new, nobody sends it yet.
        let around = name.rfind(['.', ' ']).map_or(WHOLE, |end| &name[..end]);
        let was_optional = optional.get(name.as_str()).copied();
        let is_item = name.ends_with(']');
        if !is_item && was_optional.unwrap_or_else(|| optional.contains_key(around)) {
            complaints.push(format!("`{name}` is demanded now, and was not"));
        }
    }
    complaints
}

fn frozen() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/frozen")
}

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
