//! The state as people ask for it: past runs, and what is held.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cleanup_core::moment::Moment;
use cleanup_core::policy::FilePolicy;
use cleanup_core::report::{FORMAT_VERSION, Finding, FindingCode, Report, RunStatus, Trigger, json_path};
use cleanup_state::{Hold, LastSweep, RunSummary, Runs, RunsQuery, State, TrendPoint};

use crate::clock;
use crate::engine::Engine;
use crate::place;
use crate::responses::{HeldPath, History, Holds, LastRun, PastRun};
use crate::run::record::run_id;
use crate::state::run_state::{Access, told_of_interrupted};

/// Why the state has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemoryError {
    /// There is none, or it cannot be written.
    #[error("{0}")]
    None(String),
    /// The promises cannot be read or written.
    #[error("{0}")]
    Promises(String),
    /// No run begins like this.
    #[error("there is no run {0:?}; `cleanup history` lists them")]
    NoSuchRun(String),
    /// Several runs begin like this.
    #[error("several runs begin with {prefix:?}: {}", candidates.join(", "))]
    AmbiguousRun {
        /// What was asked for.
        prefix: String,
        /// Some that begin so.
        candidates: Vec<String>,
    },
    /// The path has no folder that could be found.
    #[error("{0}")]
    Path(String),
}

/// Which holds are asked for; the default is all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HoldsQuery {
    /// Only those that concern this policy: they lie below its root, or above it.
    pub policy: Option<String>,
    /// Only those whose path has this in it.
    pub contains: Option<String>,
    /// At most so many.
    pub limit: Option<usize>,
    /// Those after this path.
    pub after: Option<Vec<u8>>,
}

impl HoldsQuery {
    /// The path that a [`Holds::next`] stands for; `None` when it is none.
    pub fn path_of(next: &str) -> Option<Vec<u8>> {
        URL_SAFE_NO_PAD.decode(next).ok()
    }
}

/// What came of holding a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewHold {
    /// Until when it is held.
    pub until: Moment,
    /// The file policies that it concerns; none when the path lies below no root and above none.
    pub policies: Vec<String>,
    /// Whether one of them is being swept right now, by a sweep that does not know of the hold yet.
    pub is_being_swept: bool,
}

/// What the last runs found that needs somebody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastFindings {
    /// As each policy's last sweep found it, and the last sweep of all.
    pub of_sweeps: Vec<Finding>,
    /// As each policy's last run found it, be it about a few files only, and the last run of all.
    pub of_runs: Vec<Finding>,
}

/// Whether the path lies below the root or above it, by any spelling.
fn concerns(path: &Path, root: &Path) -> bool {
    place::spellings(root).iter().any(|root| path.starts_with(root) || root.starts_with(path))
}

impl Engine {
    /// The newest runs, the newest first.
    pub fn history(&self, limit: usize) -> Result<History, MemoryError> {
        self.past_runs(&RunsQuery { limit, ..RunsQuery::default() })
    }

    /// Some of the past runs, the newest first.
    pub fn past_runs(&self, query: &RunsQuery) -> Result<History, MemoryError> {
        let mut run_state = self.setup.state(Access::Look);
        let state = run_state.state().map_err(MemoryError::None)?;
        // Those that no later run has taken into the history yet, before all others.
        let is_asked_for = |run: &RunSummary| {
            query.before.is_none()
                && query.status.is_none_or(|status| status == run.status)
                && query.policy.as_ref().is_none_or(|policy| run.policies.contains(policy))
        };
        let interrupted = state.interrupted().into_iter().rev().map(|run| summary(&run.interrupted()));
        let mut runs: Vec<PastRun> = interrupted.filter(is_asked_for).map(past_run).collect();
        runs.extend(state.page_of_runs(query).into_iter().map(past_run));
        runs.truncate(query.limit);
        Ok(History { format_version: FORMAT_VERSION, runs, notes: state.take_notes() })
    }

    /// What came of each policy in each of so many stretches of time since `since`.
    pub fn trend(&self, since: Moment, stretch_seconds: u32, stretches: u32) -> Result<Vec<TrendPoint>, MemoryError> {
        let mut run_state = self.setup.state(Access::Look);
        let state = run_state.state().map_err(MemoryError::None)?;
        Ok(state.trend(since, stretch_seconds, stretches))
    }

    /// What came of each policy's last sweep, by whichever program. As with [`Engine::last_runs`], nothing is known of
    /// the built-in default's.
    pub fn last_sweeps(&self) -> Vec<LastSweep> {
        if self.setup.origin.path().is_none() {
            return Vec::new();
        }
        let mut run_state = self.setup.state(Access::Look);
        run_state.state().map(State::last_sweeps).unwrap_or_default()
    }

    /// What the last runs found that needs somebody, by whichever program. As with [`Engine::last_runs`], nothing is known
    /// of the built-in default's.
    pub fn last_findings(&self) -> LastFindings {
        if self.setup.origin.path().is_none() {
            return LastFindings::default();
        }
        let mut run_state = self.setup.state(Access::Look);
        let of = |state: &mut State| LastFindings {
            of_sweeps: state.last_findings(Runs::Sweeps),
            of_runs: state.last_findings(Runs::All),
        };
        run_state.state().map(of).unwrap_or_default()
    }

    /// Takes runs into the history that began and never ended, and says of each what is known.
    pub fn record_interrupted(&self) -> Vec<String> {
        let mut run_state = self.setup.state(Access::Run);
        run_state.witness_clock();
        run_state.record_interrupted().iter().map(told_of_interrupted).collect()
    }

    /// Takes into the history that the service did not take another configuration, and why.
    pub fn record_refused_reload(&self, why: &str) {
        let now = clock::now();
        let mut run_state = self.setup.state(Access::Run);
        let report = Report::new(run_id(), Trigger::Reload, false, now, now, Vec::new());
        let findings = vec![self.finding(FindingCode::ReloadRefused, None, why.to_owned(), now)];
        // Without policies there is nothing else that its status could come from.
        let report = Report { status: RunStatus::Failed, notes: vec![why.to_owned()], findings, ..report };
        run_state.record(&report, false);
    }

    /// When each policy last ran, as far as it is remembered. The built-in default means other folders each time, so
    /// of its policies nothing is known.
    pub fn last_runs(&self) -> Vec<LastRun> {
        if self.setup.origin.path().is_none() {
            return Vec::new();
        }
        let mut run_state = self.setup.state(Access::Look);
        let runs = run_state.state().map(State::last_runs).unwrap_or_default();
        let last = |run: cleanup_state::LastRun| LastRun {
            policy: run.policy,
            started_at: run.started_at,
            succeeded_at: run.succeeded_at,
        };
        runs.into_iter().map(last).collect()
    }

    /// The report of the one run whose id begins like this.
    pub fn past_run(&self, prefix: &str) -> Result<Report, MemoryError> {
        let mut run_state = self.setup.state(Access::Look);
        let state = run_state.state().map_err(MemoryError::None)?;
        let found = state.run(prefix).map_err(|ambiguous| MemoryError::AmbiguousRun {
            prefix: ambiguous.prefix,
            candidates: ambiguous.matches,
        })?;
        let interrupted = || state.interrupted().into_iter().find(|run| is_prefix(prefix, &run.run_id));
        let found = found.or_else(|| Some(interrupted()?.interrupted()));
        found.ok_or_else(|| MemoryError::NoSuchRun(prefix.to_owned()))
    }

    /// What is held now, by path.
    pub fn holds(&self, query: &HoldsQuery) -> Result<Holds, MemoryError> {
        let HoldsQuery { policy, contains, limit, after } = query;
        let mut run_state = self.setup.state(Access::Look);
        let state = run_state.state().map_err(MemoryError::None)?;
        let promises = state.promises().map_err(|error| MemoryError::Promises(error.to_string()))?;
        let is_named = |rule: &&FilePolicy| policy.as_ref().is_none_or(|name| rule.rule.name == *name);
        let roots: Vec<PathBuf> =
            self.config().files.iter().filter(is_named).flat_map(|policy| place::spellings(&policy.root)).collect();
        let is_asked_for = |hold: &&Hold| {
            let path = place::path_of(&hold.path);
            let concerned = |root: &PathBuf| path.starts_with(root) || root.starts_with(&path);
            let text = || String::from_utf8_lossy(&hold.path);
            after.as_ref().is_none_or(|after| hold.path > *after)
                && contains.as_ref().is_none_or(|part| text().contains(part.as_str()))
                && (policy.is_none() || roots.iter().any(concerned))
        };
        let mut found = promises.holds(clock::now()).filter(is_asked_for);
        let mut holds = Vec::new();
        let mut last = None;
        for hold in found.by_ref().take(limit.unwrap_or(usize::MAX)) {
            let (path, path_bytes) = json_path(&hold.path);
            let Hold { until, made_at, by, .. } = hold;
            holds.push(HeldPath { path, path_bytes, until: *until, made_at: *made_at, asked_by: by.clone() });
            last = Some(hold);
        }
        let next = found.next().and(last).map(|hold| URL_SAFE_NO_PAD.encode(&hold.path));
        Ok(Holds { format_version: FORMAT_VERSION, holds, next })
    }

    /// The file policies in whose roots a path lies, by any spelling.
    pub fn policies_at(&self, path: &Path) -> Vec<String> {
        let spellings = place::spellings(path);
        let lies_in = |policy: &&FilePolicy| {
            let roots = place::spellings(&policy.root);
            roots.iter().any(|root| spellings.iter().any(|path| path.starts_with(root)))
        };
        self.config().files.iter().filter(lies_in).map(|policy| policy.rule.name.clone()).collect()
    }

    /// Keeps a path, and everything below it, so long from now, whatever its age. The path need not exist yet. `by` is
    /// the name of whoever asks for it, where there is one.
    pub fn hold(&self, path: &Path, span: Duration, by: Option<&str>) -> Result<NewHold, MemoryError> {
        let path = absolute(path)?;
        let mut run_state = self.setup.state(Access::Run);
        let state = run_state.state().map_err(MemoryError::None)?;
        let now = clock::now();
        let until = now.plus(span);
        let promises = state.promises().map_err(|error| MemoryError::Promises(error.to_string()))?;
        promises.hold_by(&path, until, by, now).map_err(|error| MemoryError::Promises(error.to_string()))?;
        if let Some(audit) = self.setup.trail.audit() {
            audit.held(&path, until, by);
        }

        let path = place::path_of(&path);
        let concerned = self.config().files.iter().filter(|policy| concerns(&path, &policy.root));
        let policies: Vec<_> =
            concerned.map(|policy| (policy.rule.name.clone(), run_state.lock(policy).is_err())).collect();
        Ok(NewHold {
            until,
            is_being_swept: policies.iter().any(|(_, busy)| *busy),
            policies: policies.into_iter().map(|(name, _)| name).collect(),
        })
    }

    /// Until when this very path is held, as far as that can be read.
    pub fn held_until(&self, path: &Path) -> Option<Moment> {
        let path = absolute(path).ok()?;
        let mut run_state = self.setup.state(Access::Look);
        let promises = run_state.state().ok()?.promises().ok()?;
        promises.holds(clock::now()).find(|hold| hold.path == path).map(|hold| hold.until)
    }

    /// Takes a hold back, and returns its path as it was held. `None` when there was no hold on this very path. `by` is
    /// the name of whoever asks for it, where there is one.
    pub fn release(&self, path: &Path, by: Option<&str>) -> Result<Option<Vec<u8>>, MemoryError> {
        let really = absolute(path);
        let mut run_state = self.setup.state(Access::Run);
        let state = run_state.state().map_err(MemoryError::None)?;
        let promises = state.promises().map_err(|error| MemoryError::Promises(error.to_string()))?;
        // As it is listed, also where that path leads elsewhere by now: nobody could take that hold back otherwise.
        let listed = path.as_os_str().as_encoded_bytes();
        let is_listed = promises.holds(clock::now()).any(|hold| hold.path == listed);
        let path = if is_listed { listed.to_owned() } else { really? };
        let released = promises.release(&path, clock::now());
        if !released.map_err(|error| MemoryError::Promises(error.to_string()))? {
            return Ok(None);
        }
        if let Some(audit) = self.setup.trail.audit() {
            audit.released(&path, by);
        }
        Ok(Some(path))
    }
}

fn absolute(path: &Path) -> Result<Vec<u8>, MemoryError> {
    let error = |error| MemoryError::Path(format!("{}: {error}", path.display()));
    let absolute = place::really(path).map_err(error)?;
    Ok(absolute.into_os_string().into_encoded_bytes())
}

fn is_prefix(prefix: &str, id: &str) -> bool {
    id.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// A run that is in no history yet, as the history would have it.
fn summary(report: &Report) -> RunSummary {
    let Report { run_id, trigger, asked_by, started_at, finished_at, status, totals, policies, .. } = report;
    RunSummary {
        id: run_id.clone(),
        trigger: *trigger,
        started_at: *started_at,
        finished_at: *finished_at,
        status: *status,
        due: totals.due,
        removed: totals.removed,
        quarantined: totals.quarantined,
        quarantined_bytes: totals.quarantined_bytes,
        bytes_freed: totals.bytes_freed,
        errors: totals.errors,
        restored: totals.restored,
        policies: policies.iter().map(|policy| policy.name.clone()).collect(),
        skipped: Vec::new(),
        root_missing: Vec::new(),
        asked_by: asked_by.clone(),
        findings: Vec::new(),
    }
}

fn past_run(summary: RunSummary) -> PastRun {
    PastRun {
        run_id: summary.id,
        trigger: summary.trigger,
        started_at: summary.started_at,
        finished_at: summary.finished_at,
        status: summary.status,
        due: summary.due,
        removed: summary.removed,
        quarantined: summary.quarantined,
        quarantined_bytes: summary.quarantined_bytes,
        bytes_freed: summary.bytes_freed,
        errors: summary.errors,
        restored: summary.restored,
        policies: summary.policies,
        skipped: summary.skipped,
        root_missing: summary.root_missing,
        asked_by: summary.asked_by,
        findings: summary.findings,
    }
}
