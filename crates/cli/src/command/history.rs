//! `cleanup history`: past runs, or the report of one of them.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use crate::args::{Format, Global};
use crate::console::Console;
use crate::exit::Fault;
use crate::failure::Failure;
use crate::render::history::HistoryTable;
use crate::render::place::Places;
use crate::render::problem::Problem;

pub(super) fn all(global: &Global, limit: usize, console: &mut Console) -> Result<Vec<Fault>, Failure> {
    let engine = super::open(global)?;
    let history = engine.history(limit)?;
    if console.format == Format::Json {
        console.out.document(&history);
    } else if history.runs.is_empty() {
        console.out.print("No runs recorded.");
    } else {
        let (zone, theme) = (TimeZone::system(), console.out.theme);
        console.out.write(HistoryTable { history: &history, now: cleanup_engine::now(), zone: &zone, theme: &theme });
    }
    for note in &history.notes {
        console.problem(&Problem::warning(note));
    }
    Ok(Vec::new())
}

pub(super) fn one(global: &Global, run: &str, console: &mut Console) -> Result<Vec<Fault>, Failure> {
    let engine = super::open(global)?;
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
