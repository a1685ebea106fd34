//! What one run remembers of the runs before it, and leaves behind for the next one.
//!
//! RunState is a help, never a condition: where it cannot be had, files and rows are swept all the same, and the report
//! says that nothing is remembered. The one exception are promises: where there are some that cannot be read, the
//! files that they may concern stay.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cleanup_core::brake::{FewerReferences, Suspicions};
use cleanup_core::config::Config;
use cleanup_core::guard::{self, Jump, Reading, RunningTime};
use cleanup_core::hold::Holds;
use cleanup_core::moment::Moment;
use cleanup_core::owner::Claimant;
use cleanup_core::policy::{Changes, Effect, FilePolicy, Fingerprint, MaxAge, SessionPolicy};
use cleanup_core::reference::Referenced;
use cleanup_core::registration::{Registration, Registrations};
use cleanup_core::report::Report;
use cleanup_core::sweep::Mode;
use cleanup_fs_store::Roots;
use cleanup_state::{
    About, BegunRun, IndexWriter, Lock, LockError, Observation, PolicyMemory, Promises, Remembered, RunMark, State,
    StateError, TrackedChange,
};

use super::location::{Place, own_files, placed};
use crate::clock;
use crate::config_file::Origin;
use crate::place;

/// For so long it is believed where the roots of all policies are. Roots are asked for by every policy of a run, and
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

/// How long what the last run of a policy has left behind is not read again.
const FRESH: Duration = Duration::from_mins(1);

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
    config: Arc<Config>,
    /// The built-in default means another root in every folder; its policies are remembered by root.
    by_root: bool,
    pub(super) state: Option<State>,
    /// Why nothing is remembered, unless that is what the configuration asks for.
    missing: Option<String>,
    /// Why promises that may have been made cannot be known.
    unreadable: Option<String>,
    /// The files and the folder that it is kept in.
    own: Vec<PathBuf>,
    reading: Reading,
    notes: Vec<String>,
    /// Whether promises that are lost hold nothing back.
    accepts_loss: bool,
    /// Where the roots of all policies were, and when.
    roots: Mutex<Option<(Duration, Arc<Roots>)>>,
    /// What the last runs have left behind, by policy, and when that was read.
    known: HashMap<String, (Duration, Option<PolicyMemory>)>,
}

impl RunState {
    /// Opens the memory that belongs to a configuration.
    pub(crate) fn open(origin: &Origin, config: &Arc<Config>, access: Access) -> Self {
        let by_root = *origin == Origin::BuiltIn;
        let (reading, notes) = (clock::reading(), Vec::new());
        let own = Vec::new();
        let config = Arc::clone(config);
        let placed = placed(origin, &config.state);
        let mut opened = Self {
            config,
            by_root,
            state: None,
            missing: None,
            unreadable: None,
            own,
            reading,
            notes,
            accepts_loss: false,
            roots: Mutex::default(),
            known: HashMap::new(),
        };
        match placed {
            Place::Nowhere => {}
            Place::Unknown => {
                opened.missing = Some("nothing is remembered: there is no home folder to keep it in".to_owned());
            }
            Place::At { folder, database } => {
                opened.own = own_files(&folder, database.as_deref());
                opened.open_at(&folder, database.as_deref(), access);
            }
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

    /// What holds it, whether or not it could be opened: these files are never candidates, this folder is never
    /// entered, wherever they lie.
    pub(crate) fn own(&self) -> &[PathBuf] {
        &self.own
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
            Some(last) => guard::check(&last, &self.reading),
            None => Ok(()),
        }
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
                self.notes.push(format!("{} is swept without a lock: {error}", policy.rule.name));
                Ok(None)
            }
        }
    }

    /// A person has looked (`--force`), so promises that are lost hold nothing back any more. Damaged ones still do: those
    /// can be read again once somebody has mended the file.
    pub(crate) fn accept_lost_promises(&mut self, access: Access) {
        self.accepts_loss = true;
        let Some(state) = self.state.as_mut().filter(|_| access == Access::Run) else { return };
        // One that cannot be read holds the policies back, and says why there.
        let Ok(promises) = state.promises() else { return };
        if promises.lost().is_some()
            && let Err(error) = promises.accept_loss()
        {
            self.notes.push(format!("the loss of promises is accepted for this run alone: {error}"));
        }
    }

    /// What is held below a root. An error says why the promises cannot be trusted.
    pub(crate) fn holds(&mut self, root: &Path, now: Moment) -> Result<Holds, String> {
        if let Some(why) = &self.unreadable {
            return Err(why.clone());
        }
        let mut holds = Holds::default();
        let Some(state) = &mut self.state else { return Ok(holds) };
        let promises = state.promises().map_err(|error| error.to_string())?;
        if let Some(lost) = promises.lost().filter(|_| !self.accepts_loss) {
            return Err(lost.to_string());
        }
        let mut held = promises.holds(now).peekable();
        // To find out where a root really is takes a call for each part of its path: only where something is held.
        let roots = if held.peek().is_some() { place::spellings(root) } else { Vec::new() };
        for hold in held {
            // Every reading of either path counts: a hold too many keeps a file, one too few loses it.
            for path in place::spellings(&place::path_of(&hold.path)) {
                for root in &roots {
                    if root.starts_with(&path) {
                        holds.add(Vec::new(), hold.until);
                    } else if let Ok(below) = path.strip_prefix(root) {
                        holds.add(below.as_os_str().as_encoded_bytes().to_owned(), hold.until);
                    }
                }
            }
        }
        Ok(holds)
    }

    /// What counts from its registration below a root. Promises that cannot be read are [`RunState::holds`]'s to report.
    pub(crate) fn registrations(&mut self, policy: &FilePolicy) -> Registrations {
        let key = self.key(policy);
        let Some(state) = &mut self.state else { return Registrations::default() };
        let tracked = if policy.track { state.tracked(&key) } else { Vec::new() };
        let mut all: Registrations =
            tracked.into_iter().map(|(path, at)| (path, Registration { at, ttl: None })).collect();
        for (path, registration) in ttls_below(state, &policy.root) {
            all.add(path, registration);
        }
        all
    }

    /// Adds the times that were given to some files of a policy, by whichever policy. An error says why they are unknown.
    pub(crate) fn add_ttls(
        &mut self,
        policy: &FilePolicy,
        paths: &[&[u8]],
        registrations: &mut Registrations,
    ) -> Result<(), String> {
        let Some(state) = &mut self.state else { return Ok(()) };
        let promises = state.promises().map_err(|error| error.to_string())?;
        if promises.ttls().next().is_none() {
            return Ok(());
        }
        for root in place::spellings(&policy.root) {
            for path in paths {
                let absolute = root.join(place::path_of(path)).into_os_string().into_encoded_bytes();
                if let Some(registration) = promises.ttl(&absolute).and_then(registration_of) {
                    registrations.add(path.to_vec(), registration);
                }
            }
        }
        Ok(())
    }

    /// What was changed in the rule of a policy since its last run; `None` when nothing was, or when it never ran.
    pub(crate) fn changes(&mut self, policy: &FilePolicy) -> Option<Changes> {
        let before = self.before(policy)?;
        self.fingerprint(policy).changes_since(&before.deciding)
    }

    /// The same of a policy for rows.
    pub(crate) fn row_changes(&mut self, policy: &SessionPolicy) -> Option<Changes> {
        let before = self.state.as_mut()?.policy_memory(&row_key(policy))?;
        policy.fingerprint().changes_since(&before.deciding)
    }

    /// Leaves behind the rule of a policy for rows, for the next run.
    pub(crate) fn remember_rows(&mut self, policy: &SessionPolicy) {
        let (key, deciding) = (row_key(policy), policy.fingerprint().to_string());
        let Some(state) = self.state.as_mut() else { return };
        if state.policy_memory(&key).is_some_and(|before| before.deciding == deciding) {
            return;
        }
        let memory = PolicyMemory {
            deciding,
            root: String::new(),
            file_system: None,
            boot_id: String::new(),
            mount_namespace: None,
            referenced: None,
            foreseen: None,
        };
        state.remember_policy(&key, &memory);
    }

    /// Whether the query of `keep_referenced` answered far fewer names than in the last complete run, or none.
    pub(crate) fn fewer_references(&mut self, policy: &FilePolicy, referenced: &Referenced) -> Option<FewerReferences> {
        policy.references.as_ref()?;
        let before = self.before(policy).and_then(|before| before.referenced);
        FewerReferences::of(before, referenced.distinct())
    }

    /// What is known of a policy whose root is missing: whether an earlier run has seen this root.
    pub(crate) fn has_seen_root(&mut self, policy: &FilePolicy) -> bool {
        self.before(policy).is_some_and(|before| before.root == policy.root.to_string_lossy())
    }

    /// Whether the root lies on another file system than in the last run, as far as that can be compared: within one
    /// boot and one mount namespace.
    pub(crate) fn is_elsewhere(&mut self, policy: &FilePolicy, file_system: Option<&str>) -> bool {
        let Some(before) = self.before(policy) else { return false };
        let comparable = before.boot_id == self.reading.boot_id
            && !before.boot_id.is_empty()
            && before.root == policy.root.to_string_lossy()
            && before.mount_namespace.is_some()
            && before.mount_namespace == clock::mount_namespace();
        let (before, now) = (before.file_system.as_deref(), file_system);
        comparable && before.is_some() && now.is_some() && before != now
    }

    /// Leaves behind what the next run of the policy compares with; `foreseen` is how much an observing run would have
    /// taken.
    pub(crate) fn remember(
        &mut self,
        policy: &FilePolicy,
        file_system: Option<String>,
        answered: Answered,
        foreseen: Option<u64>,
    ) {
        let before = self.before(policy);
        let known = before.as_ref().and_then(|before| before.referenced);
        let referenced = match answered {
            _ if policy.references.is_none() => None,
            Answered::ByAll(referenced) => Some(referenced),
            Answered::ForSome(referenced) => known.max(Some(referenced)),
            Answered::Unasked => known,
        };
        let memory = PolicyMemory {
            deciding: self.fingerprint(policy).to_string(),
            root: policy.root.to_string_lossy().into_owned(),
            file_system,
            boot_id: self.reading.boot_id.clone(),
            mount_namespace: clock::mount_namespace(),
            referenced,
            foreseen,
        };
        let key = self.key(policy);
        if let Some(state) = self.state.as_mut().filter(|_| before.as_ref() != Some(&memory)) {
            state.remember_policy(&key, &memory);
            self.known.remove(&key);
        }
    }

    /// What makes a run look at how much goes before it takes anything.
    pub(crate) fn suspicions(&mut self, policy: &FilePolicy, referenced: Option<&Referenced>) -> Suspicions {
        Suspicions {
            changes: self.changes(policy),
            references: referenced.and_then(|referenced| self.fewer_references(policy, referenced)),
            clock_is_lost: self.is_without_clock(),
            foreseen: self
                .before(policy)
                .and_then(|before| before.foreseen)
                .filter(|_| policy.effect == Effect::Enforce),
        }
    }

    /// Reads anew what the last run of a policy has left behind.
    pub(crate) fn ask_anew(&mut self, policy: &FilePolicy) {
        let key = self.key(policy);
        self.known.remove(&key);
    }

    /// What the last run of a policy has left behind.
    fn before(&mut self, policy: &FilePolicy) -> Option<PolicyMemory> {
        let (key, now) = (self.key(policy), clock::boot());
        match self.known.get(&key) {
            Some((at, before)) if now < *at + FRESH => before.clone(),
            _ => {
                let before = self.state.as_mut()?.policy_memory(&key);
                self.known.insert(key, (now, before.clone()));
                before
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
            self.notes.push(told_of_interrupted(&interrupted));
        }
        self.state.as_ref().filter(|_| self.missing.is_none())?.begin_run(run)
    }

    /// Takes runs into the history that began before and never ended, and says which.
    pub(crate) fn record_interrupted(&mut self) -> Vec<BegunRun> {
        let (keep, now) = (self.config.keep_history, self.now());
        let Some(state) = self.state.as_mut().filter(|_| self.missing.is_none()) else { return Vec::new() };
        state.record_interrupted(&self.reading, keep, now)
    }

    /// What befell the memory since this was last asked, for whoever keeps it open between runs.
    pub(crate) fn take_notes(&mut self) -> Vec<String> {
        let mut notes = std::mem::take(&mut self.notes);
        notes.extend(self.state.as_mut().map(State::take_notes).unwrap_or_default());
        notes
    }

    /// Why nothing is remembered, unless that is what the configuration asks for.
    pub(crate) fn missing(&self) -> Option<&str> {
        self.missing.as_deref()
    }

    /// Has the report say something about memory.
    pub(crate) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Writes the run into the history.
    fn record(&mut self, report: &Report, clock_trusted: bool) {
        let keep: Duration = self.config.keep_history;
        if let Some(state) = self.state.as_mut().filter(|_| self.missing.is_none()) {
            state.record_run(report, &self.reading, clock_trusted, keep, report.finished_at);
        }
    }

    /// What the clocks said in the last run that was believed.
    pub(crate) fn last_clock(&mut self) -> Option<Reading> {
        self.state.as_mut().and_then(State::last_clock)
    }

    /// The promises, to be added to; `None` when the configuration wants no memory. An error says why none can be made.
    pub(crate) fn promises(&mut self) -> Result<Option<&mut Promises>, String> {
        match (&mut self.state, &self.missing) {
            (None, None) => Ok(None),
            (_, Some(missing)) => Err(missing.clone()),
            (Some(state), None) => state.promises().map(Some).map_err(|error| error.to_string()),
        }
    }

    /// Takes back the times of files, where they had any. Without promises there is nothing to take back.
    pub(crate) fn forget_ttls(&mut self, paths: &[&[u8]], now: Moment) -> Result<(), String> {
        let Some(state) = &mut self.state else { return Ok(()) };
        let forgotten = state.promises().and_then(|promises| promises.forget_ttls(paths, now));
        forgotten.map_err(|error| error.to_string())
    }

    /// Takes back the times that were given to files, as far as they have not been given others since.
    pub(crate) fn forget_ttls_given(&mut self, given: &[(Vec<u8>, Registration)], now: Moment) -> Result<(), String> {
        let Some(state) = &mut self.state else { return Ok(()) };
        let promises = state.promises().map_err(|error| error.to_string())?;
        let is_same = |path: &[u8], given: &Registration| promises.ttl(path).is_some_and(|ttl| ttl.made_at == given.at);
        let same = given.iter().filter(|(path, given)| is_same(path, given));
        let paths: Vec<&[u8]> = same.map(|(path, _)| path.as_slice()).collect();
        promises.forget_ttls(&paths, now).map_err(|error| error.to_string())
    }

    /// Remembers since when tracked files count. Says whether that succeeded, or is not wanted.
    pub(crate) fn remember_tracked(&mut self, changes: &[TrackedChange]) -> bool {
        match &mut self.state {
            None => self.missing.is_none(),
            Some(state) => state.remember_tracked(changes),
        }
    }

    /// Writes the run into the history, and what befell the memory into the report: what is known by now before that, so
    /// that it stands in the history too.
    pub(crate) fn finish(&mut self, report: &mut Report, clock_trusted: bool, access: Access) {
        let notes = self.take_notes();
        add_notes(report, notes);
        if access == Access::Run {
            self.record(report, clock_trusted);
        }
        let notes = self.take_notes();
        add_notes(report, notes);
        report.new_memory = access == Access::Run && self.state.as_ref().is_some_and(State::is_new);
        report.not_remembered = self.missing.clone();
    }

    /// The memory itself, for what asks it directly. An error says why there is none.
    pub(crate) fn state(&mut self) -> Result<&mut State, String> {
        let why = self.missing.clone().unwrap_or_else(|| "the configuration says `[state] url = \"none\"`".to_owned());
        self.state.as_mut().ok_or(why)
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

    /// The rule as the configuration has it: what somebody wants to be different for one run is meant.
    pub(super) fn fingerprint(&self, policy: &FilePolicy) -> Fingerprint {
        let configured = self.config.files.iter().find(|configured| configured.rule.name == policy.rule.name);
        configured.unwrap_or(policy).fingerprint(&self.config.files)
    }
}

/// The name by which a policy for rows is remembered: no policy for files can be called so.
fn row_key(policy: &SessionPolicy) -> String {
    format!("sessions/{}", policy.rule.name)
}

/// Why a policy is held back is said there, and not once more.
fn add_notes(report: &mut Report, notes: Vec<String>) {
    let is_said = |note: &String| report.policies.iter().any(|policy| policy.message.as_ref() == Some(note));
    let notes: Vec<String> = notes.into_iter().filter(|note| !is_said(note)).collect();
    report.notes.extend(notes);
}

/// What is said of a run that never ended.
pub(crate) fn told_of_interrupted(run: &BegunRun) -> String {
    let BegunRun { run_id, started_at, policies, .. } = run;
    let policies: Vec<&str> = policies.iter().map(|policy| policy.name.as_str()).collect();
    format!(
        "run {run_id} of {} was interrupted: it began at {started_at}, and its process was gone before it ended; \
         what it removed is not known",
        policies.join(", ")
    )
}

/// The times that were given to files below a root, by path below it.
fn ttls_below(state: &mut State, root: &Path) -> Vec<(Vec<u8>, Registration)> {
    let Ok(promises) = state.promises() else { return Vec::new() };
    if promises.ttls().next().is_none() {
        return Vec::new();
    }
    let roots: Vec<Vec<u8>> =
        place::spellings(root).into_iter().map(|root| root.into_os_string().into_encoded_bytes()).collect();
    let below = |ttl: &cleanup_state::Ttl| {
        let path = roots.iter().find_map(|root| ttl.path.strip_prefix(root.as_slice())?.strip_prefix(b"/"))?;
        Some((path.to_owned(), registration_of(ttl)?))
    };
    promises.ttls().filter_map(below).collect()
}

fn registration_of(ttl: &cleanup_state::Ttl) -> Option<Registration> {
    let span = MaxAge::new(ttl.until.since(ttl.made_at)?)?;
    Some(Registration { at: ttl.made_at, ttl: Some(span) })
}

/// Another sweep of the same policy holds the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Busy;

/// FNV-1a: stable over versions, which the standard library's hashes are not.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
