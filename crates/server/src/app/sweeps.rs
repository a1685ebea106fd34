//! Sweeps that are going on: at most one of each policy, however many ask for it.
//!
//! Whoever asks for policies that are being swept joins that sweep for those, and starts one of its own for the rest. A
//! real sweep with other archives than the one that is going on waits for it; dry runs hold no lock and run beside
//! anything, but the same dry run is not made twice at once. Once a policy has ended, its next sweep may begin, even
//! while others of the same sweep go on. A sweep belongs to nobody: it goes on when the caller goes away, and ends after
//! the item in hand when the service stops.

use std::collections::VecDeque;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use cleanup_core::moment::Moment;
use cleanup_core::report::{PolicyReport, Report, Trigger};
use cleanup_core::sweep::Mode;
use cleanup_engine::plan::Plan as WrittenPlan;
use cleanup_engine::{Request, run_id};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

mod plan;
mod watcher;

pub(crate) use self::plan::Planned;

use self::plan::Plan;
use self::watcher::SweepWatcher;
use super::generation::Generation;
use crate::telemetry::feed::Feed;
use crate::telemetry::logs;
use cleanup_engine::now;

/// Reports of ended sweeps that are kept: also of those that the history does not take, such as dry runs.
const KEPT: usize = 64;

/// What to sweep, and how.
#[derive(Clone, Debug)]
pub struct SweepRequest {
    /// Names of policies; empty means all enabled ones.
    pub policies: Vec<String>,
    /// Whether to act.
    pub mode: Mode,
    /// Judge archives by age like other files.
    pub include_archives: bool,
    /// What starts it.
    pub trigger: Trigger,
    /// Who asks for it, where that has a name.
    pub asked_by: Option<String>,
    /// A plan to carry out; then it names the policies.
    pub plan: Option<Arc<WrittenPlan>>,
}

/// One sweep that is going on, or waits for another to end.
#[derive(Debug)]
pub struct RunningSweep {
    pub(crate) run_id: String,
    pub(crate) trigger: Trigger,
    pub(crate) asked_by: Option<String>,
    pub(crate) mode: Mode,
    pub(crate) started_at: Moment,
    pub(crate) policies: Vec<String>,
    pub(crate) scanned: AtomicU64,
    pub(crate) removed: AtomicU64,
    pub(crate) include_archives: bool,
    written: Option<Arc<WrittenPlan>>,
    progress: watch::Sender<Progress>,
    plan: Plan,
}

#[derive(Debug, Default)]
struct Progress {
    ended: Vec<PolicyReport>,
    report: Option<Arc<Report>>,
}

impl RunningSweep {
    fn new(request: &SweepRequest, policies: Vec<String>) -> Self {
        Self {
            run_id: run_id(),
            trigger: request.trigger,
            asked_by: request.asked_by.clone(),
            mode: request.mode,
            started_at: now(),
            policies,
            scanned: AtomicU64::new(0),
            removed: AtomicU64::new(0),
            include_archives: request.include_archives,
            written: request.plan.clone(),
            progress: watch::Sender::default(),
            plan: Plan::default(),
        }
    }

    /// The policies that have ended so far.
    pub(crate) fn ended(&self) -> Vec<PolicyReport> {
        self.progress.borrow().ended.clone()
    }

    /// What a dry run would take: the first files of each policy.
    pub(crate) fn planned(&self) -> Vec<Planned> {
        self.plan.shown()
    }

    /// Whether it still has to do with a policy.
    pub(crate) fn is_at(&self, policy: &str) -> bool {
        let progress = self.progress.borrow();
        self.policies.iter().any(|own| own == policy)
            && progress.report.is_none()
            && !progress.ended.iter().any(|ended| ended.name == policy)
    }

    fn does_the_same(&self, request: &SweepRequest) -> bool {
        let plan = |plan: &Option<Arc<WrittenPlan>>| plan.as_ref().map(|plan| plan.summary().plan_id);
        self.mode == request.mode
            && self.include_archives == request.include_archives
            && plan(&self.written) == plan(&request.plan)
    }

    /// Waits until these policies have ended, and gives what came of them.
    async fn outcomes(&self, policies: &[String]) -> Vec<PolicyReport> {
        let mut progress = self.progress.subscribe();
        let has_ended = |progress: &Progress, name: &String| progress.ended.iter().any(|ended| ended.name == *name);
        let all = |progress: &Progress| policies.iter().all(|name| has_ended(progress, name));
        match progress.wait_for(|progress| progress.report.is_some() || all(progress)).await {
            Ok(progress) => {
                let wanted = |report: &&PolicyReport| policies.contains(&report.name);
                progress.ended.iter().filter(wanted).cloned().collect()
            }
            // The sender lives as long as this sweep, which is borrowed here.
            Err(_) => Vec::new(),
        }
    }

    /// Waits until all of it has ended. `None` never comes while the sweep lives.
    async fn report(&self) -> Option<Arc<Report>> {
        let mut progress = self.progress.subscribe();
        progress.wait_for(|progress| progress.report.is_some()).await.ok()?.report.clone()
    }
}

/// A caller's share in the sweeps that do what it asked for.
#[derive(Debug)]
pub struct SweepHandle {
    parts: Vec<Part>,
}

/// The policies that one sweep does for a caller.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) sweep: Arc<RunningSweep>,
    pub(crate) policies: Vec<String>,
    /// Whether the sweep was going on before.
    pub(crate) joined: bool,
}

impl SweepHandle {
    /// The run to look at: the caller's own, or else the first that it joined.
    pub fn run_id(&self) -> &str {
        self.main().map_or("", |sweep| &sweep.run_id)
    }

    /// Which sweep does what.
    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn main(&self) -> Option<&RunningSweep> {
        let own = self.parts.iter().find(|part| !part.joined);
        own.or(self.parts.first()).map(|part| &*part.sweep)
    }

    /// Waits for what was asked for. The report of a single sweep is that sweep's own; what several did is put together.
    pub async fn report(&self) -> Report {
        if let [Part { sweep, policies, .. }] = &self.parts[..]
            && sweep.policies.len() == policies.len()
            && let Some(report) = sweep.report().await
        {
            return Report::clone(&report);
        }
        let mut reports = Vec::new();
        for part in &self.parts {
            reports.extend(part.sweep.outcomes(&part.policies).await);
        }
        let started_at = self.parts.iter().map(|part| part.sweep.started_at).min().unwrap_or_else(now);
        let (trigger, mode) = self.main().map_or((Trigger::Manual, Mode::Plan), |main| (main.trigger, main.mode));
        let report = Report::new(self.run_id().to_owned(), trigger, mode == Mode::Plan, started_at, now(), reports);
        Report { asked_by: self.main().and_then(|main| main.asked_by.clone()), ..report }
    }
}

/// All sweeps of the service.
#[derive(Debug, Default)]
pub struct Sweeps {
    inner: Mutex<Inner>,
    tasks: TaskTracker,
}

#[derive(Debug, Default)]
struct Inner {
    running: Vec<Arc<RunningSweep>>,
    finished: VecDeque<(Arc<Report>, Arc<RunningSweep>)>,
}

impl Sweeps {
    /// Joins what does the same already, and starts the rest. `policies` are the names meant, in the order of the
    /// configuration. Must be called on the runtime; the sweep itself is on a blocking thread.
    pub(crate) fn start(
        self: &Arc<Self>,
        request: &SweepRequest,
        policies: Vec<String>,
        live: Generation,
        feed: Arc<Feed>,
        stop: CancellationToken,
    ) -> SweepHandle {
        let mut inner = self.lock();
        let (mut parts, mut rest) = (Vec::<Part>::new(), Vec::new());
        for policy in policies {
            let same = |sweep: &&Arc<RunningSweep>| sweep.does_the_same(request) && sweep.is_at(&policy);
            match inner.running.iter().find(same) {
                None => rest.push(policy),
                Some(sweep) => match parts.iter_mut().find(|part| Arc::ptr_eq(&part.sweep, sweep)) {
                    Some(part) => part.policies.push(policy),
                    None => parts.push(Part { sweep: Arc::clone(sweep), policies: vec![policy], joined: true }),
                },
            }
        }
        if !rest.is_empty() || parts.is_empty() {
            let in_the_way = |sweep: &&Arc<RunningSweep>| {
                let acts = request.mode == Mode::Apply && sweep.mode == Mode::Apply;
                acts && rest.iter().any(|policy| sweep.is_at(policy))
            };
            let before: Vec<_> = inner.running.iter().filter(in_the_way).cloned().collect();
            let sweep = Arc::new(RunningSweep::new(request, rest.clone()));
            inner.running.push(Arc::clone(&sweep));
            let watcher = SweepWatcher::new(Arc::clone(&sweep), feed, stop);
            self.tasks.spawn(Arc::clone(self).run(live, watcher, before));
            parts.push(Part { sweep, policies: rest, joined: false });
        }
        SweepHandle { parts }
    }

    /// The sweeps that are going on.
    pub(crate) fn running(&self) -> Vec<Arc<RunningSweep>> {
        self.lock().running.clone()
    }

    /// The report of a sweep that ended lately.
    pub(crate) fn finished(&self, run_id: &str) -> Option<Arc<Report>> {
        self.lock().finished.iter().find(|(report, _)| report.run_id == run_id).map(|(report, _)| Arc::clone(report))
    }

    /// A dry run that ended lately.
    pub(crate) fn dry_run(&self, run_id: &str) -> Option<Arc<RunningSweep>> {
        let inner = self.lock();
        let found = inner.finished.iter().find(|(report, _)| report.dry_run && report.run_id == run_id);
        found.map(|(_, sweep)| Arc::clone(sweep))
    }

    /// Waits until no sweep is going on. None may be started any more.
    pub(crate) async fn drained(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    async fn run(self: Arc<Self>, live: Generation, watcher: SweepWatcher, before: Vec<Arc<RunningSweep>>) {
        let sweep = Arc::clone(&watcher.sweep);
        for other in before {
            let shared: Vec<_> = sweep.policies.iter().filter(|name| other.policies.contains(name)).cloned().collect();
            other.outcomes(&shared).await;
        }
        let dry_run = sweep.mode == Mode::Plan;
        let feed = Arc::clone(&watcher.feed);
        feed.sweep_started(&sweep.run_id, sweep.trigger, dry_run, &sweep.policies);
        let watcher = Arc::new(watcher);
        let Generation { engine, .. } = live;
        let swept = Arc::clone(&engine);
        let task = {
            let watcher = Arc::clone(&watcher);
            let request = Request {
                policies: sweep.policies.clone(),
                mode: sweep.mode,
                include_archives: sweep.include_archives,
                trigger: sweep.trigger,
                asked_by: sweep.asked_by.clone(),
                run_id: Some(sweep.run_id.clone()),
                ..Request::default()
            };
            let plan = sweep.written.clone();
            tokio::task::spawn_blocking(move || match plan {
                None => engine.sweep(&request, &*watcher).map_err(|error| error.to_string()),
                Some(plan) => engine.apply_plan(&plan, &request, &*watcher).map_err(|error| error.to_string()),
            })
        };
        let report = match task.await {
            Ok(Ok(report)) => report,
            Ok(Err(error)) => watcher.broken(&error),
            Err(error) => {
                tracing::error!(run_id = sweep.run_id, "a sweep failed: {error}");
                watcher.broken("the sweep failed; see the log")
            }
        };
        logs::tell_of_sweep(swept.config(), &report);
        feed.sweep_ended(&report);
        let report = Arc::new(report);
        let mut inner = self.lock();
        inner.running.retain(|other| !Arc::ptr_eq(other, &sweep));
        if inner.finished.len() >= KEPT {
            inner.finished.pop_front();
        }
        inner.finished.push_back((Arc::clone(&report), Arc::clone(&sweep)));
        drop(inner);
        sweep.progress.send_modify(|progress| progress.report = Some(report));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
