//! Writes a plan while the engine plans.

use std::io::{BufWriter, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cleanup_core::candidate::Class;
use cleanup_core::policy::Effect;
use cleanup_core::rank::Cutoffs;
use cleanup_core::report::{PolicyReport, Report};
use cleanup_core::store::Seen;
use cleanup_core::sweep::{Judged, Mode};
use cleanup_state::BegunRun;
use sha2::{Digest as _, Sha256};

use super::format::{End, Entry, Exact, FORMAT, Header, Line, Section};
use super::{PlanError, PlanSummary, fingerprint, hex};
use crate::RequestError;
use crate::clock;
use crate::engine::Engine;
use crate::request::Request;
use crate::run::observers::Watcher;
use crate::run::record::{Recording, run_id};
use crate::state::run_state::{Access, Shared};

impl Engine {
    /// Plans, and writes every verdict to remove into `out`, a line each. Policies that only observe are in no plan:
    /// nothing may ever be removed for them.
    pub fn write_plan(
        &self,
        request: &Request,
        valid_for: Duration,
        out: impl Write + Send,
        watcher: &dyn Watcher,
    ) -> Result<(Report, PlanSummary), PlanError> {
        if request.at.is_some() || request.mode == Mode::Apply {
            return Err(RequestError::NotNow.into());
        }
        let policies = self.plannable(&request.policies)?;
        let created_at = clock::now();
        let header = Header {
            format_version: FORMAT,
            id: run_id(),
            created_at,
            expires_at: created_at.plus(valid_for),
            config: fingerprint(self.config(), &policies),
            policies,
            include_archives: request.include_archives,
            max_age: request
                .max_age
                .iter()
                .map(|(name, age)| (name.clone(), Exact(cleanup_core::moment::Moment::EPOCH.plus(age.get()))))
                .collect(),
        };
        let request = Request { policies: header.policies.clone(), ..request.clone() };
        let writing = Writing { watcher, lines: Mutex::new(Lines::new(out)) };
        writing.add(&Line::Plan(header.clone()));
        let report = if request.policies.is_empty() {
            // By a request that names none, all would be meant.
            let run = BegunRun {
                run_id: run_id(),
                trigger: request.trigger,
                asked_by: request.asked_by.clone(),
                started_at: created_at,
                policies: Vec::new(),
            };
            let state = Shared::from(self.setup.state(Access::Look));
            Recording::begin(&state, Mode::Plan, run).end(&self.setup, &state, Vec::new(), Vec::new(), true)
        } else {
            self.sweep(&request, &writing)?
        };
        let lines = writing.lines.into_inner().unwrap_or_else(PoisonError::into_inner);
        let End { entries, bytes, .. } = lines.finish().map_err(PlanError::Unwritable)?;
        let Header { id, created_at, expires_at, policies, .. } = header;
        Ok((report, PlanSummary { plan_id: id, created_at, expires_at, policies, entries, bytes }))
    }

    /// The file policies of a request that may remove anything.
    fn plannable(&self, names: &[String]) -> Result<Vec<String>, PlanError> {
        let config = self.config();
        if let Some(name) = names.iter().find(|name| config.sessions.iter().any(|policy| policy.rule.name == **name)) {
            return Err(PlanError::Sessions { name: name.clone() });
        }
        let selected = self.setup.select(names)?.files;
        let acts = selected.into_iter().filter(|policy| policy.enabled && policy.effect == Effect::Enforce);
        Ok(acts.map(|policy| policy.rule.name.clone()).collect())
    }
}

struct Writing<'a, W: Write> {
    watcher: &'a dyn Watcher,
    lines: Mutex<Lines<W>>,
}

impl<W: Write> Writing<'_, W> {
    fn add(&self, line: &Line) {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).add(line);
    }
}

impl<W: Write + Send> Watcher for Writing<'_, W> {
    fn begins(&self, policy: &str) {
        self.watcher.begins(policy);
    }

    fn ranked(&self, policy: &str, cutoffs: &Cutoffs) {
        self.add(&Line::Policy(Section::new(policy, cutoffs)));
    }

    fn judged(&self, policy: &str, judged: &Judged<'_>) {
        if let (true, Some(identity)) = (judged.verdict.is_due(), &judged.candidate.identity) {
            let entry = Entry::new(policy, &judged.candidate, identity, judged.verdict.reason());
            self.add(&match judged.candidate.class {
                Class::EmptyDirectory => Line::RemoveDirectory(entry),
                Class::Ordinary | Class::Archive => Line::Remove(entry),
            });
        }
        self.watcher.judged(policy, judged);
    }

    fn seen(&self, policy: &str, seen: Seen) {
        self.watcher.seen(policy, seen);
    }

    fn ends(&self, report: &PolicyReport) {
        self.watcher.ends(report);
    }

    fn wants_to_stop(&self) -> bool {
        // Nobody can carry out a plan that was not written to its end.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).failure.is_some() || self.watcher.wants_to_stop()
    }
}

struct Lines<W: Write> {
    out: BufWriter<W>,
    digest: Sha256,
    entries: u64,
    bytes: u64,
    failure: Option<std::io::Error>,
}

impl<W: Write> Lines<W> {
    fn new(out: W) -> Self {
        Self {
            out: BufWriter::with_capacity(256 * 1024, out),
            digest: Sha256::new(),
            entries: 0,
            bytes: 0,
            failure: None,
        }
    }

    fn add(&mut self, line: &Line) {
        if let Line::Remove(entry) | Line::RemoveDirectory(entry) = line {
            self.entries += 1;
            self.bytes += entry.bytes;
        }
        if self.failure.is_none() {
            self.failure = self.write(line).err();
        }
    }

    fn write(&mut self, line: &Line) -> std::io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.digest.update(&text);
        self.out.write_all(&text)
    }

    fn finish(mut self) -> std::io::Result<End> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let end = End { entries: self.entries, bytes: self.bytes, digest: hex(self.digest.clone()) };
        self.write(&Line::End(end.clone()))?;
        self.out.flush()?;
        Ok(end)
    }
}
