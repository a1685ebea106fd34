//! Drafts become named tables, and everything together one document.
//!
//! Values are written by the TOML library, and every table is read back by the loader of `cleanup.toml` before it goes
//! into the document: one that would be refused becomes a note.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use cleanup_core::candidate::Escaped;
use cleanup_core::config::{Config, Source};
use toml::Value;

use super::{Depth, Draft, Found, Imported, ImportedPolicy, Input, Note, Place};
use crate::policy_name::free_name;

const HEAD: &str = "# Imported by `cleanup import` from the settings of another cleaner.
# Every policy only observes: `cleanup` reports what it would remove, and removes nothing.
# Review `cleanup --dry-run` for a while, then delete `mode = \"observe\"`, policy by policy.
";

pub(super) fn document(inputs: &[Input], mut found: Found) -> Imported {
    let mut taken = BTreeSet::new();
    let mut policies = Vec::new();
    // What was written for each root: of two policies with one root, neither takes what both name.
    let mut by_root: BTreeMap<&str, (usize, String)> = BTreeMap::new();
    for draft in &found.drafts {
        let name = free_name(&draft.root, "imported", &taken);
        let text = table(&name, draft);
        let (others, together) = by_root.entry(&draft.root).or_default();
        let all = format!("{together}{text}");
        if let Err(why) = loads(draft, &text, 1) {
            found.notes.push((draft.place, format!("`{}` cannot be imported: {why}", draft.root)));
            continue;
        }
        if loads(draft, &all, *others + 1).is_err() {
            let why = "another line has the same folder, and one of the two matches everything that the other \
                       matches; a file belongs to one policy, so use `exclude` for the files to keep longer";
            found.notes.push((draft.place, format!("`{}` is not imported: {why}", draft.root)));
            continue;
        }
        (*others, *together) = (*others + 1, all);
        taken.insert(name.clone());
        let file = inputs[draft.place.file].name.clone();
        policies.push((draft.place, ImportedPolicy { name, text, file, line: draft.place.line }));
    }
    policies.sort_by_key(|(place, _)| *place);
    found.notes.sort_by_key(|(place, _)| *place);
    found.notes.dedup();
    let config = if policies.is_empty() { String::new() } else { text(inputs, &policies, &found.notes) };
    let note = |(place, message): (Place, String)| Note {
        file: inputs[place.file].name.clone(),
        line: place.line,
        source: source(inputs, place).to_owned(),
        message,
    };
    Imported {
        config,
        policies: policies.into_iter().map(|(_, policy)| policy).collect(),
        notes: found.notes.into_iter().map(note).collect(),
    }
}

/// Each line that says something, what could not be carried over of it, and what it became.
fn text(inputs: &[Input], policies: &[(Place, ImportedPolicy)], notes: &[(Place, String)]) -> String {
    let places: BTreeSet<Place> =
        policies.iter().map(|(place, _)| *place).chain(notes.iter().map(|(place, _)| *place)).collect();
    let mut text = HEAD.to_owned();
    for place in places {
        let shown = |text: &str| Escaped(text.as_bytes()).to_string();
        let (name, line) = (shown(&inputs[place.file].name), shown(source(inputs, place)));
        let _ = write!(text, "\n# {name}:{}: {line}\n", place.line);
        for (_, message) in notes.iter().filter(|(own, _)| *own == place) {
            let _ = writeln!(text, "# Note: {}", shown(message));
        }
        for (index, (_, policy)) in policies.iter().filter(|(own, _)| *own == place).enumerate() {
            text.push_str(if index > 0 { "\n" } else { "" });
            text.push_str(&policy.text);
        }
    }
    text
}

fn source(inputs: &[Input], place: Place) -> &str {
    inputs[place.file].text.lines().nth(place.line - 1).unwrap_or_default().trim()
}

fn table(name: &str, draft: &Draft) -> String {
    let mut rows = rows(draft);
    rows.push(("mode", Value::String("observe".to_owned())));
    rows.into_iter().fold(format!("[files.{name}]\n"), |mut text, (key, value)| {
        let _ = writeln!(text, "{key} = {value}");
        text
    })
}

/// The keys of a draft in one line, for whoever writes the table by hand.
pub(super) fn keys(draft: &Draft) -> String {
    rows(draft).into_iter().map(|(key, value)| format!("{key} = {value}")).collect::<Vec<_>>().join(", ")
}

fn rows(draft: &Draft) -> Vec<(&'static str, Value)> {
    let list = |patterns: &[String]| Value::Array(patterns.iter().cloned().map(Value::String).collect());
    let mut rows =
        vec![("root", Value::String(draft.root.clone())), ("include", list(std::slice::from_ref(&draft.include)))];
    if !draft.exclude.is_empty() {
        rows.push(("exclude", list(&draft.exclude)));
    }
    // All programs that are understood here take files with a leading dot as they take any other.
    rows.push(("dotfiles", Value::Boolean(true)));
    match draft.depth {
        Depth::Root => {}
        Depth::All => rows.push(("recursive", Value::Boolean(true))),
        Depth::Levels(levels) => {
            rows.push(("recursive", Value::Boolean(true)));
            rows.push(("max_depth", Value::Integer(levels.into())));
        }
    }
    rows.push(("max_age", Value::String(draft.max_age.clone())));
    rows.push(("stamp", Value::String(draft.stamp.key().to_owned())));
    rows
}

/// Whether the table means what the draft means; or whether several tables with one root can be, beside each other.
fn loads(draft: &Draft, text: &str, tables: usize) -> Result<(), String> {
    if text.contains("${") {
        return Err("it contains `${`".to_owned());
    }
    let source = Source { name: "imported", text, folder: Path::new("/") };
    match Config::load(&source, &|_| None) {
        Ok(config) if config.files.len() == tables => Ok(()),
        Ok(_) => Err(format!("`{}` is not a single policy", draft.root)),
        Err(error) => {
            Err(error.diagnostics().first().map_or_else(|| error.to_string(), |problem| problem.title().to_owned()))
        }
    }
}
