//! `notes.jsonl`: a line that says what the folder is, and one for each file before it moves in. Before the first file of
//! a folder, there is a line for that folder, and for those above it, with what is needed to make them again.
//!
//! A mark says later what became of what was moved in: that a directory is being emptied, or that everything was looked
//! at after its move. Where the last line is no such mark, whoever moved things in was cut off.
//!
//! Paths are lossless: as text, or beside it in base64. Each line ends with a checksum of what stands before it, so that a
//! damaged line is none: it must not bring a file back under another name, nor have it deleted sooner. What cannot be
//! read is passed over: its file is then of unknown origin, and is not lost by that. Lines of earlier versions have no
//! checksum.

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
#[serde(deny_unknown_fields)]
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
    let Some(body) = body(line) else { return First::Unknown };
    match serde_json::from_slice::<Version>(&body) {
        Err(_) => First::Unknown,
        Ok(Version { v }) if v > VERSION => First::Newer,
        Ok(_) => serde_json::from_slice(&body).map_or(First::Unknown, First::Header),
    }
}

/// What the checksum of a line stands in, at its end: `,"crc32":"0a1b2c3d"}`.
const SUM: &[u8] = b",\"crc32\":\"";
const SUM_END: &[u8] = b"\"}";
const SUM_DIGITS: usize = 8;

/// A line without its end, and what its checksum is of. Lines of earlier versions have none.
struct Checked<'a> {
    line: &'a [u8],
    summed: Option<&'a [u8]>,
}

impl<'a> Checked<'a> {
    /// `None` where the line is not as it was written.
    fn new(line: &'a [u8]) -> Option<Self> {
        let line = line.trim_ascii_end();
        let sum = line.strip_suffix(SUM_END).and_then(|line| line.split_last_chunk::<SUM_DIGITS>());
        match sum.and_then(|(line, digits)| Some((line.strip_suffix(SUM)?, digits))) {
            Some((summed, digits)) => {
                (*digits == *sum_of(summed).as_bytes()).then_some(Self { line, summed: Some(summed) })
            }
            None => Some(Self { line, summed: None }),
        }
    }

    /// The object without its checksum.
    fn object(self) -> Cow<'a, [u8]> {
        self.summed.map_or(Cow::Borrowed(self.line), |summed| Cow::Owned([summed, b"}"].concat()))
    }
}

fn body(line: &[u8]) -> Option<Cow<'_, [u8]>> {
    Checked::new(line).map(Checked::object)
}

fn sum_of(body: &[u8]) -> String {
    format!("{:08x}", crc32fast::hash(body))
}

/// A line for a file. A field that is not known is a damaged one: a new one means a new version.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
#[serde(deny_unknown_fields)]
struct FolderLine<'a> {
    #[serde(borrow)]
    folder: FolderFacts<'a>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
    let body = body(line)?;
    let FolderLine { folder } = serde_json::from_slice(&body).ok()?;
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

/// Adds a line to a buffer, with its checksum.
pub(super) fn write_line(buffer: &mut Vec<u8>, line: &impl Serialize) {
    let start = buffer.len();
    serde_json::to_writer(&mut *buffer, line).expect("numbers and texts always have a JSON form");
    // The brace that ends the object goes behind the checksum.
    buffer.pop();
    let sum = sum_of(&buffer[start..]);
    buffer.extend_from_slice(SUM);
    buffer.extend_from_slice(sum.as_bytes());
    buffer.extend_from_slice(SUM_END);
    buffer.push(b'\n');
}

/// The number in the line of a file, as long as that is as it was written: a damaged one must not take the place of the
/// right one. Faster than [`read`] where there is a checksum.
pub(super) fn number(line: &[u8]) -> Option<u64> {
    let digits = line.strip_prefix(b"{\"n\":")?.split(|byte| *byte == b',').next()?;
    if Checked::new(line)?.summed.is_none() {
        return read(line).map(|note| note.number);
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Reads the line of a file; `None` when it is none of ours, or was torn.
pub(super) fn read(line: &[u8]) -> Option<Note> {
    let body = body(line)?;
    let line: Line<'_> = serde_json::from_slice(&body).ok()?;
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
        // One that cannot be read is not one that was never there: that would be a file.
        fingerprint: line.all.map(|text| u64::from_str_radix(&text, 16)).transpose().ok()?,
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
    if is_mark { serde_json::from_slice(&body(line)?).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cleanup_core::candidate::{Basis, Stamp};
    use cleanup_core::damage::{Blow, damaged};
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

    /// Everything that a line can turn out to be.
    #[derive(Clone, Debug, PartialEq, Eq)]
    enum Read {
        First(First),
        Note(Note),
        Folder(Vec<u8>, Attributes),
        Mark(Mark),
    }

    fn readings(bytes: &[u8]) -> Vec<Read> {
        let mut all = Vec::new();
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            all.extend(Some(first(line)).filter(|first| *first != First::Unknown).map(Read::First));
            all.extend(read(line).map(Read::Note));
            all.extend(folder(line).map(|(path, attributes)| Read::Folder(path, attributes)));
            all.extend(mark(line).map(Read::Mark));
            number(line);
        }
        all
    }

    /// Notes with everything in them that is ever written.
    fn notes(paths: &[Vec<u8>], value: &[u8]) -> Vec<u8> {
        let at = Moment::from_unix(1_790_000_000, 5);
        let mut notes = Vec::new();
        write_line(&mut notes, &Header::new("01R", "p", b"/srv/r", at, Duration::from_hours(168)));
        for (number, path) in (1..).zip(paths) {
            let extended = vec![(c"user.a".to_owned(), value.to_vec())];
            let attributes = Attributes { uid: Some(1), gid: None, mode: 0o755, extended, lacks_acl: false };
            write_folder(&mut notes, path, &attributes);
            let identity = Identity { device: (8, 1), inode: 7, size: 10, modified: at, changed: at, links: 1 };
            let (name, fingerprint) = (Name { folder: b"", last: path }, (number % 2 == 0).then_some(number));
            write(&mut notes, number, &Leaving { name, identity, fingerprint, bytes: 10, why: &due(at), at });
            write_line(&mut notes, &Mark::Emptying(number));
        }
        write_line(&mut notes, &Mark::Settled(vec![1, 2]));
        notes
    }

    /// What a damaged file of notes must not do: say anything that was not written.
    fn says_nothing_else(written: &[u8], bytes: &[u8]) -> Result<(), TestCaseError> {
        let known = readings(written);
        for read in readings(bytes) {
            // A later version is left alone.
            prop_assert!(read == Read::First(First::Newer) || known.contains(&read), "{:?}", read);
        }
        Ok(())
    }

    #[test]
    fn what_was_found_once_is_not_found_again() {
        let written = notes(&[b"a/b".to_vec(), b"c".to_vec()], b"v");
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/notes");
        for entry in std::fs::read_dir(corpus).unwrap() {
            let path = entry.unwrap().path();
            says_nothing_else(&written, &std::fs::read(&path).unwrap())
                .unwrap_or_else(|error| panic!("{path:?}: {error}"));
        }
    }

    proptest! {
        #[test]
        fn no_damage_makes_notes_say_something_else(
            paths in prop::collection::vec(prop::collection::vec(1..=u8::MAX, 1..30), 1..4),
            value in prop::collection::vec(any::<u8>(), 0..30),
            blows in prop::collection::vec(any::<Blow>(), 1..4),
        ) {
            let written = notes(&paths, &value);
            says_nothing_else(&written, &damaged(&written, &blows))?;
        }

        #[test]
        fn no_bytes_are_too_strange_to_be_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for bytes in [bytes.clone(), [b"{\"n\":".as_slice(), &bytes].concat(), [b"{\"settled\"", &bytes[..]].concat()] {
                readings(&bytes);
            }
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

    #[test]
    fn what_earlier_versions_wrote_is_read() {
        let line = br#"{"n":3,"path":"a/b","device":[8,1],"inode":7,"bytes":4096,"size":10,"mtime":[5,6],"ctime":[7,8],"why":"old","at":"2026-01-01T00:00:00Z"}"#;
        let note = read(line).unwrap();
        assert_eq!((note.number, note.path.as_slice(), note.judged.inode), (3, b"a/b".as_slice(), 7));
        assert_eq!(mark(b"{\"emptying\":3}\n"), Some(Mark::Emptying(3)));
        assert_eq!(mark(b"{\"settled\":[3]}"), Some(Mark::Settled(vec![3])));
        assert!(folder(br#"{"folder":{"path":"a","uid":0,"gid":0,"mode":493}}"#).is_some());
    }
}
