//! The report: the one result that is printed, stored and served.
//!
//! Workers count into a [`Tally`]; a tally becomes a [`PolicyReport`], and those make a [`Report`]. The shape of the
//! JSON is a contract with scripts: keys are added, never renamed or lost.

mod finding;
mod limit;
mod tally;

use std::ops::{AddAssign, Not};

use base64::Engine as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::finding::{Finding, FindingCode, Level};
pub use self::limit::{Done, Limit, Space};
pub use self::tally::Tally;
use crate::candidate::Name;
use crate::moment::Moment;
pub use crate::verdict::KeptCounts;

/// The version of the JSON shape, raised when a key changes its meaning.
pub const FORMAT_VERSION: u32 = 1;

/// How many things the plan of a policy that is held back names.
pub const MAX_PLANNED: usize = 20;

/// How many failed items a report names; the rest is only counted.
pub const MAX_ERRORS: usize = 100;

/// The result of a run over all its policies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// [`FORMAT_VERSION`].
    pub format_version: u32,
    /// A ULID, which sorts by time.
    pub run_id: String,
    /// What started it.
    pub trigger: Trigger,
    /// The name of the token that made the request (`[server.tokens]`). Absent if it had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_by: Option<String>,
    /// Whether it was a dry run.
    pub dry_run: bool,
    /// When it started, in UTC.
    pub started_at: Moment,
    /// When it ended, in UTC.
    pub finished_at: Moment,
    /// The worst status of its policies.
    pub status: RunStatus,
    /// In the order of the configuration.
    pub policies: Vec<PolicyReport>,
    /// The totals.
    pub totals: Totals,
    /// Notes about this run, as text: problems with the state, disputed files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What needs attention, for programs; notes, messages and errors have the same content.
    #[serde(default)]
    pub findings: Vec<Finding>,
    /// Why this run records nothing for later runs, if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_remembered: Option<String>,
    /// Whether this run found no state and started a new one; earlier holds, if any, are lost.
    pub new_memory: bool,
}

/// What started a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// A person or a script, by command or API.
    Manual,
    /// The policy's own `every` or `cron`.
    Schedule,
    /// A limit that was exceeded between two scheduled runs.
    Pressure,
    /// The deadlines of tracked files; such runs are summed up over some minutes.
    Deadline,
    /// A person or a script restored files from quarantine.
    Restore,
    /// The service refused to reload its configuration; a run without policies, for the history.
    Reload,
}

impl Trigger {
    /// Whether such a run covers everything that its policies name. The deadlines of tracked files do not: what tracking
    /// cannot see is still to be swept.
    pub fn is_sweep(self) -> bool {
        match self {
            Self::Manual | Self::Schedule | Self::Pressure => true,
            Self::Deadline | Self::Restore | Self::Reload => false,
        }
    }
}

/// The status of a run, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Everything due was removed; skipped policies do not matter.
    Ok,
    /// Some items could not be removed.
    Partial,
    /// A policy was held back by a brake.
    Held,
    /// The process ended before the run did.
    Interrupted,
    /// A policy could not run.
    Failed,
}

/// The kind of items that a policy cleans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PolicyKind {
    /// `[files.NAME]`
    Files,
    /// `[sessions.NAME]`
    Sessions,
}

/// The status of one policy in one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PolicyStatus {
    /// Everything due was removed.
    Ok,
    /// Some items could not be removed.
    Partial,
    /// There was nothing to scan (no such folder, no database); the message says what is missing.
    Skipped,
    /// A brake held it back; the message says which.
    Held,
    /// It could not run; the message says why.
    Failed,
    /// The process ended before the run did: it was killed, or the machine lost power. What it removed is unknown.
    Interrupted,
}

/// Why a policy was skipped, which is not a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Skip {
    /// Another sweep of the same policy is running.
    Locked,
    /// The configuration sets `enabled = false`.
    Disabled,
    /// The root does not exist.
    NoRoot,
    /// The variable that names the database is unset.
    NoDatabase,
    /// The database is unreachable, or refuses the connection.
    DatabaseAway,
    /// The table is locked by another connection.
    Busy,
    /// Another node is sweeping the same table.
    AnotherNode,
    /// Another program has locked the root (`honour_flock`).
    RootLocked,
}

/// The result of one policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyReport {
    /// The name in the configuration.
    pub name: String,
    /// Files or sessions.
    pub kind: PolicyKind,
    /// The absolute root of the paths in this report; absent for rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// How it ended.
    pub status: PolicyStatus,
    /// The reason if the status is not [`PolicyStatus::Ok`], as a sentence.
    pub message: Option<String>,
    /// The reason for skipping it, for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<Skip>,
    /// Whether its root does not exist, without `root_may_be_missing`.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub root_missing: bool,
    /// Whether it scanned only a part of the files: it was stopped, continued an earlier run, or applied a plan.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub in_part: bool,
    /// The counts.
    #[serde(flatten)]
    pub counts: Counts,
    /// The first [`MAX_PLANNED`] items that a held policy would have removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plan: Vec<Planned>,
    /// With `skip_in_use`: how many processes could be inspected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes: Option<Processes>,
    /// With `mode = "observe"`: what happened to the files of the last run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<Observed>,
    /// The policies with the same root that also match the files in `kept.disputed`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disputed_with: Vec<String>,
    /// The result for each limit.
    pub limits: Vec<Limit>,
    /// The first [`MAX_ERRORS`] items that could not be inspected or removed, by path.
    pub errors: Vec<ItemError>,
    /// Their total number.
    pub errors_total: u64,
}

/// How many processes could be inspected for files in use. Completely hidden processes are in neither number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Processes {
    /// Processes whose open files could be read.
    pub seen: u64,
    /// Processes that this user may not inspect: their open files may have been removed.
    pub hidden: u64,
}

/// One item that would have been removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Planned {
    /// Its path relative to the root; lossy if it is not UTF-8.
    pub path: String,
    /// The exact path in base64, only when `path` is lossy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_bytes: Option<String>,
    /// The reason, as text.
    pub reason: String,
}

/// What happened to the files that an observing policy judged in its last run: whether another cleaner agrees.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Observed {
    /// Predicted for removal, and gone.
    pub gone_as_predicted: u64,
    /// Predicted for removal, but still there.
    pub still_there: u64,
    /// Predicted to stay, but gone.
    pub gone_but_kept: u64,
    /// The first few of `still_there`, by path.
    pub examples_still_there: Vec<String>,
    /// The first few of `gone_but_kept`, by path.
    pub examples_gone_but_kept: Vec<String>,
}

/// The counts of one policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Counts {
    /// Directory entries scanned; rows for sessions.
    pub scanned: u64,
    /// Items that match a pattern of the policy, including archives.
    pub matched: u64,
    /// Allocated bytes of judged items; 0 for sessions.
    pub matched_bytes: u64,
    /// Items judged *remove*.
    pub due: u64,
    /// Allocated bytes of items judged *remove*.
    pub due_bytes: u64,
    /// Items removed permanently; 0 in a dry run.
    pub removed: u64,
    /// Allocated bytes of removed items, counted for each name of a file.
    pub removed_bytes: u64,
    /// Items moved into quarantine; 0 in a dry run.
    pub quarantined: u64,
    /// Allocated bytes of quarantined items, which are not freed.
    pub quarantined_bytes: u64,
    /// Allocated bytes returned to the file system in this run, by removals and purges; a file with several names
    /// counts with its last name.
    pub bytes_freed: u64,
    /// Quarantined files that were deleted permanently; they do not count as `removed`.
    pub purged: u64,
    /// Allocated bytes freed by purging; part of `bytes_freed`.
    pub purged_bytes: u64,
    /// Items restored from quarantine. Only a restore has these, and no other counts.
    pub restored: u64,
    /// Their allocated bytes.
    pub restored_bytes: u64,
    /// Items judged *keep* or kept by the last check, by reason.
    pub kept: KeptCounts,
    /// Items that were gone before this run could remove them.
    pub vanished: u64,
    /// Items that changed after they were judged, and were kept.
    pub changed: u64,
    /// Items that are never touched: matching names that are not regular files (links, sockets, devices …), mounts
    /// below the root, the files of `cleanup` itself.
    pub left_alone: u64,
    /// Files that match a pattern of the policy, but belong to a policy whose root is deeper. No other count of this
    /// policy includes them.
    #[serde(default)]
    pub owned_by_others: u64,
    /// The part of `within_limits` that was not scanned, because the index contains when they can be due.
    #[serde(default)]
    pub indexed: u64,
    /// Files that are ignored because their name, or that of a folder above, starts with a dot (`dotfiles = true`
    /// includes them). Not part of `matched`.
    #[serde(default)]
    pub dotfiles: u64,
    /// Empty directories judged *remove*.
    pub dirs_due: u64,
    /// Empty directories removed.
    pub dirs_removed: u64,
}

/// One item that could not be inspected or removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ItemError {
    /// Its path relative to the root, or its id; lossy if it is not UTF-8.
    pub path: String,
    /// The exact path in base64, only when `path` is lossy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_bytes: Option<String>,
    /// The error, as text.
    pub error: String,
}

/// Totals of all policies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Totals {
    /// Items judged *remove*.
    pub due: u64,
    /// Items removed permanently.
    pub removed: u64,
    /// Items moved into quarantine.
    pub quarantined: u64,
    /// Allocated bytes of quarantined items, which are not freed.
    #[serde(default)]
    pub quarantined_bytes: u64,
    /// Allocated bytes returned to the file system.
    pub bytes_freed: u64,
    /// Items that could not be inspected or removed.
    pub errors: u64,
    /// Items restored from quarantine.
    #[serde(default)]
    pub restored: u64,
}

impl Report {
    /// Sums up the policies of one run.
    pub fn new(
        run_id: String,
        trigger: Trigger,
        dry_run: bool,
        started_at: Moment,
        finished_at: Moment,
        policies: Vec<PolicyReport>,
    ) -> Self {
        let mut totals = Totals::default();
        for PolicyReport { counts, errors_total, status, .. } in &policies {
            // What a policy that is held back would have taken stays.
            totals.due += if *status == PolicyStatus::Held { 0 } else { counts.due };
            totals.removed += counts.removed;
            totals.quarantined += counts.quarantined;
            totals.quarantined_bytes += counts.quarantined_bytes;
            totals.bytes_freed += counts.bytes_freed;
            totals.errors += errors_total;
            totals.restored += counts.restored;
        }
        let status = policies.iter().map(|policy| policy.status.into()).max().unwrap_or(RunStatus::Ok);
        Self {
            format_version: FORMAT_VERSION,
            run_id,
            trigger,
            asked_by: None,
            dry_run,
            started_at,
            finished_at,
            status,
            policies,
            totals,
            notes: Vec::new(),
            findings: Vec::new(),
            not_remembered: None,
            new_memory: false,
        }
    }
}

/// Takes the other apart without `..`, so that a new count does not compile until it is added here as well.
impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        let Self {
            scanned,
            matched,
            matched_bytes,
            due,
            due_bytes,
            removed,
            removed_bytes,
            quarantined,
            quarantined_bytes,
            bytes_freed,
            purged,
            purged_bytes,
            restored,
            restored_bytes,
            kept,
            vanished,
            changed,
            left_alone,
            owned_by_others,
            indexed,
            dotfiles,
            dirs_due,
            dirs_removed,
        } = other;
        self.scanned += scanned;
        self.matched += matched;
        self.matched_bytes += matched_bytes;
        self.due += due;
        self.due_bytes += due_bytes;
        self.removed += removed;
        self.removed_bytes += removed_bytes;
        self.quarantined += quarantined;
        self.quarantined_bytes += quarantined_bytes;
        self.bytes_freed += bytes_freed;
        self.purged += purged;
        self.purged_bytes += purged_bytes;
        self.restored += restored;
        self.restored_bytes += restored_bytes;
        self.kept += kept;
        self.vanished += vanished;
        self.changed += changed;
        self.left_alone += left_alone;
        self.owned_by_others += owned_by_others;
        self.indexed += indexed;
        self.dotfiles += dotfiles;
        self.dirs_due += dirs_due;
        self.dirs_removed += dirs_removed;
    }
}

impl Counts {
    /// How many items were left in the end, and their allocated bytes.
    pub fn kept_items(&self) -> (u64, u64) {
        let gone = self.removed + self.quarantined + self.vanished;
        let gone_bytes = self.removed_bytes + self.quarantined_bytes;
        (self.matched.saturating_sub(gone), self.matched_bytes.saturating_sub(gone_bytes))
    }

    /// How many items that were judged *remove* are still there.
    pub fn still_due(&self) -> u64 {
        self.due.saturating_sub(self.removed + self.quarantined + self.vanished + self.changed)
    }

    /// Allocated bytes of items that were judged *remove* and are still there.
    pub fn still_due_bytes(&self) -> u64 {
        self.due_bytes.saturating_sub(self.removed_bytes + self.quarantined_bytes)
    }

    /// The part of `bytes_freed` that was not purged from quarantine.
    pub fn freed_by_removal(&self) -> u64 {
        self.bytes_freed.saturating_sub(self.purged_bytes)
    }
}

impl From<PolicyStatus> for RunStatus {
    fn from(status: PolicyStatus) -> Self {
        match status {
            PolicyStatus::Ok | PolicyStatus::Skipped => Self::Ok,
            PolicyStatus::Partial => Self::Partial,
            PolicyStatus::Held => Self::Held,
            PolicyStatus::Failed => Self::Failed,
            PolicyStatus::Interrupted => Self::Interrupted,
        }
    }
}

impl PolicyReport {
    /// A policy that ran to its end, or was stopped before.
    pub fn finished(name: &str, kind: PolicyKind, tally: Tally) -> Self {
        let Tally { counts, mut errors, errors_total, stopped } = tally;
        errors.sort_by(|a, b| a.path.cmp(&b.path));
        errors.truncate(MAX_ERRORS);
        let in_part = stopped.is_some();
        let is_whole = errors_total == 0 && !in_part;
        let status = if is_whole { PolicyStatus::Ok } else { PolicyStatus::Partial };
        let deferred = counts.kept.deferred;
        let message = stopped
            .or_else(|| (deferred > 0).then(|| format!("max_removals reached; {deferred} more left for the next run")));
        Self { message, in_part, counts, errors, errors_total, ..Self::empty(name, kind, status) }
    }

    /// Holds a policy back that ran as a plan: nothing was removed, and the plan says what would have been.
    #[must_use]
    pub fn held(self, message: String, plan: Vec<Planned>) -> Self {
        Self { status: PolicyStatus::Held, message: Some(message), plan, ..self }
    }

    /// A policy that a brake holds back before it looked at anything.
    pub fn held_back(name: &str, kind: PolicyKind, message: String) -> Self {
        Self { message: Some(message), ..Self::empty(name, kind, PolicyStatus::Held) }
    }

    /// A policy that could not run.
    pub fn failed(name: &str, kind: PolicyKind, message: String) -> Self {
        Self { message: Some(message), ..Self::empty(name, kind, PolicyStatus::Failed) }
    }

    /// A policy in a run that never ended.
    pub fn interrupted(name: &str, kind: PolicyKind) -> Self {
        let message = "interrupted: the process ended before the run finished; its counts are unknown";
        Self { message: Some(message.to_owned()), ..Self::empty(name, kind, PolicyStatus::Interrupted) }
    }

    /// A policy with nothing to look at.
    pub fn skipped(name: &str, kind: PolicyKind, skip: Skip, message: String) -> Self {
        Self { message: Some(message), skipped: Some(skip), ..Self::empty(name, kind, PolicyStatus::Skipped) }
    }

    fn empty(name: &str, kind: PolicyKind, status: PolicyStatus) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            root: None,
            status,
            message: None,
            skipped: None,
            root_missing: false,
            in_part: false,
            plan: Vec::new(),
            processes: None,
            observed: None,
            counts: Counts::default(),
            disputed_with: Vec::new(),
            limits: Vec::new(),
            errors: Vec::new(),
            errors_total: 0,
        }
    }
}

impl ItemError {
    /// Names an item, the root itself as `.`; what is not UTF-8 is kept exactly beside the lossy text.
    pub fn new(name: Name<'_>, error: String) -> Self {
        let bytes = name.to_bytes();
        let (path, path_bytes) = json_path(if bytes.is_empty() { b"." } else { &bytes });
        Self { path, path_bytes, error }
    }
}

/// A path for JSON: the text, lossy where it is not UTF-8, and then the exact bytes in base64.
pub fn json_path(bytes: &[u8]) -> (String, Option<String>) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return (text.to_owned(), None);
    }
    let exact = base64::engine::general_purpose::STANDARD.encode(bytes);
    (String::from_utf8_lossy(bytes).into_owned(), Some(exact))
}
