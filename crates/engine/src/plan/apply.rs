//! Carries a plan out: for each of its policies a run over just the files that it names.

use cleanup_core::moment::Moment;
use cleanup_core::policy::MaxAge;
use cleanup_core::rank::Cutoffs;
use cleanup_core::report::{PolicyKind, PolicyStatus, Report};
use cleanup_core::sweep::Mode;
use cleanup_fs_store::Same;
use cleanup_state::{BegunPolicy, BegunRun};

use super::format::{Entry, Exact, Line};
use super::read::Lines;
use super::{Plan, PlanError};
use crate::clock;
use crate::engine::Engine;
use crate::request::{Request, adjusted};
use crate::run::observers::Watcher;
use crate::run::params::{Gates, RunParams};
use crate::run::record::{Recording, run_id};
use crate::run::scope::{Named, Scope};
use crate::run::{PolicyRun, policy_run, request};
use crate::state::run_state::{Access, Shared};

/// Most files judged and removed in one go.
const CHUNK: usize = 8192;

impl Engine {
    /// Whether a plan counts here and now.
    pub fn accepts(&self, plan: &Plan) -> Result<(), PlanError> {
        plan.counts(self.config(), clock::now())
    }

    /// Removes exactly what a plan names, each only if it is still the same; what was held since stays.
    ///
    /// A person has read the plan, so the brakes that look at its size are not asked again; a doubtful clock and another
    /// file system below the root hold it back as they do a sweep.
    ///
    /// Of the request only who asks, the id of the report and the number of workers count: the rest is in the plan.
    pub fn apply_plan(&self, plan: &Plan, request: &Request, watcher: &dyn Watcher) -> Result<Report, PlanError> {
        self.accepts(plan)?;
        let request = Request {
            policies: plan.header.policies.clone(),
            mode: Mode::Apply,
            include_archives: plan.header.include_archives,
            max_age: plan.header.max_age.iter().filter_map(age).collect(),
            run_id: request.run_id.clone(),
            trigger: request.trigger,
            asked_by: request.asked_by.clone(),
            jobs: request.jobs,
            ..Request::default()
        };
        let setup = &self.setup;
        let mut state = setup.state(Access::Run);
        let jump = state.doubt_clock().err();
        let clock_trusted = jump.is_none() && !state.is_without_clock();
        let state = Shared::from(state);
        let begun = |name: &String| BegunPolicy { name: name.clone(), kind: PolicyKind::Files };
        let run = BegunRun {
            run_id: request.run_id.clone().unwrap_or_else(run_id),
            trigger: request.trigger,
            asked_by: request.asked_by.clone(),
            started_at: clock::now(),
            policies: request.policies.iter().map(begun).collect(),
        };
        let recording = Recording::begin(&state, Mode::Apply, run);
        let params = RunParams {
            mode: Mode::Apply,
            gates: Gates::Reviewed,
            jump: jump.as_ref(),
            at: None,
            run_id: recording.id(),
            trigger: request.trigger,
            asked_by: request.asked_by.as_deref(),
            jobs: request.jobs(),
            watcher,
        };
        let mut reports = Vec::new();
        let mut chunks = Chunks { lines: plan.lines(), next: None, failure: None };
        while let Some((name, cutoffs)) = chunks.section() {
            let Some(policy) = self.config().files.iter().find(|policy| policy.rule.name == name) else { break };
            watcher.begins(&name);
            let policy = &adjusted(policy, &request);
            let store = setup.store(policy, &state.lock()).map(|store| store.with_jobs(params.jobs));
            let scope = Scope::Planned(&mut chunks);
            let mut report =
                policy_run(setup, &state, PolicyRun { policy, store, scope, cutoffs: Some(cutoffs) }, &params).report;
            chunks.pass_over();
            if let Some(error) = &chunks.failure {
                report.status = PolicyStatus::Failed;
                report.message = Some(format!("stopped: {error}"));
            }
            request::ended(setup, &recording, watcher, &report);
            reports.push(report);
        }
        if let (Some(error), true) = (chunks.failure.take(), reports.is_empty()) {
            recording.drop_unused();
            return Err(error);
        }
        Ok(recording.end(setup, &state, reports, Vec::new(), clock_trusted))
    }
}

fn age((name, Exact(at)): &(String, Exact)) -> Option<(String, MaxAge)> {
    Some((name.clone(), MaxAge::new(at.since(Moment::EPOCH)?)?))
}

/// What a plan names, policy by policy and a chunk at a time.
struct Chunks<'a> {
    lines: Lines<'a>,
    /// A line that was read and belongs to what follows.
    next: Option<Line>,
    /// Why nothing more can be read: somebody has written into the file since it was found to be whole.
    failure: Option<PlanError>,
}

impl Chunks<'_> {
    fn line(&mut self) -> Option<Line> {
        if self.failure.is_some() {
            return None;
        }
        if let Some(line) = self.next.take() {
            return Some(line);
        }
        self.lines.next().unwrap_or_else(|error| {
            self.failure = Some(error);
            None
        })
    }

    /// The next policy, and what its limits came to.
    fn section(&mut self) -> Option<(String, Cutoffs)> {
        loop {
            if let Line::Policy(section) = self.line()? {
                match section.cutoffs() {
                    Ok(cutoffs) => return Some((section.name, cutoffs)),
                    Err(why) => self.failure = Some(self.lines.wrong(&why)),
                }
            }
        }
    }

    /// Reads on to the next policy: a run may have ended early.
    fn pass_over(&mut self) {
        while self.next().is_some() {}
    }

    fn planned(&self, entry: &Entry, same: Same) -> Result<Named, PlanError> {
        let path = entry.path.bytes().map_err(|why| self.lines.wrong(&why))?;
        Ok(Named { path, same })
    }
}

impl Iterator for Chunks<'_> {
    type Item = Vec<Named>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut chunk = Vec::new();
        while chunk.len() < CHUNK {
            let planned = match self.line() {
                Some(Line::Remove(entry)) => self.planned(&entry, entry.as_file()),
                Some(Line::RemoveDirectory(entry)) => self.planned(&entry, entry.as_directory()),
                other => {
                    self.next = other;
                    break;
                }
            };
            match planned {
                Ok(planned) => chunk.push(planned),
                Err(error) => self.failure = Some(error),
            }
        }
        (!chunk.is_empty()).then_some(chunk)
    }
}
