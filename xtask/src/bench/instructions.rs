//! `cargo xtask bench instructions`: how many instructions the judge and a sweep take, against slow decay.
//!
//! Instructions of our own code, counted by callgrind, are the same on a busy machine and an idle one. They are compared
//! with the figures that were committed, on the toolchain that those were counted with; another compiler makes other
//! code, and then they are only printed. What the kernel does is not among them, nor what stands around a sweep: the
//! configuration's command, the memory, the report.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::fixture::{Due, Fixture, Folders, MAX_AGE, Named, PATTERN};
use crate::shell::{self, cargo, find, top, without_leftovers};

/// How far a count may be from the committed one, in percent.
const TOLERANCE: u64 = 10;

const ROUNDS: [u32; 2] = [100_000, 200_000];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Fail where a count is more than a tenth from the committed one
    #[arg(long, conflicts_with = "record")]
    check: bool,
    /// Keep the counts of this run
    #[arg(long)]
    record: bool,
}

/// What is committed.
#[derive(Debug, PartialEq, Deserialize, Serialize)]
struct Counts {
    /// As `rustc --version` says it, with the machine's architecture.
    toolchain: String,
    /// Instructions for each of many verdicts.
    verdict: u64,
    /// Instructions for each file of a sweep of 10,000, of which every other one is due.
    file: u64,
}

/// Counts, prints, and compares.
pub(crate) fn run(args: &Args) -> Result<()> {
    let valgrind = find("valgrind").context("valgrind is not installed; as root, run apt-get install valgrind")?;
    // Not the program itself: callgrind hides the clock that the kernel maps into every process, which it insists on.
    shell::run(&mut cargo(&["build", "--release", "-p", "cleanup-fs-store", "--example", "sweep"]))?;
    shell::run(&mut cargo(&["build", "--release", "-p", "xtask", "--example", "judge"]))?;
    let target = cargo_metadata::MetadataCommand::new().current_dir(top()).no_deps().exec()?.target_directory;
    let release = target.join("release").into_std_path_buf();
    let now =
        Counts { toolchain: toolchain()?, verdict: verdict(&valgrind, &release)?, file: file(&valgrind, &release)? };
    let path = top().join("xtask/instructions.toml");
    if args.record {
        let text = format!("# Written by cargo xtask bench instructions --record\n{}", toml::to_string(&now)?);
        return fs::write(&path, text).context("cannot keep the counts");
    }
    let kept: Counts = toml::from_str(&fs::read_to_string(&path).context("no counts are kept")?)?;
    let (text, is_fine) = compared(&now, &kept);
    print!("{text}");
    ensure!(
        !args.check || is_fine,
        "the counts differ from the recorded ones; find out why, or record them with \
                                     --record"
    );
    Ok(())
}

/// A line for each count, and whether all are near those that are kept, or cannot be compared.
fn compared(now: &Counts, kept: &Counts) -> (String, bool) {
    let mut text = String::new();
    let is_same = now.toolchain == kept.toolchain;
    let mut is_fine = true;
    for (name, now, kept) in [("verdict", now.verdict, kept.verdict), ("file swept", now.file, kept.file)] {
        let is_near = now.abs_diff(kept) * 100 <= kept * TOLERANCE;
        is_fine &= is_near;
        let word = if is_near { "" } else { ", which is more than a tenth away" };
        writeln!(text, "instructions for each {name}: {now}, kept {kept}{word}").expect("a string takes everything");
    }
    if !is_same {
        let (now, kept) = (&now.toolchain, &kept.toolchain);
        writeln!(text, "counted with {now}, kept with {kept}: not compared").expect("a string takes everything");
    }
    (text, is_fine || !is_same)
}

/// Start and end are the same, however many rounds: the difference is the rounds alone.
fn verdict(valgrind: &Path, release: &Path) -> Result<u64> {
    let judge = release.join("examples/judge");
    let count = |rounds: u32| counted(Command::new(valgrind), |command| command.arg(&judge).arg(rounds.to_string()));
    let [few, many] = ROUNDS.map(count);
    Ok((many? - few?) / u64::from(ROUNDS[1] - ROUNDS[0]))
}

/// The same for a sweep: that of an empty folder is taken off.
fn file(valgrind: &Path, release: &Path) -> Result<u64> {
    const FILES: u64 = 10_000;
    let folder = tempdir()?;
    let sweep = |name: &str, files: u64| -> Result<u64> {
        let root = folder.join(name);
        Fixture { folders: Folders::Flat, files, due: Due::EveryOther, named: Named::All }.make(&root)?;
        let config = folder.join(format!("{name}.toml"));
        let max_age = MAX_AGE.as_secs() / 3600;
        let policy = format!("root = '{}'\ninclude = [\"{PATTERN}\"]\nmax_age = \"{max_age}h\"", root.display());
        fs::write(&config, format!("[files.bench]\n{policy}\n"))?;
        let count = counted(Command::new(valgrind), |command| {
            command.arg(release.join("examples/sweep")).arg(&config).arg("1")
        });
        Fixture { folders: Folders::Flat, files, due: Due::EveryOther, named: Named::All }.check_swept(&root)?;
        count
    };
    let counts = sweep("empty", 0).and_then(|empty| Ok((empty, sweep("full", FILES)?)));
    fs::remove_dir_all(&folder)?;
    let (empty, full) = counts?;
    Ok((full - empty) / FILES)
}

fn counted(mut command: Command, add: impl FnOnce(&mut Command) -> &mut Command) -> Result<u64> {
    without_leftovers(&mut command).args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    let output = add(&mut command).output().context("cannot start valgrind")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "callgrind failed: {said}");
    let count = said.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
    count.with_context(|| format!("callgrind counted nothing: {said}"))
}

fn toolchain() -> Result<String> {
    let output = Command::new("rustc").arg("--version").current_dir(top()).output().context("cannot ask rustc")?;
    let version = String::from_utf8(output.stdout)?;
    if !output.status.success() {
        bail!("rustc does not say its version");
    }
    Ok(format!("{}, {}", version.trim(), std::env::consts::ARCH))
}

fn tempdir() -> Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!("cleanup-instructions-{}", std::process::id()));
    fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(toolchain: &str, verdict: u64) -> Counts {
        Counts { toolchain: toolchain.to_owned(), verdict, file: 1000 }
    }

    #[test]
    fn a_tenth_either_way_is_near_and_another_toolchain_is_not_compared() {
        let is_fine = |now: &Counts| compared(now, &counts("a", 200)).1;
        assert!(is_fine(&counts("a", 220)) && is_fine(&counts("a", 180)));
        assert!(!is_fine(&counts("a", 221)) && !is_fine(&counts("a", 179)));
        assert!(is_fine(&counts("b", 500)));
        assert!(compared(&counts("b", 500), &counts("a", 200)).0.contains("not compared"));
    }
}
