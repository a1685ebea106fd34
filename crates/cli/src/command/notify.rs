//! `cleanup notify --test`: sends a test message to each target of `[notify]`, and says what came of it. And what follows
//! a run: those who are told of it.

use cleanup_core::report::{FORMAT_VERSION, Report};
use cleanup_engine::Engine;
use cleanup_engine::responses::TestedTarget;

use crate::args::{Format, Global};
use crate::console::Console;
use crate::document::NotifyTest;
use crate::exit::Fault;
use crate::failure::Failure;
use crate::render::problem::Problem;

/// Exits 1 when a message was not delivered.
pub(super) fn test(global: &Global, console: &mut Console) -> Result<Vec<Fault>, Failure> {
    let engine = super::open(global)?;
    let targets = engine.test_messages();
    let has_failed = targets.iter().any(|target| target.error.is_some());
    if console.format == Format::Json {
        console.out.document(&NotifyTest { format_version: FORMAT_VERSION, targets });
    } else {
        if targets.is_empty() {
            let origin = engine.origin();
            console
                .out
                .print(format_args!("Nobody to tell: {origin} has no `webhook`, `command` or `ping` in `[notify]`."));
        }
        for TestedTarget { target, to, error } in targets {
            match error {
                None => console.out.print(format_args!("{target}: delivered to {to}")),
                Some(error) => console.problem(&Problem::error(format_args!("{target}: {error}"))),
            }
        }
    }
    Ok(has_failed.then_some(Fault::Failed).into_iter().collect())
}

/// Tells whoever is to know of a run, after all that is to be read of it was printed. What goes wrong with that is worth a
/// word, and no other exit code.
pub(super) fn conclude(engine: &Engine, report: &Report, console: &mut Console) {
    console.out.flush();
    for problem in engine.conclude(report) {
        console.problem(&Problem::warning(problem));
    }
}
