//! `cleanup restore [RUN|PATH…]`: undo. What cannot come back is named, and stays in quarantine.

use std::path::PathBuf;

use cleanup_core::report::FORMAT_VERSION;
use cleanup_core::sweep::Mode;
use cleanup_core::words::Count;
use cleanup_engine::responses::{RestoreOutcome, RestoredFile};
use cleanup_engine::{Engine, Restore, RestoreError, RestoreRequest};
use jiff::tz::TimeZone;

use crate::args::{Format, Global, RestoreArgs};
use crate::console::{Console, Verbosity};
use crate::document::RestoreDocument;
use crate::exit::Fault;
use crate::failure::Failure;
use crate::render::block::MAX_PATHS;
use crate::render::place::Places;
use crate::render::problem::Problem;
use crate::render::quarantine::{RestoredLine, RestoredSum, not_restored};

/// How many problems are named; the rest is counted.
const MAX_PROBLEMS: usize = 100;

/// The shortest beginning of a run's id that is not taken for a file.
const SHORTEST_ID: usize = 4;

pub(super) fn run(global: &Global, args: &RestoreArgs, console: &mut Console) -> Result<Vec<Fault>, Failure> {
    let engine = super::open(global)?;
    let mode = if args.dry_run { Mode::Plan } else { Mode::Apply };
    let asked_by = Some(cleanup_engine::caller());
    let request = RestoreRequest { what: what(&engine, &args.what), hold: args.hold, mode, asked_by };
    let mut files: Vec<RestoredFile> = Vec::new();
    let restored = match engine.restore(&request, &mut |file| files.push(file.clone())) {
        Ok(restored) => restored,
        Err(error) => return refused(&error, console),
    };

    let places = Places::from_here(engine.config());
    let mut named = 0;
    for file in files.iter().filter(|file| file.error.is_some()) {
        named += 1;
        if named <= MAX_PROBLEMS {
            console.problem(&Problem::error(not_restored(file, &places)));
        }
    }
    if named > MAX_PROBLEMS {
        let unnamed = Count((named - MAX_PROBLEMS) as u64);
        console.problem(&Problem::error(format_args!("and {unnamed} more that could not be restored")));
    }
    for path in &restored.not_found {
        let path = cleanup_core::candidate::Escaped(path.as_bytes());
        console.problem(&Problem::error(format_args!("{path}: nothing of it lies in quarantine")));
    }
    for problem in &restored.problems {
        console.problem(&Problem::error(problem));
    }
    for note in &restored.notes {
        console.problem(&Problem::warning(note));
    }
    let failed = restored.failed > 0 || !restored.not_found.is_empty() || !restored.problems.is_empty();
    let faults = if failed { vec![Fault::Unfinished] } else { Vec::new() };

    let report = restored.report.clone();
    if console.format == Format::Json {
        console.out.document(&RestoreDocument { format_version: FORMAT_VERSION, restored, files });
    } else if console.verbosity > Verbosity::Problems {
        let (now, zone, theme) = (cleanup_engine::now(), TimeZone::system(), console.out.theme);
        let shown = if console.verbosity.has_paths() { usize::MAX } else { MAX_PATHS };
        let told = |file: &&RestoredFile| match file.outcome {
            RestoreOutcome::Restored => true,
            RestoreOutcome::Older => shown == usize::MAX,
            RestoreOutcome::Conflict | RestoreOutcome::Failed => false,
        };
        for file in files.iter().filter(told).take(shown) {
            console.out.print(RestoredLine { file, restored: &restored, places: &places, now, theme: &theme });
        }
        let untold = restored.restored.saturating_sub(shown as u64);
        if untold > 0 {
            console.out.print(format_args!("and {} more; -v shows all", Count(untold)));
        }
        console.out.print(RestoredSum { restored: &restored, now, zone: &zone });
    }
    if let Some(report) = report {
        super::notify::conclude(&engine, &report, console);
    }
    Ok(faults)
}

/// A single word that begins the id of a run in quarantine means the run; `./WORD` means the file.
fn what(engine: &Engine, words: &[PathBuf]) -> Restore {
    match words {
        [] => Restore::Last,
        [word] => {
            let id = word
                .to_str()
                .filter(|word| word.len() >= SHORTEST_ID && word.bytes().all(|byte| byte.is_ascii_alphanumeric()));
            match id.and_then(|id| engine.quarantined_run(id)) {
                Some(run) => Restore::Run(run),
                // A whole id can be nothing else, also when nothing of it is left.
                None => match id.filter(|id| id.len() == 26) {
                    Some(id) => Restore::Run(id.to_owned()),
                    None => Restore::Paths(words.to_vec()),
                },
            }
        }
        paths => Restore::Paths(paths.to_vec()),
    }
}

fn refused(error: &RestoreError, console: &mut Console) -> Result<Vec<Fault>, Failure> {
    match error {
        RestoreError::AmbiguousRun { .. } => Err(Failure::Usage(error.to_string())),
        RestoreError::NotHeld(_) => Err(Failure::Other(anyhow::anyhow!("{error}"))),
        RestoreError::Busy(_) => {
            console.problem(&Problem::error(error));
            Ok(vec![Fault::Locked])
        }
        RestoreError::NeverKept | RestoreError::Nothing | RestoreError::NoSuchRun(_) | RestoreError::Unreadable(_) => {
            console.problem(&Problem::error(error));
            Ok(vec![Fault::Unfinished])
        }
    }
}
