//! The effective settings, each with where it came from: what `config show` prints.
//!
//! What the file says is taken from the tree that became the configuration; what it leaves out, from the table of
//! defaults below. A test holds the table against the real defaults. Database URLs are shown without credentials, webhooks
//! without all that follows the host.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::path::Path;

use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::is_lone_variable;
use super::notify::without_secrets;
use super::vars::{Variables, is_database_url};

/// One effective value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Where it stands: `files.temp-svgs.max_age`.
    pub key: String,
    /// The value as TOML would write it, with variables expanded, relative roots resolved and credentials hidden.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This line of the file, counted from 1.
    Line(usize),
    /// These environment variables, which the line of the file names.
    Variables {
        /// The line of the file, counted from 1.
        line: usize,
        /// The names of the variables, in their order in the value.
        names: Vec<String>,
    },
    /// The file does not say.
    Default,
}

/// `line 12`, `variable DATABASE_URL`, `default`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Variables { names, .. } if names.len() == 1 => write!(f, "variable {}", names[0]),
            Self::Variables { names, .. } => write!(f, "variables {}", names.join(", ")),
            Self::Default => f.write_str("default"),
        }
    }
}

/// Defaults of keys that stand once.
const DEFAULTS: &[(&str, &str)] = &[
    ("state.keep_history", "\"90d\""),
    ("state.removals_for", "\"30d\""),
    ("state.removals_max_size", "\"1GiB\""),
    ("server.listen", "\"127.0.0.1:8000\""),
    ("server.token_for", "\"changes\""),
    ("server.max_hold", "\"90d\""),
];

/// Defaults of every file policy.
const FILE_DEFAULTS: &[(&str, &str)] = &[
    ("exclude", "[]"),
    ("archives", "[]"),
    ("include_archives", "false"),
    ("dotfiles", "false"),
    ("min_age", "\"0s\""),
    ("stamp", "\"mtime\""),
    ("age_clock", "\"wall\""),
    ("recursive", "false"),
    ("remove_empty_dirs", "false"),
    ("unit", "\"file\""),
    ("dispose", "\"delete\""),
    ("skip_in_use", "false"),
    ("honour_flock", "false"),
    ("index", "true"),
    ("mode", "\"enforce\""),
    ("track", "false"),
    ("root_may_be_missing", "false"),
    ("enabled", "true"),
];

/// Defaults of every session policy.
const SESSION_DEFAULTS: &[(&str, &str)] = &[
    ("batch_size", "500"),
    ("lock_timeout", "\"200ms\""),
    ("pace", "\"normal\""),
    ("partitions", "\"delete\""),
    ("mode", "\"enforce\""),
    ("enabled", "true"),
];

/// Lists every setting: what the file says in its order, each policy followed by its defaults.
pub(super) fn settings(tree: &DeTable<'_>, text: &str, folder: &Path, variables: &Variables) -> Vec<Setting> {
    let line_ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect();
    let mut show = Show { line_ends, folder, variables, settings: Vec::new(), named: HashSet::new() };
    show.table(tree, &mut Vec::new());
    for (key, value) in DEFAULTS {
        show.default((*key).to_owned(), value);
    }
    show.settings
}

/// The spans of all values that may hold a password: database URLs, URLs and headers of `[notify]`, unless all of one is
/// in a variable.
pub(super) fn secrets(tree: &DeTable<'_>, text: &str) -> Vec<Range<usize>> {
    let mut spans = Vec::new();
    let mut add = |value: &Spanned<DeValue<'_>>| {
        let span = value.span();
        if !text.get(span.clone()).is_some_and(is_lone_variable) {
            spans.push(span);
        }
    };
    if let Some(DeValue::Table(notify)) = tree.get("notify").map(Spanned::get_ref) {
        ["webhook", "ping"].into_iter().filter_map(|key| notify.get(key)).for_each(&mut add);
        match notify.get("headers").map(|headers| (headers, headers.get_ref())) {
            Some((_, DeValue::Table(headers))) => headers.values().for_each(&mut add),
            Some((other, _)) => add(other),
            None => {}
        }
    }
    let Some(DeValue::Table(policies)) = tree.get("sessions").map(Spanned::get_ref) else { return spans };
    for policy in policies.values() {
        let DeValue::Table(policy) = policy.get_ref() else { continue };
        policy.get("url").into_iter().for_each(&mut add);
    }
    spans
}

struct Show<'a> {
    /// Where the lines of the text end. A file of thousands of policies has tens of thousands of values: counting the
    /// lines before each of them would take longer than all else.
    line_ends: Vec<usize>,
    folder: &'a Path,
    variables: &'a Variables,
    settings: Vec<Setting>,
    /// The keys that the file has.
    named: HashSet<String>,
}

impl Show<'_> {
    fn table(&mut self, table: &DeTable<'_>, path: &mut Vec<String>) {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in entries {
            path.push(key.get_ref().to_string());
            match value.get_ref() {
                DeValue::Table(inner) if path.len() < 3 => self.table(inner, path),
                _ => self.setting(path, value),
            }
            path.pop();
        }
        if let [kind, _] = path.as_slice() {
            let defaults = match kind.as_str() {
                "files" => FILE_DEFAULTS,
                "sessions" => SESSION_DEFAULTS,
                _ => &[],
            };
            for (key, value) in defaults {
                self.default(format!("{}.{key}", path.join(".")), value);
            }
        }
    }

    fn setting(&mut self, path: &[String], value: &Spanned<DeValue<'_>>) {
        let setting = Setting { key: path.join("."), value: self.shown(path, value), origin: self.origin(value) };
        self.named.insert(setting.key.clone());
        self.settings.push(setting);
    }

    fn shown(&self, path: &[String], value: &Spanned<DeValue<'_>>) -> String {
        match value.get_ref() {
            DeValue::String(_) if self.variables.unset(&value.span()).is_some() => {
                "(unset: no database here)".to_owned()
            }
            DeValue::String(url) if is_database_url(path) => quote(&without_credentials(url)),
            DeValue::String(url) if is_endpoint(path) => quote(&without_secrets(url)),
            _ if is_header(path) => quote("…"),
            DeValue::String(root) if is_root(path) => quote(&self.folder.join(&**root).to_string_lossy()),
            other => literal(other),
        }
    }

    fn origin(&self, value: &Spanned<DeValue<'_>>) -> Origin {
        let span = value.span();
        let line = self.line_ends.partition_point(|end| *end < span.start) + 1;
        let mut names = self.used(value);
        names.extend(self.variables.unset(&span).map(str::to_owned).filter(|name| !names.contains(name)));
        if names.is_empty() { Origin::Line(line) } else { Origin::Variables { line, names } }
    }

    fn used(&self, value: &Spanned<DeValue<'_>>) -> Vec<String> {
        match value.get_ref() {
            DeValue::Array(items) => items.iter().flat_map(|item| self.used(item)).collect(),
            _ => self.variables.used(&value.span()).to_vec(),
        }
    }

    fn default(&mut self, key: String, value: &str) {
        if !self.named.contains(&key) {
            self.settings.push(Setting { key, value: value.to_owned(), origin: Origin::Default });
        }
    }
}

fn is_root(path: &[String]) -> bool {
    matches!(path, [kind, _, key] if kind == "files" && key == "root")
}

fn is_endpoint(path: &[String]) -> bool {
    matches!(path, [table, key] if table == "notify" && matches!(key.as_str(), "webhook" | "ping"))
}

fn is_header(path: &[String]) -> bool {
    matches!(path, [table, headers, ..] if table == "notify" && headers == "headers")
}

/// A URL without what may be secret: user, password and parameters.
fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return "…".to_owned() };
    let (user, place) = rest.rsplit_once('@').map_or(("", rest), |(_, place)| ("…@", place));
    let (place, parameters) = place.split_once('?').map_or((place, ""), |(place, _)| (place, "?…"));
    format!("{scheme}://{user}{place}{parameters}")
}

fn literal(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => quote(text),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(on) => on.to_string(),
        DeValue::Datetime(moment) => moment.to_string(),
        DeValue::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| literal(item.get_ref())).collect();
            format!("[{}]", items.join(", "))
        }
        DeValue::Table(table) => {
            let entries: Vec<String> =
                table.iter().map(|(key, value)| format!("{} = {}", key.get_ref(), literal(value.get_ref()))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
    }
}

/// A basic string of TOML: what a terminal would obey comes out as an escape.
fn quote(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
