//! The workshop: what people and CI run on this repository, `cargo xtask --help`.
//!
//! One file per bench. A new command is a module with `Args` and `run`, and one line in each of the two lists below.
//! Nothing here ships: the product is built from `crates/`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line of the workshop speaks to a person")]

mod bench;
mod ci;
mod deploy_units;
#[cfg(target_arch = "x86_64")]
mod faults;
#[cfg(not(target_arch = "x86_64"))]
#[path = "faults/elsewhere.rs"]
mod faults;
mod licences;
mod screenshots;
mod shell;
mod test;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about, disable_help_subcommand = true)]
struct Workshop {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check everything: format, clippy, tests, docs, licences
    Ci(ci::Args),
    /// Run all tests against a throwaway PostgreSQL
    Test(test::Args),
    /// Render the deployment files from the configuration
    DeployUnits(deploy_units::Args),
    /// Make the pictures of the dashboard for the documents
    Screenshots(screenshots::Args),
    /// Have every system call of small runs fail, and see that nothing is lost
    Faults(faults::Args),
    /// Measure, beside others
    Bench(bench::Args),
}

fn main() -> ExitCode {
    let done = match Workshop::parse().command {
        Command::Ci(args) => ci::run(&args),
        Command::Test(args) => test::run(&args),
        Command::DeployUnits(args) => deploy_units::run(&args),
        Command::Screenshots(args) => screenshots::run(&args),
        Command::Faults(args) => faults::run(&args),
        Command::Bench(args) => bench::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Without the backtrace that anyhow may carry: what failed is a command, not this program.
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}
