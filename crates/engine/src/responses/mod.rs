//! What the engine answers beside a report: statistics, lists, explanations, checks.
//!
//! Like the report these are plain values with a JSON shape that scripts rely on: keys are added, never renamed or
//! lost. All of them come out of the same walk and the same judge as a sweep.

pub mod track;

use cleanup_core::moment::Moment;
use cleanup_core::report::{Limit, PolicyKind, PolicyStatus, RunStatus, Trigger};
use schemars::JsonSchema;
use serde::Serialize;

use self::track::ForecastHour;

/// What is there now, by policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Stats {
    /// [`cleanup_core::report::FORMAT_VERSION`].
    pub format_version: u32,
    /// In the order of the configuration.
    pub policies: Vec<PolicyStats>,
}

/// What one policy would find now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PolicyStats {
    /// The name in the configuration.
    pub name: String,
    /// Files or sessions.
    pub kind: PolicyKind,
    /// Whether it could be looked at.
    pub status: PolicyStatus,
    /// Why not, when it could not; of sessions also what looks wrong: clocks that differ, rows without a plausible time.
    pub message: Option<String>,
    /// The numbers of a file policy that could be looked at.
    #[serde(flatten)]
    pub files: Option<FileStats>,
    /// The numbers of a session policy that could be looked at.
    #[serde(flatten)]
    pub sessions: Option<SessionStats>,
}

/// What lies below one root, as the sweep would see it: only names that a pattern means are counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FileStats {
    /// The root, lossy where it is not UTF-8.
    pub root: String,
    /// Matching files, archives included.
    pub total_files: u64,
    /// Their allocated bytes.
    pub total_bytes: u64,
    /// Those that a sweep would remove now.
    pub due_files: u64,
    /// Their allocated bytes.
    pub due_bytes: u64,
    /// Those that are archives.
    pub archive_files: u64,
    /// The oldest stamp of a matching file.
    pub oldest: Option<Moment>,
    /// The newest stamp of a matching file.
    pub newest: Option<Moment>,
    /// When the next file that is kept now will be due.
    pub next_due_at: Option<Moment>,
    /// How full each limit is.
    pub limits: Vec<Limit>,
    /// With limits: the first few that would go, in their order, whether or not a limit asks for them now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub next: Vec<NextToGo>,
    /// Files that the policy names and that belong to one whose root lies deeper. They are in no other number here.
    #[serde(skip_serializing_if = "is_zero")]
    pub owned_by_others: u64,
    /// Files that another policy with the same root names as well, so that neither takes them. They are in no other
    /// number here.
    #[serde(skip_serializing_if = "is_zero")]
    pub disputed_files: u64,
    /// Those policies.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub disputed_with: Vec<String>,
    /// Files that are no candidates because a dot begins their name or that of a folder that they lie in; with
    /// `dotfiles = true` they would be.
    pub dotfiles: u64,
    /// Entries that could not be looked at.
    pub errors_total: u64,
    /// Matching files by age, the youngest first.
    pub ages: Vec<AgeBand>,
    /// What comes due in each of the next 24 hours, as far as age alone decides; what is due now is not in it.
    pub next_hours: Vec<ForecastHour>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Files of about the same age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AgeBand {
    /// Younger than this, in seconds, and no younger than the band before; `null` for the oldest.
    pub below_seconds: Option<u64>,
    /// How many.
    pub files: u64,
    /// Their allocated bytes.
    pub bytes: u64,
}

/// One of the files that would go next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NextToGo {
    /// The path below the policy's root, lossy where it is not UTF-8.
    pub path: String,
    /// The exact path in base64, only when `path` is lossy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_bytes: Option<String>,
    /// Allocated bytes.
    pub bytes: u64,
    /// The moment from which its age counts.
    pub stamp: Moment,
    /// Whether a sweep would remove it now.
    pub due: bool,
}

/// What lies in one session table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SessionStats {
    /// The table, as the configuration names it.
    pub table: String,
    /// All rows.
    pub total_rows: u64,
    /// Rows idle for longer than `max_idle`.
    pub expired_rows: u64,
    /// Rows whose activity is no plausible time; they stay. Of a large table those that were come across.
    pub implausible_rows: u64,
    /// Whether `total_rows` is the planner's estimate.
    pub estimated: bool,
    /// The longest idle row's last activity.
    pub oldest: Option<Moment>,
    /// The latest activity.
    pub newest: Option<Moment>,
    /// When the next row that is kept now will be due.
    pub next_due_at: Option<Moment>,
}

/// One file that a policy means, with its verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Listed {
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
    /// Its age in whole seconds; negative when it is stamped in the future.
    pub age_seconds: i64,
    /// Whether a sweep would remove it now.
    pub due: bool,
    /// Why, or why not, in words.
    pub reason: String,
    /// The last moment at which it is kept, when age alone decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_until: Option<Moment>,
}

/// What every policy says to one path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Explanation {
    /// The path that was asked for, made absolute; lossy where it is not UTF-8.
    pub path: String,
    /// The exact path in base64, only when `path` is lossy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_bytes: Option<String>,
    /// The policy that the file belongs to, if it belongs to one and is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The policies that dispute it: they have the same root and both name it, so neither takes it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub disputed: Vec<String>,
    /// One answer of each policy below whose root the path lies; empty when it lies below none.
    pub answers: Vec<Answer>,
}

/// What one policy says to one path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Answer {
    /// The policy.
    pub policy: String,
    /// What would become of it.
    pub verdict: AnswerVerdict,
    /// Why, in words.
    pub reason: String,
    /// The policy that it belongs to instead: this one names it too, but its root does not lie as deep.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub belongs_to: Option<String>,
    /// The policy that disputes it: it has the same root and names it as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disputed_with: Option<String>,
    /// What each rule says, in the order in which they are asked; the first that applies decides. Empty where the path is
    /// no candidate.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleAnswer>,
    /// The last moment at which it is kept, when age alone decides. Of one that is due: until when sweeps pass by it,
    /// because its stamp was set back and the index knows it as younger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_until: Option<Moment>,
    /// Whether the policy runs at all.
    pub enabled: bool,
    /// How often the policy runs by itself, as written; `None` when it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
}

/// What one rule says to one path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RuleAnswer {
    /// The rule, by the key that sets it where there is one.
    pub rule: String,
    /// `keep`, `remove`, or nothing where it does not apply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<AnswerVerdict>,
    /// Why, in words, where it applies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What would become of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnswerVerdict {
    /// A sweep would remove it now.
    Remove,
    /// It is a candidate, and stays.
    Keep,
    /// The policy does not mean it, or never touches such things.
    NotACandidate,
    /// It is gone from its place, and can come back from quarantine.
    Quarantined,
    /// It does not exist, or could not be looked at.
    Unknown,
}

/// What `config check` found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Check {
    /// [`cleanup_core::report::FORMAT_VERSION`].
    pub format_version: u32,
    /// Where the configuration came from.
    pub config: String,
    /// The worst of the findings, `ok` when there are none.
    pub status: Severity,
    /// What was found, in the order of the policies.
    pub findings: Vec<Finding>,
}

/// One thing that `config check` found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    /// The policy it concerns; `all` where it concerns every one.
    pub policy: String,
    /// How bad it is.
    pub severity: Severity,
    /// What it is, in words.
    pub message: String,
    /// A statement or command that would help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// How bad a finding is, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It is as it should be.
    Ok,
    /// It works, but not as well as it could, or not now.
    Warning,
    /// The policy cannot run like this.
    Error,
}

/// Past runs, the newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct History {
    /// [`cleanup_core::report::FORMAT_VERSION`].
    pub format_version: u32,
    /// The runs.
    pub runs: Vec<PastRun>,
    /// What is wrong with the memory itself, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// One past run in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PastRun {
    /// The id that the run's report has.
    pub run_id: String,
    /// What started it.
    pub trigger: Trigger,
    /// When it began, in UTC.
    pub started_at: Moment,
    /// When it ended, in UTC.
    pub finished_at: Moment,
    /// The worst of its policies'.
    pub status: RunStatus,
    /// What was judged *remove*.
    pub due: u64,
    /// What was removed for good.
    pub removed: u64,
    /// What was moved into quarantine.
    pub quarantined: u64,
    /// Allocated bytes of what was removed.
    pub bytes_freed: u64,
    /// Items that could not be looked at or removed.
    pub errors: u64,
    /// What came back from quarantine, in a run that restored.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub restored: u64,
    /// The policies that had a part in it, by name.
    pub policies: Vec<String>,
    /// Those of them that were not swept because something was in the way: a lock, another node, a database that is
    /// away. The run's report says what. Absent when there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<String>,
    /// Those of them whose root did not exist, and is not said to come and go (`root_may_be_missing`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub root_missing: Vec<String>,
}

/// When a policy last ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LastRun {
    /// The policy.
    pub policy: String,
    /// When its last run began, whatever came of it.
    pub started_at: Moment,
    /// When it last did all that was asked of it; a run that was skipped or held back does not count.
    pub succeeded_at: Option<Moment>,
}

/// Everything that is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Holds {
    /// [`cleanup_core::report::FORMAT_VERSION`].
    pub format_version: u32,
    /// By path.
    pub holds: Vec<HeldPath>,
}

/// A path that is kept for a while, and everything below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HeldPath {
    /// The absolute path, lossy where it is not UTF-8.
    pub path: String,
    /// The exact path in base64, only when `path` is lossy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_bytes: Option<String>,
    /// Until when.
    pub until: Moment,
    /// Since when.
    pub made_at: Moment,
}

/// What lies in quarantine, by policy; the files themselves are told one by one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Quarantined {
    /// [`cleanup_core::report::FORMAT_VERSION`].
    pub format_version: u32,
    /// In the order of the configuration.
    pub policies: Vec<QuarantinedPolicy>,
}

/// What one policy has in quarantine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct QuarantinedPolicy {
    /// The policy.
    pub policy: String,
    /// How many files.
    pub files: u64,
    /// Their allocated bytes.
    pub bytes: u64,
    /// Since when the oldest lies there.
    pub oldest: Option<Moment>,
    /// When the first may be deleted for good; the next sweep after that does it.
    pub next_purge_at: Option<Moment>,
    /// Why not all of it could be told, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// One file in quarantine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct QuarantinedFile {
    /// The policy.
    pub policy: String,
    /// The run that moved it aside.
    pub run_id: String,
    /// Where it came from, below the policy's root; lossy where it is not UTF-8. Where it lies, when that is not known.
    pub path: String,
    /// The exact path in base64, only when `path` is lossy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_bytes: Option<String>,
    /// Whether `path` is where it came from; `false` when its note was lost.
    pub origin_known: bool,
    /// Allocated bytes.
    pub bytes: u64,
    /// When it was moved aside.
    pub quarantined_at: Moment,
    /// Until when it can certainly come back, unless the quarantine grows too large.
    pub until: Moment,
    /// Why it was due, in words.
    pub reason: Option<String>,
}

/// What was brought back, or could be; the files themselves are told one by one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Restored {
    /// The run that was undone, when a run was asked for.
    pub run_id: Option<String>,
    /// The run that this is itself, as the history has it; none in a dry run, and where nothing was tried.
    pub restore_run_id: Option<String>,
    /// Whether it only said what it would do.
    pub dry_run: bool,
    /// How many files came back.
    pub restored: u64,
    /// Their allocated bytes.
    pub restored_bytes: u64,
    /// How many older versions of them stay in quarantine.
    pub older: u64,
    /// How many could not be brought back.
    pub failed: u64,
    /// Until when those that came back are held.
    pub held_until: Option<Moment>,
    /// Paths that were asked for, and of which nothing lies in quarantine.
    pub not_found: Vec<String>,
    /// What could not be looked at, in words.
    pub problems: Vec<String>,
    /// What befell the memory and the audit log, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What came of bringing one file back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RestoredFile {
    /// The policy.
    pub policy: String,
    /// The run that had moved it aside.
    pub run_id: String,
    /// The path below the policy's root, lossy where it is not UTF-8.
    pub path: String,
    /// The exact path in base64, only when `path` is lossy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_bytes: Option<String>,
    /// Allocated bytes.
    pub bytes: u64,
    /// When it had been moved aside.
    pub quarantined_at: Moment,
    /// What came of it; in a dry run, what would.
    pub outcome: RestoreOutcome,
    /// Why it is still in quarantine, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What came of bringing one file back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RestoreOutcome {
    /// It is back.
    Restored,
    /// Something is in its way; it stays in quarantine.
    Conflict,
    /// A newer version of it came back; this one stays in quarantine.
    Older,
    /// It could not be moved.
    Failed,
}
