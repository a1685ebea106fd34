//! Brings about what may stand between a policy and its files: each time a folder of its own, with a first run behind
//! it, files that are due since, and then the gate.

use std::fs::{self, File, FileTimes};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use cleanup_core::sweep::Mode;
use cleanup_engine::plan::VALID_FOR;
use cleanup_engine::{Engine, Request};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::table::{Gate, Way};

const DAY: Duration = Duration::from_hours(24);
/// More than is harmless.
const DUE: u64 = 120;
const YOUNG: u64 = 10;
const YEAR_SECONDS: i64 = 365 * 24 * 60 * 60;

/// Whether the audit log can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audit {
    Works,
    Fails,
}

/// A folder with a policy that ran once, and is about to run again.
pub(crate) struct World {
    pub(crate) folder: Arc<TempDir>,
    way: Way,
    gate: Gate,
    is_mounted: bool,
    /// What keeps others away, for as long as this lives.
    locks: Vec<File>,
}

impl World {
    /// `None`, said aloud, where this process may not mount what a way needs.
    #[allow(clippy::print_stderr, reason = "a test that is skipped says so")]
    pub(crate) fn new(way: Way, gate: Gate, audit: Audit) -> Option<Self> {
        let folder = Arc::new(TempDir::new().unwrap());
        let mut world = Self { folder, way, gate, is_mounted: false, locks: Vec::new() };
        for root in ["root", "other"] {
            fs::create_dir(world.path(root)).unwrap();
        }
        if way == Way::Pressure && !world.mount() {
            eprintln!("SKIPPED: {way:?} at {gate:?}: this process may not mount");
            return None;
        }
        world.answer_names(200);
        world.configure("exclude = ['never-*']");
        world.file("early.tmp", 60 * DAY);
        world.sweep(Request::default());
        assert!(!world.path("root/early.tmp").exists(), "the first run has moved it aside");

        for number in 0..DUE {
            world.file(&format!("due-{number}.tmp"), DAY);
        }
        for number in 0..YOUNG {
            world.file(&format!("young-{number}.tmp"), Duration::from_secs(60));
        }
        if way == Way::Restore {
            world.sweep(Request { force: true, ..Request::default() });
        }
        if gate == Gate::ChangedRule {
            world.configure("");
        }
        if way == Way::PlanApply {
            // A person has seen what there is to be seen.
            let request = Request { force: true, ..Request::default() };
            let out = File::create(world.path("plan.jsonl")).unwrap();
            world.engine().write_plan(&request, VALID_FOR, out, &()).unwrap();
        }
        if audit == Audit::Fails {
            fs::remove_file(world.path("audit.jsonl")).unwrap();
            fs::create_dir(world.path("audit.jsonl")).unwrap();
        }
        world.close();
        Some(world)
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// The configuration, opened by another process.
    pub(crate) fn engine(&self) -> Engine {
        Engine::open(Some(&self.path("cleanup.toml"))).unwrap()
    }

    /// What lies below the root and is a candidate.
    pub(crate) fn files(&self) -> Vec<String> {
        let names = fs::read_dir(self.path("root")).unwrap().map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).filter(|name| !name.starts_with('.')).collect()
    }

    /// What is to go, or to come back.
    pub(crate) fn due() -> u64 {
        DUE
    }

    /// Runs SQL in the database of the memory, where there is one.
    pub(crate) fn remembered(&self, sql: &str) -> Value {
        let database = self.path(".cleanup/state.db");
        if database.exists() { ask(&database, sql) } else { json!([]) }
    }

    fn sweep(&self, request: Request) {
        self.engine().sweep(&Request { mode: Mode::Apply, ..request }, &()).unwrap();
    }

    fn file(&self, name: &str, age: Duration) {
        let path = self.path("root").join(name);
        fs::write(&path, [b' '; 4096]).unwrap();
        let times = FileTimes::new().set_modified(SystemTime::now() - age);
        File::options().write(true).open(path).unwrap().set_times(times).unwrap();
    }

    /// Writes the configuration, with what is or was protected.
    fn configure(&self, protects: &str) {
        let rule = match self.way {
            Way::Pressure => "max_age = '30d'\nmin_free = { low = '60%', high = '90%' }",
            Way::SweepAll | Way::SweepNamed | Way::PlanApply | Way::Deadline | Way::Http | Way::Restore => {
                "max_age = '1h'"
            }
        };
        // What the start of a service leaves behind where files are tracked stands in the lines of the deadlines.
        let track = if self.way == Way::Http { "" } else { "track = true" };
        let asks = "keep_referenced = { sessions = 'app', query = 'select name from s' }";
        let brake = match self.gate {
            Gate::ChangedRule
            | Gate::OtherFileSystem
            | Gate::ClockJump
            | Gate::ClockLost
            | Gate::LostPromises
            | Gate::DamagedPromises
            | Gate::OpenQuarantine
            | Gate::PolicyLock => "",
            Gate::Open | Gate::ReferencesAway | Gate::ReferencesFewer | Gate::ReferencesEmpty => asks,
            Gate::MaxRemovalPercent => "max_removal_percent = 50",
            Gate::MaxRemovals => "max_removals = 3",
            Gate::RootLock => "honour_flock = true",
        };
        let text = format!(
            "[files.law]\nroot = 'root'\ninclude = ['*.tmp']\n{track}\n\
             dispose = 'quarantine'\nquarantine_for = '1ms'\n{rule}\n{protects}\n{brake}\n\
             [files.other]\nroot = 'other'\ninclude = ['*.tmp']\nmax_age = '1h'\n\
             [sessions.app]\nurl = 'sqlite:///app.db'\ntable = 's'\nid_column = 'name'\nactivity_column = 'at'\n\
             max_idle = '2h'\nenabled = false\n\
             [audit]\nfile = 'audit.jsonl'\n"
        );
        fs::write(self.path("cleanup.toml"), text).unwrap();
    }

    /// What is still referred to; none of it is there.
    fn answer_names(&self, count: u64) {
        ask(
            &self.path("app.db"),
            &format!(
                "create table if not exists s (name text, at integer); delete from s; \
                 with recursive n(i) as (select 1 union all select i + 1 from n where i < {count}) \
                 insert into s select 'kept-' || i, 1 from n where {count} > 0"
            ),
        );
    }

    fn close(&mut self) {
        // So that it shows when it is written again.
        let seen_before = "update policies set boot_id = 'another' where name = 'law'";
        self.remembered(match self.gate {
            Gate::OtherFileSystem => "update policies set file_system = '1' where name = 'law'",
            _ => seen_before,
        });
        match self.gate {
            Gate::ChangedRule | Gate::OtherFileSystem | Gate::MaxRemovalPercent | Gate::MaxRemovals => {}
            Gate::Open => self.answer_names(210),
            Gate::ClockJump => self.set_last_clock_back(),
            Gate::ClockLost => {
                for lost in ["state.db", "state.db-wal", "state.db-shm", "locks/clock"] {
                    let _ = fs::remove_file(self.path(".cleanup").join(lost));
                }
            }
            Gate::LostPromises => fs::remove_file(self.promise()).unwrap(),
            Gate::DamagedPromises => {
                let file = self.promise();
                let mut promises = fs::read(&file).unwrap();
                promises[20] ^= 1;
                fs::write(file, promises).unwrap();
            }
            Gate::OpenQuarantine => {
                let everybody = fs::Permissions::from_mode(0o755);
                fs::set_permissions(self.path("root/.cleanup"), everybody).unwrap();
            }
            Gate::PolicyLock => self.lock(".cleanup/locks/law"),
            Gate::RootLock => self.lock("root"),
            Gate::ReferencesAway => fs::rename(self.path("app.db"), self.path("away.db")).unwrap(),
            Gate::ReferencesFewer => self.answer_names(20),
            Gate::ReferencesEmpty => self.answer_names(0),
        }
    }

    /// Promises to keep something, and names the file that says so.
    fn promise(&self) -> PathBuf {
        for name in ["promised.tmp", "also.tmp"] {
            self.engine().hold(&self.path("other").join(name), DAY, None).unwrap();
        }
        self.path(".cleanup/promises.jsonl")
    }

    /// As `flock` has it, a descriptor of our own is as good as another process.
    fn lock(&mut self, path: &str) {
        let file = File::open(self.path(path)).unwrap();
        file.lock().unwrap();
        self.locks.push(file);
    }

    /// As if the last run had been a year earlier by the wall clock, and just now by the one that cannot be set.
    fn set_last_clock_back(&self) {
        let file = self.path(".cleanup/locks/clock");
        let line = fs::read_to_string(&file).unwrap();
        let (_, rest) = line.trim_end_matches('\n').split_once(' ').unwrap();
        let (seconds, rest) = rest.split_once(' ').unwrap();
        let rest = format!("{:020} {rest}", seconds.parse::<i64>().unwrap() - YEAR_SECONDS);
        fs::write(file, format!("{:08x} {rest}\n", crc32(rest.as_bytes()))).unwrap();
    }

    /// A file system of 256 blocks over the root.
    fn mount(&mut self) -> bool {
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=1M", "tmpfs"]).arg(self.path("root")).output();
        self.is_mounted = mount.is_ok_and(|mount| mount.status.success());
        self.is_mounted
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if self.is_mounted {
            // Lazily: a panic may come while something in it is open.
            let _ = Command::new("umount").arg("-l").arg(self.path("root")).status();
        }
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    let bit = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc: u32, byte| (0..8).fold(crc ^ u32::from(*byte), bit))
}

/// One interpreter for all databases: each would take longer to start than all the rest takes.
const INTERPRETER: &str = "
import json, sqlite3, sys
for line in sys.stdin:
    file, sql = json.loads(line)
    database = sqlite3.connect(file)
    for statement in sql.split(';'):
        rows = database.execute(statement).fetchall()
    database.commit()
    database.close()
    print(json.dumps(rows), flush=True)
";

struct Python {
    _process: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// Runs statements in a database of SQLite and gives the rows of the last.
fn ask(database: &Path, sql: &str) -> Value {
    static PYTHON: LazyLock<Mutex<Python>> = LazyLock::new(|| {
        let mut command = Command::new("python3");
        let command = command.args(["-c", INTERPRETER]).stdin(Stdio::piped()).stdout(Stdio::piped());
        // It ends with its input, which is with this process.
        let mut process = command.spawn().unwrap();
        let (asks, answers) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        Mutex::new(Python { _process: process, asks, answers })
    });
    let mut python = PYTHON.lock().unwrap_or_else(PoisonError::into_inner);
    writeln!(python.asks, "{}", json!([database, sql])).unwrap();
    let mut answer = String::new();
    python.answers.read_line(&mut answer).unwrap();
    serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{sql}: no answer"))
}
