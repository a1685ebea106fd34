//! `cleanup init`: writes a commented `cleanup.toml`, and never over one that is there.

mod from_env;

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use cleanup_core::candidate::Escaped;
use cleanup_core::config::DEFAULT;

use crate::args::{Global, InitArgs};
use crate::console::{Console, Verbosity};
use crate::exit::Fault;
use crate::failure::Failure;

pub(super) fn run(global: &Global, args: &InitArgs, console: &mut Console) -> Result<Vec<Fault>, Failure> {
    let path = global.config.clone().unwrap_or_else(|| PathBuf::from("cleanup.toml"));
    if let Some(variable) = &args.from_env {
        return from_env::run(global, &path, variable, console);
    }
    write(&path, &text())?;
    if console.verbosity == Verbosity::Problems {
        return Ok(Vec::new());
    }
    let theme = console.out.theme;
    let (name, detail) = (theme.name, theme.detail);
    let option = if global.config.is_some() { format!(" -c {}", shown(&path)) } else { String::new() };
    console.out.write(format_args!(
        "Wrote {name}{}{name:#}. Edit it to define what is temporary, for how long, and what must never be touched.\n\
         {detail}Then:{detail:#}\n  {name}cleanup{option} config check{name:#}   validate it\n  {name}cleanup{option} \
         --dry-run{name:#}      preview the removals\n  {name}cleanup{option}{name:#}                sweep\n",
        shown(&path)
    ));
    Ok(Vec::new())
}

/// Writable by its owner alone, whatever the umask: a configuration that everyone may write is refused.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut file = match OpenOptions::new().write(true).create_new(true).mode(0o644).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(is_there(path)),
        Err(error) => return Err(error).with_context(|| format!("cannot write {}", shown(path))),
    };
    file.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", shown(path)))
}

/// The built-in default, stricter where a new configuration has no readers yet whom that would shut out. The table
/// `[server]` is its last, so a key is added at its end.
fn text() -> String {
    format!(
        "{DEFAULT}# Once there is a token (`token_file`), reading needs it too: behind a proxy, every request seems \
         to be local.\ntoken_for = \"everything\"\n"
    )
}

fn is_there(path: &Path) -> anyhow::Error {
    anyhow!("{} already exists; it was left alone", shown(path))
}

fn shown(path: &Path) -> String {
    Escaped(path.as_os_str().as_encoded_bytes()).to_string()
}
