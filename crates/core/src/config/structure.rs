//! From the tree to the raw types, collecting what does not fit instead of stopping at the first.
//!
//! serde stops at an error, so what it complained about is cut out of the tree and the rest is read again. What was
//! cut is remembered: a policy that lost a key must not be told as well that the key is missing.

use std::ops::Range;

use serde::Deserialize as _;
use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue, Deserializer, Error};

use super::diagnostic::{Diagnostic, did_you_mean, one_of};
use super::raw::RawConfig;
use crate::candidate::Escaped;

/// After so many errors reading stops: a file with more is not a configuration at all.
const ENOUGH: usize = 50;

/// What could be read of a file.
#[derive(Debug)]
pub(super) struct Structure {
    pub(super) raw: RawConfig,
    /// The paths of all keys that did not fit and are missing from `raw`.
    cut: Vec<Vec<String>>,
}

impl Structure {
    /// Whether a table lost a key, so that nothing can be said about what is missing in it.
    pub(super) fn lost_keys(&self, table: &[&str]) -> bool {
        self.cut.iter().any(|path| path.iter().zip(table).all(|(cut, name)| cut == name))
    }
}

/// Reads the tree, adding an error for each key that does not fit.
pub(super) fn read(mut tree: Spanned<DeTable<'_>>, problems: &mut Vec<Diagnostic>) -> Structure {
    let mut cut = Vec::new();
    while cut.len() < ENOUGH {
        let error = match RawConfig::deserialize(Deserializer::from(tree.clone())) {
            Ok(raw) => return Structure { raw, cut },
            Err(error) => error,
        };
        let misfit = error.span().and_then(|span| Misfit::cut(tree.get_mut(), &span, &mut Vec::new()));
        let Some(misfit) = misfit else {
            problems.push(Diagnostic::new(&error.span().unwrap_or_default(), error.message()));
            break;
        };
        if !cut.iter().any(|inner: &Vec<String>| inner.starts_with(&misfit.path)) {
            problems.push(misfit.explain(error.message()));
        }
        cut.push(misfit.path);
    }
    cut.push(Vec::new());
    Structure { raw: RawConfig::default(), cut }
}

/// Says what is wrong with a text that is not TOML.
pub(super) fn syntax(error: &Error) -> Diagnostic {
    Diagnostic::new(&error.span().unwrap_or_default(), "this is not valid TOML").label(error.message().to_owned())
}

/// An entry that did not fit, cut out of its table.
struct Misfit {
    path: Vec<String>,
    /// Where serde pointed: the key when it is unknown, else the value.
    span: Range<usize>,
    /// What kind of value it is.
    found: &'static str,
}

impl Misfit {
    /// Finds the innermost entry at a place and removes it.
    fn cut(table: &mut DeTable<'_>, span: &Range<usize>, path: &mut Vec<String>) -> Option<Self> {
        for (key, value) in table.iter_mut() {
            path.push(key.get_ref().to_string());
            if let DeValue::Table(inner) = value.get_mut()
                && let Some(misfit) = Self::cut(inner, span, path)
            {
                return Some(misfit);
            }
            if key.span() == *span || holds(value, span) {
                let found = kind(innermost(value, span));
                let name = key.get_ref().to_string();
                table.remove(name.as_str());
                return Some(Self { path: path.clone(), span: span.clone(), found });
            }
            path.pop();
        }
        None
    }

    /// Turns serde's message into ours. The forms of serde's own messages are part of its interface; any other
    /// message is ours already, from `values`.
    fn explain(&self, message: &str) -> Diagnostic {
        let key = self.path.last().map_or("", String::as_str);
        let (complaint, expected) = message.split_once(", expected ").unwrap_or((message, ""));
        if complaint.starts_with("unknown field") {
            return self.unknown_key(key, &quoted(expected));
        }
        if complaint.starts_with("unknown variant") {
            return self.unknown_value(key, complaint, &quoted(expected));
        }
        if complaint.starts_with("invalid") && matches!(self.path.as_slice(), [kind, _] if is_kind(kind)) {
            return self.no_policy(key);
        }
        if complaint.starts_with("invalid") {
            return self.misplaced(key, expected);
        }
        if complaint.starts_with("wanted ") {
            return self.misplaced(key, "a string");
        }
        if let Some(missing) = complaint.strip_prefix("missing field ") {
            return Diagnostic::new(&self.span, format!("`{key}` is incomplete"))
                .label(format!("the key {missing} is missing"));
        }
        let (title, label) = message.split_once(": ").unwrap_or(("invalid", message));
        Diagnostic::new(&self.span, format!("`{key}` is {title}")).label(label)
    }

    fn unknown_key(&self, key: &str, known: &[&str]) -> Diagnostic {
        let shown = Escaped(key.as_bytes());
        let diagnostic = match self.path.as_slice() {
            [_] => Diagnostic::new(&self.span, format!("unknown key `{shown}`")),
            [tables @ .., _] => Diagnostic::new(
                &self.span,
                format!("unknown key `{shown}` in `[{}]`", Escaped(tables.join(".").as_bytes())),
            ),
            [] => Diagnostic::new(&self.span, "unknown key"),
        };
        if let Some(meant) = synonym(&self.path).or_else(|| did_you_mean(key, known.iter().copied())) {
            return diagnostic.label(format!("did you mean `{meant}`?"));
        }
        if known.len() <= 8 {
            return diagnostic.label(format!("expected {}", one_of(known.iter().copied())));
        }
        diagnostic.label("no such key").help("`cleanup config schema` describes every key")
    }

    fn unknown_value(&self, key: &str, complaint: &str, known: &[&str]) -> Diagnostic {
        let wrong = quoted(complaint).first().copied().unwrap_or_default();
        let diagnostic = Diagnostic::new(&self.span, format!("unknown value for `{key}`"))
            .label(format!("expected {}", one_of(known.iter().copied())));
        match did_you_mean(wrong, known.iter().copied()) {
            Some(meant) => diagnostic.help(format!("did you mean `{meant}`?")),
            None => diagnostic,
        }
    }

    fn misplaced(&self, key: &str, expected: &str) -> Diagnostic {
        let expected = match expected {
            "a boolean" => "`true` or `false`",
            "a sequence" => "a list",
            "u32" => "a whole number up to 4294967295",
            "u64" => "a whole number that is not negative",
            "f64" => "a number",
            other => other,
        };
        let diagnostic = Diagnostic::new(&self.span, format!("wrong type for `{key}`"))
            .label(format!("expected {expected}, found {}", self.found));
        match (expected, self.found) {
            ("a list", "a string") => diagnostic.help("put it in brackets: `[\"…\"]`"),
            ("`true` or `false`", "a string") => diagnostic.help("write it without quotes"),
            ("a string", _) => diagnostic.help("put it in quotes"),
            _ => diagnostic,
        }
    }

    /// A value where a policy's table was expected: its name was forgotten, or its brackets were doubled.
    fn no_policy(&self, key: &str) -> Diagnostic {
        let kind = self.path.first().map_or("", String::as_str);
        let key = Escaped(key.as_bytes());
        if self.found == TABLES {
            return Diagnostic::new(&self.span, format!("the policy `{key}` is a list of tables"))
                .label("expected one table")
                .help(format!("write single brackets: `[{kind}.{key}]`"));
        }
        Diagnostic::new(&self.span, format!("`{key}` is outside any policy"))
            .label(format!("expected a table, found {}", self.found))
            .help(format!("start the policy with `[{kind}.NAME]`"))
    }
}

/// The key that was probably meant by someone who thinks of another tool, or of the other kind of policy.
fn synonym(path: &[String]) -> Option<&'static str> {
    let (kind, key) = match path {
        [kind, _, key] => (kind.as_str(), key.as_str()),
        [key] => ("", key.as_str()),
        _ => return None,
    };
    Some(match (kind, key) {
        ("", "file" | "policy" | "policies") => "files",
        ("", "session") => "sessions",
        ("", "timezone" | "tz") => "time_zone",
        ("files", "path" | "dir" | "directory" | "folder") => "root",
        ("files", "pattern" | "patterns" | "glob" | "globs" | "files") => "include",
        ("files", "ignore" | "excludes") => "exclude",
        ("files", "max_idle" | "age" | "ttl" | "older_than") => "max_age",
        ("files" | "sessions", "interval" | "schedule") => "every",
        ("sessions", "max_age" | "ttl" | "idle" | "timeout") => "max_idle",
        ("sessions", "database" | "database_url" | "dsn") => "url",
        ("sessions", "expiry_column" | "expires" | "expires_at") => "expires_column",
        ("sessions", "activity_columns") => "activity_column",
        _ => return None,
    })
}

fn is_kind(name: &str) -> bool {
    matches!(name, "files" | "sessions")
}

/// The words between backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// Whether a place is this value or lies in it. A table written with a header does not surround its entries.
fn holds(value: &Spanned<DeValue<'_>>, span: &Range<usize>) -> bool {
    let own = value.span();
    match value.get_ref() {
        DeValue::Table(_) => own == *span,
        _ => own.start <= span.start && span.end <= own.end,
    }
}

/// The element of an array at a place, or the value itself.
fn innermost<'a, 'i>(value: &'a Spanned<DeValue<'i>>, span: &Range<usize>) -> &'a DeValue<'i> {
    match value.get_ref() {
        DeValue::Array(items) if value.span() != *span => {
            items.iter().find(|item| holds(item, span)).map_or(value.get_ref(), |item| innermost(item, span))
        }
        own => own,
    }
}

/// What `[[NAME]]` makes.
const TABLES: &str = "a list of tables";

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(number) if number.as_str().starts_with('-') => "a negative number",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(true) => "`true`",
        DeValue::Boolean(false) => "`false`",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(items) if items.iter().any(|item| matches!(item.get_ref(), DeValue::Table(_))) => TABLES,
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
