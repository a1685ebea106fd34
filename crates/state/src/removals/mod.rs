//! The log of removals: what left its place, when, by which run and policy, why, and who asked.
//!
//! It answers one question, "why is this file gone?", for as long as it is kept, and it is disposable: a log that cannot
//! be written stops no run, and one that is damaged loses the entries that the damage hit and no others.
//!
//! In the folder `removals/` lie *segments*, numbered upwards. `00000007.log` is still written to, by one process at a
//! time; several processes have a log each. A log with [`MOST_RECORDS`] entries, or one that was begun a day ago, is
//! *sealed*: it becomes `00000007.seg`, whose frames are full and whose end is an index by path and by run. So a path is
//! found among ten million by three small reads in each segment, and what is too old is forgotten by removing files.
//!
//! Entries wait in memory until there are enough for a frame, and for [`OLDEST_WAITING`] at most while a run goes on: a
//! process that is killed loses those. Nothing is synced but a segment when it is sealed.

mod frame;
mod read;
mod reason;
mod record;
mod segment;
#[cfg(test)]
mod tests;
mod writer;

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cleanup_core::moment::Moment;
use cleanup_core::report::Trigger;

pub(crate) use self::read::page;
pub use self::read::{Page, PathQuery, Position, RemovalsQuery};
pub use self::reason::Reason;
pub use self::writer::RemovalLog;
pub(crate) use self::writer::forget;

/// Most entries of a segment, roughly: a log is sealed by the frame that reaches it.
pub(crate) const MOST_RECORDS: u64 = 131_072;

/// How long a log is written to. After that it is sealed, however small, so that what is in it can be forgotten.
const LONGEST_WRITTEN: Duration = Duration::from_hours(24);

/// How long an entry waits for others while a run goes on.
const OLDEST_WAITING: Duration = Duration::from_millis(100);

/// What left its place, or came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal<'a> {
    /// When.
    pub at: Moment,
    /// The id of the run.
    pub run: Cow<'a, str>,
    /// What started the run.
    pub trigger: Trigger,
    /// Who asked for it, where that has a name.
    pub asked_by: Option<Cow<'a, str>>,
    /// The policy.
    pub policy: Cow<'a, str>,
    /// What became of it.
    pub action: Action,
    /// The absolute path; `None` where an entry speaks of several things without naming them, such as rows.
    pub path: Option<Cow<'a, [u8]>>,
    /// How many: 1 with a path.
    pub count: u64,
    /// Allocated bytes.
    pub bytes: u64,
    /// Its inode, where it is known.
    pub inode: Option<u64>,
    /// What the policy said to it.
    pub reason: Option<Reason<'a>>,
}

/// What became of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It was removed.
    Removed,
    /// It was removed as a directory, with everything that was in it.
    RemovedWhole,
    /// It was moved into quarantine.
    Quarantined,
    /// It was moved into quarantine as a directory, with everything that was in it.
    QuarantinedWhole,
    /// It was deleted for good from quarantine.
    Purged,
    /// It came back from quarantine.
    Restored,
}

impl Action {
    /// As it is written. Appended to only: what was written with a number is read by it.
    const ALL: [Self; 6] =
        [Self::Removed, Self::RemovedWhole, Self::Quarantined, Self::QuarantinedWhole, Self::Purged, Self::Restored];

    fn number(self) -> u8 {
        match self {
            Self::Removed => 0,
            Self::RemovedWhole => 1,
            Self::Quarantined => 2,
            Self::QuarantinedWhole => 3,
            Self::Purged => 4,
            Self::Restored => 5,
        }
    }

    fn of(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Whether something left its place.
    pub fn is_removal(self) -> bool {
        match self {
            Self::Removed | Self::RemovedWhole | Self::Quarantined | Self::QuarantinedWhole => true,
            Self::Purged | Self::Restored => false,
        }
    }

    /// Whether what lay below a path has shared its fate.
    pub fn is_of_whole_directory(self) -> bool {
        matches!(self, Self::RemovedWhole | Self::QuarantinedWhole)
    }
}

/// The folder of the log. It is made when something is written to it.
fn folder_of(state: &Path) -> PathBuf {
    state.join("removals")
}

/// A segment by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Segment {
    number: u64,
    /// Whether nothing is added to it any more. Sorts behind the log of the same number.
    is_sealed: bool,
}

impl Segment {
    fn of(name: &OsStr) -> Option<Self> {
        let (number, extension) = name.to_str()?.split_once('.')?;
        let is_sealed = match extension {
            "log" => false,
            "seg" => true,
            _ => return None,
        };
        let is_number = number.len() >= 8 && number.bytes().all(|byte| byte.is_ascii_digit());
        Some(Self { number: number.parse().ok().filter(|_| is_number)?, is_sealed })
    }

    fn path(self, folder: &Path) -> PathBuf {
        let Self { number, is_sealed } = self;
        folder.join(format!("{number:08}.{}", if is_sealed { "seg" } else { "log" }))
    }
}

/// All segments, the oldest first. Where a process was killed when it had just sealed a log, the log is still there; the
/// segment counts.
fn segments(folder: &Path) -> io::Result<Vec<Segment>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found: Vec<Segment> = entries.flatten().filter_map(|entry| Segment::of(&entry.file_name())).collect();
    // The sealed one first, and only the first of a number stays.
    found.sort_by_key(|segment| (segment.number, !segment.is_sealed));
    found.dedup_by_key(|segment| segment.number);
    Ok(found)
}
