//! `cargo xtask bench server`: what the service costs: asked while it sweeps, left alone, per file, per deadline, per day.
//!
//! Each part starts a service of its own on a fresh tree and asks it over a socket, as its users do. What it spends is
//! read from the kernel. Nothing of the service is linked in here, and nothing in it knows that it is being measured.

#![allow(clippy::cast_precision_loss, reason = "figures are printed with two or three digits")]

mod churn;
mod client;
mod dashboard;
mod deadlines;
mod process;
mod quiet;
mod stats;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::ValueEnum as _;

use super::page;
use super::sweep::spread_out;
use crate::shell::{self, cargo, top};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A million files, 100,000 of them tracked, instead of a tenth
    #[arg(long)]
    full: bool,
    /// Only these parts
    #[arg(long, value_delimiter = ',', value_enum)]
    only: Vec<Part>,
    /// Where the trees are made
    #[arg(long, default_value = "target")]
    dir: PathBuf,
    /// Print the figures, but leave docs/benchmarks.md as it is; so does a run of a part
    #[arg(long)]
    no_page: bool,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, clap::ValueEnum)]
enum Part {
    /// `GET /cleanup/stats` while a sweep runs, against a bare route
    Stats,
    /// The dashboard beside all files and 10,000 runs, against `/healthz`
    Dashboard,
    /// Memory per tracked file, and the processor time of doing nothing
    Quiet,
    /// How late files go that come due in close order
    Deadlines,
    /// Files that come and go all day, against an hourly find
    Churn,
}

/// How much of everything.
pub(crate) struct Sizes {
    /// Files on the disk while the service is asked.
    files: u64,
    /// Files that are tracked, wherever the issue at hand is how many.
    tracked: u64,
    /// How long it is asked.
    asking: Duration,
    /// How long it is left alone.
    idle: Duration,
    /// Within which the deadlines of all tracked files lie.
    minute: Duration,
    /// Files that live at the same time while others come and go.
    live: u64,
    /// How long files come and go in fast forward, and how long in real time.
    churn: (Duration, Duration),
}

const SMALL: Sizes = Sizes {
    files: 100_000,
    tracked: 10_000,
    asking: Duration::from_secs(10),
    idle: Duration::from_secs(10),
    minute: Duration::from_secs(6),
    live: 50_000,
    churn: (Duration::from_secs(15), Duration::from_secs(15)),
};

const FULL: Sizes = Sizes {
    files: 1_000_000,
    tracked: 100_000,
    asking: Duration::from_secs(30),
    idle: Duration::from_secs(30),
    minute: Duration::from_secs(60),
    live: 1_000_000,
    churn: (Duration::from_secs(60), Duration::from_secs(60)),
};

/// Where everything is.
pub(crate) struct Place {
    /// The service.
    service: PathBuf,
    /// The programs that it is held against.
    examples: PathBuf,
    /// Trees, configurations and logs, in a folder for each part.
    folder: PathBuf,
}

impl Place {
    /// An empty folder.
    fn part(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        spread_out(&folder);
        Ok(folder)
    }
}

/// Measures, prints, and writes the page.
pub(crate) fn run(args: &Args) -> Result<()> {
    let place = prepare(&args.dir)?;
    let sizes = if args.full { &FULL } else { &SMALL };
    let mut text = String::new();
    for part in Part::value_variants() {
        if !args.only.is_empty() && !args.only.contains(part) {
            continue;
        }
        let start = Instant::now();
        let section = match part {
            Part::Stats => stats::measure(&place, sizes),
            Part::Dashboard => dashboard::measure(&place, sizes),
            Part::Quiet => quiet::measure(&place, sizes),
            Part::Deadlines => deadlines::measure(&place, sizes),
            Part::Churn => churn::measure(&place, sizes),
        }
        .with_context(|| format!("cannot measure {part:?}"))?;
        println!("{section}({:.0} s)\n", start.elapsed().as_secs_f32());
        text.push_str(&section);
    }
    if args.only.is_empty() && !args.no_page {
        let flag = if args.full { " --full" } else { "" };
        let facts = page::Facts::gather(&place.folder, &[])?;
        let body = format!(
            "## The service\n\n```console,no-run\n$ cargo xtask bench server{flag}\n```\n\n{facts}, empty files.\n\n{}",
            text.trim_start()
        );
        page::write(&top().join("docs/benchmarks.md"), "server", body.trim_end())?;
        println!("written to docs/benchmarks.md");
    }
    // All at the end: beside files that just went, new ones take long to make.
    fs::remove_dir_all(&place.folder).context("cannot remove the trees")
}

fn prepare(dir: &Path) -> Result<Place> {
    shell::run(&mut cargo(&["build", "--release", "-p", "cleanup-server"]))?;
    shell::run(&mut cargo(&["build", "--release", "-p", "cleanup-state", "--example", "past"]))?;
    shell::run(&mut cargo(&["build", "--release", "-p", "xtask", "--example", "bare", "--example", "measure"]))?;
    let target = cargo_metadata::MetadataCommand::new().current_dir(top()).no_deps().exec()?.target_directory;
    let release = target.join("release").into_std_path_buf();
    let folder = std::path::absolute(top().join(dir))?.join("bench-server");
    if folder.exists() {
        fs::remove_dir_all(&folder).context("cannot remove what an earlier run left")?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(Place { service: release.join("cleanup-server"), examples: release.join("examples"), folder })
}

/// `1234567` as people read it.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn thousands_are_told_apart() {
        assert_eq!(["7", "100", "1,000", "999,999", "1,000,000"], [7, 100, 1_000, 999_999, 1_000_000].map(grouped)[..]);
    }
}
