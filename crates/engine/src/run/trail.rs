//! The trail of a run: what left its place or came back, written down as it happens.
//!
//! Every fact is made here once, as a [`Removal`]. It goes into the log of removals, which answers why something is gone,
//! into the audit log, and to the command that runs after removals, where these are configured. None of them stops a
//! run: the report says what the logs lack.

use std::path::Path;

use cleanup_core::candidate::{Candidate, Class, Name};
use cleanup_core::config::Config;
use cleanup_core::policy::{FilePolicy, Unit};
use cleanup_core::report::{FindingCode, PolicyKind, PolicyReport, Trigger};
use cleanup_core::store::Outcome;
use cleanup_core::sweep::Judged;
use cleanup_core::verdict::Verdict;
use cleanup_notify::Spool;
use cleanup_state::{Action, Reason, Removal, RemovalLog};

use crate::clock;
use crate::run::audit::Audit;

/// The trail of one engine.
#[derive(Debug)]
pub(crate) struct Trail {
    log: Option<RemovalLog>,
    audit: Option<Audit>,
    removed: Option<Spool>,
}

/// A run as its trail names it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TracedRun<'a> {
    pub(crate) id: &'a str,
    pub(crate) trigger: Trigger,
    /// Who asked for it, where that has a name.
    pub(crate) asked_by: Option<&'a str>,
}

impl Trail {
    /// `folder` is where the memory is kept.
    pub(crate) fn new(config: &Config, folder: Option<&Path>) -> Self {
        let log = folder.filter(|_| config.removals.is_some()).map(RemovalLog::new);
        let after = config.notify.as_ref().and_then(|notify| notify.after.as_ref());
        let spool = || folder.map_or_else(|| Spool::new(&std::env::temp_dir()), Spool::new);
        Self { log, audit: config.audit.clone().map(Audit::new), removed: after.map(|_| spool()) }
    }

    /// The paths for the command that runs after removals, where there is one.
    pub(crate) fn removed(&self) -> Option<&Spool> {
        self.removed.as_ref()
    }

    /// The audit log, where there is one.
    pub(crate) fn audit(&self) -> Option<&Audit> {
        self.audit.as_ref()
    }

    /// Whether nothing is written down.
    pub(crate) fn is_off(&self) -> bool {
        self.log.is_none() && self.audit.is_none() && self.removed.is_none()
    }

    /// Writes down what came of one file, if it left its place.
    pub(crate) fn judged(&self, policy: &FilePolicy, run: TracedRun<'_>, judged: &Judged<'_>) {
        let Judged { candidate: Candidate { name, class, bytes, identity, .. }, verdict, outcome, .. } = judged;
        let is_whole = policy.unit == Unit::Directory && *class != Class::EmptyDirectory;
        let action = match outcome {
            Some(Outcome::Removed) if is_whole => Action::RemovedWhole,
            Some(Outcome::Removed) => Action::Removed,
            Some(Outcome::Quarantined) if is_whole => Action::QuarantinedWhole,
            Some(Outcome::Quarantined) => Action::Quarantined,
            _ => return,
        };
        self.add(&Removal {
            bytes: *bytes,
            inode: identity.map(|identity| identity.inode),
            reason: match verdict {
                Verdict::Remove(why) => Some(Reason::from(why)),
                Verdict::Keep(_) => None,
            },
            ..named(run, policy, action, *name)
        });
    }

    /// Writes down that one file came back from quarantine.
    pub(crate) fn restored(&self, run: TracedRun<'_>, policy: &FilePolicy, path: &[u8], bytes: u64) {
        let name = Name { folder: b"", last: path };
        self.add(&Removal { bytes, ..named(run, policy, Action::Restored, name) });
    }

    /// Writes down what a policy has done without naming each (rows, and what went from quarantine for good), and how much
    /// came back.
    pub(crate) fn ended(&self, run: TracedRun<'_>, report: &PolicyReport) {
        let counts = &report.counts;
        let sum = |action, count, bytes| {
            if count > 0 {
                self.add(&Removal { count, bytes, ..unnamed(run, &report.name, action) });
            }
        };
        if report.kind == PolicyKind::Sessions {
            sum(Action::Removed, counts.removed, 0);
        }
        sum(Action::Purged, counts.purged, counts.purged_bytes);
        sum(Action::Restored, counts.restored, counts.restored_bytes);
        self.flush();
    }

    /// Writes what has waited long enough.
    pub(crate) fn tick(&self) {
        if let Some(log) = &self.log {
            log.tick(clock::now());
        }
    }

    /// Writes all that waits.
    pub(crate) fn flush(&self) {
        if let Some(log) = &self.log {
            log.flush();
        }
    }

    /// Why something is missing from it, said once.
    pub(crate) fn take_failures(&self) -> Vec<(FindingCode, String)> {
        let log = self.log.as_ref().and_then(RemovalLog::take_failure).map(|why| (FindingCode::Memory, why));
        let audit = self.audit.as_ref().and_then(Audit::take_failure).map(|why| (FindingCode::Audit, why));
        log.into_iter().chain(audit).collect()
    }

    fn add(&self, removal: &Removal<'_>) {
        if let Some(log) = &self.log {
            log.add(removal);
        }
        if let Some(audit) = &self.audit {
            audit.removal(removal);
        }
        if let (Some(spool), Some(path), true) = (&self.removed, &removal.path, removal.action.is_removal()) {
            spool.add(&[path]);
        }
    }
}

/// About one file below the root of a policy.
fn named<'a>(
    run: TracedRun<'a>,
    policy: &'a FilePolicy,
    action: Action,
    Name { folder, last }: Name<'_>,
) -> Removal<'a> {
    let root = policy.root.as_os_str().as_encoded_bytes();
    let mut path = Vec::with_capacity(root.len() + folder.len() + last.len() + 2);
    for part in [root, folder, last].into_iter().filter(|part| !part.is_empty()) {
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(part);
    }
    Removal { path: Some(path.into()), count: 1, ..unnamed(run, &policy.rule.name, action) }
}

fn unnamed<'a>(run: TracedRun<'a>, policy: &'a str, action: Action) -> Removal<'a> {
    Removal {
        at: clock::now(),
        run: run.id.into(),
        trigger: run.trigger,
        asked_by: run.asked_by.map(Into::into),
        policy: policy.into(),
        action,
        path: None,
        count: 0,
        bytes: 0,
        inode: None,
        reason: None,
    }
}
