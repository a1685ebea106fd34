//! Wakes a thread that also waits for the kernel.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

/// How often a thread polls if it has no eventfd.
const WITHOUT: Duration = Duration::from_secs(10);

/// Wakes a thread that waits.
pub(super) struct Waker {
    /// Without one (no descriptor is available), the thread polls.
    fd: Option<OwnedFd>,
    /// Whether a full scan is requested.
    pub(super) rescan: AtomicBool,
}

impl Waker {
    pub(super) fn new() -> Self {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok();
        Self { fd, rescan: AtomicBool::new(false) }
    }

    pub(super) fn wake(&self) {
        if let Some(fd) = &self.fd {
            // It fails only when the counter is full: then the thread is about to wake anyway.
            let _ = rustix::io::write(fd, &1_u64.to_ne_bytes());
        }
    }

    pub(super) fn ask_for_rescan(&self) {
        self.rescan.store(true, Ordering::SeqCst);
        self.wake();
    }

    /// Waits until it is woken, something can be read, or the time is over.
    pub(super) fn wait(&self, other: Option<BorrowedFd<'_>>, most: Option<Duration>) {
        let most = if self.fd.is_none() { Some(most.unwrap_or(WITHOUT).min(WITHOUT)) } else { most };
        let timeout = most.map(|most| Timespec {
            tv_sec: i64::try_from(most.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(most.subsec_nanos()),
        });
        let own = self.fd.iter().map(OwnedFd::as_fd);
        let mut fds: Vec<_> = own.chain(other).map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        // An interrupted wait is over early, and whoever waits looks and waits again.
        let _ = poll(&mut fds, timeout.as_ref());
        if let Some(fd) = &self.fd {
            let mut count = [0_u8; 8];
            let _ = rustix::io::read(fd, &mut count);
        }
    }
}
