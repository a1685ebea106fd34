//! What one run remembers of the runs before it, and leaves behind for the next one.
//!
//! Memory is a help, never a condition: where it cannot be had, files and rows are swept all the same, and the report
//! says that nothing is remembered. The one exception are promises: where there are some that cannot be read, the
//! files that they may concern stay.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use cleanup_core::clock_guard::{self, Jump, Reading, RunningTime};
use cleanup_core::config::{Config, Removals};
use cleanup_core::moment::Moment;
use cleanup_core::owner::Claimant;
use cleanup_core::policy::FilePolicy;
use cleanup_core::report::{Finding, FindingCode, Report};
use cleanup_core::sweep::Mode;
use cleanup_fs_store::{Protected, Roots};
use cleanup_state::{
    About, BegunRun, IndexWriter, Lock, LockError, Observation, PolicyMemory, Remembered, RunMark, Runs, State,
    StateError,
};

use super::location::{self, Place, placed};
use super::neighbours::Neighbours;
use crate::clock;
use crate::config_file::Origin;

/// How long the resolved roots of all policies are reused. Roots are asked for by every policy of a run, and
/// to look at all of them each time would take as long as there are policies, squared.
const ROOTS_FOR: Duration = Duration::from_secs(1);

/// Whether a run leaves something behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// It does.
    Run,
    /// It only looks: nothing is made or changed, not even the folder.
    Look,
}

impl Access {
    pub(crate) fn of(mode: Mode) -> Self {
        match mode {
            Mode::Apply => Self::Run,
            Mode::Plan => Self::Look,
        }
    }
}

/// How many names the query of `keep_referenced` answered, and for how much of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// For a run that came to its end, or that somebody forced: later runs are compared with it.
    ByAll(u64),
    /// For a part of the files, or by a query whose answer is doubted: that can raise what later runs are compared with, and never lower it.
    ForSome(u64),
    /// Nobody asked.
    Unasked,
}

/// What all stages of a run share. It is locked for the length of one question: a tracker promises files while it
/// removes others.
#[derive(Debug)]
pub(crate) struct Shared(Mutex<RunState>);

impl From<RunState> for Shared {
    fn from(state: RunState) -> Self {
        Self(Mutex::new(state))
    }
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, RunState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The memory for the length of one run.
#[derive(Debug)]
pub(crate) struct RunState {
    pub(super) config: Arc<Config>,
    /// The built-in default means another root in every folder; its policies are remembered by root.
    by_root: bool,
    pub(super) state: Option<State>,
    /// Why nothing is remembered, unless that is what the configuration asks for.
    pub(super) missing: Option<String>,
    /// Why promises that may have been made cannot be known.
    pub(super) unreadable: Option<String>,
    /// Where it is kept, whether or not it could be opened.
    own: Option<(PathBuf, Option<PathBuf>)>,
    pub(super) reading: Reading,
    notes: Vec<(FindingCode, String)>,
    /// Why the promises hold everything back.
    pub(super) promises: Option<(FindingCode, String)>,
    /// Whether promises that are lost hold nothing back.
    pub(super) accepts_loss: bool,
    /// Where the roots of all policies were, and when.
    roots: Mutex<Option<(Duration, Arc<Roots>)>>,
    /// What the last runs have left behind, by policy, and when that was read.
    pub(super) known: HashMap<String, (Duration, Option<PolicyMemory>)>,
    /// When runs were remembered, by policy, and on which file system they were.
    pub(super) remembered: HashMap<String, (Duration, Option<String>)>,
    /// The policies, to be found among each other.
    pub(super) neighbours: OnceLock<Neighbours>,
    /// What our folders are called where somebody else has the ordinary name, by the path of the root.
    own_folders: HashMap<Vec<u8>, Vec<Vec<u8>>>,
}

impl RunState {
    /// Opens the memory that belongs to a configuration.
    pub(crate) fn open(origin: &Origin, config: &Arc<Config>, access: Access) -> Self {
        let by_root = *origin == Origin::BuiltIn;
        let (reading, notes) = (clock::reading(), Vec::new());
        let config = Arc::clone(config);
        let placed = placed(origin, &config.state);
        let mut opened = Self {
            config,
            by_root,
            state: None,
            missing: None,
            unreadable: None,
            own: None,
            reading,
            notes,
            promises: None,
            accepts_loss: false,
            roots: Mutex::default(),
            known: HashMap::new(),
            remembered: HashMap::new(),
            neighbours: OnceLock::new(),
            own_folders: HashMap::new(),
        };
        match placed {
            Place::Nowhere => {}
            Place::Unknown => {
                opened.missing = Some("nothing is remembered: there is no home folder to keep it in".to_owned());
            }
            Place::At { folder, database } => {
                opened.open_at(&folder, database.as_deref(), access);
                opened.own = Some((folder, database));
            }
        }
        for (root, name) in opened.state.as_mut().map(State::own_folders).unwrap_or_default() {
            opened.own_folders.entry(root).or_default().push(name);
        }
        opened
    }

    /// A folder that cannot be written is at least looked at. One that belongs to a stranger binds nobody; but in one
    /// of ours that cannot be read there may be promises.
    fn open_at(&mut self, folder: &Path, database: Option<&Path>, access: Access) {
        if access == Access::Run {
            match State::open(folder, database) {
                Ok(mut state) => {
                    if state.is_new() {
                        // A first reading has nothing to be doubted by; the next one has this.
                        state.witness_clock(&self.reading);
                    }
                    self.state = Some(state);
                    return;
                }
                Err(error) => self.missing = Some(format!("nothing is remembered: {error}")),
            }
        }
        match State::look(folder, database) {
            Ok(state) => self.state = Some(state),
            Err(error) => {
                self.missing = Some(format!("nothing is remembered: {error}"));
                if !matches!(error, StateError::Stranger { .. } | StateError::NotAFolder { .. }) {
                    self.unreadable = Some(format!(
                        "held back: {error}; what was promised to be kept is unknown, so nothing is deleted. \
                         Give this user the folder, or remove it if nothing is held"
                    ));
                }
            }
        }
    }

    /// Protects what holds it: these files are never candidates, these folders are never entered, wherever they lie.
    pub(crate) fn protect(&self, protected: &mut Protected) {
        if let Some((folder, database)) = &self.own {
            location::protect(folder, database.as_deref(), protected);
        }
    }

    /// Begins anew with a memory that is kept open: the clocks are read again, and notes start from nothing.
    pub(crate) fn begin(&mut self) {
        self.reading = clock::reading();
        self.notes.clear();
    }

    /// Where the roots of all policies are now.
    pub(crate) fn roots(&self, claimants: &Arc<[Claimant]>) -> Arc<Roots> {
        let now = clock::boot();
        let mut known = self.roots.lock().unwrap_or_else(PoisonError::into_inner);
        match &*known {
            Some((at, roots)) if now < *at + ROOTS_FOR => Arc::clone(roots),
            _ => {
                let roots = Arc::new(Roots::resolve(Arc::clone(claimants)));
                *known = Some((now, Arc::clone(&roots)));
                roots
            }
        }
    }

    /// Has the roots of all policies looked for anew: something is about to be removed.
    pub(crate) fn forget_roots(&self) {
        *self.roots.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Closes what need not be open until the next time.
    pub(crate) fn rest(&mut self) {
        if let Some(state) = &mut self.state {
            state.rest();
        }
    }

    /// What the clocks say in this run.
    pub(crate) fn reading(&self) -> &Reading {
        &self.reading
    }

    /// The wall clock of this run: read once, and since then carried on by the clock that cannot be set.
    pub(crate) fn now(&self) -> Moment {
        self.reading.wall.plus(clock::boot().saturating_sub(self.reading.boot))
    }

    /// Whether the wall clock goes on from where the last run left it.
    pub(crate) fn doubt_clock(&mut self) -> Result<(), Jump> {
        match self.state.as_mut().and_then(State::last_clock) {
            Some(last) => clock_guard::check(&last, &self.reading).or_else(|jump| self.allow_correction(jump)),
            None => Ok(()),
        }
    }

    /// A clock that was wrong for a while and is set right holds nothing back.
    pub(crate) fn allow_correction(&mut self, jump: Jump) -> Result<(), Jump> {
        let believed = self.state.as_mut().map(|state| state.clock_readings(Moment::EPOCH)).unwrap_or_default();
        if clock_guard::is_correction(&jump, &believed, &self.reading) { Ok(()) } else { Err(jump) }
    }

    /// Has the clock that a service starts by witnessed, if it can be believed: one that jumps before the first run has to
    /// be compared with something of this boot. Returns whether it can.
    pub(crate) fn witness_clock(&mut self) -> bool {
        let is_believed = self.doubt_clock().is_ok();
        if is_believed
            && !self.is_without_clock()
            && let Some(state) = self.state.as_mut().filter(|_| self.missing.is_none())
        {
            state.witness_clock(&self.reading);
        }
        is_believed
    }

    /// Whether this is a memory that has served before, and nothing in it says what the clocks said then: so a clock that
    /// jumped since is believed. Not so for a first run, and where nothing is to be remembered.
    pub(crate) fn is_without_clock(&mut self) -> bool {
        self.state.as_mut().is_some_and(State::has_lost_clock)
    }

    /// When this machine was asleep or off, as far as it is known.
    pub(crate) fn running_time(&mut self) -> Option<RunningTime> {
        let mut readings = self.state.as_mut().map(|state| state.clock_readings(Moment::EPOCH)).unwrap_or_default();
        readings.push(self.reading.clone());
        RunningTime::new(&readings)
    }

    /// Keeps other sweeps of the policy away for as long as the lock lives. Without memory there is no lock: then two
    /// sweeps share the work, harmlessly.
    pub(crate) fn lock(&mut self, policy: &FilePolicy) -> Result<Option<Lock>, Busy> {
        let name = self.key(policy);
        let ours = self.state.as_ref().filter(|_| self.missing.is_none());
        match ours.map(|state| state.lock(&name)) {
            None => Ok(None),
            Some(Ok(lock)) => Ok(Some(lock)),
            Some(Err(LockError::Held { .. })) => Err(Busy),
            Some(Err(error)) => {
                self.note(format!("{} is swept without a lock: {error}", policy.rule.name));
                Ok(None)
            }
        }
    }

    /// Begins to write down what an observing policy would do.
    pub(crate) fn observe(&mut self, policy: &FilePolicy) -> Option<Observation<'_>> {
        let key = self.key(policy);
        self.state.as_mut().map(|state| state.observe(&key))
    }

    /// The due index of a policy, if there is one that is about just this.
    pub(crate) fn index(&self, policy: &FilePolicy, about: &About, now: Moment) -> Option<Remembered> {
        self.state.as_ref()?.index(&self.key(policy), about, now)
    }

    /// Begins a due index of a policy, if one can be kept.
    pub(crate) fn begin_index(&self, policy: &FilePolicy, about: &About, begun_at: Moment) -> Option<IndexWriter> {
        let ours = self.state.as_ref().filter(|_| self.missing.is_none());
        ours?.begin_index(&self.key(policy), about, begun_at)
    }

    /// Writes down that a run begins, and takes runs into the history that began before and never ended. The mark is to be
    /// ended when the run is in the history.
    pub(crate) fn begin_run(&mut self, run: &BegunRun) -> Option<RunMark> {
        for interrupted in self.record_interrupted() {
            self.notes.push((FindingCode::Interrupted, told_of_interrupted(&interrupted)));
        }
        self.state.as_ref().filter(|_| self.missing.is_none())?.begin_run(run)
    }

    /// Takes runs into the history that began before and never ended, and says which.
    pub(crate) fn record_interrupted(&mut self) -> Vec<BegunRun> {
        let (keep, now) = (self.config.keep_history, self.now());
        let Some(state) = self.state.as_mut().filter(|_| self.missing.is_none()) else { return Vec::new() };
        state.record_interrupted(&self.reading, keep, now)
    }

    /// What happened to the memory since the last call, for callers that keep it open between runs.
    pub(crate) fn take_notes(&mut self) -> Vec<String> {
        let mut notes: Vec<String> = self.notes.drain(..).map(|(_, note)| note).collect();
        notes.extend(self.state.as_mut().map(State::take_notes).unwrap_or_default());
        notes
    }

    /// Why nothing is remembered, unless that is what the configuration asks for.
    pub(crate) fn missing(&self) -> Option<&str> {
        self.missing.as_deref()
    }

    /// Has the report say something about memory.
    pub(crate) fn note(&mut self, note: String) {
        self.notes.push((FindingCode::Memory, note));
    }

    /// Writes the run into the history.
    pub(crate) fn record(&mut self, report: &Report, clock_trusted: bool) {
        let keep: Duration = self.config.keep_history;
        if let Some(state) = self.state.as_mut().filter(|_| self.missing.is_none()) {
            state.record_run(report, &self.reading, clock_trusted, keep, report.finished_at);
            if let Some(Removals { keep_for, max_bytes }) = self.config.removals.filter(|_| clock_trusted) {
                state.forget_removals(keep_for, max_bytes, report.finished_at);
            }
        }
    }

    /// What the clocks said in the last run that was believed.
    pub(crate) fn last_clock(&mut self) -> Option<Reading> {
        self.state.as_mut().and_then(State::last_clock)
    }

    /// Adds to a report what happened to the memory since the last call. What a policy in it already gives as the reason
    /// for being held is not repeated.
    pub(crate) fn note_in(&mut self, report: &mut Report) -> Vec<(FindingCode, String)> {
        let is_said = |note: &str| report.policies.iter().any(|policy| policy.message.as_deref() == Some(note));
        let memory = self.state.as_mut().map(State::take_notes).unwrap_or_default();
        let memory = memory.into_iter().map(|note| (FindingCode::Memory, note));
        let noted: Vec<_> = self.notes.drain(..).chain(memory).filter(|(_, note)| !is_said(note)).collect();
        report.notes.extend(noted.iter().map(|(_, note)| note.clone()));
        // What the policies say of it already is no note of the run.
        self.promises.take().into_iter().chain(noted).collect()
    }

    /// Has findings say since when the runs of their policies, or all runs, have found the same.
    pub(crate) fn date(&mut self, findings: &mut [Finding]) {
        let before = match self.state.as_mut() {
            Some(state) if !findings.is_empty() => state.last_findings(Runs::All),
            Some(_) | None => return,
        };
        let since: HashMap<_, _> = before.into_iter().map(|it| ((it.code, it.policy), it.since)).collect();
        for finding in findings {
            if let Some(since) = since.get(&(finding.code, finding.policy.clone())) {
                finding.since = *since;
            }
        }
    }

    /// Whether the memory was made just now.
    pub(crate) fn is_new(&self) -> bool {
        self.state.as_ref().is_some_and(State::is_new)
    }

    /// The memory itself, for what asks it directly. An error says why there is none.
    pub(crate) fn state(&mut self) -> Result<&mut State, String> {
        let why = self.missing.clone().unwrap_or_else(|| "the configuration says `[state] url = \"none\"`".to_owned());
        self.state.as_mut().ok_or(why)
    }

    /// What our folders in a policy's root are called, where somebody else has the ordinary name and that is remembered.
    pub(crate) fn own_folders(&self, policy: &FilePolicy) -> &[Vec<u8>] {
        self.own_folders.get(policy.root.as_os_str().as_encoded_bytes()).map_or(&[], Vec::as_slice)
    }

    /// Remembers that.
    pub(crate) fn remember_own_folders(&mut self, policy: &FilePolicy, names: Vec<Vec<u8>>) {
        let root = policy.root.as_os_str().as_encoded_bytes();
        for name in names {
            if self.own_folders(policy).contains(&name) {
                continue;
            }
            if let Some(state) = &mut self.state {
                state.remember_own_folder(root, &name);
            }
            self.own_folders.entry(root.to_owned()).or_default().push(name);
        }
    }

    /// The name by which a policy is remembered.
    pub(crate) fn key(&self, policy: &FilePolicy) -> String {
        let name = &policy.rule.name;
        if self.by_root {
            format!("{name}-{:016x}", fnv(policy.root.as_os_str().as_encoded_bytes()))
        } else {
            name.clone()
        }
    }
}

/// What is said of a run that never ended.
pub(crate) fn told_of_interrupted(run: &BegunRun) -> String {
    let BegunRun { run_id, started_at, policies, .. } = run;
    let policies: Vec<&str> = policies.iter().map(|policy| policy.name.as_str()).collect();
    tell_of_interrupted(run_id, &policies.join(", "), *started_at)
}

/// The same, of a run that the history knows.
pub fn tell_of_interrupted(run_id: &str, policies: &str, started_at: Moment) -> String {
    format!(
        "run {run_id} of {policies} was interrupted: it began at {started_at}, and its process was gone before it \
         ended; what it removed is not known"
    )
}

/// Another sweep of the same policy holds the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Busy;

/// FNV-1a: stable over versions, which the standard library's hashes are not.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
