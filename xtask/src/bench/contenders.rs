//! Who runs: ours, the peers that are installed, and three programs of the workshop to hold them against.
//!
//! Each is asked for the same thing in its own words. One that cannot say it (a peer without name patterns) sits that
//! scenario out, rather than being measured at something else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::fixture::{Folders, MAX_AGE, Named, PATTERN};
use super::sweep::{MEMORY, STARTING, Scenario, Turn};
use crate::shell::{find, top};

/// A program that can sweep.
#[derive(Clone, Copy, Debug, PartialEq, clap::ValueEnum)]
pub(crate) enum Contender {
    Cleanup,
    Cleanup2,
    Find,
    Tmpfiles,
    Fd,
    Tmpreaper,
    Script,
    Baseline,
    Floor,
    Floor2,
}

/// Where the programs of this workspace were built, and a folder for the files that contenders want to be given.
pub(crate) struct Bench<'a> {
    pub(crate) release: &'a Path,
    pub(crate) papers: &'a Path,
}

impl Contender {
    /// As it is called in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cleanup => "cleanup, 1 worker",
            Self::Cleanup2 => "cleanup, 2 workers",
            Self::Find => "find",
            Self::Tmpfiles => "systemd-tmpfiles",
            Self::Fd => "fd",
            Self::Tmpreaper => "tmpreaper",
            Self::Script => "Python script",
            Self::Baseline => "walkdir, globset",
            Self::Floor => "floor, 1 thread",
            Self::Floor2 => "floor, 2 threads",
        }
    }

    /// Whether it is what is measured, and not what it is measured by.
    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Self::Cleanup | Self::Cleanup2)
    }

    /// The program, or nothing where it is not installed.
    pub(crate) fn program(self, bench: &Bench<'_>) -> Option<PathBuf> {
        match self {
            Self::Cleanup | Self::Cleanup2 => Some(bench.release.join("cleanup")),
            Self::Find => find("find"),
            Self::Tmpfiles => find("systemd-tmpfiles"),
            Self::Fd => find("fd").or_else(|| find("fdfind")),
            Self::Tmpreaper => find("tmpreaper"),
            Self::Script => python(),
            Self::Baseline => Some(bench.release.join("examples/baseline")),
            Self::Floor | Self::Floor2 => Some(bench.release.join("examples/floor")),
        }
    }

    /// What it says of its version, in a word or two; nothing for programs of this workspace.
    pub(crate) fn version(self, program: &Path) -> Option<String> {
        let flag = match self {
            Self::Find | Self::Tmpfiles | Self::Fd | Self::Script => "--version",
            Self::Tmpreaper => "-V",
            Self::Cleanup | Self::Cleanup2 | Self::Baseline | Self::Floor | Self::Floor2 => return None,
        };
        let output = Command::new(program).arg(flag).output().ok()?;
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let version = text.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()))?;
        Some(format!("{} {}", self.name(), version.trim_end_matches([',', ')'])))
    }

    /// Whether it can be told what this scenario asks for.
    pub(crate) fn can_do(self, scenario: &Scenario) -> bool {
        let selects_by_name = !matches!(self, Self::Tmpfiles | Self::Tmpreaper);
        // Whoever knows nothing of the last time takes as long as at the first one.
        let is_about_us = MEMORY.contains(&scenario.name) || scenario.turn == Turn::Second;
        let is_measured = !is_about_us || self.is_ours() || self == Self::Find;
        is_measured && (selects_by_name || scenario.fixture.named == Named::All)
    }

    /// Adds the arguments for one sweep of `root`.
    pub(crate) fn ask(self, scenario: &Scenario, root: &Path, bench: &Bench<'_>, command: &mut Command) -> Result<()> {
        let flat = scenario.fixture.folders == Folders::Flat;
        let seconds = MAX_AGE.as_secs().to_string();
        let minutes = format!("+{}", MAX_AGE.as_secs() / 60);
        let hours = format!("{}h", MAX_AGE.as_secs() / 3600);
        match self {
            Self::Cleanup | Self::Cleanup2 => {
                let policy = format!("root = '{}'\ninclude = [\"{PATTERN}\"]\nmax_age = \"{hours}\"", root.display());
                // By a name of its own for each tree: the same rule over another root would be held back as changed.
                let name = root.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
                let state = match scenario.turn {
                    // Nobody else remembers its runs either; what that costs is the same for any number of files.
                    Turn::First => "none".to_owned(),
                    Turn::Second => format!("sqlite:{}", bench.papers.join("state/state.db").display()),
                };
                let state = format!("[state]\nurl = \"{state}\"\n");
                let config = format!("[files.{name}]\n{policy}\nrecursive = {}\n\n{state}", !flat);
                let jobs = if self == Self::Cleanup { "1" } else { "2" };
                command.arg("-c").arg(paper(bench, "cleanup.toml", &config)?).args(["sweep", "-q", "--jobs", jobs]);
                if scenario.name == STARTING {
                    command.arg("--dry-run");
                }
            }
            Self::Find => {
                let depth: &[&str] = if flat { &["-maxdepth", "1"] } else { &[] };
                let select = ["-type", "f", "-name", PATTERN, "-mmin", &minutes];
                command.arg(root).args(depth).args(select).arg("-delete");
            }
            Self::Tmpfiles => {
                let line = format!("e {} - - - m:{hours}\n", root.display());
                command.arg("--clean").arg(paper(bench, "tmpfiles.conf", &line)?);
            }
            Self::Fd => {
                let select = ["--unrestricted", "--type", "f", "--changed-before", &hours, "--glob", PATTERN];
                command.args(select).arg(root).args(["--exec-batch", "rm", "-f", "--"]);
            }
            Self::Tmpreaper => {
                command.args(["--mtime", "--runtime=0", &hours]).arg(root);
            }
            Self::Script => {
                command.arg(top().join("xtask/examples/script.py")).arg(root).args([PATTERN, &seconds]);
            }
            Self::Baseline => {
                command.arg(root).args([PATTERN, &seconds]);
            }
            Self::Floor => {
                command.arg(root).args([&seconds, "1"]);
            }
            Self::Floor2 => {
                command.arg(root).args([&seconds, "2"]);
            }
        }
        Ok(())
    }
}

fn paper(bench: &Bench<'_>, name: &str, text: &str) -> Result<PathBuf> {
    let path = bench.papers.join(name);
    fs::write(&path, text)?;
    Ok(path)
}

/// The interpreter itself: what lies on the search path may be a script that looks for it each time.
fn python() -> Option<PathBuf> {
    let output = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output().ok()?;
    let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    path.is_file().then_some(path)
}
