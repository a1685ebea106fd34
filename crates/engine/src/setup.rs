//! What every stage of a run is given: the configuration, and what belongs to it for as long as it is open.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cleanup_core::config::Config;
use cleanup_core::owner::Claimant;
use cleanup_core::policy::{FilePolicy, SessionPolicy};
use cleanup_core::report::PolicyKind;
use cleanup_fs_store::{KeptRoot, Protected, RootError, Store};
use cleanup_notify::Spool;
use cleanup_state::BegunPolicy;

use crate::config_file::{self, OpenError, Origin};
use crate::request::RequestError;
use crate::run::trail::Trail;
use crate::state::location;
use crate::state::run_state::{Access, RunState};
use crate::track::table::Tables;

/// An opened configuration.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) origin: Origin,
    pub(crate) config: Arc<Config>,
    /// All file policies, as each meets the others.
    claimants: Arc<[Claimant]>,
    /// What relative paths in the configuration are relative to.
    pub(crate) folder: PathBuf,
    /// What is known of tracked files while they are tracked.
    pub(crate) tables: Tables,
    /// Where single removals are written down.
    pub(crate) trail: Trail,
    /// The paths of what was removed, where a program is to know of them.
    pub(crate) removed: Option<Spool>,
    /// Whether the memory was begun anew, and no run has said so yet: whoever opens it first need not be a run.
    is_new: AtomicBool,
}

/// The policies that a request names, in the order of the configuration.
pub(crate) struct Selected<'a> {
    pub(crate) files: Vec<&'a FilePolicy>,
    pub(crate) sessions: Vec<&'a SessionPolicy>,
}

impl Setup {
    /// Finds, trusts, reads and checks the configuration.
    pub(crate) fn open(named: Option<&Path>) -> Result<Self, OpenError> {
        let (origin, config, folder) = config_file::open(named)?;
        let place = location::placed(&origin, &config.state);
        let trail = Trail::new(&config, place.folder());
        let after = config.notify.as_ref().and_then(|notify| notify.after.as_ref());
        let removed = after.map(|_| Spool::new(place.folder().unwrap_or(&std::env::temp_dir())));
        let claimants = config.files.iter().map(Claimant::from).collect();
        Ok(Self {
            origin,
            config: Arc::new(config),
            claimants,
            folder,
            tables: Tables::default(),
            trail,
            removed,
            is_new: AtomicBool::new(false),
        })
    }

    /// Opens what is remembered between runs.
    pub(crate) fn state(&self, access: Access) -> RunState {
        let state = RunState::open(&self.origin, &self.config, access);
        if access == Access::Run && state.is_new() {
            self.is_new.store(true, Ordering::Relaxed);
        }
        state
    }

    /// Whether the memory was begun anew since this was last asked.
    pub(crate) fn takes_new_memory(&self) -> bool {
        self.is_new.swap(false, Ordering::Relaxed)
    }

    /// Opens the root of a policy.
    pub(crate) fn store<'a>(&self, policy: &'a FilePolicy, state: &RunState) -> Result<Store<'a>, RootError> {
        self.store_kept(policy, state, None)
    }

    /// Opens the root of a policy, by the one that was kept open if its path still leads there.
    pub(crate) fn store_kept<'a>(
        &self,
        policy: &'a FilePolicy,
        state: &RunState,
        kept: Option<&KeptRoot>,
    ) -> Result<Store<'a>, RootError> {
        let store = Store::open_kept(policy, Vec::new(), kept)?.protecting(self.protected(state));
        Ok(store.with_rivals(state.roots(&self.claimants)).with_own_folders(state.own_folders(policy)))
    }

    /// The files and folders that no store may touch: even where `include = ["*"]` names them too, the files that say
    /// what to keep are kept. By name as well: a database makes others beside itself, and a log begins anew, while a run
    /// is on its way.
    fn protected(&self, state: &RunState) -> Protected {
        let mut protected = Protected::default();
        state.protect(&mut protected);
        for file in self.origin.path().into_iter().chain(self.config.server.token_files()) {
            protected.path(file);
        }
        let notify = self.config.notify.iter();
        for file in notify.flat_map(|notify| notify.secret_files().chain(notify.ca_file.as_deref())) {
            protected.path(file);
        }
        if let Some(audit) = self.trail.audit() {
            protected.file_family(audit.file());
        }
        protected
    }

    /// Whether a policy is judged just as the configuration says, and not otherwise for one run.
    pub(crate) fn is_configured(&self, policy: &FilePolicy) -> bool {
        self.config.files.iter().any(|configured| configured.rule == policy.rule)
    }

    /// The policies of these names; without any, all that are enabled.
    pub(crate) fn select(&self, names: &[String]) -> Result<Selected<'_>, RequestError> {
        self.know(names)?;
        let is_wanted = |name: &String, enabled| if names.is_empty() { enabled } else { names.contains(name) };
        let Config { files, sessions, .. } = &*self.config;
        Ok(Selected {
            files: files.iter().filter(|policy| is_wanted(&policy.rule.name, policy.enabled)).collect(),
            sessions: sessions.iter().filter(|policy| is_wanted(&policy.rule.name, policy.enabled)).collect(),
        })
    }

    /// The file policies of these names; without any, all of them, also those that are switched off.
    pub(crate) fn file_policies(&self, names: &[String]) -> Result<Vec<&FilePolicy>, RequestError> {
        self.know(names)?;
        let is_wanted = |policy: &&FilePolicy| names.is_empty() || names.contains(&policy.rule.name);
        Ok(self.config.files.iter().filter(is_wanted).collect())
    }

    /// The session policy of this name.
    pub(crate) fn session_policy(&self, name: &str) -> Result<&SessionPolicy, RequestError> {
        let name = name.to_owned();
        self.know(std::slice::from_ref(&name))?;
        let found = self.config.sessions.iter().find(|policy| policy.rule.name == name);
        found.ok_or(RequestError::NotASessionPolicy { name })
    }

    fn know(&self, names: &[String]) -> Result<(), RequestError> {
        match names.iter().find(|name| !self.config.rules().any(|rule| rule.name == **name)) {
            None => Ok(()),
            Some(name) => {
                let suggestion = self.config.nearest_policy(name).map(str::to_owned);
                Err(RequestError::UnknownPolicy { name: name.clone(), suggestion })
            }
        }
    }
}

impl Selected<'_> {
    /// The policies as they are named when a run begins.
    pub(crate) fn begun(&self) -> Vec<BegunPolicy> {
        let of = |name: &str, kind| BegunPolicy { name: name.to_owned(), kind };
        let files = self.files.iter().map(|policy| of(&policy.rule.name, PolicyKind::Files));
        files.chain(self.sessions.iter().map(|policy| of(&policy.rule.name, PolicyKind::Sessions))).collect()
    }
}
