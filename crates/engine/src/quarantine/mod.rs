//! What a run does with quarantine: it has it opened before the first file goes, and lets go of what has been there
//! long enough after the last.
//!
//! Several policies may share a root, and one may have been renamed since. So each answers for its own, and the first
//! of a root for those that are no longer in the configuration.

pub(crate) mod list;
pub(crate) mod restore;

use std::sync::Arc;

use cleanup_core::candidate::Name;
use cleanup_core::moment::Moment;
use cleanup_core::policy::{Dispose, FilePolicy, Quarantine as Bounds, Unit};
use cleanup_core::report::{ItemError, Tally};
use cleanup_fs_store::{Quarantine, QuarantineError, QuarantineRun, Store};

/// Has what goes moved into the quarantine of a run, where the policy says so. An error says, in words, why the policy is
/// held.
pub(crate) fn prepare<'a>(
    store: Store<'a>,
    policy: &FilePolicy,
    run: impl FnOnce() -> Arc<QuarantineRun>,
    now: Moment,
) -> Result<Store<'a>, String> {
    if needs_one(policy) {
        store.into_quarantine(run(), now).map_err(|error| format!("held back: {error}"))
    } else {
        Ok(store)
    }
}

/// A run that moves files aside.
pub(crate) fn run_of(run_id: &str) -> Arc<QuarantineRun> {
    Arc::new(QuarantineRun::new(run_id.to_owned()))
}

/// Why a policy could move nothing aside, in words.
pub(crate) fn check(store: &Store<'_>, policy: &FilePolicy) -> Option<String> {
    let opened = if needs_one(policy) { store.quarantine(&|_| true) } else { Ok(None) };
    opened.err().map(|error| error.to_string())
}

/// Whether a policy moves anything aside: a directory leaves its place in one step, also where it is deleted then.
fn needs_one(policy: &FilePolicy) -> bool {
    policy.dispose != Dispose::Delete || policy.unit == Unit::Directory
}

/// Deletes for good what has been in quarantine long enough, or is too much.
pub(crate) fn purge(store: &Store<'_>, policy: &FilePolicy, now: Moment) -> Tally {
    store.rest_quarantine();
    tallied(policy, open(store, policy), |quarantine| quarantine.purge(bounds(policy), now))
}

/// Deletes for good the oldest that a policy has in quarantine, until so many bytes were given back to the file system
/// or nothing is left: what `min_free` takes before it asks for files that are still in their place. What was deleted
/// is in `counts.purged` and `counts.purged_bytes` of the answer, what could not be is in its errors; it is to be added
/// to the tally of the sweep. Call it only when the policy may act: never in a plan, nor with `mode = "observe"`.
pub(crate) fn purge_for_space(store: &Store<'_>, policy: &FilePolicy, bytes: u64) -> Tally {
    tallied(policy, open(store, policy), |quarantine| quarantine.purge_for_space(bytes))
}

/// What lies in quarantine below the root of a policy and is the policy's own; `None` when there is none.
pub(crate) fn open<'a>(store: &'a Store<'a>, policy: &FilePolicy) -> Result<Option<Quarantine<'a>>, QuarantineError> {
    store.quarantine(&|name| answers(store, policy, name))
}

/// The bounds of what a policy has in quarantine; `None` where it deletes at once.
pub(crate) fn bounds(policy: &FilePolicy) -> Option<Bounds> {
    match policy.dispose {
        Dispose::Delete => None,
        Dispose::Quarantine(bounds) => Some(bounds),
    }
}

/// By where the roots really are: one folder may be spelled in several ways.
fn answers(store: &Store<'_>, policy: &FilePolicy, name: &str) -> bool {
    policy.rule.name == name || store.peers().all(|(peer, is_before)| peer != name && !is_before)
}

fn tallied(
    policy: &FilePolicy,
    opened: Result<Option<Quarantine<'_>>, QuarantineError>,
    act: impl FnOnce(&Quarantine<'_>) -> Tally,
) -> Tally {
    match opened {
        Ok(None) => Tally::default(),
        Ok(Some(quarantine)) => act(&quarantine),
        // Whatever lies there is none of the concern of a policy that never moved anything there.
        Err(_) if !needs_one(policy) => Tally::default(),
        Err(error) => {
            let mut tally = Tally::default();
            tally.failed(ItemError::new(Name { folder: b"", last: b".cleanup" }, error.to_string()));
            tally
        }
    }
}
