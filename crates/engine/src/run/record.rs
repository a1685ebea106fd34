//! Every trace that a run leaves: the mark that it began, the trail of its removals, what the next run compares with, the history and
//! the reading of the clocks that goes with it, and what went wrong with any of these.
//!
//! Every way into a removal leaves them through here: sweeps, plans that are carried out, deadlines, restores.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use cleanup_core::brake::HARMLESS;
use cleanup_core::judge::Run;
use cleanup_core::policy::{Effect, FilePolicy};
use cleanup_core::report::{Counts, FindingCode, PolicyKind, PolicyReport, PolicyStatus, Report};
use cleanup_core::sweep::Mode;
use cleanup_fs_store::Store;
use cleanup_state::{BegunRun, RunMark};
use ulid::Ulid;

use crate::clock;
use crate::run::params::{Gates, RunParams};
use crate::run::scope::Scope;
use crate::run::trail::TracedRun;
use crate::run::{findings, gates, owners};
use crate::setup::Setup;
use crate::state::run_state::{Access, Answered, Shared};

/// A new run's id, a ULID: sorts by time, and two in the same millisecond differ.
pub fn run_id() -> String {
    let millis = u64::try_from(clock::now().unix_millis()).unwrap_or(0);
    Ulid::from_parts(millis, Ulid::generate().random()).to_string()
}

/// A run under way.
#[derive(Debug)]
#[must_use = "a run that is not ended is missed: the next one says that it was interrupted"]
pub(crate) struct Recording {
    run: BegunRun,
    access: Access,
    /// Tells of the run should it never end.
    mark: Option<RunMark>,
}

impl Recording {
    /// Writes down that a run begins, and takes runs into the history that began before and never ended. A plan leaves
    /// nothing behind.
    pub(crate) fn begin(state: &Shared, mode: Mode, run: BegunRun) -> Self {
        let access = Access::of(mode);
        let mark = (mode == Mode::Apply).then(|| state.lock().begin_run(&run)).flatten();
        Self { run, access, mark }
    }

    /// The id that the report has.
    pub(crate) fn id(&self) -> &str {
        &self.run.run_id
    }

    /// The run as its trail names it.
    pub(crate) fn traced(&self) -> TracedRun<'_> {
        TracedRun { id: self.id(), trigger: self.run.trigger, asked_by: self.run.asked_by.as_deref() }
    }

    /// Writes down what a policy has done without naming each item.
    pub(crate) fn policy_ended(&self, setup: &Setup, report: &PolicyReport) {
        if self.access == Access::Run {
            setup.trail.ended(self.traced(), report);
        }
    }

    /// Ends the run without a report: nothing came of it.
    pub(crate) fn drop_unused(self) {
        self.mark.into_iter().for_each(RunMark::end);
    }

    /// Sums up, and leaves behind what is to be remembered. Whatever went wrong until here stands in the history too;
    /// what goes wrong with the history itself, in the report alone.
    pub(crate) fn end(
        self,
        setup: &Setup,
        state: &Shared,
        policies: Vec<PolicyReport>,
        notes: Vec<String>,
        clock_trusted: bool,
    ) -> Report {
        let Self { run, access, mark } = self;
        let dry_run = access == Access::Look;
        let policies = name_roots(setup, policies);
        let mut report = Report::new(run.run_id, run.trigger, dry_run, run.started_at, clock::now(), policies);
        report.asked_by = run.asked_by;
        let disputes = report.policies.iter().filter_map(|policy| Some((&policy.name, owners::dispute_of(policy)?)));
        report.notes.extend(disputes.map(|(name, dispute)| format!("{name}: {dispute}")));
        let mut said: Vec<(FindingCode, String)> = Vec::new();
        said.extend(notes.into_iter().map(|note| (FindingCode::Memory, note)));
        setup.trail.flush();
        let mut state = state.lock();
        // Where there is no memory at all, that is what is said.
        let is_kept = state.missing().is_none();
        said.extend(
            setup.trail.take_failures().into_iter().filter(|(code, _)| is_kept || *code != FindingCode::Memory),
        );
        report.notes.extend(said.iter().map(|(_, note)| note.clone()));

        said.extend(state.note_in(&mut report));
        report.not_remembered = state.missing().map(str::to_owned);
        said.extend(report.not_remembered.clone().map(|why| (FindingCode::Memory, why)));
        report.findings = findings::of_run(&setup.config, &report, said);
        report.findings.extend(findings::of_policies(&setup.config, &report));
        state.date(&mut report.findings);
        if access == Access::Run {
            state.record(&report, clock_trusted);
        }
        // What went wrong with the history itself is in the report alone.
        let late = state.note_in(&mut report);
        report.findings.extend(findings::of_run(&setup.config, &report, late));
        report.new_memory = access == Access::Run && setup.takes_new_memory();
        drop(state);
        // Only now: what is in no history yet is still to be missed.
        mark.into_iter().for_each(RunMark::end);
        report
    }
}

/// Says which folder paths are below, where no run of the policy has: in sums of deadlines, and in restores.
fn name_roots(setup: &Setup, mut policies: Vec<PolicyReport>) -> Vec<PolicyReport> {
    let files = setup.config.files.iter();
    let roots: HashMap<&str, &Path> = files.map(|policy| (policy.rule.name.as_str(), policy.root.as_path())).collect();
    for report in policies.iter_mut().filter(|report| report.kind == PolicyKind::Files && report.root.is_none()) {
        report.root = roots.get(report.name.as_str()).map(|root| root.display().to_string());
    }
    policies
}

/// Whether a sweep is a witness of the clock. Where there is no other one, it is only if every file policy has come to
/// its end with nothing that held it back: a run that was about few files would have the next one believe it about all
/// others.
pub(crate) fn witnesses_clock(setup: &Setup, reports: &[PolicyReport]) -> bool {
    let is_done =
        |report: &&PolicyReport| matches!(report.status, PolicyStatus::Ok | PolicyStatus::Partial) && !report.in_part;
    let done: HashSet<&str> = reports.iter().filter(is_done).map(|report| report.name.as_str()).collect();
    setup.config.files.iter().all(|policy| done.contains(policy.rule.name.as_str()))
}

/// What a run of one policy came to, for what the next one compares with.
pub(crate) struct Ended<'a> {
    pub(crate) policy: &'a FilePolicy,
    pub(crate) run: &'a Run,
    pub(crate) file_system: Option<String>,
    /// Whether all files were covered.
    pub(crate) is_whole: bool,
    /// How many files were due.
    pub(crate) due: u64,
}

/// Leaves behind what the next run of the policy compares with.
pub(crate) fn compare_next(setup: &Setup, state: &Shared, ended: Ended<'_>, scope: &Scope<'_>, params: &RunParams<'_>) {
    let Ended { policy, run, file_system, is_whole, due } = ended;
    if params.mode == Mode::Plan {
        return;
    }
    if matches!(scope, Scope::Paths(due) if due.counts.due <= HARMLESS)
        && state.lock().has_just_remembered(policy, file_system.as_deref())
    {
        return;
    }
    let accepts_rule = match scope {
        Scope::Paths(due) => gates::accepts_rule(state, policy, due),
        // What a person wanted to be different for one run was not weighed as the rule has it.
        Scope::All | Scope::Resume | Scope::Planned(_) => setup.is_configured(policy),
    };
    if !accepts_rule {
        return;
    }
    let answered = match scope {
        Scope::Paths(_) => Answered::ForSome(run.referenced.distinct()),
        Scope::All | Scope::Resume | Scope::Planned(_) => {
            // Where few were due nothing was held, and still the next run has to compare with what there was before.
            let is_forced = params.gates == Gates::Forced;
            let is_doubted = !is_forced && state.lock().fewer_references(policy, &run.referenced).is_some();
            if is_forced || (is_whole && !is_doubted) {
                Answered::ByAll(run.referenced.distinct())
            } else {
                Answered::Unasked
            }
        }
    };
    let foreseen = (policy.effect == Effect::Observe).then_some(due);
    state.lock().remember(policy, file_system, answered, foreseen);
}

/// The same, of a tracked policy whose files were all looked at when tracking began. What limits ask for is only known to
/// a sweep: until then a changed rule stays a changed one.
pub(crate) fn compare_next_start(
    state: &Shared,
    policy: &FilePolicy,
    store: &Store<'_>,
    counts: &Counts,
    counts_all: bool,
) {
    let mut state = state.lock();
    if counts_all || state.changes(policy).is_none() {
        let foreseen = (policy.effect == Effect::Observe).then_some(counts.due);
        state.remember(policy, store.file_system(), Answered::Unasked, foreseen);
    }
}
