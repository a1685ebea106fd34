//! `cargo xtask screenshots`: the pictures of the dashboard that the documents show, made from the dashboard itself.
//!
//! The service runs on a demonstration tree; only its past is made up, because a picture cannot wait for a week.
//! Pictures have a palette, so that they stay small.

use std::collections::HashMap;
use std::fs::{self, File, FileTimes};
use std::io::{BufRead as _, BufReader, Cursor};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use cleanup_test_browser::{Browser, Page, Scheme};

use crate::shell::{self, cargo, top, without_leftovers};
use crate::tools;

const CONFIG: &str = r#"
[files.visualization-output]
root     = "storage/output"
include  = ["formal_*-*-*-*-*.svg", "intuitive_*-*-*-*-*.svg"]
archives = ["formal_*_*-*-*-*-*.svg"]
max_age  = "24h"
every    = "1h"

[files.temp-svgs]
root    = "storage/temp_svgs"
include = ["*.svg"]
max_age = "1h"
every   = "30m"
track   = true

[files.temp-models]
root    = "temp_models"
include = ["*.step"]
max_age = "12h"
every   = "30m"
track   = true

[files.backups]
root           = "backups"
include        = ["*.sql.gz"]
max_age        = "30d"
max_files      = 60
max_total_size = "40MB"

[sessions.tutor-sessions]
url             = "${DATABASE_URL}"
table           = "tutor_sessions"
id_column       = "session_id"
activity_column = "last_activity"
max_idle        = "2h"
every           = "1h"

[server]
listen = "127.0.0.1:0"
"#;

/// Folder, name before and after the number, how many, the oldest in seconds, and the largest in bytes.
const TREE: [(&str, &str, &str, u64, u64, u64); 5] = [
    ("storage/output", "formal_", "-1a2b-4c3d-8e9f-0a1b2c3d4e5f.svg", 112, 90_000, 180_000),
    ("storage/output", "formal_20260101_", "-1a2b-4c3d-8e9f-0a1b2c3d4e5f.svg", 9, 900_000, 90_000),
    ("storage/temp_svgs", "icon-", ".svg", 190, 3_500, 28_000),
    ("temp_models", "bracket-", ".step", 260, 43_000, 900_000),
    ("backups", "shop-", ".sql.gz", 48, 2_000_000, 1_200_000),
];

/// A week, one run each half hour.
const PAST: [&str; 7] = [
    "336",
    "7",
    "visualization-output=112:90000",
    "temp-svgs=190:15000",
    "temp-models=260:450000",
    "backups=48:600000",
    "tutor-sessions=400",
];

/// No picture weighs more, in bytes.
const HEAVIEST: usize = 150_000;

/// Nor is any higher, in pixels.
const HIGHEST: u32 = 2600;

#[derive(clap::Args)]
pub(crate) struct Args {}

/// The service, ended when dropped.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Makes all pictures anew.
pub(crate) fn run(_: &Args) -> Result<()> {
    tools::provide()?;
    shell::run(&mut cargo(&["build", "-p", "cleanup-server"]))?;
    shell::run(&mut cargo(&["build", "-p", "cleanup-state", "--example", "past"]))?;
    let target = cargo_metadata::MetadataCommand::new().current_dir(top()).no_deps().exec()?.target_directory;
    let programs = target.join("debug").into_std_path_buf();
    // A short name: it is seen in the pictures.
    let folder = std::env::temp_dir().join("cleanup-demo");
    if folder.exists() {
        fs::remove_dir_all(&folder).context("cannot remove what an earlier run left")?;
    }
    plant(&folder)?;
    shell::run(Command::new(programs.join("examples/past")).arg(folder.join(".cleanup")).args(PAST))?;
    let mut command = Command::new(programs.join("cleanup-server"));
    command.arg("-c").arg(folder.join("cleanup.toml")).stdin(Stdio::null()).stderr(Stdio::null());
    let mut service = Service(without_leftovers(&mut command).stdout(Stdio::piped()).spawn()?);
    let mut said = BufReader::new(service.0.stdout.take().context("its output is ours")?);
    let mut line = String::new();
    said.read_line(&mut line)?;
    let address = line.split_once("http://").and_then(|(_, rest)| rest.split(". ").next());
    let address = address.with_context(|| format!("it does not say where it serves: {line:?}"))?;

    let browser = Browser::start()?;
    let page = browser.page()?;
    let shoot = |name: &str, width: u32, scheme: Scheme, open: &dyn Fn() -> Result<()>| -> Result<()> {
        page.size(width, 900)?;
        page.scheme(scheme)?;
        open()?;
        page.wait_for("document.querySelector('#pulse').textContent === 'Live'")?;
        let picture = small(&page.screenshot(HIGHEST)?)?;
        ensure!(picture.len() <= HEAVIEST, "{name} weighs {} bytes", picture.len());
        let file = top().join("docs/images").join(name);
        fs::write(&file, &picture).with_context(|| format!("cannot write {}", file.display()))?;
        println!("docs/images/{name}: {} kB", picture.len() / 1000);
        Ok(())
    };
    fs::create_dir_all(top().join("docs/images"))?;
    let overview = || Ok(page.open(&format!("http://{address}/"))?);
    // One sweep by hand, so that what is there is known of every policy.
    shoot("run.png", 1200, Scheme::Light, &|| dry_run(&page, address))?;
    page.click("#sweep")?;
    page.wait_for("document.body.innerText.includes('items removed,')")?;
    let policy = || Ok(page.open(&format!("http://{address}/policies/backups"))?);
    shoot("policy.png", 1200, Scheme::Light, &policy)?;
    shoot("overview.png", 1200, Scheme::Light, &overview)?;
    shoot("overview-dark.png", 1200, Scheme::Dark, &overview)?;
    shoot("narrow.png", 390, Scheme::Light, &overview)?;
    drop(service);
    fs::remove_dir_all(&folder).context("cannot remove the demonstration tree")
}

fn dry_run(page: &Page<'_>, address: &str) -> Result<()> {
    page.open(&format!("http://{address}/"))?;
    page.click(".head form[action='/dry-run'] button")?;
    page.wait_for("document.body.innerText.includes('would be removed')")?;
    Ok(())
}

/// Makes the tree; the older half of the output is due.
fn plant(folder: &Path) -> Result<()> {
    let now = SystemTime::now();
    for (place, before, after, count, oldest, largest) in TREE {
        fs::create_dir_all(folder.join(place))?;
        for number in 0..count {
            // Spread out evenly, and the same at every run.
            let share = |of: u64| (number * 7_919 + 101) % count * of / count;
            let path = folder
                .join(place)
                .join(format!("{before}{:08x}{after}", number.wrapping_mul(2_654_435_761) & 0xffff_ffff));
            fs::write(&path, vec![b' '; usize::try_from(share(largest) + 400)?])?;
            let stamp = now.checked_sub(Duration::from_secs(share(oldest))).context("a clock near its beginning")?;
            File::options().write(true).open(&path)?.set_times(FileTimes::new().set_modified(stamp))?;
        }
    }
    fs::write(folder.join("cleanup.toml"), CONFIG.trim_start()).context("cannot write the configuration")
}

/// The same picture with at most 256 colours: the most frequent ones, and for all others the nearest of them.
fn small(picture: &[u8]) -> Result<Vec<u8>> {
    let mut reader = png::Decoder::new(Cursor::new(picture)).read_info().context("no PNG")?;
    let mut pixels = vec![0; reader.output_buffer_size().context("a picture too large")?];
    let frame = reader.next_frame(&mut pixels).context("no PNG")?;
    let samples = frame.color_type.samples();
    ensure!(samples >= 3, "a picture in colour");
    let colours = || pixels[..frame.buffer_size()].chunks_exact(samples).map(|pixel| [pixel[0], pixel[1], pixel[2]]);
    let mut frequent: HashMap<[u8; 3], u64> = HashMap::new();
    for colour in colours() {
        *frequent.entry(colour).or_default() += 1;
    }
    let mut palette: Vec<([u8; 3], u64)> = frequent.into_iter().collect();
    palette.sort_by_key(|(colour, count)| (std::cmp::Reverse(*count), *colour));
    palette.truncate(256);
    let mut nearest: HashMap<[u8; 3], u8> = HashMap::new();
    let indexed: Vec<u8> =
        colours().map(|colour| *nearest.entry(colour).or_insert_with(|| closest(&palette, colour))).collect();

    let mut small = Vec::new();
    let mut encoder = png::Encoder::new(&mut small, frame.width, frame.height);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(palette.iter().flat_map(|(colour, _)| *colour).collect::<Vec<u8>>());
    encoder.set_compression(png::Compression::High);
    encoder.set_filter(png::Filter::NoFilter);
    encoder.write_header()?.write_image_data(&indexed)?;
    Ok(small)
}

fn closest(palette: &[([u8; 3], u64)], colour: [u8; 3]) -> u8 {
    let distance = |other: [u8; 3]| -> u32 {
        other.iter().zip(colour).map(|(one, two)| u32::from(one.abs_diff(two)).pow(2)).sum()
    };
    let nearest = (0_u8..=255).zip(palette).min_by_key(|(_, (other, _))| distance(*other));
    nearest.map_or(0, |(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::small;

    #[test]
    fn a_picture_keeps_its_colours_where_there_are_few() {
        let mut picture = Vec::new();
        let mut encoder = png::Encoder::new(&mut picture, 2, 1);
        encoder.set_color(png::ColorType::Rgb);
        encoder.write_header().unwrap().write_image_data(&[1, 2, 3, 250, 251, 252]).unwrap();
        let small = small(&picture).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(&small)).read_info().unwrap();
        let palette = reader.info().palette.clone().unwrap().into_owned();
        let mut indexed = [0; 2];
        reader.next_frame(&mut indexed).unwrap();
        let colours: Vec<&[u8]> = indexed.iter().map(|index| &palette[usize::from(*index) * 3..][..3]).collect();
        assert_eq!(colours, [&[1, 2, 3][..], &[250, 251, 252]]);
    }
}
