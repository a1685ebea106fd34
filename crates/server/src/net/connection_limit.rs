//! Connection limit: when it is reached, the connection that has been idle longest is closed.
//!
//! A connection without a request in hand is idle: it waits for the client's next request, or for the rest of headers
//! that arrive a byte a minute. A connection with a request in hand is never closed, nor one that was accepted less than
//! [`PATIENCE`] ago, because its request may not have been read yet. So a burst of clients is served one after another
//! instead of closing each other's connections.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A connection that has been idle for less than this is not closed.
const PATIENCE: Duration = Duration::from_millis(50);

/// All open connections.
#[derive(Debug)]
pub(super) struct ConnectionLimit {
    room: usize,
    members: Mutex<Members>,
    begin: Instant,
    /// Somebody left or became idle.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Members {
    by_number: HashMap<u64, Arc<Member>>,
    next: u64,
}

#[derive(Debug)]
struct Member {
    is_busy: AtomicBool,
    was_busy: AtomicBool,
    /// Microseconds since `begin`.
    idle_since: AtomicU64,
    close: CancellationToken,
}

/// One connection's place among the others, given up on drop.
#[derive(Debug)]
pub(super) struct Place {
    number: u64,
    member: Arc<Member>,
    limit: Arc<ConnectionLimit>,
}

/// A request in hand, from its headers to the last byte of its answer.
#[derive(Debug)]
pub(super) struct InHand {
    member: Arc<Member>,
    limit: Arc<ConnectionLimit>,
}

impl ConnectionLimit {
    /// Room for so many connections, at least one.
    pub(super) fn new(room: usize) -> Arc<Self> {
        let members = Mutex::default();
        Arc::new(Self { room: room.max(1), members, begin: Instant::now(), changed: Notify::new() })
    }

    /// Takes somebody in, and sends another away when that is one too many. `close` is cancelled when this one has to
    /// go.
    pub(super) fn enter(self: &Arc<Self>, close: CancellationToken) -> Place {
        let idle_since = AtomicU64::new(self.elapsed());
        let (is_busy, was_busy) = (AtomicBool::new(false), AtomicBool::new(false));
        let member = Arc::new(Member { is_busy, was_busy, idle_since, close });
        let mut members = self.members();
        if members.by_number.len() >= self.room {
            self.evict_from(&members);
        }
        let number = members.next;
        members.next += 1;
        members.by_number.insert(number, Arc::clone(&member));
        drop(members);
        Place { number, member, limit: Arc::clone(self) }
    }

    /// Waits until somebody could be taken in: until there is room, or somebody who can go to make some.
    pub(super) async fn room(&self) {
        loop {
            // Listening begins before the question: what changes in between is not missed.
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            match self.room_in() {
                Some(Duration::ZERO) => return,
                Some(wait) => drop(tokio::time::timeout(wait, changed).await),
                None => changed.await,
            }
        }
    }

    /// Waits until somebody leaves or becomes idle.
    pub(super) async fn change(&self) {
        self.changed.notified().await;
    }

    /// Sends away who has been idle the longest; nobody when nobody can go.
    pub(super) fn evict(&self) {
        self.evict_from(&self.members());
    }

    fn evict_from(&self, members: &Members) {
        let now = self.elapsed();
        if let Some(oldest) = members.longest_idle().filter(|oldest| oldest.patience_left(now).is_zero()) {
            oldest.close.cancel();
        }
    }

    /// How long until somebody could be taken in; `None` when it depends on those who are busy.
    fn room_in(&self) -> Option<Duration> {
        let members = self.members();
        if members.by_number.len() < self.room {
            return Some(Duration::ZERO);
        }
        members.longest_idle().map(|oldest| oldest.patience_left(self.elapsed()))
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Members {
    fn longest_idle(&self) -> Option<&Member> {
        let idle = self.by_number.iter().filter(|(_, member)| member.is_idle());
        let oldest = idle.min_by_key(|(number, member)| (member.idle_since.load(Ordering::Relaxed), **number));
        oldest.map(|(_, member)| &**member)
    }
}

impl Member {
    /// Idle, and not on its way out already.
    fn is_idle(&self) -> bool {
        !self.is_busy.load(Ordering::Acquire) && !self.close.is_cancelled()
    }

    /// How long it may stay even if there is no room.
    fn patience_left(&self, now: u64) -> Duration {
        let idle = now.saturating_sub(self.idle_since.load(Ordering::Relaxed));
        PATIENCE.saturating_sub(Duration::from_micros(idle))
    }
}

impl Place {
    /// A request has come.
    pub(super) fn begin(&self) -> InHand {
        self.member.is_busy.store(true, Ordering::Release);
        self.member.was_busy.store(true, Ordering::Relaxed);
        InHand { member: Arc::clone(&self.member), limit: Arc::clone(&self.limit) }
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
        self.limit.members().by_number.remove(&self.number);
        self.limit.changed.notify_waiters();
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.member.idle_since.store(self.limit.elapsed(), Ordering::Relaxed);
        self.member.is_busy.store(false, Ordering::Release);
        self.limit.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::time::advance;

    use super::*;

    fn enter(limit: &Arc<ConnectionLimit>) -> (Place, CancellationToken) {
        let close = CancellationToken::new();
        (limit.enter(close.clone()), close)
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_been_idle_the_longest_goes_first() {
        let limit = ConnectionLimit::new(2);
        let ((first, first_close), (_second, second_close)) = (enter(&limit), enter(&limit));
        drop(first.begin());
        advance(PATIENCE).await;
        let (_third, third_close) = enter(&limit);
        assert!(first_close.is_cancelled() && !second_close.is_cancelled(), "idle for as long, and here for longer");

        let limit = ConnectionLimit::new(2);
        let ((first, first_close), (_second, second_close)) = (enter(&limit), enter(&limit));
        advance(PATIENCE).await;
        drop(first.begin());
        let _third = enter(&limit);
        assert!(second_close.is_cancelled() && !first_close.is_cancelled(), "the first did something meanwhile");
        assert!(!third_close.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_goes_with_a_request_in_hand() {
        let limit = ConnectionLimit::new(1);
        let (first, close) = enter(&limit);
        let in_hand = first.begin();
        advance(PATIENCE * 100).await;
        assert_eq!(limit.room().now_or_never(), None);
        limit.evict();
        let _second = enter(&limit);
        assert!(!close.is_cancelled());
        drop(in_hand);
        advance(PATIENCE).await;
        assert_eq!(limit.room().now_or_never(), Some(()));
    }

    #[tokio::test(start_paused = true)]
    async fn who_just_came_is_not_pushed_out_by_the_next() {
        let limit = ConnectionLimit::new(1);
        let (_first, close) = enter(&limit);
        let before = Instant::now();
        limit.evict();
        assert!(!close.is_cancelled());
        limit.room().await;
        assert_eq!(before.elapsed(), PATIENCE);
        limit.evict();
        assert!(close.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_room_is_told_when_somebody_leaves() {
        let limit = ConnectionLimit::new(1);
        let (first, _) = enter(&limit);
        let in_hand = first.begin();
        let waiting = tokio::spawn({
            let limit = Arc::clone(&limit);
            async move { limit.room().await }
        });
        advance(PATIENCE * 100).await;
        assert!(!waiting.is_finished());
        drop((first, in_hand));
        waiting.await.unwrap();
    }
}
