//! A folder, a configuration and a service of each test's own, listening on a port that the kernel chooses.

use std::fmt::Write as _;
use std::fs::{self, File, FileTimes};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Extension;
use cleanup_engine::Engine;
use cleanup_engine::track::{Listener, MAX_FILES, Tracker};
use cleanup_server::app::access::Access;
use cleanup_server::app::service::Service;
use cleanup_server::net::socket::Peer;
use cleanup_server::web::router;
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::client::{Answer, Client};

pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const TOKEN: &str = "correct-horse-battery-staple";

const POLICIES: &str = r#"
[files.temp-models]
root    = "models"
include = ["*.step"]
max_age = "30m"
track   = true

[files.svgs]
root     = "svgs"
include  = ["*.svg"]
archives = ["keep-*"]
max_age  = "1h"
"#;

/// How a test wants its service.
pub(crate) struct Plan {
    pub(crate) more: String,
    pub(crate) peer: Peer,
    pub(crate) max_files: usize,
    pub(crate) starts: bool,
    /// Files that are there before it starts, and so count from their stamps.
    pub(crate) files: Vec<(&'static str, Duration)>,
    /// How many more old models there are.
    pub(crate) old_models: usize,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            more: String::new(),
            peer: Peer::Loopback,
            max_files: MAX_FILES,
            starts: true,
            files: Vec::new(),
            old_models: 0,
        }
    }
}

pub(crate) struct World {
    pub(crate) folder: Arc<TempDir>,
    pub(crate) service: Arc<Service>,
    pub(crate) stop: CancellationToken,
    pub(crate) address: SocketAddr,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Plan::default()).await
    }

    /// With a token, called from loopback or from elsewhere.
    pub(crate) async fn with_token(peer: Peer) -> Self {
        Self::with(Plan { more: "[server]\ntoken_file = \"token\"".to_owned(), peer, ..Plan::default() }).await
    }

    pub(crate) async fn with(plan: Plan) -> Self {
        let folder = Arc::new(TempDir::new().unwrap());
        for name in ["models", "svgs"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join("token"), format!("{TOKEN}\n")).unwrap();
        fs::write(folder.path().join("cleanup.toml"), format!("{POLICIES}\n{}", plan.more)).unwrap();
        for (path, age) in &plan.files {
            fs::create_dir_all(folder.path().join(path).parent().unwrap()).unwrap();
            make(&folder.path().join(path), *age);
        }
        for number in 0..plan.old_models {
            make(&folder.path().join(format!("models/{number}.step")), HOUR);
        }
        let world = Self::open(folder, plan.peer).await;
        if plan.starts {
            world.start(plan.max_files).await;
        }
        world
    }

    /// Another service on the same folder, as after a restart.
    pub(crate) async fn again(&self) -> Self {
        let world = Self::open(Arc::clone(&self.folder), Peer::Loopback).await;
        world.start(MAX_FILES).await;
        world
    }

    /// A service on a folder that has its configuration, not started yet.
    pub(crate) async fn open(folder: Arc<TempDir>, peer: Peer) -> Self {
        let engine = Arc::new(Engine::open(Some(&folder.path().join("cleanup.toml"))).unwrap());
        let access = Access::read(engine.config()).unwrap();
        let stop = CancellationToken::new();
        let service = Service::new(engine, access, stop.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = router(Arc::clone(&service)).layer(Extension(peer));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { folder, service, stop, address }
    }

    /// Tracks from now on.
    pub(crate) async fn start(&self, max_files: usize) {
        let service = Arc::clone(&self.service);
        let start = move || {
            let listener: Arc<dyn Listener> = Arc::clone(service.feed()) as Arc<dyn Listener>;
            let tracker = Tracker::start_with(&service.generation().engine, listener, max_files);
            service.start(Arc::new(tracker));
        };
        tokio::task::spawn_blocking(start).await.unwrap();
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// Makes a file of this age.
    pub(crate) fn file(&self, path: &str, age: Duration) {
        make(&self.path(path), age);
    }

    /// How many files lie in a folder.
    pub(crate) fn count(&self, folder: &str) -> usize {
        fs::read_dir(self.path(folder)).unwrap().count()
    }

    pub(crate) async fn connect(&self) -> Client {
        Client::connect(self.address).await
    }

    /// Sends these bytes and waits for the end of the answer.
    pub(crate) async fn raw(&self, bytes: impl AsRef<[u8]>) -> Answer {
        let mut client = self.connect().await;
        client.send(bytes).await;
        client.answer().await
    }

    /// A call with these header lines, and a body where there is one.
    pub(crate) async fn call(&self, method: &str, target: &str, headers: &[&str], body: &str) -> Answer {
        let mut call = format!("{method} {target} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|header| header.to_ascii_lowercase().starts_with("host:")) {
            write!(call, "Host: {}\r\n", self.address).unwrap();
        }
        for header in headers {
            call += header;
            call += "\r\n";
        }
        if !body.is_empty() {
            write!(call, "Content-Length: {}\r\n", body.len()).unwrap();
        }
        self.raw(call + "\r\n" + body).await
    }

    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.call("GET", target, &[], "").await
    }

    /// The status alone; the connection is closed at once.
    pub(crate) async fn get_head(&self, target: &str) -> u16 {
        let mut client = self.connect().await;
        client.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        let head = client.wait_for("\r\n\r\n").await;
        head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub(crate) async fn post(&self, target: &str, body: &Value) -> Answer {
        self.call("POST", target, &["Content-Type: application/json"], &body.to_string()).await
    }

    /// The numbers of a policy's metric.
    pub(crate) async fn metric(&self, line_start: &str) -> Option<f64> {
        let metrics = self.get("/metrics").await;
        let line = metrics.body.lines().find(|line| line.starts_with(line_start))?.to_owned();
        line.rsplit(' ').next()?.parse().ok()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn make(path: &std::path::Path, age: Duration) {
    fs::write(path, [b' '; 4096]).unwrap();
    let times = FileTimes::new().set_modified(SystemTime::now() - age);
    File::options().write(true).open(path).unwrap().set_times(times).unwrap();
}
