//! `notes.jsonl`: a line that says what the folder is, and one for each file before it moves in. Before the first file of
//! a folder, there is a line for that folder, and for those above it, with what is needed to make them again.
//!
//! A mark says later what became of what was moved in: that a directory is being emptied, or that everything was looked
//! at after its move. Where the last line is no such mark, whoever moved things in was cut off.
//!
//! Paths are lossless: as text, or beside it in base64. What cannot be read is passed over: its file is then of unknown
//! origin, and is not lost by that.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::CString;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cleanup_core::candidate::{Identity, Name};
use cleanup_core::moment::Moment;
use cleanup_core::report::json_path;
use cleanup_core::verdict::Remove;
use serde::{Deserialize, Serialize};

use crate::sys::attributes::Attributes;

/// The version of the format; a higher one is left alone.
const VERSION: u32 = 1;

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    /// [`VERSION`]
    pub(super) v: u32,
    pub(super) run: String,
    pub(super) policy: String,
    /// For people only: a root may be moved.
    pub(super) root: String,
    pub(super) at: Moment,
    pub(super) keep_for_seconds: u64,
}

impl Header {
    pub(super) fn new(run: &str, policy: &str, root: &[u8], at: Moment, keep_for: Duration) -> Self {
        Self {
            v: VERSION,
            run: run.to_owned(),
            policy: policy.to_owned(),
            root: json_path(root).0,
            at,
            keep_for_seconds: keep_for.as_secs(),
        }
    }

    pub(super) fn keep_for(&self) -> Duration {
        Duration::from_secs(self.keep_for_seconds)
    }
}

/// What the first line turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum First {
    Header(Header),
    /// Lost or damaged.
    Unknown,
    /// Written by a later version of this program.
    Newer,
}

pub(super) fn first(line: &[u8]) -> First {
    #[derive(Deserialize)]
    struct Version {
        v: u32,
    }
    match serde_json::from_slice::<Version>(line) {
        Err(_) => First::Unknown,
        Ok(Version { v }) if v > VERSION => First::Newer,
        Ok(_) => serde_json::from_slice(line).map_or(First::Unknown, First::Header),
    }
}

/// A line for a file.
#[derive(Serialize, Deserialize)]
struct Line<'a> {
    n: u64,
    #[serde(borrow)]
    path: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path_bytes: Option<String>,
    device: (u32, u32),
    inode: u64,
    /// Allocated.
    bytes: u64,
    size: u64,
    mtime: (i64, u32),
    ctime: (i64, u32),
    /// Of a whole directory, the fingerprint of all that is in it, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    all: Option<String>,
    #[serde(borrow)]
    why: Cow<'a, str>,
    at: Moment,
}

/// A line for a folder that files come from, before the first of them: it may be gone when they come back.
#[derive(Serialize, Deserialize)]
struct FolderLine<'a> {
    #[serde(borrow)]
    folder: FolderFacts<'a>,
}

#[derive(Serialize, Deserialize)]
struct FolderFacts<'a> {
    #[serde(borrow)]
    path: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path_bytes: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uid: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gid: Option<u32>,
    mode: u32,
    /// By name, in base64.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    xattrs: BTreeMap<String, String>,
    /// An access control list that could not be noted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    lacks_acl: bool,
}

/// Adds the line of a folder to a buffer.
pub(super) fn write_folder(buffer: &mut Vec<u8>, path: &[u8], attributes: &Attributes) {
    let Attributes { uid, gid, mode, ref extended, lacks_acl } = *attributes;
    let named = |(name, value): &(CString, Vec<u8>)| Some((name.to_str().ok()?.to_owned(), STANDARD.encode(value)));
    let folder = FolderFacts {
        path: String::from_utf8_lossy(path),
        path_bytes: std::str::from_utf8(path).is_err().then(|| STANDARD.encode(path)),
        uid,
        gid,
        mode,
        xattrs: extended.iter().filter_map(named).collect(),
        lacks_acl,
    };
    write_line(buffer, &FolderLine { folder });
}

/// Reads the line of a folder; `None` when it is none, or was torn.
pub(super) fn folder(line: &[u8]) -> Option<(Vec<u8>, Attributes)> {
    // Most lines are of files.
    if !line.starts_with(b"{\"folder\"") {
        return None;
    }
    let FolderLine { folder } = serde_json::from_slice(line).ok()?;
    let path = match folder.path_bytes {
        Some(exact) => STANDARD.decode(exact).ok()?,
        None => folder.path.into_owned().into_bytes(),
    };
    let mut extended = Vec::with_capacity(folder.xattrs.len());
    for (name, value) in folder.xattrs {
        extended.push((CString::new(name).ok()?, STANDARD.decode(value).ok()?));
    }
    let (mode, lacks_acl) = (folder.mode & 0o7777, folder.lacks_acl);
    Some((path, Attributes { uid: folder.uid, gid: folder.gid, mode, extended, lacks_acl }))
}

/// What a note says, as far as it is needed to list a file and to bring it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) number: u64,
    pub(super) path: Vec<u8>,
    pub(super) bytes: u64,
    pub(super) why: String,
    pub(super) at: Moment,
    pub(super) judged: Judged,
}

/// What was judged, as far as it can be told again later: which device it lay on may have another number by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Judged {
    pub(super) inode: u64,
    pub(super) size: u64,
    pub(super) modified: Moment,
    /// Of a whole directory, the newest of what is in it, which no move of the directory changes.
    pub(super) changed: Moment,
    /// Of all that is in a whole directory; notes of earlier versions lack it.
    pub(super) fingerprint: Option<u64>,
}

/// What moves, and why.
pub(super) struct Leaving<'a> {
    pub(super) name: Name<'a>,
    pub(super) identity: Identity,
    /// Of a whole directory.
    pub(super) fingerprint: Option<u64>,
    pub(super) bytes: u64,
    pub(super) why: &'a Remove,
    pub(super) at: Moment,
}

/// Adds the line of a file to a buffer.
pub(super) fn write(buffer: &mut Vec<u8>, number: u64, leaving: &Leaving<'_>) {
    let path = leaving.name.to_bytes();
    let path_bytes = std::str::from_utf8(&path).is_err().then(|| STANDARD.encode(&path));
    let parts = |at: Moment| (at.unix_seconds(), at.subsec_nanos());
    let Identity { device, inode, size, modified, changed, .. } = leaving.identity;
    let line = Line {
        n: number,
        path: String::from_utf8_lossy(&path),
        path_bytes,
        device,
        inode,
        bytes: leaving.bytes,
        size,
        mtime: parts(modified),
        ctime: parts(changed),
        all: leaving.fingerprint.map(|fingerprint| format!("{fingerprint:016x}")),
        why: Cow::Owned(leaving.why.to_string()),
        at: leaving.at,
    };
    write_line(buffer, &line);
}

pub(super) fn write_line(buffer: &mut Vec<u8>, line: &impl Serialize) {
    serde_json::to_writer(&mut *buffer, line).expect("numbers and texts always have a JSON form");
    buffer.push(b'\n');
}

/// The number in the line of a file, whatever else of it can be read.
pub(super) fn number(line: &[u8]) -> Option<u64> {
    let digits = line.strip_prefix(b"{\"n\":")?.split(|byte| *byte == b',').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Reads the line of a file; `None` when it is none of ours, or was torn.
pub(super) fn read(line: &[u8]) -> Option<Note> {
    let line: Line<'_> = serde_json::from_slice(line).ok()?;
    let path = match line.path_bytes {
        Some(exact) => STANDARD.decode(exact).ok()?,
        None => line.path.into_owned().into_bytes(),
    };
    let moment = |(seconds, nanos)| Moment::from_unix(seconds, nanos);
    let judged = Judged {
        inode: line.inode,
        size: line.size,
        modified: moment(line.mtime),
        changed: moment(line.ctime),
        fingerprint: line.all.and_then(|text| u64::from_str_radix(&text, 16).ok()),
    };
    Some(Note { number: line.n, path, bytes: line.bytes, why: line.why.into_owned(), at: line.at, judged })
}

/// A line that says what became of what earlier lines speak of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mark {
    /// The directory with this number was looked at after its move, is what was judged, and is being emptied from now on.
    Emptying(u64),
    /// Everything so far was looked at after its move. These are not what was judged, and could not go back.
    Settled(Vec<u64>),
}

/// Reads a mark; `None` when it is none, or was torn.
pub(super) fn mark(line: &[u8]) -> Option<Mark> {
    // Most lines are of files.
    let is_mark = line.starts_with(b"{\"emptying\"") || line.starts_with(b"{\"settled\"");
    if is_mark { serde_json::from_slice(line).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cleanup_core::candidate::{Basis, Stamp};
    use cleanup_core::policy::MaxAge;
    use cleanup_core::verdict::{Age, AgeLimit};
    use proptest::prelude::*;

    use super::*;

    fn due(at: Moment) -> Remove {
        Remove::Expired {
            stamp: Stamp { at, basis: Basis::Modified },
            age: Age::Wall(Duration::from_hours(2)),
            limit: AgeLimit::MaxAge(MaxAge::new(Duration::from_hours(1)).unwrap()),
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange_to_be_read(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0..300_usize) {
            let mut line = Vec::new();
            write_folder(&mut line, &bytes, &Attributes {
                uid: Some(1), gid: None, mode: 0o755, extended: vec![(c"user.a".to_owned(), bytes.clone())], lacks_acl: false,
            });
            let torn = &line[..cut.min(line.len())];
            for line in [bytes.as_slice(), torn, &[b"{\"n\":".as_slice(), &bytes].concat()] {
                let _ = (first(line), read(line), folder(line), mark(line), number(line));
            }
            prop_assert!(cut >= line.len() || folder(torn).is_none() || torn.ends_with(b"}"), "a torn line is none");
        }

        #[test]
        fn what_is_noted_is_read_again(
            path in prop::collection::vec(1..=u8::MAX, 1..100),
            numbers in any::<(u64, u64, u64, Option<u32>, Option<u32>, u32)>(),
            value in prop::collection::vec(any::<u8>(), 0..100),
            seconds in -1_000_000_000_000..1_000_000_000_000_i64,
        ) {
            let (n, inode, size, uid, gid, mode) = numbers;
            let at = Moment::from_unix(seconds, 123_456_789);
            let identity = Identity { device: (8, 1), inode, size, modified: at, changed: at, links: 1 };
            let name = Name { folder: b"", last: &path };
            let mut line = Vec::new();
            let fingerprint = (n % 2 == 0).then_some(inode);
            write(&mut line, n, &Leaving { name, identity, fingerprint, bytes: size, why: &due(at), at: Moment::EPOCH });
            let note = read(&line).unwrap();
            prop_assert_eq!((note.number, number(&line), &note.path, note.bytes), (n, Some(n), &path, size));
            let judged = Judged { inode, size, modified: at, changed: at, fingerprint };
            prop_assert_eq!(note.judged, judged);
            prop_assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1));

            let attributes =
                Attributes { uid, gid, mode: mode & 0o7777, extended: vec![(c"user.a".to_owned(), value)], lacks_acl: true };
            let mut line = Vec::new();
            write_folder(&mut line, &path, &attributes);
            prop_assert_eq!(folder(&line), Some((path, attributes)));
            prop_assert!(read(&line).is_none() && number(&line).is_none(), "and earlier versions pass it over");
        }
    }
}
