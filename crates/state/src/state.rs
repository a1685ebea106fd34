//! The folder as one object.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cleanup_core::moment::Moment;
use cleanup_core::report::{Finding, Report};

use crate::begun::{self, BegunRun, RunMark};
use crate::folder::{self, Access, StateError};
use crate::index::{self, About, IndexWriter, Remembered};
use crate::ledger::{
    AmbiguousRun, ClockReading, LastRun, LastSweep, Ledger, Observation, PolicyMemory, RunSummary, Runs, RunsQuery,
    Stop, TrackedChange, TrendPoint,
};
use crate::lock::{self, Lock, LockError};
use crate::promises::{Promises, PromisesError};
use crate::removals::{self, Page, RemovalsQuery};
use crate::witness::Witness;

/// The memory in one folder: `state.db`, `promises.jsonl`, `locks/`, `index/`, `removals/`, `running/`.
#[derive(Debug)]
pub struct State {
    folder: PathBuf,
    access: Access,
    is_new: bool,
    ledger: Ledger,
    promises: Promises,
    witness: Witness,
}

impl State {
    /// Opens the folder to remember in it, and makes it, for its owner alone, if it is missing. `database` puts the
    /// ledger elsewhere.
    pub fn open(folder: &Path, database: Option<&Path>) -> Result<Self, StateError> {
        let is_new = folder::prepare(folder)?;
        Ok(Self::new(folder, database, Access::Keep, is_new))
    }

    /// Opens the folder to look at what is remembered: for dry runs, `explain`, `history`. Makes and changes nothing;
    /// whatever is told to it is forgotten. A missing folder is an empty memory.
    pub fn look(folder: &Path, database: Option<&Path>) -> Result<Self, StateError> {
        folder::inspect(folder)?;
        let is_new = folder::holds_nothing(folder);
        Ok(Self::new(folder, database, Access::Look, is_new))
    }

    fn new(folder: &Path, database: Option<&Path>, access: Access, is_new: bool) -> Self {
        Self {
            folder: folder.to_owned(),
            access,
            is_new,
            ledger: Ledger::new(folder, database, access),
            promises: Promises::new(folder, access),
            witness: Witness::new(folder),
        }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether the folder was made, or found without anything of ours, just now: whoever had a hold in an earlier one
    /// has lost it, and only the caller can say so. For whoever only looks: whether nothing of ours is there.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// What happened to the memory itself since the last call, in whole sentences: a database set aside, a torn line
    /// repaired, something that could not be remembered.
    pub fn take_notes(&mut self) -> Vec<String> {
        let mut notes = self.ledger.take_notes();
        notes.append(&mut self.promises.take_notes());
        notes
    }

    /// Closes the database until it is needed again: for whoever keeps a memory open for long. What was away is asked
    /// again then.
    pub fn rest(&mut self) {
        self.ledger.rest();
    }

    /// Takes a policy's lock, at once or not at all; whoever only looks gets none.
    pub fn lock(&self, policy: &str) -> Result<Lock, LockError> {
        Lock::take(&folder::locks(&self.folder), self.access, policy)
    }

    /// Writes down that a run begins, so that it is known of when it never ends. `None` for whoever only looks, and where
    /// it cannot be written.
    pub fn begin_run(&self, run: &BegunRun) -> Option<RunMark> {
        if self.access == Access::Look {
            return None;
        }
        begun::begin(&self.folder, run)
            .inspect_err(|error| tracing::debug!("cannot write down that run {} begins: {error}", run.run_id))
            .ok()
    }

    /// Runs that began and never ended, and are in no history yet: their processes are gone. The oldest first.
    pub fn interrupted(&self) -> Vec<BegunRun> {
        begun::interrupted(&self.folder)
    }

    /// Takes such runs into the history, and says which. They are no reason to forget anything else, and no clock is
    /// believed because of them.
    pub fn record_interrupted(&mut self, reading: &ClockReading, keep: Duration, now: Moment) -> Vec<BegunRun> {
        if self.access == Access::Look {
            return Vec::new();
        }
        begun::tidy(&self.folder);
        let runs = self.interrupted();
        for run in &runs {
            self.record_run(&run.interrupted(), reading, false, keep, now);
            begun::forget(&self.folder, run);
        }
        runs
    }

    /// Remembers a run, and forgets those older than `keep` or beyond the newest 20,000. The newest is never
    /// forgotten. Under a clock that is not trusted nothing is forgotten, and `reading` is not remembered.
    pub fn record_run(
        &mut self,
        report: &Report,
        reading: &ClockReading,
        clock_trusted: bool,
        keep: Duration,
        now: Moment,
    ) {
        self.ledger.record_run(report, clock_trusted.then_some(reading), keep, now);
        if clock_trusted {
            self.witness_clock(reading);
            self.promises.forget_expired(now);
        }
    }

    /// Looks up what was removed.
    pub fn removals(&self, query: &RemovalsQuery<'_>) -> io::Result<Page> {
        removals::page(&self.folder, query)
    }

    /// Forgets what was removed longer than `keep` ago, or beyond so many bytes: whole segments of the log, the oldest
    /// first. Whoever only looks forgets nothing.
    pub fn forget_removals(&self, keep: Duration, most_bytes: u64, now: Moment) {
        if self.access == Access::Keep
            && let Err(error) = removals::forget(&self.folder, keep, most_bytes, now)
        {
            tracing::debug!("cannot forget old removals: {error}");
        }
    }

    /// The newest runs, newest first.
    pub fn runs(&mut self, limit: usize) -> Vec<RunSummary> {
        self.page_of_runs(&RunsQuery { limit, ..RunsQuery::default() })
    }

    /// Some of the runs, newest first.
    pub fn page_of_runs(&mut self, query: &RunsQuery) -> Vec<RunSummary> {
        self.ledger.page_of_runs(query)
    }

    /// What came of each policy in each of so many stretches of time since `since`; stretches without a run are left
    /// out.
    pub fn trend(&mut self, since: Moment, stretch_seconds: u32, stretches: u32) -> Vec<TrendPoint> {
        self.ledger.trend(since, stretch_seconds, stretches)
    }

    /// What came of each policy's last sweep; deadlines of tracked files are none.
    pub fn last_sweeps(&mut self) -> Vec<LastSweep> {
        self.ledger.last_sweeps()
    }

    /// What the last run of each policy found of it, and the last run of all of no policy.
    pub fn last_findings(&mut self, of: Runs) -> Vec<Finding> {
        self.ledger.last_findings(of)
    }

    /// The report of the run whose id begins so, in whatever case; `None` when there is none, or it is unreadable.
    pub fn run(&mut self, id_prefix: &str) -> Result<Option<Report>, AmbiguousRun> {
        self.ledger.run_report(id_prefix)
    }

    /// When each policy last ran, in no particular order.
    pub fn last_runs(&mut self) -> Vec<LastRun> {
        self.ledger.last_runs()
    }

    /// The tracked files of a policy that were registered later than their stamps tell, by path below the root.
    pub fn tracked(&mut self, policy: &str) -> Vec<(Vec<u8>, Moment)> {
        self.ledger.tracked(policy)
    }

    /// Remembers and forgets such files, all of them or none. Says whether that succeeded.
    pub fn remember_tracked(&mut self, changes: &[TrackedChange]) -> bool {
        self.ledger.remember_tracked(changes)
    }

    /// What the clocks said in the newest run whose clock was trusted: as the database knows it, or, where that is lost,
    /// the witness beside it.
    pub fn last_clock(&mut self) -> Option<ClockReading> {
        self.witness.read().or_else(|| self.ledger.last_clock())
    }

    /// Whether the folder has served before, and nothing in it says what the clocks said then. Not so where the witness
    /// could never be written, as on a disk that has been full from the start.
    pub fn has_lost_clock(&mut self) -> bool {
        !self.is_new && self.last_clock().is_none() && !self.witness.was_never_written()
    }

    /// Has the clocks witnessed outside of the database too. Whoever only looks witnesses nothing.
    pub fn witness_clock(&mut self, reading: &ClockReading) {
        if self.access == Access::Keep {
            self.witness.write(reading);
        }
    }

    /// The trusted readings since `since`, oldest first, and the one before.
    pub fn clock_readings(&mut self, since: Moment) -> Vec<ClockReading> {
        self.ledger.clock_readings(since)
    }

    /// What a policy looked like when it was last remembered.
    pub fn policy_memory(&mut self, name: &str) -> Option<PolicyMemory> {
        self.ledger.policy_memory(name)
    }

    /// Remembers what a policy looks like.
    pub fn remember_policy(&mut self, name: &str, memory: &PolicyMemory) {
        self.ledger.remember_policy(name, memory);
    }

    /// What our folders are called where somebody else has the ordinary name, by the path of the root.
    pub fn own_folders(&mut self) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.ledger.own_folders()
    }

    /// Remembers what a folder of ours in a root is called.
    pub fn remember_own_folder(&mut self, root: &[u8], name: &[u8]) {
        self.ledger.remember_own_folder(root, name);
    }

    /// Where the last run of a policy was stopped; `None` when it came to its end.
    pub fn stop(&mut self, policy: &str) -> Option<Stop> {
        self.ledger.stop(policy)
    }

    /// Remembers where a run of a policy was stopped, or forgets it. Says whether that succeeded.
    pub fn remember_stop(&mut self, policy: &str, stop: Option<&Stop>) -> bool {
        self.ledger.remember_stop(policy, stop)
    }

    /// Begins to note what an observing run would take and keep.
    pub fn observe(&mut self, policy: &str) -> Observation<'_> {
        self.ledger.observe(policy)
    }

    /// The due index of a policy, to be asked at `now`; `None` when there is none that can be relied on.
    pub fn index(&self, policy: &str, about: &About, now: Moment) -> Option<Remembered> {
        index::read(&self.index_of(policy)?, about, now)
    }

    /// Begins a due index of a policy, which takes the place of the old one when it is kept. `begun_at` is when all files
    /// were looked at the last time. `None` for whoever only looks.
    pub fn begin_index(&self, policy: &str, about: &About, begun_at: Moment) -> Option<IndexWriter> {
        let path = self.index_of(policy).filter(|_| self.access == Access::Keep)?;
        Some(IndexWriter::begin(path, about, begun_at))
    }

    fn index_of(&self, policy: &str) -> Option<PathBuf> {
        lock::is_policy_name(policy).then(|| folder::indexes(&self.folder).join(policy))
    }

    /// The promises, as they are in the file now. An error means that the file cannot be trusted: whoever deletes
    /// then may delete what somebody was promised.
    pub fn promises(&mut self) -> Result<&mut Promises, PromisesError> {
        self.promises.refresh()?;
        Ok(&mut self.promises)
    }
}
