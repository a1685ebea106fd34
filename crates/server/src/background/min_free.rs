//! Meets a flood between scheduled sweeps: asks every few seconds whether a limit is exceeded, and sweeps if it is.
//!
//! Asking costs a system call or two for each policy; nothing is walked. A sweep is awaited before the next question, so
//! pressure never overlaps with itself. A policy that a sweep could not relieve (all that is left is protected) is left
//! alone for a while, twice as long each time, up to five minutes; the schedule goes on as ever.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::background::scheduler::catch;

/// How often it is asked.
const ASK_EVERY: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// Until when a policy is left alone.
#[derive(Clone, Copy, Debug)]
struct Pause {
    until: Instant,
    length: Duration,
}

/// Asks `ask` which policies are under pressure and gives them to `relieve`, which answers those that it relieved; until
/// `stop`.
pub(crate) async fn watch_pressure<A, AF, R, RF>(mut ask: A, mut relieve: R, stop: CancellationToken)
where
    A: FnMut() -> AF,
    AF: Future<Output = Vec<String>>,
    R: FnMut(Vec<String>) -> RF,
    RF: Future<Output = Vec<String>>,
{
    let mut pauses: HashMap<String, Pause> = HashMap::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(ASK_EVERY) => {}
        }
        let pressed = match catch(&mut ask).await {
            Ok(pressed) => pressed,
            Err(panic) => {
                tracing::error!("checking the free space panicked: {panic}");
                continue;
            }
        };
        pauses.retain(|policy, _| pressed.contains(policy));
        let now = Instant::now();
        let is_ready = |policy: &String| pauses.get(policy).is_none_or(|pause| pause.until <= now);
        let ready: Vec<String> = pressed.into_iter().filter(is_ready).collect();
        if ready.is_empty() {
            continue;
        }
        let relieved = catch(&mut || relieve(ready.clone())).await.unwrap_or_else(|panic| {
            tracing::error!("a sweep under pressure panicked: {panic}");
            Vec::new()
        });
        for policy in ready {
            if relieved.contains(&policy) {
                pauses.remove(&policy);
                continue;
            }
            let length = pauses.get(&policy).map_or(FIRST_PAUSE, |last| (last.length * 2).min(LONGEST_PAUSE));
            pauses.insert(policy, Pause { until: Instant::now() + length, length });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::fixture::pass;

    type Log = Arc<Mutex<Vec<(u64, Vec<String>)>>>;

    /// What is pressed, what can be relieved, and when which policies were swept, in seconds from the start.
    #[derive(Clone, Default)]
    struct World {
        pressed: Arc<Mutex<Vec<String>>>,
        hopeless: Arc<Mutex<Vec<String>>>,
        asked: Arc<Mutex<u32>>,
        swept: Log,
        sweep_takes: Duration,
    }

    impl World {
        fn start(&self) -> CancellationToken {
            let (stop, begun) = (CancellationToken::new(), Instant::now());
            let (asking, world) = (self.clone(), self.clone());
            let ask = move || {
                *asking.asked.lock().unwrap() += 1;
                let pressed = asking.pressed.lock().unwrap().clone();
                async move { pressed }
            };
            let relieve = move |policies: Vec<String>| {
                let world = world.clone();
                world.swept.lock().unwrap().push((begun.elapsed().as_secs(), policies.clone()));
                async move {
                    tokio::time::sleep(world.sweep_takes).await;
                    let hopeless = world.hopeless.lock().unwrap().clone();
                    let relieved: Vec<String> = policies.into_iter().filter(|name| !hopeless.contains(name)).collect();
                    world.pressed.lock().unwrap().retain(|name| !relieved.contains(name));
                    relieved
                }
            };
            tokio::spawn(watch_pressure(ask, relieve, stop.clone()));
            stop
        }

        fn press(&self, names: &[&str]) {
            *self.pressed.lock().unwrap() = names.iter().map(|name| (*name).to_owned()).collect();
        }

        fn swept(&self) -> Vec<(u64, Vec<String>)> {
            self.swept.lock().unwrap().clone()
        }
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_met_within_seconds_and_calm_costs_only_the_question() {
        let world = World::default();
        let stop = world.start();
        pass(Duration::from_mins(1)).await;
        assert_eq!((*world.asked.lock().unwrap(), world.swept().len()), (12, 0));
        world.press(&["a", "b"]);
        pass(Duration::from_secs(5)).await;
        assert_eq!(world.swept(), [(65, names(&["a", "b"]))]);
        pass(Duration::from_mins(1)).await;
        assert_eq!(world.swept().len(), 1, "relieved");
        stop.cancel();
        pass(Duration::from_secs(1)).await;
        let asked = *world.asked.lock().unwrap();
        pass(Duration::from_mins(1)).await;
        assert_eq!(*world.asked.lock().unwrap(), asked);
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_relieved_is_left_alone_for_longer_and_longer() {
        let world = World::default();
        world.press(&["full"]);
        world.hopeless.lock().unwrap().push("full".to_owned());
        world.start();
        pass(Duration::from_mins(20)).await;
        let times: Vec<u64> = world.swept().into_iter().map(|(at, _)| at).collect();
        assert_eq!(times, [5, 15, 35, 75, 155, 315, 615, 915]);

        // One that is relieved meanwhile begins anew.
        world.press(&[]);
        pass(Duration::from_secs(5)).await;
        world.press(&["full", "other"]);
        pass(Duration::from_secs(20)).await;
        let last: Vec<Vec<String>> =
            world.swept().into_iter().skip(times.len()).map(|(_, policies)| policies).collect();
        assert_eq!(last, [names(&["full", "other"]), names(&["full"])]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_sweep_ends_before_the_next_question() {
        let world = World { sweep_takes: Duration::from_mins(2), ..World::default() };
        world.press(&["slow"]);
        world.start();
        pass(Duration::from_secs(100)).await;
        assert_eq!((*world.asked.lock().unwrap(), world.swept().len()), (1, 1));
        pass(Duration::from_mins(1)).await;
        assert_eq!(world.swept().len(), 1);
        assert!(*world.asked.lock().unwrap() > 1);
    }
}
