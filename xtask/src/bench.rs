//! `cargo xtask bench`: how fast we are, always beside others, always on this machine and in this run.
//!
//! Nothing here passes or fails by time; instructions are counted and may be checked. Figures of different machines or days are not comparable, so what is printed
//! and kept are ratios within one run, with their spread.

mod contenders;
mod fixture;
mod goals;
mod instructions;
mod page;
mod quarantine;
mod removals;
mod server;
mod sessions;
mod sweep;

use std::io::Write as _;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};

use crate::shell;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(clap::Subcommand)]
enum Bench {
    /// Sweep trees of files, beside find, systemd-tmpfiles, fd, tmpreaper, and programs of our own
    Sweep(sweep::Args),
    /// Count the instructions of the judge and of a sweep, beside those of the last change
    Instructions(instructions::Args),
    /// Move files into quarantine, beside their deletion
    Quarantine(quarantine::Args),
    /// Write the log of removals, and ask it
    Removals(removals::Args),
    /// Remove session rows under load, beside one big DELETE and batches of ids
    Sessions(sessions::Args),
    /// Ask, load and leave alone the service, beside a bare route, find, and plain unlinks
    Server(server::Args),
}

/// Runs the named benchmark.
pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.bench {
        Bench::Sweep(args) => sweep::run(args),
        Bench::Instructions(args) => instructions::run(args),
        Bench::Quarantine(args) => quarantine::run(args),
        Bench::Removals(args) => removals::run(args),
        Bench::Sessions(args) => sessions::run(args),
        Bench::Server(args) => server::run(args),
    }
}

/// Runs an example that measures its own crate, prints what it says and returns it.
fn of_example(package: &str, example: &str, words: &[&str]) -> Result<String> {
    let mut cargo = shell::cargo(&["run", "--release", "--package", package, "--example", example, "--"]);
    cargo.args(words).stderr(Stdio::inherit());
    let output = shell::without_leftovers(&mut cargo).output().context("cannot start cargo")?;
    std::io::stdout().write_all(&output.stdout).context("cannot print the figures")?;
    ensure!(output.status.success(), "the measurement failed: {}", output.status);
    String::from_utf8(output.stdout).context("the figures are text")
}
