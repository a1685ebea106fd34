//! A service in a process of its own, on a temporary folder, and calls to it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) folder: TempDir,
}

pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) address: String,
    _stdout: BufReader<ChildStdout>,
    log: PathBuf,
}

impl World {
    /// Tracked models for half an hour.
    pub(crate) fn new() -> Self {
        let world = Self { folder: tempfile::tempdir().unwrap() };
        world.configure("max_age = \"30m\"", "");
        fs::create_dir(world.path("temp_models")).unwrap();
        world
    }

    pub(crate) fn configure(&self, keys: &str, rest: &str) {
        let text = format!(
            "{rest}\n[files.temp-models]\nroot = \"temp_models\"\ninclude = [\"*.step\"]\ntrack = true\n{keys}\n\
             [server]\nlisten = \"127.0.0.1:0\"\n"
        );
        self.write("cleanup.toml", &text);
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a model of this age; it appears under its name with that age already.
    pub(crate) fn model(&self, name: &str, age: Duration) -> PathBuf {
        let (outside, path) = (self.path("outside"), self.path("temp_models").join(name));
        fs::write(&outside, "ISO-10303-21;").unwrap();
        let times = fs::FileTimes::new().set_modified(SystemTime::now() - age);
        fs::File::open(&outside).unwrap().set_times(times).unwrap();
        fs::rename(outside, &path).unwrap();
        path
    }

    /// Starts the service, and waits until it is ready.
    pub(crate) fn serve(&self) -> Server {
        self.serve_by(self.command())
    }

    /// As [`World::serve`], started otherwise.
    pub(crate) fn serve_by(&self, mut command: Command) -> Server {
        let log = self.path("log");
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(fs::File::options().create(true).append(true).open(&log).unwrap())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let address = line.split("http://").nth(1).unwrap_or_else(|| {
            panic!("no address in {line:?}: {}", fs::read_to_string(&log).unwrap());
        });
        let address = address.split(". ").next().unwrap().to_owned();
        Server { child, address, _stdout: stdout, log }
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cleanup-server"));
        command.arg("--config").arg(self.path("cleanup.toml")).env_remove("NOTIFY_SOCKET").env_remove("CLEANUP_LOG");
        command
    }
}

impl Server {
    pub(crate) fn call(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let (status, text) = self.call_text(method, path, body);
        let value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{method} {path}: {error}: {text}"));
        (status, value)
    }

    pub(crate) fn call_text(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut stream = self.open(method, path, body);
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    fn open(&self, method: &str, path: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    /// The stream of events, from now on.
    pub(crate) fn events(&self) -> Events {
        let mut events = Events(BufReader::new(self.open("GET", "/api/v1/events", "")));
        events.wait_for("HTTP/1.1 200");
        events
    }

    /// The tracked files of which `/cleanup/stats` tells.
    pub(crate) fn tracked(&self) -> u64 {
        let (status, answer) = self.call("GET", "/cleanup/stats", "");
        assert_eq!(status, 200, "{answer}");
        answer["cleanup_stats"]["tracked_files"].as_u64().unwrap()
    }

    pub(crate) fn register(&self, name: &str, ttl: &str) -> (u16, Value) {
        let body = format!(r#"{{"policy":"temp-models","path":"{name}","ttl":"{ttl}"}}"#);
        self.call("POST", "/api/v1/files", &body)
    }

    /// When a tracked file will be removed.
    pub(crate) fn due_at(&self, name: &str) -> String {
        let (_, page) = self.call("GET", "/api/v1/files", "");
        let files = page["files"].as_array().unwrap();
        let file = files.iter().find(|file| file["path"] == name).unwrap_or_else(|| panic!("no {name} in {page}"));
        file["due_at"].as_str().unwrap().to_owned()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Ends it as systemd does, and says with which code it ended.
    pub(crate) fn stop(mut self) -> Option<i32> {
        self.signal(rustix::process::Signal::TERM);
        self.child.wait().unwrap().code()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// How many lines of the log have this in them.
    pub(crate) fn logged(&self, text: &str) -> usize {
        self.log().lines().filter(|line| line.contains(text)).count()
    }

    /// Asks for another look at the configuration, and waits until it is known what came of it.
    pub(crate) fn reload(&self, outcome: &str) {
        let before = self.logged(outcome);
        self.signal(rustix::process::Signal::HUP);
        wait_until(|| self.logged(outcome) > before, outcome);
        assert_eq!(self.logged(outcome), before + 1, "said once: {}", self.log());
    }

    /// The findings of `/readyz`, whether or not it is ready.
    pub(crate) fn findings(&self) -> Vec<String> {
        let (_, ready) = self.call("GET", "/readyz", "");
        let of = |key: &str| ready[key].as_array().cloned().unwrap_or_default();
        let findings = of("reasons").into_iter().chain(of("warnings"));
        findings.map(|finding| finding["code"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits until something is logged.
    pub(crate) fn wait_for_log(&self, text: &str) {
        wait_until(|| self.log().contains(text), text);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) struct Events(BufReader<TcpStream>);

impl Events {
    /// Reads until a line has this in it.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "the events end without {text:?}");
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Reads to the end.
    pub(crate) fn end(mut self) {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).unwrap();
    }
}

/// Looks again and again: for what makes no event.
pub(crate) fn wait_until(is_so: impl Fn() -> bool, what: &str) {
    let begun = std::time::Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "never so: {what}");
        std::thread::yield_now();
    }
}

pub(crate) fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
