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
mod server;
mod sessions;
mod sweep;

use anyhow::Result;

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
        Bench::Sessions(args) => sessions::run(args),
        Bench::Server(args) => server::run(args),
    }
}
