//! The engine: opens the stores that the configuration names, reads the clock, lets core drive, builds the report.
//!
//! One policy that cannot run never stops the others: it ends as a status in the report. An error of a call means
//! that the call itself made no sense.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cleanup_core::config::Config;
use cleanup_core::moment::Moment;
use cleanup_core::owner::Claimant;
use cleanup_core::policy::{FilePolicy, SessionPolicy};
use cleanup_core::rank::Cutoffs;
use cleanup_core::report::{FORMAT_VERSION, PolicyKind, PolicyReport, PolicyStatus, Report, Skip};
use cleanup_core::store::Seen;
use cleanup_core::sweep::{Judged, Mode, Observer};
use cleanup_fs_store::{FileId, Jobs, RootError, Store};
use cleanup_state::{BegunPolicy, BegunRun, RunMark};
use ulid::Ulid;

use crate::clock;
use crate::config_file::{self, OpenError, Origin};
use crate::query::collect;
use crate::request::{At, Request, RequestError, adjusted};
use crate::responses::{Listed, Stats};
use crate::run::audit::Audit;
use crate::run::limits;
use crate::run::min_free::Shares;
use crate::run::owners;
use crate::run::resume::Budget;
use crate::run::sessions;
use crate::run::{Doubts, Extent, FileRun, Ran, missing_root};
use crate::state::run_state::{Memory, Use};
use crate::track::table::Tables;

/// An opened configuration, ready to sweep and to answer.
#[derive(Debug)]
pub struct Engine {
    pub(crate) origin: Origin,
    pub(crate) config: Arc<Config>,
    /// All file policies, as each meets the others.
    pub(crate) claimants: Arc<[Claimant]>,
    /// What relative paths in the configuration are relative to.
    pub(crate) folder: PathBuf,
    /// What is known of tracked files while they are tracked.
    pub(crate) tables: Tables,
    /// Where removals are written down.
    pub(crate) audit: Option<Audit>,
}

/// Watches a run from outside: for lists, progress, events. Called from the engine's threads.
pub trait Watcher: Sync {
    /// A policy begins.
    fn begins(&self, policy: &str) {
        let _ = policy;
    }

    /// What the limits of a policy came to, before its candidates are judged. Not called for a policy that is skipped or
    /// held back.
    fn ranked(&self, policy: &str, cutoffs: &Cutoffs) {
        let _ = (policy, cutoffs);
    }

    /// A candidate was judged and, when due and not in a plan, acted on.
    fn judged(&self, policy: &str, judged: &Judged<'_>) {
        let _ = (policy, judged);
    }

    /// More entries were looked at.
    fn seen(&self, policy: &str, seen: Seen) {
        let _ = (policy, seen);
    }

    /// A policy has ended.
    fn ends(&self, report: &PolicyReport) {
        let _ = report;
    }

    /// Whether the run is to end after the item in hand; what is left is up to the next run.
    fn wants_to_stop(&self) -> bool {
        false
    }
}

impl Selected<'_> {
    /// The policies as they are named when a run begins.
    fn begun(&self) -> Vec<BegunPolicy> {
        let of = |name: &str, kind| BegunPolicy { name: name.to_owned(), kind };
        let files = self.files.iter().map(|policy| of(&policy.rule.name, PolicyKind::Files));
        files.chain(self.sessions.iter().map(|policy| of(&policy.rule.name, PolicyKind::Sessions))).collect()
    }
}

/// Watches nothing.
impl Watcher for () {}

/// What the runs of one request have in common.
#[derive(Clone, Copy)]
pub(crate) struct Turn<'a> {
    pub(crate) mode: Mode,
    pub(crate) doubts: Doubts<'a>,
    /// Another time than now, for plans.
    pub(crate) at: Option<Moment>,
    /// The id that the report has.
    pub(crate) run_id: &'a str,
    pub(crate) jobs: Jobs,
    pub(crate) watcher: &'a dyn Watcher,
}

/// The policies that a request means, in the order of the configuration.
pub(crate) struct Selected<'a> {
    pub(crate) files: Vec<&'a FilePolicy>,
    sessions: Vec<&'a SessionPolicy>,
}

impl Engine {
    /// Finds, trusts, reads and checks the configuration: `named`, else `$CLEANUP_CONFIG`, else `./cleanup.toml`, the
    /// user's, the system's, the built-in default.
    pub fn open(named: Option<&Path>) -> Result<Self, OpenError> {
        let (origin, config, folder) = config_file::open(named)?;
        let audit = config.audit.clone().map(Audit::new);
        let claimants = config.files.iter().map(Claimant::from).collect();
        Ok(Self { origin, config: Arc::new(config), claimants, folder, tables: Tables::default(), audit })
    }

    /// Where the configuration came from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Whether any file policy has a root to look at.
    pub fn has_any_root(&self) -> bool {
        self.config.files.iter().any(|policy| policy.root.symlink_metadata().is_ok())
    }

    /// The enabled file policies whose root does not exist, though it is not said to come and go, each with a sentence.
    pub fn missing_roots(&self) -> Vec<(String, String)> {
        let mut memory = self.memory(Use::Look);
        let mut missing = |policy: &FilePolicy| {
            let error = self.store(policy, &memory).err().filter(|error| matches!(error, RootError::Missing { .. }))?;
            Some((policy.rule.name.clone(), missing_root(policy, &error, &mut memory)?))
        };
        self.config.files.iter().filter(|policy| policy.enabled).filter_map(&mut missing).collect()
    }

    /// Sweeps, or plans to. Blocks until all policies have ended.
    pub fn sweep(&self, request: &Request, watcher: &dyn Watcher) -> Result<Report, RequestError> {
        let selected = self.select(&request.policies)?;
        if request.at.is_some() && request.mode == Mode::Apply {
            return Err(RequestError::NotNow);
        }
        for (name, _) in &request.max_age {
            if self.select(std::slice::from_ref(name))?.files.is_empty() {
                return Err(RequestError::NotAFilePolicy { name: name.clone() });
            }
        }
        let at = request.at.map(At::moment);
        let usage = if request.mode == Mode::Apply { Use::Run } else { Use::Look };
        let mut memory = self.memory(usage);
        if request.force {
            memory.accept_lost_promises(usage);
        }
        let jump = memory.doubt_clock().err();
        let clock_is_lost = memory.is_without_clock();
        let started_at = clock::now();
        let id = request.run_id.clone().unwrap_or_else(run_id);
        let mark = match request.mode {
            Mode::Apply => memory.begin_run(&BegunRun {
                run_id: id.clone(),
                trigger: request.trigger,
                started_at,
                policies: selected.begun(),
            }),
            Mode::Plan => None,
        };
        let reports = std::thread::scope(|scope| {
            let sweep_rows = || sessions::sweep(&selected.sessions, &self.folder, request, at, watcher);
            let rows = (!selected.sessions.is_empty())
                .then(|| std::thread::Builder::new().name("sessions".to_owned()).spawn_scoped(scope, sweep_rows));
            let doubts = if request.force { Doubts::Ignore } else { Doubts::Heed(jump.as_ref()) };
            let policies: Vec<FilePolicy> = selected.files.iter().map(|policy| adjusted(policy, request)).collect();
            let turn = Turn { mode: request.mode, doubts, at, run_id: &id, jobs: request.jobs(), watcher };
            let mut reports = self.sweep_files(&policies, turn, &mut memory);
            reports.extend(match rows {
                None => Vec::new(),
                Some(Ok(thread)) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                // No thread to be had here: then the rows come after the files.
                Some(Err(_)) => sweep_rows(),
            });
            reports
        });
        let clock_trusted = request.force || (jump.is_none() && (!clock_is_lost || self.have_all_passed(&reports)));
        let report = self.sum_up(request, id, started_at, reports, memory, clock_trusted);
        // Only now: what is in no history yet is still to be missed.
        mark.into_iter().for_each(RunMark::end);
        Ok(report)
    }

    /// Whether every file policy has come to its end with nothing that held it back. Only then is a run a witness of the
    /// clock where there is none: one that was about few files would have the next one believe it about all others.
    fn have_all_passed(&self, reports: &[PolicyReport]) -> bool {
        let has_passed = |policy: &FilePolicy| {
            reports.iter().any(|report| {
                let is_done = matches!(report.status, PolicyStatus::Ok | PolicyStatus::Partial) && !report.in_part;
                report.name == policy.rule.name && is_done
            })
        };
        self.config.files.iter().all(has_passed)
    }

    /// Sums up, and leaves behind what is to be remembered.
    pub(crate) fn sum_up(
        &self,
        request: &Request,
        id: String,
        started_at: Moment,
        reports: Vec<PolicyReport>,
        memory: Memory,
        clock_trusted: bool,
    ) -> Report {
        let dry_run = request.mode == Mode::Plan;
        let usage = if dry_run { Use::Look } else { Use::Run };
        if let (Some(audit), false) = (&self.audit, dry_run) {
            for report in &reports {
                audit.ended(&id, report);
            }
        }
        let mut report = Report::new(id, request.trigger, dry_run, started_at, clock::now(), reports);
        report.notes.extend(report.policies.iter().filter_map(owners::disputes));
        memory.finish(&mut report, clock_trusted, usage);
        report.notes.extend(self.audit.as_ref().and_then(Audit::take_failure));
        report
    }

    /// Sweeps files, one policy after the other. What has become of the free space of a file system is known when all
    /// policies that give some have ended, so these end together.
    fn sweep_files(&self, policies: &[FilePolicy], turn: Turn<'_>, memory: &mut Memory) -> Vec<PolicyReport> {
        let mut relief = self.relieve(policies, turn, memory);
        let shares = match turn.doubts {
            Doubts::Heed(Some(_)) => Shares::default(),
            // Who stopped it here stops each policy as well.
            _ => self
                .shares(policies.iter(), turn.at.unwrap_or_else(|| memory.now()), memory, &Asking(turn.watcher))
                .unwrap_or_default(),
        };
        let gives = |policy: &FilePolicy| policy.limits.min_free.is_some();
        let last_giver = policies.iter().rposition(gives);
        let mut ran: Vec<Ran> = Vec::new();
        let mut open: Vec<usize> = Vec::new();
        for (index, policy) in policies.iter().enumerate() {
            turn.watcher.begins(&policy.rule.name);
            let cutoffs = shares.of(&policy.rule.name);
            ran.push(self.run_one(policy, turn, Extent::Onward, cutoffs, memory));
            let waits = gives(policy) && Some(index) != last_giver;
            open.push(index);
            let ended = match (waits, gives(policy)) {
                (true, _) => Vec::new(),
                (false, true) => {
                    // What was moved aside just now gives nothing back by itself.
                    relief.add(self.relieve(policies, turn, memory));
                    std::mem::take(&mut open)
                }
                (false, false) => open.pop().into_iter().collect(),
            };
            for index in ended {
                relief.tell(&mut ran[index].report);
                self.conclude(&policies[index], &mut ran[index], memory);
                turn.watcher.ends(&ran[index].report);
            }
        }
        ran.into_iter().map(|ran| ran.report).collect()
    }

    /// Runs one file policy.
    pub(crate) fn run_one(
        &self,
        policy: &FilePolicy,
        turn: Turn<'_>,
        extent: Extent<'_>,
        cutoffs: Option<Cutoffs>,
        memory: &mut Memory,
    ) -> Ran {
        let Turn { mode, doubts, at, run_id, jobs, watcher } = turn;
        let store = self.store(policy, memory).map(|store| store.with_jobs(jobs));
        let now = at.unwrap_or_else(|| memory.now());
        FileRun { policy, store, now, mode, doubts, watcher, engine: self, run_id, cutoffs }.run(extent, memory)
    }

    /// Says in a report what has become of the limits.
    fn conclude(&self, policy: &FilePolicy, ran: &mut Ran, memory: &Memory) {
        let Some((stays, done)) = &ran.stays else { return };
        if policy.limits.min_free.is_some()
            && let Some(file_system) = self.store(policy, memory).ok().and_then(|store| store.space().ok())
        {
            ran.report.limits.extend(limits::free(&policy.limits, &file_system, stays, *done));
        }
        limits::tell(&mut ran.report, *done);
    }

    /// What is there now, by policy.
    pub fn stats(&self, policies: &[String]) -> Result<Stats, RequestError> {
        let selected = self.select(policies)?;
        let mut memory = self.memory(Use::Look);
        let shares = self.look_at_shares(&selected, &mut memory);
        let files = selected.files.into_iter().map(|policy| {
            let now = clock::now();
            let stats = collect::FileStatsWatcher::new(policy, now);
            let report = self.look_at(policy, now, &mut memory, &shares, &stats);
            stats.finish(report)
        });
        let policies = files.chain(sessions::stats(&selected.sessions, &self.folder)).collect();
        Ok(Stats { format_version: FORMAT_VERSION, policies })
    }

    /// Calls `each` for every file that a policy means, as the walk comes to it. Returns how the policies ended.
    pub fn list(
        &self,
        policies: &[String],
        each: &(dyn Fn(&Listed) + Sync),
    ) -> Result<Vec<PolicyReport>, RequestError> {
        let selected = self.select(policies)?;
        let watcher = collect::ListWatcher { now: clock::now(), each };
        let mut memory = self.memory(Use::Look);
        let shares = self.look_at_shares(&selected, &mut memory);
        let look = |policy: &FilePolicy| self.look_at(policy, watcher.now, &mut memory, &shares, &watcher);
        Ok(selected.files.into_iter().map(look).collect())
    }

    pub(crate) fn select(&self, names: &[String]) -> Result<Selected<'_>, RequestError> {
        let Config { files, sessions, .. } = &*self.config;
        if names.is_empty() {
            return Ok(Selected {
                files: files.iter().filter(|policy| policy.enabled).collect(),
                sessions: sessions.iter().filter(|policy| policy.enabled).collect(),
            });
        }
        for name in names {
            if !self.config.rules().any(|rule| rule.name == *name) {
                let suggestion = self.config.nearest_policy(name).map(str::to_owned);
                return Err(RequestError::UnknownPolicy { name: name.clone(), suggestion });
            }
        }
        Ok(Selected {
            files: files.iter().filter(|policy| names.contains(&policy.rule.name)).collect(),
            sessions: sessions.iter().filter(|policy| names.contains(&policy.rule.name)).collect(),
        })
    }

    /// Whether a policy is judged just as the configuration says, and not otherwise for one run.
    pub(crate) fn is_configured(&self, policy: &FilePolicy) -> bool {
        self.config.files.iter().any(|configured| configured.rule == policy.rule)
    }

    pub(crate) fn memory(&self, usage: Use) -> Memory {
        Memory::open(&self.origin, &self.config, usage)
    }

    pub(crate) fn store<'a>(&self, policy: &'a FilePolicy, memory: &Memory) -> Result<Store<'a>, RootError> {
        let store = Store::open(policy, self.spared(memory))?;
        Ok(store.with_rivals(memory.roots(&self.claimants)))
    }

    /// What no store of this engine may touch.
    pub(crate) fn spared(&self, memory: &Memory) -> Vec<FileId> {
        // Even where `include = ["*"]` means them too, the files that say what to keep are kept.
        let own = memory.own().iter().map(PathBuf::as_path).chain(self.origin.path()).filter_map(FileId::of);
        let audit = self.audit.iter().flat_map(Audit::files).filter_map(|file| FileId::of(&file));
        own.chain(audit).collect()
    }

    /// Runs one file policy without anything that could hold it back, to look at what is there.
    fn look_at(
        &self,
        policy: &FilePolicy,
        now: Moment,
        memory: &mut Memory,
        shares: &Shares,
        watcher: &dyn Watcher,
    ) -> PolicyReport {
        let (store, cutoffs) = (self.store(policy, memory), shares.of(&policy.rule.name));
        let (mode, doubts, run_id) = (Mode::Plan, Doubts::Ignore, "");
        let run = FileRun { policy, store, now, mode, doubts, watcher, engine: self, run_id, cutoffs };
        let mut ran = run.run(Extent::All, memory);
        self.conclude(policy, &mut ran, memory);
        ran.report
    }

    fn look_at_shares(&self, selected: &Selected<'_>, memory: &mut Memory) -> Shares {
        let now = clock::now();
        self.shares(selected.files.iter().copied(), now, memory, &()).unwrap_or_default()
    }
}

/// A policy that the configuration switches off.
pub(crate) fn disabled(name: &str, kind: PolicyKind) -> PolicyReport {
    PolicyReport::skipped(name, kind, Skip::Disabled, "disabled in the configuration".to_owned())
}

/// A new run's id, a ULID: sorts by time, and two in the same millisecond differ.
pub fn run_id() -> String {
    let millis = u64::try_from(clock::now().unix_millis()).unwrap_or(0);
    Ulid::from_parts(millis, Ulid::generate().random()).to_string()
}

/// Asks a watcher only whether to stop.
struct Asking<'a>(&'a dyn Watcher);

impl Observer for Asking<'_> {
    fn wants_to_stop(&self) -> bool {
        self.0.wants_to_stop()
    }
}

/// Passes on what a sweep of one policy says, with the policy's name, and has removals written down.
pub(crate) struct PolicyWatcher<'a> {
    pub(crate) name: &'a str,
    /// With the policy and the run, where there is a log of single things.
    pub(crate) audit: Option<(&'a Audit, &'a FilePolicy, &'a str)>,
    pub(crate) watcher: &'a dyn Watcher,
    /// How long it may take (`max_runtime`).
    pub(crate) budget: Budget,
}

impl Observer for PolicyWatcher<'_> {
    fn judged(&self, judged: &Judged<'_>) {
        if let Some((audit, policy, run)) = self.audit {
            audit.judged(policy, run, judged);
        }
        if let Some(outcome) = judged.outcome {
            tracing::debug!(policy = self.name, path = %judged.candidate.name, ?outcome, "{}", judged.verdict);
        }
        self.watcher.judged(self.name, judged);
    }

    fn seen(&self, seen: Seen) {
        self.budget.looked();
        self.watcher.seen(self.name, seen);
    }

    fn wants_to_stop(&self) -> bool {
        self.watcher.wants_to_stop() || self.budget.is_used_up()
    }
}
