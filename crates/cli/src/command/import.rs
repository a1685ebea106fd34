//! `cleanup import FILE…`: policies from the settings of other cleaners. Reads those files and nothing else.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use cleanup_core::candidate::Escaped;
use cleanup_core::report::FORMAT_VERSION;

use crate::args::Format;
use crate::console::Console;
use crate::document::Import;
use crate::exit::Fault;
use crate::failure::Failure;
use crate::import::{Input, import};
use crate::render::problem::Problem;

/// Far more than any cleaner's settings.
const MAX_BYTES: u64 = 1 << 20;

/// Exits 1 when a file cannot be read, before anything is printed, or when nothing could be carried over.
pub(super) fn run(paths: &[PathBuf], console: &mut Console) -> Result<Vec<Fault>, Failure> {
    let inputs = paths.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
    let imported = import(&inputs, &cleanup_engine::records_access_times);
    for note in &imported.notes {
        let text = format!("{}:{}: {}", note.file, note.line, note.message);
        console.problem(&Problem::warning(Escaped(text.as_bytes())));
    }
    let is_empty = imported.policies.is_empty();
    if console.format == Format::Json {
        let (config, policies, notes) = (imported.config, imported.policies, imported.notes);
        console.out.document(&Import { format_version: FORMAT_VERSION, config, policies, notes });
    } else {
        console.out.write(&imported.config);
    }
    if is_empty {
        console.problem(&Problem::error("nothing could be imported"));
    }
    Ok(is_empty.then_some(Fault::Failed).into_iter().collect())
}

fn read(path: &PathBuf) -> anyhow::Result<Input> {
    let name = path.display().to_string();
    let cannot = || format!("cannot read {}", Escaped(name.as_bytes()));
    let mut text = String::new();
    let file = File::open(path).with_context(cannot)?;
    let length = file.take(MAX_BYTES + 1).read_to_string(&mut text).with_context(cannot)?;
    if length as u64 > MAX_BYTES {
        return Err(anyhow!("it is larger than a megabyte")).with_context(cannot);
    }
    Ok(Input { name, text })
}
