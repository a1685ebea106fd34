//! A day of churn: a thousand files made and a thousand due every minute, against an hourly `find` over the same tree.
//!
//! In fast forward a minute takes a second, which is kind to the service: what it does for each wake-up is shared by
//! more files than on a real day. So it is measured in real time as well. `find` only looks; what the service needs for
//! the unlinks alone is measured by a loop that does nothing else, and taken off. What could be had at best is measured as
//! well: [`mod@floor`] keeps the same deadlines without any care.

mod floor;

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, ensure};
use rustix::fs::{AtFlags, renameat, unlinkat};
use rustix::time::{ClockId, clock_gettime};

use super::super::fixture::{PATTERN, backdate, make_empty, named, open};
use super::process::Process;
use super::{Place, Sizes, grouped};
use crate::shell::without_leftovers;

/// Files made, and files due, in each minute.
const PER_MINUTE: f64 = 1_000.0;

/// A minute in a second.
const FAST: f64 = 60.0;

/// How often files are made.
const BEAT: Duration = Duration::from_millis(50);

/// How often `find` looks; its median counts.
const LOOKS: usize = 3;

/// Measures it.
pub(super) fn measure(place: &Place, sizes: &Sizes) -> Result<String> {
    let live = sizes.live;
    let (fast, real) = sizes.churn;
    let fast = churn(place, live, FAST, fast)?;
    let real = churn(place, live, 1.0, real)?;
    let mut text = format!(
        "### Churn\n\n{} live files, 1,000 new and 1,000 due in each minute; processor time for one hour, in ms.\n\n| \
         | a minute in a second | real time |\n| --- | --: | --: |\n",
        grouped(live)
    );
    let mut row = |name: &str, figure: &dyn Fn(&Hour) -> String| {
        use std::fmt::Write as _;
        writeln!(text, "| {name} | {} | {} |", figure(&fast), figure(&real)).expect("a string takes everything");
    };
    let ms = |time: Duration| format!("{:.0}", time.as_secs_f64() * 1e3);
    row("measured for, s", &|hour| hour.measured.as_secs().to_string());
    row("one `find` over the tree", &|hour| ms(hour.find));
    row("the service", &|hour| ms(hour.service));
    row("of that, as many plain unlinks", &|hour| ms(hour.unlinks));
    row("beyond the unlinks, for each file from creation to removal, µs", &|hour| {
        format!("{:.0}", hour.beyond().as_secs_f64() * 1e6 / (PER_MINUTE * 60.0))
    });
    row("the same of the floor, µs", &|hour| format!("{:.1}", hour.floor.as_secs_f64() * 1e6 / (PER_MINUTE * 60.0)));
    row("the service against `find`", &|hour| ratio(hour.service, hour.find));
    row("beyond the unlinks against `find`", &|hour| ratio(hour.beyond(), hour.find));
    row("the floor beyond the unlinks against `find`", &|hour| ratio(hour.floor, hour.find));
    row("beyond the unlinks against the floor", &|hour| ratio(hour.beyond(), hour.floor));
    text.push('\n');
    Ok(text)
}

/// Processor time for an hour.
struct Hour {
    measured: Duration,
    find: Duration,
    service: Duration,
    unlinks: Duration,
    /// What the cheapest program needs beyond the unlinks.
    floor: Duration,
}

impl Hour {
    fn beyond(&self) -> Duration {
        self.service.saturating_sub(self.unlinks)
    }
}

fn churn(place: &Place, live: u64, speed: f64, time: Duration) -> Result<Hour> {
    let name = if speed > 1.0 { "churn-fast" } else { "churn-real" };
    let folder = place.part(name)?;
    // The file system spreads folders by their names.
    let root = folder.join(name);
    let desk = folder.join(format!("{name}-desk"));
    fs::create_dir(&root)?;
    fs::create_dir(&desk)?;
    let opened = open(&root)?;
    let per_second = PER_MINUTE * speed / 60.0;
    let max_age = Duration::from_secs_f64((live as f64 / per_second).ceil());

    // The oldest come due when the service is ready, one after the other.
    let first = SystemTime::now() + Duration::from_secs(3) + Duration::from_micros(50) * u32::try_from(live)?;
    for index in 0..live {
        let name = named(index);
        make_empty(&opened, &name)?;
        backdate(&opened, &name, first - max_age + Duration::from_secs_f64(index as f64 / per_second))?;
    }
    let policy = format!(
        "[files.tracked]\nroot = \"{name}\"\ninclude = [\"{PATTERN}\"]\nmax_age = \"{}s\"\ntrack = true\n",
        max_age.as_secs()
    );
    let service = Process::serve(&place.service, &folder, &policy)?;
    let wait = first.duration_since(SystemTime::now()).context("the machine is too slow for this")?;
    std::thread::sleep(wait + Duration::from_secs(1));

    let before = service.spent()?;
    let start = Instant::now();
    let made = make_for(&open(&desk)?, &opened, live, per_second, time)?;
    let service_spent = service.spent()?.since(before).processor();
    let measured = start.elapsed();
    let left = service.tracked()?;
    drop(service);
    let removed = live + made - left;
    let expected = per_second * measured.as_secs_f64();
    let gone = removed as f64;
    ensure!(gone > expected * 0.8, "the service does not keep up: {removed} of {expected:.0} files are gone");

    let find = find(place, &folder, &root, max_age)?;
    let unlinks = unlink(&opened, removed, left.min(removed).min(live / 2), live)?;
    let to_an_hour = 3600.0 / (measured.as_secs_f64() * speed);
    let floor = floor(place, live, speed, time)?;
    let (service, unlinks) = (service_spent.mul_f64(to_an_hour), unlinks.mul_f64(PER_MINUTE * 60.0));
    Ok(Hour { measured, find, service, unlinks, floor })
}

/// What the cheapest program needs beyond the unlinks, for an hour of the same.
fn floor(place: &Place, live: u64, speed: f64, time: Duration) -> Result<Duration> {
    let name = if speed > 1.0 { "floor-fast" } else { "floor-real" };
    let folder = place.part(name)?;
    let (root, desk) = (folder.join(name), folder.join(format!("{name}-desk")));
    fs::create_dir(&root)?;
    fs::create_dir(&desk)?;
    let (opened, desk) = (open(&root)?, open(&desk)?);
    for index in 0..live {
        make_empty(&opened, &named(index))?;
    }
    let per_second = PER_MINUTE * speed / 60.0;
    let stop = AtomicBool::new(false);
    let start = Instant::now();
    let kept = std::thread::scope(|scope| {
        let keeping = scope.spawn(|| floor::keep(&opened, live, per_second, &stop));
        let made = make_for(&desk, &opened, live, per_second, time);
        stop.store(true, Ordering::Relaxed);
        let kept = keeping.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        made.map(|_| kept)
    })?;
    let measured = start.elapsed();
    let unlinks = unlink(&opened, kept.removed, kept.removed.min(live / 2), live)?;
    let beyond = kept.spent.saturating_sub(unlinks * u32::try_from(kept.removed)?);
    Ok(beyond.mul_f64(3600.0 / (measured.as_secs_f64() * speed)))
}

/// Makes files at this rate; says how many. They are made elsewhere and moved in, as careful applications do. It is also
/// the only fast way: see [`spread_out`](super::super::sweep::spread_out) for what happens beside files that just went.
fn make_for(desk: &OwnedFd, root: &OwnedFd, from: u64, per_second: f64, time: Duration) -> Result<u64> {
    let start = Instant::now();
    let mut made = 0;
    while start.elapsed() < time {
        let wanted = per_second * start.elapsed().as_secs_f64();
        while (made as f64) < wanted {
            let name = named(from + made);
            make_empty(desk, &name)?;
            renameat(desk, &name, root, &name)?;
            made += 1;
        }
        std::thread::sleep(BEAT);
    }
    Ok(made)
}

/// What one look costs that finds nothing to do.
fn find(place: &Place, folder: &Path, root: &Path, max_age: Duration) -> Result<Duration> {
    let minutes = format!("+{}", max_age.as_secs() / 60 + 60);
    let mut times = Vec::new();
    for _ in 0..LOOKS {
        let result = folder.join("result");
        let mut command = Command::new(place.examples.join("measure"));
        without_leftovers(&mut command).arg(&result).arg("find").arg(root);
        command.args(["-type", "f", "-name", PATTERN, "-mmin", &minutes]).stdout(Stdio::null());
        ensure!(command.status()?.success(), "find cannot be measured");
        let line = fs::read_to_string(&result)?;
        let numbers = line.split_whitespace().map(str::parse::<u64>).collect::<Result<Vec<_>, _>>()?;
        let [0, _, user, system, _] = numbers[..] else { anyhow::bail!("unexpected measure: {line}") };
        times.push(Duration::from_micros(user + system));
    }
    times.sort_unstable();
    Ok(times[LOOKS / 2])
}

/// The processor time of one unlink, and nothing else; of the oldest that are left, as the service would go on.
fn unlink(root: &OwnedFd, from: u64, count: u64, live: u64) -> Result<Duration> {
    let names: Vec<String> = (from..live).take(usize::try_from(count)?).map(named).collect();
    let before = thread_time();
    let mut unlinked = 0_u32;
    for name in &names {
        // The service may have taken a few more before it ended.
        unlinked += u32::from(unlinkat(root, name, AtFlags::empty()).is_ok());
    }
    let spent = thread_time().saturating_sub(before);
    ensure!(unlinked > 0, "nothing was left to unlink");
    Ok(spent / unlinked)
}

/// The processor time of this thread so far.
fn thread_time() -> Duration {
    let at = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(at.tv_sec).unwrap_or(0), u32::try_from(at.tv_nsec).unwrap_or(0))
}

fn ratio(time: Duration, reference: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() / reference.as_secs_f64())
}
