//! What every stage of a run is given: the configuration, and what belongs to it for as long as it is open.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cleanup_core::config::Config;
use cleanup_core::owner::Claimant;
use cleanup_core::policy::{FilePolicy, SessionPolicy};
use cleanup_core::report::PolicyKind;
use cleanup_fs_store::{FileId, KeptRoot, RootError, Store};
use cleanup_state::BegunPolicy;

use crate::config_file::{self, OpenError, Origin};
use crate::request::RequestError;
use crate::run::audit::Audit;
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
    /// The log of single removals.
    pub(crate) audit: Option<Audit>,
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
        let audit = config.audit.clone().map(Audit::new);
        let claimants = config.files.iter().map(Claimant::from).collect();
        Ok(Self { origin, config: Arc::new(config), claimants, folder, tables: Tables::default(), audit })
    }

    /// Opens what is remembered between runs.
    pub(crate) fn state(&self, access: Access) -> RunState {
        RunState::open(&self.origin, &self.config, access)
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
        let store = Store::open_kept(policy, self.protected(state), kept)?;
        Ok(store.with_rivals(state.roots(&self.claimants)))
    }

    /// The files and folders that no store may touch: even where `include = ["*"]` names them too, the files that say
    /// what to keep are kept.
    fn protected(&self, state: &RunState) -> Vec<FileId> {
        let own = state.own().iter().map(PathBuf::as_path).chain(self.origin.path()).filter_map(FileId::of);
        let audit = self.audit.iter().flat_map(Audit::files).filter_map(|file| FileId::of(&file));
        own.chain(audit).collect()
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
