//! Reads a plan: once to be sure of it, once to carry it out.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use cleanup_core::config::Config;
use cleanup_core::moment::Moment;
use sha2::{Digest as _, Sha256};

use super::format::{End, Entry, FORMAT, Header, Line};
use super::{PlanError, PlanSummary, fingerprint, hex};

/// The longest line: a path has at most 4,096 bytes, six times as long in escapes, and once more in base64.
const LONGEST_LINE: u64 = 64 * 1024;

/// How far the clock may have been set back between making a plan and carrying it out, in seconds.
const SLACK_SECONDS: u64 = 300;

/// A plan that is whole and unedited. Whether it counts here and now is found out when it is applied.
#[derive(Debug)]
pub struct Plan {
    pub(super) header: Header,
    end: End,
    file: File,
}

impl Plan {
    /// Opens a plan and reads it to its end.
    pub fn open(path: &Path) -> Result<Self, PlanError> {
        Self::from_file(File::open(path).map_err(PlanError::Unreadable)?)
    }

    /// Reads a plan that is open already to its end, from its beginning, wherever the file is positioned.
    pub fn from_file(file: File) -> Result<Self, PlanError> {
        let is_file = file.metadata().map_err(PlanError::Unreadable)?.is_file();
        if !is_file {
            // It is read twice, and a pipe can be read only once.
            let error = std::io::Error::other("it is not a regular file; save it first");
            return Err(PlanError::Unreadable(error));
        }
        let mut lines = Lines::new(&file);
        let Some(Line::Plan(header)) = lines.next()? else {
            return Err(lines.wrong(
                "it does not start with the header \
                                                                                    of a plan",
            ));
        };
        if header.format_version != FORMAT {
            return Err(PlanError::OtherFormat { found: header.format_version, known: FORMAT });
        }
        let (mut entries, mut bytes) = (0_u64, 0_u64);
        let end = loop {
            let digest = lines.digest.clone();
            match lines.next()?.ok_or(PlanError::Incomplete)? {
                Line::End(end) if hex(digest) == end.digest => break end,
                Line::End(_) => return Err(PlanError::Edited),
                Line::Remove(entry) | Line::RemoveDirectory(entry) => {
                    entries += 1;
                    bytes = bytes.saturating_add(entry.bytes);
                }
                Line::Policy(_) => {}
                Line::Plan(_) => return Err(lines.wrong("a second plan begins")),
            }
        };
        if lines.next()?.is_some() || (entries, bytes) != (end.entries, end.bytes) {
            return Err(PlanError::Edited);
        }
        Ok(Self { header, end, file })
    }

    /// Summary of the plan.
    pub fn summary(&self) -> PlanSummary {
        let Header { id, created_at, expires_at, policies, .. } = self.header.clone();
        let End { entries, bytes, .. } = self.end;
        PlanSummary { plan_id: id, created_at, expires_at, policies, entries, bytes }
    }

    /// The first entries, for people who read them.
    pub fn first(&self, most: usize) -> Result<Vec<PlannedItem>, PlanError> {
        let (mut items, mut lines) = (Vec::new(), self.lines());
        while items.len() < most
            && let Some(line) = lines.next()?
        {
            match line {
                Line::Remove(entry) | Line::RemoveDirectory(entry) => {
                    let path = entry.path.bytes().map_err(|why| lines.wrong(&why))?;
                    let Entry { policy, bytes, reason, .. } = entry;
                    items.push(PlannedItem { policy, path, bytes, reason });
                }
                Line::Plan(_) | Line::Policy(_) => {}
                Line::End(_) => break,
            }
        }
        Ok(items)
    }

    /// Whether it counts for this configuration at this time.
    pub(super) fn counts(&self, config: &Config, now: Moment) -> Result<(), PlanError> {
        let Header { created_at, expires_at, policies, config: settings, .. } = &self.header;
        if now > *expires_at {
            return Err(PlanError::TooOld { expires_at: *expires_at });
        }
        if now.plus(std::time::Duration::from_secs(SLACK_SECONDS)) < *created_at {
            return Err(PlanError::Future { created_at: *created_at });
        }
        let exists = |name: &String| config.files.iter().any(|policy| policy.rule.name == *name);
        if !policies.iter().all(exists) || fingerprint(config, policies) != *settings {
            return Err(PlanError::Foreign);
        }
        Ok(())
    }

    /// Its lines once more, from the beginning.
    pub(super) fn lines(&self) -> Lines<'_> {
        Lines::new(&self.file)
    }
}

/// A file or an empty directory that a plan would remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedItem {
    /// The policy.
    pub policy: String,
    /// Below the policy's root.
    pub path: Vec<u8>,
    /// Allocated.
    pub bytes: u64,
    /// The reason, as text.
    pub reason: String,
}

/// A file read from its beginning, by whoever shares it: it has a position of its own.
struct FromStart<'a> {
    file: &'a File,
    at: u64,
}

impl Read for FromStart<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// The lines of a plan, one after the other.
pub(super) struct Lines<'a> {
    reader: BufReader<FromStart<'a>>,
    buffer: Vec<u8>,
    read: u64,
    /// Of all lines so far.
    digest: Sha256,
}

impl<'a> Lines<'a> {
    fn new(file: &'a File) -> Self {
        let reader = BufReader::with_capacity(256 * 1024, FromStart { file, at: 0 });
        Self { reader, buffer: Vec::new(), read: 0, digest: Sha256::new() }
    }

    /// The next line; `None` at the end of the file.
    pub(super) fn next(&mut self) -> Result<Option<Line>, PlanError> {
        self.buffer.clear();
        let limited = (&mut self.reader).take(LONGEST_LINE).read_until(b'\n', &mut self.buffer);
        if limited.map_err(PlanError::Unreadable)? == 0 {
            return Ok(None);
        }
        self.read += 1;
        match self.buffer.last() {
            Some(b'\n') => {}
            _ if self.buffer.len() as u64 == LONGEST_LINE => return Err(self.wrong("it is too long")),
            _ => return Err(PlanError::Incomplete),
        }
        self.digest.update(&self.buffer);
        serde_json::from_slice(&self.buffer).map(Some).map_err(|error| self.wrong(&error.to_string()))
    }

    pub(super) fn wrong(&self, why: &str) -> PlanError {
        PlanError::NotAPlan { line: self.read.max(1), why: why.to_owned() }
    }
}
