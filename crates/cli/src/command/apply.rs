//! `cleanup apply`: removes exactly what a plan names.

use std::num::NonZero;
use std::path::Path;

use cleanup_engine::Request;
use cleanup_engine::plan::Plan;

use super::sweep;
use crate::args::{Format, Global};
use crate::console::Console;
use crate::exit::{self, Code, Strictness};
use crate::failure::Failure;
use crate::render::place::Places;
use crate::render::problem::Problem;

pub(super) fn run(
    global: &Global,
    plan: &Path,
    jobs: Option<NonZero<usize>>,
    console: &mut Console,
) -> Result<Code, Failure> {
    let engine = super::open(global)?;
    let plan = Plan::open(plan)?;
    let places = Places::from_here(engine.config());
    let request = Request { jobs, asked_by: Some(cleanup_engine::caller()), ..Request::default() };
    let (applied, first) = sweep::watched(&places, console, |watcher| engine.apply_plan(&plan, &request, watcher));
    let report = applied?;
    if console.format == Format::Json {
        console.out.document(&report);
        report.policies.iter().flat_map(Problem::of).for_each(|problem| console.problem(&problem));
    } else {
        sweep::print(&report, &first, &places, console);
    }
    super::notify::conclude(&engine, &report, console);
    Ok(Code::of(exit::faults(&report, Strictness::Lenient)))
}
