//! `cleanup units --out DIR`: writes the deployment files for those who have a binary and no checkout.
//!
//! What they say is decided in the crate `units`; here the configuration is found as for a sweep, and the files are
//! compared and written. A file that was not rendered is never replaced or removed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use cleanup_core::config::DEFAULT;
use cleanup_engine::{Engine, OpenError};
use cleanup_units::{Change, Existing, FOLDERS, RenderError, Rendered, Target, changes, render};

use crate::args::{Global, UnitsArgs};
use crate::console::{Console, Verbosity};
use crate::exit::Fault;
use crate::failure::Failure;
use crate::render::problem::Problem;

pub(super) fn run(global: &Global, args: &UnitsArgs, console: &mut Console) -> Result<Vec<Fault>, Failure> {
    let rendered = rendered(global, args)?;
    for note in &rendered.notes {
        console.problem(&Problem::warning(note));
    }
    let existing = existing(&args.out);
    let steps = changes(&rendered.files, &existing);
    if let Some(Change::Foreign(path)) = steps.first() {
        let path = args.out.join(path);
        return Err(anyhow!("{} was not written by this command, so it was left alone", path.display()).into());
    }
    if args.check {
        return Ok(compared(&steps, console));
    }
    for step in &steps {
        apply(step, &args.out)?;
    }
    if console.verbosity != Verbosity::Problems {
        let files = rendered.files.len();
        console.out.print(format_args!(
            "Rendered {files} files in {}; {} of them changed.",
            args.out.display(),
            steps.len()
        ));
    }
    Ok(Vec::new())
}

fn rendered(global: &Global, args: &UnitsArgs) -> Result<Rendered, Failure> {
    let engine = Engine::open(global.config.as_deref())?;
    let (text, lies_at) = match engine.origin().path() {
        Some(path) => {
            let text = fs::read_to_string(path).with_context(|| format!("cannot read {} again", path.display()))?;
            (text, std::path::absolute(path).context("cannot find the current directory")?)
        }
        None if args.config_path.is_some() => (DEFAULT.to_owned(), PathBuf::new()),
        None => {
            return Err(anyhow!(
                "there is no cleanup.toml; write one with `cleanup init`, or set its path on the target with \
                 --config-path"
            )
            .into());
        }
    };
    let here = std::env::current_exe().ok().and_then(|program| program.parent().map(Path::to_owned));
    let prefix = args.prefix.clone().or(here);
    let prefix = prefix.ok_or_else(|| anyhow!("cannot find the folder of the programs; set it with --prefix"))?;
    let target = Target {
        config_path: args.config_path.as_deref().unwrap_or(&lies_at),
        prefix: &prefix,
        user: &args.user,
        uid: args.uid,
        image: &args.image,
    };
    render(&text, &target, &|name| std::env::var(name).ok()).map_err(|error| match error {
        RenderError::Config(error) => Failure::Open(OpenError::Config(error)),
        error @ RenderError::Value { .. } => Failure::Other(error.into()),
    })
}

fn compared(steps: &[Change<'_>], console: &mut Console) -> Vec<Fault> {
    for step in steps {
        console.out.print(step);
    }
    (!steps.is_empty()).then_some(Fault::Failed).into_iter().collect()
}

fn apply(step: &Change<'_>, out: &Path) -> anyhow::Result<()> {
    let path = out.join(step.path());
    let told = || format!("cannot write {}", path.display());
    match step {
        Change::Create(file) | Change::Replace(file, _) => {
            fs::create_dir_all(path.parent().unwrap_or(out)).with_context(told)?;
            fs::write(&path, &file.text).with_context(told)
        }
        Change::Remove(_) => {
            fs::remove_file(&path).with_context(told)?;
            // A folder of ours that is empty now; any other stays.
            let _ = fs::remove_dir(path.parent().unwrap_or(out));
            Ok(())
        }
        Change::Foreign(_) => Ok(()),
    }
}

/// The text files in the folders of rendered files; what is no text is not ours.
fn existing(out: &Path) -> Existing {
    let mut existing = Existing::new();
    let mut folders: Vec<PathBuf> = FOLDERS.iter().map(|folder| out.join(folder)).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().filter_map(Result::ok) {
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(path),
                Ok(kind) => {
                    let Some(name) = path.strip_prefix(out).ok().and_then(Path::to_str) else { continue };
                    // A link is not ours, whatever it leads to.
                    let text = if kind.is_file() { fs::read_to_string(&path) } else { Ok(String::new()) };
                    existing.extend(text.ok().map(|text| (name.to_owned(), text)));
                }
                Err(_) => {}
            }
        }
    }
    existing
}
