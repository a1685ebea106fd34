//! The records of the last run of a policy, to compare with.

use std::time::Duration;

use cleanup_core::brake::{FewerReferences, Suspicions};
use cleanup_core::policy::{Changes, Effect, FilePolicy, Fingerprint, SessionPolicy};
use cleanup_core::reference::Referenced;
use cleanup_state::PolicyMemory;

use super::neighbours::Neighbours;
use super::run_state::{Answered, RunState};
use crate::clock;

/// How long the records of the last run are cached.
const FRESH: Duration = Duration::from_mins(1);

impl RunState {
    /// The changes of a policy's rule since its last run; `None` if there are none, or if it never ran.
    pub(crate) fn changes(&mut self, policy: &FilePolicy) -> Option<Changes> {
        let before = self.before(policy)?;
        self.fingerprint(policy).changes_since(&before.deciding)
    }

    /// The same for a session policy.
    pub(crate) fn row_changes(&mut self, policy: &SessionPolicy) -> Option<Changes> {
        let before = self.state.as_mut()?.policy_memory(&row_key(policy))?;
        policy.fingerprint().changes_since(&before.deciding)
    }

    /// Records the rule of a session policy for the next run.
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

    /// Whether the `keep_referenced` query returned far fewer names than in the last complete run, or none.
    pub(crate) fn fewer_references(&mut self, policy: &FilePolicy, referenced: &Referenced) -> Option<FewerReferences> {
        policy.references.as_ref()?;
        let before = self.before(policy).and_then(|before| before.referenced);
        FewerReferences::of(before, referenced.distinct())
    }

    /// For a policy with a missing root: whether an earlier run has seen this root.
    pub(crate) fn has_seen_root(&mut self, policy: &FilePolicy) -> bool {
        self.before(policy).is_some_and(|before| before.root == policy.root.to_string_lossy())
    }

    /// Whether the root is on another file system than in the last run, which can be compared within one boot and one
    /// mount namespace.
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

    /// Records what the next run of the policy compares with; `foreseen` is how much an observing run would have
    /// removed.
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

    /// Whether a run of the policy on this file system was recorded here a moment ago. Checking for changes takes time
    /// proportional to the number of policies.
    pub(crate) fn has_just_remembered(&self, policy: &FilePolicy, file_system: Option<&str>) -> bool {
        let remembered = self.remembered.get(&self.key(policy));
        remembered.is_some_and(|(at, seen)| clock::boot() < *at + FRESH && seen.as_deref() == file_system)
    }

    /// What makes a run count its removals before it starts.
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

    /// Reads the records of the last run again.
    pub(crate) fn ask_anew(&mut self, policy: &FilePolicy) {
        let key = self.key(policy);
        self.known.remove(&key);
    }

    /// The records of the last run of a policy.
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

    /// The rule as in the configuration: an override for one run is not a change.
    pub(super) fn fingerprint(&self, policy: &FilePolicy) -> Fingerprint {
        let files = &self.config.files;
        let neighbours = self.neighbours.get_or_init(|| Neighbours::among(files));
        let configured = neighbours.named(files, &policy.rule.name).unwrap_or(policy);
        configured.fingerprint(neighbours.below(files, &configured.root))
    }
}

/// The name under which a session policy is recorded, which no file policy can have.
pub(super) fn row_key(policy: &SessionPolicy) -> String {
    format!("sessions/{}", policy.rule.name)
}
