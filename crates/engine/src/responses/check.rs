//! What `config check` found.

use schemars::JsonSchema;
use serde::Serialize;

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
