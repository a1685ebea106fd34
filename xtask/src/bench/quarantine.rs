//! `cargo xtask bench quarantine`: what it costs to move files aside instead of deleting them.
//!
//! Equal fresh trees are swept in turn, one by deletion and one into quarantine. What is compared is two runs one after the
//! other, so that a machine that is busy for a while slows both; the page has the median of those ratios.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};

use super::contenders::Bench;
use super::fixture::{Due, Fixture, Folders, MAX_AGE, Named, PATTERN};
use super::page::{self, Facts};
use super::sweep::{self, Cost};
use crate::shell::{self, cargo, top};

/// How many times as long as its deletion it may take to move a file aside, on ext4.
const GOAL: f64 = 1.6;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Files in each tree
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1_000..))]
    files: u64,
    /// Pairs of sweeps of each tree
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
    /// Where the trees are made: best on an ext4 with a journal of its own
    #[arg(long, default_value = "target")]
    dir: PathBuf,
    /// Print the figures, but leave docs/benchmarks.md as it is
    #[arg(long)]
    no_page: bool,
}

/// Files in each directory: few, so that one sync has to serve many directories.
const EACH: u64 = 20;

/// One sweep by deletion and one into quarantine, right after each other.
struct Pair {
    deletion: Cost,
    quarantine: Cost,
}

impl Pair {
    fn ratio(&self, time: fn(&Cost) -> Duration) -> f64 {
        time(&self.quarantine).as_secs_f64() / time(&self.deletion).as_secs_f64()
    }
}

/// Ratios of pairs: the median, the least, the most.
fn ratios(pairs: &[Pair], time: fn(&Cost) -> Duration) -> (f64, f64, f64) {
    let mut ratios: Vec<f64> = pairs.iter().map(|pair| pair.ratio(time)).collect();
    ratios.sort_by(f64::total_cmp);
    (ratios[ratios.len() / 2], ratios[0], ratios[ratios.len() - 1])
}

/// Measures, prints, and writes into `docs/benchmarks.md`.
pub(crate) fn run(args: &Args) -> Result<()> {
    shell::run(&mut cargo(&["build", "--release", "-p", "cleanup-cli"]))?;
    shell::run(&mut cargo(&["build", "--release", "-p", "xtask", "--examples"]))?;
    let target = cargo_metadata::MetadataCommand::new().current_dir(top()).no_deps().exec()?.target_directory;
    let release = target.join("release").into_std_path_buf();
    let folder = std::path::absolute(top().join(&args.dir))?.join("bench-quarantine");
    if folder.exists() {
        fs::remove_dir_all(&folder).context("cannot remove what an earlier run left")?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    sweep::spread_out(&folder);
    let bench = Bench { release: &release, papers: &folder };
    let facts = Facts::gather(&folder, &[])?;

    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header([
        "",
        "deletion, ms",
        "quarantine, ms",
        "against deletion",
        "min to max",
        "goal",
        "processor against deletion",
    ]);
    let files = args.files;
    let fixture = Fixture { folders: Folders::Below(files / EACH), files, due: Due::All, named: Named::All };
    for (name, bytes) in [("empty files", 0), ("files of 4 KiB", 4096)] {
        let mut pairs = Vec::new();
        for run in 0..args.runs {
            pairs.push(pair(&fixture, bytes, &bench, run)?);
        }
        let (wall, least, most) = ratios(&pairs, |cost| cost.wall);
        let (processor, ..) = ratios(&pairs, |cost| cost.processor);
        table.add_row([
            name.to_owned(),
            page::ms(page::median(pairs.iter().map(|pair| pair.deletion.wall))),
            page::ms(page::median(pairs.iter().map(|pair| pair.quarantine.wall))),
            format!("{wall:.2}"),
            format!("{least:.2} to {most:.2}"),
            format!("{GOAL}: {}", if wall <= GOAL { "reached" } else { "missed" }),
            format!("{processor:.2}"),
        ]);
    }
    fs::remove_dir_all(&folder)?;
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let size = format!("--files {files} --runs {}", args.runs);
    let text = format!(
        "## Quarantine against deletion\n\n```console,no-run\n$ cargo xtask bench quarantine {size}\n```\n\n{facts}, \
         warm cache, {files} files in directories of {EACH}, all due; {} pairs of consecutive sweeps of equal trees.\n\
         *Against deletion* is the median of the ratios within a pair, of elapsed time and of processor time.\n\
         cleanup keeps no state here (`[state] url = \"none\"`) and chooses its number of workers.\nA note is on the \
         disk before its file moves; [one sync serves up to 4,096 notes](deletion.md#into-quarantine-and-back), of \
         one or many folders.\n\n{}\n",
        args.runs,
        page::with_alignment(&table),
    );
    println!("\n{text}");
    if !args.no_page {
        page::write(&top().join("docs/benchmarks.md"), "quarantine", &text)?;
        println!("written to docs/benchmarks.md");
    }
    Ok(())
}

/// Sweeps two equal trees, now this way first and now that.
fn pair(fixture: &Fixture, bytes: usize, bench: &Bench<'_>, run: u64) -> Result<Pair> {
    let swept = |dispose: &str| swept(fixture, bytes, bench, dispose).with_context(|| format!("dispose = {dispose}"));
    if run.is_multiple_of(2) {
        let deletion = swept("delete")?;
        return Ok(Pair { deletion, quarantine: swept("quarantine")? });
    }
    let quarantine = swept("quarantine")?;
    Ok(Pair { deletion: swept("delete")?, quarantine })
}

fn swept(fixture: &Fixture, bytes: usize, bench: &Bench<'_>, dispose: &str) -> Result<Cost> {
    let root = bench.papers.join("tree");
    fixture.make(&root)?;
    fill(&root, bytes)?;
    let config = bench.papers.join("cleanup.toml");
    let hours = MAX_AGE.as_secs() / 3600;
    let policy = format!("root = '{}'\ninclude = [\"{PATTERN}\"]\nmax_age = \"{hours}h\"", root.display());
    let state = "[state]\nurl = \"none\"";
    fs::write(&config, format!("[files.bench]\n{policy}\nrecursive = true\ndispose = \"{dispose}\"\n\n{state}\n"))?;
    let cost = sweep::cost(&bench.release.join("cleanup"), bench, |command| {
        command.arg("-c").arg(&config).args(["sweep", "-q"]);
        Ok(())
    })?;
    check(&root, if dispose == "delete" { 0 } else { fixture.files })?;
    fs::remove_dir_all(&root)?;
    rustix::fs::syncfs(fs::File::open(bench.papers)?)?;
    Ok(cost)
}

/// Writes so much into each file, and leaves it as old as it was.
fn fill(root: &Path, bytes: usize) -> Result<()> {
    if bytes == 0 {
        return Ok(());
    }
    for entry in walkdir::WalkDir::new(root) {
        let entry = entry?;
        if entry.file_type().is_file() {
            let modified = entry.metadata()?.modified()?;
            fs::write(entry.path(), vec![b'x'; bytes])?;
            fs::File::options().write(true).open(entry.path())?.set_modified(modified)?;
        }
    }
    rustix::fs::syncfs(fs::File::open(root)?)?;
    Ok(())
}

/// Checks that nothing is left in its place, and so much in quarantine.
fn check(root: &Path, in_quarantine: u64) -> Result<()> {
    let files = walkdir::WalkDir::new(root).into_iter().filter_map(Result::ok).filter(|it| it.file_type().is_file());
    let (aside, left): (Vec<_>, Vec<_>) = files.partition(|file| file.path().starts_with(root.join(".cleanup")));
    let named = |file: &walkdir::DirEntry| file.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit);
    let moved = aside.iter().filter(|file| named(file)).count() as u64;
    ensure!(left.is_empty() && moved == in_quarantine, "{} files are left, and {moved} lie in quarantine", left.len());
    Ok(())
}
