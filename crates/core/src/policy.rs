//! Policies as plain data: what is temporary, for how long, and what must never be touched.
//!
//! A [`Policy`] is the rule alone, the same for files and for rows. Where to apply it is a [`FilePolicy`] or a
//! [`SessionPolicy`]. All of them come out of `config`, which has checked them: nothing is left to check here.

use std::path::PathBuf;
use std::time::Duration;

use crate::pattern::Patterns;

/// The rule: how long something may stay. Shared by every kind of store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The name in `[files.NAME]` or `[sessions.NAME]`.
    pub name: String,
    /// Age beyond which an unprotected candidate may go, measured from its stamp.
    pub max_age: MaxAge,
    /// Age below which a candidate is never taken, by whatever rule.
    pub min_age: Duration,
    /// What becomes of candidates of class archive.
    pub archives: Archives,
}

/// An age limit: positive, strictly exceeded before anything goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MaxAge(Duration);

impl MaxAge {
    /// `None` for zero: "older than nothing" would be everything.
    pub fn new(age: Duration) -> Option<Self> {
        (!age.is_zero()).then_some(Self(age))
    }

    /// The limit itself.
    pub fn get(self) -> Duration {
        self.0
    }
}

/// Whether archives are protected or judged by age like everything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Archives {
    /// Kept, whatever their age (the default).
    Keep,
    /// Judged by age (`include_archives`).
    Judge,
}

/// A rule for files under one root.
#[derive(Clone, Debug)]
pub struct FilePolicy {
    /// The rule.
    pub rule: Policy,
    /// An absolute path; what it leads to is checked when it is opened.
    pub root: PathBuf,
    /// Which names are candidates, and of which class.
    pub patterns: Patterns,
    /// Which of a file's moments its age counts from.
    pub stamp: StampKind,
    /// How far below the root to look.
    pub depth: Depth,
    /// Whether directories in which nothing is left go as well.
    pub empty_dirs: EmptyDirs,
    /// By which clock ages count.
    pub age_clock: AgeClock,
    /// What stops it when more goes than anybody can have meant.
    pub brakes: Brakes,
    /// Whether verdicts are acted on at all.
    pub effect: Effect,
    /// Whether the service learns of new files by itself and keeps exact deadlines.
    pub track: bool,
    /// When the service or a rendered unit runs it.
    pub schedule: Option<Schedule>,
    /// Whether it runs at all.
    pub enabled: bool,
}

/// The key `stamp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StampKind {
    /// `mtime`, the default.
    Modified,
    /// `ctime`.
    Changed,
    /// `atime`.
    Accessed,
    /// `btime`; a file on a file system that records none is kept and named as an error.
    Born,
    /// The newest of all four that the file system records.
    Newest,
}

/// How many levels below the root are looked at; 1 is the root's own entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Depth(pub u32);

impl Depth {
    /// The root's own entries alone: `recursive = false`.
    pub const FLAT: Self = Self(1);
    /// As deep as it goes: `recursive = true` without `max_depth`.
    pub const UNLIMITED: Self = Self(u32::MAX);
}

/// The key `remove_empty_dirs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmptyDirs {
    /// Directories are left alone (the default).
    Keep,
    /// Directories below the root are judged by age once nothing is left in them.
    Judge,
}

/// The key `age_clock`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgeClock {
    /// The wall clock (the default).
    Wall,
    /// The wall clock, less the time for which this machine was asleep or switched off.
    Running,
}

/// The keys that stop a policy when more goes than anybody can have meant. `None` is off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Brakes {
    /// Files removed in one run; the rest is left for the next.
    pub max_removals: Option<u64>,
    /// Percent of the matching files, 1 to 100, beyond which nothing is removed.
    pub max_removal_percent: Option<u32>,
    /// Removals that fail in a row before the run of this policy ends.
    pub max_consecutive_errors: Option<u32>,
}

/// The key `mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// What is due is removed (the default).
    Enforce,
    /// Everything but the removal.
    Observe,
}

/// A rule for session rows in one table.
#[derive(Clone, Debug)]
pub struct SessionPolicy {
    /// The rule; its `max_age` is the key `max_idle`.
    pub rule: Policy,
    /// The database, or the name of the unset variable that stands for it.
    pub database: Database,
    /// `table` or `schema.table`, as written; judged by the database's catalog.
    pub table: String,
    /// The column that names a session.
    pub id_column: String,
    /// The column that says when a session was last active.
    pub activity_column: String,
    /// The zone of an activity column that has none of its own.
    pub activity_time_zone: Option<String>,
    /// Rows in the first batch; the size then follows the observed latency.
    pub batch_size: u32,
    /// How long a statement waits for a lock before it backs off.
    pub lock_timeout: Duration,
    /// How long a statement may run before it is cancelled; `None` is a multiple of the pace's target.
    pub statement_timeout: Option<Duration>,
    /// How much the application may feel of it.
    pub pace: Pace,
    /// A table that takes the removed rows, in the same statement.
    pub archive_table: Option<String>,
    /// Whether rows are removed at all, or only counted.
    pub effect: Effect,
    /// When the service or a rendered unit runs it.
    pub schedule: Option<Schedule>,
    /// Whether it runs at all.
    pub enabled: bool,
}

/// Where a session policy's rows are.
#[derive(Clone, PartialEq, Eq)]
pub enum Database {
    /// A connection URL, as the configuration or the environment gave it. May hold a password.
    Url(String),
    /// The URL names this variable, which is unset: "no database here", the policy is skipped.
    Unset {
        /// The variable's name.
        variable: String,
    },
}

/// Never shows the URL: it may hold a password.
impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Url(_) => f.write_str("Url(…)"),
            Self::Unset { variable } => f.debug_struct("Unset").field("variable", variable).finish(),
        }
    }
}

/// The key `pace`: the latency that a batch of deletions aims at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// 10 ms a batch, with longer pauses: users come first.
    Strict,
    /// 20 ms a batch (the default).
    Normal,
    /// 100 ms a batch, no pauses: nobody is there.
    OffHours,
}

/// When a policy runs by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// The key `every`: the time between two runs, positive.
    Every(Duration),
    /// The key `cron`: five fields, checked, in local time or `time_zone`.
    Cron(String),
}

/// `every 30m`, `cron 0 * * * *`.
impl std::fmt::Display for Schedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Every(span) => write!(f, "every {}", crate::duration::Human(*span)),
            Self::Cron(fields) => write!(f, "cron {fields}"),
        }
    }
}
