//! The loops of one configuration: a scheduler for each policy that runs by itself, a timer for each tracked one, and one
//! that watches for pressure.

use std::collections::HashMap;
use std::sync::Arc;

use cleanup_core::config::Config;
use cleanup_core::moment::Moment;
use cleanup_core::policy::Schedule;
use cleanup_engine::Engine;
use cleanup_engine::responses::LastRun;
use cleanup_engine::track::Tracker;
use jiff::tz::TimeZone;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::service::Service;
use crate::background::deadlines::Deadlines;
use crate::background::min_free::watch_pressure;
use crate::background::schedule::{Spread, next_run};
use crate::background::scheduler::{Scheduler, host_id};
use cleanup_engine::now;

/// What runs by itself.
pub(crate) struct Tasks {
    schedules: Group,
    deadlines: Group,
    clock_set: Arc<Notify>,
}

/// Tasks that end together.
struct Group {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Group {
    async fn end(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Tasks {
    /// None yet. They will end when `stop` is cancelled, or by [`Tasks::end`].
    pub(crate) fn new(stop: &CancellationToken, clock_set: &Arc<Notify>) -> Self {
        let group = || Group { tasks: TaskTracker::new(), stop: stop.child_token() };
        Self { schedules: group(), deadlines: group(), clock_set: Arc::clone(clock_set) }
    }

    /// Starts the schedulers of all policies that have a schedule.
    pub(crate) fn schedule_all(
        &mut self,
        service: &Arc<Service>,
        config: &Config,
        zone: &TimeZone,
        last_runs: &[LastRun],
    ) {
        let files = config.files.iter().map(|policy| (&policy.rule.name, policy.enabled, &policy.schedule));
        let sessions = config.sessions.iter().map(|policy| (&policy.rule.name, policy.enabled, &policy.schedule));
        for (name, is_enabled, schedule) in files.chain(sessions) {
            if let Some(schedule) = schedule.as_ref().filter(|_| is_enabled) {
                let last = last_runs.iter().find(|run| run.policy == *name).map(|run| run.started_at);
                self.schedule(service, name, schedule, zone, last);
            }
        }
    }

    /// Starts to watch for limits that are exceeded between two scheduled runs, where there are such limits.
    pub(crate) fn watch_pressure(&mut self, service: &Arc<Service>, engine: &Arc<Engine>) {
        if !engine.has_pressure() {
            return;
        }
        let (service, engine) = (Arc::clone(service), Arc::clone(engine));
        let ask = move || {
            let engine = Arc::clone(&engine);
            async move {
                let asked = tokio::task::spawn_blocking(move || engine.pressure()).await;
                asked.unwrap_or_else(|error| {
                    tracing::error!("checking the free space failed: {error}");
                    Vec::new()
                })
            }
        };
        let relieve = move |policies: Vec<String>| {
            let service = Arc::clone(&service);
            async move { service.sweep_pressed(policies).await }
        };
        self.schedules.tasks.spawn(watch_pressure(ask, relieve, self.schedules.stop.clone()));
    }

    /// Starts the timers of all tracked policies; `changed` says of each that its deadlines changed.
    pub(crate) fn keep_all_deadlines(&mut self, tracker: &Arc<Tracker>, changed: &HashMap<String, Arc<Notify>>) {
        for tracked in tracker.policies() {
            let changed = changed.get(&tracked.policy).cloned().unwrap_or_default();
            self.keep_deadlines(tracker, &tracked.policy, changed);
        }
    }

    /// Ends the schedulers, and waits for the sweeps that they have in hand.
    pub(crate) async fn end_schedules(&self) {
        self.schedules.end().await;
    }

    /// Ends them all, and waits for what they have in hand.
    pub(crate) async fn end(self) {
        self.schedules.end().await;
        self.deadlines.end().await;
    }

    fn schedule(
        &self,
        service: &Arc<Service>,
        policy: &str,
        schedule: &Schedule,
        zone: &TimeZone,
        last_run: Option<Moment>,
    ) {
        let (started_at, spread) = (now(), Spread::of(&host_id(), policy));
        let (schedule, zone) = (schedule.clone(), zone.clone());
        let scheduler = Scheduler {
            policy: policy.to_owned(),
            last_run,
            clock: now,
            next: move |last, now| next_run(&schedule, &zone, last, started_at, now, spread),
            changed: Arc::clone(&self.clock_set),
            stop: self.schedules.stop.clone(),
        };
        let (service, policy) = (Arc::clone(service), policy.to_owned());
        self.schedules.tasks.spawn(scheduler.run(move || {
            let (service, policy) = (Arc::clone(&service), policy.clone());
            async move { service.sweep_scheduled(&policy).await.map(|_| ()) }
        }));
    }

    fn keep_deadlines(&self, tracker: &Arc<Tracker>, policy: &str, changed: Arc<Notify>) {
        let (asked, name) = (Arc::clone(tracker), policy.to_owned());
        let deadlines = Deadlines {
            policy: policy.to_owned(),
            clock: now,
            next: move || asked.next_deadline(&name),
            changed,
            clock_set: Arc::clone(&self.clock_set),
            stop: self.deadlines.stop.clone(),
        };
        let (tracker, policy) = (Arc::clone(tracker), policy.to_owned());
        let remove = move || drop(tracker.remove_due(&policy));
        self.deadlines.tasks.spawn_blocking(move || keep_on_this_thread(deadlines, remove));
    }
}

/// Keeps deadlines on the thread that it is called on, without waking another. To hand a timer to one thread and the
/// removal, which blocks, to the next costs more than the removal.
fn keep_on_this_thread<C, N>(deadlines: Deadlines<C, N>, remove: impl Fn())
where
    C: Fn() -> Moment,
    N: Fn() -> Option<Moment>,
{
    let own = tokio::runtime::Builder::new_current_thread().enable_time().build();
    // Where none is to be had, the common timer wakes this thread.
    let common = own.is_err().then(tokio::runtime::Handle::current);
    let (ask, mut asked) = mpsc::channel::<oneshot::Sender<()>>(1);
    let mut keeping = std::pin::pin!(deadlines.run(move || {
        let (done, is_done) = oneshot::channel();
        // There is one at a time, so there is room, and it is taken at once.
        let is_asked = ask.try_send(done).is_ok();
        async move {
            if !is_asked || is_done.await.is_err() {
                tracing::error!("removing due files failed");
            }
        }
    }));
    loop {
        let next = async {
            tokio::select! {
                () = keeping.as_mut() => None,
                done = asked.recv() => done,
            }
        };
        let done = match (&own, &common) {
            (Ok(own), _) => own.block_on(next),
            (Err(_), Some(common)) => common.block_on(next),
            (Err(_), None) => None,
        };
        let Some(done) = done else { return };
        // Outside of the runtime: the memory has one of its own. A panic has said so, and the next attempt pauses.
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(&remove)).is_ok() {
            let _ = done.send(());
        }
    }
}
