//! What the TOML may say, key by key: the language itself, before any meaning is checked.
//!
//! The doc comments here are what editors show (through the JSON Schema), so they speak to whoever writes the file.
//! There is no `tag`, `untagged` or `flatten`: they lose the positions that errors need.

use schemars::JsonSchema;
use serde::Deserialize;

use super::values::{
    At, Bytes, Columns, Conditions, Headers, MinFree, Named, NamedFiles, Period, Switch, Weight, optional_table,
};
use crate::report::FindingCode;

/// What is temporary, for how long, and what must never be touched.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Configuration")]
pub(super) struct RawConfig {
    /// Time zone in which schedules run, such as `Europe/Berlin`. Default: local time, as cron has it.
    pub(super) time_zone: Option<At<String>>,
    /// Durable memory: past runs, tracked files, what was promised to be kept.
    #[serde(default, deserialize_with = "optional_table")]
    pub(super) state: Option<RawState>,
    /// A log of everything that was removed.
    #[serde(default, deserialize_with = "optional_table")]
    pub(super) audit: Option<RawAudit>,
    /// Who is told of what needs somebody, and what runs after files were removed.
    #[serde(default, deserialize_with = "optional_table")]
    pub(super) notify: Option<RawNotify>,
    /// The service `cleanup-server`.
    #[serde(default, deserialize_with = "optional_table")]
    pub(super) server: Option<RawServer>,
    /// Rules for files: `[files.NAME]`. A name is made of `a-z`, `0-9`, `_` and `-`.
    #[serde(default)]
    pub(super) files: Named<RawFilePolicy>,
    /// Rules for session rows: `[sessions.NAME]`. A name is made of `a-z`, `0-9`, `_` and `-`.
    #[serde(default)]
    pub(super) sessions: Named<RawSessionPolicy>,
}

/// Durable memory: past runs, tracked files, what was promised to be kept.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "State")]
pub(super) struct RawState {
    /// `sqlite:PATH`, or `none` to remember nothing. Default: beside the configuration file, in `.cleanup/`.
    #[schemars(extend("examples" = ["sqlite:/var/lib/cleanup/state.db", "none"]))]
    pub(super) url: Option<At<String>>,
    /// How long past runs are kept.
    #[schemars(extend("default" = "90d"))]
    pub(super) keep_history: Option<At<Period>>,
    /// How long it is known what was removed, when and why; `0s` keeps no such log.
    #[schemars(extend("default" = "30d"))]
    pub(super) removals_for: Option<At<Period>>,
    /// Maximum size of that log; beyond it the oldest entries go.
    #[schemars(extend("default" = "1GiB"))]
    pub(super) removals_max_size: Option<At<Bytes>>,
}

/// A log of everything that was removed: a line of JSON each.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Audit", extend("required" = ["file"]))]
pub(super) struct RawAudit {
    /// The file; a relative one is relative to this configuration file. Its folder has to exist.
    #[schemars(extend("examples" = ["/var/log/cleanup/audit.jsonl"]))]
    pub(super) file: Option<At<String>>,
    /// At this size a new file is started.
    #[schemars(extend("default" = "10MB"))]
    pub(super) max_size: Option<At<Bytes>>,
    /// How many full files are kept beside it: `audit.jsonl.1` is the newest.
    #[schemars(range(min = 1, max = 100), extend("default" = 5))]
    pub(super) keep: Option<At<u32>>,
}

/// Who is told of what needs somebody, and what runs after files were removed.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Notify")]
pub(super) struct RawNotify {
    /// URL to which each message is sent, by POST and as JSON. Empty: none.
    #[schemars(extend("examples" = ["${WEBHOOK_URL}", "https://hooks.slack.com/services/…"]))]
    pub(super) webhook: Option<At<String>>,
    /// File that holds that URL. Not together with `webhook`.
    pub(super) webhook_file: Option<At<String>>,
    /// Headers that the message is sent with.
    #[serde(default)]
    pub(super) headers: Headers,
    /// File of certificates (PEM) that `https` trusts instead of the built-in ones.
    pub(super) ca_file: Option<At<String>>,
    /// A program and its arguments: it gets each message on standard input, as JSON. No shell.
    #[schemars(extend("examples" = [["/usr/local/bin/tell-somebody"]]))]
    pub(super) command: Option<At<Vec<At<String>>>>,
    /// Which findings are told, by code. Default: all but `busy`, `starting`, `stopping` and `notify`.
    #[schemars(extend("examples" = [["failed", "held", "root_missing"]]))]
    pub(super) on: Option<At<Vec<At<FindingCode>>>>,
    /// Tell as well that a finding is over.
    #[schemars(extend("default" = true))]
    pub(super) recovered: Option<bool>,
    /// URL that is called by GET after each successful run while nothing is wrong: a dead man's switch. Empty: none.
    #[schemars(extend("examples" = ["https://hc-ping.com/…"]))]
    pub(super) ping: Option<At<String>>,
    /// File that holds that URL. Not together with `ping`.
    pub(super) ping_file: Option<At<String>>,
    /// A program and its arguments: after a run that removed files it gets their absolute paths on standard input, each
    /// followed by NUL. No shell.
    #[schemars(extend("examples" = [["/usr/local/bin/purge-cdn"]]))]
    pub(super) after: Option<At<Vec<At<String>>>>,
}

/// The service `cleanup-server`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Server")]
pub(super) struct RawServer {
    /// Address and port to listen on. Anything but loopback needs a token.
    #[schemars(extend("default" = "127.0.0.1:8000"))]
    pub(super) listen: Option<At<String>>,
    /// A unix socket to listen on as well.
    pub(super) socket: Option<At<String>>,
    /// Host names, without a port, under which the service may be called besides `localhost` and IP addresses.
    pub(super) hosts: Option<Vec<At<String>>>,
    /// File that holds the bearer token, of at least 16 characters.
    pub(super) token_file: Option<At<String>>,
    /// More tokens, each with a name and a file: whoever sends one is named in what it asks for.
    #[serde(default)]
    pub(super) tokens: NamedFiles,
    /// File that holds a token which is good for reading `/metrics` and `/readyz`, and for nothing else.
    pub(super) metrics_token_file: Option<At<String>>,
    /// Which requests need a token, once there is one.
    #[schemars(extend("default" = "changes"))]
    pub(super) token_for: Option<RawTokenFor>,
    /// The longest time for which a request may hold a file; a longer one is cut to it.
    #[schemars(extend("default" = "90d"))]
    pub(super) max_hold: Option<At<Period>>,
    /// The tracked policy of which `/cleanup/stats` speaks. Default: the first with `track = true`.
    pub(super) stats_policy: Option<At<String>>,
}

/// A rule for files below one root.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "FilePolicy", extend("required" = ["root", "include"]))]
pub(super) struct RawFilePolicy {
    /// Folder that holds the files; a relative one is relative to this configuration file.
    pub(super) root: Option<At<String>>,
    /// The root comes and goes: while it does not exist, the policy is skipped without a warning.
    #[schemars(extend("default" = false))]
    pub(super) root_may_be_missing: Option<bool>,
    /// Globs of the names that may go. One with a `/` is matched against the path below the root.
    #[schemars(extend("examples" = [["*.svg"], ["formal_{uuid}.svg"]]))]
    pub(super) include: Option<At<Vec<At<String>>>>,
    /// Globs of names that are never touched.
    pub(super) exclude: Option<Vec<At<String>>>,
    /// Globs of names that are kept unless asked for; tried before `include`.
    pub(super) archives: Option<Vec<At<String>>>,
    /// Judge archives by age like everything else.
    #[schemars(extend("default" = false))]
    pub(super) include_archives: Option<bool>,
    /// Let `*`, `?` and `[…]` in `include` match a dot at the beginning of a name, as in `.gitkeep`, and look for files
    /// in folders with such a name.
    #[schemars(extend("default" = false))]
    pub(super) dotfiles: Option<bool>,
    /// Age beyond which a file goes.
    pub(super) max_age: Option<At<Period>>,
    /// Time from a file's arrival for which it is never touched, by whatever rule.
    #[schemars(extend("default" = "0s"))]
    pub(super) min_age: Option<At<Period>>,
    /// The moment from which the age counts.
    #[schemars(extend("default" = "mtime"))]
    pub(super) stamp: Option<RawStamp>,
    /// The clock that measures the age.
    #[schemars(extend("default" = "wall"))]
    pub(super) age_clock: Option<RawAgeClock>,
    /// Look into folders below the root too.
    #[schemars(extend("default" = false))]
    pub(super) recursive: Option<bool>,
    /// How many levels to look at when `recursive`; 1 is the root's own files. Default: all of them.
    #[schemars(range(min = 1))]
    pub(super) max_depth: Option<At<u32>>,
    /// Remove folders below the root once nothing is left in them and they are old enough.
    #[schemars(extend("default" = false))]
    pub(super) remove_empty_dirs: Option<At<bool>>,
    /// What a candidate is: single files, or whole directories.
    #[schemars(extend("default" = "file"))]
    pub(super) unit: Option<At<RawUnit>>,
    /// Keep this many of the newest files, whatever their age.
    pub(super) keep_newest: Option<At<u64>>,
    /// Keep at most this many files; the oldest go first.
    pub(super) max_files: Option<u64>,
    /// Keep at most this many bytes; the oldest go first.
    pub(super) max_total_size: Option<Bytes>,
    /// Keep this much of the file system free; the oldest files go first.
    pub(super) min_free: Option<At<MinFree>>,
    /// Relative cost of recreating these files: ages are divided by it when several policies compete for the free space
    /// of one file system.
    #[schemars(extend("default" = 1))]
    pub(super) weight: Option<At<Weight>>,
    /// What becomes of a file that is due.
    #[schemars(extend("default" = "delete"))]
    pub(super) dispose: Option<RawDispose>,
    /// How long a file stays in quarantine.
    #[schemars(extend("default" = "7d"))]
    pub(super) quarantine_for: Option<At<Period>>,
    /// How large the quarantine may grow; the oldest go first.
    pub(super) quarantine_max_size: Option<At<Bytes>>,
    /// Leave files alone that a process has open, mapped, or locked with `flock`.
    #[schemars(extend("default" = false))]
    pub(super) skip_in_use: Option<bool>,
    /// Do not run while somebody else has locked the root itself with `flock`.
    #[schemars(extend("default" = false))]
    pub(super) honour_flock: Option<bool>,
    /// Remember which files of a large tree are too young, and do not look at them again before they can be due.
    #[schemars(extend("default" = true))]
    pub(super) index: Option<bool>,
    /// Keep files whose names a query returns.
    #[serde(default, deserialize_with = "optional_table")]
    pub(super) keep_referenced: Option<RawKeepReferenced>,
    /// Brake: remove at most this many files in one run; the rest is left for the next.
    pub(super) max_removals: Option<u64>,
    /// Brake: hold the policy back when one run would remove more than this share of its files, in percent.
    #[schemars(range(min = 1, max = 100))]
    pub(super) max_removal_percent: Option<At<u32>>,
    /// Brake: stop after this many errors in a row.
    pub(super) max_consecutive_errors: Option<u64>,
    /// Brake: end the run after this time; the next one continues where it stopped.
    pub(super) max_runtime: Option<At<Period>>,
    /// Remove what is due, or only say what would go.
    #[schemars(extend("default" = "enforce"))]
    pub(super) mode: Option<RawMode>,
    /// Let the service learn of new files by itself and keep exact deadlines.
    #[schemars(extend("default" = false))]
    pub(super) track: Option<bool>,
    /// Time between two runs. Not together with `cron`.
    pub(super) every: Option<At<Period>>,
    /// When it runs, in cron's five fields. Not together with `every`.
    #[schemars(extend("examples" = ["0 3 * * *"]))]
    pub(super) cron: Option<At<String>>,
    /// Whether it runs at all.
    #[schemars(extend("default" = true))]
    pub(super) enabled: Option<Switch>,
}

/// A rule for session rows in one table.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(
    rename = "SessionPolicy",
    extend(
        "required" = ["url", "table", "id_column"],
        "oneOf" = [
            { "required": ["activity_column", "max_idle"], "properties": { "grace": false } },
            { "required": ["expires_column"], "properties": { "activity_column": false, "max_idle": false } },
        ]
    )
)]
pub(super) struct RawSessionPolicy {
    /// The database, usually `"${DATABASE_URL}"`; where that variable is unset, the policy is skipped.
    #[schemars(extend("examples" = ["${DATABASE_URL}"]))]
    pub(super) url: Option<At<String>>,
    /// The table, or `schema.table`.
    pub(super) table: Option<At<String>>,
    /// The column that names a session.
    pub(super) id_column: Option<At<String>>,
    /// The column that says when a session was last active; of several, the first that is not null. Not together with
    /// `expires_column`.
    pub(super) activity_column: Option<At<Columns>>,
    /// The column that says when a session ends. Not together with `activity_column`.
    pub(super) expires_column: Option<At<String>>,
    /// How long a session stays after its end.
    #[schemars(extend("default" = "0s"))]
    pub(super) grace: Option<At<Period>>,
    /// Which rows the policy is about: columns and the values that they must have.
    #[serde(rename = "where")]
    #[schemars(extend("examples" = [{ "status": ["done", "failed"], "kind": { "not": ["keep"] } }]))]
    pub(super) conditions: Option<Conditions>,
    /// Time zone of a column that has none of its own.
    #[schemars(extend("examples" = ["UTC"]))]
    pub(super) activity_time_zone: Option<At<String>>,
    /// How that column holds time. Default: what its values are, of numbers Unix seconds.
    pub(super) time_format: Option<RawTimeFormat>,
    /// Time without activity after which a session goes.
    pub(super) max_idle: Option<At<Period>>,
    /// Rows in the first batch; the size then follows the observed latency.
    #[schemars(range(min = 1, max = 20_000), extend("default" = 500))]
    pub(super) batch_size: Option<At<u32>>,
    /// How long a statement waits for a lock before it backs off.
    #[schemars(extend("default" = "200ms"))]
    pub(super) lock_timeout: Option<At<Period>>,
    /// How long a statement may run. Default: a multiple of the pace's target.
    pub(super) statement_timeout: Option<At<Period>>,
    /// How much the application may notice of it.
    #[schemars(extend("default" = "normal"))]
    pub(super) pace: Option<RawPace>,
    /// A table that takes the removed rows, in the same statement.
    pub(super) archive_table: Option<At<String>>,
    /// What becomes of a partition whose rows are all due (PostgreSQL).
    #[schemars(extend("default" = "delete"))]
    pub(super) partitions: Option<At<RawPartitions>>,
    /// Brake: remove at most so many rows in one run; the rest is left for the next.
    pub(super) max_removals: Option<u64>,
    /// Brake: hold the policy back when one run would remove more than this share of the rows.
    #[schemars(range(min = 1, max = 100))]
    pub(super) max_removal_percent: Option<At<u32>>,
    /// Brake: end the run after this time; the next one goes on.
    pub(super) max_runtime: Option<At<Period>>,
    /// Remove what is due, or only say what would go.
    #[schemars(extend("default" = "enforce"))]
    pub(super) mode: Option<RawMode>,
    /// Time between two runs. Not together with `cron`.
    pub(super) every: Option<At<Period>>,
    /// When it runs, in cron's five fields. Not together with `every`.
    #[schemars(extend("examples" = ["0 3 * * *"]))]
    pub(super) cron: Option<At<String>>,
    /// Whether it runs at all.
    #[schemars(extend("default" = true))]
    pub(super) enabled: Option<Switch>,
}

/// Keep files that live sessions refer to.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "KeepReferenced")]
pub(super) struct RawKeepReferenced {
    /// The session policy whose database is asked.
    pub(super) sessions: At<String>,
    /// A query that returns the names to keep, one per row.
    pub(super) query: String,
}

/// The moment from which a file's age counts.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Stamp")]
pub(super) enum RawStamp {
    /// The content was last written.
    Mtime,
    /// The inode was last changed: written, renamed, linked, owner or mode changed.
    Ctime,
    /// The content was last read, as far as the mount options record it.
    Atime,
    /// The file was made.
    Btime,
    /// The newest of all four.
    Newest,
}

/// The clock that measures a file's age.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "AgeClock")]
pub(super) enum RawAgeClock {
    /// The wall clock.
    Wall,
    /// Only the time during which the machine ran.
    Running,
}

/// What a candidate is.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Unit")]
pub(super) enum RawUnit {
    /// Each file by itself.
    File,
    /// A directory with all that is in it.
    Directory,
}

/// What becomes of a file that is due.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Dispose")]
pub(super) enum RawDispose {
    /// It is deleted.
    Delete,
    /// It is moved aside first, and deleted later.
    Quarantine,
}

/// Which requests need the token, once there is one. A request from elsewhere always does.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "TokenFor")]
pub(super) enum RawTokenFor {
    /// All of them, but for `/healthz` and `/readyz`.
    Everything,
    /// Those that change something. Reading is open to every process of this machine.
    Changes,
}

/// Remove what is due, or only say what would go.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Mode")]
pub(super) enum RawMode {
    /// Remove what is due.
    Enforce,
    /// Only say what would go.
    Observe,
}

/// How much the application may notice of it.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "Pace")]
pub(super) enum RawPace {
    /// 10 ms a batch, with longer pauses.
    Strict,
    /// 20 ms a batch.
    Normal,
    /// 100 ms a batch, no pauses.
    OffHours,
}

/// What becomes of a partition whose rows are all due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Partitions")]
pub(super) enum RawPartitions {
    /// Its rows are deleted, as those of any table.
    Delete,
    /// It is dropped.
    Drop,
}

/// How a column holds time.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "TimeFormat")]
pub(super) enum RawTimeFormat {
    /// A timestamp of the database.
    Timestamp,
    /// Numbers: seconds since 1970.
    Seconds,
    /// Numbers: milliseconds since 1970.
    Milliseconds,
    /// Numbers: microseconds since 1970.
    Microseconds,
    /// Numbers: Julian days, as SQLite's `julianday` makes them.
    Julian,
    /// Text such as `2026-01-02 03:04:05`, in UTC where it names no offset.
    Iso8601,
}
