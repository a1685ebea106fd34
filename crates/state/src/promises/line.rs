//! One line: its form, its checksum, and what may be wrong with it.
//!
//! `{"v":1,"crc32":"0a1b2c3d",` and then the rest of a JSON object, over whose bytes the checksum goes. The head has a
//! fixed width, so that the version and the checksum can be read without trusting the rest.
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
    Release { path: Vec<u8>, at: Moment },
    Ttl(Ttl),
    Forget { path: Vec<u8>, at: Moment },
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

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    #[serde(rename = "do")]
    what: What,
    path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path_bytes: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<Moment>,
    at: Moment,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum What {
    Hold,
    Release,
    Ttl,
    Forget,
}

pub(super) fn encode(entry: &Entry) -> Record {
    let body = |what, bytes: &[u8], until, at, reason: &Option<String>| {
        let (path, path_bytes) = json_path(bytes);
        Body { what, path, path_bytes, until, at, reason: reason.clone() }
    };
    let body = match entry {
        Entry::Hold(hold) => body(What::Hold, &hold.path, Some(hold.until), hold.made_at, &hold.reason),
        Entry::Release { path, at } => body(What::Release, path, None, *at, &None),
        Entry::Ttl(ttl) => body(What::Ttl, &ttl.path, Some(ttl.until), ttl.made_at, &None),
        Entry::Forget { path, at } => body(What::Forget, path, None, *at, &None),
    };
    let json = serde_json::to_string(&body).expect("strings and words always have a JSON form");
    // Without its opening brace, which is in the head.
    let rest = &json[1..];
    let text = format!("{HEAD}{:08x}{HEAD_END}{rest}\n", crc32fast::hash(rest.as_bytes()));
    let entry = decode(&text.as_bytes()[..text.len() - 1]).expect("what was written can be read");
    Record { text, entry }
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
            Ok(entry) => {
                content.entries.push(entry);
                if !is_whole {
                    content.repair = Some(Repair::End { line, length: length(end) });
                }
            }
            // The last byte alone: a newline that became something else.
            Err(_) if !is_whole && decode(&text[..text.len() - 1]).is_ok() => {
                content.entries.extend(decode(&text[..text.len() - 1]));
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

fn decode(text: &[u8]) -> Result<Entry, FlawKind> {
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
    match (body.what, body.until) {
        (What::Hold, Some(until)) => Ok(Entry::Hold(Hold { path, until, made_at: body.at, reason: body.reason })),
        (What::Release, None) => Ok(Entry::Release { path, at: body.at }),
        (What::Ttl, Some(until)) => Ok(Entry::Ttl(Ttl { path, until, made_at: body.at })),
        (What::Forget, None) => Ok(Entry::Forget { path, at: body.at }),
        _ => Err(FlawKind::Newer),
    }
}
