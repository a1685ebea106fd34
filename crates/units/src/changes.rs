//! What has to be written and removed so that a folder holds exactly what was rendered.
//!
//! Pure as well: the caller says what lies there. Only files with our header count as ours, so a file that somebody put
//! beside them is never touched, and one in the place of a rendered file is refused instead of overwritten.

use std::collections::BTreeMap;
use std::fmt;

use crate::{File, MARK};

/// The folders below the output folder in which files are rendered, and stale ones are looked for.
pub const FOLDERS: &[&str] = &["container", "cron", "k8s", "logrotate", "prometheus", "systemd", "tmpfiles.d"];

/// What lies in these folders: the text of each file by its path below the output folder.
pub type Existing = BTreeMap<String, String>;

/// How many lines of a difference are shown.
const SHOWN_LINES: usize = 12;

/// One step towards what was rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// Not there yet.
    Create(&'a File),
    /// There, and stale; the text that it replaces comes second.
    Replace(&'a File, &'a str),
    /// There, ours, and rendered no more.
    Remove(&'a str),
    /// In the place of a rendered file lies one that is not ours.
    Foreign(&'a str),
}

impl Change<'_> {
    /// The path below the output folder.
    pub fn path(&self) -> &str {
        match self {
            Self::Create(file) | Self::Replace(file, _) => &file.path,
            Self::Remove(path) | Self::Foreign(path) => path,
        }
    }
}

/// What is not as it should be, with what differs in a stale file; ends without a line end.
impl fmt::Display for Change<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create(file) => write!(f, "missing: {}", file.path),
            Self::Replace(file, old) => {
                write!(f, "stale: {}\n{}", file.path, difference(old, &file.text, SHOWN_LINES).trim_end())
            }
            Self::Remove(path) => write!(f, "no longer rendered: {path}"),
            Self::Foreign(path) => write!(f, "not rendered by cleanup: {path}"),
        }
    }
}

/// The steps, the foreign files first: where there is one, nothing should be done.
pub fn changes<'a>(files: &'a [File], existing: &'a Existing) -> Vec<Change<'a>> {
    let is_ours = |text: &str| text.starts_with(MARK);
    let (mut foreign, mut steps) = (Vec::new(), Vec::new());
    for file in files {
        match existing.get(&file.path) {
            None => steps.push(Change::Create(file)),
            Some(text) if *text == file.text => {}
            Some(text) if is_ours(text) => steps.push(Change::Replace(file, text)),
            Some(_) => foreign.push(Change::Foreign(&file.path)),
        }
    }
    for (path, text) in existing {
        if is_ours(text) && !files.iter().any(|file| file.path == *path) {
            steps.push(Change::Remove(path));
        }
    }
    foreign.extend(steps);
    foreign
}

/// What differs, in at most so many lines: those between the first and the last difference, old ones with `-`.
fn difference(old: &str, new: &str, lines: usize) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let same = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let (old, new) = (&old[same..], &new[same..]);
    let same = old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count();
    let (old, new) = (&old[..old.len() - same], &new[..new.len() - same]);
    let all = old.iter().map(|line| format!("- {line}\n")).chain(new.iter().map(|line| format!("+ {line}\n")));
    let left_out = (old.len() + new.len()).saturating_sub(lines);
    let more = if left_out == 0 { String::new() } else { format!("  … and {left_out} more lines\n") };
    all.take(lines).collect::<String>() + &more
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.to_owned(), text: format!("{MARK} x\n{text}") }
    }

    #[test]
    fn only_files_with_our_header_are_replaced_or_removed() {
        let files = [file("cron/cleanup", "new"), file("cron/crontab", "same"), file("k8s/a", "new")];
        let existing: Existing = [
            ("cron/cleanup", format!("{MARK} x\nold")),
            ("cron/crontab", format!("{MARK} x\nsame")),
            ("systemd/gone.timer", format!("{MARK} older header\n")),
            ("systemd/mine.timer", "[Timer]\n".to_owned()),
        ]
        .map(|(path, text)| (path.to_owned(), text))
        .into();
        let steps = changes(&files, &existing);
        assert_eq!(
            steps,
            [
                Change::Replace(&files[0], &existing["cron/cleanup"]),
                Change::Create(&files[2]),
                Change::Remove("systemd/gone.timer"),
            ]
        );
    }

    #[test]
    fn a_file_of_somebody_else_in_the_place_of_ours_is_named_first() {
        let files = [file("cron/cleanup", "new"), file("k8s/a", "new")];
        let existing: Existing = [("k8s/a".to_owned(), "mine".to_owned())].into();
        assert_eq!(changes(&files, &existing), [Change::Foreign("k8s/a"), Change::Create(&files[0])]);
    }

    #[test]
    fn a_difference_is_the_lines_that_differ() {
        assert_eq!(difference("a\nb\nc\n", "a\nx\nc\n", 5), "- b\n+ x\n");
        assert_eq!(difference("a\n", "a\nb\n", 5), "+ b\n");
        assert_eq!(difference("1\n2\n3\n", "4\n5\n", 2), "- 1\n- 2\n  … and 3 more lines\n");
    }
}
