//! `cargo xtask bench sessions`: how fast session rows go, and what the application feels of it.
//!
//! The measuring is done by an example of the crate that it measures, because nobody else may see a store.

use anyhow::Result;

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
    let words: &[&str] = if args.full { &["--full"] } else { &[] };
    let figures = super::of_example("cleanup-pg-sessions", "bench_sessions", words)?;
    if !args.no_page {
        let flag = if args.full { " --full" } else { "" };
        let body = format!(
            "## Removing session rows\n\n```console,no-run\n$ cargo xtask bench sessions{flag}\n```\n\n{}\n",
            figures.trim()
        );
        page::write(&shell::top().join("docs/benchmarks.md"), "sessions", &body)?;
    }
    Ok(())
}
