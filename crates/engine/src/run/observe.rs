//! Observing runs: what a policy would do, and the first few files of a plan that is held back.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use cleanup_core::candidate::{Candidate, Class};
use cleanup_core::judge::Run;
use cleanup_core::policy::FilePolicy;
use cleanup_core::report::{MAX_PLANNED, Observed, Planned, Tally, json_path};
use cleanup_core::sweep::{Judged, Mode, Observer, sweep};
use cleanup_fs_store::Store;
use cleanup_state::Observation;

use crate::state::run_state::Shared;

/// What is known of the previous run.
pub(super) enum Past {
    /// Nothing is remembered, or nothing was observed.
    Unknown,
    /// What became of what it foresaw; no numbers where there was none.
    Compared(Option<Observed>),
}

/// Does everything but remove, and says what became of what the last run foresaw: nothing where there is no memory, and
/// no numbers where there was no such run.
pub(super) fn observe(
    store: &Store<'_>,
    policy: &FilePolicy,
    run: &Run,
    state: &Shared,
    observer: &dyn Observer,
) -> (Tally, Past) {
    let mut state = state.lock();
    let Some(observation) = state.observe(policy) else {
        return (sweep(store, &policy.rule, run, Mode::Plan, observer), Past::Unknown);
    };
    let noting = Noting { observation: Mutex::new(observation), observer };
    let tally = sweep(store, &policy.rule, run, Mode::Plan, &noting);
    let last = noting.observation.into_inner().unwrap_or_else(PoisonError::into_inner).finish();
    (tally, Past::Compared(last.map(in_report)))
}

fn in_report(observed: cleanup_state::Observed) -> Observed {
    let shown = |paths: Vec<Vec<u8>>| paths.iter().map(|path| json_path(path).0).collect();
    Observed {
        gone_as_predicted: observed.gone_as_predicted.count,
        still_there: observed.still_there.count,
        gone_but_kept: observed.gone_but_kept.count,
        examples_still_there: shown(observed.still_there.first),
        examples_gone_but_kept: shown(observed.gone_but_kept.first),
    }
}

/// Keeps the first things that would go, by path: which worker comes first is chance.
#[derive(Default)]
pub(super) struct FirstDue(Mutex<BTreeMap<Vec<u8>, String>>);

impl FirstDue {
    pub(super) fn into_plan(self) -> Vec<Planned> {
        let planned = |(path, reason): (Vec<u8>, String)| {
            let (path, path_bytes) = json_path(&path);
            Planned { path, path_bytes, reason }
        };
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().map(planned).collect()
    }
}

impl Observer for FirstDue {
    fn judged(&self, judged: &Judged<'_>) {
        if !judged.verdict.is_due() {
            return;
        }
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let name = judged.candidate.name;
        let is_late = |(last, _): (&Vec<u8>, _)| name.cmp_path(last).is_gt();
        if first.len() == MAX_PLANNED && first.last_key_value().is_some_and(is_late) {
            return;
        }
        first.insert(name.to_bytes(), judged.verdict.reason());
        if first.len() > MAX_PLANNED {
            first.pop_last();
        }
    }
}

/// Writes down what an observing policy would do.
struct Noting<'a> {
    observation: Mutex<Observation<'a>>,
    observer: &'a dyn Observer,
}

impl Observer for Noting<'_> {
    fn judged(&self, judged: &Judged<'_>) {
        if judged.candidate.class != Class::EmptyDirectory {
            let mut observation = self.observation.lock().unwrap_or_else(PoisonError::into_inner);
            observation.note(&judged.candidate.name.to_bytes(), judged.verdict.is_due());
        }
        self.observer.judged(judged);
    }

    fn deferred(&self, candidate: &Candidate<'_>) {
        self.observer.deferred(candidate);
    }

    fn seen(&self, seen: cleanup_core::store::Seen) {
        self.observer.seen(seen);
    }

    fn wants_to_stop(&self) -> bool {
        self.observer.wants_to_stop()
    }
}
