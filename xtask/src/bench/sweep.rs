//! `cargo xtask bench sweep`: one sweep of equal fresh trees by each contender, in turn, checked after each run.
//!
//! The turns go round, so that a disk that is busy for a while meets all alike. Trees of which nothing is due are made
//! once, since nobody changes them. The cache is warm: a tree has just been made and written out.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum as _;
use rustix::fs::{IFlags, Mode, OFlags, ioctl_getflags, ioctl_setflags};

use super::contenders::{Bench, Contender};
use super::fixture::{Due, Fixture, Folders, Named};
use super::page;
use crate::shell::{self, cargo, top, without_leftovers};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Files in the largest trees; the others are smaller in proportion
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1_000..))]
    files: u64,
    /// Sweeps by each contender in each scenario
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
    /// Large trees, more runs, and five million files for the memory: a quarter of an hour
    #[arg(long, conflicts_with_all = ["files", "runs"])]
    full: bool,
    /// Where the trees are made; a folder of /dev/shm tells of tmpfs
    #[arg(long, default_value = "target")]
    dir: PathBuf,
    /// Only these scenarios: S1,S4
    #[arg(long, value_delimiter = ',')]
    scenarios: Vec<String>,
    /// Only these contenders
    #[arg(long, value_delimiter = ',', value_enum)]
    only: Vec<Contender>,
    /// Print the figures, but leave docs/benchmarks.md as it is; so does a run of a part
    #[arg(long)]
    no_page: bool,
}

/// One question that all contenders are asked.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) fixture: Fixture,
    pub(crate) turn: Turn,
}

/// Whether anybody was there before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Turn {
    /// Nobody was.
    First,
    /// The same contender has just swept the same tree, and may know that.
    Second,
}

/// What one run cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    /// User and system time, of all threads and children.
    pub(crate) processor: Duration,
    pub(crate) peak_bytes: u64,
}

/// All runs of one scenario, by contender.
pub(crate) struct Outcome {
    pub(crate) scenario: Scenario,
    pub(crate) costs: Vec<(Contender, Vec<Cost>)>,
}

impl Args {
    fn files(&self) -> u64 {
        if self.full { 1_000_000 } else { self.files }
    }

    fn runs(&self) -> u64 {
        if self.full { 5 } else { self.runs }
    }
}

/// The scenario of an empty folder, as a dry run.
pub(crate) const STARTING: &str = "S0";

/// The scenarios that are about memory alone: at first, and when the files are known.
pub(crate) const MEMORY: [&str; 2] = ["S7", "S7-again"];

/// As many as nobody has in one folder, until somebody has.
pub(crate) const MANY_FILES: u64 = 5_000_000;

fn scenarios(args: &Args) -> Vec<Scenario> {
    let files = args.files();
    let all = |folders, files, due| Fixture { folders, files, due, named: Named::All };
    let named_few = Fixture { folders: Folders::Flat, files, due: Due::None, named: Named::OneInAHundred };
    let (fifth, folders, tiny) = (files / 5, files / 1_000, files / 50);
    #[rustfmt::skip]
    let list = [
        (STARTING, "an empty directory: starting up",     all(Folders::Flat, 0, Due::None)),
        ("S1", "one directory, none due",             all(Folders::Flat, files, Due::None)),
        ("S2", "one directory, all due",              all(Folders::Flat, fifth, Due::All)),
        ("S3", "one directory, every other due",      all(Folders::Flat, fifth, Due::EveryOther)),
        ("S4", "directories of 200, every other due", all(Folders::Below(folders), 200 * folders, Due::EveryOther)),
        ("S5", "one directory, none due, the pattern matches one in a hundred", named_few),
        ("S6", "directories of two files, none due",  all(Folders::Below(tiny), 2 * tiny, Due::None)),
    ];
    let first = list.into_iter().map(|(name, what, fixture)| Scenario { name, what, fixture, turn: Turn::First });
    let again =
        |name, what, files| Scenario { name, what, fixture: all(Folders::Flat, files, Due::None), turn: Turn::Second };
    let mut scenarios: Vec<Scenario> = first.collect();
    scenarios.push(again("S1-again", "one directory, none due, the second sweep", files));
    if args.full {
        let [name, name_again] = MEMORY;
        let once = Scenario { turn: Turn::First, ..again(name, "memory, none due", MANY_FILES) };
        scenarios.extend([once, again(name_again, "memory, none due, the second sweep", MANY_FILES)]);
    }
    scenarios
}

/// Runs the chosen scenarios, prints the figures, and writes them into `docs/benchmarks.md`.
pub(crate) fn run(args: &Args) -> Result<()> {
    let takes_part = |contender: &Contender| args.only.is_empty() || args.only.contains(contender);
    // All from the same release profile, as they would be shipped.
    if Contender::value_variants().iter().any(|contender| contender.is_ours() && takes_part(contender)) {
        shell::run(&mut cargo(&["build", "--release", "-p", "cleanup-cli"]))?;
    }
    shell::run(&mut cargo(&["build", "--release", "-p", "xtask", "--examples"]))?;
    let target = cargo_metadata::MetadataCommand::new().current_dir(top()).no_deps().exec()?.target_directory;
    let release = target.join("release").into_std_path_buf();

    let folder = std::path::absolute(top().join(&args.dir))?.join("bench-sweep");
    if folder.exists() {
        fs::remove_dir_all(&folder).context("cannot remove what an earlier run left")?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    spread_out(&folder);
    let bench = Bench { release: &release, papers: &folder };

    let contenders: Vec<(Contender, PathBuf)> = Contender::value_variants()
        .iter()
        .filter(|contender| takes_part(contender))
        .filter_map(|&contender| match contender.program(&bench) {
            None => {
                println!("{} is not installed, and is left out", contender.name());
                None
            }
            program => Some((contender, program?)),
        })
        .collect();

    let facts = page::Facts::gather(&folder, &contenders)?;
    let mut outcomes = Vec::new();
    for scenario in scenarios(args) {
        if args.scenarios.is_empty() || args.scenarios.iter().any(|name| name.eq_ignore_ascii_case(scenario.name)) {
            let start = Instant::now();
            let outcome = play(scenario, &contenders, args.runs(), &bench)?;
            println!("\n{}", page::section(&outcome, &facts));
            println!("({:.0} s)", start.elapsed().as_secs_f32());
            outcomes.push(outcome);
        }
    }
    fs::remove_dir_all(&folder)?;
    let whole = args.only.is_empty() && args.scenarios.is_empty();
    if whole && !args.no_page {
        let page = top().join("docs/benchmarks.md");
        let size = if args.full { "--full".to_owned() } else { format!("--files {} --runs {}", args.files, args.runs) };
        let command = format!("cargo xtask bench sweep {size}");
        page::write(&page, "sweep", &page::sweeps(&facts, &outcomes, &command, args.runs()))?;
        println!("\nwritten to docs/benchmarks.md");
    }
    Ok(())
}

fn play(scenario: Scenario, contenders: &[(Contender, PathBuf)], runs: u64, bench: &Bench<'_>) -> Result<Outcome> {
    let mut costs: Vec<_> = contenders
        .iter()
        .filter(|(contender, _)| contender.can_do(&scenario))
        .map(|(contender, program)| (*contender, program, Vec::new()))
        .collect();
    let mut trees =
        Trees { fixture: scenario.fixture, name: scenario.name, folder: bench.papers, current: None, made: 0 };
    for run in 0..runs {
        let turns = costs.len();
        for turn in 0..turns {
            let (contender, program, its_costs) = &mut costs[(turn + usize::try_from(run)?) % turns];
            let its = || format!("{} in {}", contender.name(), scenario.name);
            let root = trees.fresh()?;
            if scenario.turn == Turn::Second && contender.is_ours() {
                measure(*contender, program, &scenario, &root, bench).with_context(its)?;
            }
            let cost = measure(*contender, program, &scenario, &root, bench).with_context(its)?;
            scenario.fixture.check_swept(&root).with_context(its)?;
            its_costs.push(cost);
        }
    }
    trees.clear()?;
    let costs = costs.into_iter().map(|(contender, _, costs)| (contender, costs)).collect();
    Ok(Outcome { scenario, costs })
}

/// Equal trees, one at a time.
struct Trees<'a> {
    fixture: Fixture,
    name: &'static str,
    folder: &'a Path,
    current: Option<PathBuf>,
    made: u64,
}

impl Trees<'_> {
    /// A tree that nobody has swept, or one of which nothing could be swept.
    fn fresh(&mut self) -> Result<PathBuf> {
        if self.fixture.due != Due::None {
            self.clear()?;
        }
        if let Some(tree) = &self.current {
            return Ok(tree.clone());
        }
        self.made += 1;
        let tree = self.folder.join(format!("{}-{}", self.name, self.made));
        self.fixture.make(&tree)?;
        self.current = Some(tree.clone());
        Ok(tree)
    }

    fn clear(&mut self) -> Result<()> {
        match self.current.take() {
            Some(tree) => fs::remove_dir_all(&tree).with_context(|| format!("cannot remove {}", tree.display())),
            None => Ok(()),
        }
    }
}

/// Asks ext4 to lay the folders in `folder` far apart. Without a journal it searches long before it hands out an inode
/// that was freed within the last minutes, and a tree beside the one before would take a hundred times as long to make.
pub(super) fn spread_out(folder: &Path) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    if let Ok(folder) = rustix::fs::open(folder, flags, Mode::empty())
        && let Ok(attributes) = ioctl_getflags(&folder)
    {
        // Other file systems know no such wish.
        let _ = ioctl_setflags(&folder, attributes | IFlags::TOPDIR);
    }
}

fn measure(contender: Contender, program: &Path, scenario: &Scenario, root: &Path, bench: &Bench<'_>) -> Result<Cost> {
    cost(program, bench, |command| contender.ask(scenario, root, bench, command))
}

/// What one run of a program costs that is asked like this.
pub(super) fn cost(program: &Path, bench: &Bench<'_>, ask: impl FnOnce(&mut Command) -> Result<()>) -> Result<Cost> {
    let (result, said) = (bench.papers.join("result"), bench.papers.join("said"));
    let mut command = Command::new(bench.release.join("examples/measure"));
    without_leftovers(&mut command).arg(&result).arg(program).current_dir(bench.papers);
    ask(&mut command)?;
    let status = command.stdout(Stdio::null()).stderr(fs::File::create(&said)?).status()?;
    let said = fs::read_to_string(&said).unwrap_or_default();
    ensure!(status.success(), "cannot be measured: {said}");

    let line = fs::read_to_string(&result)?;
    let numbers = line.split_whitespace().map(str::parse::<i64>).collect::<Result<Vec<_>, _>>()?;
    let [code, wall, user, system, peak] = numbers[..] else { anyhow::bail!("unexpected measure: {line}") };
    ensure!(code == 0, "ended with exit code {code}: {said}");
    Ok(Cost {
        wall: Duration::from_micros(wall.try_into()?),
        processor: Duration::from_micros((user + system).try_into()?),
        peak_bytes: peak.try_into()?,
    })
}
