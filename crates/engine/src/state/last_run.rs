//! What the last run of a policy has left behind for this one to be compared with.

use std::time::Duration;

use cleanup_core::brake::{FewerReferences, Suspicions};
use cleanup_core::policy::{Changes, Effect, FilePolicy, Fingerprint, SessionPolicy};
use cleanup_core::reference::Referenced;
use cleanup_state::PolicyMemory;

use super::neighbours::Neighbours;
use super::run_state::{Answered, RunState};
use crate::clock;

/// How long what the last run of a policy has left behind is not read again.
const FRESH: Duration = Duration::from_mins(1);

impl RunState {
    /// What was changed in the rule of a policy since its last run; `None` when nothing was, or when it never ran.
    pub(crate) fn changes(&mut self, policy: &FilePolicy) -> Option<Changes> {
        let before = self.before(policy)?;
        self.fingerprint(policy).changes_since(&before.deciding)
    }

    /// The same of a policy for rows.
    pub(crate) fn row_changes(&mut self, policy: &SessionPolicy) -> Option<Changes> {
        let before = self.state.as_mut()?.policy_memory(&row_key(policy))?;
        policy.fingerprint().changes_since(&before.deciding)
    }

    /// Leaves behind the rule of a policy for rows, for the next run.
    pub(crate) fn remember_rows(&mut self, policy: &SessionPolicy) {
        let (key, deciding) = (row_key(policy), policy.fingerprint().to_string());
        let Some(state) = self.state.as_mut() else { return };
        if state.policy_memory(&key).is_some_and(|before| before.deciding == deciding) {
            return;
        }
        let memory = PolicyMemory {
            deciding,
            root: String::new(),
            file_system: None,
            boot_id: String::new(),
            mount_namespace: None,
            referenced: None,
            foreseen: None,
        };
        state.remember_policy(&key, &memory);
    }

    /// Whether the query of `keep_referenced` answered far fewer names than in the last complete run, or none.
    pub(crate) fn fewer_references(&mut self, policy: &FilePolicy, referenced: &Referenced) -> Option<FewerReferences> {
        policy.references.as_ref()?;
        let before = self.before(policy).and_then(|before| before.referenced);
        FewerReferences::of(before, referenced.distinct())
    }

    /// What is known of a policy whose root is missing: whether an earlier run has seen this root.
    pub(crate) fn has_seen_root(&mut self, policy: &FilePolicy) -> bool {
        self.before(policy).is_some_and(|before| before.root == policy.root.to_string_lossy())
    }

    /// Whether the root lies on another file system than in the last run, as far as that can be compared: within one
    /// boot and one mount namespace.
    pub(crate) fn is_elsewhere(&mut self, policy: &FilePolicy, file_system: Option<&str>) -> bool {
        let Some(before) = self.before(policy) else { return false };
        let comparable = before.boot_id == self.reading.boot_id
            && !before.boot_id.is_empty()
            && before.root == policy.root.to_string_lossy()
            && before.mount_namespace.is_some()
            && before.mount_namespace == clock::mount_namespace();
        let (before, now) = (before.file_system.as_deref(), file_system);
        comparable && before.is_some() && now.is_some() && before != now
    }

    /// Leaves behind what the next run of the policy compares with; `foreseen` is how much an observing run would have
    /// taken.
    pub(crate) fn remember(
        &mut self,
        policy: &FilePolicy,
        file_system: Option<String>,
        answered: Answered,
        foreseen: Option<u64>,
    ) {
        let before = self.before(policy);
        let known = before.as_ref().and_then(|before| before.referenced);
        let referenced = match answered {
            _ if policy.references.is_none() => None,
            Answered::ByAll(referenced) => Some(referenced),
            Answered::ForSome(referenced) => known.max(Some(referenced)),
            Answered::Unasked => known,
        };
        let memory = PolicyMemory {
            deciding: self.fingerprint(policy).to_string(),
            root: policy.root.to_string_lossy().into_owned(),
            file_system,
            boot_id: self.reading.boot_id.clone(),
            mount_namespace: clock::mount_namespace(),
            referenced,
            foreseen,
        };
        let key = self.key(policy);
        self.remembered.insert(key.clone(), (clock::boot(), memory.file_system.clone()));
        if let Some(state) = self.state.as_mut().filter(|_| before.as_ref() != Some(&memory)) {
            state.remember_policy(&key, &memory);
            self.known.remove(&key);
        }
    }

    /// Whether a run of the policy on this file system was remembered here a moment ago. To find out whether anything has
    /// changed since takes as long as there are policies.
    pub(crate) fn has_just_remembered(&self, policy: &FilePolicy, file_system: Option<&str>) -> bool {
        let remembered = self.remembered.get(&self.key(policy));
        remembered.is_some_and(|(at, seen)| clock::boot() < *at + FRESH && seen.as_deref() == file_system)
    }

    /// What makes a run look at how much goes before it takes anything.
    pub(crate) fn suspicions(&mut self, policy: &FilePolicy, referenced: Option<&Referenced>) -> Suspicions {
        Suspicions {
            changes: self.changes(policy),
            references: referenced.and_then(|referenced| self.fewer_references(policy, referenced)),
            clock_is_lost: self.is_without_clock(),
            foreseen: self
                .before(policy)
                .and_then(|before| before.foreseen)
                .filter(|_| policy.effect == Effect::Enforce),
        }
    }

    /// Reads anew what the last run of a policy has left behind.
    pub(crate) fn ask_anew(&mut self, policy: &FilePolicy) {
        let key = self.key(policy);
        self.known.remove(&key);
    }

    /// What the last run of a policy has left behind.
    fn before(&mut self, policy: &FilePolicy) -> Option<PolicyMemory> {
        let (key, now) = (self.key(policy), clock::boot());
        match self.known.get(&key) {
            Some((at, before)) if now < *at + FRESH => before.clone(),
            _ => {
                let before = self.state.as_mut()?.policy_memory(&key);
                self.known.insert(key, (now, before.clone()));
                before
            }
        }
    }

    /// The rule as the configuration has it: what somebody wants to be different for one run is meant.
    pub(super) fn fingerprint(&self, policy: &FilePolicy) -> Fingerprint {
        let files = &self.config.files;
        let neighbours = self.neighbours.get_or_init(|| Neighbours::among(files));
        let configured = neighbours.named(files, &policy.rule.name).unwrap_or(policy);
        configured.fingerprint(neighbours.below(files, &configured.root))
    }
}

/// The name by which a policy for rows is remembered: no policy for files can be called so.
pub(super) fn row_key(policy: &SessionPolicy) -> String {
    format!("sessions/{}", policy.rule.name)
}
