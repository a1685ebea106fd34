//! The report: the one result that is printed, stored and served.
//!
//! Workers count into a [`Tally`]; a tally becomes a [`PolicyReport`], and those make a [`Report`]. The shape of the
//! JSON is a contract with scripts: keys are added, never renamed or lost.

mod finding;
mod limit;
mod silence;
mod tally;

use std::ops::{AddAssign, Not};

use base64::Engine as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::finding::{Finding, FindingCode, FoundBy, Level};
pub use self::limit::{Done, Limit, Space};
pub use self::silence::Silence;
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

/// What came of one run over all its policies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// [`FORMAT_VERSION`].
    pub format_version: u32,
    /// A ULID, in the order of time.
    pub run_id: String,
    /// What started it.
    pub trigger: Trigger,
    /// Who asked for it: the name of the token that was sent (`[server.tokens]`). Absent where it had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_by: Option<String>,
    /// Whether it only said what it would do.
    pub dry_run: bool,
    /// When it began, in UTC.
    pub started_at: Moment,
    /// When it ended, in UTC.
    pub finished_at: Moment,
    /// The worst of the policies'.
    pub status: RunStatus,
    /// In the order of the configuration.
    pub policies: Vec<PolicyReport>,
    /// The sums.
    pub totals: Totals,
    /// What somebody should know of this run, in words: what befell the memory of past runs, which policies dispute
    /// files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What needs somebody: the same as notes, messages and errors say, for programs.
    #[serde(default)]
    pub findings: Vec<Finding>,
    /// Why this run leaves nothing behind for the next one, when it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_remembered: Option<String>,
    /// Whether this run found no memory and began a new one: what was held before, if anything, is forgotten.
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
    /// A person or a script that brings files back from quarantine.
    Restore,
    /// The service was to read its configuration anew, and refused to: a run without policies, for the history.
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
    /// All that was due is gone; a skipped policy does not change that.
    Ok,
    /// Some items could not be removed.
    Partial,
    /// A policy was held back by a brake.
    Held,
    /// It began, and its process was gone before it ended.
    Interrupted,
    /// A policy could not run.
    Failed,
}

/// What kind of thing a policy cleans.
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
    /// All that was due is gone.
    Ok,
    /// Some items could not be removed.
    Partial,
    /// There was nothing to look at (no such folder, no database); the message says what is missing.
    Skipped,
    /// A brake held it back; the message says which.
    Held,
    /// It could not run; the message says why.
    Failed,
    /// Its run began, and the process was gone before it ended: killed, or the machine lost power. What was removed until
    /// then is not known.
    Interrupted,
}

/// Why a policy was skipped: a reason to look, but no failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Skip {
    /// Another sweep of the same policy is running.
    Locked,
    /// The configuration says `enabled = false`.
    Disabled,
    /// The root does not exist.
    NoRoot,
    /// The variable that names the database is unset.
    NoDatabase,
    /// The database does not answer, or refuses us.
    DatabaseAway,
    /// The table is locked by somebody else.
    Busy,
    /// Another node is sweeping the same table.
    AnotherNode,
    /// Somebody holds a lock on the root (`honour_flock`).
    RootLocked,
}

/// What came of one policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyReport {
    /// The name in the configuration.
    pub name: String,
    /// Files or sessions.
    pub kind: PolicyKind,
    /// The root that paths in this report are below, absolute; rows have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// How it ended.
    pub status: PolicyStatus,
    /// Why, when it is not simply [`PolicyStatus::Ok`]: a whole sentence for people.
    pub message: Option<String>,
    /// The same for programs, when it was skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<Skip>,
    /// Whether its root does not exist, though the policy does not say that it comes and goes (`root_may_be_missing`).
    #[serde(default, skip_serializing_if = "Not::not")]
    pub root_missing: bool,
    /// Whether it looked at a part of the files only: it was stopped, went on where an earlier run had stopped, or was
    /// given a plan.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub in_part: bool,
    /// The counts.
    #[serde(flatten)]
    pub counts: Counts,
    /// What a policy that is held back would have removed: the first [`MAX_PLANNED`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plan: Vec<Planned>,
    /// With `skip_in_use`: how many processes could be looked into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes: Option<Processes>,
    /// With `mode = "observe"`: what became of what the last run looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<Observed>,
    /// The policies with the same root that name those of `kept.disputed` as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disputed_with: Vec<String>,
    /// What came of each limit.
    pub limits: Vec<Limit>,
    /// The first [`MAX_ERRORS`] items that could not be looked at or removed, by path.
    pub errors: Vec<ItemError>,
    /// How many there were.
    pub errors_total: u64,
}

/// How much could be seen of who uses what. Processes that are hidden altogether are in neither number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Processes {
    /// Those whose open files could be read.
    pub seen: u64,
    /// Those that this user may not look into: their files may have been taken from under them.
    pub hidden: u64,
}

/// One thing that would have been removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Planned {
    /// Its path below the root; lossy when it is not UTF-8.
    pub path: String,
    /// The exact path in base64, only when `path` is lossy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_bytes: Option<String>,
    /// Why, in words.
    pub reason: String,
}

/// What became of the files that an observing policy looked at in its last run: whether somebody else cleans alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Observed {
    /// It would have taken them, and they are gone.
    pub gone_as_predicted: u64,
    /// It would have taken them, and they are still there.
    pub still_there: u64,
    /// It would have kept them, and they are gone.
    pub gone_but_kept: u64,
    /// The first few of `still_there`, by path.
    pub examples_still_there: Vec<String>,
    /// The first few of `gone_but_kept`, by path.
    pub examples_gone_but_kept: Vec<String>,
}

/// What was counted for one policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Counts {
    /// Directory entries looked at; rows for sessions.
    pub scanned: u64,
    /// Those that a pattern of the policy names, archives included.
    pub matched: u64,
    /// Allocated bytes of those that were judged; 0 for sessions.
    pub matched_bytes: u64,
    /// Those judged *remove*.
    pub due: u64,
    /// Allocated bytes of those judged *remove*.
    pub due_bytes: u64,
    /// Those removed for good; 0 in a dry run.
    pub removed: u64,
    /// Allocated bytes of those, for each name of a file again.
    pub removed_bytes: u64,
    /// Those moved into quarantine; 0 in a dry run.
    pub quarantined: u64,
    /// Allocated bytes of those, which are not freed: they still take up their room.
    pub quarantined_bytes: u64,
    /// Allocated bytes that the file system got back in this run: of what was removed, a file with several names only
    /// with the last of them, and of what was purged.
    pub bytes_freed: u64,
    /// Those that had lain in quarantine and were deleted for good; none of them counts as `removed`.
    pub purged: u64,
    /// Allocated bytes that the file system got back by that; they are part of `bytes_freed`.
    pub purged_bytes: u64,
    /// Those that came back from quarantine. Only a run that restores has any, and nothing else.
    pub restored: u64,
    /// Allocated bytes of those.
    pub restored_bytes: u64,
    /// Those judged *keep* or spared at the last moment, by reason.
    pub kept: KeptCounts,
    /// Those that somebody else removed first.
    pub vanished: u64,
    /// Those that changed between judging and acting, and were kept.
    pub changed: u64,
    /// What is never touched: matching names that are no regular files (links, sockets, devices …), whatever is
    /// mounted below the root, the files of `cleanup` itself.
    pub left_alone: u64,
    /// Files that a pattern of the policy names, but that belong to a policy whose root lies deeper. They are in no
    /// other count of this policy.
    #[serde(default)]
    pub owned_by_others: u64,
    /// Those of `within_limits` that were not looked at, because the index knows when they can be due.
    #[serde(default)]
    pub indexed: u64,
    /// Files that are no candidates because a dot begins their name or that of a folder that they lie in
    /// (`dotfiles = true` makes them candidates). Not among `matched`.
    #[serde(default)]
    pub dotfiles: u64,
    /// Empty directories judged *remove*.
    pub dirs_due: u64,
    /// Empty directories removed.
    pub dirs_removed: u64,
}

/// One item that could not be looked at or removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ItemError {
    /// Its path below the root, or its id; lossy when it is not UTF-8.
    pub path: String,
    /// The exact path in base64, only when `path` is lossy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_bytes: Option<String>,
    /// What went wrong, in words.
    pub error: String,
}

/// The sums over all policies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Totals {
    /// Those judged *remove*.
    pub due: u64,
    /// Those removed for good.
    pub removed: u64,
    /// Those moved into quarantine.
    pub quarantined: u64,
    /// Allocated bytes of those, which are not freed.
    #[serde(default)]
    pub quarantined_bytes: u64,
    /// Allocated bytes that the file system got back.
    pub bytes_freed: u64,
    /// Items that could not be looked at or removed.
    pub errors: u64,
    /// Those that came back from quarantine.
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
        let message = stopped.or_else(|| {
            (deferred > 0).then(|| format!("max_removals is reached; {deferred} more are left for the next run"))
        });
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
        let message =
            "interrupted: the run began, and its process was gone before it ended; what it removed is not known";
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
