//! Runs that have begun and not ended: one file each, in `running/`, locked for as long as its process lives.
//!
//! A run that ends is written into the history, and its file is removed. A process that is killed, or whose machine loses
//! power, leaves the file behind without its lock: so the next run knows that this one was *interrupted*, which policies
//! it covered, and when it began. What it had removed by then is in the log of removals.
//!
//! All of it is best effort: a run goes on even if there is no room for the file; then its interruption goes unnoticed.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use cleanup_core::moment::Moment;
use cleanup_core::report::{PolicyKind, PolicyReport, Report, Trigger};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::folder;

/// Maximum size of such a file in bytes. A larger one was not written by us, and is ignored.
const MOST_BYTES: u64 = 1 << 20;

/// What is known of a run when it begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BegunRun {
    /// The id that its report is to have.
    pub run_id: String,
    /// What started it.
    pub trigger: Trigger,
    /// Who asked for it, where that has a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_by: Option<String>,
    /// Its start.
    pub started_at: Moment,
    /// The policies that it is about, in their order.
    pub policies: Vec<BegunPolicy>,
}

/// A policy that a run is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BegunPolicy {
    /// Its name.
    pub name: String,
    /// Files or sessions.
    pub kind: PolicyKind,
}

impl BegunRun {
    /// The run as the history has it, once it is known to be interrupted.
    pub fn interrupted(&self) -> Report {
        let Self { run_id, trigger, asked_by, started_at, policies } = self;
        let policies = policies.iter().map(|policy| PolicyReport::interrupted(&policy.name, policy.kind)).collect();
        // When it ended is known to nobody.
        let report = Report::new(run_id.clone(), *trigger, false, *started_at, *started_at, policies);
        Report { asked_by: asked_by.clone(), ..report }
    }
}

/// Marks a run as one that has not ended. Dropped without [`RunMark::end`], by a panic or by the end of the process, it
/// leaves the mark behind.
#[derive(Debug)]
pub struct RunMark {
    path: PathBuf,
    /// Keeps the lock.
    _file: File,
}

impl RunMark {
    /// The run has ended, and is in the history as far as it can be.
    pub fn end(self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!("cannot remove {}: {error}", self.path.display());
        }
    }
}

fn running(folder: &Path) -> PathBuf {
    folder.join("running")
}

/// Writes down that a run begins.
pub(crate) fn begin(folder: &Path, run: &BegunRun) -> io::Result<RunMark> {
    let running = running(folder);
    folder::make(&running)?;
    let (path, new) = (running.join(&run.run_id), running.join(format!("{}.new", run.run_id)));
    let (file, _) = folder::open_or_create(&new)?;
    let begin = || {
        // Locked before it has its name: whoever finds it by that name unlocked knows that nobody works on it.
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        file.write_all_at(&serde_json::to_vec(run)?, 0)?;
        fs::rename(&new, &path)
    };
    if let Err(error) = begin() {
        let _ = fs::remove_file(&new);
        return Err(error);
    }
    Ok(RunMark { path, _file: file })
}

/// Removes what a process left behind that was killed before its run had a name. One that is just about to lock it finds
/// it gone, and goes on without a mark.
pub(crate) fn tidy(folder: &Path) {
    for entry in fs::read_dir(running(folder)).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|new| new == "new") && is_free(&path) {
            let _ = fs::remove_file(&path);
        }
    }
}

fn is_free(path: &Path) -> bool {
    let opened = fs::OpenOptions::new().read(true).custom_flags(folder::no_follow()).open(path);
    opened.is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok())
}

/// The runs whose processes are gone, the oldest first.
pub(crate) fn interrupted(folder: &Path) -> Vec<BegunRun> {
    let Ok(entries) = fs::read_dir(running(folder)) else { return Vec::new() };
    let mut runs: Vec<BegunRun> = entries.flatten().filter_map(|entry| abandoned(&entry.path())).collect();
    runs.sort_by(|one, other| one.run_id.cmp(&other.run_id));
    runs
}

/// Removes the mark of a run that is in the history now.
pub(crate) fn forget(folder: &Path, run: &BegunRun) {
    let _ = fs::remove_file(running(folder).join(&run.run_id));
}

/// What a mark says, when nobody holds its lock any more. `None` too for what is no mark.
fn abandoned(path: &Path) -> Option<BegunRun> {
    let name = path.file_name()?.to_str()?;
    let file = fs::OpenOptions::new().read(true).custom_flags(folder::no_follow()).open(path).ok()?;
    let metadata = file.metadata().ok()?;
    if !metadata.is_file() || folder::stranger(&metadata).is_some() {
        return None;
    }
    // Shared: a look needs no right to write, and two that look do not take each other for the run.
    flock(&file, FlockOperation::NonBlockingLockShared).ok()?;
    let mut text = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut text).ok()?;
    let run: BegunRun = serde_json::from_slice(&text).ok()?;
    (run.run_id == name).then_some(run)
}
