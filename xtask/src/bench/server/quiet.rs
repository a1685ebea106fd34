//! What tracked files cost while nothing happens: memory for each, and no processor time.

use std::time::Duration;

use anyhow::Result;

use super::super::fixture::{PATTERN, make_empty, named, open};
use super::process::Process;
use super::{Place, Sizes, grouped};

/// Files that appear at once, and how long until the next: as fast as they come without the kernel losing count.
const TOGETHER: u64 = 1_000;
/// See [`TOGETHER`].
const PAUSE: Duration = Duration::from_millis(50);

/// How long until what was begun has ended.
const SETTLED: Duration = Duration::from_secs(2);

/// Measures it.
pub(super) fn measure(place: &Place, sizes: &Sizes) -> Result<String> {
    let folder = place.part("quiet")?;
    let root = folder.join("quiet");
    std::fs::create_dir(&root)?;
    let policy =
        format!("[files.tracked]\nroot = \"quiet\"\ninclude = [\"{PATTERN}\"]\nmax_age = \"24h\"\ntrack = true\n");
    let service = Process::serve(&place.service, &folder, &policy)?;
    service.wait_until_tracked(0)?;
    let empty = service.resident_bytes()?;

    let root = open(&root)?;
    let before = service.spent()?;
    for index in 0..sizes.tracked {
        make_empty(&root, &named(index))?;
        if index % TOGETHER == TOGETHER - 1 {
            std::thread::sleep(PAUSE);
        }
    }
    service.wait_until_tracked(sizes.tracked)?;
    let learning = service.spent()?.since(before).processor();
    std::thread::sleep(SETTLED);
    let held = service.resident_bytes()?;

    let before = service.spent()?;
    std::thread::sleep(sizes.idle);
    let idle = service.spent()?.since(before);

    let files = grouped(sizes.tracked);
    Ok(format!(
        "### Tracked files at rest\n\n| | |\n| --- | --: |\n| resident memory without files, MB | {:.1} |\n| with \
         {files} tracked files, MB | {:.1} |\n| for each file, including a name of {} bytes, bytes | {} |\n| \
         processor time to notice a file, µs | {:.0} |\n| processor time in {} idle seconds, ms | {} |\n| wake-ups in \
         that time, all threads | {} |\n\n",
        empty as f64 / 1e6,
        held as f64 / 1e6,
        named(0).len(),
        held.saturating_sub(empty) / sizes.tracked,
        learning.as_secs_f64() * 1e6 / sizes.tracked as f64,
        sizes.idle.as_secs(),
        idle.processor().as_millis(),
        idle.wakeups,
    ))
}
