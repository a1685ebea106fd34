//! `cargo xtask bench sessions`: how fast session rows go, and what the application feels of it.
//!
//! The measuring is done by an example of the crate that it measures, because nobody else may see a store.

use std::io::Write as _;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};

use super::page;
use crate::shell;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A million rows of 2 kB instead of a tenth of it
    #[arg(long)]
    full: bool,

    /// Leave docs/benchmarks.md as it is
    #[arg(long)]
    no_page: bool,
}

/// Measures, prints, and writes the page.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut words = vec!["run", "--release", "--package", "cleanup-pg-sessions", "--example", "bench_sessions"];
    if args.full {
        words.extend(["--", "--full"]);
    }
    let mut cargo = shell::cargo(&words);
    let output =
        shell::without_leftovers(&mut cargo).stderr(Stdio::inherit()).output().context("cannot start cargo")?;
    std::io::stdout().write_all(&output.stdout).context("cannot print the figures")?;
    if !output.status.success() {
        bail!("the measurement failed: {}", output.status);
    }
    if !args.no_page {
        let figures = String::from_utf8(output.stdout).context("the figures are text")?;
        let flag = if args.full { " --full" } else { "" };
        let body = format!(
            "## Removing session rows\n\n```console,no-run\n$ cargo xtask bench sessions{flag}\n```\n\n{}\n",
            figures.trim()
        );
        page::write(&shell::top().join("docs/benchmarks.md"), "sessions", &body)?;
    }
    Ok(())
}
