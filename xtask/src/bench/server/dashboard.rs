//! `GET /` beside as many files as there are and 10,000 runs in the history, against `/healthz`.
//!
//! The same client asks both in turns, one call at a time. The first page after a run reads the index of the history;
//! it is counted on its own.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::super::fixture::{Due, Fixture, Folders, MAX_AGE, Named, PATTERN};
use super::process::Process;
use super::{Place, Sizes, grouped};
use crate::shell;

/// How often each is asked.
const CALLS: usize = 200;

/// Runs in the history, over so many days.
const RUNS: &str = "10000";
const DAYS: &str = "30";

/// Measures it.
pub(super) fn measure(place: &Place, sizes: &Sizes) -> Result<String> {
    let folder = place.part("dashboard")?;
    let tracked = Fixture { folders: Folders::Flat, files: sizes.files, due: Due::None, named: Named::All };
    tracked.make(&folder.join("tracked"))?;
    let past = format!("tracked={}:4096", sizes.files);
    shell::run(Command::new(place.examples.join("past")).arg(&folder).args([RUNS, DAYS, &past]))?;
    let hours = MAX_AGE.as_secs() / 3600;
    let policies = format!(
        "[files.tracked]\nroot = \"tracked\"\ninclude = [\"{PATTERN}\"]\nmax_age = \"{hours}h\"\ntrack = true\n"
    );
    let service = Process::serve(&place.service, &folder, &policies)?;
    service.wait_until_tracked(sizes.files)?;

    let mut client = service.client()?;
    let mut ask = |page: &str| -> Result<(Duration, usize)> {
        let begun = Instant::now();
        let body = client.get(page)?;
        Ok((begun.elapsed(), body.len()))
    };
    let (first, bytes) = ask("/?over=month")?;
    let (mut pages, mut probes) = (Vec::new(), Vec::new());
    for _ in 0..CALLS {
        pages.push(ask("/?over=month")?.0);
        probes.push(ask("/healthz")?.0);
    }
    let (page, probe) = (median(&mut pages)?, median(&mut probes)?);
    let ms = |span: Duration| span.as_secs_f64() * 1e3;
    Ok(format!(
        "### The dashboard\n\n{} tracked files, {} runs in the history; {CALLS} requests of each in turns, medians.\n\
         \n| | ms | kB |\n| --- | --: | --: |\n| `GET /`, 30 days | {:.2} | {} |\n| the first request after a run | \
         {:.2} | |\n| `GET /healthz` | {:.2} | |\n\nThe page takes {:.0} times as long as `/healthz`.\n\n",
        grouped(sizes.files),
        grouped(RUNS.parse()?),
        ms(page),
        bytes / 1000,
        ms(first),
        ms(probe),
        page.as_secs_f64() / probe.as_secs_f64(),
    ))
}

fn median(spans: &mut [Duration]) -> Result<Duration> {
    spans.sort_unstable();
    spans.get(spans.len() / 2).copied().context("nothing was measured")
}
