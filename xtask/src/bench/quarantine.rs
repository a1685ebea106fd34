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
use super::sweep;
use crate::shell::{self, cargo, top};

/// How many times as long as its deletion it may take to move a file aside, on ext4.
const GOAL: f64 = 1.6;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Files in each tree
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1_000..))]
    files: u64,
    /// Pairs of sweeps of each tree
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
    /// Where the trees are made: best on an ext4 with a journal of its own
    #[arg(long, default_value = "target")]
    dir: PathBuf,
    /// Print the figures, but leave docs/benchmarks.md as it is
    #[arg(long)]
    no_page: bool,
}

/// One sweep by deletion and one into quarantine, right after each other.
struct Pair {
    deletion: Duration,
    quarantine: Duration,
}

impl Pair {
    fn ratio(&self) -> f64 {
        self.quarantine.as_secs_f64() / self.deletion.as_secs_f64()
    }
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
    ]);
    let files = args.files;
    let trees = [
        ("one directory", Folders::Flat),
        ("directories of 100", Folders::Below(files / 100)),
        ("directories of 20", Folders::Below(files / 20)),
    ];
    for (name, folders) in trees {
        let fixture = Fixture { folders, files, due: Due::All, named: Named::All };
        let mut pairs = Vec::new();
        for run in 0..args.runs {
            pairs.push(pair(&fixture, &bench, run)?);
        }
        pairs.sort_by(|a, b| a.ratio().total_cmp(&b.ratio()));
        let median = pairs[pairs.len() / 2].ratio();
        let (least, most) = (pairs[0].ratio(), pairs[pairs.len() - 1].ratio());
        table.add_row([
            name.to_owned(),
            page::ms(page::median(pairs.iter().map(|pair| pair.deletion))),
            page::ms(page::median(pairs.iter().map(|pair| pair.quarantine))),
            format!("{median:.2}"),
            format!("{least:.2} to {most:.2}"),
            format!("{GOAL}: {}", if median <= GOAL { "reached" } else { "missed" }),
        ]);
    }
    fs::remove_dir_all(&folder)?;
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let size = format!("--files {files} --runs {}", args.runs);
    let text = format!(
        "## Quarantine against deletion\n\n\
         ```console,no-run\n$ cargo xtask bench quarantine {size}\n```\n\n\
         {facts}, warm cache, {files} empty files, all due; {} pairs of sweeps of equal trees, one right after the other.\n\
         *Against deletion* is the median of the ratios within a pair.\n\
         cleanup remembers nothing here (`[state] url = \"none\"`) and has as many workers as it sees fit.\n\
         A note is on the disk before its file moves; [one sync serves up to 4,096 notes](deletion.md#into-quarantine-and-back), of one folder or of many.\n\n\
         {}\n",
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
fn pair(fixture: &Fixture, bench: &Bench<'_>, run: u64) -> Result<Pair> {
    let mut turns = [("delete", Duration::ZERO), ("quarantine", Duration::ZERO)];
    if !run.is_multiple_of(2) {
        turns.reverse();
    }
    for (dispose, took) in &mut turns {
        *took = swept(fixture, bench, dispose).with_context(|| format!("dispose = {dispose}"))?;
    }
    turns.sort_unstable_by_key(|(dispose, _)| *dispose);
    let [(_, deletion), (_, quarantine)] = turns;
    Ok(Pair { deletion, quarantine })
}

fn swept(fixture: &Fixture, bench: &Bench<'_>, dispose: &str) -> Result<Duration> {
    let root = bench.papers.join("tree");
    fixture.make(&root)?;
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
    Ok(cost.wall)
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
