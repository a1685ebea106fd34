//! `cleanup plan`: writes down what a sweep would remove.
//!
//! The file appears when it is whole, never before; only its owner may read it, because names can be private.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use cleanup_core::report::{FORMAT_VERSION, Report};
use cleanup_core::size::HumanBytes;
use cleanup_core::words::Number;
use cleanup_engine::plan::{PlanError, PlanSummary};
use cleanup_engine::{Engine, Request, Watcher};
use tempfile::NamedTempFile;

use super::sweep;
use crate::args::{Format, Global, PlanArgs};
use crate::console::{Console, Verbosity};
use crate::document::Planned;
use crate::exit::{self, Code, Strictness};
use crate::failure::Failure;
use crate::render::place::Places;
use crate::render::problem::Problem;

pub(super) fn run(global: &Global, args: PlanArgs, console: &mut Console) -> Result<Code, Failure> {
    let PlanArgs { policies, out, valid_for, detailed_exitcode, include_archives, max_age, jobs } = args;
    let to_stdout = out == Path::new("-");
    if to_stdout && console.format == Format::Json {
        return Err(Failure::Usage("`-o -` writes the plan to stdout; with `--json`, name a file".to_owned()));
    }
    let engine = super::open(global)?;
    let places = Places::from_here(engine.config()).with_ages(max_age.clone());
    let max_age = max_age.into_iter().map(|age| (age.policy, age.max_age)).collect();
    let request = Request { policies, include_archives, max_age, jobs, ..Request::default() };
    let write = |watcher: &dyn Watcher| write(&engine, &request, valid_for, &out, watcher);
    let (report, summary, first) = if to_stdout {
        let (report, summary) = write(&())?;
        (report, summary, std::collections::BTreeMap::new())
    } else {
        let (written, first) = sweep::watched(&places, console, write);
        let (report, summary) = written?;
        (report, summary, first)
    };

    if to_stdout {
        report.policies.iter().flat_map(Problem::of).for_each(|problem| console.problem(&problem));
    } else if console.format == Format::Json {
        console.out.document(&Planned {
            format_version: FORMAT_VERSION,
            plan: summary.clone(),
            report: report.clone(),
        });
        report.policies.iter().flat_map(Problem::of).for_each(|problem| console.problem(&problem));
    } else {
        sweep::print(&report, &first, &places, console);
        say(&summary, &out, console);
    }
    let faults = exit::faults(&report, Strictness::Lenient);
    if detailed_exitcode && faults.is_empty() && summary.entries > 0 {
        return Ok(Code::Changes);
    }
    Ok(Code::of(faults))
}

fn write(
    engine: &Engine,
    request: &Request,
    valid_for: std::time::Duration,
    out: &PathBuf,
    watcher: &dyn Watcher,
) -> Result<(Report, PlanSummary), Failure> {
    if out == Path::new("-") {
        return Ok(engine.write_plan(request, valid_for, std::io::stdout(), watcher)?);
    }
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let place = || format!("cannot write a plan to {}", out.display());
    let mut file = NamedTempFile::new_in(folder).with_context(place)?;
    let written = engine.write_plan(request, valid_for, &mut file, watcher)?;
    file.flush().and_then(|()| file.as_file().sync_all()).map_err(PlanError::Unwritable)?;
    file.persist(out).map_err(|error| error.error).with_context(place)?;
    Ok(written)
}

fn say(summary: &PlanSummary, out: &Path, console: &mut Console) {
    if console.verbosity < Verbosity::Blocks {
        return;
    }
    let PlanSummary { entries, bytes, expires_at, .. } = summary;
    let shown = cleanup_core::candidate::Escaped(out.as_os_str().as_encoded_bytes());
    if *entries == 0 {
        console.out.print(format_args!("Wrote {shown}; the plan is empty."));
        return;
    }
    let things = Number(*entries, "thing");
    console.out.print(format_args!(
        "Wrote {shown}: {things}, {}. The plan is valid until {expires_at}. Apply it with:\n  cleanup apply {shown}",
        HumanBytes(*bytes)
    ));
}
