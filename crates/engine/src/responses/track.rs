//! What tracking answers: plain values with a JSON shape that scripts rely on.

use cleanup_core::moment::Moment;
use schemars::JsonSchema;
use serde::Serialize;

/// What is known of one tracked policy, from memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TrackedPolicy {
    /// The policy.
    pub policy: String,
    /// Files that its patterns name, archives included.
    pub total_files: u64,
    /// Those that have a deadline.
    pub tracked_files: u64,
    /// Allocated bytes of all of them.
    pub total_bytes: u64,
    /// When the next of them is to be looked at.
    pub next_deadline: Option<Moment>,
    /// How new files are learned of.
    pub watching: Watching,
    /// Why deadlines are not kept at the moment, when they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
}

/// How new files are learned of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "by")]
pub enum Watching {
    /// The kernel tells of them.
    Events,
    /// Everything is looked at again and again.
    Rescans {
        /// Why, in words.
        why: String,
    },
    /// The root cannot be opened; it is tried again.
    Missing {
        /// Why, in words.
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
    /// Stable over restarts.
    pub id: String,
    /// The policy.
    pub policy: String,
    /// The path below the policy's root, lossy where it is not UTF-8.
    pub path: String,
    /// The exact path in base64, only when `path` is lossy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_bytes: Option<String>,
    /// Allocated bytes.
    pub bytes: u64,
    /// The moment from which its age counts.
    pub stamp: Moment,
    /// Its own time, when it was registered with one, in seconds.
    pub ttl_seconds: Option<f64>,
    /// When it will be removed, as far as it is known now.
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
    /// What to ask for the next page with; `None` on the last.
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
    #[error("{0} files are tracked, and more are not taken")]
    TooMany(usize),
    /// Not now: the root is missing, or the promise cannot be written down.
    #[error("{0}")]
    Unavailable(String),
}

/// How much comes due in one hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ForecastHour {
    /// When the hour begins.
    pub from: Moment,
    /// Files that come due in it.
    pub files: u64,
    /// Their allocated bytes.
    pub bytes: u64,
}
