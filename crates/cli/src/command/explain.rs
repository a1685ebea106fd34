//! `cleanup explain PATH…` and `explain --session POLICY ID…`: what becomes of it, why, and when. An answer is a success, whatever it says.

use std::path::PathBuf;

use cleanup_core::report::FORMAT_VERSION;
use jiff::tz::TimeZone;

use crate::args::{Format, Global};
use crate::console::Console;
use crate::document::Explanations;
use crate::exit::Fault;
use crate::failure::Failure;
use crate::render::explain::{Explained, ExplainedRows};
use crate::render::place::Places;

pub(super) fn run(global: &Global, paths: &[PathBuf], console: &mut Console) -> Result<Vec<Fault>, Failure> {
    let engine = super::open(global)?;
    if console.format == Format::Json {
        let paths = paths.iter().map(|path| engine.explain(path)).collect();
        console.out.document(&Explanations { format_version: FORMAT_VERSION, paths, sessions: Vec::new() });
        return Ok(Vec::new());
    }
    let places = Places::from_here(engine.config());
    let (now, zone, theme) = (cleanup_engine::now(), TimeZone::system(), console.out.theme);
    let kept = engine.config().removals.map(|removals| removals.keep_for);
    for path in paths {
        let explanation = engine.explain(path);
        console.out.write(Explained {
            explanation: &explanation,
            places: &places,
            now,
            zone: Some(&zone),
            unrecorded: path.symlink_metadata().err().and(kept),
            theme: &theme,
        });
    }
    Ok(Vec::new())
}

/// The same for rows, by their keys.
pub(super) fn rows(
    global: &Global,
    policy: &str,
    keys: &[PathBuf],
    console: &mut Console,
) -> Result<Vec<Fault>, Failure> {
    let engine = super::open(global)?;
    let explain = |key: &PathBuf| {
        let key = key.to_str().ok_or_else(|| Failure::Usage("a key has to be UTF-8".to_owned()))?;
        Ok(engine.explain_session(policy, key)?)
    };
    let sessions = keys.iter().map(explain).collect::<Result<Vec<_>, Failure>>()?;
    if console.format == Format::Json {
        console.out.document(&Explanations { format_version: FORMAT_VERSION, paths: Vec::new(), sessions });
        return Ok(Vec::new());
    }
    let (now, zone, theme) = (cleanup_engine::now(), TimeZone::system(), console.out.theme);
    for explanation in &sessions {
        console.out.write(ExplainedRows { explanation, now, zone: &zone, theme: &theme });
    }
    Ok(Vec::new())
}
