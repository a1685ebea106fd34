//! Variables in strings: `${NAME}`, `${NAME:-default}`, and `$${` for a literal `${`.
//!
//! They are expanded in the parsed tree, before any value gets a type, so that every string of the language may hold
//! one. What is expanded is not looked at again: a value from the environment cannot name another variable. As in a
//! shell, the default also stands in for a variable that is set and empty.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::Diagnostic;

/// What the variables were, by the place of the value that holds them.
#[derive(Debug, Default)]
pub(super) struct Variables {
    /// The variables whose values went into the string that begins here.
    used: BTreeMap<usize, Vec<String>>,
    /// The variable that the `url` that begins here needs and that is unset.
    unset: BTreeMap<usize, String>,
}

impl Variables {
    /// The variables that the value at this place was made of.
    pub(super) fn used(&self, span: &Range<usize>) -> &[String] {
        self.used.get(&span.start).map_or(&[], Vec::as_slice)
    }

    /// The unset variable that stands for the database of the `url` at this place.
    pub(super) fn unset(&self, span: &Range<usize>) -> Option<&str> {
        self.unset.get(&span.start).map(String::as_str)
    }

    /// Says in an error where the value came from, when the file does not show it.
    pub(super) fn explain(&self, diagnostic: Diagnostic) -> Diagnostic {
        match self.used(&diagnostic.span()) {
            [] => diagnostic,
            [only] => diagnostic.note(format!("the value comes from the variable `{only}`")),
            several => diagnostic.note(format!("the value comes from the variables `{}`", several.join("`, `"))),
        }
    }
}

/// Expands every string of the tree in place.
pub(super) fn expand(
    tree: &mut DeTable<'_>,
    env: &dyn Fn(&str) -> Option<String>,
    problems: &mut Vec<Diagnostic>,
) -> Variables {
    let mut expansion = Expansion { env, problems, variables: Variables::default() };
    expansion.table(tree, &mut Vec::new());
    expansion.variables
}

/// Whether this is the key for which an unset variable means "no database here".
pub(super) fn is_database_url(path: &[String]) -> bool {
    matches!(path, [kind, _, key] if kind == "sessions" && key == "url")
}

struct Expansion<'a> {
    env: &'a dyn Fn(&str) -> Option<String>,
    problems: &'a mut Vec<Diagnostic>,
    variables: Variables,
}

impl Expansion<'_> {
    fn table(&mut self, table: &mut DeTable<'_>, path: &mut Vec<String>) {
        for (key, value) in table.iter_mut() {
            path.push(key.get_ref().to_string());
            self.value(value, path);
            path.pop();
        }
    }

    fn value(&mut self, value: &mut Spanned<DeValue<'_>>, path: &mut Vec<String>) {
        let span = value.span();
        match value.get_mut() {
            DeValue::String(text) => self.string(text, &span, path),
            DeValue::Array(items) => items.iter_mut().for_each(|item| self.value(item, path)),
            DeValue::Table(table) => self.table(table, path),
            _ => {}
        }
    }

    fn string(&mut self, text: &mut Cow<'_, str>, span: &Range<usize>, path: &[String]) {
        if !text.contains("${") {
            return;
        }
        match expand_text(text, self.env) {
            Ok((expanded, used)) => {
                if is_database_url(path)
                    && expanded.trim().is_empty()
                    && let Some(variable) = used.first()
                {
                    self.variables.unset.insert(span.start, variable.clone());
                }
                if !used.is_empty() {
                    self.variables.used.insert(span.start, used);
                }
                *text = Cow::Owned(expanded);
            }
            Err(Failure::Unset(variable)) if is_database_url(path) => {
                self.variables.unset.insert(span.start, variable);
            }
            Err(failure) => self.problems.push(failure.explain(span, path)),
        }
    }
}

/// Why a string could not be expanded.
enum Failure {
    /// The variable is unset and has no default.
    Unset(String),
    /// A `${` without its `}`.
    Unclosed,
    /// What stands between `${` and `}` is not a name.
    Name(String),
}

impl Failure {
    fn explain(self, span: &Range<usize>, path: &[String]) -> Diagnostic {
        let key = path.last().map_or("", String::as_str);
        match self {
            Self::Unset(name) => {
                Diagnostic::new(span, format!("`{key}` needs the variable `{name}`, which is not set"))
                    .label("not set, and without a default")
                    .help(format!("set `{name}`, or write a default: `${{{name}:-default}}`"))
            }
            Self::Unclosed => Diagnostic::new(span, format!("a variable in `{key}` is not closed"))
                .label("`${` without a `}`")
                .help("write `$${` for a literal `${`"),
            Self::Name(name) => Diagnostic::new(span, format!("`{}` is not a variable name", name.escape_debug()))
                .label("expected `${NAME}` or `${NAME:-default}`")
                .note("a name is made of letters, digits and `_`, and does not begin with a digit")
                .help("write `$${` for a literal `${`"),
        }
    }
}

/// The expanded text, and the names of the variables whose values are in it.
fn expand_text(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<(String, Vec<String>), Failure> {
    let (mut expanded, mut used) = (String::with_capacity(text.len()), Vec::new());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, variable) = rest.split_at(at);
        if let Some(before) = before.strip_suffix('$') {
            expanded.push_str(before);
            expanded.push_str("${");
            rest = &variable["${".len()..];
            continue;
        }
        expanded.push_str(before);
        let (inside, after) = variable["${".len()..].split_once('}').ok_or(Failure::Unclosed)?;
        let (name, default) = inside.split_once(":-").map_or((inside, None), |(name, default)| (name, Some(default)));
        if !is_name(name) {
            return Err(Failure::Name(name.to_owned()));
        }
        match (env(name), default) {
            (Some(value), None) => {
                expanded.push_str(&value);
                used.push(name.to_owned());
            }
            (Some(value), Some(_)) if !value.is_empty() => {
                expanded.push_str(&value);
                used.push(name.to_owned());
            }
            (_, Some(default)) => expanded.push_str(default),
            (None, None) => return Err(Failure::Unset(name.to_owned())),
        }
        rest = after;
    }
    expanded.push_str(rest);
    Ok((expanded, used))
}

fn is_name(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> Option<String> {
        let env = |name: &str| match name {
            "SET" => Some("value".to_owned()),
            "EMPTY" => Some(String::new()),
            "NESTED" => Some("${SET}".to_owned()),
            _ => None,
        };
        expand_text(text, &env).ok().map(|(text, _)| text)
    }

    #[test]
    fn variables_are_expanded_once() {
        for (text, expected) in [
            ("plain $5 {uuid}", "plain $5 {uuid}"),
            ("${SET}/x/${SET}", "value/x/value"),
            ("${SET:-other}", "value"),
            ("${MISSING:-other}", "other"),
            ("${MISSING:-}", ""),
            ("${EMPTY}", ""),
            ("${EMPTY:-other}", "other"),
            ("${NESTED}", "${SET}"),
            ("$${SET} and $${", "${SET} and ${"),
            ("formal_${SET}_{uuid}.svg", "formal_value_{uuid}.svg"),
        ] {
            assert_eq!(expanded(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_expanded_is_an_error() {
        for text in ["${MISSING}", "${SET", "${}", "${1}", "${A B}", "${SET:default}", "x${"] {
            assert_eq!(expanded(text), None, "{text}");
        }
    }
}
