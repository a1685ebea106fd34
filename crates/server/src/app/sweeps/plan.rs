//! What a dry run would take, by name: enough of it to see what is meant, never all of a million files.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use cleanup_core::sweep::Judged;

/// Files of each policy that are named.
const PER_POLICY: usize = 100;

/// One file that a sweep would take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) policy: String,
    /// Below the policy's root.
    pub(crate) path: Vec<u8>,
    pub(crate) bytes: u64,
    /// The reason, as text.
    pub(crate) reason: String,
}

/// What was judged due so far.
#[derive(Debug, Default)]
pub(super) struct Plan(Mutex<BTreeMap<String, Vec<Planned>>>);

impl Plan {
    pub(super) fn add(&self, policy: &str, judged: &Judged<'_>) {
        let mut plan = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let planned = match plan.get_mut(policy) {
            Some(planned) => planned,
            None => plan.entry(policy.to_owned()).or_default(),
        };
        if planned.len() < PER_POLICY {
            planned.push(Planned {
                policy: policy.to_owned(),
                path: judged.candidate.name.to_bytes(),
                bytes: judged.candidate.bytes,
                reason: judged.verdict.reason(),
            });
        }
    }

    /// By policy, and by path.
    pub(super) fn shown(&self) -> Vec<Planned> {
        let plan = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut shown: Vec<Planned> = plan.values().flatten().cloned().collect();
        shown.sort_by(|one, other| (&one.policy, &one.path).cmp(&(&other.policy, &other.path)));
        shown
    }
}
