//! One object that sweeps, plans, explains and answers.
//!
//! A policy that cannot run never stops the others: it becomes a status in the report. A call returns an error only if
//! the request itself is invalid.

use std::path::Path;

use cleanup_core::config::Config;
use cleanup_core::moment::Moment;
use cleanup_core::policy::FilePolicy;
use cleanup_core::report::{Finding, FindingCode, Report};
use cleanup_fs_store::RootError;

use crate::config_file::{OpenError, Origin};
use crate::request::{Request, RequestError};
use crate::run::observers::Watcher;
use crate::run::{findings, gates, min_free, request};
use crate::setup::Setup;
use crate::state::run_state::Access;

/// An opened configuration, ready for sweeps and queries.
#[derive(Debug)]
pub struct Engine {
    pub(crate) setup: Setup,
}

impl Engine {
    /// Finds, trusts, reads and checks the configuration: `named`, else `$CLEANUP_CONFIG`, else `./cleanup.toml`, the
    /// user's, the system's, the built-in default.
    pub fn open(named: Option<&Path>) -> Result<Self, OpenError> {
        Ok(Self { setup: Setup::open(named)? })
    }

    /// The source of the configuration.
    pub fn origin(&self) -> &Origin {
        &self.setup.origin
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.setup.config
    }

    /// Whether the root of any file policy exists.
    pub fn has_any_root(&self) -> bool {
        self.config().files.iter().any(|policy| policy.root.symlink_metadata().is_ok())
    }

    /// The enabled file policies whose root does not exist, without `root_may_be_missing`, each with a sentence.
    pub fn missing_roots(&self) -> Vec<(String, String)> {
        let mut state = self.setup.state(Access::Look);
        let mut missing = |policy: &FilePolicy| {
            let opened = self.setup.store(policy, &state);
            let error = opened.err().filter(|error| matches!(error, RootError::Missing { .. }))?;
            Some((policy.rule.name.clone(), gates::missing_root(policy, &error, &mut state)?))
        };
        self.config().files.iter().filter(|policy| policy.enabled).filter_map(&mut missing).collect()
    }

    /// A finding from outside of runs, with the usual level and remedy of its code.
    pub fn finding(&self, code: FindingCode, policy: Option<&str>, text: String, since: Moment) -> Finding {
        findings::finding(self.config(), code, policy, text, since)
    }

    /// Sweeps, or plans to. Blocks until all policies have ended.
    pub fn sweep(&self, request: &Request, watcher: &dyn Watcher) -> Result<Report, RequestError> {
        request::sweep(&self.setup, request, watcher)
    }

    /// Whether any policy can exceed a limit between two runs.
    pub fn has_pressure(&self) -> bool {
        min_free::can_be_short(&self.setup)
    }

    /// The policies that exceed a limit since the last sweep: `min_free`, or a limit on tracked files. Reads no files.
    pub fn pressure(&self) -> Vec<String> {
        min_free::short(&self.setup)
    }
}
