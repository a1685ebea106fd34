//! `min_free`: file systems that run full, and the policies that share one.
//!
//! Of all policies of one run on one file system, the oldest files go first, whichever policy they belong to. So the
//! search for the cut goes through all of them before the first is swept. A policy that only observes gives nothing, and
//! is ranked by itself.

use std::collections::HashMap;

use cleanup_core::brake;
use cleanup_core::judge::Run;
use cleanup_core::moment::Moment;
use cleanup_core::policy::{Effect, FilePolicy, Limits, MinFree};
use cleanup_core::rank::{self, Cutoffs, Share, Shortage, Source, Stopped};
use cleanup_core::report::{PolicyReport, Tally};
use cleanup_core::sweep::{Mode, Observer};
use cleanup_fs_store::Store;

use crate::quarantine;
use crate::run::gates::{self, Passed};
use crate::run::limits::ranked;
use crate::run::params::RunParams;
use crate::run::scope::Scope;
use crate::setup::Setup;
use crate::state::run_state::Shared;
use crate::track::table::locked;

/// What ranking came to for the policies that are short of space, by name.
#[derive(Debug, Default)]
pub(crate) struct SharedCutoffs(HashMap<String, Cutoffs>);

impl SharedCutoffs {
    /// All that ranking came to for a policy; `None` when it is short of nothing, and is ranked by itself.
    pub(crate) fn of(&self, policy: &str) -> Option<Cutoffs> {
        self.0.get(policy).cloned()
    }
}

/// What was deleted for good from quarantine because space was short, by policy.
#[derive(Debug, Default)]
pub(crate) struct PurgedForSpace(HashMap<String, Tally>);

impl PurgedForSpace {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.values().all(|tally| tally.counts.purged == 0)
    }

    pub(crate) fn add(&mut self, other: Self) {
        for (policy, tally) in other.0 {
            self.0.entry(policy).or_default().add(tally);
        }
    }

    /// Counts it in a policy's report, once.
    pub(crate) fn tell(&mut self, report: &mut PolicyReport) {
        let Some(Tally { counts, errors, errors_total, .. }) = self.0.remove(&report.name) else { return };
        report.counts += counts;
        report.errors.extend(errors);
        report.errors_total += errors_total;
    }
}

/// A policy that is short of space.
struct Member<'a> {
    policy: &'a FilePolicy,
    store: Store<'a>,
    run: Run,
    shortage: Shortage,
    weight: f64,
    /// Members of one group share a file system.
    group: Group,
}

impl Member<'_> {
    /// What it gives while so much is short: nothing once its own shortage is over.
    fn source(&self, kind: fn(Shortage) -> Shortage, level: Shortage) -> Source<'_> {
        let share = if kind(self.shortage) >= level { Share::Weighted(self.weight) } else { Share::Nothing };
        Source { store: &self.store, policy: &self.policy.rule, run: &self.run, share }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Group {
    FileSystem((u32, u32)),
    Observing(String),
}

/// Ranks those of these policies that are short of space, together with those that they share it with.
pub(crate) fn shared_cutoffs<'a>(
    setup: &Setup,
    state: &Shared,
    policies: impl Iterator<Item = &'a FilePolicy>,
    now: Moment,
    observer: &dyn Observer,
) -> Result<SharedCutoffs, Stopped> {
    let mut members = Vec::new();
    for policy in policies.filter(|policy| policy.enabled) {
        if let Some(member) = member(setup, state, policy, now, observer)? {
            members.push(member);
        }
    }
    let mut groups: Vec<Group> = Vec::new();
    for Member { group, .. } in &members {
        if !groups.contains(group) {
            groups.push(group.clone());
        }
    }
    for group in groups {
        share(members.iter_mut().filter(|member| member.group == group).collect(), observer)?;
    }
    let named = members.into_iter().map(|member| (member.policy.rule.name.clone(), member.run.cutoffs));
    Ok(SharedCutoffs(named.collect()))
}

/// Deletes for good what policies that are short of space have in quarantine, the oldest first, until they are not or
/// nothing is left: it goes before anything that is still in its place. `shared` is what the policies would have to give
/// without that: what holds their runs back keeps their quarantine, too.
pub(crate) fn purge(
    setup: &Setup,
    state: &Shared,
    policies: &[FilePolicy],
    shared: &SharedCutoffs,
    params: &RunParams<'_>,
) -> PurgedForSpace {
    let mut all = PurgedForSpace::default();
    if params.mode == Mode::Plan || params.doubt_of_clock().is_some() {
        return all;
    }
    let gives = |policy: &&FilePolicy| policy.effect == Effect::Enforce && policy.limits.min_free.is_some();
    for policy in policies.iter().filter(gives) {
        let store = setup.store(policy, &state.lock());
        let Some(shortage) = store.as_ref().ok().and_then(|store| shortage(store, policy)) else { continue };
        // What keeps a sweep away keeps this away: its run will say why.
        let Ok(passed) = gates::pass(setup, state, policy, store, &Scope::All, params) else { continue };
        let Passed { store, run, .. } = &passed;
        let run = Run { cutoffs: shared.of(&policy.rule.name).unwrap_or_default(), ..run.clone() };
        if gates::weigh(state, policy, store, &run, &mut Scope::All, params).is_err() {
            continue;
        }
        let purged = quarantine::purge_for_space(store, policy, shortage.bytes);
        all.0.entry(policy.rule.name.clone()).or_default().add(purged);
    }
    all
}

/// Whether any policy can lack space between two runs.
pub(crate) fn can_be_short(setup: &Setup) -> bool {
    let can = |policy: &FilePolicy| {
        let Limits { max_files, max_total_size, min_free, keep_newest: _ } = &policy.limits;
        min_free.is_some() || (policy.track && (max_files.is_some() || max_total_size.is_some()))
    };
    setup.config.files.iter().any(|policy| policy.enabled && policy.effect == Effect::Enforce && can(policy))
}

/// The policies that exceed a limit since the last sweep: `min_free`, or a limit on tracked files. Reads no files.
pub(crate) fn short(setup: &Setup) -> Vec<String> {
    let is_short = |policy: &&FilePolicy| {
        policy.enabled && policy.effect == Effect::Enforce && (lacks_space(policy) || is_overfull(setup, policy))
    };
    setup.config.files.iter().filter(is_short).map(|policy| policy.rule.name.clone()).collect()
}

/// As far as the table of tracked files knows; it counts each name of a file.
fn is_overfull(setup: &Setup, policy: &FilePolicy) -> bool {
    let Some(table) = setup.tables.get(policy) else { return false };
    let table = locked(&table.table);
    let is_over = |is: u64, most: Option<u64>| most.is_some_and(|most| is > most);
    is_over(table.len() as u64, policy.limits.max_files) || is_over(table.bytes(), policy.limits.max_total_size)
}

/// `None` for a policy that is short of nothing, or cannot be looked at: its own run will say why.
fn member<'a>(
    setup: &Setup,
    state: &Shared,
    policy: &'a FilePolicy,
    now: Moment,
    observer: &dyn Observer,
) -> Result<Option<Member<'a>>, Stopped> {
    let Some(MinFree { weight, .. }) = policy.limits.min_free else { return Ok(None) };
    let Ok(store) = setup.store(policy, &state.lock()).and_then(gates::recording) else { return Ok(None) };
    let Some(shortage) = shortage(&store, policy) else { return Ok(None) };
    let Ok(run) = gates::facts(setup, state, policy, &Scope::All, now) else { return Ok(None) };
    let run = ranked(&store, policy, run, observer)?;
    let group = match policy.effect {
        Effect::Enforce => Group::FileSystem(store.root_id().device()),
        Effect::Observe => Group::Observing(policy.rule.name.clone()),
    };
    Ok(Some(Member { policy, store, run, shortage, weight, group }))
}

/// Whether less is free than its low marks ask for.
fn lacks_space(policy: &FilePolicy) -> bool {
    let Some(min_free) = &policy.limits.min_free else { return false };
    let space = Store::open(policy, Vec::new()).ok().and_then(|store| store.space().ok());
    space.is_some_and(|space| !Shortage::of(min_free, &space).is_none())
}

/// What a policy is short of on its file system; `None` when that is nothing, or more than can be had: its own run will
/// say so.
fn shortage(store: &Store<'_>, policy: &FilePolicy) -> Option<Shortage> {
    let min_free = policy.limits.min_free.as_ref()?;
    let space = store.space().inspect_err(|why| {
        tracing::warn!(policy = policy.rule.name, "cannot determine the free space: {why}");
    });
    let space = space.ok().filter(|space| brake::reachable(min_free, space).is_ok())?;
    Some(Shortage::of(min_free, &space)).filter(|shortage| !shortage.is_none())
}

/// Adds to the cutoffs of all members what their shortage comes to. Where their high marks differ, those who want less
/// stop giving earlier.
fn share(mut members: Vec<&mut Member<'_>>, observer: &dyn Observer) -> Result<(), Stopped> {
    for kind in [bytes_alone, inodes_alone] {
        let mut levels: Vec<Shortage> = members.iter().map(|member| kind(member.shortage)).collect();
        levels.sort_unstable();
        levels.dedup();
        for level in levels.into_iter().filter(|level| !level.is_none()) {
            let cuts = {
                let sources: Vec<Source<'_>> = members.iter().map(|member| member.source(kind, level)).collect();
                rank::space(&sources, level, observer)?
            };
            for (member, cuts) in members.iter_mut().zip(cuts) {
                member.run.cutoffs.over.extend(cuts);
            }
        }
    }
    Ok(())
}

fn bytes_alone(shortage: Shortage) -> Shortage {
    Shortage { inodes: 0, ..shortage }
}

fn inodes_alone(shortage: Shortage) -> Shortage {
    Shortage { bytes: 0, ..shortage }
}
