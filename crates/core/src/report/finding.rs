//! What needs somebody, in one vocabulary: every face says it with the same code and in the same words.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::moment::Moment;

/// Something that needs attention.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// Its kind, for programs.
    pub code: FindingCode,
    /// Its severity.
    pub level: Level,
    /// The policy concerned; absent if it concerns all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// When it was first found, in UTC: in this run, or in the first of consecutive earlier runs that found it.
    pub since: Moment,
    /// Its description, for people.
    pub text: String,
    /// A command that fixes it, or shows more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// The kind of a finding.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FindingCode {
    /// The state database had a problem, or is missing.
    Memory,
    /// Promises (holds and deadlines of single files) are lost.
    PromisesLost,
    /// The promises cannot be read or trusted.
    PromisesDamaged,
    /// Lines are missing from the audit log.
    Audit,
    /// The service refused a changed configuration.
    ReloadRefused,
    /// The root of a policy does not exist, and `root_may_be_missing` is not set.
    RootMissing,
    /// The database of a policy is unreachable or not configured.
    DatabaseAway,
    /// A gate holds a policy back.
    Held,
    /// A policy could not run.
    Failed,
    /// Some items could not be removed.
    Errors,
    /// The database refuses to remove some rows.
    RefusedRows,
    /// A limit is not met although the policy has run.
    LimitUnmet,
    /// The process of a run ended before the run did.
    Interrupted,
    /// Two policies with the same root match the same files, so neither removes them.
    Disputed,
    /// Another sweep, another node, or a lock on the root or the table was in the way.
    Busy,
    /// The service finds new files by scanning instead of by events, or cannot open the root.
    Watching,
    /// The service's token can be read by every user, or guessed.
    Token,
    /// The service is scanning the tracked folders for the first time.
    Starting,
    /// The service is stopping.
    Stopping,
}

/// The severity of a finding, in increasing order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// It works, but not as it should, or not now.
    Warning,
    /// It does not work until somebody fixes it.
    Error,
}

impl FindingCode {
    /// The name in JSON, in metrics and in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::PromisesLost => "promises_lost",
            Self::PromisesDamaged => "promises_damaged",
            Self::Audit => "audit",
            Self::ReloadRefused => "reload_refused",
            Self::RootMissing => "root_missing",
            Self::DatabaseAway => "database_away",
            Self::Held => "held",
            Self::Failed => "failed",
            Self::Errors => "errors",
            Self::RefusedRows => "refused_rows",
            Self::LimitUnmet => "limit_unmet",
            Self::Interrupted => "interrupted",
            Self::Disputed => "disputed",
            Self::Busy => "busy",
            Self::Watching => "watching",
            Self::Token => "token",
            Self::Starting => "starting",
            Self::Stopping => "stopping",
        }
    }

    /// Its severity.
    pub fn level(self) -> Level {
        match self {
            Self::PromisesLost
            | Self::PromisesDamaged
            | Self::Audit
            | Self::ReloadRefused
            | Self::RootMissing
            | Self::Held
            | Self::Failed
            | Self::Starting
            | Self::Stopping => Level::Error,
            Self::Memory
            | Self::DatabaseAway
            | Self::Errors
            | Self::RefusedRows
            | Self::LimitUnmet
            | Self::Interrupted
            | Self::Disputed
            | Self::Busy
            | Self::Watching
            | Self::Token => Level::Warning,
        }
    }
}
