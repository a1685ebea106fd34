//! What lies in quarantine, told file by file. Nothing here changes anything.

use cleanup_core::moment::Moment;
use cleanup_core::policy::{Dispose, FilePolicy};
use cleanup_core::report::{FORMAT_VERSION, json_path};
use cleanup_fs_store::{Item, RootError};

use crate::engine::Engine;
use crate::quarantine;
use crate::request::RequestError;
use crate::responses::{Quarantined, QuarantinedFile, QuarantinedPolicy};
use crate::state::run_state::{Access, RunState};

impl Engine {
    /// What lies in quarantine: calls `each` for every file, the oldest run of each policy first.
    pub fn quarantined(
        &self,
        policies: &[String],
        each: &mut dyn FnMut(&QuarantinedFile),
    ) -> Result<Quarantined, RequestError> {
        let state = self.setup.state(Access::Look);
        let mut sums = Vec::new();
        for policy in self.setup.file_policies(policies)? {
            let mut sum = QuarantinedPolicy { policy: policy.rule.name.clone(), ..QuarantinedPolicy::default() };
            let bounds = quarantine::bounds(policy);
            let mut add = |item: Item| {
                let until = item.at.plus(bounds.map_or(item.keep_for, |bounds| bounds.keep_for));
                sum.files += 1;
                sum.bytes += item.bytes;
                sum.oldest = Some(sum.oldest.map_or(item.at, |oldest| oldest.min(item.at)));
                sum.next_purge_at = Some(sum.next_purge_at.map_or(until, |next| next.min(until)));
                each(&in_words(policy, item, until));
            };
            let problem = match self.setup.store(policy, &state) {
                Err(RootError::Missing { .. }) => None,
                Err(error) => Some(error.to_string()),
                Ok(store) => match quarantine::open(&store, policy) {
                    Ok(None) => None,
                    Ok(Some(quarantine)) => unreadable(quarantine.items(&|_| true, &mut add)),
                    Err(error) => problem_of(policy, &error.to_string()),
                },
            };
            sum.problem = problem;
            sums.push(sum);
        }
        Ok(Quarantined { format_version: FORMAT_VERSION, policies: sums })
    }

    /// What a policy has in quarantine that lay at this path below its root, the newest version.
    pub(crate) fn quarantined_at(&self, policy: &FilePolicy, path: &[u8], state: &RunState) -> Option<QuarantinedFile> {
        let store = self.setup.store(policy, state).ok()?;
        let quarantine = quarantine::open(&store, policy).ok()??;
        let mut newest: Option<Item> = None;
        quarantine.items(&|_| true, &mut |item| {
            let is_newer = newest.as_ref().is_none_or(|newest| item.at >= newest.at);
            if item.path.as_deref() == Some(path) && is_newer {
                newest = Some(item);
            }
        });
        let item = newest?;
        let until = item.at.plus(quarantine::bounds(policy).map_or(item.keep_for, |bounds| bounds.keep_for));
        Some(in_words(policy, item, until))
    }
}

/// Where something came from; or, when that is not known, where it lies.
pub(crate) fn path_of(item: &Item) -> Vec<u8> {
    let here = || format!(".cleanup/quarantine/{}-{}/{}", item.run, item.policy, item.number).into_bytes();
    item.path.clone().unwrap_or_else(here)
}

fn in_words(policy: &FilePolicy, item: Item, until: Moment) -> QuarantinedFile {
    let (path, path_bytes) = json_path(&path_of(&item));
    QuarantinedFile {
        policy: policy.rule.name.clone(),
        run_id: item.run,
        path,
        path_bytes,
        origin_known: item.path.is_some(),
        bytes: item.bytes,
        quarantined_at: item.at,
        until,
        reason: item.reason,
    }
}

/// What is wrong with a quarantine; for a policy that never had one it is none of its concern.
pub(crate) fn problem_of(policy: &FilePolicy, error: &str) -> Option<String> {
    let has_one = matches!(policy.dispose, Dispose::Quarantine(_));
    has_one.then(|| format!("{}: {error}", policy.rule.name))
}

pub(crate) fn unreadable(all: Vec<cleanup_fs_store::Unreadable>) -> Option<String> {
    let all: Vec<String> = all.into_iter().map(|(_, error)| error).collect();
    (!all.is_empty()).then(|| all.join("; "))
}
