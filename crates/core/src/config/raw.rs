//! What the TOML may say, key by key: the language itself, before any meaning is checked.
//!
//! The doc comments here are what editors show (through the JSON Schema), so they speak to whoever writes the file.
//! There is no `tag`, `untagged` or `flatten`: they lose the positions that errors need.

use schemars::JsonSchema;
use serde::Deserialize;

use super::values::{
    At, Bytes, Columns, Conditions, MinFree, Named, NamedFiles, Period, Switch, Weight, optional_table,
};

/// What is temporary, for how long, and what must never be touched.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Configuration")]
pub(super) struct RawConfig {
    /// Time zone of schedules, such as `Europe/Berlin`. Default: local time, like cron.
    pub(super) time_zone: Option<At<String>>,
    /// The state: past runs, tracked files, holds.
    #[serde(default, deserialize_with = "optional_table")]
    pub(super) state: Option<RawState>,
    /// A log of everything that was removed.
    #[serde(default, deserialize_with = "optional_table")]
    pub(super) audit: Option<RawAudit>,
    /// The service `cleanup-server`.
    #[serde(default, deserialize_with = "optional_table")]
    pub(super) server: Option<RawServer>,
    /// Rules for files: `[files.NAME]`. A name consists of `a-z`, `0-9`, `_` and `-`.
    #[serde(default)]
    pub(super) files: Named<RawFilePolicy>,
    /// Rules for session rows: `[sessions.NAME]`. A name consists of `a-z`, `0-9`, `_` and `-`.
    #[serde(default)]
    pub(super) sessions: Named<RawSessionPolicy>,
}

/// The state: past runs, tracked files, holds.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "State")]
pub(super) struct RawState {
    /// `sqlite:PATH`, or `none` to keep no state. Default: `.cleanup/` next to the configuration file.
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

/// A log of everything that was removed, with one JSON line for each item.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Audit", extend("required" = ["file"]))]
pub(super) struct RawAudit {
    /// The file, relative to this configuration file. Its folder must exist.
    #[schemars(extend("examples" = ["/var/log/cleanup/audit.jsonl"]))]
    pub(super) file: Option<At<String>>,
    /// Size at which a new file is started.
    #[schemars(extend("default" = "10MB"))]
    pub(super) max_size: Option<At<Bytes>>,
    /// Number of full files to keep; `audit.jsonl.1` is the newest.
    #[schemars(range(min = 1, max = 100), extend("default" = 5))]
    pub(super) keep: Option<At<u32>>,
}

/// The service `cleanup-server`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Server")]
pub(super) struct RawServer {
    /// Address and port to listen on. Anything but loopback needs a token.
    #[schemars(extend("default" = "127.0.0.1:8000"))]
    pub(super) listen: Option<At<String>>,
    /// Unix socket to listen on as well.
    pub(super) socket: Option<At<String>>,
    /// Host names, without a port, that the service accepts besides `localhost` and IP addresses.
    pub(super) hosts: Option<Vec<At<String>>>,
    /// File with the bearer token, of at least 16 characters.
    pub(super) token_file: Option<At<String>>,
    /// More tokens, each with a name and a file; the name appears as `asked_by`.
    #[serde(default)]
    pub(super) tokens: NamedFiles,
    /// File with a token that grants only reading `/metrics` and `/readyz`.
    pub(super) metrics_token_file: Option<At<String>>,
    /// Which requests need a token, if there is one.
    #[schemars(extend("default" = "changes"))]
    pub(super) token_for: Option<RawTokenFor>,
    /// Longest hold that a request may set; a longer one is shortened.
    #[schemars(extend("default" = "90d"))]
    pub(super) max_hold: Option<At<Period>>,
    /// The tracked policy that `/cleanup/stats` reports on. Default: the first with `track = true`.
    pub(super) stats_policy: Option<At<String>>,
}

/// A rule for files below one root.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "FilePolicy", extend("required" = ["root", "include"]))]
pub(super) struct RawFilePolicy {
    /// Folder that contains the files, relative to this configuration file.
    pub(super) root: Option<At<String>>,
    /// The root comes and goes: if it does not exist, the policy is skipped without a warning.
    #[schemars(extend("default" = false))]
    pub(super) root_may_be_missing: Option<bool>,
    /// Patterns of names that may be removed. One with a `/` is matched against the path relative to the root.
    #[schemars(extend("examples" = [["*.svg"], ["formal_{uuid}.svg"]]))]
    pub(super) include: Option<At<Vec<At<String>>>>,
    /// Patterns of names that are never touched.
    pub(super) exclude: Option<Vec<At<String>>>,
    /// Patterns of names that are kept by default; checked before `include`.
    pub(super) archives: Option<Vec<At<String>>>,
    /// Judge archives by age like other files.
    #[schemars(extend("default" = false))]
    pub(super) include_archives: Option<bool>,
    /// Let `*`, `?` and `[…]` in `include` match a dot at the start of a name, as in `.gitkeep`, and enter folders with
    /// such a name.
    #[schemars(extend("default" = false))]
    pub(super) dotfiles: Option<bool>,
    /// Age after which a file is removed.
    pub(super) max_age: Option<At<Period>>,
    /// Time after a file's arrival during which no rule removes it.
    #[schemars(extend("default" = "0s"))]
    pub(super) min_age: Option<At<Period>>,
    /// The timestamp from which the age counts.
    #[schemars(extend("default" = "mtime"))]
    pub(super) stamp: Option<RawStamp>,
    /// The clock that measures the age.
    #[schemars(extend("default" = "wall"))]
    pub(super) age_clock: Option<RawAgeClock>,
    /// Also scan folders below the root.
    #[schemars(extend("default" = false))]
    pub(super) recursive: Option<bool>,
    /// Number of levels to scan with `recursive`; 1 is only the files directly in the root. Default: all.
    #[schemars(range(min = 1))]
    pub(super) max_depth: Option<At<u32>>,
    /// Remove folders below the root that are empty and old enough.
    #[schemars(extend("default" = false))]
    pub(super) remove_empty_dirs: Option<At<bool>>,
    /// Judge single files, or whole directories.
    #[schemars(extend("default" = "file"))]
    pub(super) unit: Option<At<RawUnit>>,
    /// Keep this many of the newest files, whatever their age.
    pub(super) keep_newest: Option<At<u64>>,
    /// Keep at most this many files; the oldest are removed first.
    pub(super) max_files: Option<u64>,
    /// Keep at most this many bytes; the oldest files are removed first.
    pub(super) max_total_size: Option<Bytes>,
    /// Keep this much of the file system free; the oldest files are removed first.
    pub(super) min_free: Option<At<MinFree>>,
    /// Relative cost of recreating these files: ages are divided by it when several policies compete for the free space
    /// of one file system.
    #[schemars(extend("default" = 1))]
    pub(super) weight: Option<At<Weight>>,
    /// What happens to a due file.
    #[schemars(extend("default" = "delete"))]
    pub(super) dispose: Option<RawDispose>,
    /// How long a file stays in quarantine.
    #[schemars(extend("default" = "7d"))]
    pub(super) quarantine_for: Option<At<Period>>,
    /// Maximum size of the quarantine; the oldest files are deleted first.
    pub(super) quarantine_max_size: Option<At<Bytes>>,
    /// Keep files that a process has open, mapped, or locked with `flock`.
    #[schemars(extend("default" = false))]
    pub(super) skip_in_use: Option<bool>,
    /// Do not run while another program has locked the root with `flock`.
    #[schemars(extend("default" = false))]
    pub(super) honour_flock: Option<bool>,
    /// Remember which files of a large tree are too young, and do not scan them again before they can be due.
    #[schemars(extend("default" = true))]
    pub(super) index: Option<bool>,
    /// Keep files whose names a query returns.
    #[serde(default, deserialize_with = "optional_table")]
    pub(super) keep_referenced: Option<RawKeepReferenced>,
    /// Brake: remove at most this many files in one run; later runs remove the rest.
    pub(super) max_removals: Option<u64>,
    /// Brake: hold the policy back if one run would remove more than this share of its files, in percent.
    #[schemars(range(min = 1, max = 100))]
    pub(super) max_removal_percent: Option<At<u32>>,
    /// Brake: end the run after this many errors in a row.
    pub(super) max_consecutive_errors: Option<u64>,
    /// Brake: end the run after this time; the next one continues where it stopped.
    pub(super) max_runtime: Option<At<Period>>,
    /// Remove what is due, or only report what would be removed.
    #[schemars(extend("default" = "enforce"))]
    pub(super) mode: Option<RawMode>,
    /// Let the service notice new files and remove each at its deadline.
    #[schemars(extend("default" = false))]
    pub(super) track: Option<bool>,
    /// Time between two runs. Cannot be combined with `cron`.
    pub(super) every: Option<At<Period>>,
    /// When the policy runs, in cron's five fields. Cannot be combined with `every`.
    #[schemars(extend("examples" = ["0 3 * * *"]))]
    pub(super) cron: Option<At<String>>,
    /// Whether it is enabled.
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
    /// URL of the database, usually `"${DATABASE_URL}"`; if that variable is unset, the policy is skipped.
    #[schemars(extend("examples" = ["${DATABASE_URL}"]))]
    pub(super) url: Option<At<String>>,
    /// The table, or `schema.table`.
    pub(super) table: Option<At<String>>,
    /// Column that identifies a session.
    pub(super) id_column: Option<At<String>>,
    /// Column with the time of the last activity; of several, the first that is not null. Cannot be combined with
    /// `expires_column`.
    pub(super) activity_column: Option<At<Columns>>,
    /// Column with the end of a session. Cannot be combined with `activity_column`.
    pub(super) expires_column: Option<At<String>>,
    /// How long a session stays after its end.
    #[schemars(extend("default" = "0s"))]
    pub(super) grace: Option<At<Period>>,
    /// Which rows the policy covers: columns and the values that they must have.
    #[serde(rename = "where")]
    #[schemars(extend("examples" = [{ "status": ["done", "failed"], "kind": { "not": ["keep"] } }]))]
    pub(super) conditions: Option<Conditions>,
    /// Time zone of a column that has none of its own.
    #[schemars(extend("examples" = ["UTC"]))]
    pub(super) activity_time_zone: Option<At<String>>,
    /// Format of that column. Default: by its type; Unix seconds for numbers.
    pub(super) time_format: Option<RawTimeFormat>,
    /// Time without activity after which a session is removed.
    pub(super) max_idle: Option<At<Period>>,
    /// Rows in the first batch; the size then follows the observed latency.
    #[schemars(range(min = 1, max = 20_000), extend("default" = 500))]
    pub(super) batch_size: Option<At<u32>>,
    /// How long a statement waits for a lock before it gives up.
    #[schemars(extend("default" = "200ms"))]
    pub(super) lock_timeout: Option<At<Period>>,
    /// How long a statement may run. Default: a multiple of the pace's target.
    pub(super) statement_timeout: Option<At<Period>>,
    /// How much a sweep may disturb the application.
    #[schemars(extend("default" = "normal"))]
    pub(super) pace: Option<RawPace>,
    /// Table that receives the removed rows, in the same statement.
    pub(super) archive_table: Option<At<String>>,
    /// What happens to a partition whose rows are all due (PostgreSQL).
    #[schemars(extend("default" = "delete"))]
    pub(super) partitions: Option<At<RawPartitions>>,
    /// Brake: remove at most this many rows in one run; later runs remove the rest.
    pub(super) max_removals: Option<u64>,
    /// Brake: hold the policy back if one run would remove more than this share of the rows.
    #[schemars(range(min = 1, max = 100))]
    pub(super) max_removal_percent: Option<At<u32>>,
    /// Brake: end the run after this time; the next one continues.
    pub(super) max_runtime: Option<At<Period>>,
    /// Remove what is due, or only report what would be removed.
    #[schemars(extend("default" = "enforce"))]
    pub(super) mode: Option<RawMode>,
    /// Time between two runs. Cannot be combined with `cron`.
    pub(super) every: Option<At<Period>>,
    /// When the policy runs, in cron's five fields. Cannot be combined with `every`.
    #[schemars(extend("examples" = ["0 3 * * *"]))]
    pub(super) cron: Option<At<String>>,
    /// Whether it is enabled.
    #[schemars(extend("default" = true))]
    pub(super) enabled: Option<Switch>,
}

/// Keep files that live sessions reference.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "KeepReferenced")]
pub(super) struct RawKeepReferenced {
    /// The session policy whose database is asked.
    pub(super) sessions: At<String>,
    /// A query that returns the names to keep, one per row.
    pub(super) query: String,
}

/// The timestamp from which a file's age counts.
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
    /// The file was created.
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
    /// Single files.
    File,
    /// Directories with everything in them.
    Directory,
}

/// What happens to a due file.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Dispose")]
pub(super) enum RawDispose {
    /// It is deleted.
    Delete,
    /// It is moved aside first, and deleted later.
    Quarantine,
}

/// Which requests need the token, if there is one. Remote requests always do.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "TokenFor")]
pub(super) enum RawTokenFor {
    /// All except `/healthz` and `/readyz`.
    Everything,
    /// Requests that change something. Every process of this machine can read.
    Changes,
}

/// Remove what is due, or only report what would be removed.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Mode")]
pub(super) enum RawMode {
    /// Remove what is due.
    Enforce,
    /// Only report what would be removed.
    Observe,
}

/// How much a sweep may disturb the application.
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

/// What happens to a partition whose rows are all due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Partitions")]
pub(super) enum RawPartitions {
    /// Its rows are deleted, like those of any table.
    Delete,
    /// It is dropped.
    Drop,
}

/// The format of a time column.
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
    /// Numbers: Julian days, as in SQLite's `julianday`.
    Julian,
    /// Text such as `2026-01-02 03:04:05`, in UTC if it has no offset.
    Iso8601,
}
