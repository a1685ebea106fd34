//! What other cleaners were told, as policies: texts in, a commented `cleanup.toml` and notes out.
//!
//! Nothing here reads a file. Every policy observes, so nothing goes before somebody has looked. What is not certain is
//! never guessed: a line with anything in it that has no exact or stricter counterpart becomes a note instead of a
//! policy, because a rule that takes less than the old one costs space, and one that takes more costs files.

mod find;
mod pattern;
mod pipe;
mod shell;
mod tmpfiles;
mod tmpreaper;
mod write;

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

/// One file to import.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    /// As it is named in notes.
    pub(crate) name: String,
    /// All of it.
    pub(crate) text: String,
}

/// Its result.
#[derive(Clone, Debug, Default)]
#[cfg_attr(test, derive(PartialEq, Eq))]
pub(crate) struct Imported {
    /// The whole `cleanup.toml`; empty when there is no policy.
    pub(crate) config: String,
    /// The policies, in the order of their lines.
    pub(crate) policies: Vec<ImportedPolicy>,
    /// What was not carried over, or not exactly, in the order of the lines.
    pub(crate) notes: Vec<Note>,
}

/// One policy as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct ImportedPolicy {
    /// Its name, derived from its root.
    pub(crate) name: String,
    /// Its table, as TOML.
    pub(crate) text: String,
    /// The source file.
    pub(crate) file: String,
    /// The line of that file, counted from 1.
    pub(crate) line: usize,
}

/// An entry that was not imported, or not exactly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Note {
    /// The file.
    pub(crate) file: String,
    /// The line of that file, counted from 1.
    pub(crate) line: usize,
    /// The text of the line.
    pub(crate) source: String,
    /// What happened to it, and why.
    pub(crate) message: String,
}

/// Whether reads of files below a folder are recorded finely enough for an age; if not, why.
pub(crate) type RecordsReads<'a> = dyn Fn(&Path, Duration) -> Result<(), String> + 'a;

/// Reads all of them together, since a line of one `tmpfiles.d` file may protect from a line of another.
pub(crate) fn import(inputs: &[Input], records_reads: &RecordsReads<'_>) -> Imported {
    let mut found = Found::default();
    let mut entries = Vec::new();
    for (index, input) in inputs.iter().enumerate() {
        match Language::of(&input.text) {
            Language::Tmpfiles => entries.extend(tmpfiles::entries(index, &input.text, &mut found)),
            Language::Tmpreaper => tmpreaper::read(index, &input.text, &mut found),
            Language::Cron => find::read(index, &input.text, &mut found),
        }
    }
    tmpfiles::judge(&entries, &mut found);
    found.look_at_mounts(records_reads);
    write::document(inputs, found)
}

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Language {
    Tmpfiles,
    /// Debian's `tmpreaper.conf`.
    Tmpreaper,
    /// A crontab, or a script of plain commands.
    Cron,
}

impl Language {
    fn of(text: &str) -> Self {
        let mut lines = lines(text).peekable();
        if lines.clone().any(|(_, line)| line.starts_with("TMPREAPER_") || line.starts_with("RUNFROMCRON=")) {
            Self::Tmpreaper
        } else if lines.peek().is_some_and(|(_, line)| tmpfiles::is_entry(line)) {
            Self::Tmpfiles
        } else {
            Self::Cron
        }
    }
}

/// The lines that say something, trimmed, with their numbers.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> + Clone {
    let numbered = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    numbered.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

/// Where something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// Of the input, counted from 0.
    file: usize,
    /// Counted from 1.
    line: usize,
}

/// What the readers found so far.
#[derive(Debug, Default)]
struct Found {
    drafts: Vec<Draft>,
    notes: Vec<(Place, String)>,
}

impl Found {
    fn note(&mut self, place: Place, message: impl Into<String>) {
        self.notes.push((place, message.into()));
    }

    /// Takes `newest` instead of `atime` where that would be refused.
    fn look_at_mounts(&mut self, records_reads: &RecordsReads<'_>) {
        for draft in self.drafts.iter_mut().filter(|draft| draft.stamp == Stamp::Atime) {
            let max_age = cleanup_core::duration::parse(&draft.max_age).unwrap_or_default();
            if let Err(why) = records_reads(Path::new(&draft.root), max_age) {
                draft.stamp = Stamp::Newest;
                let note = format!("`stamp = \"newest\"` instead, which keeps more: {why}");
                self.notes.push((draft.place, note));
            }
        }
    }
}

/// A policy that is not yet named.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Draft {
    place: Place,
    root: String,
    include: String,
    exclude: Vec<String>,
    depth: Depth,
    max_age: String,
    stamp: Stamp,
}

/// How deep a policy looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Depth {
    /// The root's own files.
    Root,
    /// So many levels, at least 2.
    Levels(u32),
    All,
}

/// The moment from which an age counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stamp {
    Mtime,
    Ctime,
    Atime,
    Btime,
    Newest,
}

impl Stamp {
    fn key(self) -> &'static str {
        match self {
            Self::Mtime => "mtime",
            Self::Ctime => "ctime",
            Self::Atime => "atime",
            Self::Btime => "btime",
            Self::Newest => "newest",
        }
    }
}

/// A folder's path as a root: absolute, without `.`, `//` and a `/` at the end; or why it cannot be one.
fn root(path: &str) -> Result<String, String> {
    if !path.starts_with('/') {
        return Err(format!("`{path}` is relative to an unknown folder"));
    }
    if path.contains(['*', '?', '[', '\\']) {
        return Err(format!("`{path}` matches several folders, but a root is a single folder"));
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if parts.contains(&"..") {
        return Err(format!("`{path}` contains `..`"));
    }
    if parts.is_empty() {
        return Err("`/` cannot be a root".to_owned());
    }
    Ok(format!("/{}", parts.join("/")))
}

#[cfg(test)]
mod tests;
