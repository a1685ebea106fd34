//! `cargo xtask faults`: every system call of a run fails once, in every way in which it can.
//!
//! Small scenarios are played by the real program. First one is played as it is, and its calls are written down. Then it
//! is played once for each call and each error that this call may end with, and once more with the process killed there;
//! in a part of these runs another program writes, touches or replaces a file before a call that the seed has chosen.
//! Then come the runs without a fault in which that happens before every call.
//!
//! After each: nothing young or promised is lost, nothing lies in quarantine without its note, the report says what was
//! done; and a sweep and a restore that follow end as if nothing had been.

mod calls;
mod check;
mod play;
mod scenario;
mod tracer;
mod world;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use anyhow::{Context as _, Result, bail};

use self::play::{Play, Played, Visit, Writing, record};
use self::scenario::{ALL, Scenario};
use self::tracer::Watchdog;
use self::world::{How, World};
use crate::shell::{self, cargo, in_ci};

#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// All runs, some tens of thousands: about an hour on two processors
    #[arg(long)]
    full: bool,

    /// How many runs a sample takes
    #[arg(long, default_value_t = SAMPLE, conflicts_with = "full")]
    runs: usize,

    /// What the choices follow from; by default another one each time
    #[arg(long)]
    seed: Option<u64>,

    /// Only these scenarios
    #[arg(long)]
    scenario: Vec<String>,

    /// Only this run, as a failure names it
    #[arg(long, value_name = "RUN")]
    only: Vec<String>,

    /// How many at once [default: one for each processor]
    #[arg(long)]
    workers: Option<usize>,

    /// Only say which calls there are
    #[arg(long)]
    list: bool,
}

/// A minute, or less.
const SAMPLE: usize = 500;

/// How many runs there are between two lines that say how far it is.
const PROGRESS: usize = 1000;

/// How many times a fault is tried for that did not come up.
const AGAIN: usize = 4;

/// What CI runs.
pub(crate) fn sample() -> Result<()> {
    run(&Args { runs: SAMPLE, ..Args::default() })
}

/// Plays, and fails when anything was not as it should be.
pub(crate) fn run(args: &Args) -> Result<()> {
    let seed = args.seed.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        now.map_or(0, |now| u64::from(now.subsec_nanos()) ^ now.as_secs())
    });
    shell::run(&mut cargo(&["build", "--workspace", "--all-features", "--bin", "cleanup"]))?;
    let place = Place::new()?;
    if let Err(error) = place.try_tracing() {
        if in_ci() {
            return Err(error);
        }
        println!("SKIPPED: no system call can fail on purpose here: {error:#}");
        return Ok(());
    }
    println!("seed {seed}");
    let mut never = Vec::new();
    let plays = if args.only.is_empty() {
        let scenarios = chosen(&args.scenario)?;
        let (mut all, mut made) = (Vec::new(), HashSet::new());
        for scenario in scenarios {
            // A crowd takes seconds a run.
            if scenario.crowd > 0 && !args.full && args.scenario.is_empty() && !args.list {
                continue;
            }
            let world = place.world(0, scenario)?;
            let visits = record(&world, scenario, &place.watchdog)?;
            made.extend(visits.iter().map(|visit| visit.kind.name));
            if args.list {
                list(scenario, &visits);
                continue;
            }
            let mut plays = plays(scenario, &visits, seed);
            println!("{}: {} runs", scenario.name, plays.len());
            if !args.full {
                shuffle(&mut plays, seed);
            }
            all.push(plays);
        }
        if args.full && args.scenario.is_empty() {
            never.extend(calls::failing().map(|kind| kind.name).filter(|name| !made.contains(name)));
        }
        if args.full { all.concat() } else { take_evenly(all, args.runs) }
    } else {
        args.only.iter().map(|text| Play::parse(text)).collect::<Result<_>>()?
    };
    if args.list {
        return Ok(());
    }
    let workers = args.workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1);
    let start = Instant::now();
    let result = place.play_all(&plays, workers, seed)?;
    result.tell(plays.len(), start.elapsed().as_secs());
    if result.differences > 0 {
        bail!("{} of {} runs did not end as they should", result.differences, plays.len());
    }
    if args.full && result.unhit > 0 {
        bail!("{} calls did not fail in every way in which they can", result.unhit);
    }
    if !never.is_empty() {
        bail!("no scenario makes these calls: {}", never.join(", "));
    }
    Ok(())
}

fn chosen(names: &[String]) -> Result<Vec<&'static Scenario>> {
    if names.is_empty() {
        return Ok(ALL.iter().collect());
    }
    names
        .iter()
        .map(|name| {
            let all = || ALL.iter().map(|scenario| scenario.name).collect::<Vec<_>>().join(", ");
            let found = ALL.iter().find(|scenario| scenario.name == name);
            found.with_context(|| format!("there is no scenario {name}; there are {}", all()))
        })
        .collect()
}

fn list(scenario: &Scenario, visits: &[Visit]) {
    for visit in visits {
        let faults: Vec<String> = visit.faults.iter().map(|fault| fault.name()).collect();
        println!("{}@{}  {}  {}", scenario.name, visit.site, visit.subject, faults.join(" "));
    }
}

/// Every run of a scenario.
fn plays(scenario: &'static Scenario, visits: &[Visit], seed: u64) -> Vec<Play> {
    let mut random =
        Random(seed ^ scenario.name.bytes().fold(0, |sum: u64, byte| sum.wrapping_mul(31) ^ u64::from(byte)));
    // Whoever takes names away is stopped while somebody else writes, so that nothing else happens meanwhile.
    let moving: Vec<usize> = visits.iter().filter(|visit| visit.moves()).filter_map(Visit::thread).collect();
    // What is done between two looks at the root is one moment for whoever writes there.
    let is_moving = |visit: &&Visit| visit.thread().is_some_and(|thread| moving.contains(&thread));
    let is_open = |visit: &&Visit| is_moving(visit) && visit.subject.contains("/out");
    let open: Vec<&Visit> = visits.iter().filter(is_open).collect();
    let writing = |random: &mut Random| Writing {
        at: open[random.below(open.len())].site,
        path: scenario.contested[random.below(scenario.contested.len())],
        how: if random.below(2) == 0 { How::Touch } else { How::Replace },
    };
    let can_write = !open.is_empty() && !scenario.contested.is_empty();
    let mut plays = Vec::new();
    let is_own = |visit: &&Visit| scenario.only.iter().any(|part| visit.subject.contains(part));
    for visit in visits.iter().filter(is_own) {
        for fault in &visit.faults {
            let fault_here = Some((visit.site, *fault));
            let writings = if can_write { random.below(3) } else { 0 };
            let writings = (0..writings).map(|_| writing(&mut random)).collect();
            plays.push(Play { scenario, fault: fault_here, writings });
        }
    }
    // Thousands of files take their time.
    let every = if can_write && scenario.crowd == 0 { &open[..] } else { &[] };
    for visit in every {
        for how in [How::Touch, How::Replace] {
            let path = scenario.contested[random.below(scenario.contested.len())];
            let writings = vec![Writing { at: visit.site, path, how }];
            plays.push(Play { scenario, fault: None, writings });
        }
    }
    plays
}

/// As many of each as there are, in turn.
fn take_evenly(mut all: Vec<Vec<Play>>, most: usize) -> Vec<Play> {
    let mut taken = Vec::new();
    while taken.len() < most && all.iter().any(|plays| !plays.is_empty()) {
        for plays in &mut all {
            taken.extend(plays.pop().filter(|_| taken.len() < most));
        }
    }
    taken
}

fn shuffle(plays: &mut [Play], seed: u64) {
    let mut random = Random(seed);
    for index in (1..plays.len()).rev() {
        plays.swap(index, random.below(index + 1));
    }
}

/// `SplitMix64`.
struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % most as u64).unwrap_or(0)
    }
}

/// Where it is played, and by which program. Gone in the end.
struct Place {
    folder: PathBuf,
    binary: PathBuf,
    watchdog: Watchdog,
}

#[derive(Default)]
struct Sum {
    differences: usize,
    hit: usize,
    unhit: usize,
    by_scenario: BTreeMap<&'static str, (usize, usize)>,
}

impl Place {
    fn new() -> Result<Self> {
        // Nothing that is played needs a disk.
        let memory = Path::new("/dev/shm");
        let id = std::process::id();
        let folder = [memory.to_owned(), std::env::temp_dir()]
            .into_iter()
            .map(|folder| folder.join(format!("cleanup-faults-{id}")))
            .find(|folder| fs::create_dir(folder).is_ok())
            .context("cannot make a folder to play in")?;
        // A copy: somebody may build while this goes on.
        let built = std::env::current_exe()?.with_file_name("cleanup");
        let binary = built.with_file_name(format!("cleanup-faults-{id}"));
        fs::copy(&built, &binary).with_context(|| format!("cannot copy {}", built.display()))?;
        Ok(Self { folder, binary, watchdog: Watchdog::new() })
    }

    fn try_tracing(&self) -> Result<()> {
        let mut command = std::process::Command::new("/bin/true");
        command.current_dir(&self.folder);
        tracer::run(&mut command, &self.watchdog, &mut |_| tracer::Answer::Go).map(drop)
    }

    fn world(&self, worker: usize, scenario: &'static Scenario) -> Result<World> {
        World::new(self.folder.join(format!("{}-{worker}", scenario.name)), self.binary.clone(), scenario)
    }

    fn play_all(&self, plays: &[Play], workers: usize, seed: u64) -> Result<Sum> {
        let (next, sum) = (AtomicUsize::new(0), Mutex::new(Sum::default()));
        std::thread::scope(|scope| {
            let work = |worker: usize| -> Result<()> {
                let mut worlds = HashMap::new();
                while let Some(play) = plays.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let name = play.scenario.name;
                    if !worlds.contains_key(name) {
                        worlds.insert(name, self.world(worker, play.scenario)?);
                    }
                    let played = self.play(play, &worlds[name]).with_context(|| format!("in the run {play}"))?;
                    sum.lock().unwrap_or_else(PoisonError::into_inner).add(play, &played, seed);
                }
                Ok(())
            };
            let threads: Vec<_> = (0..workers).map(|worker| scope.spawn(move || work(worker))).collect();
            threads.into_iter().try_for_each(|thread| thread.join().expect("a worker does not panic"))
        })?;
        Ok(sum.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Plays once; and, where the fault did not come up, again without anybody else, a few times: what another program writes
    /// may keep the call from being made.
    fn play(&self, play: &Play, world: &World) -> Result<Played> {
        let mut played = play.run(world, &self.watchdog)?;
        for _ in 0..AGAIN {
            if !play.has_to_come_up() || played.is_hit || !played.wrong.is_empty() {
                break;
            }
            played = Play { writings: Vec::new(), ..play.clone() }.run(world, &self.watchdog)?;
        }
        Ok(played)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
        let _ = fs::remove_file(&self.binary);
    }
}

impl Sum {
    fn add(&mut self, play: &Play, played: &Played, seed: u64) {
        self.by_scenario.entry(play.scenario.name).or_default().0 += 1;
        self.hit += usize::from(played.is_hit);
        if play.has_to_come_up() && !played.is_hit {
            println!("not hit: {play}");
            self.unhit += 1;
        }
        let done = self.by_scenario.values().map(|(runs, _)| runs).sum::<usize>();
        if done.is_multiple_of(PROGRESS) {
            println!("{done} runs");
        }
        if !played.wrong.is_empty() {
            self.by_scenario.entry(play.scenario.name).or_default().1 += 1;
            self.differences += 1;
            println!("\nDIFFERS: {}", played.subject);
            for wrong in &played.wrong {
                println!("  {wrong}");
            }
            println!("  again: cargo xtask faults --seed {seed} --only '{play}'");
        }
    }

    fn tell(&self, runs: usize, seconds: u64) {
        for (name, (runs, differences)) in &self.by_scenario {
            println!("{name}: {runs} runs, {differences} differ");
        }
        println!(
            "{runs} runs in {seconds} s; {} calls failed; {} did not come up; {} runs differ",
            self.hit, self.unhit, self.differences
        );
    }
}
