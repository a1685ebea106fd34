//! How late files go of which very many come due within a minute.
//!
//! They are made as old as they have to be, so that the service finds them at its start and counts by their stamps. It
//! tells of each removal and how late it was; where it tells of more than the stream takes, its histogram says it.

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::super::fixture::{PATTERN, backdate, make_empty, named, open};
use super::client::percentile;
use super::process::Process;
use super::{Place, Sizes, grouped};

/// How old a file may become.
const MAX_AGE: Duration = Duration::from_mins(30);

/// How long making so many files and looking at them takes at most, for each thousand.
const LEAD: Duration = Duration::from_millis(120);

/// How long after the last deadline is waited.
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures it.
pub(super) fn measure(place: &Place, sizes: &Sizes) -> Result<String> {
    let folder = place.part("deadlines")?;
    let root = folder.join("deadlines");
    std::fs::create_dir(&root)?;
    let files = sizes.tracked;
    let first = SystemTime::now() + LEAD * u32::try_from(files.div_ceil(1_000))? + Duration::from_secs(2);
    let opened = open(&root)?;
    for index in 0..files {
        let name = named(index);
        make_empty(&opened, &name)?;
        let after = sizes.minute.mul_f64(index as f64 / files as f64);
        backdate(&opened, &name, first + after - MAX_AGE)?;
    }
    let policy =
        format!("[files.tracked]\nroot = \"deadlines\"\ninclude = [\"{PATTERN}\"]\nmax_age = \"30m\"\ntrack = true\n");
    let service = Process::serve(&place.service, &folder, &policy)?;
    let events = service.client()?.lines("/api/v1/events")?;
    ensure!(SystemTime::now() < first, "the machine is too slow: files became due before the service was ready");
    ensure!(service.tracked()? == files, "not all files are tracked");

    let told = std::thread::scope(|scope| -> Result<Told> {
        let listening = scope.spawn(move || Told::listen(events, files));
        let start = Instant::now();
        let end = first.duration_since(SystemTime::now()).unwrap_or_default() + sizes.minute + PATIENCE;
        while service.tracked()? > 0 {
            ensure!(start.elapsed() < end, "{} files are left", service.tracked()?);
            std::thread::sleep(Duration::from_millis(500));
        }
        listening.join().expect("it has no reason to panic")
    })?;
    let spent = service.spent()?.processor();
    let buckets = Buckets::read(&String::from_utf8(service.client()?.get("/metrics")?)?)?;
    ensure!(buckets.all() == files, "{} removals were counted, and {files} files were due", buckets.all());

    let figures = if told.missed == 0 {
        let ms = |percent| percentile(&told.lateness, percent) * 1e3;
        format!("| {:.0} | {:.0} | {:.0} |", ms(50), ms(99), ms(100))
    } else {
        // The histogram knows all of them, but only between which bounds.
        let ms = |percent| format!("at most {:.0}", buckets.percentile(percent) * 1e3);
        format!("| {} | {} | {} |", ms(50), ms(99), ms(100))
    };
    Ok(format!(
        "### Deadlines\n\n{} files that become due within {} s; {} removals were reported one by one.\nFrom its start \
         until the last file was gone, the service used {:.1} s of processor time.\n\n| lateness p50, ms | p99, ms | \
         longest, ms |\n| --: | --: | --: |\n{figures}\n\n",
        grouped(files),
        sizes.minute.as_secs(),
        grouped(told.lateness.len() as u64),
        spent.as_secs_f64(),
    ))
}

/// What the stream of events said.
#[derive(Default)]
struct Told {
    /// In seconds, in order.
    lateness: Vec<f64>,
    missed: u64,
}

impl Told {
    /// Listens until so many removals were told or missed.
    fn listen(lines: impl Iterator<Item = std::io::Result<String>>, files: u64) -> Result<Self> {
        let mut told = Self::default();
        let mut kind = String::new();
        let mut count = 0;
        for line in lines {
            let line = line?;
            if let Some(name) = line.strip_prefix("event:") {
                name.trim().clone_into(&mut kind);
            }
            let Some(data) = line.strip_prefix("data:") else { continue };
            let data: Value = serde_json::from_str(data)?;
            match kind.as_str() {
                "removed" => {
                    told.lateness.push(data["lateness_seconds"].as_f64().context("a removal says how late it was")?);
                    count += 1;
                }
                // Not all that was missed was a removal, but nearly all.
                "lagged" => {
                    told.missed += data["missed"].as_u64().unwrap_or(1);
                    count += data["missed"].as_u64().unwrap_or(1);
                }
                _ => {}
            }
            if count >= files {
                break;
            }
        }
        told.lateness.sort_by(f64::total_cmp);
        Ok(told)
    }
}

/// The histogram of lateness: upper bounds in seconds, each with how many lie below.
struct Buckets(Vec<(f64, u64)>);

impl Buckets {
    fn read(metrics: &str) -> Result<Self> {
        let bucket = |line: &str| {
            let (bound, count) =
                line.strip_prefix("cleanup_deadline_lateness_seconds_bucket{le=\"")?.split_once("\"} ")?;
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? };
            Some((bound, count.parse().ok()?))
        };
        let buckets: Vec<_> = metrics.lines().filter_map(bucket).collect();
        ensure!(!buckets.is_empty(), "no lateness was measured");
        Ok(Self(buckets))
    }

    fn all(&self) -> u64 {
        self.0.last().map_or(0, |(_, count)| *count)
    }

    fn percentile(&self, percent: u64) -> f64 {
        let wanted = self.all() * percent;
        self.0.iter().find(|(_, count)| count * 100 >= wanted).map_or(f64::INFINITY, |(bound, _)| *bound)
    }
}

#[cfg(test)]
mod tests {
    use super::{Buckets, Told};

    #[test]
    fn a_percentile_is_the_bound_below_which_enough_lie() {
        let name = "cleanup_deadline_lateness_seconds_bucket";
        let metrics = format!("{name}{{le=\"0.1\"}} 60\n{name}{{le=\"0.5\"}} 99\n{name}{{le=\"+Inf\"}} 100\n");
        let buckets = Buckets::read(&metrics).unwrap();
        let bounds = [50, 99, 100].map(|percent| buckets.percentile(percent).to_string());
        assert_eq!(bounds, ["0.1", "0.5", "inf"]);
        assert_eq!(buckets.all(), 100);
    }

    #[test]
    fn removals_are_told_from_other_events_and_those_missed_are_counted() {
        let lines = [
            "event: registered",
            "data: {\"path\":\"a\"}",
            "event: removed",
            "data: {\"lateness_seconds\":0.25}",
            "",
            "event: lagged",
            "data: {\"missed\":2}",
        ];
        let told = Told::listen(lines.into_iter().map(|line| Ok(line.to_owned())), 3).unwrap();
        assert_eq!((told.lateness, told.missed), (vec![0.25], 2));
    }
}
