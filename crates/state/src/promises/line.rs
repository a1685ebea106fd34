//! One line: its form, its checksum, and what may be wrong with it.
//!
//! `{"v":1,"crc32":"0a1b2c3d",` and then the rest of a JSON object, over whose bytes the checksum goes. The head has a
//! fixed width, so that the version and the checksum can be read without trusting the rest.
//!
//! Each line carries a number, one more than the line before it, so that a line that somebody took out leaves a gap.
//! Where the file is rewritten, a *checkpoint* says how many lines stand before it and with which number to go on. Lines
//! of earlier versions have no number, and count on from the one before.
//!
//! A crash in the middle of an append leaves the last line without its newline, or, where a later page of it reached
//! the disk before the first, beginning with zero bytes. Only such a line is *torn*: it was never promised, and is cut
//! off. A last line that is whole and does not match its checksum is damage like any other: it was promised.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cleanup_core::moment::Moment;
use cleanup_core::report::json_path;
use serde::{Deserialize, Serialize};

use super::{Hold, Ttl};

const HEAD: &str = "{\"v\":1,\"crc32\":\"";
const HEAD_END: &str = "\",";
const CRC_DIGITS: usize = 8;

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Hold(Hold),
    Release {
        path: Vec<u8>,
        at: Moment,
    },
    Ttl(Ttl),
    Forget {
        path: Vec<u8>,
        at: Moment,
    },
    /// So many lines stand before this one, and none is missing among them.
    Checkpoint {
        lines: u64,
    },
}

/// A line with its newline, and what it says once it is read back.
pub(super) struct Record {
    pub(super) text: String,
    pub(super) entry: Entry,
}

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) entries: Vec<Entry>,
    /// The number of the last line; 0 for none.
    pub(super) sequence: u64,
    /// Whether a line is missing among those that are there.
    pub(super) has_gap: bool,
    pub(super) repair: Option<Repair>,
}

/// What is to be done about the end of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repair {
    /// Cut the file to this length: a torn line begins there.
    Cut { line: usize, length: u64 },
    /// Cut to this length and end the line: all of it is there but its newline.
    End { line: usize, length: u64 },
}

/// What makes a file unbelievable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flaw {
    /// From 1.
    pub(super) line: usize,
    pub(super) kind: FlawKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FlawKind {
    Damaged(&'static str),
    Newer,
}

impl Repair {
    pub(super) fn note(self, file: &Path) -> String {
        let file = file.display();
        match self {
            Self::Cut { line, .. } => {
                format!(
                    "{file}, line {line} was cut off in the middle of writing; it was never promised and does not count"
                )
            }
            Self::End { line, .. } => format!("{file}, line {line} has lost its end of line; what it promises counts"),
        }
    }
}

/// A line as it is read.
struct Line {
    number: Option<u64>,
    entry: Entry,
}

impl Content {
    /// Takes in the next line.
    fn add(&mut self, Line { number, entry }: Line) {
        let next = self.sequence.saturating_add(1);
        let number = number.unwrap_or(next);
        if let Entry::Checkpoint { lines } = entry {
            let before = u64::try_from(self.entries.len()).unwrap_or(u64::MAX);
            // It speaks of all lines before it, whatever gaps their numbers have.
            self.has_gap = lines != before;
        } else if number != next {
            self.has_gap = true;
        }
        self.sequence = number;
        self.entries.push(entry);
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    #[serde(rename = "do")]
    what: What,
    /// The line's number.
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    number: Option<u64>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path_bytes: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<Moment>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at: Option<Moment>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Of a checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lines: Option<u64>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum What {
    Hold,
    Release,
    Ttl,
    Forget,
    Checkpoint,
}

/// The line for an entry; without a number where a checkpoint follows that counts it.
pub(super) fn encode(number: Option<u64>, entry: &Entry) -> Record {
    let body = |what, bytes: &[u8], until, at, reason: &Option<String>| {
        let (path, path_bytes) = json_path(bytes);
        Body { what, number, path, path_bytes, until, at: Some(at), reason: reason.clone(), lines: None }
    };
    let body = match entry {
        Entry::Hold(hold) => body(What::Hold, &hold.path, Some(hold.until), hold.made_at, &hold.reason),
        Entry::Release { path, at } => body(What::Release, path, None, *at, &None),
        Entry::Ttl(ttl) => body(What::Ttl, &ttl.path, Some(ttl.until), ttl.made_at, &None),
        Entry::Forget { path, at } => body(What::Forget, path, None, *at, &None),
        Entry::Checkpoint { lines } => Body {
            what: What::Checkpoint,
            number,
            path: String::new(),
            path_bytes: None,
            until: None,
            at: None,
            reason: None,
            lines: Some(*lines),
        },
    };
    let json = serde_json::to_string(&body).expect("strings and words always have a JSON form");
    // Without its opening brace, which is in the head.
    let rest = &json[1..];
    let text = format!("{HEAD}{:08x}{HEAD_END}{rest}\n", crc32fast::hash(rest.as_bytes()));
    let line = decode(&text.as_bytes()[..text.len() - 1]).expect("what was written can be read");
    Record { text, entry: line.entry }
}

/// Reads a whole file.
pub(super) fn parse(bytes: &[u8]) -> Result<Content, Flaw> {
    let mut content = Content::default();
    let mut start = 0;
    for (line, piece) in (1..).zip(bytes.split_inclusive(|byte| *byte == b'\n')) {
        let end = start + piece.len();
        let (text, is_whole) = match piece.strip_suffix(b"\n") {
            Some(text) => (text, true),
            None => (piece, false),
        };
        let length = |offset: usize| u64::try_from(offset).unwrap_or(u64::MAX);
        match decode(text) {
            Ok(read) => {
                content.add(read);
                if !is_whole {
                    content.repair = Some(Repair::End { line, length: length(end) });
                }
            }
            // The last byte alone: a newline that became something else.
            Err(_) if !is_whole && decode(&text[..text.len() - 1]).is_ok() => {
                if let Ok(read) = decode(&text[..text.len() - 1]) {
                    content.add(read);
                }
                content.repair = Some(Repair::End { line, length: length(end - 1) });
            }
            Err(_) if end == bytes.len() && (!is_whole || text.starts_with(&[0])) => {
                content.repair = Some(Repair::Cut { line, length: length(start) });
            }
            Err(kind) => return Err(Flaw { line, kind }),
        }
        start = end;
    }
    Ok(content)
}

fn decode(text: &[u8]) -> Result<Line, FlawKind> {
    let Some(tail) = text.strip_prefix(HEAD.as_bytes()) else {
        let version =
            text.strip_prefix(b"{\"v\":").map(|tail| tail.iter().take_while(|byte| byte.is_ascii_digit()).count());
        return Err(match version {
            Some(1..) if !text.starts_with(b"{\"v\":1,") => FlawKind::Newer,
            _ => FlawKind::Damaged("not a promise of ours"),
        });
    };
    let rest = tail.get(CRC_DIGITS..).and_then(|tail| tail.strip_prefix(HEAD_END.as_bytes()));
    let rest = rest.ok_or(FlawKind::Damaged("the line is incomplete"))?;
    if tail[..CRC_DIGITS] != *format!("{:08x}", crc32fast::hash(rest)).as_bytes() {
        return Err(FlawKind::Damaged("the checksum does not match"));
    }
    // From here on the line is as it was written: what cannot be read is what we do not know yet.
    let json = [b"{", rest].concat();
    let body: Body = serde_json::from_slice(&json).map_err(|_| FlawKind::Newer)?;
    let path = match body.path_bytes {
        Some(exact) => STANDARD.decode(exact).map_err(|_| FlawKind::Newer)?,
        None => body.path.into_bytes(),
    };
    let entry = match (body.what, body.until, body.at, body.lines) {
        (What::Hold, Some(until), Some(made_at), None) => {
            Entry::Hold(Hold { path, until, made_at, reason: body.reason })
        }
        (What::Release, None, Some(at), None) => Entry::Release { path, at },
        (What::Ttl, Some(until), Some(made_at), None) => Entry::Ttl(Ttl { path, until, made_at }),
        (What::Forget, None, Some(at), None) => Entry::Forget { path, at },
        (What::Checkpoint, None, None, Some(lines)) if body.number.is_some() => Entry::Checkpoint { lines },
        _ => return Err(FlawKind::Newer),
    };
    Ok(Line { number: body.number, entry })
}
