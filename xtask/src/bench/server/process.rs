//! The service as a process: started on a configuration, asked what it holds, read by what the kernel counts of it.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::client::Client;
use crate::shell::without_leftovers;

/// How long it may take until it has learned of everything.
const PATIENCE: Duration = Duration::from_secs(180);

/// A program that serves, ended when dropped.
pub(super) struct Process {
    child: Child,
    pub(super) address: SocketAddr,
    /// Open as long as it runs: it may want to say more.
    _said: BufReader<ChildStdout>,
}

/// What it has spent so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spent {
    pub(super) ticks: u64,
    /// How often its threads, those that are still there, woke up.
    pub(super) wakeups: u64,
}

impl Process {
    /// The service, once it has looked at everything. `policies` is the configuration without memory and address.
    pub(super) fn serve(program: &Path, folder: &Path, policies: &str) -> Result<Self> {
        let config = folder.join("cleanup.toml");
        let state = folder.join("state.db");
        let rest = format!("[state]\nurl = \"sqlite:{}\"\n\n[server]\nlisten = \"127.0.0.1:0\"\n", state.display());
        fs::write(&config, format!("{policies}\n{rest}"))?;
        let mut command = Command::new(program);
        command.arg("-c").arg(config).stderr(File::create(folder.join("log"))?);
        Self::start(&mut command).with_context(|| fs::read_to_string(folder.join("log")).unwrap_or_default())
    }

    /// A program that says where it serves in the first line that it prints.
    pub(super) fn start(command: &mut Command) -> Result<Self> {
        let mut child = without_leftovers(command).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut said = BufReader::new(child.stdout.take().context("its output is ours")?);
        let mut line = String::new();
        said.read_line(&mut line)?;
        let address = line.split_once("http://").map(|(_, rest)| rest.trim_end_matches(". To try it:\n").trim());
        let address = address.with_context(|| format!("it does not say where it serves: {line:?}"))?;
        Ok(Self { child, address: address.parse()?, _said: said })
    }

    pub(super) fn client(&self) -> Result<Client> {
        Client::connect(self.address)
    }

    /// How many files have a deadline.
    pub(super) fn tracked(&self) -> Result<u64> {
        let stats: Value = serde_json::from_slice(&self.client()?.get("/cleanup/stats")?)?;
        stats["cleanup_stats"]["tracked_files"].as_u64().context("no stats")
    }

    /// Waits until so many files have a deadline.
    pub(super) fn wait_until_tracked(&self, files: u64) -> Result<()> {
        let start = Instant::now();
        while self.tracked()? != files {
            ensure!(start.elapsed() < PATIENCE, "{} files are tracked, not {files}", self.tracked()?);
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    /// Bytes of memory that are its own at this moment.
    pub(super) fn resident_bytes(&self) -> Result<u64> {
        let status = fs::read_to_string(self.proc().join("status"))?;
        Ok(field(&status, "VmRSS:")? << 10)
    }

    /// What it has spent since its start.
    pub(super) fn spent(&self) -> Result<Spent> {
        let stat = fs::read_to_string(self.proc().join("stat"))?;
        // The name before it may hold anything, spaces too.
        let (_, fields) = stat.rsplit_once(')').context("unexpected stat")?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let [user, system] = [11, 12].map(|index| fields.get(index).and_then(|field| field.parse::<u64>().ok()));
        let mut wakeups = 0;
        for task in fs::read_dir(self.proc().join("task"))? {
            // It may have ended meanwhile.
            if let Ok(status) = fs::read_to_string(task?.path().join("status")) {
                wakeups += field(&status, "voluntary_ctxt_switches:")?;
            }
        }
        Ok(Spent { ticks: user.zip(system).map(|(user, system)| user + system).context("unexpected stat")?, wakeups })
    }

    fn proc(&self) -> PathBuf {
        Path::new("/proc").join(self.child.id().to_string())
    }
}

impl Spent {
    /// What was spent since then.
    pub(super) fn since(self, before: Self) -> Self {
        Self { ticks: self.ticks - before.ticks, wakeups: self.wakeups.saturating_sub(before.wakeups) }
    }

    /// The kernel counts in hundredths of a second, on every machine of ours.
    pub(super) fn processor(self) -> Duration {
        Duration::from_millis(self.ticks * 10)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

fn field(status: &str, name: &str) -> Result<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(name)).and_then(|rest| rest.split_whitespace().next());
    value.and_then(|value| value.parse().ok()).with_context(|| format!("{name} is missing"))
}
