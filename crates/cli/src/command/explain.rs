//! `cleanup explain PATH…`: what becomes of it, why, and when. An answer is a success, whatever it says.

use std::path::PathBuf;

use cleanup_core::report::FORMAT_VERSION;
use jiff::tz::TimeZone;

use crate::args::{Format, Global};
use crate::console::Console;
use crate::document::Explanations;
use crate::exit::Fault;
use crate::failure::Failure;
use crate::render::explain::Explained;
use crate::render::place::Places;

pub(super) fn run(global: &Global, paths: &[PathBuf], console: &mut Console) -> Result<Vec<Fault>, Failure> {
    let engine = super::open(global)?;
    if console.format == Format::Json {
        let paths = paths.iter().map(|path| engine.explain(path)).collect();
        console.out.document(&Explanations { format_version: FORMAT_VERSION, paths });
        return Ok(Vec::new());
    }
    let places = Places::from_here(engine.config());
    let (now, zone, theme) = (cleanup_engine::now(), TimeZone::system(), console.out.theme);
    for path in paths {
        let explanation = engine.explain(path);
        console.out.write(Explained {
            explanation: &explanation,
            places: &places,
            now,
            zone: Some(&zone),
            theme: &theme,
        });
    }
    Ok(Vec::new())
}
