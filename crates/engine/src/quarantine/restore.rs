//! Undo: bringing back what lies in quarantine.
//!
//! What is to come back is held first, or the next sweep would take it again. Nothing is ever written over: whatever is
//! in the way stays, and what it is in the way of stays in quarantine. The quarantine describes itself, so none of this
//! asks the history.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use cleanup_core::candidate::Name;
use cleanup_core::moment::Moment;
use cleanup_core::policy::{Dispose, FilePolicy};
use cleanup_core::report::{ItemError, PolicyKind, PolicyReport, Tally, Trigger, json_path};
use cleanup_core::sweep::Mode;
use cleanup_fs_store::{Item, Quarantine, Returned, RootError, Store};
use cleanup_state::{BegunPolicy, BegunRun};

use crate::clock;
use crate::engine::Engine;
use crate::place;
use crate::quarantine;
use crate::quarantine::list::{path_of, problem_of, unreadable};
use crate::responses::{RestoreOutcome, Restored, RestoredFile};
use crate::run::record::{Recording, run_id};
use crate::setup::Setup;
use crate::state::run_state::{Access, Busy, RunState, Shared};

/// How many holds are promised with one write.
const TOGETHER: usize = 10_000;

/// What to bring back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Restore {
    /// The files of the newest run that has any in quarantine.
    Last,
    /// Those of the run whose id begins so, in whatever case.
    Run(String),
    /// Files, and folders with everything that lay below them. Of several versions the newest comes back.
    Paths(Vec<PathBuf>),
}

/// What to bring back, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreRequest {
    /// What.
    pub what: Restore,
    /// How long it is kept then, whatever its age; zero is not at all, and the next sweep may take it again.
    pub hold: Duration,
    /// Whether to act.
    pub mode: Mode,
    /// Who asks for it, where that has a name: the report, the audit log and the holds say so.
    pub asked_by: Option<String>,
}

impl RestoreRequest {
    /// How long what comes back is held, when nothing else is asked for.
    pub const HOLD: Duration = Duration::from_hours(7 * 24);
}

/// Why nothing was brought back at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// Nothing lies in quarantine, and nothing ever will.
    #[error(
        "nothing can come back: no policy moves files into quarantine, so what was removed is gone. \
         With `dispose = \"quarantine\"` in a policy, what it removes from then on can be restored"
    )]
    NeverKept,
    /// Nothing lies in quarantine now.
    #[error(
        "nothing can come back: nothing lies in quarantine. Only policies with `dispose = \"quarantine\"` keep what \
         they remove, for their `quarantine_for`"
    )]
    Nothing,
    /// No run in quarantine begins like this.
    #[error("nothing of run {0:?} lies in quarantine; `cleanup quarantine` shows what does")]
    NoSuchRun(String),
    /// Several runs in quarantine begin like this.
    #[error("several runs in quarantine begin with {prefix:?}: {}", candidates.join(", "))]
    AmbiguousRun {
        /// What was asked for.
        prefix: String,
        /// Those that begin so.
        candidates: Vec<String>,
    },
    /// There may be something, but it cannot be looked at.
    #[error("nothing was restored: {0}")]
    Unreadable(String),
    /// A policy is being swept.
    #[error("{0}: a sweep of this policy is running; try again when it has ended")]
    Busy(String),
    /// What comes back could not be held.
    #[error(
        "nothing was restored, because it could not be held, and the next sweep would take it again: {0}. \
         `--hold 0s` restores it all the same"
    )]
    NotHeld(String),
}

impl RestoreError {
    /// That nothing is there is not known where not all could be looked at.
    fn unless(self, problems: &[String]) -> Self {
        match self {
            Self::NeverKept | Self::Nothing | Self::NoSuchRun(_) if !problems.is_empty() => {
                Self::Unreadable(problems.join("; "))
            }
            other => other,
        }
    }
}

/// One policy's root, opened.
struct Place<'a> {
    policy: &'a FilePolicy,
    store: Store<'a>,
}

/// Something that is to come back, and from whose quarantine.
struct Chosen {
    place: usize,
    item: Item,
}

impl Engine {
    /// Brings files back from quarantine, and calls `each` for every one that was asked for.
    pub fn restore(
        &self,
        request: &RestoreRequest,
        each: &mut dyn FnMut(&RestoredFile),
    ) -> Result<Restored, RestoreError> {
        let setup = &self.setup;
        let mut state = setup.state(Access::of(request.mode));
        let mut restored = Restored { dry_run: request.mode == Mode::Plan, ..Restored::default() };
        let places = self.places(&state, &mut restored);
        let mut quarantines = Vec::new();
        for (index, Place { policy, store }) in places.iter().enumerate() {
            match quarantine::open(store, policy) {
                Ok(None) => {}
                Ok(Some(quarantine)) => quarantines.push((index, quarantine)),
                Err(error) => restored.problems.extend(problem_of(policy, &error.to_string())),
            }
        }
        let chosen = self.choose(&request.what, &places, &quarantines, &mut restored);
        let mut chosen = chosen.map_err(|error| error.unless(&restored.problems))?;

        let locked = lock(&mut state, request.mode, &places, &chosen)?;
        let mut back = Counting { setup, recording: None, tallies: BTreeMap::new(), restored, places: &places, each };
        drop_older(&mut chosen, &places, &mut back);
        let quarantine_of = |index: usize| quarantines.iter().find(|(place, _)| *place == index).map(|(_, it)| it);
        chosen.retain(|Chosen { place, item }| {
            let foreseen = quarantine_of(*place).map_or(Returned::Gone, |quarantine| quarantine.could_return(item));
            let can = foreseen == Returned::Restored;
            if !can || request.mode == Mode::Plan {
                back.add(*place, item, foreseen);
            }
            can
        });
        if request.mode == Mode::Plan || chosen.is_empty() {
            return Ok(back.restored);
        }
        let held_until = hold(&mut state, request, &places, &chosen)?;
        let state = Shared::from(state);
        back.recording = Some(Recording::begin(&state, Mode::Apply, begun(request, &places, &chosen)));
        for (place, quarantine) in &quarantines {
            let own: Vec<&Item> = chosen.iter().filter(|it| it.place == *place).map(|it| &it.item).collect();
            quarantine.restore(&own, &mut |item, returned| back.add(*place, item, returned));
        }
        let mut restored = back.end(&state);
        drop(locked);
        restored.held_until = held_until.filter(|_| restored.restored > 0);
        Ok(restored)
    }

    /// The run in quarantine whose id begins so, in whatever case, when there is exactly one.
    pub fn quarantined_run(&self, prefix: &str) -> Option<String> {
        let state = self.setup.state(Access::Look);
        let places = self.places(&state, &mut Restored::default());
        let open = |Place { policy, store }: &Place<'_>| {
            let quarantine = quarantine::open(store, policy).ok().flatten();
            quarantine.map(|quarantine| quarantine.runs().map(str::to_owned).collect::<Vec<_>>()).unwrap_or_default()
        };
        let runs: BTreeSet<String> = places.iter().flat_map(open).filter(|run| begins(run, prefix)).collect();
        if runs.len() == 1 { runs.into_iter().next() } else { None }
    }

    /// The roots of all policies, also of those that are switched off.
    fn places(&self, state: &RunState, restored: &mut Restored) -> Vec<Place<'_>> {
        let mut places = Vec::new();
        for policy in &self.config().files {
            match self.setup.store(policy, state) {
                Ok(store) => places.push(Place { policy, store }),
                Err(RootError::Missing { .. }) => {}
                Err(error) => restored.problems.push(format!("{}: {error}", policy.rule.name)),
            }
        }
        places
    }

    fn choose(
        &self,
        what: &Restore,
        places: &[Place<'_>],
        quarantines: &[(usize, Quarantine<'_>)],
        restored: &mut Restored,
    ) -> Result<Vec<Chosen>, RestoreError> {
        let all: BTreeSet<&str> = quarantines.iter().flat_map(|(_, quarantine)| quarantine.runs()).collect();
        let mut of_run = |run: &str| {
            let mut chosen = Vec::new();
            for (place, quarantine) in quarantines {
                let problems =
                    quarantine.items(&|id| id == run, &mut |item| chosen.push(Chosen { place: *place, item }));
                restored.problems.extend(unreadable(problems));
            }
            chosen
        };
        match what {
            Restore::Last => {
                for run in all.iter().rev() {
                    let chosen = of_run(run);
                    if !chosen.is_empty() {
                        restored.run_id = Some((*run).to_owned());
                        return Ok(chosen);
                    }
                }
                Err(self.nothing())
            }
            Restore::Run(prefix) => {
                let runs: Vec<&str> = all.into_iter().filter(|run| begins(run, prefix)).collect();
                match runs.as_slice() {
                    [] if quarantines.is_empty() => Err(self.nothing()),
                    [] => Err(RestoreError::NoSuchRun(prefix.clone())),
                    [run] => {
                        restored.run_id = Some((*run).to_owned());
                        Ok(of_run(run))
                    }
                    several => Err(RestoreError::AmbiguousRun {
                        prefix: prefix.clone(),
                        candidates: several.iter().map(|run| (*run).to_owned()).collect(),
                    }),
                }
            }
            Restore::Paths(_) if quarantines.is_empty() => Err(self.nothing()),
            Restore::Paths(paths) => Ok(choose_paths(paths, places, quarantines, restored)),
        }
    }

    fn nothing(&self) -> RestoreError {
        let keeps = |policy: &FilePolicy| matches!(policy.dispose, Dispose::Quarantine(_));
        if self.config().files.iter().any(keeps) { RestoreError::Nothing } else { RestoreError::NeverKept }
    }
}

/// Everything that lay at or below one of these paths.
fn choose_paths(
    paths: &[PathBuf],
    places: &[Place<'_>],
    quarantines: &[(usize, Quarantine<'_>)],
    restored: &mut Restored,
) -> Vec<Chosen> {
    let mut found = vec![false; paths.len()];
    let mut chosen = Vec::new();
    for (place, quarantine) in quarantines {
        let root = &places[*place].policy.root;
        let wanted: Vec<(usize, Vec<u8>)> = paths
            .iter()
            .enumerate()
            .filter_map(|(index, path)| Some((index, below(root, path)?.into_os_string().into_encoded_bytes())))
            .collect();
        if wanted.is_empty() {
            continue;
        }
        let problems = quarantine.items(&|_| true, &mut |item| {
            let Some(path) = &item.path else { return };
            let mut is_wanted = false;
            for (index, prefix) in &wanted {
                let rest = path.strip_prefix(prefix.as_slice());
                if rest.is_some_and(|rest| prefix.is_empty() || matches!(rest, [] | [b'/', ..])) {
                    found[*index] = true;
                    is_wanted = true;
                }
            }
            if is_wanted {
                chosen.push(Chosen { place: *place, item });
            }
        });
        restored.problems.extend(unreadable(problems));
    }
    for (path, _) in paths.iter().zip(found).filter(|(_, found)| !found) {
        restored.not_found.push(json_path(path.as_os_str().as_encoded_bytes()).0);
    }
    chosen
}

/// The path below the root; the root itself is the empty one.
fn below(root: &Path, path: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(path).ok()?;
    let is_root = absolute == root
        || absolute.canonicalize().is_ok_and(|path| root.canonicalize().is_ok_and(|root| root == path));
    if is_root { Some(PathBuf::new()) } else { place::below(root, &absolute) }
}

/// Leaves the newest version of each path, and tells of the others. What is left lies in the order of runs.
fn drop_older(chosen: &mut Vec<Chosen>, places: &[Place<'_>], back: &mut Counting<'_>) {
    chosen.sort_by(|a, b| {
        (Reverse(a.item.at), Reverse(a.item.number)).cmp(&(Reverse(b.item.at), Reverse(b.item.number)))
    });
    let mut known = HashSet::new();
    chosen.retain(|Chosen { place, item }| {
        let is_newest =
            item.path.as_ref().is_none_or(|path| known.insert((places[*place].policy.root.clone(), path.clone())));
        if !is_newest {
            back.older(*place, item);
        }
        is_newest
    });
    chosen.sort_by(|a, b| {
        (&a.item.run, &a.item.policy, a.item.number).cmp(&(&b.item.run, &b.item.policy, b.item.number))
    });
}

/// Keeps sweeps of all policies away that something is brought back for.
fn lock(
    state: &mut RunState,
    mode: Mode,
    places: &[Place<'_>],
    chosen: &[Chosen],
) -> Result<Vec<Option<cleanup_state::Lock>>, RestoreError> {
    if mode == Mode::Plan {
        return Ok(Vec::new());
    }
    let concerned: BTreeSet<usize> = chosen.iter().map(|chosen| chosen.place).collect();
    let lock = |index: usize| {
        let policy = places[index].policy;
        state.lock(policy).map_err(|Busy| RestoreError::Busy(policy.rule.name.clone()))
    };
    concerned.into_iter().map(lock).collect()
}

/// Promises that what comes back is kept. Returns until when.
fn hold(
    state: &mut RunState,
    RestoreRequest { hold: span, asked_by, .. }: &RestoreRequest,
    places: &[Place<'_>],
    chosen: &[Chosen],
) -> Result<Option<Moment>, RestoreError> {
    if span.is_zero() || chosen.is_empty() {
        return Ok(None);
    }
    let now = clock::now();
    let until = now.plus(*span);
    let roots: Vec<PathBuf> = places
        .iter()
        .map(|Place { policy, .. }| place::really(&policy.root).unwrap_or_else(|_| policy.root.clone()))
        .collect();
    let promises = state.promises().map_err(RestoreError::NotHeld)?;
    let why = "the configuration says `[state] url = \"none\"`";
    let promises = promises.ok_or_else(|| RestoreError::NotHeld(why.to_owned()))?;
    for some in chosen.chunks(TOGETHER) {
        let absolute = |Chosen { place, item }: &Chosen| {
            let path = place::path_of(item.path.as_deref()?);
            Some(roots[*place].join(path).into_os_string().into_encoded_bytes())
        };
        let paths: Vec<Vec<u8>> = some.iter().filter_map(absolute).collect();
        let held = promises.hold_all(&paths, until, asked_by.as_deref(), now);
        held.map_err(|error| RestoreError::NotHeld(error.to_string()))?;
    }
    Ok(Some(until))
}

/// A restore as it is named when it begins.
fn begun(request: &RestoreRequest, places: &[Place<'_>], chosen: &[Chosen]) -> BegunRun {
    let concerned: BTreeSet<usize> = chosen.iter().map(|chosen| chosen.place).collect();
    let policy = |place: usize| BegunPolicy { name: places[place].policy.rule.name.clone(), kind: PolicyKind::Files };
    let policies = concerned.into_iter().map(policy).collect();
    BegunRun {
        run_id: run_id(),
        trigger: Trigger::Restore,
        asked_by: request.asked_by.clone(),
        started_at: clock::now(),
        policies,
    }
}

/// Counts what came of it, tells of each, and leaves the traces.
struct Counting<'a> {
    setup: &'a Setup,
    /// From when on anything is done.
    recording: Option<Recording>,
    /// What came back, or could not, by place.
    tallies: BTreeMap<usize, Tally>,
    restored: Restored,
    places: &'a [Place<'a>],
    each: &'a mut dyn FnMut(&RestoredFile),
}

impl Counting<'_> {
    fn add(&mut self, place: usize, item: &Item, returned: Returned) {
        let tally = self.tallies.entry(place).or_default();
        let (outcome, error) = match returned {
            Returned::Restored => {
                tally.counts.restored += 1;
                tally.counts.restored_bytes += item.bytes;
                self.restored.restored += 1;
                self.restored.restored_bytes += item.bytes;
                if let Some(recording) = &self.recording {
                    let policy = self.places[place].policy;
                    self.setup.trail.restored(recording.traced(), policy, &path_of(item), item.bytes);
                }
                (RestoreOutcome::Restored, None)
            }
            Returned::Gone => (RestoreOutcome::Failed, Some("it is no longer in quarantine".to_owned())),
            Returned::Conflict(conflict) => (RestoreOutcome::Conflict, Some(conflict.to_string())),
            Returned::Failed(error) => (RestoreOutcome::Failed, Some(error)),
        };
        if let Some(error) = &error {
            tally.failed(ItemError::new(Name { folder: b"", last: &path_of(item) }, error.clone()));
        }
        self.restored.failed += u64::from(outcome != RestoreOutcome::Restored);
        self.tell(place, item, outcome, error);
    }

    /// Leaves the restore in the history.
    fn end(self, state: &Shared) -> Restored {
        let Self { setup, recording, tallies, mut restored, places, .. } = self;
        let Some(recording) = recording else { return restored };
        let report = |(place, tally): (usize, Tally)| {
            let report = PolicyReport::finished(&places[place].policy.rule.name, PolicyKind::Files, tally);
            recording.policy_ended(setup, &report);
            PolicyReport { in_part: true, ..report }
        };
        let reports = tallies.into_iter().map(report).collect();
        restored.restore_run_id = Some(recording.id().to_owned());
        // Who brings a few files back witnesses nothing about the clock.
        let report = recording.end(setup, state, reports, Vec::new(), false);
        restored.notes.clone_from(&report.notes);
        restored.report = Some(Box::new(report));
        restored
    }

    fn older(&mut self, place: usize, item: &Item) {
        self.restored.older += 1;
        self.tell(place, item, RestoreOutcome::Older, None);
    }

    fn tell(&mut self, place: usize, item: &Item, outcome: RestoreOutcome, error: Option<String>) {
        let (path, path_bytes) = json_path(&path_of(item));
        (self.each)(&RestoredFile {
            policy: self.places[place].policy.rule.name.clone(),
            run_id: item.run.clone(),
            path,
            path_bytes,
            bytes: item.bytes,
            quarantined_at: item.at,
            outcome,
            error,
        });
    }
}

fn begins(run: &str, prefix: &str) -> bool {
    run.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}
