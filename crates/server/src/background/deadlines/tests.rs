use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::time::Instant;

use super::*;
use crate::fixture::{Wall, moment, pass};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);

/// A tracker in memory: what is due when, what cannot be removed, and when `act` was called.
#[derive(Default)]
struct Tracker {
    due: Mutex<BTreeSet<Moment>>,
    held: Mutex<BTreeSet<Moment>>,
    acts: Mutex<Vec<Moment>>,
    asked: AtomicUsize,
}

impl Tracker {
    fn next(&self) -> Option<Moment> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.due.lock().unwrap().first().copied()
    }

    fn act(&self, now: Moment) {
        self.acts.lock().unwrap().push(now);
        let held = self.held.lock().unwrap();
        self.due.lock().unwrap().retain(|deadline| *deadline > now || held.contains(deadline));
    }

    fn add(&self, deadline: Moment) {
        self.due.lock().unwrap().insert(deadline);
    }

    fn hold(&self, deadline: Moment) {
        self.held.lock().unwrap().insert(deadline);
        self.add(deadline);
    }

    fn acts(&self) -> Vec<Moment> {
        self.acts.lock().unwrap().clone()
    }
}

struct Loop {
    tracker: Arc<Tracker>,
    wall: Wall,
    changed: Arc<Notify>,
    clock_set: Arc<Notify>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

fn start() -> Loop {
    let (tracker, wall) = (Arc::new(Tracker::default()), Wall::new());
    let (changed, clock_set) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let stop = CancellationToken::new();
    let clock = {
        let wall = wall.clone();
        move || wall.now()
    };
    let deadlines = Deadlines {
        policy: "test".into(),
        clock: clock.clone(),
        next: {
            let tracker = Arc::clone(&tracker);
            move || tracker.next()
        },
        changed: Arc::clone(&changed),
        clock_set: Arc::clone(&clock_set),
        stop: stop.clone(),
    };
    let acting = Arc::clone(&tracker);
    let task = tokio::spawn(deadlines.run(move || {
        acting.act(clock());
        std::future::ready(())
    }));
    Loop { tracker, wall, changed, clock_set, stop, task }
}

impl Loop {
    async fn add(&self, deadline: Moment) {
        self.tracker.add(deadline);
        self.changed.notify_one();
        pass(Duration::ZERO).await;
    }
}

#[test]
fn deadlines_are_rounded_up_to_half_a_second_and_never_down() {
    let at = |nanos| Moment::from_unix(7, nanos);
    assert_eq!(round_up(at(0)), at(0));
    assert_eq!(round_up(at(1)), at(QUANTUM_NANOS));
    assert_eq!(round_up(at(QUANTUM_NANOS)), at(QUANTUM_NANOS));
    assert_eq!(round_up(at(999_999_999)), Moment::from_unix(8, 0));
    assert_eq!(round_up(Moment::from_unix(-1, 900_000_000)), Moment::EPOCH);
}

#[tokio::test(start_paused = true)]
async fn nothing_wakes_when_nothing_is_due() {
    let deadlines = start();
    pass(SECOND).await;
    let (asked, reads) = (deadlines.tracker.asked.load(Ordering::Relaxed), deadlines.wall.reads());
    pass(MINUTE * 60 * 24).await;
    assert_eq!((deadlines.tracker.asked.load(Ordering::Relaxed), deadlines.wall.reads()), (asked, reads));
    assert_eq!(deadlines.tracker.acts(), []);
}

#[tokio::test(start_paused = true)]
async fn each_deadline_is_kept_within_a_quantum_and_never_early() {
    let deadlines = start();
    deadlines.add(moment(60)).await;
    deadlines.add(moment(10).plus(Duration::from_millis(1))).await;
    deadlines.add(moment(10).plus(Duration::from_millis(240))).await;
    pass(2 * MINUTE).await;
    let acts = deadlines.tracker.acts();
    assert_eq!(acts, [moment(10).plus(Duration::from_millis(500)), moment(60)]);
}

#[tokio::test(start_paused = true)]
async fn an_earlier_deadline_shortens_the_sleep_and_a_removed_one_lengthens_it() {
    let deadlines = start();
    deadlines.add(moment(60)).await;
    deadlines.add(moment(20)).await;
    deadlines.tracker.due.lock().unwrap().remove(&moment(20));
    deadlines.changed.notify_one();
    pass(2 * MINUTE).await;
    assert_eq!(deadlines.tracker.acts(), [moment(60)]);
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_changes_behind_the_earliest_arms_nothing() {
    let deadlines = start();
    deadlines.add(moment(60)).await;
    let reads = deadlines.wall.reads();
    for change in 1..5000 {
        deadlines.add(moment(60 + change)).await;
    }
    assert_eq!(deadlines.wall.reads(), reads, "the clock is read only to arm the timer");
    pass(MINUTE).await;
    assert_eq!(deadlines.tracker.acts().first(), Some(&moment(60)));
}

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_deadlines_in_a_minute_are_taken_twice_a_second() {
    let deadlines = start();
    for deadline in 0..100_000_u64 {
        deadlines.tracker.add(moment(1).plus(Duration::from_micros(deadline * 600)));
    }
    deadlines.changed.notify_one();
    pass(2 * MINUTE).await;
    assert_eq!(deadlines.tracker.next(), None);
    let acts = deadlines.tracker.acts().len();
    assert!((100..=125).contains(&acts), "{acts}");
}

#[tokio::test(start_paused = true)]
async fn what_stays_overdue_is_tried_again_ever_more_rarely() {
    let deadlines = start();
    deadlines.tracker.hold(moment(10));
    deadlines.changed.notify_one();
    pass(MINUTE * 60).await;
    let acts = deadlines.tracker.acts();
    let pauses: Vec<u64> = acts.windows(2).map(|pair| pair[1].since(pair[0]).unwrap().as_secs()).collect();
    assert_eq!(pauses[..10], [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
    assert!(acts.len() < 25, "{}", acts.len());

    deadlines.tracker.held.lock().unwrap().clear();
    pass(5 * MINUTE).await;
    assert_eq!(deadlines.tracker.next(), None);
    deadlines.tracker.hold(moment(4000));
    deadlines.changed.notify_one();
    let before = deadlines.tracker.acts().len();
    pass(MINUTE * 10).await;
    let acts = &deadlines.tracker.acts()[before..];
    assert_eq!(acts[1].since(acts[0]).unwrap(), SECOND, "the pause begins anew");
}

#[tokio::test(start_paused = true)]
async fn changes_during_the_pause_do_not_shorten_it() {
    let deadlines = start();
    deadlines.tracker.hold(moment(10));
    deadlines.changed.notify_one();
    pass(60 * SECOND).await;
    let before = deadlines.tracker.acts().len();
    for change in 0..1000 {
        deadlines.add(moment(5000 + change)).await;
    }
    assert_eq!(deadlines.tracker.acts().len(), before);
}

#[tokio::test(start_paused = true)]
async fn an_earlier_deadline_is_kept_while_another_is_held() {
    let deadlines = start();
    deadlines.tracker.hold(moment(100));
    deadlines.changed.notify_one();
    pass(MINUTE * 10).await;
    let before = deadlines.tracker.acts().len();
    deadlines.add(moment(50)).await;
    assert_eq!(deadlines.tracker.acts().len(), before + 1);
    assert_eq!(deadlines.tracker.next(), Some(moment(100)));
}

#[tokio::test(start_paused = true)]
async fn progress_in_pieces_is_not_held_up() {
    let (tracker, wall, stop) = (Arc::new(Tracker::default()), Wall::new(), CancellationToken::new());
    for deadline in 0..50 {
        tracker.add(moment(-deadline));
    }
    let (next, pieces) = (Arc::clone(&tracker), Arc::clone(&tracker));
    let deadlines = Deadlines {
        policy: "test".into(),
        clock: move || wall.now(),
        next: move || next.next(),
        changed: Arc::new(Notify::new()),
        clock_set: Arc::new(Notify::new()),
        stop,
    };
    let before = Instant::now();
    tokio::spawn(deadlines.run(move || {
        pieces.due.lock().unwrap().pop_first();
        tokio::task::yield_now()
    }));
    pass(Duration::from_millis(100)).await;
    assert_eq!((tracker.next(), before.elapsed()), (None, Duration::from_millis(100)));
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_set_is_obeyed() {
    let deadlines = start();
    deadlines.add(moment(3600)).await;
    deadlines.wall.set_by(3600);
    deadlines.clock_set.notify_waiters();
    pass(SECOND).await;
    assert_eq!(deadlines.tracker.acts().len(), 1, "set ahead: due now");

    let deadlines = start();
    deadlines.add(moment(10)).await;
    deadlines.wall.set_by(-60);
    deadlines.clock_set.notify_waiters();
    pass(69 * SECOND).await;
    assert_eq!(deadlines.tracker.acts(), [], "set back: not early by the new clock");
    pass(2 * SECOND).await;
    assert_eq!(deadlines.tracker.acts(), [moment(10)]);
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_back_in_silence_removes_nothing_early() {
    let deadlines = start();
    deadlines.add(moment(10)).await;
    deadlines.wall.set_by(-60);
    pass(20 * SECOND).await;
    assert_eq!(deadlines.tracker.acts(), []);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_survived_and_not_repeated_at_full_speed() {
    let (calls, wall, stop) = (Arc::new(AtomicUsize::new(0)), Wall::new(), CancellationToken::new());
    let deadlines = Deadlines {
        policy: "test".into(),
        clock: move || wall.now(),
        next: || Some(moment(0)),
        changed: Arc::new(Notify::new()),
        clock_set: Arc::new(Notify::new()),
        stop,
    };
    let count = Arc::clone(&calls);
    tokio::spawn(deadlines.run(move || {
        count.fetch_add(1, Ordering::Relaxed);
        async { panic!("a bug, on purpose") }
    }));
    pass(MINUTE).await;
    assert_eq!(calls.load(Ordering::Relaxed), 6, "at 0, 1, 3, 7, 15 and 31 seconds");
}

#[tokio::test(start_paused = true)]
async fn the_end_comes_at_once() {
    let deadlines = start();
    deadlines.add(moment(3600)).await;
    deadlines.stop.cancel();
    let before = Instant::now();
    deadlines.task.await.unwrap();
    assert_eq!(before.elapsed(), Duration::ZERO);
}
