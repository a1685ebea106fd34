//! `cargo xtask deploy-units`: renders the deployment files, or says which of the committed ones are stale.
//!
//! What the files say is decided in `crates/units`; here they are read, compared and written. Variables of this machine
//! are not looked at, so that everybody renders the same bytes; where a configuration needs one, that is an error.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use cleanup_units::{Change, Existing, FOLDERS, IMAGE, Target, changes, render};
use walkdir::WalkDir;

use crate::shell::top;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The configuration to render
    #[arg(long, default_value = "deploy/cleanup.toml")]
    config: PathBuf,

    /// Where the configuration will lie on the target
    #[arg(long, default_value = "/srv/app/cleanup.toml")]
    config_path: PathBuf,

    /// Where to write the files
    #[arg(long, default_value = "deploy")]
    out: PathBuf,

    /// The folder of the programs on the target
    #[arg(long, default_value = "/usr/bin")]
    prefix: PathBuf,

    /// The user that owns the files and removes them
    #[arg(long, default_value = "www-data")]
    user: String,

    /// That user's number, for containers
    #[arg(long, default_value_t = 33)]
    uid: u32,

    /// The name under which containers find the image
    #[arg(long, value_name = "NAME", default_value = IMAGE)]
    image: String,

    /// Write nothing; fail when a file is stale
    #[arg(long)]
    check: bool,
}

/// Checks the committed files.
pub(crate) fn check() -> Result<()> {
    run(&Args {
        config: "deploy/cleanup.toml".into(),
        config_path: "/srv/app/cleanup.toml".into(),
        out: "deploy".into(),
        prefix: "/usr/bin".into(),
        user: "www-data".into(),
        uid: 33,
        image: IMAGE.into(),
        check: true,
    })
}

/// Renders, and writes or compares. Relative paths are relative to the top of the repository.
pub(crate) fn run(args: &Args) -> Result<()> {
    let (config, out) = (top().join(&args.config), top().join(&args.out));
    let text = fs::read_to_string(&config).with_context(|| format!("cannot read {}", config.display()))?;
    let target = Target {
        config_path: &args.config_path,
        prefix: &args.prefix,
        user: &args.user,
        uid: args.uid,
        image: &args.image,
    };
    let rendered = render(&text, &target, &|_| None)?;
    for note in &rendered.notes {
        println!("note: {note}");
    }
    let existing = existing(&out);
    let steps = changes(&rendered.files, &existing);
    if let Some(Change::Foreign(path)) = steps.first() {
        bail!("{} was not made by this command; move it away", out.join(path).display());
    }
    if args.check {
        return report(&steps, rendered.files.len());
    }
    for step in &steps {
        apply(step, &out)?;
    }
    println!("{} of {} files changed in {}", steps.len(), rendered.files.len(), args.out.display());
    Ok(())
}

fn report(steps: &[Change<'_>], files: usize) -> Result<()> {
    for step in steps {
        println!("{step}");
    }
    if !steps.is_empty() {
        bail!(
            "{} deployment files are not those of the configuration; repair with: cargo xtask deploy-units",
            steps.len()
        );
    }
    println!("{files} deployment files, all as rendered");
    Ok(())
}

fn apply(step: &Change<'_>, out: &Path) -> Result<()> {
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
    FOLDERS
        .iter()
        .flat_map(|folder| WalkDir::new(out.join(folder)))
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_file())
        .filter_map(|entry| {
            let path = entry.path().strip_prefix(out).ok()?.to_str()?.to_owned();
            Some((path, fs::read_to_string(entry.path()).ok()?))
        })
        .collect()
}
