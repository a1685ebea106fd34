use std::convert::Infallible;
use std::sync::Mutex;

use cleanup_core::policy::Schedule;
use jiff::tz::TimeZone;

use super::*;
use crate::background::schedule::{Spread, next_run};
use crate::fixture::{Wall, moment, pass};

const HOUR: Duration = Duration::from_hours(1);
const MINUTE: Duration = Duration::from_mins(1);

type Log = Arc<Mutex<Vec<Moment>>>;

struct Loop {
    wall: Wall,
    changed: Arc<Notify>,
    stop: CancellationToken,
    runs: Log,
    task: tokio::task::JoinHandle<Option<Moment>>,
}

impl Loop {
    fn runs(&self) -> Vec<Moment> {
        self.runs.lock().unwrap().clone()
    }
}

/// A loop with `schedule`, whose runs are written down and then do what `act` does.
fn start<A, F, E>(schedule: Schedule, act: A) -> Loop
where
    A: Fn() -> F + Send + 'static,
    F: Future<Output = Result<(), E>> + Send + 'static,
    E: Display + Send + 'static,
{
    let wall = Wall::new();
    let started_at = wall.now();
    let next = move |last, now| next_run(&schedule, &TimeZone::UTC, last, started_at, now, Spread::NONE);
    start_with(wall, next, act)
}

/// The same with any answer to when it runs next.
fn start_with<N, A, F, E>(wall: Wall, next: N, act: A) -> Loop
where
    N: Fn(Option<Moment>, Moment) -> Moment + Send + 'static,
    A: Fn() -> F + Send + 'static,
    F: Future<Output = Result<(), E>> + Send + 'static,
    E: Display + Send + 'static,
{
    let (changed, stop, runs) = (Arc::new(Notify::new()), CancellationToken::new(), Log::default());
    let clock = {
        let wall = wall.clone();
        move || wall.now()
    };
    let scheduler = Scheduler {
        policy: "test".into(),
        last_run: None,
        clock: clock.clone(),
        next,
        changed: Arc::clone(&changed),
        stop: stop.clone(),
    };
    let log = Arc::clone(&runs);
    let task = tokio::spawn(scheduler.run(move || {
        log.lock().unwrap().push(clock());
        act()
    }));
    Loop { wall, changed, stop, runs, task }
}

fn every(interval: Duration) -> Schedule {
    Schedule::Every(interval)
}

async fn nothing() -> Result<(), Infallible> {
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn runs_follow_the_schedule_without_a_wake_up_in_between() {
    let scheduler = start(every(HOUR), nothing);
    pass(MINUTE).await;
    let reads = scheduler.wall.reads();
    pass(58 * MINUTE).await;
    assert_eq!(scheduler.wall.reads(), reads, "asleep");
    pass(2 * HOUR).await;
    assert_eq!(scheduler.runs(), [moment(0), moment(3600), moment(7200)]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_fails_or_panics_does_not_end_the_loop() {
    let scheduler = start(every(HOUR), || async { Err::<(), _>("no such table") });
    pass(150 * MINUTE).await;
    assert_eq!(scheduler.runs().len(), 3);
    let scheduler = start(every(HOUR), || async { panic!("a bug, on purpose") as Result<(), Infallible> });
    pass(150 * MINUTE).await;
    assert_eq!(scheduler.runs().len(), 3);
    let scheduler = start(every(HOUR), || -> std::future::Ready<Result<(), Infallible>> { panic!("on purpose") });
    pass(150 * MINUTE).await;
    assert_eq!(scheduler.runs().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_long_run_is_not_overlapped_and_what_it_missed_runs_once() {
    let scheduler = start(every(HOUR), || async {
        tokio::time::sleep(150 * MINUTE).await;
        Ok::<_, Infallible>(())
    });
    pass(151 * MINUTE).await;
    assert_eq!(scheduler.runs(), [moment(0), moment(150 * 60)]);
}

#[tokio::test(start_paused = true)]
async fn the_end_comes_at_once_between_runs_and_after_the_run_in_hand() {
    let scheduler = start(every(HOUR), nothing);
    pass(MINUTE).await;
    scheduler.stop.cancel();
    assert_eq!(scheduler.task.await.unwrap(), Some(moment(0)));

    let scheduler = start(every(HOUR), || async {
        tokio::time::sleep(MINUTE).await;
        Ok::<_, Infallible>(())
    });
    pass(Duration::from_secs(1)).await;
    scheduler.stop.cancel();
    let before = Instant::now();
    scheduler.task.await.unwrap();
    assert_eq!(before.elapsed().as_secs(), 59);
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_ahead_means_one_run_and_one_set_back_one_interval() {
    let scheduler = start(every(HOUR), nothing);
    pass(MINUTE).await;
    scheduler.wall.set_by(365 * 86_400);
    scheduler.changed.notify_waiters();
    pass(MINUTE).await;
    assert_eq!(scheduler.runs().len(), 2, "made up at once, and once");
    scheduler.wall.set_by(-2 * 365 * 86_400);
    for _ in 0..5 {
        scheduler.changed.notify_waiters();
        pass(10 * MINUTE).await;
    }
    assert_eq!(scheduler.runs().len(), 2);
    pass(11 * MINUTE).await;
    assert_eq!(scheduler.runs().len(), 3, "an interval after the clock was set, however often it was asked since");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_to_and_fro_causes_no_storm() {
    let scheduler = start(every(HOUR), nothing);
    for jump in 0..1000 {
        scheduler.wall.set_by(if jump % 2 == 0 { 86_400 } else { -86_400 });
        scheduler.changed.notify_waiters();
        pass(Duration::from_millis(10)).await;
    }
    assert!(scheduler.runs().len() <= 11, "{} runs in ten seconds", scheduler.runs().len());
}

#[tokio::test(start_paused = true)]
async fn a_schedule_that_is_always_due_runs_once_a_second() {
    let (stop, wall) = (CancellationToken::new(), Wall::new());
    let runs = Arc::new(Mutex::new(0));
    let scheduler = Scheduler {
        policy: "test".into(),
        last_run: None,
        clock: move || wall.now(),
        next: |_, _| Moment::EPOCH,
        changed: Arc::new(Notify::new()),
        stop: stop.clone(),
    };
    let count = Arc::clone(&runs);
    tokio::spawn(scheduler.run(move || {
        *count.lock().unwrap() += 1;
        nothing()
    }));
    pass(Duration::from_millis(9500)).await;
    assert_eq!(*runs.lock().unwrap(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_never_comes_waits_without_waking() {
    let scheduler = start_with(Wall::new(), |_, _| Moment::from_unix(i64::MAX, 0), nothing);
    pass(HOUR).await;
    assert_eq!(scheduler.runs(), []);
    scheduler.stop.cancel();
    assert_eq!(scheduler.task.await.unwrap(), None);
}
