//! The audit log: the log of removals as lines of JSON, and with holds; each written before the next file goes.
//!
//! Each line is one `write` on a file opened for appending, so that threads and processes need not wait for each other
//! and no line is ever torn. A log that cannot be written does not stop the sweep: the report says so.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock};

use cleanup_core::config::Audit as Configured;
use cleanup_core::moment::Moment;
use cleanup_core::report::json_path;
use cleanup_state::{Action as Recorded, Removal};
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use serde::Serialize;

use crate::clock;

/// The log of one engine.
#[derive(Debug)]
pub(crate) struct Audit {
    configured: Configured,
    open: RwLock<Option<File>>,
    /// Why the last line could not be written.
    failure: Mutex<Option<String>>,
}

/// One line. Rows have no name in it: a session's id is a secret.
#[derive(Serialize)]
struct Line<'a> {
    at: Moment,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    asked_by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<&'a str>,
    action: Action,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_bytes: Option<String>,
    /// How many, where a line speaks of several.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inode: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Moment>,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
enum Action {
    Removed,
    Quarantined,
    /// Deleted for good from quarantine.
    Purged,
    /// Brought back from quarantine.
    Restored,
    /// Kept for a while, whatever its age.
    Held,
    /// Kept no more than others.
    Released,
}

impl Audit {
    pub(crate) fn new(configured: Configured) -> Self {
        Self { configured, open: RwLock::default(), failure: Mutex::default() }
    }

    /// Its file; full ones lie beside it, under names that continue this one.
    pub(crate) fn file(&self) -> &Path {
        &self.configured.file
    }

    /// Writes down what left its place or came back.
    pub(crate) fn removal(&self, removal: &Removal<'_>) {
        let Removal { at, run, trigger: _, asked_by, policy, action, path, count, bytes, inode, reason } = removal;
        let action = match action {
            Recorded::Removed | Recorded::RemovedWhole => Action::Removed,
            Recorded::Quarantined | Recorded::QuarantinedWhole => Action::Quarantined,
            Recorded::Purged => Action::Purged,
            Recorded::Restored => Action::Restored,
        };
        let (path, path_bytes) = path.as_deref().map(json_path).unzip();
        self.add(&Line {
            at: *at,
            run: Some(run),
            asked_by: asked_by.as_deref(),
            policy: Some(policy),
            action,
            count: path.is_none().then_some(*count),
            path,
            path_bytes: path_bytes.flatten(),
            // Rows have none.
            bytes: Some(*bytes),
            inode: *inode,
            reason: reason.as_ref().map(ToString::to_string),
            until: None,
        });
    }

    /// Writes down that a path is held from now on.
    pub(crate) fn held(&self, path: &[u8], until: Moment, by: Option<&str>) {
        let (path, path_bytes) = json_path(path);
        let line = Line::without_run(by, Action::Held);
        self.add_alone(&Line { path: Some(path), path_bytes, until: Some(until), ..line });
    }

    /// Writes down that a path is held no more.
    pub(crate) fn released(&self, path: &[u8], by: Option<&str>) {
        let (path, path_bytes) = json_path(path);
        self.add_alone(&Line { path: Some(path), path_bytes, ..Line::without_run(by, Action::Released) });
    }

    /// Why lines are missing, said once.
    pub(crate) fn take_failure(&self) -> Option<String> {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        let file = cleanup_core::candidate::Escaped(self.configured.file.as_os_str().as_encoded_bytes());
        Some(format!("lines are missing from the audit log {file}: {failure}"))
    }

    /// The same for a line outside of any run. No report would say that it is missing, so the log does.
    fn add_alone(&self, line: &Line<'_>) {
        self.add(line);
        if let Some(failure) = self.take_failure() {
            tracing::warn!("{failure}");
        }
    }

    fn add(&self, line: &Line<'_>) {
        if let Err(error) = self.write(line) {
            *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
        }
    }

    fn write(&self, line: &Line<'_>) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        if !self.is_open() {
            self.turn()?;
        }
        let is_full = {
            let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
            let mut out = open.as_ref().ok_or_else(|| io::Error::other("it is not open"))?;
            out.write_all(&text)?;
            out.metadata()?.len() >= self.configured.max_bytes
        };
        if is_full { self.turn() } else { Ok(()) }
    }

    fn is_open(&self) -> bool {
        self.open.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Opens the log, and begins a new one when it is full.
    fn turn(&self) -> io::Result<()> {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        let Configured { file: path, max_bytes, keep } = &self.configured;
        let file = append(path)?;
        if file.metadata()?.len() >= *max_bytes {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                // Another process is at the same, or somebody who may read the log keeps it from being turned over: it
                // grows until the next line.
                Err(Errno::WOULDBLOCK) => {
                    *open = Some(file);
                    return Ok(());
                }
                result => result?,
            }
            // Whoever comes second finds another file under the name.
            let is_same = path.symlink_metadata().is_ok_and(|found| {
                file.metadata().is_ok_and(|ours| (found.dev(), found.ino()) == (ours.dev(), ours.ino()))
            });
            if is_same {
                for number in (0..*keep).rev() {
                    match std::fs::rename(numbered(path, number), numbered(path, number + 1)) {
                        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                        _ => {}
                    }
                }
            }
            *open = Some(append(path)?);
        } else {
            *open = Some(file);
        }
        Ok(())
    }
}

impl<'a> Line<'a> {
    /// Of what belongs to no run, and to no one policy.
    fn without_run(asked_by: Option<&'a str>, action: Action) -> Self {
        Self {
            at: clock::now(),
            run: None,
            asked_by,
            policy: None,
            action,
            path: None,
            path_bytes: None,
            count: None,
            bytes: None,
            inode: None,
            reason: None,
            until: None,
        }
    }
}

/// Opens the log, and makes it if it is missing. It may lie in a folder that others write: a link is not followed, the
/// other end of a FIFO is not waited for, and a file that another user could read our lines from is not written.
fn append(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let opened = OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(flags).open(path);
    let file = opened.map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::LOOP) => io::Error::other("it is a symbolic link, which is not followed"),
        // What a FIFO or a socket says that nobody reads.
        Some(Errno::NXIO) => io::Error::other(NO_FILE),
        _ => error,
    })?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other(NO_FILE));
    }
    let us = rustix::process::geteuid().as_raw();
    if found.uid() != 0 && found.uid() != us {
        let uid = found.uid();
        return Err(io::Error::other(format!("it belongs to another user (uid {uid}); move it away, or chown it")));
    }
    Ok(file)
}

const NO_FILE: &str = "it is not a regular file; move it away";

/// `audit.jsonl`, `audit.jsonl.1`, …
fn numbered(path: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return path.to_owned();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}
