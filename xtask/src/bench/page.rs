//! The figures as tables, on the terminal and in `docs/benchmarks.md`.
//!
//! The page belongs to people: only what stands between the two marks of a bench is replaced.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};

use super::contenders::Contender;
use super::fixture::Folders;
use super::goals;
use super::sweep::{Cost, Outcome, Scenario};

const TITLE: &str = "# Benchmarks\n\nRatios within one run are meaningful; milliseconds of different machines are not \
                     comparable.\n";

/// What has to be known to read the figures, and no more: nothing that names a machine.
pub(crate) struct Facts {
    cores: usize,
    kernel: String,
    file_system: String,
    versions: Vec<String>,
}

impl Facts {
    /// Asks the machine about itself and about the file system that holds `folder`.
    pub(crate) fn gather(folder: &Path, contenders: &[(Contender, PathBuf)]) -> Result<Self> {
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        let kernel = release.split(|c: char| c != '.' && !c.is_ascii_digit()).next().unwrap_or_default();
        Ok(Self {
            cores: std::thread::available_parallelism()?.get(),
            kernel: kernel.to_owned(),
            file_system: file_system(folder).context("cannot tell the file system")?,
            versions: contenders.iter().filter_map(|(contender, program)| contender.version(program)).collect(),
        })
    }
}

/// The machine in one phrase.
impl std::fmt::Display for Facts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} cores, Linux {}, {}", self.cores, self.kernel, self.file_system)
    }
}

/// One scenario: a heading and a table, the fastest first.
pub(crate) fn section(outcome: &Outcome, facts: &Facts) -> String {
    let fixture = &outcome.scenario.fixture;
    let folders = match fixture.folders {
        Folders::Flat => String::new(),
        Folders::Below(count) => format!(" in {count} directories"),
    };
    let size = format!("{} files{folders}, {} due", fixture.files, fixture.due_files());
    // Against the first of the list that ran: ours, unless it was left out.
    let (reference, reference_costs) = &outcome.costs[0];
    let reference_wall = wall(reference_costs);

    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header([
        String::new(),
        "wall, ms".into(),
        "min to max".into(),
        format!("against {}", reference.name()),
        "best against best".into(),
        "processor, ms".into(),
        "peak, MiB".into(),
    ]);
    let mut rows: Vec<_> = outcome.costs.iter().collect();
    rows.sort_by_key(|(_, costs)| wall(costs).median);
    for (contender, costs) in rows {
        let wall = wall(costs);
        table.add_row([
            contender.name().to_owned(),
            ms(wall.median),
            format!("{} to {}", ms(wall.min), ms(wall.max)),
            ratio(wall.median, reference_wall.median),
            ratio(wall.min, reference_wall.min),
            ms(median(costs.iter().map(|cost| cost.processor))),
            mib(median(costs.iter().map(|cost| cost.peak_bytes))),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let Scenario { name, what, .. } = outcome.scenario;
    let mut text = format!("### {name}: {what}\n\n{size}.\n\n{}", with_alignment(&table));
    let goals = goals::goals(name, &facts.file_system);
    let lines: Vec<_> = goals.iter().filter_map(|goal| goal.reached(outcome)).map(|line| line.to_string()).collect();
    if !lines.is_empty() {
        write!(text, "\n\n{}", lines.join("\n")).expect("a string takes everything");
    }
    text
}

/// Replaces what an earlier run wrote, or begins the page.
pub(crate) fn write(page: &Path, bench: &str, body: &str) -> Result<()> {
    let old = match fs::read_to_string(page) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => TITLE.to_owned(),
        Err(error) => return Err(error).context("cannot read the page"),
    };
    fs::create_dir_all(page.parent().context("a page lies in a folder")?)?;
    fs::write(page, replaced(&old, bench, body)).context("cannot write the page")
}

/// What the bench of sweeps has to say.
pub(crate) fn sweeps(facts: &Facts, outcomes: &[Outcome], command: &str, runs: u64) -> String {
    let mut text = format!(
        "## Sweeping files\n\n```console,no-run\n$ {command}\n```\n\n{facts}, warm cache, empty files, medians of \
         {runs} runs.\nPeers: {}.\n*against* is the ratio of the times; goals compare the best run of each.\nThe \
         floor makes only the system calls, without reports, second checks or safety.\nThe Python script and the \
         program with walkdir and globset are simple implementations.\nAfter each run, exactly the due files were \
         gone.\ncleanup keeps no state here (`[state] url = \"none\"`), like its peers; recording a run takes a few \
         more writes to the disk, whatever the number of files.\nIn S1-again and S7-again it does, and has just swept \
         the same tree, so its [index](deletion.md#the-index) contains the young files.\n\
         systemd-tmpfiles and tmpreaper select only by age, so S5 leaves them out.\n",
        facts.versions.join(", "),
    );
    for outcome in outcomes {
        write!(text, "\n{}\n", section(outcome, facts)).expect("a string takes everything");
    }
    text
}

fn replaced(old: &str, bench: &str, body: &str) -> String {
    let begin = format!("<!-- written by cargo xtask bench {bench} -->");
    let end = format!("<!-- end of cargo xtask bench {bench} -->");
    let section = format!("{begin}\n\n{body}\n{end}");
    match (old.split_once(&begin), old.split_once(&end)) {
        (Some((before, _)), Some((_, after))) => format!("{before}{section}{after}"),
        _ => format!("{}\n\n{section}\n", old.trim_end()),
    }
}

struct Wall {
    median: Duration,
    min: Duration,
    max: Duration,
}

fn wall(costs: &[Cost]) -> Wall {
    let all = || costs.iter().map(|cost| cost.wall);
    Wall { median: median(all()), min: all().min().unwrap_or_default(), max: all().max().unwrap_or_default() }
}

pub(super) fn median<T: Ord + Copy + Default>(values: impl Iterator<Item = T>) -> T {
    let mut values: Vec<_> = values.collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

pub(super) fn ms(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1_000.0;
    if ms < 100.0 { format!("{ms:.1}") } else { format!("{ms:.0}") }
}

pub(super) fn ratio(time: Duration, reference: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() / reference.as_secs_f64())
}

#[allow(clippy::cast_precision_loss, reason = "one digit after the point is printed")]
fn mib(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / f64::from(1 << 20))
}

/// Tells Markdown what the terminal already shows: figures stand on the right.
pub(super) fn with_alignment(table: &Table) -> String {
    let mut lines: Vec<String> = table.lines().collect();
    if let Some(rule) = lines.get_mut(1) {
        *rule = rule.replace("-|", ":|").replacen(":|", "-|", 1);
    }
    lines.join("\n")
}

/// The type of the mount with the longest path that holds `folder`.
fn file_system(folder: &Path) -> Option<String> {
    let folder = fs::canonicalize(folder).ok()?;
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace().skip(1);
            let (path, kind) = (fields.next()?, fields.next()?);
            folder.starts_with(path).then(|| (path.len(), kind.to_owned()))
        })
        .max_by_key(|(length, _)| *length)
        .map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::replaced;

    const BEGIN: &str = "<!-- written by cargo xtask bench x -->";
    const END: &str = "<!-- end of cargo xtask bench x -->";

    #[test]
    fn only_what_was_written_by_the_bench_is_replaced() {
        let old = format!("# Ours\n\n{BEGIN}\nold\n{END}\n\n## Kept\n");
        assert_eq!(replaced(&old, "x", "new\n"), format!("# Ours\n\n{BEGIN}\n\nnew\n\n{END}\n\n## Kept\n"));
        assert!(replaced(&old, "y", "new\n").contains("old"), "another bench has marks of its own");
    }

    #[test]
    fn a_page_without_the_marks_keeps_its_text() {
        assert_eq!(replaced("# Ours\n", "x", "new\n"), format!("# Ours\n\n{BEGIN}\n\nnew\n\n{END}\n"));
    }
}
