//! Who is connected, and who has to go when it gets crowded.
//!
//! A connection without a request in hand is idle: it waits for a client's next idea, or for the rest of headers that
//! come a byte a minute. When there is no room, the one that has been idle the longest goes; one with a request in
//! hand never does.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// All open connections.
#[derive(Debug)]
pub(super) struct Crowd {
    room: usize,
    members: Mutex<HashMap<u64, Arc<Member>>>,
    /// Counts arrivals, and moments at which somebody became idle.
    ticks: AtomicU64,
    /// Somebody left or became idle.
    changed: Notify,
}

#[derive(Debug)]
struct Member {
    is_busy: AtomicBool,
    was_busy: AtomicBool,
    idle_since: AtomicU64,
    close: CancellationToken,
}

/// One connection's place among the others, given up on drop.
#[derive(Debug)]
pub(super) struct Place {
    number: u64,
    member: Arc<Member>,
    crowd: Arc<Crowd>,
}

/// A request in hand, from its headers to the last byte of its answer.
#[derive(Debug)]
pub(super) struct InHand {
    member: Arc<Member>,
    crowd: Arc<Crowd>,
}

impl Crowd {
    /// Room for so many connections, at least one.
    pub(super) fn new(room: usize) -> Arc<Self> {
        let members = Mutex::default();
        Arc::new(Self { room: room.max(1), members, ticks: AtomicU64::new(0), changed: Notify::new() })
    }

    /// Takes somebody in, and sends another away when that is one too many. `close` is cancelled when this one has to
    /// go.
    pub(super) fn enter(self: &Arc<Self>, close: CancellationToken) -> Place {
        let number = self.tick();
        let (is_busy, was_busy) = (AtomicBool::new(false), AtomicBool::new(false));
        let member = Arc::new(Member { is_busy, was_busy, idle_since: AtomicU64::new(number), close });
        let is_crowded = {
            let mut members = self.members();
            members.insert(number, Arc::clone(&member));
            members.len() > self.room
        };
        if is_crowded {
            self.evict();
        }
        Place { number, member, crowd: Arc::clone(self) }
    }

    /// Waits until somebody could be taken in: until there is room, or somebody idle to make some.
    pub(super) async fn room(&self) {
        loop {
            // Listening begins before the question: what changes in between is not missed.
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if self.has_room() {
                return;
            }
            changed.await;
        }
    }

    /// Waits until somebody leaves or becomes idle.
    pub(super) async fn change(&self) {
        self.changed.notified().await;
    }

    /// Sends away who has been idle the longest; nobody when all are busy.
    pub(super) fn evict(&self) {
        let members = self.members();
        let idle = members.values().filter(|member| member.is_idle());
        if let Some(oldest) = idle.min_by_key(|member| member.idle_since.load(Ordering::Relaxed)) {
            oldest.close.cancel();
        }
    }

    fn has_room(&self) -> bool {
        let members = self.members();
        members.len() < self.room || members.values().any(|member| member.is_idle())
    }

    fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, Ordering::Relaxed)
    }

    fn members(&self) -> MutexGuard<'_, HashMap<u64, Arc<Member>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Member {
    /// Idle, and not on its way out already.
    fn is_idle(&self) -> bool {
        !self.is_busy.load(Ordering::Acquire) && !self.close.is_cancelled()
    }
}

impl Place {
    /// A request has come.
    pub(super) fn begin(&self) -> InHand {
        self.member.is_busy.store(true, Ordering::Release);
        self.member.was_busy.store(true, Ordering::Relaxed);
        InHand { member: Arc::clone(&self.member), crowd: Arc::clone(&self.crowd) }
    }

    pub(super) fn is_busy(&self) -> bool {
        self.member.is_busy.load(Ordering::Acquire)
    }

    /// Whether no request ever came: there is no answer of which the end may still be on its way.
    pub(super) fn is_fresh(&self) -> bool {
        !self.member.was_busy.load(Ordering::Relaxed)
    }

    /// Resolves when this connection has to end.
    pub(super) async fn closed(&self) {
        self.member.close.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.members().remove(&self.number);
        self.crowd.changed.notify_waiters();
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.member.idle_since.store(self.crowd.tick(), Ordering::Relaxed);
        self.member.is_busy.store(false, Ordering::Release);
        self.crowd.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn enter(crowd: &Arc<Crowd>) -> (Place, CancellationToken) {
        let close = CancellationToken::new();
        (crowd.enter(close.clone()), close)
    }

    #[test]
    fn who_has_been_idle_the_longest_goes_first() {
        let crowd = Crowd::new(2);
        let ((first, first_close), (_second, second_close)) = (enter(&crowd), enter(&crowd));
        drop(first.begin());
        let (_third, third_close) = enter(&crowd);
        assert!(second_close.is_cancelled(), "the first has been idle for less long");
        let (_fourth, _) = enter(&crowd);
        assert!(first_close.is_cancelled() && !third_close.is_cancelled());
    }

    #[test]
    fn nobody_goes_with_a_request_in_hand() {
        let crowd = Crowd::new(1);
        let (first, close) = enter(&crowd);
        let in_hand = first.begin();
        assert_eq!(crowd.room().now_or_never(), None);
        crowd.evict();
        assert!(!close.is_cancelled());
        drop(in_hand);
        assert_eq!(crowd.room().now_or_never(), Some(()));
    }

    #[tokio::test]
    async fn who_waits_for_room_is_told_when_somebody_leaves() {
        let crowd = Crowd::new(1);
        let (first, _) = enter(&crowd);
        let in_hand = first.begin();
        let waiting = tokio::spawn({
            let crowd = Arc::clone(&crowd);
            async move { crowd.room().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop((first, in_hand));
        waiting.await.unwrap();
    }
}
