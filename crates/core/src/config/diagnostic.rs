//! Errors as people read them: the line, a caret, what was expected and the way out, in the look of rustc.
//!
//! A configuration holds a secret: the URL of a database. What is shown of the text is masked first, so that no
//! error can print one, whichever line it points at.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet, renderer::DecorStyle};

/// Everything that is wrong with one configuration, in the order of the file. `Display` is [`render`] without colour.
///
/// [`render`]: ConfigError::render
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.render(false))]
pub struct ConfigError {
    name: String,
    /// The text, with every secret masked.
    text: String,
    diagnostics: Vec<Diagnostic>,
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The place in the text, in bytes.
    span: Range<usize>,
    title: String,
    label: String,
    /// The place that explains this one, such as the first of two policies with one name.
    context: Option<(Range<usize>, String)>,
    notes: Vec<String>,
    help: Option<String>,
}

impl ConfigError {
    /// Keeps of the text only what may be shown: `secrets` are the spans of values that may hold a password. Keeps of
    /// several errors at one place the first: the others follow from it.
    pub(super) fn new(name: &str, text: &str, secrets: &[Range<usize>], mut diagnostics: Vec<Diagnostic>) -> Self {
        diagnostics.sort_by_key(|diagnostic| diagnostic.span.start);
        diagnostics.dedup_by_key(|diagnostic| diagnostic.span.start);
        Self { name: name.to_owned(), text: mask(text, secrets), diagnostics }
    }

    /// What is wrong, in the order of the file; never empty.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// The line that a diagnostic points at, counted from 1.
    pub fn line(&self, diagnostic: &Diagnostic) -> usize {
        line(&self.text, diagnostic.span.start)
    }

    /// All of it as text, one block for each error, with or without terminal colours.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() }.decor_style(DecorStyle::Ascii);
        let blocks: Vec<String> =
            self.diagnostics.iter().map(|one| one.render(&renderer, &self.name, &self.text)).collect();
        blocks.join("\n\n")
    }
}

impl Diagnostic {
    pub(super) fn new(span: &Range<usize>, title: impl Into<String>) -> Self {
        Self {
            span: span.clone(),
            title: title.into(),
            label: String::new(),
            context: None,
            notes: Vec::new(),
            help: None,
        }
    }

    /// What stands beside the caret: what was expected.
    pub(super) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Another place that belongs to it.
    pub(super) fn context(mut self, span: &Range<usize>, label: impl Into<String>) -> Self {
        self.context = Some((span.clone(), label.into()));
        self
    }

    /// What else is worth knowing.
    pub(super) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// The way out.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// What is wrong, in one line.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The place in the text, in bytes.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    fn render(&self, renderer: &Renderer, name: &str, text: &str) -> String {
        let primary = AnnotationKind::Primary.span(within(text, &self.span)).label(self.label.as_str());
        let context = self
            .context
            .as_ref()
            .map(|(span, label)| AnnotationKind::Context.span(within(text, span)).label(label.as_str()));
        let snippet = Snippet::source(text).path(name).annotation(primary).annotations(context);
        let notes = self.notes.iter().map(|note| Level::NOTE.message(note.as_str()));
        let help = self.help.iter().map(|help| Level::HELP.message(help.as_str()));
        let group = Level::ERROR.primary_title(self.title.as_str()).element(snippet).elements(notes).elements(help);
        renderer.render(&[group])
    }
}

/// A span that the renderer can take: inside the text, on the borders of characters.
fn within(text: &str, span: &Range<usize>) -> Range<usize> {
    let start = text.floor_char_boundary(span.start);
    start..text.ceil_char_boundary(span.end.max(start))
}

/// The line of a place in the text, counted from 1.
fn line(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

/// The nearest of the names, when one is near enough to be what was meant.
pub(super) fn did_you_mean<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    names
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&wrong.to_lowercase(), name), name))
        .filter(|(distance, name)| *distance <= name.len().max(3) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Names in a sentence: "`a`, `b` or `c`".
pub(super) fn one_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        None => "nothing".to_owned(),
        Some((only, [])) => only.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
    }
}

/// Overwrites what may hold a password, in place, so that every span stays what it was.
///
/// The spans are exact, but exist only when the TOML could be read. Text alone is searched too: what follows `://`
/// where there is an `@`, what follows `password=`, and what is assigned to one of [`SECRET_KEYS`]. It may hide too much.
fn mask(text: &str, secrets: &[Range<usize>]) -> String {
    let hidden = |at: usize| secrets.iter().any(|span| span.contains(&at));
    let mut masked = String::with_capacity(text.len());
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let visible = visible_prefix(line);
        for (offset, character) in line.char_indices() {
            let keep = matches!(character, '"' | '\'') || character.is_ascii_whitespace();
            if !keep && (offset >= visible || hidden(start + offset)) {
                masked.extend(std::iter::repeat_n('*', character.len_utf8()));
            } else {
                masked.push(character);
            }
        }
        start += line.len();
    }
    masked
}

/// Keys whose values may be secret, wherever they stand.
const SECRET_KEYS: &[&str] = &["url", "ping", "headers", "authorization", "token"];

/// How much of a line can hold no URL's secret, in bytes.
fn visible_prefix(line: &str) -> usize {
    let after_scheme = line.find("://").map(|at| at + "://".len()).filter(|at| line[*at..].contains('@'));
    let password = line.to_ascii_lowercase().find("password=").map(|at| at + "password=".len());
    let is_secret = |at: usize| {
        let key = line[..at].trim_end().trim_end_matches(['"', '\'']).to_ascii_lowercase();
        // A misspelt key is one of these, too.
        key.contains("hook") || SECRET_KEYS.iter().any(|secret| key.ends_with(secret))
    };
    let mut values = line.match_indices('=').map(|(at, _)| at).filter(|at| is_secret(*at)).map(|at| at + 1);
    let assigned = values.find(|at| !is_lone_variable(&line[*at..]));
    [after_scheme, password, assigned].into_iter().flatten().min().unwrap_or(line.len())
}

/// Whether a value (or the rest of a line that begins with one) is just `"${NAME}"`, which gives nothing away.
pub(super) fn is_lone_variable(value: &str) -> bool {
    let value = value.split('#').next().unwrap_or_default().trim().trim_matches(['"', '\'']);
    let name = value.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    name.is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'))
}
