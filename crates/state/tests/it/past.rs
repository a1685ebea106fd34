//! The history as it is looked at: pages, and its course over time.

use cleanup_core::report::{PolicyKind, PolicyReport, PolicyStatus, Report, RunStatus, Tally, Trigger};
use cleanup_state::{RunsQuery, State};

use crate::common::{HOUR, MONTH, at, folder, reading, sql};

/// A run of these policies that removed one file of 4 KiB each and kept so many.
fn run(id: &str, seconds: i64, policies: &[(&str, PolicyStatus, u64)], trigger: Trigger) -> Report {
    let part = |(name, status, kept): &(&str, PolicyStatus, u64)| {
        let mut tally = Tally::default();
        tally.counts.scanned = kept + 1;
        tally.counts.matched = kept + 1;
        tally.counts.matched_bytes = (kept + 1) * 4096;
        tally.counts.due = 1;
        tally.counts.removed = 1;
        tally.counts.removed_bytes = 4096;
        tally.counts.bytes_freed = 4096;
        PolicyReport { status: *status, ..PolicyReport::finished(name, PolicyKind::Files, tally) }
    };
    let parts = policies.iter().map(part).collect();
    Report::new(id.to_owned(), trigger, false, at(seconds), at(seconds), parts)
}

fn record(state: &mut State, report: &Report) {
    let seconds = report.finished_at.unix_seconds() - at(0).unix_seconds();
    state.record_run(report, &reading(seconds.unsigned_abs()), true, MONTH, report.finished_at);
}

fn page(state: &mut State, query: &RunsQuery) -> Vec<String> {
    state.page_of_runs(query).into_iter().map(|run| run.id).collect()
}

const OK: PolicyStatus = PolicyStatus::Ok;

#[test]
fn a_page_goes_on_where_the_one_before_ended_and_knows_policy_and_status() {
    let (_parent, folder) = folder();
    let mut state = State::open(&folder, None).unwrap();
    for number in 0..6_u8 {
        let policies: &[_] = match number % 3 {
            0 => &[("a", OK, 1), ("b", OK, 1)],
            1 => &[("a", PolicyStatus::Held, 1)],
            _ => &[("b", OK, 1)],
        };
        record(&mut state, &run(&format!("0{number}"), number.into(), policies, Trigger::Manual));
    }
    let query = |before: &str, policy: &str, status| RunsQuery {
        before: Some(before.to_owned()).filter(|id| !id.is_empty()),
        limit: 2,
        policy: Some(policy.to_owned()).filter(|name| !name.is_empty()),
        status,
    };
    let held = Some(RunStatus::Held);
    assert_eq!(page(&mut state, &query("", "", None)), ["05", "04"]);
    assert_eq!(page(&mut state, &query("04", "", None)), ["03", "02"]);
    assert_eq!(page(&mut state, &query("025", "", None)), ["02", "01"], "a run that is forgotten by now");
    assert_eq!(page(&mut state, &query("0", "", None)), [""; 0]);
    assert_eq!(page(&mut state, &query("", "a", None)), ["04", "03"]);
    assert_eq!(page(&mut state, &query("03", "a", None)), ["01", "00"]);
    assert_eq!(page(&mut state, &query("", "", held)), ["04", "01"]);
    assert_eq!(page(&mut state, &query("04", "a", held)), ["01"]);
    assert_eq!(page(&mut state, &query("", "b", held)), [""; 0]);
    assert_eq!(state.page_of_runs(&query("04", "a", None))[0].policies, ["a", "b"]);
    assert_eq!(state.take_notes(), [""; 0]);
}

#[test]
fn the_course_of_a_policy_is_summed_up_by_stretches_and_kept_is_what_the_last_sweep_saw() {
    let (_parent, folder) = folder();
    let mut state = State::open(&folder, None).unwrap();
    for (id, seconds, kept, trigger) in [
        ("01", -5, 1, Trigger::Manual),
        ("02", 0, 10, Trigger::Manual),
        ("03", 59, 20, Trigger::Schedule),
        ("04", 59, 0, Trigger::Deadline),
        ("05", 130, 0, Trigger::Deadline),
        ("06", 180, 30, Trigger::Manual),
    ] {
        record(&mut state, &run(id, seconds, &[("a", OK, kept)], trigger));
    }
    let trend = state.trend(at(0), 60, 3);
    let seen: Vec<_> = trend.iter().map(|p| (p.stretch, p.removed, p.bytes_freed, p.kept, p.kept_bytes)).collect();
    assert_eq!(seen, [(0, 3, 3 * 4096, Some(20), Some(20 * 4096)), (2, 1, 4096, None, None)]);

    let last = &state.last_sweeps()[0];
    assert_eq!((last.run_id.as_str(), last.kept, last.removed, last.status), ("06", Some(30), 1, OK));

    // Of a part nobody knows how much was kept in all.
    let mut part = run("07", 240, &[("a", OK, 3)], Trigger::Schedule);
    part.policies[0].in_part = true;
    record(&mut state, &part);
    let last = &state.last_sweeps()[0];
    assert_eq!((last.run_id.as_str(), last.kept, last.removed), ("07", None, 1));
}

#[test]
fn what_is_forgotten_leaves_nothing_behind_and_the_same_run_counts_once() {
    let (_parent, folder) = folder();
    let mut state = State::open(&folder, None).unwrap();
    record(&mut state, &run("01", 0, &[("a", OK, 1)], Trigger::Manual));
    let again = run("02", 7200, &[("a", OK, 1)], Trigger::Manual);
    for _ in 0..2 {
        state.record_run(&again, &reading(7200), true, HOUR, again.finished_at);
    }
    let trend = state.trend(at(0), 3600, 3);
    assert_eq!(trend.iter().map(|point| (point.stretch, point.removed)).collect::<Vec<_>>(), [(2, 1)]);
}

#[test]
fn runs_from_before_the_parts_were_kept_are_found_in_their_reports() {
    let (_parent, folder) = folder();
    let mut state = State::open(&folder, None).unwrap();
    record(&mut state, &run("01", 0, &[("a", OK, 7), ("b", PolicyStatus::Failed, 3)], Trigger::Manual));
    record(&mut state, &run("02", 1, &[("a", OK, 5)], Trigger::Deadline));
    drop(state);
    sql(
        &folder.join("state.db"),
        "drop table stops; drop table positions; drop trigger forget_run; drop table run_policies; \
         drop index runs_by_status; alter table policies drop column referenced; \
         alter table policies drop column foreseen; alter table runs drop column restored; \
         alter table runs drop column quarantined_bytes; drop table own_folders; pragma user_version = 2; \
         insert into runs select 9, 'x', started_by, started_at, finished_at, recorded_seconds, status, due, removed, \
         quarantined, bytes_freed, errors, 'no report' from runs where id = '01';",
    );
    let mut state = State::open(&folder, None).unwrap();
    record(&mut state, &run("03", 2, &[("b", OK, 4)], Trigger::Manual));
    let a = RunsQuery { limit: 9, policy: Some("a".to_owned()), ..RunsQuery::default() };
    assert_eq!(page(&mut state, &a), ["02", "01"]);
    let mut trend = state.trend(at(0), 60, 1);
    trend.sort_by(|one, other| one.policy.cmp(&other.policy));
    let seen: Vec<_> = trend.iter().map(|point| (point.policy.as_str(), point.removed, point.kept)).collect();
    assert_eq!(seen, [("a", 2, Some(7)), ("b", 2, Some(4))]);
    assert_eq!(state.take_notes(), [""; 0]);
}

#[test]
fn a_missing_root_is_remembered_with_its_run_and_older_runs_have_none() {
    let (_parent, folder) = folder();
    let mut state = State::open(&folder, None).unwrap();
    let mut report = run("01", 0, &[("a", PolicyStatus::Skipped, 0), ("b", OK, 1)], Trigger::Manual);
    report.policies[0].root_missing = true;
    record(&mut state, &report);
    let memory = cleanup_state::PolicyMemory {
        deciding: "x".to_owned(),
        root: "/r".to_owned(),
        file_system: None,
        boot_id: String::new(),
        mount_namespace: None,
        referenced: Some(7),
        foreseen: None,
    };
    state.remember_policy("b", &memory);
    assert_eq!(state.runs(1)[0].root_missing, ["a"]);
    assert_eq!(state.policy_memory("b"), Some(memory.clone()));
    drop(state);
    // As the version before left it.
    sql(
        &folder.join("state.db"),
        "alter table policies drop column foreseen; alter table policies drop column referenced; \
         alter table run_policies drop column root_missing; alter table runs drop column restored; \
         alter table runs drop column quarantined_bytes; drop table own_folders; pragma user_version = 4;",
    );
    let mut state = State::open(&folder, None).unwrap();
    assert_eq!(state.policy_memory("b"), Some(cleanup_state::PolicyMemory { referenced: None, ..memory }));
    assert!(state.runs(1)[0].root_missing.is_empty());
    assert_eq!(state.take_notes(), [""; 0]);
}

#[test]
fn runs_that_only_moved_files_into_quarantine_are_told_to_have_freed_nothing() {
    let (_parent, folder) = folder();
    let mut state = State::open(&folder, None).unwrap();
    for (id, removed, quarantined) in [("01", 1, 0), ("02", 0, 1), ("03", 1, 1)] {
        let mut report = run(id, 0, &[("a", OK, 1)], Trigger::Manual);
        let counts = &mut report.policies[0].counts;
        (counts.removed, counts.quarantined, counts.bytes_freed) = (removed, quarantined, 4096);
        let report = Report::new(id.to_owned(), report.trigger, false, at(0), at(0), report.policies);
        record(&mut state, &report);
    }
    drop(state);
    sql(
        &folder.join("state.db"),
        "alter table runs drop column quarantined_bytes; drop table own_folders; pragma user_version = 6;",
    );
    let mut state = State::open(&folder, None).unwrap();
    let runs = state.runs(9);
    let freed: Vec<_> = runs.iter().map(|run| (run.id.as_str(), run.bytes_freed, run.quarantined_bytes)).collect();
    assert_eq!(freed, [("03", 4096, 0), ("02", 0, 4096), ("01", 4096, 0)]);
    assert_eq!(state.trend(at(0), 60, 1)[0].bytes_freed, 2 * 4096);
}
