//! The service as web and background see it: what is configured now, what is tracked, what is being swept.
//!
//! The configuration can be replaced while calls are being answered: every call takes what is live once and stays with
//! it. Nothing here reads a folder or a database in answer to a question; what blocks says so.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use cleanup_core::config::Config;
use cleanup_core::moment::Moment;
use cleanup_core::policy::FilePolicy;
use cleanup_core::report::{PolicyKind, PolicyReport, Report, Trigger};
use cleanup_core::sweep::Mode;
use cleanup_engine::plan::Plan;
use cleanup_engine::track::Tracker;
use cleanup_engine::{Engine, now};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::access::{Access, Sessions};
use super::error::AppError;
use super::generation::{Generation, Refusal, Refused};
use super::kept_plans::Plans;
use super::sweeps::{SweepHandle, SweepRequest, Sweeps};
use super::trend::Trends;
use crate::telemetry::events::Kind;
use crate::telemetry::feed::Feed;

/// Calls that read or write the memory at the same time; the others wait for their turn.
const MAX_BLOCKING: usize = 16;

/// The service.
pub struct Service {
    generation: RwLock<Generation>,
    /// The last reload, when it was refused.
    refused: Mutex<Option<Refused>>,
    feed: Arc<Feed>,
    sweeps: Arc<Sweeps>,
    pub(crate) sessions: Sessions,
    pub(crate) started_at: Moment,
    plans: Plans,
    stop: CancellationToken,
    blocking: Arc<Semaphore>,
    /// The trend of the past, as it was last read.
    pub(crate) trends: Trends,
}

impl Service {
    /// A service that can already be asked, and answers that it is not ready until [`Service::start`]. Once `stop` is
    /// cancelled, sweeps end after the item in hand, event streams end, and no new sweep begins.
    pub fn new(engine: Arc<Engine>, access: Access, stop: CancellationToken) -> Arc<Self> {
        let started_at = now();
        Arc::new(Self {
            generation: RwLock::new(Generation { engine, tracker: None, access: Arc::new(access) }),
            refused: Mutex::default(),
            feed: Arc::new(Feed::new(format!("{:x}", started_at.unix_millis()))),
            sweeps: Arc::default(),
            sessions: Sessions::default(),
            plans: Plans::default(),
            started_at,
            stop,
            blocking: Arc::new(Semaphore::new(MAX_BLOCKING)),
            trends: Trends::default(),
        })
    }

    /// What the tracker is to tell: it implements [`cleanup_engine::track::Listener`].
    pub fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// Ready from now on. Reads what is remembered of past runs: blocks, and must not be called on an async thread.
    pub fn start(&self, tracker: Arc<Tracker>) {
        let Generation { engine, access, .. } = self.generation();
        self.feed.findings.begin(engine.last_findings());
        self.adopt(Generation { engine, tracker: Some(tracker), access });
    }

    /// Goes on with another configuration. Sweeps that are going on end as they began. Reads what is remembered of past
    /// runs: blocks, and must not be called on an async thread.
    pub fn reload(&self, engine: Arc<Engine>, tracker: Arc<Tracker>, access: Access) {
        if !self.generation().access.has_same_tokens(&access) {
            self.sessions.end_all();
        }
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.feed.metrics.reloaded(true);
        self.feed.metrics.forget_gauges();
        self.trends.forget();
        self.adopt(Generation { engine, tracker: Some(tracker), access: Arc::new(access) });
        self.feed.events.send(Kind::Reloaded, &[], &serde_json::json!({}));
    }

    /// Takes note that another configuration was not taken. What is live goes on untouched.
    pub(crate) fn refuse_reload(&self, why: Refusal) -> Refused {
        let refused = Refused { at: now(), why };
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(refused.clone());
        self.feed.metrics.reloaded(false);
        refused
    }

    /// The last reload, when it was refused.
    pub(crate) fn refused_reload(&self) -> Option<Refused> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn adopt(&self, live: Generation) {
        self.feed.last_runs.remember(live.engine.last_runs());
        self.feed.last_runs.remember_sweeps(live.engine.last_sweeps());
        let Config { files, sessions, .. } = live.engine.config();
        let files = files.iter().map(|policy| (&policy.rule.name, PolicyKind::Files, &policy.schedule));
        let sessions = sessions.iter().map(|policy| (&policy.rule.name, PolicyKind::Sessions, &policy.schedule));
        for (name, kind, schedule) in files.chain(sessions) {
            self.feed.metrics.expect(name, kind, schedule.as_ref());
            let last = self.feed.last_runs.of(name).unwrap_or_default();
            if let Some(at) = last.succeeded_at {
                self.feed.metrics.succeeded(name, at);
            }
            if let Some(outcome) = last.outcome {
                self.feed.metrics.stands(name, outcome.status, &outcome.counts, &outcome.limits);
            }
        }
        let missing: BTreeMap<_, _> = live.engine.missing_roots().into_iter().collect();
        for policy in &live.engine.config().files {
            self.feed.root(&policy.rule.name, missing.get(&policy.rule.name).cloned());
        }
        *self.generation.write().unwrap_or_else(PoisonError::into_inner) = live;
    }

    /// What is configured and tracked at this moment.
    pub fn generation(&self) -> Generation {
        self.generation.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Joins the sweeps that do the same already and starts the rest, at once. Must be called on the runtime.
    pub fn sweep(&self, request: &SweepRequest) -> Result<SweepHandle, AppError> {
        if self.stop.is_cancelled() {
            return Err(AppError::NotNow("the service is stopping".to_owned()));
        }
        let live = self.generation();
        let policies = named(live.engine.config(), &request.policies)?;
        let (feed, stop) = (Arc::clone(&self.feed), self.stop.clone());
        Ok(self.sweeps.start(request, policies, live, feed, stop))
    }

    /// Carries a plan out, at once. Must be called on the runtime.
    pub fn apply(&self, plan: Plan, asked_by: Option<String>) -> Result<SweepHandle, AppError> {
        self.sweep(&SweepRequest {
            policies: plan.summary().policies,
            mode: Mode::Apply,
            include_archives: false,
            trigger: Trigger::Manual,
            asked_by,
            plan: Some(Arc::new(plan)),
        })
    }

    /// The plans that can be applied.
    pub(crate) fn plans(&self) -> &Plans {
        &self.plans
    }

    /// A sweep of one policy by its schedule; ends when the policy has ended.
    pub async fn sweep_scheduled(&self, policy: &str) -> Result<Report, AppError> {
        let handle = self.sweep(&SweepRequest {
            policies: vec![policy.to_owned()],
            mode: Mode::Apply,
            include_archives: false,
            trigger: Trigger::Schedule,
            asked_by: None,
            plan: None,
        })?;
        Ok(handle.report().await)
    }

    /// A sweep of policies that exceed a limit; ends when they have ended, and answers those that it relieved: a sweep
    /// that could remove nothing, or not enough, need not be tried again at once.
    pub(crate) async fn sweep_pressed(&self, policies: Vec<String>) -> Vec<String> {
        let request = SweepRequest {
            policies,
            mode: Mode::Apply,
            include_archives: false,
            trigger: Trigger::Pressure,
            asked_by: None,
            plan: None,
        };
        let Ok(handle) = self.sweep(&request) else { return Vec::new() };
        let is_relieved = |policy: &PolicyReport| {
            policy.counts.removed + policy.counts.quarantined > 0 && policy.limits.iter().all(|limit| limit.met)
        };
        let report = handle.report().await;
        report.policies.into_iter().filter(is_relieved).map(|policy| policy.name).collect()
    }

    /// The sweeps that are going on, and those that ended lately.
    pub fn sweeps(&self) -> &Sweeps {
        &self.sweeps
    }

    /// Waits until the sweeps that were going on have ended. For the end, after `stop` is cancelled.
    pub async fn drained(&self) {
        self.sweeps.drained().await;
    }

    /// Cancelled when the service stops.
    pub(crate) fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// The tracker, or the word that there is none yet.
    pub(crate) fn tracker(&self) -> Result<Arc<Tracker>, AppError> {
        self.generation().tracker.ok_or(AppError::Starting)
    }

    /// Does what blocks on a thread for it.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        act: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, AppError> {
        // The permit goes along: work goes on when the caller goes away, and still counts then.
        let permit = Arc::clone(&self.blocking).acquire_owned().await;
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            act()
        });
        done.await.map_err(|error| {
            tracing::error!("a request failed: {error}");
            AppError::Internal
        })
    }
}

/// The names that a request means, in the order of the configuration.
fn named(config: &Config, names: &[String]) -> Result<Vec<String>, AppError> {
    if let Some(name) = names.iter().find(|name| !config.rules().any(|rule| rule.name == **name)) {
        return Err(AppError::unknown_policy(config, name));
    }
    let enabled = config
        .files
        .iter()
        .map(|policy| (&policy.rule.name, policy.enabled))
        .chain(config.sessions.iter().map(|policy| (&policy.rule.name, policy.enabled)));
    let meant = |(name, enabled): &(&String, bool)| if names.is_empty() { *enabled } else { names.contains(name) };
    Ok(enabled.filter(meant).map(|(name, _)| name.clone()).collect())
}

/// The tracked policy of which `/cleanup/stats` speaks.
pub(crate) fn stats_policy(config: &Config) -> Option<&FilePolicy> {
    match &config.server.stats_policy {
        Some(name) => config.files.iter().find(|policy| policy.rule.name == *name),
        None => config.files.iter().find(|policy| policy.track),
    }
}
