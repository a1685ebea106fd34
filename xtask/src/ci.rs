//! `cargo xtask ci`: all that must hold before a change lands, in the order in which it is cheapest to be told.
//!
//! CI calls this and nothing else, so whatever passes here passes there. The first failure ends the run with the
//! command that repairs it or shows more.

use std::time::Instant;

use anyhow::{Result, anyhow};
use clap::ValueEnum;

use crate::shell::{self, cargo};
use crate::{deploy_units, faults, licences, test};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these steps
    #[arg(value_enum)]
    steps: Vec<Step>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Step {
    Fmt,
    Clippy,
    DeployUnits,
    Test,
    Faults,
    Doc,
    Licences,
}

/// Runs the steps, or the named ones.
pub(crate) fn run(args: &Args) -> Result<()> {
    let start = Instant::now();
    for &step in Step::value_variants() {
        if args.steps.is_empty() || args.steps.contains(&step) {
            let step_start = Instant::now();
            println!("\n== {}: {}", step.name(), step.claim());
            step.run().map_err(|error| anyhow!("{error:#}\n== {} failed; next: {}", step.name(), step.repair()))?;
            println!("== {}: good, {:.1} s", step.name(), step_start.elapsed().as_secs_f32());
        }
    }
    println!("\n== all good, {:.1} s", start.elapsed().as_secs_f32());
    Ok(())
}

impl Step {
    fn run(self) -> Result<()> {
        match self {
            Self::Fmt => shell::run(&mut cargo(&["fmt", "--all", "--check"])),
            Self::Clippy => {
                let flags = ["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
                shell::run(&mut cargo(&flags))
            }
            Self::DeployUnits => deploy_units::check(),
            Self::Test => test::run(&test::Args::default()),
            Self::Faults => faults::sample(),
            Self::Doc => {
                let flags = ["doc", "--workspace", "--all-features", "--no-deps"];
                shell::run(cargo(&flags).env("RUSTDOCFLAGS", "-D warnings"))
            }
            Self::Licences => licences::check(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Fmt => "fmt",
            Self::Clippy => "clippy",
            Self::DeployUnits => "deploy-units",
            Self::Test => "test",
            Self::Faults => "faults",
            Self::Doc => "doc",
            Self::Licences => "licences",
        }
    }

    fn claim(self) -> &'static str {
        match self {
            Self::Fmt => "the code is formatted",
            Self::Clippy => "no lint has anything to say",
            Self::DeployUnits => "the deployment files are those of the configuration",
            Self::Test => "every test passes",
            Self::Faults => "nothing is lost when a system call fails",
            Self::Doc => "the documentation builds, and its links lead somewhere",
            Self::Licences => "every dependency may be used, and comes from where it should",
        }
    }

    /// What to type after a failure.
    fn repair(self) -> &'static str {
        match self {
            Self::Fmt => "cargo fmt --all",
            Self::Clippy => "cargo clippy --workspace --all-targets --all-features --fix",
            Self::DeployUnits => "cargo xtask deploy-units",
            Self::Test => "cargo xtask test -- NAME_OF_THE_TEST",
            Self::Faults => "the line after `again:` above",
            Self::Doc => "RUSTDOCFLAGS='-D warnings' cargo doc --workspace --all-features --no-deps",
            Self::Licences => "replace the dependency, or allow its licence in deny.toml and say why",
        }
    }
}
