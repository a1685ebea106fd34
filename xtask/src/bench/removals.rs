//! `cargo xtask bench removals`: what the log of removals costs, and how fast it answers.
//!
//! The measuring is done by an example of the crate that it measures, because nobody else may see the state.

use anyhow::Result;

use super::page;
use crate::shell;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Ten million entries instead of one
    #[arg(long)]
    full: bool,

    /// Leave docs/benchmarks.md as it is
    #[arg(long)]
    no_page: bool,
}

/// Measures, prints, and writes the page.
pub(crate) fn run(args: &Args) -> Result<()> {
    let entries = if args.full { "10000000" } else { "1000000" };
    let figures = super::of_example("cleanup-state", "bench_removals", &[entries])?;
    if !args.no_page {
        let flag = if args.full { " --full" } else { "" };
        let body = format!(
            "## The log of removals\n\n```console,no-run\n$ cargo xtask bench removals{flag}\n```\n\n\
             Entries are written as sweeps of 100,000 files would, by one thread; then 400 paths that were removed and 400 \
             that were not are looked up, one after the other, each as a command that has just been started would.\n\n\
             {}\n",
            figures.trim()
        );
        page::write(&shell::top().join("docs/benchmarks.md"), "removals", &body)?;
    }
    Ok(())
}
