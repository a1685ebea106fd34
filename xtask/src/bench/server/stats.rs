//! `GET /cleanup/stats` while a sweep runs, in turns with a bare route that answers with the same bytes.
//!
//! The sweep goes over everything that is not tracked, again and again: the first time every other file is due, later
//! none. Both sides are asked by the same client, during the same sweep, on the same processors.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::super::fixture::{Due, Fixture, Folders, MAX_AGE, Named, PATTERN};
use super::client::{Answers, ask, percentile};
use super::process::Process;
use super::{Place, Sizes, grouped};

/// What is asked for.
const PAGE: &str = "/cleanup/stats";

/// How many ask at the same time.
const CONNECTIONS: usize = 4;

/// Files in each folder of what is swept.
const PER_FOLDER: u64 = 1_000;

/// Measures it.
pub(super) fn measure(place: &Place, sizes: &Sizes) -> Result<String> {
    let folder = place.part("stats")?;
    let swept = sizes.files - sizes.tracked;
    let tracked = Fixture { folders: Folders::Flat, files: sizes.tracked, due: Due::None, named: Named::All };
    let rest = Fixture { folders: Folders::Below(swept / PER_FOLDER), files: swept, due: Due::EveryOther, ..tracked };
    tracked.make(&folder.join("tracked"))?;
    rest.make(&folder.join("rest"))?;

    let hours = MAX_AGE.as_secs() / 3600;
    let rule = format!("include = [\"{PATTERN}\"]\nmax_age = \"{hours}h\"");
    let policies = format!(
        "[files.tracked]\nroot = \"tracked\"\n{rule}\ntrack = true\n\n\
         [files.rest]\nroot = \"rest\"\n{rule}\nrecursive = true\n"
    );
    let service = Process::serve(&place.service, &folder, &policies)?;
    service.wait_until_tracked(sizes.tracked)?;
    let body = String::from_utf8(service.client()?.get(PAGE)?)?;
    let bare = Process::start(Command::new(place.examples.join("bare")).arg(&body))?;

    let addresses = [service.address, bare.address];
    let quiet = ask(&addresses, PAGE, CONNECTIONS, sizes.asking / 2)?;
    let asked = AtomicBool::new(false);
    let (busy, (sweeps, removed)) = std::thread::scope(|scope| -> Result<_> {
        let sweeping = scope.spawn(|| sweep_until(&service, &asked));
        let answers = ask(&addresses, PAGE, CONNECTIONS, sizes.asking);
        asked.store(true, Ordering::SeqCst);
        Ok((answers?, sweeping.join().expect("it has no reason to panic")?))
    })?;
    anyhow::ensure!(removed == rest.due_files(), "{removed} files were removed, and {} were due", rest.due_files());

    let mut text = format!(
        "### `GET {PAGE}` during a sweep\n\n{} files on the disk, {} of them tracked; {sweeps} sweeps of the others, \
         which removed {}.\n{CONNECTIONS} connections, each of which sends a request after each response, 250 ms in \
         turns.\n\n| | requests/s | against the bare route | p50, ms | p99, ms | longest, ms |\n| --- | --: | --: | \
         --: | --: | --: |\n",
        grouped(sizes.files),
        grouped(sizes.tracked),
        grouped(removed),
    );
    for (when, answers) in [("nothing else", &quiet), ("sweep", &busy)] {
        let [ours, bare] = &answers[..] else { anyhow::bail!("both were asked") };
        for (name, answers) in [("`cleanup-server`", ours), ("a bare route of axum", bare)] {
            text.push_str(&row(&format!("{name}, {when}"), answers, bare));
        }
    }
    text.push('\n');
    Ok(text)
}

fn row(name: &str, answers: &Answers, bare: &Answers) -> String {
    let ms = |percent| percentile(&answers.latencies, percent).as_secs_f64() * 1e3;
    let rate = answers.per_second();
    let ratio = rate / bare.per_second();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate of answers")]
    let rate = grouped(rate as u64);
    format!("| {name} | {rate} | {ratio:.2} | {:.2} | {:.2} | {:.1} |\n", ms(50), ms(99), ms(100))
}

/// Sweeps again and again; says how often, and how many files went.
fn sweep_until(service: &Process, enough: &AtomicBool) -> Result<(u64, u64)> {
    let mut client = service.client()?;
    let (mut sweeps, mut removed) = (0, 0);
    while !enough.load(Ordering::SeqCst) {
        let answer = client.post("/api/v1/sweeps?wait=true", r#"{"policies":["rest"]}"#)?;
        let report: Value = serde_json::from_slice(&answer)?;
        sweeps += 1;
        removed += report["totals"]["removed"].as_u64().context("a report has totals")?;
        // As if somebody had looked at the answer.
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok((sweeps, removed))
}
