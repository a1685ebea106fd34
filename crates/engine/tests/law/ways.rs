//! Each way, as its callers go it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cleanup_core::report::{PolicyReport, Report, Trigger};
use cleanup_core::sweep::Mode;
use cleanup_engine::plan::Plan;
use cleanup_engine::responses::RestoreOutcome;
use cleanup_engine::track::{Listener, Tracker};
use cleanup_engine::{Engine, Request, Restore, RestoreError, RestoreRequest, Watcher};

use super::gates::World;
use super::table::Way;
use super::traces::{Mark, Ran};

/// Goes a way; `None` for those that begin in another program.
pub(crate) fn go(way: Way, world: &World) -> Option<Ran> {
    let request = Request { mode: Mode::Apply, ..Request::default() };
    let named = || vec!["law".to_owned()];
    Some(match way {
        Way::SweepAll => sweep(&world.engine(), &request),
        Way::SweepNamed => sweep(&world.engine(), &Request { policies: named(), ..request }),
        Way::Pressure => {
            let engine = world.engine();
            let policies = engine.pressure();
            assert_eq!(policies, named(), "the file system is short");
            sweep(&engine, &Request { policies, trigger: Trigger::Pressure, ..request })
        }
        Way::PlanApply => {
            let ear = Ear::default();
            let plan = Plan::open(&world.path("plan.jsonl")).unwrap();
            let report = world.engine().apply_plan(&plan, &Request::default(), &ear).unwrap();
            told(&report, &ear)
        }
        Way::Deadline => deadline(world),
        Way::Restore => restore(world),
        Way::Http => return None,
    })
}

/// What whoever watches a run hears.
#[derive(Default)]
struct Ear {
    begun: Mutex<Vec<String>>,
    ended: Mutex<Vec<PolicyReport>>,
}

impl Watcher for Ear {
    fn begins(&self, policy: &str) {
        self.begun.lock().unwrap().push(policy.to_owned());
    }

    fn ends(&self, report: &PolicyReport) {
        self.ended.lock().unwrap().push(report.clone());
    }
}

fn sweep(engine: &Engine, request: &Request) -> Ran {
    let ear = Ear::default();
    let report = engine.sweep(request, &ear).unwrap();
    told(&report, &ear)
}

/// What a report says of the policy, and whether whoever watches has heard the same.
fn told(report: &Report, ear: &Ear) -> Ran {
    let names: Vec<String> = report.policies.iter().map(|policy| policy.name.clone()).collect();
    let (begun, ended) = (ear.begun.lock().unwrap(), ear.ended.lock().unwrap());
    let is_told = *begun == names && *ended == report.policies;
    let event = match (ended.is_empty(), is_told) {
        (true, _) => Mark::Nothing,
        (false, true) => Mark::Left,
        (false, false) => Mark::Wrong(format!("began {begun:?}, ended {ended:?}")),
    };
    let law = report.policies.iter().find(|policy| policy.name == "law").unwrap();
    Ran { run_id: Some(report.run_id.clone()), notes: report.notes.clone(), event, ..of_policy(law) }
}

fn of_policy(policy: &PolicyReport) -> Ran {
    let text = |value| serde_json::to_value(value).unwrap().as_str().map(str::to_owned);
    let skipped = policy.skipped.and_then(|skip| text(serde_json::to_value(skip).unwrap()));
    let status = text(serde_json::to_value(policy.status).unwrap());
    Ran {
        run_id: None,
        status: status.into_iter().chain(skipped).collect::<Vec<_>>().join(" "),
        message: policy.message.clone().unwrap_or_default(),
        in_sum: policy.counts.purged,
        notes: Vec::new(),
        event: Mark::Nothing,
    }
}

/// What whoever listens to the tracker hears.
#[derive(Default)]
struct Listening {
    removed: Mutex<BTreeSet<Vec<u8>>>,
    ran: Mutex<Vec<Report>>,
}

impl Listener for Listening {
    fn removed(&self, _: &str, path: &[u8], _: u64, _: Duration) {
        self.removed.lock().unwrap().insert(path.to_owned());
    }

    fn ran(&self, report: &Report) {
        self.ran.lock().unwrap().push(report.clone());
    }
}

fn deadline(world: &World) -> Ran {
    let listening = Arc::new(Listening::default());
    let engine = Arc::new(world.engine());
    let before = world.files().len();
    let tracker = Tracker::start(&engine, Arc::clone(&listening) as Arc<dyn Listener>);
    let report = tracker.remove_due("law").unwrap();
    let gone = before - world.files().len();
    let held = tracker.policy("law").unwrap().held;
    tracker.stop();
    let (removed, ran) = (listening.removed.lock().unwrap(), listening.ran.lock().unwrap());
    let told = of_policy(&report);
    let event = match (removed.len(), &ran[..], held) {
        // Until it can go on, this is what the service says wherever it is asked.
        (0, [], Some(why)) if why == told.message => Mark::Left,
        (0, [], None) => Mark::Nothing,
        (count, [ran], None) if count == gone && ran.policies[0].counts.quarantined == gone as u64 => Mark::Left,
        (count, ran, held) => Mark::Wrong(format!("{count} of {gone} told, {} runs, held {held:?}", ran.len())),
    };
    let (run_id, notes) = ran.first().map(|ran| (ran.run_id.clone(), ran.notes.clone())).unzip();
    Ran { run_id, notes: notes.unwrap_or_default(), event, ..told }
}

fn restore(world: &World) -> Ran {
    let request = RestoreRequest { what: Restore::Last, hold: RestoreRequest::HOLD, mode: Mode::Apply, asked_by: None };
    let mut told = 0;
    let mut each = |file: &cleanup_engine::responses::RestoredFile| {
        told += u64::from(file.outcome == RestoreOutcome::Restored);
    };
    let refused = |error: RestoreError| Ran {
        run_id: None,
        status: "refused".to_owned(),
        message: error.to_string(),
        in_sum: 0,
        notes: Vec::new(),
        event: Mark::Nothing,
    };
    let restored = match world.engine().restore(&request, &mut each) {
        Err(error) => return refused(error),
        Ok(restored) => restored,
    };
    Ran {
        // The id in the answer is that of the run that is undone.
        run_id: None,
        status: if restored.failed == 0 { "ok" } else { "partial" }.to_owned(),
        message: restored.problems.join("; "),
        in_sum: restored.restored,
        notes: Vec::new(),
        event: if told == restored.restored { Mark::Left } else { Mark::Wrong(format!("{told} told")) },
    }
}
