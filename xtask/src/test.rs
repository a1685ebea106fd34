//! `cargo xtask test`: every test of the workspace, from a fresh clone, against a PostgreSQL of its own.
//!
//! One throwaway cluster serves the whole run and is gone afterwards, also when tests fail or someone presses ctrl-c:
//! it watches over itself.
//! A test that hangs is stopped and named, within the limits of `xtask/nextest.toml`. Plain `cargo test`, where nextest is
//! not installed, knows no limit: it names a test that takes longer than a minute, and waits for it.
//! Variables that the product would obey are taken away first, so that a run says the same on every machine.

use cleanup_test_postgres::{Cluster, SOCKET_VARIABLE};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::shell::{self, cargo, find, without_leftovers};
use crate::tools;

/// Tells tests where the programs from `PyPI` are.
const TOOLS_VARIABLE: &str = "CLEANUP_TEST_TOOLS";

#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// Passed on to the test runner: a filter, `-p PACKAGE`, …
    #[arg(last = true)]
    runner_args: Vec<String>,
}

/// Runs the tests; with arguments for the runner, only the runner and not the examples in the docs.
pub(crate) fn run(args: &Args) -> Result<()> {
    tools::provide()?;
    let from_pypi = tools::provide_from_pypi()?;
    let cluster = Cluster::start().context("cannot start a PostgreSQL for the tests")?;
    println!("PostgreSQL of our own: {}", cluster.socket_dir().display());

    // The runner comes last: its closing lines are the result.
    let examples = ["test", "--doc", "--workspace", "--all-features"];
    let runner: &[&str] = if find("cargo-nextest").is_some() {
        &["nextest", "run", "--config-file", "xtask/nextest.toml", "--all-features", "--no-fail-fast"]
    } else {
        println!("cargo-nextest is not installed, so this is plain `cargo test`, which waits for a test that hangs");
        &["test", "--all-features", "--no-fail-fast", "--tests"]
    };
    if args.runner_args.is_empty() {
        shell::run(against(&cluster, None, &mut cargo(&examples)))?;
    }
    let mut command = cargo(runner);
    if !args.runner_args.iter().any(|arg| arg.starts_with("-p") || arg.starts_with("--package")) {
        command.arg("--workspace");
    }
    command.args(&args.runner_args);
    shell::run(against(&cluster, from_pypi.as_deref(), &mut command))
}

fn against<'a>(cluster: &Cluster, from_pypi: Option<&Path>, command: &'a mut Command) -> &'a mut Command {
    command.envs(from_pypi.map(|folder| (TOOLS_VARIABLE, folder)));
    without_leftovers(command).env(SOCKET_VARIABLE, cluster.socket_dir()).env("INSTA_UPDATE", "no")
}
