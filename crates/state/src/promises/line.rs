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

use std::io::{self, BufRead};
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

/// Most bytes of a line, its newline included. Paths and reasons are far shorter.
const LONGEST: u64 = 16 << 20;

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
    /// Whether a line is missing among those that are there, or not where it was written.
    pub(super) has_gap: bool,
    /// Whether any line has a number.
    has_numbers: bool,
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
                    "{file}, line {line} is incomplete, because its write was interrupted; it was never confirmed and \
                     is ignored"
                )
            }
            Self::End { line, .. } => format!("{file}, line {line} has no line ending; its promise counts"),
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
        // A version that knew no numbers writes nothing behind one; so a line without comes from another place.
        let is_out_of_place = number.is_none() && self.has_numbers;
        self.has_numbers |= number.is_some();
        let number = number.unwrap_or(next);
        if let Entry::Checkpoint { lines } = entry {
            let before = u64::try_from(self.entries.len()).unwrap_or(u64::MAX);
            // It speaks of all lines before it, whatever gaps their numbers have; but none of them was written after it.
            self.has_gap = lines != before || number <= self.sequence;
        } else if number != next || is_out_of_place {
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<String>,
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
    let body = |what, bytes: &[u8], until, at| {
        let (path, path_bytes) = json_path(bytes);
        Body { what, number, path, path_bytes, until, at: Some(at), reason: None, by: None, lines: None }
    };
    let body = match entry {
        Entry::Hold(Hold { path, until, made_at, reason, by }) => {
            Body { reason: reason.clone(), by: by.clone(), ..body(What::Hold, path, Some(*until), *made_at) }
        }
        Entry::Release { path, at } => body(What::Release, path, None, *at),
        Entry::Ttl(Ttl { path, until, made_at }) => body(What::Ttl, path, Some(*until), *made_at),
        Entry::Forget { path, at } => body(What::Forget, path, None, *at),
        Entry::Checkpoint { lines } => Body {
            what: What::Checkpoint,
            number,
            path: String::new(),
            path_bytes: None,
            until: None,
            at: None,
            reason: None,
            by: None,
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

/// Reads a whole file, a line at a time.
pub(super) fn parse(mut file: impl BufRead) -> io::Result<Result<Content, Flaw>> {
    let mut content = Content::default();
    let (mut start, mut text) = (0, Vec::new());
    for line in 1.. {
        let Some(read) = read_line(&mut file, &mut text)? else { break };
        let (end, is_whole) = (start + read, text.pop_if(|byte| *byte == b'\n').is_some());
        let is_too_long = is_longer(read);
        let decode = |text| {
            if is_too_long { Err(FlawKind::Damaged("the line is too long for a promise")) } else { decode(text) }
        };
        match decode(&text) {
            Ok(read) => {
                content.add(read);
                if !is_whole {
                    content.repair = Some(Repair::End { line, length: end });
                }
            }
            Err(kind) => {
                // The last byte alone: a newline that became something else.
                let all_but_one =
                    if is_whole { None } else { text.split_last().and_then(|(_, text)| decode(text).ok()) };
                let is_last = file.fill_buf()?.is_empty();
                if let Some(read) = all_but_one {
                    content.add(read);
                    content.repair = Some(Repair::End { line, length: end - 1 });
                } else if is_last && (!is_whole || text.starts_with(&[0])) {
                    content.repair = Some(Repair::Cut { line, length: start });
                } else {
                    return Ok(Err(Flaw { line, kind }));
                }
            }
        }
        start = end;
    }
    Ok(Ok(content))
}

/// Whether a line is longer than any that is written.
pub(super) fn is_longer(bytes: u64) -> bool {
    bytes > LONGEST
}

/// Reads up to the next newline, and says how far that was; `None` at the end. Of a line that is too long only the
/// beginning and the last byte are kept: a file may have been ruined at any length.
fn read_line(file: &mut impl BufRead, text: &mut Vec<u8>) -> io::Result<Option<u64>> {
    text.clear();
    let mut read = 0;
    loop {
        let piece = match file.fill_buf() {
            Ok(piece) => piece,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let newline = piece.iter().position(|byte| *byte == b'\n');
        let length = newline.map_or(piece.len(), |at| at + 1);
        if is_longer(read) {
            // Only whether it ends with a newline matters by now.
            text.truncate(1);
        }
        text.extend_from_slice(&piece[..length]);
        file.consume(length);
        read += length as u64;
        if length == 0 || newline.is_some() {
            return Ok(Some(read).filter(|read| *read > 0));
        }
    }
}

fn decode(text: &[u8]) -> Result<Line, FlawKind> {
    let Some(tail) = text.strip_prefix(HEAD.as_bytes()) else {
        let version =
            text.strip_prefix(b"{\"v\":").map(|tail| tail.iter().take_while(|byte| byte.is_ascii_digit()).count());
        return Err(match version {
            Some(1..) if !text.starts_with(b"{\"v\":1,") => FlawKind::Newer,
            _ => FlawKind::Damaged("not a promise"),
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
            Entry::Hold(Hold { path, until, made_at, reason: body.reason, by: body.by })
        }
        (What::Release, None, Some(at), None) => Entry::Release { path, at },
        (What::Ttl, Some(until), Some(made_at), None) => Entry::Ttl(Ttl { path, until, made_at }),
        (What::Forget, None, Some(at), None) => Entry::Forget { path, at },
        (What::Checkpoint, None, None, Some(lines)) if body.number.is_some() => Entry::Checkpoint { lines },
        _ => return Err(FlawKind::Newer),
    };
    Ok(Line { number: body.number, entry })
}

#[cfg(test)]
mod tests;
