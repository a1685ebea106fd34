//! What tracking answers: plain values with a JSON shape that scripts rely on.

use cleanup_core::moment::Moment;
use schemars::JsonSchema;
use serde::Serialize;

/// Current numbers of one tracked policy, from memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TrackedPolicy {
    /// The policy.
    pub policy: String,
    /// Files that its patterns match, including archives.
    pub total_files: u64,
    /// Files with a deadline.
    pub tracked_files: u64,
    /// Allocated bytes of all files.
    pub total_bytes: u64,
    /// When the next file will be checked.
    pub next_deadline: Option<Moment>,
    /// How new files are noticed.
    pub watching: Watching,
    /// Why deadlines are currently not enforced, if they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
}

/// How new files are noticed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "by")]
pub enum Watching {
    /// By events of the kernel.
    Events,
    /// By periodic scans.
    Rescans {
        /// The reason, as text.
        why: String,
    },
    /// Not at the moment: the root cannot be opened, and the service tries again.
    Missing {
        /// The reason, as text.
        why: String,
        /// Whether it is the root itself that is not there.
        #[serde(skip)]
        absent: Absent,
    },
}

/// Whether a root does not exist, or cannot be opened for another reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Absent {
    /// It may exist.
    #[default]
    No,
    /// It does not, and the policy says that it comes and goes (`root_may_be_missing`).
    Expected,
    /// It does not.
    Unexpected,
}

/// One tracked file.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct TrackedFile {
    /// Stable across restarts.
    pub id: String,
    /// The policy.
    pub policy: String,
    /// The path relative to the policy's root; lossy if it is not UTF-8.
    pub path: String,
    /// The exact path in base64, only when `path` is lossy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_bytes: Option<String>,
    /// Allocated bytes.
    pub bytes: u64,
    /// The moment from which its age counts.
    pub stamp: Moment,
    /// Its own time in seconds, if it was registered with one.
    pub ttl_seconds: Option<f64>,
    /// When it will be removed, as currently known.
    pub due_at: Option<Moment>,
    /// Until when it is held.
    pub held_until: Option<Moment>,
}

/// Which tracked files are asked for.
#[derive(Clone, Debug, Default)]
pub struct FilesQuery {
    /// Only those of this policy.
    pub policy: Option<String>,
    /// Only those whose path has this in it.
    pub contains: Option<String>,
    /// In which order.
    pub order: FilesOrder,
    /// At most so many.
    pub limit: usize,
    /// Those after the file with this id; in another order than by path, those after this place, as
    /// [`FilesPage::next`] names it.
    pub after: Option<String>,
}

/// In which order tracked files are answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FilesOrder {
    /// By policy and path.
    #[default]
    Path,
    /// By allocated bytes, the most first.
    Largest,
    /// By allocated bytes, the fewest first.
    Smallest,
    /// By the moment from which their age counts, the earliest first.
    Oldest,
    /// By the same moment, the latest first.
    Newest,
    /// By the moment at which they will be removed, the earliest first, and then those that have none.
    Due,
}

/// Some tracked files, in the order that was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct FilesPage {
    /// The files.
    pub files: Vec<TrackedFile>,
    /// Pass this as `after` to get the next page; `None` on the last.
    pub next: Option<String>,
}

/// What came of registering a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Registration {
    /// The file.
    pub file: TrackedFile,
    /// Whether nobody had told of it before.
    pub is_new: bool,
}

/// Why a file is not registered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// No policy has this name.
    #[error("there is no policy {0:?}")]
    UnknownPolicy(String),
    /// The policy does not track its files.
    #[error("the policy {0:?} does not track its files; it needs `track = true`")]
    NotTracked(String),
    /// The path is nothing that could be registered; in words that show nothing outside of the root.
    #[error("{0}")]
    Refused(String),
    /// No more files can be tracked.
    #[error("{0} files are tracked, which is the limit")]
    TooMany(usize),
    /// Not now: the root is missing, or the promise cannot be written down.
    #[error("{0}")]
    Unavailable(String),
}

/// How much becomes due in one hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ForecastHour {
    /// The start of the hour.
    pub from: Moment,
    /// Files that become due in it.
    pub files: u64,
    /// Their allocated bytes.
    pub bytes: u64,
}
