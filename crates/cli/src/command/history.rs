//! `cleanup history`: past runs, the report of one of them, or what was removed and why.

use std::collections::BTreeMap;
use std::path::Path;

use cleanup_core::duration::Human;
use cleanup_engine::responses::Removals;
use cleanup_engine::{Engine, RemovalsQuery, RunsQuery, is_pattern};
use jiff::tz::TimeZone;

use crate::args::{Format, Global, HistoryArgs};
use crate::console::Console;
use crate::exit::Fault;
use crate::failure::Failure;
use crate::render::history::HistoryTable;
use crate::render::place::Places;
use crate::render::problem::Problem;
use crate::render::removals::RemovalsTable;

pub(super) fn run(global: &Global, args: &HistoryArgs, console: &mut Console) -> Result<Vec<Fault>, Failure> {
    let engine = super::open(global)?;
    if let Some(policy) = &args.policy {
        // An unknown name would find nothing, and say so as if nothing had ever happened. One that is no longer in the
        // configuration still has its past.
        let is_known = engine.config().rules().any(|rule| rule.name == *policy);
        if !is_known {
            console.problem(&Problem::warning(format_args!("no policy is called {policy:?} now")));
        }
    }
    match (&args.path, &args.run) {
        (Some(path), _) => removals(&engine, path, args, console),
        (None, Some(run)) => one(&engine, run, console),
        (None, None) => all(&engine, args, console),
    }
}

/// What was removed at a path.
fn removals(engine: &Engine, path: &Path, args: &HistoryArgs, console: &mut Console) -> Result<Vec<Fault>, Failure> {
    let found = found(engine, path, args)?;
    if console.format == Format::Json {
        console.out.document(&found);
        return Ok(Vec::new());
    }
    if found.removals.is_empty() {
        console.out.print(nothing_found(engine));
        return Ok(Vec::new());
    }
    let (zone, theme) = (TimeZone::system(), console.out.theme);
    let places = Places::from_here(engine.config());
    let (now, removals) = (cleanup_engine::now(), &found.removals);
    console.out.write(RemovalsTable { removals, now, zone: Some(&zone), places: &places, theme: &theme });
    if found.next.is_some() {
        console.problem(&Problem::warning(format_args!("there are more; --limit {} shows them", args.limit * 10)));
    }
    Ok(Vec::new())
}

/// A name by itself is looked for here first; a pattern with a folder begins here.
fn found(engine: &Engine, path: &Path, args: &HistoryArgs) -> Result<Removals, Failure> {
    let HistoryArgs { run, policy, since, limit, .. } = args;
    let (run, policy, since, limit) = (run.clone(), policy.clone(), *since, *limit);
    let (is_pattern, has_folder) = (is_pattern(path), path.components().count() > 1);
    let is_below_here = is_pattern && has_folder && !path.starts_with("**");
    let asked = if is_below_here { std::path::absolute(path).unwrap_or_default() } else { path.to_owned() };
    let query = RemovalsQuery { path: Some(asked), policy, run, since, limit, before: None };
    if !is_pattern && !has_folder && path.is_relative() {
        let here = engine.removals(&RemovalsQuery { path: Some(Path::new(".").join(path)), ..query.clone() })?;
        if !here.removals.is_empty() {
            return Ok(here);
        }
    }
    Ok(engine.removals(&query)?)
}

fn nothing_found(engine: &Engine) -> String {
    let kept = engine.config().removals.map(|removals| Human(removals.keep_for).to_string()).unwrap_or_default();
    format!("No removal of it is recorded. Removals are kept for {kept}.")
}

fn all(engine: &Engine, args: &HistoryArgs, console: &mut Console) -> Result<Vec<Fault>, Failure> {
    let (policy, limit) = (args.policy.clone(), args.limit);
    let history = engine.past_runs(&RunsQuery { policy, limit, ..RunsQuery::default() })?;
    if console.format == Format::Json {
        console.out.document(&history);
    } else if history.runs.is_empty() {
        console.out.print("No run is remembered.");
    } else {
        let (zone, theme) = (TimeZone::system(), console.out.theme);
        console.out.write(HistoryTable { history: &history, now: cleanup_engine::now(), zone: &zone, theme: &theme });
    }
    for note in &history.notes {
        console.problem(&Problem::warning(note));
    }
    Ok(Vec::new())
}

fn one(engine: &Engine, run: &str, console: &mut Console) -> Result<Vec<Fault>, Failure> {
    let report = engine.past_run(run)?;
    if console.format == Format::Json {
        console.out.document(&report);
        return Ok(Vec::new());
    }
    let verbosity = console.verbosity;
    console.verbosity = verbosity.max(crate::console::Verbosity::Blocks);
    console.out.print(format_args!("Run {} of {}", report.run_id, report.started_at));
    super::sweep::print(&report, &BTreeMap::new(), &Places::from_here(engine.config()), console);
    console.verbosity = verbosity;
    Ok(Vec::new())
}
