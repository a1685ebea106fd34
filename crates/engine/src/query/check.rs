//! Checks whether every policy can run, for `config check`.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use cleanup_core::config::SHORTEST_TOKEN;
use cleanup_core::policy::FilePolicy;
use cleanup_core::report::FORMAT_VERSION;
use cleanup_fs_store::RootError;
use cleanup_pg_sessions::Obstacle;

use crate::engine::Engine;
use crate::quarantine;
use crate::responses::{Check, Finding, Severity};
use crate::run::{gates, limits, owners, sessions};
use crate::state::run_state::{Access, RunState};

/// More than any token needs, in bytes.
const LONGEST_TOKEN: u64 = 4096;

impl Engine {
    /// Checks whether every policy can run, and changes nothing.
    pub fn check(&self) -> Check {
        let mut state = self.setup.state(Access::Look);
        let files: Vec<Finding> =
            self.config().files.iter().filter_map(|policy| self.check_files(policy, &mut state)).collect();
        let overlaps = self.config().files.iter().flat_map(|policy| self.check_overlaps(policy, &state));
        let sessions: Vec<_> = self.config().sessions.iter().collect();
        let zone = crate::zone::time_zone(self.config().time_zone.as_deref()).err().map(|error| Finding {
            policy: "all".to_owned(),
            severity: Severity::Error,
            message: error.to_string(),
            remedy: Some("ls /usr/share/zoneinfo".to_owned()),
        });
        let (about_rows, sessions) = sessions::check(&sessions, &self.setup.folder);
        let findings: Vec<Finding> =
            zone.into_iter().chain(files).chain(overlaps).chain(about_rows).chain(self.check_tokens()).collect();
        let status = findings.iter().map(|finding| finding.severity).max().unwrap_or(Severity::Ok);
        let config = self.origin().to_string();
        Check { format_version: FORMAT_VERSION, config, status, findings, sessions }
    }

    /// Tokens that can be guessed. The service checks a token that only it can read when it starts.
    fn check_tokens(&self) -> Vec<Finding> {
        let read = |path: &Path| {
            let mut text = String::new();
            File::open(path).ok()?.take(LONGEST_TOKEN).read_to_string(&mut text).ok()?;
            Some(text.trim().len())
        };
        let is_short =
            |path: &&Path| path.is_file() && read(path).is_some_and(|length| (1..SHORTEST_TOKEN).contains(&length));
        let finding = |path: &Path| Finding {
            policy: "[server]".to_owned(),
            severity: Severity::Warning,
            message: format!(
                "the token in {} is shorter than {SHORTEST_TOKEN} characters and can be guessed; version 0.3 will \
                 refuse it",
                path.display()
            ),
            remedy: Some(format!("head -c 32 /dev/urandom | base64 > {}", path.display())),
        };
        self.config().server.token_files().filter(is_short).map(finding).collect()
    }

    fn check_files(&self, policy: &FilePolicy, state: &mut RunState) -> Option<Finding> {
        let finding =
            |severity, message, remedy| Some(Finding { policy: policy.rule.name.clone(), severity, message, remedy });
        let root = policy.root.display();
        match self.setup.store(policy, state).and_then(gates::recording) {
            Err(error @ RootError::Missing { .. }) => {
                finding(Severity::Error, gates::missing_root(policy, &error, state)?, Some(format!("mkdir -p {root}")))
            }
            Err(error) => finding(Severity::Error, error.to_string(), None),
            Ok(store) => match store.may_remove() {
                Ok(()) => {
                    if let Some(why) = quarantine::check(&store, policy) {
                        return finding(Severity::Error, why, None);
                    }
                    if let Err(brake) = limits::reachable(&store, policy) {
                        return finding(Severity::Error, brake.to_string(), None);
                    }
                    let unknown = sessions::referenced(policy, &self.setup.config, &self.setup.folder).err()?;
                    let severity = match &unknown {
                        Obstacle::Skipped { .. } => Severity::Warning,
                        Obstacle::Held(_) | Obstacle::Failed(_) => Severity::Error,
                    };
                    finding(severity, unknown.to_string(), None)
                }
                Err(why) => finding(Severity::Error, format!("files in {root} cannot be removed: {why}"), None),
            },
        }
    }

    fn check_overlaps(&self, policy: &FilePolicy, state: &RunState) -> Vec<Finding> {
        // Why a root cannot be opened is said elsewhere.
        self.setup.store(policy, state).map(|store| owners::check(policy, &store)).unwrap_or_default()
    }
}
