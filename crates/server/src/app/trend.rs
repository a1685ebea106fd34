//! The past as a trend: what was kept and removed, by policy and stretch of time.
//!
//! Read from an index of the history, and kept in memory until a run ends, or for a minute: other programs sweep, too.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cleanup_core::moment::Moment;
use cleanup_engine::responses::PastRun;
use cleanup_engine::{Engine, TrendPoint};

/// How long runs of other programs may go unnoticed.
const KEPT: Duration = Duration::from_secs(60);

/// Runs that the overview names.
const NEWEST: usize = 6;

/// How much of the past is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Window {
    Day,
    #[default]
    Week,
    Month,
}

impl Window {
    pub(crate) const ALL: [(Self, &'static str, &'static str); 3] =
        [(Self::Day, "day", "day"), (Self::Week, "week", "week"), (Self::Month, "month", "30 days")];

    /// The length of a stretch in seconds, and how many there are.
    pub(crate) fn stretches(self) -> (u32, u32) {
        match self {
            Self::Day => (1800, 48),
            Self::Week => (7200, 84),
            Self::Month => (43_200, 60),
        }
    }

    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Day => "the last 24 hours",
            Self::Week => "the last 7 days",
            Self::Month => "the last 30 days",
        }
    }

    pub(crate) fn key(self) -> &'static str {
        Self::ALL.iter().find(|(over, ..)| *over == self).map_or("week", |(_, key, _)| *key)
    }
}

/// What is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Measure {
    #[default]
    Bytes,
    Files,
}

/// What is known of a stretch of the past.
#[derive(Clone, Debug)]
pub(crate) struct Trend {
    over: Window,
    since: Moment,
    points: HashMap<String, Vec<Option<TrendPoint>>>,
}

/// The trends that were read last.
#[derive(Debug, Default)]
pub(crate) struct Trends(Mutex<HashMap<Window, Cached>>);

/// The trend, and the newest runs.
#[derive(Clone, Debug)]
pub(crate) struct Past {
    pub(crate) trend: Arc<Trend>,
    pub(crate) runs: Arc<[PastRun]>,
}

#[derive(Debug)]
struct Cached {
    past: Past,
    /// How many runs there were when it was read.
    runs: u64,
    read: Instant,
}

impl Trends {
    /// The trend, if it was read lately and nothing ran since.
    pub(crate) fn fresh(&self, over: Window, now: Moment, runs: u64) -> Option<Past> {
        let cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_fresh = |cached: &&Cached| {
            cached.runs == runs && cached.read.elapsed() < KEPT && cached.past.trend.since == since(over, now)
        };
        cached.get(&over).filter(is_fresh).map(|cached| cached.past.clone())
    }

    /// Reads it anew. Blocks.
    pub(crate) fn read(&self, engine: &Engine, over: Window, now: Moment, runs: u64) -> Past {
        let since = since(over, now);
        let (seconds, stretches) = over.stretches();
        // Without memory there is no past.
        let points = engine.trend(since, seconds, stretches).unwrap_or_default();
        let newest = engine.history(NEWEST).map(|history| history.runs).unwrap_or_default();
        let past = Past { trend: Arc::new(Trend::new(over, since, points)), runs: newest.into() };
        let cached = Cached { past: past.clone(), runs, read: Instant::now() };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(over, cached);
        past
    }

    /// Another configuration may have another memory.
    pub(crate) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Stretches begin at round moments, so that the same trend serves for a while.
fn since(over: Window, now: Moment) -> Moment {
    let (seconds, stretches) = over.stretches();
    let (seconds, stretches) = (i64::from(seconds), i64::from(stretches));
    Moment::from_unix((now.unix_seconds().div_euclid(seconds) + 1 - stretches) * seconds, 0)
}

impl Trend {
    pub(crate) fn new(over: Window, since: Moment, points: Vec<TrendPoint>) -> Self {
        let (_, stretches) = over.stretches();
        let mut by_policy: HashMap<String, Vec<Option<TrendPoint>>> = HashMap::new();
        for point in points {
            let all = by_policy.entry(point.policy.clone()).or_insert_with(|| vec![None; stretches as usize]);
            let index = usize::try_from(point.stretch).unwrap_or(usize::MAX);
            if let Some(place) = all.get_mut(index) {
                *place = Some(point);
            }
        }
        Self { over, since, points: by_policy }
    }

    pub(crate) fn over(&self) -> Window {
        self.over
    }

    /// When the first stretch begins.
    pub(crate) fn since(&self) -> Moment {
        self.since
    }

    /// The policies of which anything is known, in no order.
    pub(crate) fn policies(&self) -> impl Iterator<Item = &String> {
        self.points.keys()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// Items that went, and bytes that the file system got back, over all policies.
    pub(crate) fn removed(&self) -> (u64, u64) {
        let points = self.points.values().flatten().flatten();
        points.fold((0, 0), |(items, bytes), point| (items + point.removed, bytes + point.bytes_freed))
    }

    /// What a policy kept: what a sweep saw stays so until the next one.
    pub(crate) fn kept(&self, policy: &str, show: Measure) -> Vec<Option<u64>> {
        let mut last = None;
        let kept = |point: &Option<TrendPoint>| {
            let point = point.as_ref();
            let seen = match show {
                Measure::Bytes => point.and_then(|point| point.kept_bytes),
                Measure::Files => point.and_then(|point| point.kept),
            };
            last = seen.or(last);
            last
        };
        self.points.get(policy).map(|points| points.iter().map(kept).collect()).unwrap_or_default()
    }

    /// What went of a policy.
    pub(crate) fn gone(&self, policy: &str, show: Measure) -> Vec<Option<u64>> {
        let gone = |point: &Option<TrendPoint>| {
            point.as_ref().map(|point| match show {
                Measure::Bytes => point.bytes_freed,
                Measure::Files => point.removed,
            })
        };
        self.points.get(policy).map(|points| points.iter().map(gone).collect()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(policy: &str, stretch: u64, removed: u64, kept: Option<u64>) -> TrendPoint {
        let policy = policy.to_owned();
        TrendPoint { policy, stretch, removed, bytes_freed: removed * 10, kept, kept_bytes: kept.map(|kept| kept * 10) }
    }

    #[test]
    fn what_was_kept_stays_so_until_the_next_sweep_and_deadlines_say_nothing_of_it() {
        let points = vec![point("a", 1, 2, Some(7)), point("a", 3, 5, None), point("b", 0, 1, Some(1))];
        let trend = Trend::new(Window::Day, Moment::from_unix(0, 0), points);
        let kept = trend.kept("a", Measure::Bytes);
        assert_eq!((kept.len(), &kept[..4]), (48, &[None, Some(70), Some(70), Some(70)][..]));
        assert_eq!(trend.removed(), (8, 80));
        assert!(trend.kept("unknown", Measure::Files).is_empty());
    }

    #[test]
    fn a_course_ends_with_the_stretch_that_is_now() {
        let now = Moment::from_unix(1_000_000, 0);
        for (over, ..) in Window::ALL {
            let (seconds, stretches) = over.stretches();
            let since = since(over, now).unix_seconds();
            let end = since + i64::from(seconds) * i64::from(stretches);
            assert!(end > 1_000_000 && end - i64::from(seconds) <= 1_000_000, "{over:?}");
        }
    }
}
