//! What happens, told to whoever listens: bounded at every point, so that no listener can hold the service up.
//!
//! The newest events are kept, so that a client that lost its connection goes on where it was. One that is too slow, or
//! was away for too long, is told that it missed something, and asks again for what it shows.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use axum::response::sse;
use futures_util::{Stream, StreamExt as _};
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, broadcast};
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;
use tokio_util::sync::CancellationToken;

/// Events that are kept for clients that come back, and how far one may lag behind.
const KEPT: usize = 1024;

/// Streams that are open at the same time.
const MAX_STREAMS: usize = 64;

/// What kind of thing happened: the event's name in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A file is tracked from now on.
    Registered,
    /// A file was removed, at its deadline or by a sweep.
    Removed,
    /// A path is held from now on.
    Hold,
    /// A path is held no more.
    Release,
    /// Files came back from quarantine.
    Restore,
    /// The next deadline of a policy is another one.
    Deadlines,
    /// A policy learns of new files in another way than before.
    Watching,
    /// A sweep began.
    SweepStarted,
    /// A sweep ended.
    SweepEnded,
    /// The configuration was read again.
    Reloaded,
}

impl Kind {
    /// The name in the stream.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Removed => "removed",
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Restore => "restore",
            Self::Deadlines => "deadlines",
            Self::Watching => "watching",
            Self::SweepStarted => "sweep_started",
            Self::SweepEnded => "sweep_ended",
            Self::Reloaded => "reloaded",
        }
    }
}

#[derive(Debug)]
struct Event {
    number: u64,
    kind: Kind,
    /// The policies that it is about; none when it is about all of them.
    policies: Vec<String>,
    data: String,
}

/// Which events somebody wants; the default is all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    /// Of these kinds; none means all.
    pub(crate) kinds: Vec<Kind>,
    /// About these policies; none means all.
    pub(crate) policies: Vec<String>,
}

impl Filter {
    fn wants(&self, event: &Event) -> bool {
        let is_about = || event.policies.is_empty() || event.policies.iter().any(|name| self.policies.contains(name));
        (self.kinds.is_empty() || self.kinds.contains(&event.kind)) && (self.policies.is_empty() || is_about())
    }
}

/// Where events come in and go out.
#[derive(Debug)]
pub struct Events {
    /// Tells the events of this process from those of the one before it.
    boot: String,
    newest: Mutex<Newest>,
    sender: broadcast::Sender<Arc<Event>>,
    streams: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Newest {
    count: u64,
    events: VecDeque<Arc<Event>>,
}

impl Events {
    /// `boot` must be another one each time the service starts.
    pub(crate) fn new(boot: String) -> Self {
        let (sender, _) = broadcast::channel(KEPT);
        Self { boot, newest: Mutex::default(), sender, streams: Arc::new(Semaphore::new(MAX_STREAMS)) }
    }

    /// Tells everybody of what happened to these policies, or to all of them where none is named.
    pub fn send(&self, kind: Kind, policies: &[&str], data: &impl Serialize) {
        let data = serde_json::to_string(data).unwrap_or_else(|_| "{}".to_owned());
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        newest.count += 1;
        let policies = policies.iter().map(|&name| name.to_owned()).collect();
        let event = Arc::new(Event { number: newest.count, kind, policies, data });
        if newest.events.len() >= KEPT {
            newest.events.pop_front();
        }
        newest.events.push_back(Arc::clone(&event));
        // Under the lock, so that a stream that begins now misses nothing and gets nothing twice.
        let _ = self.sender.send(event);
    }

    /// A stream of those that are wanted, from now on, or from just after `last_id`, until `stop`. `None` when too many are open.
    pub(crate) fn stream(
        self: &Arc<Self>,
        last_id: Option<&str>,
        filter: Filter,
        stop: CancellationToken,
    ) -> Option<impl Stream<Item = sse::Event> + Send + use<>> {
        let permit = Arc::clone(&self.streams).try_acquire_owned().ok()?;
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let live = BroadcastStream::new(self.sender.subscribe());
        let missed = last_id.map(|id| self.missed(&newest, id, &filter)).unwrap_or_default();
        drop(newest);

        let events = Arc::clone(self);
        let live = live.filter_map(move |received| {
            // The place is free again when the stream is dropped.
            let _ = &permit;
            futures_util::future::ready(match received {
                Ok(event) => filter.wants(&event).then(|| events.shown(&event)),
                Err(BroadcastStreamRecvError::Lagged(count)) => Some(lagged(Some(count))),
            })
        });
        Some(futures_util::stream::iter(missed).chain(live).take_until(stop.cancelled_owned()))
    }

    /// What came after an id, or the word that it cannot be told.
    fn missed(&self, newest: &Newest, id: &str, filter: &Filter) -> Vec<sse::Event> {
        let last = id.strip_prefix(&self.boot).and_then(|rest| rest.strip_prefix('-')?.parse::<u64>().ok());
        let first_kept = newest.events.front().map_or(newest.count + 1, |event| event.number);
        match last {
            Some(last) if last <= newest.count && last.saturating_add(1) >= first_kept => {
                let wanted = newest.events.iter().filter(|event| event.number > last && filter.wants(event));
                wanted.map(|event| self.shown(event)).collect()
            }
            Some(last) if last <= newest.count => vec![lagged(Some(newest.count - last))],
            _ => vec![lagged(None)],
        }
    }

    fn shown(&self, event: &Event) -> sse::Event {
        let id = format!("{}-{}", self.boot, event.number);
        sse::Event::default().id(id).event(event.kind.name()).data(&event.data)
    }
}

/// Says that events were missed, and how many where that is known.
fn lagged(count: Option<u64>) -> sse::Event {
    sse::Event::default().event("lagged").data(serde_json::json!({ "missed": count }).to_string())
}
