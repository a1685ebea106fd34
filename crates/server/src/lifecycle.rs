//! The service from its start to its end.
//!
//! The order of the start: the configuration, the token, the sockets, and only then anything that takes time; so that
//! what is wrong is said at once, and `/healthz` answers while the tracked folders are looked at for the first time.
//! The order of the end is the reverse: no new calls, the calls and sweeps in hand, the tasks, the tracker, the log.

use std::collections::HashMap;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cleanup_core::config::Config;
use cleanup_core::report::{FindingCode, Report};
use cleanup_engine::track::{Absent, Listener, Tracker, Watching};
use cleanup_engine::{Engine, OpenError};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::app::generation::Refusal;
use crate::app::service::Service;
use crate::background::systemd::{self, SHUTDOWN_DEADLINE, Signals};
use crate::background::tasks::Tasks;
use crate::background::{clock_watch, schedule};
use cleanup_engine::now;

use crate::app::access::Access;
use crate::net::accept::{self, Limits};
use crate::net::listen;
use crate::net::socket::{Address, ListenError, Listener as Socket};
use crate::telemetry::feed::Feed;
use crate::telemetry::logs::{self, Summed};
use crate::web;

/// Threads that answer calls: nothing on them blocks, so two are enough for many.
const WORKERS: usize = 2;

/// How long threads that cannot be interrupted are waited for at the very end.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// Why the service does not serve.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// What is configured cannot be: exit code 78.
    #[error("{0}")]
    Configuration(String),
    /// Anything else: exit code 1.
    #[error("error: {0}")]
    Other(String),
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Self::Configuration(match error {
            OpenError::Config(error) => error.render(std::io::stderr().is_terminal()),
            error => format!("error: {error}"),
        })
    }
}

/// Serves until SIGTERM or SIGINT.
pub fn run(config: Option<&Path>) -> Result<(), Failure> {
    let opened = Opened::open(config)?;
    let runtime = runtime()?;
    let served = runtime.block_on(async {
        let stop = CancellationToken::new();
        let signals =
            Signals::listen().map_err(|error| Failure::Other(format!("cannot listen for signals: {error}")))?;
        let reload = Arc::new(Notify::new());
        tokio::spawn(signals.obey(stop.clone(), Arc::clone(&reload), SHUTDOWN_DEADLINE));
        opened.serve(stop, reload, greet).await
    });
    runtime.shutdown_timeout(LAST_WAIT);
    served
}

pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build();
    runtime.map_err(|error| Failure::Other(format!("cannot start the service: {error}")))
}

/// Everything that can be wrong with the configuration has been found out.
pub(crate) struct Opened {
    named: Option<std::path::PathBuf>,
    parts: Parts,
    listeners: Vec<Socket>,
}

/// What a configuration comes to.
struct Parts {
    engine: Arc<Engine>,
    access: Access,
    zone: jiff::tz::TimeZone,
}

impl Parts {
    fn open(config: Option<&Path>) -> Result<Self, Failure> {
        let configuration = |error: &dyn std::fmt::Display| Failure::Configuration(format!("error: {error}"));
        let engine = Engine::open(config)?;
        let access = Access::read(engine.config()).map_err(|error| configuration(&error))?;
        let zone = schedule::time_zone(engine.config().time_zone.as_deref()).map_err(|error| configuration(&error))?;
        Ok(Self { engine: Arc::new(engine), access, zone })
    }

    fn warn(&self) {
        for warning in self.access.warnings() {
            tracing::warn!(code = FindingCode::Token.name(), "{warning}");
        }
    }
}

impl Opened {
    /// Opens the configuration, and the sockets that it names.
    pub(crate) fn open(config: Option<&Path>) -> Result<Self, Failure> {
        let parts = Parts::open(config)?;
        parts.warn();
        let server = &parts.engine.config().server;
        let listeners = listen::open(server, parts.access.has_token()).map_err(|error| match &error {
            ListenError::NoToken(_) => Failure::Configuration(format!("error: {error}")),
            _ => Failure::Other(error.to_string()),
        })?;
        Ok(Self { named: config.map(Path::to_owned), parts, listeners })
    }

    /// Serves until `stop` is cancelled, with another look at the configuration whenever `reload` says so. Calls
    /// `ready` once everything was looked at.
    pub(crate) async fn serve(
        self,
        stop: CancellationToken,
        reload: Arc<Notify>,
        ready: impl FnOnce(&[Address], &Config),
    ) -> Result<(), Failure> {
        let Self { named, parts, listeners } = self;
        let addresses: Vec<Address> = listeners.iter().map(|listener| listener.address().clone()).collect();
        let Parts { engine, access, zone } = parts;
        let service = Service::new(Arc::clone(&engine), access, stop.clone());
        let router = web::router(Arc::clone(&service));
        let answering = tokio::spawn(accept::serve(listeners, router, Limits::of_this_process(), stop.clone()));

        let words = Arc::new(Words::new());
        let telling = [&words.registered, &words.cleaned_up].map(|summed| {
            let (summed, stop) = (Arc::clone(summed), stop.clone());
            tokio::spawn(async move { summed.run(stop).await })
        });
        let clock_set = Arc::new(Notify::new());
        let watching_clock = tokio::spawn(clock_watch::watch_clock(now, Arc::clone(&clock_set), stop.clone()));
        tokio::spawn(systemd::watchdog(|| true));

        let life =
            Supervisor { service: Arc::clone(&service), words: Arc::clone(&words), clock_set, stop: stop.clone() };
        let starting = Arc::clone(&service);
        let mut running = life.begin(engine, &zone, move |tracker| starting.start(tracker)).await?;
        tracing::info!("{}", logs::INITIALIZED);
        systemd::ready(&status(&running.engine));
        ready(&addresses, running.engine.config());

        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = reload.notified() => running = life.reload(running, named.as_deref()).await?,
            }
        }
        systemd::stopping();
        running.tracker.stop_soon();
        let answered = answering.await;
        service.drained().await;
        running.end().await;
        let _ = watching_clock.await;
        for task in telling {
            let _ = task.await;
        }
        words.registered.flush();
        words.cleaned_up.flush();
        tracing::info!("{}", logs::STOPPED);
        match answered {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Failure::Other(format!("cannot accept requests any more: {error}"))),
            Err(error) => Err(Failure::Other(format!("serving requests failed: {error}"))),
        }
    }
}

/// What outlives every configuration.
struct Supervisor {
    service: Arc<Service>,
    words: Arc<Words>,
    clock_set: Arc<Notify>,
    stop: CancellationToken,
}

/// What runs by one configuration.
struct Running {
    engine: Arc<Engine>,
    tracker: Arc<Tracker>,
    tasks: Tasks,
}

impl Supervisor {
    /// Looks at everything that is tracked, hands the tracker over, and starts the tasks.
    async fn begin(
        &self,
        engine: Arc<Engine>,
        zone: &jiff::tz::TimeZone,
        adopt: impl FnOnce(Arc<Tracker>) + Send + 'static,
    ) -> Result<Running, Failure> {
        let changed: HashMap<String, Arc<Notify>> =
            engine.config().files.iter().map(|policy| (policy.rule.name.clone(), Arc::default())).collect();
        let ear =
            Ear { feed: Arc::clone(self.service.feed()), words: Arc::clone(&self.words), changed: changed.clone() };
        let opened = Arc::clone(&engine);
        let (tracker, last_runs) = blocking(move || {
            for told in opened.record_interrupted() {
                tracing::warn!(code = FindingCode::Interrupted.name(), "{told}");
            }
            let tracker = Arc::new(Tracker::start(&opened, Arc::new(ear)));
            adopt(Arc::clone(&tracker));
            (tracker, opened.last_runs())
        })
        .await?;
        let mut tasks = Tasks::new(&self.stop, &self.clock_set);
        tasks.schedule_all(&self.service, engine.config(), zone, &last_runs);
        tasks.keep_all_deadlines(&tracker, &changed);
        tasks.watch_pressure(&self.service, &engine);
        Ok(Running { engine, tracker, tasks })
    }

    /// Goes on with the configuration as it is now; where it is broken, or may not follow, as before.
    async fn reload(&self, running: Running, named: Option<&Path>) -> Result<Running, Failure> {
        systemd::reloading();
        let parts = match self.next(&running, named).await {
            Ok(parts) => parts,
            Err(refusal) => {
                let code = FindingCode::ReloadRefused.name();
                tracing::error!(code, "the configuration was not reloaded and stays as it was: {refusal}");
                systemd::ready(&format!("reload failed; {}", status(&running.engine)));
                let refused = self.service.refuse_reload(refusal);
                let engine = Arc::clone(&running.engine);
                blocking(move || engine.record_refused_reload(&refused.to_string())).await?;
                return Ok(running);
            }
        };
        parts.warn();
        let (before, after) = (&running.engine.config().server, &parts.engine.config().server);
        if (before.listen, &before.socket) != (after.listen, &after.socket) {
            tracing::warn!("`listen` and `socket` are read only at start: restart the service to use the new ones");
        }
        running.end().await;
        let Parts { engine, access, zone } = parts;
        let (service, adopted) = (Arc::clone(&self.service), Arc::clone(&engine));
        let running = self.begin(engine, &zone, move |tracker| service.reload(adopted, tracker, access)).await?;
        tracing::info!("configuration reloaded from {}", running.engine.origin());
        systemd::ready(&status(&running.engine));
        Ok(running)
    }

    /// The configuration as it is now, if it may follow the one that runs.
    async fn next(&self, running: &Running, named: Option<&Path>) -> Result<Parts, Refusal> {
        // To open a pipe is to wait for whoever writes into it, and nobody does a second time.
        if let Some(path) = running.engine.origin().path()
            && path.metadata().is_ok_and(|metadata| !metadata.is_file())
        {
            return Err(Refusal::Broken(format!("{} is not a regular file", path.display())));
        }
        let named = named.map(Path::to_owned);
        let opened = blocking(move || Parts::open(named.as_deref())).await;
        // Even a panic there is no reason to stop what runs.
        let parts = opened.and_then(|opened| opened).map_err(|failure| Refusal::Broken(failure.to_string()))?;
        let before = self.service.generation();
        match Refusal::of((&running.engine, &before.access), (&parts.engine, &parts.access)) {
            Some(refusal) => Err(refusal),
            None => Ok(parts),
        }
    }
}

impl Running {
    async fn end(self) {
        // Sweeps by schedule may take long; deadlines are kept until they have ended.
        self.tasks.end_schedules().await;
        self.tracker.stop_soon();
        self.tasks.end().await;
        let tracker = self.tracker;
        if let Err(failure) = blocking(move || tracker.stop()).await {
            tracing::error!("tracking ended with an error: {failure}");
        }
    }
}

async fn blocking<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    let task: JoinHandle<T> = tokio::task::spawn_blocking(act);
    task.await.map_err(|error| Failure::Other(format!("the service failed: {error}")))
}

fn status(engine: &Engine) -> String {
    let policies = engine.config().rules().count();
    format!("{policies} policies from {}", engine.origin())
}

/// The two messages that are told of single files.
struct Words {
    registered: Arc<Summed>,
    cleaned_up: Arc<Summed>,
}

impl Words {
    fn new() -> Self {
        Self {
            registered: Arc::new(Summed::new(logs::REGISTERED)),
            cleaned_up: Arc::new(Summed::new(logs::CLEANED_UP)),
        }
    }
}

/// Hears what tracking does, and passes it on: to the log, to whoever waits for a deadline, to metrics and events.
struct Ear {
    feed: Arc<Feed>,
    words: Arc<Words>,
    changed: HashMap<String, Arc<Notify>>,
}

impl Listener for Ear {
    fn registered(&self, policy: &str, path: &[u8]) {
        self.words.registered.tell(path);
        self.feed.registered(policy, path);
    }

    fn removed(&self, policy: &str, path: &[u8], bytes: u64, lateness: Duration) {
        self.words.cleaned_up.tell(path);
        self.feed.removed(policy, path, bytes, lateness);
    }

    fn bytes_went(&self, policy: &str, freed: u64, quarantined: u64) {
        self.feed.bytes_went(policy, freed, quarantined);
    }

    fn deadlines_changed(&self, policy: &str) {
        if let Some(changed) = self.changed.get(policy) {
            changed.notify_one();
        }
        self.feed.deadlines_changed(policy);
    }

    fn watching_changed(&self, policy: &str, watching: &Watching) {
        match watching {
            Watching::Events => tracing::debug!(policy, "new files are noticed at once"),
            Watching::Rescans { why } => {
                let code = FindingCode::Watching.name();
                tracing::warn!(policy, code, "new files are noticed by periodic scans: {why}");
            }
            Watching::Missing { absent: Absent::Expected, why } => {
                tracing::debug!(policy, "tracking is suspended: {why}");
            }
            Watching::Missing { why, absent } => {
                let code = match absent {
                    Absent::Unexpected => FindingCode::RootMissing,
                    Absent::No | Absent::Expected => FindingCode::Watching,
                };
                tracing::warn!(policy, code = code.name(), "tracking is suspended: {why}");
            }
        }
        self.feed.watching_changed(policy, watching);
    }

    fn noted(&self, policy: Option<&str>, notes: &[String]) {
        self.feed.noted(policy, notes);
    }

    fn ran(&self, report: &Report) {
        self.feed.ran(report);
    }
}

/// Says where the service is and what to try, to whoever started it by hand.
fn greet(addresses: &[Address], config: &Config) {
    let mut out = std::io::stdout();
    if !out.is_terminal() && std::env::var_os("NOTIFY_SOCKET").is_some() {
        return;
    }
    let Some(address) = addresses.first() else { return };
    let (flags, base) = match address {
        Address::Tcp(_) => (String::new(), address.to_string()),
        Address::Unix(path) => (format!("--unix-socket {} ", path.display()), "http://localhost".to_owned()),
    };
    let policies: Vec<&str> = config.rules().map(|rule| rule.name.as_str()).collect();
    // Nobody has to read it.
    let _ = writeln!(
        out,
        "Serving {} on {address}. Try it:\n\n  curl {flags}{base}/cleanup/stats\n  curl {flags}-X POST \
         {base}/cleanup/manual\n  curl {flags}{base}/api/v1/policies\n",
        policies.join(", "),
    );
}
