//! What a store offers: one item that a policy matches, with only the facts needed for judging.
//!
//! A candidate borrows its name from the store's buffer. Candidates are not stored, because ten million files must not
//! need ten million of them in memory.

use std::fmt::{self, Write as _};

use crate::moment::Moment;

/// One item that a policy matches and a store could remove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// Its path relative to the root, or the id of its row.
    pub name: Name<'a>,
    /// Its class, by its name and type.
    pub class: Class,
    /// Space that its removal would free, in bytes: allocated blocks of a file; 0 for rows.
    pub bytes: u64,
    /// The moment from which its age counts.
    pub stamp: Stamp,
    /// Its arrival: the newest readable one of `mtime`, `ctime` and `btime`, so a copy with the timestamps of its
    /// original counts as new. For a directory, the newest in it; for a row, its timestamp.
    pub arrival: Stamp,
    /// Which file or directory it is; `None` for rows.
    pub identity: Option<Identity>,
}

/// The file that a name led to when it was inspected. A write changes size and `mtime`, every other change affects
/// `ctime`, and a replacement has another inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The device, as major and minor number.
    pub device: (u32, u32),
    /// The inode.
    pub inode: u64,
    /// The length in bytes.
    pub size: u64,
    /// `mtime`.
    pub modified: Moment,
    /// `ctime`.
    pub changed: Moment,
    /// How many names the inode has.
    pub links: u32,
}

impl Identity {
    /// Whether a name still leads to the inspected file. Removing another of its names, usually by the same sweep,
    /// changes only its `ctime`.
    pub fn is_still(&self, now: &Self) -> bool {
        let lost_a_name = now.links < self.links;
        *now == *self || (lost_a_name && *now == Self { changed: now.changed, links: now.links, ..*self })
    }
}

/// What kind of thing a candidate is; decided by its name and type alone, before any judging.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A file that `include` matches, or a row.
    Ordinary,
    /// A file that `archives` matches. Archives are checked first: a name on both lists is an archive.
    Archive,
    /// An empty directory below the root (`remove_empty_dirs`).
    EmptyDirectory,
}

/// A moment, and its origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The moment itself.
    pub at: Moment,
    /// The timestamp of a file or row that it comes from.
    pub basis: Basis,
}

/// Which moment a [`Stamp`] is. `Display` completes the sentence "… 3h ago".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// `mtime`: the content was last written.
    Modified,
    /// `atime`: the content was last read, as far as the mount options record it.
    Accessed,
    /// `ctime`: the inode was last changed (written, renamed, linked, owner or mode changed).
    Changed,
    /// `btime`: the inode was created.
    Born,
    /// The activity column of a session row.
    LastActivity,
    /// Somebody registered the file, or the service saw it appear.
    Registered,
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Modified => "last modified",
            Self::Accessed => "last read",
            Self::Changed => "last changed",
            Self::Born => "made",
            Self::LastActivity => "last active",
            Self::Registered => "registered",
        })
    }
}

/// A name as bytes: a folder below the root (empty for the root itself) and the last component.
///
/// Names are any bytes except `/` and NUL. `Display` escapes everything that a terminal or a log would interpret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name<'a> {
    /// The folder below the root, without a slash at either end; empty for the root and for rows.
    pub folder: &'a [u8],
    /// The last component, or the row's id.
    pub last: &'a [u8],
}

impl Name<'_> {
    /// Compares the whole path with another one, byte by byte, without allocating it.
    pub fn cmp_path(self, path: &[u8]) -> std::cmp::Ordering {
        let slash: &[u8] = if self.folder.is_empty() { b"" } else { b"/" };
        self.folder.iter().chain(slash).chain(self.last).cmp(path)
    }

    /// The whole path below the root.
    pub fn to_bytes(self) -> Vec<u8> {
        let mut path = Vec::with_capacity(self.folder.len() + 1 + self.last.len());
        if !self.folder.is_empty() {
            path.extend_from_slice(self.folder);
            path.push(b'/');
        }
        path.extend_from_slice(self.last);
        path
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.folder.is_empty() {
            write!(f, "{}/", Escaped(self.folder))?;
        }
        Escaped(self.last).fmt(f)
    }
}

/// Shows bytes so that nothing in them reaches a terminal raw: control characters, line and paragraph separators,
/// bidirectional and invisible marks, and bytes that are not UTF-8 all become `\…` escapes; a backslash is doubled.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                match character {
                    '\\' => f.write_str("\\\\")?,
                    _ if is_obeyed(character) => write!(f, "{}", character.escape_unicode())?,
                    _ => f.write_char(character)?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// A text that may quote names which are escaped already: escaped where they are not, and no backslash doubled.
pub fn harmless(text: &str) -> String {
    let parts: Vec<String> = text.split('\\').map(|part| Escaped(part.as_bytes()).to_string()).collect();
    parts.join("\\")
}

/// Characters that a terminal, a pager or a reader's eye would obey instead of show.
fn is_obeyed(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}'           // soft hyphen, Arabic letter mark, Mongolian vowel separator
            | '\u{200b}'..='\u{200f}'                   // zero width, left-to-right and right-to-left marks
            | '\u{2028}'..='\u{202e}'                   // line and paragraph separators, bidi embeddings, overrides
            | '\u{2060}'..='\u{206f}'                   // word joiner, invisible operators, bidi isolates
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}'      // byte order mark, interlinear annotation
            | '\u{e0000}'..='\u{e007f}') // language tags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_name_reaches_the_terminal_raw() {
        let shown = |bytes: &[u8]| Escaped(bytes).to_string();
        assert_eq!(shown(b"formal_1.svg"), "formal_1.svg");
        assert_eq!(shown("größe 図.svg".as_bytes()), "größe 図.svg");
        assert_eq!(shown(b"a\nb\x1b[31m\x07"), "a\\u{a}b\\u{1b}[31m\\u{7}");
        assert_eq!(shown("\u{202e}gvs.exe".as_bytes()), "\\u{202e}gvs.exe");
        assert_eq!(shown(b"\xff\xfe.svg"), "\\xff\\xfe.svg");
        assert_eq!(shown(b"back\\slash"), "back\\\\slash");
    }

    #[test]
    fn a_file_that_lost_one_of_its_names_is_the_same_file() {
        let at = |seconds| Moment::from_unix(seconds, 0);
        let file = Identity { device: (8, 1), inode: 7, size: 3, modified: at(1), changed: at(2), links: 2 };
        assert!(file.is_still(&file));
        assert!(file.is_still(&Identity { links: 1, changed: at(9), ..file }));
        assert!(!file.is_still(&Identity { links: 3, changed: at(9), ..file }), "linked");
        assert!(!file.is_still(&Identity { changed: at(9), ..file }), "renamed, or its owner changed");
        assert!(!file.is_still(&Identity { links: 1, changed: at(9), modified: at(9), ..file }), "written");
    }

    #[test]
    fn a_name_is_joined_below_its_folder() {
        assert_eq!(Name { folder: b"", last: b"a" }.to_bytes(), b"a");
        assert_eq!(Name { folder: b"x/y", last: b"a" }.to_bytes(), b"x/y/a");
        assert_eq!(Name { folder: b"x\n", last: b"a" }.to_string(), "x\\u{a}/a");
        assert!(Name { folder: b"x", last: b"b" }.cmp_path(b"x/a").is_gt());
        assert!(Name { folder: b"", last: b"a" }.cmp_path(b"a").is_eq());
    }
}
