//! Looks at what a run has left behind, and compares it with the table.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};

use cleanup_core::report::Trigger;
use cleanup_engine::{Engine, RemovalsQuery};
use serde_json::{Value, json};

use super::gates::{Audit, World};
use super::table::{Gate, Gone, Trace, Way, answer, trace};

/// What a way says by itself.
pub(crate) struct Ran {
    /// Where it says which run it was.
    pub(crate) run_id: Option<String>,
    /// The status of the policy, and why it was skipped.
    pub(crate) status: String,
    pub(crate) message: String,
    /// What is told as a sum at the end: deleted for good, brought back.
    pub(crate) in_sum: u64,
    pub(crate) notes: Vec<String>,
    /// What whoever watches was told.
    pub(crate) event: Mark,
}

/// What became of one trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Left,
    Nothing,
    /// Something is there, and it is not right.
    Wrong(String),
}

/// One cell of the table, tried.
pub(crate) struct Cell {
    pub(crate) at: (Way, Gate, Trace),
    pub(crate) is_right: bool,
    expected: String,
    got: String,
}

const PANIC: &str = "a panic, told above";

/// What there was before a run.
struct Before {
    runs: BTreeSet<String>,
    audit_lines: usize,
    rule: Value,
    references: Value,
    clock: Vec<u8>,
    files: BTreeSet<String>,
}

/// Everything that a way left behind at a gate.
struct Seen {
    ran: Ran,
    gone: u64,
    marks: BTreeMap<Trace, Mark>,
}

/// Goes a way through a gate, once with an audit log and once with one that cannot be written, and compares all traces.
/// Gives nothing where this machine cannot bring the gate about.
pub(crate) fn try_gate(way: Way, gate: Gate, run: &dyn Fn(&World) -> Ran) -> Vec<Cell> {
    let mut cells = Vec::new();
    for audit in [Audit::Works, Audit::Fails] {
        if audit == Audit::Fails && answer(way, gate).0.gone == Gone::Nothing {
            // Nothing is to be written, so nothing can fail.
            continue;
        }
        let tried = catch_unwind(AssertUnwindSafe(|| {
            let world = World::new(way, gate, audit)?;
            let before = Before::of(&world);
            let ran = run(&world);
            Some(look(&world, way, &before, ran))
        }));
        let seen = match tried {
            Ok(None) => continue,
            Ok(Some(seen)) => Some(seen),
            Err(_) => None,
        };
        let is_asked = |trace: Trace| {
            let of_failure = matches!(trace, Trace::AuditFailureInReport | Trace::AuditFailureInHistory);
            of_failure == (audit == Audit::Fails)
        };
        cells.extend(Trace::ALL.iter().filter(|trace| is_asked(**trace)).map(|of| cell(way, gate, *of, seen.as_ref())));
    }
    cells
}

/// Fails when a cell is not as the table says. All cells have been tried by then.
pub(crate) fn judge(cells: &[Cell]) {
    let wrong =
        cells.iter().filter(|cell| !cell.is_right).map(|Cell { at: (way, gate, trace), expected, got, .. }| {
            format!("{way:?} x {gate:?} x {trace:?}\n  expected {expected}\n  got      {got}")
        });
    let failures: Vec<String> = wrong.collect();
    assert!(failures.is_empty(), "{} of {} cells:\n{}", failures.len(), cells.len(), failures.join("\n"));
}

fn cell(way: Way, gate: Gate, of: Trace, seen: Option<&Seen>) -> Cell {
    let at = (way, gate, of);
    let (expected_answer, why_answer) = answer(way, gate);
    let (is_left, why_trace) = trace(way, gate, of);
    let (expected, why) = match of {
        Trace::Report => (format!("{expected_answer:?}"), why_answer),
        _ => (if is_left { "Left" } else { "Nothing" }.to_owned(), why_trace),
    };
    let expected = why.map_or(expected.clone(), |why| format!("{expected}, because {why}"));
    let Some(Seen { ran, gone, marks }) = seen else {
        return Cell { at, is_right: false, expected, got: PANIC.to_owned() };
    };
    if of != Trace::Report {
        let mark = &marks[&of];
        let is_right = *mark == if is_left { Mark::Left } else { Mark::Nothing };
        return Cell { at, is_right, expected, got: format!("{mark:?}") };
    }
    let has_gone = match expected_answer.gone {
        Gone::Nothing => *gone == 0,
        Gone::Few(few) => *gone == few,
        Gone::All => is_all(way, gate, *gone),
    };
    let says_so =
        ran.message.contains(expected_answer.says) && (ran.message.is_empty() == expected_answer.says.is_empty());
    let is_right = ran.status == expected_answer.status && has_gone && says_so;
    Cell { at, is_right, expected, got: format!("{} {:?}, {gone} gone, {:?}", ran.status, ran.message, ran.notes) }
}

fn is_all(way: Way, gate: Gate, gone: u64) -> bool {
    match way {
        // So many as `min_free` asks for: far more than is harmless.
        Way::Pressure => gone > World::due() - 20,
        // The sweep before it took no more.
        Way::Restore if gate == Gate::MaxRemovals => gone == 3,
        Way::SweepAll | Way::SweepNamed | Way::PlanApply | Way::Deadline | Way::Http | Way::Restore => {
            gone == World::due()
        }
    }
}

const RULE: &str = "select deciding, root, file_system, boot_id, mount_namespace from policies where name = 'law'";
const REFERENCES: &str = "select referenced from policies where name = 'law'";

impl Before {
    fn of(world: &World) -> Self {
        Self {
            runs: runs(&world.engine()).into_iter().map(|(id, ..)| id).collect(),
            audit_lines: audit(world).len(),
            rule: world.remembered(RULE),
            references: world.remembered(REFERENCES)[0][0].clone(),
            clock: clock(world),
            files: world.files().into_iter().collect(),
        }
    }
}

fn look(world: &World, way: Way, before: &Before, ran: Ran) -> Seen {
    let engine = world.engine();
    let files: BTreeSet<String> = world.files().into_iter().collect();
    // Of a restore, what is back.
    let gone: BTreeSet<&String> = before.files.symmetric_difference(&files).collect();
    let new: Vec<_> = runs(&engine).into_iter().filter(|(id, ..)| !before.runs.contains(id)).collect();
    let run_id = ran.run_id.clone().or_else(|| new.first().map(|(id, ..)| id.clone()));
    let kept = run_id.as_ref().and_then(|id| engine.past_run(id).ok());
    let lines: Vec<Value> = audit(world).split_off(before.audit_lines);
    let lacks = |notes: &[String]| notes.iter().any(|note| note.contains("lacks lines"));
    let mark = |is_left: bool| if is_left { Mark::Left } else { Mark::Nothing };

    let run_id = run_id.unwrap_or_default();
    let kept_notes = kept.map(|report| report.notes).unwrap_or_default();
    let of_files = |line: &&Value| line.get("path").is_some();
    let marks = Trace::ALL.iter().filter(|trace| **trace != Trace::Report).map(|trace| {
        let mark = match trace {
            Trace::Report => unreachable!("it is compared as a whole"),
            Trace::History => history(way, &ran, &new),
            Trace::AuditOfFiles => {
                audited_files(world, way, &run_id, &gone, &lines.iter().filter(of_files).collect::<Vec<_>>())
            }
            Trace::AuditOfEnd => {
                audited_end(way, &run_id, ran.in_sum, &lines.iter().filter(|line| !of_files(line)).collect::<Vec<_>>())
            }
            Trace::Removals => logged(&engine, &run_id, &lines),
            // The report of a restore is the one in the history.
            Trace::AuditFailureInReport if way == Way::Restore => mark(lacks(&kept_notes)),
            Trace::AuditFailureInReport => mark(lacks(&ran.notes)),
            Trace::AuditFailureInHistory => mark(lacks(&kept_notes)),
            Trace::Rule => mark(world.remembered(RULE) != before.rule),
            Trace::References => mark(world.remembered(REFERENCES)[0][0] != before.references),
            Trace::Clock => mark(clock(world) != before.clock),
            Trace::MarkGone => {
                let left = fs::read_dir(world.path(".cleanup/running")).into_iter().flatten().count();
                if left == 0 { Mark::Left } else { Mark::Wrong(format!("{left} in running/")) }
            }
            Trace::Event => ran.event.clone(),
        };
        (*trace, mark)
    });
    let marks = marks.collect();
    Seen { gone: gone.len() as u64, marks, ran }
}

/// The runs in the history: id, trigger and status.
fn runs(engine: &Engine) -> Vec<(String, Trigger, String)> {
    let text = |value| serde_json::to_value(value).unwrap().as_str().unwrap().to_owned();
    let runs = engine.history(1000).unwrap().runs;
    runs.into_iter().map(|run| (run.run_id, run.trigger, text(run.status))).collect()
}

fn clock(world: &World) -> Vec<u8> {
    fs::read(world.path(".cleanup/locks/clock")).unwrap_or_default()
}

fn audit(world: &World) -> Vec<Value> {
    let text = fs::read_to_string(world.path("audit.jsonl")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn history(way: Way, ran: &Ran, new: &[(String, Trigger, String)]) -> Mark {
    let [(id, trigger, status)] = new else {
        return if new.is_empty() { Mark::Nothing } else { Mark::Wrong(format!("{} entries", new.len())) };
    };
    let is_trigger = match way {
        Way::SweepAll | Way::SweepNamed | Way::PlanApply | Way::Http => *trigger == Trigger::Manual,
        Way::Deadline => *trigger == Trigger::Deadline,
        Way::Pressure => *trigger == Trigger::Pressure,
        // Of its own, or that of whoever asked.
        Way::Restore => !matches!(trigger, Trigger::Schedule | Trigger::Deadline | Trigger::Pressure),
    };
    let is_same = ran.run_id.as_ref().is_none_or(|own| own == id);
    // A run is fine when its policies were skipped.
    let expected = if ran.status.starts_with("skipped") { "ok" } else { &ran.status };
    let is_right = is_trigger && is_same && status == expected;
    if is_right { Mark::Left } else { Mark::Wrong(format!("{id} {trigger:?} {status}, of {:?}", ran.run_id)) }
}

fn audited_files(world: &World, way: Way, run_id: &str, gone: &BTreeSet<&String>, lines: &[&Value]) -> Mark {
    let action = if way == Way::Restore { "restored" } else { "quarantined" };
    let root = world.path("root").canonicalize().unwrap();
    let path = |name: &&String| root.join(name).to_str().unwrap().to_owned();
    let expected: BTreeSet<String> = gone.iter().map(path).collect();
    let named: BTreeSet<String> = lines.iter().map(|line| line["path"].as_str().unwrap().to_owned()).collect();
    let is_ours = |line: &&Value| line["run"] == run_id && line["policy"] == "law" && line["action"] == action;
    match lines {
        [] => Mark::Nothing,
        [first, ..] if named != expected || lines.len() != expected.len() || !lines.iter().all(is_ours) => {
            Mark::Wrong(format!("{} lines for {} files of {run_id}: {first}", lines.len(), expected.len()))
        }
        _ => Mark::Left,
    }
}

/// Whether both logs say the same of a run, entry by entry.
fn logged(engine: &Engine, run_id: &str, lines: &[Value]) -> Mark {
    let query = RemovalsQuery { run: Some(run_id.to_owned()), limit: 1000, ..RemovalsQuery::default() };
    let entries = if run_id.is_empty() { Vec::new() } else { engine.removals(&query).unwrap().removals };
    let keys = ["at", "action", "path", "policy", "bytes", "inode", "reason", "asked_by"];
    let of = |entry: &Value| keys.map(|key| entry.get(key).cloned()).map(|value| value.map(|it| it.to_string()));
    let logged: BTreeSet<_> = entries.iter().map(|entry| of(&serde_json::to_value(entry).unwrap())).collect();
    let audited: BTreeSet<_> = lines.iter().map(of).collect();
    match logged {
        logged if logged.is_empty() && audited.is_empty() => Mark::Nothing,
        logged if logged == audited && entries.len() == lines.len() => Mark::Left,
        logged => Mark::Wrong(format!("{logged:?} instead of {audited:?}")),
    }
}

fn audited_end(way: Way, run_id: &str, count: u64, lines: &[&Value]) -> Mark {
    let action = if way == Way::Restore { "restored" } else { "purged" };
    let expected = json!({ "run": run_id, "policy": "law", "action": action, "count": count });
    match lines {
        [] => Mark::Nothing,
        [line] if expected.as_object().unwrap().iter().all(|(key, value)| line[key] == *value) => Mark::Left,
        _ => Mark::Wrong(format!("{lines:?} instead of {expected}")),
    }
}
