//! What a store offers: one thing that a policy names, with just the facts that judging needs.
//!
//! A candidate borrows its name from the store's buffer. Nothing here is kept: ten million files must not mean ten
//! million of these in memory.

use std::fmt::{self, Write as _};

use crate::moment::Moment;

/// One thing that a policy names and a store could remove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// Where it is below its root, or which row it is.
    pub name: Name<'a>,
    /// Its class, by its name and type.
    pub class: Class,
    /// Space that its removal would free, in bytes: allocated blocks of a file; 0 for rows.
    pub bytes: u64,
    /// The moment from which its age counts.
    pub stamp: Stamp,
    /// When it came to be here as it is: the newest of `mtime`, `ctime` and `btime`, as far as they can be read. A copy
    /// with the stamps of its original is as young as this. Of a directory, the newest in it; of a row, its stamp.
    pub arrival: Stamp,
    /// Which file or directory it is; `None` for rows.
    pub identity: Option<Identity>,
}

/// Which file a name led to when it was looked at. A write changes size and `mtime`, everything else that can happen to
/// a file changes `ctime`, and a replacement has another inode.
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
    /// Whether a name still leads to the file that was looked at. Removing another of its names, most often by the same
    /// sweep, changes its `ctime` and nothing else.
    pub fn is_still(&self, now: &Self) -> bool {
        let lost_a_name = now.links < self.links;
        *now == *self || (lost_a_name && *now == Self { changed: now.changed, links: now.links, ..*self })
    }
}

/// What kind of thing a candidate is; decided by its name and type alone, before any judging.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A file that `include` names, or a row.
    Ordinary,
    /// A file that `archives` names. Archives are tried first: a name on both lists is an archive.
    Archive,
    /// A directory below the root in which nothing is left (`remove_empty_dirs`).
    EmptyDirectory,
}

/// A moment, and what it is the moment of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The moment itself.
    pub at: Moment,
    /// Which of a file's or row's moments it is.
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
    /// `btime`: the inode was made.
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
/// Names are any bytes but `/` and NUL. `Display` escapes whatever a terminal or a log would obey or confuse.
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
