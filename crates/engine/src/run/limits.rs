//! Limits around a sweep: ranking before it, and the result for each limit after it.
//!
//! Judging files of a policy with ranking rules needs a run from here, for a sweep, an explanation or a deadline:
//! without its cutoffs, a run would remove the newest files.

use cleanup_core::brake::{self, Brake};
use cleanup_core::judge::Run;
use cleanup_core::policy::{FilePolicy, Limits};
use cleanup_core::rank::{self, FileSystem, Share, Source, Stays, Stopped};
use cleanup_core::report::{Done, Limit, PolicyReport, PolicyStatus, Space};
use cleanup_core::store::FileStore;
use cleanup_core::sweep::Observer;
use cleanup_core::verdict::LimitKey;
use cleanup_fs_store::Store;

/// A single policy.
pub(crate) const ALONE: Share = Share::Weighted(1.0);

/// Adds to a run what `keep_newest` comes to. Goes through the whole store, where there is such a rule.
pub(crate) fn with_newest(
    store: &dyn FileStore,
    policy: &FilePolicy,
    mut run: Run,
    observer: &dyn Observer,
) -> Result<Run, Stopped> {
    if let Some(of) = policy.limits.keep_newest {
        let source = Source { store, policy: &policy.rule, run: &run, share: ALONE };
        run.cutoffs.newest = Some(rank::newest(source, of, observer)?);
    }
    Ok(run)
}

/// Adds to a run what all limits come to that ask for nothing but this policy's own files. Goes through the whole store
/// several times, where there are any.
pub(crate) fn ranked(
    store: &dyn FileStore,
    policy: &FilePolicy,
    run: Run,
    observer: &dyn Observer,
) -> Result<Run, Stopped> {
    let mut run = with_newest(store, policy, run, observer)?;
    let source = Source { store, policy: &policy.rule, run: &run, share: ALONE };
    run.cutoffs.over = rank::own(source, &policy.limits, observer)?;
    Ok(run)
}

/// Whether what `min_free` asks for can be had on the file system of a policy, as far as that can be found out.
pub(crate) fn reachable(store: &Store<'_>, policy: &FilePolicy) -> Result<(), Brake> {
    match (&policy.limits.min_free, store.space()) {
        (Some(min_free), Ok(file_system)) => brake::reachable(min_free, &file_system),
        _ => Ok(()),
    }
}

/// The results for the limits on the content of the root.
pub(crate) fn own(limits: &Limits, stays: &Stays, done: Done) -> Vec<Limit> {
    let limit = |key, wanted: Option<u64>| Some(Limit::at_most(key, wanted?, stays, done));
    let found = [limit(LimitKey::MaxFiles, limits.max_files), limit(LimitKey::MaxTotalSize, limits.max_total_size)];
    found.into_iter().flatten().collect()
}

/// What has become of `min_free`: its low marks are what has to be free.
pub(crate) fn free(limits: &Limits, file_system: &FileSystem, stays: &Stays, done: Done) -> Vec<Limit> {
    let Some(min_free) = &limits.min_free else { return Vec::new() };
    let limit = |key, marks: Option<cleanup_core::policy::Marks>, space: Option<Space>| {
        let (marks, space) = (marks?, space?);
        Some(Limit::at_least(key, marks.low.of(space.whole), space, stays, done))
    };
    let found = [
        limit(LimitKey::MinFree, min_free.space, Some(file_system.bytes)),
        limit(LimitKey::MinFreeInodes, min_free.inodes, file_system.inodes),
    ];
    found.into_iter().flatten().collect()
}

/// Records in a report that a limit is not met after a sweep that could act.
pub(crate) fn tell(report: &mut PolicyReport, done: Done) {
    let unmet: Vec<String> = report.limits.iter().filter(|limit| !limit.met).map(ToString::to_string).collect();
    if done == Done::Planned || unmet.is_empty() || !matches!(report.status, PolicyStatus::Ok | PolicyStatus::Partial) {
        return;
    }
    report.status = PolicyStatus::Partial;
    let message = report.message.take().into_iter().chain(unmet);
    report.message = Some(message.collect::<Vec<_>>().join("; "));
}
