//! Policies as plain data: what is temporary, for how long, and what must never be touched.
//!
//! A [`Policy`] is only the rule, the same for files and rows. A [`FilePolicy`] or a [`SessionPolicy`] adds where to
//! apply it. `config` creates and validates all of them, so nothing is checked here.

mod fingerprint;
mod rows;
mod schedule;

use std::path::PathBuf;
use std::time::Duration;

pub use self::fingerprint::{Changes, Fingerprint};
pub use self::rows::{Condition, RowStamp, Scalar, Test};
pub use self::schedule::{CronError, CronExpression, Schedule};
use crate::pattern::Patterns;

/// The rule: how long an item may stay. The same for every kind of store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The name in `[files.NAME]` or `[sessions.NAME]`.
    pub name: String,
    /// Age after which an unprotected candidate may be removed, from its timestamp; `None` if only limits apply, and
    /// for rows with their own end.
    pub max_age: Option<MaxAge>,
    /// Time after its arrival during which no rule removes a candidate.
    pub min_age: Duration,
    /// What happens to archives.
    pub archives: Archives,
}

/// A maximum age: positive, and exceeded before anything is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MaxAge(Duration);

impl MaxAge {
    /// `None` for zero, which would include everything.
    pub fn new(age: Duration) -> Option<Self> {
        (!age.is_zero()).then_some(Self(age))
    }

    /// The limit itself.
    pub fn get(self) -> Duration {
        self.0
    }
}

/// Whether archives are protected or judged by age like other files.
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
    /// An absolute path, checked when it is opened.
    pub root: PathBuf,
    /// Whether a root that does not exist is normal (`root_may_be_missing`).
    pub root_may_be_missing: bool,
    /// Which names are candidates, and of which class.
    pub patterns: Patterns,
    /// What is removed as a unit: single files, or whole directories directly below the root.
    pub unit: Unit,
    /// The timestamp from which the age counts.
    pub stamp: StampKind,
    /// How deep to scan below the root.
    pub depth: Depth,
    /// Whether empty directories are removed too.
    pub empty_dirs: EmptyDirs,
    /// The clock that measures ages.
    pub age_clock: AgeClock,
    /// The limits on the content of the root, whatever its age, and `keep_newest`.
    pub limits: Limits,
    /// What happens to due files.
    pub dispose: Dispose,
    /// Whether files in use are kept.
    pub in_use: InUse,
    /// Whether a lock on the root pauses the policy.
    pub root_lock: RootLock,
    /// Whether a sweep records young files for the next one.
    pub indexing: Indexing,
    /// The source of names that are still needed.
    pub references: Option<References>,
    /// The brakes: what stops the policy if it would remove more than anyone is likely to intend.
    pub brakes: Brakes,
    /// Whether verdicts are acted on at all.
    pub effect: Effect,
    /// Whether the service notices new files and removes each at its deadline.
    pub track: bool,
    /// When the service or a rendered unit runs it.
    pub schedule: Option<Schedule>,
    /// Whether it is enabled.
    pub enabled: bool,
}

/// The key `unit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Single files (the default).
    File,
    /// Each directory directly below the root: whole, or not at all.
    Directory,
}

/// The keys that limit the content of a root; `None` is no limit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    /// This many of the newest stay, whatever their age.
    pub keep_newest: Option<u64>,
    /// The maximum number of files; the oldest are removed first.
    pub max_files: Option<u64>,
    /// The maximum of allocated bytes; the oldest files are removed first.
    pub max_total_size: Option<u64>,
    /// How much of the file system must be free; the oldest files are removed first.
    pub min_free: Option<MinFree>,
}

impl Limits {
    /// Whether any of them needs a scan of all files before the sweep.
    pub fn need_ranking(&self) -> bool {
        *self != Self::default()
    }
}

/// The keys `min_free` and `weight`. At least one of the two low marks is set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MinFree {
    /// Space for unprivileged users: below the low mark, the policy starts to free some.
    pub space: Option<Marks>,
    /// The same for inodes.
    pub inodes: Option<Marks>,
    /// Relative cost of recreating these files (> 0, default 1); ages are divided by it when policies compete for
    /// `min_free`.
    pub weight: f64,
}

/// The marks at which freeing space starts and stops.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Marks {
    /// It starts with less free than this.
    pub low: Room,
    /// It stops with this much free; no less than `low`.
    pub high: Room,
}

/// An amount of a file system.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Room {
    /// Percent of the whole, above 0 and below 100.
    Percent(f64),
    /// Bytes, or inodes.
    Amount(u64),
}

impl Room {
    /// How much that is of a whole of this size, rounded up.
    pub fn of(self, whole: u64) -> u64 {
        match self {
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a share of a file system need not be exact to the byte"
            )]
            Self::Percent(percent) => (whole as f64 * percent / 100.0).ceil() as u64,
            Self::Amount(amount) => amount,
        }
    }
}

/// The key `dispose`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dispose {
    /// It is deleted (the default).
    Delete,
    /// It is moved aside within the root, and deleted later.
    Quarantine(Quarantine),
}

/// The keys that bound a quarantine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quarantine {
    /// How long something stays in it: `quarantine_for`.
    pub keep_for: Duration,
    /// How many allocated bytes may lie in it; the oldest are deleted first: `quarantine_max_size`.
    pub max_bytes: Option<u64>,
}

impl Quarantine {
    /// `quarantine_for`, when it is not given.
    pub const KEEP_FOR: Duration = Duration::from_hours(7 * 24);
}

/// The key `skip_in_use`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InUse {
    /// Open files are removed like others (the default).
    Ignore,
    /// What a process has open, mapped or locked stays.
    Skip,
}

/// The key `honour_flock`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootLock {
    /// Such a lock is ignored (the default).
    Ignore,
    /// While somebody else has locked the root with `flock`, the policy does not run.
    Honour,
}

/// The key `index`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Indexing {
    /// Young files of a large tree are remembered (the default).
    Remember,
    /// Every sweep looks at all files (`index = false`).
    LookAtAll,
}

/// The key `keep_referenced`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct References {
    /// The session policy whose database is asked.
    pub sessions: String,
    /// A query that returns the names to keep, one per row.
    pub query: String,
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

/// The keys that stop a policy when more would go than anyone can have meant, or when it takes too long. `None` is off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Brakes {
    /// Files removed in one run; the rest is left for the next.
    pub max_removals: Option<u64>,
    /// Percent of the matching files, 1 to 100, beyond which nothing is removed.
    pub max_removal_percent: Option<u32>,
    /// Removals that fail in a row before the run of this policy ends.
    pub max_consecutive_errors: Option<u32>,
    /// Time after which a run ends; the next run continues where it stopped.
    pub max_runtime: Option<Duration>,
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
    /// The rule; its `max_age` is the key `max_idle`, `None` where rows say themselves when they end.
    pub rule: Policy,
    /// The database, or the name of the unset variable that stands for it.
    pub database: Database,
    /// `table` or `schema.table`, as written; checked against the database's catalog.
    pub table: String,
    /// Column that identifies a session.
    pub id_column: String,
    /// Which column says when a session is due.
    pub stamp: RowStamp,
    /// What a row must be for the policy to be about it, as the key `where` says; all of them.
    pub conditions: Vec<Condition>,
    /// The zone of times that have none of their own.
    pub activity_time_zone: Option<String>,
    /// How that column holds time; `None` is what its values are: timestamps, Unix seconds, ISO 8601.
    pub time_format: Option<TimeFormat>,
    /// Rows in the first batch; the size then follows the observed latency.
    pub batch_size: u32,
    /// How long a statement waits for a lock before it gives up.
    pub lock_timeout: Duration,
    /// How long a statement may run before it is cancelled; `None` is a multiple of the pace's target.
    pub statement_timeout: Option<Duration>,
    /// How much a sweep may disturb the application.
    pub pace: Pace,
    /// Table that receives the removed rows, in the same statement.
    pub archive_table: Option<String>,
    /// What happens to a partition whose rows are all due.
    pub partitions: Partitions,
    /// What stops it when more goes than anybody can have meant.
    pub brakes: Brakes,
    /// Whether rows are removed at all, or only counted.
    pub effect: Effect,
    /// When the service or a rendered unit runs it.
    pub schedule: Option<Schedule>,
    /// Whether it is enabled.
    pub enabled: bool,
}

/// The key `time_format`: how a column holds time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeFormat {
    /// A timestamp of the database.
    Timestamp,
    /// A number: seconds since 1970.
    Seconds,
    /// A number: milliseconds since 1970.
    Milliseconds,
    /// A number: microseconds since 1970.
    Microseconds,
    /// A number: days since noon of 24 November 4714 BC, as SQLite's `julianday` counts them.
    Julian,
    /// Text such as `2026-01-02 03:04:05` or `2026-01-02T03:04:05.678+02:00`, in UTC where it names no offset.
    Iso8601,
}

impl TimeFormat {
    /// As the configuration writes it.
    pub fn key(self) -> &'static str {
        match self {
            Self::Timestamp => "timestamp",
            Self::Seconds => "seconds",
            Self::Milliseconds => "milliseconds",
            Self::Microseconds => "microseconds",
            Self::Julian => "julian",
            Self::Iso8601 => "iso8601",
        }
    }
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

/// The key `partitions`: what becomes of a partition of which every row is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partitions {
    /// Its rows are deleted, as those of any table (the default).
    Delete,
    /// The partition is dropped.
    Drop,
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
