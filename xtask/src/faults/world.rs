//! A folder in which a scenario is played: made, looked at, written in by somebody else.
//!
//! Every file says in its lines what it is, so that it is known wherever it lies.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, FileTimes};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::fs::XattrFlags;
use serde_json::Value;

use super::scenario::{Before, Does, Scenario};

/// Files that have to stay, whatever happens: young ones, one that is held, one that the policy does not name.
const YOUNG: &[&str] = &["young.tmp", "y/young.tmp", "job0/young"];
const HELD: &[&str] = &["held.tmp", "job3/held"];
const FOREIGN: &str = "foreign.txt";

/// The folder that comes back as it was.
const KEPT_MODE: u32 = 0o2750;

pub(crate) struct World {
    pub(crate) folder: PathBuf,
    binary: PathBuf,
    scenario: &'static Scenario,
    /// Whether this file system knows extended attributes.
    has_attributes: bool,
}

/// What a folder is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Like {
    mode: u32,
    owner: u32,
    group: u32,
    /// An extended attribute, where there are any.
    attribute: Option<Vec<u8>>,
}

const ATTRIBUTE: &str = "user.cleanup-faults";
const VALUE: &[u8] = b"kept";

/// What is on the disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    /// What every line of a file in its place says, and where that is.
    pub(crate) home: HashMap<String, Vec<PathBuf>>,
    /// What lies in quarantine, by run and number.
    pub(crate) aside: BTreeMap<(String, u64), Aside>,
    /// Folders, and what they are like.
    pub(crate) folders: BTreeMap<PathBuf, Like>,
    /// What is ours and should be gone when nothing runs.
    pub(crate) leftovers: Vec<PathBuf>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Aside {
    /// The path in its note.
    pub(crate) noted: Option<String>,
    pub(crate) says: Vec<String>,
}

impl Found {
    /// Where something lies.
    pub(crate) fn places(&self, says: &str) -> usize {
        let aside = self.aside.values().filter(|aside| aside.says.iter().any(|it| it == says)).count();
        self.home.get(says).map_or(0, Vec::len) + aside
    }

    pub(crate) fn is_home(&self, path: &str) -> bool {
        self.home.get(&old(path)).is_some_and(|places| places.iter().any(|place| place == Path::new(path)))
    }

    pub(crate) fn is_aside(&self, says: &str) -> bool {
        self.aside.values().any(|aside| aside.says.iter().any(|it| it == says))
    }
}

/// What an old file says.
pub(crate) fn old(path: &str) -> String {
    format!("old {path}")
}

/// How somebody else writes a file. One that is not there is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Touch,
    Replace,
}

/// What the other program has done.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// What is young by now, and must not be lost.
    pub(crate) young: Vec<String>,
    /// What it has itself written over.
    pub(crate) replaced: Vec<String>,
}

impl World {
    pub(crate) fn new(folder: PathBuf, binary: PathBuf, scenario: &'static Scenario) -> Result<Self> {
        fs::create_dir_all(&folder)?;
        let has_attributes = rustix::fs::setxattr(&folder, ATTRIBUTE, VALUE, XattrFlags::empty()).is_ok();
        let world = Self { folder, binary, scenario, has_attributes };
        if !scenario.is_new {
            world.make_memory()?;
        }
        Ok(world)
    }

    /// Makes the memory that a run begins with: a run has been, and something is held.
    fn make_memory(&self) -> Result<()> {
        self.clear()?;
        self.write_config()?;
        self.make_kept()?;
        self.must(&["hold", "out/held.tmp", "out/job3", "--for", "300d"])?;
        self.must(&["sweep", "--json"])?;
        let memory = self.memory();
        let _ = fs::remove_dir_all(&memory);
        copy_folder(&self.folder.join("state"), &memory)
    }

    fn memory(&self) -> PathBuf {
        self.folder.with_extension("memory")
    }

    fn clear(&self) -> Result<()> {
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).context("cannot clear a world"),
            _ => Ok(fs::create_dir_all(&self.folder)?),
        }
    }

    fn write_config(&self) -> Result<()> {
        let Scenario { policy, audit, .. } = self.scenario;
        let text = format!(
            "[state]\nurl = \"sqlite:state/state.db\"\n[audit]\nfile = \"audit.jsonl\"\n{audit}\
             [files.p]\nroot = \"out\"\nmax_age = \"1h\"\n{policy}"
        );
        Ok(fs::write(self.folder.join("cleanup.toml"), text)?)
    }

    /// Makes everything anew, up to the moment at which the command begins.
    pub(crate) fn make(&self) -> Result<()> {
        // Thousands of files that nobody takes are made once.
        let is_there = self.scenario.crowd > 0 && self.root().join("crowd").is_dir();
        if is_there {
            for name in ["state", "audit.jsonl"] {
                let path = self.folder.join(name);
                let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
            }
        } else {
            self.clear()?;
            self.write_config()?;
            self.make_kept()?;
            for number in 0..self.scenario.crowd {
                let path = self.root().join(format!("crowd/{number}.tmp"));
                if number == 0 {
                    fs::create_dir_all(path.parent().context("it has a folder")?)?;
                }
                File::create(path)?;
            }
        }
        if !self.scenario.is_new {
            copy_folder(&self.memory(), &self.folder.join("state"))?;
        }
        self.make_old(self.scenario.first)?;
        for before in self.scenario.before {
            match before {
                Before::Run(line) => self.must(line)?,
                Before::Age => self.age()?,
                Before::FillAudit => {
                    for (name, lines) in [("audit.jsonl", 40), ("audit.jsonl.1", 41), ("audit.jsonl.2", 41)] {
                        let line = format!("{{\"of\":\"{name}\",\"filler\":\"{}\"}}\n", "x".repeat(60));
                        fs::write(self.folder.join(name), line.repeat(lines))?;
                    }
                }
            }
        }
        self.make_old(self.scenario.due)?;
        if self.scenario.does == Does::Apply {
            self.must(&["plan", "--out", "plan.jsonl", "--jobs", "1"])?;
        }
        Ok(())
    }

    fn make_kept(&self) -> Result<()> {
        for path in YOUNG {
            let path_below = self.root().join(path);
            fs::create_dir_all(path_below.parent().context("it has a folder")?)?;
            fs::write(path_below, format!("young {path}\n"))?;
        }
        self.make_old(&[FOREIGN])?;
        if self.scenario.is_new { Ok(()) } else { self.make_old(HELD) }
    }

    /// Makes old files, in old folders.
    fn make_old(&self, paths: &[&str]) -> Result<()> {
        let long_ago = SystemTime::now() - Duration::from_hours(72);
        let times = FileTimes::new().set_modified(long_ago).set_accessed(long_ago);
        for path in paths {
            let path_below = self.root().join(path);
            fs::create_dir_all(path_below.parent().context("it has a folder")?)?;
            fs::write(&path_below, format!("{}\n", old(path)))?;
            File::options().write(true).open(path_below)?.set_times(times)?;
        }
        for path in paths {
            for folder in Path::new(path).ancestors().skip(1).filter(|folder| *folder != Path::new("")) {
                let folder = self.root().join(folder);
                let like = self.like_before();
                chown(&folder, Some(like.owner), Some(like.group))?;
                fs::set_permissions(&folder, fs::Permissions::from_mode(like.mode))?;
                if let Some(value) = &like.attribute {
                    rustix::fs::setxattr(&folder, ATTRIBUTE, value, XattrFlags::empty())?;
                }
                File::open(folder)?.set_times(times)?;
            }
        }
        Ok(())
    }

    /// What the folders that old files lie in are like.
    pub(crate) fn like_before(&self) -> Like {
        let user = rustix::process::geteuid();
        let (owner, group) = if user.is_root() { (1, 2) } else { (user.as_raw(), rustix::process::getegid().as_raw()) };
        Like { mode: KEPT_MODE, owner, group, attribute: self.has_attributes.then(|| VALUE.to_vec()) }
    }

    /// As if all that lies in quarantine had been there for two months.
    fn age(&self) -> Result<()> {
        for run in self.quarantines()? {
            let notes = run.join("notes.jsonl");
            let text = fs::read_to_string(&notes)?;
            let mut aged = String::with_capacity(text.len());
            let mut pieces = text.split("\"at\":\"");
            aged.push_str(pieces.next().unwrap_or_default());
            for piece in pieces {
                let (_, rest) = piece.split_once('"').context("a moment ends")?;
                aged.push_str("\"at\":\"2020-01-01T00:00:00Z\"");
                aged.push_str(rest);
            }
            // As earlier versions wrote them: a checksum would no longer be that of the line.
            let lines = aged.lines().map(|line| match line.split_once(",\"crc32\"") {
                Some((line, _)) => format!("{line}}}\n"),
                None => format!("{line}\n"),
            });
            fs::write(notes, lines.collect::<String>())?;
        }
        Ok(())
    }

    /// Whether a path lies in this world.
    pub(crate) fn holds(&self, path: &str) -> bool {
        Path::new(path).starts_with(&self.folder) || path.starts_with("?/")
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.join("out")
    }

    /// The folders of the runs in quarantine.
    fn quarantines(&self) -> Result<Vec<PathBuf>> {
        let mut runs = Vec::new();
        for entry in fs::read_dir(self.root())?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(".cleanup") {
                let below = fs::read_dir(entry.path().join("quarantine"));
                runs.extend(below.into_iter().flatten().flatten().map(|run| run.path()));
            }
        }
        runs.sort();
        Ok(runs)
    }

    /// The program, in this folder, with nothing from outside.
    pub(crate) fn command(&self, line: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(line).current_dir(&self.folder).env_clear().env("HOME", &self.folder).env("TZ", "UTC");
        command.stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, line: &[&str]) -> Result<Output> {
        self.command(line).output().context("cannot start the program")
    }

    fn must(&self, line: &[&str]) -> Result<()> {
        let ran = self.run(line)?;
        ensure!(
            ran.status.success(),
            "{}: `cleanup {}` before the fault: {}\n{}{}",
            self.scenario.name,
            line.join(" "),
            ran.status,
            String::from_utf8_lossy(&ran.stdout),
            String::from_utf8_lossy(&ran.stderr)
        );
        Ok(())
    }

    /// What a file said on standard output or error of the command.
    pub(crate) fn said(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(name)).unwrap_or_default()
    }

    /// The actions of the audit log, full files and all, with their paths.
    pub(crate) fn audited(&self, run: &str) -> Vec<(String, Option<String>)> {
        let mut found = Vec::new();
        for name in ["audit.jsonl.2", "audit.jsonl.1", "audit.jsonl"] {
            for line in self.said(name).lines() {
                if let Ok(line) = serde_json::from_str::<Value>(line)
                    && line["run"] == run
                    && let Some(action) = line["action"].as_str()
                {
                    found.push((action.to_owned(), line["path"].as_str().map(str::to_owned)));
                }
            }
        }
        found
    }

    /// Looks at everything.
    pub(crate) fn look(&self) -> Result<Found> {
        let mut found = Found::default();
        self.look_into(&self.root(), &mut found)?;
        for run in self.quarantines()? {
            let name = run.file_name().context("a folder has a name")?.to_string_lossy().into_owned();
            let mut notes = HashMap::new();
            for line in fs::read_to_string(run.join("notes.jsonl")).unwrap_or_default().lines() {
                if let Ok(line) = serde_json::from_str::<Value>(line)
                    && let (Some(number), Some(path)) = (line["n"].as_u64(), line["path"].as_str())
                {
                    notes.insert(number, path.to_owned());
                }
            }
            let mut is_empty = true;
            for entry in fs::read_dir(&run)?.flatten() {
                let Ok(number) = entry.file_name().to_string_lossy().parse::<u64>() else { continue };
                is_empty = false;
                let mut says = Vec::new();
                read_all(&entry.path(), &mut says)?;
                found.aside.insert((name.clone(), number), Aside { noted: notes.remove(&number), says });
            }
            if is_empty {
                found.leftovers.push(run);
            }
        }
        for folder in ["state", "state/locks", "state/running", "state/index", ""] {
            for entry in fs::read_dir(self.folder.join(folder)).into_iter().flatten().flatten() {
                let is_new = entry.path().extension().is_some_and(|end| end == "new" || end == "tmp");
                if folder == "state/running" || is_new {
                    found.leftovers.push(entry.path());
                }
            }
        }
        Ok(found)
    }

    fn look_into(&self, folder: &Path, found: &mut Found) -> Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let (path, name) = (entry.path(), entry.file_name());
            let below = path.strip_prefix(self.root())?.to_owned();
            if name.to_string_lossy().starts_with(".cleanup") || name == "crowd" {
                continue;
            }
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                let (mode, owner, group) = (metadata.mode() & 0o7777, metadata.uid(), metadata.gid());
                found.folders.insert(below, Like { mode, owner, group, attribute: attribute(&path) });
                self.look_into(&path, found)?;
            } else {
                for line in fs::read_to_string(&path)?.lines() {
                    found.home.entry(line.to_owned()).or_default().push(below.clone());
                }
            }
        }
        Ok(())
    }

    /// Another program writes a file of the root; `serial` tells its writings apart.
    pub(crate) fn write(&self, path: &str, how: How, serial: usize, written: &mut Written) -> Result<()> {
        let target = self.root().join(path);
        let says = format!("new {serial}");
        let there = match fs::read_to_string(&target) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            // A folder on the way is a file by now, or the like: nothing of it is made here.
            Err(error) => bail!("cannot look at {}: {error}", target.display()),
        };
        match (there, how) {
            (Some(text), How::Touch) => {
                File::options().append(true).open(&target)?.write_all(format!("{says}\n").as_bytes())?;
                written.young.extend(text.lines().map(str::to_owned));
            }
            (Some(text), How::Replace) => {
                let new = self.folder.join("written");
                fs::write(&new, format!("{says}\n"))?;
                fs::rename(new, &target)?;
                written.young.retain(|line| !text.lines().any(|it| it == line));
                written.replaced.extend(text.lines().map(str::to_owned));
            }
            (None, _) => {
                fs::create_dir_all(target.parent().context("it has a folder")?)?;
                File::create_new(&target)?.write_all(format!("{says}\n").as_bytes())?;
            }
        }
        written.young.push(says);
        Ok(())
    }
}

fn attribute(path: &Path) -> Option<Vec<u8>> {
    let mut value = [0_u8; 64];
    let length = rustix::fs::getxattr(path, ATTRIBUTE, &mut value).ok()?;
    Some(value[..length].to_vec())
}

/// What everything in a file or folder says.
fn read_all(path: &Path, says: &mut Vec<String>) -> Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            read_all(&entry?.path(), says)?;
        }
    } else {
        says.extend(fs::read_to_string(path)?.lines().map(str::to_owned));
    }
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir(to)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.metadata()?.is_dir() {
            copy_folder(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

/// What has to stay where it is.
pub(crate) fn kept(scenario: &Scenario) -> impl Iterator<Item = (String, &'static str)> {
    let held = if scenario.is_new { &[] } else { HELD };
    let young = YOUNG.iter().map(|path| (format!("young {path}"), *path));
    young.chain(held.iter().chain([&FOREIGN]).map(|path| (old(path), *path)))
}
